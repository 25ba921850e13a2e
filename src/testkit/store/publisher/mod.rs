//! The clauses of [`Publisher`], G1 to G8.

mod clauses;

use super::{
    BlockOn, BrokenClause, ClauseOutcome, ClauseResult, StoreUnderTest, ensure, fresh, macros, polled, wanted,
};
use crate::publish::{
    Content, Found, Offer, OfferKey, OfferedFile, PublishError, Publisher, Receipt, Slot, SlotVersion,
};
use crate::store::{Sha256, Tenant};
use crate::update::rollout::{ActionNumber, Attempt, DeploymentId};
use std::future::Future;
use time::OffsetDateTime;

#[doc(hidden)]
#[macro_export]
macro_rules! __publisher_clauses {
    ($then:path { $($arguments:tt)* }) => {
        $then! { { $($arguments)* }
            /// Writing the content that a slot already holds succeeds, whatever version was expected, and makes no new
            /// version.
            g1_repeated_put_changes_nothing
            /// A write needs the newest version, and a creation needs a slot that never existed.
            g2_put_needs_the_newest_version
            /// Of concurrent writers that saw the same version, one wins.
            g2_of_concurrent_writers_one_wins
            /// A lower number, and the offer that a tombstone replaced, are refused as stale.
            g3_older_content_is_stale
            /// A tombstone replaces its offer, and a higher number replaces a tombstone.
            g3_newer_content_is_accepted
            /// Acknowledged content is read until it is replaced, and slots of other components are separate.
            g4_acknowledged_content_is_read
            /// No call shows or changes a slot of another tenant.
            g5_calls_are_isolated_by_tenant
            /// A write that is dropped after any number of polls leaves the old content or the new one.
            g6_dropped_put_is_atomic
            /// Every member comes back as it was written.
            g7_content_is_read_as_written
            /// Contents of the maximum size are accepted, and larger ones refused as too large.
            g8_largest_content_is_accepted_and_a_larger_one_refused
            /// A refusal that reports "not written" has written nothing.
            g8_refusal_is_not_applied
        }
    };
}

/// The clauses on which the others rest: while one is broken, many others are too.
const FOUNDATIONS: &[&str] =
    &["g4_acknowledged_content_is_read", "g7_content_is_read_as_written", "g3_newer_content_is_accepted"];

__publisher_clauses! { macros::functions { dyn Publisher } }

/// Checks a [`Publisher`](crate::publish::Publisher) against its contract: one test for each clause.
///
/// The arguments are those of [`resource_store_conformance!`](crate::resource_store_conformance).
///
/// ```
/// use fhir_devices::backend::Memory;
/// fhir_devices::publisher_conformance!(memory, store = Memory::new());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! publisher_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __publisher_clauses publisher $($arguments)* }
    };
}

/// Runs the test that [`publisher_conformance!`](crate::publisher_conformance) makes of a clause.
///
/// # Errors
/// [`BrokenClause`], when the publisher breaks the clause.
pub fn test<P: Publisher>(
    make: impl Future<Output = P>,
    block_on: impl for<'f> Fn(super::Task<'f>) + Sync,
    clause: fn(&StoreUnderTest<'_, dyn Publisher>) -> ClauseResult,
) -> ClauseResult<()> {
    let block_on: &BlockOn<'_> = &block_on;
    super::test(make, block_on, |publisher| publisher, clause, foundations())
}

type Region<'a> = StoreUnderTest<'a, dyn Publisher>;

/// Parses a text.
fn text<T: std::str::FromStr>(text: &str) -> ClauseResult<T>
where
    T::Err: std::fmt::Debug,
{
    text.parse().map_err(|error| BrokenClause::what(format!("`{text}`: {error:?}")))
}

fn slot(component: &str) -> ClauseResult<Slot> {
    Ok(Slot { device: text("pump-7/eu.1")?, component: text(component)? })
}

fn key(action: u32) -> OfferKey {
    OfferKey { deployment: DeploymentId(action.into()), attempt: Attempt(2) }
}

fn tombstone(action: u32) -> Content {
    Content::Tombstone { key: key(action), action: ActionNumber(action) }
}

/// Returns an offer with every optional part.
fn offer(action: u32, files: usize) -> ClauseResult<Content> {
    let file = OfferedFile {
        name: text("pump-2.4.0.swu")?,
        size: (1 << 53) + 1,
        sha256: Sha256::of(b"firmware"),
        sha1: Some(text("a9993e364706816aba3e25717850c26c9cd0d89d")?),
        link: text("https://updates.example/st-mary/offers/1?mac=%C3%BC")?,
    };
    Ok(Content::Offer(Box::new(Offer {
        key: key(action),
        action: ActionNumber(action),
        provider: Some(text("acme \u{fc}")?),
        name: text("pump/main")?,
        version: text("2.4.0 (build 7)")?,
        sequence: u64::MAX,
        manifest: Some(Sha256::of(b"manifest")),
        files: vec![file; files],
        not_after: OffsetDateTime::UNIX_EPOCH,
    })))
}

impl Region<'_> {
    fn put(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> ClauseResult<Result<Receipt, PublishError>> {
        self.wait(self.store.put(tenant, slot, content, seen))
    }

    /// Writes a content, which must succeed.
    fn written(
        &self,
        tenant: &Tenant,
        slot: &Slot,
        content: &Content,
        seen: Option<&SlotVersion>,
    ) -> ClauseResult<SlotVersion> {
        let receipt = self.put(tenant, slot, content, seen)?;
        let receipt = receipt.map_err(|error| BrokenClause::what(format!("a write failed: {error:?}")))?;
        Ok(receipt.version)
    }

    fn read(&self, tenant: &Tenant, slot: &Slot) -> ClauseResult<Option<Found>> {
        let found = self.wait(self.store.read(tenant, slot))?;
        found.map_err(|error| BrokenClause::what(format!("a read failed: {error:?}")))
    }

    /// Checks that the slot holds the content.
    fn holds(&self, tenant: &Tenant, slot: &Slot, content: Option<&Content>, when: &str) -> ClauseResult<()> {
        let found = self.read(tenant, slot)?.map(|found| found.content);
        ensure!(found.as_ref() == content, "{when} the slot holds {found:?}, wanted {content:?}");
        Ok(())
    }
}
