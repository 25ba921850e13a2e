//! Stops: after a stop no device gets bytes, whatever is in progress, and the devices that had some are counted.

use super::fleet::{Fleet, Manner, REGIONS, by, device_name, note, region};
use fhir_devices::publish::{
    Content, DeviceAddress, Found, PublishError, Publisher, PublisherCapabilities, Receipt, Slot, SlotVersion,
};
use fhir_devices::service::{DeploymentFilter, DeviceReport, RolloutError};
use fhir_devices::store::{BoxFuture, Ledger, Tenant};
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

/// A region that may be down, or forget its content.
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

    fn connection(&self) -> Option<u64> {
        self.below.connection()
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
async fn an_offer_that_a_region_shows_again_after_the_end_is_taken_out() {
    let mut fleet = Fleet::new(1).await;
    let region_of = region(REGIONS[0]);
    let shown = Arc::new(fhir_devices::backend::Memory::new());
    fleet.service = fleet.service.with_region(region_of.clone(), shown.clone());
    let release = fleet.release("2.0", 1).await;
    let rollout = fleet.start(Fleet::request(&release)).await;
    fleet.work().await;
    let slot = Slot { device: "pump-0".parse().unwrap(), component: "pump-0-mds".parse().unwrap() };
    let offer = Publisher::read(&*shown, &fleet.tenant, &slot).await.unwrap().unwrap().content;
    fleet.settle().await;
    assert_eq!(fleet.service.rollout(&fleet.tenant, rollout).await.unwrap().status, Status::Completed);
    let now = async |region: &fhir_devices::backend::Memory| {
        Publisher::read(region, &fleet.tenant, &slot).await.unwrap().map(|found| found.content)
    };
    assert!(matches!(now(&shown).await, Some(Content::Tombstone { .. })));
    // It goes back to what it had saved.
    let forgot = Arc::new(fhir_devices::backend::Memory::new());
    forgot.put(&fleet.tenant, &slot, &offer, None).await.unwrap();
    let service = fleet.service.clone().with_region(region_of.clone(), forgot.clone());
    let verified = service.verify(&fleet.tenant, &region_of).await.unwrap();
    assert_eq!((verified.read, verified.mended), (1, 1));
    service.run_until_idle(&fleet.tenant).await.unwrap();
    assert!(matches!(now(&forgot).await, Some(Content::Tombstone { .. })));
    // A day later nobody looks at it any more, and nothing is left of it in the ledger.
    fleet.pass(25 * 3_600);
    assert_eq!(service.verify(&fleet.tenant, &region_of).await.unwrap().read, 0);
    let folder = format!("ro-cleared/{region_of}").parse().unwrap();
    let left = Ledger::scan(&*fleet.memory, &fleet.tenant, &folder, NonZeroU32::MIN, None).await.unwrap();
    assert!(left.items.is_empty());
    fleet.check_audit(rollout).await;
}

#[tokio::test]
async fn a_rollout_of_many_lanes_runs_and_is_cancelled() {
    for lanes in [16, 40] {
        let mut fleet = Fleet::new(30).await;
        let release = fleet.release("2.0", 1).await;
        let lanes = NonZeroU16::new(lanes).unwrap();
        let rollout = fleet.start(Fleet::request(&release).with_lanes(lanes)).await;
        fleet.settle().await;
        let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
        assert_eq!((view.rollout.status, view.ended(OutcomeClass::Succeeded)), (Status::Completed, 30));
        fleet.check_audit(rollout).await;
        let next = fleet.release("3.0", 2).await;
        let rollout = fleet.start(Fleet::request(&next).with_lanes(lanes)).await;
        fleet.work().await;
        fleet.service.cancel(&fleet.tenant, rollout, &by("author"), &note("no more")).await.unwrap();
        fleet.work().await;
        let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
        assert_eq!((view.rollout.status, view.ended(OutcomeClass::Cancelled)), (Status::Cancelled, 30));
        fleet.check_audit(rollout).await;
    }
}

#[cfg(feature = "testkit")]
#[tokio::test]
async fn a_report_that_trips_one_of_many_lanes_does_not_look_at_all() {
    let memory = Arc::new(fhir_devices::backend::Memory::new());
    let ledger = Arc::new(fhir_devices::testkit::Recording::new(Arc::clone(&memory)));
    let fleet = Fleet::over(memory, Arc::clone(&ledger), 3).await;
    let release = fleet.release("2.0", 1).await;
    let stop = StopCriterion::new([OutcomeClass::Failed], 0, 0);
    let lanes = NonZeroU16::new(40).unwrap();
    let request = Fleet::<fhir_devices::backend::Memory>::request(&release).with_lanes(lanes).with_stop(vec![stop]);
    let rollout = fleet.start(request).await;
    let mut offer = None;
    for _ in 0..2_000 {
        fleet.work().await;
        for number in 0..3 {
            let id = device_name(number).parse().unwrap();
            offer =
                offer.or(fleet.service.offers(&fleet.tenant, &id).await.unwrap().pop().map(|offer| (number, offer)));
        }
        if offer.is_some() {
            break;
        }
    }
    let (number, offer) = offer.unwrap();
    fleet.service.claim(&fleet.tenant, offer.key, &offer.files[0].name, None).await.unwrap();
    drop(ledger.take());
    let failed = DeviceReport::Failed { key: offer.key, transient: false, code: "no-space".parse().unwrap() };
    fleet.report(&device_name(number), failed).await;
    let calls = ledger.take();
    assert!(calls.len() < 20, "{} calls", calls.len());
    fleet.work().await;
    let view = fleet.service.view(&fleet.tenant, rollout).await.unwrap();
    assert_eq!((view.rollout.status, view.ended(OutcomeClass::Failed)), (Status::Halted, 1));
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
