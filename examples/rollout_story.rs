//! The life of rollouts to 1,000 simulated devices in three regions: canaries, a wave, a failing build that stops its
//! rollout, a cancelled rollout, and the list of devices that have the update.
//!
//! `cargo run --release --example rollout_story`

#[path = "common/story.rs"]
mod story;

use fhir_devices::backend::{Memory, Slots};
use fhir_devices::manifest::{ActorId, IngestId, VersionScheme};
use fhir_devices::publish::RegionId;
use fhir_devices::service::{
    DeploymentFilter, DeviceReport, ReleaseSubmission, ReportedVersion, RolloutError, RolloutService, UpdateService,
};
use fhir_devices::store::{Tenant, TenantResources, stream};
use fhir_devices::update::deployment::{OutcomeClass, Phase, Refusal};
use fhir_devices::update::release::{Release, Target};
use fhir_devices::update::rollout::{RegionPolicy, RolloutId, RolloutRequest, StopCriterion, WaveSpec};
use fhir_devices::{Device, DeviceComponent, Valid};
use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use story::say;
use time::{Duration, OffsetDateTime};

type Done = Result<(), Box<dyn Error>>;

const DEVICES: usize = 1_000;
const REGIONS: [&str; 3] = ["ap", "eu", "us"];

/// A clock that the example moves.
#[derive(Clone)]
struct StoryClock(Arc<Mutex<OffsetDateTime>>);

impl StoryClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

struct Story {
    tenant: Tenant,
    by: ActorId,
    clock: StoryClock,
    service: RolloutService<Memory, Memory, Memory>,
}

impl Story {
    /// Creates a hospital group with its pumps, each of which runs 1.0.
    async fn begin() -> Result<Self, Box<dyn Error>> {
        let (tenant, by): (Tenant, ActorId) = ("st-mary".parse()?, "biomed/j.doe".parse()?);
        let memory = Arc::new(Memory::new());
        let resources = TenantResources::new(Arc::clone(&memory), tenant.clone());
        for number in 0..DEVICES {
            let device = format!(r#"{{"resourceType":"Device","id":"pump-{number}"}}"#);
            resources.create(&Valid::new(Device::from_json(device.as_bytes())?)?).await?;
            let mds = format!(
                r#"{{"resourceType":"DeviceComponent","id":"pump-{number}-mds","identifier":{{"value":"1"}},
                "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"69985"}}]}},
                "source":{{"reference":"Device/pump-{number}"}}}}"#
            );
            let mut mds = DeviceComponent::from_json(mds.as_bytes())?;
            mds.set_production_spec(fhir_devices::resource::device_component::SpecType::SoftwareRevision, "1.0")?;
            resources.create(&Valid::new(mds)?).await?;
        }
        let clock = StoryClock(Arc::new(Mutex::new(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000))));
        let own = clock.clone();
        let updates = UpdateService::new(Arc::clone(&memory), Arc::clone(&memory), Arc::clone(&memory))?;
        // The ids decide which components are the canaries: with these, the output is the same each time.
        let ids = AtomicU64::new(1);
        let updates = updates.with_clock(move || own.now());
        let updates = updates.with_ids(move || IngestId(ids.fetch_add(1, Ordering::Relaxed).into()));
        let mut service = RolloutService::new(updates).with_region_of(|_, device| {
            let number: usize = device.id.as_ref()?.get()?.as_str().rsplit('-').next()?.parse().ok()?;
            REGIONS.get(number % REGIONS.len())?.parse().ok()
        });
        for name in REGIONS {
            let region: RegionId = name.parse()?;
            service = service.with_region(region.clone(), Arc::new(Slots::new(Arc::clone(&memory), region)));
        }
        Ok(Self { tenant, by, clock, service })
    }

    async fn release(&self, version: &str, sequence: u64) -> Result<Release, Box<dyn Error>> {
        let (file, kind) = ("pump.bin".parse()?, "application/octet-stream".parse()?);
        let name = "pump/main".parse()?;
        let mut submission = ReleaseSubmission::new(name, version.parse()?, sequence, file, kind);
        submission.scheme = VersionScheme::Dotted;
        submission.target = Target { level: None, code: Some(69985) };
        let body = stream::once(format!("the firmware of version {version}"));
        Ok(self.service.release(&self.tenant, submission, &self.by, body).await?)
    }

    /// Starts a rollout: 5 % first, 51 devices at a time, stopped when more than 5 % of the finished ones have failed.
    async fn start(&self, release: &Release) -> Result<RolloutId, Box<dyn Error>> {
        let canaries = WaveSpec::new(50).with_min_success_permille(950).with_soak_seconds(3_600);
        let regions: BTreeMap<RegionId, RegionPolicy> = REGIONS
            .iter()
            .map(|name| Ok((name.parse()?, RegionPolicy::default())))
            .collect::<Result<_, Box<dyn Error>>>()?;
        let request = RolloutRequest::new(release.id, REGIONS[0].parse()?)
            .with_regions(regions)
            .with_waves(vec![canaries, WaveSpec::new(950)])
            .with_cap(51)
            .with_stop(vec![StopCriterion::failures(50, 100)]);
        let rollout = self.service.create(&self.tenant, request, &self.by).await?;
        self.service.submit(&self.tenant, rollout.id).await?;
        Ok(rollout.id)
    }

    /// Lets one device poll; returns whether it did anything.
    async fn device_acts(&self, number: usize, works: bool) -> Result<bool, Box<dyn Error>> {
        let device = format!("pump-{number}").parse()?;
        let mut acted = false;
        for offer in self.service.offers(&self.tenant, &device).await? {
            let Some(file) = offer.files.first() else { continue };
            match self.service.claim(&self.tenant, offer.key, &file.name, Some(&device)).await {
                Ok(_) => acted = true,
                Err(RolloutError::Deployment { refusal: Refusal::Gone | Refusal::NotOpen, .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let key = offer.key;
            let report = match works {
                true => DeviceReport::Phase { key, number: None, phase: Phase::Installing },
                false => DeviceReport::Failed { key, transient: false, code: "self-test".parse()? },
            };
            self.service.report(&self.tenant, &device, report).await?;
            if works {
                let runs = ReportedVersion::new(format!("pump-{number}-mds").parse()?, offer.version.as_str());
                self.service.report(&self.tenant, &device, DeviceReport::versions([runs])).await?;
            }
        }
        Ok(acted)
    }

    /// Lets all devices poll, for at most `rounds` rounds, until none has anything to do.
    async fn go_on(&self, rounds: usize, works: impl Fn(usize) -> bool) -> Done {
        for _ in 0..rounds {
            self.service.run_until_idle(&self.tenant).await?;
            let mut acted = false;
            for number in 0..DEVICES {
                acted |= self.device_acts(number, works(number)).await?;
            }
            if !acted {
                break;
            }
        }
        self.service.run_until_idle(&self.tenant).await?;
        Ok(())
    }

    async fn tell(&self, what: &str, id: RolloutId) -> Done {
        let view = self.service.view(&self.tenant, id).await?;
        say!(
            "{what}: {}, {} succeeded, {} failed, {} wait, {} devices have it",
            view.rollout.status,
            view.ended(OutcomeClass::Succeeded),
            view.ended(OutcomeClass::Failed),
            view.counts.planned,
            view.already_out,
        );
        Ok(())
    }
}

const USAGE: &str = "usage: rollout_story

Tells the life of a rollout to 1,000 simulated devices in three regions: canaries, a wave, a build that fails and stops, a cancel,
and the list of the devices that have it. It takes no arguments, and keeps everything in memory.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match story::arguments(USAGE) {
        Some(status) => status,
        None => story::ended(run().await),
    }
}

async fn run() -> Done {
    let story = Story::begin().await?;
    let (service, tenant) = (&story.service, &story.tenant);

    let good = story.release("2.0", 1).await?;
    let first = story.start(&good).await?;
    story.go_on(100, |_| true).await?;
    story.tell("2.0, the canaries", first).await?;
    story.clock.pass(Duration::hours(1));
    story.go_on(100, |_| true).await?;
    story.tell("2.0, everybody", first).await?;
    let measures = service.measures(tenant, first).await?;
    if let Some(times) = measures.time_to_field {
        say!(
            "from the release to the proof: {} s in the median, {} s for 95 of 100",
            times.median.as_secs(),
            times.p95.as_secs()
        );
    }

    let bad = story.release("3.0", 2).await?;
    let second = story.start(&bad).await?;
    story.go_on(100, |number| number % 3 == 0).await?;
    story.tell("3.0, whose self-test fails on most", second).await?;
    service.cancel(tenant, second, &story.by, &"3.0 fails its self-test".parse()?).await?;
    story.go_on(100, |_| true).await?;
    story.tell("3.0, cancelled", second).await?;
    let out = DeploymentFilter::default().with_granted(true);
    let (mut named, mut after) = (0, None);
    loop {
        let page = service.deployments(tenant, second, out, NonZeroU32::MIN.saturating_add(99), after.as_ref()).await?;
        for one in &page.items {
            named += 1;
            if named <= 3 {
                say!(
                    "has 3.0: Device/{}, {}",
                    one.device,
                    one.state.outcome().map_or("under way", |end| end.class().as_str())
                );
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    say!("{named} devices were given 3.0, and no other will be");

    let (mut behind, mut after) = (0, None);
    loop {
        let (page, next) = service.behind(tenant, bad.id, after.as_deref()).await?;
        behind += page.len();
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    say!("{behind} devices run less than 3.0");
    for lane in 0..3 {
        service.verify_lane(tenant, second, fhir_devices::update::rollout::Lane(lane), &[]).await??;
    }
    service.updates().verify_audit(tenant, &[]).await??;
    say!("the audit chains are whole");
    Ok(())
}
