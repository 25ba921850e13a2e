//! Capabilities of stores.

/// The scope of a commit.
///
/// ```
/// use fhir_devices::store::AtomicScope;
/// assert!(AtomicScope::Key < AtomicScope::Tenant);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtomicScope {
    /// One resource.
    Key,
    /// The writes about one Device: itself, its components and its metrics.
    Device,
    /// Any resources of one tenant.
    Tenant,
}

/// What a [`ResourceStore`](super::ResourceStore) can do. It does not change while the store lives.
///
/// ```
/// use fhir_devices::store::{AtomicScope, Capabilities};
/// let mut capabilities = Capabilities::new(AtomicScope::Key, 1, 1 << 20);
/// capabilities.history = false;
/// assert!(!capabilities.durable_ack);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What the writes of one commit may be about.
    pub atomic: AtomicScope,
    /// The most writes of one commit.
    pub max_writes: usize,
    /// The largest body, in bytes.
    pub max_body: u64,
    /// Whether older versions can be read.
    pub history: bool,
    /// Whether a search sees the caller's own acknowledged writes at once.
    pub search_read_your_writes: bool,
    /// Whether a search may ask for the beginning of a value.
    pub search_beginnings: bool,
    /// Whether a search may be in the order of times: [`SearchOrder`](super::SearchOrder).
    pub search_by_time: bool,
    /// Whether an acknowledged write survives the loss of a node or of power.
    pub durable_ack: bool,
    /// Whether a deletion keeps its write id, as a version with a body does.
    pub deletion_write_ids: bool,
    /// Whether a resource is found by the index entries of its write, whatever its body holds. Otherwise it is found by what its
    /// body holds, which comes to the same for writes that this crate makes of resources.
    pub given_entries: bool,
    /// Whether every resource is found by [this library's own parameters](crate::search::Parameter::is_own): also those that
    /// were written before there were any. Otherwise the REST API looks through the resources for them.
    pub own_parameters: bool,
    /// Whether a search gives what the found resources refer to with them, in one round trip, by
    /// [`search_with_targets`](super::ResourceStore::search_with_targets).
    pub search_with_targets: bool,
    /// Whether the time of a version is never before that of the one before it, also where several write at the same moment.
    pub ordered_times: bool,
    /// Whether [`Precondition::Absent`](super::Precondition::Absent) is checked in the same step as the write. Without it two
    /// creators at the same moment may both write: the later one overwrites the first, and is told so by an error that leaves
    /// open what was applied.
    pub conditional_create: bool,
    /// Whether the version that a deletion expects is checked in the same step. Without it what another wrote meanwhile may be
    /// deleted, which is told by an error that leaves open what was applied.
    pub conditional_delete: bool,
    /// Whether older versions can be forgotten before their time, by
    /// [`prune_history`](super::ResourceStore::prune_history).
    pub history_pruning: bool,
    /// Whether the versions of all resources can be read by time, by [`changes`](super::ResourceStore::changes).
    pub changes: bool,
}

impl Capabilities {
    /// With history that is not pruned, with searches that see acknowledged writes and may ask for beginnings, with the write
    /// ids of deletions, with conditions of creations and deletions, and with no promise of durability.
    #[must_use]
    pub const fn new(atomic: AtomicScope, max_writes: usize, max_body: u64) -> Self {
        Self {
            atomic,
            max_writes,
            max_body,
            history: true,
            search_read_your_writes: true,
            search_beginnings: true,
            search_by_time: false,
            durable_ack: false,
            deletion_write_ids: true,
            given_entries: true,
            own_parameters: false,
            search_with_targets: false,
            ordered_times: true,
            conditional_create: true,
            conditional_delete: true,
            history_pruning: false,
            changes: false,
        }
    }
}

/// What a [`BlobStore`](super::BlobStore) can do. It does not change while the store lives.
///
/// ```
/// use fhir_devices::store::BlobCapabilities;
/// let mut capabilities = BlobCapabilities::new(5 << 30);
/// capabilities.signed_url = true;
/// assert!(capabilities.verifies_digest);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobCapabilities {
    /// The largest blob, in bytes.
    pub max_size: u64,
    /// Whether the store computes the digest itself. Otherwise the caller of a commit vouches for it.
    pub verifies_digest: bool,
    /// Whether it gives [`UrlKind::Public`](super::UrlKind::Public).
    pub public_url: bool,
    /// Whether it gives [`UrlKind::Signed`](super::UrlKind::Signed).
    pub signed_url: bool,
    /// Whether a committed blob survives the loss of a node or of power.
    pub durable_ack: bool,
}

impl BlobCapabilities {
    /// Verifies digests, gives no addresses, and makes no promise of durability.
    #[must_use]
    pub const fn new(max_size: u64) -> Self {
        Self { max_size, verifies_digest: true, public_url: false, signed_url: false, durable_ack: false }
    }
}
