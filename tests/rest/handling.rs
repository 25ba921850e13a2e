//! The treatment of unknown requests, and the small rules of HTTP.

use super::client::{BASE, Client, json, modes, rules, text};
use fhir_devices::rest::{Handling, ReferencedDeletion};
use serde_json::{Value, json};

fn device(id: &str, serial: &str) -> Value {
    json!({"resourceType": "Device", "id": id, "model": "P9",
        "identifier": [{"system": "urn:sn", "value": serial, "type": {"text": "serial"}}]})
}

fn component(id: &str, source: &str) -> Value {
    json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "MDS"},
        "source": {"reference": source}})
}

fn outcomes(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries.filter(|entry| entry["search"]["mode"] == "outcome").flat_map(|entry| rules(&entry["resource"])).collect()
}

#[tokio::test]
async fn unknown_parameters_are_passed_over_and_named() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    for url in ["Device?colour=red&model=P9&size=2", "Device?model=P9&colour=&colour=red&colours.size=1"] {
        let bundle = client.bundle(url).await;
        assert_eq!((modes(&bundle, "match"), &bundle["total"]), (vec!["d".to_owned()], &json!(1)), "{url}");
        assert_eq!(outcomes(&bundle), ["ignored-parameter"; 2], "{bundle}");
        assert!(!bundle["link"].to_string().contains("colour"), "{}", bundle["link"]);
        let strict = [("Prefer", "return=minimal, handling=strict")];
        assert_eq!(client.refused(&format!("GET {url}"), &strict, "", 400).await, ["search-parameter"; 2]);
    }
    let strict = Client(Client::new().0.with_handling(Handling::Strict));
    assert_eq!(strict.refused("GET Device?colour=red", &[], "", 400).await, ["search-parameter"]);
    let lenient = [("Prefer", "handling=lenient")];
    assert_eq!(strict.send("GET Device?colour=red", &lenient, "").await.status, 200);
    assert_eq!(strict.refused("GET Device/d?colour=red", &[], "", 404).await, ["not-found"]);
}

#[tokio::test]
async fn parameters_that_would_find_something_else_are_refused() {
    let client = Client::new();
    for name in ["_text", "_content", "_filter", "_list", "_query", "_contained", "_containedType"] {
        let line = format!("GET Device?{name}=x");
        assert_eq!(client.refused(&line, &[("Prefer", "handling=lenient")], "", 400).await, ["search-parameter"]);
    }
    assert_eq!(client.refused("GET Device?model:nearly=x", &[], "", 400).await, ["search-modifier"]);
    assert_eq!(client.bundle("Device?_count=&model=&_sort=&identifier=&=x").await["total"], 0);
}

#[tokio::test]
async fn bodies_are_read_leniently_where_the_client_asks() {
    let client = Client::new();
    let body = r#"{"resourceType":"Device","id":"d","colour":"red"}"#;
    assert_eq!(client.refused("PUT Device/d", &[], body, 400).await, ["unknown-member"]);
    let answer = client.send("PUT Device/d", &[("Prefer", "handling=lenient, return=OperationOutcome")], body).await;
    assert_eq!(answer.status, 201, "{}", text(&answer));
    assert!(rules_of_some(&json(&answer)).contains(&"unknown-member".to_owned()), "{}", text(&answer));
    let kept = client.get("Device/d").await;
    assert_eq!(json(&kept)["colour"], "red");
}

fn rules_of_some(outcome: &Value) -> Vec<String> {
    let issues = outcome["issue"].as_array().unwrap().iter();
    issues.filter_map(|issue| Some(issue["details"]["coding"][0]["code"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_query_beside_an_id_is_refused() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    let body = device("d", "1").to_string();
    for (line, body) in [
        ("POST Device?identifier=urn:sn|1", body.as_str()),
        ("PUT Device/d?identifier=urn:sn|1", &body),
        ("DELETE Device/d?_id=zzz", ""),
    ] {
        assert_eq!(client.refused(line, &[], body, 400).await, ["query"], "{line}");
    }
    let patch = [("Content-Type", "application/json-patch+json")];
    assert_eq!(client.refused("PATCH Device/d?model=x", &patch, "[]", 400).await, ["query"]);
    assert_eq!(client.found("Device").await, ["d"]);
    let transaction = json!({"resourceType": "Bundle", "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": "Device/d?_id=zzz"}}]});
    assert_eq!(client.refused("POST ", &[], &transaction.to_string(), 400).await, ["query"]);
    assert_eq!(client.send("PUT Device/d?_format=json&_pretty=true", &[], &body).await.status, 200);
}

#[tokio::test]
async fn answers_say_their_charset_and_what_is_allowed() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    let read = client.get("Device/d").await;
    assert_eq!(read.header("content-type"), Some("application/fhir+json; charset=utf-8"));
    for (line, allow) in [
        ("DELETE metadata", "GET, HEAD, OPTIONS"),
        ("DELETE ", "GET, HEAD, POST, OPTIONS"),
        ("POST Device/d", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("PUT Device/d/_history/1", "GET, HEAD, OPTIONS"),
        ("PUT Device/_search", "GET, HEAD, POST, OPTIONS"),
        ("DELETE Device/$validate", "POST, OPTIONS"),
    ] {
        let refused = client.send(line, &[], "").await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some(allow)), "{line}");
    }
    for path in ["", "metadata", "Device", "Device/d", "Device/none", "Device/_history", "Device/d/$meta"] {
        let options = client.send(&format!("OPTIONS {path}"), &[], "").await;
        let allow = options.header("allow").unwrap();
        assert!(matches!(options.status, 200 | 204) && allow.contains("GET"), "{path}: {options:?}");
        assert_eq!(options.header("accept-patch").is_some(), allow.contains("PATCH"), "{path}");
    }
    assert_eq!(json(&client.send("OPTIONS ", &[], "").await)["resourceType"], "CapabilityStatement");
    assert_eq!(client.send("HEAD Device/d", &[], "").await.status, 200);
}

#[tokio::test]
async fn parts_of_a_resource_can_be_read() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    for url in ["Device/d?_elements=identifier.value", "Device/d/_history/1?_elements=Device.identifier"] {
        let part = json(&client.get(url).await);
        assert_eq!((&part["identifier"][0]["value"], part.get("model")), (&json!("1"), None), "{url}");
        assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED");
    }
    let summary = json(&client.get("Device/d?_summary=true").await);
    assert_eq!((summary.get("model"), &summary["meta"]["tag"][0]["code"]), (None, &json!("SUBSETTED")));
    assert_eq!(client.refused("GET Device/d?_summary=some", &[], "", 400).await, ["search-value"]);
    let pretty = text(&client.get("Device/d?_pretty=true").await);
    assert!(pretty.starts_with("{\n  \"resourceType\": \"Device\",\n"), "{pretty}");
}

#[tokio::test]
async fn a_posted_search_says_the_format_in_its_body() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    let form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let body = "identifier=urn:sn|1&_format=application/fhir%2Bjson;fhirVersion=4.0&_pretty=true";
    let found = client.0.handle(&request("POST Device/_search", &form, body)).await;
    assert_eq!(found.status, 200, "{}", text(&found));
    let kind = found.header("content-type").unwrap();
    assert!(kind.contains("fhirVersion=4.0") && text(&found).contains("\n  \"total\": 1"), "{kind} {}", text(&found));
    let wrong = [("Content-Type", "application/json")];
    assert_eq!(client.refused("POST Device/_search", &wrong, "{}", 415).await, ["content-type"]);
    assert_eq!(client.send("POST Device/_search", &[], "").await.status, 200);
}

fn request(line: &str, headers: &[(&str, &str)], body: &str) -> fhir_devices::rest::Request<'static> {
    let (method, url) = line.split_once(' ').unwrap();
    let mut request = fhir_devices::rest::Request::new(method.to_owned(), url.to_owned()).body(body.to_owned());
    for (name, value) in headers {
        request = request.header((*name).to_owned(), (*value).to_owned());
    }
    request
}

#[tokio::test]
async fn several_versions_may_be_listed_in_if_match() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    let body = device("d", "2").to_string();
    let listed = |tags: &'static str| [("If-Match", tags)];
    assert_eq!(client.send("PUT Device/d", &listed("W/\"7\", W/\"1\""), &body).await.status, 200);
    assert_eq!(client.refused("PUT Device/d", &listed("W/\"7\", W/\"1\""), &body, 409).await, ["version-conflict"]);
    assert_eq!(client.refused("DELETE Device/d", &listed("W/\"7\", W/\"1\""), "", 409).await, ["version-conflict"]);
    assert_eq!(client.send("DELETE Device/d", &listed("\"1\",\"2\""), "").await.status, 204);
    // What is deleted is not in that version any more.
    assert_eq!(client.refused("DELETE Device/d", &listed("\"2\""), "", 409).await, ["version-conflict"]);
    assert_eq!(client.send("DELETE Device/d", &[], "").await.status, 204);
}

#[tokio::test]
async fn times_are_told_to_the_millisecond_and_found_by_it() {
    let client = Client::new();
    for id in ["a", "b", "c"] {
        client.put(&device(id, id)).await;
    }
    let read = json(&client.get("Device/a").await);
    let time = read["meta"]["lastUpdated"].as_str().unwrap();
    let digits = time.split_once('.').map_or(0, |(_, rest)| rest.trim_end_matches('Z').len());
    assert!(digits <= 3, "{time}");
    for (prefix, found) in [("", true), ("le", true), ("ge", true), ("gt", false), ("lt", false)] {
        let bundle = client.bundle(&format!("Device?_id=a&_lastUpdated={prefix}{time}")).await;
        assert_eq!(modes(&bundle, "match").len(), usize::from(found), "{prefix}{time}");
    }
    let batch = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Device/a"}}]});
    let answer = json(&client.send("POST ", &[], &batch.to_string()).await);
    assert_eq!(answer["entry"][0]["response"]["lastModified"], time);
}

#[tokio::test]
async fn a_total_in_a_bundle_that_comes_in_is_no_reason_to_refuse_it() {
    let client = Client::new();
    for kind in ["batch", "transaction"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "total": 1,
            "entry": [{"resource": device("d", "1"), "request": {"method": "PUT", "url": "Device/d"}}]});
        let answer = client.send("POST ", &[], &bundle.to_string()).await;
        assert_eq!(answer.status, 200, "{}", text(&answer));
    }
}

#[tokio::test]
async fn a_read_that_fails_fails_its_transaction() {
    let client = Client::new();
    client.put(&device("old", "1")).await;
    let put = json!({"resource": device("new", "2"), "request": {"method": "PUT", "url": "Device/new"}});
    let read = |url: &str| json!({"request": {"method": "GET", "url": url}});
    let transaction =
        |entries: &[Value]| json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    for (url, status, rule) in [
        ("Device/none", 404, "not-found"),
        ("Device?model:nearly=x", 400, "search-modifier"),
        ("Device/none/_history", 404, "not-found"),
        ("Device/old/_history/9", 404, "not-found"),
    ] {
        let body = transaction(&[put.clone(), read(url)]);
        assert_eq!(client.refused("POST ", &[], &body, status).await, [rule], "{url}");
    }
    let delete = json!({"request": {"method": "DELETE", "url": "Device/old"}});
    let body = transaction(&[delete, read("Device/old")]);
    assert_eq!(client.refused("POST ", &[], &body, 410).await, ["deleted"]);
    assert_eq!(client.found("Device").await, ["old"]);
    // What the transaction itself writes is read behind it.
    let answer = client.send("POST ", &[], &transaction(&[read("Device/new"), put])).await;
    assert_eq!(json(&answer)["entry"][0]["resource"]["id"], "new");
}

#[tokio::test]
async fn entries_of_a_batch_are_independent() {
    let client = Client::new();
    for (scheme, urn) in [("uuid", "urn:uuid:9a6f4f1e-7c3b-4f6e-8d63-3e3f8cf5a111"), ("oid", "urn:oid:1.2.3")] {
        let entries = |other: &str| {
            json!([
                {"fullUrl": urn, "resource": {"resourceType": "Device", "model": scheme},
                    "request": {"method": "POST", "url": "Device"}},
                {"resource": component("mds", other), "request": {"method": "PUT", "url": "DeviceComponent/mds"}}])
        };
        let bundle = |kind: &str, other: &str| {
            json!({"resourceType": "Bundle", "type": kind, "entry": entries(other)}).to_string()
        };
        let answer = json(&client.send("POST ", &[], &bundle("batch", urn)).await);
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
        assert_eq!(answer["entry"][1]["response"]["status"], "400 Bad Request");
        assert_eq!(rules(&answer["entry"][1]["response"]["outcome"]), ["batch-reference"]);
        assert_eq!(client.send("POST ", &[], &bundle("transaction", urn)).await.status, 200);
        let dangling = bundle(
            "transaction",
            &format!("urn:{scheme}:{}", if scheme == "oid" { "1.2.4" } else { "00000000-0000-4000-8000-000000000000" }),
        );
        assert_eq!(client.refused("POST ", &[], &dangling, 400).await, ["dangling-reference"]);
    }
}

#[tokio::test]
async fn conditional_references_are_for_transactions_alone() {
    let client = Client::new();
    let body = component("mds", "Device?identifier=urn:sn|1").to_string();
    assert_eq!(client.refused("PUT DeviceComponent/mds", &[], &body, 400).await, ["conditional-reference"]);
    assert_eq!(client.refused("POST DeviceComponent", &[], &body, 400).await, ["conditional-reference"]);
}

#[tokio::test]
async fn a_creation_that_does_not_meet_its_own_condition_is_refused() {
    let client = Client::new();
    let (line, once, body) = ("POST Device", [("If-None-Exist", "identifier=never")], device("x", "1").to_string());
    assert_eq!(client.refused(line, &once, &body, 412).await, ["if-none-exist"]);
    let transaction = json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": device("x", "1"),
        "request": {"method": "POST", "url": "Device", "ifNoneExist": "identifier=never"}}]});
    assert_eq!(client.refused("POST ", &[], &transaction.to_string(), 412).await, ["if-none-exist"]);
    assert_eq!(client.found("Device").await.len(), 0);
    assert_eq!(client.send(line, &[("If-None-Exist", "identifier=urn:sn|1")], &body).await.status, 201);
}

#[tokio::test]
async fn a_deletion_of_what_others_refer_to_is_told_or_refused() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    client.put(&component("mds", &format!("{BASE}/Device/d"))).await;
    let strict = Client(client.0.clone().with_referenced_deletion(ReferencedDeletion::Refuse));
    assert_eq!(strict.refused("DELETE Device/d", &[], "", 409).await, ["referenced"]);
    assert_eq!(strict.refused("DELETE Device?identifier=urn:sn|1", &[], "", 409).await, ["referenced"]);
    let delete = |url: &str| json!({"request": {"method": "DELETE", "url": url}});
    let bundle =
        |entries: &[Value]| json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    assert_eq!(strict.refused("POST ", &[], &bundle(&[delete("Device/d")]), 409).await, ["referenced"]);

    let told = client.send("DELETE Device/d", &[], "").await;
    assert_eq!((told.status, told.header("etag")), (200, Some("W/\"2\"")));
    assert!(text(&told).contains("DeviceComponent/mds"), "{}", text(&told));
    client.put(&device("d", "1")).await;
    let answer = client.send("POST ", &[], &bundle(&[delete("Device/d")])).await;
    let outcome = json(&answer)["entry"][0]["response"]["outcome"].to_string();
    assert!(outcome.contains("DeviceComponent/mds"), "{outcome}");
    client.put(&device("d", "1")).await;
    let both = bundle(&[delete("Device/d"), delete("DeviceComponent/mds")]);
    assert_eq!(strict.send("POST ", &[], &both).await.status, 200);
}

#[tokio::test]
async fn a_conditional_patch_changes_the_one_that_meets_it() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    client.put(&device("e", "2")).await;
    let kind = [("Content-Type", "application/json-patch+json")];
    let patch = r#"[{"op":"replace","path":"/model","value":"P10"}]"#;
    let done = client.send("PATCH Device?identifier=urn:sn|1", &kind, patch).await;
    assert_eq!((done.status, &json(&done)["model"]), (200, &json!("P10")));
    assert_eq!(client.refused("PATCH Device?identifier=urn:sn|9", &kind, patch, 404).await, ["not-found"]);
    assert_eq!(client.refused("PATCH Device?identifier=urn:sn|", &kind, patch, 412).await, ["conditional"]);
    assert_eq!(client.refused("PATCH Device?colour=red", &kind, patch, 400).await, ["search-parameter"]);
}

#[tokio::test]
async fn an_update_that_would_create_what_does_not_meet_its_condition_is_refused() {
    let client = Client::new();
    let body = device("x", "1").to_string().replace("\"id\":\"x\",", "");
    assert_eq!(client.refused("PUT Device?identifier=never", &[], &body, 412).await, ["conditional"]);
    assert_eq!(client.found("Device").await.len(), 0);
    assert_eq!(client.send("PUT Device?identifier=urn:sn|1", &[], &body).await.status, 201);
    // What is there may be changed so that it does not meet the condition any more.
    let renamed = body.replace("\"1\"", "\"2\"");
    assert_eq!(client.send("PUT Device?identifier=urn:sn|1", &[], &renamed).await.status, 200);
    assert_eq!(client.found("Device?identifier=urn:sn|2").await.len(), 1);
}

#[tokio::test]
async fn a_body_in_another_charset_is_refused() {
    let client = Client::new();
    let latin = [("Content-Type", "application/fhir+json; charset=ISO-8859-1")];
    assert_eq!(client.refused("PUT Device/x", &latin, &device("x", "1").to_string(), 415).await, ["content-type"]);
    let utf_8 = [("Content-Type", "application/fhir+json;charset=\"UTF-8\"")];
    assert_eq!(client.send("PUT Device/x", &utf_8, &device("x", "1").to_string()).await.status, 201);
}

#[tokio::test]
async fn a_posted_search_may_leave_out_its_type() {
    let client = Client::new();
    client.put(&device("x", "1")).await;
    for (headers, status) in [
        (&[("Content-Type", "")][..], 200),
        (&[("Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")], 200),
        (&[("Content-Type", "application/json")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded-not")], 415),
    ] {
        let answer = client.send("POST Device/_search", headers, "identifier=urn:sn|1").await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 200 {
            assert_eq!(json(&answer)["total"], 1, "{}", text(&answer));
        }
    }
}

#[tokio::test]
async fn operations_are_carried_out_in_a_batch() {
    let client = Client::new();
    client.put(&device("x", "1")).await;
    let meta =
        json!({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "t"}]}}]});
    let validated = json!({"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "delete"}]});
    let post = |url: &str, resource: &Value| json!({"resource": resource, "request": {"method": "POST", "url": url}});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        post("Device/$validate", &device("y", "2")),
        post("Device/x/$validate", &validated),
        post("Device/x/$meta-add", &meta),
        json!({"request": {"method": "POST", "url": "Device/x/$meta"}}),
        json!({"request": {"method": "POST", "url": "$meta"}}),
    ]});
    let answer = client.send("POST ", &[], &batch.to_string()).await;
    let answer = json(&answer);
    for at in 0..5 {
        assert_eq!(answer["entry"][at]["response"]["status"], "200 OK", "{at}: {answer}");
    }
    let issue = &answer["entry"][0]["response"]["outcome"]["issue"][0];
    assert_eq!(issue["severity"], "information", "{answer}");
    for at in [2, 3, 4] {
        let meta = &answer["entry"][at]["resource"]["parameter"][0]["valueMeta"];
        assert_eq!(meta["tag"][0]["code"], "t", "{at}: {answer}");
    }
}
