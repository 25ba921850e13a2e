//! Appending to an audit chain.

use super::{AuditDraft, AuditRecord, NotARecord, RecordContext};
use crate::manifest::text::{LONGEST_LABEL, LONGEST_NOTE, fits, nearest};
use crate::primitive::Text;
use crate::store::{Sha256, Tenant};
use serde::{Deserialize, Serialize};

/// How long a chain was at some time, and what it ended with. Whoever signs one makes every later change of what came
/// before it visible, also to those who do not trust the service that stores the records.
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
    /// The tenant whose chain it is.
    pub tenant: Tenant,
    /// How many records it had.
    pub count: u64,
    /// The digest of the last one; of a chain without records, that with which every chain of the tenant begins.
    pub root: Sha256,
}

impl Checkpoint {
    /// Returns the bytes to sign: JSON without white space, with the members `tenant`, `count` and `root` in this
    /// order.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and a number under fixed names: there is nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes.
    ///
    /// # Errors
    /// [`NotARecord`] when it is not that verbatim.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotARecord> {
        let read: Self = serde_json::from_slice(bytes).map_err(|_| NotARecord)?;
        if read.to_bytes() == bytes { Ok(read) } else { Err(NotARecord) }
    }
}

/// The head of a tenant's chain, kept with the states and written in the same commit.
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

/// An appended record in each form that is needed.
///
/// Returned by [`ChainHead::append`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The record.
    pub record: AuditRecord,
    /// Its canonical text, to be kept.
    pub line: String,
    /// The chain with it.
    pub head: ChainHead,
}

impl ChainHead {
    /// Creates the chain of a tenant before its first record.
    #[must_use]
    pub fn start(tenant: Tenant) -> Self {
        let root = Sha256::of(format!("fhir-devices/audit/1/{tenant}").as_bytes());
        Self(Checkpoint { tenant, count: 0, root })
    }

    /// Returns the chain of a lane of a rollout before its first record.
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

    /// Returns the chain as it was at a checkpoint.
    #[must_use]
    pub const fn at(checkpoint: Checkpoint) -> Self {
        Self(checkpoint)
    }

    /// The tenant whose chain it is.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Returns how many records it has.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.0.count
    }

    /// Returns the digest of the last one.
    #[must_use]
    pub const fn root(&self) -> Sha256 {
        self.0.root
    }

    /// Returns what to sign.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.0.clone()
    }

    /// Returns the record of a transition. The chain continues from [`Appended::head`].
    ///
    /// The texts of people become those that are nearest to them among such as a record takes: without an address, and
    /// without a reference to a patient.
    #[must_use]
    pub fn append(&self, mut draft: AuditDraft, context: RecordContext) -> Appended {
        clean(&mut draft.comment, LONGEST_NOTE);
        clean(&mut draft.provider, LONGEST_LABEL);
        clean(&mut draft.version, LONGEST_LABEL);
        clean(&mut draft.reported, LONGEST_LABEL);
        if let Some(downgrade) = &mut draft.downgrade
            && let Some(reason) = cleaned(&downgrade.reason, LONGEST_NOTE)
        {
            // A reason of which nothing is left is a hyphen: the authorisation has one, and it says nothing.
            downgrade.reason = reason.unwrap_or_else(|| Text::new("-").unwrap_or_else(|_| downgrade.reason.clone()));
        }
        let Checkpoint { tenant, count, root } = &self.0;
        let record = AuditRecord { tenant: tenant.clone(), index: *count, prev: *root, context, draft };
        let line = record.to_line();
        let head = self.after(Sha256::of(line.as_bytes()));
        Appended { record, line, head }
    }

    /// Returns the chain with one record more.
    pub(super) fn after(&self, digest: Sha256) -> Self {
        let count = self.0.count.saturating_add(1);
        Self(Checkpoint { tenant: self.0.tenant.clone(), count, root: digest })
    }
}

/// Returns the text that a record takes in the place of one that it does not take.
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
