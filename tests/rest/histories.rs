//! Histories of a type, and of all types.

use super::client::{BASE, Client, json, link, text};
use serde_json::{Value, json};

fn device(id: &str, model: &str) -> Value {
    json!({"resourceType": "Device", "id": id, "model": model, "identifier": [{"value": model}]})
}

fn component(id: &str) -> Value {
    json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "MDS"}})
}

/// Returns the verb, the versioned id, the status and the presence of a resource, for each entry.
fn told(bundle: &Value) -> Vec<(String, String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let each = bundle["entry"].as_array().into_iter().flatten().map(|entry| {
        let (method, url) = (text(&entry["request"]["method"]), text(&entry["request"]["url"]));
        let (key, number) = url.split_once("/_history/").unwrap();
        assert_eq!(entry["response"]["etag"], format!("W/\"{number}\""));
        assert!(entry["response"]["lastModified"].as_str().unwrap().ends_with('Z'));
        let there = entry.get("resource").is_some();
        assert_eq!(entry.get("fullUrl").cloned(), there.then(|| json!(format!("{BASE}/{key}"))));
        if there {
            assert_eq!(entry["resource"]["meta"]["versionId"], number);
            assert_eq!(entry["resource"]["meta"]["lastUpdated"], entry["response"]["lastModified"]);
        }
        (method, url.clone(), text(&entry["response"]["status"]), there)
    });
    each.collect()
}

async fn pages(client: &Client, url: &str) -> (Vec<(String, String, String, bool)>, usize) {
    let (mut all, mut count, mut url) = (Vec::new(), 0, url.to_owned());
    loop {
        let bundle = client.bundle(&url).await;
        assert_eq!(bundle["type"], "history");
        all.extend(told(&bundle));
        count += 1;
        match link(&bundle, "next") {
            Some(next) => url = next,
            None => return (all, count),
        }
    }
}

#[tokio::test]
async fn history_of_a_type_and_of_all_has_every_version_with_its_verb() {
    let client = Client::new();
    let posted = client.send("POST Device", &[], &device("", "p").to_string().replace("\"id\":\"\",", "")).await;
    assert_eq!(posted.status, 201, "{}", text(&posted));
    let posted = json(&posted)["id"].as_str().unwrap().to_owned();
    client.put(&device("d", "1")).await;
    client.put(&component("mds")).await;
    client.put(&device("d", "2")).await;
    client.send("DELETE Device/d", &[], "").await;
    client.put(&device("d", "3")).await;
    client.send("DELETE Device/d", &[], "").await;
    client.put(&device(&posted, "q")).await;
    let once = [("If-None-Exist", "identifier=x")];
    let conditional =
        client.send("POST Device", &once, r#"{"resourceType":"Device","identifier":[{"value":"x"}]}"#).await;
    let conditional = json(&conditional)["id"].as_str().unwrap().to_owned();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": {"resourceType": "Device"}, "request": {"method": "POST", "url": "Device"}}]});
    let answer = json(&client.send("POST ", &[], &bundle.to_string()).await);
    let place = answer["entry"][0]["response"]["location"].as_str().unwrap();
    let third = place.strip_prefix("/ward/fhir/Device/").unwrap().strip_suffix("/_history/1").unwrap().to_owned();

    let wanted: Vec<(String, String, String, bool)> = [
        ("POST", format!("Device/{third}/_history/1"), "201 Created", true),
        ("POST", format!("Device/{conditional}/_history/1"), "201 Created", true),
        ("PUT", format!("Device/{posted}/_history/2"), "200 OK", true),
        ("DELETE", "Device/d/_history/5".into(), "204 No Content", false),
        ("PUT", "Device/d/_history/4".into(), "200 OK", true),
        ("DELETE", "Device/d/_history/3".into(), "204 No Content", false),
        ("PUT", "Device/d/_history/2".into(), "200 OK", true),
        ("PUT", "DeviceComponent/mds/_history/1".into(), "201 Created", true),
        ("PUT", "Device/d/_history/1".into(), "201 Created", true),
        ("POST", format!("Device/{posted}/_history/1"), "201 Created", true),
    ]
    .map(|(verb, url, status, there)| (verb.to_owned(), url, status.to_owned(), there))
    .into();
    assert_eq!(pages(&client, "_history").await, (wanted.clone(), 1));
    assert_eq!(client.bundle("_history").await["total"], wanted.len());
    assert_eq!(pages(&client, "_history?_count=3").await, (wanted.clone(), 4));
    let of_devices: Vec<_> = wanted.iter().filter(|told| told.1.starts_with("Device/")).cloned().collect();
    assert_eq!(pages(&client, "Device/_history?_count=4").await, (of_devices, 3));
    assert_eq!(told(&client.bundle("Device/d/_history").await).len(), 5);

    let since = client.bundle("_history").await["entry"][3]["response"]["lastModified"].as_str().unwrap().to_owned();
    let later = told(&client.bundle(&format!("_history?_since={since}")).await);
    assert!(later.len() >= 4 && later.iter().zip(&wanted).all(|(one, other)| one == other), "{later:?}");
    assert_eq!(told(&client.bundle("_history?_since=9999").await), []);
    assert_eq!(client.refused("GET _history?_page=x", &[], "", 400).await.len(), 1);
    let next = link(&client.bundle("Device/_history?_count=1").await, "next").unwrap();
    assert_eq!(
        client.refused(&format!("GET {}", next.replace("Device/_history", "_history")), &[], "", 400).await.len(),
        1
    );
}

#[tokio::test]
async fn history_of_one_resource_may_be_read_in_pages_by_time() {
    let client = Client::new();
    for model in ["1", "2", "3"] {
        client.put(&device("d", model)).await;
    }
    let (all, count) = pages(&client, "Device/d/_history?_count=1").await;
    assert_eq!((all.len(), count), (3, 3));
    let batch = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Device/_history?_count=2"}}]});
    let answer = json(&client.send("POST ", &[], &batch.to_string()).await);
    assert_eq!(told(&answer["entry"][0]["resource"]).len(), 2);
}

#[tokio::test]
async fn history_may_show_a_part_of_each_version() {
    let client = Client::new();
    client.put(&device("d", "1")).await;
    client.put(&device("d", "2")).await;
    for place in ["Device/d/_history", "Device/_history", "_history"] {
        let whole = client.bundle(place).await;
        let parts = client.bundle(&format!("{place}?_elements=model")).await;
        for (whole, part) in whole["entry"].as_array().unwrap().iter().zip(parts["entry"].as_array().unwrap()) {
            assert_eq!((&part["request"], &part["response"]), (&whole["request"], &whole["response"]));
            assert_eq!(part["resource"]["model"], whole["resource"]["model"]);
            assert_eq!(part["resource"]["meta"]["tag"][0]["code"], "SUBSETTED", "{part}");
            assert!(part["resource"]["identifier"].is_null() && !whole["resource"]["identifier"].is_null());
        }
        assert!(link(&parts, "self").unwrap().contains("_elements=model"));
        let summary = client.bundle(&format!("{place}?_summary=true")).await;
        assert_eq!(summary["entry"][0]["resource"]["meta"]["tag"][0]["code"], "SUBSETTED");
        assert_eq!(client.refused(&format!("GET {place}?_summary=x"), &[], "", 400).await, ["search-value"]);
        let strict = [("Prefer", "handling=strict")];
        assert_eq!(client.refused(&format!("GET {place}?_summary=count"), &strict, "", 400).await, ["search-value"]);
    }
}

#[tokio::test]
async fn history_is_paged_back_though_versions_were_made_meanwhile() {
    let client = Client::new();
    for number in 1..=7 {
        client.put(&device("d", &number.to_string())).await;
    }
    let models = |bundle: &Value| -> Vec<String> {
        let entries = bundle["entry"].as_array().into_iter().flatten();
        entries.map(|entry| entry["resource"]["model"].as_str().unwrap().to_owned()).collect()
    };
    for (turn, place) in ["Device/d/_history", "Device/_history", "_history"].into_iter().enumerate() {
        let first = client.bundle(&format!("{place}?_count=3")).await;
        assert_eq!(link(&first, "previous"), None);
        let second = client.bundle(&link(&first, "next").unwrap()).await;
        let third = client.bundle(&link(&second, "next").unwrap()).await;
        client.put(&device("d", &(8 + turn).to_string())).await;

        let back = client.bundle(&link(&third, "previous").unwrap()).await;
        assert_eq!(models(&back), models(&second), "{place}");
        assert_eq!(models(&client.bundle(&link(&back, "next").unwrap()).await), models(&third));
        let back = client.bundle(&link(&back, "previous").unwrap()).await;
        assert_eq!(models(&back), models(&first));
        // What was made meanwhile stands before what was the first page.
        let newest = client.bundle(&link(&back, "previous").unwrap()).await;
        assert_eq!(models(&newest), [(8 + turn).to_string()]);
        assert_eq!(link(&newest, "previous"), None);
        assert_eq!(models(&client.bundle(&link(&newest, "next").unwrap()).await), models(&first));
        assert_eq!(link(&newest, "self").unwrap(), link(&back, "previous").unwrap());
    }
    let damaged = "GET Device/_history?_page=~Device/d~x~1";
    assert_eq!(client.refused(damaged, &[], "", 400).await, ["page"]);
}

#[tokio::test]
async fn page_before_a_forgotten_version_ends_where_it_was() {
    let client = Client::new();
    for number in 1..=4 {
        client.put(&device("d", &number.to_string())).await;
    }
    let first = client.bundle("Device/d/_history?_count=2").await;
    let second = client.bundle(&link(&first, "next").unwrap()).await;
    let back = link(&second, "previous").unwrap();
    client.0.store().prune_history(&"Device/d".parse().unwrap(), 2.try_into().unwrap()).await.unwrap();
    let page = client.bundle(&back).await;
    assert_eq!(page["entry"], first["entry"]);
    assert_eq!((link(&page, "next"), link(&page, "previous")), (None, None));
}
