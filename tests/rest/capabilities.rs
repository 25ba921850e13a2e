//! The CapabilityStatement over less capable stores.

use super::client::{Client, json};
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use serde_json::{Value, json as value};

/// A store that claims fewer capabilities.
struct Limited(Memory, Capabilities);

impl ResourceStore for Limited {
    passed_on!(0: read, vread, commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        self.1
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        ResourceStore::search(&self.0, tenant, search)
    }
}

async fn statement(capabilities: Capabilities) -> Value {
    let client = Client::over(Limited(Memory::new(), capabilities));
    json(&client.get("metadata").await)["rest"][0].clone()
}

fn codes(of: &Value) -> Vec<&str> {
    of.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

fn names(resource: &Value) -> Vec<&str> {
    resource["searchParam"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn statement_of_a_full_store_has_everything() {
    let rest = statement(Capabilities::new(AtomicScope::Tenant, 9, 1 << 20)).await;
    assert_eq!(codes(&rest["interaction"]), ["transaction", "batch", "search-system"]);
    for resource in rest["resource"].as_array().unwrap() {
        assert!(codes(&resource["interaction"]).contains(&"vread"));
        assert_eq!((&resource["readHistory"], &resource["conditionalCreate"]), (&value!(true), &value!(true)));
    }
    assert!(names(&rest["resource"][0]).contains(&"manufacturer"));
}

#[tokio::test]
async fn statement_leaves_out_what_the_store_cannot_do() {
    let mut less = Capabilities::new(AtomicScope::Key, 1, 1 << 20);
    less.history = false;
    less.search_read_your_writes = false;
    less.search_beginnings = false;
    let rest = statement(less).await;
    assert_eq!(codes(&rest["interaction"]), ["batch", "search-system"]);
    for resource in rest["resource"].as_array().unwrap() {
        let interactions = codes(&resource["interaction"]);
        assert!(!interactions.contains(&"vread") && !interactions.contains(&"history-instance"), "{interactions:?}");
        for (member, wanted) in [
            ("readHistory", value!(false)),
            ("conditionalCreate", value!(false)),
            ("conditionalUpdate", value!(false)),
            ("conditionalDelete", value!("not-supported")),
        ] {
            assert_eq!(resource[member], wanted, "{member}");
        }
    }
    let device = names(&rest["resource"][0]);
    assert!(!device.contains(&"manufacturer") && device.contains(&"identifier"), "{device:?}");
}

#[tokio::test]
async fn own_parameters_find_what_an_update_is_about() {
    let client = Client::new();
    let base = "https://fhir-devices-f77498d7-a562-46ce-808d-d3f3f84c850b.invalid";
    let system = "http://hl7.org/fhir/specification-type";
    let component = |id: &str, kind: &str, text: &str| {
        value!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "MDS"},
            "productionSpecification": [{"specType": {"coding": [{"system": system, "code": kind}]}, "productionSpec": text}]})
    };
    client.put(&component("a", "software-revision", "4.2.0")).await;
    client.put(&component("b", "hardware-revision", "4.2.0")).await;
    client.put(&component("c", "firmware-revision", "1.0")).await;
    for (query, found) in [
        ("production-specification=4.2.0", &["a", "b"][..]),
        ("production-specification=hardware-revision|4.2.0", &["b"]),
        ("production-specification=firmware-revision|", &["c"]),
        ("reported-version=4.2.0,1.0", &["a", "c"]),
        ("reported-version:missing=true", &["b"]),
        ("available-update-version=4.3.0", &[]),
        ("available-update-status:missing=true&_sort=-reported-version", &["a", "c", "b"]),
    ] {
        assert_eq!(client.found(&format!("DeviceComponent?{query}")).await, found, "{query}");
    }
    let statement = json(&client.get("metadata").await);
    let rest = &statement["rest"][0];
    assert!(rest["security"]["description"].is_string() && rest["security"]["service"][0]["coding"].is_array());
    let mut own = 0;
    for resource in rest["resource"].as_array().unwrap() {
        for param in resource["searchParam"].as_array().unwrap() {
            let definition = param["definition"].as_str().unwrap();
            let Some(_) = definition.strip_prefix(base) else {
                assert!(definition.starts_with("http://hl7.org/fhir/SearchParameter/"), "{definition}");
                continue;
            };
            let name = param["name"].as_str().unwrap();
            let path = format!("{}/schemas/SearchParameter-{name}.json", env!("CARGO_MANIFEST_DIR"));
            let file = std::fs::read_to_string(path).unwrap();
            let defined: Value = serde_json::from_str(&file).unwrap();
            assert_eq!(
                (&defined["url"], &defined["code"], &defined["type"]),
                (&value!(definition), &param["name"], &param["type"])
            );
            own += 1;
        }
    }
    assert_eq!(own, 5);
    let operations: Vec<_> = rest["operation"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(operations, ["validate", "meta", "meta-add", "meta-delete"]);
}
