//! hawkBit's device interface over HTTP: access, and refusals.

use super::client::{Form, Reply, Service};
use fhir_devices::server::{self, Stores, TokenFile, UpdateServer};
use fhir_devices::store::Sha256;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const PUMP: &str = "/demo/controller/v1/infusion-pump-7";
const OTHER: &str = "/demo/controller/v1/pulse-oximeter-3";

const OPERATOR: &str = "operator-long-token-1";
const TARGET: &str = "target-long-token-12";
const GATEWAY: &str = "gateway-long-token-1";

/// Starts a service that works on rollouts, with tokens that it knows by digest if `signs_in`.
async fn start(signs_in: bool) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stores = Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
    let mut app = UpdateServer::over(stores, &format!("http://{address}"), server::DEFAULT_MAX_UPLOAD)
        .unwrap()
        .with_device_polling(Duration::from_secs(60));
    server::fill_demo(&app).await.unwrap();
    if signs_in {
        let path = std::env::temp_dir().join(format!("fhir-devices-targets-{}", std::process::id()));
        let hashed = |token: &str| Sha256::of(token.as_bytes());
        let lines = format!(
            "{OPERATOR} *\nsha256:{} demo as device/infusion-pump-7 may device\nsha256:{} demo as ward/gateway may device\n",
            hashed(TARGET),
            hashed(GATEWAY)
        );
        std::fs::write(&path, lines).unwrap();
        app = app.with_token_file(TokenFile::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
    tokio::spawn(server::serve(listener, None, Arc::new(app), std::future::pending()));
    Service { address }
}

async fn ask(service: &Service, method: &str, path: &str, token: Option<&str>, body: &str) -> Reply {
    let mut headers = vec![("Content-Type", "application/json;charset=UTF-8")];
    headers.extend(token.map(|token| ("Authorization", token)));
    service.send(method, path, &headers, body.as_bytes()).await
}

/// Rolls out an update to every MDS, and waits until it is offered.
async fn offer(service: &Service) -> String {
    let form =
        Form::default().field("Name", "pump/main").field("Version", "9.0").field("Sequence", "7").field("Level", "mds");
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [("Content-Type", Form::TYPE), ("Authorization", bearer.as_str())];
    let form = form.file("pump file.bin", b"firmware 9").end();
    let made = service.send("POST", "/demo/releases", &headers, &form).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let wanted = json!({ "release": made.json()["id"], "cap": 10 }).to_string();
    let made = ask(service, "POST", "/demo/rollouts", Some(&bearer), &wanted).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = format!("/demo/rollouts/{}", made.json()["id"].as_str().unwrap());
    for _ in 0..400 {
        let view = ask(service, "GET", &path, Some(&bearer), "").await.json();
        if view["planned"]["found"] != json!(0) && view["counts"]["offered"] == view["planned"]["found"] {
            return path;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing is offered");
}

/// Returns the path of a link of this service.
fn path_of(service: &Service, href: &Value) -> String {
    let own = format!("http://{}", service.address);
    href.as_str().unwrap().strip_prefix(&own).unwrap().to_owned()
}

#[tokio::test]
async fn device_polls_installs_and_proves() {
    let service = start(false).await;
    let rollout = offer(&service).await;
    let poll = ask(&service, "GET", PUMP, None, "").await;
    assert_eq!((poll.status, poll.header("content-type")), (200, Some("application/json")));
    let read = poll.json();
    let sleep = read["config"]["polling"]["sleep"].as_str().unwrap();
    assert!(("00:01:00"..="00:01:12").contains(&sleep), "{sleep}");
    let tag = poll.header("etag").unwrap();
    let unchanged = service.send("GET", PUMP, &[("If-None-Match", tag)], b"").await;
    assert_eq!((unchanged.status, unchanged.body.as_slice(), unchanged.header("etag")), (304, &b""[..], Some(tag)));
    let deployment = path_of(&service, &read["_links"]["deploymentBase"]["href"]);
    let document = ask(&service, "GET", &deployment, None, "").await.json();
    let artifact = &document["deployment"]["chunks"][0]["artifacts"][0];
    assert_eq!(artifact["hashes"]["sha256"], json!(Sha256::of(b"firmware 9")));
    let link = path_of(&service, &artifact["_links"]["download-http"]["href"]);
    let got = service.get(&link).await;
    assert_eq!((got.status, got.body.as_slice()), (200, &b"firmware 9"[..]));
    let part = service.send("GET", &link, &[("Range", "bytes=0-3")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"firm"[..]));
    let closed =
        json!({ "id": 1, "status": { "execution": "closed", "result": { "finished": "success" }, "details": [""] } });
    let feedback = format!("{}/feedback", deployment.split('?').next().unwrap());
    for _ in 0..2 {
        assert_eq!(ask(&service, "POST", &feedback, None, &closed.to_string()).await.status, 200);
    }
    let data = json!({ "mode": "merge", "data": { "sw.pump-mds": "9.0", "serial": "x" } }).to_string();
    assert_eq!(ask(&service, "PUT", &format!("{PUMP}/configData"), None, &data).await.status, 200);
    let shown = service.get("/demo/fhir/DeviceComponent/pump-mds").await.text();
    assert!(shown.contains("\"productionSpec\":\"9.0\""), "{shown}");
    let view = service.get(&rollout).await.json();
    assert_eq!(view["counts"]["succeeded"], json!(1));
    // What comes late is answered as before, and nothing is to be had any more.
    assert_eq!(ask(&service, "POST", &feedback, None, &closed.to_string()).await.status, 200);
    assert_eq!(service.get(&link).await.status, 410);
    assert_eq!(ask(&service, "GET", &deployment, None, "").await.refusal(410).0, "action-not-active");
}

#[tokio::test]
async fn device_needs_its_own_token_and_a_link_none() {
    let service = start(true).await;
    offer(&service).await;
    let target = format!("TargetToken {TARGET}");
    let gateway = format!("GatewayToken {GATEWAY}");
    let operator = format!("Bearer {OPERATOR}");
    for (path, token, status) in [
        (PUMP, None, 401),
        (PUMP, Some("TargetToken wrong-long-token-12"), 401),
        (PUMP, Some("Other target-long-token-12"), 401),
        (PUMP, Some(target.as_str()), 200),
        // One token is that of one device, and a gateway speaks for several.
        (OTHER, Some(target.as_str()), 404),
        (PUMP, Some(gateway.as_str()), 200),
        (PUMP, Some(operator.as_str()), 200),
        ("/demo/controller/v1/no-such-device", Some(gateway.as_str()), 404),
        ("/ward/controller/v1/infusion-pump-7", Some(target.as_str()), 403),
        ("/demo/fhir/Device/infusion-pump-7", Some(target.as_str()), 403),
        ("/demo/rollouts", Some(gateway.as_str()), 403),
    ] {
        let reply = ask(&service, "GET", path, token, "").await;
        assert_eq!(reply.status, status, "{path} {token:?}: {}", reply.text());
    }
    let document = ask(&service, "GET", &format!("{PUMP}/deploymentBase/1"), Some(&target), "").await.json();
    let href = &document["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"];
    let link = path_of(&service, href);
    assert!(!link.contains("oken") && !link.contains(TARGET), "{link}");
    let changed = |from: &str, to: &str| link.replace(from, to);
    let unsigned = link.split_once('?').unwrap().0.to_owned();
    let until = link.split("until=").nth(1).unwrap().split('&').next().unwrap();
    for (path, status, rule) in [
        (unsigned, 401, "sign-in"),
        (changed("infusion-pump-7", "pulse-oximeter-3"), 403, "link-signature"),
        (changed(until, "9999999999"), 403, "link-signature"),
        (changed("pump%20file.bin", "other.bin"), 403, "link-signature"),
        (changed("/demo/", "/ward/"), 403, "link-signature"),
        (format!("{link}x"), 403, "link-signature"),
    ] {
        assert_eq!(service.get(&path).await.refusal(status).0, rule, "{path}");
    }
    let got = service.get(&link).await;
    assert_eq!((got.status, got.body.as_slice()), (200, &b"firmware 9"[..]));
    // The signature opens its link alone.
    let query = link.split_once('?').unwrap().1;
    assert_eq!(service.get(&format!("{PUMP}?{query}")).await.status, 401);
    assert_eq!(service.send("DELETE", &link, &[], b"").await.status, 401);
}

#[tokio::test]
async fn bad_input_of_a_device_is_refused_by_type() {
    let service = start(false).await;
    let rollout = offer(&service).await;
    let before = service.get(&rollout).await.json();
    let feedback = format!("{PUMP}/deploymentBase/1/feedback");
    let closed = |id: u64| {
        json!({ "id": id, "status": { "execution": "closed", "result": { "finished": "success" } } }).to_string()
    };
    let large = format!("{}{}", closed(1), " ".repeat(1 << 20));
    let config = format!("{PUMP}/configData");
    let foreign = json!({ "data": { "sw.oximeter-mds": "9.0" } }).to_string();
    for (method, path, body, status, rule) in [
        ("POST", feedback.as_str(), large.as_str(), 413, "too-large"),
        ("POST", &feedback, "{", 400, "malformed"),
        ("POST", &feedback, &closed(2), 400, "other-action"),
        ("POST", &format!("{PUMP}/deploymentBase/2/feedback"), &closed(2), 404, "no-such-action"),
        ("GET", &format!("{PUMP}/deploymentBase/x"), "", 404, "no-such-path"),
        ("GET", &format!("{PUMP}/confirmationBases"), "", 404, "no-such-path"),
        ("GET", &format!("{PUMP}/cancelAction/1"), "", 410, "action-not-active"),
        ("DELETE", PUMP, "", 405, "method"),
        ("PUT", &feedback, &closed(1), 405, "method"),
        ("PUT", &config, &foreign, 404, "not-found"),
        ("PUT", &config, &large, 413, "too-large"),
        ("GET", "/demo/controller/v1/no%20device", "", 404, "not-found"),
    ] {
        let reply = ask(&service, method, path, None, body).await;
        assert_eq!(reply.refusal(status).0, rule, "{method} {path}");
    }
    assert_eq!(service.get(&rollout).await.json(), before);
}
