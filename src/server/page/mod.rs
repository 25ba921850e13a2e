//! The page for people: the devices of a tenant as trees, and a form that sends an update.

mod tree;

use super::answer::{Answer, Problem, Result, report_fault, set};
use super::budget::Cost;
use super::{Shared, demo, maintenance};
use crate::issue::IssueType;
use crate::service::LifecycleError;
use crate::store::{Sha256, Tenant};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Display;
use url::form_urlencoded;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// `GET /?tenant=NAME`
pub(crate) async fn show(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result {
    let query = query.unwrap_or_default();
    let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tenant").map(|(_, value)| value);
    let named = named.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or(demo::TENANT);
    let tenant: Tenant = named.parse().map_err(Problem::not_found)?;
    let reservation = app.budget.take(Cost::page(&app.limits)).await?;
    let (store, updates) = (app.tenanted(&tenant), app.updates.clone());
    let work = async move { tree::Fleet::read(&store, &updates).await };
    let (fleet, _reservation) = app.budget.offload(reservation, work).await?;
    let fleet = fleet.map_err(|error| match error {
        LifecycleError::Store(error) => Problem::of_store(&error, "the page"),
        error => {
            report_fault(&error);
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, "fault", "the page cannot be shown")
        }
    })?;
    if !fleet.is_empty() {
        maintenance::remember_tenant(&app, &tenant).await;
    }

    let path = app.path(&tenant);
    let page = fill(
        TEMPLATE,
        &[
            ("style", STYLE),
            ("script", SCRIPT),
            ("tenant", tenant.as_str()),
            ("home", if app.mounted_at.is_empty() { "/" } else { &app.mounted_at }),
            ("path", &path),
            ("devices", &fleet.device_options()),
            ("components", &fleet.component_options()),
            ("fleet", &fleet.html(&tenant, &path)),
        ],
    );
    let mut answer = Answer::new(Body::from(page));
    set(&mut answer, header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, policy());
    Ok(answer)
}

/// Returns only our own style and script, known by their digests, may run in the page.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::of(text.as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// Puts values where the template has their names in double braces. A value is not looked into again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        page.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Returns a text as the content of an element or of a quoted attribute.
fn escape(text: impl Display) -> String {
    let text = text.to_string();
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_in_html() {
        assert_eq!(escape("<a b='\"'>&"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;");
    }

    #[test]
    fn template_value_is_not_expanded_again() {
        assert_eq!(fill("<{{a}}|{{b}}|{{c}}>{{", &[("a", "{{b}}"), ("b", "2")]), "<{{b}}|2|>");
    }
}
