//! A ward whose stores count what goes through them: their calls, the resources and records, and their bytes.

use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::rest::{Request, Server};
use fhir_devices::search::{Parameter, ResourceType};
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::{Device, DeviceComponent};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// The outcome of a future that waits for nothing but its turn.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

pub(crate) fn ours() -> Tenant {
    "st-mary".parse().unwrap()
}

/// A store that counts its calls, the resources and records that go through it, and their bytes.
#[derive(Default)]
pub(crate) struct Weighed {
    memory: Memory,
    calls: AtomicUsize,
    items: AtomicUsize,
    bytes: AtomicUsize,
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) calls: usize,
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

impl Weighed {
    fn weigh(&self, items: usize, bytes: usize) {
        self.calls.fetch_add(1, Relaxed);
        self.items.fetch_add(items, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn versions(&self, versions: &[Version]) {
        self.weigh(versions.len(), versions.iter().filter_map(|it| it.body.as_ref()).map(Bytes::len).sum());
    }

    /// Takes what was counted since the last time.
    pub(crate) fn take(&self) -> Cost {
        let [calls, items, bytes] = [&self.calls, &self.items, &self.bytes].map(|count| count.swap(0, Relaxed));
        Cost { calls, items, bytes }
    }
}

impl ResourceStore for Weighed {
    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&self.memory)
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            let read = ResourceStore::read(&self.memory, tenant, key).await;
            self.versions(read.as_ref().map_or(&[], std::slice::from_ref));
            read
        })
    }

    fn vread<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        version: VersionId,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            let read = self.memory.vread(tenant, key, version).await;
            self.versions(read.as_ref().map_or(&[], std::slice::from_ref));
            read
        })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        self.weigh(writes.len(), writes.iter().filter_map(|it| it.body.as_ref()).map(Bytes::len).sum());
        self.memory.commit(tenant, writes)
    }

    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        Box::pin(async move { self.memory.search(tenant, search).await.inspect(|page| self.versions(&page.items)) })
    }

    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>), StoreError>> {
        self.memory.search_with_targets(tenant, search, follow)
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        Box::pin(async move {
            let page = self.memory.history(tenant, key, limit, after).await;
            page.inspect(|page| self.versions(&page.items))
        })
    }

    fn changes<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: &'a Changes,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        Box::pin(async move { self.memory.changes(tenant, changes).await.inspect(|page| self.versions(&page.items)) })
    }

    fn prune_history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        keep: NonZeroU32,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.weigh(1, 0);
        self.memory.prune_history(tenant, key, keep)
    }
}

impl Ledger for Weighed {
    fn max_changes(&self) -> usize {
        Ledger::max_changes(&self.memory)
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a LedgerKey,
    ) -> BoxFuture<'a, Result<Option<LedgerRecord>, StoreError>> {
        Box::pin(async move {
            let record = Ledger::get(&self.memory, tenant, key).await?;
            self.weigh(1, record.as_ref().map_or(0, |record| record.value.len()));
            Ok(record)
        })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        self.weigh(changes.len(), changes.iter().filter_map(|it| it.value.as_ref()).map(Bytes::len).sum());
        self.memory.apply(tenant, changes)
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>, StoreError>> {
        Box::pin(async move {
            let page = self.memory.scan(tenant, prefix, limit, after).await?;
            self.weigh(page.items.len(), page.items.iter().map(|record| record.value.len()).sum());
            Ok(page)
        })
    }
}

pub(crate) struct Ward {
    pub(crate) store: Arc<Weighed>,
    service: UpdateService<Weighed, Memory, Weighed>,
}

impl Ward {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Weighed::default());
        let service = UpdateService::new(store.clone(), Arc::new(Memory::new()), store.clone()).unwrap();
        Self { store, service }
    }

    fn put<T: Storable>(&self, tenant: &Tenant, resource: &T, when: Precondition) {
        block_on(self.store.commit(tenant, vec![resource.to_write(when).unwrap()])).unwrap();
    }

    pub(crate) fn pump(&self, tenant: &Tenant, number: usize) {
        let device = Device::from_json(format!(r#"{{"resourceType":"Device","id":"d{number}"}}"#).as_bytes()).unwrap();
        self.put(tenant, &device, Precondition::Absent);
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"c{number}","identifier":{{"value":"1"}},"type":{{"text":"pump"}},
            "source":{{"reference":"Device/d{number}"}}}}"#
        );
        self.put(tenant, &DeviceComponent::from_json(json.as_bytes()).unwrap(), Precondition::Absent);
    }

    pub(crate) fn upload(&self, tenant: &Tenant, number: usize, bytes: &str) {
        let kind = "application/octet-stream".parse().unwrap();
        let to = Submission::new(format!("d{number}").parse().unwrap(), "pump.bin".parse().unwrap(), kind);
        block_on(self.service.receive(tenant, to, stream::once(bytes.to_owned()))).unwrap();
    }

    pub(crate) fn answer(&self, path: &str, query: &str) {
        let store: Arc<dyn ResourceStore> = self.store.clone();
        let server = Server::new(TenantResources::new(store, ours()), "https://here.example/fhir");
        let answer = block_on(server.handle(&Request::new("GET", path).query(query)));
        assert_eq!(answer.status, 200, "{path}?{query}");
    }
}

pub(crate) fn uploads_of_a_component(ward: &Ward, count: usize) {
    for number in 0..count {
        ward.upload(&ours(), 0, &format!("version {number:04}"));
    }
}

pub(crate) fn uploads_of_others(ward: &Ward, count: usize) {
    for number in 1..=count {
        ward.pump(&ours(), number);
        ward.upload(&ours(), number, &format!("version {number:04}"));
    }
}

pub(crate) fn holders_of_the_same_bytes(ward: &Ward, count: usize) {
    for number in 1..=count {
        ward.pump(&ours(), number);
        ward.upload(&ours(), number, "the same");
    }
}

pub(crate) fn versions_of_the_component(ward: &Ward, count: usize) {
    for number in 0..count {
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"c0","identifier":{{"value":"1"}},"type":{{"text":"pump {:03}"}},
            "source":{{"reference":"Device/d0"}}}}"#,
            number % 1_000
        );
        ward.put(&ours(), &DeviceComponent::from_json(json.as_bytes()).unwrap(), Precondition::Exists);
    }
    // The first upload of a service looks whether the stores belong together.
    ward.pump(&ours(), 1);
    ward.upload(&ours(), 1, "another");
}

pub(crate) fn tenants(ward: &Ward, count: usize) {
    for number in 0..count {
        let tenant = format!("ward-{number}").parse().unwrap();
        ward.pump(&tenant, 0);
        ward.upload(&tenant, 0, "another");
    }
    ward.pump(&ours(), 1);
    ward.upload(&ours(), 1, "another");
}
