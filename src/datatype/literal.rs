//! A parsed literal reference.

use crate::code::is_resource_type;
use crate::primitive::is_id;
use std::fmt;

/// A parsed [`Reference::reference`](super::Reference::reference).
///
/// Parsing borrows and never allocates, and [`Display`](fmt::Display) gives the text back. A text that is none of the
/// specification's forms is [`Literal::Other`] (a URL that follows another scheme, a search).
///
/// ```
/// use fhir_devices::datatype::Literal;
///
/// let literal = Literal::parse("https://ehr.example/fhir/Device/d1/_history/3");
/// assert_eq!(literal.resource_type(), Some("Device"));
/// assert_eq!(literal.id(), Some("d1"));
/// assert_eq!(literal.version(), Some("3"));
/// assert_eq!(Literal::parse("#pump"), Literal::Contained { id: "pump" });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Literal<'a> {
    /// `Device/d1` or `Device/d1/_history/3`: relative to the base of the service that holds the document.
    Relative {
        /// The resource type.
        resource_type: &'a str,
        /// The logical id.
        id: &'a str,
        /// The version, where the reference is to one.
        version: Option<&'a str>,
    },
    /// `https://ehr.example/fhir/Device/d1`: a RESTful URL on some service.
    Absolute {
        /// The base of the service, without the slash at its end.
        base: &'a str,
        /// The resource type.
        resource_type: &'a str,
        /// The logical id.
        id: &'a str,
        /// The version, where the reference is to one.
        version: Option<&'a str>,
    },
    /// `#pump`: a resource contained in the same document.
    Contained {
        /// The id of the contained resource.
        id: &'a str,
    },
    /// `urn:uuid:...` or `urn:oid:...`: the `fullUrl` of an entry of the same Bundle.
    Urn(&'a str),
    /// `Device?identifier=urn:x|1`: the one resource that a search finds, for transactions alone.
    Conditional {
        /// The type of the resource.
        resource_type: &'a str,
        /// The search, without the question mark.
        query: &'a str,
    },
    /// Any other text.
    Other(&'a str),
}

impl<'a> Literal<'a> {
    /// Parses a literal reference.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        if let Some((resource_type, id)) = plain_relative(text) {
            return Self::Relative { resource_type, id, version: None };
        }
        if let Some(id) = text.strip_prefix('#') {
            return Self::Contained { id };
        }
        if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") {
            return Self::Urn(text);
        }
        if let Some((resource_type, query)) = text.split_once('?')
            && is_resource_type(resource_type)
        {
            return Self::Conditional { resource_type, query };
        }
        Self::restful(text).unwrap_or(Self::Other(text))
    }

    fn restful(text: &'a str) -> Option<Self> {
        let (mut head, mut id) = text.rsplit_once('/')?;
        let mut version = None;
        if let Some(rest) = head.strip_suffix("/_history") {
            version = Some(id).filter(|version| is_id(version));
            version?;
            (head, id) = rest.rsplit_once('/')?;
        }
        if !is_id(id) {
            return None;
        }
        let (base, resource_type) = match head.rsplit_once('/') {
            Some((base, resource_type)) => (Some(base), resource_type),
            None => (None, head),
        };
        // A relative reference is `Type/id` and nothing else, so that a type of another version is one all the same; an
        // absolute URL may be anything.
        if !is_resource_type(resource_type) && (base.is_some() || !is_type_name(resource_type)) {
            return None;
        }
        match base {
            None => Some(Self::Relative { resource_type, id, version }),
            Some(base) if is_http(base) => Some(Self::Absolute { base, resource_type, id, version }),
            Some(_) => None,
        }
    }

    /// Returns the type of the resource that the text names, where it does.
    #[must_use]
    pub const fn resource_type(&self) -> Option<&'a str> {
        match self {
            Self::Relative { resource_type, .. }
            | Self::Absolute { resource_type, .. }
            | Self::Conditional { resource_type, .. } => Some(resource_type),
            Self::Contained { .. } | Self::Urn(_) | Self::Other(_) => None,
        }
    }

    /// Returns the logical id, or the id of a contained resource.
    #[must_use]
    pub const fn id(&self) -> Option<&'a str> {
        match self {
            Self::Relative { id, .. } | Self::Absolute { id, .. } | Self::Contained { id } => Some(id),
            Self::Urn(_) | Self::Conditional { .. } | Self::Other(_) => None,
        }
    }

    /// Returns the version that the text names, where it does.
    #[must_use]
    pub const fn version(&self) -> Option<&'a str> {
        match self {
            Self::Relative { version, .. } | Self::Absolute { version, .. } => *version,
            Self::Contained { .. } | Self::Urn(_) | Self::Conditional { .. } | Self::Other(_) => None,
        }
    }
}

/// Returns the id of a reference that is `Type/id` and nothing else: what [`Literal::parse`] would find, sooner.
pub(crate) fn plain_id<'a>(text: &'a str, resource_type: &str) -> Option<&'a str> {
    let id = text.strip_prefix(resource_type)?.strip_prefix('/')?;
    is_id(id).then_some(id)
}

/// Returns the type and the id of a text that is `Type/id` and nothing else, as most references are.
pub(crate) fn plain_relative(text: &str) -> Option<(&str, &str)> {
    let slash = text.bytes().position(|byte| !byte.is_ascii_alphabetic())?;
    let (resource_type, rest) = text.split_at_checked(slash)?;
    let id = rest.strip_prefix('/')?;
    (resource_type.starts_with(|first: char| first.is_ascii_uppercase()) && is_id(id)).then_some((resource_type, id))
}

fn is_type_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_http(base: &str) -> bool {
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#']))
}

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Absolute { base, .. } = self {
            write!(f, "{base}/")?;
        }
        match self {
            Self::Relative { resource_type, id, version } | Self::Absolute { resource_type, id, version, .. } => {
                write!(f, "{resource_type}/{id}")?;
                version.map_or(Ok(()), |version| write!(f, "/_history/{version}"))
            }
            Self::Contained { id } => write!(f, "#{id}"),
            Self::Conditional { resource_type, query } => write!(f, "{resource_type}?{query}"),
            Self::Urn(text) | Self::Other(text) => f.write_str(text),
        }
    }
}
