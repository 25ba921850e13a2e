//! Appending to an audit chain.

use super::{AuditDraft, AuditRecord, NotARecord, RecordContext};
use crate::manifest::text::{LONGEST_LABEL, LONGEST_NOTE, fits, nearest};
use crate::primitive::Text;
use crate::store::{Sha256, Tenant};
use serde::{Deserialize, Serialize};

/// Length and last digest of a chain at a point in time. A signed checkpoint makes every later change of the records
/// before it detectable, also to readers who do not trust the service that stores the records.
///
/// ```
/// use fhir_devices::audit::{ChainHead, Checkpoint};
/// let checkpoint = ChainHead::start("st-mary".parse()?).checkpoint();
/// assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes())?, checkpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Tenant of the chain.
    pub tenant: Tenant,
    /// Number of records.
    pub count: u64,
    /// Digest of the last record; without records, the digest with which every chain of the tenant begins.
    pub root: Sha256,
}

impl Checkpoint {
    /// Returns the bytes to sign: JSON without white space, with the members `tenant`, `count` and `root` in this
    /// order.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and a number under fixed names always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses the output of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`NotARecord`] when the bytes differ from that output.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotARecord> {
        let read: Self = serde_json::from_slice(bytes).map_err(|_| NotARecord)?;
        if read.to_bytes() == bytes { Ok(read) } else { Err(NotARecord) }
    }
}

/// Head of a tenant's chain, kept with the states and written in the same commit.
///
/// ```
/// use fhir_devices::audit::ChainHead;
/// let head = ChainHead::start("st-mary".parse()?);
/// assert_eq!((head.tenant().as_str(), head.count()), ("st-mary", 0));
/// assert_ne!(head.root(), ChainHead::start("st-john".parse()?).root());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead(Checkpoint);

/// Appended record with its text and the new head of the chain.
///
/// Returned by [`ChainHead::append`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Appended record.
    pub record: AuditRecord,
    /// Canonical text of the record, to be stored.
    pub line: String,
    /// Head of the chain after the record.
    pub head: ChainHead,
}

impl ChainHead {
    /// Creates the empty chain of a tenant.
    #[must_use]
    pub fn start(tenant: Tenant) -> Self {
        let root = Sha256::of(format!("fhir-devices/audit/1/{tenant}").as_bytes());
        Self(Checkpoint { tenant, count: 0, root })
    }

    /// Creates the empty chain of a lane of a rollout.
    ///
    /// ```
    /// use fhir_devices::audit::ChainHead;
    /// let lane = |lane| ChainHead::of_lane("st-mary".parse().unwrap(), 7, lane);
    /// assert_ne!(lane(0).root(), lane(1).root());
    /// ```
    #[must_use]
    pub fn of_lane(tenant: Tenant, rollout: u128, lane: u16) -> Self {
        let root = Sha256::of(format!("fhir-devices/audit/2/{tenant}/{rollout:032x}/{lane}").as_bytes());
        Self(Checkpoint { tenant, count: 0, root })
    }

    /// Creates the chain at a checkpoint.
    #[must_use]
    pub const fn at(checkpoint: Checkpoint) -> Self {
        Self(checkpoint)
    }

    /// Returns the tenant of the chain.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Returns the number of records.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.0.count
    }

    /// Returns the digest of the last record.
    #[must_use]
    pub const fn root(&self) -> Sha256 {
        self.0.root
    }

    /// Returns the checkpoint to sign.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.0.clone()
    }

    /// Creates the record of a transition. The chain continues from [`Appended::head`].
    ///
    /// Free texts are converted into acceptable ones: URLs and references to patients are removed, and long texts are
    /// cut.
    #[must_use]
    pub fn append(&self, mut draft: AuditDraft, context: RecordContext) -> Appended {
        clean(&mut draft.comment, LONGEST_NOTE);
        clean(&mut draft.provider, LONGEST_LABEL);
        clean(&mut draft.version, LONGEST_LABEL);
        clean(&mut draft.reported, LONGEST_LABEL);
        if let Some(downgrade) = &mut draft.downgrade
            && let Some(reason) = cleaned(&downgrade.reason, LONGEST_NOTE)
        {
            // A reason that is empty after cleaning becomes a hyphen, since an authorization must have one.
            downgrade.reason = reason.unwrap_or_else(|| Text::new("-").unwrap_or_else(|_| downgrade.reason.clone()));
        }
        let Checkpoint { tenant, count, root } = &self.0;
        let record = AuditRecord { tenant: tenant.clone(), index: *count, prev: *root, context, draft };
        let line = record.to_line();
        let head = self.after(Sha256::of(line.as_bytes()));
        Appended { record, line, head }
    }

    /// Returns the chain with one more record.
    pub(super) fn after(&self, digest: Sha256) -> Self {
        let count = self.0.count.saturating_add(1);
        Self(Checkpoint { tenant: self.0.tenant.clone(), count, root: digest })
    }
}

/// Returns the replacement of a text that a record does not accept; `None` where the text is acceptable.
fn cleaned(text: &Text, longest: usize) -> Option<Option<Text>> {
    if fits(text.as_str(), longest) {
        return None;
    }
    Some(nearest(text.as_str(), longest).and_then(|near| Text::new(near).ok()))
}

fn clean(text: &mut Option<Text>, longest: usize) {
    if let Some(other) = text.as_ref().and_then(|text| cleaned(text, longest)) {
        *text = other;
    }
}
