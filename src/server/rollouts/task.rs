//! `GET /TENANT/fhir/Task/ID`: a deployment as a Task, and `GET /TENANT/fhir/AuditEvent?entity=Task/ID`: what was recorded of it.

use super::super::Shared;
use super::super::answer::{Problem, Result, json};
use super::{Asked, AtTenant, Path, problem};
use crate::audit::audit_event_under;
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
    let asked = Asked::read(query.as_deref(), &["entity"])?;
    let task = asked.text("entity").and_then(|entity| entity.strip_prefix("Task/"));
    let task = task.ok_or_else(|| Problem::bad("search-value", "`entity` is missing, wanted `Task/` and an id"))?;
    let id = task.parse().map_err(Problem::not_found)?;
    let records = app.rollouts().deployment_records(&tenant, id).await.map_err(|error| problem(&error))?;
    let events = records.iter().map(|record| RawValue::from_string(audit_event_under(record, &app.canonical)));
    let entries: Vec<_> = events.filter_map(|event| Some(value!({ "resource": event.ok()? }))).collect();
    let bundle = value!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries });
    Ok(json(StatusCode::OK, bundle.to_string()))
}
