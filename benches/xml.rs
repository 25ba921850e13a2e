//! How fast XML is read in terms of quick-xml going over the same events, and how fast it is written.
//!
//! The walk reads every event, resolves its namespace, and resolves the references of every attribute: what any reader of
//! FHIR XML has to do before it has a value. The bare walk does not even look at attributes. The runs alternate, and each
//! figure is a median.
//!
//! ```text
//! cargo bench --features xml --bench xml
//! ```

mod documents;

use fhir_devices::Resource;
use quick_xml::events::Event;
use quick_xml::{NsReader, Reader, XmlVersion};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// How many times each side runs, and how many microseconds a run takes about.
const ROUNDS: usize = 101;
const RUN: f64 = 2_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    println!("                   bytes      ours    walk      bare  ours/walk ours/bare     write");
    for document in documents::all()? {
        let xml = document.resource.to_xml()?;
        let sides: [&dyn Fn() -> bool; 4] = [
            &|| Resource::from_xml(black_box(xml.as_bytes())).is_ok(),
            &|| walk(black_box(&xml)).is_ok(),
            &|| bare(black_box(&xml)).is_ok(),
            &|| black_box(&document.resource).to_xml().is_ok(),
        ];
        let [ours, walk, bare, write] = compare(sides);
        let (by_walk, by_bare) = (walk / ours, bare / ours);
        let missed = if by_walk < 0.5 { "  MISSED" } else { "" };
        println!(
            "{:<14}{:>10}{ours:>10.2}{walk:>8.2}{bare:>10.2}{by_walk:>11.2}{by_bare:>10.2}{write:>10.2}{missed}",
            document.name,
            xml.len()
        );
    }
    Ok(())
}

/// Goes over the events with their namespaces and the values of their attributes.
fn walk(xml: &str) -> Result<usize, Box<dyn Error>> {
    let mut reader = NsReader::from_str(xml);
    let mut seen = 0;
    loop {
        let (namespace, event) = reader.read_resolved_event()?;
        black_box(namespace);
        match event {
            Event::Eof => return Ok(seen),
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    seen += attribute?.normalized_value(XmlVersion::Implicit1_0)?.len();
                }
            }
            _ => seen += 1,
        }
    }
}

/// Goes over the events and looks at none of them.
fn bare(xml: &str) -> Result<usize, Box<dyn Error>> {
    let mut reader = Reader::from_str(xml);
    let mut seen = 0;
    while !matches!(reader.read_event()?, Event::Eof) {
        seen += 1;
    }
    Ok(seen)
}

/// The median time of one call of each side, in microseconds.
fn compare<const N: usize>(sides: [&dyn Fn() -> bool; N]) -> [f64; N] {
    let calls = sides.map(|side| {
        let once = time(side, 1).max(0.1);
        (RUN / once).clamp(1.0, 10_000.0) as u32
    });
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for ((side, calls), times) in sides.iter().zip(calls).zip(&mut times) {
            times.push(time(side, calls));
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}

fn time(side: &dyn Fn() -> bool, calls: u32) -> f64 {
    let start = Instant::now();
    let mut good = true;
    for _ in 0..calls {
        good &= black_box(side());
    }
    let run = start.elapsed();
    assert!(good, "a document of the bench was refused");
    run.as_secs_f64() * 1e6 / f64::from(calls)
}
