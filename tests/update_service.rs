//! The example `update_service`, over HTTP: each row of its table, and each kind of invalid request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "common/passing.rs"]
mod passing;
#[path = "update_service/access.rs"]
mod access;
#[path = "update_service/client.rs"]
mod client;
#[path = "update_service/connections.rs"]
mod connections;
#[path = "update_service/devices.rs"]
mod devices;
#[path = "update_service/faulty.rs"]
mod faulty;
#[path = "update_service/files.rs"]
mod files;
#[path = "update_service/form_growth.rs"]
mod form_growth;
#[path = "update_service/forms.rs"]
mod forms;
#[path = "common/growth.rs"]
mod growth;
#[path = "update_service/health.rs"]
mod health;
#[path = "update_service/http.rs"]
mod http;
#[path = "update_service/keeping.rs"]
mod keeping;
#[cfg(all(feature = "postgres", feature = "redb"))]
#[path = "../examples/update_service/kept.rs"]
mod kept;
#[path = "update_service/lives.rs"]
mod lives;
#[path = "update_service/logs.rs"]
mod logs;
#[path = "update_service/mounted.rs"]
mod mounted;
#[cfg(all(feature = "ed25519", feature = "oidc"))]
#[path = "update_service/oidc.rs"]
mod oidc;
#[path = "update_service/operation.rs"]
mod operation;
#[path = "update_service/pages.rs"]
mod pages;
#[cfg(all(feature = "postgres", feature = "redb"))]
#[path = "update_service/postgres.rs"]
mod postgres;
#[path = "update_service/reconciling.rs"]
mod reconciling;
#[path = "update_service/rest.rs"]
mod rest;
#[path = "update_service/rollouts.rs"]
mod rollouts;
#[cfg(all(feature = "postgres", feature = "redb"))]
#[path = "postgres/server.rs"]
mod server;
#[path = "../examples/update_service/settings.rs"]
mod settings;
#[path = "../examples/update_service/sources.rs"]
mod sources;
#[path = "update_service/subscriptions.rs"]
mod subscriptions;
#[path = "update_service/uploads.rs"]
mod uploads;

use client::Service;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn page_shows_every_level_and_the_form() {
    let service = Service::start().await;
    let page = service.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    for part in
        ["Acme Flow 2 Infusion Pump", "MDS", "VMD", "Channel", "Metric", "158014", "3.7.2", "DeviceId", "/demo/updates"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("{{"));
    let other = service.get("/?tenant=ward-5").await;
    assert!(other.text().contains("has no devices") && other.text().contains("/ward-5/updates"));
    service.get("/?tenant=%3Cscript%3E").await.refusal(404);
}

#[test]
fn command_line_limits_are_checked() {
    let read = |text: &str| settings::read(["--limit".to_owned(), text.to_owned()].into_iter());
    let set = |text: &str| read(text).unwrap().unwrap();
    assert_eq!(set("entries=7").limits.entries(), 7);
    assert_eq!(set("answer-bytes=8").limits.answer_bytes(), 8);
    assert_eq!(set("page-bytes=9").limits.page_bytes(), 9);
    assert_eq!(set("findings=10").limits.findings(), 10);
    assert_eq!(set("values=11").limits.values(), 11);
    assert_eq!(set("parameters=12").limits.parameters(), 12);
    assert_eq!(set("includes=13").limits.includes(), 13);
    assert_eq!(set("steps=14").limits.steps(), 14);
    assert_eq!(set("filtered-bytes=15").limits.filtered_bytes(), 15);
    assert_eq!(set("read-memory=16").limits.read_memory(), 16);
    assert_eq!((set("request-memory=17").request_memory, set("entries=7").request_memory), (Some(17), None));
    for wrong in ["entries", "entries=", "entries=many", "entries=-1", "nothing=1", "=1", "Entries=1"] {
        assert!(read(wrong).unwrap_err().contains(&format!("`{wrong}` is not a limit")), "{wrong}");
    }
    let both = ["--limit=entries=3", "--limit", "values=4"].map(str::to_owned);
    let limits = settings::read(both.into_iter()).unwrap().unwrap().limits;
    assert_eq!((limits.entries(), limits.values()), (3, 4));
}

#[tokio::test]
async fn client_values_are_escaped_in_html() {
    let service = Service::start().await;
    let evil = r#"<img src=x onerror=alert(1)>\"'"#;
    let device = format!(
        r#"{{"resourceType":"Device","id":"e","udi":{{"name":"{evil}"}},"model":"{evil}","manufacturer":"{evil}"}}"#
    );
    let part = format!(
        r#"{{"resourceType":"DeviceComponent","id":"c","identifier":{{"value":"1"}},"source":{{"reference":"Device/e"}},"type":{{"text":"{evil}","coding":[{{"code":"{}","display":"{evil}"}}]}}}}"#,
        "<b>"
    );
    assert_eq!(service.json("PUT", "/ward/fhir/Device/e", &[], &device).await.status, 201);
    assert_eq!(service.json("PUT", "/ward/fhir/DeviceComponent/c", &[], &part).await.status, 201);
    let page = service.get("/?tenant=ward").await.text();
    assert!(!page.contains("<img") && !page.contains("<b>\""), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;'"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn malformed_requests_are_answered(
        path in prop_oneof!["/[ -~]{0,40}", "/demo/fhir/(Device|DeviceMetric)\\?[ -~]{0,60}", "/demo/fhir/Device/[!-~]{0,20}"],
        method in "(GET|PUT|POST|DELETE|PATCH|OPTIONS|X)",
        kind in "(application/fhir\\+json|multipart/form-data; boundary=e|[ -~]{0,30})",
        header in "(If-Match|If-None-Match|Range|Accept|Prefer|If-None-Exist|Idempotency-Key): [ -~]{0,40}",
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = Service::start().await;
            let mut stream = service.connect().await;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n{header}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
            assert!(line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.1 500"), "{line}");
            assert_eq!(service.get("/demo/fhir/metadata").await.status, 200);
        });
    }
}
