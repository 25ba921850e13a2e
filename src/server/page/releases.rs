//! Releases: the list, the form for a new one, and a single release.

use super::super::guard::Caller;
use super::super::place::AtTenant;
use super::super::rollouts::problem;
use super::super::{Shared, maintenance};
use super::text::{badge, short, size, time};
use super::updates::question;
use super::{Asked, Fields, Problem, Result, Section, View, pager, see_other};
use crate::manifest::ReleaseId;
use crate::store::PageToken;
use crate::update::release::{Release, State as Stands};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use std::num::NonZeroU32;

/// Number of releases on a page.
const SHOWN: NonZeroU32 = NonZeroU32::MIN.saturating_add(24);

fn standing(release: &Release) -> Markup {
    match release.state {
        Stands::Draft { .. } => badge("info", "draft"),
        Stands::Released => badge("good", "released"),
        Stands::Withdrawing => badge("warn", "being withdrawn"),
        Stands::Withdrawn => badge("warn", "withdrawn"),
    }
}

/// Returns the display name of a release.
pub(super) fn title(release: &Release) -> String {
    format!("{} {}", short(release.request.name.as_str()), short(release.request.version.as_str()))
}

fn meant(release: &Release) -> String {
    let target = release.request.target;
    match (target.level, target.code) {
        (Some(level), Some(code)) => format!("{level} of the type {code}"),
        (Some(level), None) => format!("every {level}"),
        (None, Some(code)) => format!("the type {code}"),
        (None, None) => "no component".to_owned(),
    }
}

/// `GET /TENANT/pages/releases`
pub(super) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["_page"])?;
    let after = asked.value::<PageToken>("_page")?;
    let page = app.rollouts().releases(&tenant, SHOWN, after.as_ref()).await.map_err(|error| problem(&error))?;
    let view = View::of(&app, &tenant, Section::Rollouts);
    let path = view.page("releases");
    let content = html! {
        p.crumbs { a href=(view.page("rollouts")) { "Rollouts" } }
        h1 { "Releases" }
        @if page.items.is_empty() { p.empty { "There is no release yet. A release is a file with a version, and says for which components it is." } }
        ul.cards {
            @for release in &page.items {
                li.card {
                    div.head { h2 { a href={ (path) "/" (release.id) } { (title(release)) } } (standing(release)) }
                    dl {
                        div { dt { "For" } dd { (meant(release)) } }
                        div { dt { "Sequence number" } dd { (release.request.sequence) } }
                        div { dt { "By" } dd { (short(release.by.as_str())) } }
                        @if let Some(at) = release.released_at { div { dt { "Released" } dd { (time(at)) } } }
                    }
                    @if matches!(release.state, Stands::Released) { p.actions { a.button href={ (view.page("rollouts/new")) "?release=" (release.id) } { "Roll it out" span.hidden { ": " (title(release)) } } } }
                }
            }
        }
        (pager(&asked, &path, page.next.as_ref().map(PageToken::as_str)))
        section.panel aria-labelledby="make" { h2 #make { "New release" } (form(&view)) }
    };
    view.ok("Releases", &content)
}

fn form(view: &View<'_>) -> Markup {
    html! {
        form method="post" action={ (view.path()) "/releases" } enctype="multipart/form-data" {
            div.grid {
                div.field { label for="name" { "Name" } input #name name="Name" required placeholder="pump-os" maxlength="200" autocomplete="off"; }
                div.field { label for="version" { "Version" } input #version name="Version" required placeholder="4.2.0" maxlength="200" autocomplete="off"; }
                div.field { label for="sequence" { "Sequence number" } input #sequence name="Sequence" required inputmode="numeric" pattern="[0-9]+" placeholder="42" autocomplete="off"; }
            }
            div.grid {
                div.field {
                    label for="level" { "For the components of the level" }
                    select #level name="Level" aria-describedby="level-hint" {
                        option value="" { "any: the type says it" }
                        option value="mds" { "MDS, the whole device" } option value="vmd" { "VMD" } option value="channel" { "Channel" }
                    }
                    small #level-hint { "A level or a type is needed, so that it is never for everything." }
                }
                div.field { label for="type" { "Type (MDC code)" } input #type name="Type" inputmode="numeric" pattern="[0-9]*" placeholder="69985" autocomplete="off"; }
                div.field {
                    label for="reports" { "Devices show the version as their" }
                    select #reports name="Reports" { option value="" { "software revision" } option value="firmware-revision" { "firmware revision" } }
                }
            }
            div.field {
                label for="scheme" { "Form of the version, by which versions are put in order" }
                select #scheme name="VersionScheme" {
                    option value="semver" { "1.2.3, semantic" } option value="dotted" { "1.2 or 1.2.3.4, numbers with points" }
                    option value="date" { "2026-04-19, a day" } option value="opaque" { "any other text: none is before another" }
                }
            }
            div.field {
                label for="sha256" { "SHA-256 that the manufacturer gives (optional)" }
                input #sha256 name="Sha256" pattern="[0-9a-fA-F]{64}" maxlength="64" autocomplete="off" spellcheck="false";
            }
            div.field { label for="file" { "File" } input #file type="file" name="File" required; }
            div.buttons { button.primary formaction={ (view.path()) "/releases?answer=page" } { "Make the release" } }
        }
    }
}

fn read_id(text: &str) -> Result<ReleaseId> {
    text.parse().map_err(Problem::not_found)
}

/// `GET /TENANT/pages/releases/ID`
pub(super) async fn show(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let release = app.rollouts().release_of(&tenant, read_id(&path.1)?).await.map_err(|error| problem(&error))?;
    let view = View::of(&app, &tenant, Section::Rollouts);
    let (own, title) = (format!("{}/{}", view.page("releases"), release.id), title(&release));
    let content = html! {
        p.crumbs { a href=(view.page("rollouts")) { "Rollouts" } " / " a href=(view.page("releases")) { "Releases" } }
        div.head { h1 { (title) } (standing(&release)) }
        dl.facts {
            div { dt { "For" } dd { (meant(&release)) } }
            div { dt { "Sequence number" } dd { (release.request.sequence) } }
            div { dt { "By" } dd { (short(release.by.as_str())) } }
            @if let Some(at) = release.released_at { div { dt { "Released" } dd { (time(at)) } } }
            @for file in release.request.files.iter().take(16) {
                div { dt { "File" } dd { (short(file.name.as_str())) ", " (size(file.blob.size)) } }
                div.wide { dt { "SHA-256" } dd { code.digest { (file.blob.digest) } } }
            }
        }
        p.actions {
            @if matches!(release.state, Stands::Released) {
                a.button.primary href={ (view.page("rollouts/new")) "?release=" (release.id) } { "Roll it out" }
                a.button.danger href={ (own) "/withdraw" } data-dialog { "Withdraw\u{2026}" }
            }
            a.button href={ (view.page("devices")) "?below=" (release.id) } { "Devices below it" }
            a.button href={ (view.path()) "/releases/" (release.id) } { "As JSON" }
        }
    };
    view.ok(&title, &content)
}

/// `GET /TENANT/pages/releases/ID/withdraw`
pub(super) async fn ask(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let release = app.rollouts().release_of(&tenant, read_id(&path.1)?).await.map_err(|error| problem(&error))?;
    let view = View::of(&app, &tenant, Section::Rollouts);
    let own = format!("{}/{}", view.page("releases"), release.id);
    let meaning = [
        "Every rollout of it is cancelled: no device is offered it or given its file any more.",
        "A device that has the file already is asked to stop, and may have installed it all the same: its rollout lists these.",
        "This cannot be undone.",
    ];
    let asked = question(
        "Withdraw this release?",
        &title(&release),
        &meaning,
        &format!("{own}/withdraw"),
        "Withdraw the release",
        "primary danger",
        &own,
    );
    view.ok("Withdraw a release", &html! { p.crumbs { a href=(own) { (title(&release)) } } (asked) })
}

/// `POST /TENANT/pages/releases/ID/withdraw`
pub(super) async fn withdraw(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result {
    let (id, by, why) = (read_id(&path.1)?, caller.actor()?, Fields::read(&headers, &body)?.reason()?);
    app.rollouts().withdraw_release(&tenant, id, &by, &why).await.map_err(|error| problem(&error))?;
    app.wake.now();
    maintenance::remember_tenant(&app, &tenant).await;
    let view = View::of(&app, &tenant, Section::Rollouts);
    Ok(see_other(&format!("{}/{id}", view.page("releases"))))
}
