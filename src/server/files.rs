//! Ownership of update files: the check at the start, the adoption of a store, the files in quarantine, and a log line
//! for each file that is deleted or found damaged.

use super::answer::{Answer, Problem, Result, plain, set};
use super::place::AtTenant;
use super::{Shared, UpdateServer, maintenance};
use crate::audit::{Action, AuditRecord};
use crate::service::MaintenanceError;
use crate::store::{PageToken, Tenant};
use axum::extract::{RawQuery, State};
use axum::http::header;
use serde_json::json;
use std::num::NonZeroU32;
use url::form_urlencoded;

/// The actor of an adoption in audit records.
const OPERATOR: &str = "operator";

/// The reason of an adoption in audit records.
const WHY: &str = "the service was started with --adopt-store";

/// Number of files on a page.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Checks that the update files of a tenant belong to the ledger, and adopts them if not and adoption is requested.
///
/// # Errors
/// [`MaintenanceError::Mismatch`] where they do not and adoption is not requested; errors of the stores.
pub(super) async fn check(app: &UpdateServer, tenant: &Tenant) -> std::result::Result<(), MaintenanceError> {
    match app.updates.check_store(tenant).await {
        Err(MaintenanceError::Mismatch(mismatch)) if app.adopts_stores => {
            let invalid = |error: &dyn std::fmt::Display| crate::store::StoreError::invalid(error.to_string());
            let actor = OPERATOR.parse().map_err(|error| invalid(&error))?;
            let why = WHY.parse().map_err(|error| invalid(&error))?;
            let adopted = app.updates.adopt_store(tenant, actor, why).await?;
            tracing::warn!(%tenant, id = %adopted.id, found = %mismatch, "adopted the store of update files");
            Ok(())
        }
        checked => checked.map(drop),
    }
}

/// Checks the update files of every known tenant.
pub(super) async fn check_all(app: &UpdateServer) -> std::result::Result<(), MaintenanceError> {
    // The list of tenants is lost together with the ledger; the service's own tenant shows that this is another ledger.
    check(app, app.tenants.own()).await?;
    let mut after = None;
    loop {
        let page = app.tenants.page(after.as_ref()).await?;
        for tenant in &page.items {
            check(app, tenant).await?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Logs the fate of a file, from its audit record.
pub(super) fn log(record: &AuditRecord) {
    let (tenant, what) = (&record.tenant, &record.draft);
    let Some(key) = what.blob.zip(what.generation).map(|(blob, generation)| blob.key(generation)) else { return };
    match what.action {
        Action::Gone => tracing::info!(%tenant, %key, "deleted a file that nobody needs"),
        Action::Quarantined => tracing::warn!(%tenant, %key, "a file that the ledger does not know is in quarantine"),
        Action::Readmitted => tracing::info!(%tenant, %key, "the ledger knows a file again: it left quarantine"),
        Action::Swept => tracing::warn!(%tenant, %key, "deleted a file that the ledger does not know"),
        Action::Damaged => tracing::error!(%tenant, %key, "a file is damaged"),
        Action::Repaired => tracing::warn!(%tenant, %key, "an upload has a whole copy of its file again"),
        Action::DamageCleared => tracing::info!(%tenant, %key, "a damaged file is no longer needed, or whole"),
        _ => {}
    }
}

/// `GET /TENANT/quarantine`: the files that the ledger does not know, paged by `after`.
pub(super) async fn quarantine(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    RawQuery(query): RawQuery,
) -> Result<Answer> {
    let query = query.unwrap_or_default();
    let after = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "after");
    let after: Option<PageToken> =
        after.map(|(_, token)| token.parse()).transpose().map_err(|error| Problem::bad("page", error))?;
    let page = app.updates.quarantine(&tenant, PAGE, after.as_ref()).await;
    let page = page.map_err(|error| Problem::of_store(&error, "the files in quarantine"))?;
    maintenance::remember_tenant(&app, &tenant).await;
    let moment = |at: time::OffsetDateTime| crate::primitive::Instant::try_from(at).ok().map(|at| at.to_string());
    let files = page.items.iter().map(|file| {
        json!({
            "sha256": file.key.digest,
            "generation": file.key.generation,
            "size": file.size,
            "firstSeen": moment(file.first_seen),
            "since": file.since.and_then(moment),
            "due": file.due.and_then(moment),
        })
    });
    let files: Vec<_> = files.collect();
    let next = page.next.as_ref().map(|token| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("after", token.as_str()).finish();
        format!("{}/quarantine?{query}", app.path(&tenant))
    });
    let mut answer = plain("application/json", json!({ "files": files, "next": next }).to_string());
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    Ok(answer)
}
