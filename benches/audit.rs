//! How many transitions a second one thread records in the chain of a tenant, and how many records it verifies.
//!
//! ```text
//! cargo bench --bench audit
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench may stop where it stands")]

use fhir_devices::audit::{Actor, Appended, AuditDraft, AuditRecord, ChainHead, RecordContext, verify};
use fhir_devices::manifest::IngestId;
use fhir_devices::store::{BlobRef, Generation, VersionId};
use fhir_devices::update::ingest::{Ingest, Input, Intent, Limits, Step, step};
use fhir_devices::update::replay;
use std::time::Instant;
use time::macros::datetime;

/// The transitions of one upload, from its announcement to its reference in the component.
fn story(ingest: u128) -> Vec<AuditDraft> {
    let now = datetime!(2017-04-19 10:00:00.123456 UTC);
    let intent = Intent::new(
        "infusion-pump-7".parse().unwrap(),
        "pump-4.2.0.bin".parse().unwrap(),
        "application/octet-stream".parse().unwrap(),
    );
    let intent = Intent {
        provider: Some("acme".parse().unwrap()),
        version: Some("4.2.0".parse().unwrap()),
        sequence: Some(42),
        sender: Some("m.jones".parse().unwrap()),
        ..intent
    };
    let (blob, generation) = (BlobRef::of(&ingest.to_be_bytes()), Generation(ingest));
    let component = || "infusion-pump-7-mds".parse().unwrap();
    let version = VersionId::FIRST;
    let (mut upload, opened) = Ingest::open(IngestId(ingest), intent, Limits::default(), now);
    let mut drafts = vec![opened];
    for input in [
        Input::BytesHeld { blob, generation },
        Input::BytesCommitted { generation },
        Input::TargetRead { component: component(), version, accepted: None, claim: None, reported: Vec::new() },
        Input::ReferenceWritten { component: component(), version: version.next() },
    ] {
        let Ok(Step::Transition(transition)) = step(&upload, &input, now) else { panic!("{input:?}") };
        upload.state = transition.state;
        drafts.push(transition.audit);
    }
    drafts
}

/// The best rate of many short runs, so that what else the machine does counts little.
fn best(runs: impl Iterator<Item = (usize, f64)>) -> f64 {
    runs.map(|(count, seconds)| count as f64 / seconds).fold(0.0, f64::max)
}

fn main() {
    const UPLOADS: u128 = 40_000;
    const RUN: usize = 500;
    let by = RecordContext::by(Actor::service("gateway".parse().unwrap()));
    let start = ChainHead::start("st-mary".parse().unwrap());
    let all: Vec<AuditDraft> = (0..UPLOADS).flat_map(story).collect();

    // The text of each record goes where a store would take it from.
    let mut head = start.clone();
    let mut log = Vec::<u8>::with_capacity(RUN * 1_024);
    let mut bytes = 0;
    let append = best(all.chunks(RUN).map(|run| {
        let run = run.to_vec();
        log.clear();
        let (count, begin) = (run.len(), Instant::now());
        for draft in run {
            let added = head.append(draft, by.clone());
            log.extend_from_slice(added.line.as_bytes());
            head = added.head;
        }
        let seconds = begin.elapsed().as_secs_f64();
        bytes += log.len();
        (count, seconds)
    }));
    println!("append {append:>10.0} transitions/s, {} bytes each", bytes / all.len());

    let mut again = start.clone();
    let mut records: Vec<AuditRecord> = Vec::with_capacity(all.len());
    for draft in all {
        let Appended { record, head, .. } = again.append(draft, by.clone());
        again = head;
        records.push(record);
    }
    assert_eq!(again, head);
    let lines: Vec<String> = records.iter().map(AuditRecord::to_line).collect();

    let mut at = start.clone();
    let verified = best(records.chunks(RUN).map(|run| {
        let begin = Instant::now();
        at = verify(&at, run, &[]).unwrap();
        (run.len(), begin.elapsed().as_secs_f64())
    }));
    assert_eq!(at, head);
    println!("verify {verified:>10.0} records/s");

    let read = best(lines.chunks(RUN).map(|run| {
        let begin = Instant::now();
        let count = run.iter().filter(|line| AuditRecord::from_line(line).is_ok()).count();
        (count, begin.elapsed().as_secs_f64())
    }));
    println!("read   {read:>10.0} records/s");

    let begin = Instant::now();
    let states = replay(&records).unwrap();
    println!("replay {:>10.0} records/s", records.len() as f64 / begin.elapsed().as_secs_f64());
    assert_eq!(states.uploads.len() as u128, UPLOADS);
}
