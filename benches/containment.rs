//! Building and checking the tree of 1,000 to 1,000,000 components: time, and bytes a node beyond the resources.
//!
//! ```text
//! cargo bench --bench containment
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench may stop where it stands")]

#[path = "common/taken.rs"]
mod taken;

use fhir_devices::code::BundleType;
use fhir_devices::containment::{Profile, TreeBuilder};
use fhir_devices::primitive::Uri;
use fhir_devices::resource::bundle::Entry;
use fhir_devices::{Bundle, DeviceComponent, Resource};
use std::time::Duration;
use taken::{Start, Taken};

/// The number of the parent of the component of a number; none for a root.
type Shape = fn(usize, usize) -> Option<usize>;

/// Each device: an MDS, 10 VMDs, and 10 channels below each.
const DEVICES: Shape = |at, _| match at % 111 {
    0 => None,
    vmd @ 1..=10 => Some(at - vmd),
    channel => Some(at - channel + 1 + (channel - 11) / 10),
};

const SHAPES: [(&str, Shape); 8] = [
    // Device after device, from the top down.
    ("devices", DEVICES),
    // The same from the bottom up.
    ("reversed", DEVICES),
    // The components of all devices in any order.
    ("shuffled", DEVICES),
    // The same in a Bundle, each at its address.
    ("bundle", DEVICES),
    // All of these have four findings a node, or three.
    ("chain", |at, _| at.checked_sub(1)),
    ("chain, shuffled", |at, _| at.checked_sub(1)),
    ("star", |at, _| (at > 0).then_some(0)),
    ("circle", |at, count| Some((at + 1) % count)),
];

/// Documents as they come from a reader, in the order of their list.
fn components(count: usize, shape: Shape, name: &str) -> Vec<Resource> {
    let is_devices = std::ptr::fn_addr_eq(shape, DEVICES);
    let one = |at: usize| {
        let code = match at % 111 {
            0 if is_devices => 69_641,
            11.. if is_devices => 69_643,
            _ => 69_642,
        };
        let device = if is_devices { at / 111 } else { 0 };
        let parent = shape(at, count).map_or(String::new(), |parent| {
            format!(r#","parent":{{"reference":"DeviceComponent/component-{parent}"}}"#)
        });
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"component-{at}","identifier":{{"system":"urn:acme","value":"{at}"}},
            "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},
            "source":{{"reference":"Device/device-{device}"}}{parent},"operationalStatus":[{{"coding":[{{"code":"on"}}]}}],
            "productionSpecification":[{{"specType":{{"coding":[{{"code":"software-revision"}}]}},"productionSpec":"2.1"}}]}}"#
        );
        Resource::from_json(json.as_bytes()).unwrap()
    };
    let mut order: Vec<usize> = (0..count).collect();
    match name {
        "reversed" => order.reverse(),
        "shuffled" | "bundle" | "chain, shuffled" => {
            let mut state = 0x9E37_79B9_7F4A_7C15_u64;
            for last in (1..count).rev() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                order.swap(last, (state % (last as u64 + 1)) as usize);
            }
        }
        _ => {}
    }
    order.into_iter().map(one).collect()
}

fn component(resource: Resource) -> DeviceComponent {
    match resource {
        Resource::DeviceComponent(component) => *component,
        other => panic!("a {}", other.resource_type()),
    }
}

fn bundle(all: Vec<Resource>) -> Bundle {
    let mut bundle = Bundle::new(BundleType::Collection);
    bundle.entry.extend(all.into_iter().map(|resource| {
        let url = format!("https://ehr.example/fhir/DeviceComponent/{}", resource.id().unwrap());
        Entry { full_url: Some(Uri::new(url).unwrap().into()), resource: Some(resource), ..Entry::default() }
    }));
    bundle
}

enum Given {
    Alone(Vec<DeviceComponent>),
    Together(Box<Bundle>),
}

impl Given {
    fn gather(&self) -> TreeBuilder<'_> {
        match self {
            Self::Alone(all) => TreeBuilder::new().with_items(all),
            Self::Together(bundle) => TreeBuilder::new().with_bundle(bundle),
        }
    }
}

fn main() {
    println!(
        "{:>15} {:>9} {:>10} {:>10} {:>8} {:>7} {:>7} {:>9}",
        "shape", "nodes", "time", "processor", "ns/node", "B/node", "peak B", "findings"
    );
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, shape) in
        SHAPES.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name))
    {
        for count in [1_000, 10_000, 100_000, 1_000_000] {
            let all = components(count, shape, name);
            let given = match name {
                "bundle" => Given::Together(Box::new(bundle(all))),
                _ => Given::Alone(all.into_iter().map(component).collect()),
            };
            let rounds = (2_000_000 / count).clamp(5, 100);
            let (mut best, mut least) = (Duration::MAX, Duration::MAX);
            let mut findings = 0;
            for _ in 0..rounds {
                let start = Start::now();
                let tree = given.gather().build();
                let Taken { passed, worked } = start.taken();
                (best, least) = (best.min(passed), least.min(worked));
                findings = tree.findings().len();
                assert_eq!(tree.len(), count);
            }
            let mut kept = None;
            let used = allocation_counter::measure(|| kept = Some(given.gather().build()));
            let grave = kept.map_or(0, |tree| {
                tree.findings().iter().filter(|one| one.rule.severity(Profile::Pocd).is_some()).count()
            });
            assert!(grave <= findings);
            let each = |bytes: u64| bytes / count as u64;
            let bytes = u64::try_from(used.bytes_current).unwrap_or(0);
            println!(
                "{name:>15} {count:>9} {:>7.1} ms {:>7.1} ms {:>8.0} {:>7} {:>7} {findings:>9}",
                best.as_secs_f64() * 1e3,
                least.as_secs_f64() * 1e3,
                least.as_nanos() as f64 / count as f64,
                each(bytes),
                each(used.bytes_max),
            );
        }
    }
}
