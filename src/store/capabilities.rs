//! Capabilities of stores.

/// Maximum scope of one atomic commit.
///
/// ```
/// use fhir_devices::store::AtomicScope;
/// assert!(AtomicScope::Key < AtomicScope::Tenant);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtomicScope {
    /// One resource.
    Key,
    /// The resources of one Device: the Device, its components and its metrics.
    Device,
    /// Any resources of one tenant.
    Tenant,
}

/// Capabilities of a [`ResourceStore`](super::ResourceStore), constant for the lifetime of the store.
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
    /// Which resources one commit may write.
    pub atomic: AtomicScope,
    /// Maximum number of writes of one commit.
    pub max_writes: usize,
    /// Maximum size of a body in bytes.
    pub max_body: u64,
    /// Whether older versions can be read.
    pub history: bool,
    /// Whether a search sees writes at once that the same caller made and the store acknowledged.
    pub search_read_your_writes: bool,
    /// Whether a search may match the beginning of a value.
    pub search_beginnings: bool,
    /// Whether a search may be ordered by time: [`SearchOrder`](super::SearchOrder).
    pub search_by_time: bool,
    /// Whether an acknowledged write survives the loss of a node or of power.
    pub durable_ack: bool,
    /// Whether a deletion keeps its write id, as a version with a body does.
    pub deletion_write_ids: bool,
    /// Whether a search uses the index entries of the write, whatever the body holds. Otherwise it uses the body, with
    /// the same results for writes that this crate makes of resources.
    pub given_entries: bool,
    /// Whether every resource is found by [this library's own parameters](crate::search::Parameter::is_own), including
    /// resources written before those parameters existed. Otherwise the REST API scans the resources for them.
    pub own_parameters: bool,
    /// Whether a search can return the targets of the references of its results in the same round trip, by
    /// [`search_with_targets`](super::ResourceStore::search_with_targets).
    pub search_with_targets: bool,
    /// Whether the time of a version is never before that of the previous one, even with concurrent writers.
    pub ordered_times: bool,
    /// Whether [`Precondition::Absent`](super::Precondition::Absent) is checked in the same step as the write.
    /// Otherwise two concurrent creators may both write: the later one overwrites the first, and gets an error that
    /// leaves open what was applied.
    pub conditional_create: bool,
    /// Whether the version that a deletion expects is checked in the same step. Otherwise a concurrent write may be
    /// deleted with it, reported by an error that leaves open what was applied.
    pub conditional_delete: bool,
    /// Whether [`prune_history`](super::ResourceStore::prune_history) can remove older versions.
    pub history_pruning: bool,
    /// Whether [`changes`](super::ResourceStore::changes) can read the versions of all resources by time.
    pub changes: bool,
}

impl Capabilities {
    /// Creates capabilities with history that is not pruned, read-your-writes and prefix searches, write ids of
    /// deletions, checked conditions of creations and deletions, and no promise of durability.
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

/// Capabilities of a [`BlobStore`](super::BlobStore), constant for the lifetime of the store.
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
    /// Maximum size of a blob in bytes.
    pub max_size: u64,
    /// Whether the store verifies the digest itself. Otherwise the caller of a commit vouches for it.
    pub verifies_digest: bool,
    /// Whether the store offers [`UrlKind::Public`](super::UrlKind::Public).
    pub public_url: bool,
    /// Whether the store offers [`UrlKind::Signed`](super::UrlKind::Signed).
    pub signed_url: bool,
    /// Whether a committed blob survives the loss of a node or of power.
    pub durable_ack: bool,
}

impl BlobCapabilities {
    /// Creates capabilities with verified digests, without URLs and without a promise of durability.
    #[must_use]
    pub const fn new(max_size: u64) -> Self {
        Self { max_size, verifies_digest: true, public_url: false, signed_url: false, durable_ack: false }
    }
}
