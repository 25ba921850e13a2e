//! From the release to the version report.

use super::fleet::{Fleet, Manner, REGIONS, by, device_name, region};
use fhir_devices::service::{Blocked, DeploymentFilter, DeviceReport, ReportAnswer, ReportedVersion, RolloutError};
use fhir_devices::update::deployment::{OutcomeClass, Phase, StateName};
use fhir_devices::update::rollout::{Gate, Status, WaveSpec};
use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::time::Duration;

const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

#[tokio::test]
async fn every_device_of_every_region_is_updated_and_proves_it() {
    let mut fleet = Fleet::new(30).await;
    let release = fleet.release("2.0", 1).await;
    let request = Fleet::request(&release).with_lanes(NonZeroU16::new(3).unwrap());
    let rollout = fleet.start(request).await;
    fleet.pass(3_600);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 30));
    assert_eq!((view.already_out, view.counts.open()), (30, 0));
    for number in 0..30 {
        assert_eq!(fleet.version_of(&device_name(number)).await, "2.0");
    }
    assert!(view.regions.values().all(|(_, tally)| tally.of(OutcomeClass::Succeeded) == 10));
    let measures = fleet.service.measures(&fleet.tenant, rollout).await.unwrap();
    let times = measures.time_to_field.unwrap();
    assert_eq!((measures.done_permille, times.count), (1_000, 30));
    assert_eq!((times.median, times.p95), (Duration::from_secs(3_600), Duration::from_secs(3_600)));
    fleet.check_audit(rollout).await;
    let (behind, next) = fleet.service.behind(&fleet.tenant, release.id, None).await.unwrap();
    assert_eq!((behind, next), (Vec::new(), None));
}

#[tokio::test]
async fn canaries_come_first_and_the_next_wave_waits_for_them() {
    let mut fleet = Fleet::new(40).await;
    let release = fleet.release("2.0", 1).await;
    let waves = vec![WaveSpec::new(100).with_min_success_permille(1_000).with_soak_seconds(3_600), WaveSpec::new(900)];
    let pins = [format!("{}-mds", device_name(7)).parse().unwrap()].into();
    let rollout = fleet.start(Fleet::request(&release).with_waves(waves).with_pins(pins)).await;
    fleet.settle().await;
    let first = fleet.given.clone();
    assert!(first.contains("pump-7") && first.len() < 15, "{first:?}");
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.rollout.wave.0, 0);
    let waiting = DeploymentFilter::default().with_state(StateName::Planned);
    let page = fleet.service.deployments(&fleet.tenant, rollout, waiting, PAGE, None).await.unwrap();
    assert_eq!(page.items.len(), 40 - first.len());
    let why = fleet.service.explain(&fleet.tenant, rollout, page.items[0].id).await.unwrap();
    assert_eq!(why.reasons.iter().map(|(blocked, _)| *blocked).collect::<Vec<_>>(), [Blocked::Wave]);
    fleet.pass(3_600);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 40));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn what_devices_say_is_no_proof() {
    let mut fleet = Fleet::new(5).await;
    for (number, manner) in
        [Manner::Good, Manner::Lies, Manner::Silent, Manner::Fails, Manner::Deaf].into_iter().enumerate()
    {
        fleet.manners.insert(device_name(number), manner);
    }
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.ended(OutcomeClass::Succeeded), 1);
    assert_eq!((view.ended(OutcomeClass::RolledBack), view.ended(OutcomeClass::Failed)), (1, 1));
    fleet.pass(2 * 86_400);
    fleet.settle().await;
    let unproven = DeploymentFilter::default().with_outcome(OutcomeClass::Unproven);
    let page = fleet.service.deployments(&fleet.tenant, rollout, unproven, PAGE, None).await.unwrap();
    assert_eq!(page.items.iter().map(|one| one.device.as_str()).collect::<Vec<_>>(), ["pump-2"]);
    // Three offers of a week each, and the times between them.
    for _ in 0..6 {
        fleet.pass(8 * 86_400);
        fleet.settle().await;
    }
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::TimedOut)), (Status::Completed, 1));
    let (behind, _) = fleet.service.behind(&fleet.tenant, release.id, None).await.unwrap();
    assert_eq!(behind.len(), 4);
    assert!(behind.iter().all(|one| one.version.as_deref() == Some("1.0")));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_later() {
    let mut fleet = Fleet::new(1).await;
    fleet.manners.insert(device_name(0), Manner::Stumbles);
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.counts.planned, view.ended(OutcomeClass::Succeeded)), (1, 0));
    fleet.pass(700);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 1));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_component_that_runs_the_update_is_not_offered_it() {
    let mut fleet = Fleet::new(2).await;
    fleet.runs("pump-0", "2.0").await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.ended(OutcomeClass::AlreadyCurrent), view.ended(OutcomeClass::Succeeded)), (1, 1));
    assert!(!fleet.given.contains("pump-0"));
}

#[tokio::test]
async fn a_device_in_use_waits_until_it_is_free() {
    let mut fleet = Fleet::new(1).await;
    super::fleet::put_device(&fleet.resources(), "pump-1", true).await;
    fleet.manners.insert(device_name(1), Manner::Good);
    let release = fleet.release("2.0", 1).await;
    let request = Fleet::request(&release).with_gates([Gate::ClinicalUse].into());
    let rollout = fleet.start(request).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.counts.held, view.ended(OutcomeClass::Succeeded)), (1, 1));
    let (mut device, version) = fleet.resources().get::<fhir_devices::Device>("pump-1").await.unwrap();
    device.patient = None;
    fleet.resources().update(&fhir_devices::Valid::new(device).unwrap(), version.version).await.unwrap();
    fleet.pass(1_000);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 2));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_rollout_waits_for_others_than_its_author_to_approve_it() {
    let mut fleet = Fleet::new(1).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release).with_approvals(1)).await;
    fleet.settle().await;
    let seen = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(seen.rollout.status, Status::AwaitingApproval);
    let digest = seen.spec.digest();
    let own = fleet.service.approve(&fleet.tenant, rollout, &by("author"), digest).await.unwrap_err();
    assert_eq!(
        own.to_string(),
        format!("rollout `{rollout}`: the rollout has to be approved by others than its author")
    );
    fleet.service.approve(&fleet.tenant, rollout, &by("other"), digest).await.unwrap();
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, rollout).await.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn reports_are_taken_once_and_only_from_the_device_itself() {
    let mut fleet = Fleet::new(2).await;
    let release = fleet.release("2.0", 1).await;
    let _ = fleet.start(Fleet::request(&release)).await;
    fleet.work().await;
    let (own, other) = ("pump-0".parse().unwrap(), "pump-1".parse().unwrap());
    let offer = fleet.service.offers(&fleet.tenant, &own).await.unwrap().remove(0);
    let phase = DeviceReport::Phase { key: offer.key, number: None, phase: Phase::Installing };
    let foreign = fleet.service.report(&fleet.tenant, &other, phase.clone()).await;
    assert!(matches!(foreign, Err(RolloutError::NoSuchOffer { .. })));
    let foreign = fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, Some(&other)).await;
    assert!(matches!(foreign, Err(RolloutError::NoSuchOffer { .. })));
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(fleet.service.report(&fleet.tenant, &own, phase.clone()).await.unwrap());
    }
    assert_eq!(answers, [ReportAnswer::Taken, ReportAnswer::Known]);
    let versions = |component: &str| DeviceReport::versions([ReportedVersion::new(component.parse().unwrap(), "2.0")]);
    let foreign = fleet.service.report(&fleet.tenant, &other, versions("pump-0-mds")).await;
    assert!(matches!(foreign, Err(RolloutError::NoSuchComponent { .. })));
    fleet.settle().await;
    let late = fleet.service.report(&fleet.tenant, &own, phase).await.unwrap();
    assert_eq!(late, ReportAnswer::Late { outcome: OutcomeClass::Succeeded });
}

#[tokio::test]
async fn two_rollouts_do_not_update_one_component_at_once() {
    let mut fleet = Fleet::new(1).await;
    fleet.manners.insert(device_name(0), Manner::Slow);
    let (first, second) = (fleet.release("2.0", 1).await, fleet.release("3.0", 2).await);
    let first = fleet.start(Fleet::request(&first)).await;
    fleet.settle().await;
    let second = fleet.start(Fleet::request(&second)).await;
    fleet.settle().await;
    let page = fleet.service.deployments(&fleet.tenant, second, DeploymentFilter::default(), PAGE, None).await;
    let why = fleet.service.explain(&fleet.tenant, second, page.unwrap().items[0].id).await.unwrap();
    assert_eq!(why.reasons[0].0, Blocked::Locked, "{why:?}");
    fleet.runs("pump-0", "2.0").await;
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, first).await.unwrap().status, Status::Completed);
    assert_eq!(fleet.service.view(&fleet.tenant, second).await.unwrap().counts.claimed, 1);
}

#[tokio::test]
async fn one_of_two_releases_is_lower_and_is_not_offered() {
    let mut fleet = Fleet::new(1).await;
    let (high, low) = (fleet.release("3.0", 9).await, fleet.release("2.0", 4).await);
    fleet.start(Fleet::request(&high)).await;
    fleet.settle().await;
    let rollout = fleet.start(Fleet::request(&low)).await;
    fleet.settle().await;
    let page = fleet.service.deployments(&fleet.tenant, rollout, DeploymentFilter::default(), PAGE, None).await;
    let why = fleet.service.explain(&fleet.tenant, rollout, page.unwrap().items[0].id).await.unwrap();
    let reasons: Vec<_> = why.reasons.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [Blocked::Ended, Blocked::Sequence], "{why:?}");
    assert_eq!(fleet.version_of("pump-0").await, "3.0");
}

#[tokio::test]
async fn any_number_of_services_work_on_one_ledger() {
    let mut fleet = Fleet::new(24).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release).with_cap(6)).await;
    let services: Vec<_> = (0..3).map(|_| Fleet::service(&fleet.memory, fleet.memory.clone(), &fleet.clock)).collect();
    for _ in 0..60 {
        for (service, name) in services.iter().zip(REGIONS) {
            service.run_once(&fleet.tenant, &region(name), 3).await.unwrap();
        }
        fleet.devices_act().await;
    }
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 24));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_search_says_which_components_are_meant() {
    let mut fleet = Fleet::new(6).await;
    let release = fleet.release("2.0", 1).await;
    let search = "DeviceComponent?_id=pump-1-mds,pump-4-mds".to_owned();
    let rollout = fleet.start(Fleet::request(&release).with_search(search)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 2));
    assert_eq!(fleet.given.iter().map(String::as_str).collect::<Vec<_>>(), ["pump-1", "pump-4"]);
    for wrong in ["Device?_id=x", "DeviceComponent?colour=red"] {
        let request = Fleet::request(&release).with_search(wrong.to_owned());
        let refused = fleet.service.create(&fleet.tenant, request, &by("author")).await;
        assert!(matches!(refused, Err(RolloutError::InvalidSearch { .. })), "{wrong}");
    }
}

#[tokio::test]
async fn a_version_report_that_comes_late_says_nothing() {
    let fleet = Fleet::new(1).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.work().await;
    let device = device_name(0).parse().unwrap();
    let offer = fleet.service.offers(&fleet.tenant, &device).await.unwrap().remove(0);
    fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, None).await.unwrap();
    fleet.report("pump-0", DeviceReport::Phase { key: offer.key, number: None, phase: Phase::Installing }).await;
    let report = |number, version: &str, confirmed| {
        let mut runs = ReportedVersion::new("pump-0-mds".parse().unwrap(), version);
        runs.confirmed = confirmed;
        DeviceReport::Versions { restarted: true, number: Some(number), items: vec![runs] }
    };
    let say = async |report| fleet.service.report(&fleet.tenant, &device, report).await.unwrap();
    assert_eq!(say(report(7, "2.0", false)).await, ReportAnswer::Taken);
    // What it ran before the installation: neither the component goes back, nor was the update undone.
    assert_eq!(say(report(6, "1.0", true)).await, ReportAnswer::Known);
    assert_eq!(fleet.version_of("pump-0").await, "2.0");
    assert_eq!(fleet.service.view(&fleet.tenant, rollout).await.unwrap().counts.claimed, 1);
    assert_eq!(say(report(8, "2.0", true)).await, ReportAnswer::Taken);
    assert_eq!(say(report(8, "2.0", true)).await, ReportAnswer::Known);
    assert_eq!(say(report(7, "1.0", true)).await, ReportAnswer::Known);
    assert_eq!(fleet.version_of("pump-0").await, "2.0");
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 1));
    fleet.check_audit(rollout).await;
}
