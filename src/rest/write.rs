//! Create, update and delete, each with its conditional form.

use super::format::body_version;
use super::header::{Return, if_match, prefers};
use super::problem::{Problem, Result};
use super::query::Query;
use super::server::of_version;
use super::{Request, Response, Server};
use crate::convert;
use crate::issue::{Kind, Severity};
use crate::primitive::Id;
use crate::resource::{OperationOutcome, Resource};
use crate::store::{
    Key, Precondition, ResourceStore, ResourceType, Sha256, StoreError, Stored as _, Version, WriteId, random_number,
    typed,
};
use crate::validate::Valid;
use std::fmt::Write as _;

/// The number of tries of a write that is overtaken by others.
pub(super) const TRIES: u32 = 8;

/// The same for the update of one resource, of which many may be under way at a time: one of them succeeds at each try.
pub(super) const UPDATE_TRIES: u32 = 32;

pub(super) fn of_type(kind: ResourceType, resource: &Resource) -> Result<()> {
    if resource.resource_type() == kind.as_str() {
        return Ok(());
    }
    let words = format!("the resource is a {}, and the address wants a {kind}", resource.resource_type());
    Err(Problem::bad("resource-type", words))
}

/// Gives a resource the id of a key.
pub(super) fn name(resource: Valid<Resource>, key: &Key) -> Result<Valid<Resource>> {
    let id = Id::new(key.id().as_str()).map_err(|error| Problem::bad("id", error))?;
    let mut resource = resource.into_inner();
    match &mut resource {
        Resource::Device(device) => device.set_logical_id(id),
        Resource::DeviceComponent(component) => component.set_logical_id(id),
        Resource::DeviceMetric(metric) => metric.set_logical_id(id),
        _ => {}
    }
    // No rule is about the id of a resource.
    Ok(Valid::known(resource))
}

/// A name for one write.
pub(super) fn write_id() -> Result<WriteId> {
    Ok(WriteId(unique()?))
}

/// A number that was never given before.
fn unique() -> Result<u128> {
    random_number().map_err(|error| Problem::of_store(&error, "a new name"))
}

/// The key of a resource that is new.
pub(super) fn new_key(kind: ResourceType) -> Result<Key> {
    Ok(Key::new(kind, format!("{:032x}", unique()?))?)
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// The resource of a request: that of the entry of a batch, which was validated with its Bundle, or else the body.
    fn sent(
        &self,
        version: convert::Version,
        request: &Request<'_>,
        sent: Option<Valid<Resource>>,
    ) -> Result<Valid<Resource>> {
        sent.map_or_else(|| self.document(version, &request.body), Ok)
    }

    /// Reads the query of a condition, which must ask for something.
    pub(super) fn condition(&self, kind: ResourceType, query: &str, rule: &str) -> Result<Query> {
        let query = query.split_once('?').map_or(query, |(_, query)| query);
        let read = Query::read(kind, query, &self.setting(), false)?;
        if read.filters.is_empty() {
            return Err(Problem::bad(rule, "the condition names no search parameter"));
        }
        Ok(read)
    }

    /// The one resource that meets a condition, if there is one.
    pub(super) async fn only(&self, query: &Query, rule: &str) -> Result<Option<Version>> {
        let mut found = self.finder(query).some(2).await?;
        if found.len() > 1 {
            let words = "several resources meet the condition, and at most one may";
            return Err(Problem::new(412, Kind::Duplicate, rule, words));
        }
        Ok(found.pop())
    }

    /// The key under which a resource is created if nothing meets a condition. Everyone who asks with the same words is
    /// given the same one, so that of several creations at a time one alone succeeds, in whichever process they are;
    /// `None` where the key is taken by something else.
    pub(super) async fn key_for(&self, query: &Query, turn: u32) -> Result<Candidate> {
        if turn >= TRIES / 2 {
            return Ok(Candidate::Free(new_key(query.resource_type)?));
        }
        let mut asked: Vec<String> = query.used.iter().map(|(name, value)| format!("{name}={value}")).collect();
        asked.sort();
        let text = format!("{}\n{}\n{turn}\n{}", self.store.tenant(), query.resource_type, asked.join("\n"));
        let digest = Sha256::of(text.as_bytes());
        let mut id = String::with_capacity(32);
        for byte in digest.0.iter().take(16) {
            let _ = write!(id, "{byte:02x}");
        }
        let key = Key::new(query.resource_type, id)?;
        match self.store.read(&key).await {
            Err(StoreError::NotFound { .. }) => Ok(Candidate::Free(key)),
            Err(StoreError::Gone { .. }) => Ok(Candidate::Taken),
            Err(error) => Err(Problem::of_store(&error, key)),
            Ok(version) => {
                let resource = typed(&version).map_err(|error| Problem::of_store(&error, &key))?;
                let meant = query.filters.iter().all(|filter| filter.matches(Some(&resource), &version, &self.base));
                Ok(if meant { Candidate::Found(Box::new(version)) } else { Candidate::Taken })
            }
        }
    }

    /// Creates a resource unless one meets the condition.
    async fn create_once(&self, resource: &Valid<Resource>, query: &Query, rule: &str) -> Result<(u16, Version)> {
        for turn in 0..TRIES {
            if let Some(found) = self.only(query, rule).await? {
                return Ok((200, found));
            }
            let key = match self.key_for(query, turn).await? {
                Candidate::Free(key) => key,
                Candidate::Found(version) => return Ok((200, *version)),
                Candidate::Taken => continue,
            };
            let named = name(resource.clone(), &key)?;
            let write = self.client_write(named, None, Precondition::Absent).await?;
            match self.store.write_resolved(write).await {
                Ok(version) => return Ok((201, version)),
                // Somebody else was faster: what they made is found at the next turn.
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(Problem::of_store(&error, key)),
            }
        }
        Err(overtaken())
    }

    /// `POST TYPE`, with `If-None-Exist` or without.
    pub(super) async fn create(
        &self,
        request: &Request<'_>,
        kind: ResourceType,
        sent: Option<Valid<Resource>>,
    ) -> Result<Response> {
        let version = body_version(request)?;
        let (kind, resource) = self.of_type_in(version, kind, self.sent(version, request, sent)?)?;
        if let Some(condition) = request.one("if-none-exist") {
            let query = self.condition(kind, condition, "if-none-exist")?;
            let (status, version) = self.create_once(&resource, &query, "if-none-exist").await?;
            return self.written(request, status, &version).await;
        }
        let key = new_key(kind)?;
        let resource = name(resource, &key)?;
        let made = self.store.write_resolved(self.client_write(resource, None, Precondition::Absent).await?).await;
        self.written(request, 201, &made.map_err(|error| Problem::of_store(&error, key))?).await
    }

    /// `PUT TYPE/ID`, of the version that `If-Match` names, or only where there is none yet: `If-None-Match: *`.
    pub(super) async fn update(
        &self,
        request: &Request<'_>,
        key: &Key,
        sent: Option<Valid<Resource>>,
    ) -> Result<Response> {
        let version = body_version(request)?;
        let when = if_match(request)?;
        let new = request.one("if-none-match") == Some("*");
        let (key, resource) = self.at_key_in(version, key, self.sent(version, request, sent)?).await?;
        let key = &key;
        let named = matches!(when, Some(Precondition::Version(_)));
        for _ in 0..UPDATE_TRIES {
            let stored = match self.store.read(key).await {
                Ok(version) => Some(version),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => None,
                Err(error) => return Err(Problem::of_store(&error, key)),
            };
            // Which of the two it was, the client is told.
            let (status, condition) = match (&stored, when) {
                (Some(_), _) if new => return Err(exists_already(key)),
                (None, Some(_)) => return Err(unmatched(StoreError::not_found(), key)),
                (Some(_), when) => (200, when.unwrap_or(Precondition::Exists)),
                (None, None) => (201, Precondition::Absent),
            };
            let write = self.client_write(resource.clone(), stored.as_ref(), condition).await?;
            match self.store.write_resolved(write).await {
                Ok(version) => return self.written(request, status, &version).await,
                // It is another one by now.
                Err(
                    StoreError::AlreadyExists { .. }
                    | StoreError::Conflict { .. }
                    | StoreError::NotFound { .. }
                    | StoreError::Gone { .. },
                ) if !named => {}
                Err(error) => return Err(unmatched(error, key)),
            }
        }
        Err(overtaken())
    }

    /// `PUT TYPE?condition`
    pub(super) async fn update_where(
        &self,
        request: &Request<'_>,
        kind: ResourceType,
        sent: Option<Valid<Resource>>,
    ) -> Result<Response> {
        let version = body_version(request)?;
        let (kind, resource) = self.of_type_in(version, kind, self.sent(version, request, sent)?)?;
        let query = self.condition(kind, &request.query, "conditional")?;
        let when = if_match(request)?;
        for _ in 0..TRIES {
            let Some(found) = self.only(&query, "conditional").await? else {
                if when.is_some() {
                    return Err(unmatched(StoreError::not_found(), &query.resource_type));
                }
                match self.create_once(&resource, &query, "conditional").await? {
                    // It came into being meanwhile, and is to be updated.
                    (200, _) => continue,
                    (status, version) => return self.written(request, status, &version).await,
                }
            };
            if resource.id().is_some() {
                has_id_of(&resource, &found.key)?;
            }
            let named = name(resource.clone(), &found.key)?;
            let condition = when.unwrap_or(Precondition::Version(found.version));
            let write = self.client_write(named, Some(&found), condition).await?;
            match self.store.write_resolved(write).await {
                Ok(version) => return self.written(request, 200, &version).await,
                Err(StoreError::Conflict { .. }) if !matches!(when, Some(Precondition::Version(_))) => {}
                Err(error) => return Err(unmatched(error, &found.key)),
            }
        }
        Err(overtaken())
    }

    /// `DELETE TYPE/ID`
    pub(super) async fn delete(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        let when = if_match(request)?;
        match self.store.delete(key.clone(), when.unwrap_or(Precondition::Exists)).await {
            Ok(version) => Ok(of_version(Response::empty(204), &version)),
            // What is not there any more need not be deleted.
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(Response::empty(204)),
            Err(error) => Err(Problem::of_store(&error, key)),
        }
    }

    /// `DELETE TYPE?condition`
    pub(super) async fn delete_where(&self, request: &Request<'_>, kind: ResourceType) -> Result<Response> {
        let query = self.condition(kind, &request.query, "conditional")?;
        let when = if_match(request)?;
        for _ in 0..TRIES {
            let Some(found) = self.only(&query, "conditional").await? else { return Ok(Response::empty(204)) };
            let wanted = when.unwrap_or(Precondition::Version(found.version));
            match self.store.delete(found.key.clone(), wanted).await {
                Ok(version) => return Ok(of_version(Response::empty(204), &version)),
                Err(StoreError::Conflict { .. } | StoreError::NotFound { .. } | StoreError::Gone { .. })
                    if when.is_none() => {}
                Err(error) => return Err(unmatched(error, &found.key)),
            }
        }
        Err(overtaken())
    }

    /// The answer to a write: the resource as it now is, or less where the client prefers that.
    pub(super) async fn written(&self, request: &Request<'_>, status: u16, version: &Version) -> Result<Response> {
        let response = match prefers(request) {
            Return::Minimal => Response::empty(status),
            Return::Outcome => {
                let words = format!("{} is now in version {}", version.key, version.version);
                let outcome = OperationOutcome::of(Severity::Information, Kind::Informational, &words);
                Response::json(status, outcome.to_json())
            }
            // What was written is written, also where it cannot be shown in the version that is asked for.
            Return::Representation => match self.translated(self.shown(version).await?) {
                Ok(body) => Response::json(status, body),
                Err(report) => Response::json(status, self.outcome_of(&report, &version.key)),
            },
        };
        Ok(self.placed(response, version))
    }

    /// The answer to a write that says where the resource is, and no more.
    pub(super) fn located(&self, status: u16, version: &Version) -> Response {
        let response = Response::empty(status);
        if version.is_deleted() { of_version(response, version) } else { self.placed(response, version) }
    }

    fn placed(&self, response: Response, version: &Version) -> Response {
        let place = format!("{}/{}/_history/{}", self.path(), version.key, version.version);
        of_version(response, version).with("location", place)
    }

    /// The path of the service, which is right whatever name a client has for the machine.
    fn path(&self) -> &str {
        let after_scheme = self.base.as_str().split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default()
    }
}

/// What stands under the key that a conditional creation would take.
pub(super) enum Candidate {
    /// Nothing.
    Free(Key),
    /// What meets the condition.
    Found(Box<Version>),
    /// Something else.
    Taken,
}

/// Checks that a resource has the id of its address.
pub(super) fn has_id_of(resource: &Resource, key: &Key) -> Result<()> {
    match resource.id() {
        Some(id) if id == key.id() => Ok(()),
        Some(id) => {
            let words = format!("the resource has the id `{id}`, and the address `{}`", key.id());
            Err(Problem::bad("id", words))
        }
        None => {
            let words = format!("the resource has no id; `{}` of the address is wanted", key.id());
            Err(Problem::bad("id", words))
        }
    }
}

/// The refusal of a write that names what must be there: what is not there does not match either.
pub(super) fn unmatched(error: StoreError, what: &dyn std::fmt::Display) -> Problem {
    match error {
        StoreError::NotFound { .. } | StoreError::Gone { .. } => Problem::of_store(&StoreError::conflict(None), what),
        error => Problem::of_store(&error, what),
    }
}

/// The refusal of a write whose resource must be new.
pub(super) fn exists_already(key: &Key) -> Problem {
    let words = format!("{key} exists already, and `If-None-Match` wants it new");
    Problem::new(412, Kind::Duplicate, "already-exists", words)
}

pub(super) fn overtaken() -> Problem {
    Problem::new(409, Kind::Conflict, "overtaken", "others changed the resource again and again: try once more")
}
