//! Releases: bytes held once, and released on withdrawal.

use super::fleet::{Fleet, Manner, by, device_name, note};
use fhir_devices::containment::Selector;
use fhir_devices::manifest::{Signature, SignedManifest};
use fhir_devices::service::{RolloutError, SignedSubmission, Submission};
use fhir_devices::store::{BlobRef, BlobStore, Sha256, stream};
use fhir_devices::update::deployment::OutcomeClass;
use fhir_devices::update::release::{InvalidRelease, State};
use fhir_devices::update::rollout::{Gate, RolloutId, Status};
use std::time::Duration;

#[tokio::test]
async fn bytes_of_a_release_are_held_once_with_both_digests() {
    let fleet = Fleet::new(1).await;
    let release = fleet.release("2.0", 1).await;
    assert_eq!(release.state, State::Released);
    let file = &release.request.files[0];
    assert_eq!(file.blob, BlobRef::of(b"firmware 2.0"));
    assert_eq!(file.sha1.unwrap().to_string(), "f0f2a898c8e45538c22f9eb93dbd408520f4e945");
    let key = file.blob.key(file.generation.unwrap());
    fleet.pass(86_400);
    fleet.service.updates().collect(&fleet.tenant, Duration::ZERO).await.unwrap();
    fleet.memory.head(&fleet.tenant, &key).await.unwrap();
    let again = fleet.release("2.0", 2).await;
    assert_eq!(again.request.files[0].generation, file.generation, "the same bytes are not stored twice");
}

#[tokio::test]
async fn a_release_is_made_of_an_upload_without_copying() {
    let fleet = Fleet::new(1).await;
    let (file, kind) = ("pump.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
    let mut submission = Submission::new("pump-0".parse().unwrap(), file, kind);
    submission.target = Selector::Component("pump-0-mds".parse().unwrap());
    let updates = fleet.service.updates();
    let received = updates.receive(&fleet.tenant, submission, stream::once("firmware")).await.unwrap();
    let wanted = Fleet::<fhir_devices::backend::Memory>::submission("2.0", 1);
    let upload = received.update.id;
    let release = fleet.service.release_upload(&fleet.tenant, upload, wanted, &by("author")).await.unwrap();
    assert_eq!((release.state, release.request.files[0].sha1.is_some()), (State::Released, true));
    let (blob, generation) = updates.upload(&fleet.tenant, upload).await.unwrap().state.held().unwrap();
    assert_eq!((release.request.files[0].blob, release.request.files[0].generation), (blob, Some(generation)));
    // The bytes stay when the upload is withdrawn, as the release holds them.
    let why = fhir_devices::primitive::Text::new("not wanted").unwrap();
    updates.withdraw(&fleet.tenant, upload, by("author"), why).await.unwrap();
    fleet.pass(86_400);
    updates.collect(&fleet.tenant, Duration::ZERO).await.unwrap();
    fleet.memory.head(&fleet.tenant, &blob.key(generation)).await.unwrap();
}

#[tokio::test]
async fn a_withdrawal_stops_the_rollouts_first() {
    let mut fleet = Fleet::new(3).await;
    fleet.manners.insert(device_name(0), Manner::Slow);
    let release = fleet.release("2.0", 1).await;
    let key = release.request.files[0].blob.key(release.request.files[0].generation.unwrap());
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.work().await;
    fleet.device_acts("pump-0", Manner::Slow).await;
    fleet.service.withdraw_release(&fleet.tenant, release.id, &by("author"), &note("it loses alarms")).await.unwrap();
    let refused = fleet.service.create(&fleet.tenant, Fleet::request(&release), &by("author")).await;
    assert!(matches!(refused, Err(RolloutError::NotReleased { .. })));
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.already_out), (Status::Cancelled, 1));
    let withdrawn = fleet.service.release_of(&fleet.tenant, release.id).await.unwrap();
    assert_eq!(withdrawn.state, State::Withdrawn);
    fleet.pass(86_400);
    fleet.service.updates().collect(&fleet.tenant, Duration::ZERO).await.unwrap();
    assert!(fleet.memory.head(&fleet.tenant, &key).await.is_err(), "nobody needs the bytes any more");
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_release_that_cannot_be_is_refused_before_its_bytes() {
    let fleet = Fleet::new(1).await;
    let mut wanted = Fleet::<fhir_devices::backend::Memory>::submission("2.0", 1);
    wanted.target = <_>::default();
    let body = stream::once("firmware");
    let refused = fleet.service.release(&fleet.tenant, wanted, &by("author"), body).await;
    assert!(matches!(refused, Err(RolloutError::InvalidRelease(InvalidRelease::NoTarget))));
    let mut wanted = Fleet::<fhir_devices::backend::Memory>::submission("2.0", 1);
    wanted.sha256 = Some(fhir_devices::store::Sha256::of(b"other"));
    let refused = fleet.service.release(&fleet.tenant, wanted, &by("author"), stream::once("firmware")).await;
    assert!(matches!(refused, Err(RolloutError::Bytes(_))));
}

#[tokio::test]
async fn component_that_has_the_upload_is_offered_the_release_made_of_it() {
    let mut fleet = Fleet::new(2).await;
    let (file, kind) = ("pump.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
    let mut submission = Submission::new("pump-0".parse().unwrap(), file, kind);
    submission.target = Selector::Component("pump-0-mds".parse().unwrap());
    submission.sequence = Some(6);
    let updates = fleet.service.updates();
    let upload = updates.receive(&fleet.tenant, submission, stream::once("firmware")).await.unwrap().update.id;
    let wanted = Fleet::<fhir_devices::backend::Memory>::submission("2.0", 6);
    let release = fleet.service.release_upload(&fleet.tenant, upload, wanted, &by("author")).await.unwrap();
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 2));
    fleet.check_audit(rollout).await;
}

/// A manifest of version 2.0 that requires at least 1.5 of the component itself, with more members.
fn manifest(more: &str) -> SignedManifest {
    let sha256 = Sha256::of(b"firmware");
    let text = format!(
        r#"{{"format":1,"identity":{{"provider":"acme","name":"pump/main","version":"2.0","scheme":"dotted"}},
        "sequence":6,"target":{{"level":"mds","code":69985}},"reportedAs":"software","compatibility":[{{"code":69985}}],
        "artifacts":[{{"name":"pump.bin","mediaType":"application/octet-stream","size":8,"sha256":"{sha256}"}}],
        "urgency":"security-fix","requires":[{{"scope":"self","spec":"software","range":{{"scheme":"dotted","atLeast":"1.5"}}}}]{more}}}"#
    );
    SignedManifest::new(text, vec![Signature { key: "acme-2026".parse().unwrap(), bytes: vec![1] }])
}

/// A rollout, with the gate of requirements, of a signed upload to the first of two devices; that one runs 1.5, the
/// other 1.0.
async fn required(manifest: SignedManifest) -> (Fleet, RolloutId) {
    let fleet = Fleet::new(2).await;
    fleet.runs("pump-0", "1.5").await;
    let submission = SignedSubmission::new("pump-0".parse().unwrap(), "acme".parse().unwrap(), manifest);
    let updates = fleet.service.updates();
    let upload = updates.receive_signed(&fleet.tenant, submission, stream::once("firmware")).await.unwrap().update.id;
    let wanted = Fleet::<fhir_devices::backend::Memory>::submission("2.0", 6);
    let release = fleet.service.release_upload(&fleet.tenant, upload, wanted, &by("author")).await.unwrap();
    assert!(release.request.manifest.is_some());
    let rollout = fleet.start(Fleet::request(&release).with_gates([Gate::Requirements].into())).await;
    (fleet, rollout)
}

#[tokio::test]
async fn device_that_is_not_as_the_manifest_requires_waits_until_it_is() {
    let (mut fleet, rollout) = required(manifest("")).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.counts.held, view.ended(OutcomeClass::Succeeded)), (1, 1));
    assert!(!fleet.given.contains("pump-1"));
    fleet.runs("pump-1", "1.5").await;
    fleet.pass(1_000);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 2));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn expired_manifest_gives_no_bytes() {
    let (mut fleet, rollout) = required(manifest(r#","expiresAt":"2026-01-01T01:00:00Z""#)).await;
    fleet.work().await;
    fleet.pass(3_600);
    fleet.devices_act().await;
    assert!(fleet.given.is_empty(), "an offer was made before the end, and its bytes were asked for after it");
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.already_out, view.ended(OutcomeClass::Succeeded)), (0, 0));
}
