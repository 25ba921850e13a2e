//! The ledger entries of bytes: their holders, their condemnation, and deletion by a sweep.

use super::*;
use fhir_devices::audit::Holder;
use fhir_devices::manifest::PinId;
use fhir_devices::update::blob::{self, Effect, Entry, Input, Refusal, State, Step, Sweep, justified, sweep};

type Held = fhir_devices::update::ingest::State;

fn upload(id: u128) -> Holder {
    Holder::Ingest(IngestId(id))
}

fn pin() -> PinId {
    "case-7".parse().unwrap()
}

fn retention(seconds: i64) -> Holder {
    Holder::Retention { pin: pin(), until: NOW + Duration::seconds(seconds) }
}

fn held(by: Holder, fresh: u128) -> Input {
    Input::Held { blob: blob(), by, fresh: Generation(fresh), max_holders: 3, actor: None }
}

fn released(by: Holder) -> Input {
    Input::Released { by, actor: None }
}

fn due(seconds: u64) -> Input {
    Input::CollectionDue { grace: std::time::Duration::from_secs(seconds) }
}

fn entry(state: State) -> Entry {
    Entry { blob: blob(), generation: Generation(1), state }
}

fn live(present: bool, holders: &[Holder]) -> Entry {
    let holders: BTreeSet<_> = holders.iter().cloned().collect();
    let idle_since = holders.is_empty().then_some(NOW);
    entry(State::Live { present, holders, idle_since })
}

fn step(entry: Option<&Entry>, input: &Input, seconds: i64) -> Result<Step, Refusal> {
    blob::step(entry, input, NOW + Duration::seconds(seconds))
}

fn to(entry: Option<&Entry>, input: &Input, seconds: i64) -> Entry {
    match step(entry, input, seconds) {
        Ok(Step::Transition(to)) => to.entry,
        other => panic!("{other:?}"),
    }
}

fn entries() -> Vec<Option<Entry>> {
    let mut all = vec![None, Some(entry(State::Condemned)), Some(entry(State::Gone))];
    let legal = Holder::LegalHold(pin());
    for present in [false, true] {
        for holders in [
            &[][..],
            &[upload(7)],
            &[upload(7), upload(8)],
            std::slice::from_ref(&legal),
            &[retention(60)],
            &[retention(-1)],
        ] {
            all.push(Some(live(present, holders)));
        }
    }
    all
}

fn inputs() -> Vec<Input> {
    let mut all = vec![due(0), due(60)];
    for by in [upload(7), upload(8), Holder::LegalHold(pin()), retention(60), retention(120)] {
        all.extend([0, 1, 2].map(|fresh| held(by.clone(), fresh)));
        all.push(released(by));
    }
    for generation in [Generation(1), Generation(2)] {
        all.extend([Input::Committed { generation }, Input::AbsenceConfirmed { generation }]);
    }
    all.push(Input::Held {
        blob: BlobRef { size: 9, ..blob() },
        by: upload(7),
        fresh: Generation(2),
        max_holders: 3,
        actor: None,
    });
    all
}

#[test]
fn copy_holders_are_bounded_for_uploads_only() {
    let full = live(true, &[upload(7), upload(8), upload(9)]);
    assert_eq!(step(Some(&full), &held(upload(10), 2), 0), Err(Refusal::Full));
    assert_eq!(step(Some(&full), &held(upload(9), 2), 0), Ok(Step::Unchanged));
    let pinned = to(Some(&full), &held(Holder::LegalHold(pin()), 2), 0);
    let max_holders = to(Some(&pinned), &released(upload(7)), 0);
    assert_eq!(to(Some(&max_holders), &held(upload(10), 2), 0).holders().count(), 4);
}

#[test]
fn every_state_answers_every_input_and_replays() {
    let (mut refused, mut reached) = (BTreeSet::new(), BTreeSet::new());
    for before in entries() {
        for input in inputs() {
            for seconds in [0, 60] {
                match step(before.as_ref(), &input, seconds) {
                    Ok(Step::Transition(to)) => {
                        reached.insert(to.entry.state.name());
                        assert_eq!(to.effect, blob::resume(&to.entry));
                        assert_eq!(Entry::of_audit(before.as_ref(), &to.audit), Some(to.entry.clone()));
                        assert_eq!(Entry::from_bytes(&to.entry.to_bytes()), Ok(to.entry.clone()));
                        assert_eq!(step(Some(&to.entry), &input, seconds), Ok(Step::Unchanged), "{before:?} {input:?}");
                    }
                    Ok(Step::Unchanged) => {}
                    Err(refusal) => {
                        refused.insert(format!("{refusal:?}"));
                    }
                }
            }
        }
    }
    assert_eq!(refused.len(), 9, "{refused:?}");
    assert_eq!(reached.len(), 3);
}

#[test]
fn condemned_bytes_return_as_a_new_generation() {
    let condemned = to(Some(&live(true, &[])), &due(60), 60);
    assert_eq!(blob::resume(&condemned), Some(Effect::DeleteBytes { key: blob().key(Generation(1)) }));
    for input in inputs() {
        match step(Some(&condemned), &input, 60) {
            Ok(Step::Transition(to)) => assert_eq!(to.entry.state, State::Gone, "{input:?}"),
            Ok(Step::Unchanged) | Err(_) => {}
        }
    }
    assert_eq!(step(Some(&condemned), &held(upload(8), 2), 60), Err(Refusal::Condemned));
    let gone = to(Some(&condemned), &Input::AbsenceConfirmed { generation: Generation(1) }, 60);
    assert_eq!(step(Some(&gone), &held(upload(8), 1), 60), Err(Refusal::GenerationUsed));
    assert_eq!(to(Some(&gone), &held(upload(8), 2), 60).generation, Generation(2));
    // A late word about the first generation says nothing of the second.
    let again = to(Some(&gone), &held(upload(8), 2), 60);
    let late = Input::AbsenceConfirmed { generation: Generation(1) };
    assert_eq!(step(Some(&again), &late, 60), Err(Refusal::OtherGeneration));
}

#[test]
fn bytes_are_condemned_after_the_grace_period() {
    let held = live(true, &[upload(7)]);
    assert_eq!(step(Some(&held), &due(0), 1000), Err(Refusal::Needed));
    let idle = to(Some(&held), &released(upload(7)), 10);
    assert_eq!(step(Some(&idle), &due(60), 69), Err(Refusal::NotDue));
    assert_eq!(to(Some(&idle), &due(60), 70).state, State::Condemned);
    // The clock stepped back.
    assert_eq!(step(Some(&idle), &due(60), -1000), Err(Refusal::NotDue));
    let needed_again = to(Some(&idle), &self::held(upload(8), 2), 20);
    assert_eq!(needed_again.generation, Generation(1));
    assert_eq!(step(Some(&needed_again), &due(0), 1000), Err(Refusal::Needed));
}

#[test]
fn legal_hold_and_retention_keep_bytes() {
    let legal = Holder::LegalHold(pin());
    let kept = to(Some(&live(true, &[])), &held(legal.clone(), 2), 0);
    assert_eq!(step(Some(&kept), &due(0), 1_000_000), Err(Refusal::Needed));
    let lifted = to(Some(&kept), &released(legal), 10);
    assert_eq!(to(Some(&lifted), &due(0), 10).state, State::Condemned);

    let kept = to(Some(&live(true, &[])), &held(retention(60), 2), 0);
    assert_eq!(step(Some(&kept), &released(retention(60)), 59), Err(Refusal::Retained));
    assert_eq!(step(Some(&kept), &held(retention(30), 2), 0), Ok(Step::Unchanged));
    let longer = to(Some(&kept), &held(retention(120), 2), 0);
    assert_eq!(longer.holders().collect::<Vec<_>>(), [&retention(120)]);
    assert_eq!(step(Some(&longer), &due(5), 119), Err(Refusal::Needed));
    assert_eq!(step(Some(&longer), &due(5), 124), Err(Refusal::NotDue));
    assert_eq!(to(Some(&longer), &due(5), 125).state, State::Condemned);
    assert_eq!(step(None, &held(retention(60), 1), 0), Err(Refusal::Absent));
}

#[test]
fn hold_needs_the_record_of_its_upload() {
    let key = blob().key(Generation(1));
    for state in states() {
        let wanted = !matches!(state, Held::Closed { .. } | Held::Withdrawn { released: true, .. });
        let ingest = in_state(state);
        assert_eq!(justified(&upload(7), Some(&ingest), &key, NOW), wanted);
        let open = matches!(ingest.state, Held::Open { .. });
        assert_eq!(justified(&upload(7), Some(&ingest), &blob().key(Generation(2)), NOW), open);
        assert!(justified(&upload(8), Some(&ingest), &key, NOW));
    }
    assert!(!justified(&upload(7), None, &key, NOW));
    assert!(justified(&retention(60), None, &key, NOW) && !justified(&retention(0), None, &key, NOW));
}

#[test]
fn sweep_deletes_unreachable_bytes_only() {
    let (ours, other) = (blob().key(Generation(1)), blob().key(Generation(2)));
    for before in entries() {
        let gone = before.as_ref().is_none_or(|entry| entry.state == State::Gone);
        let wanted = if gone { Sweep::Delete } else { Sweep::Keep };
        assert_eq!(sweep(&ours, before.as_ref()), wanted);
        assert_eq!(sweep(&other, before.as_ref()), Sweep::Delete);
        assert_eq!(sweep(&blob().key(Generation(0)), before.as_ref()), Sweep::Keep);
    }
    let elsewhere = BlobRef::of(b"software").key(Generation(1));
    assert_eq!(sweep(&elsewhere, Some(&live(true, &[]))), Sweep::Keep);
}

#[test]
fn record_of_format_1_is_written_unchanged() {
    let fixtures: Vec<_> = include_str!("blob-1.jsonl").lines().collect();
    assert_eq!(fixtures.len(), 5);
    for line in &fixtures {
        let entry = Entry::from_bytes(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(entry.to_bytes()).unwrap(), *line);
    }
    assert!(Entry::from_bytes(fixtures[0].replace(r#""format":1"#, r#""format":2"#).as_bytes()).is_err());
}
