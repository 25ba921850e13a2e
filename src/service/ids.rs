//! Where the names of uploads come from.

use crate::update::IngestId;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives out names that no upload had before. A closure is a source of ids.
///
/// # Contract
///
/// No name comes twice: not from two processes, not after a restart, not after a ledger was restored from a
/// backup, not in two tenants that share a store. They name the writings of bytes as well as uploads, and a deletion that
/// is late would hit the bytes of another upload that has the same name. A counter of its own in each process is none;
/// 128 bits at random, or a time and enough of them, are.
///
/// ```
/// use fhir_devices::service::{Ids, IngestId, RandomIds};
/// // Names that begin with the number of a site.
/// let of_site_7 = || IngestId(7 << 120 | RandomIds.next_id().0 >> 8);
/// assert_ne!(of_site_7.next_id(), of_site_7.next_id());
/// ```
pub trait Ids: Send + Sync + 'static {
    /// A new name.
    fn next_id(&self) -> IngestId;
}

impl<F: Fn() -> IngestId + Send + Sync + 'static> Ids for F {
    fn next_id(&self) -> IngestId {
        self()
    }
}

/// Names from the random state of the standard library's maps, a counter and the time. They are unique, and no secrets.
///
/// ```
/// use fhir_devices::service::{Ids, RandomIds};
/// assert_ne!(RandomIds.next_id(), RandomIds.next_id());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn next_id(&self) -> IngestId {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let half = || u128::from(RandomState::new().hash_one((count, time)));
        IngestId(half() << 64 | half())
    }
}
