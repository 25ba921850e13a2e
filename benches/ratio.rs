//! How fast we are in terms of serde_json on the same bytes in the same run: the table that the project quotes.
//!
//! A document is compact, as it goes over the wire, where it is not said to be indented: white space is skipped at the
//! same speed by everybody, so that it hides differences. The runs alternate, so that both sides see the same machine; each figure is a median. A ratio of 0.25 says that
//! we take four times as long.
//!
//! ```text
//! cargo bench --bench ratio
//! ```

mod documents;

use documents::Document;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::check;
use fhir_devices::{Bundle, Validate};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How many times each side runs.
const ROUNDS: usize = 301;
/// How long one run is to take, so that the clock does not matter.
const RUN: Duration = Duration::from_micros(1000);

fn main() -> Result<(), Box<dyn Error>> {
    let documents = documents::all()?;
    println!("                      ours   serde_json    ratio     bar");
    for document in &documents {
        let json = document.json.as_bytes();
        let mut ours = || (document.read)(black_box(json));
        let mut floor = || serde_json::from_slice::<IgnoredAny>(black_box(json)).is_ok();
        report("read", document, &mut ours, &mut floor, document.is_small().then_some(0.22));
    }
    for document in &documents {
        let Some(json) = document.indented else { continue };
        let mut ours = || (document.read)(black_box(json));
        let mut floor = || serde_json::from_slice::<IgnoredAny>(black_box(json)).is_ok();
        report("read indented", document, &mut ours, &mut floor, document.is_small().then_some(0.22));
    }
    for document in &documents {
        let json = document.json.as_bytes();
        let mut ours = || !check(black_box(json), ReadMode::Strict).into_report().has_errors();
        let mut floor = || serde_json::from_slice::<IgnoredAny>(black_box(json)).is_ok();
        report("read+validate", document, &mut ours, &mut floor, document.is_small().then_some(0.17));
    }
    for document in &documents {
        let value: Value = serde_json::from_str(&document.json)?;
        let mut ours = || !black_box(black_box(&document.resource).to_json()).is_empty();
        let mut theirs = || serde_json::to_string(black_box(&value)).is_ok_and(|json| !black_box(json).is_empty());
        report("write", document, &mut ours, &mut theirs, Some(1.1));
    }
    report_unmodelled();
    Ok(())
}

/// Prints what checking the common elements of resources that are not modelled costs, in parts of reading them strictly
/// without it; and what the rules of the Bundle itself cost, which it would have with any resources in it.
fn report_unmodelled() {
    let json = documents::observations(1000);
    let json = json.as_bytes();
    // Its resources were validated while they were read, so that the rules of the Bundle are left.
    let Some(checked) = check(json, ReadMode::Strict).into_parts().0 else { return };
    let mut read = || Bundle::from_json(black_box(json)).is_ok();
    let mut read_and_check = || !check(black_box(json), ReadMode::Strict).into_report().has_errors();
    let mut rules = || !black_box(&checked).validate().has_errors();
    let (both, read) = compare(&mut read_and_check, &mut read);
    let (rules, _) = compare(&mut rules, &mut || true);
    let common = both - read - rules;
    let part = common / read;
    let missed = if part > 0.1 { "  MISSED" } else { "" };
    println!("check others  common   {common:>9.2} us{read:>9.2} us{part:>9.3} {:>7.2}{missed}", 0.1);
    println!("check others  bundle   {rules:>9.2} us{read:>9.2} us{:>9.3}", rules / read);
}

/// Prints one line: how long each side takes, how fast we are in terms of the other, and what was promised.
fn report(
    what: &str,
    document: &Document,
    ours: &mut dyn FnMut() -> bool,
    theirs: &mut dyn FnMut() -> bool,
    bar: Option<f64>,
) {
    let (ours, theirs) = compare(ours, theirs);
    let ratio = theirs / ours;
    let bar = bar.map(|bar| format!("{bar:>7.2}{}", if ratio < bar { "  MISSED" } else { "" })).unwrap_or_default();
    println!("{what:<14}{:<10}{ours:>9.2} us{theirs:>9.2} us{ratio:>9.3} {bar}", document.name);
}

/// The median time of one call of each side, in microseconds.
fn compare(ours: &mut dyn FnMut() -> bool, theirs: &mut dyn FnMut() -> bool) -> (f64, f64) {
    let (our_calls, their_calls) = (calls(ours), calls(theirs));
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(time(ours, our_calls));
        their_times.push(time(theirs, their_calls));
    }
    (median(our_times), median(their_times))
}

/// How many calls make a run; finding out warms up.
fn calls(call: &mut dyn FnMut() -> bool) -> u32 {
    let mut calls = 1;
    loop {
        let run = time(call, calls) * f64::from(calls);
        if run >= RUN.as_secs_f64() * 1e6 || calls > 1 << 20 {
            return calls;
        }
        calls *= 2;
    }
}

fn time(call: &mut dyn FnMut() -> bool, calls: u32) -> f64 {
    let start = Instant::now();
    let mut good = true;
    for _ in 0..calls {
        good &= black_box(call());
    }
    let run = start.elapsed();
    assert!(good, "a document of the bench was refused");
    run.as_secs_f64() * 1e6 / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
