//! Conversations of Debian's SWUpdate, recorded by `tests/engine_swupdate.rs`: each request gets the recorded status,
//! and the rollout ends the same way.

use super::world::{World, href};
use fhir_devices::ddi::{Method, Refusal, Request};
use fhir_devices::manifest::{ActorId, Note};
use fhir_devices::service::RolloutError;
use fhir_devices::update::deployment::{OutcomeClass, Refusal as Gone};
use fhir_devices::update::rollout::RolloutId;
use serde::Deserialize;
use serde_json::Value;

/// A request and the status of its answer.
#[derive(Deserialize)]
struct Line {
    method: String,
    path: String,
    body: Value,
    status: u16,
}

fn lines(text: &str) -> Vec<Line> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a line; a link to bytes is taken from the last document read.
async fn play(world: &World, line: &Line, link: &mut Option<String>) {
    if line.path == "offers" {
        let status = match world.fetch(link.as_ref().unwrap()).await {
            // The bytes, or where they are.
            Ok(_) => line.status,
            Err(RolloutError::Deployment { refusal: Gone::Gone, .. }) => 410,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, line.status, "{} {}", line.method, line.path);
        return;
    }
    let parts: Vec<&str> = line.path.split('/').skip(5).collect();
    let body = if line.body.is_null() { Vec::new() } else { line.body.to_string().into_bytes() };
    let method = match line.method.as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        other => panic!("{other}"),
    };
    let answer = world.ask("pump-7", &Request::new(method, &parts, &body)).await;
    let status = answer.as_ref().map_or_else(Refusal::status, |response| response.status);
    assert_eq!(status, line.status, "{} {} {}", line.method, line.path, line.body);
    if let (["deploymentBase", _], Ok(answer)) = (parts.as_slice(), answer) {
        *link = Some(href(&serde_json::from_str(&answer.body.unwrap()).unwrap()));
    }
}

async fn cancel(world: &World, id: RolloutId) {
    let (by, why): (ActorId, Note) = ("operator".parse().unwrap(), "it loses alarms".parse().unwrap());
    world.service.cancel(&world.tenant, id, &by, &why).await.unwrap();
    world.work().await;
}

/// Plays a conversation. The rollout is cancelled before the first line for which `cancels` is true.
async fn ends(text: &str, cancels: impl Fn(&Line) -> bool) -> (World, RolloutId) {
    let world = World::new().await;
    let id = world.roll_out("2.4", 6, 69_985).await;
    let (mut link, mut is_cancelled) = (None, false);
    let lines = lines(text);
    assert!(lines.len() > 5);
    for line in &lines {
        if !is_cancelled && cancels(line) {
            cancel(&world, id).await;
            is_cancelled = true;
        }
        play(&world, line, &mut link).await;
        world.work().await;
    }
    (world, id)
}

#[tokio::test]
async fn recorded_installation_succeeds() {
    let (world, id) = ends(include_str!("../data/ddi/install.jsonl"), |_| false).await;
    assert_eq!(world.ended(id, OutcomeClass::Succeeded).await, 1);
    assert_eq!(world.version("pump-7-mds").await, "2.4");
}

#[tokio::test]
async fn recorded_wrong_digest_fails() {
    let (world, id) = ends(include_str!("../data/ddi/wrong-digest.jsonl"), |_| false).await;
    assert_eq!(world.ended(id, OutcomeClass::Failed).await, 1);
    assert_eq!(world.version("pump-7-mds").await, "2.3");
}

#[tokio::test]
async fn recorded_cancellation_before_the_download_gives_nothing() {
    let text = include_str!("../data/ddi/cancelled-before.jsonl");
    let (world, id) = ends(text, |line| line.path == "offers").await;
    assert_eq!(world.ended(id, OutcomeClass::Cancelled).await, 2);
}

#[tokio::test]
async fn recorded_cancellation_after_the_download_ends_by_the_version() {
    let text = include_str!("../data/ddi/cancelled-after.jsonl");
    let (world, id) = ends(text, |line| line.path.contains("cancelAction")).await;
    // The other pump was never given anything.
    assert_eq!(world.ended(id, OutcomeClass::Cancelled).await, 2);
    assert_eq!(world.version("pump-7-mds").await, "2.3");
}
