//! The blobs of all tenants.

use super::super::checks::to_usize;
use super::{Memory, lock_read, lock_write};
use crate::store::{
    BlobCapabilities, BlobHasher, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, Generation,
    Page, PageQuery, PageToken, PutOutcome, Result, StoreError, Tenant, UrlKind, parsed_place, stream,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::ops::{Bound, Range};
use std::sync::{Arc, RwLock};
use url::Url;

/// A blob, as the chunks that were written: nothing is copied.
#[derive(Clone, Debug)]
struct Blob {
    size: u64,
    chunks: Arc<[Bytes]>,
}

type Part = BTreeMap<BlobKey, Blob>;

#[derive(Debug)]
pub(super) struct Blobs {
    parts: Arc<RwLock<HashMap<Tenant, Part>>>,
    pub(super) max_size: u64,
    pub(super) verifies_digest: bool,
    pub(super) base: Option<Url>,
}

impl Blobs {
    pub(super) fn new() -> Self {
        Self { parts: Arc::default(), max_size: 4 << 30, verifies_digest: false, base: None }
    }

    fn find(&self, tenant: &Tenant, key: &BlobKey) -> Result<Blob> {
        lock_read(&self.parts).get(tenant).and_then(|part| part.get(key)).cloned().ok_or(StoreError::not_found())
    }

    fn get(&self, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead> {
        let Blob { size, chunks } = self.find(tenant, key)?;
        let blob = BlobRef { digest: key.digest, size };
        let range = blob.clip(range)?;
        let (mut at, mut start, end) = (0, 0_u64, range.end);
        let wanted = range.clone();
        // The stream holds the chunks, so a deletion does not cut it short.
        let pieces = std::iter::from_fn(move || {
            loop {
                let chunk = chunks.get(at).filter(|_| start < end)?;
                let chunk_end = start.saturating_add(chunk.len() as u64);
                let from = wanted.start.max(start) - start;
                let to = end.min(chunk_end).saturating_sub(start);
                (at, start) = (at + 1, chunk_end);
                // Both offsets are within the chunk, whose length is a `usize`.
                let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
                if from < to {
                    return Some(chunk.slice(from..to));
                }
            }
        });
        Ok(BlobRead { blob, range, body: stream::chunks(pieces) })
    }

    fn delete(&self, tenant: &Tenant, key: &BlobKey) {
        let mut parts = lock_write(&self.parts);
        if let Some(part) = parts.get_mut(tenant) {
            part.remove(key);
            if part.is_empty() {
                parts.remove(tenant);
            }
        }
    }

    /// Returns the blobs after `after`, and whether there are more.
    fn list(&self, tenant: &Tenant, limit: usize, after: Option<BlobKey>) -> (Vec<BlobInfo>, bool) {
        let parts = lock_read(&self.parts);
        let Some(part) = parts.get(tenant) else {
            return (Vec::new(), false);
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = part.range((start, Bound::Unbounded)).map(|(key, b)| BlobInfo { key: *key, size: b.size });
        let items = rest.by_ref().take(limit).collect();
        (items, rest.next().is_some())
    }

    fn url(&self, tenant: &Tenant, key: &BlobKey, kind: UrlKind) -> Result<Url> {
        if kind != UrlKind::Public {
            return Err(StoreError::unsupported("signed addresses"));
        }
        self.find(tenant, key)?;
        let no_base = |_| StoreError::invalid("the base of the addresses cannot have a path");
        let mut url = match &self.base {
            Some(base) => base.clone(),
            None => Url::parse("memory:///").map_err(|_| StoreError::not_found())?,
        };
        let mut segments = url.path_segments_mut().map_err(no_base)?;
        segments.pop_if_empty().extend([
            tenant.as_str(),
            "sha256",
            &key.digest.to_string(),
            &key.generation.to_string(),
        ]);
        drop(segments);
        Ok(url)
    }
}

impl BlobStore for Memory {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobCapabilities::new(self.blobs.max_size);
        capabilities.verifies_digest = self.blobs.verifies_digest;
        capabilities.public_url = true;
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            let writer = Writer {
                parts: Arc::clone(&self.blobs.parts),
                tenant: tenant.clone(),
                max_size: self.blobs.max_size,
                hasher: self.blobs.verifies_digest.then(BlobHasher::new),
                size: 0,
                chunks: Vec::new(),
            };
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(async move { self.blobs.get(tenant, key, range) })
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(async move { Ok(BlobRef { digest: key.digest, size: self.blobs.find(tenant, key)?.size }) })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.blobs.delete(tenant, key);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            let place = self.pages.place(tenant, PageQuery::Blobs, after, parsed_place::<BlobKey>)?;
            let (items, more) = self.blobs.list(tenant, to_usize(limit), place);
            let last = items.last().filter(|_| more);
            let next = last
                .map(|last| self.pages.seal(tenant, PageQuery::Blobs, last.key.to_string().as_bytes()))
                .transpose()?;
            Ok(Page { items, next })
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(async move { self.blobs.url(tenant, key, kind) })
    }
}

struct Writer {
    parts: Arc<RwLock<HashMap<Tenant, Part>>>,
    tenant: Tenant,
    max_size: u64,
    hasher: Option<BlobHasher>,
    size: u64,
    chunks: Vec<Bytes>,
}

impl Writer {
    fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        if self.size > self.max_size {
            // The chunks are useless now; the size keeps a commit from succeeding.
            self.chunks = Vec::new();
            return Err(StoreError::too_large(self.max_size));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
        Ok(())
    }

    fn finish(self, blob: BlobRef, generation: Generation) -> Result<PutOutcome> {
        if self.size > self.max_size {
            return Err(StoreError::too_large(self.max_size));
        }
        let found = self.hasher.map_or(BlobRef { digest: blob.digest, size: self.size }, BlobHasher::finish);
        blob.verify_written(found)?;
        let mut parts = lock_write(&self.parts);
        let part = parts.entry(self.tenant).or_default();
        if part.contains_key(&blob.key(generation)) {
            return Ok(PutOutcome::AlreadyPresent);
        }
        part.insert(blob.key(generation), Blob { size: blob.size, chunks: self.chunks.into() });
        Ok(PutOutcome::Stored)
    }
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.take(chunk) })
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move { self.finish(blob, generation) })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
