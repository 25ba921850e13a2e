//! The interface of devices: their offers, the bytes of an offer, and their reports.

use super::super::answer::{self, Problem, Result, json_text, set};
use super::super::guard::Caller;
use super::super::{Shared, UpdateServer, blobs, file_url, maintenance};
use super::{AtTenant, Path, problem};
use crate::issue::IssueType;
use crate::manifest::ArtifactName;
use crate::primitive::Id;
use crate::publish::{OfferKey, RegionId};
use crate::service::{DeviceReport, InvalidReport, ReportAnswer, RolloutError};
use crate::store::Tenant;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// Returns the device that a caller is limited to: a token with the name `device/ID` is that of the device alone.
fn own_device(caller: &Caller) -> Option<Id> {
    let Caller::Named(name) = caller else { return None };
    Id::new(name.as_str().strip_prefix("device/")?).ok()
}

/// Returns the device of the path; 404 where the caller is another device.
pub(super) fn device(path: &Path, caller: &Caller) -> Result<Id> {
    let device = Id::new(path.text("device")).map_err(Problem::not_found)?;
    match own_device(caller) {
        Some(own) if own != device => Err(Problem::not_found(format!("there is no device `{device}`"))),
        _ => Ok(device),
    }
}

impl UpdateServer {
    /// Records a report of a device that came by another way than HTTP, and goes on with the rollout. The caller has authenticated
    /// the device.
    ///
    /// # Errors
    /// As [`RolloutService::report`](crate::service::RolloutService::report).
    pub async fn report(
        &self,
        tenant: &Tenant,
        device: &Id,
        report: DeviceReport,
    ) -> std::result::Result<ReportAnswer, RolloutError> {
        let answer = self.rollouts().report(tenant, device, report).await?;
        if answer == ReportAnswer::Taken {
            self.wake.now();
            maintenance::remember_tenant(self, tenant).await;
        }
        Ok(answer)
    }

    /// Lists the devices of a region that have a live deployment, by tenant: those whose reports are waited for.
    ///
    /// # Errors
    /// As [`RolloutService::live_devices`](crate::service::RolloutService::live_devices).
    pub async fn live_devices(&self, region: &RegionId) -> std::result::Result<Vec<(Tenant, Vec<Id>)>, RolloutError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.tenants.page(after.as_ref()).await?;
            for tenant in page.items {
                let devices = self.rollouts().live_devices(&tenant, region).await?;
                if !devices.is_empty() {
                    all.push((tenant, devices));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

/// `GET /TENANT/devices/DEVICE/offers`: the offers for a device that polls.
pub(super) async fn offers(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
) -> Result {
    let device = device(&path, &caller)?;
    let offers = app.rollouts().offers(&tenant, &device).await.map_err(|error| problem(&error))?;
    Ok(json_text(StatusCode::OK, json!({ "offers": offers }).to_string()))
}

/// `POST /TENANT/devices/DEVICE/reports`: 200 for new, known and late reports, since a device that repeats a report
/// whose answer was lost takes any other status as a reason to start over.
pub(super) async fn report(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
    body: Bytes,
) -> Result {
    let device = device(&path, &caller)?;
    let reports = DeviceReport::read(&body).map_err(|error| match error {
        InvalidReport::TooMany { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-many-reports", error)
        }
        _ => Problem::bad("report", error),
    })?;
    let mut answers = Vec::with_capacity(reports.len());
    for report in reports {
        let taken = app.report(&tenant, &device, report).await.map_err(|error| problem(&error))?;
        answers.push(match taken {
            ReportAnswer::Taken => json!({ "answer": "taken" }),
            ReportAnswer::Known => json!({ "answer": "known" }),
            ReportAnswer::Late { outcome } => json!({ "answer": "late", "outcome": outcome }),
        });
    }
    Ok(json_text(StatusCode::OK, Value::from(answers).to_string()))
}

/// `GET /TENANT/offers/KEY/FILE`: the bytes or a redirect to them, after the delivery is recorded.
pub(super) async fn gate(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
    headers: HeaderMap,
) -> Result {
    let key: OfferKey = path.part("key")?;
    let name = percent_decode_str(path.text("file")).decode_utf8_lossy().into_owned();
    let name = ArtifactName::new(&name).map_err(Problem::not_found)?;
    let own = own_device(&caller);
    let claimed = app.rollouts().claim(&tenant, key, &name, own.as_ref()).await;
    let granted = claimed.map_err(|error| problem(&error))?;
    app.wake.now();
    let mut answer = match &app.cdn {
        Some(cdn) => {
            let mut answer = answer::empty(StatusCode::FOUND);
            set(&mut answer, header::LOCATION, file_url(cdn, &tenant, &granted.blob));
            answer
        }
        None => {
            let mut answer = blobs::give(&app, &tenant, &granted.blob, &headers).await?;
            set(&mut answer, header::CONTENT_TYPE, &granted.media_type);
            answer
        }
    };
    // The next request must be checked again: the offer may be withdrawn by then.
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    Ok(answer)
}
