//! The invariants at rest, in the stores that the service left behind.

use super::load::{Acknowledged, TENANTS, Withdrawn};
use fhir_devices::DeviceComponent;
use fhir_devices::audit::UploadFailure;
use fhir_devices::backend::{Files, Redb};
use fhir_devices::manifest::IngestId;
use fhir_devices::search::ResourceType;
use fhir_devices::service::{SweepRules, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::ingest::State;
use fhir_devices::update::replay;
use fhir_devices::update::{AvailableUpdate, UpdateStatus, available};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// Number of superseded updates that a component keeps, by the default of the service.
const KEPT: usize = 3;

/// The findings, to be printed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) attached: usize,
    pub(crate) blobs: usize,
    pub(crate) records: usize,
    pub(crate) given_up: u64,
    pub(crate) swept: u64,
    pub(crate) collected: u64,
}

/// Returns the updates of each component of a tenant, including withdrawn ones.
async fn entries(resources: &TenantResources<Redb>) -> BTreeMap<String, Vec<AvailableUpdate>> {
    let all = resources.all(Search::new(ResourceType::DeviceComponent)).await.unwrap();
    let updates = |version: &Version| {
        let component = DeviceComponent::from_version(version).unwrap();
        available(&component).collect::<std::result::Result<Vec<_>, _>>().unwrap()
    };
    all.iter().map(|version| (version.key.id().to_string(), updates(version))).collect()
}

fn in_use(entries: &[AvailableUpdate]) -> Vec<&AvailableUpdate> {
    entries.iter().filter(|update| update.status != UpdateStatus::Withdrawn).collect()
}

/// Checks that acknowledged updates are there, in the order of their acknowledgements, or were retired after enough
/// later ones; that withdrawn ones are not; that each upload is attached once; and that only the last one is current.
fn check_components(told: &[&Acknowledged], components: &BTreeMap<String, Vec<AvailableUpdate>>) {
    for (component, entries) in components {
        let updates = in_use(entries);
        let titles: BTreeSet<_> = updates.iter().map(|update| update.file.title.as_str()).collect();
        assert_eq!(titles.len(), updates.len(), "an upload is attached twice to {component}");
        let Some((last, before)) = updates.split_last() else { continue };
        assert!(before.iter().all(|update| update.status == UpdateStatus::Superseded), "{component}: two are current");
        // What a later one took the place of stays superseded when that is taken back.
        let taken_back = told.iter().any(|one| one.upload.component == *component && one.withdrawn != Withdrawn::No);
        assert!(last.status == UpdateStatus::Current || taken_back, "{component}: nothing is current");
    }
    let mut places: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for Acknowledged { upload, id, sha256, client, withdrawn, .. } in told {
        let entries = components.get(&upload.component).unwrap();
        let updates = in_use(entries);
        let Some(at) = updates.iter().position(|update| update.id.to_string() == *id) else {
            // The oldest ones are retired, once a later one and as many superseded ones as are kept stand there.
            let retired = entries.len() > KEPT && !places.contains_key(&(upload.component.as_str(), *client));
            assert!(*withdrawn != Withdrawn::No || retired, "{} was acknowledged, and is not attached", upload.name);
            continue;
        };
        assert_ne!(*withdrawn, Withdrawn::Yes, "{} was taken back, and is attached", upload.name);
        assert_eq!((&updates[at].sha256, updates[at].file.title.as_str()), (sha256, upload.name.as_str()));
        let before = places.insert((&upload.component, *client), at);
        assert!(before.is_none_or(|before| before < at), "{} took the place of a later one", upload.name);
    }
}

/// Opens the stores that the service left behind, finishes waiting work, cleans up, and checks everything.
pub(crate) async fn check(data: &Path, told: &[Acknowledged]) -> Found {
    let store = Arc::new(Redb::open(data.join("resources.redb")).unwrap());
    let files = Arc::new(Files::open(data.join("files")).unwrap());
    // The time of those whose bytes never came is over.
    let later = || OffsetDateTime::now_utc() + Duration::from_secs(7_200);
    let service = UpdateService::new_with_urls(store.clone(), files.clone(), store.clone(), url)
        .with_clock(later)
        .with_sweep_rules(SweepRules::default().with_grace(Duration::ZERO).with_quarantine(Duration::ZERO));
    let mut found = Found::default();
    for tenant in TENANTS.map(|name| name.parse::<Tenant>().unwrap()) {
        let told: Vec<_> = told.iter().filter(|one| one.upload.tenant == tenant.as_str()).collect();
        let resources = TenantResources::new(store.clone(), tenant.clone());
        // As the service left it, and as it is once nothing waits.
        check_components(&told, &entries(&resources).await);
        for id in unfinished(&service, &tenant).await {
            let state = service.upload(&tenant, id).await.unwrap().state;
            let waits = matches!(state, State::Open { .. } | State::Acquired { .. });
            assert!(waits, "the service did not go on with {id}, which is {}", state.name());
        }
        let recovered = service.recover(&tenant).await.unwrap();
        assert!(recovered.failed.is_empty() && recovered.waiting == 0, "{recovered:?}");
        found.given_up += recovered.ended;
        let collected = service.collect(&tenant, Duration::ZERO).await.unwrap();
        assert!(collected.failed.is_empty(), "{collected:?}");
        found.collected += collected.deleted;
        found.swept += service.sweep(&tenant).await.unwrap().deleted;
        let components = entries(&resources).await;
        check_components(&told, &components);

        // Every reference has its bytes, whole and right, and no bytes are there that nobody refers to.
        let mut needed = BTreeSet::new();
        for update in components.values().flat_map(|entries| in_use(entries)) {
            let ingest = service.upload(&tenant, update.id).await.unwrap();
            let key = ingest.state.key().unwrap();
            assert!(matches!(ingest.state, State::Attached { .. } | State::Superseded { .. }), "{:?}", ingest.state);
            assert_eq!(matches!(ingest.state, State::Attached { .. }), update.status == UpdateStatus::Current);
            let place = update.file.url.as_str().rsplit('/').take(2).collect::<Vec<_>>();
            assert_eq!(place, [key.generation.to_string(), key.digest.to_string()]);
            let blob = BlobStore::head(&*files, &tenant, &key).await.unwrap();
            assert_eq!((blob.digest, blob.size), (update.sha256, update.size));
            needed.insert(key);
            found.attached += 1;
        }
        let there = blobs(&files, &tenant).await;
        assert_eq!(there, needed, "bytes that nobody needs, or too few");
        found.blobs += there.len();
        let damages = service.scrub(&tenant, |_| {}).await.unwrap();
        assert!(damages.is_empty(), "{damages:?}");

        // The chain is whole, and its records lead to what the ledger says.
        service.verify_audit(&tenant, &[]).await.unwrap().unwrap();
        let records = service.audit_records(&tenant).await.unwrap();
        let replayed = replay(&records).unwrap();
        found.records += records.len();
        for (id, state) in &replayed.uploads {
            assert!(state.is_end(), "{id} is {}", state.name());
            assert_eq!(service.upload(&tenant, *id).await.unwrap().state, *state);
        }
        for one in told {
            let state = replayed.uploads.get(&one.id.parse::<IngestId>().unwrap()).unwrap();
            let closed = matches!(state, State::Withdrawn { .. } | State::Closed { reason: UploadFailure::Withdrawn });
            let agrees = match one.withdrawn {
                Withdrawn::No => !closed,
                Withdrawn::Perhaps => true,
                Withdrawn::Yes => closed,
            };
            assert!(agrees, "{}, {:?}: {}", one.upload.name, one.withdrawn, state.name());
        }
    }
    found
}

async fn unfinished(service: &UpdateService<Redb, Files, Redb>, tenant: &Tenant) -> Vec<IngestId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = service.unfinished(tenant, NonZeroU32::MIN.saturating_add(255), after.as_ref()).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

async fn blobs(files: &Files, tenant: &Tenant) -> BTreeSet<BlobKey> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = files.list(tenant, NonZeroU32::MIN.saturating_add(255), after.as_ref()).await.unwrap();
        let keys = page.items.into_iter().map(|info| info.key);
        all.extend(keys.filter(|key| StoreId::of_marker(key).is_none()));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn url(tenant: &Tenant, key: &BlobKey) -> url::Url {
    let url = format!("http://updates.example/blobs/{tenant}/sha256/{}/{}", key.digest, key.generation);
    url::Url::parse(&url).unwrap()
}
