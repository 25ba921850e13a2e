//! The state machines of uploads and bytes: every input in every state, and the form of their records.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "machines/blob.rs"]
mod blob;
#[path = "machines/lanes.rs"]
mod lanes;
#[path = "machines/records.rs"]
mod records;
#[path = "machines/release.rs"]
mod release;
#[path = "machines/rollout.rs"]
mod rollout;
#[path = "machines/sequence.rs"]
mod sequence;

use fhir_devices::audit::UploadFailure;
use fhir_devices::containment::Selector;
use fhir_devices::manifest::{Acceptance, DowngradeAuthorization, IngestId};
use fhir_devices::nomenclature::Level;
use fhir_devices::store::{BlobRef, Generation, Sha256, VersionId};
use fhir_devices::update::ingest::*;
use std::collections::BTreeSet;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2017-04-19 10:00 UTC);

fn intent() -> Intent {
    let mut intent =
        Intent::new("monitor".parse().unwrap(), "../\u{202e}x".parse().unwrap(), "application/zip".parse().unwrap());
    intent.target = Selector::Level(Level::Vmd);
    intent.provider = Some("acme".parse().unwrap());
    intent.version = Some("2.4".parse().unwrap());
    intent.sequence = Some(6);
    intent.sha256 = Some(Sha256::of(b"firmware"));
    intent.sender = Some("biomed".parse().unwrap());
    intent
}

fn limits() -> Limits {
    Limits { max_size: 100, max_attempts: 3, lease_seconds: 60 }
}

fn ingest() -> Ingest {
    Ingest::open(IngestId(7), intent(), limits(), NOW).0
}

fn in_state(state: State) -> Ingest {
    let mut ingest = ingest();
    ingest.state = state;
    ingest
}

fn blob() -> BlobRef {
    BlobRef::of(b"firmware")
}

fn states() -> Vec<State> {
    let (blob, generation, deadline) = (blob(), Generation(1), NOW + Duration::seconds(60));
    let (ecg, spo2) = ("ecg".parse().unwrap(), "spo2".parse().unwrap());
    let mut all = vec![State::Open { deadline }, State::Acquired { blob, generation, deadline }];
    for target in [None, Some(&ecg), Some(&spo2)] {
        let stored = |attempts| State::Stored { blob, generation, target: target.cloned(), attempts };
        all.extend([0, 1, 2].map(stored));
    }
    let (component, version) = (spo2, VersionId::FIRST);
    for restored in [0, 1] {
        let component = component.clone();
        all.push(State::Attached { blob, generation, component: ecg.clone(), version, restored });
        all.push(State::Attached { blob, generation, component: component.clone(), version, restored });
        all.push(State::Superseded { blob, generation, component, version, by: IngestId(8), restored });
    }
    for released in [false, true] {
        for component in [&ecg, &component] {
            let component = component.clone();
            all.push(State::Withdrawn { blob, generation, component, until: NOW, released });
        }
    }
    all.push(State::Withdrawn { blob, generation, component: ecg.clone(), until: deadline, released: true });
    all.push(State::Restoring { blob, generation, component, version, by: IngestId(8), restored: 1 });
    for &reason in UploadFailure::ALL {
        all.push(State::Releasing { blob, generation, component: Some(ecg.clone()), reason });
        all.push(State::Releasing { blob, generation, component: None, reason });
        all.push(State::Closed { reason });
    }
    all
}

fn inputs() -> Vec<Input> {
    let acceptance = |highest, by| Some(Acceptance { provider: intent().provider, highest, by: IngestId(by) });
    let mut all = vec![Input::Progressed, Input::DeadlineReached, Input::TargetLost, Input::Retired { by: None }];
    all.extend([None, Some("too new".parse().unwrap())].map(|why| Input::NotAdmitted { why }));
    for bytes in [&b"firmware"[..], b"software", b"", &[0; 101]] {
        all.push(Input::BytesReceived { blob: BlobRef::of(bytes) });
        all.push(Input::BytesHeld { blob: BlobRef::of(bytes), generation: Generation(1) });
    }
    for generation in [Generation(1), Generation(2)] {
        all.push(Input::BytesHeld { blob: blob(), generation });
        all.push(Input::BytesCommitted { generation });
        all.push(Input::BytesReleased { generation });
    }
    for component in ["ecg", "spo2"].map(|id| id.parse().unwrap()) {
        for version in [VersionId::FIRST, VersionId::FIRST.next()] {
            for accepted in [None, acceptance(5, 8), acceptance(6, 7), acceptance(6, 8)] {
                all.push(Input::TargetRead {
                    component: fhir_devices::primitive::Id::clone(&component),
                    version,
                    accepted,
                    claim: None,
                    reported: Vec::new(),
                });
            }
            all.push(Input::ReferenceWritten { component: component.clone(), version });
        }
        all.push(Input::ReferenceDropped { component });
    }
    all.extend([0, 1, 2].map(|attempt| Input::Conflicted { attempt }));
    for restored in [0, 1, 2] {
        all.extend([7, 8].map(|by| Input::Superseded { by: IngestId(by), restored }));
        let components = ["ecg", "spo2"].map(|id| id.parse().unwrap());
        all.extend(components.map(|component| Input::ReferenceRestored { component, restored }));
    }
    for until in [NOW, NOW + Duration::seconds(60)] {
        all.extend(["ecg", "spo2"].map(|id| Input::ReferenceMarked { component: id.parse().unwrap(), until }));
    }
    all.extend([Input::RestoreFailed, Input::RetentionEnded]);
    for component in ["ecg", "spo2"].map(|id| id.parse::<fhir_devices::primitive::Id>().unwrap()) {
        let second = VersionId::FIRST.next();
        for version in [VersionId::FIRST, second] {
            all.push(Input::ReferenceMissing { component: component.clone(), version });
        }
        let versions = [None, Some(VersionId::FIRST), Some(second)];
        all.extend(versions.map(|version| Input::ReferenceLost { component: component.clone(), version }));
    }
    all.push(Input::RestoreRequested { by: "biomed".parse().unwrap(), why: "7 loses alarms".parse().unwrap() });
    all.extend(UploadFailure::ALL.iter().map(|&reason| Input::CheckFailed { reason }));
    all.push(Input::Withdrawn { by: "biomed".parse().unwrap(), why: "loses alarms".parse().unwrap() });
    all
}

const TIMES: [OffsetDateTime; 2] = [NOW, datetime!(2017-04-19 10:01 UTC)];

fn ends(state: &State) -> bool {
    matches!(state, State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. })
}

#[test]
fn every_state_answers_every_input() {
    let (mut reached, mut refused, mut done) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for state in states() {
        for input in inputs() {
            for now in TIMES {
                let ingest = in_state(state.clone());
                let answer = step(&ingest, &input, now);
                assert_eq!(answer, step(&ingest, &input, now));
                match answer {
                    Ok(Step::Transition(to)) => {
                        assert!(!matches!(state, State::Closed { .. }), "{state:?} {input:?}");
                        assert_ne!(to.state, state, "{input:?}");
                        reached.insert(to.state.name());
                        done.extend(to.effect.as_ref().map(Effect::name));
                        // What was just said may be said again: it is known, asks for the same effect, or comes too late.
                        match step(&in_state(to.state.clone()), &input, now) {
                            Ok(Step::Unchanged) => {}
                            Err(Refusal::Releasing | Refusal::Withdrawn | Refusal::Closed) => assert!(ends(&to.state)),
                            Ok(Step::Perform(effect)) => assert_eq!(Some(effect), to.effect, "{state:?} {input:?}"),
                            again => panic!("{state:?} {input:?} {again:?}"),
                        }
                    }
                    Ok(Step::Perform(effect)) => {
                        done.insert(effect.name());
                    }
                    Ok(Step::Unchanged) => {}
                    Err(refusal) => {
                        refused.insert(format!("{refusal:?}"));
                    }
                }
            }
        }
    }
    let names: BTreeSet<_> = states().iter().map(State::name).collect();
    reached.insert(ingest().state.name());
    assert_eq!(reached, names);
    assert_eq!(refused.len(), 17, "{refused:?}");
    done.extend(resume(&ingest().state).as_ref().map(Effect::name));
    assert_eq!(done, EffectName::ALL.iter().copied().collect());
}

#[test]
fn each_transition_has_one_replayable_audit_draft() {
    let (opened, audit) = Ingest::open(IngestId(7), intent(), limits(), NOW);
    assert_eq!(State::of_audit(&audit), Some(opened.state));
    assert_eq!(audit.actor, Some("biomed".parse().unwrap()));
    for state in states() {
        for input in inputs() {
            for now in TIMES {
                let Ok(Step::Transition(to)) = step(&in_state(state.clone()), &input, now) else { continue };
                assert_eq!(State::of_audit(&to.audit), Some(to.state.clone()));
                assert_eq!((to.audit.from, to.audit.to), (Some(state.name()), to.state.name()));
                assert_eq!((to.audit.ingest, to.audit.at), (Some(IngestId(7)), now));
                let by_someone = matches!(input, Input::Withdrawn { .. } | Input::RestoreRequested { .. });
                let in_words = by_someone || matches!(input, Input::NotAdmitted { why: Some(_) });
                assert_eq!((to.audit.actor.is_some(), to.audit.comment.is_some()), (by_someone, in_words));
            }
        }
    }
}

#[test]
fn transition_effect_is_that_of_its_state() {
    for state in states() {
        for input in inputs() {
            let Ok(Step::Transition(to)) = step(&in_state(state.clone()), &input, TIMES[1]) else { continue };
            match (&to.effect, resume(&to.state)) {
                (Some(Effect::WriteReference { component, .. }), Some(Effect::FindTarget)) => {
                    assert!(matches!(&to.state, State::Stored { target: Some(fixed), .. } if fixed == component));
                }
                (effect, wanted) => assert_eq!(effect, &wanted),
            }
            assert_eq!(to.effect.is_none(), to.state.is_end());
        }
    }
}

#[test]
fn target_is_detached_before_the_hold_is_released() {
    for state in states() {
        let (State::Stored { target: fixed, .. } | State::Releasing { component: fixed, .. }) = &state else {
            continue;
        };
        for input in inputs() {
            let Ok(Step::Transition(to)) = step(&in_state(state.clone()), &input, TIMES[1]) else { continue };
            let still = match &to.state {
                State::Stored { target, .. } => target.clone(),
                State::Attached { component, .. } => Some(component.clone()),
                State::Releasing { component, .. } => component.clone(),
                State::Withdrawn { component, .. } => Some(component.clone()),
                State::Closed { .. } => None,
                other => panic!("{other:?}"),
            };
            let dropped = matches!(input, Input::ReferenceDropped { .. });
            assert!(fixed.is_none() || dropped || still == *fixed, "{state:?} {input:?} {:?}", to.state);
        }
    }
}

#[test]
fn backward_clock_changes_no_state() {
    let open = ingest();
    let early = NOW - Duration::days(1);
    assert_eq!(step(&open, &Input::DeadlineReached, early), Err(Refusal::NotDue));
    assert_eq!(step(&open, &Input::Progressed, early), Ok(Step::Unchanged));
    let Ok(Step::Transition(to)) = step(&open, &Input::Progressed, NOW + Duration::seconds(1)) else { panic!() };
    assert_eq!(to.state, State::Open { deadline: NOW + Duration::seconds(61) });
    let Ok(Step::Transition(ended)) = step(&open, &Input::DeadlineReached, TIMES[1]) else { panic!() };
    assert_eq!(step(&in_state(ended.state), &Input::DeadlineReached, early), Ok(Step::Unchanged));
}

#[test]
fn failed_check_ends_the_upload_without_a_hold() {
    let reason = |bytes: &[u8], intent: Intent| {
        let mut ingest = ingest();
        ingest.intent = intent;
        let blob = BlobRef::of(bytes);
        let held = step(&ingest, &Input::BytesHeld { blob, generation: Generation(1) }, NOW);
        assert_eq!(held, Err(Refusal::NotDeclared));
        match step(&ingest, &Input::BytesReceived { blob }, NOW) {
            Ok(Step::Transition(Transition { state: State::Closed { reason }, .. })) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason(b"firmwarE", intent()), UploadFailure::DigestMismatch);
    assert_eq!(reason(b"", intent()), UploadFailure::Empty);
    assert_eq!(reason(&[0; 101], intent()), UploadFailure::TooLarge);
    assert_eq!(reason(b"firmware", Intent { size: Some(9), ..intent() }), UploadFailure::SizeMismatch);
}

#[test]
fn effect_keys_are_stable_and_distinct() {
    let keys: BTreeSet<_> = EffectName::ALL
        .iter()
        .flat_map(|&effect| [7, 8].map(|id| EffectKey { ingest: IngestId(id), effect }.write_id().0))
        .collect();
    assert_eq!(keys.len(), 2 * EffectName::ALL.len());
}

#[test]
fn reference_read_before_its_write_is_not_missing() {
    let (blob, generation, component) = (blob(), Generation(1), "ecg".parse().unwrap());
    let (first, third) = (VersionId::FIRST, VersionId::new(3).unwrap());
    let attached = State::Attached { blob, generation, component, version: third, restored: 0 };
    let component: fhir_devices::primitive::Id = "ecg".parse().unwrap();
    let missing = |version| Input::ReferenceMissing { component: component.clone(), version };
    let lost = |version| Input::ReferenceLost { component: component.clone(), version };
    let ingest = in_state(attached.clone());
    assert_eq!(step(&ingest, &missing(first), NOW), Ok(Step::Unchanged));
    assert_eq!(step(&ingest, &lost(Some(first)), NOW), Ok(Step::Unchanged));
    let Ok(Step::Transition(again)) = step(&ingest, &missing(third), NOW) else { panic!() };
    assert_eq!(again.state.attached_to(), Some((&component, third.next())));
    // Whoever read the same version as well comes too late.
    assert_eq!(step(&in_state(again.state), &missing(third), NOW), Ok(Step::Unchanged));
    for version in [None, Some(third)] {
        let Ok(Step::Transition(ended)) = step(&ingest, &lost(version), NOW) else { panic!() };
        // The component is written to once more before the bytes are released.
        let effect = Effect::DropReference { component: component.clone() };
        assert_eq!((ended.effect, ended.state.name().as_str()), (Some(effect), "releasing"));
    }
}
