//! Keeps pages of other sites from using a service that has no credentials.

use super::answer::Problem;
use super::place::one;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fhir_devices::issue::Kind;
use std::net::IpAddr;

/// Lets a request through that is addressed to this machine, and comes from no page of another.
///
/// Without that, any site that somebody visits could send updates to the service on their machine: directly, or by a name
/// of its own that leads to 127.0.0.1.
pub(crate) async fn local_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = one(headers, &header::HOST).or_else(|| request.uri().host()).unwrap_or_default();
    let origin = headers.contains_key(header::ORIGIN).then(|| one(headers, &header::ORIGIN).unwrap_or_default());
    let foreign = origin.is_some_and(|origin| origin.split_once("://").is_none_or(|(_, host)| !is_local(host)));
    if is_local(host) && !foreign {
        return next.run(request).await;
    }
    let words = "this service has no sign-in, and so answers only what comes from this machine";
    Problem::new(StatusCode::FORBIDDEN, Kind::Forbidden, "local-only", words).into_response()
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for host in ["127.0.0.1:8080", "127.0.0.1", "localhost:80", "LocalHost", "[::1]:8080", "[::1]", "127.3.2.1:1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "example.org", "127.0.0.1.example.org", "10.0.0.1:8080", "[fe80::1]:80", "localhost.evil.org"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
