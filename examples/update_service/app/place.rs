//! What the path and the headers of a request say, checked before anything else is looked at.

use super::answer::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use fhir_devices::code::RESOURCE_TYPES;
use fhir_devices::issue::Kind;
use fhir_devices::store::{BlobKey, Key, Precondition, ResourceType, Tenant, VersionId};

/// The tenant of the path.
pub(crate) struct AtTenant(pub(crate) Tenant);

/// A type of resource of a tenant.
pub(crate) struct AtType(pub(crate) Tenant, pub(crate) ResourceType);

/// One resource of a tenant.
pub(crate) struct AtKey(pub(crate) Tenant, pub(crate) Key);

/// One version of a resource of a tenant.
pub(crate) struct AtVersion(pub(crate) Tenant, pub(crate) Key, pub(crate) VersionId);

/// One file of a tenant.
pub(crate) struct AtBlob(pub(crate) Tenant, pub(crate) BlobKey);

/// The client takes JSON, which is all that we have.
pub(crate) struct TakesJson;

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

fn resource_type(params: &RawPathParams) -> Result<ResourceType, Problem> {
    let name = segment(params, "type");
    name.parse().map_err(|_| {
        if RESOURCE_TYPES.contains(&name) {
            let words = format!("this service keeps no {name}, only Device, DeviceComponent and DeviceMetric");
            Problem::unsupported(StatusCode::NOT_FOUND, "resource-type", words)
        } else {
            Problem::not_found(format!("`{name}` is not a resource type of FHIR STU3"))
        }
    })
}

fn key(params: &RawPathParams) -> Result<Key, Problem> {
    let resource_type = resource_type(params)?;
    Key::new(resource_type, segment(params, "id"))
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, Kind::Value, "id", error))
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
place!(AtType, params => AtType(tenant(params)?, resource_type(params)?));
place!(AtKey, params => AtKey(tenant(params)?, key(params)?));
place!(AtVersion, params => {
    let (tenant, key) = (tenant(params)?, key(params)?);
    let text = segment(params, "vid");
    let version = text.parse().map_err(|_| Problem::not_found(format!("{key} has no version `{text}`")))?;
    AtVersion(tenant, key, version)
});
place!(AtBlob, params => {
    let digest = segment(params, "digest").parse().map_err(Problem::not_found)?;
    let generation = segment(params, "generation").parse().map_err(Problem::not_found)?;
    AtBlob(tenant(params)?, BlobKey { digest, generation })
});

impl<S: Send + Sync> FromRequestParts<S> for TakesJson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |wanted: &str| {
            let words = format!("`{wanted}` is asked for, and this service writes only application/fhir+json");
            Err(Problem::unsupported(StatusCode::NOT_ACCEPTABLE, "format", words))
        };
        // `_format` goes before `Accept`, for clients that cannot set a header.
        let query = parts.uri.query().unwrap_or_default();
        if let Some((_, format)) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format") {
            // A `+` that was not encoded came out as a blank.
            let format = format.replace(' ', "+");
            return if is_json(&format) || format == "json" { Ok(Self) } else { refuse(&format) };
        }
        let accept = all(&parts.headers, &header::ACCEPT);
        if accept.trim().is_empty() || accept.split(',').any(takes_json) { Ok(Self) } else { refuse(&accept) }
    }
}

/// Whether one range of an `Accept` header takes in what we write.
fn takes_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let refused = parts.any(|part| {
        let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
        weight.is_some_and(|weight| weight.trim().parse::<f32>() == Ok(0.0))
    });
    !refused && (is_json(kind) || kind == "*/*" || kind.eq_ignore_ascii_case("application/*"))
}

/// Whether a media type is JSON, in one of the names that FHIR clients have for it.
fn is_json(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(name.as_str(), "application/fhir+json" | "application/json" | "application/json+fhir" | "text/json")
}

/// Checks that a body is JSON by its `Content-Type`.
pub(crate) fn body_is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = all(headers, &header::CONTENT_TYPE);
    if is_json(&kind) {
        return Ok(());
    }
    let found =
        if kind.is_empty() { "the body has no `Content-Type`".to_owned() } else { format!("the body is `{kind}`") };
    let words = format!("{found}, and application/fhir+json is wanted");
    Err(Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", words))
}

/// The value of a header, where it is there and text.
pub(crate) fn one<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// The values of a header that may come several times.
fn all(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// What `If-Match` asks for.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Precondition>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Some(Precondition::Exists));
    }
    match VersionId::from_etag(text) {
        Ok(version) => Ok(Some(Precondition::Version(version))),
        // A tag in the right form that we never gave out: no version has it.
        Err(error) if text.trim_start_matches("W/").len() > 1 && text.ends_with('"') => {
            Err(Problem::new(StatusCode::CONFLICT, Kind::Conflict, "version-conflict", error))
        }
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, Kind::Value, "if-match", error)),
    }
}

/// Whether `If-None-Match` names the tag, so that the client has what it asks for. Tags are compared weakly.
pub(crate) fn client_has(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = all(headers, &header::IF_NONE_MATCH);
    known.split(',').any(|one| one.trim() == "*" || bare(one) == bare(tag))
}
