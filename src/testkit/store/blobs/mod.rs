//! The clauses of [`BlobStore`], B1 to B12.

mod reading;
mod tenants;
mod writing;

use super::{
    BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, damaged, ensure, fresh, macros, polled, random,
    wanted,
};
use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, Generation, Page, PageToken,
    PutOutcome, Result, StoreError, Tenant, UrlKind, stream,
};
use bytes::Bytes;
use std::future::Future;
use std::num::NonZeroU32;
use std::ops::Range;

#[doc(hidden)]
#[macro_export]
macro_rules! __blob_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// Nothing of a blob is visible before its commit, and all of it afterwards.
            b1_blob_is_invisible_before_commit
            /// An acknowledged blob is visible to other callers at once.
            b1_acknowledged_blob_is_visible_to_others
            /// A commit with a size other than that of the bytes is refused, and leaves no trace.
            b2_wrong_size_is_refused
            /// A commit with a digest other than that of the bytes is refused, where the store verifies it.
            b2_wrong_digest_is_refused
            /// A second commit under a key finds the first blob, and changes nothing.
            b3_second_put_is_already_present
            /// Concurrent writers of the same bytes all succeed.
            b3_concurrent_writers_of_same_bytes_succeed
            /// An aborted writer, a dropped writer and a dropped commit leave no trace.
            b4_aborted_or_dropped_writer_leaves_nothing
            /// Bytes are read as they were committed, in large blobs too.
            b5_committed_bytes_are_read
            /// Each range returns its bytes, cut at the end of the blob.
            b5_range_is_read_across_chunks
            /// Empty ranges and ranges beyond the end are refused.
            b5_range_beyond_the_end_is_refused
            /// A read in progress never ends short when the blob is deleted.
            b5_read_during_deletion_completes_or_fails
            /// A deletion may be repeated, and an absent blob may be deleted.
            b6_delete_is_idempotent
            /// A deletion keeps the same bytes under another generation.
            b6_delete_keeps_other_generations
            /// No call shows blobs of another tenant.
            b7_reads_are_isolated_by_tenant
            /// Equal bytes of two tenants are two blobs.
            b7_equal_bytes_of_two_tenants_are_two_blobs
            /// Pages of every length show each blob once, in the order of the keys.
            b8_pages_of_any_length_are_complete
            /// Pages show every blob that exists throughout exactly once, whatever is written meanwhile.
            b8_pages_are_stable_while_others_write
            /// A damaged token, or one of another tenant, is refused.
            b8_foreign_or_damaged_token_is_invalid
            /// A URL is given for each kind that the capabilities name, and refused for the others.
            b9_urls_follow_the_capabilities
            /// A refusal that reports "not applied" has applied nothing.
            b10_refusal_is_not_applied
            /// An empty blob can be stored.
            b11_empty_blob_is_stored
            /// A blob of the maximum size is accepted, and a larger one refused.
            b11_largest_blob_is_accepted_and_a_larger_one_refused
            /// A commit that is dropped after any number of polls leaves no blob or the whole of it.
            b12_dropped_commit_is_atomic
            /// A writer with a dropped write can be aborted, and the store keeps working.
            b12_dropped_write_can_be_aborted
        }
    };
}

mod clauses {
    pub(super) use super::reading::*;
    pub(super) use super::tenants::*;
    pub(super) use super::writing::*;
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] = &[
    "b5_committed_bytes_are_read",
    "b1_acknowledged_blob_is_visible_to_others",
    "b3_second_put_is_already_present",
    "b6_delete_is_idempotent",
    "b10_refusal_is_not_applied",
    "b8_pages_of_any_length_are_complete",
];

__blob_clauses! { macros::functions { dyn BlobStore } }

/// Runs the test that [`blob_store_conformance!`](crate::blob_store_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the store breaks the clause.
pub fn test<S: BlobStore>(
    make: impl Future<Output = S>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, dyn BlobStore>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |store| store, clause, foundations())
}

type Store<'a> = StoreUnderTest<'a, dyn BlobStore>;

/// Bytes read from a blob, with the size, digest and range that the store reported.
type Read = (BlobRef, Range<u64>, Bytes);

impl Store<'_> {
    fn capabilities(&self) -> BlobCapabilities {
        self.store.capabilities()
    }

    /// Returns a writer that has received these chunks.
    fn writer(&self, tenant: &Tenant, chunks: &[&'static [u8]]) -> ClauseResult<Box<dyn BlobWriter>> {
        self.wait(async {
            let mut writer = self.store.begin(tenant).await?;
            for chunk in chunks {
                writer.write(Bytes::from_static(chunk)).await?;
            }
            Ok(writer)
        })?
        .map_err(|error: StoreError| BrokenClause::what(format!("a file cannot be written: {error:?}")))
    }

    fn commit(
        &self,
        writer: Box<dyn BlobWriter>,
        blob: BlobRef,
        generation: Generation,
    ) -> ClauseResult<Result<PutOutcome>> {
        self.wait(writer.commit(blob, generation))
    }

    /// Stores a text, and returns the key of the blob.
    fn stored(&self, tenant: &Tenant, text: &'static [u8], generation: Generation) -> ClauseResult<BlobKey> {
        let blob = BlobRef::of(text);
        let writer = self.writer(tenant, &[text])?;
        match self.commit(writer, blob, generation)? {
            Ok(_) => Ok(blob.key(generation)),
            Err(error) => Err(BrokenClause::what(format!("a commit of {} bytes failed: {error:?}", text.len()))),
        }
    }

    fn head(&self, tenant: &Tenant, key: &BlobKey) -> ClauseResult<Result<BlobRef>> {
        self.wait(self.store.head(tenant, key))
    }

    fn get(&self, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> ClauseResult<Result<Read>> {
        self.wait(async {
            let BlobRead { blob, range, body } = self.store.get(tenant, key, range).await?;
            Ok((blob, range, stream::collect(body, u64::MAX).await?))
        })
    }

    fn delete(&self, tenant: &Tenant, key: &BlobKey) -> ClauseResult<()> {
        let deleted = self.wait(self.store.delete(tenant, key))?;
        deleted.map_err(|error| BrokenClause::what(format!("a deletion failed: {error:?}")))
    }

    fn list(&self, tenant: &Tenant, limit: u32, after: Option<&PageToken>) -> ClauseResult<Result<Page<BlobInfo>>> {
        self.wait(self.store.list(tenant, NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN), after))
    }

    /// Returns all blobs, page after page; `meanwhile` runs after each page.
    fn all(
        &self,
        tenant: &Tenant,
        limit: u32,
        mut meanwhile: impl FnMut(usize) -> ClauseResult<()>,
    ) -> ClauseResult<Vec<BlobInfo>> {
        let (mut all, mut after) = (Vec::new(), None);
        for number in 0_usize.. {
            ensure!(number < 10_000, "the pages of a list do not end");
            let page = self.list(tenant, limit, after.as_ref())?;
            let page = page.map_err(|error| BrokenClause::what(format!("a page of a list failed: {error:?}")))?;
            let count = page.items.len();
            ensure!(u32::try_from(count).is_ok_and(|count| count <= limit), "a page of {count} blobs, wanted {limit}");
            all.extend(page.items);
            meanwhile(number)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Fails if any way of reading shows the blob.
    fn absent(&self, tenant: &Tenant, key: &BlobKey, why: &str) -> ClauseResult<()> {
        wanted!(self.head(tenant, key)?, Err(StoreError::NotFound { .. }), "`head` of {why}");
        wanted!(self.get(tenant, key, None)?, Err(StoreError::NotFound { .. }), "`get` of {why}");
        let listed = self.all(tenant, 100, |_| Ok(()))?.iter().any(|info| info.key == *key);
        ensure!(!listed, "a list shows {why}");
        Ok(())
    }

    /// Fails unless every way of reading shows the whole blob.
    fn present(&self, tenant: &Tenant, key: &BlobKey, bytes: &[u8]) -> ClauseResult<()> {
        let size = bytes.len() as u64;
        let whole = BlobRef { digest: key.digest, size };
        wanted!(self.head(tenant, key)?, Ok(found) if found == whole, "`head` of a blob of {size} bytes");
        match self.get(tenant, key, None)? {
            Ok((blob, range, read)) => {
                ensure!(blob == whole, "a read is of {blob:?}, wanted {whole:?}");
                ensure!(range == (0..size), "a read of all {size} bytes is said to be of {range:?}");
                ensure!(read == bytes, "of {size} bytes {} are read, or others", read.len());
            }
            Err(error) => return Err(BrokenClause::what(format!("a blob of {size} bytes cannot be read: {error:?}"))),
        }
        let listed: Vec<_> = self.all(tenant, 100, |_| Ok(()))?.into_iter().filter(|info| info.key == *key).collect();
        ensure!(listed == [BlobInfo { key: *key, size }], "a list shows {listed:?} for a blob of {size} bytes");
        Ok(())
    }
}

/// Returns an unused generation.
fn generation() -> Generation {
    Generation(u128::from(random()) << 64 | u128::from(random()))
}
