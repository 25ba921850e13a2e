//! Requests of devices and their answers, as plain values.

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// The method of a request.
///
/// ```
/// use fhir_devices::ddi::Method;
/// assert_ne!(Method::Get, Method::Put);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

/// A request of a device.
///
/// ```
/// use fhir_devices::ddi::{Method, Request};
/// let poll = Request::get(&[]);
/// assert_eq!((poll.method, poll.body), (Method::Get, &b""[..]));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The path below the device, decoded, part by part: `["deploymentBase", "7", "feedback"]`.
    pub path: &'r [&'r str],
    /// The value of `If-None-Match`.
    pub if_none_match: Option<&'r str>,
    /// The body.
    pub body: &'r [u8],
}

impl<'r> Request<'r> {
    /// Creates a `GET` of a path below the device.
    #[must_use]
    pub const fn get(path: &'r [&'r str]) -> Self {
        Self { method: Method::Get, path, if_none_match: None, body: b"" }
    }

    /// Creates a request with a body.
    #[must_use]
    pub const fn new(method: Method, path: &'r [&'r str], body: &'r [u8]) -> Self {
        Self { method, path, if_none_match: None, body }
    }

    /// Sets the value of `If-None-Match`: the tag of an answer that the device has.
    #[must_use]
    pub const fn with_if_none_match(mut self, tag: Option<&'r str>) -> Self {
        self.if_none_match = tag;
        self
    }
}

/// The answer to a request that is not refused.
///
/// ```
/// use fhir_devices::ddi::Response;
/// assert_eq!(Response::EMPTY.status, 200);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// The value of `ETag`.
    pub etag: Option<String>,
    /// The body, JSON.
    pub body: Option<String>,
    /// Whether anything was recorded, so that rollouts may have something to do.
    pub changed: bool,
}

impl Response {
    /// The answer to a report that was taken or known, and changed nothing.
    pub const EMPTY: Self = Self { status: 200, etag: None, body: None, changed: false };
}
