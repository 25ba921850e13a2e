//! Literal references, resolvers, whole devices from a store, and changes of a tree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;
mod common;

use fhir_devices::backend::Memory;
use fhir_devices::containment::{
    ChangeAction, ChangeCondition, EditError, Node, TreeBuilder, add_component, move_to, remove,
};
use fhir_devices::datatype::{Reference, target};
use fhir_devices::reference::{
    AncestorsEnd, AsyncResolver, BundleResolver, Contained, Literal, LocalThenRemote, ReferenceLookup, Resolution,
    Resolver, ResolverChain, ancestors,
};
use fhir_devices::store::{
    BoxFuture, Capabilities, Key, Page, Precondition, ResourceStore, Search, StoreResolver, Tenant, TenantResources,
    Version, VersionId, writes,
};
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, Resource, Valid};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn link(text: &str) -> Reference<target::Any> {
    Reference::to(text).unwrap()
}

/// Returns the outcome of a reference as a word.
fn word<R>(resolution: &Resolution<R>) -> &'static str {
    match resolution {
        Resolution::Found(_) => "found",
        Resolution::Absent => "absent",
        Resolution::Deleted { .. } => "deleted",
        Resolution::WrongType { .. } => "wrong type",
        Resolution::Ambiguous { .. } => "ambiguous",
        Resolution::NotAllowed { .. } => "not allowed",
    }
}

#[test]
fn published_reference_literals_round_trip() {
    let Some(corpus) = common::corpus() else { return };
    let mut forms = [0; 5];
    for file in std::fs::read_dir(corpus.join("published")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in text.split("\"reference\"").skip(1) {
            let Some(literal) = rest.trim_start_matches([' ', ':', '\n', '\r', '\t']).strip_prefix('"') else {
                continue;
            };
            let literal = literal.split('"').next().unwrap();
            let parsed = Literal::parse(literal);
            assert_eq!(parsed.to_string(), literal);
            let form = match parsed {
                Literal::Relative { .. } => 0,
                Literal::Absolute { .. } => 1,
                Literal::Contained { .. } => 2,
                Literal::Urn(_) => 3,
                _ => 4,
            };
            forms[form] += 1;
        }
    }
    assert!(forms[0] > 50, "{forms:?}");
}

#[test]
fn reference_literals_parse_by_specification() {
    let form = |text: &'static str| match Literal::parse(text) {
        Literal::Relative { version: None, .. } => "relative",
        Literal::Relative { .. } => "relative, versioned",
        Literal::Absolute { version: None, .. } => "absolute",
        Literal::Absolute { .. } => "absolute, versioned",
        Literal::Contained { .. } => "contained",
        Literal::Urn(_) => "urn",
        _ => "other",
    };
    for (text, wanted) in [
        ("Device/d1", "relative"),
        ("Device/d1/_history/2", "relative, versioned"),
        ("https://ehr.example/a/b/Device/d1", "absolute"),
        ("http://ehr.example/Device/d1/_history/2", "absolute, versioned"),
        ("#d1", "contained"),
        ("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "urn"),
        ("urn:oid:1.2.3", "urn"),
        ("Device", "other"),
        ("Device/d_1", "other"),
        ("Device/d1/_history/", "other"),
        ("Device?identifier=1", "other"),
        ("https://ehr.example/Gadget/d1", "other"),
        ("/Device/d1", "other"),
        ("", "other"),
    ] {
        assert_eq!(form(text), wanted, "{text}");
        assert_eq!(Literal::parse(text).to_string(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_reference_literal_round_trips(
        text in "(https?://[a-z.]{0,8}/?|urn:(uuid|oid):|#)?(Device|Patient|[A-Za-z]{0,5})?/?[A-Za-z0-9._#/-]{0,12}(/_history/[0-9]{0,3})?"
    ) {
        prop_assert_eq!(Literal::parse(&text).to_string(), text);
    }
}

fn bundle() -> Bundle {
    let device = |url: &str, id: &str, version: &str| {
        let meta = if version.is_empty() { String::new() } else { format!(r#","meta":{{"versionId":"{version}"}}"#) };
        let url = if url.is_empty() { String::new() } else { format!(r#""fullUrl":"{url}","#) };
        format!(
            r#"{{{url}"resource":{{"resourceType":"Device","id":"{id}"{meta},"identifier":[{{"value":"SN-{id}"}}]}}}}"#
        )
    };
    let entries = [
        device("https://a.example/Device/d1", "d1", "3"),
        device("https://a.example/Device/d2", "d2", "1"),
        device("https://a.example/Device/d2", "d2", "2"),
        device("https://b.example/Device/d1", "d1", ""),
        device("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "d9", ""),
        device("", "bare", ""),
        r#"{"fullUrl":"urn:oid:1.2.3","resource":{"resourceType":"Patient","id":"p"}}"#.to_owned(),
    ];
    let json = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#, entries.join(","));
    Bundle::from_json(json.as_bytes()).unwrap()
}

#[test]
fn bundle_resolves_by_full_url_base_and_version() {
    let bundle = bundle();
    let resolver = BundleResolver::new(&bundle);
    let (a, urn) = (Some("https://a.example/DeviceMetric/m"), Some("urn:oid:1.9"));
    for (text, from, wanted) in [
        ("Device/d1", a, "found"),
        ("Device/d1", Some("https://c.example/DeviceMetric/m"), "absent"),
        ("Device/d1", urn, "ambiguous"),
        ("Device/d1", None, "ambiguous"),
        ("https://b.example/Device/d1", a, "found"),
        ("https://c.example/Device/d1", a, "absent"),
        ("Device/d1/_history/3", a, "found"),
        ("Device/d1/_history/4", a, "absent"),
        ("Device/d2", a, "ambiguous"),
        ("Device/d2/_history/2", a, "found"),
        ("https://a.example/Device/d2/_history/1", urn, "found"),
        ("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", a, "found"),
        ("urn:uuid:00000000-0000-0000-0000-000000000000", a, "absent"),
        ("Device/d9", urn, "absent"),
        ("Device/bare", a, "found"),
        ("Device/bare", urn, "found"),
        ("#d1", a, "not allowed"),
    ] {
        let reference = link(text);
        assert_eq!(
            word(&resolver.resolve(&ReferenceLookup::of(&reference).from(from))),
            wanted,
            "{text} from {from:?}"
        );
    }
    let to_device = Reference::<target::Device>::to("urn:oid:1.2.3").unwrap();
    let wrong = resolver.resolve(&ReferenceLookup::of(&to_device));
    assert_eq!(wrong, Resolution::WrongType { found: "Patient".into() });
    let mut logical = Reference::<target::Device>::default();
    let named = |value: &str| {
        Device::from_json(format!(r#"{{"resourceType":"Device","identifier":[{{"value":"{value}"}}]}}"#).as_bytes())
    };
    for (value, wanted) in [("SN-bare", "found"), ("SN-d1", "ambiguous"), ("SN-0", "absent")] {
        logical.identifier = named(value).unwrap().identifier.pop().map(Box::new);
        assert_eq!(word(&resolver.resolve(&ReferenceLookup::of(&logical))), wanted, "{value}");
    }
}

#[test]
fn resolver_chain_stops_at_the_first_answer() {
    let bundle = bundle();
    let in_bundle = BundleResolver::new(&bundle);
    let contained = [Resource::from_json(br#"{"resourceType":"Device","id":"d1"}"#).unwrap()];
    let contained = Contained(&contained);
    let chain = ResolverChain(vec![&in_bundle, &contained]);
    for (text, wanted) in
        [("#d1", "found"), ("#d2", "not allowed"), ("Device/bare", "found"), ("Device/none", "absent")]
    {
        assert_eq!(word(&chain.resolve(&ReferenceLookup::of(&link(text)))), wanted, "{text}");
    }
}

#[test]
fn ancestors_end_at_top_cycle_or_missing_parent() {
    let entry = |id: &str, parent: &str| {
        format!(
            r#"{{"fullUrl":"https://a.example/DeviceComponent/{id}","resource":{{"resourceType":"DeviceComponent","id":"{id}",
            "identifier":{{"value":"1"}},"type":{{"text":"x"}}{parent}}}}}"#
        )
    };
    let below = |id: &str| format!(r#","parent":{{"reference":"DeviceComponent/{id}"}}"#);
    let entries = [
        entry("m", ""),
        entry("v", &below("m")),
        entry("c", &below("v")),
        entry("x", &below("y")),
        entry("y", &below("x")),
        entry("z", &below("gone")),
    ];
    let json = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#, entries.join(","));
    let bundle = Bundle::from_json(json.as_bytes()).unwrap();
    let resolver = BundleResolver::new(&bundle);
    let from = Some("https://a.example/DeviceComponent/m");
    let above = |id: &str| {
        let Resource::DeviceComponent(start) = bundle.resources().find(|resource| resource.id() == Some(id)).unwrap()
        else {
            panic!()
        };
        let (above, end) = ancestors(&resolver, start, from);
        (above.iter().map(|one| one.id().unwrap().to_owned()).collect::<Vec<_>>().join(" "), end)
    };
    assert_eq!(above("c"), ("v m".into(), AncestorsEnd::Top));
    assert_eq!(above("x"), ("y".into(), AncestorsEnd::Cycle));
    assert_eq!(above("z"), (String::new(), AncestorsEnd::Open(Resolution::Absent)));
}

/// A store that counts the calls to it.
struct Counting(Memory, AtomicUsize);

impl ResourceStore for Counting {
    passed_on!(0: commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&self.0)
    }
    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, fhir_devices::store::Result<Version>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(tenant, key)
    }
    fn vread<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        version: VersionId,
    ) -> BoxFuture<'a, fhir_devices::store::Result<Version>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.vread(tenant, key, version)
    }
    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, fhir_devices::store::Result<Page<Version>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.search(tenant, search)
    }
}

fn component(id: &str, code: &str, source: &str, parent: &str) -> DeviceComponent {
    let parent = if parent.is_empty() {
        String::new()
    } else {
        format!(r#","parent":{{"reference":"DeviceComponent/{parent}"}}"#)
    };
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},"type":{{"coding":[{{
        "system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},"source":{{"reference":"Device/{source}"}}{parent}}}"#
    );
    DeviceComponent::from_json(json.as_bytes()).unwrap()
}

async fn fleet(counting: &Arc<Counting>, vmds: usize) -> TenantResources<Counting> {
    let store = TenantResources::new(counting.clone(), "ours".parse().unwrap());
    for id in ["pump", "rack"] {
        let device = Device::from_json(format!(r#"{{"resourceType":"Device","id":"{id}"}}"#).as_bytes()).unwrap();
        store.put(&Valid::new(device).unwrap(), Precondition::Absent).await.unwrap();
    }
    let mut all = vec![component("rack-mds", "69985", "rack", ""), component("mds", "69985", "pump", "rack-mds")];
    all.extend((0..vmds).map(|at| component(&format!("vmd-{at}"), "69986", "pump", "mds")));
    for one in all {
        store.put(&Valid::new(one).unwrap(), Precondition::Absent).await.unwrap();
    }
    store
}

#[tokio::test]
async fn device_tree_takes_a_constant_number_of_calls() {
    for vmds in [3, 300, 3_000] {
        let counting = Arc::new(Counting(Memory::new(), AtomicUsize::new(0)));
        let store = fleet(&counting, vmds).await;
        let family = store.device_tree("pump").await.unwrap();
        assert_eq!(family.resources.len(), vmds + 3);
        assert_eq!(family.tree().get("vmd-0").unwrap().path(), "rack-mds/mds/vmd-0");
        // The device, its components, its metrics, the level above its MDS, and two for what names its parent alone.
        assert_eq!(counting.1.load(Ordering::Relaxed), 6, "{vmds}");
    }
}

/// Returns the component without its source.
fn sourceless(id: &str, code: &str, parent: &str) -> DeviceComponent {
    let mut one = component(id, code, "pump", parent);
    one.source = None;
    one
}

#[tokio::test]
async fn component_without_source_belongs_to_its_parents_device() {
    for size in [3, 300] {
        let counting = Arc::new(Counting(Memory::new(), AtomicUsize::new(0)));
        let store = fleet(&counting, 1).await;
        let mut all: Vec<DeviceComponent> =
            (0..size).map(|at| sourceless(&format!("c-{at}"), "69987", "vmd-0")).collect();
        all.extend((0..size).map(|at| sourceless(&format!("deep-{at}"), "69987", &format!("c-{at}"))));
        // A circle below, a part of the rack above, and one of another device.
        all.push(sourceless("round", "69986", "round"));
        all.push(sourceless("of-rack", "69986", "rack-mds"));
        all.push(component("other", "69986", "rack", "mds"));
        for one in all {
            store.put(&Valid::new(one).unwrap(), Precondition::Absent).await.unwrap();
        }
        let metric = DeviceMetric::from_json(
            br#"{"resourceType":"DeviceMetric","id":"flow","identifier":{"value":"1"},"type":{"text":"flow"},
            "category":"setting","parent":{"reference":"DeviceComponent/deep-0"}}"#,
        );
        store.put(&Valid::new(metric.unwrap()).unwrap(), Precondition::Absent).await.unwrap();
        let before = counting.1.load(Ordering::Relaxed);
        let family = store.device_tree("pump").await.unwrap();
        let calls = counting.1.load(Ordering::Relaxed) - before;
        let tree = family.tree();
        assert_eq!(tree.len(), 2 + 2 + 2 * size + 1, "{tree:?}");
        assert_eq!(tree.get("deep-2").unwrap().path(), "rack-mds/mds/vmd-0/c-2/deep-2");
        assert_eq!(tree.metric("flow").unwrap().device().unwrap().label(), "pump");
        assert!(["round", "of-rack", "other"].iter().all(|id| tree.get(id).is_none()));
        // As before, and two for each of the levels of channels.
        assert_eq!(calls, 6 + 2 * 2, "{size}");
    }
}

#[tokio::test]
async fn store_resolves_many_references_in_one_call() {
    let counting = Arc::new(Counting(Memory::new(), AtomicUsize::new(0)));
    let store: TenantResources<Counting> = TenantResources::new(counting.clone(), "ours".parse().unwrap());
    for id in ["a", "b", "dead"] {
        store.put(&Valid::new(component(id, "69986", "pump", "")).unwrap(), Precondition::Absent).await.unwrap();
    }
    let dead = Key::new(fhir_devices::search::ResourceType::DeviceComponent, "dead").unwrap();
    store.delete(dead, Precondition::Exists).await.unwrap();
    store.put(&Valid::new(component("b", "69987", "pump", "")).unwrap(), Precondition::Exists).await.unwrap();
    let resolver = StoreResolver::new(store).at("https://ours.example/fhir");
    let texts = [
        ("DeviceComponent/a", "found"),
        ("https://ours.example/fhir/DeviceComponent/b", "found"),
        ("DeviceComponent/b/_history/1", "found"),
        ("DeviceComponent/b/_history/9", "absent"),
        ("DeviceComponent/dead", "deleted"),
        ("DeviceComponent/gone", "absent"),
        ("https://theirs.example/DeviceComponent/a", "not allowed"),
        ("Patient/p", "not allowed"),
        ("#a", "not allowed"),
    ];
    let references: Vec<_> = texts.iter().map(|(text, _)| link(text)).collect();
    let links: Vec<_> = references.iter().map(ReferenceLookup::of).collect();
    let answers = resolver.resolve_all(&links).await.unwrap();
    let words: Vec<_> = answers.iter().map(word).collect();
    assert_eq!(words, texts.map(|(_, wanted)| wanted));
    // What a Bundle knows is not asked of the store.
    let bundle = bundle();
    let near = BundleResolver::new(&bundle);
    let both = LocalThenRemote { near: &near, far: resolver };
    let asked = [link("Device/bare"), link("DeviceComponent/a"), link("#x"), link("Device/none")];
    let links: Vec<_> = asked.iter().map(ReferenceLookup::of).collect();
    let answers = both.resolve_all(&links).await.unwrap();
    assert_eq!(answers.iter().map(word).collect::<Vec<_>>(), ["found", "found", "not allowed", "absent"]);
    let resolver = both.far;
    let many: Vec<_> = (0..500).map(|_| ReferenceLookup::of(&references[0])).collect();
    let before = counting.1.load(Ordering::Relaxed);
    let answers = resolver.resolve_all(&many).await.unwrap();
    assert_eq!(answers.len(), 500);
    assert_eq!(counting.1.load(Ordering::Relaxed) - before, 1);
}

fn parts() -> Vec<DeviceComponent> {
    let mut all = vec![
        component("m", "69985", "d", ""),
        component("v1", "69986", "d", "m"),
        component("v2", "69986", "d", "m"),
        component("c1", "69987", "d", "v1"),
        component("n", "69985", "e", ""),
    ];
    for one in &mut all {
        one.meta = DeviceComponent::from_json(
            br#"{"resourceType":"DeviceComponent","meta":{"versionId":"1"},"identifier":{"value":"1"},"type":{"text":"x"}}"#,
        )
        .unwrap()
        .meta;
    }
    all
}

#[test]
fn move_writes_changes_and_guards_ancestors() {
    let all = parts();
    let tree = TreeBuilder::new().with_items(&all).build();
    let get = |id: &str| tree.get(id).unwrap();
    let plan = move_to(get("c1"), Some(get("v2"))).unwrap();
    let said: Vec<_> = plan
        .iter()
        .map(|change| {
            let verb = match change.action {
                ChangeAction::Write(_) => "write",
                ChangeAction::Keep(_) => "keep",
                ChangeAction::Delete(_) => "delete",
            };
            assert_eq!(change.condition, ChangeCondition::Version("1".into()));
            format!("{verb} {}", change.action.resource().id().unwrap())
        })
        .collect();
    assert_eq!(said, ["keep v2", "keep m", "write c1"]);
    // To another device: all that is below changes its source.
    let plan = move_to(get("v1"), Some(get("n"))).unwrap();
    let sources: Vec<_> = plan
        .iter()
        .filter_map(|change| match change.action.resource() {
            Resource::DeviceComponent(one) => Some(one.source.as_ref()?.literal()?.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(sources, ["Device/e", "Device/e", "Device/e"]);
    assert_eq!(move_to(get("m"), Some(get("c1"))), Err(EditError::OwnAncestor));
    let level = |own, above| EditError::Level { own, above };
    use fhir_devices::nomenclature::Level::{Channel, Vmd};
    assert_eq!(move_to(get("v2"), Some(get("c1"))), Err(level(Vmd, Channel)));
    assert_eq!(remove(get("v1"), false), Err(EditError::HasChildren { label: "v1".into(), count: 1 }));
    let order: Vec<_> = remove(get("v1"), true)
        .unwrap()
        .iter()
        .map(|change| change.action.resource().id().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["c1", "v1"]);
    let new = component("c2", "69987", "d", "");
    let plan = add_component(&tree, new.clone(), get("v2")).unwrap();
    assert_eq!(plan.last().unwrap().condition, ChangeCondition::Absent);
    assert_eq!(add_component(&tree, parts().pop().unwrap(), get("m")), Err(EditError::IdTaken { id: "n".into() }));
    assert!(matches!(add_component(&tree, new, get("c1")), Err(EditError::Level { .. })));
}

#[tokio::test]
async fn concurrent_moves_cannot_create_a_cycle() {
    let store = TenantResources::new(Arc::new(Memory::new()), "ours".parse().unwrap());
    for (id, parent) in [("a", ""), ("a1", "a"), ("b", ""), ("b1", "b")] {
        store.put(&Valid::new(component(id, "69985", "d", parent)).unwrap(), Precondition::Absent).await.unwrap();
    }
    let device = Device::from_json(br#"{"resourceType":"Device","id":"d"}"#).unwrap();
    store.put(&Valid::new(device).unwrap(), Precondition::Absent).await.unwrap();
    let family = store.device_tree("d").await.unwrap();
    let tree = family.tree();
    let get = |id: &str| tree.get(id).unwrap();
    let first = writes(&move_to(get("a"), Some(get("b1"))).unwrap()).unwrap();
    let second = writes(&move_to(get("b"), Some(get("a1"))).unwrap()).unwrap();
    store.commit(first).await.unwrap();
    store.commit(second).await.unwrap_err();
    let family = store.device_tree("d").await.unwrap();
    let tree = family.tree();
    assert!(tree.nodes().all(|node| !node.is_cyclic() && !node.is_orphan()));
    assert_eq!(tree.get("a1").unwrap().path(), "b/b1/a/a1");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_leave_no_cycle_or_orphan(
        parents in prop::collection::vec(any::<prop::sample::Index>(), 1..14),
        edits in prop::collection::vec((0u8..3, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
    ) {
        // A sound forest: each below one that comes before it. Levels are left open.
        let mut all: Vec<DeviceComponent> = Vec::new();
        for (at, parent) in parents.iter().enumerate() {
            let above = parent.index(at + 1);
            let above = if above == at { String::new() } else { format!("c{above}") };
            all.push(component(&format!("c{at}"), "69984", "d", &above));
        }
        for (number, (kind, node, place)) in edits.into_iter().enumerate() {
            if all.is_empty() {
                break;
            }
            let tree = TreeBuilder::new().with_items(&all).build();
            let nodes: Vec<Node<'_, '_>> = tree.nodes().collect();
            let (node, place) = (nodes[node.index(nodes.len())], nodes[place.index(nodes.len())]);
            let plan = match kind {
                0 => move_to(node, Some(place)),
                1 => remove(node, number % 2 == 0),
                _ => add_component(&tree, component(&format!("new{number}"), "69984", "d", ""), place),
            };
            let Ok(plan) = plan else { continue };
            for change in plan {
                let Resource::DeviceComponent(one) = change.action.resource() else { panic!() };
                let there = all.iter().position(|other| other.id == one.id);
                match (change.action.clone(), there) {
                    (ChangeAction::Delete(_), Some(at)) => { all.remove(at); }
                    (_, Some(at)) => all[at] = (**one).clone(),
                    (_, None) => all.push((**one).clone()),
                }
            }
            let tree = TreeBuilder::new().with_items(&all).build();
            prop_assert!(tree.nodes().all(|node| !node.is_cyclic() && !node.is_orphan()));
        }
    }
}
