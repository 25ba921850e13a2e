//! Building and judging the tree of 1,000 to 1,000,000 components: time, and bytes a node beyond the resources.
//!
//! ```text
//! cargo bench --bench containment
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may stop where it stands")]

use fhir_devices::DeviceComponent;
use fhir_devices::datatype::Reference;
use fhir_devices::primitive::{Id, Text};
use fhir_devices::reference::{Gather, Profile};
use std::time::{Duration, Instant};

/// The number of the parent of the component of a number; none for a root.
type Shape = fn(usize, usize) -> Option<usize>;

/// Each device: an MDS, 10 VMDs, and 10 channels below each.
const DEVICES: Shape = |at, _| match at % 111 {
    0 => None,
    vmd @ 1..=10 => Some(at - vmd),
    channel => Some(at - channel + 1 + (channel - 11) / 10),
};

const SHAPES: [(&str, Shape); 5] = [
    // Device after device, what is below before what is above.
    ("devices", DEVICES),
    // The components of all devices mixed.
    ("shuffled", DEVICES),
    ("chain", |at, _| at.checked_sub(1)),
    ("star", |at, _| (at > 0).then_some(0)),
    ("circle", |at, count| Some((at + 1) % count)),
];

fn components(count: usize, shape: Shape, name: &str) -> Vec<DeviceComponent> {
    let read = |code: &str| {
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"x","identifier":{{"system":"urn:acme","value":"1"}},"type":{{"coding":[{{
            "system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},"source":{{"reference":"Device/d"}}}}"#
        );
        DeviceComponent::from_json(json.as_bytes()).unwrap()
    };
    let is_devices = matches!(name, "devices" | "shuffled");
    let protos = ["69641", "69642", "69643"].map(read);
    let one = |at: usize| {
        let level = match at % 111 {
            _ if !is_devices => 1,
            0 => 0,
            1..=10 => 1,
            _ => 2,
        };
        let mut one = protos[level].clone();
        one.id = Some(Id::new(format!("component-{at}")).unwrap().into());
        one.identifier.value = Some(Text::new(at.to_string()).unwrap().into());
        let device = if is_devices { at / 111 } else { 0 };
        one.source = Some(Reference::to(&format!("Device/device-{device}")).unwrap());
        let parent = shape(at, count).map(|parent| format!("DeviceComponent/component-{parent}"));
        one.parent = parent.map(|parent| Reference::to(&parent).unwrap());
        one
    };
    let place = |at: usize| match name {
        "devices" => count - 1 - at,
        "shuffled" => (at * 7_919) % count,
        _ => at,
    };
    (0..count).map(|at| one(place(at))).collect()
}

fn main() {
    println!(
        "{:>8} {:>9} {:>10} {:>9} {:>8} {:>8} {:>9}",
        "shape", "nodes", "time", "ns/node", "B/node", "peak B", "findings"
    );
    for (name, shape) in SHAPES {
        for count in [1_000, 10_000, 100_000, 1_000_000] {
            let all = components(count, shape, name);
            let rounds = (1_000_000 / count).clamp(3, 100);
            let mut best = Duration::MAX;
            let mut findings = 0;
            for _ in 0..rounds {
                let start = Instant::now();
                let tree = Gather::with_capacity(all.len()).with_items(&all).build();
                best = best.min(start.elapsed());
                findings = tree.findings().len();
                assert_eq!(tree.len(), count);
            }
            let mut kept = None;
            let used =
                allocation_counter::measure(|| kept = Some(Gather::with_capacity(all.len()).with_items(&all).build()));
            let grave = kept.map_or(0, |tree| {
                tree.findings().iter().filter(|one| one.rule.severity(Profile::Pocd).is_some()).count()
            });
            assert!(grave <= findings);
            let each = |bytes: u64| bytes / count as u64;
            let bytes = u64::try_from(used.bytes_current).unwrap_or(0);
            println!(
                "{name:>8} {count:>9} {:>7.1} ms {:>9.0} {:>8} {:>8} {findings:>9}",
                best.as_secs_f64() * 1e3,
                best.as_nanos() as f64 / count as f64,
                each(bytes),
                each(used.bytes_max),
            );
        }
    }
}
