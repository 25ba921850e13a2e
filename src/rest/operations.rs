//! The operations of FHIR: `$validate`, `$meta`, `$meta-add` and `$meta-delete`.

use super::find::{Chunk, size};
use super::format::{Syntax, body_version};
use super::limits::{CALL, at_most};
use super::problem::{Problem, Result};
use super::query::MAX_COUNT;
use super::server::of_version;
use super::write::{UPDATE_TRIES, has_id_of, name, overtaken};
use super::{Request, Response, Server};
use crate::datatype::{Coding, Meta, Primitive};
use crate::element::{ReadMode, Value as _, Writer};
use crate::issue::{Issue, IssueType, Report, Severity};
use crate::primitive::Uri;
#[cfg(feature = "xml")]
use crate::resource::xml_in_json;
use crate::resource::{Device, OperationOutcome, Resource, member};
use crate::search::ResourceType;
use crate::store::{Key, Precondition, ResourceStore, Search, StoreError, Version, typed};
use crate::support::yield_now;
use crate::validate::Valid;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use url::form_urlencoded;

/// One parameter of a Parameters resource, as far as the operations take it.
#[derive(Deserialize)]
struct Parameter<'b> {
    name: String,
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
    #[serde(rename = "valueCode")]
    code: Option<String>,
    #[serde(rename = "valueUri")]
    uri: Option<String>,
    #[serde(borrow, rename = "valueMeta")]
    meta: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Parameters<'b> {
    #[serde(borrow, default)]
    parameter: Vec<Parameter<'b>>,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
}

/// What a resource is validated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Create,
    Update,
    Delete,
}

impl Mode {
    fn read(text: &str) -> Result<Option<Self>> {
        match text {
            "create" => Ok(Some(Self::Create)),
            "update" => Ok(Some(Self::Update)),
            "delete" => Ok(Some(Self::Delete)),
            "profile" => Ok(None),
            _ => {
                let words = format!("`{text}` is not a mode, only `create`, `update`, `delete` and `profile` are");
                Err(Problem::bad("mode", words))
            }
        }
    }
}

/// What `$validate` is asked for.
struct Asked<'b> {
    resource: Option<&'b [u8]>,
    mode: Option<Mode>,
    profile: Option<String>,
}

fn type_of(json: &[u8]) -> Option<String> {
    serde_json::from_slice::<Typed>(json).ok()?.resource_type
}

fn parameters(body: &[u8]) -> Result<Option<Parameters<'_>>> {
    if type_of(body).as_deref() != Some("Parameters") {
        return Ok(None);
    }
    let wrong = |error| Problem::bad("parameters", format_args!("the Parameters cannot be read: {error}"));
    serde_json::from_slice(body).map(Some).map_err(wrong)
}

impl<'b> Asked<'b> {
    fn read(query: &str, body: &'b [u8]) -> Result<Self> {
        let mut asked = Self { resource: Some(body), mode: None, profile: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "mode" => asked.mode = Mode::read(&value)?,
                "profile" => asked.profile = Some(value.into_owned()),
                _ => {}
            }
        }
        if body.is_empty() {
            asked.resource = None;
        } else if let Some(given) = parameters(body)? {
            asked.resource = None;
            for parameter in given.parameter {
                match parameter.name.as_str() {
                    "resource" => asked.resource = parameter.resource.map(|json| json.get().as_bytes()),
                    "mode" => asked.mode = Mode::read(&parameter.code.unwrap_or_default())?,
                    "profile" => asked.profile = parameter.uri,
                    _ => {}
                }
            }
        }
        Ok(asked)
    }
}

/// Returns a finding of what the service would not do with a resource.
fn finding(problem: &Problem, at: &str) -> Report {
    let words = |issue: &crate::resource::operation_outcome::Issue| {
        let text = issue.diagnostics.as_ref().and_then(|text| text.value.as_ref());
        text.map(|text| text.as_str().to_owned()).unwrap_or_default()
    };
    problem
        .issues()
        .map(|issue| Issue::new("not-accepted", Severity::Error, IssueType::BusinessRule, at, words(issue)))
        .collect()
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// `POST TYPE/$validate` and `POST TYPE/ID/$validate`: an outcome, also where the resource would be refused.
    pub(super) async fn validate(
        &self,
        request: &Request<'_>,
        kind: ResourceType,
        key: Option<&Key>,
    ) -> Result<Response> {
        let transcribed = self.parameters_in_xml(request);
        let (syntax, body) = match &transcribed {
            Some(json) => (Syntax::Json, json.as_bytes()),
            None => (self.format.sent, &*request.body),
        };
        let asked = Asked::read(&request.query, body)?;
        if asked.mode == Some(Mode::Delete) {
            let Some(key) = key else {
                return Err(Problem::bad("mode", "`delete` is asked of one resource: `TYPE/ID/$validate`"));
            };
            return self.validate_deletion(key).await;
        }
        let Some(body) = asked.resource else {
            return match key {
                Some(key) => self.validate_stored(key).await,
                None => Err(Problem::bad("resource", "a resource is wanted, as the body or the parameter `resource`")),
            };
        };
        let version = body_version(request)?;
        let (resource, mut report) = self.check_as(version, syntax, body).into_parts();
        if let Some(resource) = resource.filter(|_| !report.has_errors()) {
            let accepted = self.would_accept(version, Valid::known(resource), (kind, key), asked.mode).await;
            if let Err(problem) = accepted {
                report.append(finding(&problem, kind.as_str()));
            }
        }
        let base = format!("http://hl7.org/fhir/StructureDefinition/{kind}");
        if let Some(profile) = asked.profile.filter(|profile| *profile != base) {
            let words = format!("the profile `{profile}` is not known here, and was not checked");
            report.push(Issue::new(
                "unchecked-profile",
                Severity::Warning,
                IssueType::NotSupported,
                kind.as_str(),
                words,
            ));
        }
        Ok(self.validated(report))
    }

    /// Returns the JSON form of Parameters that were sent in XML. With a fault they are not taken apart, and it is found where they
    /// are read.
    fn parameters_in_xml(&self, request: &Request<'_>) -> Option<String> {
        if self.format.sent == Syntax::Json {
            return None;
        }
        let json = String::from_utf8(self.body_in_json(&request.body)?.into_owned()).ok()?;
        (type_of(json.as_bytes()).as_deref() == Some("Parameters")).then_some(json)
    }

    /// Returns a body as JSON; nothing where it is XML with a fault.
    #[cfg_attr(not(feature = "xml"), expect(clippy::unused_self, reason = "as with the feature"))]
    pub(super) fn body_in_json<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        #[cfg(feature = "xml")]
        if self.format.sent == Syntax::Xml {
            return xml_in_json(body).map(|json| json.into_bytes().into());
        }
        Some(body.into())
    }

    fn validated(&self, mut report: Report) -> Response {
        report.cut(self.limits.findings());
        Response::json(200, OperationOutcome::from(&report).under(self.canonical()).to_json())
    }

    /// Returns whether a write of a resource would be taken.
    async fn would_accept(
        &self,
        version: crate::convert::Version,
        resource: Valid<Resource>,
        (kind, key): (ResourceType, Option<&Key>),
        mode: Option<Mode>,
    ) -> Result<()> {
        let (_, resource) = self.of_type_in(version, kind, resource)?;
        let stored = match key {
            Some(key) => match self.store.read(key).await {
                Ok(version) => Some(version),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => None,
                Err(error) => return Err(Problem::of_store(&error, key)),
            },
            None => None,
        };
        match (mode, key) {
            (Some(Mode::Create), Some(key)) if stored.is_some() => {
                return Err(Problem::new(
                    409,
                    IssueType::Duplicate,
                    "already-exists",
                    format_args!("{key} exists already"),
                ));
            }
            (Some(Mode::Update), Some(key)) => has_id_of(&resource, key)?,
            (Some(Mode::Update), None) if resource.id().is_none() => {
                return Err(Problem::bad("id", "the resource has no id, and an update needs one"));
            }
            _ => {}
        }
        let place = match key {
            Some(key) => key.clone(),
            None => super::write::new_key(kind)?,
        };
        self.client_write(name(resource, &place)?, stored.as_ref(), Precondition::None).await.map(drop)
    }

    /// `GET TYPE/ID/$validate`: that of the resource as it is stored.
    pub(super) async fn validate_stored(&self, key: &Key) -> Result<Response> {
        let version = self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
        self.spent.read(size(&version), &self.limits)?;
        let shown = self.shown(&version).await?;
        Ok(self.validated(self.check_in(crate::convert::Version::Stu3, &shown).into_report()))
    }

    async fn validate_deletion(&self, key: &Key) -> Result<Response> {
        self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
        let mut report = Report::new();
        match self.referring_to(key, &BTreeSet::new()).await {
            Err(problem) if problem.status() == 409 => report.append(finding(&problem, key.resource_type().as_str())),
            Err(problem) => return Err(problem),
            Ok(referring) => report.extend(referring.iter().map(|other| {
                let words = format!("{other} would refer to nothing");
                Issue::new("referenced", Severity::Warning, IssueType::NotFound, key.resource_type().as_str(), words)
            })),
        }
        Ok(self.validated(report))
    }

    /// `GET TYPE/ID/$meta`
    pub(super) async fn meta(&self, key: &Key) -> Result<Response> {
        let version = self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
        self.meta_response(&version)
    }

    /// `GET TYPE/$meta` and `GET $meta`: the tags, labels and profiles that are in use.
    pub(super) async fn meta_in_use(&self, kind: Option<ResourceType>) -> Result<Response> {
        let mut all = Meta::default();
        for kind in ResourceType::ALL.into_iter().filter(|own| kind.is_none_or(|kind| kind == *own)) {
            let mut search = Search::new(kind);
            let mut chunk = Chunk::new(&self.limits, MAX_COUNT);
            loop {
                self.spent.may_look(&self.limits)?;
                search = search.limit(u32::try_from(chunk.next(MAX_COUNT)).unwrap_or(u32::MAX));
                let page = self.store.search(&search).await.map_err(|error| Problem::of_store(&error, "the search"))?;
                self.spent.look(CALL.saturating_add(page.items.len()), 0);
                chunk = Chunk::new(&self.limits, MAX_COUNT);
                for version in &page.items {
                    chunk.took(size(version));
                    let body = version.body.as_deref().unwrap_or_default();
                    let json = std::str::from_utf8(body).ok().and_then(|json| member(json, "meta"));
                    let Some(json) = json else { continue };
                    self.spent.may_read(json.len())?;
                    self.spent.look(0, json.len());
                    // What another program has stored and cannot be read has no tags here.
                    let Ok(found) = self.read_meta(json) else { continue };
                    add(&mut all, &found);
                    let count = all.tag.len().saturating_add(all.security.len()).saturating_add(all.profile.len());
                    at_most(count, MAX_META_VALUES, "different tags, labels and profiles")?;
                }
                match page.next {
                    Some(next) => search.after = Some(next),
                    None => break,
                }
                yield_now().await;
            }
        }
        Ok(Response::json(200, return_meta(Some(&all))))
    }

    fn meta_response(&self, version: &Version) -> Result<Response> {
        self.spent.read(size(version), &self.limits)?;
        let resource = typed(version).map_err(|error| Problem::of_store(&error, &version.key))?;
        Ok(of_version(Response::json(200, return_meta(meta_of(&resource))), version))
    }

    /// `POST TYPE/ID/$meta-add` and `$meta-delete`. A version of a resource stays as it is here: what changes makes a new one,
    /// and what changes nothing makes none.
    pub(super) async fn change_meta(&self, request: &Request<'_>, key: &Key, adds: bool) -> Result<Response> {
        let transcribed = self.parameters_in_xml(request);
        let given = parameters(transcribed.as_ref().map_or(&*request.body, |json| json.as_bytes()))?;
        let meta = given.iter().flat_map(|given| &given.parameter).find(|parameter| parameter.name == "meta");
        let Some(meta) = meta.and_then(|parameter| parameter.meta) else {
            return Err(Problem::bad("parameters", "Parameters with a `meta` are wanted"));
        };
        let sent = self.read_meta(meta.get())?;
        for _ in 0..UPDATE_TRIES {
            let stored = self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
            let mut resource = typed(&stored).map_err(|error| Problem::of_store(&error, key))?;
            let own = meta_mut(&mut resource);
            let Some(own) = own else { return Err(Problem::not_found(format_args!("{key} has no meta"))) };
            let before = own.clone();
            let meta = own.get_or_insert_default();
            if adds {
                add(meta, &sent)
            } else {
                remove(meta, &sent)
            }
            if *own == before {
                return self.meta_response(&stored);
            }
            let valid = Valid::by(resource, &self.validator);
            let valid = valid.map_err(|report| Problem::document_within(report, &self.limits))?;
            let write = self.client_write(valid, Some(&stored), Precondition::Version(stored.version)).await?;
            match self.store.write_resolved(write).await {
                Ok(version) => return self.meta_response(&version),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(Problem::of_store(&error, key)),
            }
        }
        Err(overtaken())
    }

    /// Returns a `meta` that was sent, with every finding where it is not one.
    fn read_meta(&self, json: &str) -> Result<Meta> {
        let device = format!("{{\"resourceType\":\"Device\",\"meta\":{json}}}");
        let read = Device::read(device.as_bytes(), ReadMode::Strict);
        let device = read.map_err(|report| Problem::document_within(report, &self.limits))?.value;
        Ok(device.meta.unwrap_or_default())
    }
}

/// The most different tags, labels and profiles that are listed at once. Each that is found is compared with all of them.
const MAX_META_VALUES: usize = 1_000;

/// The answer of `$meta`.
fn return_meta(meta: Option<&Meta>) -> String {
    let mut writer = Writer::with_capacity(256);
    let written = meta.is_some_and(|meta| meta.write(&mut writer));
    let meta = if written { writer.finish() } else { "{}".to_owned() };
    format!("{{\"resourceType\":\"Parameters\",\"parameter\":[{{\"name\":\"return\",\"valueMeta\":{meta}}}]}}")
}

fn meta_of(resource: &Resource) -> Option<&Meta> {
    match resource {
        Resource::Device(device) => device.meta.as_ref(),
        Resource::DeviceComponent(component) => component.meta.as_ref(),
        Resource::DeviceMetric(metric) => metric.meta.as_ref(),
        _ => None,
    }
}

fn meta_mut(resource: &mut Resource) -> Option<&mut Option<Meta>> {
    match resource {
        Resource::Device(device) => Some(&mut device.meta),
        Resource::DeviceComponent(component) => Some(&mut component.meta),
        Resource::DeviceMetric(metric) => Some(&mut metric.meta),
        _ => None,
    }
}

/// Two tags are the same by their system and their code.
fn is_same(one: &Coding, other: &Coding) -> bool {
    let of = |coding: &Coding| {
        let system = coding.system.as_ref().and_then(|system| system.value.clone());
        (system, coding.code.as_ref().and_then(|code| code.value.clone()))
    };
    of(one) == of(other)
}

fn is_same_uri(one: &Primitive<Uri>, other: &Primitive<Uri>) -> bool {
    one.value == other.value
}

fn add(meta: &mut Meta, sent: &Meta) {
    for (own, sent) in [(&mut meta.tag, &sent.tag), (&mut meta.security, &sent.security)] {
        for coding in sent {
            if !own.iter().any(|own| is_same(own, coding)) {
                own.push(coding.clone());
            }
        }
    }
    for profile in &sent.profile {
        if !meta.profile.iter().any(|own| is_same_uri(own, profile)) {
            meta.profile.push(profile.clone());
        }
    }
}

fn remove(meta: &mut Meta, sent: &Meta) {
    meta.tag.retain(|own| !sent.tag.iter().any(|coding| is_same(own, coding)));
    meta.security.retain(|own| !sent.security.iter().any(|coding| is_same(own, coding)));
    meta.profile.retain(|own| !sent.profile.iter().any(|profile| is_same_uri(own, profile)));
}
