//! A new rollout: its form, preview and creation.

use super::super::guard::Caller;
use super::super::place::AtTenant;
use super::super::rollouts::{problem, request};
use super::super::{Shared, maintenance};
use super::releases;
use super::text::short;
use super::{Asked, Fields, Problem, Result, Section, View, see_other};
use crate::issue::IssueType;
use crate::manifest::ReleaseId;
use crate::service::Preview;
use crate::update::release::{Release, State as Stands};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::Duration;

/// Number of releases to choose from.
const RELEASES: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// Maximum number of components that a preview looks at, and for how long.
const PREVIEW: (usize, Duration) = (2_000, Duration::from_millis(1_500));

/// The fields of the form.
const FIELDS: [&str; 10] =
    ["release", "scope", "first", "watch", "second", "watch2", "cap", "stop", "after", "approvals"];

/// `GET /TENANT/pages/rollouts/new`
pub(super) async fn form(State(app): State<Shared>, AtTenant(tenant): AtTenant, RawQuery(query): RawQuery) -> Result {
    let asked = Asked::read(query.as_deref(), &FIELDS)?;
    let service = app.rollouts();
    let all = service.releases(&tenant, RELEASES, None).await.map_err(|error| problem(&error))?.items;
    let all: Vec<Release> = all.into_iter().filter(|release| matches!(release.state, Stands::Released)).collect();
    let chosen = asked.value::<ReleaseId>("release")?;
    let preview = match chosen {
        Some(id) => {
            let scope = asked.text("scope").map(str::trim).filter(|scope| !scope.is_empty());
            Some(service.preview(&tenant, id, scope, PREVIEW).await.map_err(|error| problem(&error))?)
        }
        None => None,
    };
    let view = View::of(&app, &tenant, Section::Rollouts);
    let number = |name: &'static str, words: &str, usual: &'static str, hint: &str| {
        let hint_id = format!("{name}-hint");
        html! {
            div.field {
                label for=(name) { (words) }
                input id=(name) name=(name) inputmode="decimal" value=(asked.text(name).unwrap_or(usual)) autocomplete="off" aria-describedby=(hint_id);
                small id=(hint_id) { (hint) }
            }
        }
    };
    let content = html! {
        p.crumbs { a href=(view.page("rollouts")) { "Rollouts" } }
        h1 { "New rollout" }
        @if all.is_empty() {
            p.empty { "There is no release to roll out: " a href=(view.page("releases")) { "make one first" } "." }
        } @else {
            form.panel method="post" action=(view.page("rollouts")) data-preview=(view.page("rollouts/new")) {
                div.grid {
                    div.field {
                        label for="release" { "Release" }
                        select #release name="release" required {
                            option value="" { "choose a release" }
                            @for release in &all { option value=(release.id) selected[chosen == Some(release.id)] { (releases::title(release)) } }
                        }
                    }
                    div.field {
                        label for="scope" { "Scope, a FHIR search of DeviceComponent" }
                        input #scope name="scope" value=[asked.text("scope")] placeholder="DeviceComponent" maxlength="2000" autocomplete="off" spellcheck="false" aria-describedby="scope-hint";
                        small #scope-hint { "Empty for all components that the release is for." }
                    }
                }
                fieldset {
                    legend { "Waves" }
                    div.grid {
                        (number("first", "First wave, in percent", "1", "Empty or 100: everything at once."))
                        (number("watch", "then watch for hours", "24", "Before the next wave begins."))
                        (number("second", "Second wave, in percent", "9", "Empty: none. The rest is the last wave."))
                        (number("watch2", "then watch for hours", "24", "Before the last wave begins."))
                    }
                }
                div.grid {
                    (number("cap", "At work at once, at most", "100", "Devices that are offered it or install it."))
                    (number("stop", "Stop above, in percent", "2", "Of those that ended: failed, went back, timed out or unproven."))
                    (number("after", "but not before so many ended", "20", "So that one failure of two does not stop it."))
                    (number("approvals", "Approvals by others", "0", "How many have to agree before it begins."))
                }
                section #preview.before aria-label="Preview" aria-live="polite" {
                    @match &preview { Some(preview) => (previewed(preview)), None => p { "Choose a release: what the rollout would do is said here." } }
                }
                div.buttons {
                    button formmethod="get" formaction=(view.page("rollouts/new")) { "Preview" }
                    button.primary { "Make the rollout" }
                }
            }
        }
    };
    view.ok("New rollout", &content)
}

fn previewed(preview: &Preview) -> Markup {
    let all: usize = preview.regions.values().sum();
    let more = if preview.more { "at least " } else { "" };
    html! {
        h2 { "Preview" }
        p { "It is for " (more) b { (all) } " components, of " (preview.looked_at) " that were looked at." }
        @if preview.more { p.note { "There are more in the scope than a preview looks at." } }
        ul.list {
            @for (region, count) in preview.regions.iter().take(32) { li { "Region " b { (region) } ": " (count) } }
            @if preview.already > 0 { li { (preview.already) " report this version already, and are done at once." } }
            @for (reason, (count, words)) in &preview.held_back { li.warn { (count) " would be held back (" (reason.as_str()) "): for one of them, " (short(words)) "." } }
            @if preview.held_back.is_empty() && all > 0 { li { "None of them would be held back now by another deployment or by its sequence number." } }
        }
        p.note { "Whether a device is in use, and other gates, are asked when its turn comes." }
    }
}

fn wrong(name: &str, words: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format_args!("`{name}`: {words}"))
}

/// Reads a number with at most one decimal place, and returns ten times its value.
fn tenths(fields: &Fields, name: &str, most: u32) -> Result<Option<u32>> {
    let Some(text) = fields.text(name) else { return Ok(None) };
    let (whole, tenth) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let read = |text: &str| {
        (text.len() < 7 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let number = read(whole).zip(read(tenth).filter(|tenth| *tenth < 10)).map(|(whole, tenth)| whole * 10 + tenth);
    let words =
        format!("it is `{}`, wanted a number from 0 to {most} with one place behind the point at most", short(text));
    number.filter(|number| *number <= most * 10).map(Some).ok_or_else(|| wrong(name, &words))
}

fn whole(fields: &Fields, name: &str, usual: u32) -> Result<u32> {
    let Some(text) = fields.text(name) else { return Ok(usual) };
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| wrong(name, &format!("it is `{}`, wanted a number", short(text))))
}

/// Returns the rollout of a form in the JSON form of the API.
fn body(fields: &Fields) -> Result<Value> {
    let release = fields.text("release").ok_or_else(|| wrong("release", "it is missing, wanted a release"))?;
    let (mut waves, mut left) = (Vec::new(), 1_000_u32);
    for (name, watch) in [("first", "watch"), ("second", "watch2")] {
        let permille = tenths(fields, name, 100)?.unwrap_or(0);
        if permille == 0 || left == 0 {
            continue;
        }
        let permille = permille.min(left);
        left -= permille;
        let seconds = u64::from(tenths(fields, watch, 10_000)?.unwrap_or(0)) * 360;
        waves.push(json!({ "permille": permille, "soak": format!("PT{seconds}S") }));
    }
    if left > 0 {
        waves.push(json!({ "permille": left }));
    }
    let stop: Vec<Value> = tenths(fields, "stop", 100)?
        .map(|over| {
            let counts = ["failed", "rolled-back", "timed-out", "unproven"];
            Ok::<_, Problem>(
                json!({ "counts": counts, "over_permille": over, "min_done": whole(fields, "after", 20)? }),
            )
        })
        .transpose()?
        .into_iter()
        .collect();
    let mut body = json!({
        "release": release,
        "waves": waves,
        "cap": whole(fields, "cap", 100)?,
        "stop": stop,
        "approvals": whole(fields, "approvals", 0)?,
    });
    if let (Some(scope), Some(body)) = (fields.text("scope"), body.as_object_mut()) {
        body.insert("scope".to_owned(), json!(scope));
    }
    Ok(body)
}

/// `POST /TENANT/pages/rollouts`
pub(super) async fn create(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result {
    let by = caller.actor()?;
    let wanted = body(&Fields::read(&headers, &bytes)?)?.to_string();
    let rollouts = app.rollouts();
    let wanted = request::read(wanted.as_bytes(), rollouts.regions())?;
    let made = rollouts.create(&tenant, wanted, &by).await.map_err(|error| problem(&error))?;
    let made = rollouts.submit(&tenant, made.id).await.map_err(|error| problem(&error))?;
    maintenance::remember_tenant(&app, &tenant).await;
    app.wake.now();
    let view = View::of(&app, &tenant, Section::Rollouts);
    Ok(see_other(&format!("{}/{}", view.page("rollouts"), made.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn waves_of_a_form_make_the_whole() {
        let made = |pairs: &[(&str, &str)]| body(&fields(&[&[("release", "r")][..], pairs].concat())).unwrap();
        let permille = |body: &Value| -> Vec<u64> {
            body["waves"].as_array().unwrap().iter().map(|wave| wave["permille"].as_u64().unwrap()).collect()
        };
        assert_eq!(permille(&made(&[])), [1_000]);
        assert_eq!(permille(&made(&[("first", "0.5"), ("second", "9,5")])), [5, 95, 900]);
        assert_eq!(permille(&made(&[("first", "100"), ("second", "10")])), [1_000]);
        assert_eq!(permille(&made(&[("first", "60"), ("second", "60")])), [600, 400]);
        assert_eq!(made(&[("first", "1"), ("watch", "1.5")])["waves"][0]["soak"], "PT5400S");
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for (name, value) in [("first", "101"), ("first", "1.25"), ("watch", "-1"), ("cap", "many"), ("stop", "1e3")] {
            let given = fields(&[("release", "r"), ("first", "1"), (name, value)]);
            let given = if name == "first" { fields(&[("release", "r"), (name, value)]) } else { given };
            assert!(body(&given).is_err(), "{name}={value}");
        }
        assert!(body(&fields(&[])).is_err());
    }
}
