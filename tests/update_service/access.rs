//! Who may ask, over which wire, and how the service ends.

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
async fn a_token_opens_its_own_tenants_and_no_other() {
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
async fn requests_are_counted_for_the_operator() {
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
        "update_service_keeper_rounds_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

fn read(arguments: &[&str]) -> Result<Option<settings::Settings>, String> {
    settings::read(arguments.iter().map(|argument| (*argument).to_owned()))
}

#[test]
fn beyond_this_machine_the_service_wants_tls_and_tokens() {
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

#[test]
fn address_that_no_client_can_use_needs_a_base_url() {
    let secured = ["--tls-cert", "c", "--tls-key", "k", "--tokens", "t"];
    for listen in ["0.0.0.0:8443", "[::]:8443", "[::ffff:0.0.0.0]:8443"] {
        let error = read(&[&["--listen", listen][..], &secured].concat()).unwrap_err();
        assert!(error.contains("--base-url") && error.contains("names no address"), "{error}");
        let base = ["--base-url", "https://updates.example"];
        assert!(read(&[&["--listen", listen][..], &secured, &base].concat()).is_ok());
    }
}

#[tokio::test]
async fn files_have_the_address_of_the_cache() {
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
async fn tls_carries_the_service_and_a_silent_client_keeps_nobody_waiting() {
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
async fn what_is_under_way_is_finished_and_nothing_new_is_taken() {
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
