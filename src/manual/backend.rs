//! Writing a store, and testing that it is correct.
//!
//! A store implements [`ResourceStore`](crate::store::ResourceStore), [`BlobStore`](crate::store::BlobStore) or
//! [`Ledger`](crate::store::Ledger): a database, a remote service, a folder. One value may be all three. The contract
//! of each trait is a numbered list in its docs, and the test kit has a test for each clause.
//!
//! # 1. Start with an empty store
//!
//! Start with methods that all return `Unsupported`, and run the suite from the first day:
//!
//! ```toml
//! [dev-dependencies]
//! fhir-devices = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! ```text
//! fhir_devices::ledger_conformance!(notebook, store = Notebook::new());
//! ```
//!
//! `cargo test` now lists the broken clauses, each with its text, the value found and the value wanted. One fault can
//! break many clauses: each then names the likely cause first, which is the simplest broken clause.
//!
//! # 2. Write it clause by clause
//!
//! Futures are boxed by hand and need no runtime: a result that is ready at once is `Box::pin(async move { .. })`. Here
//! is a complete ledger over a map. Note:
//!
//! - The tenant is part of every key (L4), so that no call can forget it.
//! - A condition is checked in the same step as the write (L1), here under one lock. In a database use one statement,
//!   such as `update .. where revision = ..`, or one transaction, and never a read before a write.
//! - A commit is checked as a whole before anything is written (L8).
//! - A page token holds the last key of the page, not a number of records (L9). [`PageKey`](crate::store::PageKey)
//!   binds it to tenant and query.
//!
//! ```
//! use fhir_devices::search::*;
//! use fhir_devices::store::*;
//! use std::collections::{BTreeMap, BTreeSet};
//! use std::num::NonZeroU32;
//! use std::ops::Bound;
//! use std::sync::{Mutex, PoisonError};
//!
//! /// The last number given to a revision, and the records.
//! type Pages = (u64, BTreeMap<(Tenant, LedgerKey), LedgerRecord>);
//!
//! struct Notebook {
//!     pages: Mutex<Pages>,
//!     tokens: PageKey,
//! }
//!
//! impl Ledger for Notebook {
//!     fn max_changes(&self) -> usize {
//!         LEDGER_MAX_CHANGES
//!     }
//!
//!     fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
//!         Box::pin(async move {
//!             let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
//!             Ok(pages.1.get(&(tenant.clone(), key.clone())).cloned())
//!         })
//!     }
//!
//!     fn apply<'a>(&'a self, tenant: &'a Tenant, changes: Vec<Change>) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
//!         Box::pin(async move {
//!             let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
//!             let mut keys = BTreeSet::new();
//!             for (at, change) in changes.iter().enumerate() {
//!                 let found = pages.1.get(&(tenant.clone(), change.key.clone())).map(|record| &record.revision);
//!                 let error = if change.expected.is_none() && change.value.is_none() {
//!                     StoreError::invalid("a deletion without a revision")
//!                 } else if !keys.insert(change.key.clone()) {
//!                     StoreError::invalid("a key that is named twice")
//!                 } else if found == change.expected.as_ref() {
//!                     continue;
//!                 } else if change.expected.is_none() {
//!                     StoreError::already_exists(None)
//!                 } else {
//!                     StoreError::conflict(None)
//!                 };
//!                 return Err(CommitError::at(at, error));
//!             }
//!             let mut made = Vec::new();
//!             for Change { key, value, .. } in changes {
//!                 pages.0 += 1; // never given again, deletions included (L2)
//!                 let revision = Revision::new(pages.0.to_string());
//!                 let place = (tenant.clone(), key.clone());
//!                 match value {
//!                     Some(value) => pages.1.insert(place, LedgerRecord { key, revision: revision.clone(), value }),
//!                     None => pages.1.remove(&place),
//!                 };
//!                 made.push(revision);
//!             }
//!             Ok(made)
//!         })
//!     }
//!
//!     fn scan<'a>(
//!         &'a self,
//!         tenant: &'a Tenant,
//!         prefix: &'a LedgerKey,
//!         limit: NonZeroU32,
//!         after: Option<&'a PageToken>,
//!     ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
//!         Box::pin(async move {
//!             let query = PageQuery::Ledger(prefix);
//!             let last = after.map(|token| self.tokens.open(tenant, query, token)).transpose()?;
//!             let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
//!             let below = format!("{prefix}/");
//!             let mut found = pages.1.iter().filter(|((owner, key), _)| {
//!                 owner == tenant
//!                     && key.as_str().starts_with(&below)
//!                     && last.as_deref().is_none_or(|last| key.as_str().as_bytes() > last)
//!             });
//!             let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
//!             let items: Vec<_> = found.by_ref().take(limit).map(|(_, record)| record.clone()).collect();
//!             let last = items.last().filter(|_| found.next().is_some());
//!             let next = last.map(|last| self.tokens.seal(tenant, query, last.key.as_str().as_bytes())).transpose()?;
//!             Ok(Page { items, next })
//!         })
//!     }
//! }
//!
//! // What `ledger_conformance!` makes a test each of, in one run; and histories of four threads under faults.
//! # #[cfg(feature = "conformance")] {
//! use fhir_devices::testkit::{history, store::{StoreUnderTest, block_on, ledger}};
//! use std::sync::Arc;
//! let notebook: Arc<dyn Ledger> = Arc::new(Notebook { pages: Mutex::default(), tokens: PageKey::random() });
//! for clause in ledger::CLAUSES {
//!     (clause.check)(&StoreUnderTest::new(&*notebook, &|task| block_on(task)))?;
//! }
//! history::ledger(&notebook, &|task| block_on(task), 0..50)?;
//! # }
//! # #[cfg(feature = "conformance")]
//! # Ok::<(), fhir_devices::testkit::store::BrokenClause>(())
//! ```
//!
//! The example `implement_a_store` is a store of resources in the same style, with its suite at the end.
//!
//! # 3. Declare the capabilities
//!
//! [`Capabilities`](crate::store::Capabilities) states the scope of a commit, the maximum number of writes and bytes,
//! whether there is history, and whether a search sees the latest writes. A store without a capability declares that,
//! and returns `Unsupported` for such a call: the kit skips the clause (`skipped: history`), and a caller can choose
//! another way. A store that claims a capability it lacks loses data silently; the kit tests for that.
//!
//! A store may provide an ability by other means: `backend::FhirServer` (feature `fhir-http`), a store over another
//! FHIR server, evaluates criteria itself for which FHIR has no search parameter, and declares by
//! [`deletion_write_ids`](crate::store::Capabilities::deletion_write_ids) that a deletion over HTTP cannot carry a
//! write id; so [`write_resolved`](crate::store::TenantResources::write_resolved) leaves the outcome of a lost deletion
//! unknown. [`manual::fhir_server`](crate::manual::fhir_server) lists what each ability requires of such a server.
//!
//! # 4. Distinguish the errors
//!
//! Most stores fail here, in rare moments. Ask of each error of the engine: is it certain that nothing was written, nor
//! will be? Then it is `Unavailable`, `Throttled`, or a specific refusal. A connection that breaks during a commit, or
//! a timeout, is `Indeterminate`: the caller finds the outcome by the [`WriteId`](crate::store::WriteId) that is kept
//! with the version. Disable automatic retries of conditional writes in a driver, or its answer "already exists" may be
//! about the first try. [`StoreError`](crate::store::StoreError) describes the rest.
//!
//! # 5. Test it with the kit
//!
//! - Suites:
//!   [`resource_store_conformance!`](https://docs.rs/fhir-devices/latest/fhir_devices/macro.resource_store_conformance.html)
//!   and those for blobs and ledgers make one test for each clause, and one for histories. `block_on = |future|
//!   RUNTIME.block_on(future)` runs them on a runtime, and `skip = std::env::var("ENGINE_URL").err()` only where there
//!   is an engine. Each test uses its own tenant, so that the engine may hold other data.
//! - Histories: four threads call the store on two resources, with lost replies and dropped calls, and the kit looks
//!   for an order that explains every reply. Only histories detect a store that returns `Unavailable` for one in 1,000
//!   commits although it applied them; the clauses do not. The macros run 60 seeds; `testkit::history` runs any number.
//!   A failing history is shrunk to the calls that contradict each other.
//! - Test an application against store failures with `testkit::Faulty`, whose faults keep the contract and repeat under
//!   the same seed; `testkit::Recording` records the calls of a store.
