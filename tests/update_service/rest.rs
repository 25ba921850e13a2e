//! The FHIR interface.

use super::client::{Reply, Service};
use fhir_devices::{Bundle, Validate};
use serde_json::{Value, json};

const PUMP: &str = "/demo/fhir/Device/infusion-pump-7";

/// Returns the ids that a search finds, over all pages, and the total on each page.
async fn found(service: &Service, query: &str) -> Vec<String> {
    let mut path = format!("/demo/fhir/{query}");
    let mut ids = Vec::new();
    loop {
        let reply = service.get(&path).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let bundle = page(&reply);
        ids.extend(bundle["entry"].as_array().into_iter().flatten().map(|entry| {
            assert_eq!(entry["search"]["mode"], "match");
            let id = entry["resource"]["id"].as_str().unwrap().to_owned();
            assert!(entry["fullUrl"].as_str().unwrap().ends_with(&id));
            id
        }));
        match link(&bundle, "next") {
            Some(next) => path = next.strip_prefix(&format!("http://{}", service.address)).unwrap().to_owned(),
            None => {
                assert_eq!(bundle["total"], ids.len(), "{query}");
                return ids;
            }
        }
    }
}

fn page(reply: &Reply) -> Value {
    let bundle = Bundle::from_json(&reply.body).unwrap();
    assert!(bundle.validate().is_empty(), "{}", bundle.validate());
    reply.json()
}

fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    links.iter().find(|link| link["relation"] == relation).map(|link| link["url"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn read_has_an_etag_and_supports_304() {
    let service = Service::start().await;
    let reply = service.get(PUMP).await;
    assert_eq!((reply.status, reply.header("etag")), (200, Some("W/\"1\"")));
    assert_eq!(reply.header("content-type"), Some("application/fhir+json; charset=utf-8"));
    assert!(reply.header("last-modified").is_some());
    assert_eq!(reply.json()["meta"]["versionId"], "1");
    for tag in ["W/\"1\"", "\"1\"", "\"0\", W/\"1\"", "*"] {
        let known = service.send("GET", PUMP, &[("If-None-Match", tag)], b"").await;
        assert_eq!((known.status, known.body.len()), (304, 0), "{tag}");
    }
    assert_eq!(service.send("GET", PUMP, &[("If-None-Match", "W/\"2\"")], b"").await.status, 200);
    assert_eq!(service.send("HEAD", PUMP, &[], b"").await.status, 200);
    assert_eq!(service.get(&format!("{PUMP}/_history/1")).await.body, reply.body);
    for (path, rule) in [
        ("/demo/fhir/Device/nobody", "not-found"),
        ("/other/fhir/Device/infusion-pump-7", "not-found"),
        ("/demo/fhir/Device/infusion-pump-7/_history/2", "not-found"),
        ("/demo/fhir/Device/infusion-pump-7/_history/x", "not-found"),
        ("/demo/fhir/Patient/p", "resource-type"),
        ("/demo/fhir/Gadget/p", "not-found"),
        ("/demo/fhir/Device/p/q", "not-found"),
        ("/nowhere", "not-found"),
        ("/UPPER/fhir/Device/p", "not-found"),
        ("/demo/fhir/Device/%00%ff", "path"),
    ] {
        let reply = service.get(path).await;
        let status = if rule == "path" { 400 } else { 404 };
        assert_eq!(reply.refusal(status).0, rule, "{path}");
    }
    assert_eq!(service.get("/demo/fhir/Device/a_b").await.refusal(400).0, "id");
}

#[tokio::test]
async fn write_with_or_without_if_match() {
    let service = Service::start().await;
    let path = "/ward/fhir/Device/d1";
    let body = |model: &str| {
        json!({"resourceType": "Device", "id": "d1", "model": model, "meta": {"versionId": "77"}}).to_string()
    };
    assert_eq!(
        service.json("PUT", path, &[("If-Match", "W/\"1\"")], &body("0")).await.refusal(409).0,
        "version-conflict"
    );
    assert_eq!(service.json("PUT", path, &[("If-Match", "*")], &body("0")).await.refusal(409).0, "version-conflict");
    let made = service.json("PUT", path, &[], &body("1")).await;
    assert_eq!((made.status, made.header("etag")), (201, Some("W/\"1\"")));
    assert_eq!(made.header("location"), Some("/ward/fhir/Device/d1/_history/1"));
    assert_eq!(service.get(path).await.body, made.body);
    let changed = service.json("PUT", path, &[("If-Match", "W/\"1\"")], &body("2")).await;
    assert_eq!((changed.status, changed.json()["meta"]["versionId"].as_str()), (200, Some("2")));
    for tag in ["W/\"1\"", "\"1\"", "W/\"9\"", "W/\"abc\""] {
        let late = service.json("PUT", path, &[("If-Match", tag)], &body("3")).await;
        assert_eq!(late.refusal(409).0, "version-conflict", "{tag}");
    }
    assert_eq!(service.json("PUT", path, &[("If-Match", "2")], &body("3")).await.refusal(400).0, "if-match");
    assert_eq!(service.json("PUT", path, &[], &body("4")).await.status, 200);
    assert_eq!(service.send("DELETE", path, &[("If-Match", "W/\"1\"")], b"").await.refusal(409).0, "version-conflict");
    assert_eq!(service.send("DELETE", path, &[("If-Match", "W/\"3\"")], b"").await.status, 204);
    assert_eq!(service.send("DELETE", path, &[], b"").await.status, 204);
    assert_eq!(service.send("DELETE", "/ward/fhir/Device/never", &[], b"").await.status, 204);
    assert_eq!(service.get(path).await.refusal(410).0, "deleted");
    service.get(&format!("{path}/_history/4")).await.refusal(410);
    assert_eq!(service.get(&format!("{path}/_history/3")).await.json()["model"], "4");
    assert_eq!(service.json("PUT", path, &[], &body("5")).await.status, 201);
    let quiet = service.json("PUT", path, &[("Prefer", "return=minimal")], &body("6")).await;
    assert_eq!((quiet.status, quiet.body.len()), (200, 0));
    let told = service.json("PUT", path, &[("Prefer", "return=OperationOutcome")], &body("6")).await;
    assert_eq!(told.json()["issue"][0]["severity"], "information");
}

#[tokio::test]
async fn invalid_document_is_refused_with_every_issue() {
    let service = Service::start().await;
    let body = r#"{"resourceType":"Device","id":"d1","status":"gone","wings":2,"contact":[{"value":"+1"}]}"#;
    let reply = service.json("PUT", "/ward/fhir/Device/d1", &[], body).await;
    reply.refusal(400);
    let issues = reply.json()["issue"].as_array().unwrap().clone();
    let places: Vec<_> = issues.iter().map(|issue| issue["expression"][0].as_str().unwrap()).collect();
    assert_eq!(places, ["Device.status", "Device.wings", "Device.contact[0].system"]);
    for (path, body, rule) in [
        ("Device/d1", r#"{"resourceType":"Device","id":"d2"}"#, "id"),
        ("Device/d1", r#"{"resourceType":"Device"}"#, "id"),
        ("Device/d1", r#"{"resourceType":"Patient","id":"d1"}"#, "resource-type"),
        ("Device/d1", "{", "json"),
        ("Device/d1", "", "json"),
    ] {
        let reply = service.json("PUT", &format!("/ward/fhir/{path}"), &[], body).await;
        assert_eq!(reply.refusal(400).0, rule, "{body}");
    }
    let large = format!(r#"{{"resourceType":"Device","id":"d1","model":"{}"}}"#, "x".repeat(5 << 20));
    assert_eq!(service.json("PUT", "/ward/fhir/Device/d1", &[], &large).await.refusal(413).0, "too-large");
    assert_eq!(service.get("/ward/fhir/Device").await.json()["total"], 0);
}

#[tokio::test]
async fn create_assigns_an_id_and_honours_if_none_exist() {
    let service = Service::start().await;
    let body = r#"{"resourceType":"Device","id":"mine","identifier":[{"system":"urn:x:sn","value":"A,1"}]}"#;
    let made = service.json("POST", "/ward/fhir/Device", &[], body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, "mine");
    assert_eq!(made.header("location"), Some(format!("/ward/fhir/Device/{id}/_history/1").as_str()));
    let once = [("If-None-Exist", r"identifier=urn:x:sn|A\,1")];
    let same = service.json("POST", "/ward/fhir/Device", &once, body).await;
    assert_eq!((same.status, same.json()["id"].as_str()), (200, Some(id.as_str())));
    let other = [("If-None-Exist", "identifier=urn:x:sn|B2")];
    assert_eq!(service.json("POST", "/ward/fhir/Device", &other, body).await.refusal(412).0, "if-none-exist");
    assert_eq!(service.json("POST", "/ward/fhir/Device", &[], body).await.status, 201);
    assert_eq!(service.json("POST", "/ward/fhir/Device", &once, body).await.refusal(412).0, "if-none-exist");
    let empty = [("If-None-Exist", "")];
    assert_eq!(service.json("POST", "/ward/fhir/Device", &empty, body).await.refusal(400).0, "if-none-exist");
    let wrong = [("If-None-Exist", "serial=1")];
    assert_eq!(service.json("POST", "/ward/fhir/Device", &wrong, body).await.refusal(400).0, "search-parameter");
    assert_eq!(service.get("/ward/fhir/Device").await.json()["total"], 2);
}

#[tokio::test]
async fn concurrent_conditional_creates_make_one_resource() {
    let service = std::sync::Arc::new(Service::start().await);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                let body = r#"{"resourceType":"Device","identifier":[{"system":"urn:x","value":"1"}]}"#;
                service.json("POST", "/ward/fhir/Device", &[("If-None-Exist", "identifier=urn:x|1")], body).await.status
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += u32::from(task.await.unwrap() == 201);
    }
    assert_eq!((made, service.get("/ward/fhir/Device").await.json()["total"].as_u64()), (1, Some(1)));
}

#[tokio::test]
async fn each_search_parameter_works() {
    let service = Service::start().await;
    let rich = json!({
        "resourceType": "Device", "id": "Rich",
        "meta": {"tag": [{"system": "urn:t", "code": "Loan"}], "profile": ["http://x/p"]},
        "identifier": [{"system": "urn:sn", "value": "AbC|1"}],
        "udi": {"deviceIdentifier": "0950400", "name": "Évita", "carrierHRF": "(01)0950400"},
        "status": "inactive", "manufacturer": "Dräger, Lübeck", "model": "V-500",
        "type": {"coding": [{"system": "urn:m", "code": "Vent", "display": "Ventilator"}], "text": "Beatmung"},
        "patient": {"reference": "Patient/p1"}, "owner": {"reference": "http://other/fhir/Organization/o1"},
        "location": {"reference": format!("http://{}/demo/fhir/Location/l1", service.address)},
        "url": "urn:oid:1.2",
    });
    let put = service.json("PUT", "/demo/fhir/Device/Rich", &[], &rich.to_string()).await;
    assert_eq!(put.status, 201, "{}", put.text());
    for query in [
        "Device?_id=Rich",
        "Device?_id=x,Rich",
        "Device?identifier=urn:sn|abc\\|1",
        "Device?identifier=ABC\\|1",
        "Device?identifier=urn:sn|",
        "Device?status=INACTIVE",
        "Device?status=http://hl7.org/fhir/device-status|inactive",
        "Device?status:not=active",
        "Device?manufacturer=drager\\, lub",
        "Device?manufacturer:contains=LUBECK",
        "Device?manufacturer:exact=Dräger\\, Lübeck",
        "Device?model=v-5",
        "Device?device-name=evita",
        "Device?device-name=ventil",
        "Device?device-name=BEATMUNG",
        "Device?udi-di=0950400&status=inactive",
        "Device?udi-carrier=(01)0950400&model=V",
        "Device?type=urn:m|vent",
        "Device?type:text=beat",
        "Device?patient=p1",
        "Device?patient=Patient/p1",
        "Device?patient:Patient=p1",
        "Device?patient:missing=false",
        "Device?organization=http://other/fhir/Organization/o1",
        "Device?location=l1",
        "Device?location=Location/l1",
        "Device?url=urn:oid:1.2",
        "Device?_tag=urn:t|loan",
        "Device?_profile=http://x/p",
        "Device?status=inactive&model=",
        "Device?status=inactive,unknown",
    ] {
        assert_eq!(found(&service, &query.replace(' ', "%20")).await, ["Rich"], "{query}");
    }
    for query in [
        "Device?_id=rich",
        "Device?identifier=|abc\\|1",
        "Device?manufacturer:exact=dräger\\, lübeck",
        "Device?model=500",
        "Device?organization=o1",
        "Device?url=URN:OID:1.2",
        "Device?status=active&model=V-500",
        "Device?patient=p",
        "Device?_lastUpdated=lt2020",
        "Device?type=Vent|",
    ] {
        assert_eq!(found(&service, &query.replace(' ', "%20")).await, [""; 0], "{query}");
    }
    let all = ["Rich", "infusion-pump-7", "pulse-oximeter-3"];
    for query in [
        "Device",
        "Device?_lastUpdated=gt2020",
        "Device?_lastUpdated=ge2020-01-01&_lastUpdated=lt9999",
        "Device?_format=json",
    ] {
        assert_eq!(found(&service, query).await, all, "{query}");
    }
    assert_eq!(found(&service, "Device?patient:missing=true").await, all[1..]);
    let metrics = ["pump-lvp-delivery-status", "pump-lvp-flow"];
    let base = format!("http://{}/demo/fhir", service.address);
    for query in [
        "DeviceMetric?parent=pump-lvp-delivery".to_owned(),
        "DeviceMetric?parent=DeviceComponent/pump-lvp-delivery&source=infusion-pump-7".to_owned(),
        format!("DeviceMetric?parent={base}/DeviceComponent/pump-lvp-delivery"),
        "DeviceMetric?type=urn:iso:std:iso:11073:10101|158014,158005".to_owned(),
    ] {
        assert_eq!(found(&service, &query).await, metrics, "{query}");
    }
    assert_eq!(
        found(&service, "DeviceMetric?category=setting,measurement&source=Device/infusion-pump-7").await,
        ["pump-lvp-flow"]
    );
    assert_eq!(found(&service, "DeviceComponent?identifier=urn:example:acme:handle|1.2").await, ["pump-syringe"]);
    assert_eq!(found(&service, "DeviceComponent?type=70050").await, ["pump-lvp"]);
    assert_eq!(found(&service, "DeviceComponent?parent:missing=true").await, ["oximeter-mds", "pump-mds"]);
}

#[tokio::test]
async fn search_is_paged_by_links() {
    let service = Service::start().await;
    for count in 1..=10 {
        let ids = found(&service, &format!("DeviceComponent?_count={count}")).await;
        assert_eq!(ids.len(), 9, "{count}");
        assert!(ids.is_sorted());
    }
    let first = service.get("/demo/fhir/DeviceComponent?source=infusion-pump-7&_count=4").await;
    let bundle = page(&first);
    assert_eq!((bundle["total"].as_u64(), bundle["entry"].as_array().unwrap().len()), (Some(6), 4));
    let own = link(&bundle, "self").unwrap();
    assert!(own.ends_with("/demo/fhir/DeviceComponent?source=infusion-pump-7&_count=4"), "{own}");
    // What is behind a page stays there, whatever comes or goes before it.
    service.send("DELETE", "/demo/fhir/DeviceComponent/pump-lvp", &[], b"").await;
    let next = link(&bundle, "next").unwrap();
    let second =
        page(&service.get(next.split_once("/demo").map(|(_, path)| format!("/demo{path}")).unwrap().as_str()).await);
    // The total of the last page is what the client has been shown.
    assert_eq!((second["total"].as_u64(), second["entry"].as_array().unwrap().len()), (Some(6), 2));
    assert_eq!(link(&second, "next"), None);
    for query in ["_count=0", "_summary=count"] {
        let counted = page(&service.get(&format!("/demo/fhir/DeviceComponent?{query}")).await);
        assert_eq!((counted["total"].as_u64(), counted.get("entry")), (Some(8), None));
        assert_eq!(link(&counted, "next"), None);
    }
    let posted = service
        .send(
            "POST",
            "/demo/fhir/DeviceMetric/_search?_count=1",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"category=measurement",
        )
        .await;
    assert_eq!((posted.status, page(&posted)["total"].as_u64()), (200, Some(2)));
}

#[tokio::test]
async fn unsupported_search_is_refused() {
    let service = Service::start().await;
    for (query, rule) in [
        ("colour=red", "search-parameter"),
        ("source=d", "search-parameter"),
        ("_include=Device:patient", "search-include"),
        ("_include=Patient:*", "search-include"),
        ("_revinclude=DeviceComponent:parent:Device", "search-include"),
        ("_revinclude:often=DeviceComponent:source", "search-modifier"),
        ("_sort=colour", "search-parameter"),
        ("_summary=short", "search-value"),
        ("_total=some", "search-value"),
        ("_page=x", "page"),
        ("_page=v1.AAAA", "page"),
        ("patient.name=x", "search-parameter"),
        ("_has:DeviceMetric:parent:type=x", "search-parameter"),
        ("_content=x", "search-parameter"),
        ("url:contains=x", "search-modifier"),
        ("_id:text=x", "search-modifier"),
        ("model:phonetic=x", "search-modifier"),
        ("patient:Device=x", "search-modifier"),
        ("status:in=x", "search-modifier"),
        ("identifier=a|b|c", "search-value"),
        ("identifier=,", "search-value"),
        ("identifier=%5C", "search-value"),
        ("patient:missing=perhaps", "search-value"),
        ("_lastUpdated=yesterday", "search-value"),
        ("_lastUpdated=2017-05-26Té", "search-value"),
        ("_count=-1", "search-value"),
        ("_count=many", "search-value"),
    ] {
        let strict = [("Prefer", "handling=strict")];
        let reply = service.send("GET", &format!("/demo/fhir/Device?{query}"), &strict, b"").await;
        assert_eq!(reply.refusal(400).0, rule, "{query}");
    }
    let lenient = service.send("GET", "/demo/fhir/Device?colour=red", &[("Prefer", "handling=lenient")], b"").await;
    assert_eq!(page(&lenient)["total"], 2);
    assert!(!link(&page(&lenient), "self").unwrap().contains("colour"));
}

#[tokio::test]
async fn only_formats_of_resources_are_accepted() {
    let service = Service::start().await;
    for accept in [
        "application/fhir+json",
        "application/json;q=0.5",
        "text/html, */*;q=0.1",
        "application/xml, application/json+fhir",
    ] {
        assert_eq!(service.send("GET", PUMP, &[("Accept", accept)], b"").await.status, 200, "{accept}");
    }
    // XML needs its feature.
    let xml = ["application/fhir+xml", "application/json;q=0, application/xml"]
        .into_iter()
        .filter(|_| !cfg!(feature = "xml"));
    for accept in xml.chain(["text/html"]) {
        assert_eq!(service.send("GET", PUMP, &[("Accept", accept)], b"").await.refusal(406).0, "format");
    }
    let xml = service.get(&format!("{PUMP}?_format=xml")).await.status;
    assert_eq!(xml, if cfg!(feature = "xml") { 200 } else { 406 });
    assert_eq!(service.get(&format!("{PUMP}?_format=ttl")).await.refusal(406).0, "format");
    assert_eq!(service.get(&format!("{PUMP}?_format=application/fhir+json")).await.status, 200);
    for kind in ["text/turtle", "text/plain", "application/x-www-form-urlencoded"] {
        let reply = service.send("PUT", PUMP, &[("Content-Type", kind)], b"<Device/>").await;
        assert_eq!(reply.refusal(415).0, "content-type", "{kind}");
    }
    assert_eq!(service.send("PUT", PUMP, &[], b"{}").await.refusal(415).0, "content-type");
}

#[tokio::test]
async fn unsupported_interaction_is_reported() {
    let service = Service::start().await;
    for (method, path) in [
        ("GET", "/demo/fhir/Device/x/$everything"),
        ("GET", "/demo/fhir/$graphql"),
        ("POST", "/demo/fhir/Device/$expunge"),
        ("POST", "/demo/fhir/$validate"),
    ] {
        assert_eq!(service.json(method, path, &[], "{}").await.refusal(501).0, "interaction", "{path}");
    }
    for method in ["PUT", "DELETE"] {
        let reply = service.json(method, "/demo/fhir/Device", &[], r#"{"resourceType":"Device"}"#).await;
        assert_eq!(reply.refusal(400).0, "conditional");
    }
    assert_eq!(service.json("POST", PUMP, &[], "{}").await.refusal(405).0, "method");
    assert_eq!(service.send("PUT", "/demo/updates", &[], b"").await.refusal(405).0, "method");
}

#[tokio::test]
async fn capability_statement_lists_what_works() {
    let service = Service::start().await;
    let reply = service.get("/demo/fhir/metadata").await;
    let statement = reply.json();
    assert_eq!(
        (reply.status, statement["fhirVersion"].as_str(), statement["kind"].as_str()),
        (200, Some("3.0.2"), Some("instance"))
    );
    assert!(fhir_devices::Resource::from_json(&reply.body).is_ok());
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert_eq!(resources.len(), 3);
    for resource in resources {
        let kind = resource["type"].as_str().unwrap();
        for param in resource["searchParam"].as_array().unwrap() {
            let (name, of) = (param["name"].as_str().unwrap(), param["type"].as_str().unwrap());
            let value = if of == "date" { "2017" } else { "x" };
            let reply = service.get(&format!("/demo/fhir/{kind}?{name}={value}")).await;
            assert_eq!(reply.status, 200, "{kind}.{name}");
        }
        for (list, asked) in [("searchInclude", "_include"), ("searchRevInclude", "_revinclude")] {
            for value in resource[list].as_array().into_iter().flatten() {
                let query = format!("/demo/fhir/{kind}?{asked}={}&_count=1", value.as_str().unwrap());
                let (mut path, mut included) = (Some(query.clone()), false);
                while let Some(next) = path {
                    let reply = service.get(&next).await;
                    included |= reply.text().contains(r#""mode":"include""#);
                    let base = format!("http://{}", service.address);
                    path = link(&page(&reply), "next").map(|next| next.strip_prefix(&base).unwrap().to_owned());
                }
                assert!(included, "{query}");
            }
        }
    }
}

#[tokio::test]
async fn cross_origin_and_foreign_hosts_are_refused() {
    let service = Service::start().await;
    let host = service.address.to_string();
    for headers in [
        [("Host", "evil.example"), ("X", "y")],
        [("Host", host.as_str()), ("Origin", "http://evil.example")],
        [("Host", host.as_str()), ("Origin", "null")],
        [("Host", "localhost:80"), ("Origin", "http://localhost:3000")],
    ] {
        assert_eq!(service.send("GET", PUMP, &headers, b"").await.refusal(403).0, "local-only");
    }
    let local = [("Host", "localhost:80"), ("Origin", "http://localhost")];
    assert_eq!(service.send("GET", PUMP, &local, b"").await.status, 200);
}

#[tokio::test]
async fn patch_works_over_http() {
    let service = Service::start().await;
    let kind = ("Content-Type", "application/json-patch+json");
    let patch = br#"[{"op":"replace","path":"/model","value":"P10"}]"#;
    let reply = service.send("PATCH", PUMP, &[kind, ("If-Match", "W/\"1\"")], patch).await;
    assert_eq!((reply.status, reply.header("etag")), (200, Some("W/\"2\"")), "{}", reply.text());
    assert_eq!(reply.json()["model"], "P10");
    assert_eq!(service.send("PATCH", PUMP, &[kind, ("If-Match", "W/\"1\"")], patch).await.status, 409);
    let wrong = service.send("PATCH", PUMP, &[("Content-Type", "application/fhir+json")], patch).await;
    assert_eq!((wrong.status, wrong.header("accept-patch")), (415, Some("application/json-patch+json")));
    let absent = br#"[{"op":"remove","path":"/contact/0"}]"#;
    let refused = service.send("PATCH", PUMP, &[kind], absent).await;
    assert_eq!(
        (refused.status, refused.json()["issue"][0]["expression"][0].as_str()),
        (422, Some("Device.contact[0]"))
    );
    let metrics = service.get("/metrics").await;
    assert!(metrics.text().contains(r#"kind="fhir",method="PATCH",status="2xx"} 1"#), "{}", metrics.text());
}

#[tokio::test]
async fn r4_client_reads_searches_and_writes_over_http() {
    let service = Service::start().await;
    let r4 = "application/fhir+json; fhirVersion=4.0";
    let said = format!("{r4}; charset=utf-8");
    let list = service.send("GET", "/demo/fhir/DeviceComponent?_count=1", &[("Accept", r4)], b"").await;
    assert_eq!((list.status, list.header("content-type"), list.header("vary")), (200, Some(&*said), Some("Accept")));
    let next = link(&list.json(), "next").unwrap();
    let next = service.get(next.strip_prefix(&format!("http://{}", service.address)).unwrap()).await;
    assert_eq!(next.header("content-type"), Some(&*said), "{}", next.text());
    let id = list.json()["entry"][0]["resource"]["id"].as_str().unwrap().to_owned();
    let path = format!("/demo/fhir/Device/{id}");
    let shown = service.send("GET", &path, &[("Accept", r4)], b"").await;
    assert_eq!((shown.status, shown.json()["resourceType"].as_str()), (200, Some("Device")), "{}", shown.text());

    let mut changed = shown.json();
    changed["serialNumber"] = json!("S-4711");
    let headers = [("Content-Type", r4), ("If-Match", shown.header("etag").unwrap())];
    let put = service.send("PUT", &path, &headers, changed.to_string().as_bytes()).await;
    assert_eq!((put.status, put.header("content-type")), (200, Some(&*said)), "{}", put.text());
    let stored = service.get(&format!("/demo/fhir/DeviceComponent/{id}")).await;
    assert_eq!(stored.header("content-type"), Some("application/fhir+json; charset=utf-8"));
    assert!(stored.text().contains("S-4711"), "{}", stored.text());
    let again = service.send("PUT", &path, &headers, changed.to_string().as_bytes()).await;
    assert_eq!(again.status, 409, "{}", again.text());

    for (method, headers, status) in [
        ("GET", [("Accept", "application/fhir+json; fhirVersion=1.0")], 406),
        ("PUT", [("Content-Type", "application/fhir+json; fhirVersion=1.0")], 415),
    ] {
        assert!(!service.send(method, &path, &headers, b"{}").await.refusal(status).0.is_empty());
    }
    let metadata = service.send("GET", "/demo/fhir/metadata", &[("Accept", r4)], b"").await;
    assert_eq!(metadata.json()["fhirVersion"], "4.0.1");
}

#[cfg(feature = "xml")]
#[tokio::test]
async fn resources_are_served_in_xml() {
    use fhir_devices::{Device, OperationOutcome};
    let service = Service::start().await;
    let xml = [("Content-Type", "application/fhir+xml"), ("Accept", "application/fhir+xml")];
    let is_xml = |reply: &Reply| reply.header("content-type") == Some("application/fhir+xml; charset=utf-8");
    let device =
        |inner: &str| format!("<Device xmlns=\"http://hl7.org/fhir\">{inner}<model value=\"X &amp; Y\"/></Device>");

    let made = service.send("PUT", "/demo/fhir/Device/x", &xml, device("<id value=\"x\"/>").as_bytes()).await;
    assert_eq!((made.status, is_xml(&made)), (201, true), "{}", made.text());
    let made = service.send("POST", "/demo/fhir/Device", &xml, device("").as_bytes()).await;
    assert_eq!((made.status, is_xml(&made)), (201, true), "{}", made.text());
    for (headers, path) in [(&xml[1..], "/demo/fhir/Device/x"), (&[], "/demo/fhir/Device/x?_format=xml")] {
        let reply = service.send("GET", path, headers, b"").await;
        assert!(reply.status == 200 && is_xml(&reply), "{}", reply.text());
        let read = Device::from_xml(&reply.body).unwrap();
        assert_eq!(read.model.unwrap().get().unwrap(), "X & Y");
    }
    // It is kept as its JSON.
    assert_eq!(service.get("/demo/fhir/Device/x").await.json()["model"], "X & Y");
    let found = service.get("/demo/fhir/Device?model=X%20%26&_format=application/xml%2Bfhir").await;
    assert!(found.status == 200 && is_xml(&found), "{}", found.text());
    assert_eq!(Bundle::from_xml(&found.body).unwrap().entry.len(), 2);

    // Operations take a resource, and Parameters with one in them.
    let parameters = format!(
        "<Parameters xmlns=\"http://hl7.org/fhir\"><parameter><name value=\"resource\"/><resource>{}</resource></parameter></Parameters>",
        device("")
    );
    for body in [device(""), parameters] {
        let reply = service.send("POST", "/demo/fhir/Device/$validate", &xml, body.as_bytes()).await;
        assert!(reply.status == 200 && is_xml(&reply), "{}", reply.text());
        let outcome = OperationOutcome::from_xml(&reply.body).unwrap();
        assert_eq!(outcome.issue.len(), 1, "{}", reply.text());
    }
    // A fault within Parameters is found at its place.
    let parameters = format!(
        "<Parameters xmlns=\"http://hl7.org/fhir\"><parameter><name value=\"resource\"/><resource>{}</resource></parameter></Parameters>",
        device("<status value=\"gone\"/>")
    );
    let reply = service.send("POST", "/demo/fhir/Device/$validate", &xml, parameters.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert!(OperationOutcome::from_xml(&reply.body).unwrap().to_json().contains(r#""expression":["Device.status"]"#));
    let tag = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="meta"/><valueMeta><tag><code value="ward-3"/></tag></valueMeta></parameter></Parameters>"#;
    let reply = service.send("POST", "/demo/fhir/Device/x/$meta-add", &xml, tag.as_bytes()).await;
    assert!(reply.status == 200 && is_xml(&reply), "{}", reply.text());
    assert_eq!(service.get("/demo/fhir/Device/x").await.json()["meta"]["tag"][0]["code"], "ward-3");
    let wrong = device("<status value=\"gone\"/>");
    let refused = service.send("POST", "/demo/fhir/Device", &xml, wrong.as_bytes()).await;
    assert!(refused.status == 400 && is_xml(&refused), "{}", refused.text());
    assert!(OperationOutcome::from_xml(&refused.body).unwrap().to_json().contains(r#""expression":["Device.status"]"#));
}
