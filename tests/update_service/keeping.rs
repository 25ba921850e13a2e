//! Background maintenance: the service resumes interrupted work, for every known tenant.

use super::client::{Form, Service};
use fhir_devices::DeviceComponent;
use fhir_devices::backend::Memory;
use fhir_devices::server::serve;
use fhir_devices::server::{self, Stores, UpdateServer};
use fhir_devices::service::UpdateService;
use fhir_devices::store::*;
use fhir_devices::update::{AvailableUpdate, UpdateStatus, available};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Stores of a dying process: from a moment on, no commit of resources is begun, and none is answered. Or an
/// unavailable store.
#[derive(Clone)]
pub(crate) struct Dying {
    pub(crate) resources: Arc<dyn ResourceStore>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) dead: Arc<AtomicBool>,
    pub(crate) away: Arc<AtomicBool>,
}

impl Dying {
    pub(crate) fn in_memory() -> Self {
        let memory = Arc::new(Memory::new());
        Self::over(memory.clone(), memory.clone(), memory)
    }

    pub(crate) fn over(resources: Arc<dyn ResourceStore>, blobs: Arc<dyn BlobStore>, ledger: Arc<dyn Ledger>) -> Self {
        Self { resources, blobs, ledger, dead: Arc::default(), away: Arc::default() }
    }

    /// Returns the stores for the service.
    pub(crate) fn stores(&self) -> Stores {
        Stores { resources: Arc::new(self.clone()), ..self.living() }
    }

    /// Returns the stores without the faults.
    fn living(&self) -> Stores {
        Stores { resources: self.resources.clone(), blobs: self.blobs.clone(), ledger: self.ledger.clone() }
    }
}

impl ResourceStore for Dying {
    passed_on!(resources: capabilities, read, vread, search, history, prune_history);

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        if self.dead.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::unavailable(None, None).into()) });
        }
        self.resources.commit(tenant, writes)
    }
}

/// Stores a device with one component, as a client.
async fn fleet(service: &Service, tenant: &str) {
    let device = r#"{"resourceType":"Device","id":"pump"}"#;
    let part = r#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
        "source":{"reference":"Device/pump"}}"#;
    for (path, body) in [("Device/pump", device), ("DeviceComponent/mds", part)] {
        let reply = service.json("PUT", &format!("/{tenant}/fhir/{path}"), &[], body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
}

async fn attached(resources: &Arc<dyn ResourceStore>, tenant: &Tenant) -> Vec<AvailableUpdate> {
    let resources = TenantResources::new(resources.clone(), tenant.clone());
    let (component, _) = resources.get::<DeviceComponent>("mds").await.unwrap();
    available(&component).collect::<std::result::Result<_, _>>().unwrap()
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn interrupted_work_resumes_at_start() {
    goes_on_after_a_start(Dying::in_memory()).await;
}

pub(crate) async fn goes_on_after_a_start(dying: Dying) {
    let before =
        Service::with(|base| UpdateServer::over(dying.stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
    let tenants: Vec<Tenant> = ["ward-5", "ward-6"].map(|name| name.parse().unwrap()).to_vec();
    for tenant in &tenants {
        fleet(&before, tenant.as_str()).await;
    }
    dying.dead.store(true, Ordering::SeqCst);
    let updates = UpdateService::new(dying.resources.clone(), dying.blobs.clone(), dying.ledger.clone()).unwrap();
    let updates = &updates;
    for tenant in &tenants {
        let (address, name) = (before.address, tenant.to_string());
        tokio::spawn(async move {
            let form = Form::of("pump").field("Version", "2.4").file("a.bin", b"firmware");
            Service { address }.upload(&name, &[], &form).await
        });
        eventually("the bytes are stored", || async move {
            let open = updates.unfinished(tenant, NonZeroU32::MIN, None).await.unwrap().items;
            let Some(id) = open.first() else { return false };
            updates.upload(tenant, *id).await.unwrap().state.name().as_str() == "stored"
        })
        .await;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = Arc::new(UpdateServer::over(dying.living(), "http://127.0.0.1", server::DEFAULT_MAX_UPLOAD).unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, None, app, async { drop(stopped.await) }));
    for tenant in &tenants {
        eventually("the upload is at rest", || async move {
            updates.unfinished(tenant, NonZeroU32::MIN, None).await.unwrap().items.is_empty()
        })
        .await;
        let [update] = attached(&dying.resources, tenant).await.try_into().unwrap();
        assert_eq!((update.status, update.sha256), (UpdateStatus::Current, Sha256::of(b"firmware")));
    }
    stop.send(()).unwrap();
    assert!(serving.await.unwrap().unwrap());
}

#[tokio::test]
async fn maintenance_removes_old_versions_and_withdrawn_updates() {
    let memory = Arc::new(Memory::new());
    let stores = || Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    let before = Service::with(|base| UpdateServer::over(stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
    fleet(&before, "ward-5").await;
    for model in ["1", "2", "3", "4"] {
        let device = format!(r#"{{"resourceType":"Device","id":"pump","model":"{model}"}}"#);
        let reply = before.json("PUT", "/ward-5/fhir/Device/pump", &[], &device).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let tenant: Tenant = "ward-5".parse().unwrap();
    let withdraw = UpdateService::new_with_urls(memory.clone(), memory.clone(), memory.clone(), |_, _| {
        "https://cdn.example/a".parse().unwrap()
    });
    let withdraw = withdraw.with_withdrawn_retention(Duration::ZERO);
    let id = before.upload("ward-5", &[], &Form::of("pump").file("a.bin", b"firmware")).await;
    let id = available(&DeviceComponent::from_json(&id.body).unwrap()).flatten().next().unwrap().id;
    withdraw.withdraw(&tenant, id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();

    let mut retention = server::Retention::default();
    retention.versions = 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = UpdateServer::over(stores(), "http://127.0.0.1", server::DEFAULT_MAX_UPLOAD).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Arc::new(app.with_retention(retention));
    let serving = tokio::spawn(serve(listener, None, app, async { drop(stopped.await) }));
    let resources: Arc<dyn ResourceStore> = memory.clone();
    let ours = TenantResources::new(resources.clone(), tenant.clone());
    let ours = &ours;
    eventually("the history has two versions", || async move {
        let key = "Device/pump".parse().unwrap();
        ours.history(&key, NonZeroU32::MAX, None).await.unwrap().items.len() == 2
    })
    .await;
    let (resources, tenant) = (&resources, &tenant);
    eventually(
        "the withdrawn update is no longer shown",
        || async move { attached(resources, tenant).await.is_empty() },
    )
    .await;
    let metrics = Service { address }.get("/metrics").await;
    for line in ["versions_removed_total", "withdrawn_removed_total"] {
        let counted = metrics.text().lines().any(|said| {
            said.strip_prefix(&format!("update_service_{line} ")).is_some_and(|count| count.parse::<u64>().unwrap() > 0)
        });
        assert!(counted, "{line}: {}", metrics.text());
    }
    stop.send(()).unwrap();
    assert!(serving.await.unwrap().unwrap());
}

/// Returns the number of a tenant's uploads at rest, by their records.
async fn resting(memory: &Arc<Memory>, tenant: &Tenant) -> usize {
    let folder = LedgerKey::new("ingest/rest").unwrap();
    Ledger::scan(&**memory, tenant, &folder, NonZeroU32::MAX, None).await.unwrap().items.len()
}

#[tokio::test]
async fn retention_of_superseded_ended_and_aborted_uploads_takes_effect() {
    let tenant: Tenant = "ward-5".parse().unwrap();
    for (superseded, kept) in [(1, Duration::ZERO), (3, Duration::from_secs(3_600))] {
        let memory = Arc::new(Memory::new());
        let stores = || Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
        let mut retention = server::Retention::default();
        (retention.superseded, retention.ended, retention.aborted) = (superseded, kept, kept);
        let over = |base: &str| UpdateServer::over(stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap();
        let before = Service::with(|base| over(base).with_retention(retention)).await;
        fleet(&before, "ward-5").await;
        for bytes in ["one", "two", "three", "four", "five"] {
            let reply = before.upload("ward-5", &[], &Form::of("pump").file("a.bin", bytes.as_bytes())).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
        }
        let resources: Arc<dyn ResourceStore> = memory.clone();
        let attached = attached(&resources, &tenant).await.len();
        assert_eq!(attached, superseded as usize + 1);
        let torn = Form::of("pump").field("Sha256", &"0".repeat(64)).file("a.bin", b"six");
        assert_eq!(before.upload("ward-5", &[], &torn).await.status, 422);
        assert_eq!(resting(&memory, &tenant).await, 6);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Arc::new(over("http://127.0.0.1").with_retention(retention));
        let serving = tokio::spawn(serve(listener, None, app, async { drop(stopped.await) }));
        if kept.is_zero() {
            let (memory, tenant) = (&memory, &tenant);
            // Those that were retired, and the one that was refused.
            eventually("the records are removed", || async move { resting(memory, tenant).await == attached }).await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(resting(&memory, &tenant).await, 6, "they are kept for their time");
        }
        stop.send(()).unwrap();
        assert!(serving.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn maintenance_removes_history_of_deleted_resources() {
    let memory = Arc::new(Memory::new());
    let stores = || Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    let before = Service::with(|base| UpdateServer::over(stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
    fleet(&before, "ward-5").await;
    for model in 0..5 {
        let device = format!(r#"{{"resourceType":"Device","id":"old","model":"{model}"}}"#);
        assert!(before.json("PUT", "/ward-5/fhir/Device/old", &[], &device).await.status < 300);
    }
    // Alone, and within a transaction; and one that is refused.
    assert_eq!(before.send("DELETE", "/ward-5/fhir/Device/old", &[], b"").await.status, 204);
    let bundle = r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"request":{"method":"DELETE","url":"DeviceComponent/mds"}},{"request":{"method":"DELETE","url":"Device/pump"}}]}"#;
    assert_eq!(before.json("POST", "/ward-5/fhir", &[], bundle).await.status, 200);
    let tenant: Tenant = "ward-5".parse().unwrap();
    let notes = || {
        let notes = TenantLedger::new(memory.clone() as Arc<dyn Ledger>, tenant.clone());
        async move { notes.all(&"deleted".parse().unwrap()).await.unwrap().len() }
    };
    assert_eq!(notes().await, 3);

    let mut retention = server::Retention::default();
    retention.versions = 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = UpdateServer::over(stores(), "http://127.0.0.1", server::DEFAULT_MAX_UPLOAD).unwrap();
    tokio::spawn(serve(listener, None, Arc::new(app.with_retention(retention)), std::future::pending()));
    eventually("the notes are done with", || async { notes().await == 0 }).await;
    let ours = TenantResources::new(memory.clone(), tenant.clone());
    let history = ours.history(&"Device/old".parse().unwrap(), NonZeroU32::MAX, None).await.unwrap().items;
    let numbers: Vec<_> = history.iter().map(|version| (version.version.get(), version.body.is_some())).collect();
    assert_eq!(numbers, [(6, false), (5, true)]);
    assert!(Service { address }.get("/metrics").await.text().contains("update_service_versions_removed_total 4\n"));
    // It is gone as before, and its numbers go on.
    before.get("/ward-5/fhir/Device/old").await.refusal(410);
    let again = before.json("PUT", "/ward-5/fhir/Device/old", &[], r#"{"resourceType":"Device","id":"old"}"#).await;
    assert_eq!((again.status, again.header("etag")), (201, Some("W/\"7\"")));
}

#[tokio::test]
async fn entries_of_deleted_files_are_removed_and_counted() {
    let memory = Arc::new(Memory::new());
    let stores = || Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    let tenant: Tenant = "ward-5".parse().unwrap();
    let before = Service::with(|base| UpdateServer::over(stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
    fleet(&before, "ward-5").await;
    let reply = before.upload("ward-5", &[], &Form::of("pump").file("a.bin", b"firmware")).await;
    let id = available(&DeviceComponent::from_json(&reply.body).unwrap()).flatten().next().unwrap().id;
    let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    updates.withdraw(&tenant, id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();
    assert_eq!(updates.collect(&tenant, Duration::ZERO).await.unwrap().deleted, 1);
    let entries = || async {
        let entries = TenantLedger::new(memory.clone() as Arc<dyn Ledger>, tenant.clone());
        entries.all(&"blob".parse().unwrap()).await.unwrap().len()
    };
    assert_eq!(entries().await, 1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = UpdateServer::over(stores(), "http://127.0.0.1", server::DEFAULT_MAX_UPLOAD).unwrap();
    tokio::spawn(serve(listener, None, Arc::new(app), std::future::pending()));
    eventually("the entry is removed", || async { entries().await == 0 }).await;
    eventually("it is counted", || async {
        Service { address }.get("/metrics").await.text().contains("update_service_entries_removed_total 1\n")
    })
    .await;
}

/// Returns the tenants that a restart would maintain.
async fn noted(memory: &Arc<Memory>) -> Vec<String> {
    let list = TenantLedger::new(memory.clone(), "update-service".parse().unwrap());
    let records = list.all(&"tenants".parse().unwrap()).await.unwrap();
    records.iter().map(|record| record.key.as_str().strip_prefix("tenants/").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tenant_is_listed_once_it_has_data() {
    let memory = Arc::new(Memory::new());
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a.bin", b"firmware");
    service.upload("nobody", &[], &form).await.refusal(404);
    for path in ["/nobody/fhir/Device", "/nobody/fhir/metadata", "/?tenant=nobody", "/metrics"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    let id = fhir_devices::service::IngestId(7);
    service.get("/nobody/fhir/Device/pump").await.refusal(404);
    service.get(&format!("/nobody/updates/{id}")).await.refusal(404);
    assert!(noted(&memory).await.is_empty());

    fleet(&service, "ward-5").await;
    assert_eq!(noted(&memory).await, ["ward-5"]);
    // Where an earlier version of the service left it without a note, any use that finds something makes up for it.
    for path in ["/demo/fhir/Device/infusion-pump-7", "/"] {
        let memory = Arc::new(Memory::new());
        let other = Service::with(|base| {
            let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
            UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
        })
        .await;
        assert_eq!(other.get(path).await.status, 200);
        assert_eq!(noted(&memory).await, ["demo"], "{path}");
    }
    assert_eq!(service.upload("demo", &[], &form).await.status, 201);
    assert_eq!(noted(&memory).await, ["demo", "ward-5"]);
}
