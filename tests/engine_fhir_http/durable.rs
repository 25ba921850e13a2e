//! A durable stand-in FHIR server whose acknowledged data survive `kill -9`, unlike HAPI's server in the tests, which
//! keeps all data in memory: it and the service are killed during uploads.
//!
//! `FHIR_DURABLE_SERVER` is a command that starts another server at `$PORT`, with tenants below `/fhir`, whose
//! acknowledged data are durable, as HAPI's are over a file of H2 with `WRITE_DELAY=0`. `FHIR_BOTH_UPLOADS` is the
//! number of uploads, `FHIR_BOTH_PAUSE` the seconds between two kills, and `FHIR_BOTH_SERVER_EVERY` the number of kills of
//! which one is of the server, where that takes long to start.

use super::client::Service;
use super::lax::{Kept, Lax};
use super::odd::{self, Say};
use super::story::{Folder, Hospital, device, eventually, id_of, part, upload};
use super::{RUNTIME, example};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The file of the stand-in, and the address it listens at.
const LOG: &str = "STAND_IN_LOG";
const ADDRESS: &str = "STAND_IN_ADDRESS";

/// The command that starts another server.
fn other_server() -> Option<String> {
    std::env::var("FHIR_DURABLE_SERVER").ok()
}

/// The time between two kills.
fn pause() -> Duration {
    let told = std::env::var("FHIR_BOTH_PAUSE").ok().and_then(|seconds| seconds.parse().ok());
    told.map_or(Duration::from_millis(900), Duration::from_secs)
}

/// The number of kills of which one is of the server.
fn server_every() -> u64 {
    std::env::var("FHIR_BOTH_SERVER_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(2)
}

/// The number of uploads.
fn uploads() -> usize {
    std::env::var("FHIR_BOTH_UPLOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(120)
}

/// The state of every tenant, and the file to which each change is appended before the answer.
struct Durable {
    tenants: BTreeMap<String, Kept>,
    log: File,
}

impl Durable {
    fn open(path: &Path) -> Self {
        let mut tenants = BTreeMap::<String, Kept>::new();
        let lines = File::open(path).map(|file| BufReader::new(file).lines()).into_iter().flatten().flatten();
        let mut whole = 0;
        for line in lines {
            // The last line may have been cut: it was not acknowledged.
            let Ok(Value::Array(change)) = serde_json::from_str(&line) else { break };
            whole += line.len() as u64 + 1;
            let text = |at: usize| change[at].as_str().map(str::to_owned);
            let kept = tenants.entry(text(0).unwrap()).or_default();
            kept.versions.entry(text(1).unwrap()).or_default().push(text(2));
        }
        let log = OpenOptions::new().append(true).create(true).open(path).unwrap();
        log.set_len(whole).unwrap();
        Self { tenants, log }
    }

    fn answer(&mut self, heard: &odd::Heard) -> Say {
        let (method, place) = heard.line.split_once(' ').unwrap();
        let Some((tenant, place)) = place.trim_start_matches('/').split_once('/') else { return odd::say(404, "") };
        let key = place.split("/_history/").next().unwrap();
        let kept = self.tenants.entry(tenant.to_owned()).or_default();
        let count = |kept: &Kept| kept.versions.get(key).map_or(0, Vec::len);
        let before = count(kept);
        let said = kept.answer(Lax::default(), method, place, heard);
        if count(kept) > before {
            let body = kept.versions[key].last().unwrap();
            writeln!(self.log, "{}", json!([tenant, key, body])).unwrap();
            self.log.sync_data().unwrap();
        }
        said
    }
}

/// The stand-in as a process: this program runs itself with this test alone. Without the variables it does nothing.
#[test]
#[ignore = "the process of the stand-in"]
fn stand_in() {
    let (Some(log), Ok(address)) = (std::env::var_os(LOG), std::env::var(ADDRESS)) else { return };
    let state = Arc::new(Mutex::new(Durable::open(Path::new(&log))));
    RUNTIME.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let script = move |heard: &odd::Heard| state.lock().unwrap().answer(heard);
                drop(odd::answer(stream, &Mutex::new(Vec::new()), &script).await);
            });
        }
    });
}

/// A process that is killed on drop.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The number of components that get updates.
const PARTS: usize = 8;

/// The addresses and data of a stand-in and a service over it.
struct Place {
    binary: PathBuf,
    folder: Folder,
    server: SocketAddr,
    service: SocketAddr,
    hospital: Hospital,
    /// The path before the name of a tenant.
    path: &'static str,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fhir-devices-durable-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = free();
        let path = if other_server().is_some() { "/fhir" } else { "" };
        let hospital =
            Hospital { server: Service { address: server }, path: format!("{path}/ward"), tenant: "ward".into() };
        Self {
            path,
            binary: example::build("update_service"),
            folder: Folder(folder),
            server,
            service: free(),
            hospital,
        }
    }

    fn start_server(&self) -> Killed {
        let mut command = match other_server() {
            Some(other) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("exec {other}")]).env("PORT", self.server.port().to_string());
                shell
            }
            None => {
                let mut own = Command::new(std::env::current_exe().unwrap());
                let log = self.folder.0.join("stand-in.log");
                own.args(["--ignored", "--exact", "durable::stand_in"]).env(LOG, log);
                own.env(ADDRESS, self.server.to_string());
                own
            }
        };
        let child = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while !self.is_up() {
            assert!(begun.elapsed() < Duration::from_secs(900), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// Returns whether the server answers with its capabilities.
    fn is_up(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = std::net::TcpStream::connect(self.server)?;
            let path = format!("{}/probe/metadata", self.path);
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.server)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer.starts_with(b"HTTP/1.1 200"))
        };
        ask().unwrap_or_default()
    }

    /// Starts the service; `None` where the server went away meanwhile, so that it could not be probed.
    fn start_service(&self) -> Option<Killed> {
        let (listen, fhir) = (self.service.to_string(), format!("http://{}{}/{{tenant}}", self.server, self.path));
        let mut command = Command::new(&self.binary);
        command
            .args(["--listen", &listen, "--base-url", "http://updates.example", "--no-demo", "--log", "error"])
            .args(["--keep-superseded", "1000000", "--fhir", &fhir, "--fhir-probe", "probe", "--data"])
            .arg(self.folder.0.join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.starts_with("listening on").then_some(child)
    }

    /// Creates the devices of the hospital.
    fn fill(&self) {
        RUNTIME.block_on(async {
            self.hospital.send(&device("pump")).await;
            for n in 0..PARTS {
                self.hospital.send(&part("pump", &format!("part-{n}"))).await;
            }
        });
    }

    /// Waits until each acknowledged update is at its component, once, and no other; and in the ledger.
    async fn check(&self, acknowledged: &BTreeMap<String, usize>) {
        eventually("each update is at its component, once", async || {
            let mut found = BTreeMap::<String, Vec<usize>>::new();
            for n in 0..PARTS {
                for (_, id, _) in self.hospital.updates(&format!("part-{n}")).await {
                    found.entry(id).or_default().push(n);
                }
            }
            found == acknowledged.iter().map(|(id, at)| (id.clone(), vec![*at])).collect()
        })
        .await;
        for id in acknowledged.keys() {
            let told = Service { address: self.service }.get(&format!("/ward/updates/{id}")).await;
            assert_eq!(told.status, 200, "{}", told.text());
            assert!(matches!(told.json()["state"].as_str(), Some("attached" | "superseded")), "{}", told.text());
            assert_eq!(told.json()["reference"], "present", "{}", told.text());
        }
    }
}

/// Uploads while the server is away for a minute, in which maintenance of its tenants fails.
#[test]
fn uploads_wait_for_a_server_that_is_away_for_a_minute() {
    let place = Place::new("away");
    let server = place.start_server();
    place.fill();
    let running = place.start_service().expect("the service starts");
    let http = || Service { address: place.service };
    let metric = async |name: &str| -> u64 {
        let text = http().get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("update_service_{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    RUNTIME.block_on(async {
        let mut acknowledged = BTreeMap::new();
        let send = async |n: usize, name: &str| {
            upload(&http(), "ward", "pump", &format!("part-{n}"), &format!("{name}-{n}")).await.unwrap()
        };
        for n in 0..PARTS {
            let made = send(n, "before").await;
            assert_eq!(made.status, 201, "{}", made.text());
            acknowledged.insert(id_of(&made), n);
        }
        drop(server);
        let (begun, failures) = (Instant::now(), metric("maintenance_failures_total").await);
        let mut refused = 0;
        while begun.elapsed() < Duration::from_secs(62) {
            for n in 0..PARTS {
                let reply = send(n, "during").await;
                assert!(reply.status >= 500, "{}: {}", reply.status, reply.text());
                refused += 1;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(metric("maintenance_failures_total").await > failures, "nobody looked after the tenants meanwhile");
        let server = place.start_server();
        for n in 0..PARTS {
            let begun = Instant::now();
            let reply = loop {
                let reply = send(n, "during").await;
                if reply.status < 300 {
                    break reply;
                }
                assert!(reply.status >= 500 || reply.status == 409, "{}: {}", reply.status, reply.text());
                assert!(begun.elapsed() < Duration::from_secs(60), "{}: {}", reply.status, reply.text());
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            acknowledged.insert(id_of(&reply), n);
        }
        assert_eq!(acknowledged.len(), 2 * PARTS, "{refused} were refused");
        place.check(&acknowledged).await;
        drop(server);
    });
    drop(running);
}

#[test]
fn uploads_survive_kills_of_both_sides() {
    let place = Place::new("kills");
    let mut stand_in = Some(place.start_server());
    place.fill();
    let mut running = place.start_service();
    assert!(running.is_some(), "the service does not start");
    let service = place.service;

    // Eight clients, each of which repeats an upload under its key until it is acknowledged.
    let (acknowledged, done) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicUsize::new(0)));
    let (next, all, stopped) = (Arc::new(AtomicUsize::new(0)), uploads(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..PARTS)
        .map(|_| {
            let (acknowledged, done, next, stopped) =
                (Arc::clone(&acknowledged), Arc::clone(&done), Arc::clone(&next), Arc::clone(&stopped));
            RUNTIME.spawn(async move {
                let http = Service { address: service };
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= all {
                        return;
                    }
                    let (at, name) = (number % PARTS, format!("update-{number}"));
                    while !stopped.load(Ordering::SeqCst) {
                        match upload(&http, "ward", "pump", &format!("part-{at}"), &name).await {
                            Ok(reply) if matches!(reply.status, 200 | 201) => {
                                acknowledged.lock().unwrap().insert(id_of(&reply), at);
                                done.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                            Ok(reply) if matches!(reply.status, 409 | 429 | 500..) => {}
                            Ok(reply) => panic!("{name}: {}: {}", reply.status, reply.text()),
                            Err(_) => {}
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            })
        })
        .collect();

    let (begun, mut kills, every) = (Instant::now(), [0, 0], server_every());
    while done.load(Ordering::SeqCst) < all {
        if begun.elapsed() > Duration::from_secs(600 + 3 * all as u64) {
            stopped.store(true, Ordering::SeqCst);
            panic!("{} of {all} uploads are acknowledged", done.load(Ordering::SeqCst));
        }
        std::thread::sleep(pause() + Duration::from_millis(130 * (kills[0] % 7)));
        if kills[0].is_multiple_of(every) {
            drop(stand_in.take());
            std::thread::sleep(Duration::from_millis(100));
            stand_in = Some(place.start_server());
            kills[0] += 1;
        } else {
            // As often the server goes a moment before.
            if kills[1] % every == 1 {
                drop(stand_in.take());
            }
            drop(running.take());
            stand_in = stand_in.or_else(|| Some(place.start_server()));
            kills[0] += 1;
            kills[1] += 1;
            while running.is_none() {
                running = place.start_service();
            }
        }
    }
    RUNTIME.block_on(async {
        for client in clients {
            client.await.unwrap();
        }
        let acknowledged = acknowledged.lock().unwrap().clone();
        assert_eq!(acknowledged.len(), all);
        place.check(&acknowledged).await;
    });
    println!("{all} uploads with {} kills, {} of them of the service, in {:?}", kills[0], kills[1], begun.elapsed());
    assert!(kills[0] >= 2, "{kills:?}");
}
