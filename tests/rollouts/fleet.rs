//! A tenant with devices in some regions, and their reactions to an offer.

use fhir_devices::backend::{Memory, Slots};
use fhir_devices::manifest::{KeyId, Signature, SignatureContext, SignatureError, Verifier};
use fhir_devices::service::{
    DeviceReport, ReleaseSubmission, ReportedVersion, RolloutError, RolloutService, UpdateService,
};
use fhir_devices::store::{Ledger, Tenant, TenantResources, stream};
use fhir_devices::update::deployment::{Phase, Refusal};
use fhir_devices::update::release::{Release, Target};
use fhir_devices::update::rollout::{RegionId, RegionPolicy, RolloutId, RolloutRequest, StopCriterion};
use fhir_devices::{Device, DeviceComponent, Valid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const REGIONS: [&str; 3] = ["ap", "eu", "us"];

/// A device's reaction to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Installs the update, restarts, and reports its version.
    Good,
    /// Fails for good.
    Fails,
    /// Reports that it is done, and runs its previous version.
    Lies,
    /// Reports that it is done, and nothing after that.
    Silent,
    /// Does not ask for the bytes.
    Deaf,
    /// Fails once, and then installs the update.
    Stumbles,
    /// Takes the bytes, and reports nothing until it is asked.
    Slow,
}

pub(crate) struct Fleet<L: Ledger + ?Sized = Memory> {
    pub(crate) tenant: Tenant,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Arc<Mutex<OffsetDateTime>>,
    pub(crate) service: RolloutService<Memory, Memory, L>,
    pub(crate) manners: BTreeMap<String, Manner>,
    /// The devices that were ever given bytes.
    pub(crate) given: BTreeSet<String>,
    /// The devices that wait to continue.
    pub(crate) waiting: Vec<(String, fhir_devices::publish::OfferKey)>,
}

pub(crate) fn by(name: &str) -> fhir_devices::manifest::ActorId {
    name.parse().unwrap()
}

pub(crate) fn note(text: &str) -> fhir_devices::manifest::Note {
    text.parse().unwrap()
}

pub(crate) fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

pub(crate) fn device_name(number: usize) -> String {
    format!("pump-{number}")
}

/// A verifier that accepts every signature.
struct AnySignature;

impl Verifier for AnySignature {
    fn verify(&self, _: &[u8], given: &[Signature], _: SignatureContext<'_>) -> Result<Vec<KeyId>, SignatureError> {
        Ok(given.iter().map(|one| one.key.clone()).collect())
    }
}

/// Stores a component of a device, an MDS, at version 1.0.
pub(crate) async fn put_device(resources: &TenantResources<Memory>, name: &str, patient: bool) {
    let patient = if patient { r#","patient":{"reference":"Patient/1"}"# } else { "" };
    let device = format!(r#"{{"resourceType":"Device","id":"{name}"{patient}}}"#);
    resources.create(&Valid::new(Device::from_json(device.as_bytes()).unwrap()).unwrap()).await.unwrap();
    let component = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{name}-mds","identifier":{{"value":"1"}},
        "source":{{"reference":"Device/{name}"}},
        "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"69985"}}]}},
        "productionSpecification":[{{"specType":{{"coding":[{{"system":"http://hl7.org/fhir/specification-type",
        "code":"software-revision"}}]}},"productionSpec":"1.0"}}]}}"#
    );
    let component = DeviceComponent::from_json(component.as_bytes()).unwrap();
    resources.create(&Valid::new(component).unwrap()).await.unwrap();
}

impl Fleet<Memory> {
    pub(crate) fn submission(version: &str, sequence: u64) -> ReleaseSubmission {
        let (file, media_type) = ("pump.bin".parse().unwrap(), "application/octet-stream".parse().unwrap());
        let (name, version) = ("pump/main".parse().unwrap(), version.parse().unwrap());
        let mut submission = ReleaseSubmission::new(name, version, sequence, file, media_type);
        submission.target = Target { level: None, code: Some(69985) };
        submission
    }

    /// Returns a request for all regions, with a cap of 1,000 devices.
    pub(crate) fn request(release: &Release) -> RolloutRequest {
        RolloutRequest::new(release.id, region("eu"))
            .with_regions(REGIONS.iter().map(|name| (region(name), RegionPolicy::default())).collect())
            .with_cap(1_000)
            .with_stop(vec![StopCriterion::failures(999, 10_000)])
    }

    pub(crate) async fn new(count: usize) -> Self {
        let memory = Arc::new(Memory::new());
        Self::over(Arc::clone(&memory), memory, count).await
    }
}

impl<L: Ledger> Fleet<L> {
    pub(crate) async fn over(memory: Arc<Memory>, ledger: Arc<L>, count: usize) -> Self {
        let tenant: Tenant = "st-mary".parse().unwrap();
        let clock = Arc::new(Mutex::new(datetime!(2026-01-01 00:00 UTC)));
        let resources = TenantResources::new(Arc::clone(&memory), tenant.clone());
        for number in 0..count {
            put_device(&resources, &device_name(number), false).await;
        }
        let service = Self::service(&memory, ledger, &clock);
        let manners = (0..count).map(|number| (device_name(number), Manner::Good)).collect();
        Self { tenant, memory, clock, service, manners, given: BTreeSet::new(), waiting: Vec::new() }
    }

    /// Returns the same devices and stores as another process, with another ledger.
    #[cfg(feature = "testkit")]
    pub(crate) fn over_again<O: Ledger>(other: &Fleet<O>, ledger: Arc<L>) -> Self {
        Self {
            tenant: other.tenant.clone(),
            memory: Arc::clone(&other.memory),
            clock: Arc::clone(&other.clock),
            service: Self::service(&other.memory, ledger, &other.clock),
            manners: other.manners.clone(),
            given: other.given.clone(),
            waiting: Vec::new(),
        }
    }

    /// Runs the service, and lets every device act, until something fails.
    #[cfg(feature = "testkit")]
    pub(crate) async fn try_act(&mut self) -> Result<(), RolloutError> {
        self.service.run_until_idle(&self.tenant).await?;
        for device in self.manners.keys() {
            let id = device.parse().unwrap();
            for offer in self.service.offers(&self.tenant, &id).await? {
                let key = offer.key;
                self.service.claim(&self.tenant, key, &offer.files[0].name, Some(&id)).await?;
                if self.manners[device] == Manner::Stumbles && key.attempt.0 == 1 {
                    let code = "power-lost".parse().unwrap();
                    let failed = DeviceReport::Failed { key, transient: true, code };
                    self.service.report(&self.tenant, &id, failed).await?;
                    continue;
                }
                let installing = DeviceReport::Phase { key, number: None, phase: Phase::Installing };
                self.service.report(&self.tenant, &id, installing).await?;
                let runs = ReportedVersion::new(format!("{device}-mds").parse().unwrap(), offer.version.as_str());
                self.service.report(&self.tenant, &id, DeviceReport::versions([runs])).await?;
            }
        }
        Ok(())
    }

    /// Returns a service over the stores, as another process has it.
    pub(crate) fn service(
        memory: &Arc<Memory>,
        ledger: Arc<L>,
        clock: &Arc<Mutex<OffsetDateTime>>,
    ) -> RolloutService<Memory, Memory, L> {
        let time = Arc::clone(clock);
        let updates = UpdateService::new(Arc::clone(memory), Arc::clone(memory), ledger).unwrap();
        let updates = updates.with_verifier(AnySignature);
        let mut service = RolloutService::new(updates.with_clock(move || *time.lock().unwrap()));
        for name in REGIONS {
            service = service.with_region(region(name), Arc::new(Slots::new(Arc::clone(memory), region(name))));
        }
        service.with_region_of(|_, device| {
            let number: usize = device.id.as_ref()?.get()?.as_str().rsplit('-').next()?.parse().ok()?;
            Some(region(REGIONS[number % REGIONS.len()]))
        })
    }

    pub(crate) fn resources(&self) -> TenantResources<Memory> {
        TenantResources::new(Arc::clone(&self.memory), self.tenant.clone())
    }

    pub(crate) fn pass(&self, seconds: i64) {
        *self.clock.lock().unwrap() += time::Duration::seconds(seconds);
    }

    pub(crate) async fn release(&self, version: &str, sequence: u64) -> Release {
        let body = stream::once(format!("firmware {version}"));
        self.service
            .release(&self.tenant, Fleet::<Memory>::submission(version, sequence), &by("author"), body)
            .await
            .unwrap()
    }

    pub(crate) async fn start(&self, request: RolloutRequest) -> RolloutId {
        let rollout = self.service.create(&self.tenant, request, &by("author")).await.unwrap();
        self.service.submit(&self.tenant, rollout.id).await.unwrap();
        rollout.id
    }

    pub(crate) async fn work(&self) {
        self.service.run_until_idle(&self.tenant).await.unwrap();
    }

    /// Lets every device react to its offers; returns whether any did anything.
    pub(crate) async fn devices_act(&mut self) -> bool {
        let mut acted = false;
        for (device, manner) in self.manners.clone() {
            acted |= self.device_acts(&device, manner).await;
        }
        acted
    }

    pub(crate) async fn report(&self, device: &str, report: DeviceReport) {
        self.service.report(&self.tenant, &device.parse().unwrap(), report).await.unwrap();
    }

    pub(crate) async fn runs(&self, device: &str, version: &str) {
        let component = format!("{device}-mds").parse().unwrap();
        self.report(device, DeviceReport::versions([ReportedVersion::new(component, version)])).await;
    }

    pub(crate) async fn device_acts(&mut self, device: &str, manner: Manner) -> bool {
        if manner == Manner::Deaf {
            return false;
        }
        let id = device.parse().unwrap();
        let offers = self.service.offers(&self.tenant, &id).await.unwrap();
        let mut acted = false;
        for offer in offers {
            let (key, file) = (offer.key, offer.files[0].name.clone());
            if matches!(manner, Manner::Slow | Manner::Silent)
                && self.waiting.iter().any(|(_, waiting)| *waiting == key)
            {
                continue;
            }
            match self.service.claim(&self.tenant, key, &file, Some(&id)).await {
                Ok(_) => drop(self.given.insert(device.to_owned())),
                Err(RolloutError::Deployment { refusal: Refusal::Gone | Refusal::NotOpen, .. }) => continue,
                Err(error) => panic!("{error}"),
            }
            acted = true;
            self.report(device, DeviceReport::Phase { key, number: None, phase: Phase::Downloading }).await;
            match manner {
                Manner::Slow => {
                    self.waiting.push((device.to_owned(), key));
                    continue;
                }
                Manner::Fails => {
                    let code = "no-space".parse().unwrap();
                    self.report(device, DeviceReport::Failed { key, transient: false, code }).await;
                    continue;
                }
                Manner::Stumbles if key.attempt.0 == 1 => {
                    let code = "power-lost".parse().unwrap();
                    self.report(device, DeviceReport::Failed { key, transient: true, code }).await;
                    continue;
                }
                _ => {}
            }
            self.report(device, DeviceReport::Phase { key, number: None, phase: Phase::Installing }).await;
            self.report(device, DeviceReport::Done { key }).await;
            match manner {
                Manner::Silent => self.waiting.push((device.to_owned(), key)),
                Manner::Lies => self.runs(device, "1.0").await,
                _ => self.runs(device, offer.version.as_str()).await,
            }
        }
        acted
    }

    /// Runs everything until there is nothing to do.
    pub(crate) async fn settle(&mut self) {
        loop {
            self.work().await;
            if !self.devices_act().await {
                self.work().await;
                return;
            }
        }
    }

    /// Checks that the audit chains are whole and rebuild the states.
    pub(crate) async fn check_audit(&self, rollout: RolloutId) {
        let (service, tenant) = (&self.service, &self.tenant);
        service.updates().verify_audit(tenant, &[]).await.unwrap().unwrap();
        let records = service.updates().audit_records(tenant).await.unwrap();
        let replayed = fhir_devices::update::replay(&records).unwrap();
        assert_eq!(replayed.rollouts[&rollout], service.rollout(tenant, rollout).await.unwrap());
        let spec = service.view(tenant, rollout).await.unwrap().spec;
        let release = service.release_of(tenant, spec.release).await.unwrap();
        assert_eq!(replayed.releases[&spec.release], release);
        let seals: Vec<_> = replayed.lanes.values().copied().collect();
        for lane in 0..spec.lane_count() {
            let lane = fhir_devices::update::rollout::Lane(lane);
            service.verify_lane(tenant, rollout, lane, &seals).await.unwrap().unwrap();
        }
    }

    pub(crate) async fn version_of(&self, device: &str) -> String {
        let (component, _) = self.resources().get::<DeviceComponent>(&format!("{device}-mds")).await.unwrap();
        component.software_revision().unwrap().to_owned()
    }
}
