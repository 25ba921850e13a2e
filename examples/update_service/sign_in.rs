//! Sign-in at a provider of OpenID Connect.

use fhir_devices::server::UpdateServer;
#[cfg(feature = "oidc")]
use fhir_devices::server::{OidcOptions, OpenIdProvider, shared_session_key};
use fhir_devices::store::Ledger;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// Has people sign in, and programs, at the provider that a file of settings names.
#[cfg(feature = "oidc")]
pub(crate) async fn at_provider(
    app: UpdateServer,
    file: &Path,
    ledger: &Arc<dyn Ledger>,
) -> Result<UpdateServer, Box<dyn Error>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let options = OidcOptions::read(&text).map_err(|error| format!("{shown}: {error}"))?;
    let key =
        shared_session_key(ledger).await.map_err(|error| format!("the ledger has no key of sessions: {error}"))?;
    Ok(app.with_open_id(Arc::new(OpenIdProvider::new(options)?), key))
}

#[cfg(not(feature = "oidc"))]
#[allow(clippy::unused_async, reason = "a build with the feature waits for the ledger")]
pub(crate) async fn at_provider(
    _: UpdateServer,
    _: &Path,
    _: &Arc<dyn Ledger>,
) -> Result<UpdateServer, Box<dyn Error>> {
    Err("this build has no OpenID Connect: build it with `--features server,oidc`".into())
}
