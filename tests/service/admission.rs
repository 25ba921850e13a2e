//! The claims of an upload against the accepted and reported versions of its component.

use super::double::poll_only;
use super::faults::double;
use super::*;
use fhir_devices::audit::{Action, AuditRecord, UploadFailure};
use fhir_devices::manifest::{ActorId, MAX_SEQUENCE, ProductionSpec, VersionScheme};
use fhir_devices::search::ResourceType;
use fhir_devices::service::SequenceError;
use fhir_devices::update::VersionDowngrade;
use fhir_devices::update::ingest::{NotAcceptable, State};
use fhir_devices::update::replay;

fn biomed() -> ActorId {
    "biomed/j.doe".parse().unwrap()
}

fn versioned(version: &str) -> Submission {
    to_ecg().with_version(version.parse().unwrap())
}

fn numbered(sequence: u64) -> Submission {
    to_ecg().with_sequence(sequence)
}

/// Returns stores that were used before: the ledger and the blob store are paired.
fn used() -> (Arc<Double>, Service<Double>) {
    let (double, service) = double();
    receive(&service, submission(Selector::Component("mds".parse().unwrap())), firmware()).unwrap();
    (double, service)
}

fn software() -> ByteStream {
    stream::once("software")
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, ReceiveError>) -> NotAcceptable {
    match answer {
        Err(ReceiveError::NotAcceptable(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

fn records<S: ResourceStore + BlobStore + Ledger>(service: &Service<S>) -> Vec<AuditRecord> {
    let records = block_on(service.audit_records(&ours())).unwrap();
    assert!(block_on(service.verify_audit(&ours(), &[])).unwrap().is_ok());
    replay(&records).unwrap();
    records
}

/// Sets the reported versions of the component.
fn report(memory: &Memory, versions: &[(&str, &str)]) {
    let key = Key::new(ResourceType::DeviceComponent, "ecg").unwrap();
    let found = block_on(memory.read(&ours(), &key)).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(found.body.as_ref().unwrap()).unwrap();
    let of = |(kind, version): &(&str, &str)| serde_json::json!({"specType": {"coding": [{"code": format!("{kind}-revision")}]}, "productionSpec": version});
    json["productionSpecification"] = versions.iter().map(of).collect();
    let component = DeviceComponent::from_json(json.to_string().as_bytes()).unwrap();
    put(memory, &ours(), &component, Precondition::Version(found.version));
}

#[test]
fn replacing_the_bytes_of_a_version_needs_permission() {
    let (memory, service) = fleet();
    let first = receive(&service, versioned("2.4"), firmware()).unwrap();
    // The same bytes are the same update of the same version.
    receive(&service, versioned("2.4"), firmware()).unwrap();
    let refused = refusal(receive(&service, versioned("2.4"), software()));
    let (known, found) = (Sha256::of(b"firmware"), Sha256::of(b"software"));
    assert_eq!(
        refused.to_string(),
        format!(
            "the file of version `2.4` has the digest `{found}`, and the version stands for `{known}`: wanted those \
             bytes, another version, or leave to replace them"
        )
    );
    // With a declared digest it is refused before the bytes, and leaves no record.
    let uploads = records(&service).len();
    let declared = versioned("2.4").with_sha256(found);
    refusal(receive(&service, declared, software()));
    assert_eq!(records(&service).len(), uploads);
    // A device may have the bytes of one that was withdrawn.
    block_on(service.withdraw(&ours(), first.update.id, biomed(), "recalled".parse().unwrap())).unwrap();
    refusal(receive(&service, versioned("2.4"), software()));
    let leave = versioned("2.4").with_replace(true).with_sender(biomed());
    let replaced = receive(&service, leave, software()).unwrap();
    assert_eq!(updates(&read(&memory, "ecg").0).last().unwrap(), &replaced.update);
    let records = records(&service);
    let targeted = records
        .iter()
        .find(|record| record.draft.ingest == Some(replaced.update.id) && record.draft.action == Action::Targeted);
    let what = &targeted.unwrap().draft;
    assert_eq!((what.replaces, what.actor.clone()), (Some(known), Some(biomed())));
    // From now on the version stands for the new bytes.
    refusal(receive(&service, versioned("2.4"), firmware()));
    receive(&service, versioned("2.5"), firmware()).unwrap();
}

#[test]
fn versions_attached_before_version_records_count() {
    let (memory, service) = fleet();
    receive(&service, versioned("2.4"), firmware()).unwrap();
    let folder = LedgerKey::new("version").unwrap();
    for record in block_on(Ledger::scan(&*memory, &ours(), &folder, std::num::NonZeroU32::MAX, None)).unwrap().items {
        let gone = Change::delete(record.key, record.revision);
        block_on(Ledger::apply(&*memory, &ours(), vec![gone])).unwrap();
    }
    refusal(receive(&service, versioned("2.4"), software()));
}

#[test]
fn of_two_uploads_of_a_version_one_wins() {
    let tenant = ours();
    for early in 0.. {
        let mut is_over = false;
        // Every point of the one, and every fifth of the other.
        for late in (0..).step_by(5) {
            let (double, one) = used();
            let other = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
            let mut first = Box::pin(one.receive(&tenant, versioned("2.4"), firmware()));
            let mut second = Box::pin(other.receive(&tenant, versioned("2.4"), software()));
            let begun = poll_only(first.as_mut(), early);
            let met = poll_only(second.as_mut(), late);
            is_over = begun.is_some();
            let all_met = met.is_some();
            let answers = [begun.unwrap_or_else(|| block_on(first)), met.unwrap_or_else(|| block_on(second))];
            let taken = answers.iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(taken, 1, "after {early} and {late} polls: {answers:?}");
            assert_eq!(updates(&read(&double, "ecg").0).len(), 1);
            answers.into_iter().filter(Result::is_err).for_each(|answer| drop(refusal(answer)));
            if all_met || is_over {
                break;
            }
        }
        if is_over {
            return;
        }
    }
}

#[test]
fn version_claim_survives_any_crash() {
    let tenant = ours();
    for polls in 0.. {
        let (double, service) = double();
        let service = service.with_lease(std::time::Duration::ZERO);
        let ended = poll_only(Box::pin(service.receive(&tenant, versioned("2.4"), firmware())), polls);
        let other = receive(&service, versioned("2.4"), software());
        block_on(service.recover(&tenant)).unwrap();
        let attached = updates(&read(&double, "ecg").0);
        assert_eq!(attached.len(), 1, "after {polls} polls: {other:?}");
        if let Ok(other) = other {
            assert_eq!(attached, [other.update], "after {polls} polls");
        }
        if ended.is_some() {
            return;
        }
    }
}

#[test]
fn unnumbered_upload_cannot_follow_a_numbered_one() {
    let (memory, service) = fleet();
    receive(&service, to_ecg(), firmware()).unwrap();
    receive(&service, numbered(6), software()).unwrap();
    let refused = refusal(receive(&service, to_ecg(), firmware()));
    assert_eq!(
        refused.to_string(),
        "the update has no sequence number, and the component accepted the number 6: wanted one above that"
    );
    let refused = refusal(receive(&service, numbered(6), firmware()));
    assert_eq!(refused.to_string(), "the sequence number is 6, wanted one above 6 or an authorisation");
    assert_eq!(updates(&read(&memory, "ecg").0).len(), 2);
}

#[test]
fn unnumbered_upload_loses_to_a_concurrent_numbered_one() {
    let tenant = ours();
    for early in 0.. {
        let (double, one) = used();
        let other = UpdateService::new(double.clone(), double.clone(), double.clone()).unwrap();
        let mut first = Box::pin(one.receive(&tenant, to_ecg(), firmware()));
        let begun = poll_only(first.as_mut(), early);
        receive(&other, numbered(6), software()).unwrap();
        let is_over = begun.is_some();
        let answer = begun.unwrap_or_else(|| block_on(first));
        match answer {
            Ok(first) => assert_eq!(updates(&read(&double, "ecg").0)[0].id, first.update.id),
            Err(ReceiveError::NotAcceptable(NotAcceptable::Unsequenced(_)) | ReceiveError::Ended { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        let last = updates(&read(&double, "ecg").0).pop().unwrap();
        assert_eq!((last.sequence, last.status), (Some(6), UpdateStatus::Current), "after {early} polls");
        if is_over {
            return;
        }
    }
}

#[test]
fn version_below_reported_needs_permission_and_reason() {
    let (memory, service) = fleet();
    report(&memory, &[("software", "1.10.0"), ("firmware", "3.0.0")]);
    let refused = refusal(receive(&service, versioned("1.9.0"), firmware()));
    assert_eq!(
        refused.to_string(),
        "the version is `1.9.0`, and the component reports `1.10.0` (semver): wanted none below that, or leave to go \
         back with a reason"
    );
    assert!(records(&service).is_empty(), "it is refused before the bytes");
    let firm = versioned("2.0.0").with_reported_as(ProductionSpec::Firmware);
    refusal(receive(&service, firm, firmware()));
    for version in ["1.10.0", "1.11.0", "2.0", "autumn"] {
        receive(&service, versioned(version), firmware()).unwrap();
    }
    let opaque = versioned("1.8.0").with_scheme(VersionScheme::Opaque);
    receive(&service, opaque, firmware()).unwrap();
    let reason = "1.10 loses alarms".parse().unwrap();
    let leave = versioned("1.9.0").with_downgrade(VersionDowngrade { reason, by: biomed() });
    let lower = receive(&service, leave, firmware()).unwrap();
    let records = records(&service);
    let targeted = records
        .iter()
        .find(|record| record.draft.ingest == Some(lower.update.id) && record.draft.action == Action::Targeted)
        .unwrap();
    assert_eq!(targeted.draft.reported.as_ref().unwrap(), "1.10.0");
    assert_eq!(targeted.draft.comment.as_ref().unwrap(), "1.10 loses alarms");
    assert_eq!(targeted.draft.actor, Some(biomed()));
    assert_eq!(AuditRecord::from_line(&targeted.to_line()).unwrap(), *targeted);
    // Nobody runs that update yet: one below it is no way back.
    receive(&service, versioned("1.10.5"), firmware()).unwrap();
}

#[test]
fn version_reported_during_the_upload_counts() {
    let tenant = ours();
    for polls in 0.. {
        let (double, service) = used();
        report(&double.below, &[("software", "1.0.0")]);
        let known = records(&service).len();
        let mut upload = Box::pin(service.receive(&tenant, versioned("1.5.0"), firmware()));
        assert!(poll_only(upload.as_mut(), polls).is_none());
        let all = records(&service);
        let Some(opened) = all.get(known) else { continue };
        report(&double.below, &[("software", "1.6.0")]);
        assert!(matches!(refusal(block_on(upload)), NotAcceptable::LowerVersion(_)));
        let state = block_on(service.upload(&tenant, opened.draft.ingest.unwrap())).unwrap().state;
        assert_eq!(state, State::Closed { reason: UploadFailure::LowerVersion });
        assert!(updates(&read(&double, "ecg").0).is_empty());
        return;
    }
}

#[test]
fn too_high_sequence_number_can_be_lowered_with_audit() {
    let (_, service) = fleet();
    let refused = receive(&service, numbered(u64::MAX), firmware());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the sequence number is 18446744073709551615, wanted at most 9223372036854775807"
    );
    let high = receive(&service, numbered(MAX_SEQUENCE), firmware()).unwrap();
    refusal(receive(&service, numbered(7), software()));
    let ecg = "ecg".parse().unwrap();
    let lower = |to| {
        let why = "somebody typed a date".parse().unwrap();
        block_on(service.lower_sequence(&ours(), &ecg, None, to, biomed(), why))
    };
    let accepted = lower(6).unwrap();
    assert_eq!(accepted.of(None).unwrap().highest, 6);
    assert_eq!(block_on(service.accepted(&ours(), &ecg)).unwrap(), accepted);
    assert_eq!(
        lower(6).unwrap_err().to_string(),
        "the highest accepted sequence number is 6, wanted one below that instead of 6"
    );
    receive(&service, numbered(7), software()).unwrap();
    refusal(receive(&service, numbered(7), firmware()));
    refusal(receive(&service, to_ecg(), firmware()));
    let records = records(&service);
    let lowered: Vec<_> = records
        .iter()
        .filter(|record| record.draft.action == Action::SequenceLowered)
        .map(|record| &record.draft)
        .collect();
    let [what] = lowered.as_slice() else { panic!("{lowered:?}") };
    assert_eq!((what.component.as_ref(), what.sequence, what.actor.clone()), (Some(&ecg), Some(6), Some(biomed())));
    assert_eq!(what.comment.as_ref().unwrap(), "somebody typed a date");
    let leave = what.downgrade.as_ref().unwrap();
    assert_eq!((leave.from, leave.to), (MAX_SEQUENCE, 6));
    // The update that raised the number is still there, superseded by the next.
    let state = block_on(service.upload(&ours(), high.update.id)).unwrap().state;
    assert!(matches!(state, State::Superseded { .. }));
    let none =
        block_on(service.lower_sequence(&ours(), &"mds".parse().unwrap(), None, 6, biomed(), "x".parse().unwrap()));
    assert_eq!(none.unwrap_err().to_string(), "no sequence number was accepted, and so none can be lowered to 6");
}

#[test]
fn sequence_number_is_not_lowered_during_an_upload() {
    let tenant = ours();
    let mut met = 0;
    for polls in 0.. {
        let (double, service) = used();
        let ended = poll_only(Box::pin(service.receive(&tenant, numbered(50), firmware())), polls);
        let ecg = "ecg".parse().unwrap();
        let why = || "somebody typed a date".parse().unwrap();
        match block_on(service.lower_sequence(&tenant, &ecg, None, 6, biomed(), why())) {
            Err(SequenceError::UnderWay { upload, .. }) => {
                met += 1;
                block_on(service.withdraw(&tenant, upload, biomed(), "not meant".parse().unwrap())).unwrap();
                block_on(service.lower_sequence(&tenant, &ecg, None, 6, biomed(), why())).unwrap();
                let next = receive(&service, numbered(7), software()).unwrap();
                let current = updates(&read(&double, "ecg").0);
                let current: Vec<_> =
                    current.into_iter().filter(|update| update.status == UpdateStatus::Current).collect();
                assert_eq!(current, [next.update]);
            }
            Err(SequenceError::NotLowered(_)) => {}
            Ok(_) => assert!(matches!(updates(&read(&double, "ecg").0).as_slice(), [one] if one.sequence == Some(50))),
            Err(other) => panic!("{other:?}"),
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(met > 0);
}

#[test]
fn declared_version_scheme_is_enforced() {
    let (_, service) = fleet();
    let wrong = versioned("2.4").with_scheme(VersionScheme::Semver);
    assert_eq!(
        receive(&service, wrong, firmware()).unwrap_err().to_string(),
        "the version is `2.4`, wanted a semantic version such as 1.2.3 or 1.2.3-rc.1 (semver)"
    );
}

#[test]
fn idempotency_key_is_independent_of_the_actor() {
    let (_, service) = fleet();
    let by = |name: &str| keyed("k").with_sender(name.parse().unwrap());
    receive(&service, by("ward/one"), firmware()).unwrap();
    assert!(receive(&service, by("ward/two"), firmware()).unwrap().replayed);
    let other = by("ward/one").with_replace(true);
    assert!(matches!(receive(&service, other, firmware()), Err(ReceiveError::KeyReused { .. })));
}
