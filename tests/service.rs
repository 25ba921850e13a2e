//! Receiving an update, from the first byte to the reference in the component.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[cfg(feature = "testkit")]
#[path = "service/admission.rs"]
mod admission;
#[path = "service/canonical.rs"]
mod canonical;
#[path = "service/copies.rs"]
mod copies;
#[path = "service/damage.rs"]
mod damage;
#[path = "service/double.rs"]
mod double;
#[path = "service/faults.rs"]
mod faults;
#[cfg(feature = "testkit")]
#[path = "service/grouped.rs"]
mod grouped;
#[path = "service/growth.rs"]
mod growth;
#[cfg(feature = "testkit")]
#[path = "service/lifecycle.rs"]
mod lifecycle;
#[cfg(feature = "testkit")]
#[path = "service/order.rs"]
mod order;
#[path = "service/own_base.rs"]
mod own_base;
#[path = "service/ownership.rs"]
mod ownership;
#[path = "service/reconcile.rs"]
mod reconcile;
#[path = "service/schema.rs"]
mod schema;
#[cfg(feature = "testkit")]
#[path = "service/signed.rs"]
mod signed;

use bytes::Bytes;
use double::{Double, block_on};
use fhir_devices::backend::Memory;
use fhir_devices::containment::{SelectError, Selector, UnfitTargetReason};
use fhir_devices::nomenclature::Level;
use fhir_devices::service::{NoAddresses, ReceiveError, Received, Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::{AVAILABLE_UPDATE, AvailableUpdate, UpdateStatus, available};
use fhir_devices::{Device, DeviceComponent};
use std::sync::Arc;
use time::macros::datetime;

type Service<S> = UpdateService<S, S, S>;

fn ours() -> Tenant {
    "st-mary".parse().unwrap()
}

fn resources<S: ResourceStore>(store: &Arc<S>) -> TenantResources<S> {
    TenantResources::new(Arc::clone(store), ours())
}

fn put<T: Storable>(store: &impl ResourceStore, tenant: &Tenant, resource: &T, when: Precondition) {
    block_on(store.commit(tenant, vec![resource.to_write(when).unwrap()])).unwrap();
}

/// The code, the display and the parent of a component of the monitor.
const MONITOR: [(&str, &str, &str, &str); 4] = [
    ("mds", "69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", ""),
    ("ecg", "70662", "MDC_DEV_ECG_VMD", "mds"),
    ("spo2", "69642", "MDC_DEV_ANALY_SAT_O2_VMD", "mds"),
    ("lead-1", "70663", "MDC_DEV_ECG_CHAN", "ecg"),
];

fn component(id: &str, code: &str, display: &str, parent: &str) -> DeviceComponent {
    let parent = match parent {
        "" => String::new(),
        parent => format!(r#","parent":{{"reference":"DeviceComponent/{parent}"}}"#),
    };
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},"type":{{"coding":[
        {{"system":"urn:iso:std:iso:11073:10101","code":"{code}","display":"{display}"}}]}},
        "source":{{"reference":"Device/monitor"}}{parent}}}"#
    );
    DeviceComponent::from_json(json.as_bytes()).unwrap()
}

/// A tenant with a monitor of four components.
fn fill(store: &impl ResourceStore) {
    let device = Device::from_json(br#"{"resourceType":"Device","id":"monitor"}"#).unwrap();
    put(store, &ours(), &device, Precondition::Absent);
    for (id, code, display, parent) in MONITOR {
        put(store, &ours(), &component(id, code, display, parent), Precondition::Absent);
    }
}

fn fleet() -> (Arc<Memory>, Service<Memory>) {
    let memory = Arc::new(Memory::new());
    fill(&*memory);
    let service = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    (memory, service.with_clock(|| datetime!(2017-04-19 10:00:00.5 UTC)))
}

fn submission(target: Selector) -> Submission {
    let content_type = "application/octet-stream".parse().unwrap();
    let mut submission = Submission::new("monitor".parse().unwrap(), "ecg-2.4.bin".parse().unwrap(), content_type);
    submission.target = target;
    submission
}

fn to_ecg() -> Submission {
    submission(Selector::Component("ecg".parse().unwrap()))
}

fn keyed(key: &str) -> Submission {
    let mut submission = to_ecg();
    submission.idempotency_key = Some(key.parse().unwrap());
    submission
}

fn firmware() -> ByteStream {
    stream::chunks([Bytes::from_static(b"firm"), Bytes::from_static(b"ware")])
}

fn receive<S>(service: &Service<S>, submission: Submission, body: ByteStream) -> Result<Received, ReceiveError>
where
    S: ResourceStore + BlobStore + Ledger,
{
    block_on(service.receive(&ours(), submission, body))
}

fn read(store: &Arc<impl ResourceStore>, id: &str) -> (DeviceComponent, Version) {
    block_on(resources(store).get(id)).unwrap()
}

fn updates(component: &DeviceComponent) -> Vec<AvailableUpdate> {
    available(component).map(Result::unwrap).collect()
}

fn keys(store: &impl BlobStore) -> Vec<BlobKey> {
    let listed = block_on(store.list(&ours(), std::num::NonZeroU32::MAX, None)).unwrap().items;
    listed.iter().map(|info| info.key).filter(|key| StoreId::of_marker(key).is_none()).collect()
}

fn blobs(store: &impl BlobStore) -> Vec<BlobRef> {
    keys(store).iter().map(|key| block_on(store.head(&ours(), key)).unwrap()).collect()
}

fn is_untouched(store: &Arc<impl ResourceStore>) -> bool {
    MONITOR.iter().all(|(id, ..)| read(store, id).1.version == VersionId::FIRST)
}

#[test]
fn update_is_attached_at_each_level() {
    let (memory, service) = fleet();
    for (level, id) in [(Level::Mds, "mds"), (Level::Channel, "lead-1")] {
        let mut submission = submission(Selector::Level(level));
        submission.version = Some("2.4".parse().unwrap());
        submission.sequence = Some(20_240_117_001);
        submission.sha256 = Some(Sha256::of(b"firmware"));
        let received = receive(&service, submission, firmware()).unwrap();
        assert_eq!(received.component.logical_id().unwrap(), id);
        assert_eq!(received.version, VersionId::FIRST.next());
        assert!(!received.replayed);
        let (stored, version) = read(&memory, id);
        assert_eq!((&stored, version.last_updated), (&received.component, received.last_updated));
        assert_eq!(updates(&stored), std::slice::from_ref(&received.update));
        let AvailableUpdate { version, sequence, status, sha256, size, file, .. } = received.update;
        assert_eq!(version.unwrap(), "2.4");
        assert_eq!((sequence, status, size), (Some(20_240_117_001), UpdateStatus::Current, 8));
        assert_eq!(sha256, Sha256::of(b"firmware"));
        assert_eq!((file.title.as_str(), file.content_type.as_str()), ("ecg-2.4.bin", "application/octet-stream"));
        assert_eq!(file.creation.unwrap(), "2017-04-19T10:00:00.5Z");
        assert!(file.url.as_str().contains(&format!("st-mary/sha256/{sha256}/")));
    }
    let vmd = receive(&service, to_ecg(), firmware()).unwrap();
    assert_eq!(vmd.component.logical_id().unwrap(), "ecg");
    assert_eq!(blobs(&*memory), [BlobRef::of(b"firmware")]);
}

#[test]
fn ambiguous_target_lists_the_candidates() {
    let (memory, service) = fleet();
    let refused = receive(&service, submission(Selector::Level(Level::Vmd)), firmware()).unwrap_err();
    let ReceiveError::Unresolved(SelectError::Ambiguous { candidates, .. }) = &refused else { panic!("{refused}") };
    let paths: Vec<_> = candidates.iter().map(|candidate| candidate.path.as_str()).collect();
    assert_eq!(paths, ["mds/ecg", "mds/spo2"]);
    assert_eq!(
        refused.to_string(),
        "2 components match, wanted one of `mds/ecg` (vmd, MDC_DEV_ECG_VMD), \
         `mds/spo2` (vmd, MDC_DEV_ANALY_SAT_O2_VMD)"
    );
    let any = receive(&service, submission(Selector::Any), firmware()).unwrap_err();
    assert!(
        matches!(any, ReceiveError::Unresolved(SelectError::Ambiguous { candidates, .. }) if candidates.len() == 4)
    );
    let none = receive(&service, submission(Selector::Component("gone".parse().unwrap())), firmware()).unwrap_err();
    assert!(matches!(none, ReceiveError::Unresolved(SelectError::None { components, .. }) if components.len() == 4));
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty());
}

#[test]
fn component_entered_in_error_is_never_selected() {
    let (memory, service) = fleet();
    let mut spo2 = component("spo2", "69642", "MDC_DEV_ANALY_SAT_O2_VMD", "mds");
    let status = fhir_devices::datatype::Coding::new("http://hl7.org/fhir/operational-status", "entered-in-error");
    spo2.operational_status.push(status.unwrap().into());
    put(&*memory, &ours(), &spo2, Precondition::Exists);
    let received = receive(&service, submission(Selector::Level(Level::Vmd)), firmware()).unwrap();
    assert_eq!(received.component.logical_id().unwrap(), "ecg");
    let void = receive(&service, submission(Selector::Component("spo2".parse().unwrap())), firmware());
    assert!(matches!(void, Err(ReceiveError::Unresolved(SelectError::None { .. }))));
}

#[test]
fn misplaced_component_is_refused_with_the_reason() {
    let (memory, service) = fleet();
    let ecg = |parent| component("ecg", "70662", "MDC_DEV_ECG_VMD", parent);
    let mut of_another = component("mds", "69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", "");
    of_another.source = Some(fhir_devices::datatype::Reference::to("Device/other").unwrap());
    let mds = component("mds", "69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", "");
    let cases = [
        (ecg("gone"), UnfitTargetReason::NoParent, "the parent of `ecg` is not known"),
        (ecg("lead-1"), UnfitTargetReason::Cycle, "`ecg` is below itself"),
        (ecg("spo2"), UnfitTargetReason::Levels, "the level of `mds/spo2/ecg` is not below that of its parent"),
        (of_another, UnfitTargetReason::OtherSource, "the source of `mds/ecg` is not that of its parent"),
    ];
    let lead = || submission(Selector::Component("lead-1".parse().unwrap()));
    for (faulty, reason, words) in cases {
        put(&*memory, &ours(), &faulty, Precondition::Exists);
        let refused = receive(&service, lead(), firmware()).unwrap_err();
        let ReceiveError::UnfitTarget(unfit) = &refused else { panic!("{refused}") };
        assert_eq!(unfit.reason, reason, "{refused}");
        assert!(refused.to_string().ends_with(words), "{refused}");
        assert_eq!((refused.applied(), refused.is_transient()), (Applied::No, false));
        assert!(blobs(&*memory).is_empty());
        for sound in [ecg("mds"), mds.clone()] {
            put(&*memory, &ours(), &sound, Precondition::Exists);
        }
    }
    assert!(receive(&service, lead(), firmware()).is_ok());
}

#[test]
fn mds_below_an_mds_may_have_its_own_device() {
    let (memory, service) = fleet();
    let mut ward = component("ward", "69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", "");
    ward.source = Some(fhir_devices::datatype::Reference::to("Device/ward").unwrap());
    put(&*memory, &ours(), &ward, Precondition::Absent);
    let mds = component("mds", "69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", "ward");
    put(&*memory, &ours(), &mds, Precondition::Exists);
    // What is above belongs to another device, and is not meant.
    let received = receive(&service, submission(Selector::Level(Level::Mds)), firmware()).unwrap();
    assert_eq!(received.component.logical_id().unwrap(), "mds");
    let ward = receive(&service, submission(Selector::Component("ward".parse().unwrap())), firmware());
    assert!(matches!(ward, Err(ReceiveError::Unresolved(SelectError::None { .. }))));
}

#[test]
fn component_with_only_a_parent_is_a_target() {
    let (memory, service) = fleet();
    let mut pump = component("pump", "69986", "x", "ecg");
    pump.source = None;
    put(&*memory, &ours(), &pump, Precondition::Absent);
    pump = component("deep", "69987", "x", "pump");
    pump.source = None;
    put(&*memory, &ours(), &pump, Precondition::Absent);
    let received = receive(&service, submission(Selector::Component("deep".parse().unwrap())), firmware());
    // A VMD below a VMD: the parent is found, and its place is wrong.
    let Err(ReceiveError::UnfitTarget(unfit)) = received else { panic!("{received:?}") };
    assert_eq!((unfit.path.as_str(), unfit.at.as_str()), ("mds/ecg/pump/deep", "mds/ecg/pump"));
    let mut lead = component("lead-2", "70663", "MDC_DEV_ECG_CHAN", "ecg");
    lead.source = None;
    put(&*memory, &ours(), &lead, Precondition::Absent);
    let received = receive(&service, submission(Selector::Component("lead-2".parse().unwrap())), firmware()).unwrap();
    assert_eq!(received.component.logical_id().unwrap(), "lead-2");
}

#[test]
fn device_of_another_tenant_is_not_found() {
    let (memory, service) = fleet();
    let theirs: Tenant = "st-elsewhere".parse().unwrap();
    let refused = block_on(service.receive(&theirs, to_ecg(), firmware()));
    assert!(matches!(refused, Err(ReceiveError::NoSuchDevice { .. })));
    let mut nowhere = to_ecg();
    nowhere.device = "no-such".parse().unwrap();
    assert!(matches!(receive(&service, nowhere, firmware()), Err(ReceiveError::NoSuchDevice { .. })));
    assert!(is_untouched(&memory));
    assert!(matches!(
        block_on(memory.head(&theirs, &BlobRef::of(b"firmware").key(Generation(1)))),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn tenants_may_share_an_idempotency_key() {
    let (memory, service) = fleet();
    let theirs: Tenant = "st-elsewhere".parse().unwrap();
    put(
        &*memory,
        &theirs,
        &Device::from_json(br#"{"resourceType":"Device","id":"monitor"}"#).unwrap(),
        Precondition::Absent,
    );
    put(&*memory, &theirs, &component("ecg", "70662", "MDC_DEV_ECG_VMD", ""), Precondition::Absent);
    let first = receive(&service, keyed("k"), firmware()).unwrap();
    let second = block_on(service.receive(&theirs, keyed("k"), stream::once("software"))).unwrap();
    assert!(!second.replayed);
    assert_ne!(first.update.id, second.update.id);
}

#[test]
fn foreign_content_of_the_component_is_kept() {
    let (memory, service) = fleet();
    let body = concat!(
        r#"{"resourceType":"DeviceComponent","id":"ecg","meta":{"tag":[{"code":"x"}]},"language":"de","#,
        r#""contained":[{"resourceType":"Basic","id":"b","z":1.500,"a":[]}],"#,
        r#""extension":[{"url":"https://acme.example/hours","valueDecimal":1200.500},"#,
        r#"{"url":"https://acme.example/deep","extension":[{"url":"x","valueString":"\u00e9\u2028"}]}],"#,
        r#""identifier":{"value":"ecg","_value":{"id":"i"}},"#,
        r#""type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"70662"}]},"#,
        r#""source":{"reference":"Device/monitor","display":"the monitor"},"#,
        r#""productionSpecification":[{"productionSpec":"2.3.0"}],"made-up":{"b":1.0,"a":[0.10,null]}}"#
    );
    let write = Write::put(
        "DeviceComponent/ecg".parse().unwrap(),
        body,
        component("ecg", "70662", "MDC_DEV_ECG_VMD", "").index(),
    );
    block_on(memory.commit(&ours(), vec![write])).unwrap();
    let before = read(&memory, "ecg").0.body();
    let received = receive(&service, to_ecg(), firmware()).unwrap();
    let after = String::from_utf8(read(&memory, "ecg").1.body.unwrap().to_vec()).unwrap();
    let mut bare = received.component.clone();
    let ours = bare.extension.pop().unwrap();
    assert_eq!(ours.url, AVAILABLE_UPDATE);
    assert_eq!(bare.body(), before);
    let (head, tail) =
        after.split_once(&format!(r#",{{"extension":[{{"url":"id","valueId":"{}""#, received.update.id)).unwrap();
    assert!(before.starts_with(head), "{before}\n{after}");
    let rest = tail.split_once(&format!(r#""url":"{AVAILABLE_UPDATE}"}}"#)).unwrap().1;
    assert!(before.ends_with(rest), "{before}\n{after}");
    for kept in ["1200.500", r#""z":1.500,"a":[]"#, r#""made-up":{"b":1.0,"a":[0.10,null]}"#, r#""_value":{"id":"i"}"#]
    {
        assert!(after.contains(kept), "{kept} in {after}");
    }
}

#[test]
fn later_update_supersedes_the_previous_one() {
    let (memory, service) = fleet();
    let first = receive(&service, to_ecg(), firmware()).unwrap();
    let second = receive(&service, to_ecg(), stream::once("software")).unwrap();
    let found = updates(&read(&memory, "ecg").0);
    assert_eq!(found[0], first.update.with_status(UpdateStatus::Superseded));
    assert_eq!(found[1], second.update);
}

#[test]
fn digest_mismatch_leaves_nothing() {
    let (memory, service) = fleet();
    let mut declared = keyed("k");
    declared.sha256 = Some(Sha256::of(b"firmware"));
    let refused = receive(&service, declared.clone(), stream::once("firmwarE")).unwrap_err();
    assert!(matches!(refused, ReceiveError::DigestMismatch { declared, found }
        if declared == Sha256::of(b"firmware") && found == Sha256::of(b"firmwarE")));
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty());
    // The key was used for nothing that counts.
    assert!(!receive(&service, declared.clone(), firmware()).unwrap().replayed);
    let torn = receive(&service, declared, stream::once("firmwarE"));
    assert!(matches!(torn, Err(ReceiveError::DigestMismatch { .. })));
}

#[test]
fn size_and_content_type_limits_are_enforced() {
    let (memory, service) = fleet();
    let service = service.with_max_size(7).with_media_types(["application/zip".parse().unwrap()]);
    let wrong = receive(&service, to_ecg(), firmware());
    let wrong = wrong.unwrap_err();
    assert!(matches!(wrong, ReceiveError::MediaType { .. }));
    assert!(wrong.to_string().ends_with("is not accepted, wanted `application/zip`"), "{wrong}");
    let mut zip = keyed("k");
    zip.content_type = "Application/ZIP; charset=utf-8".parse().unwrap();
    assert!(matches!(receive(&service, zip.clone(), firmware()), Err(ReceiveError::TooLarge { limit: 7 })));
    assert!(matches!(receive(&service, zip.clone(), stream::chunks([])), Err(ReceiveError::EmptyFile)));
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty());
    assert_eq!(receive(&service, zip, stream::once("seven b")).unwrap().update.size, 7);
}

#[test]
fn repeated_upload_returns_the_current_component() {
    let (memory, service) = fleet();
    let first = receive(&service, keyed("k"), firmware()).unwrap();
    // Others go on meanwhile.
    receive(&service, to_ecg(), stream::once("software")).unwrap();
    let again = receive(&service, keyed("k"), stream::once("firmware")).unwrap();
    assert_eq!((again.update.id, again.replayed), (first.update.id, true));
    let (now, version) = read(&memory, "ecg");
    assert_eq!((&again.component, again.version), (&now, version.version));
    assert_eq!((updates(&now).len(), again.update.status), (2, UpdateStatus::Superseded));
}

#[test]
fn reused_key_with_other_content_is_refused() {
    let (memory, service) = fleet();
    receive(&service, keyed("k"), firmware()).unwrap();
    for other in ["firmwarE", "firmware and more", "firm", ""] {
        let refused = receive(&service, keyed("k"), stream::once(other));
        assert!(matches!(refused, Err(ReceiveError::KeyReused { .. })), "{other}");
    }
    let mut renamed = keyed("k");
    renamed.file_name = "other.bin".parse().unwrap();
    assert!(matches!(receive(&service, renamed, firmware()), Err(ReceiveError::KeyReused { .. })));
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 1);
    assert_eq!(blobs(&*memory), [BlobRef::of(b"firmware")]);
}

#[test]
fn without_a_key_the_same_bytes_are_a_new_update() {
    let (memory, service) = fleet();
    let (first, second) = (receive(&service, to_ecg(), firmware()), receive(&service, to_ecg(), firmware()));
    assert_ne!(first.unwrap().update.id, second.unwrap().update.id);
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 2);
}

#[test]
fn caller_may_set_the_url() {
    let (_, service) = fleet();
    let service =
        service.with_urls(|tenant, blob| format!("https://a.example/{tenant}/{}", blob.digest).parse().unwrap());
    let received = receive(&service, to_ecg(), firmware()).unwrap();
    let wanted = format!("https://a.example/st-mary/{}", received.update.sha256);
    assert_eq!(received.update.file.url, wanted.as_str());
}

#[test]
fn store_without_urls_is_refused() {
    let (memory, service) = fleet();
    let refused = service.with_url_kind(UrlKind::Signed { valid_for: std::time::Duration::from_secs(60) });
    assert_eq!(refused.unwrap_err(), NoAddresses::Signed);
    let blobs = Arc::new(fhir_devices::backend::Discard::new());
    let refused = UpdateService::new(memory.clone(), blobs.clone(), memory.clone()).unwrap_err();
    assert_eq!(refused, NoAddresses::Public);
    let url = |_: &Tenant, key: &BlobKey| format!("https://a.example/{}", key.digest).parse().unwrap();
    let service = UpdateService::new_with_urls(memory.clone(), blobs, memory, url);
    assert!(block_on(service.receive(&ours(), to_ecg(), firmware())).is_ok());
}

#[test]
fn service_is_dyn_compatible_and_its_futures_are_send() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let (memory, _) = fleet();
    let service = <UpdateService>::new(memory.clone(), memory.clone(), memory).unwrap();
    assert!(block_on(sent(service.receive(&ours(), to_ecg(), firmware()))).is_ok());
}
