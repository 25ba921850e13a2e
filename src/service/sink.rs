//! The sink of audit records.

use crate::audit::AuditRecord;

/// Receives every audit record after it is written. Closures implement it.
///
/// The records are in the ledger whatever this call does; it returns nothing and should not take long. After a crash
/// the last records may not have been passed on: [`audit_records`](super::UpdateService::audit_records) has them all.
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
    /// Called with a written record.
    fn recorded(&self, record: &AuditRecord);
}

impl<F: Fn(&AuditRecord) + Send + Sync + 'static> AuditSink for F {
    fn recorded(&self, record: &AuditRecord) {
        self(record);
    }
}
