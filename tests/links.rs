//! Every reference of a valid resource, resolved at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use fhir_devices::backend::Memory;
use fhir_devices::reference::{
    AsyncResolver, BundleResolver, ReferenceLookup, Resolution, ResolveFuture, Resolver, ResolverChain, resolve,
    resolve_async,
};
use fhir_devices::search::ResourceType;
use fhir_devices::store::{Key, Precondition, StoreResolver, Stored, TenantResources};
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, Report, Resource, Valid};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn valid(json: &str) -> Valid<DeviceComponent> {
    Valid::new(DeviceComponent::from_json(json.as_bytes()).unwrap()).unwrap()
}

fn words(report: &Report) -> Vec<(&str, &str, &str)> {
    report.iter().map(|issue| (&*issue.rule, issue.at.as_str(), issue.message.as_str())).collect()
}

/// Answers by the requested id.
struct Oracle;

impl Oracle {
    fn answer(link: &ReferenceLookup<'_>) -> Resolution<Resource> {
        match link.literal.and_then(|literal| literal.id()) {
            Some("gone") => Resolution::Deleted { version: None },
            Some("two") => Resolution::Ambiguous { count: 2 },
            Some("far") => Resolution::NotAllowed { reason: "it is at another service" },
            // It does not look at what the link allows.
            Some("patient") => Resolution::Found(Resource::from_json(br#"{"resourceType":"Patient"}"#).unwrap()),
            Some("here") => Resolution::Found(Device::default().into()),
            _ => Resolution::Absent,
        }
    }
}

impl Resolver for Oracle {
    fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>> {
        Self::answer(link).map(Cow::Owned)
    }
}

/// The asynchronous version, with a count of the calls.
#[derive(Default)]
struct Later(AtomicUsize);

impl AsyncResolver for Later {
    type Error = &'static str;

    fn resolve_all<'a>(&'a self, links: &'a [ReferenceLookup<'a>]) -> ResolveFuture<'a, Self::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let is_broken = links.iter().any(|link| link.literal.and_then(|literal| literal.id()) == Some("broken"));
        Box::pin(async move {
            if is_broken { Err("the line is broken") } else { Ok(links.iter().map(Oracle::answer).collect()) }
        })
    }
}

fn component(source: &str, extensions: &str) -> String {
    format!(
        r#"{{"resourceType":"DeviceComponent","extension":[{extensions}],"identifier":{{"value":"1"}},"type":{{"text":"x"}},
        "source":{{"reference":"{source}"}}}}"#
    )
}

fn extension(reference: &str) -> String {
    format!(r#"{{"url":"http://acme.example/of","valueReference":{reference}}}"#)
}

#[test]
fn unresolved_references_are_issues_in_document_order() {
    let extensions = [
        r#"{"reference":"Device/here"}"#,
        r#"{"reference":"Device/none"}"#,
        r#"{"reference":"Device/gone"}"#,
        r#"{"reference":"https://a.example/Device/two"}"#,
        r#"{"reference":"Device/far"}"#,
        r#"{"identifier":{"system":"urn:acme","value":"7"}}"#,
        r#"{"display":"the one by the window"}"#,
    ]
    .map(extension)
    .join(",");
    let component = valid(&component("Device/patient", &extensions));
    let report = resolve(&component, &Oracle).unwrap_err();
    let at = |number: usize| format!("DeviceComponent.extension[{number}].valueReference");
    let at: Vec<String> = (0..7).map(at).collect();
    assert_eq!(
        words(&report),
        [
            ("reference-absent", at[1].as_str(), "`Device/none` was not found, wanted a resource"),
            ("reference-deleted", &at[2], "`Device/gone` was deleted, wanted a resource"),
            ("reference-ambiguous", &at[3], "`https://a.example/Device/two` may be one of 2 resources, wanted one"),
            (
                "reference-refused",
                &at[4],
                "`Device/far` was not looked for, as it is at another service; wanted a resource"
            ),
            ("reference-absent", &at[5], "what has the identifier `urn:acme|7` was not found, wanted a resource"),
            ("reference-target", "DeviceComponent.source", "`Device/patient` is a Patient, wanted a Device"),
        ]
    );
}

#[test]
fn links_are_typed_by_their_reference() {
    let json = br##"{"resourceType":"DeviceMetric","contained":[
        {"resourceType":"DeviceComponent","id":"c","identifier":{"value":"2"},"type":{"text":"channel"},
            "parent":{"reference":"#v"},"source":{"reference":"Device/here"}},
        {"resourceType":"DeviceComponent","id":"v","identifier":{"value":"3"},"type":{"text":"vmd"}}],
        "identifier":{"value":"1","assigner":{"reference":"#c"}},"type":{"text":"flow"},"category":"setting",
        "source":{"reference":"Device/here"},"parent":{"reference":"#c"}}"##;
    let mut metric = DeviceMetric::from_json(json).unwrap();
    metric.identifier.assigner = None;
    let metric = Valid::new(metric).unwrap();
    let links = resolve(&metric, &Oracle).unwrap();
    let places: Vec<&str> = links.iter().map(|(at, _)| at).collect();
    assert_eq!(
        places,
        [
            "DeviceMetric.contained[0].source",
            "DeviceMetric.contained[0].parent",
            "DeviceMetric.source",
            "DeviceMetric.parent"
        ]
    );
    let channel: &DeviceComponent = links.to(metric.parent.as_ref().unwrap()).unwrap();
    assert_eq!(channel.logical_id().unwrap(), "c");
    let Resource::DeviceComponent(inner) = &metric.contained[0] else { panic!() };
    assert_eq!(links.to(inner.parent.as_ref().unwrap()).unwrap().logical_id().unwrap(), "v");
    let device: &Device = links.to(metric.source.as_ref().unwrap()).unwrap();
    assert_eq!(*device, Device::default());
    // A copy is another reference.
    assert!(links.to(&metric.parent.clone().unwrap()).is_none());
    assert!(links.at("DeviceMetric.parent").is_some_and(|found| found.id() == Some("c")));
    assert_eq!((links.len(), links.at("DeviceMetric.unit").is_none()), (4, true));
}

#[test]
fn bundle_reference_resolves_from_its_entry() {
    let bundle = Bundle::from_json(
        br#"{"resourceType":"Bundle","type":"collection","entry":[
        {"fullUrl":"https://a.example/Device/d","resource":{"resourceType":"Device","id":"d","model":"of a"}},
        {"fullUrl":"https://b.example/Device/d","resource":{"resourceType":"Device","id":"d","model":"of b"}},
        {"fullUrl":"https://b.example/DeviceComponent/c","resource":{"resourceType":"DeviceComponent","id":"c",
            "identifier":{"value":"1"},"type":{"text":"x"},"source":{"reference":"Device/d"}}},
        {"fullUrl":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7","resource":{"resourceType":"DeviceComponent","id":"lost","identifier":{"value":"2"},"type":{"text":"x"},
            "parent":{"reference":"DeviceComponent/none"}}}]}"#,
    )
    .unwrap();
    let near = BundleResolver::new(&bundle);
    let mut sound = bundle.clone();
    sound.entry.truncate(3);
    let sound = Valid::new(sound).unwrap();
    let links = resolve(&sound, &near).unwrap();
    let Some(Resource::Device(device)) = links.at("Bundle.entry[2].resource.source") else { panic!("{links:?}") };
    assert_eq!(device.model.as_ref().unwrap().value.as_ref().unwrap().as_str(), "of b");
    let bundle = Valid::new(bundle.clone()).unwrap();
    let report = resolve(&bundle, &near).unwrap_err();
    assert_eq!(
        words(&report),
        [(
            "reference-absent",
            "Bundle.entry[3].resource.parent",
            "`DeviceComponent/none` was not found, wanted a DeviceComponent"
        )]
    );
}

#[tokio::test]
async fn async_resolver_is_called_once_and_agrees() {
    let extensions: Vec<String> = ["here", "none", "gone", "two", "far", "patient", "here"]
        .iter()
        .map(|id| extension(&format!(r#"{{"reference":"Device/{id}"}}"#)))
        .collect();
    for upto in 0..extensions.len() {
        let component = valid(&component("Device/here", &extensions[..=upto].join(",")));
        let later = Later::default();
        let (here, there) = (resolve(&component, &Oracle), resolve_async(&component, &later).await.unwrap());
        match (here, there) {
            (Ok(here), Ok(there)) => assert!(here.iter().eq(there.iter())),
            (Err(here), Err(there)) => assert_eq!(here, there),
            other => panic!("{other:?}"),
        }
        assert_eq!(later.0.load(Ordering::Relaxed), 1);
    }
    let none = valid(r#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"x"}}"#);
    let later = Later::default();
    assert!(resolve_async(&none, &later).await.unwrap().unwrap().is_empty());
    assert_eq!(later.0.load(Ordering::Relaxed), 0);
    let broken = valid(&component("Device/broken", &extensions[0]));
    assert_eq!(resolve_async(&broken, &later).await.unwrap_err(), "the line is broken");
}

#[tokio::test]
async fn store_reports_deleted_targets() {
    let store = TenantResources::new(Arc::new(Memory::new()), "ours".parse().unwrap());
    for id in ["pump", "old"] {
        let device = Device::from_json(format!(r#"{{"resourceType":"Device","id":"{id}"}}"#).as_bytes()).unwrap();
        store.put(&Valid::new(device).unwrap(), Precondition::Absent).await.unwrap();
    }
    store.delete(Key::new(ResourceType::Device, "old").unwrap(), Precondition::Exists).await.unwrap();
    let store = StoreResolver::new(store);
    let sound = valid(&component("Device/pump", &extension(r#"{"reference":"Device/pump"}"#)));
    let links = resolve_async(&sound, &store).await.unwrap().unwrap();
    assert_eq!(links.to(sound.source.as_ref().unwrap()).unwrap().logical_id().unwrap(), "pump");
    let stale = valid(&component("Device/old", &extension(r#"{"reference":"Patient/p"}"#)));
    let report = resolve_async(&stale, &store).await.unwrap().unwrap_err();
    let rules: Vec<_> = report.iter().map(|issue| &*issue.rule).collect();
    assert_eq!(rules, ["reference-refused", "reference-deleted"]);
    assert_eq!(resolve(&stale, &ResolverChain::default()).unwrap_err().iter().count(), 2);
}
