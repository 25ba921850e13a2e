//! PATCH: JSON Patch on a resource, by id and by a condition.

use super::client::{Client, json, rules, text};
use fhir_devices::rest::{Limits, Response};
use serde_json::{Value, json};

const PATCH: (&str, &str) = ("Content-Type", "application/json-patch+json");

/// A metric with decimals whose digits matter.
fn metric() -> Value {
    serde_json::from_str(r#"{"resourceType":"DeviceMetric","id":"m","identifier":{"system":"urn:m","value":"m"},
        "type":{"text":"flow"},"category":"measurement","measurementPeriod":{"repeat":{"frequency":1,"period":2,"periodUnit":"s"}},
        "extension":[{"url":"https://acme.example/a","valueCode":"a"},{"url":"https://acme.example/b","valueCode":"b"}]}"#)
        .unwrap()
}

async fn client() -> Client {
    let client = Client::new();
    client.put(&metric()).await;
    client
}

async fn send(client: &Client, url: &str, headers: &[(&str, &str)], patch: &str) -> Response {
    let headers: Vec<_> = [PATCH].iter().chain(headers).copied().collect();
    client.send(&format!("PATCH {url}"), &headers, patch).await
}

fn diagnostics(answer: &Response) -> String {
    json(answer)["issue"][0]["diagnostics"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn patch_returns_the_new_resource() {
    let client = client().await;
    let patch = r#"[{"op":"test","path":"/meta/versionId","value":"1"},
        {"op":"replace","path":"/measurementPeriod/repeat/period","value":2.50},
        {"op":"add","path":"/extension/-","value":{"url":"https://acme.example/c","valueDecimal":1.500}},
        {"op":"remove","path":"/extension/0"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[], patch).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"2\"")), "{}", text(&answer));
    assert!(answer.header("last-modified").is_some());
    let shown = text(&answer);
    assert!(shown.contains(r#""period":2.50,"#) && shown.contains(r#""valueDecimal":1.500}"#), "{shown}");
    assert!(!shown.contains("acme.example/a"), "{shown}");
    assert_eq!(text(&client.get("DeviceMetric/m").await), shown);
    // Decimals that no operation touches keep their text too.
    let answer = send(&client, "DeviceMetric/m", &[], r#"[{"op":"add","path":"/color","value":"red"}]"#).await;
    assert!(text(&answer).contains(r#""period":2.50,"#), "{}", text(&answer));
    let history = client.bundle("DeviceMetric/m/_history").await;
    assert_eq!(history["total"], 3);
}

#[tokio::test]
async fn prefer_controls_patch_responses() {
    let client = client().await;
    let patch = r#"[{"op":"add","path":"/color","value":"red"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[("Prefer", "return=minimal")], patch).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (200, 0, Some("W/\"2\"")));
    let answer = send(&client, "DeviceMetric/m", &[("Prefer", "return=OperationOutcome")], patch).await;
    assert_eq!((answer.status, json(&answer)["resourceType"].as_str()), (200, Some("OperationOutcome")));
}

#[tokio::test]
async fn patch_of_another_version_is_a_conflict() {
    let client = client().await;
    let patch = r#"[{"op":"add","path":"/color","value":"red"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[("If-Match", "W/\"1\"")], patch).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
    // Of a version that is none by now, even where the operations do not fit any more.
    let patch = r#"[{"op":"test","path":"/color","value":"blue"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[("If-Match", "W/\"1\"")], patch).await;
    assert_eq!((answer.status, rules(&json(&answer))), (409, vec!["version-conflict".to_owned()]));
    let patch = r#"[{"op":"remove","path":"/color"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[("If-Match", "*")], patch).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
}

#[tokio::test]
async fn refused_patch_changes_nothing_and_names_the_operation() {
    let client = client().await;
    let before = text(&client.get("DeviceMetric/m").await);
    for (patch, status, rule, place) in [
        (
            r#"[{"op":"add","path":"/color","value":"red"},{"op":"replace","path":"/extension/2/valueCode","value":"c"}]"#,
            422,
            "json-patch-failed",
            Some("DeviceMetric.extension[2].valueCode"),
        ),
        (
            r#"[{"op":"test","path":"/type/text","value":"volume"}]"#,
            422,
            "json-patch-test",
            Some("DeviceMetric.type.text"),
        ),
        (r#"[{"op":"add","path":"/color","value":"mauve"}]"#, 400, "code", Some("DeviceMetric.color")),
        (r#"[{"op":"remove","path":"/type"}]"#, 400, "cardinality", Some("DeviceMetric.type")),
        (r#"[{"op":"replace","path":"/id","value":"n"}]"#, 400, "id", None),
        (r#"[{"op":"remove","path":"/id"}]"#, 400, "id", None),
        (r#"[{"op":"replace","path":"","value":7}]"#, 400, "", None),
        (r#"[{"op":"replace","path":"","value":{"resourceType":"Device","id":"m"}}]"#, 400, "resource-type", None),
        (r#"[{"op":"jump","path":"/color"}]"#, 400, "json-patch", None),
        (r#"{"op":"remove","path":"/color"}"#, 400, "json-patch", None),
        (r#"[{"op":"remove","path":"/color""#, 400, "", None),
    ] {
        let answer = send(&client, "DeviceMetric/m", &[], patch).await;
        assert_eq!(answer.status, status, "{patch}: {}", text(&answer));
        let outcome = json(&answer);
        if !rule.is_empty() && rule != "code" && rule != "cardinality" {
            assert_eq!(rules(&outcome)[0], rule, "{patch}");
        }
        if let Some(place) = place {
            assert_eq!(outcome["issue"][0]["expression"][0], place, "{patch}: {}", text(&answer));
        }
        assert_eq!(text(&client.get("DeviceMetric/m").await), before, "{patch}");
    }
    let patch = r#"[{"op":"test","path":"/id","value":"m"},{"op":"remove","path":"/color"}]"#;
    let answer = send(&client, "DeviceMetric/m", &[], patch).await;
    assert_eq!(diagnostics(&answer), "operation[1], `remove` at `/color`: there is nothing at `/color`");
    // Everything that is wrong with what a patch makes is told at once.
    let patch = r#"[{"op":"remove","path":"/type"},{"op":"add","path":"/color","value":"mauve"},{"op":"add","path":"/hue","value":1}]"#;
    let answer = send(&client, "DeviceMetric/m", &[], patch).await;
    assert_eq!((answer.status, json(&answer)["issue"].as_array().unwrap().len()), (400, 3), "{}", text(&answer));
}

#[tokio::test]
async fn patch_of_a_missing_resource_or_wrong_type_is_refused() {
    let client = client().await;
    let patch = r#"[{"op":"add","path":"/color","value":"red"}]"#;
    assert_eq!(send(&client, "DeviceMetric/none", &[], patch).await.status, 404);
    client.send("DELETE DeviceMetric/m", &[], "").await;
    assert_eq!(send(&client, "DeviceMetric/m", &[], patch).await.status, 410);
    for kind in ["application/fhir+json", "application/xml-patch+xml", "application/merge-patch+json"] {
        let request = fhir_devices::rest::Request::new("PATCH", "DeviceMetric/m")
            .header("Content-Type", kind)
            .body(patch.to_owned());
        let answer = client.0.handle(&request).await;
        assert_eq!(
            (answer.status, answer.header("accept-patch")),
            (415, Some("application/json-patch+json")),
            "{kind}"
        );
    }
    assert_eq!(send(&client, "", &[], patch).await.status, 405);
}

#[tokio::test]
async fn conditional_patch_changes_the_single_match() {
    let client = client().await;
    let mut other = metric();
    other["id"] = json!("n");
    other["identifier"]["value"] = json!("n");
    client.put(&other).await;
    let patch = r#"[{"op":"add","path":"/color","value":"red"}]"#;
    let answer = send(&client, "DeviceMetric?identifier=urn:m|n", &[], patch).await;
    assert_eq!((answer.status, json(&answer)["id"].as_str()), (200, Some("n")), "{}", text(&answer));
    assert_eq!(send(&client, "DeviceMetric?identifier=urn:m|none", &[], patch).await.status, 404);
    assert_eq!(send(&client, "DeviceMetric?category=measurement", &[], patch).await.status, 412);
    assert_eq!(send(&client, "DeviceMetric", &[], patch).await.status, 400);
    let stale = [("If-Match", "W/\"1\"")];
    assert_eq!(send(&client, "DeviceMetric?identifier=urn:m|n", &stale, patch).await.status, 409);
    assert!(json(&client.get("DeviceMetric/m").await)["color"].is_null());
}

/// The verbs of a Bundle are those of the value set `http-verb`, which has no PATCH in STU3.
#[tokio::test]
async fn patch_in_a_bundle_is_refused() {
    let client = client().await;
    for kind in ["batch", "transaction"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind,
            "entry": [{"request": {"method": "PATCH", "url": "DeviceMetric/m"}}]});
        let answer = client.send("POST ", &[], &bundle.to_string()).await;
        assert_eq!(answer.status, 400, "{}", text(&answer));
        // The first issue is a hint: R4 has the verb.
        let answer = json(&answer);
        let places: Vec<_> = answer["issue"].as_array().unwrap().iter().map(|issue| &issue["expression"][0]).collect();
        assert_eq!(places, ["Bundle", "Bundle.entry[0].request.method"]);
    }
}

#[tokio::test]
async fn patched_resource_size_is_limited() {
    let client = client().await;
    let client = Client(client.0.with_limits(Limits::default().with_patched_bytes(2_000).with_operations(3)));
    let long = "x".repeat(2_000);
    let patch =
        json!([{"op": "add", "path": "/extension/-", "value": {"url": "https://acme.example/l", "valueString": long}}]);
    let answer = send(&client, "DeviceMetric/m", &[], &patch.to_string()).await;
    assert_eq!((answer.status, rules(&json(&answer))), (413, vec!["too-large".to_owned()]));
    let four = json!([0, 1, 2, 3].map(|_| json!({"op": "test", "path": "/id", "value": "m"})));
    assert_eq!(send(&client, "DeviceMetric/m", &[], &four.to_string()).await.status, 413);
}

#[tokio::test]
async fn statement_offers_json_patch() {
    let statement = json(&Client::new().get("metadata").await);
    assert_eq!(statement["patchFormat"], json!(["application/json-patch+json"]));
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let codes: Vec<_> = resource["interaction"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert!(codes.contains(&&json!("patch")), "{resource}");
    }
}
