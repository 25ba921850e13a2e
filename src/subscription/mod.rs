//! STU3 Subscriptions with the channel `rest-hook`, without I/O: the allowed endpoints ([`EndpointRules`]), the time
//! limits ([`Pace`]), the request that is sent ([`Notification`]) and its sender ([`Notifier`], which the caller
//! implements).
//!
//! Subscriptions are stored in the ledger, each with a record of its delivery state.
//! [`rest::Server`](crate::rest::Server) reads and writes them, and
//! [`SubscriptionService`](crate::service::SubscriptionService) sends the notifications. The chapter
//! [`subscriptions`](crate::manual::subscriptions) of the manual is for subscribers and operators.

pub(crate) mod delivery;
mod endpoint;
mod notifier;
pub(crate) mod registered;

pub use delivery::Pace;
pub use endpoint::EndpointRules;
pub use notifier::{Notification, Notifier, NotifyError};
