//! Create, update and delete, each with its conditional form.

use super::format::body_version;
use super::header::{Handling, IfMatch, Return, if_match, prefers};
use super::problem::{Problem, Result};
use super::query::Query;
use super::server::of_version;
use super::verb::posted;
use super::{Request, Response, Server};
use crate::convert;
use crate::issue::{IssueType, Severity};
use crate::primitive::Id;
use crate::resource::{OperationOutcome, Resource};
use crate::search::{Criterion, Parameter, ResourceType};
use crate::store::{
    Key, Precondition, ResourceStore, Search, Sha256, StoreError, Stored as _, Version, WriteId, random_number, typed,
};
use crate::validate::Valid;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::PoisonError;
use url::form_urlencoded;

/// The treatment of a deletion of a resource that others refer to.
///
/// ```
/// use fhir_devices::rest::ReferencedDeletion;
/// assert_eq!(ReferencedDeletion::default(), ReferencedDeletion::Warn);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferencedDeletion {
    /// The resource is deleted, and the response names the resources whose references break.
    #[default]
    Warn,
    /// The deletion is refused with 409. A reference that is written at the same moment is not seen.
    Refuse,
}

/// How many of those that refer to a resource are named.
const SHOWN: usize = 5;

fn listed(keys: &[Key]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The answer to a deletion.
pub(super) fn of_deletion(version: &Version, referring: &[Key]) -> Response {
    if referring.is_empty() {
        return of_version(Response::empty(204), version);
    }
    let words = format!("{} is deleted, and others still refer to it: {}", version.key, listed(referring));
    let outcome = OperationOutcome::of(Severity::Warning, IssueType::NotFound, &words);
    of_version(Response::json(200, outcome.to_json()), version)
}

/// The condition of a write over what was found.
fn over(when: Option<&IfMatch>, found: &Version) -> Precondition {
    when.map_or(Precondition::Version(found.version), |when| when.over(Some(found.version)))
}

/// Refuses a query where it would be taken for a condition, and is none.
pub(super) fn takes_no_condition(request: &Request<'_>) -> Result<()> {
    let mut named = form_urlencoded::parse(request.query.as_bytes()).filter(|(_, value)| !value.is_empty());
    let Some((name, _)) = named.find(|(name, _)| !OF_THE_ANSWER.contains(&&**name)) else { return Ok(()) };
    let words = if request.method == "POST" {
        format!("a creation takes no `{name}`: its condition stands in `If-None-Exist`")
    } else {
        format!("`{}` names one resource, and takes no condition `{name}`", request.path)
    };
    Err(Problem::bad("query", words))
}

/// The parameters that say how an answer is written.
pub(super) const OF_THE_ANSWER: [&str; 4] = ["_format", "_pretty", "_summary", "_elements"];

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

    /// Refuses a resource that does not meet the condition under which it is to be created: the next creation under the same
    /// condition would make another one.
    pub(super) fn meets_its_condition(&self, resource: &Resource, query: &Query, rule: &str) -> Result<()> {
        let unmet = query.filters.iter().find(|filter| filter.is_met_by(resource, &self.base) == Some(false));
        let Some(unmet) = unmet else { return Ok(()) };
        let words = format!("the resource does not meet the condition of its own creation: `{}`", unmet.param.name);
        Err(Problem::new(412, IssueType::BusinessRule, rule, words))
    }

    /// The parts that refer to a resource that is to be deleted, those aside that are deleted with it: some of them, where
    /// there are many.
    ///
    /// # Errors
    /// 409 where the service keeps what others refer to.
    pub(super) async fn referring_to(&self, key: &Key, with: &BTreeSet<Key>) -> Result<Vec<Key>> {
        let by = match key.resource_type() {
            ResourceType::Device => Parameter::Source,
            ResourceType::DeviceComponent => Parameter::Parent,
            ResourceType::DeviceMetric => return Ok(Vec::new()),
        };
        let forms = self.base.forms(&key.to_string());
        let any = Criterion::AnyOf(forms.iter().map(|form| Criterion::value(by, form)).collect());
        let limit = with.len().saturating_add(SHOWN).min(super::query::MAX_COUNT);
        let mut referring = Vec::new();
        for kind in [ResourceType::DeviceComponent, ResourceType::DeviceMetric] {
            let search = Search::new(kind).and(any.clone()).limit(u32::try_from(limit).unwrap_or(u32::MAX));
            let found = self.store.search(&search.without_bodies()).await;
            let found = found.map_err(|error| Problem::of_store(&error, "what refers to the resource"))?;
            self.spent.look(super::limits::CALL + found.items.len(), 0);
            let others = found.items.into_iter().map(|version| version.key);
            referring.extend(others.filter(|other| other != key && !with.contains(other)));
        }
        referring.truncate(SHOWN);
        if referring.is_empty() || self.referenced == ReferencedDeletion::Warn {
            return Ok(referring);
        }
        let words = format!("{key} is not deleted, as others refer to it: {}", listed(&referring));
        Err(Problem::new(409, IssueType::Conflict, "referenced", words))
    }

    /// Reads the query of a condition, which must ask for something.
    pub(super) fn condition(&self, kind: ResourceType, query: &str, rule: &str) -> Result<Query> {
        let query = query.split_once('?').map_or(query, |(_, query)| query);
        let read = Query::read(kind, query, &self.setting(), Handling::Strict)?;
        if read.filters.is_empty() && read.chains.is_empty() {
            return Err(Problem::bad(rule, "the condition names no search parameter"));
        }
        Ok(read)
    }

    /// The one resource that meets a condition, if there is one.
    pub(super) async fn only(&self, query: &Query, rule: &str) -> Result<Option<Version>> {
        let mut found = self.finder(query).await?.some(2).await?;
        if found.len() > 1 {
            let words = "several resources meet the condition, and at most one may";
            return Err(Problem::new(412, IssueType::Duplicate, rule, words));
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
                let mut meant =
                    query.filters.iter().all(|filter| filter.matches(Some(&resource), &version, &self.base));
                for chain in &query.chains {
                    let held = self.holds(query.resource_type, chain, std::slice::from_ref(&version)).await?;
                    meant &= held.first().is_some_and(|held| *held);
                }
                Ok(if meant { Candidate::Found(Box::new(version)) } else { Candidate::Taken })
            }
        }
    }

    /// Creates a resource unless one meets the condition.
    async fn create_once(
        &self,
        request: &Request<'_>,
        resource: &Valid<Resource>,
        query: &Query,
        rule: &str,
    ) -> Result<(u16, Version)> {
        for turn in 0..TRIES {
            if let Some(found) = self.only(query, rule).await? {
                return Ok((200, found));
            }
            self.meets_its_condition(resource, query, rule)?;
            let key = match self.key_for(query, turn).await? {
                Candidate::Free(key) => key,
                Candidate::Found(version) => return Ok((200, *version)),
                Candidate::Taken => continue,
            };
            let named = name(resource.clone(), &key)?;
            let mut write = self.client_write(named, None, Precondition::Absent).await?;
            if request.method == "POST" {
                write = write.with_id(posted(&key)?);
            }
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
        takes_no_condition(request)?;
        let version = body_version(request)?;
        let (kind, resource) = self.of_type_in(version, kind, self.sent(version, request, sent)?)?;
        if let Some(condition) = request.one("if-none-exist") {
            let query = self.condition(kind, condition, "if-none-exist")?;
            let (status, version) = self.create_once(request, &resource, &query, "if-none-exist").await?;
            return self.written(request, status, &version).await;
        }
        let key = new_key(kind)?;
        let resource = name(resource, &key)?;
        let write = self.client_write(resource, None, Precondition::Absent).await?.with_id(posted(&key)?);
        let made = self.store.write_resolved(write).await;
        self.written(request, 201, &made.map_err(|error| Problem::of_store(&error, key))?).await
    }

    /// `PUT TYPE/ID`, of the version that `If-Match` names, or only where there is none yet: `If-None-Match: *`.
    pub(super) async fn update(
        &self,
        request: &Request<'_>,
        key: &Key,
        sent: Option<Valid<Resource>>,
    ) -> Result<Response> {
        takes_no_condition(request)?;
        let version = body_version(request)?;
        let when = if_match(request)?;
        let new = request.one("if-none-match") == Some("*");
        let (key, resource) = self.at_key_in(version, key, self.sent(version, request, sent)?).await?;
        let key = &key;
        let named = when.as_ref().is_some_and(IfMatch::names_a_version);
        for _ in 0..UPDATE_TRIES {
            let stored = match self.store.read(key).await {
                Ok(version) => Some(version),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => None,
                Err(error) => return Err(Problem::of_store(&error, key)),
            };
            // Which of the two it was, the client is told.
            let (status, condition) = match (&stored, &when) {
                (Some(_), _) if new => return Err(exists_already(key)),
                (None, Some(_)) => return Err(unmatched(StoreError::not_found(), key)),
                (Some(stored), Some(when)) => (200, when.over(Some(stored.version))),
                (Some(_), None) => (200, Precondition::Exists),
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
                match self.create_once(request, &resource, &query, "conditional").await? {
                    // It came into being meanwhile, and is to be updated.
                    (200, _) => continue,
                    (status, version) => return self.written(request, status, &version).await,
                }
            };
            if resource.id().is_some() {
                has_id_of(&resource, &found.key)?;
            }
            let named = name(resource.clone(), &found.key)?;
            let condition = over(when.as_ref(), &found);
            let write = self.client_write(named, Some(&found), condition).await?;
            match self.store.write_resolved(write).await {
                Ok(version) => return self.written(request, 200, &version).await,
                Err(StoreError::Conflict { .. }) if !when.as_ref().is_some_and(IfMatch::names_a_version) => {}
                Err(error) => return Err(unmatched(error, &found.key)),
            }
        }
        Err(overtaken())
    }

    /// `DELETE TYPE/ID`
    pub(super) async fn delete(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        takes_no_condition(request)?;
        let when = if_match(request)?;
        let current = self.store.read(key).await.ok().map(|version| version.version);
        let referring = match current {
            Some(_) => self.referring_to(key, &BTreeSet::new()).await?,
            // Whether that is a conflict, the deletion tells.
            None => Vec::new(),
        };
        let when = when.map_or(Precondition::Exists, |when| when.over(current));
        match self.store.delete(key.clone(), when).await {
            Ok(version) => Ok(of_deletion(&version, &referring)),
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
            let wanted = over(when.as_ref(), &found);
            let referring = self.referring_to(&found.key, &BTreeSet::new()).await?;
            match self.store.delete(found.key.clone(), wanted).await {
                Ok(version) => return Ok(of_deletion(&version, &referring)),
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
                let mut outcome = OperationOutcome::of(Severity::Information, IssueType::Informational, &words);
                // What was passed over in a body that was read leniently.
                let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
                if !findings.is_empty() {
                    outcome.issue.extend(OperationOutcome::from(&*findings).under(self.canonical()).issue);
                }
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
    pub(super) fn path(&self) -> &str {
        let after_scheme = self.base.as_str().split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default()
    }
}

/// What stands under the key that a conditional creation would take.
pub(super) enum Candidate {
    /// No resource meets the condition.
    Free(Key),
    /// The resource that meets the condition.
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
    Problem::new(412, IssueType::Duplicate, "already-exists", words)
}

pub(super) fn overtaken() -> Problem {
    Problem::new(409, IssueType::Conflict, "overtaken", "others changed the resource again and again: try once more")
}
