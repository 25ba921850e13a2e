//! Stores of an update service with one defect each, named for the clause of ownership that it breaks.

use super::{each_holds, each_is_caught};
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use fhir_devices::testkit::store::block_on;
use fhir_devices::testkit::store::ownership::{CLAUSES, ServiceStores};
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use url::Url;

#[test]
fn every_ownership_clause_catches_faulty_stores() {
    each_is_caught(CLAUSES, stores, |stores| stores);
}

#[test]
fn correct_stores_pass_every_ownership_clause() {
    each_holds(CLAUSES, &stores(""));
}

fn stores(defect: &'static str) -> ServiceStores {
    let below = Arc::new(Memory::new());
    let wrong = Wrong { below, defect, listed: Mutex::default(), missed: Mutex::default() };
    let wrong = Arc::new(wrong);
    ServiceStores::new(wrong.clone(), wrong.clone(), wrong)
}

struct Wrong {
    below: Arc<Memory>,
    defect: &'static str,
    /// The tenants for each listing of their files.
    listed: Mutex<Vec<Tenant>>,
    /// Records that were looked up and missing.
    missed: Mutex<HashSet<(Tenant, LedgerKey)>>,
}

impl Wrong {
    fn is(&self, defect: &str) -> bool {
        self.defect == defect
    }

    fn all(&self, tenant: &Tenant) -> Vec<BlobInfo> {
        block_on(self.below.list(tenant, NonZeroU32::MAX, None)).unwrap().items
    }
}

fn is_marker(info: &BlobInfo) -> bool {
    StoreId::of_marker(&info.key).is_some()
}

impl BlobStore for Wrong {
    fn capabilities(&self) -> BlobCapabilities {
        BlobStore::capabilities(&*self.below)
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.below.begin(tenant)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        BlobStore::get(&*self.below, tenant, key, range)
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        self.below.head(tenant, key)
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let marker = StoreId::of_marker(key).is_some();
            // A lock of the bucket keeps what is there, and the deletion is acknowledged.
            let kept = self.is("o4_file_is_quarantined_before_deletion") && !marker
                || (self.is("o2_store_without_its_id_is_refused") || self.is("o8_adopted_store_belongs_to_one_ledger"))
                    && marker;
            if kept { Ok(()) } else { self.below.delete(tenant, key).await }
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            let mut page = self.below.list(tenant, limit, after).await?;
            match self.defect {
                // What is small is no file.
                "o1_store_and_ledger_share_an_id" => page.items.retain(|info| !is_marker(info)),
                // Those of every tenant.
                "o1_each_tenant_has_its_own_id" => {
                    let mut listed = self.listed.lock().unwrap();
                    listed.push(tenant.clone());
                    let others: HashSet<_> = listed.iter().filter(|other| *other != tenant).collect();
                    page.items.extend(others.into_iter().flat_map(|other| self.all(other)));
                    page.items.sort_by_key(|info| info.key);
                }
                // A list that lags: where files came, it is empty.
                "o2_empty_ledger_over_files_is_refused" | "o2_ledger_of_another_store_is_refused"
                    if self.all(tenant).iter().any(|info| !is_marker(info)) =>
                {
                    page.items.clear();
                }
                // A rule of the bucket that deletes what is not marked, at the second look.
                "o3_unknown_file_is_watched_first" => {
                    let mut listed = self.listed.lock().unwrap();
                    listed.push(tenant.clone());
                    if listed.len() > 4 {
                        for info in self.all(tenant).iter().filter(|info| !is_marker(info)) {
                            block_on(self.below.delete(tenant, &info.key))?;
                        }
                    }
                }
                _ => {}
            }
            Ok(page)
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.below.url(tenant, key, kind)
    }
}

impl Ledger for Wrong {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move {
            // What was not there once is not looked for again.
            if !self.is("o4_known_file_leaves_quarantine") || !key.as_str().starts_with("blob/") {
                return Ledger::get(&*self.below, tenant, key).await;
            }
            let place = (tenant.clone(), key.clone());
            if self.missed.lock().unwrap().contains(&place) {
                return Ok(None);
            }
            let found = Ledger::get(&*self.below, tenant, key).await?;
            let has_any =
                !block_on(self.below.scan(tenant, &"ingest".parse().unwrap(), NonZeroU32::MIN, None))?.items.is_empty();
            // An upload looks before it writes.
            if found.is_none() && has_any {
                self.missed.lock().unwrap().insert(place);
            }
            Ok(found)
        })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            let records: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
            let swept = changes.iter().any(|change| {
                change.value.as_ref().is_some_and(|value| String::from_utf8_lossy(value).contains("\"swept\""))
            });
            let made = self.below.apply(tenant, changes).await?;
            // Records of deletions are thought to be of no use.
            if self.is("o6_each_file_is_audited") && swept {
                for (key, revision) in
                    records.into_iter().zip(&made).filter(|(key, _)| key.as_str().starts_with("audit/"))
                {
                    self.below.apply(tenant, vec![Change::delete(key, revision.clone())]).await?;
                }
            }
            Ok(made)
        })
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(async move {
            let mut page = self.below.scan(tenant, prefix, limit, after).await?;
            // A page of two, and none behind it.
            if self.is("o5_too_many_due_files_are_all_kept") && prefix.as_str() == "quarantine" {
                page.items.truncate(2);
                page.next = None;
            }
            Ok(page)
        })
    }
}

impl ResourceStore for Wrong {
    passed_on!(below: read, vread, commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&*self.below)
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            let mut page = self.below.search(tenant, search).await?;
            // An index that has not seen the last upload.
            if self.is("o7_referenced_file_is_kept") && search.all_of.is_empty() {
                page.items.clear();
            }
            Ok(page)
        })
    }
}
