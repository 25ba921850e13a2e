//! Resources in XML: reads, searches, writes, and reports of faults.

use super::client::{Client, json};
use fhir_devices::rest::{Request, Response};
use fhir_devices::{Bundle, Device, OperationOutcome, Resource};
use serde_json::json;

const XML: &str = "application/fhir+xml";

async fn ward() -> Client {
    let client = Client::new();
    for id in ["a", "b", "c"] {
        client.put(&json!({"resourceType": "Device", "id": id, "model": format!("<{id}> & \"x\"")})).await;
    }
    client
}

/// Sends a request with these headers; the path may have a query.
async fn send(client: &Client, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let (method, url) = line.split_once(' ').unwrap();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let request = Request::new(method, path).query(query).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    client.0.handle(&request).await
}

fn is_xml(answer: &Response) -> bool {
    answer.header("content-type").is_some_and(|kind| kind.starts_with(XML))
}

fn device(id: &str, content: &str) -> String {
    format!("<Device xmlns=\"http://hl7.org/fhir\"><id value=\"{id}\"/>{content}</Device>")
}

#[tokio::test]
async fn xml_is_answered_where_it_is_asked_for() {
    let client = ward().await;
    for kind in [XML, "application/xml+fhir", "text/xml", "application/xml"] {
        let answer = send(&client, "GET Device/a", &[("Accept", kind)], "").await;
        assert_eq!((answer.status, is_xml(&answer)), (200, true), "{kind}");
        assert_eq!(Device::from_xml(&answer.body).unwrap().model.unwrap().get().unwrap(), "<a> & \"x\"");
        assert_eq!(answer.header("etag"), Some("W/\"1\""));
    }
    for line in [
        "GET Device/a?_format=xml",
        "GET Device/a?_format=application/fhir%2Bxml",
        "GET Device/a/_history/1?_format=text/xml",
    ] {
        assert!(is_xml(&send(&client, line, &[], "").await), "{line}");
    }
    let none = send(&client, "GET Device/a", &[("Accept", "application/fhir+xml; fhirVersion=4.0")], "").await;
    assert_eq!(none.status, 406);
}

#[tokio::test]
async fn every_kind_of_answer_has_a_form_in_xml() {
    let client = ward().await;
    for (line, kind) in [
        ("GET metadata", "CapabilityStatement"),
        ("GET Device?model=%3Ca", "Bundle"),
        ("GET Device/a/_history", "Bundle"),
        ("GET Device/none", "OperationOutcome"),
        ("GET Device?nonsense=1", "OperationOutcome"),
        ("GET Device/a?_summary=true", "Device"),
        ("GET nowhere/at/all/x", "OperationOutcome"),
    ] {
        let answer = send(&client, line, &[("Accept", XML)], "").await;
        assert!(is_xml(&answer), "{line}: {answer:?}");
        let resource = Resource::from_xml(&answer.body).unwrap_or_else(|report| panic!("{line}: {report}"));
        if resource.resource_type() != kind {
            // Where an unknown parameter is passed over, a Bundle says so.
            assert_eq!((line, resource.resource_type()), ("GET Device?nonsense=1", "Bundle"));
        }
        let same = send(&client, line, &[], "").await;
        let json: serde_json::Value = json(&same);
        let mut read: serde_json::Value = serde_json::from_str(&resource.to_json()).unwrap();
        // Links name the format, and the time of the answer differs.
        let mut json = json;
        for value in [&mut json, &mut read] {
            if let Some(members) = value.as_object_mut() {
                members.remove("link");
                members.remove("meta");
            }
        }
        assert_eq!(json, read, "{line}");
    }
}

#[tokio::test]
async fn pages_stay_in_xml() {
    let client = ward().await;
    let first = send(&client, "GET Device?_count=2&_sort=_id", &[("Accept", XML)], "").await;
    let bundle = Bundle::from_xml(&first.body).unwrap();
    let next = bundle.link.iter().find(|link| link.relation.get().unwrap() == "next").unwrap();
    let url = next.url.get().unwrap().as_str().to_owned();
    let below = url.split("/fhir/").nth(1).unwrap().to_owned();
    let second = send(&client, &format!("GET {below}"), &[], "").await;
    assert!(is_xml(&second), "{below}");
    assert_eq!(Bundle::from_xml(&second.body).unwrap().entry.len(), 1);
}

#[tokio::test]
async fn xml_is_taken_and_kept_as_its_json() {
    let client = ward().await;
    let xml = device("d", "<status value=\"active\"/><model value=\"P9\"/>");
    let made = send(&client, "PUT Device/d", &[("Content-Type", XML), ("Prefer", "return=representation")], &xml).await;
    assert_eq!((made.status, is_xml(&made)), (201, true), "{made:?}");
    let kept = json(&send(&client, "GET Device/d", &[], "").await);
    assert_eq!((&kept["status"], &kept["model"]), (&json!("active"), &json!("P9")));
    let made = send(
        &client,
        "POST Device",
        &[("Content-Type", "application/xml+fhir"), ("Accept", "application/fhir+json")],
        &xml,
    )
    .await;
    assert_eq!((made.status, is_xml(&made)), (201, false));
}

#[tokio::test]
async fn faults_are_told_at_their_places_in_the_xml() {
    let client = ward().await;
    let xml = device("d", "\n<model value=\"P9\"/>\n<status value=\"gone\"/>\n<contact><value value=\"1\"/></contact>");
    let refused = send(&client, "PUT Device/d", &[("Content-Type", XML)], &xml).await;
    assert_eq!(refused.status, 400);
    let outcome = OperationOutcome::from_xml(&refused.body).unwrap().to_json();
    for part in ["element-order", "required-binding", "cpt-2", "line 3, column 9", "Device.contact[0].system"] {
        assert!(outcome.contains(part), "{part}: {outcome}");
    }
    for (kind, body) in [(XML, "{\"resourceType\":\"Device\",\"id\":\"d\"}"), ("application/fhir+json", &xml)] {
        assert_eq!(send(&client, "PUT Device/d", &[("Content-Type", kind)], body).await.status, 400, "{kind}");
    }
    let bomb = format!("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/hostname\">]>{xml}");
    assert_eq!(send(&client, "PUT Device/d", &[("Content-Type", XML)], &bomb).await.status, 400);
    let other = "application/fhir+xml; fhirVersion=4.0";
    assert_eq!(send(&client, "PUT Device/d", &[("Content-Type", other)], &xml).await.status, 415);
}

#[tokio::test]
async fn batches_are_taken_and_answered_in_xml() {
    let client = ward().await;
    let entry = |content: &str, method: &str, url: &str| {
        format!("<entry>{content}<request><method value=\"{method}\"/><url value=\"{url}\"/></request></entry>")
    };
    let resource = format!("<resource>{}</resource>", device("e", "<model value=\"E\"/>"));
    let bundle = format!(
        "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"batch\"/>{}{}{}</Bundle>",
        entry(&resource, "PUT", "Device/e"),
        entry("", "GET", "Device/a"),
        entry("", "GET", "Device/none")
    );
    let answer = send(&client, "POST ", &[("Content-Type", XML)], &bundle).await;
    assert_eq!((answer.status, is_xml(&answer)), (200, true), "{answer:?}");
    let answer = Bundle::from_xml(&answer.body).unwrap();
    let status = |at: usize| answer.entry[at].response.as_ref().unwrap().status.get().unwrap().as_str()[..3].to_owned();
    assert_eq!((status(0), status(1), status(2)), ("201".into(), "200".into(), "404".into()));
    assert_eq!(answer.entry[1].resource.as_ref().unwrap().id(), Some("a"));
}

#[tokio::test]
async fn capability_statement_lists_xml() {
    let statement = json(&send(&ward().await, "GET metadata", &[], "").await);
    let formats: Vec<_> = statement["format"].as_array().unwrap().iter().filter_map(|format| format.as_str()).collect();
    assert!(formats.contains(&"xml") && formats.contains(&XML), "{formats:?}");
}
