//! A stop that stops: whatever is under way, no device gets bytes after it, and those that had some are counted.

use super::fleet::{Fleet, Manner, REGIONS, by, device_name, note, region};
use fhir_devices::publish::{
    Content, DeviceAddress, Found, PublishError, Publisher, PublisherCapabilities, Receipt, Slot, SlotVersion,
};
use fhir_devices::service::{DeploymentFilter, RolloutError};
use fhir_devices::store::{BoxFuture, Tenant};
use fhir_devices::update::deployment::{OutcomeClass, Refusal};
use fhir_devices::update::rollout::{RolloutId, Status, StopCriterion};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

#[tokio::test]
async fn a_failing_build_stops_within_its_bound() {
    for lanes in [1, 2, 5] {
        for (limit_permille, cap) in [(0, 15), (20, 15), (50, 30)] {
            let mut fleet = Fleet::new(90).await;
            for manner in fleet.manners.values_mut() {
                *manner = Manner::Fails;
            }
            let release = fleet.release("2.0", 1).await;
            let stop = StopCriterion::new([OutcomeClass::Failed], limit_permille, 100);
            let limit = stop.limit(0);
            let lanes = NonZeroU16::new(lanes).unwrap();
            let request = Fleet::request(&release).with_cap(cap).with_lanes(lanes).with_stop(vec![stop]);
            let rollout = fleet.start(request).await;
            fleet.settle().await;
            let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
            assert_eq!(view.rollout.status, Status::Halted, "{lanes} lanes");
            let failures = view.ended(OutcomeClass::Failed);
            assert!(failures >= limit && failures < limit + cap, "{failures} of {limit} and {cap}, {lanes} lanes");
            assert_eq!(view.rollout.already_out, Some(u32::try_from(fleet.given.len()).unwrap()));
            fleet.check_audit(rollout).await;
        }
    }
}

#[tokio::test]
async fn after_cancelled_no_device_gets_bytes_and_those_that_had_some_are_named() {
    let mut fleet = Fleet::new(20).await;
    for number in 0..6 {
        fleet.manners.insert(device_name(number), Manner::Slow);
    }
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release).with_cap(12)).await;
    fleet.work().await;
    for number in 0..4 {
        fleet.device_acts(&device_name(number), Manner::Slow).await;
    }
    let mut offered = Vec::new();
    for number in 0..20 {
        let id = device_name(number).parse().unwrap();
        offered.extend(fleet.service.offers(&fleet.tenant, &id).await.unwrap());
    }
    assert!(offered.len() > 8);
    fleet.service.cancel(&fleet.tenant, rollout, &by("author"), &note("it loses alarms")).await.unwrap();
    // The region says so a little later.
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    let had: Vec<String> = fleet.given.iter().cloned().collect();
    assert_eq!(view.rollout.status, Status::Cancelled);
    assert_eq!(view.rollout.already_out, Some(u32::try_from(had.len()).unwrap()));
    for offer in &offered {
        let claimed = fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, None).await;
        assert!(matches!(claimed, Err(RolloutError::Deployment { refusal: Refusal::Gone, .. })), "{claimed:?}");
    }
    let out = DeploymentFilter::default().with_granted(true);
    let page = fleet.service.deployments(&fleet.tenant, rollout, out, PAGE, None).await.unwrap();
    let mut named: Vec<String> = page.items.iter().map(|one| one.device.to_string()).collect();
    named.sort();
    assert_eq!(named, had);
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_paused_rollout_gives_no_bytes_and_goes_on_where_it_was() {
    let mut fleet = Fleet::new(6).await;
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.work().await;
    let paused = fleet.service.pause(&fleet.tenant, rollout, &by("author"), &note("a look")).await.unwrap();
    assert_eq!(paused.status, Status::Paused);
    assert!(!fleet.devices_act().await);
    assert!(fleet.given.is_empty());
    fleet.service.resume(&fleet.tenant, rollout, &by("author"), &note("all good")).await.unwrap();
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 6));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_newer_rollout_takes_the_place_of_an_older_one() {
    let mut fleet = Fleet::new(4).await;
    for manner in fleet.manners.values_mut() {
        *manner = Manner::Deaf;
    }
    let (first, second) = (fleet.release("2.0", 1).await, fleet.release("3.0", 2).await);
    let first = fleet.start(Fleet::request(&first)).await;
    fleet.work().await;
    for manner in fleet.manners.values_mut() {
        *manner = Manner::Good;
    }
    let second = fleet.start(Fleet::request(&second).with_supersedes(first)).await;
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, first).await.unwrap().status, Status::Superseded);
    let view = fleet.service.view(&fleet.tenant, second).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 4));
}

/// A region that may be down, or forget what it was told.
struct Moody {
    below: Arc<fhir_devices::backend::Memory>,
    down: Arc<AtomicBool>,
    forgets: Arc<AtomicBool>,
    /// The device whose slots cannot be written.
    broken: Option<&'static str>,
}

impl Publisher for Moody {
    fn capabilities(&self) -> PublisherCapabilities {
        Publisher::capabilities(&*self.below)
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>> {
        if self.down.load(Ordering::Relaxed) {
            return Box::pin(async { Err(PublishError::Unavailable { retry_after: None, source: None }) });
        }
        if self.broken == Some(slot.device.as_str()) {
            return Box::pin(async { Err(PublishError::Backend { source: "a bad sector".into() }) });
        }
        if self.forgets.load(Ordering::Relaxed) {
            return Box::pin(async { Ok(Receipt::new(SlotVersion::new("1"), false)) });
        }
        self.below.put(tenant, slot, content, seen)
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        if self.down.load(Ordering::Relaxed) {
            return Box::pin(async { Err(PublishError::Unavailable { retry_after: None, source: None }) });
        }
        Publisher::read(&*self.below, tenant, slot)
    }

    fn notify<'a>(&'a self, _: &'a Tenant, _: &'a DeviceAddress) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Err(PublishError::Unsupported { what: "telling" }) })
    }
}

#[tokio::test]
async fn a_region_that_is_down_holds_up_no_other() {
    let mut fleet = Fleet::new(12).await;
    let (down, forgets) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let moody = Moody { below: Arc::clone(&fleet.memory), down: Arc::clone(&down), forgets, broken: None };
    fleet.service = fleet.service.with_region(region(REGIONS[0]), Arc::new(moody));
    for (device, manner) in &mut fleet.manners {
        let number: usize = device.rsplit('-').next().unwrap().parse().unwrap();
        if number.is_multiple_of(REGIONS.len()) {
            *manner = Manner::Deaf;
        }
    }
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!(view.ended(OutcomeClass::Succeeded), 8);
    assert_eq!(view.regions[&region(REGIONS[0])].0.offering, 4);
    down.store(false, Ordering::Relaxed);
    for manner in fleet.manners.values_mut() {
        *manner = Manner::Good;
    }
    fleet.pass(5);
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 12));
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn an_offer_that_a_region_lost_is_put_again() {
    let mut fleet = Fleet::new(1).await;
    let (down, forgets) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let moody = Moody { below: Arc::clone(&fleet.memory), down, forgets: Arc::clone(&forgets), broken: None };
    fleet.service = fleet.service.with_region(region(REGIONS[0]), Arc::new(moody));
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    assert_eq!(fleet.service.view(&fleet.tenant, rollout).await.unwrap().counts.offered, 1);
    forgets.store(false, Ordering::Relaxed);
    let verified = fleet.service.verify(&fleet.tenant, &region(REGIONS[0])).await.unwrap();
    assert_eq!((verified.read, verified.mended), (1, 1));
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, rollout).await.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn a_slot_that_fails_holds_up_no_other() {
    let mut fleet = Fleet::new(12).await;
    let (down, forgets) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let broken = Some("pump-3");
    let moody = Moody { below: Arc::clone(&fleet.memory), down, forgets, broken };
    fleet.service = fleet.service.with_region(region(REGIONS[0]), Arc::new(moody));
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.ended(OutcomeClass::Succeeded), view.counts.offering), (11, 1));
}

#[tokio::test]
async fn a_rollout_that_takes_the_place_of_one_that_ended_starts() {
    let mut fleet = Fleet::new(3).await;
    let (first, second) = (fleet.release("2.0", 1).await, fleet.release("3.0", 2).await);
    let first = fleet.start(Fleet::request(&first)).await;
    fleet.settle().await;
    let second = fleet.start(Fleet::request(&second).with_supersedes(first)).await;
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, first).await.unwrap().status, Status::Completed);
    assert_eq!(fleet.service.rollout(&fleet.tenant, second).await.unwrap().status, Status::Completed);
    let release = fleet.release("4.0", 3).await;
    let unknown = Fleet::request(&release).with_supersedes(RolloutId(1));
    let refused = fleet.service.create(&fleet.tenant, unknown, &by("author")).await;
    assert!(matches!(refused, Err(RolloutError::NoSuchRollout { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_component_that_accepted_a_higher_number_ends_as_superseded() {
    let mut fleet = Fleet::new(3).await;
    let (older, newer) = (fleet.release("2.0", 1).await, fleet.release("3.0", 2).await);
    let newer = fleet.start(Fleet::request(&newer)).await;
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, newer).await.unwrap().status, Status::Completed);
    let older = fleet.start(Fleet::request(&older)).await;
    fleet.settle().await;
    let view = fleet.service.view(&fleet.tenant, older).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Superseded)), (Status::Completed, 3));
    fleet.check_audit(older).await;
}
