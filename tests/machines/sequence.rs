//! Sequence numbers only rise, for each component and provider, unless an authorised person lowers them.

use super::*;
use fhir_devices::audit::UploadFailure;
use fhir_devices::manifest::{NotHigher, VersionScheme, accept};
use fhir_devices::store::Sha256;
use fhir_devices::update::{Accepted, VersionClaim, VersionDowngrade};

pub(crate) fn leave() -> DowngradeAuthorization {
    DowngradeAuthorization {
        from: 8,
        to: 6,
        reason: "8 loses alarms".parse().unwrap(),
        approved_by: vec!["biomed/j.doe".parse().unwrap()],
        not_after: NOW + Duration::days(1),
    }
}

fn stored(intent: Intent) -> Ingest {
    let state = State::Stored { blob: blob(), generation: Generation(1), target: None, attempts: 0 };
    let mut ingest = in_state(state);
    ingest.intent = intent;
    ingest
}

fn read(highest: u64, by: u128) -> Input {
    let accepted = Some(Acceptance { provider: intent().provider, highest, by: IngestId(by) });
    Input::TargetRead {
        component: "ecg".parse().unwrap(),
        version: VersionId::FIRST,
        accepted,
        claim: None,
        reported: Vec::new(),
    }
}

fn to(ingest: &Ingest, input: &Input) -> Transition {
    match step(ingest, input, NOW) {
        Ok(Step::Transition(to)) => to,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sequence_number_must_rise() {
    for highest in [6, 7, u64::MAX] {
        let to = to(&stored(intent()), &read(highest, 8));
        assert!(matches!(to.state, State::Releasing { reason: UploadFailure::NotHigher, component: None, .. }));
        assert_eq!(to.accepted, None);
    }
    let higher = to(&stored(intent()), &read(5, 8));
    assert_eq!(higher.accepted.unwrap().highest, 6);
    assert!(matches!(higher.effect, Some(Effect::WriteReference { .. })));
}

#[test]
fn sequence_number_is_accepted_once_an_upload() {
    let again = to(&stored(intent()), &read(6, 7));
    assert_eq!(again.accepted, None);
    assert!(matches!(again.state, State::Stored { target: Some(_), .. }));
}

#[test]
fn overtaken_upload_is_not_written() {
    let mut fixed = stored(intent());
    fixed.state = to(&fixed, &read(5, 8)).state;
    assert!(matches!(step(&fixed, &read(6, 7), NOW), Ok(Step::Perform(Effect::WriteReference { .. }))));
    let outrun = to(&fixed, &read(9, 9));
    assert!(matches!(outrun.state, State::Releasing { reason: UploadFailure::Superseded, component: Some(_), .. }));
}

#[test]
fn downgrade_needs_a_valid_recorded_permission() {
    let with = |change: fn(&mut DowngradeAuthorization)| {
        let mut leave = leave();
        change(&mut leave);
        to(&stored(Intent { downgrade: Some(Box::new(leave)), ..intent() }), &read(8, 8))
    };
    let allowed = with(|_| ());
    assert_eq!(allowed.accepted.as_ref().unwrap().highest, 8);
    assert_eq!(allowed.audit.downgrade.as_deref(), Some(&leave()));
    // A leave that was not needed is not said to have been used.
    let higher = Intent { downgrade: Some(Box::new(leave())), ..intent() };
    assert_eq!(to(&stored(higher), &read(5, 8)).audit.downgrade, None);
    for refused in [
        with(|leave| leave.from = 7),
        with(|leave| leave.to = 5),
        with(|leave| leave.approved_by.clear()),
        with(|leave| leave.not_after = NOW - Duration::SECOND),
    ] {
        assert!(matches!(refused.state, State::Releasing { reason: UploadFailure::NotHigher, .. }));
        assert_eq!(refused.audit.downgrade, None);
    }
}

#[test]
fn sequence_numbers_are_counted_by_provider() {
    let acme = intent().provider;
    let mut accepted = Accepted::new("ecg".parse().unwrap());
    for (provider, sequence) in [(acme.as_ref(), 6), (None, 3), (acme.as_ref(), 7)] {
        let next = accept(accepted.of(provider), provider, sequence, IngestId(sequence.into()), None, NOW).unwrap();
        accepted.put(next);
    }
    assert_eq!(accepted.of(acme.as_ref()).unwrap().highest, 7);
    assert_eq!(accepted.of(None).unwrap().highest, 3);
    let late = accept(accepted.of(None), None, 3, IngestId(9), None, NOW);
    assert_eq!(late, Err(NotHigher { sequence: 3, highest: 3 }));
    assert_eq!(Accepted::from_bytes(&accepted.to_bytes()), Ok(accepted));
    let unsequenced = stored(Intent { sequence: None, ..intent() });
    let late = to(&unsequenced, &read(9, 8));
    assert!(matches!(late.state, State::Releasing { reason: UploadFailure::Unsequenced, component: None, .. }));
    let first = Input::TargetRead {
        component: "ecg".parse().unwrap(),
        version: VersionId::FIRST,
        accepted: None,
        claim: None,
        reported: Vec::new(),
    };
    let uncounted = to(&unsequenced, &first);
    assert_eq!(uncounted.accepted, None);
    assert!(matches!(uncounted.effect, Some(Effect::WriteReference { .. })));
}

#[test]
fn accepted_record_is_written_unchanged() {
    let text = concat!(
        r#"{"format":1,"component":"ecg","accepted":[{"provider":"acme","highest":7,"#,
        r#""by":"00000000000000000000000000000007"},{"highest":3,"by":"00000000000000000000000000000003"}]}"#
    );
    let read = Accepted::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), text);
    assert!(Accepted::from_bytes(text.replace(r#""format":1"#, r#""format":2"#).as_bytes()).is_err());
}

#[test]
fn numbered_upload_overtakes_an_unnumbered_one() {
    let mut fixed = stored(Intent { sequence: None, ..intent() });
    let state =
        State::Stored { blob: blob(), generation: Generation(1), target: Some("ecg".parse().unwrap()), attempts: 0 };
    fixed.state = state;
    let outrun = to(&fixed, &read(1, 9));
    assert!(matches!(outrun.state, State::Releasing { reason: UploadFailure::Superseded, component: Some(_), .. }));
}

/// The claim of the upload's version, and the reported versions of the component.
fn known(bytes: Option<&[u8]>, reported: &[&str]) -> Input {
    let claim = bytes.map(|bytes| VersionClaim {
        component: "ecg".parse().unwrap(),
        provider: intent().provider,
        version: "2.4.0".parse().unwrap(),
        sha256: Sha256::of(bytes),
        by: IngestId(9),
    });
    Input::TargetRead {
        component: "ecg".parse().unwrap(),
        version: VersionId::FIRST,
        accepted: None,
        claim,
        reported: reported.iter().map(ToString::to_string).collect(),
    }
}

fn versioned() -> Intent {
    Intent { version: Some("2.4.0".parse().unwrap()), manifest: None, ..intent() }
}

#[test]
fn version_with_other_bytes_needs_permission() {
    let first = to(&stored(versioned()), &known(None, &[]));
    assert_eq!(first.claim.unwrap().sha256, blob().digest);
    let same = to(&stored(versioned()), &known(Some(b"firmware"), &[]));
    assert_eq!((same.claim, same.audit.replaces), (None, None));
    let other = to(&stored(versioned()), &known(Some(b"software"), &[]));
    assert!(matches!(other.state, State::Releasing { reason: UploadFailure::VersionTaken, component: None, .. }));
    let sender = Some("biomed/j.doe".parse().unwrap());
    let leave = Intent { replace: true, sender: sender.clone(), ..versioned() };
    let replaced = to(&stored(leave.clone()), &known(Some(b"software"), &[]));
    assert_eq!(replaced.claim.unwrap().sha256, blob().digest);
    assert_eq!((replaced.audit.replaces, replaced.audit.actor), (Some(Sha256::of(b"software")), sender));
    // One that was replaced before its reference was written does not come back, whatever leave it had.
    let mut fixed = stored(leave);
    fixed.state = replaced.state;
    let late = to(&fixed, &known(Some(b"software"), &[]));
    assert!(matches!(late.state, State::Releasing { reason: UploadFailure::VersionTaken, component: Some(_), .. }));
}

#[test]
fn version_below_reported_needs_permission_and_reason() {
    let lower = to(&stored(versioned()), &known(None, &["2.10.0"]));
    assert!(matches!(lower.state, State::Releasing { reason: UploadFailure::LowerVersion, .. }));
    let leave = VersionDowngrade { reason: "2.10 loses alarms".parse().unwrap(), by: "biomed/j.doe".parse().unwrap() };
    let allowed = to(&stored(Intent { lower: Some(Box::new(leave)), ..versioned() }), &known(None, &["2.10.0"]));
    assert_eq!(allowed.audit.reported.unwrap(), "2.10.0");
    assert_eq!(allowed.audit.comment.unwrap(), "2.10 loses alarms");
    assert_eq!(allowed.audit.actor, Some("biomed/j.doe".parse().unwrap()));
    let same = to(&stored(versioned()), &known(None, &["2.4.0"]));
    assert!(same.audit.reported.is_none() && matches!(same.state, State::Stored { .. }));
    for (scheme, reported) in
        [(None, "revision C"), (None, "2017-04-19"), (Some(VersionScheme::Opaque), "2.10.0"), (None, "2.10")]
    {
        let intent = Intent { scheme, ..versioned() };
        let checked = to(&stored(intent), &known(None, &[reported]));
        let is_taken = matches!(checked.state, State::Stored { .. });
        // Three numbers and two are both of the dotted scheme.
        assert_eq!(is_taken, reported != "2.10", "{reported}");
    }
    // The device may have reported another version meanwhile.
    let mut fixed = stored(versioned());
    fixed.state = to(&fixed, &known(None, &[])).state;
    let late = to(&fixed, &known(Some(b"firmware"), &["2.10.0"]));
    assert!(matches!(late.state, State::Releasing { reason: UploadFailure::LowerVersion, component: Some(_), .. }));
}
