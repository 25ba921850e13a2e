//! Chained conditions, sort orders, and searches of all types.

use super::client::{BASE, Client, json, link, modes};
use serde_json::{Value, json};

fn device(id: &str, model: &str) -> Value {
    json!({"resourceType": "Device", "id": id, "model": model, "url": format!("http://net.example/{model}/{id}"),
        "identifier": [{"system": "urn:sn", "value": id}], "meta": {"profile": ["http://net.example/p/a"]}})
}

fn part(kind: &str, id: &str, code: &str, source: &str, parent: Option<&str>) -> Value {
    let mut part = json!({"resourceType": kind, "id": id, "identifier": {"system": "urn:h", "value": id},
        "type": {"coding": [{"system": "urn:c", "code": code}]}, "source": {"reference": source}});
    if kind == "DeviceMetric" {
        part["category"] = "measurement".into();
    }
    if let Some(parent) = parent {
        part["parent"] = json!({"reference": parent});
    }
    part
}

/// Three pumps and two monitors, each with an MDS, a VMD below it and a metric below that.
async fn ward() -> Client {
    let client = Client::new();
    for (at, model) in ["pump", "pump", "pump", "monitor", "monitor"].into_iter().enumerate() {
        let source = if at == 1 { format!("{BASE}/Device/d{at}") } else { format!("Device/d{at}") };
        client.put(&device(&format!("d{at}"), model)).await;
        let (mds, vmd) = (format!("mds{at}"), format!("vmd{at}"));
        client.put(&part("DeviceComponent", &mds, "mds", &source, None)).await;
        client.put(&part("DeviceComponent", &vmd, "vmd", &source, Some(&format!("DeviceComponent/{mds}")))).await;
        let parent = format!("DeviceComponent/{vmd}");
        client.put(&part("DeviceMetric", &format!("m{at}"), "flow", &source, Some(&parent))).await;
    }
    client
}

#[tokio::test]
async fn chain_goes_over_references_to_the_depth_of_the_types() {
    let client = ward().await;
    for (url, found) in [
        ("DeviceComponent?source.identifier=urn:sn|d1", &["mds1", "vmd1"][..]),
        ("DeviceComponent?source:Device.model=monitor&type=vmd", &["vmd3", "vmd4"]),
        ("DeviceComponent?source.model:exact=pump&type=mds&_count=1", &["mds0", "mds1", "mds2"]),
        ("DeviceComponent?parent.type=mds", &["vmd0", "vmd1", "vmd2", "vmd3", "vmd4"]),
        ("DeviceComponent?parent:DeviceComponent.source.identifier=d2", &["vmd2"]),
        ("DeviceMetric?parent.parent.source.identifier=d4", &["m4"]),
        ("DeviceMetric?parent.parent.source.model:contains=onit", &["m3", "m4"]),
        ("DeviceMetric?parent.parent._id=mds0,mds1", &["m0", "m1"]),
        ("DeviceComponent?source.model:missing=true", &[]),
        ("DeviceComponent?source.identifier=urn:sn|none", &[]),
        ("Device?_has:DeviceComponent:source:type=vmd&model=pump&_count=2", &["d0", "d1", "d2"]),
        ("Device?_has:DeviceComponent:source:identifier=mds3", &["d3"]),
        ("Device?_has:DeviceMetric:source:parent.identifier=vmd1", &["d1"]),
        ("Device?_has:DeviceComponent:source:_has:DeviceMetric:parent:identifier=m4", &["d4"]),
        ("DeviceComponent?_has:DeviceMetric:parent:type=flow&source.model=monitor", &["vmd3", "vmd4"]),
    ] {
        assert_eq!(client.found(url).await, found, "{url}");
    }
    for (url, rule) in [
        ("Device?patient.name=x", "search-parameter"),
        ("DeviceComponent?source:Patient.name=x", "search-parameter"),
        ("DeviceComponent?source.colour=x", "search-parameter"),
        ("DeviceComponent?source.model:nearly=x", "search-modifier"),
        ("Device?_has:DeviceMetric:parent:type=x", "search-parameter"),
        ("Device?_has:DeviceComponent:source=x", "search-parameter"),
        ("DeviceComponent?parent.parent.parent.parent.parent.type=x", "search-parameter"),
    ] {
        assert_eq!(client.refused(&format!("GET {url}"), &[], "", 400).await, [rule], "{url}");
    }
    let body = part("DeviceComponent", "vmd1", "vmd", "Device/d1", None).to_string();
    let put = client.send("PUT DeviceComponent?source.identifier=urn:sn|d1&type=vmd", &[], &body);
    assert_eq!(put.await.header("location"), Some("/ward/fhir/DeviceComponent/vmd1/_history/2"));
}

#[tokio::test]
async fn chain_that_many_others_meet_is_checked_page_by_page() {
    let client = Client::new();
    let entry = |resource: Value| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    let mut entries = Vec::new();
    for at in 0..1_100 {
        let model = if at % 10 == 0 { "rare" } else { "usual" };
        entries.push(entry(device(&format!("d{at:04}"), model)));
        entries.push(entry(part("DeviceComponent", &format!("c{at:04}"), "mds", &format!("Device/d{at:04}"), None)));
    }
    for some in entries.chunks(800) {
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": some});
        assert_eq!(client.send("POST ", &[], &bundle.to_string()).await.status, 200);
    }
    // All of them have an identifier of the system, which is more than are looked up.
    let all = client.found("DeviceComponent?source.identifier=urn:sn|&_count=300").await;
    assert_eq!(all.len(), 1_100);
    assert_eq!(client.found("Device?_has:DeviceComponent:source:type=mds&_count=300").await.len(), 1_100);
    let rare = client.found("DeviceComponent?source.identifier=urn:sn|&source.model=rare&_count=40").await;
    assert_eq!((rare.len(), rare[1].as_str()), (110, "c0010"));
    let total = client.bundle("DeviceComponent?source.identifier=urn:sn|&_count=10&_total=accurate").await;
    assert_eq!(total["total"], 1_100);
    let total = client.bundle("DeviceComponent?source.identifier=urn:sn|&_count=10&_total=estimate").await;
    assert_eq!(total["total"], 1_100);
}

#[tokio::test]
async fn page_of_a_chain_leads_on_when_what_others_are_has_changed() {
    let client = ward().await;
    let first = client.bundle("DeviceComponent?source.model=pump&_count=2").await;
    assert_eq!(modes(&first, "match"), ["mds0", "mds1"]);
    client.put(&device("d2", "monitor")).await;
    let second = client.bundle(&link(&first, "next").unwrap()).await;
    assert_eq!(modes(&second, "match"), ["vmd0", "vmd1"]);
}

#[tokio::test]
async fn search_is_sorted_by_every_parameter() {
    let client = ward().await;
    client.put(&json!({"resourceType": "Device", "id": "bare"})).await;
    for (sort, found) in [
        ("model,-_id", &["d4", "d3", "d2", "d1", "d0", "bare"][..]),
        ("-model,_id", &["d0", "d1", "d2", "d3", "d4", "bare"]),
        ("-identifier", &["d4", "d3", "d2", "d1", "d0", "bare"]),
        ("model,-url", &["d4", "d3", "d2", "d1", "d0", "bare"]),
        ("-_id", &["d4", "d3", "d2", "d1", "d0", "bare"]),
        ("_lastUpdated", &["d0", "d1", "d2", "d3", "d4", "bare"]),
    ] {
        for count in [2, 50] {
            assert_eq!(client.found(&format!("Device?_sort={sort}&_count={count}")).await, found, "{sort}");
        }
    }
    assert_eq!(
        client.found("DeviceComponent?source.model=monitor&_sort=-type,-identifier").await,
        ["vmd4", "vmd3", "mds4", "mds3"]
    );
    let bundle = client.bundle("Device?_sort=colour,-_id").await;
    assert_eq!(modes(&bundle, "match").first().unwrap(), "d4");
    let strict = [("Prefer", "handling=strict")];
    assert_eq!(client.refused("GET Device?_sort=colour", &strict, "", 400).await, ["search-parameter"]);
    assert_eq!(client.refused("GET Device?_sort=model,type,url,_id,status", &[], "", 400).await, ["search-parameter"]);
}

#[tokio::test]
async fn pages_lead_back_and_forth() {
    let client = ward().await;
    for url in [
        "DeviceComponent?_count=3",
        "DeviceComponent?type=vmd,mds&source.model=pump,monitor&_count=3",
        "DeviceComponent?type:not=x&_count=3",
        "DeviceComponent?_sort=-identifier&_count=3",
    ] {
        let (mut pages, mut next) = (Vec::new(), url.to_owned());
        loop {
            let bundle = client.bundle(&next).await;
            pages.push((modes(&bundle, "match"), link(&bundle, "previous")));
            match link(&bundle, "next") {
                Some(link) => next = link,
                None => break,
            }
        }
        assert_eq!(pages.iter().map(|(ids, _)| ids.len()).collect::<Vec<_>>(), [3, 3, 3, 1], "{url}");
        assert_eq!(pages[0].1, None, "{url}");
        for at in 1..pages.len() {
            let mut back = pages[at].1.clone();
            for page in pages[..at].iter().rev() {
                let bundle = client.bundle(&back.unwrap()).await;
                assert_eq!(modes(&bundle, "match"), page.0, "{url}");
                assert!(link(&bundle, "next").is_some());
                back = link(&bundle, "previous");
            }
            assert_eq!(back, None, "{url}");
        }
    }
}

#[tokio::test]
async fn addresses_are_found_below_and_above_others() {
    let client = ward().await;
    for (query, found) in [
        ("url:below=http://net.example/pump", &["d0", "d1", "d2"][..]),
        ("url:below=http://net.example/monitor/d3", &["d3"]),
        ("url:below=http://net.example/Pump", &[]),
        ("url:above=http://net.example/pump/d1/port/7", &["d1"]),
        ("url:above=http://net.example/pump", &[]),
        ("_profile:below=http://net.example/p/&model=monitor", &["d3", "d4"]),
        ("_profile:above=http://net.example/p/a/b&model=monitor", &["d3", "d4"]),
    ] {
        assert_eq!(client.found(&format!("Device?{query}")).await, found, "{query}");
    }
}

#[tokio::test]
async fn all_includes_can_be_asked_for_at_once() {
    let client = ward().await;
    for (url, included) in [
        ("DeviceMetric?identifier=m0&_include=*", &["vmd0", "d0"][..]),
        ("DeviceMetric?identifier=m0&_include=DeviceMetric:*", &["vmd0", "d0"]),
        ("DeviceMetric?identifier=m0&_include:recurse=*", &["vmd0", "mds0", "d0"]),
        ("DeviceMetric?identifier=m0&_include=DeviceComponent:*", &[]),
        ("Device?_id=d0&_revinclude=*", &["mds0", "vmd0", "m0"]),
        ("Device?_id=d0&_revinclude=DeviceMetric:*", &["m0"]),
    ] {
        let mut found = modes(&client.bundle(url).await, "include");
        let mut wanted: Vec<String> = included.iter().map(|id| (*id).to_owned()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{url}");
    }
    assert_eq!(client.refused("GET Device?_include=Patient:*", &[], "", 400).await, ["search-include"]);
}

#[tokio::test]
async fn all_types_are_searched_at_once() {
    let client = ward().await;
    assert_eq!(client.bundle("?_id=d1,vmd1,m1,none").await["total"], 3);
    let bundle = client.bundle("?_id=d1,vmd1,m1&_type=Device,DeviceMetric&_elements=model").await;
    assert_eq!(modes(&bundle, "match"), ["d1", "m1"]);
    let (mut all, mut url) = (Vec::new(), "_search?_lastUpdated=ge2017&_count=6".to_owned());
    loop {
        let bundle = client.bundle(&url).await;
        all.extend(modes(&bundle, "match"));
        assert!(modes(&bundle, "match").len() <= 6);
        match link(&bundle, "next") {
            Some(next) => url = next,
            None => break,
        }
    }
    assert_eq!(all.len(), 20, "{all:?}");
    assert_eq!(client.bundle("?_count=5&_total=accurate").await["total"], 20);
    let bundle = client.bundle("?identifier=urn:h|mds1&type=mds&_type=DeviceComponent").await;
    assert_eq!(modes(&bundle, "match"), ["mds1"]);
    let bundle = client.bundle("?model=pump&_id=d1").await;
    assert_eq!((modes(&bundle, "match"), modes(&bundle, "outcome").len()), (vec!["d1".to_owned()], 1));
    let strict = [("Prefer", "handling=strict")];
    assert_eq!(client.refused("GET ?model=pump", &strict, "", 400).await, ["search-parameter"]);
    for url in ["?_type=Patient", "?_sort=_id", "?_text=x"] {
        assert_eq!(client.refused(&format!("GET {url}"), &[], "", 400).await, ["search-parameter"], "{url}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(json(&client.send("POST _search", &form, "_id=d1").await)["total"], 1);
}

#[tokio::test]
async fn resource_is_validated_and_not_written() {
    let client = ward().await;
    let good = device("d0", "pump");
    let parameters = |resource: &Value, mode: &str| {
        json!({"resourceType": "Parameters", "parameter": [
            {"name": "mode", "valueCode": mode}, {"name": "resource", "resource": resource}]})
        .to_string()
    };
    let severities = |outcome: &Value| -> Vec<String> {
        let issues = outcome["issue"].as_array().unwrap().iter();
        issues.map(|issue| issue["severity"].as_str().unwrap().to_owned()).collect()
    };
    for (path, body, wanted) in [
        ("Device/$validate", good.to_string(), "information"),
        ("Device/d0/$validate", good.to_string(), "information"),
        ("Device/$validate?mode=create", good.to_string(), "information"),
        ("Device/d0/$validate", parameters(&good, "update"), "information"),
        ("Device/d0/$validate", parameters(&good, "create"), "error"),
        ("Device/d1/$validate", parameters(&good, "update"), "error"),
        ("DeviceMetric/$validate", good.to_string(), "error"),
        ("Device/$validate", good.to_string().replace("\"model\"", "\"colour\""), "error"),
        ("Device/$validate?profile=http://other.example/p", good.to_string(), "warning"),
        ("Device/d0/$validate?mode=delete", String::new(), "warning"),
        ("DeviceMetric/m0/$validate?mode=delete", String::new(), "information"),
        ("Device/d0/$validate", String::new(), "information"),
    ] {
        let answer = client.send(&format!("POST {path}"), &[], &body).await;
        assert_eq!(answer.status, 200, "{path}");
        let outcome = json(&answer);
        assert_eq!(severities(&outcome).first().unwrap(), wanted, "{path}: {outcome}");
    }
    assert_eq!(client.refused("POST Device/$validate?mode=guess", &[], &good.to_string(), 400).await, ["mode"]);
    assert_eq!(client.refused("POST Device/$validate", &[], "", 400).await, ["resource"]);
    assert_eq!(client.bundle("Device/d0/_history").await["total"], 1);
}

#[tokio::test]
async fn meta_is_read_and_changed() {
    let client = ward().await;
    let parameters = |meta: Value| {
        json!({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}).to_string()
    };
    let tag = json!({"tag": [{"system": "urn:t", "code": "x"}], "profile": ["http://net.example/p/b"]});
    let added = client.send("POST Device/d0/$meta-add", &[], &parameters(tag.clone())).await;
    let told = json(&added)["parameter"][0]["valueMeta"].clone();
    assert_eq!(
        (&told["versionId"], &told["tag"], told["profile"].as_array().unwrap().len()),
        (&json!("2"), &tag["tag"], 2)
    );
    let again = client.send("POST Device/d0/$meta-add", &[], &parameters(tag.clone())).await;
    assert_eq!(again.header("etag"), Some("W/\"2\""));
    assert_eq!(client.found("Device?_tag=urn:t|x").await, ["d0"]);
    assert_eq!(json(&client.get("Device/d0/$meta").await)["parameter"][0]["valueMeta"], told);
    client.send("POST Device/d0/$meta-delete", &[], &parameters(tag)).await;
    let read = json(&client.get("Device/d0").await);
    assert_eq!((&read["meta"]["versionId"], read["meta"].get("tag")), (&json!("3"), None));
    assert_eq!(client.refused("POST Device/d0/$meta-add", &[], "{}", 400).await, ["parameters"]);
    let wrong = parameters(json!({"colour": "red"}));
    assert_eq!(client.refused("POST Device/d0/$meta-add", &[], &wrong, 400).await, ["unknown-member"]);
    assert_eq!(client.refused("POST Device/$meta-add", &[], "{}", 501).await, ["interaction"]);
}

#[tokio::test]
async fn meta_in_use_is_told_of_a_type_and_of_all() {
    let client = Client::new();
    for (kind, id, tag) in
        [("Device", "a", "x"), ("Device", "b", "y"), ("Device", "c", "x"), ("DeviceComponent", "d", "z")]
    {
        let mut body = json!({"resourceType": kind, "id": id,
            "meta": {"tag": [{"system": "urn:t", "code": tag}], "profile": ["http://net.example/p"]}});
        if kind == "DeviceComponent" {
            body["identifier"] = json!({"value": "1"});
            body["type"] = json!({"text": "t"});
        }
        client.put(&body).await;
    }
    client.put(&json!({"resourceType": "Device", "id": "bare"})).await;
    for (url, tags) in
        [("Device/$meta", vec!["x", "y"]), ("DeviceMetric/$meta", vec![]), ("$meta", vec!["x", "y", "z"])]
    {
        let meta = json(&client.get(url).await)["parameter"][0]["valueMeta"].clone();
        let found: Vec<&str> =
            meta["tag"].as_array().into_iter().flatten().map(|tag| tag["code"].as_str().unwrap()).collect();
        assert_eq!(found, tags, "{url}");
        assert_eq!(meta.get("versionId"), None);
        assert_eq!(meta["profile"].as_array().map_or(0, Vec::len), usize::from(!tags.is_empty()), "{url}");
    }
    assert_eq!(client.send("POST $meta", &[], "").await.status, 200);
    client.refused("PUT $meta", &[], "{}", 405).await;
}
