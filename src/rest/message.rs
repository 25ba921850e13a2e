//! A request and its answer as plain values, so that any HTTP stack can carry them.
//!
//! Ours: the types of `http` would be a default dependency for two structs of text, and copy each name and value of a header
//! that is not read.

use super::Body;
use bytes::Bytes;
use std::borrow::Cow;
use time::OffsetDateTime;

/// A request, as it came: nothing is decoded yet.
///
/// ```
/// use fhir_devices::rest::Request;
/// let request = Request::new("GET", "Device").query("model=P9&_count=20").header("Accept", "application/fhir+json");
/// assert_eq!(request.path, "Device");
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The method.
    pub method: Cow<'a, str>,
    /// The path below the base of the service, without a slash at its start: `Device/pump`. Empty for the base itself.
    pub path: Cow<'a, str>,
    /// The query, without the question mark.
    pub query: Cow<'a, str>,
    /// The headers: name and value, in any case and order. Those that are not FHIR's are passed over.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The body.
    pub body: Bytes,
}

impl<'a> Request<'a> {
    /// Returns a request without a query, headers or a body.
    #[must_use]
    pub fn new(method: impl Into<Cow<'a, str>>, path: impl Into<Cow<'a, str>>) -> Self {
        Self { method: method.into(), path: path.into(), ..Self::default() }
    }

    /// Sets the query.
    #[must_use]
    pub fn query(mut self, query: impl Into<Cow<'a, str>>) -> Self {
        self.query = query.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the first value of a header.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.each(name).next()
    }

    /// Returns the values of a header that may come several times.
    pub(super) fn all(&self, name: &str) -> String {
        self.each(name).collect::<Vec<_>>().join(",")
    }

    fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim())
    }
}

/// The answer to a request.
///
/// ```
/// use fhir_devices::rest::Response;
/// let nothing = Response::empty(204);
/// assert_eq!((nothing.status, nothing.header("etag")), (204, None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers: names in lower case, each once.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// When the version that it tells of was made, to the millisecond, where the headers know whole seconds alone.
    pub(super) changed: Option<OffsetDateTime>,
    /// The error of the store, for the operator. It is never sent to the client.
    pub fault: Option<String>,
}

impl Response {
    /// Returns an answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An answer that is a resource.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Body>) -> Self {
        Self { status, ..Self::default() }
            .with("content-type", format!("{}; charset=utf-8", super::FHIR_JSON))
            .with("cache-control", "no-store")
            .with_body(body)
    }

    fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header; the name is in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}
