//! The router below a path of another application.

use super::client::{Form, Service};
use axum::Router;
use axum::routing::get;
use fhir_devices::server::{self, Stores, UpdateServer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Starts an application with a route of its own, and the service below `/devices`.
async fn mounted() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (base, most) = (format!("http://{address}/devices"), server::DEFAULT_MAX_UPLOAD);
    let updates = UpdateServer::over(Stores::in_memory(most), &base, most).unwrap();
    server::fill_demo(&updates).await.unwrap();
    let updates = Arc::new(updates);
    server::spawn_maintenance(&updates);
    let application = Router::new().route("/", get(|| async { "ours" })).nest("/devices", updates.router());
    let service = application.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Service { address }
}

#[tokio::test]
async fn mounted_service_links_below_its_path() {
    let service = mounted().await;
    assert_eq!(service.get("/").await.text(), "ours");
    assert_eq!(service.get("/demo/fhir/metadata").await.status, 404);
    let form =
        Form::of("infusion-pump-7").field("Component", "mds").field("Version", "4.2.0").file("a.bin", b"firmware");
    let headers = [("Content-Type", Form::TYPE)];
    let sent = service.send("POST", "/devices/demo/updates", &headers, &form.end()).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let location = sent.header("location").unwrap();
    assert_eq!(service.get(location).await.status, 200, "{location}");
    let state = sent.header("link").unwrap().split(['<', '>']).nth(1).unwrap();
    let stands = service.get(state).await;
    assert_eq!(stands.status, 200, "{state}");
    let stands = stands.json();
    let records = stands["audit"].as_str().unwrap();
    assert_eq!(service.get(records).await.status, 200, "{records}");
    let file =
        sent.text().split(&format!("http://{}", service.address)).nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(service.get(&file).await.body, b"firmware", "{file}");
    let found = service.get("/devices/demo/fhir/Device?_count=1").await.json();
    assert!(found["link"][1]["url"].as_str().unwrap().contains("/devices/demo/fhir/Device?"), "{found}");
    let page = service.get("/devices").await.text();
    for link in ["action=\"/devices\"", "action=\"/devices/demo/updates\"", "href=\"/devices/demo/fhir/metadata\""] {
        assert!(page.contains(link), "{link}");
    }
    assert!(!page.contains("\"/demo/"));
}
