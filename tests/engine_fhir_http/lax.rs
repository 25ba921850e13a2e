//! A FHIR server that stores resources and breaks as many rules as a test asks for: the findings of a probe, and
//! whether the contract holds over it.

use super::dressed::Dressed;
use super::odd::{Heard, Odd, Say, html, say};
use super::{RUNTIME, block_on};
use fhir_devices::backend::FhirServer;
use fhir_devices::backend::fhir_http::{MissingCapability, Options, ServerFault};
use fhir_devices::search::*;
use fhir_devices::store::*;
use fhir_devices::testkit::store::{ClauseOutcome, StoreUnderTest, resources};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// The rules that the server breaks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lax {
    ignores_if_none_match: bool,
    /// `If-Match` over an unknown resource creates it.
    creates_by_if_match: bool,
    ignores_if_match: bool,
    ignores_if_match_of_delete: bool,
    deletes_by_address: bool,
    /// A write of the same content makes no version.
    keeps_equal: bool,
    /// The number of versions is counted once, and the history is cut there.
    counts_once: bool,
    minds_case: bool,
    adds_to_meta: bool,
    drops_decimal_digits: bool,
    drops_nested_extensions: bool,
    sorts_downwards: bool,
}

/// The observed behaviour of HAPI's JPA server.
const LIKE_HAPI: Lax = Lax {
    ignores_if_none_match: true,
    creates_by_if_match: true,
    ignores_if_match: false,
    ignores_if_match_of_delete: true,
    deletes_by_address: true,
    keeps_equal: true,
    counts_once: true,
    minds_case: true,
    adds_to_meta: true,
    drops_decimal_digits: false,
    drops_nested_extensions: false,
    sorts_downwards: false,
};

#[derive(Default)]
pub(super) struct Kept {
    /// The versions of a resource, oldest first; `None` is a deletion.
    pub(super) versions: BTreeMap<String, Vec<Option<String>>>,
    counted: BTreeMap<String, usize>,
}

fn number(tag: &str) -> usize {
    tag.trim_start_matches("W/").trim_matches('"').parse().unwrap()
}

/// Returns the resource as shown: with its version, and with the server's additions.
fn shown(lax: Lax, body: &str, version: usize) -> String {
    let source = if lax.adds_to_meta {
        format!(
            r#","extension":[{{"url":"https://server.example/source","valueUri":"urn:request:{version}"}}],"profile":["https://server.example/p"]"#
        )
    } else {
        String::new()
    };
    let meta = format!(r#""meta":{{"versionId":"{version}","lastUpdated":"2017-04-19T10:00:00Z"{source}}}"#);
    match serde_json::from_str::<Value>(body).ok().filter(|body| body.get("meta").is_some()) {
        // What a client sends of it is what the server added before.
        Some(mut whole) => {
            whole["meta"] = serde_json::from_str::<Value>(&format!("{{{meta}}}")).unwrap()["meta"].take();
            whole.to_string()
        }
        None => body.replacen(r#""resourceType""#, &format!(r#"{meta},"resourceType""#), 1),
    }
}

impl Kept {
    pub(super) fn answer(&mut self, lax: Lax, method: &str, place: &str, heard: &Heard) -> Say {
        match method {
            "PUT" => self.put(lax, place, heard),
            "DELETE" => self.delete(lax, place, heard),
            "GET" => self.get(lax, place),
            _ => say(405, ""),
        }
    }

    fn newest(&self, key: &str) -> Option<(usize, Option<&String>)> {
        let versions = self.versions.get(key)?;
        Some((versions.len(), versions.last()?.as_ref()))
    }

    fn put(&mut self, lax: Lax, key: &str, heard: &Heard) -> Say {
        let newest = self.newest(key).map(|(version, body)| (version, body.cloned()));
        let living = newest.as_ref().is_some_and(|(_, body)| body.is_some());
        if heard.header("if-none-match").is_some() && living && !lax.ignores_if_none_match {
            return say(412, "");
        }
        match (heard.header("if-match").map(number), &newest) {
            (Some(_), None) if !lax.creates_by_if_match => return say(412, ""),
            (Some(wanted), Some((version, _))) if *version != wanted && !lax.ignores_if_match => return say(409, ""),
            (Some(_), Some((_, None))) if !lax.creates_by_if_match => return say(412, ""),
            _ => {}
        }
        let mut body = heard.body.clone();
        if lax.drops_decimal_digits {
            body = body.replace("1.500", "1.5");
        }
        if lax.drops_nested_extensions {
            body = body.replace(r#"{"url":"count","valueUnsignedInt":3},"#, "");
        }
        if let Some((version, Some(old))) = &newest
            && lax.keeps_equal
            && *old == body
        {
            return say(200, shown(lax, &body, *version));
        }
        let versions = self.versions.entry(key.to_owned()).or_default();
        versions.push(Some(body.clone()));
        say(if living { 200 } else { 201 }, shown(lax, &body, versions.len()))
    }

    fn delete(&mut self, lax: Lax, key: &str, heard: &Heard) -> Say {
        let (key, by_address) = match key.split_once("/_history/") {
            Some((key, version)) => (key, Some(number(version))),
            None => (key, None),
        };
        if by_address.is_some() && !lax.deletes_by_address {
            return say(405, "");
        }
        let Some((version, Some(_))) = self.newest(key) else { return say(404, "") };
        let by_header = heard.header("if-match").map(number).filter(|_| !lax.ignores_if_match_of_delete);
        if by_address.or(by_header).is_some_and(|wanted| wanted != version) {
            return say(409, "");
        }
        self.versions.get_mut(key).unwrap().push(None);
        say(204, "")
    }

    fn get(&mut self, lax: Lax, place: &str) -> Say {
        let (path, query) = place.split_once('?').unwrap_or((place, ""));
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["metadata"] => say(200, statement("3.0.2")),
            [_, _, "_history"] => self.history(lax, path.trim_end_matches("/_history")),
            [kind, id, "_history", version] => {
                let (key, version) = (format!("{kind}/{id}"), number(version));
                match self.versions.get(&key).and_then(|versions| versions.get(version.wrapping_sub(1))) {
                    Some(Some(body)) => say(200, shown(lax, body, version)),
                    Some(None) => say(410, ""),
                    None => say(404, ""),
                }
            }
            [_, _] => match self.newest(path) {
                Some((version, Some(body))) => say(200, shown(lax, body, version)),
                Some((version, None)) => {
                    say(410, "").with("Location", format!("http://x.example/{path}/_history/{version}"))
                }
                None => say(404, ""),
            },
            _ => self.search(lax, path, query),
        }
    }

    fn history(&mut self, lax: Lax, key: &str) -> Say {
        let Some(versions) = self.versions.get(key) else { return say(404, "") };
        let count = *self.counted.entry(key.to_owned()).or_insert(versions.len());
        let count = if lax.counts_once { count } else { versions.len() };
        let entry = |(at, body): (usize, &Option<String>)| -> Value {
            let version = at + 1;
            match body {
                Some(body) => json!({"resource": serde_json::from_str::<Value>(&shown(lax, body, version)).unwrap(),
                    "request": {"method": "PUT", "url": key}}),
                None => json!({"request": {"method": "DELETE", "url": format!("{key}/_history/{version}")}}),
            }
        };
        let entries: Vec<Value> = versions.iter().enumerate().rev().take(count).map(entry).collect();
        bundle(&entries)
    }

    /// Supports `_id` and `identifier`, and returns everything for other parameters.
    fn search(&self, lax: Lax, kind: &str, query: &str) -> Say {
        let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut found = Vec::new();
        for (key, versions) in &self.versions {
            let Some((of, id)) = key.split_once('/') else { continue };
            let Some(Some(body)) = versions.last() else { continue };
            let wanted = |value: &String| value.split('|').next_back().unwrap().to_owned();
            let has = |value: String| match lax.minds_case {
                true => body.contains(&value),
                false => body.to_lowercase().contains(&value.to_lowercase()),
            };
            let by_identifier = pairs.get("identifier").map(wanted).is_none_or(|value| value.is_empty() || has(value));
            let by_id = pairs.get("_id").is_none_or(|ids| ids.split(',').any(|one| one == id));
            if of == kind && by_identifier && by_id {
                let resource: Value = serde_json::from_str(&shown(lax, body, versions.len())).unwrap();
                found.push(json!({"resource": resource}));
            }
        }
        if lax.sorts_downwards {
            found.reverse();
        }
        bundle(&found)
    }
}

fn bundle(entries: &[Value]) -> Say {
    say(200, json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string())
}

fn statement(version: &str) -> String {
    let codes: Vec<Value> = ["read", "vread", "update", "delete", "search-type", "history-instance"]
        .map(|code| json!({"code": code}))
        .to_vec();
    let resource = |kind: &str| json!({"type": kind, "interaction": codes, "versioning": "versioned"});
    let resources = ["Device", "DeviceComponent", "DeviceMetric"].map(resource);
    json!({"resourceType": "CapabilityStatement", "fhirVersion": version, "format": ["json"],
        "rest": [{"mode": "server", "resource": resources}]})
    .to_string()
}

/// Starts a server that breaks these rules, for any tenant.
async fn start(lax: Lax) -> Odd {
    let all = Mutex::new(BTreeMap::<String, Kept>::new());
    Odd::start(move |heard| {
        let (method, place) = heard.line.split_once(' ').unwrap();
        let (tenant, place) = place.trim_start_matches('/').split_once('/').unwrap();
        all.lock().unwrap().entry(tenant.to_owned()).or_default().answer(lax, method, place, heard)
    })
    .await
}

async fn connect(odd: &Odd) -> Result<FhirServer> {
    let options = Options::new().with_timeout(Duration::from_secs(2)).with_max_answer(4 << 20);
    options.connect(&format!("http://{}/{{tenant}}", odd.address), &"ward".parse().unwrap()).await
}

/// Returns the broken clauses over a server, and the skipped ones of some numbers.
fn clauses(store: FhirServer, of: &[&str]) -> (Vec<&'static str>, Vec<&'static str>) {
    let store = Dressed(store);
    let trial = StoreUnderTest::new(&store as &dyn ResourceStore, &block_on);
    let (mut broken, mut skipped) = (Vec::new(), Vec::new());
    for clause in resources::CLAUSES.iter().filter(|clause| of.iter().any(|of| clause.name.starts_with(of))) {
        match (clause.check)(&trial) {
            Ok(ClauseOutcome::Held) => {}
            Ok(ClauseOutcome::Skipped(_)) => skipped.push(clause.name),
            Err(why) => {
                println!("{why}");
                broken.push(clause.name);
            }
        }
    }
    (broken, skipped)
}

const ALL: [&str; 13] =
    ["r1_", "r2_", "r3_", "r4_", "r5_", "r6_", "r8_foreign", "r9_", "r10_", "r11_", "r12_", "r13_", "r15_"];
/// The skipped clauses of a server with one write per commit, whose times are not in order.
const SKIPPED: [&str; 8] = [
    "r1_refused_commit_writes_nothing",
    "r1_commit_returns_versions_in_order",
    "r1_commit_is_visible_as_a_whole",
    "r1_commit_with_a_duplicate_key_is_refused",
    "r2_first_failing_write_is_named",
    "r5_history_without_the_capability_is_unsupported",
    "r13_last_updated_never_decreases",
    "r15_pruned_history_keeps_the_newest_versions",
];

#[test]
fn contract_holds_over_lax_servers() {
    let by_header = Lax { ignores_if_match_of_delete: false, ..LIKE_HAPI };
    let strict_if_match = Lax { ignores_if_none_match: false, creates_by_if_match: false, ..LIKE_HAPI };
    for lax in [LIKE_HAPI, by_header, strict_if_match, Lax::default()] {
        let odd = RUNTIME.block_on(start(lax));
        let store = RUNTIME.block_on(connect(&odd)).unwrap();
        let can = store.capabilities();
        assert!(can.conditional_create && can.conditional_delete && can.max_writes == 1, "{lax:?}: {can:?}");
        assert_eq!(clauses(store, &ALL), (vec![], SKIPPED.to_vec()), "{lax:?}");
    }
}

#[test]
fn probe_leaves_nothing_behind() {
    RUNTIME.block_on(async {
        let odd = start(LIKE_HAPI).await;
        let store = connect(&odd).await.unwrap();
        for kind in ResourceType::ALL {
            let found = store.search(&"ward".parse().unwrap(), &Search::new(kind)).await.unwrap();
            assert!(found.items.is_empty(), "{found:?}");
        }
    });
}

#[test]
fn condition_that_never_holds_is_declared_away() {
    let lax = Lax { creates_by_if_match: false, deletes_by_address: false, ..LIKE_HAPI };
    let odd = RUNTIME.block_on(start(lax));
    let store = RUNTIME.block_on(connect(&odd)).unwrap();
    let can = store.capabilities();
    assert!(!can.conditional_create && !can.conditional_delete && can.max_writes == 1, "{can:?}");
    let mut skipped = SKIPPED.to_vec();
    skipped.insert(5, "r2_of_concurrent_creators_one_wins");
    assert_eq!(clauses(store, &ALL), (vec![], skipped));
}

fn fault(error: StoreError) -> ServerFault {
    match &error {
        StoreError::Backend { source, .. } | StoreError::Indeterminate { source: Some(source), .. } => {
            source.downcast_ref::<ServerFault>().unwrap_or_else(|| panic!("{error:?}")).clone()
        }
        _ => panic!("{error:?}"),
    }
}

/// Returns the error of a refused server, which must name the tenant.
async fn refused(odd: &Odd) -> StoreError {
    let error = connect(odd).await.unwrap_err();
    assert!(error.subject().is_some_and(|subject| subject.tenant().as_str() == "ward"), "{error:?}");
    error
}

#[tokio::test]
async fn server_that_changes_elements_is_refused_by_their_name() {
    let odd = start(Lax { drops_decimal_digits: true, ..LIKE_HAPI }).await;
    let at = "DeviceComponent.extension[0].extension[4].valueDecimal".to_owned();
    assert_eq!(fault(refused(&odd).await), ServerFault::ElementLost { at });
    let odd = start(Lax { drops_nested_extensions: true, ..LIKE_HAPI }).await;
    let lost = fault(refused(&odd).await);
    assert!(
        matches!(&lost, ServerFault::ElementLost { at } if at.starts_with("DeviceComponent.extension[0].extension[2]")),
        "{lost}"
    );
}

#[tokio::test]
async fn server_without_conditional_updates_is_refused() {
    let odd = start(Lax { ignores_if_match: true, ..LIKE_HAPI }).await;
    assert!(matches!(fault(refused(&odd).await), ServerFault::ConditionIgnored { .. }));
}

#[tokio::test]
async fn what_is_no_such_server_is_refused() {
    let odd = Odd::start(|_| say(200, statement("4.0.1"))).await;
    let ServerFault::Lacking { what } = fault(refused(&odd).await) else { panic!("another fault") };
    assert_eq!(what, [MissingCapability::Version { found: "4.0.1".into(), wanted: "3.0" }]);
    // The right words, and then the same to everything; HTML; an empty answer; more than is heard.
    for after in [say(200, "{}"), say(200, statement("3.0.2")), html(200), say(200, ""), say(201, "null"), html(500)] {
        let said = after.clone();
        let odd = Odd::start(move |heard: &Heard| match heard.line.ends_with("/metadata") {
            true => say(200, statement("3.0.2")),
            false => said.clone(),
        })
        .await;
        let error = refused(&odd).await;
        assert!(matches!(error, StoreError::Backend { .. } | StoreError::Indeterminate { .. }), "{after:?}: {error:?}");
    }
    for said in [html(200), say(200, "[]"), say(200, "x".repeat(1 << 20)), say(500, ""), say(302, "")] {
        let odd = Odd::start(move |_| said.clone()).await;
        assert!(matches!(refused(&odd).await, StoreError::Backend { .. }));
    }
    let huge = Odd::start(|_| say(200, " ".repeat(5 << 20))).await;
    assert!(matches!(fault(refused(&huge).await), ServerFault::TooLarge { .. }));
    let slow = Odd::start(|_| Say::Nothing).await;
    assert!(matches!(refused(&slow).await, StoreError::Unavailable { .. }));
}

/// An answer that shows the result of another write is not trusted.
#[tokio::test]
async fn answer_of_another_write_is_not_believed() {
    let odd = Odd::start(|_| {
        say(200, r#"{"resourceType":"Device","id":"p","meta":{"versionId":"2","lastUpdated":"2017-04-19T10:00:00Z"},"model":"P9"}"#)
    })
    .await;
    let store = Options::new().trust_if_match().at(&format!("http://{}/{{tenant}}", odd.address)).unwrap();
    let key = Key::new(ResourceType::Device, "p").unwrap();
    let body = r#"{"resourceType":"Device","id":"p","model":"P9"}"#;
    let write = Write::update(key, VersionId::FIRST, body, IndexEntries::new());
    let unknown = store.commit(&"ward".parse().unwrap(), vec![write]).await.unwrap_err().error;
    assert_eq!(unknown.applied(), Applied::Unknown);
    assert_eq!(fault(unknown), ServerFault::WriteIdLost);
}

/// The requests of one story, and those of a client without checks.
#[tokio::test]
async fn requests_are_those_of_a_bare_client() {
    let odd = start(LIKE_HAPI).await;
    let store = TenantResources::new(std::sync::Arc::new(connect(&odd).await.unwrap()), "ward".parse().unwrap());
    let before = odd.lines().len();
    let (mut bare, body) = (0, |n: usize| format!(r#"{{"resourceType":"Device","id":"p","model":"{n}"}}"#));
    let write = |n: usize, when| {
        let device = fhir_devices::Device::from_json(body(n).as_bytes()).unwrap();
        fhir_devices::Valid::new(device).unwrap().write(when).unwrap().with_id(WriteId(n as u128))
    };
    let mut version = store.write_resolved(write(0, Precondition::Absent)).await.unwrap().version;
    bare += 1;
    let key = Key::new(ResourceType::Device, "p").unwrap();
    for n in 1..30 {
        version = store.write_resolved(write(n, Precondition::Version(version))).await.unwrap().version;
        version = store.read(&key).await.unwrap().version.max(version);
        store.all(Search::new(ResourceType::Device).and(Criterion::Id("p".into()))).await.unwrap();
        bare += 3;
    }
    let sent = odd.lines().len() - before;
    assert!(sent * 10 <= bare * 11, "{sent} requests, and a bare client needs {bare}");
}

/// The life of updates in a component: each upload needs the device, the components of it, those below them, and a write; each
/// withdrawal a read and a write.
#[tokio::test]
async fn updates_take_the_requests_of_a_bare_client() {
    let odd = start(LIKE_HAPI).await;
    let tenant: Tenant = "ward".parse().unwrap();
    let remote = std::sync::Arc::new(connect(&odd).await.unwrap());
    let store = TenantResources::new(remote.clone(), tenant.clone());
    let pump = fhir_devices::Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#).unwrap();
    store.create(&fhir_devices::Valid::new(pump).unwrap()).await.unwrap();
    let part = br#"{"resourceType":"DeviceComponent","id":"part","identifier":{"value":"1"},"type":{"text":"x"},
        "source":{"reference":"Device/pump"}}"#;
    let part = fhir_devices::DeviceComponent::from_json(part).unwrap();
    store.create(&fhir_devices::Valid::new(part).unwrap()).await.unwrap();
    let here = std::sync::Arc::new(fhir_devices::backend::Memory::new());
    let service = fhir_devices::service::UpdateService::new(remote, here.clone(), here).unwrap();
    let (before, mut bare, mut updates) = (odd.lines().len(), 0, Vec::new());
    for n in 0..10 {
        let submission = fhir_devices::service::Submission::new(
            "pump".parse().unwrap(),
            format!("{n}.bin").parse().unwrap(),
            "application/zip".parse().unwrap(),
        );
        let received = service.receive(&tenant, submission, stream::once(format!("bytes {n}"))).await.unwrap();
        updates.push(received.update.id);
        bare += 4;
    }
    for id in updates.into_iter().skip(7) {
        service.withdraw(&tenant, id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();
        bare += 2;
    }
    let lines = odd.lines();
    let sent = lines.len() - before;
    assert!(sent * 10 <= bare * 11, "{sent} requests, and a bare client needs {bare}: {:?}", &lines[before..]);
}
