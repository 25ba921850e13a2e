//! The states of an upload: every input in every state, and how a record is written.

use super::*;
use fhir_devices::update::IngestId;
use fhir_devices::update::ingest::{Effect, Ingest, Input, Intent, Reason, Refusal, State, Step, resume, step};

fn intent() -> Intent {
    Intent {
        device: "monitor".parse().unwrap(),
        target: Selector::Level(Level::Vmd),
        version: Some("2.4".parse().unwrap()),
        sequence: Some(u64::MAX),
        sha256: Some(Sha256::of(b"firmware")),
        file_name: "../\u{202e}x".parse().unwrap(),
        content_type: "application/octet-stream".parse().unwrap(),
    }
}

fn in_state(state: State) -> Ingest {
    let opened = "2017-04-19T10:00:00Z".parse().unwrap();
    Ingest { state, ..Ingest::open(IngestId(7), intent(), Some(opened)) }
}

fn states() -> Vec<State> {
    let blob = BlobRef::of(b"firmware");
    let mut all = vec![State::Open, State::Stored { blob }];
    all.extend([1, 2].map(|version| State::Attached {
        blob,
        component: "ecg".parse().unwrap(),
        version: VersionId::new(version).unwrap(),
    }));
    all.extend(Reason::ALL.map(|reason| State::Closed { reason }));
    all
}

fn inputs() -> Vec<Input> {
    let committed = [&b"firmware"[..], b"software"].map(|bytes| Input::BytesCommitted { blob: BlobRef::of(bytes) });
    let written = [1, 2].map(|version| Input::ReferenceWritten {
        component: "ecg".parse().unwrap(),
        version: VersionId::new(version).unwrap(),
    });
    let failed = Reason::ALL.map(|reason| Input::CheckFailed { reason });
    committed.into_iter().chain(written).chain(failed).chain([Input::TargetLost]).collect()
}

#[test]
fn every_input_has_an_answer_in_every_state_and_ends_absorb() {
    let mut seen = std::collections::BTreeSet::new();
    for state in states() {
        for input in inputs() {
            let answer = step(&in_state(state.clone()), &input);
            match &answer {
                Ok(Step::To { state: next, effect }) => {
                    assert!(!state.is_end(), "{state:?} {input:?}");
                    assert_ne!(*next, state);
                    assert_eq!(*effect, resume(next));
                    // What was just said may be said again.
                    assert_eq!(step(&in_state(next.clone()), &input), Ok(Step::Unchanged), "{state:?} {input:?}");
                    seen.insert(format!("{next:?}"));
                }
                Ok(Step::Unchanged) => {}
                Err(refusal) => {
                    seen.insert(format!("{refusal:?}"));
                }
            }
        }
    }
    let refusals = ["NotDeclared", "OtherContent", "NotStored", "AlreadyStored", "AlreadyAttached", "Closed"];
    assert!(refusals.iter().all(|refusal| seen.contains(*refusal)), "{seen:?}");
    assert!(states().iter().skip(1).all(|state| seen.contains(&format!("{state:?}"))), "{seen:?}");
}

#[test]
fn no_reference_comes_before_the_bytes_nor_from_bytes_that_were_not_declared() {
    let written = Input::ReferenceWritten { component: "ecg".parse().unwrap(), version: VersionId::FIRST };
    assert_eq!(step(&in_state(State::Open), &written), Err(Refusal::NotStored));
    let other = Input::BytesCommitted { blob: BlobRef::of(b"software") };
    assert_eq!(step(&in_state(State::Open), &other), Err(Refusal::NotDeclared));
    assert_eq!(resume(&State::Open), Some(Effect::ReceiveBytes));
}

#[test]
fn every_record_is_read_as_it_was_written() {
    for state in states() {
        let ingest = in_state(state);
        assert_eq!(Ingest::from_bytes(&ingest.to_bytes()).unwrap(), ingest);
    }
    for target in [Selector::Any, Selector::Component("a".parse().unwrap()), Selector::Named("vmd".parse().unwrap())] {
        let mut ingest = Ingest::open(IngestId(7), intent(), None);
        ingest.intent.target = target;
        assert_eq!(Ingest::from_bytes(&ingest.to_bytes()).unwrap(), ingest);
    }
}

/// The records of a release must be read by all that follow.
#[test]
fn a_record_of_format_1_stays_readable() {
    let digest = Sha256::of(b"firmware");
    let text = format!(
        concat!(
            r#"{{"format":1,"id":"00000000000000000000000000000007","opened":"2017-04-19T10:00:00Z","#,
            r#""intent":{{"device":"monitor","target":{{"level":"vmd"}},"version":"2.4","#,
            r#""sequence":18446744073709551615,"sha256":"{digest}","file_name":"../\u202ex","#,
            r#""content_type":"application/octet-stream"}},"#,
            r#""state":{{"name":"attached","sha256":"{digest}","size":8,"component":"ecg","version":"2"}}}}"#
        ),
        digest = digest
    );
    let read = Ingest::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(read, in_state(states().remove(3)));
    let written: serde_json::Value = serde_json::from_slice(&read.to_bytes()).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    assert!(Ingest::from_bytes(text.replace(r#""format":1"#, r#""format":2"#).as_bytes()).is_err());
}
