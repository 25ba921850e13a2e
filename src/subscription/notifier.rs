//! The interface that the caller implements: sending a notification.

use crate::store::BoxFuture;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use url::Url;

/// An HTTP request that notifies a subscriber of a change.
///
/// ```
/// use fhir_devices::subscription::Notification;
/// let ping = Notification::new("POST", "https://ehr.example/hook".parse()?);
/// assert!(ping.body.is_empty());
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// `POST` without a resource, `PUT` with one.
    pub method: &'static str,
    /// The URL: the endpoint itself, or with a resource the endpoint and `/TYPE/ID`.
    pub url: Url,
    /// The headers, including those of the subscription. They may contain secrets.
    pub headers: Vec<(String, String)>,
    /// The resource, if the subscription requests it.
    pub body: Bytes,
}

impl Notification {
    /// Creates a notification without headers and resource.
    #[must_use]
    pub const fn new(method: &'static str, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new() }
    }
}

/// Omits the headers and the query of the URL.
impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Notification")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("headers", &names)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The error of a notification that was not accepted.
///
/// ```
/// use fhir_devices::subscription::NotifyError;
/// assert_eq!(NotifyError::new("the endpoint answered 503").to_string(), "the endpoint answered 503");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct NotifyError {
    /// The reason, in words for everyone who may read the subscription: without secrets.
    pub reason: String,
    /// The time until the next try that the endpoint asks for.
    pub retry_after: Option<Duration>,
}

impl NotifyError {
    /// Creates an error with a reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after: None }
    }

    /// Sets the time until the next try that the endpoint asks for.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// Sends notifications over HTTP.
///
/// - A status of class 2xx accepts a notification. Any other status is a [`NotifyError`], redirects included: they are
///   not followed.
/// - The call ends within [`Pace::send_timeout`](super::Pace::send_timeout): the driver has no timer to end it.
/// - A host name may resolve to any address: each one is checked with
///   [`EndpointRules::allows_ip`](super::EndpointRules::allows_ip) before a connection to it.
///
/// ```
/// use fhir_devices::store::BoxFuture;
/// use fhir_devices::subscription::{Notification, Notifier, NotifyError};
///
/// /// Prints what would be sent.
/// struct Dry;
///
/// impl Notifier for Dry {
///     fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
///         println!("{notification:?}");
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
pub trait Notifier: Send + Sync + 'static {
    /// Sends one notification.
    ///
    /// # Errors
    /// The notification was not accepted, or the outcome is unknown: it is sent again.
    fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>>;
}
