//! Whose the update files are, and those that are in quarantine.

use super::client::{Form, Service};
use super::keeping::eventually;
use fhir_devices::backend::Memory;
use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, UpdateServer, serve};
use fhir_devices::service::{StoreMismatch, SweepRules, UpkeepError};
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
async fn a_start_with_another_ledger_is_refused_until_the_store_is_adopted() {
    let (memory, ledger) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let before = service("http://127.0.0.1", &memory, &ledger);
    before.check_stores().await.unwrap();
    let running = Service::with(|base| service(base, &memory, &ledger)).await;
    let uploaded = running.upload("demo", &[], &form(b"firmware")).await;
    assert_eq!(uploaded.status, 201);

    // The ledger is lost: nothing is known, not even the tenants.
    let empty = Arc::new(Memory::new());
    let refused = service("http://127.0.0.1", &memory, &empty).check_stores().await.unwrap_err();
    assert!(matches!(refused, UpkeepError::Mismatch(StoreMismatch::EmptyLedger { .. })), "{refused}");
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
async fn files_in_quarantine_are_listed_and_counted() {
    let memory = Arc::new(Memory::new());
    let rules = SweepRules::default().with_grace(Duration::ZERO);
    let running = Service::with(|base| service(base, &memory, &memory).with_sweep_rules(rules)).await;
    assert_eq!(running.upload("demo", &[], &form(b"firmware")).await.status, 201);
    let blobs = TenantBlobs::new(memory.clone(), "demo".parse().unwrap());
    blobs.put(Generation(7), stream::once("left behind")).await.unwrap();
    // Another process over the same stores sweeps.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keeper = Service { address: listener.local_addr().unwrap() };
    let sweeps = Arc::new(service("http://127.0.0.1", &memory, &memory).with_sweep_rules(rules));
    tokio::spawn(serve(listener, None, sweeps, std::future::pending()));
    eventually("a file is in quarantine", || async {
        keeper.get("/metrics").await.text().contains("update_service_files_quarantined 1")
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
