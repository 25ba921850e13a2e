//! Writers that use neither the service nor the REST API: their changes to references are detected and repaired.

use super::double::block_on;
use super::*;
use fhir_devices::audit::UploadFailure;
use fhir_devices::audit::{Action, AuditDraft};
use fhir_devices::datatype::{Extension, ExtensionValue};
use fhir_devices::service::{IngestId, MissingReferences, ReconcilePosition, Reconciled, Reference, UnknownReferences};
use fhir_devices::update::ingest::State;
use fhir_devices::update::replay;
use std::num::NonZeroU32;

/// Compares everything, page by page.
fn reconcile(service: &Service<Memory>) -> Reconciled {
    let (mut whole, mut from) = (Reconciled::default(), Some(ReconcilePosition::default()));
    while let Some(position) = from {
        let two = NonZeroU32::MIN.saturating_add(1);
        let page = block_on(service.reconcile(&ours(), two, position)).unwrap();
        whole.reattached.extend(page.reattached);
        whole.lost.extend(page.lost);
        whole.component_deleted.extend(page.component_deleted);
        whole.unknown.extend(page.unknown);
        whole.failed.extend(page.failed);
        whole.stopped |= page.stopped;
        from = page.next;
    }
    assert!(whole.failed.is_empty(), "{:?}", whole.failed);
    let again = block_on(service.audit_records(&ours())).unwrap();
    replay(&again).unwrap();
    whole
}

fn is_idle(reconciled: &Reconciled) -> bool {
    reconciled.reattached.is_empty() && reconciled.lost.is_empty() && reconciled.unknown.is_empty()
}

/// Another writer restores its own copy of the component.
fn overwrite(memory: &Memory, component: &DeviceComponent) {
    put(memory, &ours(), component, Precondition::Exists);
}

fn plain() -> DeviceComponent {
    let (id, code, display, parent) = MONITOR[1];
    component(id, code, display, parent)
}

fn actions(service: &Service<Memory>) -> Vec<Action> {
    block_on(service.audit_records(&ours())).unwrap().iter().map(|record| record.draft.action).collect()
}

fn forged(id: IngestId) -> Extension {
    let part = |url: &str, value: ExtensionValue| Extension::new(url.parse().unwrap(), value);
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","identifier":{{"value":"1"}},"type":{{"text":"x"}},"extension":[{{
        "url":"{AVAILABLE_UPDATE}","extension":[{{"url":"id","valueId":"{id}"}},{{"url":"status","valueCode":"current"}},
        {{"url":"sha-256","valueString":"{}"}},{{"url":"size","valueDecimal":3}},{{"url":"file","valueAttachment":
        {{"contentType":"application/zip","url":"https://evil.example/x","title":"x.bin"}}}}]}}]}}"#,
        Sha256::of(b"bad"),
    );
    let mut extension = DeviceComponent::from_json(json.as_bytes()).unwrap().extension.remove(0);
    let note: fhir_devices::primitive::Text = "forged".parse().unwrap();
    extension.extension.push(part("note", fhir_devices::datatype::Primitive::from(note).into()));
    extension
}

#[test]
fn dropped_reference_is_written_again() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), firmware()).unwrap().update;
    let second = receive(&service, keyed("k1"), stream::once("software")).unwrap().update;
    assert!(is_idle(&reconcile(&service)));
    let before = updates(&read(&memory, "ecg").0);
    overwrite(&memory, &plain());
    let ingest = block_on(service.upload(&ours(), second.id)).unwrap();
    assert_eq!(block_on(service.reference(&ours(), &ingest)).unwrap(), Some(Reference::Missing));
    let mended = reconcile(&service);
    assert_eq!(mended.reattached.len(), 2, "{mended:?}");
    // In their order, with their states.
    assert_eq!(updates(&read(&memory, "ecg").0), before);
    assert_eq!(before.iter().map(|update| update.id).collect::<Vec<_>>(), [first.id, second.id]);
    assert_eq!(actions(&service).iter().filter(|action| **action == Action::Reattached).count(), 2);
    let ingest = block_on(service.upload(&ours(), second.id)).unwrap();
    assert_eq!(block_on(service.reference(&ours(), &ingest)).unwrap(), Some(Reference::Present));
    assert!(is_idle(&reconcile(&service)));
    let (_, version) = read(&memory, "ecg");
    assert!(is_idle(&reconcile(&service)));
    assert_eq!(read(&memory, "ecg").1.version, version.version);
}

#[test]
fn changed_reference_is_corrected() {
    let (memory, service) = fleet();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let mut other = plain();
    other.extension.push(forged(update.id));
    overwrite(&memory, &other);
    let ingest = block_on(service.upload(&ours(), update.id)).unwrap();
    assert_eq!(block_on(service.reference(&ours(), &ingest)).unwrap(), Some(Reference::Changed));
    assert_eq!(reconcile(&service).reattached, [update.id]);
    assert_eq!(updates(&read(&memory, "ecg").0), [update]);
}

#[test]
fn reference_that_says_more_or_stands_twice_is_corrected() {
    let (memory, service) = fleet();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let (own, _) = read(&memory, "ecg");
    let mut with_part = own.clone();
    with_part.extension[0].extension.push(forged(update.id).extension.pop().unwrap());
    let mut with_file = own.clone();
    let file = forged(update.id).extension.into_iter().find(|part| part.url == "file").unwrap();
    with_file.extension[0].extension.push(file);
    let mut twice = own.clone();
    twice.extension.push(own.extension[0].clone());
    for changed in [with_part, with_file, twice] {
        overwrite(&memory, &changed);
        let ingest = block_on(service.upload(&ours(), update.id)).unwrap();
        assert_eq!(block_on(service.reference(&ours(), &ingest)).unwrap(), Some(Reference::Changed));
        assert_eq!(reconcile(&service).reattached, [update.id]);
        assert_eq!(read(&memory, "ecg").0.extension, own.extension);
        assert!(is_idle(&reconcile(&service)));
    }
    // What a server may add does not count.
    let mut with_id = own.clone();
    with_id.extension[0].id = Some("x".parse().unwrap());
    overwrite(&memory, &with_id);
    assert!(is_idle(&reconcile(&service)));
}

#[test]
fn import_keeps_attached_updates() {
    let (memory, service) = fleet();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let mut sent = plain();
    sent.language_code = fhir_devices::datatype::CodeableConcept::text("imported").ok();
    let mut with_another = sent.clone();
    with_another.extension.push(forged(IngestId(7)));
    for one in [sent, with_another] {
        let url = "https://ehr.example/DeviceComponent/ecg";
        let entry = format!(r#"{{"fullUrl":"{url}","resource":{}}}"#, one.to_json());
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entry}]}}"#);
        let bundle = fhir_devices::Bundle::from_json(bundle.as_bytes()).unwrap();
        block_on(resources(&memory).import(&fhir_devices::Valid::new(bundle).unwrap())).unwrap();
        let (now, _) = read(&memory, "ecg");
        assert!(now.to_json().contains("imported"));
        assert_eq!(updates(&now), std::slice::from_ref(&update));
    }
    assert!(is_idle(&reconcile(&service)));
}

#[test]
fn stale_component_does_not_restore_an_old_update() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), firmware()).unwrap().update;
    let (old, _) = read(&memory, "ecg");
    receive(&service, keyed("k1"), stream::once("software")).unwrap();
    let before = updates(&read(&memory, "ecg").0);
    overwrite(&memory, &old);
    assert_eq!(updates(&read(&memory, "ecg").0), [first]);
    reconcile(&service);
    assert_eq!(updates(&read(&memory, "ecg").0), before);
}

#[test]
fn update_attached_without_its_predecessor_supersedes_it() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), firmware()).unwrap().update;
    overwrite(&memory, &plain());
    let second = receive(&service, keyed("k1"), stream::once("software")).unwrap().update;
    reconcile(&service);
    let now: Vec<_> = updates(&read(&memory, "ecg").0).iter().map(|update| (update.id, update.status)).collect();
    assert_eq!(now, [(first.id, UpdateStatus::Superseded), (second.id, UpdateStatus::Current)]);
    let ingest = block_on(service.upload(&ours(), first.id)).unwrap();
    assert!(matches!(ingest.state, State::Superseded { by, .. } if by == second.id), "{:?}", ingest.state);
}

#[test]
fn older_update_reattached_first_does_not_supersede_the_newer() {
    let memory = Arc::new(Memory::new());
    fill(&*memory);
    let service = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    let next = std::sync::atomic::AtomicU64::new(1);
    // Uploads are compared in the order of their ids: the older one first.
    let service = service.with_ids(move || IngestId(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed).into()));
    let first = receive(&service, to_ecg(), firmware()).unwrap().update;
    // The second does not see the first, whose record still says that it is current.
    overwrite(&memory, &plain());
    let second = receive(&service, keyed("k1"), stream::once("software")).unwrap().update;
    overwrite(&memory, &plain());
    for _ in 0..3 {
        reconcile(&service);
    }
    let now: Vec<_> = updates(&read(&memory, "ecg").0).iter().map(|update| (update.id, update.status)).collect();
    assert_eq!(now, [(first.id, UpdateStatus::Superseded), (second.id, UpdateStatus::Current)]);
    assert!(is_idle(&reconcile(&service)));
}

/// A blob store whose URLs are signed anew each time.
struct Signing(Arc<Memory>, std::sync::atomic::AtomicU64);

impl BlobStore for Signing {
    fn capabilities(&self) -> BlobCapabilities {
        let mut capabilities = BlobStore::capabilities(&*self.0);
        capabilities.signed_url = true;
        capabilities
    }

    fn begin<'a>(&'a self, t: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        self.0.begin(t)
    }

    fn get<'a>(
        &'a self,
        t: &'a Tenant,
        k: &'a BlobKey,
        range: Option<std::ops::Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        BlobStore::get(&*self.0, t, k, range)
    }

    fn head<'a>(&'a self, t: &'a Tenant, k: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        self.0.head(t, k)
    }

    fn delete<'a>(&'a self, t: &'a Tenant, k: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        self.0.delete(t, k)
    }

    fn list<'a>(
        &'a self,
        t: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        self.0.list(t, limit, after)
    }

    fn url<'a>(&'a self, t: &'a Tenant, k: &'a BlobKey, _: UrlKind) -> BoxFuture<'a, Result<url::Url>> {
        let signature = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let url = format!("https://bucket.example/{t}/{}/{}?signature={signature}", k.digest, k.generation);
        Box::pin(async move { Ok(url.parse().unwrap()) })
    }
}

#[test]
fn signed_url_is_compared_without_its_signature() {
    let memory = Arc::new(Memory::new());
    fill(&*memory);
    let blobs = Arc::new(Signing(memory.clone(), Default::default()));
    let service = UpdateService::new(memory.clone(), blobs, memory.clone()).unwrap();
    let kind = UrlKind::Signed { valid_for: std::time::Duration::from_secs(60) };
    let service = service.with_url_kind(kind).unwrap();
    let update = block_on(service.receive(&ours(), to_ecg(), firmware())).unwrap().update;
    let compare = || block_on(service.reconcile(&ours(), NonZeroU32::MAX, ReconcilePosition::default())).unwrap();
    assert!(compare().reattached.is_empty(), "another signature alone is no other address");
    let (mut other, _) = read(&memory, "ecg");
    let mut elsewhere = update.clone();
    elsewhere.file.url = update.file.url.as_str().replace("bucket", "evil").parse().unwrap();
    other.extension = vec![elsewhere.to_extension()];
    overwrite(&memory, &other);
    let ingest = block_on(service.upload(&ours(), update.id)).unwrap();
    assert_eq!(block_on(service.reference(&ours(), &ingest)).unwrap(), Some(Reference::Changed));
    assert_eq!(compare().reattached, [update.id]);
    let now = updates(&read(&memory, "ecg").0).remove(0).file.url;
    assert!(now.as_str().starts_with("https://bucket.example/"), "{now}");
}

#[test]
fn upload_is_marked_lost_by_policy() {
    let (memory, service) = fleet();
    let service = service.with_missing_references(MissingReferences::MarkLost);
    let update = receive(&service, keyed("k1"), firmware()).unwrap().update;
    overwrite(&memory, &plain());
    assert_eq!(reconcile(&service).lost, [update.id]);
    let ingest = block_on(service.upload(&ours(), update.id)).unwrap();
    assert_eq!(ingest.state, State::Closed { reason: UploadFailure::Lost });
    assert!(updates(&read(&memory, "ecg").0).is_empty());
    assert!(actions(&service).contains(&Action::Lost));
    assert!(is_idle(&reconcile(&service)));
    // The same may be sent again.
    assert!(receive(&service, keyed("k1"), firmware()).is_ok());
}

#[test]
fn recreated_component_gets_its_updates_back() {
    let (memory, service) = fleet();
    let update = receive(&service, keyed("k1"), firmware()).unwrap().update;
    let key: Key = "DeviceComponent/ecg".parse().unwrap();
    block_on(memory.commit(&ours(), vec![Write::delete(key.clone(), Precondition::Exists)])).unwrap();
    let found = reconcile(&service);
    assert_eq!((found.component_deleted.as_slice(), is_idle(&found)), (&[update.id][..], true));
    let replayed = receive(&service, keyed("k1"), firmware());
    assert!(matches!(replayed, Err(ReceiveError::ComponentDeleted { .. })), "{replayed:?}");
    put(&*memory, &ours(), &plain(), Precondition::Absent);
    assert_eq!(reconcile(&service).reattached, [update.id]);
    assert_eq!(updates(&read(&memory, "ecg").0), [update]);
    block_on(memory.commit(&ours(), vec![Write::delete(key, Precondition::Exists)])).unwrap();
    let marking = service.with_missing_references(MissingReferences::MarkLost);
    assert_eq!(reconcile(&marking).lost.len(), 1);
}

#[test]
fn replayed_upload_returns_the_current_state() {
    let (memory, service) = fleet();
    let first = receive(&service, keyed("k1"), firmware()).unwrap();
    overwrite(&memory, &plain());
    let again = receive(&service, keyed("k1"), firmware()).unwrap();
    assert!(again.replayed);
    assert_eq!(again.update, first.update);
    let (now, version) = read(&memory, "ecg");
    assert_eq!((&again.component, again.version), (&now, version.version));
    assert_eq!(updates(&now), [first.update]);
    overwrite(&memory, &plain());
    let marking = service.with_missing_references(MissingReferences::MarkLost);
    let lost = receive(&marking, keyed("k1"), firmware());
    assert!(matches!(lost, Err(ReceiveError::Ended { reason: UploadFailure::Lost, .. })), "{lost:?}");
}

#[test]
fn unknown_reference_is_removed_or_reported() {
    let (memory, service) = fleet();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let mut other = read(&memory, "ecg").0;
    other.extension.push(forged(IngestId(7)));
    let mut malformed = forged(IngestId(8));
    malformed.extension.remove(0);
    other.extension.insert(0, malformed);
    overwrite(&memory, &other);
    let leaving = service.clone().with_unknown_references(UnknownReferences::Leave);
    let left = reconcile(&leaving).unknown;
    let told: Vec<_> = left.iter().map(|found| (found.component.as_str(), found.id, found.removed)).collect();
    assert_eq!(told, [("ecg", None, false), ("ecg", Some(IngestId(7)), false)]);
    // It is never shown as an update.
    let (component, _) = read(&memory, "ecg");
    assert_eq!(block_on(service.updates_of(&ours(), &component)).unwrap(), std::slice::from_ref(&update));
    let removed = reconcile(&service).unknown;
    assert!(removed.len() == 2 && removed.iter().all(|found| found.removed), "{removed:?}");
    assert_eq!(updates(&read(&memory, "ecg").0), [update]);
    assert_eq!(drafts(&service, Action::ReferenceRemoved), [fixture(1), fixture(0)]);
    assert!(is_idle(&reconcile(&service)));
}

/// Returns a line of the fixtures of the service's audit drafts.
fn fixture(line: usize) -> AuditDraft {
    let text = include_str!("../machines/audit-service.jsonl").lines().nth(line).unwrap();
    serde_json::from_str(text).unwrap()
}

/// Returns the drafts of an action in the audit chain, at the time of the fixtures.
fn drafts(service: &Service<Memory>, action: Action) -> Vec<AuditDraft> {
    let records = block_on(service.audit_records(&ours())).unwrap();
    let drafts = records.into_iter().map(|record| record.draft).filter(|what| what.action == action);
    let at_fixture_time = |mut draft: AuditDraft| {
        draft.at = fixture(0).at;
        draft
    };
    drafts.map(at_fixture_time).collect()
}

#[test]
fn ledger_knowing_few_references_removes_none() {
    let (memory, service) = fleet();
    let mut other = plain();
    other.extension.extend((100..120).map(|id| forged(IngestId(id))));
    overwrite(&memory, &other);
    let found = reconcile(&service);
    assert!(found.stopped && found.unknown.len() == 20 && found.unknown.iter().all(|found| !found.removed));
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 20);
}

#[test]
fn restored_withdrawn_update_is_removed_by_every_policy() {
    let (memory, service) = fleet();
    let service =
        service.with_unknown_references(UnknownReferences::Leave).with_withdrawn_retention(std::time::Duration::ZERO);
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let (with_it, _) = read(&memory, "ecg");
    block_on(service.withdraw(&ours(), update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap())).unwrap();
    block_on(service.expire(&ours())).unwrap();
    overwrite(&memory, &with_it);
    let found = reconcile(&service).unknown;
    assert!(matches!(found.as_slice(), [one] if one.removed && one.id == Some(update.id)), "{found:?}");
    assert!(updates(&read(&memory, "ecg").0).is_empty());
}

#[test]
fn reference_of_another_component_is_unknown() {
    let (memory, service) = fleet();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let (mut spo2, _) = read(&memory, "spo2");
    spo2.extension.push(update.to_extension());
    overwrite(&memory, &spo2);
    assert!(block_on(service.updates_of(&ours(), &spo2)).unwrap().is_empty());
    let found = reconcile(&service).unknown;
    assert!(matches!(found.as_slice(), [one] if one.removed && one.component.as_str() == "spo2"), "{found:?}");
    assert!(updates(&read(&memory, "spo2").0).is_empty());
    assert_eq!(updates(&read(&memory, "ecg").0), [update]);
}

#[test]
fn forged_current_update_is_ignored() {
    let (memory, service) = fleet();
    let mut other = plain();
    other.extension.push(forged(IngestId(7)));
    overwrite(&memory, &other);
    let received = receive(&service, to_ecg(), firmware()).unwrap();
    let now = updates(&received.component);
    assert_eq!((now[0].id, now[0].status), (IngestId(7), UpdateStatus::Current));
    assert_eq!(now[1], received.update);
    reconcile(&service);
    assert_eq!(updates(&read(&memory, "ecg").0), [received.update]);
}

#[test]
fn make_current_ignores_a_forged_current_update() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), firmware()).unwrap().update;
    let second = receive(&service, keyed("k1"), stream::once("software")).unwrap().update;
    let (mut other, _) = read(&memory, "ecg");
    other.extension.push(forged(IngestId(7)));
    overwrite(&memory, &other);
    let (by, why) = ("biomed".parse().unwrap(), "the later one is faulty".parse().unwrap());
    let ingest = block_on(service.make_current(&ours(), first.id, by, why)).unwrap();
    assert!(matches!(ingest.state, State::Attached { restored: 1, .. }), "{:?}", ingest.state);
    let ingest = block_on(service.upload(&ours(), second.id)).unwrap();
    assert!(matches!(ingest.state, State::Superseded { by, .. } if by == first.id), "{:?}", ingest.state);
    let there: Vec<_> = updates(&read(&memory, "ecg").0).iter().map(|update| (update.id, update.status)).collect();
    let (current, superseded) = (UpdateStatus::Current, UpdateStatus::Superseded);
    assert_eq!(there, [(first.id, current), (second.id, superseded), (IngestId(7), current)]);
    reconcile(&service);
    let there: Vec<_> = updates(&read(&memory, "ecg").0).iter().map(|update| (update.id, update.status)).collect();
    assert_eq!(there, [(first.id, current), (second.id, superseded)]);
}

#[test]
fn dropped_or_changed_recall_is_shown_again() {
    let (memory, service) = fleet();
    let clock = Arc::new(std::sync::atomic::AtomicI64::new(1_492_596_000));
    let now = Arc::clone(&clock);
    let service = service.with_clock(move || {
        let seconds = now.load(std::sync::atomic::Ordering::Relaxed);
        time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    });
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    let (attached, _) = read(&memory, "ecg");
    let (by, why) = ("biomed".parse().unwrap(), "faulty".parse().unwrap());
    block_on(service.withdraw(&ours(), update.id, by, why)).unwrap();
    let withdrawn = updates(&read(&memory, "ecg").0);
    assert_eq!(withdrawn[0].status, UpdateStatus::Withdrawn);
    assert!(is_idle(&reconcile(&service)));
    for picture in [plain(), attached] {
        overwrite(&memory, &picture);
        assert_eq!(reconcile(&service).reattached, [update.id]);
        assert_eq!(updates(&read(&memory, "ecg").0), withdrawn);
        assert!(is_idle(&reconcile(&service)));
    }
    // The same where an upload whose reference is gone is given up.
    let lost = service.clone().with_missing_references(MissingReferences::MarkLost);
    overwrite(&memory, &plain());
    assert_eq!(reconcile(&lost).reattached, [update.id]);
    let shown_again = drafts(&service, Action::Reattached);
    let words = |draft: &AuditDraft| draft.comment.as_ref().map(|words| words.as_str().to_owned());
    assert_eq!(shown_again.len(), 3);
    for mut draft in shown_again {
        assert_eq!(
            words(&draft),
            words(&fixture(2)).map(|words| words.replace(&IngestId(7).to_string(), &update.id.to_string()))
        );
        draft.comment = fixture(2).comment;
        assert_eq!(draft, fixture(2));
    }
    clock.fetch_add(31 * 86_400, std::sync::atomic::Ordering::Relaxed);
    overwrite(&memory, &plain());
    assert!(is_idle(&reconcile(&service)));
    assert!(updates(&read(&memory, "ecg").0).is_empty());
}

#[test]
fn component_changed_during_repair_is_read_again() {
    let double = Arc::new(Double::default());
    fill(&double.below);
    let service = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
    let update = receive(&service, to_ecg(), firmware()).unwrap().update;
    put(&double.below, &ours(), &plain(), Precondition::Exists);
    let mut left = 2;
    *double.meddle.lock().unwrap() = Some(Box::new(move |memory| {
        if left > 0 {
            left -= 1;
            let mut other = plain();
            other.language_code = fhir_devices::datatype::CodeableConcept::text(&format!("note {left}")).ok();
            put(memory, &ours(), &other, Precondition::Exists);
        }
    }));
    let page = block_on(service.reconcile(&ours(), NonZeroU32::MAX, ReconcilePosition::default())).unwrap();
    assert_eq!(page.reattached, [update.id]);
    *double.meddle.lock().unwrap() = None;
    let (found, _) = read(&double, "ecg");
    assert!(found.to_json().contains("note 0"), "what somebody else wrote meanwhile is kept");
    assert_eq!(updates(&found), std::slice::from_ref(&update));
    block_on(service.withdraw(&ours(), update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap())).unwrap();
    put(&double.below, &ours(), &plain(), Precondition::Exists);
    let page = block_on(service.reconcile(&ours(), NonZeroU32::MAX, ReconcilePosition::default())).unwrap();
    assert_eq!(page.reattached, [update.id]);
    let statuses: Vec<_> = updates(&read(&double, "ecg").0).iter().map(|update| update.status).collect();
    assert_eq!(statuses, [UpdateStatus::Withdrawn], "what was withdrawn is not attached again");
}
