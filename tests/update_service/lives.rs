//! The state of an upload, its records, and its withdrawal.

use super::client::{Form, Reply, Service, reply};
use super::keeping::{Dying, eventually};
use fhir_devices::DeviceComponent;
use fhir_devices::audit::{Action, AuditRecord};
use fhir_devices::backend::Memory;
use fhir_devices::server::Tokens;
use fhir_devices::server::{self, Stores, UpdateServer};
use fhir_devices::service::{IngestId, UpdateService};
use fhir_devices::store::Sha256;
use fhir_devices::update::ingest::State;
use fhir_devices::update::{UpdateStatus, available};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;

const PUMP: &str = "infusion-pump-7";

/// Sends an update with these fields to one component; the version is also the content of the file.
async fn send(service: &Service, headers: &[(&str, &str)], version: &str, sequence: &str) -> Reply {
    let form = Form::of(PUMP).field("Component", "pump-syringe").field("Version", version).field("Sequence", sequence);
    service.upload("demo", headers, &form.file("a.bin", version.as_bytes())).await
}

/// Returns the URL of the upload's state.
fn place(reply: &Reply) -> String {
    let link = reply.header("link").unwrap();
    link.strip_prefix('<').unwrap().split('>').next().unwrap().to_owned()
}

async fn state(service: &Service, path: &str) -> Value {
    let answer = service.get(path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

/// Returns the versions of the updates in the component.
async fn versions(service: &Service) -> Vec<String> {
    let component = service.get("/demo/fhir/DeviceComponent/pump-syringe").await;
    let component = DeviceComponent::from_json(&component.body).unwrap();
    let offered = available(&component).map(Result::unwrap).filter(|update| update.status != UpdateStatus::Withdrawn);
    offered.map(|update| update.version.unwrap().to_string()).collect()
}

/// Returns the versions of the updates with a status.
async fn with_status(service: &Service, status: UpdateStatus) -> Vec<String> {
    let component = service.get("/demo/fhir/DeviceComponent/pump-syringe").await;
    let component = DeviceComponent::from_json(&component.body).unwrap();
    let found = available(&component).map(Result::unwrap).filter(|update| update.status == status);
    found.map(|update| update.version.unwrap().to_string()).collect()
}

#[tokio::test]
async fn upload_status_is_readable() {
    let service = Service::start().await;
    let first = send(&service, &[], "2.1", "5").await;
    let path = place(&first);
    let said = state(&service, &path).await;
    assert_eq!((&said["state"], &said["version"], &said["sequence"]), (&"attached".into(), &"2.1".into(), &5.into()));
    assert_eq!(said["component"], "DeviceComponent/pump-syringe/_history/2");
    assert_eq!((&said["sha256"], &said["size"]), (&Sha256::of(b"2.1").to_string().into(), &3.into()));
    assert_eq!(said["audit"], format!("{path}/audit"));
    service.get(&path.replace("/demo/", "/other/")).await.refusal(404);
    service.get("/demo/updates/7").await.refusal(400);

    let (rule, words) = send(&service, &[], "2.0", "4").await.refusal(409);
    assert_eq!((rule.as_str(), words.contains("wanted one above 5")), ("not-higher", true), "{words}");
    let second = send(&service, &[], "2.2", "6").await;
    assert_eq!(state(&service, &place(&second)).await["state"], "attached");
    let said = state(&service, &path).await;
    assert_eq!(said["state"], "superseded");
    assert_eq!(place(&second), format!("/demo/updates/{}", said["supersededBy"].as_str().unwrap()));
}

#[tokio::test]
async fn withdrawal_is_final() {
    let service = Service::start().await;
    send(&service, &[], "2.1", "5").await;
    let key = [("Idempotency-Key", "run-7")];
    let second = send(&service, &key, "2.2", "6").await;
    assert_eq!(versions(&service).await, ["2.1", "2.2"]);
    let file = {
        let component = DeviceComponent::from_json(&second.body).unwrap();
        let url = available(&component).flatten().last().unwrap().file.url;
        url::Url::parse(url.as_str()).unwrap().path().to_owned()
    };
    assert_eq!(service.get(&file).await.text(), "2.2");

    let path = place(&second);
    let other = path.replace("/demo/", "/other/");
    assert_eq!(service.send("DELETE", &other, &[], b"").await.refusal(404).0, "not-found");
    let unknown = format!("/demo/updates/{}", IngestId(7));
    assert_eq!(service.send("DELETE", &unknown, &[], b"").await.refusal(404).0, "not-found");
    service.send("DELETE", "/demo/updates/7", &[], b"").await.refusal(400);
    for why in ["", "see%20https://cdn.example/a?key=7", "Patient/12", "%0a"] {
        let reply = service.send("DELETE", &format!("{path}?reason={why}"), &[], b"").await;
        assert_eq!(reply.refusal(400).0, "field-value", "{why}");
    }
    assert_eq!(versions(&service).await, ["2.1", "2.2"]);

    for _ in 0..2 {
        let reply = service.send("DELETE", &format!("{path}?reason=loses%20alarms"), &[], b"").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text());
        let said = reply.json();
        assert_eq!((&said["state"], &said["reason"]), (&"withdrawn".into(), &"withdrawn".into()));
        assert!(said["shownUntil"].is_string());
        assert_eq!(with_status(&service, UpdateStatus::Withdrawn).await, ["2.2"]);
        assert_eq!(state(&service, &path).await, said);
        assert_eq!(versions(&service).await, ["2.1"]);
    }
    // Whoever sends it again is told that it is gone for good, and it is not attached.
    let (rule, words) = send(&service, &key, "2.2", "6").await.refusal(410);
    assert_eq!((rule.as_str(), words.contains("withdrawn")), ("withdrawn", true), "{words}");
    assert_eq!(versions(&service).await, ["2.1"]);

    let lines = service.get(&format!("{path}/audit")).await;
    assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/x-ndjson")));
    let records: Vec<_> = lines.text().lines().map(|line| AuditRecord::from_line(line).unwrap()).collect();
    let withdrawn: Vec<_> = records.iter().filter(|record| record.draft.action == Action::Withdrawn).collect();
    let [withdrawn] = withdrawn.as_slice() else { panic!("{}", lines.text()) };
    assert_eq!(withdrawn.draft.comment.as_ref().unwrap(), "loses alarms");
    assert_eq!(withdrawn.draft.actor.as_ref().unwrap().as_str(), "local");
}

#[tokio::test]
async fn predecessor_is_made_current_by_one_call() {
    let service = Service::start().await;
    let first = place(&send(&service, &[], "2.1", "5").await);
    let second = place(&send(&service, &[], "2.2", "6").await);
    let path = format!("{first}/make-current");
    assert_eq!(service.send("POST", &path, &[], b"").await.refusal(400).0, "reason-missing");
    assert_eq!(with_status(&service, UpdateStatus::Current).await, ["2.2"]);
    for _ in 0..2 {
        let reply = service.send("POST", &format!("{path}?reason=2.2%20loses%20alarms"), &[], b"").await;
        assert_eq!((reply.status, &reply.json()["state"]), (200, &"attached".into()), "{}", reply.text());
        assert_eq!(with_status(&service, UpdateStatus::Current).await, ["2.1"]);
        assert_eq!(with_status(&service, UpdateStatus::Superseded).await, ["2.2"]);
    }
    assert_eq!(state(&service, &second).await["state"], "superseded");
    let lines = service.get(&format!("{first}/audit")).await;
    let records: Vec<_> = lines.text().lines().map(|line| AuditRecord::from_line(line).unwrap()).collect();
    let restored: Vec<_> = records.iter().filter(|record| record.draft.action == Action::Restored).collect();
    let [restored] = restored.as_slice() else { panic!("{}", lines.text()) };
    assert_eq!(restored.draft.comment.as_ref().unwrap(), "2.2 loses alarms");
    assert_eq!(restored.draft.actor.as_ref().unwrap().as_str(), "local");

    service.send("DELETE", &second, &[], b"").await;
    let back = service.send("POST", &format!("{second}/make-current?reason=a"), &[], b"").await;
    let (rule, words) = back.refusal(409);
    assert_eq!((rule.as_str(), words.contains("withdrawn")), ("not-restorable", true), "{words}");
    let other = path.replace("/demo/", "/other/");
    service.send("POST", &format!("{other}?reason=a"), &[], b"").await.refusal(404);
}

#[tokio::test]
async fn withdrawal_during_an_outage_completes_later() {
    let dying = Dying::in_memory();
    let service =
        Service::with(|base| UpdateServer::over(dying.stores(), base, server::DEFAULT_MAX_UPLOAD).unwrap()).await;
    let path = place(&send(&service, &[], "2.1", "5").await);
    dying.away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let reply = service.send("DELETE", &path, &[], b"").await;
        assert_eq!((reply.status, &reply.json()["state"]), (202, &"releasing".into()), "{}", reply.text());
    }
    // The recall is shown at once, before the component says so.
    assert!(versions(&service).await.is_empty());
    dying.away.store(false, Ordering::SeqCst);
    assert_eq!(service.send("DELETE", &path, &[], b"").await.status, 200);
    assert!(versions(&service).await.is_empty());
}

#[tokio::test]
async fn expired_upload_may_be_resent() {
    let memory = Arc::new(Memory::new());
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    // A small file is known to the ledger only once it has come.
    let form = Form::of(PUMP).field("Component", "pump-syringe").file("a.bin", &[7; 200_000]).end();
    let (first, second) = form.split_at(form.len() - 20);
    let mut stream = service.connect().await;
    let headers = [("Content-Type", Form::TYPE), ("Idempotency-Key", "slow")];
    let head = service.head("POST", "/demo/updates", &headers, &format!("Content-Length: {}", form.len()));
    stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
    let later = || OffsetDateTime::now_utc() + Duration::from_secs(7_200);
    let updates = &UpdateService::new(memory.clone(), memory.clone(), memory).unwrap().with_clock(later);
    eventually("the upload is given up", || async move {
        updates.recover(&"demo".parse().unwrap()).await.unwrap().ended > 0
    })
    .await;
    stream.write_all(second).await.unwrap();
    assert_eq!(reply(stream, "POST").await.refusal(408).0, "upload-lost");
    assert_eq!(service.send("POST", "/demo/updates", &headers, &form).await.status, 201);
}

#[tokio::test]
async fn failed_upload_cannot_be_withdrawn() {
    let memory = Arc::new(Memory::new());
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    send(&service, &[], "2.1", "5").await;
    let torn = Form::of(PUMP).field("Component", "pump-syringe").field("Sha256", &Sha256::of(b"1").to_string());
    service.upload("demo", &[], &torn.field("Sequence", "6").file("a.bin", b"2")).await.refusal(422);
    let updates = UpdateService::new(memory.clone(), memory.clone(), memory).unwrap();
    let records = updates.audit_records(&"demo".parse().unwrap()).await.unwrap();
    let ended = records.iter().find(|record| matches!(State::of_audit(&record.draft), Some(State::Closed { .. })));
    let path = format!("/demo/updates/{}", ended.unwrap().draft.ingest.unwrap());
    let (rule, words) = service.send("DELETE", &path, &[], b"").await.refusal(409);
    assert_eq!((rule.as_str(), words.contains("digest-mismatch")), ("upload-ended", true), "{words}");
    assert_eq!(state(&service, &path).await["reason"], "digest-mismatch");
}

#[tokio::test]
async fn audit_route_lists_the_records_of_the_upload() {
    let memory = Arc::new(Memory::new());
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    let mut places = Vec::new();
    // More records than are read at a time.
    for round in 0..50 {
        places.push(place(&send(&service, &[], &format!("3.{round}"), &round.to_string()).await));
    }
    let updates = UpdateService::new(memory.clone(), memory.clone(), memory).unwrap();
    let records = updates.audit_records(&"demo".parse().unwrap()).await.unwrap();
    assert!(records.len() > 300, "{}", records.len());
    let whole: String = records.iter().map(|record| record.to_line() + "\n").collect();
    assert_eq!(service.get("/demo/audit").await.text(), whole);
    let mut seen = 0;
    for path in &places {
        let lines = service.get(&format!("{path}/audit")).await.text();
        let id: IngestId = path.rsplit('/').next().unwrap().parse().unwrap();
        let of_it: Vec<_> = lines.lines().map(|line| AuditRecord::from_line(line).unwrap()).collect();
        assert_eq!(of_it[0].draft.action, Action::Opened);
        assert!(of_it.iter().any(|record| record.draft.action == Action::Attached && record.draft.ingest == Some(id)));
        seen += of_it.len();
    }
    // Each of the records speaks of one upload here, or of the bytes that only one has.
    assert_eq!(seen, records.len());
    service.get(&format!("{}/audit", places[0].replace("/demo/", "/other/"))).await.refusal(404);
    let nobody = service.get("/other/audit").await;
    assert_eq!((nobody.status, nobody.body.len()), (200, 0));
}

#[tokio::test]
async fn withdrawal_actor_is_the_token_owner() {
    let tokens = "token-of-the-ward-1 ward, demo as ward/terminal-3\ntoken-of-operators *\n";
    let service = Service::with(|base| {
        let app = UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD)
            .unwrap();
        app.with_authenticator(Arc::new(Tokens::read(tokens).unwrap()))
    })
    .await;
    let (ward, all) = (("Authorization", "Bearer token-of-the-ward-1"), ("Authorization", "Bearer token-of-operators"));
    for (sequence, header, name) in [("1", ward, "ward/terminal-3"), ("2", all, "client")] {
        let path = place(&send(&service, &[all], sequence, sequence).await);
        service.send("DELETE", &path, &[], b"").await.refusal(401);
        assert_eq!(service.send("DELETE", &path, &[header], b"").await.status, 200);
        let lines = service.send("GET", &format!("{path}/audit"), &[header], b"").await.text();
        let by = lines.lines().map(|line| AuditRecord::from_line(line).unwrap().draft);
        let by: Vec<_> = by.filter(|what| what.action == Action::Withdrawn).map(|what| what.actor.unwrap()).collect();
        assert_eq!(by.iter().map(|actor| actor.as_str()).collect::<Vec<_>>(), [name]);
    }
}

#[tokio::test]
async fn page_links_status_and_withdrawal_of_updates() {
    let service = Service::start().await;
    let path = place(&send(&service, &[], "2.1", "5").await);
    let own = path.replace("/updates/", "/pages/updates/");
    let fleet = service.get("/").await.text();
    assert!(fleet.contains(&format!("<a href=\"{own}\">")), "{fleet}");
    let page = service.get(&own).await.text();
    for link in [path.clone(), format!("{path}/audit"), format!("{own}/withdraw")] {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link}: {page}");
    }
}
