//! Requests and writers that would undo acknowledged updates.

use super::client::{Form, Service};
use super::keeping::eventually;
use fhir_devices::DeviceComponent;
use fhir_devices::backend::Memory;
use fhir_devices::primitive::CanonicalBase;
use fhir_devices::server::{self, Stores, UpdateServer, serve};
use fhir_devices::store::*;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;

const MDS: &str = r#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
    "source":{"reference":"Device/pump"}}"#;

/// Starts a service over a store with one attached update, and returns it with the path of the upload's state.
async fn attached(memory: &Arc<Memory>) -> (Service, String) {
    let service = Service::with(|base| over(memory, base)).await;
    let device = r#"{"resourceType":"Device","id":"pump"}"#;
    for (path, body) in [("Device/pump", device), ("DeviceComponent/mds", MDS)] {
        assert_eq!(service.json("PUT", &format!("/ward/fhir/{path}"), &[], body).await.status, 201);
    }
    let form = Form::of("pump").field("Version", "2.4").file("true.bin", b"firmware");
    let made = service.upload("ward", &[("Idempotency-Key", "k")], &form).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let link = made.header("link").unwrap().to_owned();
    let place = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    (service, place)
}

fn over(memory: &Arc<Memory>, base: &str) -> UpdateServer {
    let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
}

/// Writes as another writer does, past the service.
async fn overwrite(memory: &Arc<Memory>, json: &str) {
    let component = DeviceComponent::from_json(json.as_bytes()).unwrap();
    let write = component.to_write(Precondition::Exists).unwrap();
    memory.commit(&"ward".parse().unwrap(), vec![write]).await.unwrap();
}

fn with_forged(id: &str) -> String {
    let mut component: serde_json::Value = serde_json::from_str(MDS).unwrap();
    component["extension"] = json!([{"url": fhir_devices::update::AVAILABLE_UPDATE, "extension": [
        {"url": "id", "valueId": id}, {"url": "status", "valueCode": "current"},
        {"url": "sha-256", "valueString": "0".repeat(64)}, {"url": "size", "valueDecimal": 3},
        {"url": "file", "valueAttachment": {"contentType": "application/zip", "url": "https://evil.example/x",
            "title": "evil.bin"}}]}]);
    component.to_string()
}

#[tokio::test]
async fn put_without_the_update_keeps_it() {
    let memory = Arc::new(Memory::new());
    let (service, place) = attached(&memory).await;
    let put = service.json("PUT", "/ward/fhir/DeviceComponent/mds", &[], MDS).await;
    assert_eq!(put.status, 200);
    assert!(put.text().contains("true.bin"), "{}", put.text());
    let told = service.get(&place).await.json();
    assert_eq!((told["state"].as_str(), told["reference"].as_str()), (Some("attached"), Some("present")));
    let forged = with_forged("00000000000000000000000000000007");
    let (rule, _) = service.json("PUT", "/ward/fhir/DeviceComponent/mds", &[], &forged).await.refusal(422);
    assert_eq!(rule, "available-update");
}

#[tokio::test]
async fn missing_reference_is_reported_and_rewritten_on_replay() {
    let memory = Arc::new(Memory::new());
    let (service, place) = attached(&memory).await;
    overwrite(&memory, MDS).await;
    let told = service.get(&place).await.json();
    assert_eq!((told["state"].as_str(), told["reference"].as_str()), (Some("attached"), Some("missing")));
    let form = Form::of("pump").field("Version", "2.4").file("true.bin", b"firmware");
    let again = service.upload("ward", &[("Idempotency-Key", "k")], &form).await;
    assert_eq!((again.status, again.header("etag")), (200, Some("W/\"4\"")), "{}", again.text());
    assert_eq!(service.get("/ward/fhir/DeviceComponent/mds").await.json(), again.json());
    assert_eq!(service.get(&place).await.json()["reference"], "present");
    let audit = service.get(&format!("{place}/audit")).await.text();
    assert!(audit.contains("\"reattached\""), "{audit}");
}

#[tokio::test]
async fn page_shows_only_ledger_updates() {
    let memory = Arc::new(Memory::new());
    let (service, place) = attached(&memory).await;
    assert!(service.get("/?tenant=ward").await.text().contains("true.bin"));
    overwrite(&memory, &with_forged("00000000000000000000000000000007")).await;
    let page = service.get("/?tenant=ward").await.text();
    assert!(!page.contains("evil"), "{page}");
    // One that takes the id of a true one is shown with the true file.
    overwrite(&memory, &with_forged(place.rsplit('/').next().unwrap())).await;
    let page = service.get("/?tenant=ward").await.text();
    assert!(page.contains("true.bin") && !page.contains("evil"), "{page}");
    assert_eq!(service.get(&place).await.json()["reference"], "changed");
}

#[tokio::test]
async fn maintenance_repairs_foreign_changes_and_counts_them() {
    let memory = Arc::new(Memory::new());
    let (before, place) = attached(&memory).await;
    overwrite(&memory, &with_forged("00000000000000000000000000000007")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", before.address);
    let service = Service { address: listener.local_addr().unwrap() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app = Arc::new(over(&memory, &base));
    let serving = tokio::spawn(serve(listener, None, app, async { drop(stopped.await) }));
    let service = &service;
    eventually("the component is mended", || async move {
        let now = service.get("/ward/fhir/DeviceComponent/mds").await.text();
        now.contains("true.bin") && !now.contains("evil")
    })
    .await;
    eventually("it is counted", || async move {
        let metrics = service.get("/metrics").await.text();
        ["references_reattached_total 1", "unknown_references_removed_total 1"].iter().all(|one| metrics.contains(one))
    })
    .await;
    assert!(service.get(&format!("{place}/audit")).await.text().contains("\"reattached\""));
    assert!(service.get("/ward/audit").await.text().contains("\"reference-removed\""));
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

/// Refusals of every route, including those outside the FHIR API.
#[tokio::test]
async fn outcomes_have_the_canonical_base_of_the_service() {
    let base = "https://acme.example/fhir";
    let memory = Arc::new(Memory::new());
    let service =
        Service::with(|address| over(&memory, address).with_canonical_base(CanonicalBase::new(base).unwrap())).await;
    for path in [
        "/ward/fhir/Device/none",
        "/ward/updates/none",
        "/nowhere/at/all",
        "/blobs/ward/sha256/x/y",
        "/Ward!/fhir/Device",
    ] {
        let refused = service.get(path).await;
        assert!(refused.status >= 400, "{path}");
        let system = refused.json()["issue"][0]["details"]["coding"][0]["system"].as_str().unwrap().to_owned();
        assert!(system.starts_with(base), "{path}: {system}");
        assert_eq!(refused.header("content-length").unwrap(), refused.body.len().to_string());
    }
}
