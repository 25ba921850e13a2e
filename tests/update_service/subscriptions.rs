//! Notifications over HTTP: to an endpoint on this machine, after a restart, and never to forbidden addresses.

use super::client::{Reply, Service};
use super::settings;
use fhir_devices::backend::Memory;
use fhir_devices::server::{self, HttpNotifier, Stores, SubscriptionOptions, UpdateServer, serve};
use fhir_devices::subscription::{EndpointRules, Notification, Notifier};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An endpoint: its received requests, and the head of its answer.
struct Hook {
    url: String,
    sent: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
}

impl Hook {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sent, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new("204 No Content".to_owned())));
        let (seen, told) = (Arc::clone(&sent), Arc::clone(&answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, told) = (Arc::clone(&seen), Arc::clone(&told));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut buffer = [0; 4_096];
                    loop {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        if let Some((head, body)) = text.split_once("\r\n\r\n") {
                            let lower = head.to_ascii_lowercase();
                            let length =
                                lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                            if body.len() >= length.unwrap_or(0) {
                                break;
                            }
                        }
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let answer = told.lock().unwrap().clone();
                    if answer == "never" {
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                    }
                    seen.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url, sent, answer }
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }

    async fn has(&self, count: usize) -> Vec<String> {
        for _ in 0..600 {
            if self.sent().len() >= count {
                return self.sent();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} of {count} notifications came", self.sent().len());
    }
}

fn options(rules: EndpointRules) -> SubscriptionOptions {
    SubscriptionOptions::with_endpoint_rules(rules).unwrap()
}

const OPEN: fn() -> EndpointRules = || EndpointRules::default().allow_http().allow_private();

/// Starts a service with its background work, over stores that outlive it, until it is told to stop.
async fn start(memory: &Arc<Memory>) -> (Service, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    let app = UpdateServer::over(stores, &format!("http://{address}"), server::DEFAULT_MAX_UPLOAD).unwrap();
    let (stop, stopped) = oneshot::channel();
    let app = Arc::new(app.with_subscriptions(options(OPEN())));
    tokio::spawn(serve(listener, None, app, async move { drop(stopped.await) }));
    (Service { address }, stop)
}

async fn subscribe(service: &Service, endpoint: &str) -> Reply {
    let body = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "pumps", "criteria": "Device?model=P9",
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json",
            "header": ["Authorization: Bearer secret-token"]},
    });
    service.json("POST", "/ward/fhir/Subscription", &[], &body.to_string()).await
}

async fn device(service: &Service, id: &str) {
    let body = json!({"resourceType": "Device", "id": id, "model": "P9"});
    let made = service.json("PUT", &format!("/ward/fhir/Device/{id}"), &[], &body.to_string()).await;
    assert!(made.status < 300, "{}", made.text());
}

#[tokio::test]
async fn subscriber_is_told_over_http_and_past_a_restart() {
    let (memory, hook) = (Arc::new(Memory::new()), Hook::open().await);
    let (service, stop) = start(&memory).await;
    let made = subscribe(&service, &hook.url).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(!made.text().contains("secret-token"));
    device(&service, "a").await;
    let sent = hook.has(1).await;
    let head = sent[0].to_ascii_lowercase();
    assert!(sent[0].starts_with("PUT /hook/Device/a HTTP/1.1\r\n"), "{}", sent[0]);
    assert!(
        head.contains("authorization: bearer secret-token") && head.contains("content-type: application/fhir+json")
    );
    assert!(sent[0].contains(r#""model":"P9""#) && sent[0].contains(r#""versionId":"1""#));
    let metrics = service.get("/metrics").await.text();
    assert!(metrics.contains("update_service_notifications_sent_total"), "{metrics}");

    // The endpoint is away, the service ends, and both come back.
    *hook.answer.lock().unwrap() = "503 Service Unavailable".to_owned();
    device(&service, "b").await;
    let sent = hook.has(2).await;
    assert!(sent[1].starts_with("PUT /hook/Device/b "));
    stop.send(()).unwrap();
    let (service, _stop) = start(&memory).await;
    device(&service, "c").await;
    *hook.answer.lock().unwrap() = "200 OK".to_owned();
    let sent = hook.has(4).await;
    let path = |at: usize| sent[at].split(' ').nth(1).unwrap().to_owned();
    let last = sent.len() - 1;
    assert_eq!((path(last - 1), path(last)), ("/hook/Device/b".to_owned(), "/hook/Device/c".to_owned()));
}

#[tokio::test]
async fn service_without_the_option_keeps_no_subscriptions() {
    let service = Service::start().await;
    assert_eq!(subscribe(&service, "https://ehr.example/hook").await.refusal(404).0, "resource-type");
    let strict = Service::with(|base| {
        let stores = Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
        let app = UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap();
        app.with_subscriptions(options(EndpointRules::default()))
    })
    .await;
    for endpoint in ["http://ehr.example/hook", "https://127.0.0.1/hook", "https://[::1]/", "https://10.0.0.1/"] {
        assert_eq!(subscribe(&strict, endpoint).await.refusal(422).0, "endpoint", "{endpoint}");
    }
    assert_eq!(subscribe(&strict, "https://ehr.example/hook").await.status, 201);
}

#[tokio::test]
async fn host_name_that_leads_inside_is_not_called() {
    let hook = Hook::open().await;
    // Private addresses are refused when the name is resolved, whatever the name looks like.
    let port = hook.url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    let notifier = HttpNotifier::new(EndpointRules::default().allow_http(), Duration::from_secs(5)).unwrap();
    for url in [hook.url.clone(), format!("http://localhost:{port}/hook"), format!("http://localhost.:{port}/hook")] {
        let refused = notifier.send(&Notification::new("POST", url.parse().unwrap())).await;
        assert!(refused.is_err(), "{url}");
    }
    assert!(hook.sent().is_empty());
    let open = HttpNotifier::new(OPEN(), Duration::from_secs(5)).unwrap();
    let url = format!("http://localhost:{port}/hook").parse().unwrap();
    open.send(&Notification::new("POST", url)).await.unwrap();
    assert!(hook.sent()[0].starts_with("POST /hook "));
}

#[tokio::test]
async fn endpoint_that_refuses_redirects_or_is_slow_is_a_failure() {
    let hook = Hook::open().await;
    let notifier = HttpNotifier::new(OPEN(), Duration::from_millis(300)).unwrap();
    let secret = format!("{}?key=secret", hook.url);
    let ping = Notification::new("POST", secret.parse().unwrap());
    for (answer, reason) in [
        ("500 Internal Server Error", "the endpoint answered 500 Internal Server Error"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", "the endpoint answered 302 Found"),
        ("410 Gone", "the endpoint answered 410 Gone"),
        ("never", "the endpoint did not answer in time"),
    ] {
        *hook.answer.lock().unwrap() = answer.to_owned();
        let error = notifier.send(&ping).await.unwrap_err();
        assert!(error.reason.starts_with(reason) && !error.reason.contains("secret"), "{answer}: {error}");
    }
    *hook.answer.lock().unwrap() = "429 Too Many Requests\r\nRetry-After: 7".to_owned();
    assert_eq!(notifier.send(&ping).await.unwrap_err().retry_after, Some(Duration::from_secs(7)));
    let nobody = "http://127.0.0.1:1/?key=secret".parse().unwrap();
    let error = notifier.send(&Notification::new("POST", nobody)).await.unwrap_err();
    assert!(error.reason.starts_with("the endpoint cannot be reached") && !error.reason.contains("secret"), "{error}");
}

#[test]
fn command_line_says_who_may_be_told() {
    let read = |value: &str| settings::read(["--subscriptions", value].map(str::to_owned).into_iter());
    assert_eq!(read("off").unwrap().unwrap().subscriptions, None);
    assert_eq!(read("public").unwrap().unwrap().subscriptions, Some(EndpointRules::default()));
    assert_eq!(read("local").unwrap().unwrap().subscriptions, Some(OPEN()));
    assert!(read("all").unwrap_err().contains("`all` is not a rule"));
}
