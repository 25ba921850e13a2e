//! Many uploads of the same bytes: a limited number shares a copy.

use super::*;
use fhir_devices::audit::Holder;
use fhir_devices::manifest::{ActorId, IngestId};
use fhir_devices::service::Swept;
use fhir_devices::update::blob::{self};
use fhir_devices::update::replay;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A ledger that counts its calls, and the bytes written.
#[derive(Default)]
struct Weighing {
    memory: Memory,
    calls: AtomicUsize,
    written: AtomicUsize,
}

impl Weighing {
    /// Returns the calls and bytes since the last call.
    fn look(&self) -> (usize, usize) {
        (self.calls.swap(0, Ordering::Relaxed), self.written.swap(0, Ordering::Relaxed))
    }
}

impl Ledger for Weighing {
    fn max_changes(&self) -> usize {
        self.memory.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ledger::get(&self.memory, tenant, key)
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        let bytes: usize = changes.iter().filter_map(|change| change.value.as_ref()).map(Bytes::len).sum();
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.written.fetch_add(bytes, Ordering::Relaxed);
        self.memory.apply(tenant, changes)
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ledger::scan(&self.memory, tenant, prefix, limit, after)
    }
}

/// Creates devices of one component each, and a service for them.
fn rollout(devices: usize) -> (Arc<Memory>, Arc<Weighing>, UpdateService<Memory, Memory, Weighing>) {
    let (memory, ledger) = (Arc::new(Memory::new()), Arc::new(Weighing::default()));
    for at in 0..devices {
        let device = Device::from_json(format!(r#"{{"resourceType":"Device","id":"pump-{at}"}}"#).as_bytes()).unwrap();
        put(&*memory, &ours(), &device, Precondition::Absent);
        let component = DeviceComponent::from_json(
            format!(
                r#"{{"resourceType":"DeviceComponent","id":"mds-{at}","identifier":{{"value":"1"}},
                "type":{{"text":"pump"}},"source":{{"reference":"Device/pump-{at}"}}}}"#
            )
            .as_bytes(),
        );
        put(&*memory, &ours(), &component.unwrap(), Precondition::Absent);
    }
    let service = UpdateService::new(memory.clone(), memory.clone(), ledger.clone()).unwrap();
    (memory, ledger, service.with_clock(|| datetime!(2017-04-19 10:00:00.5 UTC)))
}

fn upload(service: &UpdateService<Memory, Memory, Weighing>, at: usize) -> AvailableUpdate {
    let device = format!("pump-{at}").parse().unwrap();
    let submission = Submission::new(device, "2.4.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
    block_on(service.receive(&ours(), submission, firmware())).unwrap_or_else(|error| panic!("{at}: {error:?}")).update
}

fn withdraw(service: &UpdateService<Memory, Memory, Weighing>, id: IngestId) {
    let ended = block_on(service.withdraw(&ours(), id, doctor(), "recalled".parse().unwrap())).unwrap();
    assert!(ended.state.is_end());
}

fn doctor() -> ActorId {
    "biomed/j.doe".parse().unwrap()
}

#[test]
fn same_bytes_for_3000_components_cost_constant_time() {
    const UPLOADS: usize = 3_000;
    let (memory, ledger, service) = rollout(UPLOADS);
    let (mut ids, mut most) = (Vec::new(), (0, 0));
    block_on(service.check_store(&ours())).unwrap();
    ledger.look();
    for at in 0..UPLOADS {
        ids.push(upload(&service, at).id);
        let (calls, written) = ledger.look();
        most = (most.0.max(calls), most.1.max(written));
    }
    assert!(most.0 <= 16 && most.1 <= 40 << 10, "an upload takes {most:?} calls and bytes");
    assert_eq!(keys(&memory).len(), UPLOADS.div_ceil(256));
    for id in ids {
        withdraw(&service, id);
    }
    let collected = block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
    assert_eq!((collected.deleted, collected.failed.len()), (12, 0));
    assert_eq!(keys(&memory), []);
    assert_eq!(block_on(service.sweep(&ours())).unwrap(), Swept::default());
    let records = block_on(service.audit_records(&ours())).unwrap();
    let blobs = replay(&records).unwrap().blobs;
    assert_eq!(blobs.len(), 12);
    assert!(blobs.values().all(|entry| entry.state == blob::State::Gone));
}

#[test]
fn each_copy_is_swept_and_scrubbed_alone() {
    let (memory, _, service) = rollout(3);
    let service = service.with_uploads_per_copy(1);
    let ids: Vec<_> = (0..3).map(|at| upload(&service, at).id).collect();
    let copies = keys(&memory);
    assert_eq!(copies.len(), 3);
    assert_eq!(block_on(service.sweep(&ours())).unwrap().kept, 3);
    let mut done = 0;
    assert!(block_on(service.scrub(&ours(), |progress| done = progress.blobs)).unwrap().is_empty());
    assert_eq!(done, 3);
    for key in &copies {
        let said = block_on(service.media_type(&ours(), key)).unwrap();
        assert_eq!(said, Some("application/octet-stream".parse().unwrap()));
    }
    withdraw(&service, ids[0]);
    assert_eq!(block_on(service.collect(&ours(), Duration::ZERO)).unwrap().deleted, 1);
    assert_eq!(keys(&memory).len(), 2);
    upload(&service, 0);
    assert_eq!(keys(&memory).len(), 3);
}

#[test]
fn pin_keeps_one_copy_until_unpinned() {
    let (memory, _, service) = rollout(3);
    let service = service.with_uploads_per_copy(1);
    let (digest, case) = (Sha256::of(b"firmware"), Holder::LegalHold("case-7".parse().unwrap()));
    let first = upload(&service, 0).id;
    block_on(service.pin(&ours(), &digest, case.clone(), doctor())).unwrap();
    let pinned = keys(&memory);
    let later: Vec<_> = (1..3).map(|at| upload(&service, at).id).collect();
    // It is put aside by now, and kept already.
    block_on(service.pin(&ours(), &digest, case.clone(), doctor())).unwrap();
    later.into_iter().chain([first]).for_each(|id| withdraw(&service, id));
    block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
    assert_eq!(keys(&memory), pinned);
    // The newest copy is gone, and an older one is there.
    let other = Holder::LegalHold("case-8".parse().unwrap());
    block_on(service.pin(&ours(), &digest, other.clone(), doctor())).unwrap();
    for (by, left) in [(case, pinned), (other, vec![])] {
        block_on(service.unpin(&ours(), &digest, by, doctor())).unwrap();
        block_on(service.collect(&ours(), Duration::ZERO)).unwrap();
        assert_eq!(keys(&memory), left);
    }
}
