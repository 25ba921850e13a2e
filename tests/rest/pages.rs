//! Pages: their tokens, their totals and their order.

use super::client::{Client, json, link, modes, text};
use fhir_devices::backend::Memory;
use fhir_devices::store::PageKey;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use time::{Duration, OffsetDateTime};

async fn devices(client: &Client, count: usize) {
    for at in 0..count {
        let model = if at % 2 == 0 { "even" } else { "odd" };
        client.put(&json!({"resourceType": "Device", "id": format!("d{at:03}"), "model": model})).await;
    }
}

#[tokio::test]
async fn page_token_is_bound_to_search_and_tenant() {
    let client = Client::new();
    devices(&client, 10).await;
    let next = link(&client.bundle("Device?model=even&_count=2").await, "next").unwrap();
    let token = next.split_once("_page=").unwrap().1.to_owned();
    assert_eq!(modes(&client.bundle(&next).await, "match"), ["d004", "d006"]);
    // Larger pages may follow.
    assert_eq!(
        client.bundle(&format!("Device?model=even&_count=50&_page={token}")).await["entry"][2]["resource"]["id"],
        "d008"
    );
    for query in [
        format!("Device?_page={token}"),
        format!("Device?model=odd&_page={token}"),
        format!("Device?model:exact=even&_page={token}"),
        format!("DeviceComponent?_page={token}"),
        format!("Device?model=even&_page={token}A"),
        format!("Device?model=even&_page=v1.{}", &token[4..]),
    ] {
        assert_eq!(client.refused(&format!("GET {query}"), &[], "", 400).await, ["page"], "{query}");
    }
    let server = client.0.clone().with_page_key(PageKey::random());
    let other = Client(server);
    assert_eq!(other.refused(&format!("GET {next}"), &[], "", 400).await, ["page"]);
}

#[tokio::test]
async fn total_is_given_if_known_or_requested() {
    let client = Client::new();
    devices(&client, 300).await;
    for (query, total) in [
        ("Device?_count=500", json!(300)),
        ("Device?_count=250", json!(300)),
        ("Device?_count=10", Value::Null),
        ("Device?_count=10&_total=accurate", json!(300)),
        ("Device?_count=500&_total=none", Value::Null),
        ("Device?_count=10&_total=estimate", json!(300)),
        ("Device?_count=0", json!(300)),
        ("Device?_summary=count&model:contains=dd", json!(150)),
        ("Device?_count=10&model:contains=dd&_total=accurate", json!(150)),
        ("Device?_count=10&_sort=-_id", json!(300)),
    ] {
        assert_eq!(client.bundle(query).await["total"], total, "{query}");
    }
    assert_eq!(client.found("Device?model:contains=dd&_count=7").await.len(), 150);
    assert_eq!(client.found("Device?_count=7").await.len(), 300);
}

#[tokio::test]
async fn paging_shows_stable_resources_once() {
    for query in ["Device?_count=3", "Device?model:contains=e&_count=3", "Device?_sort=-_id&_count=3"] {
        let client = Client::new();
        devices(&client, 40).await;
        let (mut url, mut seen, mut turn) = (query.to_owned(), Vec::new(), 0);
        loop {
            let bundle = client.bundle(&url).await;
            seen.extend(modes(&bundle, "match"));
            // Every second one goes, and others come between.
            client.send(&format!("DELETE Device/d{:03}", turn * 2 + 1), &[], "").await;
            let id = format!("d{:03}-new", turn * 3);
            client.put(&json!({"resourceType": "Device", "id": id, "model": "even"})).await;
            turn += 1;
            match link(&bundle, "next") {
                Some(next) => url = next,
                None => break,
            }
        }
        for id in (0..20).map(|at| format!("d{:03}", at * 2)) {
            assert_eq!(seen.iter().filter(|other| **other == id).count(), 1, "{query}: {id}");
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{query}");
    }
}

#[tokio::test]
async fn sort_by_last_updated_orders_results() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock = || OffsetDateTime::UNIX_EPOCH + Duration::days(NOW.load(Ordering::Relaxed));
    let client = Client::over(Memory::new().with_clock(clock));
    for (day, id) in [(3, "a"), (1, "b"), (2, "c"), (2, "d"), (9, "e")] {
        NOW.store(day, Ordering::Relaxed);
        client.put(&json!({"resourceType": "Device", "id": id})).await;
    }
    assert_eq!(client.found("Device?_sort=_lastUpdated&_count=2").await, ["b", "c", "d", "a", "e"]);
    assert_eq!(client.found("Device?_sort=-_lastUpdated&_count=2").await, ["e", "a", "d", "c", "b"]);
    assert_eq!(client.found("Device?_sort=-_id&_count=2").await, ["e", "d", "c", "b", "a"]);
    for (query, found) in [
        ("_lastUpdated=1970-01-03", &["c", "d"][..]),
        ("_lastUpdated=1970-01-03,1970-01-02", &["b", "c", "d"]),
        ("_lastUpdated=ne1970-01-03", &["a", "b", "e"]),
        ("_lastUpdated=gt1970-01-03", &["a", "e"]),
        ("_lastUpdated=sa1970-01-03T00:00:00Z", &["a", "e"]),
        ("_lastUpdated=lt1970-01-03", &["b"]),
        ("_lastUpdated=eb1970-01-03", &["b"]),
        ("_lastUpdated=ge1970-01-03&_lastUpdated=le1970-01-04", &["a", "c", "d"]),
        ("_lastUpdated=ap1970-01-03", &["a", "b", "c", "d", "e"]),
        ("_lastUpdated=1970", &["a", "b", "c", "d", "e"]),
        ("_lastUpdated=1970-01-03T00:00", &["c", "d"]),
        ("_lastUpdated=1970-01-03T01:00:00%2B01:00", &["c", "d"]),
        ("_lastUpdated:missing=false&_id=a", &["a"]),
        ("_lastUpdated:missing=true", &[]),
    ] {
        assert_eq!(client.found(&format!("Device?{query}&_count=1")).await, found, "{query}");
    }
    let client = Client(client.0.clone().with_clock(|| OffsetDateTime::UNIX_EPOCH + Duration::days(12)));
    assert_eq!(client.found("Device?_lastUpdated=ap1970-01-03").await, ["a", "b", "c", "d"][..]);
}

#[tokio::test]
async fn summary_and_elements_are_tagged_subsetted() {
    let client = Client::new();
    let device = json!({
        "resourceType": "Device", "id": "d", "model": "P9", "manufacturer": "Acme", "status": "active",
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">A pump</div>"},
    });
    client.put(&device).await;
    for (query, members) in [
        ("_elements=model", &["resourceType", "id", "meta", "model"][..]),
        ("_elements=model,status", &["resourceType", "id", "meta", "status", "model"]),
        ("_summary=true", &["resourceType", "id", "meta", "status"]),
        ("_summary=text", &["resourceType", "id", "meta", "text"]),
        ("_summary=data", &["resourceType", "id", "meta", "status", "manufacturer", "model"]),
    ] {
        let response = client.get(&format!("Device?{query}")).await;
        let resource = &json(&response)["entry"][0]["resource"];
        let mut names: Vec<&str> = resource.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = members.to_vec();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{query}");
        assert_eq!(resource["meta"]["tag"][0]["code"], "SUBSETTED", "{query}");
    }
    let whole = client.get("Device?_summary=false").await;
    assert!(!text(&whole).contains("SUBSETTED") && text(&whole).contains("A pump"));
}

#[tokio::test]
async fn pages_of_a_search_of_all_types_lead_back() {
    let client = Client::new();
    devices(&client, 7).await;
    let part = |kind: &str, id: &str| {
        let mut part = json!({"resourceType": kind, "id": id, "identifier": {"value": id}, "type": {"text": "x"}});
        if kind == "DeviceMetric" {
            part["category"] = "setting".into();
        }
        part
    };
    for id in ["c1", "c2", "c3"] {
        client.put(&part("DeviceComponent", id)).await;
    }
    for id in ["m1", "m2"] {
        client.put(&part("DeviceMetric", id)).await;
    }
    for (search, size) in [("?_count=", 1), ("?_count=", 3), ("?_type=Device,DeviceMetric&_count=", 4), ("?_count=", 5)]
    {
        let (mut url, mut pages) = (format!("{search}{size}"), Vec::new());
        let last = loop {
            let bundle = client.bundle(&url).await;
            pages.push(modes(&bundle, "match"));
            assert_eq!(link(&bundle, "previous").is_some(), pages.len() > 1, "{url}");
            match link(&bundle, "next") {
                Some(next) => url = next,
                None => break bundle,
            }
        };
        let (mut back, mut bundle) = (vec![modes(&last, "match")], last);
        while let Some(previous) = link(&bundle, "previous") {
            bundle = client.bundle(&previous).await;
            back.push(modes(&bundle, "match"));
        }
        back.reverse();
        assert_eq!(back, pages, "{search}{size}");
        assert!(!link(&bundle, "self").unwrap().contains("_page"));
    }
    // Pages may also be followed forwards from one that was reached backwards.
    let next = link(&client.bundle("?_count=4").await, "next").unwrap();
    let last = link(&client.bundle(&next).await, "next").unwrap();
    let second = link(&client.bundle(&last).await, "previous").unwrap();
    assert_eq!(
        modes(&client.bundle(&link(&client.bundle(&second).await, "next").unwrap()).await, "match"),
        ["c2", "c3", "m1", "m2"]
    );
    for damaged in ["x", "3.Patient", "3.Device.zz", ".Device"] {
        assert_eq!(client.refused(&format!("GET ?_page={damaged}"), &[], "", 400).await, ["page"], "{damaged}");
    }
    assert_eq!(modes(&client.bundle("?_page=99").await, "match"), Vec::<String>::new());
}
