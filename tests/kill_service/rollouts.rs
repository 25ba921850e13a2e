//! `kill -9` of the service during a rollout: devices poll, download and report over HTTP, and continue after each
//! start as if the answer had been lost. Every acknowledged report is kept, every device with bytes is counted, and the
//! rollout ends correctly.

use super::binary::{Reply, Service, ask, build};
use super::{Folder, random, rounds};
use fhir_devices::backend::{Files, Redb};
use fhir_devices::service::{RolloutService, UpdateService};
use fhir_devices::store::Tenant;
use fhir_devices::update::replay;
use fhir_devices::update::rollout::{Lane, RolloutId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TENANT: &str = "st-mary";
const DEVICES: usize = 48;
const THREADS: usize = 4;
const VERSION: &str = "9.0";

/// The answers that devices got.
#[derive(Debug, Default)]
struct Told {
    /// The devices that downloaded the whole file.
    bytes: BTreeSet<usize>,
    /// The devices whose version report was acknowledged.
    versions: BTreeSet<usize>,
    /// The number of acknowledged reports.
    reports: usize,
}

fn post(address: &str, path: &str, body: &Value) -> io::Result<Reply> {
    let headers = "Content-Type: application/json\r\n";
    ask(address, "POST", path, headers, body.to_string().as_bytes())
}

fn get(address: &str, path: &str) -> io::Result<Value> {
    let reply = ask(address, "GET", path, "", b"")?;
    Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn make_devices(address: &str) {
    for number in 0..DEVICES {
        let device = json!({ "resourceType": "Device", "id": format!("pump-{number}") });
        let component = json!({
            "resourceType": "DeviceComponent", "id": format!("pump-{number}-mds"), "identifier": { "value": "1" },
            "type": { "coding": [{ "system": "urn:iso:std:iso:11073:10101", "code": "69985" }] },
            "source": { "reference": format!("Device/pump-{number}") },
        });
        for (path, body) in
            [(format!("Device/pump-{number}"), device), (format!("DeviceComponent/pump-{number}-mds"), component)]
        {
            let headers = "Content-Type: application/fhir+json\r\n";
            let path = format!("/{TENANT}/fhir/{path}");
            let reply = ask(address, "PUT", &path, headers, body.to_string().as_bytes()).unwrap();
            assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        }
    }
}

/// Releases the file, and begins a rollout of six devices at a time in two lanes.
fn begin(address: &str) -> String {
    let mut form = String::new();
    for (name, value) in [("Name", "pump/main"), ("Version", VERSION), ("Sequence", "9"), ("Level", "mds")] {
        form += &format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    form += "--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"pump.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    form += "firmware 9\r\n--edge--\r\n";
    let headers = "Content-Type: multipart/form-data; boundary=edge\r\n";
    let made = ask(address, "POST", &format!("/{TENANT}/releases"), headers, form.as_bytes()).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let release: Value = serde_json::from_slice(&made.body).unwrap();
    let wanted = json!({ "release": release["id"], "scope": "DeviceComponent", "cap": 6, "lanes": 2 });
    let made = post(address, &format!("/{TENANT}/rollouts"), &wanted).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let rollout: Value = serde_json::from_slice(&made.body).unwrap();
    rollout["id"].as_str().unwrap().to_owned()
}

/// Lets one device poll and act: each interrupted request is repeated.
fn act(address: &str, number: usize, told: &Mutex<Told>) -> io::Result<()> {
    let offers = get(address, &format!("/{TENANT}/devices/pump-{number}/offers"))?;
    let reports = format!("/{TENANT}/devices/pump-{number}/reports");
    let acknowledged = |report: &Value| -> io::Result<bool> {
        let reply = post(address, &reports, report)?;
        assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
        told.lock().unwrap().reports += usize::from(reply.status == 200);
        Ok(reply.status == 200)
    };
    for offer in offers["offers"].as_array().into_iter().flatten() {
        let link = offer["files"][0]["link"].as_str().unwrap().strip_prefix("http://updates.example").unwrap();
        let file = ask(address, "GET", link, "", b"")?;
        if file.status != 200 {
            assert!(matches!(file.status, 410 | 503), "{}", file.text());
            continue;
        }
        assert_eq!(file.body, b"firmware 9");
        told.lock().unwrap().bytes.insert(number);
        let phase = json!({ "kind": "phase", "key": offer["key"], "phase": "installing" });
        let item = json!({ "component": format!("pump-{number}-mds"), "version": VERSION });
        let versions = json!({ "kind": "versions", "restarted": true, "items": [item] });
        if acknowledged(&phase)? && acknowledged(&versions)? {
            told.lock().unwrap().versions.insert(number);
        }
    }
    Ok(())
}

/// Lets devices act until the service is gone, or the rollout is completed.
fn run(address: &str, rollout: &str, told: &Mutex<Told>, gone: &AtomicBool) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                loop {
                    for number in (thread..DEVICES).step_by(THREADS) {
                        if let Err(error) = act(address, number, told) {
                            assert!(gone.load(Ordering::SeqCst), "the service broke off, and was not killed: {error}");
                            return;
                        }
                    }
                    match get(address, &format!("/{TENANT}/rollouts/{rollout}")) {
                        Ok(view) if view["status"] == json!("completed") => return,
                        _ if gone.load(Ordering::SeqCst) => return,
                        _ => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            });
        }
    });
}

#[test]
fn killed_service_ends_its_rollout_true() {
    let binary = build();
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-kill-rollout-{}", std::process::id())));
    let data = &folder.0;
    let told = Mutex::new(Told::default());
    let service = Service::start(&binary, data);
    make_devices(service.address());
    let rollout = begin(service.address());
    service.kill();
    let mut kills = 1;
    for _ in 0..2 * rounds() {
        let service = Service::start(&binary, data);
        let (gone, address) = (AtomicBool::new(false), service.address().to_owned());
        let before = told.lock().unwrap().reports;
        std::thread::scope(|scope| {
            scope.spawn(|| run(&address, &rollout, &told, &gone));
            // It is killed some time after the first report that it acknowledged, if it has not finished before.
            let begun = Instant::now();
            while told.lock().unwrap().reports == before && begun.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(random(120)));
            gone.store(true, Ordering::SeqCst);
            service.kill();
        });
        kills += 1;
    }
    let service = Service::start(&binary, data);
    let address = service.address().to_owned();
    let (never, begun) = (AtomicBool::new(false), Instant::now());
    run(&address, &rollout, &told, &never);
    assert!(begun.elapsed() < Duration::from_secs(240));
    let view = get(&address, &format!("/{TENANT}/rollouts/{rollout}")).unwrap();
    let told = told.into_inner().unwrap();
    // Whoever has bytes is counted, and every version that was acknowledged is in its component.
    assert_eq!((&view["status"], &view["counts"]["succeeded"]), (&json!("completed"), &json!(DEVICES)), "{view}");
    assert_eq!((told.bytes.len(), &view["already_out"]), (DEVICES, &json!(DEVICES)));
    for number in &told.versions {
        let component = get(&address, &format!("/{TENANT}/fhir/DeviceComponent/pump-{number}-mds")).unwrap();
        assert_eq!(component["productionSpecification"][0]["productionSpec"], json!(VERSION), "{component}");
    }
    service.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let records = runtime.block_on(check(data, rollout.parse().unwrap()));
    println!("{kills} kills: {} reports acknowledged, 0 lost, {records} audit records in whole chains", told.reports);
}

/// Checks that the chains left behind are whole and rebuild the states; returns the number of records.
async fn check(data: &Path, rollout: RolloutId) -> usize {
    let tenant: Tenant = TENANT.parse().unwrap();
    let store = Arc::new(Redb::open(data.join("resources.redb")).unwrap());
    let files = Arc::new(Files::open(data.join("files")).unwrap());
    let updates = UpdateService::new_with_urls(store.clone(), files, store, |_, _| {
        "http://updates.example/".parse::<url::Url>().unwrap()
    });
    let service = RolloutService::new(updates);
    service.updates().verify_audit(&tenant, &[]).await.unwrap().unwrap();
    let records = service.updates().audit_records(&tenant).await.unwrap();
    let replayed = replay(&records).unwrap();
    assert_eq!(replayed.rollouts[&rollout], service.rollout(&tenant, rollout).await.unwrap());
    let seals: Vec<_> = replayed.lanes.into_values().collect();
    let mut all = records.len();
    for lane in 0..2 {
        service.verify_lane(&tenant, rollout, Lane(lane), &seals).await.unwrap().unwrap();
        all += service.lane_records(&tenant, rollout, Lane(lane)).await.unwrap().len();
    }
    all
}
