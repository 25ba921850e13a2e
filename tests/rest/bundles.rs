//! Batches and transactions.

use super::client::{BASE, Client, json, rules, text};
use fhir_devices::backend::Memory;
use fhir_devices::store::{
    AtomicScope, BoxFuture, Capabilities, CommitError, ResourceStore, Result, StoreError, Tenant, Version, Write,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

fn bundle(kind: &str, entries: Value) -> String {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()
}

fn entry(method: &str, url: &str) -> Value {
    json!({"request": {"method": method, "url": url}})
}

fn write(method: &str, url: &str, resource: Value) -> Value {
    json!({"request": {"method": method, "url": url}, "resource": resource})
}

fn device(model: &str) -> Value {
    json!({"resourceType": "Device", "model": model})
}

fn statuses(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap().to_owned()).collect()
}

async fn send(client: &Client, body: &str) -> Value {
    let response = client.send("POST ", &[], body).await;
    assert_eq!(response.status, 200, "{}", text(&response));
    json(&response)
}

const DEVICE: &str = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9";
const SYSTEM: &str = "urn:uuid:15efabf0-4be2-4561-91ce-51548425acb9";

#[tokio::test]
async fn batch_entries_are_processed_one_by_one() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "old", "model": "old"})).await;
    let mut late = write("PUT", "Device/old", json!({"resourceType": "Device", "id": "old"}));
    late["request"]["ifMatch"] = "W/\"7\"".into();
    let mut once = write("POST", "Device", device("x"));
    once["request"]["ifNoneExist"] = "model=old".into();
    let answer = send(
        &client,
        &bundle(
            "batch",
            json!([
                write("POST", "Device", device("new")),
                write(
                    "PUT",
                    "Device/bad",
                    json!({"resourceType": "Device", "id": "bad", "status": "gone", "wings": 2})
                ),
                entry("GET", "Device/old"),
                entry("GET", "Device?model=old"),
                late,
                once,
                entry("GET", "Device/nobody"),
                entry("GET", &format!("{BASE}/Device/old/_history")),
                entry("DELETE", "Device/old"),
                entry("GET", "Patient/p"),
                write("POST", "Patient", json!({"resourceType": "Patient"})),
                write("PUT", "Device/x", json!({"resourceType": "DeviceMetric", "id": "x"})),
                write("POST", "/", json!({"resourceType": "Bundle", "type": "batch"})),
            ]),
        ),
    )
    .await;
    assert_eq!(answer["type"], "batch-response");
    assert_eq!(
        statuses(&answer),
        [
            "201 Created",
            "400 Bad Request",
            "200 OK",
            "200 OK",
            "409 Conflict",
            "200 OK",
            "404 Not Found",
            "200 OK",
            "204 No Content",
            "404 Not Found",
            "404 Not Found",
            "400 Bad Request",
            "405 Method Not Allowed",
        ]
    );
    let entries = answer["entry"].as_array().unwrap();
    let made = entries[0]["response"].as_object().unwrap();
    assert!(made["location"].as_str().unwrap().starts_with("/ward/fhir/Device/"), "{made:?}");
    assert_eq!((made["etag"].as_str(), made["lastModified"].as_str().unwrap().ends_with('Z')), (Some("W/\"1\""), true));
    let places: Vec<&str> = entries[1]["response"]["outcome"]["issue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| issue["expression"][0].as_str().unwrap())
        .collect();
    assert_eq!(places, ["Bundle.entry[1].resource.status", "Bundle.entry[1].resource.wings"]);
    assert_eq!(entries[2]["resource"]["model"], "old");
    assert_eq!((&entries[3]["resource"]["type"], &entries[3]["resource"]["total"]), (&json!("searchset"), &json!(1)));
    assert_eq!(client.found("Device").await.len(), 1);
}

#[tokio::test]
async fn transaction_references_are_rewritten() {
    let client = Client::new();
    client
        .put(&json!({"resourceType": "Device", "id": "kept", "identifier": [{"system": "urn:sn", "value": "7"}]}))
        .await;
    let part = |value: &str, source: &str, parent: Option<&str>| {
        let mut part = json!({
            "resourceType": "DeviceComponent", "identifier": {"system": "urn:h", "value": value},
            "type": {"text": "x"}, "source": {"reference": source},
        });
        parent.into_iter().for_each(|parent| part["parent"] = json!({"reference": parent}));
        part
    };
    let mut system = part(DEVICE, DEVICE, None);
    system["text"] = json!({
        "status": "generated",
        "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{DEVICE}\">device</a></div>"),
    });
    let mut metric = json!({
        "resourceType": "DeviceMetric", "id": "m", "identifier": {"value": "1"}, "category": "setting",
        "type": {"text": "x"}, "parent": {"reference": SYSTEM}, "source": {"reference": "Device?identifier=urn:sn|7"},
        "measurementPeriod": {"repeat": {"period": 1, "periodUnit": "s"}},
    })
    .to_string();
    metric = metric.replace("\"period\":1,", "\"period\":1.50,");
    let mut entries = vec![
        write("PUT", "DeviceMetric/m", Value::Null).to_string().replace("null", &metric),
        json!({"fullUrl": SYSTEM, "request": {"method": "POST", "url": "DeviceComponent"}, "resource": system}).to_string(),
        json!({"fullUrl": DEVICE, "request": {"method": "POST", "url": "Device"}, "resource": device("new")}).to_string(),
        // Relative to where the sender has it.
        json!({
            "fullUrl": "http://sender.example/DeviceComponent/a", "request": {"method": "POST", "url": "DeviceComponent"},
            "resource": part("a", "Device/kept", Some("DeviceComponent/b")),
        })
        .to_string(),
        json!({
            "fullUrl": "http://sender.example/DeviceComponent/b", "request": {"method": "POST", "url": "DeviceComponent"},
            "resource": part("b", "Device/kept/_history/1", Some(SYSTEM)),
        })
        .to_string(),
        entry("GET", "DeviceMetric/m").to_string(),
    ];
    entries.push(entry("GET", "DeviceComponent?identifier=urn:h|").to_string());
    let body = format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","));
    let answer = send(&client, &body).await;
    assert_eq!(answer["type"], "transaction-response");
    assert_eq!(
        statuses(&answer),
        ["201 Created", "201 Created", "201 Created", "201 Created", "201 Created", "200 OK", "200 OK"]
    );
    let id = |at: usize| {
        let place = answer["entry"][at]["response"]["location"].as_str().unwrap();
        place.strip_prefix("/ward/fhir/").unwrap().split_once("/_history").unwrap().0.to_owned()
    };
    let read = async |at: usize| json(&client.get(&id(at)).await);
    assert_eq!(read(1).await["source"]["reference"], id(2));
    assert_eq!(read(1).await["identifier"]["value"], DEVICE, "an identifier is no reference");
    assert!(read(1).await["text"]["div"].as_str().unwrap().contains(&format!("href=\"{}\"", id(2))));
    let metric = read(0).await;
    assert_eq!(
        (&metric["parent"]["reference"], &metric["source"]["reference"]),
        (&json!(id(1)), &json!("Device/kept"))
    );
    assert!(text(&client.get("DeviceMetric/m").await).contains("1.50"));
    assert_eq!(
        (&read(3).await["parent"]["reference"], &read(4).await["parent"]["reference"]),
        (&json!(id(4)), &json!(id(1)))
    );
    assert_eq!(read(4).await["source"]["reference"], "Device/kept/_history/1");
    assert_eq!(answer["entry"][5]["resource"], metric, "reads see what is written");
    assert_eq!(answer["entry"][6]["resource"]["total"], 3);
}

#[tokio::test]
async fn failed_transaction_changes_nothing_and_names_entry() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "old", "model": "old"})).await;
    client.put(&json!({"resourceType": "Device", "id": "twin", "model": "old"})).await;
    let fine = || write("PUT", "Device/fine", json!({"resourceType": "Device", "id": "fine"}));
    let with = |name: &str, value: &str, mut entry: Value| {
        entry["request"][name] = value.into();
        entry
    };
    let part = |source: &str| {
        json!({
            "resourceType": "DeviceComponent", "identifier": {"value": "1"}, "type": {"text": "x"},
            "source": {"reference": source},
        })
    };
    for (entries, status, wanted, places) in [
        (
            json!([
                fine(),
                write("PUT", "Device/a", json!({"resourceType": "Device", "id": "a", "status": "x", "y": 1}))
            ]),
            400,
            &["required-binding", "unknown-member"][..],
            &["Bundle.entry[1].resource.status", "Bundle.entry[1].resource.y"][..],
        ),
        (
            json!([
                write("PUT", "Device/a", json!({"resourceType": "Device", "id": "b"})),
                fine(),
                write("PUT", "Device/c", json!({"resourceType": "Device"})),
            ]),
            400,
            &["id", "id"],
            &["Bundle.entry[0]", "Bundle.entry[2]"],
        ),
        (
            json!([
                fine(),
                with("ifMatch", "W/\"9\"", write("PUT", "Device/old", json!({"resourceType": "Device", "id": "old"})))
            ]),
            409,
            &["version-conflict"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([fine(), with("ifMatch", "W/\"1\"", entry("DELETE", "Device/nobody"))]),
            409,
            &["version-conflict"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([
                fine(),
                with("ifNoneMatch", "*", write("PUT", "Device/old", json!({"resourceType": "Device", "id": "old"})))
            ]),
            412,
            &["already-exists"],
            &["Bundle.entry[1]"],
        ),
        (json!([fine(), fine()]), 400, &["written-twice"], &["Bundle.entry[1]"]),
        (
            json!([fine(), entry("DELETE", "Device/old"), entry("DELETE", "Device?_id=old")]),
            400,
            &["written-twice"],
            &["Bundle.entry[2]"],
        ),
        (json!([fine(), entry("DELETE", "Device?model=old")]), 412, &["conditional"], &["Bundle.entry[1]"]),
        (
            json!([fine(), with("ifNoneExist", "model=old", write("POST", "Device", device("x")))]),
            412,
            &["if-none-exist"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([fine(), write("POST", "DeviceComponent", part(DEVICE))]),
            400,
            &["dangling-reference"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([fine(), write("POST", "DeviceComponent", part("Device?model=new"))]),
            412,
            &["conditional-reference"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([fine(), write("POST", "DeviceComponent", part("Device?model=old"))]),
            412,
            &["conditional-reference"],
            &["Bundle.entry[1]"],
        ),
        (
            json!([fine(), write("POST", "Patient", json!({"resourceType": "Patient"})), entry("GET", "/")]),
            404,
            &["resource-type", "method"],
            &["Bundle.entry[1]", "Bundle.entry[2]"],
        ),
        (
            // What a reference becomes must be of the right type.
            json!([
                {"fullUrl": DEVICE, "request": {"method": "POST", "url": "DeviceComponent"}, "resource": part("Device/old")},
                write("POST", "DeviceComponent", part(DEVICE)),
                fine(),
            ]),
            400,
            &["reference-target"],
            &["Bundle.entry[1].resource.source"],
        ),
    ] {
        let response = client.send("POST ", &[], &bundle("transaction", entries.clone())).await;
        assert_eq!(response.status, status, "{entries}: {}", text(&response));
        let outcome = json(&response);
        assert_eq!(rules(&outcome), wanted, "{entries}");
        let told: Vec<&str> =
            outcome["issue"].as_array().unwrap().iter().map(|issue| issue["expression"][0].as_str().unwrap()).collect();
        assert_eq!(told, places, "{outcome}");
        assert_eq!(client.found("Device").await, ["old", "twin"], "{entries}");
        assert_eq!(client.found("DeviceComponent").await, [""; 0]);
    }
    for (body, rule) in [
        (
            bundle("collection", json!([{"fullUrl": "http://x.example/Device/x", "resource": device("x")}])),
            "bundle-type",
        ),
        (device("x").to_string(), "resource-type"),
        ("[".to_owned(), "json"),
    ] {
        assert_eq!(client.refused("POST ", &[], &body, 400).await, [rule], "{body}");
    }
}

#[tokio::test]
async fn transaction_entry_order_does_not_matter() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let client = Client::new();
        client.put(&json!({"resourceType": "Device", "id": "old", "identifier": [{"value": "1"}]})).await;
        let all = [
            entry("DELETE", "Device/old"),
            entry("GET", "Device?_sort=_id"),
            write("PUT", "Device/put", json!({"resourceType": "Device", "id": "put"})),
            write("PUT", "Device?identifier=2", json!({"resourceType": "Device", "identifier": [{"value": "2"}]})),
        ];
        let entries: Vec<&Value> = order.iter().map(|at| &all[*at]).collect();
        let answer = send(&client, &bundle("transaction", json!(entries))).await;
        let wanted = ["204 No Content", "200 OK", "201 Created", "201 Created"];
        let told: Vec<&str> = order.iter().map(|at| wanted[*at]).collect();
        assert_eq!(statuses(&answer), told);
        assert_eq!(client.found("Device").await.len(), 2);
        let search = order.iter().position(|at| *at == 1).unwrap();
        assert_eq!(answer["entry"][search]["resource"]["total"], 2, "reads come last");
    }
}

#[tokio::test]
async fn prefer_return_controls_write_responses() {
    let client = Client::new();
    let body = bundle("transaction", json!([write("POST", "Device", device("x"))]));
    let quiet = json(&client.send("POST ", &[], &body).await);
    assert_eq!(quiet["entry"][0].get("resource"), None);
    let shown = json(&client.send("POST ", &[("Prefer", "return=representation")], &body).await);
    assert_eq!(shown["entry"][0]["resource"]["model"], "x");
    let mut once = write("POST", "Device", device("y"));
    once["request"]["ifNoneExist"] = "model=y".into();
    let first = send(&client, &bundle("transaction", json!([once]))).await;
    let second = send(&client, &bundle("transaction", json!([once]))).await;
    assert_eq!((statuses(&first), statuses(&second)), (vec!["201 Created".into()], vec!["200 OK".into()]));
    assert_eq!(first["entry"][0]["response"]["location"], second["entry"][0]["response"]["location"]);
    assert_eq!(
        send(&client, &bundle("transaction", json!([entry("DELETE", "Device/nobody")]))).await["entry"][0]["response"]
            ["status"],
        "204 No Content"
    );
    let empty = send(&client, &json!({"resourceType": "Bundle", "type": "transaction"}).to_string()).await;
    assert_eq!(empty.get("entry"), None);
}

/// A store that supports less than `Memory`, is overtaken by other writers, or loses answers.
struct Lesser {
    store: Memory,
    atomic: AtomicScope,
    /// The number of commits to apply without an answer.
    silent: AtomicU32,
    /// The number of commits to be overtaken.
    raced: AtomicU32,
}

impl Lesser {
    fn new() -> Self {
        let store = Memory::new().with_max_writes(3);
        Self { store, atomic: AtomicScope::Tenant, silent: AtomicU32::new(0), raced: AtomicU32::new(0) }
    }
}

fn left(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
}

impl ResourceStore for Lesser {
    passed_on!(store: read, vread, search, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        let can = self.store.capabilities();
        Capabilities::new(self.atomic, can.max_writes, can.max_body)
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            if left(&self.raced) {
                return Err(CommitError::at(0, StoreError::conflict(None)));
            }
            let made = self.store.commit(tenant, writes).await?;
            if left(&self.silent) { Err(StoreError::indeterminate(None).into()) } else { Ok(made) }
        })
    }
}

fn four() -> String {
    bundle("transaction", json!([1, 2, 3, 4].map(|at| write("POST", "Device", device(&at.to_string())))))
}

fn two() -> String {
    bundle("transaction", json!([1, 2].map(|at| write("POST", "Device", device(&at.to_string())))))
}

#[tokio::test]
async fn oversized_transaction_is_refused_before_writing() {
    let client = Client::over(Lesser::new());
    assert_eq!(client.refused("POST ", &[], &four(), 413).await, ["too-many-writes"]);
    assert_eq!(client.found("Device").await.len(), 0);
    assert_eq!(statuses(&send(&client, &two()).await), ["201 Created"; 2]);
    let client = Client::over(Lesser { atomic: AtomicScope::Key, ..Lesser::new() });
    assert_eq!(client.refused("POST ", &[], &two(), 501).await, ["transaction-scope"]);
    assert_eq!(client.found("Device").await.len(), 0);
    let one = bundle("transaction", json!([write("POST", "Device", device("1")), entry("GET", "Device")]));
    assert_eq!(statuses(&send(&client, &one).await), ["201 Created", "200 OK"]);
    let batch = four().replace("transaction", "batch");
    assert_eq!(statuses(&send(&client, &batch).await), ["201 Created"; 4]);
}

#[tokio::test]
async fn transaction_with_lost_response_is_resolved() {
    let client = Client::over(Lesser { silent: AtomicU32::new(1), ..Lesser::new() });
    assert_eq!(statuses(&send(&client, &two()).await), ["201 Created"; 2]);
    assert_eq!(client.found("Device").await.len(), 2);
    let client = Client::over(Lesser { silent: AtomicU32::new(1), ..Lesser::new() });
    let once = [("If-None-Exist", "model=x")];
    assert_eq!(client.send("POST Device", &once, &device("x").to_string()).await.status, 201);
    assert_eq!(client.found("Device").await.len(), 1);
}

#[tokio::test]
async fn overtaken_transaction_is_retried() {
    let client = Client::over(Lesser { raced: AtomicU32::new(3), ..Lesser::new() });
    assert_eq!(statuses(&send(&client, &two()).await), ["201 Created"; 2]);
    let client = Client::over(Lesser { raced: AtomicU32::new(4), ..Lesser::new() });
    assert_eq!(client.refused("POST ", &[], &two(), 409).await, ["overtaken"]);
    let client = Client::over(Lesser { raced: AtomicU32::new(1), ..Lesser::new() });
    let mut own = write("PUT", "Device/a", json!({"resourceType": "Device", "id": "a"}));
    own["request"]["ifMatch"] = "W/\"1\"".into();
    let refused = client.refused("POST ", &[], &bundle("transaction", json!([own])), 409).await;
    assert_eq!(refused, ["version-conflict"], "the client's own condition is not tried again");
    // Nor is a resource replaced that came to be after the look, where the client wants it new.
    let mut new = write("PUT", "Device/a", json!({"resourceType": "Device", "id": "a"}));
    new["request"]["ifNoneMatch"] = "*".into();
    let body = bundle("transaction", json!([new]));
    let client = Client::over(Lesser { raced: AtomicU32::new(1), ..Lesser::new() });
    assert_eq!(client.send("POST ", &[], &body).await.status, 409);
    let client = Client::over(Lesser::new());
    assert_eq!(statuses(&send(&client, &body).await), ["201 Created"]);
    assert_eq!(client.refused("POST ", &[], &body, 412).await, ["already-exists"]);
}

#[tokio::test]
async fn entry_url_is_recognised_in_every_base_spelling() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "d"})).await;
    let urls = ["https://here.example/ward/fhir/Device/d", "http://HERE.example:80/w%61rd/fhir/Device/%64"];
    let entries: Vec<Value> = urls.iter().map(|url| entry("GET", url)).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    let answer = json(&client.send("POST ", &[], &bundle.to_string()).await);
    for at in 0..urls.len() {
        assert_eq!(answer["entry"][at]["resource"]["id"], "d", "{answer}");
    }
    let elsewhere = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [entry("GET", "https://there.example/ward/fhir/Device/d")]});
    let answer = json(&client.send("POST ", &[], &elsewhere.to_string()).await);
    assert!(answer["entry"][0]["response"]["status"].as_str().unwrap().starts_with('4'), "{answer}");
}

#[tokio::test]
async fn validate_in_a_batch_answers_as_it_does_outside() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "d"})).await;
    let sound = json!({"resourceType": "Device", "id": "d", "model": "P9"});
    let faulty = json!({"resourceType": "Device", "id": "d", "model": 7, "status": "x", "colour": "red"});
    let metric = json!({"resourceType": "DeviceMetric", "id": "m", "unit": 1});
    let asked = [
        ("Device/$validate", &sound),
        ("Device/$validate", &faulty),
        ("Device/d/$validate?mode=update", &faulty),
        ("Device/$validate?profile=http://x.example/p", &faulty),
        ("DeviceMetric/$validate", &metric),
    ];
    let entries = asked.map(|(url, body)| json!({"resource": body, "request": {"method": "POST", "url": url}}));
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    let answered = client.send("POST ", &[], &batch.to_string()).await;
    assert_eq!(answered.status, 200, "{}", text(&answered));
    for (at, (url, body)) in asked.into_iter().enumerate() {
        let outside = client.send(&format!("POST {url}"), &[], &body.to_string()).await;
        let inside = &json(&answered)["entry"][at]["response"];
        assert_eq!((outside.status, &inside["status"]), (200, &json!("200 OK")), "{url}: {inside}");
        assert_eq!(inside["outcome"], json(&outside), "{url}");
    }
    // The other entries are refused for what is wrong with their resources.
    let put = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": faulty, "request": {"method": "PUT", "url": "Device/d"}}]});
    let refused = json(&client.send("POST ", &[], &put.to_string()).await);
    assert_eq!(refused["entry"][0]["response"]["status"], "400 Bad Request");
}

#[tokio::test]
async fn validate_in_a_batch_is_of_the_version_of_the_batch() {
    let client = Client::new();
    let r4 = [("Content-Type", "application/fhir+json; fhirVersion=4.0")];
    let faulty = json!({"resourceType": "Device", "modelNumber": 7});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": faulty, "request": {"method": "POST", "url": "Device/$validate"}}]});
    let answered = json(&client.send("POST ", &r4, &batch.to_string()).await);
    let outside = client.send("POST Device/$validate", &r4, &faulty.to_string()).await;
    assert_eq!(answered["entry"][0]["response"]["outcome"], json(&outside), "{answered}");
}

#[cfg(feature = "xml")]
#[tokio::test]
async fn validate_in_a_batch_in_xml_reads_its_resource() {
    let client = Client::new();
    let xml = [("Content-Type", "application/fhir+xml"), ("Accept", "application/fhir+json")];
    for (model, rule) in [(r#"<model value="P9"/>"#, None), (r#"<model value=""/>"#, Some("empty"))] {
        let device = format!(r#"<Device xmlns="http://hl7.org/fhir">{model}</Device>"#);
        let batch = format!(
            r#"<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><entry><resource>{device}</resource><request><method value="POST"/><url value="Device/$validate"/></request></entry></Bundle>"#
        );
        let answered = json(&client.send("POST ", &xml, &batch).await);
        let outside = json(&client.send("POST Device/$validate", &xml, &device).await);
        let inside = &answered["entry"][0]["response"]["outcome"];
        // The line and the column are those of another document.
        let told =
            |outcome: &Value| (outcome["issue"][0]["diagnostics"].clone(), outcome["issue"][0]["expression"].clone());
        assert_eq!(told(inside), told(&outside), "{answered}");
        assert_eq!(inside["issue"][0]["details"]["coding"][0]["code"].as_str(), rule);
    }
}
