//! Clients that keep connections open and send nothing, or little, over real sockets with short timeouts.

use super::access::{CERTIFICATE, KEY, connector};
use super::client::{Form, Service, reply};
use fhir_devices::server::{ConnectionLimits, DEFAULT_MAX_UPLOAD, Stores, UpdateServer, accept, tls};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::pki_types::ServerName;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

/// Returns timeouts that do not expire in a test, unless it shortens one.
fn limits(set: impl FnOnce(&mut ConnectionLimits)) -> ConnectionLimits {
    let mut limits = ConnectionLimits::default();
    (limits.handshake, limits.header, limits.body, limits.idle, limits.min_rate) = (LONG, LONG, LONG, LONG, 1);
    set(&mut limits);
    limits
}

async fn service(limits: ConnectionLimits) -> Service {
    Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(DEFAULT_MAX_UPLOAD), base, DEFAULT_MAX_UPLOAD).unwrap();
        app.with_connection_limits(limits)
    })
    .await
}

/// Reads until the service closes the connection, and returns the text and the time.
async fn closed(mut stream: TcpStream) -> (String, Duration) {
    let (begun, mut said) = (Instant::now(), Vec::new());
    let mut chunk = [0; 4_096];
    loop {
        match timeout(Duration::from_secs(10), stream.read(&mut chunk)).await.expect("it is closed in time") {
            Ok(0) | Err(_) => return (String::from_utf8_lossy(&said).into_owned(), begun.elapsed()),
            Ok(count) => said.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn opened(service: &Service, sent: &str) -> TcpStream {
    let mut stream = service.connect().await;
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

async fn metric(service: &Service, name: &str) -> u64 {
    let text = service.get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn silent_and_slow_header_connections_are_closed() {
    let service = service(limits(|it| {
        it.header = SHORT;
    }))
    .await;
    let (silent, half) =
        tokio::join!(service.connect(), opened(&service, "GET /demo/fhir/Device HTTP/1.1\r\nHost: loc"));
    let drip = async {
        let mut stream = opened(&service, "GET / HTTP/1.1\r\n").await;
        let begun = Instant::now();
        while stream.write_all(b"a").await.is_ok() && begun.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    };
    let ((silent, first), (half, second), third) = tokio::join!(closed(silent), closed(half), drip);
    assert!(silent.is_empty() && half.is_empty(), "{silent}{half}");
    for took in [first, second, third] {
        assert!(took > SHORT / 2 && took < Duration::from_secs(5), "{took:?}");
    }
    assert_eq!(metric(&service, "update_service_connection_timeouts_total{phase=\"header\"}").await, 3);
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let service = service(limits(|it| {
        it.idle = SHORT;
    }))
    .await;
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut used = opened(&service, "").await;
    let mut chunk = [0; 4_096];
    for _ in 0..4 {
        used.write_all(request.as_bytes()).await.unwrap();
        let count = used.read(&mut chunk).await.unwrap();
        assert!(String::from_utf8_lossy(&chunk[..count]).starts_with("HTTP/1.1 200"));
        sleep(SHORT / 2).await;
    }
    let (said, took) = closed(used).await;
    assert!(said.is_empty() && took < Duration::from_secs(5), "{said}");
    assert_eq!(metric(&service, "update_service_connection_timeouts_total{phase=\"idle\"}").await, 1);
}

#[tokio::test]
async fn timeout_answer_uses_the_configured_canonical_base() {
    let service = Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(DEFAULT_MAX_UPLOAD), base, DEFAULT_MAX_UPLOAD).unwrap();
        let limits = limits(|it| it.body = SHORT);
        let base = fhir_devices::primitive::CanonicalBase::new("https://fhir.hospital.example").unwrap();
        app.with_canonical_base(base).with_connection_limits(limits)
    })
    .await;
    let head = "PUT /demo/fhir/Device/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
                Content-Length: 1000\r\n\r\n{\"resource";
    let (said, _) = closed(opened(&service, head).await).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("https://fhir.hospital.example/"), "{said}");
    assert!(said.to_ascii_lowercase().contains("x-content-type-options: nosniff"), "{said}");
}

#[tokio::test]
async fn half_sent_body_gets_408() {
    let service = service(limits(|it| {
        it.body = SHORT;
    }))
    .await;
    let head = "PUT /demo/fhir/Device/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
                Content-Length: 1000\r\n\r\n{\"resource";
    let (said, took) = closed(opened(&service, head).await).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("did not come in time"), "{said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", &[7; 10_000]).end();
    let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], "Content-Length: 11000");
    let mut stream = opened(&service, &head).await;
    stream.write_all(&form[..5_000]).await.unwrap();
    let (said, _) = closed(stream).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert_eq!(metric(&service, "update_service_connection_timeouts_total{phase=\"body\"}").await, 2);
}

#[tokio::test]
async fn slow_upload_is_accepted_above_a_minimum_rate() {
    let service = service(limits(|it| {
        it.body = SHORT;
        it.min_rate = 1_000;
    }))
    .await;
    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", &[7; 20_000]).end();
    let send = async |size: usize, pause: Duration| {
        let length = format!("Content-Length: {}", form.len());
        let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], &length);
        let mut stream = opened(&service, &head).await;
        for chunk in form.chunks(size) {
            if stream.write_all(chunk).await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        closed(stream).await.0
    };
    let begun = Instant::now();
    let said = send(1_000, Duration::from_millis(60)).await;
    assert!(said.starts_with("HTTP/1.1 201 ") && begun.elapsed() > SHORT * 3, "{said}");
    // Never silent for long, and yet without an end.
    let said = timeout(Duration::from_secs(20), send(10, Duration::from_millis(50))).await.unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
}

#[tokio::test]
async fn client_that_does_not_read_is_closed() {
    let service = service(limits(|it| {
        it.body = SHORT;
    }))
    .await;
    let file = vec![7; 64 << 20];
    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", &file);
    let reply = service.upload("demo", &[], &form).await;
    let component = fhir_devices::DeviceComponent::from_json(&reply.body).unwrap();
    let url = fhir_devices::update::available(&component).next().unwrap().unwrap().file.url;
    let path = url::Url::parse(url.as_str()).unwrap().path().to_owned();
    let stalled = opened(&service, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let name = "update_service_connection_timeouts_total{phase=\"answer\"}";
    let begun = Instant::now();
    while metric(&service, name).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(50)).await;
    }
    let (said, _) = closed(stalled).await;
    assert!(said.len() < file.len());
}

#[tokio::test]
async fn half_open_connections_do_not_block_others() {
    let limits = limits(|it| {
        it.total = Some(16);
        it.per_address = Some(8);
    });
    let service = service(limits).await;
    let mut half = Vec::new();
    for _ in 0..90 {
        half.push(opened(&service, "GET /demo/fhir/Device HTTP/1.1\r\nHost: loc").await);
    }
    for path in ["/demo/fhir/Device/infusion-pump-7", "/healthz", "/readyz"] {
        assert_eq!(timeout(Duration::from_secs(5), service.get(path)).await.unwrap().status, 200);
    }
    assert!(metric(&service, "update_service_connections_closed_for_others_total").await >= 82);
    assert!(metric(&service, "update_service_connections ").await <= 8);
}

#[tokio::test]
async fn health_is_served_at_the_connection_limit() {
    let service = service(limits(|it| {
        it.total = Some(4);
        it.per_address = Some(4);
    }))
    .await;
    let head = "PUT /demo/fhir/Device/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(opened(&service, head).await);
    }
    sleep(Duration::from_millis(100)).await;
    for path in ["/healthz", "/readyz"] {
        let reply = timeout(Duration::from_secs(5), service.get(path)).await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    }
    let refused = service.get("/demo/fhir/Device/infusion-pump-7").await;
    assert_eq!((refused.refusal(503).0.as_str(), refused.header("retry-after")), ("too-many-connections", Some("1")));
    assert_eq!(refused.header("connection"), Some("close"));
    // Silent connections beyond the limit do not fill the reserve.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(service.connect().await);
    }
    assert_eq!(timeout(Duration::from_secs(5), service.get("/healthz")).await.unwrap().status, 200);
    // A request that has stalled for a while gives its place up.
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!(service.get("/demo/fhir/Device/infusion-pump-7").await.status, 200);
}

#[tokio::test]
async fn silent_tls_clients_do_not_fill_the_handshakes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls(Path::new(CERTIFICATE), Path::new(KEY)).unwrap();
    let app = UpdateServer::over(Stores::in_memory(1), &format!("https://{address}"), 1).unwrap();
    let limits = limits(|it| {
        it.total = Some(64);
        it.per_address = Some(32);
    });
    let app = Arc::new(app.with_connection_limits(limits));
    tokio::spawn(accept(listener, Some(acceptor), app, std::future::pending()));
    let mut silent = Vec::new();
    for round in 0..1_500 {
        silent.push(TcpStream::connect(address).await.unwrap());
        // The test has descriptors of its own to spare.
        if round >= 200 {
            drop(silent.remove(0));
        }
    }
    let asked = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector().connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(timeout(Duration::from_secs(5), asked).await.unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn silent_tls_client_is_closed_after_the_handshake_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls(Path::new(CERTIFICATE), Path::new(KEY)).unwrap();
    let app = UpdateServer::over(Stores::in_memory(1), &format!("https://{address}"), 1).unwrap();
    let app = Arc::new(app.with_connection_limits(limits(|it| {
        it.handshake = SHORT;
    })));
    tokio::spawn(accept(listener, Some(acceptor), app, std::future::pending()));
    let (said, took) = closed(TcpStream::connect(address).await.unwrap()).await;
    assert!(said.is_empty() && took < Duration::from_secs(5), "{said} {took:?}");
}

#[tokio::test]
async fn idle_connections_do_not_delay_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = Service { address: listener.local_addr().unwrap() };
    let app =
        UpdateServer::over(Stores::in_memory(1), "http://localhost", 1).unwrap().with_connection_limits(limits(|_| {}));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(accept(listener, None, Arc::new(app), async { drop(stopped.await) }));
    let _silent = (service.connect().await, opened(&service, "GET /").await);
    let used = opened(&service, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(reply(opened(&service, &service.head("GET", "/healthz", &[], "")).await, "GET").await.status, 200);
    stop.send(()).unwrap();
    assert!(timeout(Duration::from_secs(5), serving).await.unwrap().unwrap());
    drop(used);
}

#[tokio::test]
async fn refused_client_body_is_drained() {
    let service = Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(DEFAULT_MAX_UPLOAD), base, DEFAULT_MAX_UPLOAD).unwrap();
        app.with_connection_limits(limits(|_| {})).with_request_memory(16 << 20)
    })
    .await;
    // It has all the memory as long as it sends.
    let head = "PUT /demo/fhir/Device/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n{";
    let sending = opened(&service, head).await;
    sleep(Duration::from_millis(100)).await;
    let device = format!(r#"{{"resourceType":"Device","id":"y","lotNumber":"{}"}}"#, "x".repeat(900_000));
    let refused = service.json("PUT", "/demo/fhir/Device/y", &[], &device).await;
    assert_eq!((refused.header("retry-after"), refused.refusal(503).0.as_str()), (Some("5"), "busy"));
    // A small batch that reads nothing has its part of the memory meanwhile.
    let entry = r#"{"resource":{"resourceType":"Device","id":"z"},"request":{"method":"PUT","url":"Device/z"}}"#;
    let batch = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entry}]}}"#);
    assert_eq!(service.json("POST", "/demo/fhir", &[], &batch).await.status, 200);
    drop(sending);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(service.json("PUT", "/demo/fhir/Device/y", &[], &device).await.status, 201);
}
