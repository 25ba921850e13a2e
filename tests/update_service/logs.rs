//! The log of background work, and of failed sign-ins.

use super::client::{Form, Service};
use super::keeping::eventually;
use fhir_devices::DeviceComponent;
use fhir_devices::backend::Memory;
use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, Tokens, UpdateServer, serve};
use fhir_devices::service::SweepRules;
use fhir_devices::store::*;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Everything that this process has logged since the first call.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let start = || {
            let log = Self::default();
            let writer = log.clone();
            let all = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO);
            all.with_writer(move || writer.clone()).init();
            log
        };
        LOG.get_or_init(start).clone()
    }

    /// Returns whether there is a line of a level with all these words.
    fn has(&self, level: &str, words: &[&str]) -> bool {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().any(|line| line.contains(level) && words.iter().all(|word| line.contains(word)))
    }
}

fn over(base: &str, memory: &Arc<Memory>) -> UpdateServer {
    let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    UpdateServer::over(stores, base, DEFAULT_MAX_UPLOAD).unwrap()
}

/// Starts another process over the stores, which maintains their tenants at once.
async fn maintain(app: UpdateServer) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(serve(listener, None, Arc::new(app), std::future::pending()));
}

#[tokio::test]
async fn maintenance_logs_each_repair_and_each_file() {
    let (log, memory) = (Log::start(), Arc::new(Memory::new()));
    let running = Service::with(|base| over(base, &memory)).await;
    let tenant = "log-ward";
    for (path, body) in [
        ("Device/pump", r#"{"resourceType":"Device","id":"pump"}"#),
        (
            "DeviceComponent/mds",
            r#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
                "source":{"reference":"Device/pump"}}"#,
        ),
    ] {
        assert_eq!(running.json("PUT", &format!("/{tenant}/fhir/{path}"), &[], body).await.status, 201);
    }
    let uploaded = running.upload(tenant, &[], &Form::of("pump").file("a.bin", b"firmware")).await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.text());
    let id = uploaded.json()["extension"][0]["extension"][0]["valueId"].as_str().unwrap().to_owned();
    // Another process takes the reference out, and leaves a file behind.
    let resources = TenantResources::new(memory.clone(), tenant.parse().unwrap());
    let (mut component, _) = resources.get::<DeviceComponent>("mds").await.unwrap();
    component.extension.clear();
    let component = fhir_devices::Valid::new(component).unwrap();
    resources.write(component.write(Precondition::Exists).unwrap()).await.unwrap();
    let blobs = TenantBlobs::new(memory.clone(), tenant.parse().unwrap());
    blobs.put(Generation(7), stream::once("left behind")).await.unwrap();
    let file = Sha256::of(b"left behind").to_string();

    let rules = SweepRules::default().with_grace(Duration::ZERO).with_quarantine(Duration::ZERO);
    maintain(over("http://127.0.0.1", &memory).with_sweep_rules(rules)).await;
    let (log, file, id) = (&log, file.as_str(), id.as_str());
    eventually("the reference that was written again is in the log", || async move {
        log.has("WARN", &["tenant=log-ward", id, "the component did not refer to the update, and does again"])
    })
    .await;
    eventually("the file in quarantine is in the log", || async move {
        log.has("WARN", &["tenant=log-ward", file, "a file that the ledger does not know is in quarantine"])
    })
    .await;
    maintain(over("http://127.0.0.1", &memory).with_sweep_rules(rules)).await;
    eventually("the file that was deleted is in the log", || async move {
        log.has("WARN", &["tenant=log-ward", file, "deleted a file that the ledger does not know"])
    })
    .await;
}

#[tokio::test]
async fn failed_sign_in_is_logged_with_the_address() {
    let log = Log::start();
    let tokens = Tokens::read("a-long-enough-token-1 *").unwrap();
    let service = Service::with(|base| over(base, &Arc::new(Memory::new())).with_authenticator(Arc::new(tokens))).await;
    let wrong = [("Authorization", "Bearer a-wrong-token-of-nobody")];
    assert_eq!(service.send("GET", "/demo/fhir/Device", &wrong, b"").await.status, 401);
    assert!(log.has("WARN", &["sign-ins failed", "address=127.0.0.1", "failures="]));
    assert!(!log.has("", &["a-wrong-token-of-nobody"]), "the token is in the log");
}

#[tokio::test]
async fn request_id_is_in_the_log_and_in_the_answer() {
    let log = Log::start();
    let service = Service::with(|base| over(base, &Arc::new(Memory::new()))).await;
    let device = r#"{"resourceType":"Device","id":"named"}"#;
    let named = [("X-Request-Id", "proxy-7.a")];
    let reply = service.json("PUT", "/demo/fhir/Device/named", &named, device).await;
    assert_eq!((reply.status, reply.header("x-request-id")), (201, Some("proxy-7.a")));
    assert!(log.has("INFO", &["request{id=proxy-7.a}", "answered", "path=\"/demo/fhir/Device/named\""]));
    for wrong in ["", "two words", &"x".repeat(65)] {
        let reply = service.send("GET", "/demo/fhir/Device/named", &[("X-Request-Id", wrong)], b"").await;
        let made = reply.header("x-request-id").unwrap();
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    }
}
