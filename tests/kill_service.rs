//! `kill -9` of the example `update_service` while clients upload updates of all sizes, and withdraw some: acknowledged
//! uploads are attached and readable afterwards, acknowledged withdrawals are done, and nothing else is left.
//!
//! `KILL_ROUNDS=50 cargo test --release --features redb,server --test kill_service -- --nocapture` does fifty rounds;
//! without the variable there are five.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "kill_service/binary.rs"]
mod binary;
#[path = "kill_service/keep.rs"]
mod keep;
#[path = "kill_service/load.rs"]
mod load;
#[path = "kill_service/notifications.rs"]
mod notifications;
#[path = "kill_service/operation.rs"]
mod operation;
#[path = "kill_service/proof.rs"]
mod proof;
#[path = "kill_service/rollouts.rs"]
mod rollouts;
#[path = "kill_service/stores.rs"]
mod stores;

use binary::{Service, ask};
use fhir_devices::store::Sha256;
use load::{Acknowledged, Withdrawn, clients, make_devices};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failure left behind can be looked at.
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

#[test]
fn killed_service_keeps_acknowledged_writes_only() {
    let binary = binary::build();
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-kill-service-{}", std::process::id())));
    let data = &folder.0;
    let (told, mut unknown, mut slowest) = (Mutex::new(Vec::new()), 0, Duration::ZERO);
    let mut pending = Vec::new();
    for round in 0..rounds() {
        if round % 4 == 3 {
            // It is killed while it opens its files, or while it goes on with what broke off.
            Service::start_in_vain(&binary, data, Duration::from_millis(random(60)));
        }
        let service = Service::start(&binary, data);
        slowest = slowest.max(service.started);
        pending = load(service, round, pending, &told);
        unknown += pending.len();
    }
    let told = told.into_inner().unwrap();
    let begun = Instant::now();
    let service = Service::start(&binary, data);
    let (gone_on_with, waiting) = recovered(&service);
    let took = begun.elapsed();
    told.iter().filter(|one| one.withdrawn == Withdrawn::No).for_each(|one| download(&service, one));
    service.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(proof::check(data, &told));
    println!(
        "{} rounds: {} updates acknowledged, 0 lost, {} of them when they were sent again after a kill; {} withdrawn. {unknown} \
         requests without an answer. The last start ({took:?}) went on with {gone_on_with}, and {waiting} waited for bytes that never \
         came. Now {} references, {} files, no orphan ({} swept, {} collected, {} uploads given up), {} audit records in whole \
         chains; the slowest start took {slowest:?}",
        rounds(),
        told.len(),
        told.iter().filter(|one| one.replayed).count(),
        told.iter().filter(|one| one.withdrawn == Withdrawn::Yes).count(),
        found.attached,
        found.blobs,
        found.swept,
        found.collected,
        found.given_up,
        found.records,
    );
    assert!(told.len() as u64 >= rounds());
}

/// Loads the service until it is killed at a random moment, and returns the clients that wait for an answer.
fn load(service: Service, round: u64, before: Vec<load::Client>, told: &Mutex<Vec<Acknowledged>>) -> Vec<load::Client> {
    let (gone, address) = (AtomicBool::new(false), service.address().to_owned());
    let mut clients = clients(round);
    make_devices(&address, &clients);
    // Those of earlier rounds want their answer, and nothing more.
    clients.extend(before.into_iter().map(load::Client::retired));
    let heard = told.lock().unwrap().len();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.run(&address, told, &gone));
        }
        // The time runs from the first acknowledgement on.
        let begun = Instant::now();
        while told.lock().unwrap().len() == heard {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(random(800)));
        gone.store(true, Ordering::SeqCst);
        service.kill();
    });
    clients.retain(|client| client.pending.is_some());
    clients
}

/// Waits until the service has maintained all its tenants; returns how many uploads it finished, and how many still
/// wait for their bytes.
fn recovered(service: &Service) -> (u64, u64) {
    let begun = Instant::now();
    loop {
        let metrics = ask(service.address(), "GET", "/metrics", "", b"").unwrap().text();
        let number = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        if number("update_service_maintenance_rounds_total ") > 0 {
            assert_eq!(number("update_service_uploads_stuck "), 0);
            assert_eq!(number("update_service_maintenance_failures_total "), 0);
            assert_eq!(number("update_service_tenants "), load::TENANTS.len() as u64);
            return (number("update_service_uploads_resumed_total "), number("update_service_uploads_waiting "));
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "the service does not recover");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Downloads the file of an acknowledged update, as a device does, unless it is one of the oldest, which the service
/// retires.
fn download(service: &Service, told: &Acknowledged) {
    let Acknowledged { upload, id, sha256, .. } = told;
    let state = ask(service.address(), "GET", &format!("/{}/updates/{id}", upload.tenant), "", b"").unwrap();
    let said: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    if (said["state"].as_str(), said["reason"].as_str()) == (Some("closed"), Some("superseded")) {
        return;
    }
    assert!(matches!(said["state"].as_str(), Some("attached" | "superseded")), "{}", state.text());
    let place = |name: &str| said[name].as_str().unwrap().to_owned();
    let path = format!("/blobs/{}/sha256/{}/{}", upload.tenant, place("sha256"), place("generation"));
    let file = ask(service.address(), "GET", &path, "", b"").unwrap();
    assert_eq!((file.status, Sha256::of(&file.body)), (200, *sha256), "{}", upload.name);
}
