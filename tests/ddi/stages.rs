//! The documents shown to a device in each stage of its actions.

use super::world::{World, href};
use fhir_devices::ddi::{Method, Request};
use fhir_devices::manifest::{ActorId, Note};
use fhir_devices::service::RolloutError;
use fhir_devices::update::deployment::{OutcomeClass, Refusal as Gone, StateName};
use serde_json::json;

const PUMP: &str = "pump-7";
const MDS: u32 = 69_985;
const CHANNEL: u32 = 70_003;

fn by() -> ActorId {
    "operator".parse().unwrap()
}

fn note() -> Note {
    "it loses alarms".parse().unwrap()
}

fn links<const N: usize>(links: [(&str, &str); N]) -> Vec<(String, String)> {
    links.map(|(name, path)| (name.to_owned(), path.to_owned())).to_vec()
}

/// Sends the versions, so that the device is no longer asked for them.
async fn known(world: &World) {
    world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.3","hw":"b"}"#).await.unwrap();
    assert_eq!(world.links(PUMP).await, []);
}

#[tokio::test]
async fn offer_is_one_chunk_with_one_artifact_and_a_signed_link() {
    let world = World::new().await;
    known(&world).await;
    world.roll_out("2.4", 6, MDS).await;
    assert_eq!(world.links(PUMP).await, links([("deploymentBase", "deploymentBase/1")]));
    let document = world.get(PUMP, &["deploymentBase", "1"]).await;
    let link = href(&document);
    let shown = json!({
        "id": "1",
        "deployment": {
            "download": "forced",
            "update": "forced",
            "chunks": [{
                "part": "pump-7-mds",
                "name": "pump/69985",
                "version": "2.4",
                "artifacts": [{
                    "filename": "pump.swu",
                    "size": 12,
                    "hashes": {
                        "md5": "",
                        "sha1": "REPLACED",
                        "sha256": fhir_devices::store::Sha256::of(b"firmware 2.4"),
                    },
                    "_links": { "download": { "href": link }, "download-http": { "href": link } },
                }],
            }],
        },
    });
    let mut masked = document.clone();
    let sha1 = masked["deployment"]["chunks"][0]["artifacts"][0]["hashes"]["sha1"].take();
    masked["deployment"]["chunks"][0]["artifacts"][0]["hashes"]["sha1"] = json!("REPLACED");
    assert_eq!(masked, shown);
    assert_eq!(sha1.as_str().unwrap().len(), 40);
    assert_eq!(world.fetch(&link).await.unwrap().size, 12);
    assert_eq!(
        world.service.device_actions(&world.tenant, &PUMP.parse().unwrap()).await.unwrap().live[0]
            .deployment
            .state
            .name(),
        StateName::Claimed
    );
    // A device that was started meanwhile goes on.
    assert_eq!(world.links(PUMP).await, links([("deploymentBase", "deploymentBase/1")]));
}

#[tokio::test]
async fn success_of_a_client_is_no_proof_and_its_version_is() {
    let world = World::new().await;
    known(&world).await;
    let id = world.roll_out("2.4", 6, MDS).await;
    let link = href(&world.get(PUMP, &["deploymentBase", "1"]).await);
    world.fetch(&link).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], "proceeding", "none").await, 200);
        assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], "closed", "success").await, 200);
    }
    assert_eq!(world.ended(id, OutcomeClass::Succeeded).await, 0);
    let wanted = links([("configData", "configData"), ("installedBase", "installedBase/1")]);
    assert_eq!(world.links(PUMP).await, wanted);
    assert_eq!(world.get(PUMP, &["installedBase", "1"]).await["id"], json!("1"));
    let taken = world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.4"}"#).await.unwrap();
    assert!(taken.changed);
    assert_eq!(
        (world.ended(id, OutcomeClass::Succeeded).await, world.version("pump-7-mds").await.as_str()),
        (1, "2.4")
    );
    // A report that comes late is answered as any other, and changes nothing.
    assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], "closed", "failure").await, 200);
    assert_eq!(world.ended(id, OutcomeClass::Failed).await, 0);
    assert_eq!(world.links(PUMP).await, []);
}

/// The last action that was installed, and no earlier one, nor one that ended otherwise.
#[tokio::test]
async fn installed_action_is_shown_after_its_end() {
    let world = World::new().await;
    for (number, version) in [("1", "2.4"), ("2", "2.5")] {
        world.roll_out(version, number.parse().unwrap(), MDS).await;
        let link = href(&world.get(PUMP, &["deploymentBase", number]).await);
        assert_eq!(world.ask(PUMP, &Request::get(&["installedBase", number])).await.unwrap_err().status(), 410);
        world.fetch(&link).await.unwrap();
        world.attributes(PUMP, &format!(r#"{{"sw.pump-7-mds":"{version}"}}"#)).await.unwrap();
        world.work().await;
        let installed = world.get(PUMP, &["installedBase", number]).await;
        assert_eq!(
            (&installed["id"], &installed["deployment"]["chunks"][0]["version"]),
            (&json!(number), &json!(version))
        );
        // It has the form of an offer, and gives no bytes any more.
        let refused = world.fetch(&href(&installed)).await.unwrap_err();
        assert!(matches!(refused, RolloutError::Deployment { refusal: Gone::Gone, .. }), "{refused}");
    }
    assert_eq!(world.ask(PUMP, &Request::get(&["installedBase", "1"])).await.unwrap_err().status(), 410);
    assert_eq!(world.ask(PUMP, &Request::get(&["installedBase", "3"])).await.unwrap_err().status(), 404);
    // The other pump never installed its own.
    assert_eq!(world.ask("pump-8", &Request::get(&["installedBase", "1"])).await.unwrap_err().status(), 410);
}

#[tokio::test]
async fn actions_are_confirmed_by_themselves_and_may_be_denied() {
    let world = World::new().await;
    let id = world.roll_out("2.4", 6, MDS).await;
    assert_eq!(world.get(PUMP, &["confirmationBase"]).await["autoConfirm"]["active"], json!(true));
    assert_eq!(world.get(PUMP, &["confirmationBase", "1"]).await["confirmation"]["state"], json!("confirmed"));
    let answer = async |device, number, body: &str| {
        let path = ["confirmationBase", number, "feedback"];
        world.ask(device, &Request::new(Method::Post, &path, body.as_bytes())).await
    };
    for body in ["{}", "[]", r#"{"confirmation":"perhaps"}"#] {
        assert_eq!(answer(PUMP, "1", body).await.unwrap_err().status(), 400, "{body}");
    }
    assert_eq!(answer(PUMP, "2", r#"{"confirmation":"denied"}"#).await.unwrap_err().status(), 404);
    assert!(!answer(PUMP, "1", r#"{"confirmation":"confirmed","code":1}"#).await.unwrap().changed);
    assert_eq!(world.ended(id, OutcomeClass::Rejected).await, 0);
    assert!(answer(PUMP, "1", r#"{"confirmation":"denied","code":7,"details":["not now"]}"#).await.unwrap().changed);
    world.work().await;
    assert_eq!(world.ended(id, OutcomeClass::Rejected).await, 1);
    // It is not offered again, and a repetition changes nothing.
    assert!(!answer(PUMP, "1", r#"{"confirmation":"denied"}"#).await.unwrap().changed);
    assert!(world.links(PUMP).await.iter().all(|(name, _)| name == "configData"));
    // A device that has the bytes cannot deny any more.
    let link = href(&world.get("pump-8", &["deploymentBase", "1"]).await);
    world.fetch(&link).await.unwrap();
    assert!(!answer("pump-8", "1", r#"{"confirmation":"denied"}"#).await.unwrap().changed);
    assert_eq!(world.ask("pump-8", &Request::get(&["confirmationBase", "1"])).await.unwrap_err().status(), 410);
}

#[tokio::test]
async fn running_version_is_reported_by_installed_base() {
    let world = World::new().await;
    let id = world.roll_out("2.4", 6, MDS).await;
    let link = href(&world.get(PUMP, &["deploymentBase", "1"]).await);
    world.fetch(&link).await.unwrap();
    let body = br#"{"name":"pump/69985","version":"2.4"}"#;
    let answer = world.ask(PUMP, &Request::new(Method::Put, &["installedBase"], body)).await.unwrap();
    assert!(answer.changed);
    assert_eq!(world.ended(id, OutcomeClass::Succeeded).await, 1);
}

#[tokio::test]
async fn rollback_is_known_where_the_device_says_that_it_was_started() {
    let world = World::new().await;
    known(&world).await;
    let id = world.roll_out("2.4", 6, MDS).await;
    world.fetch(&href(&world.get(PUMP, &["deploymentBase", "1"]).await)).await.unwrap();
    world.feedback(PUMP, ["deploymentBase", "1"], "closed", "success").await;
    world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.3"}"#).await.unwrap();
    assert_eq!(world.ended(id, OutcomeClass::RolledBack).await, 0);
    world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.3","restarted":"true"}"#).await.unwrap();
    assert_eq!(world.ended(id, OutcomeClass::RolledBack).await, 1);
}

#[tokio::test]
async fn failed_rejected_and_cancelled_actions_end() {
    for (execution, finished, outcome) in [
        ("closed", "failure", OutcomeClass::Failed),
        ("closed", "none", OutcomeClass::Failed),
        ("canceled", "none", OutcomeClass::Failed),
        ("rejected", "none", OutcomeClass::Rejected),
    ] {
        let world = World::new().await;
        known(&world).await;
        let id = world.roll_out("2.4", 6, MDS).await;
        assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], execution, finished).await, 200);
        assert_eq!(world.ended(id, outcome).await, 1, "{execution} {finished}");
        assert_eq!(world.links(PUMP).await, []);
    }
}

#[tokio::test]
async fn cancelled_action_is_shown_until_the_device_answers() {
    for (execution, finished) in [("closed", "success"), ("rejected", "none"), ("closed", "failure")] {
        let world = World::new().await;
        known(&world).await;
        let id = world.roll_out("2.4", 6, MDS).await;
        let link = href(&world.get(PUMP, &["deploymentBase", "1"]).await);
        world.fetch(&link).await.unwrap();
        world.service.cancel(&world.tenant, id, &by(), &note()).await.unwrap();
        world.work().await;
        assert!(matches!(world.fetch(&link).await, Err(RolloutError::Deployment { refusal: Gone::Gone, .. })));
        for _ in 0..2 {
            assert_eq!(world.links(PUMP).await, links([("cancelAction", "cancelAction/1")]));
            let document = world.get(PUMP, &["cancelAction", "1"]).await;
            assert_eq!(document, json!({ "id": "1", "cancelAction": { "stopId": "1" } }));
            assert_eq!(world.feedback(PUMP, ["cancelAction", "1"], "proceeding", "none").await, 200);
        }
        assert_eq!(world.feedback(PUMP, ["cancelAction", "1"], execution, finished).await, 200);
        assert_eq!(world.links(PUMP).await, [], "{execution} {finished}");
        // Its word ends nothing: it may have installed before. The other pump was given nothing.
        assert_eq!(world.ended(id, OutcomeClass::Cancelled).await, 1);
        world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.4","restarted":"true"}"#).await.unwrap();
        assert_eq!(world.ended(id, OutcomeClass::Succeeded).await, 1);
    }
}

#[tokio::test]
async fn acknowledged_cancellation_ends_by_the_version_of_a_started_device() {
    let world = World::new().await;
    known(&world).await;
    let id = world.roll_out("2.4", 6, MDS).await;
    world.fetch(&href(&world.get(PUMP, &["deploymentBase", "1"]).await)).await.unwrap();
    world.service.cancel(&world.tenant, id, &by(), &note()).await.unwrap();
    world.work().await;
    // Some clients answer at the action, and not at its cancellation.
    assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], "canceled", "none").await, 200);
    world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.3","restarted":"true"}"#).await.unwrap();
    assert_eq!(world.ended(id, OutcomeClass::Cancelled).await, 2);
}

#[tokio::test]
async fn offer_that_nobody_took_is_shown_no_more_once_it_is_cancelled() {
    let world = World::new().await;
    known(&world).await;
    let id = world.roll_out("2.4", 6, MDS).await;
    world.service.cancel(&world.tenant, id, &by(), &note()).await.unwrap();
    world.work().await;
    assert_eq!(world.links(PUMP).await, []);
    assert_eq!(world.feedback(PUMP, ["deploymentBase", "1"], "closed", "failure").await, 200);
    // 2 components, each of another device.
    assert_eq!(world.ended(id, OutcomeClass::Cancelled).await, 2);
}

/// A client takes a refused download for a failure, so an unavailable update is not shown.
#[tokio::test]
async fn paused_rollout_shows_nothing_to_install() {
    let world = World::new().await;
    known(&world).await;
    let id = world.roll_out("2.4", 6, MDS).await;
    world.service.pause(&world.tenant, id, &by(), &note()).await.unwrap();
    world.work().await;
    assert_eq!(world.links(PUMP).await, []);
    let document = world.get(PUMP, &["deploymentBase", "1"]).await;
    assert_eq!(document["deployment"]["maintenanceWindow"], json!("unavailable"));
    assert_eq!(document["deployment"]["download"], json!("skip"));
    world.service.resume(&world.tenant, id, &by(), &note()).await.unwrap();
    world.work().await;
    assert_eq!(world.links(PUMP).await, links([("deploymentBase", "deploymentBase/1")]));
}

#[tokio::test]
async fn components_of_a_device_are_updated_one_after_the_other() {
    let world = World::new().await;
    known(&world).await;
    let mds = world.roll_out("2.4", 6, MDS).await;
    let channel = world.roll_out("3.0", 7, CHANNEL).await;
    assert_eq!(world.links(PUMP).await, links([("deploymentBase", "deploymentBase/1")]));
    world.fetch(&href(&world.get(PUMP, &["deploymentBase", "1"]).await)).await.unwrap();
    world.feedback(PUMP, ["deploymentBase", "1"], "closed", "success").await;
    let wanted = links([("configData", "configData"), ("installedBase", "installedBase/1")]);
    assert_eq!(world.links(PUMP).await, wanted);
    world.attributes(PUMP, r#"{"sw.pump-7-mds":"2.4"}"#).await.unwrap();
    assert_eq!(world.links(PUMP).await, links([("deploymentBase", "deploymentBase/2")]));
    world.attributes(PUMP, r#"{"sw.pump-7-channel":"3.0"}"#).await.unwrap();
    assert_eq!(world.ended(mds, OutcomeClass::Succeeded).await, 1);
    assert_eq!(world.ended(channel, OutcomeClass::Succeeded).await, 1);
}

#[tokio::test]
async fn unchanged_poll_is_answered_by_its_tag() {
    let world = World::new().await;
    let first = world.ask(PUMP, &Request::get(&[])).await.unwrap();
    let tag = first.etag.clone().unwrap();
    let again = Request::get(&[]).with_if_none_match(Some(&tag));
    let answer = world.ask(PUMP, &again).await.unwrap();
    assert_eq!((answer.status, answer.body, answer.etag.as_ref()), (304, None, Some(&tag)));
    known(&world).await;
    let answer = world.ask(PUMP, &again).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_ne!(answer.etag, Some(tag));
}

#[tokio::test]
async fn link_is_good_for_a_day() {
    let world = World::new().await;
    world.roll_out("2.4", 6, MDS).await;
    let link = href(&world.get(PUMP, &["deploymentBase", "1"]).await);
    let query = link.split_once('?').unwrap().1.to_owned();
    let signed = fhir_devices::ddi::SignedLink::read(&query).unwrap();
    let key = link.split('/').nth(5).unwrap().parse().unwrap();
    let verify =
        |world: &World| world.links.verify(&world.tenant, key, "pump.swu", &signed, *world.clock.lock().unwrap());
    world.pass(86_399);
    assert_eq!(verify(&world), Ok(()));
    world.pass(1);
    assert_eq!(verify(&world), Err(fhir_devices::ddi::LinkRefusal::Expired));
    assert!(!link.contains("oken"), "{link}");
}
