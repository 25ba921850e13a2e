//! HTTP features: compression, CORS, methods, long URLs, and public routes.

use super::client::Service;
use fhir_devices::server::{self, Access, Authenticator, Caller, Grant, Stores, UpdateServer};
use fhir_devices::store::BoxFuture;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

const PUMP: &str = "/demo/fhir/Device/infusion-pump-7";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn over(base: &str) -> UpdateServer {
    UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD).unwrap()
}

/// Knows one token.
struct One;

impl Authenticator for One {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
        Box::pin(async move { (token == "secret").then(|| Grant::new(Caller::Unnamed, Access::Everything)) })
    }
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    let service = Service::start().await;
    let headers = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "gzip")];
    let body = format!(r#"{{"resourceType":"Device","id":"z","model":"{}"}}"#, "P9 ".repeat(1_000));
    let made = service.send("PUT", "/ward/fhir/Device/z", &headers, &gzip(body.as_bytes())).await;
    assert_eq!(made.status, 201, "{}", made.text());

    for name in ["GZIP", "x-gzip", "X-GZip"] {
        let headers = [("Content-Type", "application/fhir+json"), ("Content-Encoding", name)];
        let made = service.send("PUT", "/ward/fhir/Device/z", &headers, &gzip(body.as_bytes())).await;
        assert_eq!(made.status, 200, "{name}: {}", made.text());
    }
    let twice = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "gzip, gzip")];
    assert_eq!(
        service.send("PUT", "/ward/fhir/Device/z", &twice, &gzip(&gzip(b"{}"))).await.refusal(415).0,
        "content-encoding"
    );

    let read = service.send("GET", "/ward/fhir/Device/z", &[("Accept-Encoding", "br, gzip")], b"").await;
    assert_eq!((read.status, read.header("content-encoding")), (200, Some("gzip")));
    assert!(read.body.len() < 1_000, "{}", read.body.len());
    let mut text = String::new();
    GzDecoder::new(&*read.body).read_to_string(&mut text).unwrap();
    assert!(text.contains("P9 P9 P9"), "{text}");
    assert_eq!(service.get("/ward/fhir/Device/z").await.header("content-encoding"), None);

    let unknown = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "br")];
    let refused = service.send("PUT", "/ward/fhir/Device/z", &unknown, body.as_bytes()).await;
    assert_eq!(refused.refusal(415).0, "content-encoding");
    assert_eq!(refused.header("accept-encoding"), Some("gzip, identity"));
    // What it holds counts, however small it comes.
    let bomb = gzip(&vec![b' '; 8 << 20]);
    assert_eq!(service.send("PUT", "/ward/fhir/Device/z", &headers, &bomb).await.refusal(413).0, "too-large");
}

#[tokio::test]
async fn pages_of_listed_origins_may_use_the_service() {
    let app = "https://app.example";
    let service =
        Service::with(|base| over(base).with_cors_origins([app.to_owned()]).with_authenticator(Arc::new(One))).await;
    let asked = [
        ("Origin", app),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization,if-match"),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let preflight = service.send("OPTIONS", PUMP, &asked, b"").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(app)));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PUT"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization,if-match"));

    let from = [("Origin", app), ("Sec-Fetch-Site", "cross-site"), ("Authorization", "Bearer secret")];
    let put = [&from[..], &[("Content-Type", "application/fhir+json")]].concat();
    let made = service.send("PUT", PUMP, &put, br#"{"resourceType":"Device","id":"infusion-pump-7"}"#).await;
    assert_eq!((made.status, made.header("access-control-allow-origin")), (200, Some(app)), "{}", made.text());
    assert!(made.header("access-control-expose-headers").unwrap().contains("ETag"));

    let other = [("Origin", "https://other.example"), ("Authorization", "Bearer secret")];
    let refused = service.send("GET", PUMP, &other, b"").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    let security =
        |answer: &str| serde_json::from_str::<serde_json::Value>(answer).unwrap()["rest"][0]["security"].clone();
    assert_eq!(security(&service.get("/ward/fhir/metadata").await.text())["cors"], true);
    let none = Service::start().await;
    assert_eq!(security(&none.get("/ward/fhir/metadata").await.text())["cors"], false);
    assert_eq!(none.send("OPTIONS", PUMP, &asked, b"").await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_address_says_its_methods() {
    let service = Service::start().await;
    for (path, has) in [
        (PUMP, "PATCH"),
        ("/demo/fhir", "POST"),
        ("/demo/updates", "POST"),
        ("/demo/updates/x", "DELETE"),
        ("/metrics", "GET"),
        ("/", "GET"),
        ("/healthz", "GET"),
    ] {
        let options = service.send("OPTIONS", path, &[], b"").await;
        assert!(matches!(options.status, 200 | 204), "{path}: {}", options.text());
        let allow = options.header("allow").unwrap_or_default();
        assert!(allow.contains(has), "{path}: {allow}");
        let head = service.send("HEAD", path, &[], b"").await;
        assert!(head.status < 500 && head.body.is_empty(), "{path}: {}", head.status);
    }
    let refused = service.send("DELETE", "/metrics", &[], b"").await;
    assert_eq!(refused.refusal(405).0, "method");
    assert!(refused.header("allow").unwrap().contains("GET"));
}

#[tokio::test]
async fn address_that_is_too_long_is_refused_with_an_outcome() {
    let service = Service::start().await;
    let path = format!("/demo/fhir/Device?model={}", "x".repeat(40_000));
    assert_eq!(service.get(&path).await.refusal(414).0, "address-too-long");
    // What the library that speaks HTTP refuses by itself has an outcome too.
    let path = format!("/demo/fhir/Device?model={}", "x".repeat(70_000));
    assert_eq!(service.get(&path).await.refusal(414).0, "address-too-long");
    let large = "y".repeat(400_000);
    let headers = [("X-Large", large.as_str())];
    assert_eq!(service.send("GET", PUMP, &headers, b"").await.refusal(431).0, "head-too-large");
    assert_eq!(service.send("GET", PUMP, &[("bad name", "x")], b"").await.refusal(400).0, "malformed-head");
    assert_eq!(service.get(PUMP).await.status, 200);
}

#[tokio::test]
async fn statement_is_open_to_all() {
    let service = Service::with(|base| over(base).with_authenticator(Arc::new(One))).await;
    assert_eq!(service.get("/demo/fhir/metadata").await.status, 200);
    assert_eq!(service.send("OPTIONS", "/demo/fhir/metadata", &[], b"").await.status, 200);
    for path in ["/demo/fhir/Device", "/demo/fhir/metadata/x", "/demo/updates/metadata"] {
        assert_eq!(service.get(path).await.status, 401, "{path}");
    }
    assert_eq!(service.send("PUT", "/demo/fhir/metadata", &[], b"").await.status, 401);
}
