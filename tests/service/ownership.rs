//! Ownership of files: the common id of store and ledger, quarantine, limits, adoption.

use super::{Service, blobs, block_on, fill, firmware, keys, ours, put, read, receive, to_ecg, updates};
use fhir_devices::audit::Action;
use fhir_devices::backend::Memory;
use fhir_devices::service::{MaintenanceError, ReceiveError, StoreMismatch, SweepRules, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::replay;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Resources and files, with replaceable ledgers.
struct Place {
    memory: Arc<Memory>,
    clock: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        fill(&*memory);
        Self { memory, clock: Arc::new(AtomicI64::new(1_492_596_000)) }
    }

    fn service(&self, ledger: &Arc<Memory>) -> Service<Memory> {
        let clock = Arc::clone(&self.clock);
        UpdateService::new(self.memory.clone(), self.memory.clone(), ledger.clone())
            .unwrap()
            .with_clock(move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap())
    }

    fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn ledger() -> Arc<Memory> {
    Arc::new(Memory::new())
}

fn adopt(service: &Service<Memory>) -> fhir_devices::service::Adopted {
    let why = "restored from the backup of Monday".parse().unwrap();
    block_on(service.adopt_store(&ours(), "ops/j.doe".parse().unwrap(), why)).unwrap()
}

fn put_file(memory: &Arc<Memory>, bytes: &'static [u8], generation: u128) -> BlobKey {
    let blobs = TenantBlobs::new(Arc::clone(memory), ours());
    let (blob, _) = block_on(blobs.put(Generation(generation), stream::once(bytes))).unwrap();
    blob.key(Generation(generation))
}

fn all_quarantined(service: &Service<Memory>) -> Vec<fhir_devices::service::Quarantined> {
    block_on(service.quarantine(&ours(), NonZeroU32::MAX, None)).unwrap().items
}

/// Returns a copy of a ledger in its current state.
fn snapshot(of: &Memory) -> Arc<Memory> {
    let copy = ledger();
    for folder in ["ingest", "blob", "accepted", "audit", "manifest", "quarantine"] {
        let page = block_on(Ledger::scan(of, &ours(), &folder.parse().unwrap(), NonZeroU32::MAX, None)).unwrap();
        for record in page.items {
            block_on(copy.apply(&ours(), vec![Change::create(record.key, record.value)])).unwrap();
        }
    }
    for key in ["audit-head", "store-id"] {
        if let Some(record) = block_on(Ledger::get(of, &ours(), &key.parse().unwrap())).unwrap() {
            block_on(copy.apply(&ours(), vec![Change::create(record.key, record.value)])).unwrap();
        }
    }
    copy
}

#[test]
fn store_and_ledger_are_paired_at_first_use() {
    let (place, ledger) = (Place::new(), ledger());
    let service = place.service(&ledger);
    receive(&service, to_ecg(), firmware()).unwrap();
    let id = block_on(service.check_store(&ours())).unwrap();
    assert_eq!(block_on(place.memory.head(&ours(), &id.marker())).unwrap(), StoreId::content());
    // Another process over both has the same.
    assert_eq!(block_on(place.service(&ledger).check_store(&ours())).unwrap(), id);
}

#[test]
fn lost_ledger_deletes_and_accepts_nothing() {
    let place = Place::new();
    receive(&place.service(&ledger()), to_ecg(), firmware()).unwrap();
    let before = keys(&*place.memory);
    let service = place.service(&ledger());
    for _ in 0..3 {
        for error in [
            block_on(service.sweep(&ours())).unwrap_err(),
            block_on(service.collect(&ours(), Duration::ZERO)).unwrap_err(),
            block_on(service.check_store(&ours())).unwrap_err(),
        ] {
            let MaintenanceError::Mismatch(StoreMismatch::EmptyLedger { store: Some(_), .. }) = &error else {
                panic!("{error}")
            };
            assert!(error.to_string().contains("restore the ledger from its backup, or adopt the store"), "{error}");
        }
        let refused = receive(&service, to_ecg(), firmware()).unwrap_err();
        assert!(matches!(refused, ReceiveError::StoreMismatch(_)), "{refused}");
        assert_eq!(refused.applied(), Applied::No);
        place.wait(30 * DAY);
    }
    assert_eq!(keys(&*place.memory), before);
}

#[test]
fn empty_ledger_over_unpaired_files_is_refused() {
    let place = Place::new();
    let file = put_file(&place.memory, b"from before there were ids", 7);
    let refused = block_on(place.service(&ledger()).sweep(&ours())).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::EmptyLedger { store: None, .. })), "{refused}");
    assert_eq!(keys(&*place.memory), [file]);
}

#[test]
fn ledger_and_files_without_ids_are_paired() {
    let (place, ledger) = (Place::new(), ledger());
    receive(&place.service(&ledger), to_ecg(), firmware()).unwrap();
    let id = block_on(place.service(&ledger).check_store(&ours())).unwrap();
    let key: LedgerKey = "store-id".parse().unwrap();
    let record = block_on(Ledger::get(&*ledger, &ours(), &key)).unwrap().unwrap();
    block_on(ledger.apply(&ours(), vec![Change::delete(key, record.revision)])).unwrap();
    block_on(place.memory.delete(&ours(), &id.marker())).unwrap();
    assert_ne!(block_on(place.service(&ledger).check_store(&ours())).unwrap(), id);
}

#[test]
fn second_ledger_over_one_store_is_refused() {
    let (place, first, second) = (Place::new(), ledger(), ledger());
    let one = place.service(&first);
    receive(&one, to_ecg(), firmware()).unwrap();
    // The second had a store of its own before, and was given this one by mistake.
    let elsewhere = Arc::new(Memory::new());
    fill(&*elsewhere);
    let two = UpdateService::new(elsewhere.clone(), elsewhere, second.clone()).unwrap();
    block_on(two.check_store(&ours())).unwrap();
    let two = place.service(&second);
    let refused = block_on(two.sweep(&ours())).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::OtherLedger { .. })), "{refused}");
    assert!(matches!(receive(&two, to_ecg(), firmware()), Err(ReceiveError::StoreMismatch(_))));
    // The first goes on.
    receive(&one, to_ecg(), stream::once("software")).unwrap();
    assert_eq!(block_on(one.sweep(&ours())).unwrap().kept, 2);
}

#[test]
fn store_without_its_marker_is_refused() {
    let (place, ledger) = (Place::new(), ledger());
    let id = block_on(place.service(&ledger).check_store(&ours())).unwrap();
    block_on(place.memory.delete(&ours(), &id.marker())).unwrap();
    let refused = block_on(place.service(&ledger).check_store(&ours())).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::UnmarkedStore { .. })), "{refused}");
}

#[test]
fn crash_between_pairing_writes_is_resumed() {
    let (place, ledger) = (Place::new(), ledger());
    let record = r#"{"format":1,"id":"0000000000000000000000000000feed","confirmed":false}"#;
    block_on(ledger.apply(&ours(), vec![Change::create("store-id".parse().unwrap(), record)])).unwrap();
    assert_eq!(block_on(place.service(&ledger).check_store(&ours())).unwrap(), StoreId(0xfeed));
    // And behind the second: the marker is there, and the ledger does not say so yet.
    let (place, ledger) = (Place::new(), self::ledger());
    put_file(&place.memory, StoreId::CONTENT.as_bytes(), 0xfeed);
    block_on(ledger.apply(&ours(), vec![Change::create("store-id".parse().unwrap(), record)])).unwrap();
    assert_eq!(block_on(place.service(&ledger).check_store(&ours())).unwrap(), StoreId(0xfeed));
}

#[test]
fn two_ledgers_marking_a_store_are_both_refused() {
    let (place, ledger) = (Place::new(), ledger());
    let id = block_on(place.service(&ledger).check_store(&ours())).unwrap();
    put_file(&place.memory, StoreId::CONTENT.as_bytes(), 2);
    let refused = block_on(place.service(&ledger).sweep(&ours())).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::Shared { .. })), "{refused}");
    // The other one, which never had the store, takes its marker back.
    let other = self::ledger();
    let record = format!(r#"{{"format":1,"id":"{}","confirmed":false}}"#, StoreId(2));
    block_on(other.apply(&ours(), vec![Change::create("store-id".parse().unwrap(), record)])).unwrap();
    assert!(block_on(place.service(&other).check_store(&ours())).is_err());
    assert_eq!(block_on(place.service(&ledger).check_store(&ours())).unwrap(), id);
}

#[test]
fn unknown_file_is_watched_quarantined_and_deleted() {
    let (place, ledger) = (Place::new(), ledger());
    let service = place.service(&ledger);
    receive(&service, to_ecg(), firmware()).unwrap();
    let file = put_file(&place.memory, b"left behind", 7);
    let sweep = || block_on(service.sweep(&ours())).unwrap();
    assert_eq!((sweep().watched, sweep().deleted), (1, 0));
    let seen = all_quarantined(&service);
    assert_eq!((seen.len(), seen[0].key, seen[0].since, seen[0].due), (1, file, None, None));
    place.wait(DAY - 1);
    assert_eq!(sweep().watched, 1);
    place.wait(1);
    assert_eq!(sweep().quarantined, 1);
    let seen = all_quarantined(&service)[0];
    assert_eq!(seen.due, seen.since.map(|since| since + Duration::from_secs(7 * 24 * 3_600)));
    place.wait(7 * DAY - 1);
    assert_eq!((sweep().deleted, keys(&*place.memory).contains(&file)), (0, true));
    place.wait(1);
    let swept = sweep();
    assert_eq!((swept.deleted, swept.quarantined, swept.kept), (1, 0, 1));
    assert!(!keys(&*place.memory).contains(&file) && all_quarantined(&service).is_empty());
    let records = block_on(service.audit_records(&ours())).unwrap();
    let of_file: Vec<_> = records.iter().filter(|record| record.draft.generation == Some(file.generation)).collect();
    let actions: Vec<_> = of_file.iter().map(|record| record.draft.action).collect();
    assert_eq!(actions, [Action::Quarantined, Action::Swept]);
    assert_eq!(of_file[1].draft.blob, Some(BlobRef::of(b"left behind")));
    assert!(replay(&records).unwrap().quarantined.is_empty());
    assert!(block_on(service.verify_audit(&ours(), &[])).unwrap().is_ok());
}

#[test]
fn known_file_leaves_quarantine() {
    let (place, whole) = (Place::new(), ledger());
    receive(&place.service(&whole), to_ecg(), firmware()).unwrap();
    let older = snapshot(&whole);
    receive(&place.service(&whole), to_ecg(), stream::once("software")).unwrap();
    let late = keys(&*place.memory).into_iter().find(|key| key.digest == Sha256::of(b"software")).unwrap();
    let service = place.service(&older);
    block_on(service.sweep(&ours())).unwrap();
    place.wait(DAY);
    assert_eq!(block_on(service.sweep(&ours())).unwrap().quarantined, 1);
    assert_eq!(all_quarantined(&service)[0].key, late);
    // Its entry is brought back from the newer ledger.
    let at: LedgerKey = format!("blob/{}", late.digest).parse().unwrap();
    let record = block_on(Ledger::get(&*whole, &ours(), &at)).unwrap().unwrap();
    block_on(older.apply(&ours(), vec![Change::create(at, record.value)])).unwrap();
    let swept = block_on(service.sweep(&ours())).unwrap();
    assert_eq!((swept.readmitted, swept.quarantined), (1, 0));
    assert!(all_quarantined(&service).is_empty());
    let records = block_on(service.audit_records(&ours())).unwrap();
    assert!(records.iter().any(|record| record.draft.action == Action::Readmitted));
    assert!(replay(&records).unwrap().quarantined.is_empty());
}

#[test]
fn older_ledger_deletes_no_referenced_file() {
    let (place, whole) = (Place::new(), ledger());
    let service = place.service(&whole);
    receive(&service, to_ecg(), firmware()).unwrap();
    let older = snapshot(&whole);
    let late = receive(&service, to_ecg(), stream::once("software")).unwrap();
    let service = place.service(&older);
    for _ in 0..20 {
        let swept = block_on(service.sweep(&ours())).unwrap();
        assert_eq!(swept.deleted, 0);
        place.wait(2 * DAY);
    }
    assert_eq!(block_on(service.sweep(&ours())).unwrap().referenced, 1);
    assert!(updates(&read(&place.memory, "ecg").0).contains(&late.update));
    assert!(blobs(&*place.memory).contains(&BlobRef::of(b"software")));
}

#[test]
fn older_ledger_collects_no_referenced_file() {
    let (place, whole) = (Place::new(), ledger());
    let service = place.service(&whole);
    let first = receive(&service, to_ecg(), firmware()).unwrap();
    let by = || "biomed/j.doe".parse().unwrap();
    block_on(service.withdraw(&ours(), first.update.id, by(), "recalled".parse().unwrap())).unwrap();
    // Nobody needs the bytes, by this ledger.
    let older = snapshot(&whole);
    receive(&service, to_ecg(), firmware()).unwrap();
    place.wait(DAY);
    let collected = block_on(place.service(&older).collect(&ours(), Duration::from_secs(60))).unwrap();
    assert_eq!((collected.deleted, collected.referenced), (0, 1));
    assert_eq!(blobs(&*place.memory), [BlobRef::of(b"firmware")]);
}

#[test]
fn too_many_due_files_are_all_kept() {
    let (place, ledger) = (Place::new(), ledger());
    let rules = SweepRules::default().with_max_per_round(2);
    let service = place.service(&ledger).with_sweep_rules(rules);
    block_on(service.check_store(&ours())).unwrap();
    for (generation, bytes) in [(1, &b"one"[..]), (2, b"two"), (3, b"three")] {
        put_file(&place.memory, bytes, generation);
    }
    // Two are noted in the first round, and the third in the next.
    let first = block_on(service.sweep(&ours())).unwrap();
    assert_eq!((first.watched, first.over_limit), (2, true));
    assert!(!block_on(service.sweep(&ours())).unwrap().over_limit);
    place.wait(DAY);
    block_on(service.sweep(&ours())).unwrap();
    place.wait(7 * DAY);
    for _ in 0..3 {
        let swept = block_on(service.sweep(&ours())).unwrap();
        assert_eq!((swept.over_limit, swept.deleted, swept.quarantined), (true, 0, 3));
    }
    assert_eq!(keys(&*place.memory).len(), 3);
    // An operator looked, and lets them go.
    let service = service.with_sweep_rules(SweepRules::default().with_max_per_round(3));
    let swept = block_on(service.sweep(&ours())).unwrap();
    assert_eq!((swept.over_limit, swept.deleted), (false, 3));
}

#[test]
fn adopted_store_belongs_to_its_new_ledger() {
    let (place, lost, new) = (Place::new(), ledger(), ledger());
    let before = place.service(&lost);
    receive(&before, to_ecg(), firmware()).unwrap();
    let id = block_on(before.check_store(&ours())).unwrap();
    let service = place.service(&new);
    let adopted = adopt(&service);
    assert_eq!(adopted.replaced, [id]);
    assert_eq!(block_on(service.check_store(&ours())).unwrap(), adopted.id);
    receive(&service, to_ecg(), stream::once("software")).unwrap();
    let swept = block_on(service.sweep(&ours())).unwrap();
    assert_eq!((swept.kept, swept.watched), (1, 1));
    assert!(matches!(
        block_on(before.sweep(&ours())),
        Err(MaintenanceError::Mismatch(StoreMismatch::OtherLedger { .. }))
    ));
    let records = block_on(service.audit_records(&ours())).unwrap();
    let record = records.iter().find(|record| record.draft.action == Action::StoreAdopted).unwrap();
    assert_eq!(record.draft.actor, Some("ops/j.doe".parse().unwrap()));
    assert_eq!(record.draft.comment.as_ref().unwrap().as_str(), "restored from the backup of Monday");
    assert!(replay(&records).is_ok());
}

#[test]
fn tenants_are_paired_separately() {
    let (place, ledger) = (Place::new(), ledger());
    let theirs: Tenant = "st-elsewhere".parse().unwrap();
    put(&*place.memory, &theirs, &super::component("ecg", "70662", "MDC_DEV_ECG_VMD", ""), Precondition::Absent);
    let service = place.service(&ledger);
    receive(&service, to_ecg(), firmware()).unwrap();
    let stranger = place.service(&self::ledger());
    assert!(block_on(stranger.check_store(&ours())).is_err());
    let one = block_on(service.check_store(&ours())).unwrap();
    assert_ne!(block_on(service.check_store(&theirs)).unwrap(), one);
}

#[test]
fn concurrent_starts_get_the_same_id() {
    for early in 0.. {
        let double = Arc::new(super::Double::default());
        let service = || UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
        let (one, other, tenant) = (service(), service(), ours());
        let mut first = Box::pin(one.check_store(&tenant));
        let begun = super::double::poll_only(first.as_mut(), early);
        let second = block_on(other.check_store(&tenant)).unwrap();
        let is_over = begun.is_some();
        let first = begun.unwrap_or_else(|| block_on(first)).unwrap();
        assert_eq!(first, second, "after {early} polls");
        if is_over {
            return;
        }
    }
}
