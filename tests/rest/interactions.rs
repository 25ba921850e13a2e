//! Reading, writing and history, one resource at a time.

use super::client::{Client, json, link, text};
use fhir_devices::backend::Memory;
use fhir_devices::search::{IndexEntries, ResourceType};
use fhir_devices::store::{Key, ResourceStore as _, Write};
use serde_json::{Value, json};
use std::sync::Arc;

fn device(id: &str, model: &str) -> Value {
    json!({"resourceType": "Device", "id": id, "model": model, "identifier": [{"system": "urn:sn", "value": model}]})
}

#[tokio::test]
async fn history_has_every_version_newest_first() {
    let client = Client::new();
    for model in ["1", "2", "3"] {
        client.put(&device("d", model)).await;
    }
    client.send("DELETE Device/d", &[], "").await;
    client.put(&device("d", "5")).await;
    let bundle = client.bundle("Device/d/_history").await;
    assert_eq!((&bundle["type"], &bundle["total"]), (&json!("history"), &json!(5)));
    let told: Vec<(&str, &str)> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let number = entry["request"]["url"].as_str().unwrap().strip_prefix("Device/d/_history/").unwrap();
            assert_eq!(entry["response"]["etag"], format!("W/\"{number}\""));
            assert!(entry["response"]["lastModified"].is_string());
            let version = entry["resource"]["meta"]["versionId"].as_str().unwrap_or_default();
            (entry["request"]["method"].as_str().unwrap(), version)
        })
        .collect();
    assert_eq!(told, [("PUT", "5"), ("DELETE", ""), ("PUT", "3"), ("PUT", "2"), ("PUT", "1")]);

    let (mut url, mut pages) = ("Device/d/_history?_count=2".to_owned(), Vec::new());
    loop {
        let bundle = client.bundle(&url).await;
        pages.push(bundle["entry"].as_array().map_or(0, Vec::len));
        match link(&bundle, "next") {
            Some(next) => url = next,
            None => break,
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    let since = bundle["entry"][2]["resource"]["meta"]["lastUpdated"].as_str().unwrap();
    let later = client.bundle(&format!("Device/d/_history?_since={}", since.replace('+', "%2B"))).await;
    // Those of one millisecond come together.
    assert!(later["total"].as_u64().unwrap() >= 3, "{later}");
    assert_eq!(client.bundle("Device/d/_history?_since=9999").await.get("entry"), None);

    assert_eq!(client.refused("GET Device/never/_history", &[], "", 404).await, ["not-found"]);
    assert_eq!(client.refused("GET Device/d/_history?_since=soon", &[], "", 400).await, ["search-value"]);
    let strict = [("Prefer", "handling=strict")];
    assert_eq!(client.refused("GET Device/d/_history?model=1", &strict, "", 400).await, ["search-parameter"]);
    assert_eq!(client.refused("GET Device/d/_history?_at=2017", &[], "", 400).await, ["search-parameter"]);
    assert_eq!(client.refused("GET Device/d/_history?_page=x", &[], "", 400).await.len(), 1);
    assert_eq!(client.refused("GET Device/d/_history/4", &[], "", 410).await, ["deleted"]);
    assert_eq!(client.refused("GET Device/d/_history/6", &[], "", 404).await, ["not-found"]);
    let third = client.get("Device/d/_history/3").await;
    assert_eq!((third.status, third.header("etag")), (200, Some("W/\"3\"")));
}

#[tokio::test]
async fn conditional_read_returns_304() {
    let client = Client::new();
    let made = client.put(&device("d", "1")).await;
    let changed = made.header("last-modified").unwrap();
    for (name, value, status) in [
        ("If-None-Match", "W/\"1\"", 304),
        ("if-none-match", "\"2\"", 200),
        ("If-Modified-Since", changed, 304),
        ("If-Modified-Since", "Wed, 19 Apr 2017 10:00:00 GMT", 200),
    ] {
        let response = client.send("GET Device/d", &[(name, value)], "").await;
        assert_eq!((response.status, response.body.is_empty()), (status, status == 304), "{name}: {value}");
    }
}

#[tokio::test]
async fn if_none_match_star_creates_only() {
    let client = Client::new();
    let (line, new, body) = ("PUT Device/d", [("If-None-Match", "*")], device("d", "1").to_string());
    assert_eq!(client.send(line, &new, &body).await.status, 201);
    assert_eq!(client.refused(line, &new, &body, 412).await, ["already-exists"]);
    client.send("DELETE Device/d", &[], "").await;
    let again = client.send(line, &new, &body).await;
    assert_eq!((again.status, again.header("etag")), (201, Some("W/\"3\"")));
}

#[tokio::test]
async fn body_of_another_writer_is_served_complete() {
    let memory = Arc::new(Memory::new());
    let client = Client::over(Arc::clone(&memory));
    let body = r#"{ "id": "odd", "model": "\u0041", "resourceType": "Device", "meta": {"tag": [{"code": "x"}], "versionId": "99"} }"#;
    let key = Key::new(ResourceType::Device, "odd").unwrap();
    let write = Write::create(key, body, IndexEntries::new());
    memory.commit(client.0.store().tenant(), vec![write]).await.unwrap();
    let read = client.get("Device/odd").await;
    assert_eq!(json(&read)["meta"]["versionId"], "1");
    assert_eq!((&json(&read)["model"], &json(&read)["meta"]["tag"][0]["code"]), (&json!("A"), &json!("x")));
}

#[tokio::test]
async fn conditional_update_creates_updates_or_refuses() {
    let client = Client::new();
    let body = json!({"resourceType": "Device", "model": "a", "identifier": [{"system": "urn:sn", "value": "1"}]});
    let line = "PUT Device?identifier=urn:sn|1";
    let made = client.send(line, &[], &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", text(&made));
    let id = json(&made)["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(format!("/ward/fhir/Device/{id}/_history/1").as_str()));
    let changed = client.send(line, &[], &body.to_string().replace("\"a\"", "\"b\"")).await;
    assert_eq!((changed.status, &json(&changed)["id"]), (200, &json!(id)));
    assert_eq!((json(&changed)["model"].as_str(), changed.header("etag")), (Some("b"), Some("W/\"2\"")));

    let mut named = body.clone();
    named["id"] = "other".into();
    assert_eq!(client.refused(line, &[], &named.to_string(), 400).await, ["id"]);
    named["id"] = id.clone().into();
    assert_eq!(client.send(line, &[("If-Match", "W/\"2\"")], &named.to_string()).await.status, 200);
    assert_eq!(client.refused(line, &[("If-Match", "W/\"2\"")], &named.to_string(), 409).await, ["version-conflict"]);
    let nobody = "PUT Device?identifier=urn:sn|9";
    assert_eq!(client.refused(nobody, &[("If-Match", "W/\"1\"")], &body.to_string(), 409).await, ["version-conflict"]);

    client.put(&device("twin", "x")).await;
    let both = "PUT Device?identifier=urn:sn|";
    assert_eq!(client.refused(both, &[], &body.to_string(), 412).await, ["conditional"]);
    assert_eq!(client.refused("DELETE Device?identifier=urn:sn|", &[], "", 412).await, ["conditional"]);
    assert_eq!(client.refused("DELETE Device", &[], "", 400).await, ["conditional"]);
    assert_eq!(client.refused("DELETE Device?colour=red&size=2", &[], "", 400).await, ["search-parameter"; 2]);

    assert_eq!(client.send("DELETE Device?identifier=urn:sn|x", &[], "").await.status, 204);
    assert_eq!(client.refused("GET Device/twin", &[], "", 410).await, ["deleted"]);
    assert_eq!(client.send("DELETE Device?identifier=urn:sn|x", &[], "").await.status, 204);
    // What was deleted is made anew under another id: its versions are not those of the first.
    client.send(&format!("DELETE Device/{id}"), &[], "").await;
    let again = client.send(line, &[], &body.to_string()).await;
    assert_eq!((again.status, again.header("etag")), (201, Some("W/\"1\"")));
    assert_ne!(json(&again)["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_conditional_writes_create_one_resource() {
    let client = std::sync::Arc::new(Client::new());
    let tasks: Vec<_> = (0..64)
        .map(|at| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = json!({"resourceType": "Device", "model": at.to_string(), "identifier": [{"value": "1"}]});
                if at % 2 == 0 {
                    let once = [("If-None-Exist", "identifier=1")];
                    client.send("POST Device", &once, &body.to_string()).await.status
                } else {
                    client.send("PUT Device?identifier=1", &[], &body.to_string()).await.status
                }
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 201 | 409)), "{statuses:?}");
    // A conditional update may create under its own words, and a creation under its own.
    assert_eq!((made, client.found("Device").await.len()), (1, 1), "{statuses:?}");
}

#[tokio::test]
async fn conditional_create_after_deletions_creates_again() {
    let client = Client::new();
    for _ in 0..10 {
        let once = [("If-None-Exist", "identifier=urn:sn|1")];
        let made = client.send("POST Device", &once, &device("x", "1").to_string()).await;
        assert_eq!((made.status, made.header("etag")), (201, Some("W/\"1\"")));
        let id = json(&made)["id"].as_str().unwrap().to_owned();
        client.send(&format!("DELETE Device/{id}"), &[], "").await;
    }
    assert_eq!(client.found("Device").await.len(), 0);
}

#[tokio::test]
async fn capability_statement_is_valid_and_accurate() {
    let client = Client::new();
    let statement = json(&client.get("metadata").await);
    assert!(fhir_devices::Resource::from_json(statement.to_string().as_bytes()).is_ok());
    let rest = &statement["rest"][0];
    let codes = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|code| code["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(&rest["interaction"]), ["transaction", "batch", "history-system", "search-system"]);
    for resource in rest["resource"].as_array().unwrap() {
        assert_eq!(
            codes(&resource["interaction"]),
            ["read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"]
        );
    }
    assert_eq!(rest["resource"][1]["searchInclude"], json!(["*", "DeviceComponent:parent", "DeviceComponent:source"]));
}

#[tokio::test]
async fn outcomes_use_the_configured_canonical_base() {
    let base = fhir_devices::primitive::CanonicalBase::new("https://fhir.hospital.example").unwrap();
    let client = Client(Client::new().0.with_canonical_base(base));
    let batch =
        r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Device/none"}}]}"#;
    let answers = [
        client.get("Device/none").await,
        client.send("PUT Device/a", &[], r#"{"resourceType":"Device","id":"a","status":"new"}"#).await,
        client.send("POST ", &[], batch).await,
    ];
    for answer in answers {
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("https://fhir.hospital.example/CodeSystem/fhir-devices-rule"), "{text}");
        assert!(!text.contains(".invalid"), "{text}");
    }
}
