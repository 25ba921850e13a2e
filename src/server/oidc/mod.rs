//! Sign-in by OpenID Connect: people by the authorization code flow with PKCE, programs by JSON Web Tokens.
//!
//! An [`OpenIdProvider`] reads the provider's discovery document and its keys. It is an
//! [`Authenticator`](super::Authenticator) of access tokens, and [`UpdateServer::with_open_id`](super::UpdateServer::with_open_id)
//! adds the pages on which people sign in.

mod claims;
mod cookie;
mod options;
mod people;
mod provider;
mod token;

pub use options::OidcOptions;
pub use people::SessionKey;
pub use provider::OpenIdProvider;

pub(super) use people::{SignIn, led_to_sign_in, routes};
