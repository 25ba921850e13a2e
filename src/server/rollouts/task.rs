//! `GET /TENANT/fhir/Task/ID`: a deployment as a Task.

use super::super::Shared;
use super::super::answer::{Result, json};
use super::{AtTenant, Path, problem};
use axum::extract::State;
use axum::http::StatusCode;

pub(super) async fn read(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let task = app.rollouts().task(&tenant, path.deployment()?).await.map_err(|error| problem(&error))?;
    Ok(json(StatusCode::OK, task))
}
