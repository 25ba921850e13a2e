//! Other versions of FHIR: reads, searches and writes in R4, R4B and R5.

use super::client::{BASE, Client, json, rules, text};
use super::updates::{of, pump};
use fhir_devices::backend::Memory;
use fhir_devices::convert::{self, IdPolicy, Options, Version};
use fhir_devices::rest::{Request, Response, Server};
use fhir_devices::store::{ResourceStore, TenantResources};
use fhir_devices::{Bundle, Device, DeviceComponent, Resource};
use serde_json::{Value, json};
use std::sync::Arc;

const OTHERS: [(Version, &str); 3] = [
    (Version::R4, "application/fhir+json; fhirVersion=4.0"),
    (Version::R4B, "application/fhir+json; fhirVersion=4.3"),
    (Version::R5, "application/fhir+json; fhirVersion=5.0"),
];
const R4: &str = OTHERS[0].1;

/// Sends a request with these headers and no others.
async fn send(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let (method, url) = line.split_once(' ').unwrap();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let request = Request::new(method, path).query(query).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = server.handle(&request).await;
    assert_ne!(answer.status, 500, "{line}: {answer:?}");
    assert_eq!(answer.header("vary"), Some("Accept"), "{line}");
    answer
}

/// A device with a component below another one, and a metric.
async fn ward() -> Client {
    let client = Client::new();
    for body in [
        json!({"resourceType": "Device", "id": "pump", "model": "P9", "udi": {"name": "Pump"}, "status": "unknown"}),
        json!({"resourceType": "DeviceComponent", "id": "mds", "identifier": {"value": "1"}, "type": {"text": "MDS"},
            "source": {"reference": "Device/pump"}, "lastSystemChange": "2014-10-07T14:45:00Z",
            "productionSpecification": [{"specType": {"text": "x"}, "productionSpec": "1.0"}]}),
        json!({"resourceType": "DeviceComponent", "id": "vmd", "identifier": {"value": "2"}, "type": {"text": "VMD"},
            "source": {"reference": "Device/pump"}, "parent": {"reference": "DeviceComponent/mds"}}),
        json!({"resourceType": "DeviceMetric", "id": "flow", "identifier": {"value": "3"}, "type": {"text": "flow"},
            "category": "measurement", "source": {"reference": "Device/pump"},
            "parent": {"reference": "DeviceComponent/vmd"}}),
    ] {
        client.put(&body).await;
    }
    client
}

fn converted(version: Version, stu3: &[u8]) -> Value {
    let resource = Resource::from_json(stu3).unwrap();
    serde_json::from_str(&convert::to(version, &resource, &Options::default()).unwrap().json).unwrap()
}

/// Returns a media type as in an answer.
fn utf8(mime: &str) -> String {
    format!("{mime}; charset=utf-8")
}

#[tokio::test]
async fn read_returns_the_requested_fhir_version() {
    let client = ward().await;
    for (version, mime) in OTHERS {
        for path in ["Device/pump", "DeviceComponent/vmd", "DeviceMetric/flow", "DeviceMetric/flow/_history/1"] {
            let stu3 = send(&client.0, &format!("GET {path}"), &[], "").await;
            assert_eq!(stu3.header("content-type"), Some("application/fhir+json; charset=utf-8"));
            let answer = send(&client.0, &format!("GET {path}"), &[("Accept", mime)], "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(&*utf8(mime))), "{}", text(&answer));
            assert_eq!((answer.header("etag"), stu3.header("etag")), (Some("W/\"1\""), Some("W/\"1\"")));
            assert_eq!(json(&answer), converted(version, &stu3.body), "{version} {path}");
            let format = mime.replace("; ", ";%20");
            assert_eq!(send(&client.0, &format!("GET {path}?_format={format}"), &[], "").await, answer);
        }
    }
    let named = send(&client.0, "GET Device/pump", &[("Accept", "application/fhir+json; fhirVersion=3.0")], "").await;
    assert_eq!(named.header("content-type"), Some("application/fhir+json; fhirVersion=3.0; charset=utf-8"));
    assert_eq!(json(&named)["model"], "P9");
}

#[tokio::test]
async fn unknown_fhir_version_is_refused() {
    let client = ward().await;
    for wanted in ["application/fhir+json; fhirVersion=1.0", "application/fhir+xml; fhirVersion=4.0"] {
        let answer = send(&client.0, "GET Device/pump", &[("Accept", wanted)], "").await;
        assert_eq!((answer.status, rules(&json(&answer))), (406, vec!["format".to_owned()]));
        assert!(text(&answer).contains("3.0, 4.0, 4.3, 5.0"), "{}", text(&answer));
    }
    let body = r#"{"resourceType":"Device","id":"x"}"#;
    for sent in ["application/fhir+json; fhirVersion=1.0", "application/fhir+xml; fhirVersion=4.0"] {
        let headers = [("Content-Type", sent), ("Accept", "application/fhir+json")];
        let answer = send(&client.0, "PUT Device/x", &headers, body).await;
        assert_eq!((answer.status, rules(&json(&answer))), (415, vec!["content-type".to_owned()]));
    }
}

#[tokio::test]
async fn not_modified_works_in_every_fhir_version() {
    let client = ward().await;
    let asked = [("Accept", R4), ("If-None-Match", "W/\"1\"")];
    let answer = send(&client.0, "GET DeviceComponent/mds", &asked, "").await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    let asked = [("Accept", R4), ("If-None-Match", "W/\"2\"")];
    assert_eq!(send(&client.0, "GET DeviceComponent/mds", &asked, "").await.status, 200);
}

#[tokio::test]
async fn component_is_readable_as_a_device() {
    let client = ward().await;
    for path in ["vmd", "vmd/_history/1"] {
        let own = send(&client.0, &format!("GET DeviceComponent/{path}"), &[("Accept", R4)], "").await;
        let answer = send(&client.0, &format!("GET Device/{path}"), &[("Accept", R4)], "").await;
        assert_eq!((answer.status, &answer.body), (200, &own.body), "{path}");
        // In STU3 it is no Device.
        assert_eq!(send(&client.0, &format!("GET Device/{path}"), &[], "").await.status, 404);
    }
    // A Device of that id goes first.
    client.put(&json!({"resourceType": "Device", "id": "vmd", "lotNumber": "7"})).await;
    let answer = send(&client.0, "GET Device/vmd", &[("Accept", R4)], "").await;
    assert_eq!(json(&answer)["lotNumber"], "7");
    let gone = send(&client.0, "DELETE Device/mds", &[("Accept", R4)], "").await;
    // Others refer to it.
    assert_eq!(gone.status, 200);
    assert_eq!(client.get("DeviceComponent/mds").await.status, 410);
    assert_eq!(send(&client.0, "GET Device/mds", &[("Accept", R4)], "").await.status, 410);
}

/// Returns a page in another version, without its links: the page of STU3, converted.
fn same_page(version: Version, page: &Response, stu3: &Response) -> Value {
    Bundle::from_json(&stu3.body).unwrap();
    let (mut page, mut wanted) = (json(page), converted(version, &stu3.body));
    let links = page.as_object_mut().unwrap().remove("link").unwrap_or_default();
    wanted.as_object_mut().unwrap().remove("link");
    assert_eq!(page, wanted, "{version}");
    links
}

#[tokio::test]
async fn search_returns_and_links_the_fhir_version() {
    let client = ward().await;
    let url = "DeviceComponent?_count=1&_include=DeviceComponent:source&_revinclude=DeviceMetric:parent";
    for (version, mime) in OTHERS {
        let (mut url, mut stu3_url, mut pages) = (url.to_owned(), url.to_owned(), 0);
        // The header is sent once: the links keep the version by themselves.
        let mut headers = vec![("Accept", mime)];
        loop {
            let stu3 = send(&client.0, &format!("GET {stu3_url}"), &[], "").await;
            let answer = send(&client.0, &format!("GET {url}"), &headers, "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(&*utf8(mime))), "{}", text(&answer));
            let links = same_page(version, &answer, &stu3);
            assert!(text(&answer).contains(r#""fullUrl":"https://here.example/ward/fhir/Device/mds""#) == (pages == 0));
            pages += 1;
            let next = |links: &Value| {
                let next = links.as_array().unwrap().iter().find(|link| link["relation"] == "next")?;
                Some(next["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned())
            };
            let Some(next_url) = next(&links) else { break };
            assert!(next_url.contains("fhirVersion%3D"), "{next_url}");
            stu3_url = next(&json(&stu3)["link"]).unwrap();
            url = next_url;
            headers.clear();
        }
        assert_eq!(pages, 2);
    }
    let posted = [("Accept", R4), ("Content-Type", "application/x-www-form-urlencoded")];
    let answer = send(&client.0, "POST DeviceMetric/_search", &posted, "_id=flow").await;
    assert_eq!(json(&answer)["entry"][0]["resource"]["parent"]["reference"], "Device/vmd");
}

/// Returns the ids on all pages of a search, the total of the first, and the number of pages.
async fn pages(client: &Client, url: &str, mime: &str) -> (Vec<String>, Value, usize) {
    let (mut ids, mut total, mut count, mut url) = (Vec::new(), Value::Null, 0, url.to_owned());
    loop {
        let answer = send(&client.0, &format!("GET {url}"), &[("Accept", mime)], "").await;
        assert_eq!(answer.status, 200, "{url}: {}", text(&answer));
        let page = json(&answer);
        if count == 0 {
            total = page["total"].clone();
        }
        count += 1;
        for entry in page["entry"].as_array().into_iter().flatten() {
            assert_eq!(
                (&entry["resource"]["resourceType"], &entry["search"]["mode"]),
                (&json!("Device"), &json!("match"))
            );
            ids.push(entry["resource"]["id"].as_str().unwrap().to_owned());
        }
        let mut links = page["link"].as_array().unwrap().iter();
        let Some(next) = links.find(|link| link["relation"] == "next") else { return (ids, total, count) };
        url = next["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned();
        assert!(url.starts_with("Device?"), "{url}");
    }
}

#[tokio::test]
async fn search_for_devices_finds_components_too_from_r4_on() {
    let client = ward().await;
    for (_, mime) in OTHERS {
        for (url, ids, total, count) in [
            ("Device", vec!["pump", "mds", "vmd"], json!(3), 1),
            ("Device?_count=1&_total=accurate", vec!["pump", "mds", "vmd"], json!(3), 3),
            ("Device?_count=2&_total=accurate", vec!["pump", "mds", "vmd"], json!(3), 2),
            ("Device?_summary=count", vec![], json!(3), 1),
            ("Device?_id=vmd,pump", vec!["pump", "vmd"], json!(2), 1),
            ("Device?identifier=2", vec!["vmd"], json!(1), 1),
            ("Device?model=P9", vec!["pump"], json!(1), 1),
            ("Device?_tag:not=DeviceComponent", vec!["pump"], json!(1), 1),
            ("Device?_tag=DeviceComponent", vec!["mds", "vmd"], json!(2), 1),
        ] {
            let (found, of_all, pages) = pages(&client, url, mime).await;
            assert_eq!((found, of_all, pages), (ids.iter().map(ToString::to_string).collect(), total, count), "{url}");
        }
        // The two are not sorted together.
        let sorted = send(&client.0, "GET Device?_sort=_id", &[("Accept", mime)], "").await;
        assert_eq!((sorted.status, rules(&json(&sorted))), (400, vec!["search-parameter".to_owned()]));
        let sorted = send(&client.0, "GET Device?_sort=_id&_tag:not=DeviceComponent", &[("Accept", mime)], "").await;
        assert_eq!(sorted.status, 200);
        let all = json(&send(&client.0, "GET ?_type=Device", &[("Accept", mime)], "").await);
        assert_eq!(all["total"], 3, "{all}");
        let damaged = send(&client.0, "GET Device?_page=x", &[("Accept", mime)], "").await;
        assert_eq!((damaged.status, rules(&json(&damaged))), (400, vec!["page".to_owned()]));
    }
    assert_eq!(json(&client.get("Device").await)["total"], 1);
}

#[tokio::test]
async fn history_has_the_elements_of_the_fhir_version() {
    let client = ward().await;
    client.send("DELETE DeviceComponent/vmd", &[], "").await;
    let answer = send(&client.0, "GET Device/vmd/_history?_count=1", &[("Accept", R4)], "").await;
    let page = json(&answer);
    assert_eq!((answer.status, &page["entry"][0]["request"]["url"]), (200, &json!("Device/vmd/_history/2")), "{page}");
    let next = page["link"][1]["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/');
    let page = json(&send(&client.0, &format!("GET {next}"), &[], "").await);
    let entry = &page["entry"][0];
    assert_eq!(
        (&entry["resource"]["resourceType"], &entry["request"]["url"]),
        (&json!("Device"), &json!("Device/vmd/_history/1"))
    );
    assert_eq!((&entry["response"]["status"], &entry["response"]["etag"]), (&json!("201 Created"), &json!("W/\"1\"")));
}

#[tokio::test]
async fn elements_parameter_uses_names_of_the_fhir_version() {
    let client = ward().await;
    let answer = send(&client.0, "GET Device?_elements=modelNumber", &[("Accept", R4)], "").await;
    let resource = &json(&answer)["entry"][0]["resource"];
    assert_eq!(resource["modelNumber"], "P9");
    assert!(resource["status"].is_null() && resource["deviceName"].is_null(), "{resource}");
    assert_eq!(resource["meta"]["tag"][0]["system"], "http://terminology.hl7.org/CodeSystem/v3-ObservationValue");
    let answer = send(&client.0, "GET Device?_summary=true", &[("Accept", R4)], "").await;
    assert_eq!(json(&answer)["entry"][0]["resource"]["deviceName"][0]["name"], "Pump");
}

#[tokio::test]
async fn unconvertible_resource_is_reported_and_not_shown() {
    let client = ward().await;
    client
        .put(&json!({"resourceType": "Device", "id": "odd",
            "extension": [{"url": "http://a.example", "valueMeta": {"versionId": "1"}}]}))
        .await;
    let r4b = OTHERS[1].1;
    let answer = send(&client.0, "GET Device/odd", &[("Accept", r4b)], "").await;
    assert_eq!((answer.status, rules(&json(&answer))), (406, vec!["lost".to_owned()]));
    assert_eq!(json(&answer)["issue"][0]["expression"][1], "Device.extension[0].valueMeta", "{}", text(&answer));
    assert_eq!(send(&client.0, "GET Device/odd", &[("Accept", R4)], "").await.status, 200);
    // A page has what it can have.
    let page = json(&send(&client.0, "GET Device", &[("Accept", r4b)], "").await);
    assert_eq!((&page["total"], &page["entry"][0]["search"]["mode"]), (&json!(4), &json!("outcome")), "{page}");
    assert_eq!(page["entry"][0]["resource"]["issue"][1]["details"]["coding"][0]["code"], "lost");
    assert_eq!(page["entry"][1]["resource"]["id"], "pump");
    // Nor has a page two resources of one address.
    client.put(&json!({"resourceType": "Device", "id": "mds"})).await;
    let url = "GET DeviceComponent?_id=mds&_include=DeviceComponent:source";
    client
        .put(&json!({"resourceType": "DeviceComponent", "id": "mds", "identifier": {"value": "1"},
            "type": {"text": "MDS"}, "source": {"reference": "Device/mds"}}))
        .await;
    let page = json(&send(&client.0, url, &[("Accept", R4)], "").await);
    assert_eq!(page["entry"][1]["search"]["mode"], "outcome", "{page}");
    assert_eq!(page["entry"][1]["resource"]["issue"][1]["details"]["coding"][0]["code"], "collision");
}

#[tokio::test]
async fn resource_read_in_a_fhir_version_can_be_written() {
    for (version, mime) in OTHERS {
        let client = ward().await;
        for path in ["Device/pump", "DeviceComponent/mds", "DeviceMetric/flow"] {
            let before = client.get(path).await;
            let shown = send(&client.0, &format!("GET {path}"), &[("Accept", mime)], "").await;
            let id = path.rsplit('/').next().unwrap();
            for path in [path, &format!("Device/{id}")] {
                if path == "Device/flow" {
                    continue;
                }
                let headers = [("Content-Type", mime), ("If-Match", shown.header("etag").unwrap())];
                // The first write of the two has the version that was read.
                let headers = if path == "Device/mds" { &headers[..1] } else { &headers[..] };
                let answer = send(&client.0, &format!("PUT {path}"), headers, &text(&shown)).await;
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (200, Some(&*utf8(mime))),
                    "{}",
                    text(&answer)
                );
                assert_eq!(json(&answer)["resourceType"], json(&shown)["resourceType"]);
                if path.starts_with("Device/") && id != "mds" {
                    break;
                }
            }
            let (mut before, mut after) = (json(&before), json(&client.get(path).await));
            for resource in [&mut before, &mut after] {
                resource.as_object_mut().unwrap().remove("meta");
            }
            assert_eq!(after, before, "{version} {path}");
        }
    }
}

#[tokio::test]
async fn ehr_resource_round_trips() {
    let client = Client::new();
    let r4 = json!({"resourceType": "Device", "deviceName": [{"name": "a", "type": "model-name"}],
        "identifier": [{"system": "urn:s", "value": "9"}], "serialNumber": "S1", "property": [{"type": {"text": "p"}}]});
    let made = send(&client.0, "POST Device", &[("Content-Type", R4), ("Accept", R4)], &r4.to_string()).await;
    assert_eq!((made.status, made.header("content-type")), (201, Some(&*utf8(R4))), "{}", text(&made));
    let mut answer = json(&made);
    for name in ["id", "meta"] {
        answer.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(answer, r4);
    let place = made.header("location").unwrap().strip_prefix("/ward/fhir/").unwrap();
    Device::from_json(&client.get(place).await.body).unwrap();
    // Once more on a condition, and then an update on it.
    let headers = [("Content-Type", R4), ("If-None-Exist", "identifier=urn:s|9")];
    assert_eq!(send(&client.0, "POST Device", &headers, &r4.to_string()).await.status, 200);
    let changed = r4.to_string().replace("S1", "S2");
    let answer = send(&client.0, "PUT Device?identifier=urn:s|9", &[("Content-Type", R4)], &changed).await;
    assert_eq!((answer.status, &json(&answer)["serialNumber"]), (200, &json!("S2")));
    // The version of the answer is that of the body where the client names no other.
    assert_eq!(answer.header("content-type"), Some(&*utf8(R4)));
    let stu3 = [("Content-Type", R4), ("Accept", "application/fhir+json; fhirVersion=3.0")];
    let answer = send(&client.0, "PUT Device?identifier=urn:s|9", &stu3, &changed).await;
    assert!(json(&answer)["serialNumber"].is_null() && text(&answer).contains("Device.serialNumber"));
}

fn marked(id: &str) -> Value {
    marked_in(Version::R4, id)
}

fn marked_in(version: Version, id: &str) -> Value {
    let component = json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"system": "urn:s", "value": id},
        "type": {"text": "MDS"}, "languageCode": {"text": "de"}});
    converted(version, component.to_string().as_bytes())
}

#[tokio::test]
async fn component_is_written_as_a_tagged_device() {
    let client = Client::new();
    let headers = [("Content-Type", R4)];
    let answer = send(&client.0, "PUT Device/a", &headers, &marked("a").to_string()).await;
    assert_eq!((answer.status, answer.header("location")), (201, Some("/ward/fhir/DeviceComponent/a/_history/1")));
    DeviceComponent::from_json(&client.get("DeviceComponent/a").await.body).unwrap();
    let answer = send(&client.0, "PUT DeviceComponent/b", &headers, &marked("b").to_string()).await;
    assert_eq!(answer.status, 201);
    let answer = send(&client.0, "POST Device", &headers, &marked("c").to_string()).await;
    assert!(answer.header("location").unwrap().starts_with("/ward/fhir/DeviceComponent/"));
    // The condition is one on components then.
    let once = [("Content-Type", R4), ("If-None-Exist", "identifier=urn:s|c")];
    assert_eq!(send(&client.0, "POST Device", &once, &marked("c").to_string()).await.status, 200);
    let bare = marked("c").to_string().replace(r#""id":"c","#, "");
    assert_eq!(send(&client.0, "PUT Device?identifier=urn:s|c", &headers, &bare).await.status, 200);
    // A client that dropped the mark means the component all the same.
    let mut plain = marked("a");
    plain.as_object_mut().unwrap().remove("meta");
    plain.as_object_mut().unwrap().remove("extension");
    plain["serialNumber"] = json!("S1");
    let answer = send(&client.0, "PUT Device/a", &headers, &plain.to_string()).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"2\"")), "{}", text(&answer));
    let stored = json(&client.get("DeviceComponent/a").await);
    assert_eq!(stored["productionSpecification"][0]["productionSpec"], "S1", "{stored}");
    assert_eq!(client.get("Device/a").await.status, 404);
    // A component that would be the same Device as another one is refused.
    client.put(&json!({"resourceType": "Device", "id": "d"})).await;
    let answer = send(&client.0, "PUT Device/d", &headers, &marked("d").to_string()).await;
    assert_eq!((answer.status, rules(&json(&answer))), (409, vec!["collision".to_owned()]));
}

#[tokio::test]
async fn fault_in_another_fhir_version_has_its_path() {
    let client = Client::new();
    let headers = [("Content-Type", R4)];
    for (body, status, rule, place) in [
        (
            json!({"resourceType": "Device", "id": "a", "udiCarrier": [{}, {"modifierExtension":
                [{"url": "http://a.example", "valueCode": "a"}], "issuer": "http://b.example"}]}),
            400,
            "wrong-type",
            "Device.udiCarrier[0]",
        ),
        (
            json!({"resourceType": "Device", "id": "a", "udiCarrier": [{"issuer": "http://b.example"}, {"modifierExtension":
                [{"url": "http://a.example", "valueCode": "a"}], "issuer": "http://b.example"}]}),
            422,
            "lost",
            "Device.udiCarrier[1].modifierExtension",
        ),
        (json!({"resourceType": "Device", "id": "a", "status": "bogus"}), 400, "required-binding", "Device.status"),
        (json!({"resourceType": "Device", "id": "a", "udi": {"name": "x"}}), 400, "unknown-member", "Device.udi"),
        (json!({"resourceType": "Device", "id": "a", "modelNumber": 3}), 400, "wrong-type", "Device.model"),
    ] {
        let answer = send(&client.0, "PUT Device/a", &headers, &body.to_string()).await;
        let outcome = json(&answer);
        assert_eq!(answer.status, status, "{body}: {outcome}");
        let issues = outcome["issue"].as_array().unwrap();
        let found = issues.iter().any(|issue| {
            let places = issue["expression"].as_array().unwrap();
            issue["details"]["coding"][0]["code"] == rule && places.iter().any(|one| one == place)
        });
        assert!(found, "{rule} at {place}: {outcome}");
    }
    assert_eq!(client.get("Device/a").await.status, 404);
}

#[tokio::test]
async fn undeclared_fhir_version_is_reported() {
    let client = Client::new();
    let body = r#"{"resourceType":"Device","id":"a","modelNumber":"1","udiCarrier":[]}"#;
    let answer = send(&client.0, "PUT Device/a", &[("Content-Type", "application/fhir+json")], body).await;
    assert_eq!(answer.status, 400);
    let words = json(&answer)["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
    assert!(words.contains("FHIR R4") && words.contains("fhirVersion"), "{words}");
}

#[tokio::test]
async fn update_survives_writes_in_other_fhir_versions() {
    for (version, mime) in OTHERS {
        let (client, _, update) = pump().await;
        let shown = send(&client.0, "GET DeviceComponent/mds", &[("Accept", mime)], "").await;
        assert!(text(&shown).contains("available-update"), "{}", text(&shown));
        let mut without = json(&shown);
        without["extension"]
            .as_array_mut()
            .unwrap()
            .retain(|one| !one["url"].as_str().unwrap().contains("available-update"));
        let mut unmarked = without.clone();
        unmarked.as_object_mut().unwrap().remove("meta");
        unmarked.as_object_mut().unwrap().remove("extension");
        let bundle = |kind: &str, resource: &Value| {
            let request = json!({"method": "PUT", "url": "Device/mds"});
            json!({"resourceType": "Bundle", "type": kind, "entry": [{"resource": resource, "request": request}]})
        };
        for resource in [json(&shown), without, unmarked] {
            for (line, body) in [
                ("PUT Device/mds", resource.clone()),
                ("PUT DeviceComponent/mds", resource.clone()),
                ("PUT DeviceComponent?identifier=urn:handle|mds", resource.clone()),
                ("POST ", bundle("batch", &resource)),
                ("POST ", bundle("transaction", &resource)),
            ] {
                let answer = send(&client.0, line, &[("Content-Type", mime)], &body.to_string()).await;
                assert_eq!(answer.status, 200, "{version} {line}: {}", text(&answer));
                if line == "POST " {
                    let status = &json(&answer)["entry"][0]["response"]["status"];
                    assert_eq!(status, "200 OK", "{version}: {}", text(&answer));
                }
                let stored = json(&client.get("DeviceComponent/mds").await);
                assert_eq!(of(&stored), std::slice::from_ref(&update), "{version} {line}: {stored}");
            }
        }
        // One that is not known is refused, with its place.
        let mut forged = json(&shown);
        let mut other = forged["extension"][0].clone();
        for part in other["extension"].as_array_mut().unwrap() {
            if part["url"] == "id" {
                *part = json!({"url": "id", "valueId": fhir_devices::manifest::IngestId(7).to_string()});
            }
        }
        forged["extension"].as_array_mut().unwrap().push(other);
        let answer = send(&client.0, "PUT Device/mds", &[("Content-Type", mime)], &forged.to_string()).await;
        assert_eq!((answer.status, rules(&json(&answer))), (422, vec!["available-update".to_owned()]));
    }
}

#[tokio::test]
async fn bundle_is_processed_in_its_fhir_version() {
    for (version, mime) in OTHERS {
        let client = ward().await;
        let device = |id: &str| {
            let stu3 = json!({"resourceType": "Device", "id": id, "model": "X"});
            converted(version, stu3.to_string().as_bytes())
        };
        let component = json!({"resourceType": "DeviceComponent", "id": "new", "identifier": {"value": "7"},
            "type": {"text": "MDS"}, "source": {"reference": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"}});
        let component = converted(version, component.to_string().as_bytes());
        for kind in ["batch", "transaction"] {
            let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [
                {"fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "resource": device("d"),
                    "request": {"method": "PUT", "url": "Device/d"}},
                {"resource": if kind == "batch" { marked_in(version, "new") } else { component.clone() },
                    "request": {"method": "PUT", "url": "Device/new"}},
                {"request": {"method": "GET", "url": "Device/vmd"}},
                {"request": {"method": "GET", "url": "DeviceMetric?_count=1"}},
                {"request": {"method": "DELETE", "url": "Device/vmd"}},
                {"request": {"method": "GET", "url": "Device/nobody"}},
            ]});
            // A transaction reads when all is written.
            let bundle = match kind {
                "batch" => bundle,
                _ => {
                    client
                        .put(&json!({"resourceType": "DeviceComponent", "id": "vmd", "identifier": {"value": "2"},
                        "type": {"text": "VMD"}}))
                        .await;
                    let mut bundle = bundle;
                    bundle["entry"].as_array_mut().unwrap().remove(2);
                    // A read that fails would fail all.
                    bundle["entry"].as_array_mut().unwrap().pop();
                    bundle
                }
            };
            let headers = [("Content-Type", mime), ("Prefer", "return=representation")];
            let answer = send(&client.0, "POST ", &headers, &bundle.to_string()).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(&*utf8(mime))), "{}", text(&answer));
            let whole = json(&answer);
            let entries = whole["entry"].as_array().unwrap();
            assert_eq!(
                (&entries[0]["resource"]["modelNumber"], &entries[1]["resource"]["resourceType"]),
                (&json!("X"), &json!("Device")),
                "{whole}"
            );
            assert_eq!(
                entries[1]["response"]["location"],
                "/ward/fhir/DeviceComponent/new/_history/".to_owned() + if kind == "batch" { "1" } else { "2" }
            );
            let last = if kind == "batch" { entries.len() - 1 } else { entries.len() };
            if kind == "batch" {
                assert_eq!(entries[2]["resource"]["id"], "vmd", "{whole}");
            }
            assert_eq!(entries[last - 2]["resource"]["entry"][0]["resource"]["id"], "flow", "{whole}");
            // A metric refers to it.
            assert_eq!(entries[last - 1]["response"]["status"], "200 OK");
            if kind == "batch" {
                assert_eq!(entries[last]["response"]["status"], "404 Not Found");
            }
            assert_eq!(client.get("DeviceComponent/vmd").await.status, 410);
        }
        let stored = json(&client.get("DeviceComponent/new").await);
        assert_eq!(stored["source"]["reference"], "Device/d", "{stored}");
    }
}

#[tokio::test]
async fn faulty_batch_entry_in_a_fhir_version_fails_alone() {
    let client = Client::new();
    let entry = |resource: Value| {
        let url = format!("Device/{}", resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    let lossy = json!({"resourceType": "Device", "id": "lossy", "udiCarrier": [{"issuer": "http://b.example"},
        {"modifierExtension": [{"url": "http://a.example", "valueCode": "a"}], "issuer": "http://b.example"}]});
    let faulty = json!({"resourceType": "Device", "id": "faulty", "status": "bogus"});
    let good = json!({"resourceType": "Device", "id": "good", "modelNumber": "1"});
    let bundle = |kind: &str| {
        let entries = [lossy.clone(), faulty.clone(), good.clone()].map(entry);
        json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()
    };
    let answer = json(&send(&client.0, "POST ", &[("Content-Type", R4)], &bundle("batch")).await);
    let status = |at: usize| answer["entry"][at]["response"]["status"].as_str().unwrap()[..3].to_owned();
    assert_eq!([status(0), status(1), status(2)], ["422", "400", "201"], "{answer}");
    assert!(client.get("Device/lossy").await.status == 404 && client.get("Device/good").await.status == 200);
    client.send("DELETE Device/good", &[], "").await;
    let refused = send(&client.0, "POST ", &[("Content-Type", R4)], &bundle("transaction")).await;
    assert_eq!(refused.status, 400, "{}", text(&refused));
    assert!(rules(&json(&refused)).contains(&"lost".to_owned()));
    assert_eq!(client.get("Device/good").await.status, 410);
}

#[tokio::test]
async fn patch_applies_to_the_requested_fhir_version() {
    let client = ward().await;
    let patch = r#"[{"op":"replace","path":"/modelNumber","value":"P10"}]"#;
    let typed = |kind: &'static str, accept: &'static str| [("Content-Type", kind), ("Accept", accept)];
    let plain = "application/json-patch+json";
    let answer = send(&client.0, "PATCH Device/pump", &typed(plain, R4), patch).await;
    assert_eq!((answer.status, &json(&answer)["modelNumber"]), (200, &json!("P10")), "{}", text(&answer));
    assert_eq!(json(&client.get("Device/pump").await)["model"], "P10");
    let named = "application/json-patch+json; fhirVersion=5.0";
    let answer = send(&client.0, "PATCH Device/pump", &[("Content-Type", named)], patch).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(&*utf8(OTHERS[2].1))));
    assert_eq!(send(&client.0, "PATCH Device/pump", &[("Content-Type", plain)], patch).await.status, 422);
    let unknown = "application/json-patch+json; fhirVersion=1.0";
    assert_eq!(send(&client.0, "PATCH Device/pump", &[("Content-Type", unknown)], patch).await.status, 415);
    // A component at the address of the Device that it is.
    let patch = r#"[{"op":"add","path":"/serialNumber","value":"S1"}]"#;
    let answer = send(&client.0, "PATCH Device/vmd", &typed(plain, R4), patch).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
    assert!(text(&client.get("DeviceComponent/vmd").await).contains("serial-number"));
}

#[tokio::test]
async fn statement_lists_the_fhir_versions() {
    let client = Client::new();
    let stu3 = json(&client.get("metadata").await);
    for (version, mime) in OTHERS {
        assert!(stu3["format"].as_array().unwrap().iter().any(|format| format == mime));
        let answer = send(&client.0, "GET metadata", &[("Accept", mime)], "").await;
        assert_eq!(answer.header("content-type"), Some(&*utf8(mime)));
        let statement = json(&answer);
        assert_eq!(statement["fhirVersion"], version.number());
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let types: Vec<_> = resources.iter().map(|one| one["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["Device", "DeviceMetric"]);
        assert_eq!(resources[0]["profile"], "http://hl7.org/fhir/StructureDefinition/Device");
        assert!(statement["acceptUnknown"].is_null());
    }
    assert!(stu3["rest"][0]["documentation"].as_str().unwrap().contains("fhirVersion"));
    assert_eq!((&stu3["fhirVersion"], &stu3["acceptUnknown"]), (&json!("3.0.2"), &json!("no")));
}

#[tokio::test]
async fn id_prefix_separates_components_from_devices() {
    let store: Arc<dyn ResourceStore> = Arc::new(Memory::new());
    let options = Options::default().ids(IdPolicy::Prefix("dc-".to_owned()));
    let server = Server::new(TenantResources::new(store, "ward".parse().unwrap()), BASE).with_conversion(options);
    let stu3 = [("Content-Type", "application/fhir+json")];
    let device = r#"{"resourceType":"Device","id":"x","model":"P9"}"#;
    let component = r#"{"resourceType":"DeviceComponent","id":"x","identifier":{"value":"1"},"type":{"text":"a"},"source":{"reference":"Device/x"}}"#;
    assert_eq!(send(&server, "PUT Device/x", &stu3, device).await.status, 201);
    assert_eq!(send(&server, "PUT DeviceComponent/x", &stu3, component).await.status, 201);
    let shown = send(&server, "GET Device/dc-x", &[("Accept", R4)], "").await;
    assert_eq!(json(&shown)["id"], "dc-x", "{}", text(&shown));
    assert_eq!(json(&send(&server, "GET Device/x", &[("Accept", R4)], "").await)["modelNumber"], "P9");
    let answer = send(&server, "PUT Device/dc-x", &[("Content-Type", R4)], &text(&shown)).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"2\"")), "{}", text(&answer));
    let page = send(&server, "GET DeviceComponent?_include=DeviceComponent:source", &[("Accept", R4)], "").await;
    let urls: Vec<_> = json(&page)["entry"].as_array().unwrap().iter().map(|one| one["fullUrl"].clone()).collect();
    assert_eq!(urls, [format!("{BASE}/Device/dc-x"), format!("{BASE}/Device/x")]);
}

/// Returns the ids on all pages of a search, and the totals on them.
async fn found(client: &Client, url: &str, mime: &str) -> (Vec<String>, Vec<Value>) {
    let (mut ids, mut totals, mut next) = (Vec::new(), Vec::new(), Some(url.to_owned()));
    while let Some(url) = next {
        let answer = send(&client.0, &format!("GET {url}"), &[("Accept", mime)], "").await;
        assert_eq!(answer.status, 200, "{url}: {}", text(&answer));
        let page = json(&answer);
        let entries = page["entry"].as_array().cloned().unwrap_or_default();
        ids.extend(entries.iter().map(|entry| {
            assert_ne!(entry["resource"]["resourceType"], "DeviceComponent");
            entry["resource"]["id"].as_str().unwrap_or_default().to_owned()
        }));
        totals.push(page["total"].clone());
        let link = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
        next = link
            .map(|link| link["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned());
        assert!(ids.len() < 20 && totals.len() < 20, "{ids:?}");
    }
    (ids, totals)
}

#[tokio::test]
async fn searches_take_the_terms_of_their_version() {
    let client = ward().await;
    for (_, mime) in OTHERS {
        for (url, wanted) in [
            ("Device?model=p9", vec!["pump"]),
            ("Device?_tag=https://a.example/CodeSystem/stu3-type%7CDeviceComponent", vec!["mds", "vmd"]),
            ("Device?_tag=DeviceComponent&_count=1", vec!["mds", "vmd"]),
            ("Device?_tag:not=DeviceComponent&_sort=-_id", vec!["pump"]),
            ("Device?parent=Device/mds", vec!["vmd"]),
            ("Device?parent:Device=mds", vec!["vmd"]),
            ("DeviceMetric?parent=Device/vmd", vec!["flow"]),
            ("DeviceMetric?parent:Device=vmd&source=Device/pump", vec!["flow"]),
            ("DeviceMetric?_include=DeviceMetric:parent:Device", vec!["flow", "vmd"]),
            ("Device?_tag=DeviceComponent&_id=vmd&_include=Device:parent", vec!["vmd", "mds"]),
        ] {
            let (ids, totals) = found(&client, url, mime).await;
            assert_eq!(ids, wanted, "{url}");
            let matches = if url.contains("_include") { 1 } else { wanted.len() };
            assert!(totals.iter().all(|total| total.is_null() || *total == matches), "{url}: {totals:?}");
        }
        for (url, names) in [("DeviceMetric?device=Device/vmd", "`parent` or `source`")] {
            let refused = send(&client.0, &format!("GET {url}"), &[("Accept", mime)], "").await;
            assert_eq!(refused.status, 400, "{url}");
            assert!(text(&refused).contains(names), "{url}: {}", text(&refused));
        }
    }
}
