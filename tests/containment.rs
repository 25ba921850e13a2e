//! The containment tree: its links, levels, rules, and the selection of a component.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;
#[path = "containment/forest.rs"]
mod forest;
#[path = "containment/rules.rs"]
mod rules;

use fhir_devices::containment::{
    ContainmentRule, IdentifierQuery, Node, SelectError, Selector, Tree, UnfitTargetReason, components, select,
};
use fhir_devices::datatype::Reference;
use fhir_devices::nomenclature::Level;
use fhir_devices::primitive::Id;
use fhir_devices::{Bundle, DeviceComponent, Resource};

fn component(id: &str, code: &str, display: &str, parent: &str) -> DeviceComponent {
    let parent = match parent {
        "" => String::new(),
        parent => format!(r#","parent":{{"reference":"{parent}"}}"#),
    };
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},"type":{{"coding":[
        {{"system":"urn:oid:1.2.840.10004.1.1.1.0.0.1","code":"{code}","display":"{display}"}}]}}{parent}}}"#
    );
    DeviceComponent::from_json(json.as_bytes()).unwrap()
}

fn paths(tree: &Tree<'_>) -> Vec<String> {
    tree.nodes().map(Node::path).collect()
}

fn bundle(entries: &str) -> Bundle {
    let json = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entries}]}}"#);
    Bundle::from_json(json.as_bytes()).unwrap()
}

fn entry(url: &str, id: &str, more: &str) -> String {
    format!(
        r#"{{"fullUrl":"{url}","resource":{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},
        "type":{{"text":"x"}}{more}}}}}"#
    )
}

fn below(parent: &str) -> String {
    format!(r#","parent":{{"reference":"{parent}"}}"#)
}

#[test]
fn level_is_by_code_then_name_then_position() {
    let all = [
        component("m", "69641", "MDC_DEV_ANALY_SAT_O2_VMD", ""),
        component("v", "2000", "MDC_DEV_ANALY_SAT_O2_CHAN", "DeviceComponent/m"),
        component("c", "69680", "Infusion pump", "DeviceComponent/m/_history/3"),
    ];
    let tree = components(&all);
    let levels: Vec<_> = tree.nodes().map(Node::level).collect();
    assert_eq!(levels, [Some(Level::Mds), Some(Level::Channel), Some(Level::Vmd)]);
    let disputed: Vec<_> = tree.nodes().map(Node::is_disputed).collect();
    assert_eq!(disputed, [true, true, false]);
    assert_eq!(paths(&tree), ["m", "m/v", "m/c"]);
}

#[test]
fn mds_below_an_mds_is_not_disputed() {
    let all = [component("ward", "69965", "x", ""), component("bed", "69965", "x", "DeviceComponent/ward")];
    let tree = components(&all);
    assert!(tree.nodes().all(|node| !node.is_disputed() && node.level() == Some(Level::Mds)));
}

#[test]
fn position_gives_no_level_in_orphans_or_cycles() {
    let all = [
        component("a", "0", "x", "DeviceComponent/b"),
        component("b", "0", "x", "DeviceComponent/a"),
        component("own", "0", "x", "DeviceComponent/own"),
        component("lost", "0", "x", "DeviceComponent/gone"),
        component("far", "0", "x", "https://other.example/DeviceComponent/a"),
        component("below", "0", "x", "DeviceComponent/lost"),
    ];
    let tree = components(&all);
    assert!(tree.nodes().all(|node| node.level().is_none()));
    assert_eq!(paths(&tree), ["a", "a/b", "own", "lost", "far", "lost/below"]);
    let cyclic: Vec<_> = tree.nodes().filter(|node| node.is_cyclic()).map(Node::label).collect();
    assert_eq!(cyclic, ["a", "own"]);
    assert_eq!(tree.nodes().filter(|node| node.is_orphan()).count(), 2);
    assert_eq!(tree.root_components().count(), 4);
    let report = tree.report(fhir_devices::containment::Profile::Base);
    let messages: Vec<_> =
        report.iter().filter(|issue| issue.rule == "CT-01").map(|issue| issue.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "component `a` is below itself: a > b > a, wanted: no component is its own ancestor",
            "component `own` is below itself: own > own, wanted: no component is its own ancestor",
        ]
    );
}

#[test]
fn duplicate_id_is_never_selected_or_a_parent() {
    let all = [
        component("a", "69642", "x", ""),
        component("a", "69642", "x", ""),
        component("b", "69643", "x", "DeviceComponent/a"),
    ];
    let tree = components(&all);
    let refused = select(&tree, &Selector::Component("a".parse().unwrap()));
    assert!(matches!(refused, Err(SelectError::Ambiguous { candidates, .. }) if candidates.len() == 2));
    let below = tree.get("b").unwrap();
    assert!(below.is_orphan() && below.findings().iter().any(|finding| finding.rule == ContainmentRule::OneTarget));
}

#[test]
fn selector_name_is_an_id_before_a_level() {
    let name = Selector::Named("vmd".parse().unwrap());
    let mut all = vec![component("a", "69642", "x", ""), component("b", "69641", "x", "")];
    assert_eq!(select(&components(&all), &name).unwrap().label(), "a");
    all.push(component("vmd", "69643", "x", ""));
    assert_eq!(select(&components(&all), &name).unwrap().label(), "vmd");
}

#[test]
fn component_is_selected_by_handle_code_item_or_all() {
    let mut all = [
        component("m", "69641", "x", ""),
        component("v1", "69642", "x", "DeviceComponent/m"),
        component("v2", "69642", "x", "DeviceComponent/m"),
    ];
    let mut with_item = all[2].clone();
    let read = DeviceComponent::from_json(
        br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"x"},
        "productionSpecification":[{"componentId":{"system":"urn:acme","value":"gas-fw"},"productionSpec":"2"}]}"#,
    );
    with_item.production_specification = read.unwrap().production_specification;
    all[2] = with_item;
    let tree = components(&all);
    let label = |value: &str| IdentifierQuery { system: None, value: value.to_owned() };
    let found = |selector: &Selector| select(&tree, selector).map(Node::path).map_err(|error| error.to_string());
    assert_eq!(found(&Selector::Identifier(label("v1"))), Ok("m/v1".into()));
    assert_eq!(found(&Selector::Code(69_641)), Ok("m".into()));
    assert_eq!(found(&Selector::Item(label("gas-fw"))), Ok("m/v2".into()));
    let both = Selector::All(vec![Selector::Level(Level::Vmd), Selector::Identifier(label("v2"))]);
    assert_eq!(found(&both), Ok("m/v2".into()));
    assert_eq!(
        found(&Selector::Code(69_642)),
        Err("2 components match, wanted one of `m/v1` (vmd, x), `m/v2` (vmd, x)".into())
    );
    let neither = Selector::All(vec![Selector::Level(Level::Mds), Selector::Item(label("gas-fw"))]);
    assert!(found(&neither).unwrap_err().starts_with(
        "the device does not have the component of level `mds` and the component with the software item `gas-fw`"
    ));
    let other = IdentifierQuery { system: Some("urn:else".into()), value: "gas-fw".into() };
    assert!(found(&Selector::Item(other)).is_err());
}

#[test]
fn placement_issue_below_orphan_cycle_or_disorder() {
    let all = [
        component("m", "69641", "x", ""),
        component("v", "69642", "x", "DeviceComponent/m"),
        component("c", "69643", "x", "DeviceComponent/v"),
        component("lost", "69642", "x", "DeviceComponent/gone"),
        component("below", "69643", "x", "DeviceComponent/lost"),
        component("a", "69642", "x", "DeviceComponent/b"),
        component("b", "69642", "x", "DeviceComponent/a"),
        component("upside", "69642", "x", "DeviceComponent/c"),
    ];
    let tree = components(&all);
    let doubts: Vec<_> = tree.nodes().map(|node| node.placement_issue().map(|finding| finding.rule.key())).collect();
    assert_eq!(doubts, [None, None, None, Some("CT-04"), Some("CT-04"), Some("CT-01"), Some("CT-05"), Some("CT-05")]);
}

#[test]
fn target_needs_a_closed_chain_of_descending_levels() {
    let mut all = vec![
        component("ward", "69965", "x", ""),
        component("m", "69641", "x", "DeviceComponent/ward"),
        component("v", "69642", "x", "DeviceComponent/m"),
        component("c", "69643", "x", "DeviceComponent/v"),
        // A level may be left out, or not be known.
        component("short", "69643", "x", "DeviceComponent/m"),
        component("any", "69640", "x", "DeviceComponent/c"),
        component("lost", "69642", "x", "DeviceComponent/gone"),
        component("below", "69643", "x", "DeviceComponent/lost"),
        component("a", "69642", "x", "DeviceComponent/b"),
        component("b", "69643", "x", "DeviceComponent/a"),
        component("upside", "69642", "x", "DeviceComponent/c"),
        component("level", "69642", "x", "DeviceComponent/v"),
        component("void", "69642", "x", "DeviceComponent/m"),
        component("of-void", "69643", "x", "DeviceComponent/void"),
        component("twin", "69642", "x", "DeviceComponent/m"),
        component("twin", "69642", "x", "DeviceComponent/m"),
        component("foreign", "69642", "x", "DeviceComponent/m"),
        component("of-foreign", "69643", "x", "DeviceComponent/foreign"),
    ];
    let status = fhir_devices::datatype::Coding::new("http://hl7.org/fhir/operational-status", "entered-in-error");
    all[12].operational_status.push(status.unwrap().into());
    let source = |id: &str| Some(Reference::to(id).unwrap());
    (all[0].source, all[1].source, all[16].source) = (source("Device/w"), source("Device/b"), source("Device/x"));
    let tree = components(&all);
    let found: Vec<_> =
        tree.nodes().map(|node| node.may_be_target().err().map(|unfit| (unfit.reason, unfit.at))).collect();
    let no = |reason, at: &str| Some((reason, at.to_owned()));
    assert_eq!(
        found,
        [
            None,
            None,
            None,
            None,
            None,
            None,
            no(UnfitTargetReason::NoParent, "lost"),
            no(UnfitTargetReason::NoParent, "lost"),
            no(UnfitTargetReason::Cycle, "a"),
            no(UnfitTargetReason::Cycle, "a"),
            no(UnfitTargetReason::Levels, "ward/m/v/c/upside"),
            no(UnfitTargetReason::Levels, "ward/m/v/level"),
            no(UnfitTargetReason::EnteredInError, "ward/m/void"),
            no(UnfitTargetReason::EnteredInError, "ward/m/void"),
            no(UnfitTargetReason::DuplicateId, "ward/m/twin"),
            no(UnfitTargetReason::DuplicateId, "ward/m/twin"),
            no(UnfitTargetReason::OtherSource, "ward/m/foreign"),
            no(UnfitTargetReason::OtherSource, "ward/m/foreign"),
        ]
    );
    let device = fhir_devices::Device::default();
    let tree = fhir_devices::containment::TreeBuilder::new().with_item(&device).build();
    let refused = tree.nodes().next().unwrap().may_be_target().unwrap_err();
    assert_eq!(refused.reason, UnfitTargetReason::NoComponent);
}

#[test]
fn component_without_id_is_counted_but_not_selected() {
    let mut all = [component("a", "69642", "x", ""), component("b", "69642", "x", "")];
    all[1].id = None;
    assert!(select(&components(&all), &Selector::Level(Level::Vmd)).is_err());
    assert!(select(&components(&all[1..]), &Selector::Level(Level::Vmd)).is_err());
    assert_eq!(paths(&components(&all)), ["a", "b"]);
}

#[test]
fn bundle_reference_resolves_by_full_url() {
    let here = "https://here.example/fhir";
    let urn = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7";
    let parts = [
        entry(&format!("{here}/DeviceComponent/m"), "m", ""),
        entry("https://there.example/DeviceComponent/m", "m", ""),
        entry(&format!("{here}/DeviceComponent/a"), "a", &below("DeviceComponent/m")),
        entry("https://there.example/DeviceComponent/b", "b", &below(&format!("{here}/DeviceComponent/m"))),
        entry(urn, "c", &below("DeviceComponent/m")),
        entry("urn:oid:1.2.3", "d", &below(urn)),
        entry("urn:oid:1.2.4", "e", &below("DeviceComponent/a")),
        entry("urn:oid:1.2.5", "f", &below("urn:oid:1.2.99")),
    ];
    let bundle = bundle(&parts.join(","));
    let document = Resource::from(bundle);
    let tree = fhir_devices::containment::TreeBuilder::new().with(&document).build();
    // `c` has no base, and two resources are DeviceComponent/m; `e` has none either, and one is DeviceComponent/a.
    assert_eq!(paths(&tree), ["m", "m", "m/a", "m/b", "c", "c/d", "m/a/e", "f"]);
    let rules = |id: &str| tree.get(id).unwrap().findings().iter().map(|finding| finding.rule).collect::<Vec<_>>();
    assert!(rules("c").contains(&ContainmentRule::OneTarget));
    assert!(rules("f").contains(&ContainmentRule::Resolvable));
    let report = tree.report(fhir_devices::containment::Profile::Base);
    assert!(report.iter().any(|issue| issue.at == "Bundle.entry[7].resource.parent" && issue.rule == "CT-04"));
}

#[test]
fn contained_component_and_wrong_type_are_reported() {
    let all = bundle(
        r##"{"fullUrl":"urn:oid:1.1","resource":{"resourceType":"DeviceMetric","identifier":{"value":"1"},"type":{"text":"x"},
        "category":"setting","contained":[{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"2"},
        "type":{"text":"x"}}],"parent":{"reference":"#c"},"source":{"reference":"urn:oid:1.2"}}},
        {"fullUrl":"urn:oid:1.2","resource":{"resourceType":"Patient","id":"p"}}"##,
    );
    let tree = fhir_devices::containment::TreeBuilder::new().with_bundle(&all).build();
    assert_eq!(paths(&tree), ["c/1", "c"]);
    let report = tree.report(fhir_devices::containment::Profile::Base);
    let found: Vec<_> = report.iter().map(|issue| (&*issue.rule, issue.at.as_str())).collect();
    assert!(found.contains(&("CT-03", "Bundle.entry[0].resource.source")), "{found:?}");
    assert!(found.contains(&("CT-20", "Bundle.entry[0].resource.contained[0].type")), "{found:?}");
}

#[test]
fn huge_chain_star_and_cycle_take_linear_time() {
    let count = 100_000;
    let proto = component("c", "69642", "x", "DeviceComponent/c");
    let parents: [&dyn Fn(usize) -> usize; 3] = [&|at: usize| at.saturating_sub(1), &|_| 0, &|at| (at + 1) % count];
    for parent in parents {
        let all: Vec<_> = (0..count)
            .map(|at| {
                let mut one = proto.clone();
                one.id = Some(Id::new(format!("c{at}")).unwrap().into());
                let parent = format!("DeviceComponent/c{}", parent(at));
                one.parent = Some(Reference::to(&parent).unwrap());
                one
            })
            .collect();
        let tree = components(&all);
        assert_eq!(tree.root_components().count(), 1);
        assert_eq!(tree.root_components().next().unwrap().subtree().count(), count);
        let refused = select(&tree, &Selector::Any).unwrap_err();
        assert_eq!(refused.candidates().len(), count);
        assert!(refused.candidates().iter().all(|candidate| candidate.path.len() < 200));
        assert!(refused.to_string().ends_with("99988 more"));
    }
}
