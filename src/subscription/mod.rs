//! Subscriptions of STU3 with the channel `rest-hook`, without I/O: which endpoints may be called ([`EndpointRules`]), by what
//! times ([`Pace`]), what is sent ([`Notification`]) and who sends it ([`Notifier`], which the caller implements).
//!
//! They are kept in the ledger, each with a record of how far its notifications have come. [`rest::Server`](crate::rest::Server)
//! reads and writes them, and [`SubscriptionService`](crate::service::SubscriptionService) sends the notifications. The chapter
//! [`subscriptions`](crate::manual::subscriptions) of the manual says what a subscriber and an operator need to know.

pub(crate) mod delivery;
mod endpoint;
mod notifier;
pub(crate) mod registered;

pub use delivery::Pace;
pub use endpoint::EndpointRules;
pub use notifier::{Notification, Notifier, NotifyError};
