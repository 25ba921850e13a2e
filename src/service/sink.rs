//! The sink of audit records.

use crate::audit::AuditRecord;

/// Receives every audit record once it is written. Closures implement it.
///
/// The records are in the ledger whatever becomes of the call, which has nothing to answer and should not take long. After a
/// crash the last records may not have been told: [`audit_records`](super::UpdateService::audit_records) has them all.
///
/// ```
/// use fhir_devices::service::AuditSink;
/// use fhir_devices::audit::AuditRecord;
/// fn print(record: &AuditRecord) {
///     println!("{}", record.to_line());
/// }
/// fn takes(_: impl AuditSink) {}
/// takes(print);
/// ```
pub trait AuditSink: Send + Sync + 'static {
    /// A record was written.
    fn recorded(&self, record: &AuditRecord);
}

impl<F: Fn(&AuditRecord) + Send + Sync + 'static> AuditSink for F {
    fn recorded(&self, record: &AuditRecord) {
        self(record);
    }
}
