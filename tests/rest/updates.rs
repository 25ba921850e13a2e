//! The updates of a component belong to their service: writes of a client cannot add, change or remove one.

use super::client::{Client, json, rules, text};
use bytes::Bytes;
use fhir_devices::DeviceComponent;
use fhir_devices::backend::Memory;
use fhir_devices::manifest::IngestId;
use fhir_devices::primitive::Id;
use fhir_devices::rest::{KnownUpdate, KnownUpdates, Request, Server};
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::ingest::State;
use fhir_devices::update::{AVAILABLE_UPDATE, AvailableUpdate, UpdateStatus, available};
use fhir_devices::validate::Valid;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) type Updates = UpdateService<Memory, Memory, Memory>;

fn tenant() -> Tenant {
    "ward".parse().unwrap()
}

fn part(id: &str) -> Value {
    json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"system": "urn:handle", "value": id},
        "type": {"text": "pump"}, "source": {"reference": "Device/pump"}})
}

/// A pump with the component `mds`, to which an update is attached.
pub(crate) async fn pump() -> (Client, Updates, AvailableUpdate) {
    pump_in(Arc::new(Memory::new())).await
}

async fn pump_in(memory: Arc<Memory>) -> (Client, Updates, AvailableUpdate) {
    let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    let store: Arc<dyn ResourceStore> = memory;
    let server = Server::new(TenantResources::new(store, tenant()), super::client::BASE);
    let client = Client(server.with_known_updates(Arc::new(updates.clone())));
    client.put(&json!({"resourceType": "Device", "id": "pump"})).await;
    client.put(&part("mds")).await;
    let update = attach(&updates, "2.4.bin").await;
    (client, updates, update)
}

async fn attach(updates: &Updates, name: &str) -> AvailableUpdate {
    let mut submission =
        Submission::new("pump".parse().unwrap(), name.parse().unwrap(), "application/zip".parse().unwrap());
    submission.target = fhir_devices::containment::Selector::Component("mds".parse().unwrap());
    updates.receive(&tenant(), submission, stream::once(name.to_owned())).await.unwrap().update
}

async fn now(client: &Client, id: &str) -> Value {
    json(&client.get(&format!("DeviceComponent/{id}")).await)
}

pub(crate) fn of(component: &Value) -> Vec<AvailableUpdate> {
    let component = DeviceComponent::from_json(component.to_string().as_bytes()).unwrap();
    available(&component).map(Result::unwrap).collect()
}

fn forged(id: IngestId) -> Value {
    json!({"url": AVAILABLE_UPDATE, "extension": [
        {"url": "id", "valueId": id.to_string()},
        {"url": "status", "valueCode": "current"},
        {"url": "sha-256", "valueString": "0".repeat(64)},
        {"url": "size", "valueDecimal": 3},
        {"url": "file", "valueAttachment": {"contentType": "application/zip", "url": "https://evil.example/x",
            "size": 3, "title": "x.bin"}},
    ]})
}

/// Replaces the component in every way that a client has: the answer shows its new state, where it shows one.
async fn replaced(client: &Client, body: &Value) -> Vec<(&'static str, u16, Value)> {
    let tag = client.get("DeviceComponent/mds").await.header("etag").unwrap().to_owned();
    let mut bare = body.clone();
    bare.as_object_mut().unwrap().remove("id");
    let mut answers = Vec::new();
    for (how, line, headers, sent) in [
        ("put", "PUT DeviceComponent/mds", vec![], body),
        ("put, if-match any", "PUT DeviceComponent/mds", vec![("If-Match", "*")], body),
        ("conditional", "PUT DeviceComponent?identifier=urn:handle|mds", vec![], &bare),
    ] {
        let answer = client.send(line, &headers, &sent.to_string()).await;
        answers.push((how, answer.status, json(&answer)));
    }
    let answer = client.send("PUT DeviceComponent/mds", &[("If-Match", &tag)], &body.to_string()).await;
    assert!([409, 422].contains(&answer.status), "the version is an old one by now: {}", text(&answer));
    let tag = client.get("DeviceComponent/mds").await.header("etag").unwrap().to_owned();
    let answer = client.send("PUT DeviceComponent/mds", &[("If-Match", &tag)], &body.to_string()).await;
    answers.push(("put, if-match", answer.status, json(&answer)));
    for (how, kind, url) in [
        ("batch", "batch", "DeviceComponent/mds"),
        ("transaction", "transaction", "DeviceComponent/mds"),
        ("conditional in a transaction", "transaction", "DeviceComponent?identifier=urn:handle|mds"),
    ] {
        let resource = if how.starts_with("cond") { &bare } else { body };
        let bundle = json!({"resourceType": "Bundle", "type": kind,
            "entry": [{"resource": resource, "request": {"method": "PUT", "url": url}}]});
        let answer = client.send("POST ", &[("Prefer", "return=representation")], &bundle.to_string()).await;
        let whole = json(&answer);
        let response = &whole["entry"][0]["response"];
        let status = response["status"].as_str().and_then(|status| status.get(..3)?.parse().ok());
        let outcome = if response["outcome"].is_null() { &whole["entry"][0]["resource"] } else { &response["outcome"] };
        let outcome = if kind == "transaction" && answer.status >= 400 { &whole } else { outcome };
        answers.push((how, status.unwrap_or(answer.status), outcome.clone()));
    }
    answers
}

#[tokio::test]
async fn omitted_update_is_kept() {
    let (client, _, update) = pump().await;
    let mut own = part("mds");
    own["extension"] = json!([{"url": "https://acme.example/hours", "valueDecimal": 7}]);
    for (how, status, answer) in replaced(&client, &own).await {
        assert_eq!((status, of(&answer)), (200, vec![update.clone()]), "{how}: {answer}");
        assert_eq!(answer["extension"][0]["url"], "https://acme.example/hours", "{how}");
        assert_eq!(of(&now(&client, "mds").await), std::slice::from_ref(&update), "{how}");
    }
}

#[tokio::test]
async fn unknown_update_is_refused_with_its_path() {
    let (client, _, update) = pump().await;
    let mut own = now(&client, "mds").await;
    own["extension"].as_array_mut().unwrap().push(forged(IngestId(7)));
    let refused = replaced(&client, &own).await;
    for (how, status, answer) in &refused {
        assert_eq!((*status, rules(answer)), (422, vec!["available-update".to_owned()]), "{how}: {answer}");
        let place = answer["issue"][0]["expression"][0].as_str().unwrap();
        assert!(
            ["DeviceComponent.extension[1]", "Bundle.entry[0].resource.extension[1]"].contains(&place),
            "{how}: {place}"
        );
    }
    assert_eq!(refused.len(), 7);
    let mut no_id = own.clone();
    no_id["extension"][1]["extension"].as_array_mut().unwrap().remove(0);
    assert_eq!(client.refused("PUT DeviceComponent/mds", &[], &no_id.to_string(), 422).await, ["available-update"]);
    let mut fresh = part("new");
    fresh["extension"] = json!([forged(update.id)]);
    assert_eq!(client.refused("POST DeviceComponent", &[], &fresh.to_string(), 422).await, ["available-update"]);
    // It is an update of another component.
    assert_eq!(client.refused("PUT DeviceComponent/new", &[], &fresh.to_string(), 422).await, ["available-update"]);
    let if_none = [("If-None-Exist", "identifier=urn:handle|new")];
    assert_eq!(client.refused("POST DeviceComponent", &if_none, &fresh.to_string(), 422).await, ["available-update"]);
    assert_eq!(of(&now(&client, "mds").await), [update]);
}

#[tokio::test]
async fn changed_copy_of_an_update_is_corrected() {
    let (client, _, update) = pump().await;
    let mut own = part("mds");
    own["extension"] = json!([
        {"url": "https://acme.example/first", "valueCode": "a"},
        forged(update.id),
        forged(update.id),
        {"url": "https://acme.example/second", "valueCode": "b"},
    ]);
    for (how, status, answer) in replaced(&client, &own).await {
        assert_eq!((status, of(&answer)), (200, vec![update.clone()]), "{how}: {answer}");
        let urls: Vec<_> =
            answer["extension"].as_array().unwrap().iter().map(|one| one["url"].as_str().unwrap()).collect();
        assert_eq!(urls, ["https://acme.example/first", AVAILABLE_UPDATE, "https://acme.example/second"], "{how}");
    }
}

/// Copies of the update in a component that say more than the update.
fn copies_with_more(own: &Value) -> Vec<Value> {
    let elsewhere = json!({"url": "file", "valueAttachment": {"contentType": "application/zip",
        "url": "https://evil.example/x", "size": 3, "title": "x.bin"}});
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut copy = own.clone();
        change(&mut copy);
        copy
    };
    let file = own["extension"].as_array().unwrap().iter().position(|part| part["url"] == "file").unwrap();
    vec![
        changed(&|copy| copy["extension"].as_array_mut().unwrap().push(elsewhere.clone())),
        changed(&|copy| {
            copy["extension"].as_array_mut().unwrap().push(json!({"url": "status", "valueCode": "withdrawn"}))
        }),
        changed(&|copy| {
            copy["extension"]
                .as_array_mut()
                .unwrap()
                .push(json!({"url": "https://acme.example/a", "valueUri": "urn:b"}))
        }),
        changed(&|copy| copy["extension"][file]["valueAttachment"]["data"] = json!("AAAAAAAAAA==")),
        changed(&|copy| copy["extension"][file]["valueAttachment"]["hash"] = json!("AAAA")),
        changed(&|copy| copy["extension"][file]["valueAttachment"]["size"] = json!(4)),
        changed(&|copy| {
            let extension = json!([{"url": "https://acme.example/a", "valueUri": "urn:b"}]);
            copy["extension"][file]["valueAttachment"]["_url"] = json!({"extension": extension});
        }),
    ]
}

#[tokio::test]
async fn copy_that_says_more_than_the_update_is_replaced() {
    let (client, _, _) = pump().await;
    let stored = now(&client, "mds").await["extension"].clone();
    let mut copies = copies_with_more(&stored[0]);
    let mut with_id = stored[0].clone();
    with_id["id"] = json!("x");
    copies.push(with_id);
    for copy in copies {
        let mut own = part("mds");
        own["extension"] = json!([copy]);
        for (how, status, answer) in replaced(&client, &own).await {
            assert_eq!((status, &answer["extension"]), (200, &stored), "{how}: {answer}");
        }
        // Where there is none any more, a copy is taken only if it is exact.
        assert_eq!(client.send("DELETE DeviceComponent/mds", &[], "").await.status, 204);
        let made = client.put(&own).await;
        assert_eq!((made.status, of(&json(&made))), (201, vec![]), "{own}");
        own["extension"] = stored.clone();
        assert_eq!(json(&client.put(&own).await)["extension"], stored);
    }
}

#[tokio::test]
async fn reference_that_says_more_than_the_update_is_shown_without() {
    let (client, _, _) = pump().await;
    let own = now(&client, "mds").await;
    for copy in copies_with_more(&own["extension"][0]) {
        let mut body = own.clone();
        body["extension"] = json!([copy]);
        overwrite(&client, &body).await;
        assert_eq!(now(&client, "mds").await["extension"], own["extension"], "{copy}");
    }
}

#[tokio::test]
async fn update_order_among_extensions_is_kept() {
    let (client, updates, first) = pump().await;
    let second = attach(&updates, "2.5.bin").await;
    let stored = of(&now(&client, "mds").await);
    assert_eq!(stored.iter().map(|update| update.id).collect::<Vec<_>>(), [first.id, second.id]);
    let mut own = part("mds");
    let foreign = json!({"url": "https://acme.example/x", "valueCode": "a"});
    own["extension"] = json!([forged(second.id), foreign, forged(first.id)]);
    let answer = json(&client.put(&own).await);
    assert_eq!(of(&answer), stored);
    assert_eq!(answer["extension"][1], foreign);
    own["extension"] = json!([foreign, forged(second.id), foreign]);
    let answer = json(&client.put(&own).await);
    assert_eq!(of(&answer), stored);
    assert_eq!((&answer["extension"][0], &answer["extension"][2]), (&foreign, &foreign));
}

#[tokio::test]
async fn stale_copy_does_not_restore_a_withdrawn_update() {
    let (client, updates, update) = pump().await;
    let own = now(&client, "mds").await;
    updates.withdraw(&tenant(), update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();
    let withdrawn = of(&now(&client, "mds").await);
    assert!(withdrawn.iter().all(|update| update.status.as_str() != "current"));
    for (how, status, answer) in replaced(&client, &own).await {
        assert_eq!((status, of(&answer)), (200, withdrawn.clone()), "{how}: {answer}");
    }
}

#[tokio::test]
async fn update_url_elsewhere_is_refused() {
    let (client, _, update) = pump().await;
    let ext = || forged(update.id);
    let other = |inner: Value| json!([{"url": "https://acme.example/x", "extension": [inner]}]);
    let mut nested = part("mds");
    nested["extension"] = other(ext());
    let mut modifier = part("mds");
    modifier["modifierExtension"] = json!([ext()]);
    let mut on_element = part("mds");
    on_element["type"]["extension"] = json!([ext()]);
    let mut on_primitive = part("mds");
    on_primitive["_id"] = json!({"extension": [ext()]});
    let mut contained = part("mds");
    let mut inside = part("inside");
    inside["extension"] = json!([ext()]);
    contained["contained"] = json!([inside]);
    contained["parent"] = json!({"reference": "#inside"});
    let mut unknown = part("mds");
    unknown["contained"] = json!([{"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": [ext()]}]);
    unknown["extension"] = json!([{"url": "https://acme.example/b", "valueReference": {"reference": "#b"}}]);
    let device = json!({"resourceType": "Device", "id": "pump", "extension": [ext()]});
    let metric = json!({"resourceType": "DeviceMetric", "id": "m", "identifier": {"value": "m"}, "type": {"text": "m"},
        "category": "setting", "extension": [ext()]});
    for (body, place) in [
        (nested, "DeviceComponent.extension[0].extension[0]"),
        (modifier, "DeviceComponent.modifierExtension[0]"),
        (on_element, "DeviceComponent.type.extension[0]"),
        (on_primitive, "DeviceComponent.id.extension[0]"),
        (contained, "DeviceComponent.contained[0].extension[0]"),
        (unknown, "DeviceComponent.contained[0]"),
        (device, "Device.extension[0]"),
        (metric, "DeviceMetric.extension[0]"),
    ] {
        let line = format!("PUT {}/{}", body["resourceType"].as_str().unwrap(), body["id"].as_str().unwrap());
        let answer = client.send(&line, &[], &body.to_string()).await;
        assert_eq!(
            (answer.status, rules(&json(&answer))),
            (422, vec!["available-update".to_owned()]),
            "{}",
            text(&answer)
        );
        assert_eq!(json(&answer)["issue"][0]["expression"][0], place);
    }
}

#[tokio::test]
async fn patch_cannot_change_updates() {
    let (client, updates, update) = pump().await;
    let kind = [("Content-Type", "application/json-patch+json")];
    let send = async |patch: Value| client.send("PATCH DeviceComponent/mds", &kind, &patch.to_string()).await;
    let whole = json!([{"op": "remove", "path": "/extension"}]);
    let url = "/extension/0/extension/4/valueAttachment/url";
    let changed = json!([{"op": "replace", "path": url, "value": "https://evil.example/x"}]);
    for patch in [whole, json!([{"op": "remove", "path": "/extension/0"}]), changed] {
        let answer = send(patch.clone()).await;
        let there = (answer.status, of(&json(&answer)));
        assert_eq!(there, (200, vec![update.clone()]), "{patch}: {}", text(&answer));
    }
    for add in ["/extension/-", "/extension/0"] {
        let answer = send(json!([{"op": "add", "path": add, "value": forged(IngestId(7))}])).await;
        assert_eq!((answer.status, rules(&json(&answer))), (422, vec!["available-update".to_owned()]), "{add}");
    }
    let misplaced = json!([{"op": "add", "path": "/modifierExtension", "value": [forged(update.id)]}]);
    assert_eq!(send(misplaced).await.status, 422);
    let condition = client
        .send("PATCH DeviceComponent?identifier=urn:handle|mds", &kind, r#"[{"op":"remove","path":"/extension"}]"#)
        .await;
    assert_eq!((condition.status, of(&json(&condition))), (200, vec![update.clone()]));
    // A copy in another place among the extensions is a copy, and one that is made twice is there once.
    let answer = send(json!([{"op": "copy", "from": "/extension/0", "path": "/extension/-"}])).await;
    assert_eq!((answer.status, of(&json(&answer))), (200, vec![update.clone()]));
    attach(&updates, "2.5.bin").await;
    assert_eq!(of(&json(&send(json!([{"op": "remove", "path": "/extension"}])).await)).len(), 2);
}

/// Another program writes its copy into the store, past the service and the REST API.
async fn overwrite(client: &Client, body: &Value) {
    let component = DeviceComponent::from_json(body.to_string().as_bytes()).unwrap();
    let write = Valid::new(component).unwrap().write(Precondition::Exists).unwrap();
    client.0.store().write(write).await.unwrap();
}

#[tokio::test]
async fn reference_unknown_to_the_ledger_is_hidden() {
    let (client, updates, update) = pump().await;
    client.put(&part("other")).await;
    let other = json!({"url": "https://acme.example/hours", "valueDecimal": 7.50});
    let mut body = now(&client, "mds").await;
    let own = body["extension"][0].clone();
    let without_id = json!({"url": AVAILABLE_UPDATE, "extension": [{"url": "status", "valueCode": "current"}]});
    body["extension"] = json!([forged(IngestId(7)), other, own, own, without_id]);
    overwrite(&client, &body).await;
    let mut elsewhere = part("other");
    elsewhere["extension"] = json!([own]);
    overwrite(&client, &elsewhere).await;

    let there = |resource: &Value| {
        let urls: Vec<_> =
            resource["extension"].as_array().into_iter().flatten().map(|one| one["url"].clone()).collect();
        (of(resource), urls)
    };
    let truth = (vec![update.clone()], vec![json!("https://acme.example/hours"), json!(AVAILABLE_UPDATE)]);
    let read = client.get("DeviceComponent/mds").await;
    assert_eq!((there(&json(&read)), read.header("etag")), (truth.clone(), Some("W/\"3\"")));
    assert_eq!(json(&read)["meta"]["versionId"], "3");
    let known = client.send("GET DeviceComponent/mds", &[("If-None-Match", "W/\"3\"")], "").await;
    assert_eq!(known.status, 304);
    for url in [
        "DeviceComponent?identifier=urn:handle|mds",
        "DeviceComponent?_id=mds",
        "DeviceComponent/mds/_history",
        "Device?_id=pump&_revinclude=DeviceComponent:source",
    ] {
        let bundle = client.bundle(url).await;
        let entries = bundle["entry"].as_array().unwrap();
        let found = entries.iter().find(|entry| entry["resource"]["id"] == "mds").unwrap();
        assert_eq!(there(&found["resource"]), truth, "{url}");
        let other = entries.iter().find(|entry| entry["resource"]["id"] == "other");
        assert!(other.is_none_or(|other| of(&other["resource"]).is_empty()), "{url}");
    }
    assert_eq!(there(&json(&client.get("DeviceComponent/mds/_history/3").await)), truth);
    assert!(of(&now(&client, "other").await).is_empty());
    let batch = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "DeviceComponent/mds"}}]});
    let answer = json(&client.send("POST ", &[], &batch.to_string()).await);
    assert_eq!(there(&answer["entry"][0]["resource"]), truth);
    // What a client makes of what it is shown is taken, and shown in the same way.
    let mut shown = now(&client, "mds").await;
    shown["languageCode"] = json!({"text": "de"});
    let written = client.put(&shown).await;
    assert_eq!((written.status, there(&json(&written)).0), (200, vec![update.clone()]));
    let patch = r#"[{"op":"test","path":"/extension/1/extension/0/valueId","value":"ID"},{"op":"remove","path":"/languageCode"}]"#;
    let patch = patch.replace("ID", &update.id.to_string());
    let kind = [("Content-Type", "application/json-patch+json")];
    let patched = client.send("PATCH DeviceComponent/mds", &kind, &patch).await;
    assert_eq!((patched.status, there(&json(&patched)).0), (200, vec![update.clone()]), "{}", text(&patched));
    // It is still in the store, where the service that owns the updates finds it.
    let stored = client.0.store().read(&"DeviceComponent/mds".parse().unwrap()).await.unwrap();
    assert_eq!(DeviceComponent::from_version(&stored).unwrap().extension.len(), 4);
    // Where the answer to an upload shows the component, it shows no more.
    let later = attach(&updates, "2.5.bin").await;
    assert_eq!(
        of(&now(&client, "mds").await).iter().map(|update| update.id).collect::<Vec<_>>(),
        [update.id, later.id]
    );
}

#[tokio::test]
async fn changed_reference_is_shown_from_the_ledger() {
    let memory = Arc::new(Memory::new());
    let (client, updates, update) = pump_in(memory.clone()).await;
    let mut body = part("mds");
    body["extension"] = json!([forged(update.id)]);
    overwrite(&client, &body).await;
    assert_eq!(of(&now(&client, "mds").await), std::slice::from_ref(&update));
    // In an escape, it is found too.
    let hidden = body.to_string().replace("available-update", "available\\u002dupdate");
    let key: Key = "DeviceComponent/mds".parse().unwrap();
    let index = DeviceComponent::from_json(body.to_string().as_bytes()).unwrap().index();
    let write = Write::put(key, hidden, index);
    memory.commit(&tenant(), vec![write]).await.unwrap();
    assert_eq!(of(&now(&client, "mds").await), std::slice::from_ref(&update));
    // The recall is shown, whatever the component says.
    updates.withdraw(&tenant(), update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();
    let stale = {
        let mut stale = part("mds");
        stale["extension"] = json!([of_json(&update)]);
        stale
    };
    overwrite(&client, &stale).await;
    let shown = of(&now(&client, "mds").await);
    assert_eq!(shown.iter().map(|update| update.status.as_str()).collect::<Vec<_>>(), ["withdrawn"]);
}

fn of_json(update: &AvailableUpdate) -> Value {
    let mut component = DeviceComponent::from_json(part("mds").to_string().as_bytes()).unwrap();
    component.extension.push(update.to_extension());
    serde_json::from_str::<Value>(&component.to_json()).unwrap()["extension"][0].clone()
}

/// Counts its calls.
struct Counting(Updates, AtomicU32);

impl KnownUpdates for Counting {
    fn known<'a>(
        &'a self,
        tenant: &'a Tenant,
        of: &'a BTreeSet<(Id, IngestId)>,
    ) -> BoxFuture<'a, Result<BTreeMap<(Id, IngestId), KnownUpdate>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.known(tenant, of)
    }
}

#[tokio::test]
async fn updates_of_a_page_are_looked_up_once() {
    let (client, updates, _) = pump().await;
    for at in 0..20 {
        client.put(&part(&format!("part-{at}"))).await;
    }
    let counting = Arc::new(Counting(updates.clone(), AtomicU32::new(0)));
    let client = Client(client.0.with_known_updates(counting.clone()));
    for (url, asked) in [
        ("DeviceComponent/part-0", 0),
        ("DeviceComponent?_id=part-0,part-1", 0),
        ("Device/pump", 0),
        ("DeviceComponent/part-0/_history/1", 0),
        ("DeviceComponent/mds", 1),
        ("DeviceComponent?_count=50", 1),
        ("DeviceComponent/mds/_history", 1),
    ] {
        counting.1.store(0, Ordering::Relaxed);
        assert_eq!(client.get(url).await.status, 200);
        assert_eq!(counting.1.load(Ordering::Relaxed), asked, "{url}");
    }
    for body in [part("part-0"), now(&client, "mds").await] {
        counting.1.store(0, Ordering::Relaxed);
        client.put(&body).await;
        let asked = u32::from(body["id"] == "mds");
        assert_eq!(counting.1.load(Ordering::Relaxed), asked, "a write asks only for what it shows");
    }
}

#[tokio::test]
async fn write_may_attach_only_the_pending_update() {
    let memory = Arc::new(Memory::new());
    let (client, updates, first) = pump_in(memory.clone()).await;
    let waiting = stored_upload(memory, &updates, "2.5.bin").await;
    let ingest = updates.upload(&tenant(), waiting.id).await.unwrap();
    assert!(matches!(ingest.state, State::Stored { target: Some(_), .. }), "{:?}", ingest.state);
    let superseded = first.clone().with_status(UpdateStatus::Superseded);
    let send = async |updates: &[&AvailableUpdate]| {
        let mut body = part("mds");
        body["extension"] = updates.iter().map(|update| of_json(update)).collect();
        client.send("PUT DeviceComponent/mds", &[], &body.to_string()).await
    };
    // Nothing else than what the ledger has of it, and nothing that goes without its predecessor.
    let changes: [fn(&mut AvailableUpdate); 8] = [
        |update| update.file.url = "https://evil.example/x".parse().unwrap(),
        |update| update.file.title = "x.bin".parse().unwrap(),
        |update| update.sha256 = Sha256::of(b"evil"),
        |update| update.size = 8,
        |update| update.version = Some("9".parse().unwrap()),
        |update| update.sequence = Some(9),
        |update| update.status = UpdateStatus::Withdrawn,
        |update| update.restored = 1,
    ];
    for change in changes {
        let mut changed = waiting.clone();
        change(&mut changed);
        let answer = send(&[&superseded, &changed]).await;
        assert_eq!(answer.status, 422, "{changed:?}: {}", text(&answer));
        assert_eq!((answer.status, rules(&json(&answer))), (422, vec!["available-update".to_owned()]), "{changed:?}");
    }
    for updates in [&[&waiting][..], &[&first, &waiting]] {
        assert_eq!(send(updates).await.status, 422);
    }
    assert_eq!(of(&now(&client, "mds").await), std::slice::from_ref(&first));
    let answer = send(&[&superseded, &waiting]).await;
    assert_eq!((answer.status, of(&json(&answer))), (200, vec![superseded, waiting.clone()]), "{}", text(&answer));
    let resumed = updates.resume(&tenant(), waiting.id).await.unwrap();
    assert!(matches!(resumed.state, State::Attached { .. }), "{:?}", resumed.state);
}

/// An upload whose component is fixed, and whose reference is not written: the process ended before that.
async fn stored_upload(memory: Arc<Memory>, updates: &Updates, name: &str) -> AvailableUpdate {
    let frozen = Attaching { below: memory.clone(), updates: updates.clone(), left: AtomicU32::new(u32::MAX) };
    let failing: UpdateService<Attaching, Memory, Memory> =
        UpdateService::new(Arc::new(frozen), memory.clone(), memory).unwrap();
    let mut submission =
        Submission::new("pump".parse().unwrap(), name.parse().unwrap(), "application/zip".parse().unwrap());
    submission.target = fhir_devices::containment::Selector::Component("mds".parse().unwrap());
    failing.receive(&tenant(), submission, stream::once(name.to_owned())).await.unwrap_err();
    let page = failing.unfinished(&tenant(), NonZeroU32::MAX, None).await.unwrap();
    let of = page.items.iter().map(|id| ("mds".parse().unwrap(), *id)).collect();
    updates.known(&tenant(), &of).await.unwrap().into_values().next().unwrap().update.unwrap()
}

#[tokio::test]
async fn recreated_component_gets_its_updates() {
    let (client, updates, update) = pump().await;
    let own = now(&client, "mds").await;
    let delete = async || assert_eq!(client.send("DELETE DeviceComponent/mds", &[], "").await.status, 204);
    delete().await;
    // It begins without updates, and its service attaches them again; or the client does, with an exact copy.
    let made = client.put(&part("mds")).await;
    assert_eq!((made.status, of(&json(&made))), (201, vec![]));
    delete().await;
    let mut stale = own.clone();
    stale["extension"] = json!([forged(update.id)]);
    let made = client.put(&stale).await;
    assert_eq!((made.status, of(&json(&made))), (201, vec![]));
    delete().await;
    let made = client.put(&own).await;
    assert_eq!((made.status, of(&json(&made))), (201, vec![update.clone()]));
    // What was taken back does not come again.
    delete().await;
    updates.withdraw(&tenant(), update.id, "biomed".parse().unwrap(), "recalled".parse().unwrap()).await.unwrap();
    let made = client.put(&own).await;
    assert_eq!((made.status, of(&json(&made))), (201, vec![]));
}

#[tokio::test]
async fn without_a_ledger_stored_updates_count() {
    let (client, updates, update) = pump().await;
    let client = Client(Server::new(client.0.store().clone(), super::client::BASE));
    let own = now(&client, "mds").await;
    let answer = json(&client.put(&own).await);
    assert_eq!(of(&answer), std::slice::from_ref(&update));
    assert_eq!(of(&json(&client.put(&part("mds")).await)), [update]);
    let later = attach(&updates, "2.5.bin").await;
    assert_eq!(client.send("DELETE DeviceComponent/mds", &[], "").await.status, 204);
    let mut own = part("mds");
    own["extension"] = json!([forged(later.id)]);
    assert_eq!(client.refused("PUT DeviceComponent/mds", &[], &own.to_string(), 422).await, ["available-update"]);
}

/// A store in which an update is attached between the read and the write of a client, each time for a while.
struct Attaching {
    below: Arc<Memory>,
    updates: Updates,
    left: AtomicU32,
}

impl ResourceStore for Attaching {
    passed_on!(below: read, vread, search, history, prune_history);

    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&*self.below)
    }

    fn commit<'a>(&'a self, t: &'a Tenant, w: Vec<Write>) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            let left = self.left.load(Ordering::Relaxed);
            if left == u32::MAX {
                return Err(StoreError::unavailable(None, None).into());
            }
            if left > 0 {
                self.left.store(left - 1, Ordering::Relaxed);
                attach(&self.updates, &format!("between-{left}.bin")).await;
            }
            self.below.commit(t, w).await
        })
    }
}

#[tokio::test]
async fn update_attached_during_a_write_is_kept() {
    for (line, bundle) in [
        ("PUT DeviceComponent/mds", None),
        ("PUT DeviceComponent?identifier=urn:handle|mds", None),
        ("PATCH DeviceComponent/mds", None),
        ("PATCH DeviceComponent?identifier=urn:handle|mds", None),
        ("POST ", Some("batch")),
        ("POST ", Some("transaction")),
    ] {
        let memory = Arc::new(Memory::new());
        let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
        let attaching = Attaching { below: memory, updates: updates.clone(), left: AtomicU32::new(0) };
        let store = Arc::new(attaching);
        let dynamic: Arc<dyn ResourceStore> = store.clone();
        let server = Server::new(TenantResources::new(dynamic, tenant()), super::client::BASE);
        let client = Client(server.with_known_updates(Arc::new(updates)));
        client.put(&json!({"resourceType": "Device", "id": "pump"})).await;
        client.put(&part("mds")).await;
        store.left.store(2, Ordering::Relaxed);
        let patches = line.starts_with("PATCH");
        let body = match bundle {
            None if patches => r#"[{"op":"add","path":"/languageCode","value":{"text":"de"}}]"#.to_owned(),
            None => part("mds").to_string(),
            Some(kind) => json!({"resourceType": "Bundle", "type": kind, "entry": [
                {"resource": part("mds"), "request": {"method": "PUT", "url": "DeviceComponent/mds"}}]})
            .to_string(),
        };
        let kind = if patches { "application/json-patch+json" } else { "application/fhir+json" };
        let answer = client.send(line, &[("Content-Type", kind)], &body).await;
        assert_eq!(answer.status, 200, "{line}: {}", text(&answer));
        let there = of(&now(&client, "mds").await);
        let names: Vec<_> = there.iter().map(|update| update.file.title.as_str()).collect();
        assert_eq!(names, ["between-2.bin", "between-1.bin"], "{line} {bundle:?}");
    }
}

#[tokio::test]
async fn many_unknown_updates_give_a_bounded_report() {
    let (client, _, _) = pump().await;
    let mut own = part("mds");
    own["extension"] = (100..1_100).map(|id| forged(IngestId(id))).collect();
    let request = Request::new("PUT", "DeviceComponent/mds")
        .header("Content-Type", "application/fhir+json")
        .body(Bytes::from(own.to_string()));
    let answer = client.0.handle(&request).await;
    assert_eq!((answer.status, rules(&json(&answer)).len()), (422, 64));
}

#[tokio::test]
async fn contained_resource_of_a_replaced_update_is_refused() {
    let (client, _, update) = pump().await;
    let mut component = part("mds");
    component["contained"] = json!([{"resourceType": "Device", "id": "x"}]);
    let mut copy = forged(update.id);
    copy["extension"].as_array_mut().unwrap().push(json!({"url": "note", "valueReference": {"reference": "#x"}}));
    component["extension"] = json!([copy]);
    assert_eq!(client.refused("PUT DeviceComponent/mds", &[], &component.to_string(), 400).await, ["dom-3"]);
}
