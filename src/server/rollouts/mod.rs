//! Releases, rollouts and the interface of devices: the routes over [`RolloutService`](crate::service::RolloutService),
//! and the background work.

mod ddi;
mod device;
mod drive;
mod duration;
mod gauges;
mod releases;
pub(super) mod request;
mod steer;
mod task;

pub(super) use ddi::signed_link;
pub(super) use drive::{Wake, run};
pub(super) use gauges::Gauges;

use super::answer::{Problem, Result};
use super::place::AtTenant;
use super::{MAX_SMALL, Shared, UpdateServer};
use crate::datatype::Coding;
use crate::issue::IssueType;
use crate::manifest::ReleaseId;
use crate::primitive::{CanonicalBase, CanonicalName};
use crate::publish::{OfferKey, RegionId};
use crate::resource::Device;
use crate::service::{ReceiveError, RolloutError, RolloutService};
use crate::store::{PageToken, Tenant};
use crate::update::deployment::Refusal;
use crate::update::rollout::{DeploymentId, RolloutId};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::routing::{any, get, post};
use std::num::NonZeroU32;
use std::str::FromStr;
use url::form_urlencoded;

/// Returns the routes.
pub(super) fn routes() -> Router<Shared> {
    let small = || DefaultBodyLimit::max(MAX_SMALL * 8);
    Router::new()
        .route("/{tenant}/releases", get(releases::list).post(releases::receive).layer(DefaultBodyLimit::disable()))
        .route("/{tenant}/releases/{id}", get(releases::show).delete(releases::withdraw))
        .route("/{tenant}/releases/{id}/behind", get(releases::behind))
        .route("/{tenant}/rollouts", get(steer::list).post(steer::create).layer(small()))
        .route("/{tenant}/rollouts/{id}", get(steer::show))
        .route("/{tenant}/rollouts/{id}/measures", get(steer::measures))
        .route("/{tenant}/rollouts/{id}/deployments", get(steer::deployments))
        .route("/{tenant}/rollouts/{id}/deployments/{deployment}/explain", get(steer::explain))
        .route("/{tenant}/rollouts/{id}/{action}", post(steer::act).layer(small()))
        .route("/{tenant}/devices/{device}/offers", get(device::offers))
        .route("/{tenant}/devices/{device}/reports", post(device::report).layer(small()))
        .route("/{tenant}/offers/{key}/{file}", get(device::gate))
        .merge(device_interface())
        .route("/{tenant}/fhir/Task/{deployment}", get(task::read))
        .route("/{tenant}/fhir/AuditEvent", get(task::events))
        .route("/{tenant}/fhir/Provenance", get(task::provenances))
}

/// Returns the routes of the device interface.
fn device_interface() -> Router<Shared> {
    let handler = || any(ddi::handle).layer(DefaultBodyLimit::max(crate::ddi::MAX_BODY));
    Router::new()
        .route("/{tenant}/controller/v1/{device}", handler())
        .route("/{tenant}/controller/v1/{device}/{*rest}", handler())
}

/// Returns the region in the tags of a device.
pub(super) fn region_of(base: &CanonicalBase, device: &Device) -> Option<RegionId> {
    let system = base.text(CanonicalName::Region);
    let mut tags = device.meta.as_ref()?.tag.iter();
    let code = |tag: &Coding| {
        let own = tag.system.as_ref()?.get()?.as_str() == system;
        own.then(|| tag.code.as_ref()?.get()?.as_str().parse().ok()).flatten()
    };
    tags.find_map(code)
}

impl UpdateServer {
    /// Returns the rollout service of all tenants.
    pub(super) fn rollouts(&self) -> &RolloutService {
        self.rollouts.get_or_init(|| {
            let (base, canonical) = (self.base.clone(), self.canonical.clone());
            let service = RolloutService::new(self.updates.clone())
                .with_region_of(move |_, device| region_of(&canonical, device))
                .with_links(move |tenant, key, file| link(&base, tenant, key, file.as_str()));
            let regions = self.regions.iter();
            regions.fold(service, |service, (name, region)| service.with_region(name.clone(), region.clone()))
        })
    }
}

/// Returns the URL at which a device requests a file of an offer.
fn link(base: &str, tenant: &Tenant, key: &OfferKey, file: &str) -> Option<crate::primitive::Uri> {
    let mut url = url::Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend([tenant.as_str(), "offers", &key.to_string(), file]);
    Some(url.into())
}

/// The path parameters of a request, beside the tenant.
struct Path(RawPathParams);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Problem> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        found.map(Self).map_err(|_| Problem::bad("path", "the path is not UTF-8"))
    }
}

impl Path {
    fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// Parses the path parameter of this name; 404 where it is invalid.
    fn part<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T> {
        self.text(name).parse().map_err(Problem::not_found)
    }

    fn release(&self) -> Result<ReleaseId> {
        self.part("id")
    }

    fn rollout(&self) -> Result<RolloutId> {
        self.part("id")
    }

    fn deployment(&self) -> Result<DeploymentId> {
        self.part("deployment")
    }
}

/// The parameters of a query.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        let pairs: Vec<_> = pairs.take(64).collect();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let words = format!("the parameter `{name}` is not known, wanted one of {}", known.join(", "));
            return Err(Problem::bad("parameter", words));
        }
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn value<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        let wrong = |error| Problem::bad("parameter", format_args!("`{name}`: {error}"));
        self.text(name).map(|text| text.parse().map_err(wrong)).transpose()
    }

    /// Returns the page size, and the token of the page.
    pub(super) fn page(&self) -> Result<(NonZeroU32, Option<PageToken>)> {
        const MOST: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
        const USUAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);
        Ok((self.value::<NonZeroU32>("_count")?.unwrap_or(USUAL).min(MOST), self.value("_page")?))
    }

    /// Returns the URL of the first page.
    pub(super) fn first(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, value)| name != "_page" && !value.is_empty()));
        format!("{path}?{}", query.finish())
    }

    /// Returns the URL of the next page.
    pub(super) fn next(&self, path: &str, page: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, _)| name != "_page"));
        query.append_pair("_page", page);
        format!("{path}?{}", query.finish())
    }
}

/// Adds the link to the next page to the answer of a list.
pub(super) fn with_next(mut answer: super::answer::Answer, next: Option<&str>) -> super::answer::Answer {
    if let Some(next) = next {
        super::answer::set(&mut answer, header::LINK, format!("<{next}>; rel=\"next\""));
    }
    answer
}

/// Converts the error of a refused call to a problem, with the status that the client acts on.
pub(super) fn problem(error: &RolloutError) -> Problem {
    use StatusCode as S;
    let new = |status, kind, rule| Problem::new(status, kind, rule, error);
    match error {
        RolloutError::NoSuchRelease { .. }
        | RolloutError::NoSuchRollout { .. }
        | RolloutError::NoSuchDeployment { .. }
        | RolloutError::NoSuchOffer { .. }
        | RolloutError::NoSuchFile { .. }
        | RolloutError::NoSuchDevice { .. }
        | RolloutError::NoSuchComponent { .. } => Problem::not_found(error),
        RolloutError::InvalidRelease(_) => new(S::BAD_REQUEST, IssueType::Value, "invalid-release"),
        RolloutError::InvalidSpec(_) => new(S::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, "invalid-rollout"),
        RolloutError::UnknownRegion { .. } => new(S::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, "unknown-region"),
        RolloutError::InvalidSearch { .. } => new(S::UNPROCESSABLE_ENTITY, IssueType::Value, "invalid-search"),
        RolloutError::InvalidVersion { .. } => new(S::UNPROCESSABLE_ENTITY, IssueType::Value, "invalid-version"),
        RolloutError::NotReleased { .. } => new(S::CONFLICT, IssueType::Conflict, "not-released"),
        RolloutError::NothingAttached { .. } => new(S::CONFLICT, IssueType::Conflict, "nothing-attached"),
        RolloutError::Release { .. } => new(S::CONFLICT, IssueType::Conflict, "release-state"),
        RolloutError::Rollout { .. } => new(S::CONFLICT, IssueType::Conflict, "rollout-state"),
        RolloutError::Deployment { refusal: Refusal::Gone, .. } => new(S::GONE, IssueType::NotFound, "offer-gone"),
        RolloutError::Deployment { refusal: Refusal::NotOpen, .. } => {
            new(S::SERVICE_UNAVAILABLE, IssueType::Transient, "rollout-stopped").retry_after(60)
        }
        RolloutError::Deployment { refusal: Refusal::GateClosed, .. } => {
            new(S::TOO_EARLY, IssueType::Transient, "gate-closed").retry_after(60)
        }
        RolloutError::Deployment { .. } => new(S::CONFLICT, IssueType::Conflict, "deployment-state"),
        RolloutError::Contended { .. } => new(S::SERVICE_UNAVAILABLE, IssueType::LockError, "contended").retry_after(1),
        RolloutError::Bytes(error) => bytes_problem(error),
        RolloutError::Store(error) => Problem::of_store(error, "the rollout"),
    }
}

/// Converts the error of refused release bytes to a problem.
fn bytes_problem(error: &ReceiveError) -> Problem {
    use StatusCode as S;
    let new = |status, kind, rule| Problem::new(status, kind, rule, error);
    match error {
        ReceiveError::DigestMismatch { .. } => new(S::UNPROCESSABLE_ENTITY, IssueType::Value, "digest-mismatch"),
        ReceiveError::TooLarge { .. } => new(S::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-large"),
        ReceiveError::EmptyFile => new(S::BAD_REQUEST, IssueType::Required, "empty-file"),
        ReceiveError::Body(_) => new(S::BAD_REQUEST, IssueType::Incomplete, "file-broke-off"),
        ReceiveError::Resources(source) | ReceiveError::Blobs(source) | ReceiveError::Ledger(source) => {
            Problem::of_store(source, "the release")
        }
        _ => {
            super::answer::report_fault(error);
            new(S::INTERNAL_SERVER_ERROR, IssueType::Exception, "fault")
        }
    }
}
