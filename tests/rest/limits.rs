//! The cost of one request: every limit, and the growth with the size of a request.

use super::client::{Client, json, link, modes, rules};
use super::growth::grows;
use fhir_devices::backend::Memory;
use fhir_devices::element::ReadMode;
use fhir_devices::issue::{IssueType, Severity};
use fhir_devices::rest::Limits;
use fhir_devices::search::{IndexEntries, Parameter, ResourceType};
use fhir_devices::store::{
    BoxFuture, Capabilities, Key, Page, ResourceStore, Search, StoreError, Tenant, Version, Write,
};
use fhir_devices::validate::{check, check_within};
use fhir_devices::{Device, Report};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn large(id: &str, bytes: usize) -> serde_json::Value {
    json!({"resourceType": "Device", "id": id, "lotNumber": "x".repeat(bytes)})
}

fn within(limits: Limits) -> Client {
    let client = Client::over(Memory::new());
    Client(client.0.with_limits(limits))
}

fn batch(entries: impl IntoIterator<Item = String>) -> String {
    let entries: Vec<String> = entries.into_iter().collect();
    format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, entries.join(","))
}

fn get(url: &str) -> String {
    format!(r#"{{"request":{{"method":"GET","url":"{url}"}}}}"#)
}

#[tokio::test]
async fn batch_with_too_many_entries_is_refused() {
    let client = within(Limits::default().with_entries(3));
    let ok = client.send("POST ", &[], &batch((0..3).map(|_| get("metadata")))).await;
    assert_eq!(ok.status, 200);
    let many = batch((0..4).map(|_| get("metadata")));
    assert_eq!(client.refused("POST ", &[], &many, 413).await, ["too-many-entries"]);
}

#[tokio::test]
async fn batch_responses_beyond_the_byte_limit_are_refused() {
    let client = within(Limits::default().with_answer_bytes(100_000));
    client.put(&large("a", 60_000)).await;
    let put =
        r#"{"resource":{"resourceType":"Device","id":"b"},"request":{"method":"PUT","url":"Device/b"}}"#.to_owned();
    let entries = (0..1_000).map(|_| get("Device/a")).chain([put]);
    let response = client.send("POST ", &[("Prefer", "return=representation")], &batch(entries)).await;
    assert!(response.body.len() < 1_000_000, "{}", response.body.len());
    let answer = json(&response);
    let status = |at: usize| answer["entry"][at]["response"]["status"].as_str().unwrap();
    assert_eq!(
        (status(0), status(1), status(2), status(999)),
        ("200 OK", "200 OK", "413 Payload Too Large", "413 Payload Too Large")
    );
    assert_eq!(rules(&answer["entry"][2]["response"]["outcome"]), ["answer-too-large"]);
    // What writes is carried out, and answered without the resource.
    assert_eq!((status(1_000), answer["entry"][1_000].get("resource")), ("201 Created", None));
    assert_eq!(client.get("Device/b").await.status, 200);
}

/// Each of these reads a large resource into its elements and answers little.
#[tokio::test]
async fn batch_that_reads_large_resources_for_small_answers_is_bounded() {
    let client = within(Limits::default().with_filtered_bytes(200_000));
    client.put(&large("a", 60_000)).await;
    for url in ["Device/a/$validate", "Device/a?_elements=id", "Device/a/$meta", "Device?_id=a&_elements=id"] {
        let put = r#"{"resource":{"resourceType":"Device","id":"b"},"request":{"method":"PUT","url":"Device/b"}}"#;
        let entries = (0..9).map(|_| get(url)).chain([put.to_owned()]);
        let answer = json(&client.send("POST ", &[], &batch(entries)).await);
        let status: Vec<&str> = (0..10)
            .map(|at| answer["entry"][at]["response"]["status"].as_str().unwrap().split(' ').next().unwrap())
            .collect();
        assert_eq!(status[..4], ["200"; 4], "{url}: {status:?}");
        assert_eq!(status[4..9], ["400"; 5], "{url}: {status:?}");
        assert_eq!(rules(&answer["entry"][5]["response"]["outcome"]), ["too-costly"], "{url}");
        assert!(status[9].starts_with("20"), "{url}: {status:?}");
    }
    // So does each write of a component, also one that is refused in the end.
    let component = json!({"resourceType": "DeviceComponent", "id": "c", "identifier": {"value": "c"},
        "type": {"text": "x".repeat(60_000)}});
    client.put(&component).await;
    let small = r#"{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"c"},"type":{"text":"x"}}"#;
    let entry =
        format!(r#"{{"resource":{small},"request":{{"method":"PUT","url":"DeviceComponent/c","ifMatch":"W/\"9\""}}}}"#);
    let answer = json(&client.send("POST ", &[], &batch((0..9).map(|_| entry.clone()))).await);
    let status = |at: usize| answer["entry"][at]["response"]["status"].as_str().unwrap();
    assert_eq!((&status(0)[..3], &status(8)[..3]), ("409", "400"), "{answer}");
}

#[tokio::test]
async fn page_is_cut_by_bytes_and_has_a_next_link() {
    let client = within(Limits::default().with_page_bytes(100_000));
    for at in 0..9 {
        client.put(&large(&format!("d{at}"), 40_000)).await;
    }
    client.put(&large("d9", 300_000)).await;
    for query in
        ["Device?_count=5", "Device?_sort=-_lastUpdated", "Device?_sort=-_id&_count=5", "Device?model:missing=true"]
    {
        let page = client.get(query).await;
        assert!(page.body.len() < 310_000, "{query}: {}", page.body.len());
        let mut found = client.found(query).await;
        found.sort();
        let wanted: Vec<String> = (0..10).map(|at| format!("d{at}")).collect();
        assert_eq!(found, wanted, "{query}");
    }
    let first = client.bundle("Device?_sort=-_lastUpdated&_count=1").await;
    assert_eq!((modes(&first, "match").len(), &first["total"]), (1, &json!(10)));
    for at in 0..6 {
        client.put(&large("d0", 40_000 + at)).await;
    }
    let history = client.bundle("Device/d0/_history").await;
    assert!(history["entry"].as_array().unwrap().len() < 7 && link(&history, "next").is_some());
}

#[tokio::test]
async fn sort_by_time_gathers_no_more_than_the_page() {
    let given = Arc::new(AtomicUsize::new(0));
    let client = Client::over(Counted(Memory::new(), Arc::clone(&given), true));
    let fill = async |from: usize, to: usize| {
        for at in from..to {
            client.put(&json!({"resourceType": "Device", "id": format!("d{at:04}"), "model": "P9"})).await;
        }
    };
    let queries = [
        "Device?_sort=-_lastUpdated&_count=1",
        "Device?_sort=_lastUpdated&_count=3",
        "Device?_sort=-_lastUpdated&_count=1&model=p",
    ];
    let look = async || {
        let mut looked = Vec::new();
        for query in queries {
            given.store(0, Ordering::Relaxed);
            client.bundle(query).await;
            looked.push(given.load(Ordering::Relaxed));
        }
        looked
    };
    fill(0, 700).await;
    let few = look().await;
    fill(700, 2_100).await;
    let many = look().await;
    assert_eq!(few, many, "three times as many resources");
    assert!(many.iter().all(|looked| *looked <= 800), "{many:?}");
}

#[tokio::test]
async fn sort_without_an_index_is_refused_beyond_its_limit() {
    let store = Arc::new(Memory::new());
    let fill = async |from: usize, to: usize| {
        let write = |at: usize| {
            let id = format!("d{at:05}");
            let body = format!(r#"{{"resourceType":"Device","id":"{id}","model":"m{}"}}"#, 99_999 - at);
            Write::put(Key::new(ResourceType::Device, id.as_str()).unwrap(), body, IndexEntries::new())
        };
        let writes: Vec<Write> = (from..to).map(write).collect();
        for writes in writes.chunks(100) {
            store.commit(&"ward".parse().unwrap(), writes.to_vec()).await.unwrap();
        }
    };
    fill(0, 10_000).await;
    let client = Client::over(Arc::clone(&store));
    let sorted = client.bundle("Device?_sort=model&_count=1").await;
    assert_eq!(sorted["entry"][0]["resource"]["id"], "d09999");
    fill(10_000, 10_001).await;
    let refused = client.get("Device?_sort=model&_count=1").await;
    assert_eq!(refused.status, 400);
    let outcome = json(&refused);
    assert_eq!(outcome["issue"][0]["code"], "too-costly");
    let words = outcome["issue"][0]["diagnostics"].as_str().unwrap();
    assert!(words.contains("10000") && words.contains("`Device`") && words.contains("_sort"), "{words}");
    // Those that the store has an order of are not limited.
    for query in ["Device?_sort=-_lastUpdated&_count=1", "Device?_sort=_id&_count=1"] {
        assert_eq!(client.get(query).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn sort_by_time_pages_through_everything_in_order() {
    let client = Client::new();
    for at in 0..620 {
        client.put(&json!({"resourceType": "Device", "id": format!("d{:03}", at * 7 % 620), "model": "P9"})).await;
    }
    let wanted: Vec<String> = (0..620).map(|at| format!("d{:03}", at * 7 % 620)).collect();
    let backwards: Vec<String> = wanted.iter().rev().cloned().collect();
    for filter in ["", "&model=p", "&manufacturer:missing=true", "&_lastUpdated=gt2000"] {
        for count in [7, 250] {
            let found = client.found(&format!("Device?_sort=_lastUpdated&_count={count}{filter}")).await;
            assert_eq!(found, wanted, "{count} {filter}");
            let found = client.found(&format!("Device?_sort=-_lastUpdated&_count={count}{filter}")).await;
            assert_eq!(found, backwards, "{count} {filter}");
        }
    }
}

/// A store that counts the bytes of the bodies it returns.
struct Metered(Memory, Arc<AtomicUsize>);

/// A store that counts the resources it returns, with or without an index for this library's own parameters.
struct Counted(Memory, Arc<AtomicUsize>, bool);

impl ResourceStore for Counted {
    passed_on!(0: vread, commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.own_parameters &= self.2;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version, StoreError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(tenant, key)
    }

    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        Box::pin(async move {
            let page = self.0.search(tenant, search).await?;
            self.1.fetch_add(page.items.len(), Ordering::Relaxed);
            Ok(page)
        })
    }
}

/// A store that counts the searches.
struct Searched(Memory, Arc<AtomicUsize>);

impl ResourceStore for Searched {
    passed_on!(0: capabilities, read, vread, commit, history, prune_history);

    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.search(tenant, search)
    }
}

#[tokio::test]
async fn page_of_a_broad_chain_takes_few_searches() {
    let searches = Arc::new(AtomicUsize::new(0));
    let client = Client::over(Searched(Memory::new(), Arc::clone(&searches)));
    let entries = (0..1_100).flat_map(|at| {
        let device = json!({"resourceType": "Device", "id": format!("d{at}"), "manufacturer": "Acme",
            "model": format!("m{}", at % 8)});
        let component = json!({"resourceType": "DeviceComponent", "id": format!("c{at}"), "type": {"coding": [{"code": "x"}]},
            "identifier": {"value": "1"}, "source": {"reference": format!("Device/d{at}")}});
        [("Device", device, at), ("DeviceComponent", component, at)]
    });
    let entries: Vec<String> = entries
        .map(|(kind, resource, at)| {
            let id = if kind == "Device" { "d" } else { "c" };
            json!({"resource": resource, "request": {"method": "PUT", "url": format!("{kind}/{id}{at}")}}).to_string()
        })
        .collect();
    assert_eq!(client.send("POST ", &[], &batch(entries.into_iter())).await.status, 200);
    for (search, most) in [
        ("DeviceComponent?source:Device.manufacturer=acme", 3),
        // One in eight is meant.
        ("DeviceComponent?source:Device.manufacturer=acme&source:Device.model=m7", 6),
        ("Device?_has:DeviceComponent:source:type=x", 4),
    ] {
        searches.store(0, Ordering::Relaxed);
        let bundle = client.bundle(search).await;
        assert_eq!((modes(&bundle, "match").len(), link(&bundle, "next").is_some()), (50, true), "{search}");
        let made = searches.load(Ordering::Relaxed);
        assert!(made <= most, "{made} searches for {search}");
    }
}

impl Metered {
    fn count<'a>(&self, versions: impl IntoIterator<Item = &'a Version>) {
        let bytes: usize =
            versions.into_iter().filter_map(|version| version.body.as_ref()).map(|body| body.len()).sum();
        self.1.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl ResourceStore for Metered {
    passed_on!(0: capabilities, vread, commit, history, prune_history);

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move { self.0.read(tenant, key).await.inspect(|version| self.count([version])) })
    }

    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        Box::pin(async move { self.0.search(tenant, search).await.inspect(|page| self.count(&page.items)) })
    }
}

#[tokio::test]
async fn sort_and_count_read_only_bodies_of_the_page() {
    let given = Arc::new(AtomicUsize::new(0));
    let client = Client::over(Metered(Memory::new(), Arc::clone(&given)));
    for at in 0..40 {
        client.put(&large(&format!("d{at:02}"), 40_000)).await;
    }
    for (query, shown) in [
        ("Device?_sort=-_lastUpdated&_count=1", 1),
        ("Device?_sort=_lastUpdated&_count=2", 2),
        ("Device?_sort=-_id&_count=1", 1),
        ("Device?_sort=-_lastUpdated&_lastUpdated=gt2000&_count=1", 1),
        ("Device?_count=0", 0),
        ("Device?_count=1", 1),
        ("Device?_lastUpdated=gt2000&_summary=count", 0),
    ] {
        given.store(0, Ordering::Relaxed);
        assert_eq!(client.bundle(query).await["total"], 40, "{query}");
        let bytes = given.load(Ordering::Relaxed);
        assert!(bytes < (shown + 1) * 40_000, "{query}: {bytes} bytes are read");
    }
}

#[tokio::test]
async fn search_beyond_its_limits_is_refused() {
    let client = within(Limits::default().with_values(10).with_parameters(5).with_includes(2));
    let values = |count: usize| format!("GET Device?_id={}", vec!["a"; count].join(","));
    assert_eq!(client.send(&values(10), &[], "").await.status, 200);
    assert_eq!(client.refused(&values(11), &[], "", 400).await, ["too-costly"]);
    let filters = |count: usize| format!("GET Device?{}", vec!["model=a"; count].join("&"));
    assert_eq!(client.send(&filters(5), &[], "").await.status, 200);
    assert_eq!(client.refused(&filters(6), &[], "", 400).await, ["too-costly"]);
    let includes = "GET DeviceComponent?_include=DeviceComponent:source&_include=DeviceComponent:parent\
                    &_revinclude=DeviceMetric:source";
    assert_eq!(client.refused(includes, &[], "", 400).await, ["too-costly"]);
    let parts = format!("GET Device?model:contains={}", vec!["a"; 17].join(","));
    assert_eq!(Client::new().refused(&parts, &[], "", 400).await, ["too-costly"]);
}

#[tokio::test]
async fn request_that_scans_too_many_resources_is_refused() {
    let client = within(Limits::default().with_steps(200));
    for at in 0..30 {
        client.put(&json!({"resourceType": "Device", "id": format!("d{at:02}"), "model": "m"})).await;
    }
    // A search gives what it has, and goes on by its link.
    assert_eq!(client.found("Device?model:contains=m&_count=7").await.len(), 30);
    let counts = batch((0..20).map(|_| get("Device?model:contains=m&_count=0")));
    let answer = json(&client.send("POST ", &[], &counts).await);
    assert_eq!(answer["entry"][0]["response"]["status"], "200 OK");
    assert_eq!(rules(&answer["entry"][19]["response"]["outcome"]), ["too-costly"]);
}

#[tokio::test]
async fn search_by_invalid_id_finds_nothing() {
    let client = Client::new();
    client.put(&json!({"resourceType": "Device", "id": "a"})).await;
    for query in
        ["Device?_id=%00", "Device?_id=a%00", "Device?_id=%01,%7f", &format!("Device?_id={}", "a".repeat(5_000))]
    {
        assert_eq!(client.bundle(query).await["total"], 0, "{query}");
    }
    assert_eq!(client.bundle("Device?_id=%00,a").await["total"], 1);
    assert_eq!(client.bundle("Device?identifier=%00&model=%00").await["total"], 0);
}

#[test]
fn issues_beyond_the_limit_are_counted_without_memory() {
    let document = format!(r#"{{"resourceType":"Device"{}}}"#, r#","z":1"#.repeat(100_000));
    let report = Device::from_json(document.as_bytes()).unwrap_err();
    assert_eq!((report.len(), report.omitted(), report.has_errors()), (Report::MOST, 100_001 - Report::MOST, true));
    let last = report.issues().last().unwrap();
    assert_eq!((&*last.rule, last.severity, last.kind), ("more-findings", Severity::Error, IssueType::TooCostly));
    let broken = Device::from_json(format!("{}x", document.trim_end_matches('}')).as_bytes()).unwrap_err();
    assert!(broken.iter().any(|issue| issue.severity == Severity::Fatal), "what ends the reading is listed");
}

#[tokio::test]
async fn outcome_keeps_its_issue_limit() {
    let client = within(Limits::default().with_findings(10));
    let document = format!(r#"{{"resourceType":"Device","id":"a"{}}}"#, r#","z":1"#.repeat(50));
    let found = client.refused("PUT Device/a", &[], &document, 400).await;
    assert_eq!((found.len(), found.last().map(String::as_str)), (11, Some("more-findings")));
}

#[tokio::test]
async fn document_with_too_many_elements_is_refused() {
    let document = format!(
        r#"{{"resourceType":"Device","id":"a","identifier":[{}{{"value":"1"}}]}}"#,
        r#"{"value":"1"},"#.repeat(20_000)
    );
    let client = within(Limits::default().with_read_memory(1 << 20));
    assert_eq!(client.refused("PUT Device/a", &[], &document, 413).await, ["too-many-elements"]);
    let bundle = batch([format!(r#"{{"resource":{document},"request":{{"method":"PUT","url":"Device/a"}}}}"#)]);
    assert_eq!(client.refused("POST ", &[], &bundle, 413).await, ["too-many-elements"]);
    assert!(check_within(document.as_bytes(), usize::MAX).resource().is_some());
    assert_eq!(Client::new().send("PUT Device/a", &[], &document).await.status, 201);
}

#[test]
fn narrative_attributes_take_linear_time() {
    let narrative = |count: usize| {
        let mut attributes = String::new();
        for at in 0..count {
            let _ = write!(attributes, " a{at}='1'");
        }
        let text = json!({"status": "generated", "div": format!("<div xmlns='http://www.w3.org/1999/xhtml'{attributes}>a</div>")});
        drop(check(json!({"resourceType": "Device", "text": text}).to_string().as_bytes(), ReadMode::Strict));
    };
    grows(narrative, 5_000);
}

#[test]
fn identifiers_take_linear_time() {
    let index = |count: usize| {
        let tokens = (0..count).rev().map(|at| {
            let token = fhir_devices::search::Token::new("urn:x", format!("{at:08}"));
            (fhir_devices::search::Parameter::Identifier, token)
        });
        let _: fhir_devices::search::IndexEntries = tokens.collect();
    };
    grows(index, 10_000);
}

fn later<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn faulty_batch_entries_take_linear_time() {
    let limits = Limits::default().with_entries(1_000_000);
    let run = |count: usize| {
        let entry = |at: usize| {
            let url = if at.is_multiple_of(2) { "Device" } else { "Device/$validate" };
            format!(r#"{{"resource":{{"resourceType":"Device","x":1}},"request":{{"method":"POST","url":"{url}"}}}}"#)
        };
        let bundle = batch((0..count).map(entry));
        let client = within(limits);
        later(client.send("POST ", &[], &bundle));
    };
    grows(run, 240);
}

#[test]
fn search_values_take_linear_time() {
    let client = within(Limits::default().with_values(1_000_000));
    later(async {
        for at in 0..300 {
            let device = json!({"resourceType": "Device", "id": format!("d{at}"), "model": format!("m{at}"),
                "identifier": [{"system": "urn:x", "value": format!("{at}")}]});
            client.put(&device).await;
        }
    });
    for (name, start) in
        [("identifier", ""), ("identifier", "urn:y|"), ("model", "n"), ("model:exact", "n"), ("identifier:not", "z")]
    {
        let run = |count: usize| {
            let values: Vec<String> = (0..count).map(|at| format!("{start}{at}")).collect();
            let response = later(client.get(&format!("Device?{name}={}", values.join(","))));
            assert_eq!(response.status, 200);
        };
        grows(run, 2_000);
    }
}

#[test]
fn transaction_references_take_linear_time() {
    let run = |count: usize| {
        let mut links = String::new();
        for _ in 0..count {
            links += "<a href='Device/b'>x</a>";
        }
        let url = format!("http://x.example/{}/Device/a", "y".repeat(count));
        let text =
            json!({"status": "generated", "div": format!("<div xmlns='http://www.w3.org/1999/xhtml'>{links}</div>")});
        let entry = json!({"fullUrl": url, "resource": {"resourceType": "Device", "text": text},
            "request": {"method": "POST", "url": "Device"}});
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}).to_string();
        let client = Client::new();
        let response = later(client.send("POST ", &[], &bundle));
        assert_eq!(response.status, 200);
    };
    grows(run, 5_000);
}

#[tokio::test]
async fn transaction_responses_beyond_the_limit_omit_resources() {
    let client = within(Limits::default().with_answer_bytes(100_000));
    client.put(&large("a", 60_000)).await;
    let put = |id: &str| {
        let resource = large(id, 60_000);
        json!({"resource": resource, "request": {"method": "PUT", "url": format!("Device/{id}")}})
    };
    let there = json!({"resource": {"resourceType": "Device"},
        "request": {"method": "POST", "url": "Device", "ifNoneExist": "_id=a"}});
    let read = json!({"request": {"method": "GET", "url": "Device/a"}});
    let entries = json!([there, put("b"), put("c"), read]);
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    let answer = json(&client.send("POST ", &[("Prefer", "return=representation")], &bundle).await);
    let entry = |at: usize| &answer["entry"][at];
    assert_eq!(entry(0)["resource"]["lotNumber"].as_str().map(str::len), Some(60_000), "what is there is shown");
    assert!(entry(1).get("resource").is_some() && entry(2).get("resource").is_none());
    assert!(entry(2)["response"]["location"].as_str().unwrap().contains("Device/c/_history/1"));
    assert_eq!(rules(&entry(3)["response"]["outcome"]), ["answer-too-large"]);
}

#[tokio::test]
async fn transaction_of_large_components_is_refused() {
    let client = within(Limits::default().with_answer_bytes(100_000));
    let component = |id: &str, text: &str| json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": text}});
    let filler = "x".repeat(60_000);
    let mut entries = Vec::new();
    for id in ["a", "b"] {
        client.put(&component(id, &filler)).await;
        let request = json!({"method": "PUT", "url": format!("DeviceComponent/{id}")});
        entries.push(json!({"resource": component(id, "x"), "request": request}));
    }
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    assert_eq!(client.refused("POST ", &[], &bundle, 413).await, ["too-costly"]);
}

#[test]
fn included_resources_take_linear_time() {
    let given = Arc::new(AtomicUsize::new(0));
    let ward = |count: usize| {
        let client = Client::over(Counted(Memory::new(), Arc::clone(&given), true));
        later(async {
            for at in 0..count {
                client.put(&json!({"resourceType": "Device", "id": format!("d{at:03}")})).await;
                let component = json!({"resourceType": "DeviceComponent", "id": format!("c{at:03}"),
                    "identifier": {"value": format!("{at}")}, "type": {"text": "mds"},
                    "source": {"reference": format!("Device/d{at:03}")}});
                client.put(&component).await;
            }
        });
        client
    };
    let (small, large) = (ward(100), ward(400));
    for query in [
        "DeviceComponent?_include=DeviceComponent:source",
        "Device?_revinclude=DeviceComponent:source",
        "DeviceComponent?_include=DeviceComponent:source&_revinclude:recurse=DeviceComponent:parent",
    ] {
        let run = |count: usize| {
            let client = if count == 100 { &small } else { &large };
            given.store(0, Ordering::Relaxed);
            let page = later(client.bundle(&format!("{query}&_count=400")));
            assert_eq!(modes(&page, "include").len(), count, "{query}");
            given.load(Ordering::Relaxed)
        };
        let (few, many) = (run(100), run(400));
        assert!(many <= few * 4, "{query}: the store gives {few} and {many} resources");
        grows(
            |count| {
                run(count);
            },
            100,
        );
    }
}

#[test]
fn contained_resources_take_linear_time() {
    let run = |count: usize, resource: &dyn Fn(usize) -> serde_json::Value| {
        let contained: Vec<_> = (0..count).map(resource).collect();
        // Each is referred to, so that none is there for nothing.
        let links: Vec<_> = (0..count)
            .map(|at| json!({"url": "http://x.example/e", "valueReference": {"reference": format!("#d{at}")}}))
            .collect();
        let device = json!({"resourceType": "Device", "contained": contained, "extension": links});
        let checked = check(device.to_string().as_bytes(), ReadMode::Strict);
        assert!(checked.resource().is_some());
    };
    grows(|count| run(count, &|at| json!({"resourceType": "Device", "id": format!("d{at}")})), 1_000);
    grows(|count| run(count, &|_| json!({"resourceType": "Device", "id": "d"})), 1_000);
    grows(|count| run(count, &|at| json!({"resourceType": "Basic", "id": format!("d{at}"), "x": at})), 1_000);
}

#[test]
fn barcodes_take_linear_time() {
    use fhir_devices::udi::{ParseMode, Udi};
    for (name, start, part) in [
        ("gs1 in brackets", "(01)09504000059118", "(10)7654321D"),
        ("gs1 of many identifiers", "(01)09504000059118", "(21)1(10)2(240)3"),
        ("gs1 with separators", "0109504000059118", "10A\u{1d}21B\u{1d}"),
        ("hibcc", "+A99912345/", "$$52001510X3/"),
        ("iccbba", "=/A9999XYZ100T0944", "=,000025=A99971312345600"),
        ("ifa", "9N110375286414", "1T12345ABCD\u{1d}"),
        ("data matrix", "[)>\u{1e}06\u{1d}9N110375286414", "\u{1d}1TABC"),
        ("nothing known", "(", "(("),
        ("digits", "01", "1"),
        ("blanks", "(01)09504000059118", " "),
    ] {
        let run = |count: usize| {
            let text = format!("{start}{}", part.repeat(count));
            for mode in [ParseMode::Strict, ParseMode::Lenient] {
                drop(Udi::parse(&text, mode, 2026));
            }
        };
        println!("{name}");
        grows(run, 5_000);
    }
}

#[test]
fn form_search_parameters_take_linear_time() {
    let client = within(Limits::default().with_parameters(1_000_000).with_values(1_000_000));
    later(client.put(&json!({"resourceType": "Device", "id": "a", "model": "a"})));
    for parameter in ["model=a", "_id=a", "identifier=x", "_elements=model", "_sort=_id", "unknown=1", "=", "a%00=b"] {
        let run = |count: usize| {
            let form = vec![parameter; count].join("&");
            let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Prefer", "handling=lenient")];
            later(client.send("POST Device/_search", &headers, &form));
        };
        grows(run, 1_000);
    }
}

#[tokio::test]
async fn own_parameters_are_answered_by_the_index_where_there_is_one() {
    for own_parameters in [true, false] {
        let given = Arc::new(AtomicUsize::new(0));
        let client = Client::over(Counted(Memory::new(), Arc::clone(&given), own_parameters));
        for at in 0..300 {
            let kind =
                json!({"coding": [{"system": "http://hl7.org/fhir/specification-type", "code": "software-revision"}]});
            client
                .put(&json!({"resourceType": "DeviceComponent", "id": format!("c{at}"), "identifier": {"value": "1"},
                    "type": {"text": "MDS"}, "productionSpecification": [{"specType": kind, "productionSpec": format!("4.{at}")}]}))
                .await;
        }
        for query in [
            "reported-version=4.7",
            "production-specification=software-revision|4.7",
            "production-specification=software-revision|4.7&reported-version=4.7",
        ] {
            given.store(0, Ordering::Relaxed);
            assert_eq!(client.found(&format!("DeviceComponent?{query}")).await, ["c7"], "{query}");
            let given = given.load(Ordering::Relaxed);
            assert_eq!(given <= 2, own_parameters, "{query}: {given}");
        }
    }
}

/// A store that returns the devices of components with them, and counts its calls.
struct WithDevices(Memory, Arc<AtomicUsize>);

impl ResourceStore for WithDevices {
    passed_on!(0: read, vread, commit, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.search_with_targets = true;
        capabilities
    }

    fn search<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
    ) -> BoxFuture<'a, Result<Page<Version>, StoreError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.search(tenant, search)
    }

    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>), StoreError>> {
        Box::pin(async move {
            assert_eq!(follow, [(Parameter::Source, ResourceType::Device)]);
            let page = self.search(tenant, search).await?;
            let devices = self.0.search(tenant, &Search::new(ResourceType::Device)).await?;
            Ok((page, devices.items))
        })
    }
}

#[tokio::test]
async fn included_resources_that_come_with_the_page_are_not_looked_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (follows, plain) = (Client::over(WithDevices(Memory::new(), Arc::clone(&asked))), Client::new());
    for client in [&follows, &plain] {
        for id in ["d1", "d2"] {
            client.put(&json!({"resourceType": "Device", "id": id})).await;
        }
        for (id, device) in [("a", "d1"), ("b", "d2"), ("c", "d1")] {
            client
                .put(&json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id},
                    "type": {"text": "MDS"}, "source": {"reference": format!("Device/{device}")}}))
                .await;
        }
    }
    for query in ["", "&_count=2", "&_count=1", "&_count=3"] {
        let mut url = format!("DeviceComponent?_include=DeviceComponent:source{query}");
        let mut other = url.clone();
        loop {
            asked.store(0, Ordering::Relaxed);
            let (page, wanted) = (follows.bundle(&url).await, plain.bundle(&other).await);
            assert_eq!(asked.load(Ordering::Relaxed), 1, "{url}");
            for mode in ["match", "include"] {
                assert_eq!(modes(&page, mode), modes(&wanted, mode), "{url}");
            }
            match (link(&page, "next"), link(&wanted, "next")) {
                (Some(next), Some(wanted)) => (url, other) = (next, wanted),
                (None, None) => break,
                links => panic!("{url}: {links:?}"),
            }
        }
    }
}
