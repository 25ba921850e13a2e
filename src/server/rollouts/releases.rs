//! Releases: uploads of a form whose file is streamed to the library.

use super::super::answer::{Problem, Result, json_text, set};
use super::super::guard::Caller;
use super::super::updates::form;
use super::super::updates::part::Part;
use super::super::updates::source::Source;
use super::super::updates::{CHUNKS, Chunks, forward, in_time, unreadable};
use super::super::{Shared, UpdateServer, maintenance, page};
use super::{Asked, AtTenant, Path, problem, with_next};
use crate::issue::IssueType;
use crate::manifest::{ActorId, MAX_SEQUENCE, Note, ProductionSpec, VersionScheme};
use crate::nomenclature::Level;
use crate::primitive::Instant;
use crate::service::{ReleaseSubmission, RolloutError};
use crate::store::{PageToken, StoreError, Tenant};
use crate::update::release::{Release, State as Stands, Target};
use axum::Extension;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The names of the form fields.
const FIELDS: [&str; 9] =
    ["Name", "Version", "Sequence", "Sha256", "Level", "Type", "Reports", "VersionScheme", "Provider"];

/// Maximum number of parts of a form.
const MAX_PARTS: usize = 32;

/// `POST /TENANT/releases`
pub(super) async fn receive(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result {
    let by = caller.actor()?;
    let (parts, body) = request.into_parts();
    let for_person = page::is_wanted(&parts.uri);
    let waits = parts.headers.contains_key(header::EXPECT);
    let source = Source::new(body);
    let request = Request::from_parts(parts, source.body());
    let made = from_form(&app, &tenant, request, &by, &source).await;
    source.drain(app.max_upload, waits);
    let release = made?;
    maintenance::remember_tenant(&app, &tenant).await;
    let path = app.path(&tenant);
    if for_person {
        return Ok(page::see_other(&format!("{path}/pages/releases/{}", release.id)));
    }
    let mut answer = json_text(StatusCode::CREATED, shown(&release).to_string());
    set(&mut answer, header::LOCATION, format!("{path}/releases/{}", release.id));
    Ok(answer)
}

async fn from_form(
    app: &UpdateServer,
    tenant: &Tenant,
    request: Request,
    by: &ActorId,
    source: &Arc<Source>,
) -> Result<Release> {
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| {
        let words = "a release comes as multipart/form-data, with a boundary";
        Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", words)
    })?;
    let (about, submission) = oneshot::channel();
    let (sender, body) = mpsc::channel(CHUNKS);
    let forwarding = async move {
        let forwarded = read_form(&mut parts, source, about, &sender, app.max_upload).await;
        if forwarded.is_err() {
            // The library must not take the received part for the whole file.
            let _ = sender.send(Err(StoreError::invalid("the release was refused"))).await;
        }
        forwarded
    };
    let receiving = async {
        let submission: ReleaseSubmission = submission.await.ok()?;
        Some(app.rollouts().release(tenant, submission, by, Box::pin(Chunks(body))).await)
    };
    match tokio::join!(forwarding, receiving) {
        (Ok(()), Some(Ok(release))) => Ok(release),
        // A fault of the form explains more than the broken-off bytes.
        (Err(problem), None | Some(Ok(_) | Err(RolloutError::Bytes(_)))) => Err(problem),
        (_, Some(Err(error))) => Err(problem(&error)),
        (Ok(()), None) => Err(Problem::bad("multipart", "the form ended before its file")),
    }
}

/// Reads the fields, sends on their values, and forwards the file. The file is the last part.
async fn read_form(
    parts: &mut Multipart,
    source: &Arc<Source>,
    about: oneshot::Sender<ReleaseSubmission>,
    to: &mpsc::Sender<std::result::Result<axum::body::Bytes, StoreError>>,
    limit: u64,
) -> Result<()> {
    let mut fields = BTreeMap::new();
    for _ in 0..MAX_PARTS {
        source.step();
        let next = in_time(parts.next_field()).await?.map_err(|error| unreadable(&error, source))?;
        let Some(mut field) = next else {
            let words = "there is no file: one part with a file name is wanted";
            return Err(Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "no-file", words));
        };
        let part = Part::of(&field, None)?;
        if part.is_file() {
            if about.send(submission(&fields, &part, &field)?).is_err() {
                return Ok(());
            }
            source.expect_file();
            if !forward(field, to, source, limit).await? {
                return Ok(());
            }
            source.expect_metadata();
            let more = in_time(parts.next_field()).await?.map_err(|error| unreadable(&error, source))?;
            return match more {
                None => Ok(()),
                Some(_) => {
                    Err(Problem::bad("part-after-file", "a part comes after the file, and the file is the last"))
                }
            };
        }
        if !FIELDS.contains(&part.name.as_str()) {
            let words =
                format!("the field `{}` is not known, wanted one of {}, or a file", part.name, FIELDS.join(", "));
            return Err(Problem::bad("unknown-field", words));
        }
        let value = form::text(&mut field, &part, None, source).await?;
        let value = value.map_err(|error| unreadable(&error, source))?;
        if fields.insert(part.name.clone(), value.trim().to_owned()).is_some() {
            return Err(Problem::bad(
                "repeated-field",
                format!("the field `{}` comes twice, wanted it once", part.name),
            ));
        }
    }
    let words = format!("the form has more than {MAX_PARTS} parts");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-many-parts", words))
}

fn wrong(name: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format!("`{name}`: {why}"))
}

fn submission(fields: &BTreeMap<String, String>, part: &Part, file: &Field<'_>) -> Result<ReleaseSubmission> {
    let given = |name: &str| fields.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let needed = |name: &'static str| {
        let words = format!("the field `{name}` is missing; it goes before the file");
        given(name).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "missing-field", words))
    };
    let name = needed("Name")?.parse().map_err(|error| wrong("Name", error))?;
    let version = needed("Version")?.parse().map_err(|error| wrong("Version", error))?;
    let sequence = needed("Sequence")?;
    let number = sequence.bytes().all(|byte| byte.is_ascii_digit()).then(|| sequence.parse().ok()).flatten();
    let number = number.filter(|number| *number <= MAX_SEQUENCE);
    let sequence = number.ok_or_else(|| {
        wrong("Sequence", format_args!("it is `{sequence}`, wanted a number from 0 to {MAX_SEQUENCE}"))
    })?;
    let file_name = part.file_name.as_deref().unwrap_or_default();
    let file_name = file_name.parse().map_err(|error| wrong("file name", error))?;
    let media_type = file.content_type().unwrap_or("application/octet-stream");
    let media_type = media_type.parse().map_err(|error| wrong("content type of the file", error))?;
    let mut submission = ReleaseSubmission::new(name, version, sequence, file_name, media_type);
    if let Some(digest) = given("Sha256") {
        submission.sha256 = Some(digest.parse().map_err(|error| wrong("Sha256", error))?);
    }
    submission.target = Target {
        level: given("Level").map(str::parse::<Level>).transpose().map_err(|error| wrong("Level", error))?,
        code: given("Type").map(str::parse::<u32>).transpose().map_err(|error| wrong("Type", error))?,
    };
    if let Some(reports) = given("Reports") {
        let found = ProductionSpec::ALL.into_iter().find(|spec| spec.specification_type() == reports);
        let words = || format!("it is `{reports}`, wanted `software-revision` or `firmware-revision`");
        submission.reported_as = found.ok_or_else(|| wrong("Reports", words()))?;
    }
    if let Some(scheme) = given("VersionScheme") {
        submission.scheme = scheme.parse::<VersionScheme>().map_err(|error| wrong("VersionScheme", error))?;
    }
    if let Some(provider) = given("Provider") {
        submission.provider = Some(provider.parse().map_err(|error| wrong("Provider", error))?);
    }
    Ok(submission)
}

fn shown(release: &Release) -> Value {
    let Release { id, request, by, released_at, state } = release;
    let files: Vec<Value> = request
        .files
        .iter()
        .map(|file| json!({ "name": file.name, "size": file.blob.size, "sha256": file.blob.digest, "sha1": file.sha1 }))
        .collect();
    let status = match state {
        Stands::Draft { .. } => "draft",
        Stands::Released => "released",
        Stands::Withdrawing => "withdrawing",
        Stands::Withdrawn => "withdrawn",
    };
    json!({
        "id": id,
        "name": request.name,
        "version": request.version,
        "sequence": request.sequence,
        "files": files,
        "status": status,
        "target": { "level": request.target.level, "type": request.target.code },
        "reports": request.reported_as.specification_type(),
        "by": by,
        "released": released_at.and_then(|at| Instant::try_from(at).ok()).map(|at| at.to_string()),
    })
}

/// `GET /TENANT/releases`
pub(super) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["_count", "_page"])?;
    let (count, after) = asked.page()?;
    let page = app.rollouts().releases(&tenant, count, after.as_ref()).await.map_err(|error| problem(&error))?;
    let next = page.next.as_ref().map(PageToken::as_str);
    let next = next.map(|next| asked.next(&format!("{}/releases", app.path(&tenant)), next));
    let all: Vec<Value> = page.items.iter().map(shown).collect();
    let answer = json_text(StatusCode::OK, json!({ "releases": all, "next": next }).to_string());
    Ok(with_next(answer, next.as_deref()))
}

/// `GET /TENANT/releases/ID`
pub(super) async fn show(State(app): State<Shared>, AtTenant(tenant): AtTenant, path: Path) -> Result {
    let release = app.rollouts().release_of(&tenant, path.release()?).await.map_err(|error| problem(&error))?;
    Ok(json_text(StatusCode::OK, shown(&release).to_string()))
}

/// `DELETE /TENANT/releases/ID`, with an optional `reason`: 202 while its rollouts wind down.
pub(super) async fn withdraw(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    path: Path,
    RawQuery(query): RawQuery,
) -> Result {
    let asked = Asked::read(query.as_deref(), &["reason"])?;
    let why = match asked.value::<Note>("reason")? {
        Some(why) => why,
        None => Note::new("withdrawn without a reason").map_err(|error| Problem::bad("reason", error))?,
    };
    let withdrawn = app.rollouts().withdraw_release(&tenant, path.release()?, &caller.actor()?, &why).await;
    let release = withdrawn.map_err(|error| problem(&error))?;
    app.wake.now();
    let is_done = matches!(release.state, Stands::Withdrawing | Stands::Withdrawn);
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_text(status, shown(&release).to_string()))
}

/// `GET /TENANT/releases/ID/behind`: the components with a lower version than the release, in a rollout or not.
pub(super) async fn behind(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    path: Path,
    RawQuery(query): RawQuery,
) -> Result {
    let id = path.release()?;
    let asked = Asked::read(query.as_deref(), &["_page"])?;
    let found = app.rollouts().behind(&tenant, id, asked.text("_page")).await;
    let (found, next) = found.map_err(|error| problem(&error))?;
    let next = next.map(|next| asked.next(&format!("{}/releases/{id}/behind", app.path(&tenant)), &next));
    let all: Vec<Value> = found
        .iter()
        .map(|one| {
            json!({
                "device": format!("Device/{}", one.device),
                "component": format!("DeviceComponent/{}", one.component),
                "version": one.version,
            })
        })
        .collect();
    let answer = json_text(StatusCode::OK, json!({ "components": all, "next": next }).to_string());
    Ok(with_next(answer, next.as_deref()))
}
