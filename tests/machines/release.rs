//! Releases: every input in every state.

use super::{Duration, NOW};
use fhir_devices::manifest::{ProductionSpec, ReleaseId, VersionScheme};
use fhir_devices::store::{BlobRef, Generation};
use fhir_devices::update::release::{
    Effect, Input, Refusal, Release, ReleasedFile, Request, Sha1, State, Step, Target, resume, step,
};
use fhir_devices::update::rollout::After;

const GENERATION: Generation = Generation(5);

fn blob() -> BlobRef {
    BlobRef::of(b"firmware")
}

fn drafted() -> Release {
    let file = ReleasedFile::new("pump.bin".parse().unwrap(), "application/zip".parse().unwrap(), blob());
    let request = Request {
        provider: None,
        name: "pump/main".parse().unwrap(),
        version: "2.4.0".parse().unwrap(),
        scheme: VersionScheme::Semver,
        sequence: 6,
        manifest: None,
        files: vec![file],
        target: Target { level: None, code: Some(69_985) },
        reported_as: ProductionSpec::Software,
        upload: None,
    };
    Release::draft(ReleaseId(7), request, "author".parse().unwrap(), NOW, Duration::HOUR).unwrap().0
}

/// Returns every state, with the possible knowledge of the bytes in it.
fn releases() -> Vec<Release> {
    let mut all = Vec::new();
    for (generation, sha1) in [(None, None), (Some(GENERATION), None), (Some(GENERATION), Some(Sha1([7; 20])))] {
        let mut release = drafted();
        (release.request.files[0].generation, release.request.files[0].sha1) = (generation, sha1);
        all.push(release.clone());
        if sha1.is_some() {
            let mut released = release.clone();
            (released.state, released.released_at) = (State::Released, Some(NOW));
            all.push(released);
        }
        for state in [State::Withdrawing, State::Withdrawn] {
            release.state = state;
            all.push(release.clone());
        }
    }
    all
}

fn inputs() -> Vec<Input> {
    let other = BlobRef::of(b"other");
    let mut all = vec![Input::Released, Input::DeadlineReached, Input::HoldsReleased];
    for blob in [blob(), other] {
        all.extend([GENERATION, Generation(6)].map(|generation| Input::BytesHeld { blob, generation }));
        all.extend([[7; 20], [8; 20]].map(|sha1| Input::BytesHashed { blob, sha1: Sha1(sha1) }));
    }
    for in_use in [false, true] {
        let (by, why) = ("author".parse().unwrap(), "it loses alarms".parse().unwrap());
        all.push(Input::WithdrawRequested { by, why, in_use });
    }
    all
}

/// Returns the progress of a release, which never goes back.
fn rank(state: &State) -> u8 {
    match state {
        State::Draft { .. } => 0,
        State::Released => 1,
        State::Withdrawing => 2,
        State::Withdrawn => 3,
        _ => 4,
    }
}

#[test]
fn release_step_answers_every_input_in_every_state() {
    for release in releases() {
        for input in inputs() {
            for now in [NOW, NOW + Duration::DAY] {
                let Ok(Step::Transition(to)) = step(&release, &input, now) else { continue };
                let next = &to.release;
                assert_ne!(*next, release, "{input:?}");
                assert!(rank(&next.state) >= rank(&release.state), "{release:?} {input:?}");
                assert_eq!(to.effect, resume(next));
                assert_eq!((to.event.at, to.event.release), (now, Some(release.id)));
                assert_eq!(to.event.after, After::Release(Box::new(next.clone())));
                // The same once more is nothing new.
                assert_eq!(step(next, &input, now), Ok(Step::Unchanged), "{release:?} {input:?}");
                assert_eq!(Release::from_bytes(&next.to_bytes()), Ok(next.clone()));
            }
        }
    }
}

#[test]
fn release_withdrawn_takes_nothing() {
    let withdrawn = releases().into_iter().filter(|one| one.state == State::Withdrawn);
    for release in withdrawn {
        assert_eq!(resume(&release), None);
        for input in inputs() {
            assert!(!matches!(step(&release, &input, NOW), Ok(Step::Transition(_))), "{input:?}");
        }
    }
}

#[test]
fn release_in_use_or_without_bytes_is_refused() {
    let draft = drafted();
    assert_eq!(resume(&draft), Some(Effect::HoldBytes { blob: blob() }));
    assert_eq!(step(&draft, &Input::Released, NOW), Err(Refusal::NotReady));
    assert_eq!(step(&draft, &Input::DeadlineReached, NOW), Err(Refusal::NotDue));
    let released = releases().into_iter().find(|one| one.state == State::Released).unwrap();
    let (by, why) = ("author".parse().unwrap(), "it loses alarms".parse().unwrap());
    let withdraw = Input::WithdrawRequested { by, why, in_use: true };
    assert_eq!(step(&released, &withdraw, NOW), Err(Refusal::InUse));
}
