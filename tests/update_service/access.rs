//! Access control, TLS, and the end of the service.

use super::client::{Form, Service, reply};
use super::settings;
use fhir_devices::server::Tokens;
use fhir_devices::server::{self, Stores, UpdateServer};
use fhir_devices::server::{serve, tls};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const TOKENS: &str = "token-of-the-ward-1 ward, demo\ntoken-of-operators *\n";

fn memory(base: &str) -> UpdateServer {
    UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD).unwrap()
}

async fn guarded() -> Service {
    Service::with(|base| memory(base).with_authenticator(Arc::new(Tokens::read(TOKENS).unwrap()))).await
}

#[tokio::test]
async fn token_is_limited_to_its_tenants() {
    let service = guarded().await;
    let device = "/demo/fhir/Device/infusion-pump-7";
    let ward = ("Authorization", "Bearer token-of-the-ward-1");
    let all = ("Authorization", "bearer token-of-operators");
    // `nurse:token-of-the-ward-1`, as a browser sends it.
    let browser = ("Authorization", "Basic bnVyc2U6dG9rZW4tb2YtdGhlLXdhcmQtMQ==");
    for (path, header, status) in [
        (device, None, 401),
        (device, Some(("Authorization", "Bearer token-of-the-ward-2")), 401),
        (device, Some(("Authorization", "Bearer")), 401),
        (device, Some(("Authorization", "Basic !")), 401),
        (device, Some(("Authorization", "Digest x")), 401),
        (device, Some(ward), 200),
        (device, Some(browser), 200),
        (device, Some(all), 200),
        ("/other/fhir/Device", Some(ward), 403),
        ("/other/fhir/Device", Some(all), 200),
        ("/blobs/other/sha256/x/y", Some(ward), 403),
        ("/blobs/demo/sha256/x/y", Some(ward), 404),
        ("/", None, 401),
        ("/", Some(browser), 200),
        ("/?tenant=other", Some(browser), 403),
        ("/metrics", Some(ward), 403),
        ("/metrics", Some(all), 200),
        ("/other/updates", Some(ward), 403),
        ("/Ward/fhir/Device", Some(ward), 403),
        ("//ward/fhir/Device", None, 401),
    ] {
        let reply = service.send("GET", path, header.as_slice(), b"").await;
        assert_eq!(reply.status, status, "{path} {header:?}: {}", reply.text());
        if status == 401 {
            assert_eq!(reply.refusal(401).0, "sign-in");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", b"1");
    assert_eq!(service.upload("demo", &[], &form).await.refusal(401).0, "sign-in");
    assert_eq!(service.upload("demo", &[ward], &form).await.status, 201);
    // A browser sends what it knows also from pages of other sites.
    let elsewhere = [browser, ("Origin", "https://evil.example")];
    assert_eq!(service.upload("demo", &elsewhere, &form).await.refusal(403).0, "other-site");
    let host = service.address.to_string();
    let own = format!("http://{host}");
    assert_eq!(service.upload("demo", &[browser, ("Origin", &own)], &form).await.status, 201);
}

#[tokio::test]
async fn requests_are_counted_in_metrics() {
    let service = Service::start().await;
    service.get("/demo/fhir/Device").await;
    service.get("/demo/fhir/Device/nobody").await;
    service.upload("demo", &[], &Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", b"1")).await;
    let reply = service.get("/metrics").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let text = reply.text();
    for line in [
        "update_service_requests_total{kind=\"fhir\",method=\"GET\",status=\"2xx\"} 1",
        "update_service_requests_total{kind=\"fhir\",method=\"GET\",status=\"4xx\"} 1",
        "update_service_requests_total{kind=\"updates\",method=\"POST\",status=\"2xx\"} 1",
        "update_service_request_seconds_count{kind=\"fhir\"} 2",
        "update_service_requests_under_way 1",
        "update_service_maintenance_rounds_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

fn read(arguments: &[&str]) -> Result<Option<settings::Settings>, String> {
    settings::read(arguments.iter().map(|argument| (*argument).to_owned()))
}

#[test]
fn public_address_needs_tls_and_tokens() {
    let (certificate, key, tokens) = (["--tls-cert", "c"], ["--tls-key", "k"], ["--tokens", "t"]);
    let beyond = ["--listen", "10.0.0.7:443"];
    for arguments in [beyond.to_vec(), [beyond, tokens].concat(), [beyond, certificate, key].concat()] {
        let error = read(&arguments).unwrap_err();
        assert!(error.contains("TLS") && error.contains("authenticator"), "{error}");
    }
    assert!(read(&[beyond, certificate, key, tokens].concat()).is_ok());
    assert!(read(&["--listen", "[::1]:0"]).is_ok() && read(&["--listen=localhost:0"]).is_ok());
    for (arguments, why) in [
        (&["--listen", "8080"][..], "`8080` is not an address"),
        (&["--listen"], "wants a value"),
        (&["--tls-cert", "c"], "go together"),
        (&["--postgres-ca", "c"], "goes with"),
        (&["--base-url", "https://x.example/path"], "is not the address of a service"),
        (&["--base-url", "https://x.example/#a"], "is not the address of a service"),
        (&["--base-url", "https://0.0.0.0:8443"], "is not the address of a service"),
        (&["--cdn-url", "cdn.example"], "is not the address of a cache"),
        (&["--cdn-url", "https://name:password@cdn.example"], "is not the address of a cache"),
        (&["--cdn-url", "https://cdn.example/?key=1"], "is not the address of a cache"),
        (&["--idle-timeout", "0"], "a number of seconds"),
        (&["--log", "loud"], "level"),
        (&["--log-format", "xml"], "format"),
        (&["--colour"], "`--colour` is not known"),
    ] {
        let error = read(arguments).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(read(&["--help"]).unwrap().is_none());
    for name in [
        "--listen",
        "--base-url",
        "--tls-cert",
        "--tls-key",
        "--tokens",
        "--data",
        "--postgres",
        "--postgres-ca",
        "--blobs",
        "--cdn-url",
    ]
    .into_iter()
    .chain(server::ConnectionLimits::OPTIONS)
    {
        assert!(settings::USAGE.contains(&format!("  {name} ")), "{name}");
    }
}

const ROLES: &str = "reader-long-token-1 demo may read\nwriter-long-token-1 demo may write\n\
    sender-long-token-1 demo may upload\noperator-long-token demo may operate\nplain-long-token-12 demo\n\
    expired-long-token1 * until 2020-01-01\nscrape-long-token-1 * may read\n";

#[tokio::test]
async fn token_is_limited_to_its_roles() {
    let service = Service::with(|base| memory(base).with_authenticator(Arc::new(Tokens::read(ROLES).unwrap()))).await;
    let device = r#"{"resourceType":"Device","id":"x"}"#;
    let ask = async |token: &str, method: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/fhir+json")];
        service.send(method, path, &headers, device.as_bytes()).await.status
    };
    let (read, write) = ("/demo/fhir/Device/infusion-pump-7", "/demo/fhir/Device/x");
    for (token, statuses) in [
        // GET, PUT, upload (415: it would come to the form), withdrawal (404), make current, metrics
        ("reader-long-token-1", [200, 403, 403, 403, 403, 403]),
        ("writer-long-token-1", [403, 201, 403, 403, 403, 403]),
        ("sender-long-token-1", [403, 403, 415, 404, 403, 403]),
        ("operator-long-token", [403, 403, 403, 404, 404, 200]),
        ("plain-long-token-12", [200, 200, 415, 404, 403, 403]),
        ("scrape-long-token-1", [200, 403, 403, 403, 403, 200]),
        ("expired-long-token1", [401; 6]),
    ] {
        let upload = format!("/demo/updates/{}", fhir_devices::service::IngestId(7));
        let asked = [
            ask(token, "GET", read).await,
            ask(token, "PUT", write).await,
            ask(token, "POST", "/demo/updates").await,
            ask(token, "DELETE", &upload).await,
            ask(token, "POST", &format!("{upload}/make-current?reason=test")).await,
            ask(token, "GET", "/metrics").await,
        ];
        assert_eq!(asked, statuses, "{token}");
    }
    let headers = [("Authorization", "Bearer reader-long-token-1")];
    let (rule, words) = service.send("PUT", write, &headers, b"").await.refusal(403);
    assert_eq!((rule.as_str(), words.as_str()), ("role", "the token does not have the role `write`"));
    let headers = [("Authorization", "Bearer expired-long-token1")];
    assert!(service.send("GET", read, &headers, b"").await.refusal(401).1.contains("has expired"));
}

#[tokio::test]
async fn token_removed_from_the_file_is_refused() {
    let path = std::env::temp_dir().join(format!("fhir-devices-access-{}", std::process::id()));
    std::fs::write(&path, TOKENS).unwrap();
    let file = server::TokenFile::open(&path).unwrap();
    let watching = tokio::spawn(Arc::clone(&file).watch(Duration::from_millis(20)));
    let service = Service::with(|base| memory(base).with_token_file(file)).await;
    let status =
        async |token: &str| service.send("GET", "/demo/fhir/Device", &[("Authorization", token)], b"").await.status;
    assert_eq!(status("Bearer token-of-the-ward-1").await, 200);
    std::fs::write(&path, "token-of-operators *\n").unwrap();
    super::keeping::eventually("the token is revoked", || async { status("Bearer token-of-the-ward-1").await == 401 })
        .await;
    std::fs::write(&path, "nothing").unwrap();
    let operator = [("Authorization", "Bearer token-of-operators")];
    super::keeping::eventually("the broken file is counted", || async {
        let metrics = service.send("GET", "/metrics", &operator, b"").await.text();
        ["update_service_token_file_failures_total 1", "update_service_token_file_broken 1"]
            .iter()
            .all(|line| metrics.lines().any(|found| found == *line))
    })
    .await;
    assert_eq!(status("Bearer token-of-operators").await, 200);
    watching.abort();
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn wrong_tokens_are_counted_and_throttled() {
    let service = Arc::new(guarded().await);
    let good = [("Authorization", "Bearer token-of-operators")];
    let mut asking = tokio::task::JoinSet::new();
    for client in 0..8 {
        let service = Arc::clone(&service);
        asking.spawn(async move {
            let mut refused = 0;
            for number in 0..60 {
                let token = format!("Bearer wrong-token-{client}-{number}");
                let reply = service.send("GET", "/demo/fhir/Device", &[("Authorization", &token)], b"").await;
                match reply.status {
                    401 => {}
                    429 => {
                        assert_eq!(reply.header("retry-after"), Some("1"));
                        refused += 1;
                    }
                    status => panic!("{status}"),
                }
            }
            refused
        });
    }
    let mut refused = 0;
    while let Some(of_one) = asking.join_next().await {
        refused += of_one.unwrap();
    }
    let begun = std::time::Instant::now();
    while service.send("GET", "/demo/fhir/Device", &good, b"").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(2), "the good token is locked out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let metrics = service.send("GET", "/metrics", &good, b"").await.text();
    let count = |reason: &str| {
        let name = format!("update_service_sign_in_failures_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(count("unknown") + count("refused"), 480 + count("refused") - refused, "{refused}");
    assert!(count("refused") >= refused);
}

#[tokio::test]
async fn ambiguous_request_is_refused() {
    let service = Service::start().await;
    let host = service.address.to_string();
    let port = service.address.port();
    let path = "/demo/fhir/Device/infusion-pump-7";
    let get = async |target: &str, headers: &[(&str, &str)]| service.send("GET", target, headers, b"").await;
    for (headers, rule) in [
        (&[("Host", host.as_str()), ("Host", "evil.example")][..], "duplicate-header"),
        (&[("Host", host.as_str()), ("Host", host.as_str())], "duplicate-header"),
        (&[("Authorization", "Bearer a"), ("Authorization", "Bearer b")], "duplicate-header"),
        (&[("Host", "127.0.0.1:80@evil.example")], "host"),
        (&[("Host", "")], "host"),
    ] {
        assert_eq!(get(path, headers).await.refusal(400).0, rule, "{headers:?}");
    }
    assert_eq!(get(&format!("http://evil.example{path}"), &[]).await.refusal(400).0, "host");
    assert_eq!(get(&format!("http://{host}{path}"), &[]).await.status, 200);
    for headers in [
        &[("Origin", "http://localhost:3000")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
        &[("Host", "rebound.example")],
    ] {
        let device = r#"{"resourceType":"Device","id":"x"}"#;
        let reply = service.json("PUT", "/demo/fhir/Device/x", headers, device).await;
        assert_eq!(reply.refusal(403).0, "local-only", "{headers:?}");
    }
    let own = format!("http://localhost:{port}");
    let local = format!("localhost:{port}");
    assert_eq!(get(path, &[("Host", &local), ("Origin", &own)]).await.status, 200);
}

#[tokio::test]
async fn responses_forbid_caching_and_sniffing() {
    let service = Service::start().await;
    let path = "/demo/fhir/Device/infusion-pump-7";
    let first = service.get(path).await;
    let tag = first.header("etag").unwrap().to_owned();
    let unchanged = service.send("GET", path, &[("If-None-Match", &tag)], b"").await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(tag.as_str())));
    let bundle = service.json("POST", "/demo/fhir", &[], r#"{"resourceType":"Bundle","type":"batch"}"#).await;
    for reply in [
        first,
        unchanged,
        bundle,
        service.get("/demo/fhir/metadata").await,
        service.get("/demo/fhir/Device/nobody").await,
        service.get("/nowhere").await,
        service.get("/metrics").await,
        service.get("/").await,
        service.get("/demo/audit").await,
        service.get("/healthz").await,
        service.send("GET", path, &[("Host", "evil.example")], b"").await,
    ] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{}", reply.head);
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{}", reply.head);
    }
}

#[test]
fn unspecified_address_needs_a_base_url() {
    let secured = ["--tls-cert", "c", "--tls-key", "k", "--tokens", "t"];
    for listen in ["0.0.0.0:8443", "[::]:8443", "[::ffff:0.0.0.0]:8443"] {
        let error = read(&[&["--listen", listen][..], &secured].concat()).unwrap_err();
        assert!(error.contains("--base-url") && error.contains("names no address"), "{error}");
        let base = ["--base-url", "https://updates.example"];
        assert!(read(&[&["--listen", listen][..], &secured, &base].concat()).is_ok());
    }
}

#[tokio::test]
async fn file_urls_use_the_cdn_base() {
    for (cdn, start) in [
        ("https://cdn.example", "https://cdn.example/blobs/demo/sha256/"),
        ("https://cdn.example/updates/", "https://cdn.example/updates/blobs/demo/sha256/"),
    ] {
        let service = Service::with(|base| memory(base).with_cdn(&cdn.parse().unwrap())).await;
        let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", b"firmware");
        let reply = service.upload("demo", &[], &form).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let component = fhir_devices::DeviceComponent::from_json(&reply.body).unwrap();
        let url = fhir_devices::update::available(&component).next().unwrap().unwrap().file.url;
        let path = url.as_str().strip_prefix(start).unwrap();
        // The cache fetches it here.
        assert_eq!(service.get(&format!("/blobs/demo/sha256/{path}")).await.text(), "firmware");
    }
}

pub(crate) const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/certificate.pem");
pub(crate) const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/key.pem");

pub(crate) fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CERTIFICATE).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn silent_tls_client_does_not_block_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls(Path::new(CERTIFICATE), Path::new(KEY)).unwrap();
    let app = Arc::new(memory(&format!("https://{address}")));
    server::fill_demo(&app).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(serve(listener, Some(acceptor), app, async { drop(stopped.await) }));

    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let asked = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector().connect(name, stream).await.unwrap();
        let request = "GET /demo/fhir/Device?_count=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains(&format!("https://{address}/demo/fhir/Device?_count=1")), "{answer}");
    let mut refused = Vec::new();
    let _ = plain.read_to_end(&mut refused).await;
    assert!(!refused.starts_with(b"HTTP"), "nothing is said in the clear");
    stop.send(()).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap());
    assert!(tls(Path::new(KEY), Path::new(KEY)).err().unwrap().contains("it holds no certificate"));
    assert!(tls(Path::new("nowhere.pem"), Path::new(KEY)).err().unwrap().contains("`nowhere.pem`"));
}

#[tokio::test]
async fn shutdown_finishes_requests_and_accepts_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::new(memory(&format!("http://{address}")));
    server::fill_demo(&app).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(serve(listener, None, app, async { drop(stopped.await) }));
    let service = Service { address };

    let form = Form::of("infusion-pump-7").field("Component", "pump-lvp").file("a", &[7; 100_000]).end();
    let (first, second) = form.split_at(50_000);
    let mut upload = service.connect().await;
    let length = format!("Content-Length: {}", form.len());
    let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], &length);
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.write_all(first).await.unwrap();
    // It is being received when the service is told to stop.
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
    upload.write_all(second).await.unwrap();
    assert_eq!(reply(upload, "POST").await.status, 201);
    assert!(tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap());
}
