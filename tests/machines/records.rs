//! The form of records, and the readability of those of earlier releases.

use super::*;
use fhir_devices::audit::UploadFailure;

#[test]
fn every_record_round_trips_in_its_format() {
    for state in states() {
        let ingest = in_state(state);
        assert_eq!(Ingest::from_bytes(&ingest.to_bytes()), Ok(ingest));
    }
    let mut full = ingest();
    full.intent.size = Some(u64::MAX);
    full.intent.manifest = Some(Sha256::of(b"manifest"));
    full.intent.downgrade = Some(Box::new(sequence::leave()));
    for target in [Selector::Any, Selector::Component("a".parse().unwrap()), Selector::Named("vmd".parse().unwrap())] {
        full.intent.target = target;
        assert_eq!(Ingest::from_bytes(&full.to_bytes()), Ok(full.clone()));
    }
}

#[test]
fn deadline_beyond_year_9999_is_written() {
    for now in [datetime!(-0300-01-01 0:00 UTC), datetime!(9999-12-31 23:59:59.999999999 UTC)] {
        let (ingest, audit) = Ingest::open(IngestId(7), intent(), limits(), now);
        assert!(Ingest::from_bytes(&ingest.to_bytes()).is_ok(), "{now}");
        assert!(serde_json::to_string(&audit).is_ok(), "{now}");
    }
}

const DIGEST: &str = "c9a59a9b2f7af1d8d6e7a6b3a1b4c1f3b2a59c3fb6bfe0c6a0f2d6cc2a04d3a1";

/// The records of a release must be readable by all later ones.
#[test]
fn record_of_format_1_is_readable() {
    let digest: Sha256 = DIGEST.parse().unwrap();
    let fixtures = include_str!("ingest-1.jsonl").lines();
    let blob = BlobRef { digest, size: 8 };
    let (generation, component, version) = (Generation(0), "ecg".parse().unwrap(), VersionId::new(2).unwrap());
    let wanted = [
        State::Open { deadline: OffsetDateTime::UNIX_EPOCH },
        State::Stored { blob, generation, target: None, attempts: 0 },
        State::Attached { blob, generation, component, version, restored: 0 },
        State::Closed { reason: UploadFailure::TargetLost },
    ];
    let read: Vec<_> = fixtures.map(|line| Ingest::from_bytes(line.as_bytes()).unwrap()).collect();
    assert_eq!(read.iter().map(|ingest| ingest.state.clone()).collect::<Vec<_>>(), wanted);
    for ingest in read {
        assert_eq!((ingest.id, ingest.limits), (IngestId(7), Limits::default()));
        assert_eq!(ingest.intent.sequence, Some(u64::MAX));
        assert_eq!(ingest.opened.as_ref().unwrap(), "2017-04-19T10:00:00Z");
        assert_eq!(Ingest::from_bytes(&ingest.to_bytes()), Ok(ingest));
    }
}

#[test]
fn record_of_format_2_is_written_unchanged() {
    let fixtures: Vec<_> = include_str!("ingest-2.jsonl").lines().collect();
    let names: Vec<_> = fixtures
        .iter()
        .map(|line| {
            let ingest = Ingest::from_bytes(line.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(ingest.to_bytes()).unwrap(), *line);
            ingest.state.name().to_string()
        })
        .collect();
    assert_eq!(
        names,
        [
            "open",
            "acquired",
            "stored",
            "stored",
            "attached",
            "superseded",
            "releasing",
            "closed",
            "restoring",
            "withdrawn",
            "attached",
            "superseded",
            "closed"
        ]
    );
    assert!(Ingest::from_bytes(fixtures[0].replace(r#""format":2"#, r#""format":3"#).as_bytes()).is_err());
}

#[test]
fn reattached_record_keeps_became_current() {
    let read =
        |at: usize| Ingest::from_bytes(include_str!("ingest-2.jsonl").lines().nth(at).unwrap().as_bytes()).unwrap();
    let since = |at: usize| (read(at).current_since().map(VersionId::get), read(at).state.name().to_string());
    assert_eq!(since(4), (Some(2), "attached".to_owned()));
    assert_eq!(since(10), (Some(2), "attached".to_owned()));
    assert_eq!(read(10).state.attached_to().map(|(_, version)| version.get()), Some(5));
    assert_eq!(since(11), (Some(2), "superseded".to_owned()));
    assert_eq!(read(12).state, State::Closed { reason: UploadFailure::Lost });
}

#[test]
fn became_current_is_set_by_attach_and_restore_alone() {
    let (blob, generation, component) = (blob(), Generation(1), "ecg".parse().unwrap());
    let stored = in_state(State::Stored { blob, generation, target: None, attempts: 0 });
    let after = |ingest: &Ingest, input: &Input, current_in| {
        let Ok(Step::Transition(to)) = step(ingest, input, NOW) else { panic!("{input:?}") };
        ingest.after(&to, current_in)
    };
    let component: fhir_devices::primitive::Id = component;
    let at = |number| VersionId::new(number).unwrap();
    let attached = after(&stored, &Input::ReferenceWritten { component: component.clone(), version: at(2) }, None);
    assert_eq!(attached.current_since(), Some(at(2)));
    let again = after(&attached, &Input::ReferenceMissing { component: component.clone(), version: at(5) }, None);
    assert_eq!(again.state.attached_to(), Some((&component, at(6))));
    assert_eq!(again.current_since(), Some(at(2)));
    let superseded = after(&again, &Input::Superseded { by: IngestId(8), restored: 0 }, None);
    let (by, why) = ("biomed".parse().unwrap(), "loses alarms".parse().unwrap());
    let restoring = after(&superseded, &Input::RestoreRequested { by, why }, None);
    let restored = after(&restoring, &Input::ReferenceRestored { component, restored: 1 }, Some(at(9)));
    assert_eq!((superseded.current_since(), restored.current_since()), (Some(at(2)), Some(at(9))));
}

/// The audit drafts of the reconciler.
#[test]
fn reconciler_audit_drafts_are_written_unchanged() {
    let fixtures: Vec<_> = include_str!("audit-reconciler.jsonl").lines().collect();
    let (blob, generation, component) = (blob(), Generation(1), "ecg".parse().unwrap());
    let component: fhir_devices::primitive::Id = component;
    let version = VersionId::new(2).unwrap();
    let attached = in_state(State::Attached { blob, generation, component: component.clone(), version, restored: 0 });
    let inputs = [
        Input::ReferenceMissing { component: component.clone(), version: version.next() },
        Input::ReferenceLost { component, version: Some(version.next()) },
    ];
    let said: Vec<_> = inputs
        .iter()
        .map(|input| {
            let Ok(Step::Transition(to)) = step(&attached, input, NOW) else { panic!("{input:?}") };
            let line = serde_json::to_string(&to.audit).unwrap();
            let read: fhir_devices::audit::AuditDraft = serde_json::from_str(&line).unwrap();
            assert_eq!(State::of_audit(&read), Some(to.state));
            line
        })
        .collect();
    assert_eq!(said, fixtures);
}

/// The audit drafts of the service's own changes to components. `tests/service` checks the service against it.
#[test]
fn service_audit_drafts_are_readable() {
    let fixtures: Vec<_> = include_str!("audit-service.jsonl").lines().collect();
    let read: Vec<fhir_devices::audit::AuditDraft> =
        fixtures.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<_> = read.iter().map(|draft| draft.action.to_string()).collect();
    assert_eq!(actions, ["reference-removed", "reference-removed", "reattached"]);
    for (draft, line) in read.iter().zip(fixtures) {
        assert_eq!(serde_json::to_string(draft).unwrap(), line);
        assert_eq!(State::of_audit(draft), None);
    }
}

#[test]
fn names_round_trip() {
    for reason in UploadFailure::ALL {
        assert_eq!(reason.to_string().parse(), Ok(*reason));
    }
    for effect in EffectName::ALL {
        assert_eq!(effect.to_string().parse(), Ok(*effect));
    }
    for action in fhir_devices::audit::Action::ALL {
        assert_eq!(action.to_string().parse(), Ok(*action));
    }
}
