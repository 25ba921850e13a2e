//! Sequence numbers only rise, for each component and provider, unless somebody who may has said otherwise.

use super::*;
use fhir_devices::update::{Accepted, NotHigher, accept};

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
    Ingest { intent, ..in_state(state) }
}

fn read(highest: u64, by: u128) -> Input {
    let accepted = Some(Acceptance { provider: intent().provider, highest, by: IngestId(by) });
    Input::TargetRead { component: "ecg".parse().unwrap(), version: VersionId::FIRST, accepted }
}

fn to(ingest: &Ingest, input: &Input) -> Transition {
    match step(ingest, input, NOW) {
        Ok(Step::Transition(to)) => to,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_number_that_is_not_higher_comes_to_nothing() {
    for highest in [6, 7, u64::MAX] {
        let to = to(&stored(intent()), &read(highest, 8));
        assert!(matches!(to.state, State::Releasing { reason: Reason::NotHigher, component: None, .. }));
        assert_eq!(to.accepted, None);
    }
    let higher = to(&stored(intent()), &read(5, 8));
    assert_eq!(higher.accepted.unwrap().highest, 6);
    assert!(matches!(higher.effect, Some(Effect::WriteReference { .. })));
}

#[test]
fn a_number_that_was_accepted_for_this_upload_is_not_accepted_twice() {
    let again = to(&stored(intent()), &read(6, 7));
    assert_eq!(again.accepted, None);
    assert!(matches!(again.state, State::Stored { target: Some(_), .. }));
}

#[test]
fn an_upload_that_was_outrun_is_not_written() {
    let mut fixed = stored(intent());
    fixed.state = to(&fixed, &read(5, 8)).state;
    assert!(matches!(step(&fixed, &read(6, 7), NOW), Ok(Step::Perform(Effect::WriteReference { .. }))));
    let outrun = to(&fixed, &read(9, 9));
    assert!(matches!(outrun.state, State::Releasing { reason: Reason::Superseded, component: Some(_), .. }));
}

#[test]
fn a_downgrade_needs_a_leave_that_is_good_and_is_recorded() {
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
        assert!(matches!(refused.state, State::Releasing { reason: Reason::NotHigher, .. }));
        assert_eq!(refused.audit.downgrade, None);
    }
}

#[test]
fn providers_are_counted_apart_and_updates_without_a_number_are_not_counted() {
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
    let uncounted = to(&stored(Intent { sequence: None, ..intent() }), &read(9, 8));
    assert_eq!(uncounted.accepted, None);
    assert!(matches!(uncounted.effect, Some(Effect::WriteReference { .. })));
}

#[test]
fn a_record_of_what_was_accepted_is_written_as_it_was() {
    let text = concat!(
        r#"{"format":1,"component":"ecg","accepted":[{"provider":"acme","highest":7,"#,
        r#""by":"00000000000000000000000000000007"},{"highest":3,"by":"00000000000000000000000000000003"}]}"#
    );
    let read = Accepted::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), text);
    assert!(Accepted::from_bytes(text.replace(r#""format":1"#, r#""format":2"#).as_bytes()).is_err());
}
