//! Updates: the list, a single update with its life, its withdrawal and its return.

use super::super::guard::Caller;
use super::super::place::AtTenant;
use super::super::updates::state;
use super::super::{Shared, maintenance};
use super::text::{badge, short, size, time};
use super::timeline::Life;
use super::{Asked, Fields, Problem, Result, Section, View, pager, see_other};
use crate::audit::{StateName, UploadFailure};
use crate::issue::IssueType;
use crate::primitive::{Instant, Text};
use crate::service::IngestId;
use crate::store::BlobRef;
use crate::update::ingest::{Ingest, State as Stands};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use std::num::NonZeroU32;

/// Number of updates on a page.
const SHOWN: NonZeroU32 = NonZeroU32::MIN.saturating_add(24);

/// The filters by state: name in the URL, words, and states.
const FILTERS: [(&str, &str, &[StateName]); 5] = [
    ("available", "available", &[StateName::Attached]),
    ("superseded", "superseded", &[StateName::Superseded, StateName::Restoring]),
    ("withdrawn", "withdrawn", &[StateName::Withdrawn]),
    ("under-way", "under way", &[StateName::Open, StateName::Acquired, StateName::Stored, StateName::Releasing]),
    ("ended", "came to nothing", &[StateName::Closed]),
];

/// Returns the badge kind and the words for the state of an upload.
fn standing(ingest: &Ingest) -> (&'static str, &'static str) {
    match &ingest.state {
        Stands::Open { .. } => ("info", "the file is arriving"),
        Stands::Acquired { .. } | Stands::Stored { .. } => ("info", "being attached"),
        Stands::Attached { .. } => ("good", "available"),
        Stands::Superseded { .. } => ("plain", "superseded"),
        Stands::Restoring { .. } => ("info", "being made current again"),
        Stands::Withdrawn { .. } | Stands::Releasing { reason: UploadFailure::Withdrawn, .. } => ("warn", "withdrawn"),
        Stands::Closed { reason: UploadFailure::Withdrawn } => ("warn", "withdrawn"),
        Stands::Closed { reason: UploadFailure::Superseded } => ("plain", "superseded, retired"),
        Stands::Releasing { .. } | Stands::Closed { .. } => ("bad", "came to nothing"),
    }
}

fn version(ingest: &Ingest) -> String {
    let version = ingest.intent.version.as_ref();
    version.map_or_else(|| "without a version".to_owned(), |version| short(version.as_str()).into_owned())
}

fn blob(ingest: &Ingest) -> Option<BlobRef> {
    match &ingest.state {
        Stands::Withdrawn { blob, .. } => Some(*blob),
        state => state.held().map(|(blob, _)| blob),
    }
}

fn opened(ingest: &Ingest) -> Markup {
    let opened = ingest.opened.as_ref().and_then(Instant::to_offset_date_time);
    html! { @match opened { Some(at) => (time(at)), None => "at an unknown time" } }
}

/// `GET /TENANT/pages/updates`
pub(super) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["state", "device", "q", "_page"])?;
    let after = state::place(&asked)?;
    let states = asked
        .text("state")
        .and_then(|name| FILTERS.iter().find(|(known, ..)| *known == name))
        .map(|(.., states)| *states);
    let text = asked.text("q").map(|text| text.trim().to_lowercase());
    let device = asked.text("device").map(str::trim);
    let is_meant = |ingest: &Ingest| {
        let has = |field: Option<&str>| {
            text.as_ref().is_none_or(|text| field.is_some_and(|field| field.to_lowercase().contains(text)))
        };
        let intent = &ingest.intent;
        states.is_none_or(|states| states.contains(&ingest.state.name()))
            && device.is_none_or(|device| intent.device.as_str() == device)
            && (has(Some(intent.file_name.as_str()))
                || has(intent.version.as_ref().map(|version| version.as_str()))
                || has(intent.sender.as_ref().map(|sender| sender.as_str()))
                || has(Some(intent.device.as_str())))
    };
    let found = app.updates.uploads_where(&tenant, SHOWN, after, is_meant).await;
    let (uploads, next) = found.map_err(|error| Problem::of_store(&error, "the uploads"))?;
    let next = next.map(state::place_text);
    let view = View::of(&app, &tenant, Section::Updates);
    let path = view.page("updates");
    let content = html! {
        h1 { "Updates" }
        form.filters method="get" action=(path) role="search" aria-label="Updates" {
            div.grid {
                div.field {
                    label for="state" { "State" }
                    select #state name="state" {
                        option value="" { "any" }
                        @for (name, words, _) in FILTERS { option value=(name) selected[asked.text("state") == Some(name)] { (words) } }
                    }
                }
                div.field { label for="q" { "File, version, sender or device" } input #q type="search" name="q" value=[asked.text("q")] maxlength="200"; }
                div.field { label for="device" { "Device" } input #device name="device" value=[device] maxlength="64" autocomplete="off"; }
                div.buttons { button.primary { "Filter" } a.button href=(path) { "All" } }
            }
        }
        @if uploads.is_empty() { p.empty { "No update is meant." } }
        ul.cards {
            @for ingest in &uploads {
                @let (kind, words) = standing(ingest);
                li.card {
                    div.head {
                        h2 { a href={ (path) "/" (ingest.id) } { (version(ingest)) ", " (short(ingest.intent.file_name.as_str())) } }
                        (badge(kind, words))
                    }
                    dl {
                        div { dt { "Device" } dd { a href={ (view.page("devices")) "/" (ingest.intent.device) } { (ingest.intent.device) } } }
                        @if let Some(component) = ingest.state.component() { div { dt { "Component" } dd { (component) } } }
                        div { dt { "Sent" } dd { (opened(ingest)) } }
                        @if let Some(sender) = &ingest.intent.sender { div { dt { "By" } dd { (short(sender.as_str())) } } }
                        @if let Some(blob) = blob(ingest) { div { dt { "Size" } dd { (size(blob.size)) } } }
                    }
                }
            }
        }
        (pager(&asked, &path, next.as_deref()))
    };
    view.ok("Updates", &content)
}

fn read_id(text: &str) -> Result<IngestId> {
    text.parse().map_err(Problem::not_found)
}

/// `GET /TENANT/pages/updates/ID`
pub(super) async fn show(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let id = read_id(&path.1)?;
    let ingest = app.updates.upload(&tenant, id).await.map_err(|error| state::problem(&error, id))?;
    maintenance::remember_tenant(&app, &tenant).await;
    let of_store = |error| Problem::of_store(&error, format_args!("upload {id}"));
    let damage = match ingest.state.key() {
        Some(key) => app.updates.known_damage(&tenant, &key).await.map_err(of_store)?,
        None => None,
    };
    let life = Life::read(&app, &tenant, &ingest).await.map_err(of_store)?;
    let view = View::of(&app, &tenant, Section::Updates);
    let own = format!("{}/{id}", view.page("updates"));
    let (kind, words) = standing(&ingest);
    let title = format!("Update {}", version(&ingest));
    let intent = &ingest.intent;
    let can_withdraw = matches!(
        ingest.state,
        Stands::Open { .. }
            | Stands::Acquired { .. }
            | Stands::Stored { .. }
            | Stands::Attached { .. }
            | Stands::Superseded { .. }
    );
    let content = html! {
        p.crumbs { a href=(view.page("updates")) { "Updates" } }
        div.head { h1 { (title) } (badge(kind, words)) }
        @if let Some(damage) = damage {
            p.answer.bad { "The file is damaged, and is not given out (found " (time(damage.since)) ": " (short(&damage.what)) "). Send the same file again to replace it." }
        }
        dl.facts {
            div { dt { "File" } dd { (short(intent.file_name.as_str())) } }
            div { dt { "Device" } dd { a href={ (view.page("devices")) "/" (intent.device) } { (intent.device) } } }
            @if let Some(component) = ingest.state.component() {
                div { dt { "Component" } dd { a href={ (view.path()) "/fhir/DeviceComponent/" (component) } { (component) } } }
            }
            @if let Some(sequence) = intent.sequence { div { dt { "Sequence number" } dd { (sequence) } } }
            div { dt { "Sent" } dd { (opened(&ingest)) } }
            @if let Some(sender) = &intent.sender { div { dt { "By" } dd { (short(sender.as_str())) } } }
            @if let Some(blob) = blob(&ingest) {
                div { dt { "Size" } dd { (size(blob.size)) } }
                div.wide { dt { "SHA-256" } dd { code.digest { (blob.digest) } } }
            }
            @if let Stands::Superseded { by, .. } = &ingest.state {
                div { dt { "Superseded by" } dd { a href={ (view.page("updates")) "/" (by) } { "the later update" } } }
            }
            @if let Stands::Releasing { reason, .. } | Stands::Closed { reason } = &ingest.state { div.wide { dt { "Why it ended" } dd { (reason.explanation()) } } }
        }
        p.actions {
            @if can_withdraw { a.button.danger href={ (own) "/withdraw" } data-dialog { "Withdraw\u{2026}" } }
            @if matches!(ingest.state, Stands::Superseded { .. }) { a.button href={ (own) "/make-current" } data-dialog { "Make current again\u{2026}" } }
            a.button href={ (view.path()) "/updates/" (id) } { "State as JSON" }
        }
        section.panel aria-labelledby="life" { h2 #life { "Its life" } (life.html(&format!("{}/updates/{id}/audit", view.path()))) }
    };
    view.ok(&title, &content)
}

/// `GET /TENANT/pages/updates/ID/withdraw` and `.../make-current`: the consequences, and the field for the reason.
pub(super) async fn ask(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String, String)>,
) -> Result {
    let (id, action) = (read_id(&path.1)?, path.2);
    let ingest = app.updates.upload(&tenant, id).await.map_err(|error| state::problem(&error, id))?;
    let view = View::of(&app, &tenant, Section::Updates);
    let own = format!("{}/{id}", view.page("updates"));
    let name = format!("{}, {}", version(&ingest), short(ingest.intent.file_name.as_str()));
    let (title, meaning, button, class): (_, &[&str], _, _) = match action.as_str() {
        "withdraw" => (
            "Withdraw this update?",
            &[
                "Its component shows it as withdrawn, so that a device that has the file sees the recall.",
                "The file is not given out any more. A device that has it already is not changed.",
                "No other update takes its place by itself: a predecessor can be made current again.",
                "This cannot be undone. The same file can be sent again as a new update.",
            ],
            "Withdraw the update",
            "primary danger",
        ),
        "make-current" => (
            "Make this update current again?",
            &[
                "Its component offers this update again, and the one that is current now is superseded.",
                "A device that has the later one already goes back only if it takes a lower version.",
            ],
            "Make it current again",
            "primary",
        ),
        _ => return Err(Problem::not_found(format_args!("an update has no page `{}`", short(&action)))),
    };
    let content = html! {
        p.crumbs { a href=(view.page("updates")) { "Updates" } " / " a href=(own) { (name) } }
        (question(title, &name, meaning, &format!("{own}/{action}"), button, class, &own))
    };
    view.ok(title, &content)
}

/// Returns a confirmation question with a field for the reason, for a page or a dialog.
pub(super) fn question(
    title: &str,
    subject: &str,
    meaning: &[&str],
    action: &str,
    button: &str,
    class: &str,
    back: &str,
) -> Markup {
    html! {
        section #question.panel aria-labelledby="asked" {
            h1 #asked { (title) }
            p { b { (subject) } }
            ul.list { @for line in meaning { li { (line) } } }
            form method="post" action=(action) {
                div.field {
                    label for="why" { "Reason" }
                    input #why name="reason" required maxlength="1000" autocomplete="off" aria-describedby="why-hint";
                    small #why-hint { "It is required, and stays in the records; name no patient." }
                }
                div.buttons { button class=(class) { (button) } a.button href=(back) data-close { "Leave it as it is" } }
            }
        }
    }
}

/// `POST /TENANT/pages/updates/ID/withdraw` and `.../make-current`
pub(super) async fn act(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result {
    let (id, by) = (read_id(&path.1)?, caller.actor()?);
    let why = Fields::read(&headers, &body)?.reason()?;
    let why = Text::new(why.as_str()).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format_args!("`reason`: {error}"))
    })?;
    match path.2.as_str() {
        "withdraw" => drop(state::carry_out_withdrawal(&app, &tenant, id, by, why).await?),
        "make-current" => drop(state::carry_out_return(&app, &tenant, id, by, why).await?),
        action => return Err(Problem::not_found(format_args!("an update has no page `{}`", short(action)))),
    }
    maintenance::remember_tenant(&app, &tenant).await;
    let view = View::of(&app, &tenant, Section::Updates);
    Ok(see_other(&format!("{}/{id}", view.page("updates"))))
}
