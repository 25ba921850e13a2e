//! Steps a second of the machines of an upload and of its bytes, on one thread, each with the draft of its audit record.
//!
//! ```text
//! cargo bench --bench update
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench may stop where it stands")]

use fhir_devices::audit::Holder;
use fhir_devices::manifest::{IngestId, accept};
use fhir_devices::store::{BlobRef, Generation, VersionId};
use fhir_devices::update::blob::{self, Entry};
use fhir_devices::update::ingest::{self, Ingest, Input, Intent, Limits, State, Step};
use std::hint::black_box;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2017-04-19 10:00 UTC);

/// The life of an upload, from its bytes to its withdrawal.
fn life() -> Vec<Input> {
    let (blob, generation) = (BlobRef::of(b"firmware"), Generation(1));
    let accepted = accept(None, None, 5, IngestId(6), None, NOW).ok();
    vec![
        Input::BytesReceived { blob },
        Input::BytesHeld { blob, generation },
        Input::BytesCommitted { generation },
        Input::TargetRead {
            component: "pump".parse().unwrap(),
            version: VersionId::FIRST,
            accepted,
            claim: None,
            reported: Vec::new(),
        },
        Input::ReferenceWritten { component: "pump".parse().unwrap(), version: VersionId::FIRST.next() },
        Input::Withdrawn { by: "biomed/j.doe".parse().unwrap(), why: "loses alarms".parse().unwrap() },
        Input::ReferenceDropped { component: "pump".parse().unwrap() },
        Input::BytesReleased { generation },
    ]
}

fn ingest() -> Ingest {
    let mut intent =
        Intent::new("monitor-7".parse().unwrap(), "2.4.bin".parse().unwrap(), "application/zip".parse().unwrap());
    intent.sequence = Some(6);
    intent.version = Some("2.4".parse().unwrap());
    Ingest::open(IngestId(7), intent, Limits::default(), NOW).0
}

/// The life of some bytes, from the first who needs them to the last.
fn lives() -> Vec<blob::Input> {
    let (blob, generation) = (BlobRef::of(b"firmware"), Generation(1));
    let held = |id| blob::Input::Held {
        blob,
        by: Holder::Ingest(IngestId(id)),
        fresh: generation,
        max_holders: 256,
        actor: None,
    };
    let released = |id| blob::Input::Released { by: Holder::Ingest(IngestId(id)), actor: None };
    let committed = blob::Input::Committed { generation };
    let due = blob::Input::CollectionDue { grace: Duration::ZERO };
    vec![held(7), committed, held(8), released(7), released(8), due, blob::Input::AbsenceConfirmed { generation }]
}

/// The best of many short runs, so that a machine with other work does not count it.
fn report(name: &str, mut life: impl FnMut() -> usize) {
    let mut best = Duration::MAX;
    let mut steps = 0;
    for _ in 0..500 {
        let start = Instant::now();
        steps = (0..1_000).map(|_| life()).sum();
        best = best.min(start.elapsed());
    }
    let rate = steps as f64 / best.as_secs_f64() / 1e6;
    let each = best.as_nanos() as f64 / steps as f64;
    println!("{name:<34} {rate:6.1} M steps/s, {each:5.0} ns each");
}

fn main() {
    let (inputs, mut ingest) = (life(), ingest());
    let open = ingest.state.clone();
    report("upload, from bytes to withdrawal", || {
        ingest.state.clone_from(&open);
        for input in &inputs {
            match ingest::step(black_box(&ingest), input, NOW) {
                Ok(Step::Transition(to)) => {
                    black_box(&to.audit);
                    ingest.state = to.state;
                }
                Ok(Step::Perform(effect)) => drop(black_box(effect)),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(ingest.state, State::Closed { .. }));
        inputs.len()
    });
    let inputs = lives();
    report("bytes, from hold to deletion", || {
        let mut entry: Option<Entry> = None;
        for input in &inputs {
            match blob::step(black_box(entry.as_ref()), input, NOW) {
                Ok(blob::Step::Transition(to)) => {
                    black_box(&to.audit);
                    entry = Some(to.entry);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(entry.is_some_and(|entry| entry.state == blob::State::Gone));
        inputs.len()
    });
}
