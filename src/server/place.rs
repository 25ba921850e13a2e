//! Extractors for the path and headers of requests, outside the FHIR interface.

use super::answer::Problem;
use crate::primitive::Id;
use crate::service::IngestId;
use crate::store::{BlobKey, Tenant};
use crate::support::names_tag;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

/// The tenant of a path.
pub(super) struct AtTenant(pub(super) Tenant);

/// An upload of a tenant, from a path.
pub(super) struct AtUpload(pub(super) Tenant, pub(super) IngestId);

/// A component of a tenant, from a path.
pub(super) struct AtComponent(pub(super) Tenant, pub(super) Id);

/// A file of a tenant, from a path.
pub(super) struct AtBlob(pub(super) Tenant, pub(super) BlobKey);

async fn segments<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    let found = RawPathParams::from_request_parts(parts, state).await;
    found.map_err(|_| Problem::bad("path", "the path is not UTF-8"))
}

fn segment<'p>(params: &'p RawPathParams, name: &str) -> &'p str {
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default()
}

fn tenant(params: &RawPathParams) -> Result<Tenant, Problem> {
    segment(params, "tenant").parse().map_err(Problem::not_found)
}

macro_rules! place {
    ($Name:ident, $params:ident => $made:expr) => {
        impl<S: Send + Sync> FromRequestParts<S> for $Name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let $params = &segments(parts, state).await?;
                Ok($made)
            }
        }
    };
}

place!(AtTenant, params => AtTenant(tenant(params)?));
place!(AtUpload, params => {
    let wrong = |error| Problem::bad("upload", error);
    AtUpload(tenant(params)?, segment(params, "id").parse().map_err(wrong)?)
});
place!(AtComponent, params => {
    AtComponent(tenant(params)?, Id::new(segment(params, "component")).map_err(Problem::not_found)?)
});
place!(AtBlob, params => {
    let digest = segment(params, "digest").parse().map_err(Problem::not_found)?;
    let generation = segment(params, "generation").parse().map_err(Problem::not_found)?;
    AtBlob(tenant(params)?, BlobKey { digest, generation })
});

/// Returns the value of a header, if it is present and text.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Returns whether `If-None-Match` names the tag, so that the client has the content already. Tags are compared weakly.
pub(super) fn client_has(headers: &HeaderMap, tag: &str) -> bool {
    let mut values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| names_tag(value, tag))
}
