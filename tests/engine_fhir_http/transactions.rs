//! Transactions on misbehaving servers.

use super::odd::{Heard, Odd, Say, html, say};
use fhir_devices::backend::FhirServer;
use fhir_devices::backend::fhir_http::{Options, ServerFault};
use fhir_devices::search::{IndexEntries, ResourceType};
use fhir_devices::store::*;
use serde_json::{Value, json};

fn ward() -> Tenant {
    "ward".parse().unwrap()
}

fn key(id: &str) -> Key {
    Key::new(ResourceType::Device, id).unwrap()
}

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap()
}

fn device(id: &str, version: u64) -> String {
    let meta = json!({"versionId": version.to_string(), "lastUpdated": "2017-04-19T10:00:00Z"});
    json!({"resourceType": "Device", "id": id, "meta": meta}).to_string()
}

fn plain(id: &str) -> String {
    json!({"resourceType": "Device", "id": id}).to_string()
}

/// Starts a server on which `old` is in version 3, `new` never existed, and a transaction gets this answer.
async fn over(answer: Say) -> (FhirServer, Odd) {
    let script = move |heard: &Heard| match heard.line.as_str() {
        "POST /ward/" => answer.clone(),
        "GET /ward/Device/old" => say(200, device("old", 3)),
        "GET /ward/Device/old/_history/4" => say(200, device("old", 4)),
        "GET /ward/Device/new/_history/1" => say(200, device("new", 1)),
        _ => say(404, ""),
    };
    let odd = Odd::start(script).await;
    let options = Options::new().trust_if_match().without_write_marks().with_transactions(8);
    (options.at(&format!("http://{}/{{tenant}}", odd.address)).unwrap(), odd)
}

fn writes(version: u64) -> Vec<Write> {
    vec![
        Write::update(key("old"), v(version), plain("old"), IndexEntries::new()),
        Write::create(key("new"), plain("new"), IndexEntries::new()),
    ]
}

async fn commit(store: &FhirServer, version: u64) -> Result<Vec<u64>, CommitError> {
    let made = store.commit(&ward(), writes(version)).await?;
    Ok(made.iter().map(|version| version.version.get()).collect())
}

fn answers(entries: Value) -> Say {
    say(200, json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).to_string())
}

fn told(status: &str, version: u64) -> Value {
    json!({"response": {"status": status, "etag": format!("W/\"{version}\"")}})
}

fn fault(refused: CommitError) -> ServerFault {
    match refused.error {
        StoreError::Backend { source, .. } | StoreError::Indeterminate { source: Some(source), .. } => {
            source.downcast_ref::<ServerFault>().unwrap_or_else(|| panic!("{source:?}")).clone()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn commit_is_one_conditional_bundle() {
    let located = json!([
        {"response": {"status": "200", "location": "http://other.example/Device/old/_history/4"}},
        {"response": {"status": "201 Created", "location": "Device/new/_history/1"}},
    ]);
    for entries in [json!([told("200 OK", 4), told("201 Created", 1)]), located] {
        let (store, odd) = over(answers(entries)).await;
        assert_eq!(commit(&store, 3).await.unwrap(), [4, 1]);
        let heard = odd.heard.lock().unwrap().iter().find(|heard| heard.line.starts_with("POST")).unwrap().clone();
        let sent: Value = serde_json::from_str(&heard.body).unwrap();
        let wanted = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": {"resourceType": "Device", "id": "old"},
                "request": {"method": "PUT", "url": "Device/old", "ifMatch": "W/\"3\""}},
            {"resource": {"resourceType": "Device", "id": "new"},
                "request": {"method": "PUT", "url": "Device/new", "ifNoneMatch": "*"}},
        ]});
        assert_eq!(sent, wanted);
        assert_eq!(heard.header("content-type"), Some("application/fhir+json"));
        fhir_devices::Bundle::from_json(heard.body.as_bytes()).unwrap();
    }
    // A deletion names the version that it found.
    let (store, odd) = over(answers(json!([told("204", 4), told("201", 1)]))).await;
    let writes = vec![Write::delete(key("old"), Precondition::Exists), writes(3).remove(1)];
    let made = store.commit(&ward(), writes).await.unwrap();
    assert!(made[0].is_deleted() && made[0].version == v(4));
    let heard = odd.heard.lock().unwrap().iter().find(|heard| heard.line.starts_with("POST")).unwrap().clone();
    let sent: Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(sent["entry"][0], json!({"request": {"method": "DELETE", "url": "Device/old", "ifMatch": "W/\"3\""}}));
}

#[tokio::test]
async fn failed_write_is_located_by_any_status() {
    for status in [400, 409, 412, 422] {
        let (store, _) = over(say(status, "")).await;
        let refused = commit(&store, 2).await.unwrap_err();
        assert_eq!(refused.index, Some(0));
        assert!(matches!(refused.error, StoreError::Conflict { current: Some(at), .. } if at == v(3)), "{refused:?}");
        // Where every condition holds, it is refused for another reason.
        let words = r#"{"resourceType":"OperationOutcome","issue":[{"code":"invalid","diagnostics":"not like that"}]}"#;
        let (store, odd) = over(say(status, words)).await;
        let refused = commit(&store, 3).await.unwrap_err();
        assert!(
            matches!(&refused.error, StoreError::Invalid { what, .. } if what.contains("not like that")),
            "{refused:?}"
        );
        assert_eq!(odd.lines().iter().filter(|line| line.starts_with("POST")).count(), 4);
    }
    let (store, odd) = over(say(500, "")).await;
    let create = |id: &str| Write::create(key(id), plain(id), IndexEntries::new());
    let exists = Write { precondition: Precondition::Exists, ..Write::put(key("a"), plain("a"), IndexEntries::new()) };
    let refused = store.commit(&ward(), vec![create("new"), create("old"), exists]).await.unwrap_err();
    assert!(refused.index == Some(1) && matches!(refused.error, StoreError::AlreadyExists { .. }), "{refused:?}");
    assert!(odd.lines().iter().all(|line| line.starts_with("GET")), "nothing is sent that is known to fail");
}

#[tokio::test]
async fn missing_or_lost_transactions_are_detected() {
    for status in [404, 405, 501] {
        let refused = commit(&over(say(status, "")).await.0, 3).await.unwrap_err();
        assert!(matches!(refused.error, StoreError::Unsupported { .. }), "{refused:?}");
    }
    for lost in [
        say(500, ""),
        html(503),
        html(200),
        say(200, ""),
        Say::Bytes(Vec::new()),
        answers(json!([])),
        answers(json!([told("200 OK", 4)])),
        answers(json!([told("200 OK", 4), {"response": {"status": "201"}}])),
        answers(json!([told("200 OK", 4), {"response": {"status": "201", "etag": "W/\"a7\""}}])),
        answers(json!([told("200 OK", 4), told("201 Created", 9)])),
        answers(json!([told("200 OK", 4), told("201 Created", 1)])).torn(),
    ] {
        let refused = commit(&over(lost.clone()).await.0, 3).await.unwrap_err();
        assert!(matches!(refused.error, StoreError::Indeterminate { .. }), "{lost:?}: {refused:?}");
    }
    // What was said to be deleted is still there.
    let (store, _) = over(answers(json!([{"response": {"status": "204"}}, told("201", 1)]))).await;
    let deletion = vec![Write::delete(key("old"), Precondition::Exists), writes(3).remove(1)];
    let refused = store.commit(&ward(), deletion).await.unwrap_err();
    assert!(matches!(refused.error, StoreError::Indeterminate { .. }), "{refused:?}");
    let refused = commit(&over(say(503, "").with("Retry-After", "1")).await.0, 3).await.unwrap_err();
    assert!(matches!(refused.error, StoreError::Unavailable { .. }), "{refused:?}");
    let refused = commit(&over(say(429, "")).await.0, 3).await.unwrap_err();
    assert!(matches!(refused.error, StoreError::Throttled { .. }), "{refused:?}");
    let refused = commit(&over(say(307, "").with("Location", "/")).await.0, 3).await.unwrap_err();
    assert!(matches!(fault(refused), ServerFault::Redirected { .. }));
}

#[tokio::test]
async fn ignored_transaction_conditions_are_detected() {
    let shown = |id: &str, version: u64, status: &str| {
        let resource: Value = serde_json::from_str(&device(id, version)).unwrap();
        json!({"resource": resource, "response": {"status": status}})
    };
    let (store, _) = over(answers(json!([shown("old", 5, "200 OK"), shown("new", 1, "201 Created")]))).await;
    let refused = commit(&store, 3).await.unwrap_err();
    assert_eq!((refused.index, fault(refused)), (Some(0), ServerFault::ConditionIgnored { made: 5 }));
    let (store, _) = over(answers(json!([shown("old", 4, "200 OK"), shown("new", 2, "200 OK")]))).await;
    let refused = commit(&store, 3).await.unwrap_err();
    assert_eq!((refused.index, fault(refused)), (Some(1), ServerFault::ConditionIgnored { made: 2 }));
    let (store, _) = over(answers(json!([shown("other", 4, "200 OK"), shown("new", 1, "201")]))).await;
    let refused = commit(&store, 3).await.unwrap_err();
    assert!(matches!(refused.error, StoreError::Indeterminate { .. }), "{refused:?}");
}
