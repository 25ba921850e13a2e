//! Rollouts: the list, a single rollout with its progress and components, and its controls.

use super::super::guard::Caller;
use super::super::place::AtTenant;
use super::super::rollouts::problem;
use super::super::{Shared, maintenance};
use super::chart::{field_times, meter, span};
use super::releases;
use super::text::{badge, short, time};
use super::updates::question;
use super::{Asked, Fields, Problem, Result, Section, View, pager, see_other};
use crate::issue::IssueType;
use crate::service::{DeploymentFilter, Measures, RolloutView};
use crate::store::PageToken;
use crate::update::deployment::OutcomeClass;
use crate::update::rollout::{Counts, DeploymentId, RolloutId, Status, Tally};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use std::num::NonZeroU32;

/// Number of rollouts on a page.
const SHOWN: NonZeroU32 = NonZeroU32::MIN.saturating_add(14);

/// Number of components on a page.
const LISTED: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// Number of components up to which the time to field is shown at once; above, it has a page of its own, since every
/// audit record is read.
const MEASURED: u64 = 2_000;

/// The outcomes that count as success.
const GOOD: [OutcomeClass; 2] = [OutcomeClass::Succeeded, OutcomeClass::AlreadyCurrent];
const WRONG: [OutcomeClass; 5] = [
    OutcomeClass::Failed,
    OutcomeClass::RolledBack,
    OutcomeClass::Rejected,
    OutcomeClass::TimedOut,
    OutcomeClass::Unproven,
];

const fn standing(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Drafted => ("plain", "draft"),
        Status::AwaitingApproval => ("warn", "waits for approval"),
        Status::Ready => ("info", "ready"),
        Status::Running => ("info", "running"),
        Status::Pausing => ("warn", "being paused"),
        Status::Paused => ("warn", "paused"),
        Status::Halting => ("bad", "being stopped by a criterion"),
        Status::Halted => ("bad", "stopped by a criterion"),
        Status::Cancelling => ("warn", "being cancelled"),
        Status::Superseding => ("warn", "being superseded"),
        Status::Cancelled => ("plain", "cancelled"),
        Status::Superseded => ("plain", "superseded"),
        Status::Completed => ("good", "completed"),
        Status::Denied => ("bad", "denied"),
    }
}

fn outcome(class: OutcomeClass) -> &'static str {
    match class {
        OutcomeClass::Succeeded => "succeeded",
        OutcomeClass::AlreadyCurrent => "had it already",
        OutcomeClass::Failed => "failed",
        OutcomeClass::RolledBack => "went back to what it had",
        OutcomeClass::Rejected => "refused by the device",
        OutcomeClass::TimedOut => "timed out",
        OutcomeClass::Unproven => "unproven: it has the file, and its version is not known",
        OutcomeClass::Withdrawn => "withdrawn",
        OutcomeClass::Cancelled => "cancelled before it had the file",
        OutcomeClass::Superseded => "superseded",
        OutcomeClass::Retired => "device gone",
    }
}

fn ended(tally: &Tally) -> u64 {
    OutcomeClass::ALL.iter().map(|class| u64::from(tally.of(*class))).sum()
}

fn sum(tally: &Tally, classes: &[OutcomeClass]) -> u64 {
    classes.iter().map(|class| u64::from(tally.of(*class))).sum()
}

fn progress(what: &str, counts: &Counts, tally: &Tally) -> Markup {
    let all = ended(tally) + u64::from(counts.open());
    let (good, wrong, going) = (sum(tally, &GOOD), sum(tally, &WRONG), u64::from(counts.in_flight()));
    let words = format!("{what}: {good} of {all} have it, {wrong} went wrong, {going} are at work");
    html! { p { (words) } (meter(&words, all, good, wrong, going)) }
}

/// `GET /TENANT/pages/rollouts`
pub(super) async fn list(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &["ended", "_page"])?;
    let (has_ended, after) = (asked.value::<bool>("ended")?.unwrap_or(false), asked.value::<PageToken>("_page")?);
    let service = app.rollouts();
    let page = service.rollouts(&tenant, has_ended, SHOWN, after.as_ref()).await.map_err(|error| problem(&error))?;
    let mut shown = Vec::with_capacity(page.items.len());
    for rollout in &page.items {
        let view = service.view(&tenant, rollout.id).await.map_err(|error| problem(&error))?;
        let release = service.release_of(&tenant, view.spec.release).await.map_err(|error| problem(&error))?;
        shown.push((view, release));
    }
    let view = View::of(&app, &tenant, Section::Rollouts);
    let path = view.page("rollouts");
    let content = html! {
        h1 { "Rollouts" }
        p.actions {
            a.button.primary href=(view.page("rollouts/new")) { "New rollout" }
            a.button href=(view.page("releases")) { "Releases" }
            @if has_ended { a.button href=(path) { "Those that go on" } } @else { a.button href={ (path) "?ended=true" } { "Those that have ended" } }
        }
        @if shown.is_empty() { p.empty { @if has_ended { "No rollout has ended." } @else { "No rollout goes on." } } }
        ul.cards {
            @for (rollout, release) in &shown {
                @let (kind, words) = standing(rollout.rollout.status);
                li.card {
                    div.head { h2 { a href={ (path) "/" (rollout.rollout.id) } { (releases::title(release)) } } (badge(kind, words)) }
                    (progress("All regions", &rollout.counts, &rollout.tally))
                }
            }
        }
        (pager(&asked, &path, page.next.as_ref().map(PageToken::as_str)))
    };
    view.ok("Rollouts", &content)
}

fn read_id(text: &str) -> Result<RolloutId> {
    text.parse().map_err(Problem::not_found)
}

/// `GET /TENANT/pages/rollouts/ID`
pub(super) async fn show(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let (id, service) = (read_id(&path.1)?, app.rollouts());
    let rollout = service.view(&tenant, id).await.map_err(|error| problem(&error))?;
    let release = service.release_of(&tenant, rollout.spec.release).await.map_err(|error| problem(&error))?;
    let measures = match ended(&rollout.tally) <= MEASURED {
        true => Some(service.measures(&tenant, id).await.map_err(|error| problem(&error))?),
        false => None,
    };
    let view = View::of(&app, &tenant, Section::Rollouts);
    let own = format!("{}/{id}", view.page("rollouts"));
    let name = releases::title(&release);
    let title = format!("Rollout of {name}");
    let content = html! {
        p.crumbs { a href=(view.page("rollouts")) { "Rollouts" } " / " a href={ (view.page("releases")) "/" (release.id) } { (name) } }
        div #live data-live={ (view.path()) "/rollouts/" (id) } {
            (live(&rollout, &title, &own))
            section.panel aria-labelledby="field" {
                h2 #field { "Time to field" }
                @match &measures {
                    Some(measures) => (times(measures)),
                    None => p { a href={ (own) "/times" } { "The time to field" } ": all audit records of the rollout are read for it." },
                }
            }
        }
        section.panel aria-labelledby="spec" {
            h2 #spec { "What was asked for" }
            dl {
                div { dt { "By" } dd { (short(rollout.rollout.author.as_str())) } }
                div { dt { "Scope" } dd { code { (short(rollout.spec.search.as_deref().unwrap_or("DeviceComponent"))) } } }
                div { dt { "At work at once" } dd { (rollout.spec.cap) } }
                div { dt { "Approvals" } dd { (rollout.rollout.approvals.len()) " of " (rollout.spec.approvals) } }
                @for stop in &rollout.spec.stop {
                    div { dt { "Stops when more than " (f64::from(stop.over_permille) / 10.0) " % of at least " (stop.min_done) " are" }
                        dd { (stop.counts.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")) } }
                }
            }
            p.actions { a.button href={ (view.path()) "/rollouts/" (id) } { "As JSON" } }
        }
    };
    view.ok(&title, &content)
}

/// Returns the part of the page that changes while a rollout is active.
fn live(rollout: &RolloutView, title: &str, own: &str) -> Markup {
    let status = rollout.rollout.status;
    let (kind, words) = standing(status);
    let action = |name: &str, words: &str, class: &str| html! { a class={ "button " (class) } href={ (own) "/" (name) } data-dialog { (words) } };
    let list = |show: &str, words: &str, count: u64| html! { li { a href={ (own) "/components?show=" (show) } { (words) ": " (count) } } };
    html! {
        div.head { h1 { (title) } (badge(kind, words)) }
        p.actions {
            @if status == Status::AwaitingApproval { (action("approve", "Approve\u{2026}", "primary")) (action("deny", "Deny\u{2026}", "danger")) }
            @if matches!(status, Status::Ready | Status::Running) { (action("pause", "Pause\u{2026}", "")) }
            @if matches!(status, Status::Paused | Status::Halted) { (action("resume", "Resume\u{2026}", "primary")) }
            @if !status.is_end() && !matches!(status, Status::Cancelling | Status::Superseding) { (action("cancel", "Cancel\u{2026}", "danger")) }
        }
        section.panel aria-labelledby="progress" {
            h2 #progress { "Progress" }
            @if !rollout.rollout.planned.done && !status.is_end() { p.note { "Its components are still being found: " (rollout.rollout.planned.found) " so far." } }
            (progress("All regions", &rollout.counts, &rollout.tally))
            @for (region, (counts, tally)) in rollout.regions.iter().take(32) { (progress(&format!("Region {region}"), counts, tally)) }
        }
        section.panel aria-labelledby="waves" { h2 #waves { "Waves" } (waves(rollout)) }
        section.panel aria-labelledby="outcomes" {
            h2 #outcomes { "Outcomes and lists" }
            ul.list {
                (list("already_out", "Were given the file (already out)", rollout.already_out.into()))
                (list("unproven", "Unproven", rollout.tally.of(OutcomeClass::Unproven).into()))
                (list("failed", "Failed", rollout.tally.of(OutcomeClass::Failed).into()))
                (list("open", "Not ended yet", rollout.counts.open().into()))
                @for class in OutcomeClass::ALL {
                    @if rollout.tally.of(*class) > 0 && !matches!(class, OutcomeClass::Unproven | OutcomeClass::Failed) {
                        (list(class.as_str(), outcome(*class), rollout.tally.of(*class).into()))
                    }
                }
            }
        }
    }
}

fn waves(rollout: &RolloutView) -> Markup {
    let now = usize::from(rollout.rollout.wave.0);
    let has_begun =
        !matches!(rollout.rollout.status, Status::Drafted | Status::AwaitingApproval | Status::Ready | Status::Denied);
    html! {
        ol.list {
            @for (at, wave) in rollout.spec.waves.iter().enumerate() {
                li {
                    b { (f64::from(wave.permille) / 10.0) " %" }
                    @if wave.soak_seconds > 0 { ", then " (span(std::time::Duration::from_secs(wave.soak_seconds.into()))) " to watch" }
                    ": "
                    @if !has_begun || at > now { "has not begun" } @else if at == now && !rollout.rollout.status.is_end() { "under way" } @else { "was let through" }
                    @let open = rollout.open_by_wave.get(at).copied().unwrap_or_default();
                    ", " (open) " of its components have not ended"
                }
            }
        }
    }
}

fn times(measures: &Measures) -> Markup {
    html! {
        @match measures.time_to_field {
            None => p { "No component has proven the version yet." },
            Some(times) => {
                p { "Components that have it: " (times.count) ". Half of them had it after " (span(times.median)) ", 95 of 100 after " (span(times.p95)) "." }
                (field_times(&measures.field_times))
            }
        }
        @if measures.late > 0 {
            p.note { (measures.late) " components are later than they should be" @if let Some(oldest) = measures.oldest { ", the oldest by " (span(oldest)) } "." }
        }
    }
}

/// `GET /TENANT/pages/rollouts/ID/times`
pub(super) async fn time_page(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
) -> Result {
    let id = read_id(&path.1)?;
    let measures = app.rollouts().measures(&tenant, id).await.map_err(|error| problem(&error))?;
    let view = View::of(&app, &tenant, Section::Rollouts);
    let content = html! {
        p.crumbs { a href={ (view.page("rollouts")) "/" (id) } { "The rollout" } }
        h1 { "Time to field" }
        section.panel aria-label="Time to field" { (times(&measures)) }
    };
    view.ok("Time to field", &content)
}

/// Returns the filter of a list, and its title.
fn listed(show: &str) -> Result<(DeploymentFilter, &'static str)> {
    let usual = DeploymentFilter::default();
    Ok(match show {
        "already_out" => (DeploymentFilter { granted: true, ..usual }, "Components that were given the file"),
        "open" | "" => (usual, "Components"),
        class => {
            let class: OutcomeClass =
                class.parse().map_err(|error| Problem::bad("parameter", format_args!("`show`: {error}")))?;
            (DeploymentFilter { outcome: Some(class), ..usual }, outcome(class))
        }
    })
}

/// `GET /TENANT/pages/rollouts/ID/components?show=..`, with the reason why one of them waits for `explain`.
pub(super) async fn components(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result {
    let (id, service) = (read_id(&path.1)?, app.rollouts());
    let asked = Asked::read(query.as_deref(), &["show", "explain", "_page"])?;
    let show = asked.text("show").unwrap_or_default();
    let (filter, title) = listed(show)?;
    service.rollout(&tenant, id).await.map_err(|error| problem(&error))?;
    let after = asked.value::<PageToken>("_page")?;
    let page =
        service.deployments(&tenant, id, filter, LISTED, after.as_ref()).await.map_err(|error| problem(&error))?;
    let explained = match asked.value::<DeploymentId>("explain")? {
        Some(deployment) => Some(service.explain(&tenant, id, deployment).await.map_err(|error| problem(&error))?),
        None => None,
    };
    let view = View::of(&app, &tenant, Section::Rollouts);
    let (own, rollout) =
        (format!("{}/{id}/components", view.page("rollouts")), format!("{}/{id}", view.page("rollouts")));
    let wanted = page.items.iter().filter(|one| show != "open" || one.state.outcome().is_none());
    let content = html! {
        p.crumbs { a href=(rollout) { "The rollout" } }
        h1 { (title) }
        @if let Some(found) = explained {
            section.panel aria-labelledby="why" {
                h2 #why { "What holds " (found.deployment.component) " up" }
                @if found.reasons.is_empty() { p { "Nothing: it goes on by itself." } }
                ul.list { @for (_, words) in &found.reasons { li { (short(words)) } } }
                @if let Some(next) = found.next { p.note { "It is looked at again at " (time(next)) "." } }
            }
        }
        @if page.items.is_empty() { p.empty { @if page.next.is_some() { "None of these: look at the next page." } @else { "There is none." } } }
        ul.cards {
            @for one in wanted {
                li.line {
                    div.head {
                        h2 { a href={ (view.page("devices")) "/" (one.device) } { (one.device) } }
                        span.id { (one.component) ", region " (one.region) ", wave " (u32::from(one.wave.0) + 1) }
                        @match one.state.outcome() {
                            Some(ended) => {
                                @let class = ended.class();
                                (badge(if GOOD.contains(&class) { "good" } else if WRONG.contains(&class) { "bad" } else { "plain" }, class.as_str()))
                            },
                            None => (badge("info", one.state.name().as_str())),
                        }
                        @if one.granted { (badge("plain", "has had the file")) }
                        a href={ (own) "?show=" (show) "&explain=" (one.id) } { "Why?" span.hidden { " " (one.device) " " (one.component) } }
                    }
                }
            }
        }
        (pager(&asked, &own, page.next.as_ref().map(PageToken::as_str)))
    };
    view.ok(title, &content)
}

/// Returns the meaning of an action on a rollout, and its limits.
fn meaning(action: &str) -> Option<(&'static str, &'static [&'static str], &'static str, &'static str)> {
    Some(match action {
        "approve" => (
            "Approve this rollout?",
            &[
                "It begins once as many have approved as were asked for.",
                "Who made it does not count as one who approves.",
            ],
            "Approve it",
            "primary",
        ),
        "deny" => (
            "Deny this rollout?",
            &["It ends, and no device was offered anything.", "It cannot be taken up again; a new one can be made."],
            "Deny it",
            "primary danger",
        ),
        "pause" => (
            "Pause this rollout?",
            &[
                "No further device is offered the update, and no device is given the file, until it is resumed.",
                "It cannot stop a device that has the file already: such a device goes on installing, and is listed as already out.",
            ],
            "Pause it",
            "primary",
        ),
        "resume" => (
            "Resume this rollout?",
            &[
                "Devices are offered the update again, where the waves stand.",
                "One that a criterion stopped needs as many approvals as at its start.",
            ],
            "Resume it",
            "primary",
        ),
        "cancel" => (
            "Cancel this rollout?",
            &[
                "No device is offered the update or given the file any more, and offers are taken back.",
                "It cannot take the file away from a device that has it: these are counted and listed as already out, and may have installed it.",
                "It cannot be taken up again; a new rollout can be made.",
            ],
            "Cancel the rollout",
            "primary danger",
        ),
        _ => return None,
    })
}

/// `GET /TENANT/pages/rollouts/ID/{approve,deny,pause,resume,cancel}`
pub(super) async fn ask(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Path(path): Path<(String, String, String)>,
) -> Result {
    let id = read_id(&path.1)?;
    let rollout = app.rollouts().view(&tenant, id).await.map_err(|error| problem(&error))?;
    let release = app.rollouts().release_of(&tenant, rollout.spec.release).await.map_err(|error| problem(&error))?;
    let none = || Problem::not_found(format_args!("a rollout has no page `{}`", short(&path.2)));
    let (title, meaning, button, class) = meaning(&path.2).ok_or_else(none)?;
    let view = View::of(&app, &tenant, Section::Rollouts);
    let own = format!("{}/{id}", view.page("rollouts"));
    let subject = format!("{}: {} devices were given the file by now", releases::title(&release), rollout.already_out);
    let asked = question(title, &subject, meaning, &format!("{own}/{}", path.2), button, class, &own);
    view.ok(title, &html! { p.crumbs { a href=(own) { "The rollout" } } (asked) })
}

/// `POST` of the same paths.
pub(super) async fn act(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result {
    let (id, by, service) = (read_id(&path.1)?, caller.actor()?, app.rollouts());
    let why = Fields::read(&headers, &body)?.reason()?;
    let done = match path.2.as_str() {
        "approve" => {
            let spec = service.rollout(&tenant, id).await.map_err(|error| problem(&error))?.spec;
            service.approve(&tenant, id, &by, spec).await
        }
        "deny" => service.deny(&tenant, id, &by, &why).await,
        "pause" => service.pause(&tenant, id, &by, &why).await,
        "resume" => service.resume(&tenant, id, &by, &why).await,
        "cancel" => service.cancel(&tenant, id, &by, &why).await,
        other => {
            let words = format!("a rollout has no page `{}`", short(other));
            return Err(Problem::new(StatusCode::NOT_FOUND, IssueType::NotFound, "not-found", words));
        }
    };
    done.map_err(|error| problem(&error))?;
    app.wake.now();
    maintenance::remember_tenant(&app, &tenant).await;
    let view = View::of(&app, &tenant, Section::Rollouts);
    Ok(see_other(&format!("{}/{id}", view.page("rollouts"))))
}
