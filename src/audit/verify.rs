//! Verification of audit chains.

use super::{AuditRecord, ChainHead, Checkpoint};
use crate::store::Tenant;
use std::collections::BTreeSet;

/// First break in a chain.
///
/// ```
/// use fhir_devices::audit::{ChainBreak, ChainFault};
/// let broken = ChainBreak::new(7, ChainFault::Removed);
/// assert_eq!(broken.to_string(), "the chain breaks at record 7: it is not there");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain breaks at record {at}: {fault}")]
#[non_exhaustive]
pub struct ChainBreak {
    /// Place in the chain, from 0.
    pub at: u64,
    /// Fault at this place.
    pub fault: ChainFault,
}

impl ChainBreak {
    /// Creates a break at a place in the chain.
    #[must_use]
    pub fn new(at: u64, fault: ChainFault) -> Self {
        Self { at, fault }
    }
}

/// Fault at a break in a chain.
///
/// ```
/// assert_eq!(fhir_devices::audit::ChainFault::Changed.to_string(), "it is not what the record after it was bound to");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// The record belongs to another tenant.
    #[error("it belongs to the tenant `{found}`")]
    OtherTenant {
        /// Tenant of the record.
        found: Tenant,
    },
    /// The record does not match the digest in the next record.
    #[error("it is not what the record after it was bound to")]
    Changed,
    /// The first record is not bound to the given start.
    #[error("it is bound to another beginning")]
    OtherStart,
    /// The record of this place is missing, and later ones exist.
    #[error("it is not there")]
    Removed,
    /// The record of this place comes later.
    #[error("it stands in another place")]
    Moved,
    /// A record with a lower index stands at this place.
    #[error("a record with the number {index} is inserted before it")]
    Inserted {
        /// Index of that record.
        index: u64,
    },
    /// The records end before the count of a checkpoint.
    #[error("the records end, and a checkpoint knows {count} of them")]
    Truncated {
        /// Count of the checkpoint.
        count: u64,
    },
    /// The record before this place does not match the digest of the checkpoint.
    #[error("the checkpoint of {count} records was made of others")]
    OtherRoot {
        /// Count of the checkpoint.
        count: u64,
    },
    /// The checkpoint belongs to another tenant.
    #[error("a checkpoint of the tenant `{found}` says nothing of it")]
    OtherCheckpoint {
        /// Tenant of the checkpoint.
        found: Tenant,
    },
}

/// Verifies that the records continue the chain from `start`, and returns its new head.
///
/// The last record is certain only as far as the checkpoints reach: a writer of all records can make another chain of
/// them, which a checkpoint out of their reach reveals.
///
/// # Errors
/// The first [`ChainBreak`] in the order of the chain.
///
/// ```
/// # use fhir_devices::audit::{*, Action, AuditDraft, StateName};
/// # let at = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let by = RecordContext::by(Actor::service("gateway".parse()?));
/// # let [opened, closed] = [(Action::Opened, None, StateName::Open), (Action::Failed, Some(StateName::Open), StateName::Closed)]
/// #     .map(|(action, from, to)| AuditDraft::new(at, action, from, to));
/// let start = ChainHead::start("st-mary".parse()?);
/// let first = start.append(opened, by.clone());
/// let second = first.head.append(closed, by);
/// let mut records = [first.record, second.record];
/// assert_eq!(verify(&start, &records, &[])?, second.head);
///
/// records[0].draft.action = Action::Stored;
/// assert_eq!(verify(&start, &records, &[]), Err(ChainBreak::new(0, ChainFault::Changed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify<'r>(
    start: &ChainHead,
    records: impl IntoIterator<Item = &'r AuditRecord>,
    checkpoints: &[Checkpoint],
) -> Result<ChainHead, ChainBreak> {
    let mut checkpoints: Vec<&Checkpoint> = checkpoints.iter().collect();
    checkpoints.sort_by_key(|checkpoint| checkpoint.count);
    if let Some(other) = checkpoints.iter().find(|checkpoint| checkpoint.tenant != *start.tenant()) {
        let fault = ChainFault::OtherCheckpoint { found: other.tenant.clone() };
        return Err(ChainBreak { at: other.count, fault });
    }
    let mut checkpoints = checkpoints.into_iter().skip_while(|checkpoint| checkpoint.count < start.count()).peekable();
    let mut records = records.into_iter();
    let mut head = start.clone();
    loop {
        while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.count == head.count()) {
            if checkpoint.root != head.root() {
                let at = head.count().saturating_sub(1);
                return Err(ChainBreak { at, fault: ChainFault::OtherRoot { count: checkpoint.count } });
            }
        }
        let Some(record) = records.next() else { break };
        if let Some(broken) = fault(start, &head, record, &mut records) {
            return Err(broken);
        }
        head = head.after(record.digest());
    }
    match checkpoints.last() {
        None => Ok(head),
        Some(checkpoint) => {
            Err(ChainBreak { at: head.count(), fault: ChainFault::Truncated { count: checkpoint.count } })
        }
    }
}

/// Returns the fault of the next record, if any.
fn fault<'r>(
    start: &ChainHead,
    head: &ChainHead,
    record: &AuditRecord,
    later: impl Iterator<Item = &'r AuditRecord>,
) -> Option<ChainBreak> {
    let at = head.count();
    let here = |fault| Some(ChainBreak { at, fault });
    if record.tenant != *head.tenant() {
        return here(ChainFault::OtherTenant { found: record.tenant.clone() });
    }
    if record.index < at {
        return here(ChainFault::Inserted { index: record.index });
    }
    if record.index > at {
        let places: BTreeSet<u64> = later.filter(|one| one.tenant == record.tenant).map(|one| one.index).collect();
        return here(if places.contains(&at) { ChainFault::Moved } else { ChainFault::Removed });
    }
    if record.prev != head.root() {
        return match at.checked_sub(1) {
            Some(before) if at > start.count() => Some(ChainBreak { at: before, fault: ChainFault::Changed }),
            _ => here(ChainFault::OtherStart),
        };
    }
    None
}
