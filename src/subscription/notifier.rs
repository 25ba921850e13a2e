//! What the caller implements: sending a notification.

use crate::store::BoxFuture;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use url::Url;

/// An HTTP request that tells a subscriber of a change.
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
    /// The address: the endpoint itself, or with a resource the endpoint and `/TYPE/ID`.
    pub url: Url,
    /// The headers, those of the subscription included. They may hold secrets.
    pub headers: Vec<(String, String)>,
    /// The resource, where the subscription wants it.
    pub body: Bytes,
}

impl Notification {
    /// A notification without headers or a resource.
    #[must_use]
    pub const fn new(method: &'static str, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new() }
    }
}

/// Neither the headers nor the query of the address are shown.
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

/// Why a notification was not taken.
///
/// ```
/// use fhir_devices::subscription::NotifyError;
/// assert_eq!(NotifyError::new("the endpoint answered 503").to_string(), "the endpoint answered 503");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct NotifyError {
    /// What happened, in words that everyone may read who may read the subscription: without secrets.
    pub reason: String,
    /// After how long the endpoint asks for the next try.
    pub retry_after: Option<Duration>,
}

impl NotifyError {
    /// A reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after: None }
    }

    /// Sets the time after which the endpoint asks for the next attempt.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// Sends notifications over HTTP.
///
/// - A status of the class 2xx takes a notification. Anything else is a [`NotifyError`], and so is a redirect: it is not followed.
/// - The call ends within [`Pace::send_timeout`](super::Pace::send_timeout): the driver has no clock to end it.
/// - A host name may lead anywhere: each address is checked by [`EndpointRules::allows_ip`](super::EndpointRules::allows_ip)
///   before a connection is made to it.
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
    /// It was not taken, or it is not known whether it was: it is sent again.
    fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>>;
}
