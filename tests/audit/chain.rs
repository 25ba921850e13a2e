//! Every change to a chain is detected, and its first position named.

use super::*;
use fhir_devices::audit::{ChainBreak, ChainFault, Checkpoint, verify};

fn broken(records: &[AuditRecord], checkpoints: &[Checkpoint]) -> ChainBreak {
    verify(&ChainHead::start(tenant()), records, checkpoints).unwrap_err()
}

fn at(place: u64, fault: ChainFault) -> ChainBreak {
    ChainBreak::new(place, fault)
}

fn ten() -> (Vec<AuditRecord>, ChainHead) {
    chained((0..10).map(|ingest| plain(ingest, None, StateName::Open)))
}

#[test]
fn untouched_chain_verifies() {
    let (records, head) = ten();
    let start = ChainHead::start(tenant());
    let mut checkpoints: Vec<Checkpoint> =
        (0..=10).map(|count| verify(&start, &records[..count], &[]).unwrap().checkpoint()).collect();
    checkpoints.reverse();
    assert_eq!(verify(&start, &records, &checkpoints), Ok(head));
}

#[test]
fn chain_part_verifies_from_its_checkpoint() {
    let (records, head) = ten();
    let early = verify(&ChainHead::start(tenant()), &records[..4], &[]).unwrap();
    let seal = head.checkpoint();
    // A checkpoint of what came before says nothing of the part.
    let older = ChainHead::start(tenant()).checkpoint();
    assert_eq!(verify(&ChainHead::at(early.checkpoint()), &records[4..], &[seal, older]), Ok(head));
    let wrong = verify(&early, &records[5..], &[]).unwrap_err();
    assert_eq!(wrong, at(4, ChainFault::Removed));
    let other = ChainHead::at(Checkpoint { root: Sha256::of(b"else"), ..early.checkpoint() });
    assert_eq!(verify(&other, &records[4..], &[]), Err(at(4, ChainFault::OtherStart)));
}

#[test]
fn changed_record_is_located() {
    for place in 0..9 {
        let mut records = ten().0;
        records[place].draft.to = StateName::Closed;
        assert_eq!(broken(&records, &[]), at(place as u64, ChainFault::Changed));
    }
    // Nothing was bound to the last one yet but the checkpoint.
    let (mut records, head) = ten();
    records[9].draft.to = StateName::Closed;
    assert!(verify(&ChainHead::start(tenant()), &records, &[]).is_ok());
    assert_eq!(broken(&records, &[head.checkpoint()]), at(9, ChainFault::OtherRoot { count: 10 }));
}

#[test]
fn removed_record_is_located() {
    for place in 0..9 {
        let mut records = ten().0;
        records.remove(place);
        assert_eq!(broken(&records, &[]), at(place as u64, ChainFault::Removed));
    }
}

#[test]
fn reordered_records_are_located() {
    for place in 0..9 {
        let mut records = ten().0;
        records.swap(place, place + 1);
        assert_eq!(broken(&records, &[]), at(place as u64, ChainFault::Moved));
    }
}

#[test]
fn inserted_record_is_located() {
    for place in 1..=10 {
        let mut records = ten().0;
        records.insert(place, records[place - 1].clone());
        assert_eq!(broken(&records, &[]), at(place as u64, ChainFault::Inserted { index: place as u64 - 1 }));
    }
    // One that was made to fit, and the later ones numbered anew.
    let (mut records, _) = ten();
    let head = verify(&ChainHead::start(tenant()), &records[..4], &[]).unwrap();
    records.insert(4, head.append(plain(99, None, StateName::Open), gateway()).record);
    records[5..].iter_mut().for_each(|record| record.index += 1);
    assert_eq!(broken(&records, &[]), at(4, ChainFault::Changed));
}

#[test]
fn record_of_another_tenant_is_located() {
    let mut records = ten().0;
    records[3].tenant = "st-john".parse().unwrap();
    assert_eq!(broken(&records, &[]), at(3, ChainFault::OtherTenant { found: "st-john".parse().unwrap() }));
    // The whole chain of another tenant, under this one's name.
    let mut records = ten().0;
    records.iter_mut().for_each(|record| record.tenant = "st-john".parse().unwrap());
    let john = ChainHead::start("st-john".parse().unwrap());
    assert_eq!(verify(&john, &records, &[]), Err(at(0, ChainFault::OtherStart)));
}

#[test]
fn truncation_is_found_by_checkpoint() {
    let (records, head) = ten();
    for left in 0..10 {
        let wanted = at(left as u64, ChainFault::Truncated { count: 10 });
        assert_eq!(broken(&records[..left], &[head.checkpoint()]), wanted);
    }
}

#[test]
fn rewritten_chain_is_found_by_checkpoint() {
    let (_, head) = ten();
    let (forged, _) = chained((0..10).map(|ingest| plain(ingest + 100, None, StateName::Open)));
    assert!(verify(&ChainHead::start(tenant()), &forged, &[]).is_ok());
    assert_eq!(broken(&forged, &[head.checkpoint()]), at(9, ChainFault::OtherRoot { count: 10 }));
    let foreign = Checkpoint { tenant: "st-john".parse().unwrap(), ..head.checkpoint() };
    let fault = ChainFault::OtherCheckpoint { found: foreign.tenant.clone() };
    assert_eq!(broken(&forged, &[foreign]), at(10, fault));
}

#[test]
fn every_fault_has_a_message() {
    let faults = [
        ChainFault::OtherTenant { found: "st-john".parse().unwrap() },
        ChainFault::OtherStart,
        ChainFault::Moved,
        ChainFault::Inserted { index: 3 },
        ChainFault::Truncated { count: 10 },
        ChainFault::OtherRoot { count: 10 },
        ChainFault::OtherCheckpoint { found: "st-john".parse().unwrap() },
    ];
    let words: Vec<String> = faults.into_iter().map(|fault| at(7, fault).to_string()).collect();
    let wanted = [
        "it belongs to the tenant `st-john`",
        "it is bound to another beginning",
        "it stands in another place",
        "a record with the number 3 is inserted before it",
        "the records end, and a checkpoint knows 10 of them",
        "the checkpoint of 10 records was made of others",
        "a checkpoint of the tenant `st-john` says nothing of it",
    ];
    assert_eq!(words, wanted.map(|fault| format!("the chain breaks at record 7: {fault}")));
}

/// A change to a list of records.
#[derive(Clone, Debug)]
enum Tampering {
    Change(prop::sample::Index, AuditDraft),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Put(prop::sample::Index, AuditRecord),
    Cut(prop::sample::Index),
}

fn tamperings() -> impl Strategy<Value = Tampering> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), drafts()).prop_map(|(at, draft)| Tampering::Change(at, draft)),
        place().prop_map(Tampering::Remove),
        (place(), place()).prop_map(|(one, other)| Tampering::Swap(one, other)),
        (place(), records()).prop_map(|(at, record)| Tampering::Put(at, record)),
        place().prop_map(Tampering::Cut),
    ]
}

/// Returns the records after the changes.
fn tampered(records: &[AuditRecord], tamperings: Vec<Tampering>) -> Vec<AuditRecord> {
    let mut other = records.to_vec();
    for tampering in tamperings {
        let count = other.len();
        match tampering {
            Tampering::Put(at, record) => other.insert(at.index(count + 1), record),
            _ if count == 0 => {}
            Tampering::Change(at, draft) => other[at.index(count)].draft = draft,
            Tampering::Remove(at) => drop(other.remove(at.index(count))),
            Tampering::Swap(one, another) => other.swap(one.index(count), another.index(count)),
            Tampering::Cut(at) => other.truncate(at.index(count)),
        }
    }
    other
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn single_tampering_is_located(drafts in vec(drafts(), 1..8), tampering in tamperings()) {
        let (records, head) = chained(drafts);
        let other = tampered(&records, vec![tampering]);
        match verify(&ChainHead::start(tenant()), &other, &[head.checkpoint()]) {
            Ok(end) => prop_assert_eq!((other, end), (records, head)),
            Err(found) => {
                let same = records.iter().zip(&other).take_while(|(one, other)| one == other).count();
                prop_assert_eq!(found.at, same as u64, "{}", found);
            }
        }
    }

    #[test]
    fn any_tampering_is_found(drafts in vec(drafts(), 1..8), several in vec(tamperings(), 2..5)) {
        let (records, head) = chained(drafts);
        let other = tampered(&records, several);
        let found = verify(&ChainHead::start(tenant()), &other, &[head.checkpoint()]);
        prop_assert_eq!(found.is_ok(), other == records);
        let same = records.iter().zip(&other).take_while(|(one, other)| one == other).count();
        prop_assert!(found.err().is_none_or(|found| found.at >= same as u64));
    }
}
