//! The service `update_service` as a process over another FHIR server, from the first device to the last crash.

use super::client::{Form, Reply, Service, parsed};
use super::foreign::foreign_url;
use super::{RUNTIME, example};
use fhir_devices::DeviceComponent;
use fhir_devices::update::{UpdateStatus, available};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How long the server is away. A minute, in which maintenance of its tenants fails, is tested over the stand-in of
/// `durable.rs`, in parallel with other tests.
fn away_for() -> Duration {
    let told = std::env::var("FHIR_AWAY_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(told.unwrap_or(6))
}

/// The number of kills during uploads.
fn rounds() -> u64 {
    std::env::var("FHIR_STORY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

/// A connection to the server that can be closed.
struct Way {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Way {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, closed) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_closed = Arc::clone(&closed);
        tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let is_closed = Arc::clone(&is_closed);
                tokio::spawn(async move {
                    if is_closed.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(mut to) = TcpStream::connect(server).await else { return };
                    let ends = async {
                        while !is_closed.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        () = ends => {}
                    }
                });
            }
        });
        Self { address, closed }
    }

    fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
    }
}

/// The service, killed on drop.
struct Process {
    child: Child,
    http: Service,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    fn start(binary: &Path, data: &Path, fhir: &str, probe: &str) -> Self {
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--base-url", "http://updates.example", "--no-demo", "--log", "error"])
            .args(["--keep-superseded", "1000000", "--fhir", fhir, "--fhir-probe", probe, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the service listens");
        Self { http: Service { address: address.parse().unwrap() }, child }
    }
}

pub(super) struct Folder(pub(super) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The hospital: its server, and the path of its tenant.
pub(super) struct Hospital {
    pub(super) server: Service,
    pub(super) path: String,
    pub(super) tenant: String,
}

impl Hospital {
    /// Writes as an EHR does, without a condition.
    pub(super) async fn send(&self, resource: &Value) {
        let path = format!(
            "{}/{}/{}",
            self.path,
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        let reply = self.server.json("PUT", &path, &[], &resource.to_string()).await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }

    async fn component(&self, id: &str) -> DeviceComponent {
        let reply = self.server.get(&format!("{}/DeviceComponent/{id}", self.path)).await;
        DeviceComponent::from_json(&reply.body).unwrap_or_else(|report| panic!("{report}: {}", reply.text()))
    }

    /// Returns the updates of a component: their names, ids and statuses.
    pub(super) async fn updates(&self, id: &str) -> Vec<(String, String, UpdateStatus)> {
        let component = self.component(id).await;
        available(&component)
            .map(Result::unwrap)
            .map(|update| (update.file.title.to_string(), update.id.to_string(), update.status))
            .collect()
    }
}

pub(super) fn device(id: &str) -> Value {
    json!({"resourceType": "Device", "id": id, "model": "P9"})
}

pub(super) fn part(device: &str, id: &str) -> Value {
    json!({"resourceType": "DeviceComponent", "id": id, "identifier": {"value": id}, "type": {"text": "pump"},
        "source": {"reference": format!("Device/{device}")}})
}

/// Sends an upload to a service that may end meanwhile.
async fn send(service: &Service, tenant: &str, key: &str, form: &Form) -> std::io::Result<Reply> {
    let (headers, body) = ([("Idempotency-Key", key), ("Content-Type", Form::TYPE)], form.end());
    let mut stream = TcpStream::connect(service.address).await?;
    let length = format!("Content-Length: {}", body.len());
    stream.write_all(service.head("POST", &format!("/{tenant}/updates"), &headers, &length).as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    match bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        true => Ok(parsed(bytes, "POST")),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(super) async fn upload(
    service: &Service,
    tenant: &str,
    device: &str,
    part: &str,
    name: &str,
) -> std::io::Result<Reply> {
    let form = Form::of(device).field("Component", part).file(&format!("{name}.bin"), name.as_bytes());
    // A service that is killed answers nothing.
    let asked = send(service, tenant, name, &form);
    tokio::time::timeout(Duration::from_secs(90), asked)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

pub(super) fn id_of(reply: &Reply) -> String {
    let link = reply.header("link").unwrap().trim_start_matches('<').split('>').next().unwrap();
    link.rsplit('/').next().unwrap().to_owned()
}

pub(super) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Sends one update until it is acknowledged; returns its id.
async fn insist(service: &Service, tenant: &str, part: &str, name: &str) -> String {
    let begun = Instant::now();
    loop {
        match upload(service, tenant, "pump", part, name).await {
            Ok(reply) if matches!(reply.status, 200 | 201) => return id_of(&reply),
            Ok(reply) if matches!(reply.status, 409 | 429 | 500..) => {}
            Ok(reply) => panic!("{name}: {}: {}", reply.status, reply.text()),
            Err(_) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{name} is not taken");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[test]
fn service_story_over_a_foreign_server() {
    let Some(url) = foreign_url() else { return };
    let binary = example::build("update_service");
    let data = Folder(std::env::temp_dir().join(format!("fhir-devices-story-{}", std::process::id())));
    RUNTIME.block_on(async {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let tenant = format!("story-{now}");
        let parsed = url::Url::parse(&url.replace("{tenant}", &tenant)).unwrap();
        let server = format!("{}:{}", parsed.host_str().unwrap(), parsed.port().unwrap()).parse().unwrap();
        let hospital = Hospital { server: Service { address: server }, path: parsed.path().to_owned(), tenant };
        let tenant = hospital.tenant.as_str();
        let way = Way::to(server).await;
        let fhir = url.replace(&server.to_string(), &way.address.to_string());

        // The devices are the hospital's own.
        const PARTS: usize = 8;
        let name = |n: usize| format!("part-{n}");
        hospital.send(&device("pump")).await;
        for n in 0..PARTS {
            hospital.send(&part("pump", &name(n))).await;
        }
        let service = Process::start(&binary, &data.0, &fhir, &format!("{tenant}-probe"));
        let first = upload(&service.http, tenant, "pump", "part-0", "first").await.unwrap();
        assert_eq!(first.status, 201, "{}", first.text());
        let first_id = id_of(&first);
        let named = |name: &str, id: &str, status| (format!("{name}.bin"), id.to_owned(), status);
        assert_eq!(hospital.updates("part-0").await, [named("first", &first_id, UpdateStatus::Current)]);

        // A second one replaces it, and is withdrawn.
        let second = upload(&service.http, tenant, "pump", "part-0", "second").await.unwrap();
        assert_eq!(second.status, 201, "{}", second.text());
        let second_id = id_of(&second);
        let both =
            [named("first", &first_id, UpdateStatus::Superseded), named("second", &second_id, UpdateStatus::Current)];
        assert_eq!(hospital.updates("part-0").await, both);
        let gone =
            service.http.send("DELETE", &format!("/{tenant}/updates/{second_id}?reason=loses+alarms"), &[], b"").await;
        assert!(matches!(gone.status, 200 | 204), "{}", gone.text());
        let mut withdrawn = hospital.updates("part-0").await;
        assert_eq!(withdrawn.pop().map(|(_, _, status)| status), Some(UpdateStatus::Withdrawn));

        // The EHR sends its picture again, which knows nothing of updates; the service dies, and the next one mends it.
        hospital.send(&part("pump", "part-0")).await;
        assert_eq!(hospital.updates("part-0").await, []);
        drop(service);
        let service = Process::start(&binary, &data.0, &fhir, &format!("{tenant}-probe"));
        eventually("the update is put back", async || {
            hospital.updates("part-0").await.iter().any(|(_, id, _)| *id == first_id)
        })
        .await;

        // 64 at once.
        let mut acknowledged = BTreeMap::from([(first_id, 0)]);
        let uploads: Vec<_> = (0..64)
            .map(|n| {
                let (http, tenant) = (Service { address: service.http.address }, tenant.to_owned());
                tokio::spawn(async move {
                    (insist(&http, &tenant, &format!("part-{}", n % PARTS), &format!("many-{n}")).await, n % PARTS)
                })
            })
            .collect();
        for upload in uploads {
            let (id, at) = upload.await.unwrap();
            acknowledged.insert(id, at);
        }

        // The server is away for a while.
        way.close(true);
        let address = service.http.address;
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                let (http, tenant) = (Service { address }, tenant.to_owned());
                tokio::spawn(
                    async move { (insist(&http, &tenant, &format!("part-{n}"), &format!("away-{n}")).await, n) },
                )
            })
            .collect();
        let refused = upload(&service.http, tenant, "pump", "part-1", "refused").await.unwrap();
        assert!(refused.status >= 500, "{}: {}", refused.status, refused.text());
        tokio::time::sleep(away_for()).await;
        way.close(false);
        for upload in waiting {
            let (id, at) = upload.await.unwrap();
            acknowledged.insert(id, at);
        }

        // It is killed amid uploads, which go to the next one under the same keys.
        let mut service = Some(service);
        for round in 0..rounds() {
            let address = service.as_ref().unwrap().http.address;
            let sent: Vec<_> = (0..8)
                .map(|n| {
                    let (http, tenant) = (Service { address }, tenant.to_owned());
                    tokio::spawn(async move {
                        upload(&http, &tenant, "pump", &format!("part-{n}"), &format!("killed-{round}-{n}")).await
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(150 + 200 * (round % 6))).await;
            // Every other time the server goes first.
            way.close(round % 2 == 1);
            drop(service.take());
            for sent in sent {
                drop(sent.await.unwrap());
            }
            way.close(false);
            let next = Process::start(&binary, &data.0, &fhir, &format!("{tenant}-probe"));
            for n in 0..8 {
                let id = insist(&next.http, tenant, &format!("part-{n}"), &format!("killed-{round}-{n}")).await;
                acknowledged.insert(id, n);
            }
            service = Some(next);
        }

        // Each is in the ledger and at its component, once.
        let service = service.unwrap();
        let mut found = BTreeMap::<String, Vec<usize>>::new();
        for n in 0..PARTS {
            for (_, id, _) in hospital.updates(&name(n)).await {
                found.entry(id).or_default().push(n);
            }
        }
        for (id, at) in &acknowledged {
            assert_eq!(found.get(id), Some(&vec![*at]), "{id} of part-{at}");
            let told = service.http.get(&format!("/{tenant}/updates/{id}")).await;
            assert_eq!(told.status, 200, "{}", told.text());
            assert!(matches!(told.json()["state"].as_str(), Some("attached" | "superseded")), "{}", told.text());
            assert_eq!(told.json()["reference"], "present", "{}", told.text());
        }
        println!("{} updates are acknowledged, each in the ledger and at its component, once", acknowledged.len());
    });
}
