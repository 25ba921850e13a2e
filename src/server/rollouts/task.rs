//! `GET /TENANT/fhir/Task/ID`: a deployment as a Task; `GET /TENANT/fhir/AuditEvent?entity=Task/ID`: its audit records;
//! `GET /TENANT/fhir/Provenance?entity=Task/ID`: the version of the component that its device's report made.

use super::super::Shared;
use super::super::answer::{Answer, Problem, Result, json};
use super::{Asked, AtTenant, Path, problem};
use crate::audit::{AuditRecord, audit_event_under, provenance_under};
use crate::store::Tenant;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde_json::json as value;
use serde_json::value::RawValue;

/// Returns a deployment as a Task.
pub(super) async fn read(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let task = app.rollouts().task(&tenant, path.deployment()?).await.map_err(|error| problem(&error))?;
    Ok(json(StatusCode::OK, task))
}

/// Returns the audit records of a deployment as AuditEvents, in a Bundle.
pub(super) async fn events(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let records = records(&app, &tenant, query.as_deref()).await?;
    Ok(bundle(records.iter().map(|record| audit_event_under(record, &app.canonical))))
}

/// Returns the origin of component versions as Provenances in a Bundle: one where the device's report of its version
/// changed the component.
pub(super) async fn provenances(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    RawQuery(query): RawQuery,
) -> Result {
    let records = records(&app, &tenant, query.as_deref()).await?;
    Ok(bundle(records.iter().filter_map(|record| provenance_under(record, &app.canonical))))
}

/// Returns the audit records of the deployment in a query.
async fn records(app: &Shared, tenant: &Tenant, query: Option<&str>) -> Result<Vec<AuditRecord>> {
    let asked = Asked::read(query, &["entity"])?;
    let task = asked.text("entity").and_then(|entity| entity.strip_prefix("Task/"));
    let task = task.ok_or_else(|| Problem::bad("search-value", "`entity` is missing, wanted `Task/` and an id"))?;
    let id = task.parse().map_err(Problem::not_found)?;
    app.rollouts().deployment_records(tenant, id).await.map_err(|error| problem(&error))
}

fn bundle(resources: impl Iterator<Item = String>) -> Answer {
    let resources = resources.map(RawValue::from_string);
    let entries: Vec<_> = resources.filter_map(|resource| Some(value!({ "resource": resource.ok()? }))).collect();
    let bundle = value!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries });
    json(StatusCode::OK, bundle.to_string())
}
