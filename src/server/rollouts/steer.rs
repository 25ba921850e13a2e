//! Rollouts: creation, reads and controls.

use super::super::answer::{Problem, Result, json_text, set};
use super::super::guard::Caller;
use super::super::{Shared, maintenance};
use super::{Asked, AtTenant, Path, problem, request, with_next};
use crate::issue::IssueType;
use crate::manifest::Note;
use crate::primitive::Instant;
use crate::service::{DeploymentFilter, RolloutView};
use crate::store::{PageToken, Sha256};
use crate::support::read_object;
use crate::update::deployment::{Deployment, OutcomeClass};
use crate::update::rollout::{Counts, Rollout, RolloutId, Tally};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The recorded reason of an action without one.
const NO_REASON: &str = "without a reason";

/// `POST /TENANT/rollouts`
pub(super) async fn create(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result {
    let rollouts = app.rollouts();
    let wanted = request::read(&body, rollouts.regions())?;
    let made = rollouts.create(&tenant, wanted, &caller.actor()?).await.map_err(|error| problem(&error))?;
    let made = rollouts.submit(&tenant, made.id).await.map_err(|error| problem(&error))?;
    maintenance::remember_tenant(&app, &tenant).await;
    app.wake.now();
    let mut answer = json_text(StatusCode::CREATED, short(&made).to_string());
    set(&mut answer, header::LOCATION, format!("{}/rollouts/{}", app.path(&tenant), made.id));
    Ok(answer)
}

fn short(rollout: &Rollout) -> Value {
    json!({ "id": rollout.id, "status": rollout.status, "author": rollout.author, "spec": rollout.spec })
}

/// `GET /TENANT/rollouts`: the active rollouts; with `ended=true` the ended ones.
pub(super) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["ended", "_count", "_page"])?;
    let (count, after) = asked.page()?;
    let ended = asked.value::<bool>("ended")?.unwrap_or(false);
    let page = app.rollouts().rollouts(&tenant, ended, count, after.as_ref()).await.map_err(|error| problem(&error))?;
    let next = page.next.as_ref().map(PageToken::as_str);
    let next = next.map(|next| asked.next(&format!("{}/rollouts", app.path(&tenant)), next));
    let all: Vec<Value> = page.items.iter().map(short).collect();
    let answer = json_text(StatusCode::OK, json!({ "rollouts": all, "next": next }).to_string());
    Ok(with_next(answer, next.as_deref()))
}

/// Returns the number of deployments in each state, and with each outcome.
fn counted(counts: &Counts, tally: &Tally) -> Value {
    let mut all = Map::new();
    for (name, count) in counts.by_state() {
        all.insert(name.to_owned(), json!(count));
    }
    for class in OutcomeClass::ALL {
        all.insert(class.to_string(), json!(tally.of(*class)));
    }
    Value::from(all)
}

fn long(view: &RolloutView) -> Value {
    let Rollout { id, author, status, epoch, wave, planned, approvals, spec, .. } = &view.rollout;
    let regions: Map<String, Value> =
        view.regions.iter().map(|(region, (counts, tally))| (region.to_string(), counted(counts, tally))).collect();
    json!({
        "id": id,
        "release": view.spec.release,
        "author": author,
        "status": status,
        "wave": wave,
        "epoch": epoch,
        "spec": spec,
        "request": *view.spec,
        "approvals": approvals,
        "approvals_needed": view.spec.approvals,
        "planned": { "found": planned.found, "done": planned.done },
        "counts": counted(&view.counts, &view.tally),
        "regions": regions,
        "already_out": view.already_out,
    })
}

/// `GET /TENANT/rollouts/ID`
pub(super) async fn show(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let view = app.rollouts().view(&tenant, path.rollout()?).await.map_err(|error| problem(&error))?;
    Ok(json_text(StatusCode::OK, long(&view).to_string()))
}

/// `GET /TENANT/rollouts/ID/measures`
pub(super) async fn measures(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let found = app.rollouts().measures(&tenant, path.rollout()?).await.map_err(|error| problem(&error))?;
    let times = found.time_to_field.map(|times| {
        json!({ "count": times.count, "median_seconds": times.median.as_secs(), "p95_seconds": times.p95.as_secs() })
    });
    let said = json!({
        "counts": counted(&found.counts, &found.tally),
        "done_permille": found.done_permille,
        "unproven": found.unproven,
        "late": found.late,
        "oldest_late_seconds": found.oldest.map(|oldest| oldest.as_secs()),
        "time_to_field": times,
    });
    Ok(json_text(StatusCode::OK, said.to_string()))
}

fn deployment(app: &Shared, tenant: &crate::store::Tenant, one: &Deployment) -> Value {
    json!({
        "id": one.id,
        "device": format!("Device/{}", one.device),
        "component": format!("DeviceComponent/{}", one.component),
        "region": one.region,
        "wave": one.wave,
        "lane": one.lane,
        "attempt": one.state.attempt(),
        "state": one.state.name(),
        "outcome": one.state.outcome().map(crate::update::deployment::Outcome::class),
        "already_out": one.granted,
        "task": format!("{}/fhir/Task/{}", app.path(tenant), one.id),
    })
}

/// `GET /TENANT/rollouts/ID/deployments`, with `state`, `outcome` and `already_out`.
pub(super) async fn deployments(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    path: Path,
    RawQuery(query): RawQuery,
) -> Result {
    let id = path.rollout()?;
    app.rollouts().rollout(&tenant, id).await.map_err(|error| problem(&error))?;
    let asked = Asked::read(query.as_deref(), &["state", "outcome", "already_out", "_count", "_page"])?;
    let (count, after) = asked.page()?;
    let filter = DeploymentFilter {
        state: asked.value("state")?,
        outcome: asked.value("outcome")?,
        granted: asked.value::<bool>("already_out")?.unwrap_or(false),
    };
    let page = app.rollouts().deployments(&tenant, id, filter, count, after.as_ref()).await;
    let page = page.map_err(|error| problem(&error))?;
    let own = format!("{}/rollouts/{id}/deployments", app.path(&tenant));
    let next = page.next.as_ref().map(|next| asked.next(&own, next.as_str()));
    let all: Vec<Value> = page.items.iter().map(|one| deployment(&app, &tenant, one)).collect();
    let answer = json_text(StatusCode::OK, json!({ "deployments": all, "next": next }).to_string());
    Ok(with_next(answer, next.as_deref()))
}

/// `GET /TENANT/rollouts/ID/deployments/ID/explain`
pub(super) async fn explain(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let found = app.rollouts().explain(&tenant, path.rollout()?, path.deployment()?).await;
    let found = found.map_err(|error| problem(&error))?;
    let reasons: Vec<Value> =
        found.reasons.iter().map(|(code, words)| json!({ "code": code, "words": words })).collect();
    let next = found.next.and_then(|next| Instant::try_from(next).ok()).map(|next| next.to_string());
    let mut said = deployment(&app, &tenant, &found.deployment);
    if let Some(said) = said.as_object_mut() {
        said.insert("reasons".to_owned(), Value::from(reasons));
        said.insert("looked_at_again".to_owned(), json!(next));
    }
    Ok(json_text(StatusCode::OK, said.to_string()))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    reason: Option<Note>,
    /// The digest of the approved spec; the rollout's own where it is left out.
    spec: Option<Sha256>,
}

/// `POST /TENANT/rollouts/ID/{approve,deny,pause,resume,cancel}`
pub(super) async fn act(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result {
    let id: RolloutId = path.rollout()?;
    let wrong = |error| Problem::bad("wish", format_args!("the body says not why: {error}"));
    let mut wish: Wish = match body.is_empty() {
        true => Wish::default(),
        false => read_object(&body).map_err(wrong)?,
    };
    let asked = Asked::read(query.as_deref(), &["reason"])?;
    if let Some(reason) = asked.value::<Note>("reason")? {
        wish.reason = Some(reason);
    }
    let by = caller.actor()?;
    let why = match wish.reason {
        Some(why) => why,
        None => Note::new(NO_REASON).map_err(|error| Problem::bad("wish", error))?,
    };
    let rollouts = app.rollouts();
    let done = match path.text("action") {
        "approve" => {
            let spec = match wish.spec {
                Some(spec) => spec,
                None => rollouts.rollout(&tenant, id).await.map_err(|error| problem(&error))?.spec,
            };
            rollouts.approve(&tenant, id, &by, spec).await
        }
        "deny" => rollouts.deny(&tenant, id, &by, &why).await,
        "pause" => rollouts.pause(&tenant, id, &by, &why).await,
        "resume" => rollouts.resume(&tenant, id, &by, &why).await,
        "cancel" => rollouts.cancel(&tenant, id, &by, &why).await,
        other => {
            let words = format!("a rollout cannot be told to `{other}`, wanted approve, deny, pause, resume or cancel");
            return Err(Problem::new(StatusCode::NOT_FOUND, IssueType::NotFound, "not-found", words));
        }
    };
    done.map_err(|error| problem(&error))?;
    app.wake.now();
    let view = rollouts.view(&tenant, id).await.map_err(|error| problem(&error))?;
    Ok(json_text(StatusCode::OK, long(&view).to_string()))
}
