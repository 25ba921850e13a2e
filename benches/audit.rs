//! How many transitions a second one thread records in the chain of a tenant, and how many records it verifies.
//!
//! ```text
//! cargo bench --bench audit
//! ```
#![allow(clippy::unwrap_used, reason = "a bench may stop where it stands")]

use fhir_devices::primitive::Instant;
use fhir_devices::store::{BlobRef, VersionId};
use fhir_devices::update::audit::{Actor, AuditDraft, AuditRecord, ChainHead, Entity, Subject, replay, verify};
use fhir_devices::update::{IngestId, Name};
use std::hint::black_box;
use std::time::Instant as Moment;

/// The transitions of one upload, each with the whole state after it.
fn drafts(ingest: u128) -> Vec<AuditDraft> {
    let name = |text: &str| Name::new(text).unwrap();
    let blob = BlobRef::of(&ingest.to_be_bytes());
    let id = IngestId(ingest);
    let intent = r#"{"device":"infusion-pump-7","target":{"level":"mds"},"version":"4.2.0","sequence":42,"file_name":"pump.bin","content_type":"application/octet-stream"}"#;
    let steps = [
        (None, "open", "submit", r#"{"name":"open"}"#.to_owned()),
        (Some("open"), "stored", "commit", format!(r#"{{"name":"stored","sha256":"{}","size":16}}"#, blob.digest)),
        (
            Some("stored"),
            "attached",
            "attach",
            format!(r#"{{"name":"attached","sha256":"{}","size":16,"component":"mds-7","version":"2"}}"#, blob.digest),
        ),
    ];
    let draft = |(from, to, action, state): (Option<&str>, &str, &str, String)| {
        let state =
            format!(r#"{{"format":1,"id":"{id}","opened":"2017-04-19T10:00:00Z","intent":{intent},"state":{state}}}"#);
        let mut draft = AuditDraft::new(Entity::Ingest(id), name(action), name(to), state.parse().unwrap());
        draft.from = from.map(name);
        let subject = Subject::component("infusion-pump-7".parse().unwrap(), "mds-7".parse().unwrap());
        draft.subject = Some(subject.written(Some(VersionId::FIRST), VersionId::FIRST.next()));
        draft.update.version = Some("4.2.0".parse().unwrap());
        draft.update.sequence = Some(42);
        draft.blob = Some(blob);
        draft
    };
    steps.into_iter().map(draft).collect()
}

fn main() {
    const UPLOADS: u128 = 20_000;
    let actor = Actor::service("gateway".parse().unwrap()).on_behalf_of("m.jones".parse().unwrap());
    let now: Instant = "2017-04-19T10:00:00.123456Z".parse().unwrap();
    let start = ChainHead::start("st-mary".parse().unwrap());
    let all: Vec<AuditDraft> = (0..UPLOADS).flat_map(drafts).collect();
    let count = all.len() as f64;

    let mut rate = 0.0_f64;
    let mut bytes = 0;
    let mut records: Vec<AuditRecord> = Vec::new();
    for _ in 0..5 {
        let (mut head, mut lines) = (start.clone(), Vec::with_capacity(all.len()));
        records = Vec::with_capacity(all.len());
        let drafts = all.clone();
        let begin = Moment::now();
        for draft in drafts {
            let added = head.append(draft, actor.clone(), now.clone());
            head = added.head;
            lines.push(added.line);
            records.push(added.record);
        }
        rate = rate.max(count / begin.elapsed().as_secs_f64());
        bytes = lines.iter().map(String::len).sum();
    }
    println!("append  {:>10.0} transitions/s, {:.0} bytes each", rate, bytes as f64 / count);

    let begin = Moment::now();
    let end = verify(&start, &records, &[]).unwrap();
    println!("verify  {:>10.0} records/s", count / begin.elapsed().as_secs_f64());
    assert_eq!(end.count(), all.len() as u64);

    let lines: Vec<String> = records.iter().map(AuditRecord::to_line).collect();
    let begin = Moment::now();
    for line in &lines {
        black_box(AuditRecord::from_line(line).unwrap());
    }
    println!("read    {:>10.0} records/s", count / begin.elapsed().as_secs_f64());

    let begin = Moment::now();
    let states = replay(&records).unwrap();
    println!("replay  {:>10.0} records/s", count / begin.elapsed().as_secs_f64());
    assert_eq!(states.len() as u128, UPLOADS);
}
