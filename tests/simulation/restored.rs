//! Worlds in which the ledger is an older copy, or a second ledger is given the same store: no file that a component
//! refers to is deleted, whatever is called and however much time passes.

use super::choices::Choices;
use super::fleet::{COMPONENTS, fill, now, run, tenants};
use bytes::Bytes;
use fhir_devices::DeviceComponent;
use fhir_devices::audit::Holder;
use fhir_devices::backend::Memory;
use fhir_devices::containment::Selector;
use fhir_devices::manifest::IngestId;
use fhir_devices::search::ResourceType;
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::blob::Entry;
use fhir_devices::update::{UpdateStatus, available};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use url::Url;

/// A removed rule of the calls that delete files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovedRule {
    /// Components are not asked before a deletion.
    NoReferences,
    /// Every service takes the store for its own, whatever its id.
    NoPairing,
}

type Service = UpdateService<View, View, Memory>;

/// The resources and files, as one process sees them.
struct View {
    memory: Arc<Memory>,
    /// The ledger of the process.
    ledger: Arc<Memory>,
    removed: Option<RemovedRule>,
    /// Whether a collection or a sweep is in progress.
    deletes: Arc<AtomicBool>,
}

/// Returns a ledger restored from an earlier state, or a new one beside the other.
fn copy_of(ledger: &Memory) -> Arc<Memory> {
    let copy = Arc::new(Memory::new());
    let tenant = &tenants()[0];
    let put = |record: LedgerRecord| {
        now(copy.apply(tenant, vec![Change::create(record.key, record.value)])).unwrap();
    };
    for folder in ["ingest", "blob", "accepted", "audit", "quarantine", "damaged", "due"] {
        let folder = LedgerKey::new(folder).unwrap();
        now(Ledger::scan(ledger, tenant, &folder, NonZeroU32::MAX, None)).unwrap().items.into_iter().for_each(put);
    }
    for key in ["audit-head", "store-id"] {
        now(Ledger::get(ledger, tenant, &LedgerKey::new(key).unwrap())).unwrap().into_iter().for_each(put);
    }
    copy
}

const CONTENTS: [&[u8]; 3] = [b"firmware", b"software", b"hardware"];

/// Runs a simulation, and returns its result.
pub(crate) fn simulate(choices: &Choices, removed: Option<RemovedRule>) -> Result<(), String> {
    let memory = Arc::new(Memory::new());
    fill(&memory);
    let (clock, ids) = (Arc::new(AtomicI64::new(1_492_596_000)), Arc::new(AtomicU64::new(1)));
    let deletes = Arc::new(AtomicBool::new(false));
    let service = |ledger: &Arc<Memory>| -> Service {
        let (memory, ledger_seen) = (memory.clone(), ledger.clone());
        let view = Arc::new(View { memory, ledger: ledger_seen, removed, deletes: deletes.clone() });
        let (clock, ids) = (clock.clone(), ids.clone());
        UpdateService::new_with_urls(view.clone(), view, ledger.clone(), |tenant, key| {
            format!("https://cdn.example/{tenant}/{}/{}", key.digest, key.generation).parse().unwrap()
        })
        .with_clock(move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap())
        .with_withdrawn_retention(Duration::from_secs(3_600))
        .with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into()))
    };
    let tenant = &tenants()[0];
    let mut ledger = Arc::new(Memory::new());
    let (mut first, mut kept) = (service(&ledger), copy_of(&ledger));
    let rival = service(&Arc::new(Memory::new()));
    // The first to come owns the store.
    run(first.check_store(tenant)).unwrap().map_err(|error| error.to_string())?;
    let (restores, mut restored) = (choices.pick(2) == 0, false);
    for _ in 0..60 {
        let called = if choices.rarely(4) { &rival } else { &first };
        match choices.pick(11) {
            0..=2 => {
                let kind = "application/octet-stream".parse().unwrap();
                let mut sent = Submission::new("monitor".parse().unwrap(), "m.bin".parse().unwrap(), kind);
                let component = COMPONENTS[choices.pick(COMPONENTS.len())];
                sent.target = Selector::Component(component.parse().unwrap());
                let content = Bytes::from_static(CONTENTS[choices.pick(CONTENTS.len())]);
                let _ = run(called.receive(tenant, sent, stream::once(content)));
            }
            3 => {
                let folder = LedgerKey::new("ingest/rest").unwrap();
                let known = now(Ledger::scan(&*ledger, tenant, &folder, NonZeroU32::MAX, None)).unwrap().items;
                if let Some(record) = known.get(choices.pick(known.len().max(1))) {
                    let id = record.key.as_str().rsplit('/').next().unwrap().parse().unwrap();
                    let by = || "biomed/j.doe".parse().unwrap();
                    if choices.pick(2) == 0 {
                        let digest = Sha256::of(CONTENTS[choices.pick(CONTENTS.len())]);
                        let case = Holder::LegalHold("case-7".parse().unwrap());
                        let _ = run(first.pin(tenant, &digest, case, by()));
                    }
                    let _ = run(first.withdraw(tenant, id, by(), "recalled".parse().unwrap()));
                }
            }
            4 => {
                deletes.store(true, Ordering::Relaxed);
                let _ = run(called.collect(tenant, Duration::from_secs(60)));
                deletes.store(false, Ordering::Relaxed);
            }
            5 | 6 => {
                deletes.store(true, Ordering::Relaxed);
                let _ = run(called.sweep(tenant));
                deletes.store(false, Ordering::Relaxed);
            }
            7 => drop(clock.fetch_add([60, 90_000, 700_000][choices.pick(3)], Ordering::Relaxed)),
            8 => kept = copy_of(&ledger),
            // What was withdrawn is no longer shown: who holds its file by the ledger alone keeps it.
            9 => drop(run(called.expire(tenant))),
            _ if restores => {
                ledger = copy_of(&kept);
                first = service(&ledger);
                restored = true;
            }
            _ => {}
        }
        holds(&memory)?;
        // An older ledger holds what a newer one had given up.
        if !restored {
            is_kept(&memory, &ledger)?;
        }
    }
    Ok(())
}

/// Checks that every file that a component refers to exists.
fn holds(memory: &Memory) -> Result<(), String> {
    let tenant = &tenants()[0];
    for id in COMPONENTS {
        let key = Key::new(ResourceType::DeviceComponent, id).unwrap();
        let Ok(version) = now(memory.read(tenant, &key)) else { continue };
        let component = DeviceComponent::from_version(&version).map_err(|error| error.to_string())?;
        // A recall stays visible when its file is gone.
        for update in available(&component).flatten().filter(|update| update.status != UpdateStatus::Withdrawn) {
            let generation = update.file.url.as_str().rsplit('/').next().unwrap().parse().unwrap();
            let file = BlobKey { digest: update.sha256, generation };
            now(memory.head(tenant, &file)).map_err(|_| format!("I1: {id} refers to {file}, which was deleted"))?;
        }
    }
    Ok(())
}

/// Checks that every file with a holder in the ledger exists.
fn is_kept(memory: &Memory, ledger: &Memory) -> Result<(), String> {
    let tenant = &tenants()[0];
    let folder = LedgerKey::new("blob").unwrap();
    for record in now(Ledger::scan(ledger, tenant, &folder, NonZeroU32::MAX, None)).unwrap().items {
        let entry = Entry::from_bytes(&record.value).map_err(|error| error.to_string())?;
        if entry.is_present() && entry.holders().next().is_some() {
            let key = entry.key();
            now(memory.head(tenant, &key)).map_err(|_| format!("I1: {key} is held, and was deleted"))?;
        }
    }
    Ok(())
}

impl ResourceStore for View {
    passed_on!(memory: read, vread, commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&*self.memory)
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            if self.removed == Some(RemovedRule::NoReferences) && self.deletes.load(Ordering::Relaxed) {
                return Ok(Page { items: Vec::new(), next: None });
            }
            self.memory.search(tenant, search).await
        })
    }
}

impl BlobStore for View {
    fn capabilities(&self) -> BlobCapabilities {
        BlobStore::capabilities(&*self.memory)
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.memory.begin(tenant)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        BlobStore::get(&*self.memory, tenant, key, range)
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        self.memory.head(tenant, key)
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.memory.delete(tenant, key)
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            let page = self.memory.list(tenant, limit, after).await?;
            if self.removed != Some(RemovedRule::NoPairing) {
                return Ok(page);
            }
            // A ledger without an id sees a store that has nothing, and one with an id sees that id and no other.
            let own = Ledger::get(&*self.ledger, tenant, &LedgerKey::new("store-id").unwrap()).await?;
            let Some(own) = own else { return Ok(Page { items: Vec::new(), next: None }) };
            let own: serde_json::Value = serde_json::from_slice(&own.value).unwrap();
            let is_foreign = |key: &BlobKey| StoreId::of_marker(key).is_some_and(|id| own["id"] != id.to_string());
            let items = page.items.into_iter().filter(|info| !is_foreign(&info.key)).collect();
            Ok(Page { items, next: page.next })
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.memory.url(tenant, key, kind)
    }
}
