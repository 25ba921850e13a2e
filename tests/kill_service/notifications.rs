//! `kill -9` of the service while it notifies a subscriber: every acknowledged write is notified, in the order of the
//! versions of each resource.

use super::Folder;
use super::binary::{self, ask};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const JSON: &str = "Content-Type: application/fhir+json\r\n";

/// The notifications that an endpoint received: the id of each resource, and its version.
type Told = Arc<Mutex<Vec<(String, u64)>>>;

/// Starts an endpoint that accepts everything.
fn endpoint() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let told = Told::default();
    let note = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let note = Arc::clone(&note);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.unwrap());
                loop {
                    let (mut line, mut length) = (String::new(), 0_usize);
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    let id = line.split([' ', '/']).nth(4).unwrap_or_default().to_owned();
                    loop {
                        line.clear();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = told.trim().parse().unwrap();
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["id"], id.as_str());
                    note.lock().unwrap().push((id, body["meta"]["versionId"].as_str().unwrap().parse().unwrap()));
                    if reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, told)
}

/// A running service, killed on drop.
struct Process(Child, String);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(binary: &Path, data: &Path, options: &[&str]) -> Process {
    let mut command = Command::new(binary);
    command.args(["--listen", "127.0.0.1:0", "--no-demo", "--log", "error", "--subscriptions", "local"]).args(options);
    let mut child = command.arg("--data").arg(data).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("the service listens").to_owned();
    Process(child, address)
}

#[test]
fn killed_service_tells_every_acknowledged_write() {
    let binary = binary::build();
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-kill-notify-{}", std::process::id())));
    let (url, told) = endpoint();
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..4_u64 {
        let service = start(&binary, &folder.0, &[]);
        if round == 0 {
            let body = format!(
                r#"{{"resourceType":"Subscription","status":"requested","reason":"test","criteria":"Device?model=P9","channel":{{"type":"rest-hook","endpoint":"{url}","payload":"application/fhir+json"}}}}"#
            );
            let made = ask(&service.1, "POST", "/ward/fhir/Subscription", JSON, body.as_bytes()).unwrap();
            assert_eq!(made.status, 201, "{}", made.text());
        }
        let (begun, lives) = (Instant::now(), Duration::from_millis(400 + super::random(800)));
        let mut number = 0_u64;
        while begun.elapsed() < lives {
            let id = format!("d{}", number % 7);
            let body = format!(r#"{{"resourceType":"Device","id":"{id}","model":"P9"}}"#);
            let path = format!("/ward/fhir/Device/{id}");
            let written = ask(&service.1, "PUT", &path, JSON, body.as_bytes()).unwrap();
            let version = written.header("etag").unwrap().trim_matches(['W', '/', '"']).parse().unwrap();
            acknowledged.insert(id, version);
            number += 1;
        }
        drop(service);
    }
    let _service = start(&binary, &folder.0, &[]);
    // The lease of the service that was killed has to end first.
    let begun = Instant::now();
    loop {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for (id, version) in told.lock().unwrap().iter() {
            let last = newest.entry(id.clone()).or_insert(0);
            assert!(*version <= *last + 1, "{id}: {version} after {last}");
            *last = (*last).max(*version);
        }
        if acknowledged.iter().all(|(id, version)| newest.get(id) == Some(version)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{newest:?} of {acknowledged:?} were told");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a file of a folder, or of those below it, holds some bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, bytes),
        false => std::fs::read(path).unwrap().windows(bytes.len()).any(|part| part == bytes),
    })
}

#[test]
fn sealed_secret_of_a_subscription_is_in_no_file() {
    let binary = binary::build();
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-kill-seal-{}", std::process::id())));
    let keys = Folder(std::env::temp_dir().join(format!("fhir-devices-kill-seal-keys-{}", std::process::id())));
    std::fs::create_dir_all(&keys.0).unwrap();
    let file = keys.0.join("keys");
    std::fs::write(&file, format!("2026 {}\n", "7a".repeat(32))).unwrap();
    let sealed = ["--seal-keys", file.to_str().unwrap()];
    let read = |service: &Process| ask(&service.1, "GET", "/ward/fhir/Subscription", JSON, b"").unwrap();

    let service = start(&binary, &folder.0, &sealed);
    for secret in ["first-secret", "second-secret"] {
        let body = format!(
            r#"{{"resourceType":"Subscription","status":"off","reason":"test","criteria":"Device?","channel":{{"type":"rest-hook","endpoint":"http://127.0.0.1:1/","header":["X-Key: {secret}"]}}}}"#
        );
        assert_eq!(ask(&service.1, "POST", "/ward/fhir/Subscription", JSON, body.as_bytes()).unwrap().status, 201);
    }
    drop(service);
    assert!(!holds(&folder.0, b"first-secret") && !holds(&folder.0, b"second-secret"));
    assert!(holds(&folder.0, b"subscriptions/of/"));
    let again = start(&binary, &folder.0, &sealed);
    let found = read(&again);
    assert!(found.status == 200 && found.text().contains("\"total\":2"), "{}", found.text());
    drop(again);
    assert_eq!(read(&start(&binary, &folder.0, &[])).status, 500);
}
