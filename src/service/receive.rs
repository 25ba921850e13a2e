//! Receiving one update.

use super::{Ids, RandomIds, ReceiveError, Received, Submission};
use crate::primitive::Code;
use crate::store::{BlobRef, BlobStore, ByteStream, Clock, Ledger, ResourceStore, SystemClock, Tenant, UrlKind};
use std::fmt;
use std::sync::Arc;
use url::Url;

/// Where the bytes of an update will be found.
#[derive(Clone)]
enum Addresses {
    Store(UrlKind),
    Caller(Arc<dyn Fn(&Tenant, &BlobRef) -> Url + Send + Sync>),
}

/// Receives updates for the devices of many tenants, over stores that the caller implements.
pub struct UpdateService<R: ?Sized = dyn ResourceStore, B: ?Sized = dyn BlobStore, L: ?Sized = dyn Ledger> {
    resources: Arc<R>,
    blobs: Arc<B>,
    ledger: Arc<L>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    max_size: u64,
    max_attempts: u32,
    media_types: Option<Arc<[Code]>>,
    addresses: Addresses,
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// A service over these stores: files up to 4 GiB of any media type, at the public addresses of the store of blobs.
    #[must_use]
    pub fn new(resources: Arc<R>, blobs: Arc<B>, ledger: Arc<L>) -> Self {
        Self {
            resources,
            blobs,
            ledger,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            max_size: 4 << 30,
            max_attempts: 32,
            media_types: None,
            addresses: Addresses::Store(UrlKind::Public),
        }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// With another source of ids.
    #[must_use]
    pub fn with_ids(mut self, ids: impl Ids) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// With files of at most `bytes`.
    #[must_use]
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// With at most `attempts` to write to a component that others write to; 0 counts as 1.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// With these media types and no others. Their parameters, such as a `charset`, do not count.
    #[must_use]
    pub fn with_media_types(mut self, allowed: impl IntoIterator<Item = Code>) -> Self {
        self.media_types = Some(allowed.into_iter().collect());
        self
    }

    /// With addresses that the store of blobs gives.
    #[must_use]
    pub fn with_url_kind(mut self, kind: UrlKind) -> Self {
        self.addresses = Addresses::Store(kind);
        self
    }

    /// With addresses that the caller serves.
    #[must_use]
    pub fn with_urls(mut self, url: impl Fn(&Tenant, &BlobRef) -> Url + Send + Sync + 'static) -> Self {
        self.addresses = Addresses::Caller(Arc::new(url));
        self
    }

    /// Receives an update.
    ///
    /// # Errors
    /// The conditions of [`ReceiveError`].
    pub async fn receive(
        &self,
        tenant: &Tenant,
        submission: Submission,
        body: ByteStream,
    ) -> Result<Received, ReceiveError> {
        drop((tenant, submission, body));
        Err(ReceiveError::NoSuchDevice)
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> Clone for UpdateService<R, B, L> {
    fn clone(&self) -> Self {
        Self {
            resources: Arc::clone(&self.resources),
            blobs: Arc::clone(&self.blobs),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            max_size: self.max_size,
            max_attempts: self.max_attempts,
            media_types: self.media_types.clone(),
            addresses: self.addresses.clone(),
        }
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> fmt::Debug for UpdateService<R, B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UpdateService");
        debug.field("max_size", &self.max_size).field("max_attempts", &self.max_attempts).finish_non_exhaustive()
    }
}
