//! Subscriptions: written, read, searched and refused.

use super::client::{BASE, Client, json, modes, text};
use fhir_devices::backend::Memory;
use fhir_devices::resource::Subscription;
use fhir_devices::rest::{Response, Server, Subscriptions};
use fhir_devices::store::{Change, ResourceStore, TenantLedger, TenantResources};
use fhir_devices::subscription::EndpointRules;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn with_subscriptions(memory: &Arc<Memory>, adjust: impl FnOnce(Subscriptions) -> Subscriptions) -> Client {
    let resources: Arc<dyn ResourceStore> = memory.clone();
    let store = TenantResources::new(resources, "ward".parse().unwrap());
    let subscriptions = Subscriptions::new(memory.clone(), "ward".parse().unwrap());
    Client(Server::new(store, BASE).with_subscriptions(adjust(subscriptions)))
}

fn client() -> Client {
    with_subscriptions(&Arc::new(Memory::new()), |it| it)
}

pub(crate) fn wanted() -> Value {
    json!({
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "new pumps",
        "criteria": "Device?model=P9",
        "contact": [{"system": "phone", "value": "4123"}],
        "channel": {
            "type": "rest-hook",
            "endpoint": "https://ehr.example/hook",
            "payload": "application/fhir+json",
            "header": ["Authorization: Bearer secret-token"],
        },
    })
}

async fn create(client: &Client, body: &Value) -> Value {
    let made = client.send("POST Subscription", &[], &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", text(&made));
    json(&made)
}

async fn put(client: &Client, body: &Value, headers: &[(&str, &str)]) -> Response {
    client.send(&format!("PUT Subscription/{}", body["id"].as_str().unwrap()), headers, &body.to_string()).await
}

#[tokio::test]
async fn subscription_is_created_read_updated_searched_and_deleted() {
    let client = client();
    let made = client.send("POST Subscription", &[], &wanted().to_string()).await;
    assert_eq!((made.status, made.header("etag")), (201, Some("W/\"1\"")));
    let mut own = json(&made);
    let id = own["id"].as_str().unwrap().to_owned();
    assert!(made.header("location").unwrap().ends_with(&format!("/ward/fhir/Subscription/{id}")));
    let read = client.get(&format!("Subscription/{id}")).await;
    assert_eq!((read.status, json(&read)), (200, own.clone()));
    Subscription::from_json(&read.body).unwrap();
    assert_eq!(own["meta"]["versionId"], "1");
    let not_modified = client.send(&format!("GET Subscription/{id}"), &[("If-None-Match", "W/\"1\"")], "").await;
    assert_eq!(not_modified.status, 304);

    own["reason"] = "all pumps".into();
    assert_eq!(put(&client, &own, &[("If-Match", "W/\"7\"")]).await.status, 409);
    let changed = put(&client, &own, &[("If-Match", "W/\"1\"")]).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("W/\"2\"")), "{}", text(&changed));

    for (query, found) in [
        ("", true),
        ("?status=requested", true),
        ("?status=off,requested&type=rest-hook", true),
        ("?status=http://hl7.org/fhir/subscription-status|active", false),
        ("?url=https://ehr.example/hook", true),
        ("?url=https://ehr.example/", false),
        ("?criteria=device?", true),
        ("?criteria=DeviceMetric", false),
        ("?payload=application/fhir%2Bjson", true),
        ("?contact=phone|4123", true),
        ("?contact=fax|4123", false),
        (&format!("?_id={id}"), true),
        ("?_id=x", false),
    ] {
        let bundle = client.bundle(&format!("Subscription{query}")).await;
        assert_eq!(modes(&bundle, "match").len(), usize::from(found), "{query}");
    }
    let posted = client.send(
        "POST Subscription/_search",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "type=email",
    );
    assert_eq!(json(&posted.await)["total"], 0);
    client.refused("GET Subscription?criteria:exact=x", &[], "", 400).await;
    client.refused("GET Subscription?colour=red", &[("Prefer", "handling=strict")], "", 400).await;

    let delete = format!("DELETE Subscription/{id}");
    client.refused(&delete, &[("If-Match", "W/\"1\"")], "", 409).await;
    assert_eq!(client.send(&delete, &[], "").await.status, 204);
    assert_eq!(client.send(&delete, &[], "").await.status, 204);
    client.refused(&format!("GET Subscription/{id}"), &[], "", 404).await;
    assert_eq!(client.bundle("Subscription").await["total"], 0);
}

#[tokio::test]
async fn header_values_are_never_shown() {
    let memory = Arc::new(Memory::new());
    let client = with_subscriptions(&memory, |it| it);
    let mut own = create(&client, &wanted()).await;
    let id = own["id"].as_str().unwrap().to_owned();
    assert_eq!(own["channel"]["header"], json!(["Authorization: (hidden)"]));
    for answer in [
        client.get(&format!("Subscription/{id}")).await,
        client.get("Subscription").await,
        client.get("Subscription?_format=xml").await,
        client.send("POST ", &[], &batch(&format!("Subscription/{id}")).to_string()).await,
    ] {
        assert!(answer.status == 200 && !text(&answer).contains("secret-token"), "{}", text(&answer));
    }
    // What is read and written again keeps its value, for the same endpoint alone.
    own["reason"] = "still".into();
    assert_eq!(put(&client, &own, &[]).await.status, 200);
    let ledger = TenantLedger::new(memory.clone(), "ward".parse().unwrap());
    let kept = ledger.get(&format!("subscriptions/of/{id}").parse().unwrap()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&kept.value).contains("Authorization: Bearer secret-token"));
    own["channel"]["endpoint"] = "https://thief.example/hook".into();
    let refused = put(&client, &own, &[]).await;
    assert_eq!(refused.status, 422);
    assert!(text(&refused).contains("Subscription.channel.header[0]"), "{}", text(&refused));
    own["channel"]["header"] = json!(["Authorization: Bearer other-secret\u{7}"]);
    let refused = put(&client, &own, &[]).await;
    assert!(refused.status == 422 && !text(&refused).contains("other-secret"), "{}", text(&refused));
}

fn batch(url: &str) -> Value {
    json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": url}}]})
}

#[tokio::test]
async fn unfit_subscription_is_refused_with_its_places() {
    let client = client();
    for (pointer, value, place) in [
        ("/status", json!("active"), "Subscription.status"),
        ("/channel/type", json!("websocket"), "Subscription.channel.type"),
        ("/channel/type", json!("email"), "Subscription.channel.type"),
        ("/channel/endpoint", json!("http://ehr.example/hook"), "Subscription.channel.endpoint"),
        ("/channel/endpoint", json!("https://169.254.169.254/"), "Subscription.channel.endpoint"),
        ("/channel/endpoint", json!("https://localhost/hook"), "Subscription.channel.endpoint"),
        ("/channel/payload", json!("text/plain"), "Subscription.channel.payload"),
        ("/channel/header", json!(["Host: a"]), "Subscription.channel.header[0]"),
        ("/channel/header", json!(["X-A: b", "no header"]), "Subscription.channel.header[1]"),
        ("/channel/header", json!(["X-A: b\r\nX-C: d"]), "Subscription.channel.header[0]"),
        ("/channel/header", json!(["X-A: (hidden)"]), "Subscription.channel.header[0]"),
        ("/channel/header", json!([format!("X-A: {}", "b".repeat(5_000))]), "Subscription.channel.header"),
        ("/criteria", json!("Patient?name=x"), "Subscription.criteria"),
        ("/criteria", json!("Device?colour=red"), "Subscription.criteria"),
        ("/criteria", json!("Device?model=P9&_sort=model"), "Subscription.criteria"),
        ("/criteria", json!("Device?_text=x"), "Subscription.criteria"),
        ("/criteria", json!(format!("Device?model={}", "x".repeat(3_000))), "Subscription.criteria"),
        ("/end", json!("2017-01-01T00:00:00Z"), "Subscription.end"),
        ("/reason", json!("x".repeat(20_000)), "Subscription"),
    ] {
        let mut body = wanted();
        match pointer.strip_prefix("/channel/") {
            Some(name) => body["channel"][name] = value.clone(),
            None => body[pointer.trim_start_matches('/')] = value.clone(),
        }
        let refused = client.send("POST Subscription", &[], &body.to_string()).await;
        assert_eq!(refused.status, 422, "{pointer} {value}: {}", text(&refused));
        assert_eq!(json(&refused)["issue"][0]["expression"][0], place, "{pointer} {value}: {}", text(&refused));
    }
    let mut body = wanted();
    body["channel"].as_object_mut().unwrap().remove("endpoint");
    client.refused("POST Subscription", &[], &body.to_string(), 422).await;
    // What is no Subscription at all is a 400, with every finding.
    body.as_object_mut().unwrap().remove("reason");
    body["status"] = "on".into();
    let rules = client.refused("POST Subscription", &[], &body.to_string(), 400).await;
    assert_eq!(rules.len(), 2, "{rules:?}");
    client.refused("POST Subscription", &[], r#"{"resourceType":"Device"}"#, 400).await;
    let made = create(&client, &wanted()).await;
    let mut wrong = made.clone();
    wrong["id"] = "other".into();
    let line = format!("PUT Subscription/{}", made["id"].as_str().unwrap());
    client.refused(&line, &[], &wrong.to_string(), 400).await;
    client.refused("PUT Subscription/other", &[], &wrong.to_string(), 405).await;
    assert_eq!(client.bundle("Subscription").await["total"], 1);
}

#[tokio::test]
async fn operator_may_allow_more_endpoints_and_fewer_subscriptions() {
    let rules = EndpointRules::default().allow_http().allow_private();
    let client = with_subscriptions(&Arc::new(Memory::new()), |it| it.with_endpoint_rules(rules).with_most(2));
    let mut body = wanted();
    for endpoint in ["http://127.0.0.1:8080/hook", "http://ehr.internal/hook"] {
        body["channel"]["endpoint"] = endpoint.into();
        create(&client, &body).await;
    }
    let rules = client.refused("POST Subscription", &[], &body.to_string(), 422).await;
    assert_eq!(rules, ["too-many-subscriptions"]);
}

#[tokio::test]
async fn what_is_not_offered_of_subscriptions_is_refused_by_name() {
    let client = client();
    let own = create(&client, &wanted()).await;
    let id = own["id"].as_str().unwrap();
    for line in [
        "GET Subscription/_history".to_owned(),
        format!("GET Subscription/{id}/_history"),
        format!("GET Subscription/{id}/_history/1"),
        "POST Subscription/$validate".to_owned(),
        format!("GET Subscription/{id}/$meta"),
    ] {
        client.refused(&line, &[], "", 501).await;
    }
    client.refused(&format!("PATCH Subscription/{id}"), &[], "[]", 405).await;
    client.refused("DELETE Subscription?status=off", &[], "", 405).await;
    client.refused("POST Subscription", &[("If-None-Exist", "status=off")], &wanted().to_string(), 501).await;
    let r4 = [("Accept", "application/fhir+json; fhirVersion=4.0")];
    client.refused(&format!("GET Subscription/{id}"), &r4, "", 406).await;
    let options = client.send(&format!("OPTIONS Subscription/{id}"), &[], "").await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, PUT, DELETE, OPTIONS")));
    // In a Bundle they are read, and not written.
    let entry = json!({"resource": wanted(), "request": {"method": "POST", "url": "Subscription"}});
    for (kind, status) in [("batch", 200), ("transaction", 405)] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [entry]});
        let answer = client.send("POST ", &[], &bundle.to_string()).await;
        assert_eq!(answer.status, status, "{}", text(&answer));
        if kind == "batch" {
            assert_eq!(json(&answer)["entry"][0]["response"]["status"].as_str().unwrap().get(..3), Some("501"));
        }
    }
    // A service without them keeps no such type.
    let without = Client::new();
    without.refused("POST Subscription", &[], &wanted().to_string(), 404).await;
    without.refused("OPTIONS Subscription", &[], "", 404).await;
}

#[tokio::test]
async fn statement_has_subscriptions_where_they_are_kept() {
    let types = |statement: &Value| {
        let resources = statement["rest"][0]["resource"].as_array().unwrap().clone();
        resources.iter().map(|resource| resource["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(types(&json(&client().get("metadata").await)).contains(&"Subscription".to_owned()));
    assert!(!types(&json(&Client::new().get("metadata").await)).contains(&"Subscription".to_owned()));
}

#[tokio::test]
async fn damaged_record_is_told_and_loses_nothing_else() {
    let memory = Arc::new(Memory::new());
    let client = with_subscriptions(&memory, |it| it);
    let ledger = TenantLedger::new(memory.clone(), "ward".parse().unwrap());
    ledger.apply(vec![Change::create("subscriptions/of/x".parse().unwrap(), "nonsense")]).await.unwrap();
    let request = fhir_devices::rest::Request::new("GET", "Subscription/x");
    let answer = client.0.handle(&request).await;
    assert_eq!(answer.status, 500);
    assert!(answer.fault.is_some());
    assert_eq!(client.get("Device").await.status, 200);
}
