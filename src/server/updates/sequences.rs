//! `GET` and `PUT` of `/TENANT/sequences/COMPONENT`: the sequence numbers that a component accepted, and the correction
//! of one that was too high.

use super::super::Shared;
use super::super::answer::{Answer, Problem, Result, json_text};
use super::super::guard::Caller;
use super::super::maintenance;
use super::super::place::AtComponent;
use crate::issue::IssueType;
use crate::manifest::Note;
use crate::primitive::Text;
use crate::service::SequenceError;
use crate::support::read_object;
use crate::update::Accepted;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// `GET`
pub(crate) async fn show(State(app): State<Shared>, AtComponent(tenant, component): AtComponent) -> Result {
    let accepted = app.updates.accepted(&tenant, &component).await;
    let accepted = accepted.map_err(|error| Problem::of_store(&error, "what the component accepted"))?;
    Ok(shown(&accepted))
}

/// The body of a `PUT`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lowered {
    highest: u64,
    reason: Note,
    provider: Option<Text>,
}

/// `PUT` of `{"highest": 6, "reason": "..", "provider": ".."}`: lowers the highest accepted number. The provider is
/// left out for updates without a manifest.
pub(crate) async fn lower(
    State(app): State<Shared>,
    AtComponent(tenant, component): AtComponent,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result {
    let Lowered { highest, reason, provider } = read_object(&body).map_err(|error| {
        let words = format!("{error}; wanted `{{\"highest\":6,\"reason\":\"..\"}}`, and `provider` for signed updates");
        Problem::bad("sequence", words)
    })?;
    let lowered =
        app.updates.lower_sequence(&tenant, &component, provider.as_ref(), highest, caller.actor()?, reason).await;
    let accepted = lowered.map_err(|error| problem(&error))?;
    maintenance::remember_tenant(&app, &tenant).await;
    Ok(shown(&accepted))
}

fn problem(error: &SequenceError) -> Problem {
    let conflict = |rule| Problem::new(StatusCode::CONFLICT, IssueType::Conflict, rule, error);
    match error {
        SequenceError::NotLowered(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, "sequence-not-lowered", error)
        }
        SequenceError::UnderWay { .. } => conflict("upload-under-way"),
        SequenceError::Contended { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::LockError, "contended", error).retry_after(1)
        }
        SequenceError::Ledger(error) => Problem::of_store(error, "what the component accepted"),
    }
}

fn shown(accepted: &Accepted) -> Answer {
    let each: Vec<Value> = accepted
        .all()
        .map(|one| match &one.provider {
            Some(provider) => json!({"provider": provider, "highest": one.highest, "upload": one.by}),
            None => json!({"highest": one.highest, "upload": one.by}),
        })
        .collect();
    let said = json!({"component": format!("DeviceComponent/{}", accepted.component), "accepted": each});
    json_text(StatusCode::OK, said.to_string())
}
