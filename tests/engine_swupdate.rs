//! Debian's unmodified SWUpdate against the example `update_service`: it polls, installs and reports, through every
//! fault on the way.
//!
//! `FHIR_DEVICES_RECORD=1 cargo test --all-features --test engine_swupdate` records the conversations that `tests/ddi.rs` plays.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by a panic"
)]

#[allow(dead_code, reason = "other tests start and stop the service in other ways")]
#[path = "kill_service/binary.rs"]
mod binary;
#[path = "swupdate/device.rs"]
mod device;
#[path = "swupdate/proxy.rs"]
mod proxy;

use binary::{Service, ask, build};
use device::{Device, is_here};
use fhir_devices::backend::Redb;
use fhir_devices::store::{Change, Ledger as _, LedgerKey, Sha256, Tenant};
use fhir_devices::update::deployment::DeviceOffers;
use fhir_devices::update::rollout::ActionNumber;
use proxy::{Exchange, Fate, Proxy};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

const OPERATOR: &str = "operator-long-token-1";

/// A device, the service, and the proxy between them.
struct World {
    device: Device,
    proxy: Proxy,
    binary: PathBuf,
    options: Vec<String>,
    service: Arc<Mutex<Option<Service>>>,
}

fn binary_path() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

impl World {
    /// `hook` sees each request of the device before the service does, and `fate` decides about its answer.
    fn new(
        name: &str,
        hook: impl Fn(&str, &str) + Send + Sync + 'static,
        fate: impl Fn(&Exchange) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let (device, proxy) = (Device::new(name), Proxy::start(hook, fate));
        let at = format!("http://{}", proxy.address);
        let options = ["--base-url", &at, "--device-polling", "1"].map(str::to_owned).to_vec();
        Self { device, proxy, binary: binary_path().to_owned(), options, service: Arc::default() }
    }

    /// The bytes are fetched through a redirect.
    fn with_redirect(mut self) -> Self {
        self.options.extend(["--cdn-url".to_owned(), format!("http://{}", self.proxy.address)]);
        self
    }

    fn data(&self) -> PathBuf {
        self.device.folder().join("data")
    }

    fn start_service(&self) {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let service = Service::start_with(&self.binary, &self.data(), &options);
        self.proxy.to(service.address());
        *self.service.lock().unwrap() = Some(service);
    }

    fn address(&self) -> String {
        self.service.lock().unwrap().as_ref().unwrap().address().to_owned()
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Value {
        send(&self.address(), method, path, kind, body)
    }

    fn get(&self, path: &str) -> Value {
        self.send("GET", path, "application/json", b"")
    }

    /// Makes the device known, releases an image, and begins a rollout of it. Returns the id of the rollout.
    fn begin(&self, image: &[u8]) -> String {
        self.start_service();
        make_device(&self.address());
        begin(&self.address(), image)
    }

    fn rollout(&self, id: &str) -> Value {
        self.get(&format!("/st-mary/rollouts/{id}"))
    }

    fn state(&self, id: &str, name: &str) -> u64 {
        self.rollout(id)["counts"][name].as_u64().unwrap()
    }

    fn until_counted(&self, id: &str, name: &str) {
        self.device.until(&format!("the component is `{name}`"), || self.state(id, name) == 1);
    }

    /// The version that the component shows.
    fn version(&self) -> String {
        let component = self.get("/st-mary/fhir/DeviceComponent/pump-7-mds");
        component["productionSpecification"][0]["productionSpec"].as_str().unwrap().to_owned()
    }

    fn record(&self, name: &str) {
        if std::env::var_os("FHIR_DEVICES_RECORD").is_some() {
            let file = format!("{}/tests/data/ddi/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(file, self.proxy.conversation()).unwrap();
        }
    }
}

fn send(address: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> Value {
    let headers = format!("Content-Type: {kind}\r\nAuthorization: Bearer {OPERATOR}\r\n");
    let reply = ask(address, method, path, &headers, body).unwrap();
    assert!(matches!(reply.status, 200 | 201), "{method} {path}: {} {}", reply.status, reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

fn make_device(address: &str) {
    let device = json!({ "resourceType": "Device", "id": "pump-7" });
    let component = json!({
        "resourceType": "DeviceComponent", "id": "pump-7-mds", "identifier": { "value": "1" },
        "type": { "coding": [{ "system": "urn:iso:std:iso:11073:10101", "code": "69985" }] },
        "source": { "reference": "Device/pump-7" },
        "productionSpecification": [{
            "specType": { "coding": [{ "system": "http://hl7.org/fhir/specification-type", "code": "software-revision" }] },
            "productionSpec": "2.3",
        }],
    });
    for (path, body) in [("Device/pump-7", device), ("DeviceComponent/pump-7-mds", component)] {
        let path = format!("/st-mary/fhir/{path}");
        send(address, "PUT", &path, "application/fhir+json", body.to_string().as_bytes());
    }
}

fn begin(address: &str, image: &[u8]) -> String {
    begin_version(address, image, "2.4", "9")
}

fn begin_version(address: &str, image: &[u8], version: &str, sequence: &str) -> String {
    let mut form = Vec::new();
    for (name, value) in [("Name", "pump/main"), ("Version", version), ("Sequence", sequence), ("Level", "mds")] {
        let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend_from_slice(part.as_bytes());
    }
    form.extend_from_slice(
        b"--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"pump.swu\"\r\nContent-Type: application/octet-stream\r\n\r\n",
    );
    form.extend_from_slice(image);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    let release = send(address, "POST", "/st-mary/releases", "multipart/form-data; boundary=edge", &form);
    let wanted = json!({ "release": release["id"], "retry": { "max_attempts": 1 } }).to_string();
    let rollout = send(address, "POST", "/st-mary/rollouts", "application/json", wanted.as_bytes());
    rollout["id"].as_str().unwrap().to_owned()
}

fn cancel(address: &str, rollout: &str) {
    let path = format!("/st-mary/rollouts/{rollout}/cancel");
    send(address, "POST", &path, "application/json", br#"{"reason":"it loses alarms"}"#);
}

fn wait_until_cancelled(address: &str, rollout: &str) {
    for _ in 0..200 {
        let view = send(address, "GET", &format!("/st-mary/rollouts/{rollout}"), "application/json", b"");
        if view["status"] == "cancelled" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("the rollout is not cancelled");
}

const fn deliver(_: &Exchange) -> Fate {
    Fate::Deliver
}

fn ignore(_: &str, _: &str) {}

fn is_closed(exchange: &Exchange) -> bool {
    exchange.method == "POST" && exchange.path.contains("deploymentBase") && exchange.body.contains("\"closed\"")
}

/// The device signs in with a token of its own, of which the service keeps the digest, and downloads with the signed
/// link alone. The answer to its last report is lost.
#[test]
fn update_is_installed_and_proven() {
    if !is_here() {
        return;
    }
    let lost = AtomicUsize::new(0);
    let mut world = World::new("install", ignore, move |exchange| {
        let first = is_closed(exchange) && lost.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Fate::Lose } else { Fate::Deliver }
    });
    let tokens = world.device.folder().join("tokens");
    let digest = Sha256::of(b"the-token-of-pump-7");
    let lines = format!("sha256:{digest} st-mary as device/pump-7 may device\n{OPERATOR} *\n");
    std::fs::write(&tokens, lines).unwrap();
    world.options.extend(["--tokens".to_owned(), tokens.display().to_string()]);
    let id = world.begin(&world.device.image("2.4"));
    world.until_counted(&id, "offered");
    let options = "-k the-token-of-pump-7 --disable-token-for-dwl";
    let running = world.device.start(&world.proxy.address, "2.3", options);
    world.device.until("the image is installed", || world.device.installed().is_some());
    world.until_counted(&id, "claimed");
    assert_eq!(world.version(), "2.3");
    drop(running);
    // It starts again with the new software, and the boot loader says so.
    let running = world.device.start(&world.proxy.address, "2.4", &format!("{options} -c 2"));
    world.until_counted(&id, "succeeded");
    // It asks again, and finds that its report came.
    let reported = world.proxy.exchanges().len();
    world.device.until("it polls on", || world.proxy.exchanges().len() > reported + 1);
    drop(running);
    assert_eq!((world.device.installed().as_deref(), world.version().as_str()), (Some("firmware 2.4"), "2.4"));
    let view = world.rollout(&id);
    assert_eq!((&view["status"], &view["already_out"]), (&json!("completed"), &json!(1)));
    let exchanges = world.proxy.exchanges();
    let download = exchanges.iter().find(|one| one.path.contains("/offers/")).unwrap();
    assert_eq!((download.status, &download.authorization), (200, &None));
    assert!(!download.path.contains("token"), "{}", download.path);
    assert!(exchanges.iter().any(is_closed), "no answer was lost");
    assert!(!exchanges.last().unwrap().path.contains("deploymentBase"), "it begins anew");
    let polls: Vec<_> = exchanges.iter().filter(|one| one.path == "/st-mary/controller/v1/pump-7").collect();
    assert!(polls.iter().all(|one| one.authorization.as_deref() == Some("TargetToken the-token-of-pump-7")));
    assert!(exchanges.iter().filter(|one| is_closed(one)).all(|one| one.status == 200));
    world.record("install");
}

#[test]
fn other_bytes_than_released_are_not_installed() {
    if !is_here() {
        return;
    }
    let world =
        World::new(
            "digest",
            ignore,
            |exchange| {
                if exchange.path.starts_with("/blobs/") { Fate::Corrupt } else { Fate::Deliver }
            },
        )
        .with_redirect();
    let id = world.begin(&world.device.image("2.4"));
    world.until_counted(&id, "offered");
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.until_counted(&id, "failed");
    drop(running);
    assert_eq!((world.device.installed(), world.version().as_str()), (None, "2.3"));
    world.record("wrong-digest");
}

/// The rollout is cancelled when the device has read the deployment, and asks for the bytes.
#[test]
fn update_cancelled_before_the_download_is_not_installed() {
    if !is_here() {
        return;
    }
    let place: Arc<OnceLock<(String, String)>> = Arc::default();
    let seen = Arc::clone(&place);
    let world = World::new(
        "cancel-before",
        move |_, path| {
            if let (true, Some((address, id))) = (path.contains("/offers/"), seen.get()) {
                cancel(address, id);
                wait_until_cancelled(address, id);
            }
        },
        deliver,
    )
    .with_redirect();
    let id = world.begin(&world.device.image("2.4"));
    place.set((world.address(), id.clone())).unwrap();
    world.until_counted(&id, "offered");
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.device.until("the failure is reported", || world.proxy.exchanges().iter().any(is_closed));
    let reported = world.proxy.exchanges().len();
    world.device.until("it polls on", || world.proxy.exchanges().len() > reported + 1);
    drop(running);
    let exchanges = world.proxy.exchanges();
    assert!(exchanges.iter().any(|one| one.path.contains("/offers/") && one.status == 410));
    assert!(exchanges.iter().filter(|one| is_closed(one)).all(|one| one.status == 200));
    assert!(!exchanges.last().unwrap().path.contains("deploymentBase"), "it begins anew");
    let view = world.rollout(&id);
    assert_eq!((&view["status"], &view["already_out"]), (&json!("cancelled"), &json!(0)));
    assert_eq!((world.device.installed(), world.version().as_str()), (None, "2.3"));
    world.record("cancelled-before");
}

/// SWUpdate acknowledges a cancellation after it has installed: only the version running after the next start is
/// decisive.
#[test]
fn update_cancelled_after_the_download_ends_by_the_version() {
    if !is_here() {
        return;
    }
    let world = World::new("cancel-after", ignore, deliver).with_redirect();
    let id = world.begin(&world.device.image("2.4"));
    world.until_counted(&id, "offered");
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.device.until("the image is installed", || world.device.installed().is_some());
    world.until_counted(&id, "claimed");
    cancel(&world.address(), &id);
    let acknowledged = |one: &Exchange| one.path.contains("cancelAction") && one.method == "POST" && one.status == 200;
    world.device.until("it acknowledges", || world.proxy.exchanges().iter().any(acknowledged));
    assert_eq!(world.state(&id, "cancelled"), 0, "its word is taken for the truth");
    drop(running);
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.until_counted(&id, "cancelled");
    drop(running);
    let view = world.rollout(&id);
    assert_eq!((&view["status"], &view["already_out"]), (&json!("cancelled"), &json!(1)));
    assert_eq!(world.version(), "2.3");
    world.record("cancelled-after");
}

#[test]
fn service_killed_between_claim_and_redirect_gives_the_bytes_after_its_restart() {
    if !is_here() {
        return;
    }
    let service: Arc<OnceLock<Arc<Mutex<Option<Service>>>>> = Arc::default();
    let seen = Arc::clone(&service);
    let killed = AtomicUsize::new(0);
    let world = World::new("killed", ignore, move |exchange| {
        if exchange.path.contains("/offers/") && killed.fetch_add(1, Ordering::SeqCst) == 0 {
            seen.get().unwrap().lock().unwrap().take().unwrap().kill();
            return Fate::Lose;
        }
        Fate::Deliver
    })
    .with_redirect();
    service.set(Arc::clone(&world.service)).ok().unwrap();
    let id = world.begin(&world.device.image("2.4"));
    world.until_counted(&id, "offered");
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.device.until("the service is killed", || world.service.lock().unwrap().is_none());
    world.start_service();
    assert_eq!((world.state(&id, "claimed"), &world.rollout(&id)["already_out"]), (1, &json!(1)));
    world.device.until("the image is installed", || world.device.installed().is_some());
    drop(running);
    let running = world.device.start(&world.proxy.address, "2.4", "-c 2");
    world.until_counted(&id, "succeeded");
    drop(running);
    assert_eq!(world.version(), "2.4");
}

/// SWUpdate reads a signed 32-bit number: a higher one is reported for another action.
#[test]
fn last_action_number_is_installed_and_no_other_follows() {
    if !is_here() {
        return;
    }
    let world = World::new("limit", ignore, deliver).with_redirect();
    std::fs::create_dir_all(world.data()).unwrap();
    let digest = Sha256::of(b"pump-7").to_string();
    let offers = DeviceOffers { last: ActionNumber(ActionNumber::LAST.0 - 1), ..DeviceOffers::default() };
    let change =
        Change::create(LedgerKey::new(format!("lock/{}", digest.get(..32).unwrap())).unwrap(), offers.to_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Redb::open(world.data().join("resources.redb")).unwrap();
    let tenant: Tenant = "st-mary".parse().unwrap();
    runtime.block_on(store.apply(&tenant, vec![change])).unwrap();
    drop(store);
    let id = world.begin(&world.device.image("2.4"));
    world.until_counted(&id, "offered");
    let running = world.device.start(&world.proxy.address, "2.3", "");
    world.device.until("the image is installed", || world.device.installed().is_some());
    drop(running);
    let running = world.device.start(&world.proxy.address, "2.4", "-c 2");
    world.until_counted(&id, "succeeded");
    drop(running);
    let feedback = "/st-mary/controller/v1/pump-7/deploymentBase/2147483647/feedback";
    let exchanges = world.proxy.exchanges();
    let reports: Vec<_> = exchanges.iter().filter(|one| one.path.ends_with("/feedback")).collect();
    assert!(!reports.is_empty() && reports.iter().all(|one| one.path == feedback && one.status == 200));
    // The numbers are exhausted: the next update is planned, says why it waits, and is never offered.
    let next = begin_version(&world.address(), &world.device.image("2.5"), "2.5", "10");
    let deployments = |state: &str| world.get(&format!("/st-mary/rollouts/{next}/deployments?state={state}"));
    let mut polls = world.proxy.exchanges().len() + 3;
    let running = world.device.start(&world.proxy.address, "2.4", "");
    world.device.until("it polls on", || world.proxy.exchanges().len() > polls);
    polls = world.proxy.exchanges().len();
    world.device.until("it polls on", || world.proxy.exchanges().len() > polls + 2);
    drop(running);
    assert_eq!(world.state(&next, "offered"), 0, "{}", deployments("offered"));
    let later = world.proxy.exchanges().split_off(exchanges.len());
    assert!(later.iter().all(|one| !one.path.contains("deploymentBase") && !one.body.contains("deploymentBase")));
    assert_eq!(world.version(), "2.4");
}

/// Every command of the guide, in order: a function replaces cargo, and the service listens at a free port.
#[test]
fn commands_of_the_guide_update_a_device() {
    if !is_here() {
        return;
    }
    let guide = include_str!("../src/manual/linux_device.rs");
    let (mut script, mut is_command) = (String::new(), false);
    for line in guide.lines().filter_map(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        match line {
            "```sh" => is_command = true,
            "```" => is_command = false,
            _ if is_command => script += &format!("{line}\n"),
            _ => {}
        }
    }
    assert!(script.lines().count() > 40 && script.contains("cargo run") && script.contains("swupdate -f"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = script.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"));
    let binary = binary_path().display().to_string();
    let prelude = format!("cargo() {{ while [ \"$1\" != -- ]; do shift; done; shift; exec '{binary}' \"$@\"; }}\n");
    let ends = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n";
    let device = Device::new("guide");
    let log = std::fs::File::create(device.folder().join("guide.log")).unwrap();
    let done = std::process::Command::new("timeout")
        .args(["45", "bash", "-euo", "pipefail", "-c", &format!("{prelude}{ends}{script}")])
        .current_dir(device.folder())
        .env("TMPDIR", device.folder().join("tmp"))
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    let said = |name: &str| std::fs::read_to_string(device.folder().join(name)).unwrap_or_default();
    assert!(done.success(), "{}\n{}", said("guide.log"), said("device.log"));
}
