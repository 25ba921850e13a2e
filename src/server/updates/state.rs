//! `GET` and `DELETE` of `/TENANT/updates/ID`: the state of an upload, and its withdrawal.

use super::super::answer::{self, Answer, Problem, Result, json_text};
use super::super::guard::Caller;
use super::super::place::{AtTenant, AtUpload};
use super::super::rollouts::{Asked, with_next};
use super::super::{Shared, UpdateServer, maintenance};
use crate::audit::UploadFailure;
use crate::issue::IssueType;
use crate::manifest::{ActorId, Note};
use crate::primitive::{Instant, Text};
use crate::service::{IngestId, LifecycleError};
use crate::store::Tenant;
use crate::update::ingest::{Ingest, State as Stands};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded;

/// The recorded reason of a withdrawal without one.
const NO_REASON: &str = "withdrawn without a reason";

/// `GET`
pub(crate) async fn show(State(app): State<Shared>, AtUpload(tenant, id): AtUpload) -> Result {
    let ingest = app.updates.upload(&tenant, id).await.map_err(|error| problem(&error, id))?;
    maintenance::remember_tenant(&app, &tenant).await;
    let mut said = with_reference(&app, &tenant, &ingest).await;
    if let Some(key) = ingest.state.key() {
        let damage = app.updates.known_damage(&tenant, &key).await;
        if let Some(damage) = damage.map_err(|error| Problem::of_store(&error, format_args!("upload {id}")))? {
            let since = Instant::try_from(damage.since).ok().map(|since| since.to_string());
            said.insert("damaged".to_owned(), json!({ "since": since, "what": damage.what }));
        }
    }
    Ok(json_text(StatusCode::OK, Value::from(said).to_string()))
}

/// `GET /TENANT/updates`: the uploads of the tenant, newest first.
pub(crate) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["_count", "_page"])?;
    let (count, _) = asked.page()?;
    let after = place(&asked)?;
    let found = app.updates.uploads(&tenant, count, after).await;
    let (uploads, next) = found.map_err(|error| Problem::of_store(&error, "the uploads"))?;
    let next = next.map(|next| asked.next(&format!("{}/updates", app.path(&tenant)), &place_text(next)));
    let all: Vec<Value> = uploads.iter().map(|ingest| Value::from(of(&app, &tenant, ingest))).collect();
    let answer = json_text(StatusCode::OK, json!({ "updates": all, "next": next }).to_string());
    Ok(with_next(answer, next.as_deref()))
}

/// Returns the upload after which a page of the list begins.
pub(crate) fn place(asked: &Asked) -> Result<Option<(OffsetDateTime, IngestId)>> {
    let wrong = || Problem::bad("page", "`_page` is damaged");
    let Some(text) = asked.text("_page") else { return Ok(None) };
    let (nanos, id) = text.split_once('-').ok_or_else(wrong)?;
    let opened = nanos.parse().ok().and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
    Ok(Some((opened.ok_or_else(wrong)?, id.parse().map_err(|_| wrong())?)))
}

/// Returns the position of an upload in the list, for a URL.
pub(crate) fn place_text((opened, id): (OffsetDateTime, IngestId)) -> String {
    format!("{}-{id}", opened.unix_timestamp_nanos())
}

/// `DELETE`, with an optional `reason`: withdraws the update. Its record stays, and a repeated withdrawal changes
/// nothing.
pub(crate) async fn withdraw(
    State(app): State<Shared>,
    AtUpload(tenant, id): AtUpload,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result {
    let why = reason(query.as_deref().unwrap_or_default())?;
    let (status, ingest) = carry_out_withdrawal(&app, &tenant, id, caller.actor()?, why).await?;
    maintenance::remember_tenant(&app, &tenant).await;
    Ok(shown(&app, status, &tenant, &ingest).await)
}

/// Withdraws an update: 200, or 202 where the background work completes it.
pub(crate) async fn carry_out_withdrawal(
    app: &UpdateServer,
    tenant: &Tenant,
    id: IngestId,
    by: ActorId,
    why: Text,
) -> Result<(StatusCode, Ingest)> {
    match app.updates.withdraw(tenant, id, by, why).await {
        Ok(ingest) => Ok((StatusCode::OK, ingest)),
        Err(error) => match app.updates.upload(tenant, id).await.map(|ingest| (ingest.state.clone(), ingest)) {
            // The withdrawal is final, and the background work completes it as soon as the stores allow.
            Ok((Stands::Releasing { reason: UploadFailure::Withdrawn, .. }, ingest)) => {
                tracing::warn!(%tenant, %id, %error, "a withdrawal is not carried out yet");
                Ok((StatusCode::ACCEPTED, ingest))
            }
            Ok((Stands::Releasing { reason, .. } | Stands::Closed { reason }, _)) => {
                let words = format!("there is nothing to withdraw: the upload came to nothing by itself: `{reason}`");
                Err(Problem::new(StatusCode::CONFLICT, IssueType::Conflict, "upload-ended", words))
            }
            _ => Err(problem(&error, id)),
        },
    }
}

/// `POST` of `/TENANT/updates/ID/make-current`, with a `reason`: makes a superseded update current again, and
/// supersedes the one that is current now. A repeated request changes nothing.
pub(crate) async fn make_current(
    State(app): State<Shared>,
    AtUpload(tenant, id): AtUpload,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result {
    let query = query.unwrap_or_default();
    if !form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "reason") {
        let words = "`reason` is missing: to make an update current again is a downgrade, and its reason is recorded";
        return Err(Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "reason-missing", words));
    }
    let ingest = carry_out_return(&app, &tenant, id, caller.actor()?, reason(&query)?).await?;
    maintenance::remember_tenant(&app, &tenant).await;
    Ok(shown(&app, StatusCode::OK, &tenant, &ingest).await)
}

/// Makes a superseded update current again.
pub(crate) async fn carry_out_return(
    app: &UpdateServer,
    tenant: &Tenant,
    id: IngestId,
    by: ActorId,
    why: Text,
) -> Result<Ingest> {
    app.updates.make_current(tenant, id, by, why).await.map_err(|error| match error {
        LifecycleError::Refused { source: refusal, .. } => {
            let words = format!("the update cannot be made current again: {refusal}");
            Problem::new(StatusCode::CONFLICT, IssueType::Conflict, "not-restorable", words)
        }
        LifecycleError::NoReference { .. } => {
            let words = "the update cannot be made current again: its component does not have it any more";
            Problem::new(StatusCode::CONFLICT, IssueType::Conflict, "not-restorable", words)
        }
        error => problem(&error, id),
    })
}

/// Returns the reason for a withdrawal or return. It is stored in the audit records permanently.
fn reason(query: &str) -> Result<Text> {
    let wrong = |why: &dyn std::fmt::Display| {
        Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format_args!("`reason`: {why}"))
    };
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "reason").map(|(_, value)| value);
    let note = Note::new(given.as_deref().unwrap_or(NO_REASON)).map_err(|error| wrong(&error))?;
    Text::new(note.as_str()).map_err(|error| wrong(&error))
}

/// Converts the error of a read or withdrawal of an upload to a problem.
pub(crate) fn problem(error: &LifecycleError, id: IngestId) -> Problem {
    match error {
        LifecycleError::NoSuchUpload { .. } => Problem::not_found(format_args!("there is no upload {id}")),
        LifecycleError::Store(error) => Problem::of_store(error, format_args!("upload {id}")),
        error => {
            answer::report_fault(error);
            let words = "the upload cannot be looked at";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, "fault", words)
        }
    }
}

async fn shown(app: &UpdateServer, status: StatusCode, tenant: &Tenant, ingest: &Ingest) -> Answer {
    json_text(status, Value::from(with_reference(app, tenant, ingest).await).to_string())
}

/// Returns the state of an upload by its record, and its current reference in the component: others may have written to
/// the component since.
async fn with_reference(app: &UpdateServer, tenant: &Tenant, ingest: &Ingest) -> Map<String, Value> {
    let mut said = of(app, tenant, ingest);
    match app.updates.reference(tenant, ingest).await {
        Ok(Some(reference)) => drop(said.insert("reference".to_owned(), json!(reference.as_str()))),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%tenant, id = %ingest.id, %error, "the component of an upload cannot be read");
            said.insert("reference".to_owned(), json!("unknown"));
        }
    }
    said
}

fn of(app: &UpdateServer, tenant: &Tenant, ingest: &Ingest) -> Map<String, Value> {
    let Ingest { id, intent, opened, state, .. } = ingest;
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            said.insert(name.to_owned(), value);
        }
    };
    say("id", json!(id));
    say("state", json!(state.name()));
    say("device", json!(format!("Device/{}", intent.device)));
    say("version", json!(intent.version));
    say("sequence", json!(intent.sequence));
    say("fileName", json!(intent.file_name));
    say("contentType", json!(intent.content_type));
    say("opened", json!(opened));
    if let Some((blob, generation)) = state.held() {
        say("sha256", json!(blob.digest));
        say("size", json!(blob.size));
        say("generation", json!(generation));
    }
    match state {
        Stands::Attached { component, version, .. }
        | Stands::Superseded { component, version, .. }
        | Stands::Restoring { component, version, .. } => {
            say("component", json!(format!("DeviceComponent/{component}/_history/{version}")));
        }
        Stands::Releasing { reason, .. } | Stands::Closed { reason } => say("reason", json!(reason)),
        Stands::Withdrawn { blob, component, until, .. } => {
            say("reason", json!(UploadFailure::Withdrawn));
            say("component", json!(format!("DeviceComponent/{component}")));
            say("sha256", json!(blob.digest));
            say("size", json!(blob.size));
            say("shownUntil", json!(until.format(&Rfc3339).ok()));
        }
        _ => {}
    }
    if let Stands::Superseded { by, .. } = state {
        say("supersededBy", json!(by));
    }
    say("audit", json!(format!("{}/updates/{id}/audit", app.path(tenant))));
    said
}
