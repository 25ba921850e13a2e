//! How fast a resource becomes a document of another version, in terms of serde_json reading and writing the same
//! document through `Value`, in the same run. The runs alternate; each figure is a median. Above 1 we are faster.
//!
//! ```text
//! cargo bench --bench convert
//! cargo bench --bench convert -- component
//! ```

mod documents;

use fhir_devices::convert::{self, Options, Version};
use serde_json::Value;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// How many times each side runs.
const ROUNDS: usize = 101;
/// How many bytes a run goes through, at least.
const BYTES: usize = 1 << 16;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::default();
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    println!("                        ours   serde_json    ratio");
    for document in documents::all()? {
        if !names.is_empty() && !names.iter().any(|name| name == document.name) {
            continue;
        }
        let json = document.json.as_bytes();
        let calls = BYTES / json.len() + 1;
        let mut through_value = || {
            let value: Value = serde_json::from_slice(black_box(json)).unwrap_or_default();
            black_box(serde_json::to_string(&value).unwrap_or_default().len())
        };
        for version in [Version::R4, Version::R5] {
            let there = convert::to(version, &document.resource, &options)?;
            let mut to = || {
                let converted = convert::to(version, black_box(&document.resource), &options);
                black_box(converted.map_or(0, |converted| converted.json.len()))
            };
            report(&format!("to {version}"), document.name, calls, &mut to, &mut through_value);
            let mut from = || {
                let read = convert::from(version, black_box(there.json.as_bytes()), &options);
                usize::from(black_box(read).is_ok())
            };
            report(&format!("from {version}"), document.name, calls, &mut from, &mut through_value);
        }
    }
    Ok(())
}

fn report(what: &str, name: &str, calls: usize, ours: &mut dyn FnMut() -> usize, theirs: &mut dyn FnMut() -> usize) {
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(time(ours, calls));
        their_times.push(time(theirs, calls));
    }
    let (ours, theirs) = (median(our_times), median(their_times));
    println!("{what:<10}{name:<10}{ours:>8.2} us{theirs:>9.2} us{:>9.2}", theirs / ours);
}

/// Microseconds a call.
fn time(call: &mut dyn FnMut() -> usize, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_secs_f64() * 1e6 / calls as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
