//! hawkBit's device interface at `/TENANT/controller/v1/DEVICE`, and the signed links to bytes that it gives.

use super::super::answer::{self, Problem, Result, set};
use super::super::guard::Caller;
use super::super::place::one;
use super::super::{Shared, UpdateServer, maintenance};
use super::{AtTenant, Path, device, problem};
use crate::ddi::{DeviceInterface, LinkKey, MAX_BODY, Method as DdiMethod, Refusal, Request as DdiRequest, SignedLink};
use crate::issue::IssueType;
use crate::manifest::ActorId;
use crate::publish::OfferKey;
use crate::store::{Applied, Change, CommitError, Ledger, LedgerKey, StoreError, Tenant};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The record of the key that signs links, under the name of the service's own tenant.
const LINK_KEY: &str = "link-key";

/// How the key is kept.
#[derive(Serialize, Deserialize)]
struct KeptKey {
    format: u32,
    key: [u8; 32],
}

const FORMAT: u32 = 1;

impl UpdateServer {
    /// Returns the device interface. The key of its links is made once, and is the same in every process.
    pub(in super::super) async fn device_interface(&self) -> std::result::Result<&DeviceInterface, StoreError> {
        let made = self.devices.get_or_try_init(async || {
            let key = link_key(self.ledger.as_ref(), self.tenants.own()).await?;
            let interface = DeviceInterface::new(self.rollouts().clone(), &self.base, key.clone());
            Ok::<_, StoreError>((interface.with_polling(self.device_polling), key))
        });
        made.await.map(|(interface, _)| interface)
    }

    async fn link_key(&self) -> std::result::Result<&LinkKey, StoreError> {
        self.device_interface().await?;
        self.devices.get().map(|(_, key)| key).ok_or_else(|| StoreError::unavailable(None, None))
    }
}

/// Reads the key of links, or makes it where there is none.
async fn link_key(ledger: &dyn Ledger, own: &Tenant) -> std::result::Result<LinkKey, StoreError> {
    let place = LedgerKey::new(LINK_KEY)?;
    loop {
        if let Some(record) = ledger.get(own, &place).await? {
            let kept = serde_json::from_slice::<KeptKey>(&record.value).ok().filter(|kept| kept.format == FORMAT);
            let kept = kept.ok_or_else(|| StoreError::corrupt(format!("the record `{place}` cannot be read")))?;
            return Ok(LinkKey::from_bytes(kept.key));
        }
        let made = LinkKey::random()?;
        let value = serde_json::to_vec(&KeptKey { format: FORMAT, key: made.to_bytes() }).unwrap_or_default();
        match ledger.apply(own, vec![Change::create(place.clone(), value)]).await {
            Ok(_) => return Ok(made),
            // Another request was first, or another process: the next look tells.
            Err(CommitError { error: StoreError::AlreadyExists { .. }, .. }) => {}
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {}
            Err(CommitError { error, .. }) => return Err(error),
        }
    }
}

/// Returns who asks by a signed link to a file of an offer; `None` where a request has no signature.
pub(in super::super) async fn signed_link(
    app: &UpdateServer,
    method: &Method,
    uri: &Uri,
) -> std::result::Result<Option<Caller>, Problem> {
    let mut parts = uri.path().split('/').skip(1);
    let place = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(tenant), Some("offers"), Some(key), Some(file), None) = place else { return Ok(None) };
    let Some(query) = uri.query().filter(|query| SignedLink::is_in(query)) else { return Ok(None) };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let refused = |words: &dyn std::fmt::Display| {
        Problem::new(StatusCode::FORBIDDEN, IssueType::Forbidden, "link-signature", words)
    };
    let wrong = || refused(&crate::ddi::LinkRefusal::Wrong);
    let link = SignedLink::read(query).ok_or_else(wrong)?;
    let tenant: Tenant = tenant.parse().map_err(|_| wrong())?;
    let key: OfferKey = key.parse().map_err(|_| wrong())?;
    let file = percent_decode_str(file).decode_utf8_lossy();
    let own = app.link_key().await.map_err(|error| Problem::of_store(&error, "the key of links"))?;
    own.verify(&tenant, key, &file, &link, OffsetDateTime::now_utc()).map_err(|error| refused(&error))?;
    let name = ActorId::new(format!("device/{}", link.device)).map_err(|error| refused(&error))?;
    Ok(Some(Caller::Named(name)))
}

/// Every request of a device: `/TENANT/controller/v1/DEVICE` and below.
pub(super) async fn handle(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
    method: Method,
    headers: HeaderMap,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Result {
    let device = device::device(&path, &caller)?;
    let body = body.map_err(|rejected| match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let words = format!("the body has more than {MAX_BODY} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-large", words)
        }
        _ => Problem::bad("body", "the body broke off"),
    })?;
    let method = match method {
        Method::GET | Method::HEAD => DdiMethod::Get,
        Method::POST => DdiMethod::Post,
        Method::PUT => DdiMethod::Put,
        other => {
            let words = format!("the device interface does not take {other}");
            return Err(Problem::unsupported(StatusCode::METHOD_NOT_ALLOWED, "method", words));
        }
    };
    let parts: Vec<&str> = path.text("rest").split('/').filter(|part| !part.is_empty()).take(8).collect();
    let if_none_match = one(&headers, &header::IF_NONE_MATCH);
    let request = DdiRequest::new(method, &parts, &body).with_if_none_match(if_none_match);
    let interface = app.device_interface().await.map_err(|error| Problem::of_store(&error, "the key of links"))?;
    let response = interface.handle(&tenant, &device, &request).await.map_err(|refusal| refused(&refusal))?;
    if response.changed {
        app.wake.now();
        maintenance::remember_tenant(&app, &tenant).await;
    }
    let mut made = match response.body {
        Some(body) => answer::json_text(StatusCode::OK, body),
        None => answer::empty(StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK)),
    };
    if let Some(etag) = response.etag {
        set(&mut made, header::ETAG, etag);
        // A client may keep the answer, and asks each time whether it is still so.
        set(&mut made, header::CACHE_CONTROL, "private, no-cache");
    }
    Ok(made)
}

/// Why a device was refused, with the status that it acts on.
fn refused(refusal: &Refusal) -> Problem {
    let (kind, rule) = match refusal {
        Refusal::Rollout(error) => return problem(error),
        Refusal::NoSuchPath { .. } => (IssueType::NotFound, "no-such-path"),
        Refusal::NoSuchAction { .. } => (IssueType::NotFound, "no-such-action"),
        Refusal::NoSuchUpdate { .. } => (IssueType::NotFound, "no-such-update"),
        Refusal::OtherMethod { .. } => (IssueType::NotSupported, "method"),
        Refusal::NotActive { .. } => (IssueType::NotFound, "action-not-active"),
        Refusal::OtherAction { .. } => (IssueType::Value, "other-action"),
        Refusal::Malformed { .. } => (IssueType::Structure, "malformed"),
        Refusal::TooLarge { .. } => (IssueType::TooLong, "too-large"),
        Refusal::TooMuch { .. } => (IssueType::TooLong, "too-much"),
        Refusal::NotOneFile { .. } => (IssueType::BusinessRule, "not-one-file"),
    };
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, kind, rule, refusal)
}
