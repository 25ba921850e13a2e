//! Searches, compared with a filter over everything.

use super::client::{BASE, Client, link, modes};
use super::oracle::Condition;
use fhir_devices::search::{ParamKind, ResourceType, params};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

const SYSTEMS: [&str; 3] = ["urn:a", "urn:B", "http://hl7.org/fhir/device-status"];
const KINDS: [&str; 3] = ["software-revision", "firmware-revision", "hardware-revision"];
const CODES: [&str; 7] = ["x1", "X1", "y", "Ünit,2\\$", "active", "setting", "calculation"];
const WORDS: [&str; 11] = [
    "Dräger, Lübeck",
    "drager",
    "DRAGER lubeck",
    "Évita",
    "E\u{301}vita 4",
    "Nguyễn",
    "nguyen",
    "e",
    "\\back$",
    "P-500",
    "0950400",
];
const URLS: [&str; 3] = ["urn:oid:1.2", "http://x.example/p", "http://X.example/p"];

/// Returns references of a type, in all forms in which they are written and searched.
fn references(target: &str) -> Vec<String> {
    vec![
        format!("{target}/one"),
        format!("{target}/two"),
        format!("{target}/one/_history/3"),
        format!("{BASE}/{target}/one"),
        format!("http://there.example/{target}/one"),
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520".to_owned(),
    ]
}

fn coding() -> impl Strategy<Value = Value> {
    (prop::option::of(select(&SYSTEMS[..2])), select(&CODES[..]), prop::option::of(select(&WORDS[..]))).prop_map(
        |(system, code, display)| {
            let mut coding = json!({"code": code});
            system.into_iter().for_each(|system| coding["system"] = system.into());
            display.into_iter().for_each(|display| coding["display"] = display.into());
            coding
        },
    )
}

fn concept() -> impl Strategy<Value = Value> {
    (prop::collection::vec(coding(), 1..3), prop::option::of(select(&WORDS[..]))).prop_map(|(coding, text)| {
        let mut concept = json!({"coding": coding});
        text.into_iter().for_each(|text| concept["text"] = text.into());
        concept
    })
}

fn identifier() -> impl Strategy<Value = Value> {
    (prop::option::of(select(&SYSTEMS[..2])), select(&CODES[..]), any::<bool>()).prop_map(|(system, value, worded)| {
        let mut identifier = json!({"value": value});
        system.into_iter().for_each(|system| identifier["system"] = system.into());
        if worded {
            identifier["type"] = json!({"text": "Serial"});
        }
        identifier
    })
}

fn set(to: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        to[name] = value.into();
    }
}

fn meta() -> impl Strategy<Value = Option<Value>> {
    prop::option::of((coding(), prop::option::of(coding()), prop::option::of(select(&URLS[..])))).prop_map(|meta| {
        let (tag, security, profile) = meta?;
        let mut meta = json!({"tag": [tag]});
        set(&mut meta, "security", security.map(|label| json!([label])));
        set(&mut meta, "profile", profile.map(|profile| json!([profile])));
        Some(meta)
    })
}

fn reference(target: &str) -> impl Strategy<Value = Option<Value>> + use<> {
    prop::option::of(select(references(target)).prop_map(|text| json!({"reference": text})))
}

fn device() -> impl Strategy<Value = Value> {
    let word = || prop::option::of(select(&WORDS[..]));
    let texts = (word(), word(), word(), word(), word());
    let links = (reference("Patient"), reference("Organization"), reference("Location"));
    let coded = (
        prop::collection::vec(identifier(), 0..3),
        prop::option::of(concept()),
        prop::option::of(select(&["active", "inactive", "unknown"][..])),
        prop::option::of(select(&URLS[..])),
        meta(),
    );
    (texts, links, coded).prop_map(|(texts, links, (identifiers, kind, status, url, meta))| {
        let mut device = json!({"resourceType": "Device"});
        let (manufacturer, model, name, di, carrier) = texts;
        set(&mut device, "meta", meta);
        set(&mut device, "manufacturer", manufacturer);
        set(&mut device, "model", model);
        let mut udi = json!({"issuer": "http://x.example"});
        set(&mut udi, "name", name);
        set(&mut udi, "deviceIdentifier", di);
        set(&mut udi, "carrierHRF", carrier);
        device["udi"] = udi;
        let (patient, owner, location) = links;
        set(&mut device, "patient", patient);
        set(&mut device, "owner", owner);
        set(&mut device, "location", location);
        set(&mut device, "identifier", (!identifiers.is_empty()).then_some(identifiers));
        set(&mut device, "type", kind);
        set(&mut device, "status", status);
        set(&mut device, "url", url);
        device
    })
}

fn part(metric: bool) -> impl Strategy<Value = Value> {
    let category = select(&["setting", "measurement", "calculation"][..]);
    (identifier(), concept(), reference("Device"), reference("DeviceComponent"), meta(), category).prop_map(
        move |(identifier, kind, source, parent, meta, category)| {
            let name = if metric { "DeviceMetric" } else { "DeviceComponent" };
            let mut part = json!({"resourceType": name, "identifier": identifier, "type": kind});
            set(&mut part, "meta", meta);
            set(&mut part, "source", source);
            set(&mut part, "parent", parent);
            if metric {
                part["category"] = category.into();
            }
            part
        },
    )
}

fn specification() -> impl Strategy<Value = Value> {
    (prop::option::of(select(&KINDS[..])), prop::option::of(select(&CODES[..]))).prop_map(|(kind, text)| {
        let mut specification = json!({"componentId": {"value": "1"}});
        if let Some(kind) = kind {
            let system = "http://hl7.org/fhir/specification-type";
            specification["specType"] = json!({"coding": [{"system": system, "code": kind}]});
        }
        set(&mut specification, "productionSpec", text);
        specification
    })
}

fn component() -> impl Strategy<Value = Value> {
    (part(false), prop::collection::vec(specification(), 0..3)).prop_map(|(mut component, specifications)| {
        if !specifications.is_empty() {
            component["productionSpecification"] = specifications.into();
        }
        component
    })
}

fn resource(kind: ResourceType) -> BoxedStrategy<Value> {
    match kind {
        ResourceType::Device => device().boxed(),
        ResourceType::DeviceComponent => component().boxed(),
        _ => part(true).boxed(),
    }
}

/// Returns the systems to search for.
fn systems_of(param: &str) -> &'static [&'static str] {
    if matches!(param, "production-specification" | "reported-version") { &KINDS } else { &SYSTEMS }
}

/// Returns a value to search for.
fn value(param: &'static str, kind: ParamKind, modifier: &'static str) -> BoxedStrategy<String> {
    let own = |texts: &'static [&'static str]| select(texts).prop_map(str::to_owned);
    match (kind, modifier) {
        (_, "missing") => own(&["true", "false"]).boxed(),
        (ParamKind::Token, "text") => own(&["dräger", "SER", "é", "p", "e"]).boxed(),
        _ if param == "_id" => own(&["r0", "r1", "R1", "|r2", "urn:a|r1"]).boxed(),
        (ParamKind::Token, _) => (0..4, select(systems_of(param)), select(&CODES[..]))
            .prop_map(|(form, system, code)| match form {
                0 => code.to_owned(),
                1 => format!("|{code}"),
                2 => format!("{system}|"),
                _ => format!("{system}|{code}"),
            })
            .boxed(),
        (ParamKind::Reference(target), _) => {
            let mut all = references(target);
            all.extend(["one".to_owned(), "two".to_owned(), "three".to_owned()]);
            select(all).boxed()
        }
        (ParamKind::Uri, _) => own(&URLS).boxed(),
        _ => prop_oneof![own(&WORDS), own(&["d", "LUB", "k", "E\u{301}", "é", ",", "\\", "nothing"])].boxed(),
    }
}

fn condition(kind: ResourceType) -> impl Strategy<Value = Condition> {
    let all: Vec<_> = params(kind).filter(|param| param.name != "_lastUpdated").collect();
    (select(all), any::<Index>()).prop_flat_map(|(param, index)| {
        let mut modifiers = vec![""];
        modifiers.extend(param.kind.modifiers());
        if let ParamKind::Reference(target) = param.kind {
            modifiers.push(target);
        }
        modifiers.retain(|modifier| param.name != "_id" || *modifier != "text");
        let modifier = *index.get(&modifiers);
        let values = prop::collection::vec(value(param.name, param.kind, modifier), 1..4);
        values.prop_map(move |any_of| Condition { param: param.name, modifier, any_of })
    })
}

/// Returns a condition as a query parameter.
fn written(condition: &Condition) -> String {
    let escape = |text: &str| {
        let escaped = |c| if matches!(c, '\\' | ',' | '$' | '|') { format!("\\{c}") } else { String::from(c) };
        text.chars().map(escaped).collect::<String>()
    };
    let escaped = |value: &String| match value.split_once('|') {
        Some((system, code)) => format!("{}|{}", escape(system), escape(code)),
        None => escape(value),
    };
    let values: Vec<String> = condition.any_of.iter().map(escaped).collect();
    let name = if condition.modifier.is_empty() {
        condition.param.to_owned()
    } else {
        format!("{}:{}", condition.param, condition.modifier)
    };
    format!("{name}={}", byte_serialize(values.join(",").as_bytes()).collect::<String>())
}

fn case() -> impl Strategy<Value = (ResourceType, Vec<Value>, Vec<Vec<Condition>>, usize)> {
    select(&ResourceType::ALL[..]).prop_flat_map(|kind| {
        let resources = prop::collection::vec(resource(kind), 0..12);
        let queries = prop::collection::vec(prop::collection::vec(condition(kind), 1..4), 8);
        (Just(kind), resources, queries, 1_usize..6)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn search_agrees_with_a_full_scan((kind, mut resources, queries, count) in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let client = Client::new();
            for (at, resource) in resources.iter_mut().enumerate() {
                resource["id"] = format!("r{at}").into();
                client.put(resource).await;
            }
            for query in &queries {
                let mut wanted: Vec<&str> = resources
                    .iter()
                    .filter(|resource| query.iter().all(|condition| condition.meets(resource)))
                    .map(|resource| resource["id"].as_str().unwrap())
                    .collect();
                wanted.sort_unstable();
                let conditions: Vec<String> = query.iter().map(written).collect();
                let url = format!("{kind}?{}&_count={count}", conditions.join("&"));
                assert_eq!(client.found(&url).await, wanted, "{url}\n{resources:#?}");
                let counted = client.bundle(&format!("{url}&_summary=count")).await;
                assert_eq!(counted["total"], wanted.len(), "{url}");
                wanted.reverse();
                assert_eq!(client.found(&format!("{url}&_sort=-_id")).await, wanted, "{url}");
            }
        });
    }
}

/// A device with a system, two branches below it, and a metric at the end of each.
async fn fleet() -> Client {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "d"})).await;
    for (id, parent) in [("mds", None), ("v1", Some("mds")), ("v2", Some("mds")), ("c1", Some("v1"))] {
        let mut part = json!({
            "resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": id},
            "source": {"reference": "Device/d"},
        });
        set(&mut part, "parent", parent.map(|id| json!({"reference": format!("DeviceComponent/{id}")})));
        client.put(&part).await;
    }
    for (id, parent) in [("m1", format!("{BASE}/DeviceComponent/c1")), ("m2", "DeviceComponent/v2".to_owned())] {
        let metric = json!({
            "resourceType": "DeviceMetric", "id": id, "identifier": {"value": id}, "type": {"text": id},
            "category": "setting", "source": {"reference": format!("{BASE}/Device/d/_history/1")},
            "parent": {"reference": parent},
        });
        client.put(&metric).await;
    }
    client
}

#[tokio::test]
async fn included_resources_appear_once_and_are_marked() {
    let client = fleet().await;
    for (query, included) in [
        ("DeviceMetric?_include=DeviceMetric:source", &["d"][..]),
        ("DeviceMetric?_include=DeviceMetric:parent", &["c1", "v2"]),
        ("DeviceMetric?_include=DeviceMetric:parent:DeviceComponent", &["c1", "v2"]),
        ("DeviceMetric?_include=DeviceMetric:parent&_include=DeviceMetric:source", &["d", "c1", "v2"]),
        ("DeviceMetric?_id=m1&_include=DeviceMetric:parent&_include=DeviceComponent:parent", &["c1"]),
        (
            "DeviceMetric?_id=m1&_include=DeviceMetric:parent&_include:recurse=DeviceComponent:parent",
            &["c1", "mds", "v1"],
        ),
        ("DeviceComponent?_id=c1&_include:iterate=DeviceComponent:parent", &["mds", "v1"]),
        ("DeviceComponent?_id=c1,v1&_include=DeviceComponent:parent", &["mds"]),
        ("Device?_revinclude=DeviceComponent:source", &["c1", "mds", "v1", "v2"]),
        ("Device?_revinclude=DeviceMetric:source", &["m1", "m2"]),
        ("DeviceComponent?_id=mds&_revinclude=DeviceComponent:parent", &["v1", "v2"]),
        ("DeviceComponent?_id=mds&_revinclude:recurse=DeviceComponent:parent", &["c1", "v1", "v2"]),
        (
            "DeviceComponent?_id=mds&_revinclude:recurse=DeviceComponent:parent&_revinclude:recurse=DeviceMetric:parent",
            &["c1", "v1", "v2", "m1", "m2"],
        ),
        ("Device?_include=DeviceMetric:source", &[]),
        ("Device?_id=nobody&_revinclude=DeviceMetric:source", &[]),
    ] {
        let bundle = client.bundle(query).await;
        assert_eq!(modes(&bundle, "include"), included, "{query}");
        assert_eq!(bundle["total"], modes(&bundle, "match").len(), "{query}");
    }
}

#[tokio::test]
async fn too_many_included_resources_are_reported() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "d"})).await;
    for at in 0..1_001 {
        let part = json!({
            "resourceType": "DeviceComponent", "id": format!("c{at}"), "identifier": {"value": "1"},
            "type": {"text": "x"}, "source": {"reference": "Device/d"},
        });
        client.put(&part).await;
    }
    let bundle = client.bundle("Device?_revinclude=DeviceComponent:source").await;
    assert_eq!(modes(&bundle, "include").len(), 1_000);
    assert_eq!(modes(&bundle, "outcome").len(), 1);
    assert!(link(&bundle, "next").is_none());
}
