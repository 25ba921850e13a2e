//! A tenant with two pumps, each with an MDS and a channel, and the interface that they poll.

use fhir_devices::backend::{Memory, Slots};
use fhir_devices::ddi::{DeviceInterface, LinkKey, Method, Refusal, Request, Response, SignedLink};
use fhir_devices::manifest::{ActorId, ArtifactName};
use fhir_devices::publish::OfferKey;
use fhir_devices::service::{Granted, ReleaseSubmission, RolloutError, RolloutService, UpdateService};
use fhir_devices::store::{Ledger, Tenant, TenantResources, stream};
use fhir_devices::update::deployment::OutcomeClass;
use fhir_devices::update::release::Target;
use fhir_devices::update::rollout::{Retry, RolloutId, RolloutRequest, StopCriterion};
use fhir_devices::{Device, DeviceComponent, Valid};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const BASE: &str = "https://updates.example";

pub(crate) struct World<L: Ledger = Memory> {
    pub(crate) tenant: Tenant,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Arc<Mutex<OffsetDateTime>>,
    pub(crate) service: RolloutService<Memory, Memory, L>,
    pub(crate) interface: DeviceInterface<Memory, Memory, L>,
    pub(crate) links: LinkKey,
}

impl World {
    pub(crate) async fn new() -> Self {
        let memory = Arc::new(Memory::new());
        Self::over(Arc::clone(&memory), memory).await
    }
}

fn component(id: &str, device: &str, code: u32, version: &str) -> DeviceComponent {
    let text = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"1"}},"source":{{"reference":"Device/{device}"}},
        "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},
        "productionSpecification":[{{"specType":{{"coding":[{{"system":"http://hl7.org/fhir/specification-type",
        "code":"software-revision"}}]}},"productionSpec":"{version}"}}]}}"#
    );
    DeviceComponent::from_json(text.as_bytes()).unwrap()
}

impl<L: Ledger> World<L> {
    pub(crate) async fn over(memory: Arc<Memory>, ledger: Arc<L>) -> Self {
        let tenant: Tenant = "st-mary".parse().unwrap();
        let clock = Arc::new(Mutex::new(datetime!(2026-01-01 00:00 UTC)));
        let resources = TenantResources::new(Arc::clone(&memory), tenant.clone());
        for name in ["pump-7", "pump-8"] {
            let device = format!(r#"{{"resourceType":"Device","id":"{name}"}}"#);
            resources.create(&Valid::new(Device::from_json(device.as_bytes()).unwrap()).unwrap()).await.unwrap();
            for (part, code) in [("mds", 69_985), ("channel", 70_003)] {
                let component = component(&format!("{name}-{part}"), name, code, "2.3");
                resources.create(&Valid::new(component).unwrap()).await.unwrap();
            }
        }
        let time = Arc::clone(&clock);
        let updates = UpdateService::new(Arc::clone(&memory), Arc::clone(&memory), Arc::clone(&ledger)).unwrap();
        let region = "local".parse::<fhir_devices::publish::RegionId>().unwrap();
        let service = RolloutService::new(updates.with_clock(move || *time.lock().unwrap()))
            .with_region(region.clone(), Arc::new(Slots::new(ledger, region)))
            .with_links(|tenant, key, file| format!("{BASE}/{tenant}/offers/{key}/{file}").parse().ok());
        let links = LinkKey::from_bytes([7; 32]);
        let interface = DeviceInterface::new(service.clone(), BASE, links.clone());
        Self { tenant, memory, clock, service, interface, links }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        *self.clock.lock().unwrap() += time::Duration::seconds(seconds);
    }

    /// Rolls out a version to the components of a type, with one attempt each.
    pub(crate) async fn roll_out(&self, version: &str, sequence: u64, code: u32) -> RolloutId {
        let by: ActorId = "author".parse().unwrap();
        let (file, media_type) = ("pump.swu".parse().unwrap(), "application/octet-stream".parse().unwrap());
        let name = format!("pump/{code}").parse().unwrap();
        let mut submission = ReleaseSubmission::new(name, version.parse().unwrap(), sequence, file, media_type);
        submission.target = Target { level: None, code: Some(code) };
        let body = stream::once(format!("firmware {version}"));
        let release = self.service.release(&self.tenant, submission, &by, body).await.unwrap();
        let request = RolloutRequest::new(release.id, "local".parse().unwrap())
            .with_cap(100)
            .with_stop(vec![StopCriterion::failures(999, 1_000)])
            .with_retry(Retry::default().with_max_attempts(1.try_into().unwrap()));
        let rollout = self.service.create(&self.tenant, request, &by).await.unwrap();
        self.service.submit(&self.tenant, rollout.id).await.unwrap();
        self.work().await;
        rollout.id
    }

    pub(crate) async fn work(&self) {
        self.service.run_until_idle(&self.tenant).await.unwrap();
    }

    pub(crate) async fn ask(&self, device: &str, request: &Request<'_>) -> Result<Response, Refusal> {
        self.interface.handle(&self.tenant, &device.parse().unwrap(), request).await
    }

    /// Returns the links of a poll: their names and their paths below the device.
    pub(crate) async fn links(&self, device: &str) -> Vec<(String, String)> {
        let answer = self.ask(device, &Request::get(&[])).await.unwrap();
        let read: Value = serde_json::from_str(&answer.body.unwrap()).unwrap();
        let at = format!("{BASE}/st-mary/controller/v1/{device}/");
        let link = |(name, link): (&String, &Value)| {
            (name.clone(), link["href"].as_str().unwrap().strip_prefix(&at).unwrap().to_owned())
        };
        read["_links"].as_object().unwrap().iter().map(link).collect()
    }

    pub(crate) async fn get(&self, device: &str, path: &[&str]) -> Value {
        let answer = self.ask(device, &Request::get(path)).await.unwrap();
        serde_json::from_str(&answer.body.unwrap()).unwrap()
    }

    pub(crate) async fn feedback(&self, device: &str, path: [&str; 2], execution: &str, finished: &str) -> u16 {
        let body = format!(r#"{{"status":{{"execution":"{execution}","result":{{"finished":"{finished}"}}}}}}"#);
        let path = [path[0], path[1], "feedback"];
        self.ask(device, &Request::new(Method::Post, &path, body.as_bytes())).await.unwrap().status
    }

    pub(crate) async fn attributes(&self, device: &str, data: &str) -> Result<Response, Refusal> {
        let body = format!(r#"{{"mode":"merge","data":{data}}}"#);
        self.ask(device, &Request::new(Method::Put, &["configData"], body.as_bytes())).await
    }

    /// Follows a link to bytes, as the server does.
    pub(crate) async fn fetch(&self, link: &str) -> Result<Granted, RolloutError> {
        let (path, query) = link.split_once('?').unwrap();
        let mut parts = path.rsplit('/');
        let (file, key): (ArtifactName, OfferKey) =
            (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap());
        let signed = SignedLink::read(query).unwrap();
        let now = *self.clock.lock().unwrap();
        assert_eq!(self.links.verify(&self.tenant, key, file.as_str(), &signed, now), Ok(()));
        self.service.claim(&self.tenant, key, &file, Some(&signed.device)).await
    }

    /// Returns how many deployments of a rollout have an outcome.
    pub(crate) async fn ended(&self, id: RolloutId, outcome: OutcomeClass) -> u32 {
        self.service.view(&self.tenant, id).await.unwrap().tally.of(outcome)
    }

    pub(crate) async fn version(&self, component: &str) -> String {
        let resources = TenantResources::new(Arc::clone(&self.memory), self.tenant.clone());
        let (component, _) = resources.get::<DeviceComponent>(component).await.unwrap();
        component.software_revision().unwrap().to_owned()
    }
}

/// Returns the link to bytes of a document.
pub(crate) fn href(document: &Value) -> String {
    let links = &document["deployment"]["chunks"][0]["artifacts"][0]["_links"];
    assert_eq!(links["download"], links["download-http"]);
    links["download"]["href"].as_str().unwrap().to_owned()
}
