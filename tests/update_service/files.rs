//! Ownership of the update files, and files in quarantine.

use super::client::{Form, Service};
use super::keeping::eventually;
use fhir_devices::backend::{Files, Memory};
use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, UpdateServer, serve};
use fhir_devices::service::{MaintenanceError, StoreMismatch, SweepRules};
use fhir_devices::store::*;
use std::sync::Arc;
use std::time::Duration;

fn stores(files: &Arc<Memory>, ledger: &Arc<Memory>) -> Stores {
    Stores { resources: files.clone(), blobs: files.clone(), ledger: ledger.clone() }
}

fn service(base: &str, files: &Arc<Memory>, ledger: &Arc<Memory>) -> UpdateServer {
    UpdateServer::over(stores(files, ledger), base, DEFAULT_MAX_UPLOAD).unwrap()
}

fn form(bytes: &[u8]) -> Form {
    Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a.bin", bytes)
}

#[tokio::test]
async fn start_with_another_ledger_needs_adoption() {
    let (memory, ledger) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let before = service("http://127.0.0.1", &memory, &ledger);
    before.check_stores().await.unwrap();
    let running = Service::with(|base| service(base, &memory, &ledger)).await;
    let uploaded = running.upload("demo", &[], &form(b"firmware")).await;
    assert_eq!(uploaded.status, 201);

    // The ledger is lost: nothing is known, not even the tenants.
    let empty = Arc::new(Memory::new());
    let refused = service("http://127.0.0.1", &memory, &empty).check_stores().await.unwrap_err();
    assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::EmptyLedger { .. })), "{refused}");
    let other = Service::with(|base| service(base, &memory, &empty)).await;
    let (rule, words) = other.upload("demo", &[], &form(b"software")).await.refusal(503);
    assert_eq!(rule, "store-mismatch");
    assert!(words.contains("operator"), "{words}");

    let adopting = service("http://127.0.0.1", &memory, &empty).with_store_adoption(true);
    adopting.check_stores().await.unwrap();
    let adopted = Service::with(|base| service(base, &memory, &empty).with_store_adoption(true)).await;
    assert_eq!(adopted.upload("demo", &[], &form(b"software")).await.status, 201);
    assert!(adopted.get("/demo/audit").await.text().contains("store-adopted"));
    // The old one has lost it.
    assert!(before.check_stores().await.is_err());
    // What the old ledger knew is still there.
    let blobs = TenantBlobs::new(memory.clone(), "demo".parse().unwrap());
    let found = blobs.list(std::num::NonZeroU32::MAX, None).await.unwrap().items;
    assert!(found.iter().any(|info| info.key.digest == Sha256::of(b"firmware")));
}

#[tokio::test]
async fn quarantined_files_are_listed_and_counted() {
    let memory = Arc::new(Memory::new());
    let rules = SweepRules::default().with_grace(Duration::ZERO);
    let running = Service::with(|base| service(base, &memory, &memory).with_sweep_rules(rules)).await;
    assert_eq!(running.upload("demo", &[], &form(b"firmware")).await.status, 201);
    let blobs = TenantBlobs::new(memory.clone(), "demo".parse().unwrap());
    blobs.put(Generation(7), stream::once("left behind")).await.unwrap();
    // Another process over the same stores sweeps.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sweeper = Service { address: listener.local_addr().unwrap() };
    let sweeps = Arc::new(service("http://127.0.0.1", &memory, &memory).with_sweep_rules(rules));
    tokio::spawn(serve(listener, None, sweeps, std::future::pending()));
    eventually("a file is in quarantine", || async {
        sweeper.get("/metrics").await.text().contains("update_service_files_quarantined 1")
    })
    .await;
    let listed = running.get("/demo/quarantine").await;
    assert_eq!((listed.status, listed.header("content-type")), (200, Some("application/json")));
    let listed = listed.json();
    assert_eq!(listed["files"].as_array().unwrap().len(), 1);
    let file = &listed["files"][0];
    assert_eq!(file["sha256"], Sha256::of(b"left behind").to_string());
    assert!(file["since"].is_string() && file["due"].is_string(), "{file}");
}

#[tokio::test]
async fn damaged_file_is_marked_and_replaced_by_a_resend() {
    let folder = std::env::temp_dir().join(format!("fhir-devices-service-damage-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let (memory, disk) = (Arc::new(Memory::new()), Arc::new(Files::open(&folder).unwrap()));
    let running = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: disk.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let key = [("Idempotency-Key", "k")];
    let uploaded = running.upload("demo", &key, &form(&bytes)).await;
    assert_eq!(uploaded.status, 201);
    let whole = bytes.len();
    let url = file_of(&uploaded.json());
    let good = running.get(&url).await;
    assert_eq!((good.status, good.body.len()), (200, whole));

    // One byte is changed: the answer breaks off before its end.
    let path = find(&folder, url.rsplit('/').next().unwrap()).unwrap();
    let mut damaged = bytes.clone();
    damaged[7] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let broken = running.get(&url).await;
    assert_eq!(broken.header("content-length"), Some(whole.to_string().as_str()));
    assert!(broken.body.len() < whole, "the client takes {} bytes for the file", broken.body.len());
    // Then it is known, and not given out at all, nor a part of it.
    for range in ["bytes=0-99", "bytes=0-"] {
        let refused = running.send("GET", &url, &[("Range", range)], b"").await;
        refused.refusal(500);
        assert_eq!(refused.header("etag"), None);
    }
    let id = uploaded.json()["extension"][0]["extension"][0]["valueId"].as_str().unwrap().to_owned();
    let shown = running.get(&format!("/demo/updates/{id}")).await.json();
    assert!(shown["damaged"]["since"].is_string(), "{shown}");
    assert!(running.get("/demo/audit").await.text().contains("\"damaged\""));
    // Every way of reading the component marks it, and a client that sends the mark back changes nothing.
    let component = running.get("/demo/fhir/DeviceComponent/pump-lvp").await;
    assert!(is_marked(&component.json()), "{}", component.text());
    let found = running.get("/demo/fhir/DeviceComponent?_id=pump-lvp").await.json();
    assert!(is_marked(&found["entry"][0]["resource"]));
    let batch = r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"DeviceComponent/pump-lvp"}}]}"#;
    let batch = running.json("POST", "/demo/fhir", &[], batch).await.json();
    assert!(is_marked(&batch["entry"][0]["resource"]), "{batch}");
    let sent = running.json("PUT", "/demo/fhir/DeviceComponent/pump-lvp", &[], &component.text()).await;
    assert!(sent.status == 200 && is_marked(&sent.json()), "{}", sent.text());
    let patch = r#"[{"op": "add", "path": "/productionSpecification", "value": [{"productionSpec": "1"}]}]"#;
    let patched = [("Content-Type", "application/json-patch+json")];
    let patched = running.send("PATCH", "/demo/fhir/DeviceComponent/pump-lvp", &patched, patch.as_bytes()).await;
    assert!(patched.status == 200 && is_marked(&patched.json()), "{}", patched.text());
    let stored = TenantResources::new(memory.clone(), "demo".parse().unwrap());
    let (stored, _) = stored.get::<fhir_devices::DeviceComponent>("pump-lvp").await.unwrap();
    assert!(!stored.to_json().contains("damaged"), "the mark is stored");
    let page = running.get("/?tenant=demo").await.text();
    assert!(page.contains("The file is damaged, and is not given out"), "the page does not say so");
    assert!(!page.contains(&format!("href=\"{}", link_to(&url))), "the page offers a file that is not given out");

    // The same bytes under the same key.
    assert_eq!(running.upload("demo", &key, &form(&bytes)).await.status, 200);
    let component = running.get("/demo/fhir/DeviceComponent/pump-lvp").await.json();
    let moved = file_of(&component);
    assert!(moved != url && !is_marked(&component));
    let good = running.get(&moved).await;
    assert_eq!((good.status, good.body.len()), (200, whole));
    assert!(running.get(&format!("/demo/updates/{id}")).await.json()["damaged"].is_null());
    let page = running.get("/?tenant=demo").await.text();
    assert!(
        !page.contains("The file is damaged") && page.contains(&link_to(&moved)),
        "the page does not offer the file"
    );
    let part = running.send("GET", &moved, &[("Range", "bytes=0-99")], b"").await;
    assert_eq!((part.status, part.header("cache-control")), (206, Some("no-store")));

    // Cut by 7 bytes: refused at opening, whole or in part.
    let path = find(&folder, moved.rsplit('/').next().unwrap()).unwrap();
    std::fs::write(&path, &bytes[..whole - 7]).unwrap();
    let refused = running.get(&moved).await;
    refused.refusal(500);
    assert_eq!(
        (refused.header("etag"), refused.header("cache-control").unwrap_or_default().contains("immutable")),
        (None, false)
    );
    let _ = std::fs::remove_dir_all(&folder);
}

/// Returns whether the last attached update is marked as damaged.
fn is_marked(component: &serde_json::Value) -> bool {
    let parts = component["extension"].as_array().unwrap().last().unwrap()["extension"].as_array().unwrap();
    parts.iter().any(|part| part["url"] == "damaged" && part["valueBoolean"] == true)
}

/// Returns the path of the last attached update's file.
fn file_of(component: &serde_json::Value) -> String {
    let parts = component["extension"].as_array().unwrap().last().unwrap()["extension"].as_array().unwrap().clone();
    let file = parts.iter().find(|part| part["url"] == "file").unwrap();
    let url: url::Url = file["valueAttachment"]["url"].as_str().unwrap().parse().unwrap();
    url.path().to_owned()
}

/// Returns the end of a link to a file, whatever the base of the service.
fn link_to(path: &str) -> String {
    path.rsplit_once("/sha256/").unwrap().1.to_owned()
}

#[tokio::test]
async fn scrub_repeats_at_the_configured_interval() {
    let folder = std::env::temp_dir().join(format!("fhir-devices-service-scrub-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let (memory, disk) = (Arc::new(Memory::new()), Arc::new(Files::open(&folder).unwrap()));
    let over = |base: &str| {
        let stores = Stores { resources: memory.clone(), blobs: disk.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, DEFAULT_MAX_UPLOAD).unwrap()
    };
    let running = Service::with(over).await;
    let uploaded = running.upload("demo", &[], &form(b"firmware")).await;
    assert_eq!(uploaded.status, 201);
    let id = uploaded.json()["extension"][0]["extension"][0]["valueId"].as_str().unwrap().to_owned();
    let service_over = |every: Option<Duration>| async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Service { address: listener.local_addr().unwrap() }, listener, every)
    };
    let scrubs = |text: String| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("update_service_scrubs_total ").map(str::to_owned));
        line.unwrap().parse().unwrap()
    };
    let (never, listener, every) = service_over(None).await;
    tokio::spawn(serve(
        listener,
        None,
        Arc::new(over("http://127.0.0.1").with_scrub_every(every)),
        std::future::pending(),
    ));
    let (often, listener, every) = service_over(Some(Duration::from_millis(20))).await;
    tokio::spawn(serve(
        listener,
        None,
        Arc::new(over("http://127.0.0.1").with_scrub_every(every)),
        std::future::pending(),
    ));
    let (often, running, id) = (&often, &running, &id);
    eventually("three scrubs are done", || async move { scrubs(often.get("/metrics").await.text()) >= 3 }).await;
    // A disk damages the file, and nobody asks for it.
    let path = find(&folder, file_of(&uploaded.json()).rsplit('/').next().unwrap()).unwrap();
    std::fs::write(path, b"firmwarf").unwrap();
    eventually("a scrub finds the damage", || async move {
        running.get(&format!("/demo/updates/{id}")).await.json()["damaged"]["since"].is_string()
    })
    .await;
    assert_eq!(scrubs(never.get("/metrics").await.text()), 0);
    let _ = std::fs::remove_dir_all(&folder);
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { path.to_string_lossy().contains(name).then_some(path) }
    })
}
