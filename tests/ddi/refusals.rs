//! Requests that are refused with a typed error, and change nothing.

use super::world::{World, href};
use fhir_devices::ddi::{MAX_BODY, Method, Refusal, Request};
use fhir_devices::service::RolloutError;
use fhir_devices::store::{Ledger as _, LedgerKey, Tenant};
use fhir_devices::update::deployment::OutcomeClass;
use std::num::NonZeroU32;

const MDS: u32 = 69_985;

/// Returns everything in the ledger.
async fn ledger(world: &World) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["ro", "ro-of", "ro-due", "todo", "lock", "slot", "rollout", "release", "accepted", "audit"] {
        let (folder, limit) = (LedgerKey::new(folder).unwrap(), NonZeroU32::new(500).unwrap());
        let tenant: &Tenant = &world.tenant;
        let page = world.memory.scan(tenant, &folder, limit, None).await.unwrap();
        assert!(page.next.is_none());
        all.extend(page.items.into_iter().map(|record| (record.key.to_string(), record.value.to_vec())));
    }
    all
}

#[tokio::test]
async fn wrong_requests_are_refused_and_change_nothing() {
    let world = World::new().await;
    world.roll_out("2.4", 6, MDS).await;
    let before = ledger(&world).await;
    assert!(before.len() > 8);
    let closed = br#"{"id":"1","status":{"execution":"closed","result":{"finished":"success"}}}"#;
    let unnamed = br#"{"status":{"execution":"closed","result":{"finished":"success"}}}"#;
    let other = br#"{"id":"2","status":{"execution":"closed","result":{"finished":"success"}}}"#;
    let large = vec![b' '; MAX_BODY + 1];
    let attributes = |data: &str| format!(r#"{{"data":{data}}}"#).into_bytes();
    let (foreign, mixed, unknown) = (
        attributes(r#"{"sw.pump-8-mds":"2.4"}"#),
        attributes(r#"{"sw.pump-7-mds":"2.4","sw.pump-8-mds":"2.4"}"#),
        attributes(r#"{"sw.pump-7-mds":"2.4","sw.pump-7-vmd":"2.4"}"#),
    );
    let empty = attributes(r#"{"sw.pump-7-channel":"9","sw.pump-7-mds":""}"#);
    let mut seen = Vec::new();
    for (method, path, body) in [
        // A foreign action: one that the device was never offered.
        (Method::Post, &["deploymentBase", "2", "feedback"][..], &unnamed[..]),
        (Method::Post, &["deploymentBase", "0", "feedback"], unnamed),
        (Method::Post, &["cancelAction", "7", "feedback"], unnamed),
        (Method::Get, &["deploymentBase", "2147483647"], b""),
        (Method::Get, &["deploymentBase", "4294967296"], b""),
        (Method::Get, &["deploymentBase", "+1"], b""),
        (Method::Get, &["cancelAction", "1"], b""),
        (Method::Get, &["installedBase", "1"], b""),
        // A body for another action.
        (Method::Post, &["deploymentBase", "1", "feedback"], other),
        (Method::Post, &["deploymentBase", "1", "feedback"], &large),
        (Method::Post, &["deploymentBase", "1", "feedback"], b"{}"),
        (Method::Put, &["configData"], &large),
        (Method::Put, &["configData"], b"[1]"),
        // Components of another device, and of none, beside one of its own.
        (Method::Put, &["configData"], &foreign),
        (Method::Put, &["configData"], &mixed),
        (Method::Put, &["configData"], &unknown),
        (Method::Put, &["configData"], &empty),
        (Method::Put, &["installedBase"], br#"{"name":"other","version":"2.4"}"#),
        (Method::Put, &["installedBase"], b"{}"),
        (Method::Put, &["deploymentBase", "1", "feedback"], closed),
        (Method::Post, &["configData"], b"{}"),
        (Method::Get, &["softwaremodules"], b""),
        (Method::Get, &["deploymentBase", "1", "feedback", "x"], b""),
    ] {
        let refusal = world.ask("pump-7", &Request::new(method, path, body)).await.unwrap_err();
        let kind = match refusal {
            Refusal::Rollout(RolloutError::NoSuchComponent { .. }) => "no-such-component",
            Refusal::Rollout(RolloutError::InvalidVersion { .. }) => "invalid-version",
            Refusal::NoSuchAction { .. } => "no-such-action",
            Refusal::NotActive { .. } => "not-active",
            Refusal::OtherAction { .. } => "other-action",
            Refusal::TooLarge { .. } => "too-large",
            Refusal::Malformed { .. } => "malformed",
            Refusal::NoSuchUpdate { .. } => "no-such-update",
            Refusal::OtherMethod { .. } => "other-method",
            Refusal::NoSuchPath { .. } => "no-such-path",
            other => panic!("{other}"),
        };
        seen.push(kind);
    }
    let expected = [
        ["no-such-action"; 4].as_slice(),
        &["no-such-path"; 2],
        &["not-active"; 2],
        &["other-action", "too-large", "malformed", "too-large", "malformed"],
        &["no-such-component"; 3],
        &[
            "invalid-version",
            "no-such-update",
            "malformed",
            "other-method",
            "other-method",
            "no-such-path",
            "no-such-path",
        ],
    ];
    assert_eq!(seen, expected.concat());
    let stranger = world.ask("pump-9", &Request::get(&[])).await.unwrap_err();
    assert!(matches!(stranger, Refusal::Rollout(RolloutError::NoSuchDevice { .. })));
    assert_eq!(ledger(&world).await, before);
    assert_eq!((world.version("pump-7-mds").await, world.version("pump-8-mds").await), ("2.3".into(), "2.3".into()));
    assert_eq!(world.version("pump-7-channel").await, "2.3");
}

/// Action numbers are per device: the same number at two devices is two actions.
#[tokio::test]
async fn report_of_one_device_is_not_that_of_another() {
    let world = World::new().await;
    let id = world.roll_out("2.4", 6, MDS).await;
    world.feedback("pump-7", ["deploymentBase", "1"], "rejected", "none").await;
    world.feedback("pump-7", ["deploymentBase", "1"], "rejected", "none").await;
    assert_eq!(world.ended(id, OutcomeClass::Rejected).await, 1);
    let links = world.links("pump-8").await;
    assert!(links.contains(&("deploymentBase".to_owned(), "deploymentBase/1".to_owned())), "{links:?}");
    // Nobody fetches by the link of another device.
    let link = href(&world.get("pump-8", &["deploymentBase", "1"]).await).replace("pump-8", "pump-7");
    let (path, query) = link.split_once('?').unwrap();
    let signed = fhir_devices::ddi::SignedLink::read(query).unwrap();
    let key = path.split('/').nth(5).unwrap().parse().unwrap();
    let now = *world.clock.lock().unwrap();
    let verified = world.links.verify(&world.tenant, key, "pump.swu", &signed, now);
    assert_eq!(verified, Err(fhir_devices::ddi::LinkRefusal::Wrong));
}

/// Polls of ten thousand devices, with the cost of each to the stores.
#[cfg(feature = "testkit")]
#[tokio::test]
async fn poll_that_finds_nothing_reads_two_records_and_writes_none() {
    use fhir_devices::backend::Memory;
    use fhir_devices::store::TenantResources;
    use fhir_devices::testkit::{Call, Recording};
    use fhir_devices::{Device, Valid};
    use std::sync::Arc;

    const DEVICES: usize = 10_000;
    let memory = Arc::new(Memory::new());
    let ledger = Arc::new(Recording::new(Arc::clone(&memory)));
    let world = World::over(Arc::clone(&memory), Arc::clone(&ledger)).await;
    let resources = TenantResources::new(memory, world.tenant.clone());
    for number in 0..DEVICES {
        let device = format!(r#"{{"resourceType":"Device","id":"p-{number}"}}"#);
        resources.create(&Valid::new(Device::from_json(device.as_bytes()).unwrap()).unwrap()).await.unwrap();
    }
    world.roll_out("2.4", 6, MDS).await;
    drop(ledger.take());
    for round in 0..2 {
        for number in 0..DEVICES {
            let name = format!("p-{number}");
            let answer = world.ask(&name, &Request::get(&[])).await.unwrap();
            let tag = answer.etag.unwrap();
            let again = Request::get(&[]).with_if_none_match(Some(&tag));
            assert_eq!(world.ask(&name, &again).await.unwrap().status, 304);
        }
        let calls = ledger.take();
        // The locks of the device; its Device is read from the resources.
        assert_eq!(calls.len(), 2 * DEVICES, "round {round}");
        assert!(calls.iter().all(|call| matches!(call, Call::Get(..))), "round {round}");
    }
    // One with an offer: its locks, the place of its deployment, the deployment, and its lane.
    world.ask("pump-7", &Request::get(&[])).await.unwrap();
    let calls = ledger.take();
    assert!(calls.len() <= 5 && calls.iter().all(|call| matches!(call, Call::Get(..))), "{calls:?}");
}
