//! A write is validated once, from the request to the store.

use super::client::{BASE, Client, json, text};
use fhir_devices::backend::Memory;
use fhir_devices::rest::Server;
use fhir_devices::search::IndexEntries;
use fhir_devices::store::{
    BoxFuture, CommitError, Precondition, ResourceStore, StoreError, Tenant, TenantResources, Version, Write,
};
use fhir_devices::validate::{Rule, Validator};
use fhir_devices::{Device, DeviceComponent, DeviceMetric, Resource, Severity, Valid};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A client of a server that counts the validations of a resource's root, and refuses devices of the model `bad`.
fn counting() -> (Client, Arc<AtomicUsize>) {
    counting_over(Arc::new(Memory::new()))
}

fn counting_over(store: Arc<dyn ResourceStore>) -> (Client, Arc<AtomicUsize>) {
    fn count<T: 'static>(counter: &Arc<AtomicUsize>, holds: fn(&T) -> bool) -> Rule<T> {
        let counter = Arc::clone(counter);
        Rule::new("counted", Severity::Error, "the model is not `bad`", move |value: &T| {
            counter.fetch_add(1, Ordering::Relaxed);
            holds(value)
        })
    }
    let counter = Arc::new(AtomicUsize::new(0));
    let is_good = |device: &Device| {
        device.model.as_ref().and_then(|model| model.value.as_ref()).is_none_or(|model| model != "bad")
    };
    let validator = Validator::new()
        .rule(count::<Device>(&counter, is_good))
        .rule(count::<DeviceComponent>(&counter, |_| true))
        .rule(count::<DeviceMetric>(&counter, |_| true));
    let server = Server::new(TenantResources::new(store, "ward".parse().unwrap()), BASE).with_validator(validator);
    (Client(server), counter)
}

fn component(id: &str, source: &str) -> Value {
    json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "x"},
        "source": {"reference": source}})
}

fn bundle(kind: &str, entries: &[(&str, &str, Value)]) -> String {
    let entries: Vec<Value> = entries
        .iter()
        .enumerate()
        .map(|(at, (method, url, resource))| {
            json!({"fullUrl": format!("urn:uuid:05efabf0-4be2-4561-91ce-51548425acb{at}"), "resource": resource,
                "request": {"method": method, "url": url}})
        })
        .collect();
    json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()
}

#[tokio::test]
async fn write_of_one_resource_is_validated_once() {
    let (client, counter) = counting();
    let device = json!({"resourceType": "Device", "id": "pump", "model": "P9"}).to_string();
    let part = component("mds", "Device/pump").to_string();
    for (line, headers, body, status) in [
        ("PUT Device/pump", &[][..], &device, 201),
        ("PUT Device/pump", &[("If-Match", "W/\"1\"")][..], &device, 200),
        ("PUT Device?model=P9", &[][..], &device, 200),
        ("POST Device", &[][..], &device, 201),
        ("POST Device", &[("If-None-Exist", "model=P9&_id:not=pump")][..], &device, 201),
        ("PUT DeviceComponent/mds", &[][..], &part, 201),
        ("PUT DeviceComponent/mds", &[][..], &part, 200),
    ] {
        counter.store(0, Ordering::Relaxed);
        let response = client.send(line, headers, body).await;
        assert_eq!(response.status, status, "{line}: {}", text(&response));
        assert_eq!(counter.load(Ordering::Relaxed), 1, "{line} {headers:?}");
        if line.starts_with("POST") {
            let id = json(&response)["id"].as_str().unwrap().to_owned();
            client.send(&format!("DELETE Device/{id}"), &[], "").await;
        }
    }
}

/// The `fullUrl` of the first entry.
const FIRST: &str = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb0";

#[tokio::test]
async fn entry_of_a_batch_or_transaction_is_validated_once() {
    let (client, counter) = counting();
    for kind in ["transaction", "batch", "transaction"] {
        let entries = [
            ("POST", "Device", json!({"resourceType": "Device", "model": kind})),
            // The reference of a transaction is set to the id that the device gets.
            ("PUT", "DeviceComponent/mds", component("mds", if kind == "batch" { "Device/other" } else { FIRST })),
            ("PUT", "DeviceComponent/vmd", component("vmd", "Device/other")),
        ];
        counter.store(0, Ordering::Relaxed);
        let response = client.send("POST ", &[], &bundle(kind, &entries)).await;
        assert_eq!(response.status, 200, "{}", text(&response));
        let statuses: Vec<_> =
            json(&response)["entry"].as_array().unwrap().iter().map(|e| e["response"]["status"].clone()).collect();
        assert!(statuses.iter().all(|status| status.as_str().unwrap().starts_with('2')), "{statuses:?}");
        assert_eq!(counter.load(Ordering::Relaxed), 3, "{kind}");
    }
}

#[tokio::test]
async fn transaction_reference_to_a_wrong_type_is_refused() {
    let (client, _) = counting();
    let entries = [
        ("POST", "DeviceComponent", component("a", "Device/pump")),
        ("PUT", "DeviceComponent/mds", component("mds", "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb0")),
    ];
    let rules = client.refused("POST ", &[], &bundle("transaction", &entries), 400).await;
    assert_eq!(rules, ["reference-target"]);
}

#[tokio::test]
async fn custom_rules_refuse_client_writes() {
    let (client, _) = counting();
    let bad = json!({"resourceType": "Device", "id": "pump", "model": "bad"});
    assert_eq!(client.refused("PUT Device/pump", &[], &bad.to_string(), 400).await, ["counted"]);
    let good = json!({"resourceType": "Device", "id": "pump", "model": "P9"});
    client.put(&good).await;
    let patch = json!([{"op": "replace", "path": "/model", "value": "bad"}]).to_string();
    let header = [("Content-Type", "application/json-patch+json")];
    assert_eq!(client.refused("PATCH Device/pump", &header, &patch, 400).await, ["counted"]);
    let entries = [("PUT", "Device/pump", bad), ("PUT", "Device/pump", good)];
    let batch = client.send("POST ", &[], &bundle("batch", &entries)).await;
    let statuses =
        json(&batch)["entry"].as_array().unwrap().iter().map(|e| e["response"]["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses, ["400 Bad Request", "200 OK"]);
}

#[tokio::test]
async fn put_accepts_any_valid_resource() {
    let store = TenantResources::new(Arc::new(Memory::new()), "ward".parse().unwrap());
    for document in [
        json!({"resourceType": "Device", "id": "pump", "meta": {"versionId": "9", "lastUpdated": "2017-01-01T00:00:00Z"}}),
        component("mds", "Device/pump"),
    ] {
        let resource = Valid::new(Resource::from_json(document.to_string().as_bytes()).unwrap()).unwrap();
        let version = store.put(&resource, Precondition::Absent).await.unwrap();
        let body: Value = serde_json::from_slice(version.body.as_deref().unwrap()).unwrap();
        assert_eq!(body["meta"], Value::Null);
        assert_eq!(body["id"], document["id"]);
    }
    for (json, words) in [
        (r#"{"resourceType":"Patient","id":"p"}"#, "invalid request: a Patient is not stored"),
        (
            r#"{"resourceType":"Device"}"#,
            "invalid request: the Device has no id, wanted the one that it is stored under",
        ),
    ] {
        let resource = Valid::new(Resource::from_json(json.as_bytes()).unwrap()).unwrap();
        let refused = store.put(&resource, Precondition::Absent).await.unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { .. }));
        assert_eq!(refused.to_string(), words);
    }
}

/// A store in which another client writes a device before a commit, a given number of times.
struct Overtaken(Memory, Arc<AtomicUsize>, &'static str);

impl ResourceStore for Overtaken {
    passed_on!(0: capabilities, read, vread, search, history, prune_history);

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            if self.1.load(Ordering::Relaxed) > 0 {
                self.1.fetch_sub(1, Ordering::Relaxed);
                let key = writes[0].key.clone();
                self.0.commit(tenant, vec![Write::put(key, self.2, IndexEntries::new())]).await?;
            }
            self.0.commit(tenant, writes).await
        })
    }
}

/// A patch is applied again to the other client's version, and its result validated again: the first result is for a
/// document that is not written.
#[tokio::test]
async fn patch_is_validated_once_for_each_version_that_it_meets() {
    const PATCH: [(&str, &str); 1] = [("Content-Type", "application/json-patch+json")];
    let write = r#"[{"op": "add", "path": "/lotNumber", "value": "7"}]"#;
    for (others, meanwhile, status, verdicts) in [
        (0, "", 200, 1),
        (1, r#"{"resourceType":"Device","id":"pump","model":"P10"}"#, 200, 2),
        (2, r#"{"resourceType":"Device","id":"pump","model":"P10"}"#, 200, 3),
        // What is there by now makes the result invalid: it is refused, though the first try would have been taken.
        (1, r#"{"resourceType":"Device","id":"pump","model":"bad"}"#, 400, 2),
    ] {
        let overtakes = Arc::new(AtomicUsize::new(0));
        let (client, counter) = counting_over(Arc::new(Overtaken(Memory::new(), Arc::clone(&overtakes), meanwhile)));
        client.put(&json!({"resourceType": "Device", "id": "pump", "model": "P9"})).await;
        counter.store(0, Ordering::Relaxed);
        overtakes.store(others, Ordering::Relaxed);
        let response = client.send("PATCH Device/pump", &PATCH, write).await;
        assert_eq!(response.status, status, "{}", text(&response));
        assert_eq!(counter.load(Ordering::Relaxed), verdicts, "{others} other writes");
        if others > 0 && status == 200 {
            assert_eq!((&json(&response)["model"], &json(&response)["lotNumber"]), (&json!("P10"), &json!("7")));
        }
    }
}
