//! Health checks of the service and its stores, and its end after a fatal condition.

use super::client::Service;
use super::faulty::Broken;
use fhir_devices::server::{self, Stores, UpdateServer, serve};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn health_and_readiness_need_no_token() {
    let service = Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD)
            .unwrap();
        app.with_authenticator(Arc::new(server::Tokens::read("token-of-operators *\n").unwrap()))
    })
    .await;
    let alive = service.get("/healthz").await;
    assert_eq!((alive.status, alive.text().as_str()), (200, r#"{"status":"alive"}"#));
    // A probe addresses the service as it can.
    let ready = service.send("GET", "/readyz", &[("Host", "10.0.0.7:8443")], b"").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    service.send("POST", "/healthz", &[], b"").await.refusal(405);
}

#[tokio::test]
async fn readiness_names_each_failing_store() {
    for name in ["blobs", "ledger", "resources"] {
        let broken = Broken::in_memory();
        let service =
            Service::with(|base| UpdateServer::over(broken.stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
        assert_eq!(service.get("/readyz").await.status, 200);
        broken.fails(name).store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let reply = service.get("/readyz").await;
        let (rule, words) = reply.refusal(503);
        assert_eq!((rule.as_str(), words.as_str()), ("not-ready", format!("not ready: {name} (unavailable)").as_str()));
        assert!(reply.header("retry-after").is_some() && !reply.text().contains("password"));
        assert_eq!(service.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn manual_lists_every_metric_and_connection_limit() {
    let manual = include_str!("../../src/manual/operating.rs");
    let tokens = std::env::temp_dir().join(format!("fhir-devices-numbers-{}", std::process::id()));
    std::fs::write(&tokens, "token-of-operators *").unwrap();
    let file = server::TokenFile::open(&tokens).unwrap();
    std::fs::remove_file(&tokens).unwrap();
    let service = Service::with(|base| {
        let stores = Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap().with_token_file(file)
    })
    .await;
    let metrics = service.send("GET", "/metrics", &[("Authorization", "Bearer token-of-operators")], b"").await.text();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# HELP update_service_")?.split(' ').next());
    assert!(names.clone().count() > 20);
    let options = server::ConnectionLimits::OPTIONS;
    let missing: Vec<_> = names.chain(options).filter(|name| !manual.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "the manual page `operating` lacks {missing:?}");
}

#[tokio::test]
async fn hanging_store_is_not_ready() {
    let broken = Broken::in_memory();
    let service = Service::with(|base| {
        let app = UpdateServer::over(broken.stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap();
        app.with_readiness_timeout(Duration::from_millis(50))
    })
    .await;
    broken.hangs.store(true, Ordering::SeqCst);
    let reply = timeout(Duration::from_secs(5), service.get("/readyz")).await.unwrap();
    assert!(reply.refusal(503).1.contains("ledger (no answer in time)"));
}

#[tokio::test]
async fn fatal_condition_stops_the_service() {
    let service = Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD)
            .unwrap();
        app.fatal().report("the store of resources failed");
        app
    })
    .await;
    service.get("/readyz").await.refusal(503);
    assert_eq!(service.get("/healthz").await.status, 200);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = UpdateServer::over(
        Stores::in_memory(server::DEFAULT_MAX_UPLOAD),
        "http://127.0.0.1",
        server::DEFAULT_MAX_UPLOAD,
    )
    .unwrap();
    let fatal = app.fatal().clone();
    let serving = tokio::spawn(serve(listener, None, Arc::new(app), std::future::pending()));
    fatal.report("the store of resources failed");
    assert!(timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap());
}
