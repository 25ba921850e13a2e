//! Releases, rollouts and the device interface, over HTTP.

use super::client::{Form, Reply, Service};
use fhir_devices::server::{self, Stores, UpdateServer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const PUMP: &str = "infusion-pump-7";

/// Starts a service with background work on rollouts.
pub(crate) async fn start() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stores = Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
    let app = UpdateServer::over(stores, &format!("http://{address}"), server::DEFAULT_MAX_UPLOAD).unwrap();
    server::fill_demo(&app).await.unwrap();
    tokio::spawn(server::serve(listener, None, Arc::new(app), std::future::pending()));
    Service { address }
}

async fn post(service: &Service, path: &str, body: &Value) -> Reply {
    service.send("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
}

fn form() -> Form {
    Form::default().field("Name", "pump/main").field("Version", "9.0").field("Sequence", "7").field("Level", "mds")
}

async fn release(service: &Service, form: Form) -> Reply {
    service.send("POST", "/demo/releases", &[("Content-Type", Form::TYPE)], &form.end()).await
}

/// Waits for a condition of a rollout.
async fn until(service: &Service, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..400 {
        let view = service.get(&format!("/demo/rollouts/{id}")).await.json();
        if is_so(&view) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{}", service.get(&format!("/demo/rollouts/{id}")).await.text());
}

async fn started(service: &Service) -> (String, String) {
    let made = release(service, form().file("pump.bin", b"firmware 9")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let released = made.json();
    assert_eq!((&released["status"], &released["files"][0]["size"]), (&json!("released"), &json!(10)));
    assert_eq!(service.get(made.header("location").unwrap()).await.json(), released);
    let id = released["id"].as_str().unwrap().to_owned();
    let made = post(service, "/demo/rollouts", &json!({ "release": id, "scope": "DeviceComponent", "cap": 10 })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    (id, made.json()["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn rollout_goes_from_release_to_proof() {
    let service = start().await;
    let (release, id) = started(&service).await;
    until(&service, &id, |view| view["counts"]["offered"] == json!(view["planned"]["found"])).await;
    let behind = service.get(&format!("/demo/releases/{release}/behind")).await.json();
    let all = behind["components"].as_array().unwrap().len();
    assert!(all > 0);
    let deployments = service.get(&format!("/demo/rollouts/{id}/deployments?state=offered")).await.json();
    let deployments = deployments["deployments"].as_array().unwrap().clone();
    assert_eq!(deployments.len(), all);
    for one in &deployments {
        let device = one["device"].as_str().unwrap().strip_prefix("Device/").unwrap();
        let component = one["component"].as_str().unwrap().strip_prefix("DeviceComponent/").unwrap();
        let task = service.get(one["task"].as_str().unwrap()).await;
        assert_eq!((task.status, &task.json()["status"]), (200, &json!("received")));
        fhir_devices::Resource::from_json(&task.body).unwrap();
        let offers = service.get(&format!("/demo/devices/{device}/offers")).await.json();
        let offer = &offers["offers"][0];
        let link = offer["files"][0]["link"].as_str().unwrap().strip_prefix(&format!("http://{}", service.address));
        let link = link.unwrap().to_owned();
        let got = service.get(&link).await;
        assert_eq!((got.status, got.body.as_slice()), (200, &b"firmware 9"[..]));
        let part = service.send("GET", &link, &[("Range", "bytes=0-3")], b"").await;
        assert_eq!((part.status, part.body.as_slice()), (206, &b"firm"[..]));
        let reports = format!("/demo/devices/{device}/reports");
        let installing = json!({ "kind": "phase", "key": offer["key"], "phase": "installing" });
        let answers = post(&service, &reports, &json!([installing, installing])).await;
        assert_eq!(answers.json(), json!([{ "answer": "taken" }, { "answer": "known" }]));
        let versions = json!({ "kind": "versions", "restarted": true,
            "items": [{ "component": component, "version": "9.0" }] });
        assert_eq!(post(&service, &reports, &versions).await.status, 200);
        assert_eq!(service.get(&link).await.status, 410);
        let id = one["id"].as_str().unwrap();
        let events = service.get(&format!("/demo/fhir/AuditEvent?entity=Task/{id}")).await;
        // Planned, to be offered, offered, claimed, at work, done.
        assert!(events.json()["total"].as_u64().unwrap() >= 6, "{}", events.text());
        fhir_devices::Resource::from_json(&events.body).unwrap();
        let provenances = service.get(&format!("/demo/fhir/Provenance?entity=Task/{id}")).await;
        let provenance = &provenances.json()["entry"][0]["resource"];
        let target = provenance["target"][0]["reference"].as_str().unwrap().to_owned();
        assert!(target.starts_with(&format!("DeviceComponent/{component}/_history/")), "{provenance}");
        let made = service.get(&format!("/demo/fhir/{target}")).await.text();
        assert!(made.contains("\"productionSpec\":\"9.0\""), "{made}");
        let who = &provenance["agent"][0]["whoReference"]["identifier"]["value"];
        assert_eq!(*who, json!(format!("device/{device}")), "{provenance}");
        let late = post(&service, &reports, &installing).await;
        assert_eq!(late.json(), json!([{ "answer": "late", "outcome": "succeeded" }]));
        let shown = service.get(&format!("/demo/fhir/DeviceComponent/{component}")).await.text();
        assert!(shown.contains("\"productionSpec\":\"9.0\""), "{shown}");
    }
    let view = until(&service, &id, |view| view["status"] == json!("completed")).await;
    assert_eq!((&view["counts"]["succeeded"], &view["already_out"]), (&json!(all), &json!(all)));
    let behind = service.get(&format!("/demo/releases/{release}/behind")).await.json();
    assert_eq!(behind["components"], json!([]));
    let metrics = service.get("/metrics").await.text();
    for line in [
        format!("update_service_time_to_observed_seconds_count {all}"),
        "update_service_time_to_observed_quantile_seconds{quantile=\"0.95\"} 60".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let measures = service.get(&format!("/demo/rollouts/{id}/measures")).await.json();
    assert_eq!((&measures["done_permille"], &measures["time_to_field"]["count"]), (&json!(1_000), &json!(all)));
}

#[tokio::test]
async fn cancelled_rollout_gives_no_bytes() {
    let service = start().await;
    let (release, id) = started(&service).await;
    until(&service, &id, |view| view["counts"]["offered"] == json!(view["planned"]["found"])).await;
    let offers = service.get(&format!("/demo/devices/{PUMP}/offers")).await.json();
    let link = offers["offers"][0]["files"][0]["link"].as_str().unwrap().to_owned();
    let link = link.strip_prefix(&format!("http://{}", service.address)).unwrap().to_owned();
    let deployments = service.get(&format!("/demo/rollouts/{id}/deployments?_count=1")).await.json();
    let one = deployments["deployments"][0]["id"].as_str().unwrap();
    let explained = service.get(&format!("/demo/rollouts/{id}/deployments/{one}/explain")).await.json();
    assert_eq!(explained["reasons"][0]["code"], json!("not-claimed"));
    let cancelled =
        post(&service, &format!("/demo/rollouts/{id}/cancel"), &json!({ "reason": "it loses alarms" })).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let view = until(&service, &id, |view| view["status"] == json!("cancelled")).await;
    assert_eq!(view["already_out"], json!(0));
    service.get(&link).await.refusal(410);
    let withdrawn = service.send("DELETE", &format!("/demo/releases/{release}?reason=old"), &[], b"").await;
    assert_eq!((withdrawn.status, &withdrawn.json()["status"]), (200, &json!("withdrawn")));
    let again = post(&service, "/demo/rollouts", &json!({ "release": release })).await;
    assert_eq!(again.refusal(409).0, "not-released");
}

#[tokio::test]
async fn what_is_wrong_with_a_release_or_a_rollout_is_said() {
    let service = start().await;
    let no_file = release(&service, form()).await;
    assert_eq!(no_file.refusal(400).0, "no-file");
    let unknown = release(&service, form().field("Colour", "red").file("a.bin", b"x")).await;
    assert_eq!(unknown.refusal(400).0, "unknown-field");
    let digest = "0".repeat(64);
    let other = release(&service, form().field("Sha256", &digest).file("a.bin", b"x")).await;
    assert_eq!(other.refusal(422).0, "digest-mismatch");
    let two = release(&service, form().file("a.bin", b"x").file("b.bin", b"y")).await;
    assert_eq!(two.refusal(400).0, "part-after-file");
    let made = release(&service, form().file("pump.bin", b"firmware 9")).await.json();
    for (body, status, rule) in [
        (json!({ "release": "x" }), 400, "rollout"),
        (json!({ "release": "0".repeat(32) }), 404, "not-found"),
        (json!({ "release": made["id"], "cap": 0 }), 422, "invalid-rollout"),
        (json!({ "release": made["id"], "scope": "Device" }), 422, "invalid-search"),
        (json!({ "release": made["id"], "scope": "DeviceComponent?colour=red" }), 422, "invalid-search"),
        (json!({ "release": made["id"], "regions": { "moon": {} } }), 422, "unknown-region"),
        (json!({ "release": made["id"], "waves": [{ "permille": 1000, "soak": "1 h" }] }), 400, "rollout"),
    ] {
        assert_eq!(post(&service, "/demo/rollouts", &body).await.refusal(status).0, rule, "{body}");
    }
    service.get("/demo/offers/0-1/pump.bin").await.refusal(404);
    service.get("/demo/fhir/Task/7").await.refusal(404);
    let listed = service.get("/demo/releases?_count=1").await.json();
    assert_eq!(listed["releases"][0]["id"], made["id"]);
}
