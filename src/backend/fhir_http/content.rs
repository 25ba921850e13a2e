//! Converting bodies between this crate and a server.

use crate::datatype::{Extension, ExtensionValue, Meta, Primitive};
use crate::element::ReadMode;
use crate::primitive::{CanonicalBase, CanonicalName, Id, Text};
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use crate::search::{IndexEntries, ResourceType};
use crate::store::{Key, Result, Storable as _, StoreError, Stored, WriteId, random_number};
use bytes::Bytes;
use time::OffsetDateTime;

/// Before the random number of a write that has no id.
const WITHOUT_ID: &str = "unnamed-";

/// The text in the extension of a resource by which a version is known to be that of one write: its write id, or a random
/// number where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WriteMark(String);

impl WriteMark {
    pub(super) fn new(write_id: Option<WriteId>) -> Result<Self> {
        Ok(Self(match write_id {
            Some(id) => id.to_string(),
            None => format!("{WITHOUT_ID}{:032x}", random_number()?),
        }))
    }
}

/// Returns whether this is the extension of a resource that holds the mark of its version.
fn is_write_id(extension: &Extension) -> bool {
    CanonicalName::WriteId.matches(extension.url.as_str())
}

/// The extensions of `meta` in which servers say by which request a version was made.
const SOURCES: [&str; 2] = [
    "http://hapifhir.io/fhir/StructureDefinition/resource-meta-source",
    "http://hl7.org/fhir/4.0/StructureDefinition/extension-Meta.source",
];

/// Takes away what `meta` says of one version, and is the server's: its number, its time and its source.
fn without_version(mut meta: Meta) -> Option<Meta> {
    meta.extension.retain(|extension| !SOURCES.contains(&extension.url.as_str()));
    let rest = Meta { version_id: None, last_updated: None, ..meta };
    (rest != Meta::default()).then_some(rest)
}

/// A resource as a server sent it, taken apart.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: String,
    pub(super) version: Option<String>,
    pub(super) last_updated: Option<OffsetDateTime>,
    pub(super) write_id: Option<WriteId>,
    pub(super) mark: Option<WriteMark>,
    pub(super) body: Bytes,
    pub(super) index: IndexEntries,
}

fn mark(extension: &Extension) -> Option<WriteMark> {
    let Some(ExtensionValue::String(text)) = &extension.value else { return None };
    Some(WriteMark(text.value.as_ref()?.as_str().to_owned()))
}

macro_rules! of_type {
    ($kind:expr, $call:ident($($argument:expr),*)) => {
        match $kind {
            ResourceType::Device => $call!(Device, $($argument),*),
            ResourceType::DeviceComponent => $call!(DeviceComponent, $($argument),*),
            ResourceType::DeviceMetric => $call!(DeviceMetric, $($argument),*),
        }
    };
}

macro_rules! incoming {
    ($Name:ident, $json:expr) => {{
        let read = $Name::read($json, ReadMode::Lenient);
        let mut resource = read.map_err(|report| report.to_string())?.value;
        let meta = resource.meta.take().unwrap_or_default();
        let version = meta.version_id.as_ref().and_then(|id| id.value.as_ref()).map(|id| id.as_str().to_owned());
        let last_updated = meta.last_updated.as_ref().and_then(|at| at.value.as_ref());
        let last_updated = last_updated.and_then(|at| at.to_offset_date_time());
        resource.meta = without_version(meta);
        let marks = || resource.extension.iter().filter(|extension| is_write_id(extension)).filter_map(mark);
        let (mark, write_id) = (marks().next(), marks().find_map(|mark| mark.0.parse().ok()));
        resource.extension.retain(|extension| !is_write_id(extension));
        let id = resource.logical_id().ok_or("the resource has no id")?.as_str().to_owned();
        let (body, index) = (resource.body().into(), resource.index());
        Ok(Content { id, version, last_updated, write_id, mark, body, index })
    }};
}

/// Takes a resource apart that a server sent.
pub(super) fn incoming(kind: ResourceType, json: &[u8]) -> Result<Content, String> {
    of_type!(kind, incoming(json))
}

macro_rules! outgoing {
    ($Name:ident, $key:expr, $body:expr, $mark:expr, $base:expr) => {{
        let read = $Name::read($body, ReadMode::Lenient);
        let read = read.map_err(|report| StoreError::invalid(format!("the body of `{}`: {report}", $key)))?;
        let mut resource = read.value;
        match resource.logical_id() {
            Some(id) if id.as_str() == $key.id().as_str() => {}
            Some(id) => return Err(StoreError::invalid(format!("the body of `{}` has the id `{id}`", $key))),
            None => resource.set_logical_id(Id::new($key.id().as_str()).map_err(invalid)?),
        }
        resource.meta = resource.meta.take().and_then(without_version);
        resource.extension.retain(|extension| !is_write_id(extension));
        if let Some(WriteMark(text)) = $mark {
            let text = Primitive::from(Text::new(text.as_str()).map_err(invalid)?);
            resource.extension.push(Extension::new($base.url(CanonicalName::WriteId), text));
        }
        Ok(resource.body())
    }};
}

fn invalid(error: impl std::fmt::Display) -> StoreError {
    StoreError::invalid(error.to_string())
}

/// Returns what is sent of a body: the resource with its id, and with the mark of the write.
pub(super) fn outgoing(key: &Key, body: &[u8], mark: Option<&WriteMark>, base: &CanonicalBase) -> Result<String> {
    of_type!(key.resource_type(), outgoing(key, body, mark, base))
}
