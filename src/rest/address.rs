//! Parsing the path of a request.

use super::problem::{Problem, Result};
use crate::code::RESOURCE_TYPES;
use crate::issue::IssueType;
use crate::search::ResourceType;
use crate::store::{Key, VersionId};
use std::borrow::Cow;

/// Parsing the path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The service.
    Base,
    /// `metadata`
    Metadata,
    /// `TYPE`
    Type(ResourceType),
    /// `TYPE/_search`
    Search(ResourceType),
    /// `_search`: a search of every type.
    SearchAll,
    /// `TYPE/_history`, or `_history`: that of every type.
    Changes(Option<ResourceType>),
    /// `$validate` and the other operations, of a type or of a resource.
    Operation(Operation, ResourceType, Option<Key>),
    /// `TYPE/ID`
    Resource(Key),
    /// `TYPE/ID/_history`
    History(Key),
    /// `TYPE/ID/_history/VID`
    Version(Key, VersionId),
    /// `TYPE/$meta`, or `$meta`: that of every type.
    MetaInUse(Option<ResourceType>),
    /// `Subscription` and what is below.
    Subscription(SubscriptionAddress),
}

/// What of the Subscriptions is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionAddress {
    /// `Subscription`
    All,
    /// `Subscription/_search`
    Search,
    /// `Subscription/ID`
    One(String),
    /// Anything else, which is not supported.
    Other(String),
}

impl SubscriptionAddress {
    fn read(below: &[&str]) -> Self {
        match below {
            [] => Self::All,
            ["_search"] => Self::Search,
            [id] if !id.starts_with(['_', '$']) => Self::One((*id).to_owned()),
            other => Self::Other(
                other.last().copied().filter(|last| last.starts_with(['_', '$'])).unwrap_or("_history").to_owned(),
            ),
        }
    }

    /// The methods that it takes.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::All => "GET, HEAD, POST, OPTIONS",
            Self::Search => "GET, HEAD, POST, OPTIONS",
            Self::One(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Other(_) => "OPTIONS",
        }
    }
}

impl Address {
    pub(super) fn read(path: &str) -> Result<Self> {
        let decoded = path.split('/').map(decode).collect::<Option<Vec<_>>>();
        let mut segments = decoded.ok_or_else(|| Problem::bad("path", "the path is not UTF-8"))?;
        if segments.last().is_some_and(|last| last.is_empty()) {
            segments.pop();
        }
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [] => Ok(Self::Base),
            ["metadata"] => Ok(Self::Metadata),
            ["Subscription", below @ ..] => Ok(Self::Subscription(SubscriptionAddress::read(below))),
            ["_history"] => Ok(Self::Changes(None)),
            [kind, "_history"] => Ok(Self::Changes(Some(resource_type(kind)?))),
            ["_search"] => Ok(Self::SearchAll),
            [place @ .., last] if last.starts_with('$') => operation(place, last),
            [kind] => Ok(Self::Type(resource_type(kind)?)),
            [kind, "_search"] => Ok(Self::Search(resource_type(kind)?)),
            [kind, id] => Ok(Self::Resource(key(kind, id)?)),
            [kind, id, "_history"] => Ok(Self::History(key(kind, id)?)),
            [kind, id, "_history", version] => {
                let key = key(kind, id)?;
                let parsed = version.parse();
                let parsed =
                    parsed.map_err(|_| Problem::not_found(format_args!("{key} has no version `{version}`")))?;
                Ok(Self::Version(key, parsed))
            }
            _ => Err(Problem::not_found(format_args!("there is nothing at `{path}`"))),
        }
    }
}

/// An operation of FHIR that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `$validate`
    Validate,
    /// `$meta`
    Meta,
    /// `$meta-add`
    MetaAdd,
    /// `$meta-delete`
    MetaDelete,
}

impl Operation {
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("$validate", Self::Validate),
        ("$meta", Self::Meta),
        ("$meta-add", Self::MetaAdd),
        ("$meta-delete", Self::MetaDelete),
    ];
}

fn operation(place: &[&str], name: &str) -> Result<Address> {
    let refused = |words: String| Err(Problem::unsupported(501, "interaction", words));
    let Some((_, operation)) = Operation::ALL.into_iter().find(|(known, _)| *known == name) else {
        return refused(format!("the operation `{name}` is not supported"));
    };
    match (place, operation) {
        ([kind], Operation::Validate) => Ok(Address::Operation(operation, resource_type(kind)?, None)),
        ([], Operation::Meta) => Ok(Address::MetaInUse(None)),
        ([kind], Operation::Meta) => Ok(Address::MetaInUse(Some(resource_type(kind)?))),
        ([kind, id], _) => Ok(Address::Operation(operation, resource_type(kind)?, Some(key(kind, id)?))),
        _ => refused(format!("the operation `{name}` is not supported at `{}`", place.join("/"))),
    }
}

fn resource_type(name: &str) -> Result<ResourceType> {
    name.parse().map_err(|_| {
        if RESOURCE_TYPES.contains(&name) {
            not_kept(name)
        } else {
            Problem::not_found(format_args!("`{name}` is not a resource type of FHIR STU3"))
        }
    })
}

/// The refusal of a type that FHIR has and this service does not keep.
pub(super) fn not_kept(name: &str) -> Problem {
    let words = format!("this service keeps no {name}, only Device, DeviceComponent and DeviceMetric");
    Problem::unsupported(404, "resource-type", words)
}

fn key(kind: &str, id: &str) -> Result<Key> {
    Key::new(resource_type(kind)?, id).map_err(|error| Problem::new(400, IssueType::Value, "id", error))
}

/// A segment of a path without its percent signs; `None` where it is no text then.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = segment.bytes();
    let mut plain = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        plain.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parses_to_one_target_or_none() {
        let pump = Key::new(ResourceType::Device, "pump").unwrap();
        for (path, named) in [
            ("", Address::Base),
            ("metadata", Address::Metadata),
            ("Device", Address::Type(ResourceType::Device)),
            ("Device/", Address::Type(ResourceType::Device)),
            ("Device/_search", Address::Search(ResourceType::Device)),
            ("Device/pump", Address::Resource(pump.clone())),
            ("Device/p%75mp", Address::Resource(pump.clone())),
            ("Device/pump/_history", Address::History(pump.clone())),
            ("_search", Address::SearchAll),
            ("_history", Address::Changes(None)),
            ("Device/_history", Address::Changes(Some(ResourceType::Device))),
            ("Device/$validate", Address::Operation(Operation::Validate, ResourceType::Device, None)),
            ("Device/pump/$meta", Address::Operation(Operation::Meta, ResourceType::Device, Some(pump.clone()))),
            ("$meta", Address::MetaInUse(None)),
            ("Device/$meta", Address::MetaInUse(Some(ResourceType::Device))),
            ("Device/pump/_history/3", Address::Version(pump, VersionId::new(3).unwrap())),
        ] {
            assert_eq!(Address::read(path).unwrap(), named, "{path}");
        }
        for (path, status) in [
            ("Patient", 404),
            ("Gadget/x", 404),
            ("Device/a_b", 400),
            ("Device/%ff", 400),
            ("Device/%4", 400),
            ("Device/pump/_history/x", 404),
            ("Device/pump/parts", 404),
            ("Device/pump/$everything", 501),
            ("Device/$meta-add", 501),
            ("$validate", 501),
            ("Device/pump/_history/3/$meta-add", 501),
            ("Patient/_history", 404),
        ] {
            assert_eq!(Address::read(path).unwrap_err().status(), status, "{path}");
        }
    }
}
