//! Audit records, and their export as lines.

use super::{AuditDraft, RecordContext, read, write};
use crate::store::{Sha256, Tenant};

/// Record of one transition in the chain of a tenant.
///
/// ```
/// # use fhir_devices::audit::{Action, Actor, AuditDraft, ChainHead, RecordContext, StateName};
/// # let draft = AuditDraft::new(time::macros::datetime!(2017-04-19 10:00 UTC), Action::Opened, None, StateName::Open);
/// # let first = ChainHead::start("st-mary".parse()?).append(draft, RecordContext::by(Actor::service("gateway".parse()?)));
/// use fhir_devices::audit::AuditRecord;
/// let record = AuditRecord::from_line(&first.line)?;
/// assert_eq!(record, first.record);
/// // One space more, and it is not the text that the chain was made of.
/// assert!(AuditRecord::from_line(&first.line.replacen(':', ": ", 1)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Tenant of the chain.
    pub tenant: Tenant,
    /// Place in the chain, from 0.
    pub index: u64,
    /// Digest of the previous record.
    pub prev: Sha256,
    /// Actor, and other facts that the state machine does not know.
    pub context: RecordContext,
    /// Transition.
    pub draft: AuditDraft,
}

/// Error for text that is not the canonical text of a record, or of a record of a later version of this crate.
///
/// ```
/// use fhir_devices::audit::AuditRecord;
/// let error = AuditRecord::from_line("{}").unwrap_err();
/// assert_eq!(error.to_string(), "the text is not an audit record in its canonical form that this version of the crate can read");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not an audit record in its canonical form that this version of the crate can read")]
#[non_exhaustive]
pub struct NotARecord;

impl AuditRecord {
    /// Returns the canonical text: one line without its line break.
    #[must_use]
    pub fn to_line(&self) -> String {
        write::record(self)
    }

    /// Returns the digest of the canonical text, which the next record holds.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.to_line().as_bytes())
    }

    /// Parses the canonical text.
    ///
    /// # Errors
    /// [`NotARecord`] when the text is not a record, or differs from the output of [`to_line`](Self::to_line).
    pub fn from_line(line: &str) -> Result<Self, NotARecord> {
        read::record(line).filter(|record| record.to_line() == line).ok_or(NotARecord)
    }
}

/// Parses an export of one record a line, skipping empty lines. Each record comes with its line number, from 0.
///
/// ```
/// use fhir_devices::audit::read_lines;
/// assert_eq!(read_lines("\n\n").count(), 0);
/// assert!(read_lines("{}").all(|(number, read)| number == 0 && read.is_err()));
/// ```
pub fn read_lines(text: &str) -> impl Iterator<Item = (usize, Result<AuditRecord, NotARecord>)> + '_ {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(number, line)| (number, AuditRecord::from_line(line)))
}
