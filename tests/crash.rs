//! A crash at every effect of every successful call: a new process brings it to the same end, whatever was done before.
#![cfg(feature = "testkit")]
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic, and shares the worlds of another"
)]

#[path = "simulation/choices.rs"]
mod choices;
#[path = "simulation/fleet.rs"]
mod fleet;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/signed.rs"]
mod signed;

use choices::Choices;
use fhir_devices::DeviceComponent;
use fhir_devices::audit::Holder;
use fhir_devices::backend::Memory;
use fhir_devices::containment::Selector;
use fhir_devices::manifest::IngestId;
use fhir_devices::search::ResourceType;
use fhir_devices::service::{Submission, SweepRules, UpdateService};
use fhir_devices::store::*;
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use fhir_devices::update::blob::Entry;
use fhir_devices::update::ingest::{Ingest, State};
use fhir_devices::update::replay;
use fhir_devices::update::{UpdateStatus, available};
use fleet::{FOREIGN, fill, now, run, tenants};
use net::Net;
use signed::{OneKey, signed};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use time::OffsetDateTime;

type Service = UpdateService<Net, Net, Net>;
type Call = Pin<Box<dyn Future<Output = ()>>>;

/// The final state of all stores, without random ids.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// The updates in the components: the component, the status, the digest, the sequence number.
    references: Vec<(String, UpdateStatus, Sha256, Option<u64>)>,
    /// The states of the uploads, and the reasons of failed ones, in the order of their begin.
    uploads: Vec<String>,
    /// The bytes in the store, and the number of their holders.
    blobs: BTreeMap<Sha256, usize>,
}

struct Stage {
    memory: Arc<Memory>,
    net: Arc<Net>,
    clock: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
}

impl Stage {
    fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(1_492_596_000));
        let memory = Arc::new(Memory::new());
        fill(&memory);
        let faulty = Arc::new(Faulty::planned(Arc::clone(&memory), |_| CallPlan::of(CallOutcome::Works)));
        let net = Arc::new(Net::new(faulty, Choices::given(&[]), None));
        Self { memory, net, clock, ids: Arc::new(AtomicU64::new(1)) }
    }

    /// Returns the service of a new process.
    fn service(&self) -> Service {
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        UpdateService::new(Arc::clone(&self.net), Arc::clone(&self.net), Arc::clone(&self.net))
            .unwrap()
            .with_clock(move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap())
            .with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into()))
            .with_verifier(OneKey(None))
            .with_sweep_rules(SweepRules::default().with_grace(Duration::ZERO).with_quarantine(Duration::ZERO))
            .with_urls(|_, key| format!("https://cdn.example/{}/{}", key.digest, key.generation).parse().unwrap())
    }

    /// Recovery, collection and sweep by a new process; returns the final state.
    fn end(&self) -> End {
        let [tenant, _] = tenants();
        self.clock.fetch_add(1_000_000, Ordering::Relaxed);
        let service = self.service();
        let recovered = run(service.recover(&tenant)).unwrap().unwrap();
        assert!(recovered.failed.is_empty() && recovered.waiting == 0, "{recovered:?}");
        let collected = run(service.collect(&tenant, Duration::ZERO)).unwrap().unwrap();
        assert!(collected.failed.is_empty(), "{collected:?}");
        run(service.sweep(&tenant)).unwrap().unwrap();
        run(service.verify_audit(&tenant, &[])).unwrap().unwrap().unwrap();
        let records = run(service.audit_records(&tenant)).unwrap().unwrap();
        let replayed = replay(&records).unwrap();
        let uploads = self.uploads();
        assert_eq!(replayed.uploads, uploads.iter().map(|one| (one.id, one.state.clone())).collect());
        let said = |ingest: &Ingest| match &ingest.state {
            State::Closed { reason } => format!("closed: {reason}"),
            state => state.name().to_string(),
        };
        let uploads = uploads.iter().map(said).collect();
        End { references: self.references(), uploads, blobs: self.blobs() }
    }

    fn scan(&self, prefix: &str) -> Vec<LedgerRecord> {
        let prefix = LedgerKey::new(prefix).unwrap();
        now(Ledger::scan(&*self.memory, &tenants()[0], &prefix, NonZeroU32::MAX, None)).unwrap().items
    }

    fn uploads(&self) -> Vec<Ingest> {
        let records = ["ingest/open", "ingest/rest"].into_iter().flat_map(|shelf| self.scan(shelf));
        let mut uploads: Vec<Ingest> = records.map(|record| Ingest::from_bytes(&record.value).unwrap()).collect();
        uploads.sort_by_key(|ingest| ingest.id);
        uploads
    }

    fn references(&self) -> Vec<(String, UpdateStatus, Sha256, Option<u64>)> {
        let mut all = Vec::new();
        for id in fleet::COMPONENTS {
            let key = Key::new(ResourceType::DeviceComponent, id).unwrap();
            let version = now(self.memory.read(&tenants()[0], &key)).unwrap();
            assert!(String::from_utf8_lossy(version.body.as_ref().unwrap()).contains(FOREIGN));
            let component = DeviceComponent::from_version(&version).unwrap();
            for update in available(&component).map(Result::unwrap) {
                let generation = update.file.url.as_str().rsplit('/').next().unwrap().parse().unwrap();
                let blob = BlobRef { digest: update.sha256, size: update.size };
                // The bytes of a withdrawn update may be deleted while it is still shown.
                if update.status != UpdateStatus::Withdrawn {
                    assert_eq!(now(self.memory.head(&tenants()[0], &blob.key(generation))).unwrap(), blob);
                }
                all.push((id.to_owned(), update.status, update.sha256, update.sequence));
            }
        }
        all
    }

    /// Returns the stored bytes, which must agree with the ledger and be needed.
    fn blobs(&self) -> BTreeMap<Sha256, usize> {
        let entries: Vec<Entry> =
            self.scan("blob").iter().map(|record| Entry::from_bytes(&record.value).unwrap()).collect();
        let held: Vec<&Entry> = entries.iter().filter(|entry| entry.holders().next().is_some()).collect();
        let list = now(self.memory.list(&tenants()[0], NonZeroU32::MAX, None)).unwrap().items;
        let keys = list.iter().map(|info| info.key);
        let kept: BTreeSet<BlobKey> = keys.filter(|key| StoreId::of_marker(key).is_none()).collect();
        assert_eq!(kept, held.iter().map(|entry| entry.key()).collect());
        let uploads = self.uploads();
        for entry in &held {
            for holder in entry.holders() {
                let Holder::Ingest(id) = holder else { panic!("{holder:?}") };
                assert!(uploads.iter().any(|one| one.id == *id && one.state.key() == Some(entry.key())), "{holder:?}");
            }
        }
        held.iter().map(|entry| (entry.blob.digest, entry.holders().count())).collect()
    }
}

fn submission(key: Option<&str>, sequence: Option<u64>) -> Submission {
    let kind = "application/octet-stream".parse().unwrap();
    let mut submission = Submission::new("monitor".parse().unwrap(), "monitor.bin".parse().unwrap(), kind);
    submission.target = Selector::Component("vmd".parse().unwrap());
    submission.sequence = sequence;
    submission.idempotency_key = key.map(|key| key.parse().unwrap());
    submission
}

fn receive(service: Service, key: Option<&'static str>, sequence: Option<u64>, bytes: &'static str) -> Call {
    Box::pin(async move {
        let [tenant, _] = tenants();
        service.receive(&tenant, submission(key, sequence), stream::once(bytes)).await.unwrap();
    })
}

/// A scenario: its preparation, and the call that is interrupted at each of its effects.
struct Way {
    before: fn(&Stage),
    call: fn(Service) -> Call,
    /// Whether the call is sent again after the crash; otherwise the recovery alone completes it.
    again: bool,
}

fn nothing(_: &Stage) {}

fn first(stage: &Stage) {
    run(receive(stage.service(), Some("k"), Some(1), "firmware")).unwrap();
}

fn two(stage: &Stage) {
    first(stage);
    run(receive(stage.service(), Some("l"), Some(2), "software")).unwrap();
}

fn withdraw(service: Service) -> Call {
    Box::pin(async move {
        let (by, why) = ("biomed/j.doe".parse().unwrap(), "recalled".parse().unwrap());
        service.withdraw(&tenants()[0], IngestId(1), by, why).await.unwrap();
    })
}

fn make_current(service: Service) -> Call {
    Box::pin(async move {
        let (by, why) = ("biomed/j.doe".parse().unwrap(), "2 loses alarms".parse().unwrap());
        service.make_current(&tenants()[0], IngestId(1), by, why).await.unwrap();
    })
}

fn retire(service: Service) -> Call {
    Box::pin(async move { drop(service.retire(&tenants()[0], IngestId(1), None).await.unwrap()) })
}

impl Way {
    /// Interrupts the call after each of its polls, and compares the final state with that of an uninterrupted call.
    fn is_whole(&self) {
        let whole = Stage::new();
        (self.before)(&whole);
        run((self.call)(whole.service())).unwrap();
        let wanted = whole.end();
        // The bytes at hand before the first record, or read after it.
        for small_size in [64 << 10, 0] {
            let mut crashes = 0;
            for polls in 0.. {
                let stage = Stage::new();
                (self.before)(&stage);
                let mut call = (self.call)(stage.service().with_small_size(small_size));
                let ended = (0..polls)
                    .any(|_| pin!(&mut call).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
                drop(call);
                if ended {
                    break;
                }
                crashes += 1;
                if self.again {
                    run((self.call)(stage.service())).unwrap();
                    assert_eq!(stage.end(), wanted, "after a crash behind {polls} polls");
                    continue;
                }
                // Before its first write, a call has done nothing, and recovery knows nothing of it.
                let begun = stage.end();
                if begun != wanted {
                    let untouched = Stage::new();
                    (self.before)(&untouched);
                    assert_eq!(begun.references, untouched.references(), "after a crash behind {polls} polls");
                    run((self.call)(stage.service())).unwrap();
                    assert_eq!(stage.end(), wanted, "after a crash behind {polls} polls, and the call again");
                }
            }
            assert!(crashes > 4, "{crashes}");
            println!("{crashes} crashes");
        }
    }
}

#[test]
fn crash_in_upload_then_resend_attaches_once() {
    Way { before: nothing, call: |service| receive(service, Some("k"), Some(1), "firmware"), again: true }.is_whole();
}

#[test]
fn crash_in_signed_upload_then_resend_attaches_once() {
    let call = |service: Service| -> Call {
        Box::pin(async move {
            let mut submission = signed(1, "2.0.0", 2, b"software");
            submission.idempotency_key = Some("l".parse().unwrap());
            service.receive_signed(&tenants()[0], submission, stream::once("software")).await.unwrap();
        })
    };
    Way { before: first, call, again: true }.is_whole();
}

#[test]
fn crash_in_upload_of_same_bytes_keeps_both_holders() {
    Way { before: first, call: |service| receive(service, Some("l"), Some(2), "firmware"), again: true }.is_whole();
}

#[test]
fn crash_in_repeated_key_changes_nothing() {
    Way { before: first, call: |service| receive(service, Some("k"), Some(1), "firmware"), again: true }.is_whole();
}

#[test]
fn crash_in_later_upload_supersedes_once() {
    Way { before: first, call: |service| receive(service, Some("l"), Some(2), "software"), again: true }.is_whole();
}

#[test]
fn crash_in_withdrawal_is_resumed() {
    Way { before: two, call: withdraw, again: false }.is_whole();
}

#[test]
fn crash_in_retirement_is_resumed() {
    Way { before: two, call: retire, again: false }.is_whole();
}

#[test]
fn crash_in_restoration_is_resumed() {
    Way { before: two, call: make_current, again: false }.is_whole();
}

#[test]
fn crash_in_expiry_is_resumed() {
    let before = |stage: &Stage| {
        two(stage);
        run(withdraw(stage.service())).unwrap();
        stage.clock.fetch_add(100 * 86_400, Ordering::Relaxed);
    };
    let call =
        |service: Service| -> Call { Box::pin(async move { drop(service.expire(&tenants()[0]).await.unwrap()) }) };
    Way { before, call, again: true }.is_whole();
}

#[test]
fn crash_in_retiring_upload_then_resend_attaches_once() {
    let before = |stage: &Stage| {
        two(stage);
        for (key, sequence) in [("m", 3), ("n", 4)] {
            run(receive(stage.service(), Some(key), Some(sequence), "firmware")).unwrap();
        }
    };
    Way { before, call: |service| receive(service, Some("o"), Some(5), "software"), again: true }.is_whole();
}

#[test]
fn crash_in_collection_is_resumed() {
    let before = |stage: &Stage| {
        two(stage);
        run(withdraw(stage.service())).unwrap();
        stage.clock.fetch_add(100, Ordering::Relaxed);
    };
    let call = |service: Service| -> Call {
        Box::pin(async move { drop(service.collect(&tenants()[0], Duration::ZERO).await.unwrap()) })
    };
    Way { before, call, again: false }.is_whole();
}

#[test]
fn crash_in_upload_without_key_completes_or_ends() {
    let mut ends = BTreeSet::new();
    for polls in 0.. {
        let stage = Stage::new();
        let mut call = receive(stage.service(), None, Some(1), "firmware");
        let ended =
            (0..polls).any(|_| pin!(&mut call).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        drop(call);
        let end = stage.end();
        let uploads: Vec<&str> = end.uploads.iter().map(String::as_str).collect();
        match uploads[..] {
            [] | ["closed: upload-lost"] => assert!(end.references.is_empty() && end.blobs.is_empty(), "{end:?}"),
            ["attached"] => assert_eq!((end.references.len(), end.blobs.len()), (1, 1), "{end:?}"),
            _ => panic!("after a crash behind {polls} polls: {end:?}"),
        }
        ends.insert(uploads.concat());
        if ended {
            break;
        }
    }
    assert_eq!(ends.len(), 3, "{ends:?}");
}
