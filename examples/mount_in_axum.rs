//! Mounts the update service in an axum application with its own routes and authentication.
//!
//! ```text
//! UPDATE_TOKEN=secret cargo run --release --features server --example mount_in_axum -- 127.0.0.1:8080
//! curl -H 'Authorization: Bearer secret' http://127.0.0.1:8080/devices/demo/fhir/metadata
//! ```

use axum::Router;
use axum::routing::get;
use fhir_devices::server::{
    Access, Authenticator, Caller, DEFAULT_MAX_UPLOAD, Grant, Stores, UpdateServer, fill_demo, spawn_maintenance,
};
use fhir_devices::store::BoxFuture;
use lexopt::{Arg, ValueExt as _};
use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

const USAGE: &str = "usage: mount_in_axum [ADDR]

Serves an application at ADDR (127.0.0.1:8080 if it is left out), with the update service below `/devices`.
The service asks for the token in the environment variable UPDATE_TOKEN.";

/// Knows one token. A real application asks its identity provider.
struct OneToken(String);

impl Authenticator for OneToken {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
        Box::pin(async move { (token == self.0).then(|| Grant::new(Caller::Unnamed, Access::Everything)) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let mut address = "127.0.0.1:8080".to_owned();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => {
                // A reader that closed the output needs no more help.
                let _ = writeln!(out, "{USAGE}");
                return Ok(());
            }
            Arg::Value(text) => address = text.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let token = std::env::var("UPDATE_TOKEN").map_err(|_| "UPDATE_TOKEN holds no token (see `--help`)")?;
    let listener = TcpListener::bind(&address).await.map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let own = format!("http://{}", listener.local_addr()?);

    // The URLs that the service writes begin with the path where it is mounted.
    let updates =
        UpdateServer::over(Stores::in_memory(DEFAULT_MAX_UPLOAD), &format!("{own}/devices"), DEFAULT_MAX_UPLOAD)?
            .with_authenticator(Arc::new(OneToken(token)));
    fill_demo(&updates).await?;
    let updates = Arc::new(updates);
    spawn_maintenance(&updates);
    let application = Router::new().route("/", get(|| async { "an application" })).nest("/devices", updates.router());

    writeln!(out, "listening on {own}")?;
    axum::serve(listener, application.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
