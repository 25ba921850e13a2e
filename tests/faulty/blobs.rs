//! Blob stores with one defect each, named for the clause that it breaks.

use super::wrong::halt;
use super::{each_holds, each_is_caught};
use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use fhir_devices::testkit::store::{blobs, block_on};
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use url::Url;

#[test]
fn every_blob_clause_catches_a_faulty_store() {
    each_is_caught(blobs::CLAUSES, Wrong::new, |store| store as &dyn BlobStore);
}

#[test]
fn correct_blob_store_passes_every_clause() {
    each_holds(blobs::CLAUSES, &Wrong::new("") as &dyn BlobStore);
}

#[derive(Clone)]
struct Wrong {
    below: Arc<Memory>,
    defect: &'static str,
    /// Keys that a defect stores for itself.
    kept: Arc<Mutex<HashSet<(Tenant, BlobKey)>>>,
    offset: Arc<Mutex<usize>>,
}

impl Wrong {
    fn new(defect: &'static str) -> Self {
        let below = Memory::new().with_max_blob(100_000);
        // Where digests are not verified, a wrong one is not seen.
        let below = if defect == "b2_wrong_digest_is_refused" { below } else { below.with_digests() };
        Self { below: Arc::new(below), defect, kept: Arc::default(), offset: Arc::default() }
    }

    fn is(&self, defect: &str) -> bool {
        self.defect == defect
    }

    fn page(&self, t: &Tenant, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<BlobInfo>> {
        block_on(self.below.list(t, limit, after))
    }
}

impl BlobStore for Wrong {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobStore::capabilities(&*self.below);
        capabilities.verifies_digest = true;
        capabilities.signed_url |= self.is("b9_urls_follow_the_capabilities");
        capabilities
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            let below = self.below.begin(tenant).await?;
            let writer = Writer { own: self.clone(), tenant: tenant.clone(), below: Some(below), bytes: Vec::new() };
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        t: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(async move {
            // The cache of a tenant is that of all.
            if self.is("b7_reads_are_isolated_by_tenant") {
                let owner = self.kept.lock().unwrap().iter().find(|(_, kept)| kept == key).map(|(t, _)| t.clone());
                return BlobStore::get(&*self.below, owner.as_ref().unwrap_or(t), key, range).await;
            }
            let range = match range {
                Some(range) if self.is("b5_range_is_read_across_chunks") => Some(range.start..range.end.min(4)),
                // Not a range: the whole.
                Some(range) if self.is("b5_range_beyond_the_end_is_refused") && range.start >= range.end => None,
                range => range,
            };
            let read = BlobStore::get(&*self.below, t, key, range).await;
            if self.is("b10_refusal_is_not_applied") {
                return read.map_err(|error| StoreError::backend(Box::new(error)));
            }
            let read = read?;
            let size = read.blob.size;
            if self.is("b5_committed_bytes_are_read") && size > 70_000 {
                let bytes = stream::collect(read.body, u64::MAX).await?;
                return Ok(BlobRead { body: stream::once(bytes.slice(..65_536.min(bytes.len()))), ..read });
            }
            // Looks for the rest when it is asked for it, and ends where there is none.
            if self.is("b5_read_during_deletion_completes_or_fails") {
                let bytes = stream::collect(read.body, u64::MAX).await?;
                let half = bytes.len() / 2;
                let (own, t, key, first) = (self.clone(), t.clone(), *key, bytes.slice(..half));
                let rest = std::iter::from_fn({
                    let mut left = Some(bytes.slice(half..));
                    move || left.take().filter(|_| block_on(own.below.head(&t, &key)).is_ok())
                });
                return Ok(BlobRead { body: stream::chunks(std::iter::once(first).chain(rest)), ..read });
            }
            Ok(read)
        })
    }

    fn head<'a>(&'a self, t: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(async move {
            if self.is("b1_blob_is_invisible_before_commit") && self.kept.lock().unwrap().iter().any(|(of, _)| of == t)
            {
                return Ok(BlobRef { digest: key.digest, size: 8 });
            }
            if self.is("b1_acknowledged_blob_is_visible_to_others")
                && self.kept.lock().unwrap().remove(&(t.clone(), *key))
            {
                return Err(StoreError::not_found());
            }
            let named = self.is("b12_dropped_commit_is_atomic");
            if named && self.kept.lock().unwrap().contains(&(t.clone(), *key)) {
                return Ok(BlobRef { digest: key.digest, size: 8 });
            }
            self.below.head(t, key).await
        })
    }

    fn delete<'a>(&'a self, t: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.is("b6_delete_is_idempotent") {
                self.below.head(t, key).await?;
            }
            if self.is("b6_delete_keeps_other_generations") {
                for info in self.page(t, NonZeroU32::MAX, None)?.items {
                    if info.key.digest == key.digest {
                        self.below.delete(t, &info.key).await?;
                    }
                }
            }
            if self.is("b7_equal_bytes_of_two_tenants_are_two_blobs") {
                let all = self.kept.lock().unwrap().clone();
                for (other, _) in all.iter().filter(|(_, kept)| kept == key) {
                    self.below.delete(other, key).await?;
                }
            }
            self.below.delete(t, key).await
        })
    }

    fn list<'a>(
        &'a self,
        t: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            match self.page(t, limit, after) {
                Err(StoreError::Invalid { .. }) if self.is("b8_foreign_or_damaged_token_is_invalid") => {
                    self.page(t, limit, None)
                }
                // The last page is lost.
                Ok(page) if self.is("b8_pages_of_any_length_are_complete") => {
                    Ok(Page { next: page.next.filter(|_| after.is_none()), ..page })
                }
                // By the number of what was seen before.
                Ok(page) if self.is("b8_pages_are_stable_while_others_write") => {
                    let mut offset = self.offset.lock().unwrap();
                    if after.is_none() {
                        *offset = 0;
                    }
                    let all = self.page(t, NonZeroU32::MAX, None)?.items;
                    let items: Vec<_> = all.iter().skip(*offset).take(limit.get() as usize).copied().collect();
                    *offset += items.len();
                    let token = page.next.or(self.page(t, NonZeroU32::MIN, None)?.next);
                    Ok(Page { next: token.filter(|_| *offset < all.len()), items })
                }
                page => page,
            }
        })
    }

    fn url<'a>(&'a self, t: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.below.url(t, key, kind)
    }
}

struct Writer {
    own: Wrong,
    tenant: Tenant,
    below: Option<Box<dyn BlobWriter>>,
    bytes: Vec<u8>,
}

/// Commits bytes of its own.
fn store(own: &Wrong, tenant: &Tenant, bytes: &[u8], generation: Generation) -> Result<PutOutcome> {
    let mut writer = block_on(own.below.begin(tenant))?;
    block_on(writer.write(Bytes::copy_from_slice(bytes)))?;
    block_on(writer.commit(BlobRef::of(bytes), generation))
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.own.is("b12_dropped_write_can_be_aborted") {
                let below = self.below.take();
                halt().await;
                self.below = below;
            }
            if self.own.is("b1_blob_is_invisible_before_commit") {
                let key = BlobRef::of(b"").key(Generation(0));
                self.own.kept.lock().unwrap().insert((self.tenant.clone(), key));
            }
            self.bytes.extend_from_slice(&chunk);
            if self.own.is("b11_largest_blob_is_accepted_and_a_larger_one_refused") && self.bytes.len() >= 100_000 {
                return Err(StoreError::too_large(100_000));
            }
            match &mut self.below {
                Some(below) => below.write(chunk).await,
                None => Err(StoreError::invalid("the writer is gone")),
            }
        })
    }

    fn commit(mut self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move {
            let below = self.below.take().unwrap();
            let (own, key) = (self.own.clone(), blob.key(generation));
            match own.defect {
                // Takes what was written for what was meant.
                "b2_wrong_size_is_refused" if self.bytes.len() as u64 != blob.size => {
                    return store(&own, &self.tenant, b"firmware", generation);
                }
                "b3_second_put_is_already_present" => {
                    return below.commit(blob, generation).await.map(|_| PutOutcome::Stored);
                }
                "b3_concurrent_writers_of_same_bytes_succeed" => {
                    return match below.commit(blob, generation).await? {
                        PutOutcome::AlreadyPresent => Err(StoreError::already_exists(None)),
                        stored => Ok(stored),
                    };
                }
                "b11_empty_blob_is_stored" if blob.size == 0 => {
                    return Err(StoreError::invalid("there are no bytes"));
                }
                // The name first, the bytes later: a commit that is dropped between leaves a name.
                "b12_dropped_commit_is_atomic" => {
                    own.kept.lock().unwrap().insert((self.tenant.clone(), key));
                    halt().await;
                }
                _ => {}
            }
            let outcome = below.commit(blob, generation).await?;
            own.kept.lock().unwrap().insert((self.tenant.clone(), key));
            Ok(outcome)
        })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            match self.below.take() {
                Some(below) => below.abort().await,
                None => Err(StoreError::invalid("the writer is gone")),
            }
        })
    }
}

/// Completes an upload when its writer is dropped.
impl Drop for Writer {
    fn drop(&mut self) {
        if self.own.is("b4_aborted_or_dropped_writer_leaves_nothing") && self.below.take().is_some() {
            drop(store(&self.own, &self.tenant, &self.bytes, Generation(1)));
        }
    }
}
