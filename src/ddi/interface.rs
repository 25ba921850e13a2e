//! The device interface over the rollout service.

use super::document::{self, Links};
use super::feedback::{self, Cancellation};
use super::{LinkKey, MAX_BODY, Method, Refusal, Request, Response, attributes};
use crate::primitive::Id;
use crate::publish::ActionNumber;
use crate::service::{
    DeviceAction, DeviceActions, DeviceReport, ReportAnswer, ReportedVersion, RolloutError, RolloutService,
};
use crate::store::{BlobStore, Ledger, ResourceStore, Sha256, Tenant};
use crate::support::{names_tag, read_object};
use crate::update::deployment::{Phase, State, StopRequest};
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// How often devices poll, unless the operator says otherwise: every five minutes.
pub const DEFAULT_POLLING: Duration = Duration::from_secs(300);

/// For how long a link to bytes is good.
const LINK_LIFETIME: time::Duration = time::Duration::hours(24);

/// How many devices are remembered. Those that are forgotten are asked for their attributes once more.
const REMEMBERED: usize = 1 << 17;

/// hawkBit's device interface over a [`RolloutService`].
///
/// Any number of values, in any number of processes, may serve one ledger. A poll writes nothing.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::ddi::{DeviceInterface, LinkKey, Refusal, Request};
/// use fhir_devices::service::{RolloutService, UpdateService};
/// use fhir_devices::store::{Tenant, TenantResources};
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (memory, tenant): (_, Tenant) = (Arc::new(Memory::new()), "st-mary".parse()?);
/// let resources = TenantResources::new(memory.clone(), tenant.clone());
/// resources.create(&Valid::new(Device::from_json(br#"{"resourceType":"Device","id":"pump-7"}"#)?)?).await?;
/// let rollouts = RolloutService::new(UpdateService::new(memory.clone(), memory.clone(), memory)?);
/// let interface = DeviceInterface::new(rollouts, "https://updates.example", LinkKey::random()?);
///
/// let answer = interface.handle(&tenant, &"pump-7".parse()?, &Request::get(&[])).await?;
/// assert!(answer.body.unwrap().contains("https://updates.example/st-mary/controller/v1/pump-7/configData"));
/// let unknown = interface.handle(&tenant, &"pump-7".parse()?, &Request::get(&["deploymentBase", "1"])).await;
/// assert!(matches!(unknown, Err(Refusal::NoSuchAction { .. })));
/// # Ok(())
/// # }
/// ```
pub struct DeviceInterface<R: ?Sized = dyn ResourceStore, B: ?Sized = dyn BlobStore, L: ?Sized = dyn Ledger> {
    rollouts: RolloutService<R, B, L>,
    base: String,
    polling: Duration,
    links: LinkKey,
    /// The devices that sent their attributes to this process.
    known: Remembered,
    /// The cancellations that a device refused. It is not asked again.
    refused: Remembered,
}

/// What is to be done about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToDo {
    /// The device installs it.
    Install,
    /// The device stops.
    Cancel,
    /// The device reports which version runs.
    Report,
    /// Nothing that the device could do.
    Nothing,
}

fn to_do(action: &DeviceAction) -> ToDo {
    match &action.deployment.state {
        State::Claimed { stop: StopRequest::Requested | StopRequest::Written, .. } => ToDo::Cancel,
        State::Claimed { stop: StopRequest::None, phase, .. } if *phase < Phase::Installed => ToDo::Install,
        State::Claimed { stop: StopRequest::None, .. } => ToDo::Report,
        // It may have installed before it stopped, and nothing is known until it is started. It is not asked before.
        State::Claimed { stop: StopRequest::Acknowledged, .. } => ToDo::Nothing,
        State::Offered { .. } => ToDo::Install,
        State::Planned { .. }
        | State::Held { .. }
        | State::Offering { .. }
        | State::Retracting { .. }
        | State::Done { .. } => ToDo::Nothing,
    }
}

/// Which action of a device comes first: one that it began, else the one with the lowest number.
fn first(actions: &DeviceActions) -> Option<&DeviceAction> {
    let begun = |action: &&DeviceAction| matches!(action.deployment.state, State::Claimed { .. });
    let shown = |action: &&DeviceAction| to_do(action) != ToDo::Nothing;
    let cancelled = actions.live.iter().find(|action| to_do(action) == ToDo::Cancel);
    cancelled.or_else(|| actions.live.iter().find(begun)).or_else(|| actions.live.iter().find(shown))
}

impl<R, B, L> DeviceInterface<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Creates the interface over a service. `base` is the URL below which `/TENANT/controller/v1/` is, and `links` signs the
    /// links to bytes: whoever serves them checks the signature before it calls [`RolloutService::claim`].
    #[must_use]
    pub fn new(rollouts: RolloutService<R, B, L>, base: &str, links: LinkKey) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self {
            rollouts,
            base,
            polling: DEFAULT_POLLING,
            links,
            known: Remembered::default(),
            refused: Remembered::default(),
        }
    }

    /// Sets how often devices poll; [`DEFAULT_POLLING`] otherwise. Each is told up to a fifth more, and less than a day.
    #[must_use]
    pub fn with_polling(mut self, every: Duration) -> Self {
        self.polling = every;
        self
    }

    /// Answers a request of a device. The caller has authenticated it.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is changed then.
    pub async fn handle(&self, tenant: &Tenant, device: &Id, request: &Request<'_>) -> Result<Response, Refusal> {
        if request.body.len() > MAX_BODY {
            return Err(Refusal::TooLarge { size: request.body.len(), limit: MAX_BODY });
        }
        let no_path = || Refusal::NoSuchPath { path: request.path.join("/") };
        let number = |text: &str| {
            let plain = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| plain).map(ActionNumber).ok_or_else(no_path)
        };
        let at = At { tenant, device, body: request.body };
        match (request.method, request.path) {
            (Method::Get, [] | [""]) => self.poll(at, request.if_none_match).await,
            (Method::Get, ["deploymentBase", text]) => self.deployment(at, number(text)?).await,
            (Method::Post, ["deploymentBase", text, "feedback"]) => self.feedback(at, number(text)?).await,
            (Method::Get, ["cancelAction", text]) => self.cancellation(at, number(text)?).await,
            (Method::Post, ["cancelAction", text, "feedback"]) => self.cancellation_feedback(at, number(text)?).await,
            (Method::Put, ["configData"]) => self.attributes(at).await,
            (Method::Put, ["installedBase"]) => self.installed(at).await,
            (Method::Get, ["installedBase", text]) => self.installed_action(at, number(text)?).await,
            (Method::Get, ["confirmationBase"]) => self.confirmations(at).await,
            (Method::Get, ["confirmationBase", text]) => self.confirmation(at, number(text)?).await,
            (Method::Post, ["confirmationBase", text, "feedback"]) => {
                self.confirmation_feedback(at, number(text)?).await
            }
            (
                _,
                []
                | [""]
                | ["configData" | "installedBase" | "confirmationBase"]
                | ["deploymentBase" | "cancelAction" | "installedBase" | "confirmationBase", _]
                | ["deploymentBase" | "cancelAction" | "confirmationBase", _, "feedback"],
            ) => Err(Refusal::OtherMethod { path: request.path.join("/") }),
            _ => Err(no_path()),
        }
    }

    async fn poll(&self, at: At<'_>, seen: Option<&str>) -> Result<Response, Refusal> {
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let mut links = Links { attributes: !self.known.has(&at.name()), ..Links::default() };
        if let Some(action) = first(&actions) {
            let number = action.number;
            match to_do(action) {
                ToDo::Cancel if !self.refused.has(&at.cancellation(number)) => links.cancel = Some(number),
                ToDo::Install if action.available && action.offer.files.len() == 1 => links.deployment = Some(number),
                ToDo::Report => (links.attributes, links.installed) = (true, Some(number)),
                ToDo::Install | ToDo::Cancel | ToDo::Nothing => {}
            }
        }
        let sleep = document::polling(at.tenant, at.device, self.polling);
        let body = document::poll(&self.address(at), &sleep, &links);
        let etag = document::tag(&body);
        if seen.is_some_and(|seen| names_tag(seen, &etag)) {
            return Ok(Response { status: 304, etag: Some(etag), body: None, changed: false });
        }
        Ok(Response { status: 200, etag: Some(etag), body: Some(body), changed: false })
    }

    async fn deployment(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let action = live(&actions, number)?.filter(|action| to_do(action) == ToDo::Install);
        self.described(at, action.ok_or(Refusal::NotActive { number })?, actions.at)
    }

    /// Answers with the deployment of an action as it was offered.
    fn described(&self, at: At<'_>, action: &DeviceAction, now: OffsetDateTime) -> Result<Response, Refusal> {
        let (number, offer) = (action.number, &action.offer);
        let [file] = offer.files.as_slice() else {
            return Err(Refusal::NotOneFile { key: offer.key, files: offer.files.len() });
        };
        let until: OffsetDateTime = now.saturating_add(LINK_LIFETIME);
        let link = self.links.sign(file.link.as_str(), at.tenant, offer.key, file.name.as_str(), at.device, until);
        let body = document::deployment(number, &action.deployment.component, offer, &link, action.available);
        Ok(Response { body: Some(body), ..Response::EMPTY })
    }

    /// Answers with an action that the device has installed, whether or not it has ended.
    async fn installed_action(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        match live(&actions, number)? {
            Some(action) if to_do(action) == ToDo::Report => self.described(at, action, actions.at),
            Some(_) => Err(Refusal::NotActive { number }),
            None => {
                let ended = self.rollouts.installed_action(at.tenant, at.device, number).await?;
                self.described(at, &ended.ok_or(Refusal::NotActive { number })?, actions.at)
            }
        }
    }

    /// Says that actions are confirmed by themselves. A rollout whose gates ask for consent offers nothing until it is given, so
    /// that a device is never shown an action that waits for it.
    async fn confirmations(&self, at: At<'_>) -> Result<Response, Refusal> {
        self.rollouts.device_actions(at.tenant, at.device).await?;
        Ok(Response { body: Some(document::confirmations()), ..Response::EMPTY })
    }

    /// Answers with the deployment of an action that the device may still deny.
    async fn confirmation(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let action = live(&actions, number)?.filter(|action| matches!(action.deployment.state, State::Offered { .. }));
        action.ok_or(Refusal::NotActive { number })?;
        Ok(Response { body: Some(document::confirmation(number)), ..Response::EMPTY })
    }

    async fn confirmation_feedback(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let read = feedback::read_confirmation(at.body)?;
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let Some(action) = live(&actions, number)? else { return Ok(Response::EMPTY) };
        match (read.is_denied(), &action.deployment.state) {
            // It is not offered again, unlike an action that failed.
            (true, State::Offered { .. }) => self.report(at, read.rejection(action.deployment.key())).await,
            _ => Ok(Response::EMPTY),
        }
    }

    async fn feedback(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let read = feedback::read(number, at.body)?;
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        // What has ended takes no more feedback. A client that is told so begins the action anew, without end.
        let Some(action) = live(&actions, number)? else { return Ok(Response::EMPTY) };
        let stopping = matches!(
            action.deployment.state,
            State::Claimed { stop: StopRequest::Requested | StopRequest::Written | StopRequest::Acknowledged, .. }
        );
        match read.report(action.deployment.key(), stopping) {
            Some(report) => self.report(at, report).await,
            None => Ok(Response::EMPTY),
        }
    }

    async fn cancellation(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let action = live(&actions, number)?.filter(|action| to_do(action) == ToDo::Cancel);
        action.ok_or(Refusal::NotActive { number })?;
        Ok(Response { body: Some(document::cancellation(number)), ..Response::EMPTY })
    }

    async fn cancellation_feedback(&self, at: At<'_>, number: ActionNumber) -> Result<Response, Refusal> {
        let read = feedback::read(number, at.body)?;
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let Some(action) = live(&actions, number)? else { return Ok(Response::EMPTY) };
        match read.cancellation() {
            Cancellation::Acknowledged => {
                self.report(at, DeviceReport::StopAcknowledged { key: action.deployment.key() }).await
            }
            Cancellation::Refused => {
                self.refused.add(&at.cancellation(number));
                Ok(Response::EMPTY)
            }
            Cancellation::Pending => Ok(Response::EMPTY),
        }
    }

    async fn attributes(&self, at: At<'_>) -> Result<Response, Refusal> {
        let report = attributes::read(at.body)?;
        let response = match report {
            Some(report) => self.report(at, report).await?,
            None => {
                // Only devices of the tenant are remembered.
                self.rollouts.device_actions(at.tenant, at.device).await?;
                Response::EMPTY
            }
        };
        self.known.add(&at.name());
        Ok(response)
    }

    async fn installed(&self, at: At<'_>) -> Result<Response, Refusal> {
        let read: Installed = read_object(at.body)
            .map_err(|error| Refusal::Malformed { what: "installed update", why: error.to_string() })?;
        let actions = self.rollouts.device_actions(at.tenant, at.device).await?;
        let named = |action: &&DeviceAction| action.offer.name.as_str() == read.name;
        let Some(action) = actions.live.iter().find(named) else {
            return Err(Refusal::NoSuchUpdate { name: read.name });
        };
        let mut item = ReportedVersion::new(action.deployment.component.clone(), read.version);
        item.spec = action.reported_as;
        // The version is the one that runs; that the device was started since is not said.
        self.report(at, DeviceReport::Versions { restarted: false, number: None, items: vec![item] }).await
    }

    async fn report(&self, at: At<'_>, report: DeviceReport) -> Result<Response, Refusal> {
        match self.rollouts.report(at.tenant, at.device, report).await {
            Ok(answer) => Ok(Response { changed: answer == ReportAnswer::Taken, ..Response::EMPTY }),
            // The offer was replaced meanwhile.
            Err(RolloutError::NoSuchOffer { .. }) => Ok(Response::EMPTY),
            Err(error) => Err(error.into()),
        }
    }

    fn address(&self, at: At<'_>) -> String {
        format!("{}/{}/controller/v1/{}", self.base, at.tenant, at.device)
    }
}

/// Returns the live action of a number; `None` where it has ended.
fn live(actions: &DeviceActions, number: ActionNumber) -> Result<Option<&DeviceAction>, Refusal> {
    if number > actions.last || number < ActionNumber::FIRST {
        return Err(Refusal::NoSuchAction { number });
    }
    Ok(actions.live.iter().find(|action| action.number == number))
}

/// The device that asks, and the body that it sent.
#[derive(Clone, Copy)]
struct At<'a> {
    tenant: &'a Tenant,
    device: &'a Id,
    body: &'a [u8],
}

impl At<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.tenant, self.device)
    }

    fn cancellation(&self, number: ActionNumber) -> String {
        format!("{}/{}/{number}", self.tenant, self.device)
    }
}

#[derive(Deserialize)]
struct Installed {
    name: String,
    version: String,
}

/// The digests of some names, as many as fit.
#[derive(Clone, Default)]
struct Remembered(Arc<Mutex<HashSet<u128>>>);

impl Remembered {
    fn digest(name: &str) -> u128 {
        Sha256::of(name.as_bytes()).0.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    fn has(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Self::digest(name))
    }

    fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= REMEMBERED {
            names.clear();
        }
        names.insert(Self::digest(name));
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> Clone for DeviceInterface<R, B, L> {
    fn clone(&self) -> Self {
        Self {
            rollouts: self.rollouts.clone(),
            base: self.base.clone(),
            polling: self.polling,
            links: self.links.clone(),
            known: self.known.clone(),
            refused: self.refused.clone(),
        }
    }
}

impl<R: ?Sized, B: ?Sized, L: ?Sized> fmt::Debug for DeviceInterface<R, B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceInterface").field("base", &self.base).finish_non_exhaustive()
    }
}
