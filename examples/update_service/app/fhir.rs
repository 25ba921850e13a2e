//! The FHIR interface: read, version read, search, create, update, delete.

use super::answer::{self, Answer, Problem, Result, http_date, json, set};
use super::place::{AtKey, AtTenant, AtType, AtVersion, TakesJson, body_is_json, client_has, if_match, one};
use super::search::Request;
use super::{App, Shared};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use fhir_devices::element::ReadMode;
use fhir_devices::issue::Kind;
use fhir_devices::primitive::Id;
use fhir_devices::store::{Key, Precondition, ResourceType, StoreError, Stored, Tenant, Tenanted, Version, Write};
use fhir_devices::validate::check;
use fhir_devices::{Device, DeviceComponent, DeviceMetric, OperationOutcome, Report, Resource, Severity, Valid};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");
const PREFER: HeaderName = HeaderName::from_static("prefer");

type Body = std::result::Result<Bytes, BytesRejection>;

/// The resource of a version, typed.
pub(crate) fn typed(version: &Version) -> Result<Resource> {
    let read = match version.key.resource_type() {
        ResourceType::Device => Device::from_version(version).map(Resource::from),
        ResourceType::DeviceComponent => DeviceComponent::from_version(version).map(Resource::from),
        ResourceType::DeviceMetric => DeviceMetric::from_version(version).map(Resource::from),
        _ => Err(StoreError::Unsupported { what: "resources of this type" }),
    };
    read.map_err(|error| Problem::of_store(&error, &version.key))
}

/// `GET TYPE/ID`
pub(crate) async fn read(
    State(app): State<Shared>,
    AtKey(tenant, key): AtKey,
    _: TakesJson,
    headers: HeaderMap,
) -> Result {
    let version = app.tenanted(&tenant).read(&key).await.map_err(|error| Problem::of_store(&error, &key))?;
    with_version(&version, &headers)
}

/// `GET TYPE/ID/_history/VID`
pub(crate) async fn vread(
    State(app): State<Shared>,
    AtVersion(tenant, key, version): AtVersion,
    _: TakesJson,
    headers: HeaderMap,
) -> Result {
    let found = app.tenanted(&tenant).vread(&key, version).await;
    let what = format_args!("{key}/_history/{version}").to_string();
    let found = found.map_err(|error| Problem::of_store(&error, what))?;
    if found.is_deleted() {
        return Err(Problem::of_store(&StoreError::Gone { at: version }, &key));
    }
    with_version(&found, &headers)
}

fn with_version(version: &Version, headers: &HeaderMap) -> Result {
    let tag = version.version.etag();
    let mut answer = if client_has(headers, &tag) {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        json(StatusCode::OK, typed(version)?.to_json())
    };
    stamp(&mut answer, version);
    Ok(answer)
}

/// The version, in the headers.
fn stamp(answer: &mut Answer, version: &Version) {
    set(answer, header::ETAG, version.version.etag());
    set(answer, header::LAST_MODIFIED, http_date(version.last_updated));
}

/// The answer to a write: the resource as it now is, or less where the client prefers that.
pub(crate) fn written(status: StatusCode, tenant: &Tenant, version: &Version, headers: &HeaderMap) -> Result {
    let prefer = one(headers, &PREFER).unwrap_or_default();
    let mut answer = if prefer.contains("return=minimal") {
        answer::empty(status)
    } else if prefer.contains("return=OperationOutcome") {
        let words = format!("{} is now in version {}", version.key, version.version);
        json(status, OperationOutcome::of(Severity::Information, Kind::Informational, &words).to_json())
    } else {
        json(status, typed(version)?.to_json())
    };
    stamp(&mut answer, version);
    set(&mut answer, header::LOCATION, format_args!("/{tenant}/fhir/{}/_history/{}", version.key, version.version));
    Ok(answer)
}

/// `GET TYPE?...`
pub(crate) async fn search(
    State(app): State<Shared>,
    AtType(tenant, kind): AtType,
    _: TakesJson,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result {
    found(&app, &tenant, kind, &query.unwrap_or_default(), &headers).await
}

/// `POST TYPE/_search`, with the parameters in the body, the address, or both.
pub(crate) async fn search_by_post(
    State(app): State<Shared>,
    AtType(tenant, kind): AtType,
    _: TakesJson,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result {
    let body = whole(body)?;
    if !one(&headers, &header::CONTENT_TYPE).unwrap_or_default().starts_with("application/x-www-form-urlencoded") {
        let words = "the parameters of a search come as application/x-www-form-urlencoded";
        return Err(Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", words));
    }
    let body = std::str::from_utf8(&body).map_err(|_| Problem::bad("search", "the parameters are not UTF-8"))?;
    let query = [query.as_deref().unwrap_or_default(), body].join("&");
    found(&app, &tenant, kind, &query, &headers).await
}

async fn found(app: &App, tenant: &Tenant, kind: ResourceType, query: &str, headers: &HeaderMap) -> Result {
    let lenient = one(headers, &PREFER).unwrap_or_default().contains("handling=lenient");
    let base = app.fhir_base(tenant);
    let request = Request::read(kind, query, &base, lenient)?;
    let hits = request.run(app, tenant).await?;
    Ok(json(StatusCode::OK, request.bundle(&hits, &base)?.to_json()))
}

/// `PUT TYPE/ID`
pub(crate) async fn update(
    State(app): State<Shared>,
    AtKey(tenant, key): AtKey,
    _: TakesJson,
    headers: HeaderMap,
    body: Body,
) -> Result {
    body_is_json(&headers)?;
    let when = if_match(&headers)?;
    let resource = document(key.resource_type(), &whole(body)?)?;
    match resource.id() {
        Some(id) if id == key.id() => {}
        Some(id) => {
            return Err(Problem::bad("id", format!("the resource has the id `{id}`, and the address `{}`", key.id())));
        }
        None => {
            return Err(Problem::bad("id", format!("the resource has no id; `{}` of the address is wanted", key.id())));
        }
    }
    let store = app.tenanted(&tenant);
    let (status, version) = match when {
        Some(when) => (StatusCode::OK, store.write(valid_write(resource, when)?).await),
        None => put(&store, &key, &resource).await?,
    };
    let version = match version {
        // `If-Match: *`
        Err(StoreError::NotFound | StoreError::Gone { .. }) => Err(StoreError::Conflict { current: None }),
        other => other,
    };
    let version = version.map_err(|error| Problem::of_store(&error, &key))?;
    written(status, &tenant, &version, &headers)
}

/// Creates or replaces, and knows which of the two it did.
async fn put(
    store: &Tenanted,
    key: &Key,
    resource: &Resource,
) -> Result<(StatusCode, fhir_devices::store::Result<Version>)> {
    let mut tries = 5;
    loop {
        tries -= 1;
        let (status, when) = match store.read(key).await {
            Ok(_) => (StatusCode::OK, Precondition::Exists),
            Err(StoreError::NotFound | StoreError::Gone { .. }) => (StatusCode::CREATED, Precondition::Absent),
            Err(error) => return Err(Problem::of_store(&error, key)),
        };
        let made = store.write(valid_write(resource.clone(), when)?).await;
        let raced =
            matches!(made, Err(StoreError::AlreadyExists { .. } | StoreError::NotFound | StoreError::Gone { .. }));
        if !raced || tries == 0 {
            return Ok((status, made));
        }
    }
}

/// `POST TYPE`
pub(crate) async fn create(
    State(app): State<Shared>,
    AtType(tenant, kind): AtType,
    _: TakesJson,
    headers: HeaderMap,
    body: Body,
) -> Result {
    body_is_json(&headers)?;
    let mut resource = document(kind, &whole(body)?)?;
    let id = new_id()?;
    match &mut resource {
        Resource::Device(device) => device.set_logical_id(id),
        Resource::DeviceComponent(component) => component.set_logical_id(id),
        Resource::DeviceMetric(metric) => metric.set_logical_id(id),
        _ => {}
    }
    let write = valid_write(resource, Precondition::Absent)?;
    let key = write.key.clone();
    // Two conditional creations must not both find nothing; this process is the only writer of its store.
    let turn = app.creating.lock().await;
    if let Some(query) = headers.get(&IF_NONE_EXIST)
        && let Some(version) = existing(&app, &tenant, kind, query.to_str().unwrap_or_default()).await?
    {
        return written(StatusCode::OK, &tenant, &version, &headers);
    }
    let version = app.tenanted(&tenant).write(write).await;
    drop(turn);
    written(StatusCode::CREATED, &tenant, &version.map_err(|error| Problem::of_store(&error, key))?, &headers)
}

/// The one resource that makes a conditional creation needless.
async fn existing(app: &App, tenant: &Tenant, kind: ResourceType, query: &str) -> Result<Option<Version>> {
    let query = query.split_once('?').map_or(query, |(_, query)| query);
    let request = Request::read(kind, query, &app.fhir_base(tenant), false)?;
    if !request.has_filters() {
        return Err(Problem::bad("if-none-exist", "`If-None-Exist` names no search parameter"));
    }
    let mut hits = request.run(app, tenant).await?;
    if hits.total > 1 {
        let words = format!("{} resources meet `If-None-Exist`, and at most one may", hits.total);
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, Kind::Duplicate, "if-none-exist", words));
    }
    Ok(hits.page.pop())
}

/// `DELETE TYPE/ID`
pub(crate) async fn delete(State(app): State<Shared>, AtKey(tenant, key): AtKey, headers: HeaderMap) -> Result {
    let when = if_match(&headers)?.unwrap_or(Precondition::Exists);
    let deleted = app.tenanted(&tenant).delete(key.clone(), when).await;
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    match deleted {
        Ok(version) => stamp(&mut answer, &version),
        // What is not there any more need not be deleted.
        Err(StoreError::NotFound | StoreError::Gone { .. }) => {}
        Err(error) => return Err(Problem::of_store(&error, &key)),
    }
    Ok(answer)
}

/// `GET metadata`
pub(crate) async fn metadata(State(app): State<Shared>, AtTenant(tenant): AtTenant, _: TakesJson) -> Answer {
    json(StatusCode::OK, super::metadata::statement(&app.fhir_base(&tenant)))
}

/// What a later version brings.
pub(crate) async fn not_yet(AtTenant(_): AtTenant) -> Problem {
    let words = "histories, batches and transactions are not supported yet";
    Problem::unsupported(StatusCode::NOT_IMPLEMENTED, "not-yet", words)
}

/// A write whose target is a search.
pub(crate) async fn no_conditional_write(AtType(_, kind): AtType) -> Problem {
    let words = format!("a write of a {kind} names its id: conditional updates and deletions are not supported");
    Problem::unsupported(StatusCode::BAD_REQUEST, "conditional", words)
}

/// The whole body, if it is not too large.
fn whole(body: Body) -> Result<Bytes> {
    body.map_err(|refused| {
        if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let words = format!("the body is larger than {} bytes", super::MAX_DOCUMENT);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLong, "too-large", words)
        } else {
            Problem::bad("body", "the body broke off")
        }
    })
}

/// Reads a resource strictly, with every finding.
fn document(kind: ResourceType, body: &[u8]) -> Result<Resource> {
    let checked = check(body, ReadMode::Strict);
    let found = match checked.resource {
        Some(resource) if !checked.report.has_errors() => resource,
        _ => return Err(Problem::document(&checked.report)),
    };
    if found.resource_type() != kind.as_str() {
        let words = format!("the resource is a {}, and the address wants a {kind}", found.resource_type());
        return Err(Problem::bad("resource-type", words));
    }
    Ok(found)
}

/// The write of a resource that was found valid.
pub(crate) fn valid_write(resource: Resource, when: Precondition) -> Result<Write> {
    fn made<T: Stored + fhir_devices::Validate>(value: T, when: Precondition) -> Result<Write> {
        let valid = Valid::new(value).map_err(|report: Report| Problem::document(&report))?;
        valid.write(when).map_err(|error| Problem::of_store(&error, T::TYPE))
    }
    match resource {
        Resource::Device(device) => made(*device, when),
        Resource::DeviceComponent(component) => made(*component, when),
        Resource::DeviceMetric(metric) => made(*metric, when),
        other => Err(Problem::bad("resource-type", format!("no {} is kept here", other.resource_type()))),
    }
}

/// An id that nobody guesses and that was never given: 128 bits of the randomness behind the standard library's maps.
fn new_id() -> Result<Id> {
    let word = || RandomState::new().build_hasher().finish();
    Id::new(format!("{:016x}{:016x}", word(), word())).map_err(|error| Problem::bad("id", error))
}
