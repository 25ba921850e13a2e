//! Uploads that come with a signed manifest.

use super::double::poll_only;
use super::*;
use fhir_devices::audit::{Action, AuditRecord, StateName, UploadFailure, Verdict, Verification, provenance};
use fhir_devices::manifest::{
    AdmissionReasonCode, IngestId, KeyId, ManifestError, ManifestId, Signature, SignatureContext, SignatureError,
    SignedManifest, Verifier,
};
use fhir_devices::search::ResourceType;
use fhir_devices::service::{LifecycleError, SignedSubmission};
use fhir_devices::testkit::{CallOutcome, CallPlan, Faulty};
use fhir_devices::update::ingest::State;
use fhir_devices::update::replay;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// Keys that sign with a digest of a secret; each signs for one provider. Some are revoked, and at times the verifier
/// is unavailable.
#[derive(Clone, Default)]
struct Keys(Arc<Mutex<(BTreeSet<KeyId>, bool)>>);

fn digest(key: &str, bytes: &[u8]) -> Vec<u8> {
    Sha256::of(&[b"secret of ", key.as_bytes(), bytes].concat()).0.to_vec()
}

impl Verifier for Keys {
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError> {
        let (revoked, silent) = &*self.0.lock().unwrap();
        if *silent {
            return Err(SignatureError::Unavailable { source: "nobody answers".into() });
        }
        let may_sign = |key: &KeyId| !revoked.contains(key) && key.as_str().starts_with(context.provider.as_str());
        let mut good = Vec::new();
        for Signature { key, bytes: signature } in signatures.iter().filter(|one| may_sign(&one.key)) {
            if *signature != digest(key.as_str(), bytes) {
                return Err(SignatureError::Wrong { key: key.clone() });
            }
            good.push(key.clone());
        }
        if good.is_empty() {
            return Err(SignatureError::NotAllowed { provider: context.provider.clone() });
        }
        Ok(good)
    }
}

impl Keys {
    fn revoke(&self, key: &str) {
        self.0.lock().unwrap().0.insert(key.parse().unwrap());
    }

    fn silence(&self, silent: bool) {
        self.0.lock().unwrap().1 = silent;
    }
}

/// A manifest for the ECG module: its sequence number, its version, and more members.
fn manifest(sequence: u64, version: &str, more: &str) -> String {
    let sha256 = Sha256::of(b"firmware");
    format!(
        r#"{{"format":1,"identity":{{"provider":"acme","name":"ecg/main","version":"{version}","scheme":"dotted"}},
        "sequence":{sequence},"target":{{"level":"vmd","code":70662}},"reportedAs":"firmware","compatibility":[
        {{"code":70662}}],"artifacts":[{{"name":"ecg.bin","mediaType":"application/x-firmware","size":8,
        "sha256":"{sha256}"}}],"urgency":"security-fix"{more}}}"#
    )
}

fn sign(key: &str, bytes: &str) -> Signature {
    Signature { key: key.parse().unwrap(), bytes: digest(key, bytes.as_bytes()) }
}

fn signed(manifest: &str) -> SignedSubmission {
    let signature = sign("acme-2017", manifest);
    with_manifest(SignedManifest::new(manifest.to_owned(), vec![signature]))
}

fn with_manifest(manifest: SignedManifest) -> SignedSubmission {
    SignedSubmission::new("monitor".parse().unwrap(), "acme".parse().unwrap(), manifest)
}

fn with_key(mut submission: SignedSubmission, key: &str) -> SignedSubmission {
    submission.idempotency_key = Some(key.parse().unwrap());
    submission
}

fn trusting() -> (Arc<Memory>, Service<Memory>, Keys) {
    let (memory, service) = fleet();
    let keys = Keys::default();
    (memory, service.with_verifier(keys.clone()), keys)
}

fn receive_signed<S>(
    service: &Service<S>,
    submission: SignedSubmission,
    body: ByteStream,
) -> Result<Received, ReceiveError>
where
    S: ResourceStore + BlobStore + Ledger,
{
    block_on(service.receive_signed(&ours(), submission, body))
}

/// Sets the reported version of the component.
fn report(memory: &Memory, id: &str, kind: &str, version: &str) {
    let key = Key::new(ResourceType::DeviceComponent, id).unwrap();
    let found = block_on(memory.read(&ours(), &key)).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(found.body.as_ref().unwrap()).unwrap();
    json["productionSpecification"] = serde_json::json!([{
        "specType": {"coding": [{"code": format!("{kind}-revision")}]}, "productionSpec": version
    }]);
    let component = DeviceComponent::from_json(json.to_string().as_bytes()).unwrap();
    put(memory, &ours(), &component, Precondition::Version(found.version));
}

fn records<S: ResourceStore + BlobStore + Ledger>(service: &Service<S>) -> Vec<AuditRecord> {
    let records = block_on(service.audit_records(&ours())).unwrap();
    assert!(block_on(service.verify_audit(&ours(), &[])).unwrap().is_ok());
    replay(&records).unwrap();
    records
}

fn codes(refused: &Result<Received, ReceiveError>) -> Vec<AdmissionReasonCode> {
    let Err(ReceiveError::NotAdmitted { reasons }) = refused else { panic!("{refused:?}") };
    assert!(reasons.iter().all(|reason| reason.is_against));
    reasons.iter().map(|reason| reason.code).collect()
}

fn of(records: &[AuditRecord], action: Action) -> Vec<&AuditRecord> {
    records.iter().filter(|record| record.draft.action == action).collect()
}

#[test]
fn signed_update_is_attached_by_its_manifest() {
    let (memory, service, _) = trusting();
    let submission = signed(&manifest(42, "2.4", ""));
    let received = receive_signed(&service, submission.clone(), firmware()).unwrap();
    let update = &received.update;
    assert_eq!(updates(&read(&memory, "ecg").0), std::slice::from_ref(update));
    assert_eq!((update.version.as_ref().unwrap().as_str(), update.sequence), ("2.4", Some(42)));
    assert_eq!((update.sha256, update.size), (Sha256::of(b"firmware"), 8));
    assert_eq!((update.file.title.as_str(), update.file.content_type.as_str()), ("ecg.bin", "application/x-firmware"));
    assert_eq!(block_on(service.manifest(&ours(), update.id)).unwrap(), Some(submission.manifest));
}

#[test]
fn audit_records_name_the_verified_keys() {
    let (_, service, _) = trusting();
    let bytes = manifest(42, "2.4", "");
    let received = receive_signed(&service, signed(&bytes), firmware()).unwrap();
    receive(&service, submission(Selector::Level(Level::Mds)), stream::once("software")).unwrap();
    let records = records(&service);
    let good = Verification { verdict: Verdict::Verified, keys: vec!["acme-2017".parse().unwrap()] };
    let none = Verification { verdict: Verdict::Unsigned, keys: Vec::new() };
    for action in [Action::Opened, Action::Targeted, Action::Attached] {
        let found: Vec<_> = of(&records, action).iter().map(|one| one.context.verification.clone().unwrap()).collect();
        assert_eq!(found, [good.clone(), none.clone()], "{action}");
    }
    let id = ManifestId::of(bytes.as_bytes());
    for record in records.iter().filter(|record| record.draft.ingest == Some(received.update.id)) {
        assert_eq!(record.context.update.as_ref().unwrap(), "ecg/main");
        assert_eq!(record.draft.manifest, Some(id.0));
    }
}

#[test]
fn invalid_signature_is_refused_before_any_write() {
    let (memory, service, keys) = trusting();
    let good = manifest(42, "2.4", "");
    let other = sign("acme-2017", &manifest(43, "2.4", ""));
    let with = |signatures| with_manifest(SignedManifest::new(good.clone(), signatures));
    let refused = receive_signed(&service, with(vec![other]), firmware()).unwrap_err();
    assert!(matches!(&refused, ReceiveError::Manifest(ManifestError::Signature(SignatureError::Wrong { key }))
        if *key == "acme-2017"));
    assert!(!refused.is_transient() && refused.applied() == Applied::No);
    let theirs = sign("zenith-2017", &good);
    for signatures in [vec![theirs], Vec::new()] {
        let refused = receive_signed(&service, with(signatures), firmware());
        let Err(ReceiveError::Manifest(ManifestError::Signature(why))) = refused else { panic!("{refused:?}") };
        assert!(matches!(why, SignatureError::NotAllowed { .. }));
    }
    // A manifest of another provider, signed by a key of that one.
    let mut taken = signed(&good);
    taken.provider = "zenith".parse().unwrap();
    taken.manifest = SignedManifest::new(good.clone(), vec![sign("zenith-2017", &good)]);
    let refused = receive_signed(&service, taken, firmware());
    assert!(matches!(refused, Err(ReceiveError::Manifest(ManifestError::OtherProvider { .. }))), "{refused:?}");
    keys.silence(true);
    assert!(receive_signed(&service, signed(&good), firmware()).unwrap_err().is_transient());
    assert!(is_untouched(&memory) && blobs(&*memory).is_empty() && records(&service).is_empty());
}

#[test]
fn signed_update_needs_a_verifier() {
    let (memory, service) = fleet();
    let refused = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert!(matches!(refused, Err(ReceiveError::NoVerifier)));
    assert!(is_untouched(&memory) && records(&service).is_empty());
}

#[test]
fn too_many_signatures_are_not_verified() {
    let (_, service, keys) = trusting();
    keys.silence(true);
    let good = manifest(42, "2.4", "");
    for signatures in [vec![Signature { bytes: vec![0; 41 * 1024], ..sign("acme-2017", &good) }], {
        vec![Signature { bytes: Vec::new(), ..sign("acme-2017", &good) }; 2_000]
    }] {
        let manifest = SignedManifest::new(good.clone(), signatures);
        let refused = receive_signed(&service, with_manifest(manifest), firmware());
        let Err(ReceiveError::Manifest(ManifestError::SignaturesTooLarge { .. })) = refused else {
            panic!("{refused:?}")
        };
    }
    // As many as are taken fit into a record of the ledger.
    keys.silence(false);
    let long = Signature { key: "other".parse().unwrap(), bytes: vec![0; 40 * 1024 - 500] };
    let manifest = SignedManifest::new(good.clone(), vec![long, sign("acme-2017", &good)]);
    receive_signed(&service, with_manifest(manifest), firmware()).unwrap();
}

#[test]
fn bytes_not_matching_the_manifest_are_refused() {
    for (bytes, wanted) in [
        ("firmwarE", UploadFailure::DigestMismatch),
        ("firm", UploadFailure::SizeMismatch),
        ("firmware and more", UploadFailure::SizeMismatch),
        ("", UploadFailure::Empty),
    ] {
        let (memory, service, _) = trusting();
        let refused = receive_signed(&service, signed(&manifest(42, "2.4", "")), stream::once(bytes)).unwrap_err();
        match wanted {
            UploadFailure::DigestMismatch => {
                assert!(matches!(refused, ReceiveError::DigestMismatch { declared, found }
                if declared == Sha256::of(b"firmware") && found == Sha256::of(bytes.as_bytes())))
            }
            UploadFailure::SizeMismatch => {
                let ReceiveError::SizeMismatch { declared: 8, found } = refused else { panic!("{refused:?}") };
                assert_eq!(found, (bytes.len() < 8).then_some(bytes.len() as u64));
            }
            _ => assert!(matches!(refused, ReceiveError::EmptyFile)),
        }
        assert!(is_untouched(&memory) && blobs(&*memory).is_empty(), "{bytes}");
        let records = records(&service);
        let last = records.last().unwrap();
        assert_eq!((last.draft.action, last.draft.reason), (Action::Failed, Some(wanted)));
        // The manifest can be used for what it was made for.
        receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).unwrap();
    }
}

#[test]
fn oversized_signed_file_is_refused_before_upload() {
    let (_, service, _) = trusting();
    let service = service.with_max_size(7);
    let refused = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert!(matches!(refused, Err(ReceiveError::TooLarge { limit: 7 })));
    let service = service.with_max_size(8).with_media_types(["application/zip".parse().unwrap()]);
    let refused = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert!(
        matches!(refused, Err(ReceiveError::MediaType { found, .. }) if found.as_str() == "application/x-firmware")
    );
    assert!(records(&service).is_empty());
}

#[test]
fn inadmissible_update_lists_every_reason() {
    let (memory, service, _) = trusting();
    report(&memory, "ecg", "firmware", "3.0");
    let bytes = manifest(42, "2.4", r#","expiresAt":"2017-01-01T00:00:00Z""#).replace(
        r#""compatibility":["#,
        r#""requires":[{"scope":"parent","spec":"software","range":{"scheme":"dotted","atLeast":"1.0"}}],"compatibility":["#,
    );
    let bytes = bytes.replace(r#"{"code":70662}]"#, r#"{"model":"P9"}]"#);
    let refused = receive_signed(&service, signed(&bytes), firmware());
    let wanted = [
        AdmissionReasonCode::Version,
        AdmissionReasonCode::Compatibility,
        AdmissionReasonCode::Requirement,
        AdmissionReasonCode::Expiry,
    ];
    assert_eq!(codes(&refused), wanted);
    let message = refused.unwrap_err().to_string();
    assert!(message.starts_with("the update is not admitted: against, version at UpdateManifest.identity.version: "));
    let told = block_on(service.explain(&ours(), &signed(&bytes))).unwrap();
    assert_eq!(told.iter().filter(|one| one.is_against).map(|one| one.code).collect::<Vec<_>>(), wanted);
    assert!(told.iter().any(|one| !one.is_against && one.code == AdmissionReasonCode::Target));
    assert!(blobs(&*memory).is_empty() && records(&service).is_empty());
}

fn needing_software(at_least: &str) -> String {
    let range = format!(r#"{{"scheme":"dotted","atLeast":"{at_least}"}}"#);
    manifest(42, "2.4", &format!(r#","requires":[{{"scope":"parent","spec":"software","range":{range}}}]"#))
}

#[test]
fn requirement_on_another_component_is_checked() {
    let (memory, service, _) = trusting();
    report(&memory, "mds", "software", "2.9");
    let refused = receive_signed(&service, signed(&needing_software("3.0")), firmware());
    assert_eq!(codes(&refused), [AdmissionReasonCode::Requirement]);
    report(&memory, "mds", "software", "3.1");
    assert!(receive_signed(&service, signed(&needing_software("3.0")), firmware()).is_ok());
}

#[test]
fn device_changed_during_upload_is_checked_again() {
    let (memory, service, _) = trusting();
    report(&memory, "mds", "software", "3.1");
    let other = Arc::clone(&memory);
    let body = stream::chunks(
        [b"firm", b"ware"]
            .into_iter()
            .inspect(move |part| {
                if *part == b"ware" {
                    report(&other, "mds", "software", "2.9");
                }
            })
            .map(|part| Bytes::from_static(part)),
    );
    let refused = receive_signed(&service, with_key(signed(&needing_software("3.0")), "k"), body);
    assert_eq!(codes(&refused), [AdmissionReasonCode::Requirement]);
    assert_eq!(read(&memory, "ecg").1.version, VersionId::FIRST);
    let all = records(&service);
    let failed = of(&all, Action::Failed)[0];
    assert_eq!(failed.draft.reason, Some(UploadFailure::NotAdmitted));
    assert!(failed.draft.comment.as_ref().unwrap().as_str().contains("requirement at UpdateManifest.requires[0]"));
    assert_eq!(block_on(service.collect(&ours(), Duration::ZERO)).unwrap().deleted, 1);
    // Once the device is as it should be, the same key begins anew.
    report(&memory, "mds", "software", "3.0");
    assert!(!receive_signed(&service, with_key(signed(&needing_software("3.0")), "k"), firmware()).unwrap().replayed);
}

#[test]
fn downgrade_needs_permission_in_the_manifest() {
    let (memory, service, _) = trusting();
    receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).unwrap();
    let refused = receive_signed(&service, signed(&manifest(41, "2.3", "")), firmware());
    assert_eq!(codes(&refused), [AdmissionReasonCode::Sequence]);
    let leave = r#","downgrade":{"from":42,"to":41,"reason":"2.4 loses alarms","approvedBy":["biomed/j.doe"],
        "notAfter":"2017-05-01T00:00:00Z"}"#;
    let back = receive_signed(&service, signed(&manifest(41, "2.3", leave)), firmware()).unwrap();
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 2);
    let records = records(&service);
    let targeted = of(&records, Action::Targeted);
    assert_eq!(targeted.last().unwrap().draft.ingest, Some(back.update.id));
    let told = targeted.last().unwrap().draft.downgrade.as_ref().unwrap();
    assert_eq!((told.from, told.to, told.reason.as_str()), (42, 41, "2.4 loses alarms"));
    // The leave is good for one step: from where it leads, it does not lead again.
    let again = receive_signed(&service, signed(&manifest(41, "2.3", &leave.replace("42", "43"))), firmware());
    assert_eq!(codes(&again), [AdmissionReasonCode::Sequence]);
}

#[test]
fn resent_manifest_is_the_same_upload_by_key_only() {
    let (memory, service, _) = trusting();
    let submission = || with_key(signed(&manifest(42, "2.4", "")), "k");
    let first = receive_signed(&service, submission(), firmware()).unwrap();
    let mut again = receive_signed(&service, submission(), firmware()).unwrap();
    assert!(again.replayed);
    again.replayed = first.replayed;
    assert_eq!(again, first);
    let bare = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert_eq!(codes(&bare), [AdmissionReasonCode::Sequence]);
    let other = receive_signed(&service, with_key(signed(&manifest(43, "2.5", "")), "k"), firmware());
    assert!(matches!(other, Err(ReceiveError::KeyReused { .. })));
    let torn = receive_signed(&service, submission(), stream::once("firmwarE"));
    assert!(matches!(torn, Err(ReceiveError::DigestMismatch { .. })));
    for (bytes, found) in [("firm", Some(4)), ("firmware and more", None)] {
        let torn = receive_signed(&service, submission(), stream::once(bytes));
        assert!(matches!(torn, Err(ReceiveError::SizeMismatch { declared: 8, found: size }) if size == found));
    }
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 1);
}

#[test]
fn manifest_of_a_failed_upload_can_be_reused() {
    let double = Arc::new(Double::default());
    fill(&double.below);
    let service = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap().with_max_attempts(1);
    let service = service.with_verifier(Keys::default()).with_clock(|| datetime!(2017-04-19 10:00 UTC));
    let mut left = 1;
    *double.meddle.lock().unwrap() = Some(Box::new(move |memory| {
        if left > 0 {
            left -= 1;
            report(memory, "ecg", "hardware", "1.0");
        }
    }));
    let refused = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert!(matches!(refused, Err(ReceiveError::Contended { attempts: 1, .. })), "{refused:?}");
    let told = block_on(service.explain(&ours(), &signed(&manifest(42, "2.4", "")))).unwrap();
    assert!(told.iter().all(|reason| !reason.is_against), "{told:?}");
    let received = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).unwrap();
    assert_eq!(updates(&read(&double, "ecg").0), std::slice::from_ref(&received.update));
    let again = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware());
    assert_eq!(codes(&again), [AdmissionReasonCode::Sequence]);
}

#[test]
fn one_file_of_a_manifest_is_selected() {
    let (_, service, _) = trusting();
    let second = format!(
        r#""artifacts":[{{"name":"boot.bin","mediaType":"application/x-boot","size":4,"sha256":"{}"}},"#,
        Sha256::of(b"boot")
    );
    let bytes = manifest(42, "2.4", "").replace(r#""artifacts":["#, &second);
    let refused = receive_signed(&service, signed(&bytes), firmware()).unwrap_err();
    assert_eq!(refused.to_string(), "the manifest has several files, wanted the name of one of `boot.bin`, `ecg.bin`");
    let named = |name: &str| signed(&bytes).with_artifact(name.parse().unwrap());
    let refused = receive_signed(&service, named("none.bin"), firmware());
    assert!(matches!(refused, Err(ReceiveError::NoSuchArtifact { wanted: Some(_), .. })));
    let received = receive_signed(&service, named("boot.bin"), stream::once("boot")).unwrap();
    assert_eq!(received.update.file.title, "boot.bin");
}

#[test]
fn tenant_may_require_signed_updates() {
    let (memory, service, _) = trusting();
    let service = service.with_signed_only(|tenant| *tenant == ours());
    let refused = receive(&service, to_ecg(), firmware()).unwrap_err();
    assert!(matches!(refused, ReceiveError::Unsigned { .. }));
    assert_eq!((refused.applied(), refused.is_transient()), (Applied::No, false));
    assert!(is_untouched(&memory) && records(&service).is_empty());
    assert!(receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).is_ok());
    let theirs: Tenant = "st-elsewhere".parse().unwrap();
    let device = Device::from_json(br#"{"resourceType":"Device","id":"monitor"}"#).unwrap();
    put(&*memory, &theirs, &device, Precondition::Absent);
    put(&*memory, &theirs, &component("ecg", "70662", "MDC_DEV_ECG_VMD", ""), Precondition::Absent);
    assert!(block_on(service.receive(&theirs, to_ecg(), firmware())).is_ok());
}

/// Interrupts an upload when it has its bytes and no component refers to it yet.
fn broken_off(memory: &Arc<Memory>, service: &Service<Memory>, is_signed: bool, keys: &Keys) -> IngestId {
    for polls in 0.. {
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let lost = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap().with_verifier(keys.clone());
        let lost = lost.with_clock(|| datetime!(2017-04-19 10:00 UTC)).with_small_size(0);
        let ended = match is_signed {
            true => poll_only(lost.receive_signed(&ours(), signed(&needing_software("3.0")), firmware()), polls),
            false => poll_only(lost.receive(&ours(), to_ecg(), firmware()), polls),
        };
        assert!(ended.is_none(), "the call ends before its bytes are seen alone");
        for record in records(service) {
            let Some(id) = record.draft.ingest else { continue };
            if matches!(block_on(service.upload(&ours(), id)).unwrap().state, State::Stored { target: None, .. }) {
                return id;
            }
        }
    }
    panic!("no bytes are stored");
}

fn state(service: &Service<Memory>, id: IngestId) -> State {
    block_on(service.upload(&ours(), id)).unwrap().state
}

#[test]
fn resumed_upload_is_verified_again() {
    let (memory, service, keys) = trusting();
    report(&memory, "mds", "software", "3.1");
    let id = broken_off(&memory, &service, true, &keys);
    // A service that verifies nothing leaves it as it is, and so does one that cannot ask for the keys.
    let blind = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    let refused = block_on(blind.resume(&ours(), id));
    assert!(matches!(refused, Err(LifecycleError::Attach(ReceiveError::NoVerifier))), "{refused:?}");
    keys.silence(true);
    let refused = block_on(service.resume(&ours(), id));
    assert!(matches!(refused, Err(LifecycleError::Attach(ReceiveError::Manifest(_)))), "{refused:?}");
    keys.silence(false);
    assert!(matches!(state(&service, id), State::Stored { .. }));
    block_on(service.resume(&ours(), id)).unwrap();
    assert!(matches!(state(&service, id), State::Attached { .. }));
    let records = records(&service);
    let attached = of(&records, Action::Attached)[0];
    assert_eq!(attached.context.verification.as_ref().unwrap().keys, ["acme-2017"]);
}

#[test]
fn recovery_refuses_a_revoked_key() {
    let (memory, service, keys) = trusting();
    report(&memory, "mds", "software", "3.1");
    let id = broken_off(&memory, &service, true, &keys);
    keys.revoke("acme-2017");
    block_on(service.recover(&ours())).unwrap();
    assert_eq!(state(&service, id), State::Closed { reason: UploadFailure::NotAdmitted });
    assert!(updates(&read(&memory, "ecg").0).is_empty());
    let records = records(&service);
    let failed = of(&records, Action::Failed);
    let last = failed.last().unwrap();
    assert_eq!(last.context.verification, Some(Verification { verdict: Verdict::Refused, keys: Vec::new() }));
    let why = "no signature is by a key that may sign for the provider `acme` here";
    assert_eq!(last.draft.comment.as_ref().unwrap(), why);
}

#[test]
fn recovery_refuses_what_the_device_no_longer_admits() {
    let (memory, service, keys) = trusting();
    report(&memory, "mds", "software", "3.1");
    let id = broken_off(&memory, &service, true, &keys);
    report(&memory, "mds", "software", "2.9");
    block_on(service.recover(&ours())).unwrap();
    assert_eq!(state(&service, id), State::Closed { reason: UploadFailure::NotAdmitted });
    assert!(updates(&read(&memory, "ecg").0).is_empty());
}

#[test]
fn recovery_refuses_unsigned_if_signing_is_required() {
    let (memory, service, keys) = trusting();
    let id = broken_off(&memory, &service, false, &keys);
    let strict = service.clone().with_signed_only(|_| true);
    block_on(strict.recover(&ours())).unwrap();
    assert_eq!(state(&service, id), State::Closed { reason: UploadFailure::NotAdmitted });
    assert!(updates(&read(&memory, "ecg").0).is_empty());
}

#[test]
fn crash_at_any_point_leaves_an_admitted_reference_or_none() {
    assert_eq!(ends_after_crashes(0).len(), 3);
    // It leaves nothing before its bytes are held.
    assert_eq!(ends_after_crashes(64).len(), 2);
}

fn ends_after_crashes(small_size: usize) -> BTreeSet<StateName> {
    let mut ends = BTreeSet::new();
    for polls in 0.. {
        let (memory, service, keys) = trusting();
        report(&memory, "mds", "software", "3.1");
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let lost = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap().with_verifier(keys.clone());
        let lost = lost.with_clock(|| datetime!(2017-04-19 10:00 UTC)).with_small_size(small_size);
        let ended = poll_only(lost.receive_signed(&ours(), signed(&needing_software("3.0")), firmware()), polls);
        let late = service.with_clock(|| datetime!(2017-04-19 12:00 UTC));
        let before = updates(&read(&memory, "ecg").0).len();
        // Whatever is referred to already stays, whoever was trusted then.
        keys.revoke("acme-2017");
        assert_eq!(block_on(late.recover(&ours())).unwrap().failed.len(), 0, "after {polls} polls");
        assert_eq!(updates(&read(&memory, "ecg").0).len(), before, "after {polls} polls");
        let kept = block_on(late.collect(&ours(), Duration::ZERO)).unwrap();
        assert_eq!((kept.kept as usize, blobs(&*memory).len()), (before, before), "after {polls} polls");
        let records = records(&late);
        ends.extend(records.last().map(|record| record.draft.to));
        if ended.is_some() {
            break;
        }
    }
    ends
}

#[test]
fn mds_below_another_device_is_selected() {
    let (memory, service, _) = trusting();
    let ward = Device::from_json(br#"{"resourceType":"Device","id":"ward"}"#).unwrap();
    put(&*memory, &ours(), &ward, Precondition::Absent);
    let read = |json: &str| DeviceComponent::from_json(json.as_bytes()).unwrap();
    let above = read(
        r#"{"resourceType":"DeviceComponent","id":"ward","identifier":{"value":"w"},"type":{"coding":[
        {"system":"urn:iso:std:iso:11073:10101","code":"69965"}]},"source":{"reference":"Device/ward"}}"#,
    );
    put(&*memory, &ours(), &above, Precondition::Absent);
    let (mut mds, version) = super::read(&memory, "mds");
    mds.parent = Some(fhir_devices::datatype::Reference::to("DeviceComponent/ward").unwrap());
    put(&*memory, &ours(), &mds, Precondition::Version(version.version));
    let bytes = manifest(42, "2.4", "").replace(r#""level":"vmd","code":70662"#, r#""level":"mds""#);
    let bytes = bytes.replace(r#"{"code":70662}]"#, r#"{"code":69965}]"#);
    let received = receive_signed(&service, signed(&bytes), firmware()).unwrap();
    assert_eq!(received.component.logical_id().unwrap(), "mds");
}

#[test]
fn withdrawal_record_has_the_version_made() {
    let (memory, service, _) = trusting();
    let received = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).unwrap();
    let by = "biomed/j.doe".parse().unwrap();
    block_on(service.withdraw(&ours(), received.update.id, by, "recalled".parse().unwrap())).unwrap();
    let now = read(&memory, "ecg").1.version;
    let records = records(&service);
    let marked = of(&records, Action::Marked)[0];
    assert_eq!((marked.context.before, marked.context.written), (Some(received.version), Some(now)));
    let told = provenance(marked).unwrap();
    assert!(told.contains(&format!(r#""target":[{{"reference":"DeviceComponent/ecg/_history/{now}"}}]"#)), "{told}");
    assert!(told.contains(&format!("DeviceComponent/ecg/_history/{}", received.version)), "{told}");
}

#[test]
fn refusal_states_found_and_wanted() {
    let named = |wanted: Option<&str>| ReceiveError::NoSuchArtifact {
        wanted: wanted.map(|name| name.parse().unwrap()),
        found: ["boot.bin", "ecg.bin"].map(|name| name.parse().unwrap()).to_vec(),
    };
    let said = [
        (ReceiveError::SizeMismatch { declared: 8, found: Some(4) }, "the file has 4 bytes, wanted 8"),
        (ReceiveError::SizeMismatch { declared: 8, found: None }, "the file has more than 8 bytes, wanted 8"),
        (ReceiveError::NoVerifier, "no signature can be verified here"),
        (ReceiveError::Unsigned { tenant: ours() }, "the tenant `st-mary` accepts only updates with a signed manifest"),
        (named(Some("x.bin")), "the manifest does not have the file `x.bin`, wanted one of `boot.bin`, `ecg.bin`"),
        (named(None), "the manifest has several files, wanted the name of one of `boot.bin`, `ecg.bin`"),
        (ReceiveError::NotAdmitted { reasons: Vec::new() }, "the update is not admitted: "),
    ];
    for (error, words) in said {
        assert_eq!(error.to_string(), words);
        assert_eq!((error.applied(), error.is_transient()), (Applied::No, false));
    }
}

#[test]
fn unnumbered_upload_cannot_follow_a_signed_one() {
    let (memory, service, _) = trusting();
    let first = receive_signed(&service, signed(&manifest(6, "2.4", "")), firmware()).unwrap();
    let late = receive(&service, to_ecg(), stream::once("software"));
    assert_eq!(
        late.unwrap_err().to_string(),
        "the update has no sequence number, and the component accepted the number 6: wanted one above that"
    );
    assert_eq!(updates(&read(&memory, "ecg").0), [first.update]);
    let (high, words) = (manifest(u64::MAX, "2.5", ""), "wanted at most 9223372036854775807");
    let refused = receive_signed(&service, signed(&high), firmware());
    assert!(refused.unwrap_err().to_string().ends_with(words));
}

/// Returns the number of manifests in the ledger.
fn manifests(memory: &Memory) -> usize {
    let folder = "manifest".parse().unwrap();
    block_on(Ledger::scan(memory, &ours(), &folder, std::num::NonZeroU32::MAX, None)).unwrap().items.len()
}

#[test]
fn manifest_is_kept_while_an_upload_refers_to_it() {
    let (memory, service, _) = trusting();
    let service = service.with_withdrawn_retention(Duration::ZERO).with_ended_retention(Duration::ZERO);
    let received = receive_signed(&service, signed(&manifest(42, "2.4", "")), firmware()).unwrap();
    assert_eq!((manifests(&memory), block_on(service.collect_manifests(&ours())).unwrap()), (1, 0));
    block_on(service.withdraw(&ours(), received.update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap()))
        .unwrap();
    assert_eq!(block_on(service.collect_manifests(&ours())).unwrap(), 0);
    // Its reference goes, and then its record.
    block_on(service.expire(&ours())).unwrap();
    block_on(service.expire(&ours())).unwrap();
    assert_eq!((manifests(&memory), block_on(service.collect_manifests(&ours())).unwrap()), (1, 1));
    assert_eq!((manifests(&memory), block_on(service.collect_manifests(&ours())).unwrap()), (0, 0));
}

#[test]
fn manifest_resent_during_collection_is_kept() {
    let bytes = manifest(42, "2.4", "");
    for polls in 0.. {
        let (memory, service, keys) = trusting();
        let at = "manifest".parse::<LedgerKey>().unwrap();
        let digest = Sha256::of(bytes.as_bytes());
        let place: LedgerKey = format!("{at}/{digest}").parse().unwrap();
        // Left by an upload that expired.
        block_on(memory.apply(&ours(), vec![Change::create(place, bytes.clone())])).unwrap();
        let slow =
            Arc::new(Faulty::planned(memory.clone(), |_| CallPlan { before: 1, ..CallPlan::of(CallOutcome::Works) }));
        let collector = UpdateService::new(slow.clone(), slow.clone(), slow).unwrap().with_verifier(keys);
        let tenant = ours();
        let mut collection = Box::pin(collector.collect_manifests(&tenant));
        let early = poll_only(collection.as_mut(), polls);
        receive_signed(&service, signed(&bytes), firmware()).unwrap();
        let over = early.is_some();
        if !over {
            block_on(collection).unwrap();
        }
        assert_eq!(manifests(&memory), 1, "after {polls} polls the manifest of an upload is collected");
        if over {
            return;
        }
    }
}
