//! The HTML pages: the fleet, a device, sending, updates, releases and rollouts. They work without JavaScript; the
//! script adds progress, dialogs and refreshing.

mod chart;
mod device;
mod fleet;
mod members;
mod plan;
mod releases;
mod rollouts;
mod send;
mod text;
mod timeline;
mod tree;
mod updates;
mod words;

pub(super) use send::received;

use super::answer::{self, Answer, Problem, Result, report_fault, set};
use super::place::one;
use super::rollouts::Asked;
use super::{MAX_SMALL, Shared, UpdateServer};
use crate::issue::IssueType;
use crate::manifest::Note;
use crate::service::LifecycleError;
use crate::store::{Sha256, Tenant};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::form_urlencoded;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Returns the routes.
pub(super) fn routes() -> Router<Shared> {
    let small = || DefaultBodyLimit::max(MAX_SMALL);
    Router::new()
        .route("/", get(fleet::home))
        .route("/{tenant}/pages/devices", get(fleet::show))
        .route("/{tenant}/pages/devices/{device}", get(device::show))
        .route("/{tenant}/pages/send", get(send::show))
        .route("/{tenant}/pages/updates", get(updates::list))
        .route("/{tenant}/pages/updates/{id}", get(updates::show))
        .route("/{tenant}/pages/updates/{id}/{action}", get(updates::ask).post(updates::act).layer(small()))
        .route("/{tenant}/pages/releases", get(releases::list))
        .route("/{tenant}/pages/releases/{id}", get(releases::show))
        .route("/{tenant}/pages/releases/{id}/withdraw", get(releases::ask).post(releases::withdraw).layer(small()))
        .route("/{tenant}/pages/rollouts", get(rollouts::list).post(plan::create).layer(small()))
        .route("/{tenant}/pages/rollouts/new", get(plan::form))
        .route("/{tenant}/pages/rollouts/{id}", get(rollouts::show))
        .route("/{tenant}/pages/rollouts/{id}/components", get(rollouts::components))
        .route("/{tenant}/pages/rollouts/{id}/times", get(rollouts::time_page))
        .route("/{tenant}/pages/rollouts/{id}/{action}", get(rollouts::ask).post(rollouts::act).layer(small()))
}

tokio::task_local! {
    /// The name of the signed-in person whose request is handled.
    static PERSON: Option<String>;
}

/// Returns the name of the signed-in person whose request is handled.
pub(super) fn person() -> Option<String> {
    PERSON.try_with(Clone::clone).ok().flatten()
}

/// Handles a request of a signed-in person, whose name the pages show.
pub(super) async fn for_person<T>(person: Option<String>, request: impl Future<Output = T>) -> T {
    PERSON.scope(person, request).await
}

/// The sections of the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Devices,
    Updates,
    Rollouts,
}

/// The context of one page of a tenant.
struct View<'a> {
    app: &'a UpdateServer,
    tenant: &'a Tenant,
    section: Section,
}

impl<'a> View<'a> {
    const fn of(app: &'a UpdateServer, tenant: &'a Tenant, section: Section) -> Self {
        Self { app, tenant, section }
    }

    /// Returns the path of the tenant, below which its resources and updates are.
    fn path(&self) -> String {
        self.app.path(self.tenant)
    }

    /// Returns the path of a page of the tenant.
    fn page(&self, name: &str) -> String {
        format!("{}/pages/{name}", self.path())
    }

    /// Returns the whole page as an answer.
    fn answer(&self, status: StatusCode, title: &str, content: &Markup) -> Answer {
        let home = if self.app.mounted_at.is_empty() { "/" } else { &self.app.mounted_at };
        let link = |section: Section, name: &str, words: &str| {
            let current = (self.section == section).then_some("page");
            html! { a href=(self.page(name)) aria-current=[current] { (words) } }
        };
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (head(&format!("{title} - Device updates: {}", self.tenant)))
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href={ (home) "?tenant=" (self.tenant) } { "Device updates" }
                        nav aria-label="Main" {
                            (link(Section::Devices, "devices", "Devices"))
                            (link(Section::Updates, "updates", "Updates"))
                            (link(Section::Rollouts, "rollouts", "Rollouts"))
                        }
                        form method="get" action=(home) role="search" aria-label="Tenant" {
                            label for="tenant" { "Tenant" }
                            input #tenant name="tenant" value=(self.tenant) pattern="[a-z0-9\\-]{1,64}" required autocapitalize="off"
                                spellcheck="false";
                            button { "Show" }
                        }
                        (signed_in(&self.app.mounted_at))
                    }
                    main #main tabindex="-1" { (content) }
                    footer.foot {
                        a href={ (self.path()) "/fhir/metadata" } { "FHIR service" }
                        " "
                        a href={ (self.path()) "/audit" } { "Audit records" }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        of_html(status, page)
    }

    /// Returns the page with status 200.
    fn ok(&self, title: &str, content: &Markup) -> Result {
        Ok(self.answer(StatusCode::OK, title, content))
    }
}

/// Returns the name of the signed-in person and a button to sign out; nothing without a sign-in.
fn signed_in(mounted_at: &str) -> Markup {
    html! {
        @if let Some(person) = person() {
            form.person method="post" action={ (mounted_at) "/sign-out" } {
                span { "Signed in as " (person) }
                button { "Sign out" }
            }
        }
    }
}

/// Returns a page with a message and a link, which belongs to no tenant.
#[cfg(feature = "oidc")]
pub(super) fn message_page(status: StatusCode, title: &str, words: &str, link: (&str, &str)) -> Answer {
    let (address, label) = link;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                main #main {
                    h1 { (title) }
                    p { (words) }
                    p { a.button href=(address) { (label) } }
                }
            }
        }
    };
    of_html(status, page)
}

/// Returns the head of a page.
fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// Returns a page as an answer.
fn of_html(status: StatusCode, page: Markup) -> Answer {
    let mut answer = Answer::new(Body::from(page.into_string()));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A browser sends the page of origin with a form, which `no-referrer` would hide.
    set(&mut answer, header::REFERRER_POLICY, "same-origin");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, policy());
    answer
}

/// Returns the content security policy: only the pages' own style and script, identified by their digests.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::of(text.as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// Returns whether the form of a page was sent, which is answered by a page: by `?answer=page`, since programs get FHIR
/// at the same URL whatever they accept.
pub(super) fn is_wanted(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).any(|(name, value)| name == "answer" && value == "page")
}

/// Returns whether a request comes from a browser that shows the answer to a user.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    })
}

/// Returns the tenant of a page requested by a browser; `None` for every other URL, and for programs.
fn tenant_of_page(headers: &HeaderMap, uri: &Uri) -> Option<Tenant> {
    let mut segments = uri.path().split('/').skip(1);
    let (first, second) = (segments.next()?, segments.next());
    let is_form = matches!(second, Some("updates" | "releases")) && segments.next().is_none() && is_wanted(uri);
    if !is_form && !wants_html(headers) {
        return None;
    }
    if first.is_empty() && second.is_none() {
        let query = uri.query().unwrap_or_default();
        let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tenant");
        return named.map_or(Some(super::demo::TENANT.to_owned()), |(_, name)| Some(name.into_owned()))?.parse().ok();
    }
    if second == Some("pages") || is_form { first.parse().ok() } else { None }
}

/// Answers a browser with a page that explains a problem and what to do, where a program gets an OperationOutcome.
pub(super) async fn in_words(State(app): State<Shared>, request: Request, next: Next) -> Answer {
    let tenant = tenant_of_page(request.headers(), request.uri());
    let mut answer = next.run(request).await;
    let Some(tenant) = tenant else { return answer };
    let Some(problem) = answer::told(&mut answer) else { return answer };
    let (head, _) = answer.into_parts();
    let view = View::of(&app, &tenant, Section::Devices);
    let mut page = view.answer(head.status, "Not done", &words::refusal(&problem));
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        for value in head.headers.get_all(&name) {
            page.headers_mut().append(&name, value.clone());
        }
    }
    page
}

/// Converts an error of the stores or the ledger to a problem of a page.
fn failed(error: LifecycleError) -> Problem {
    match error {
        LifecycleError::Store(error) => Problem::of_store(&error, "the page"),
        error => {
            report_fault(&error);
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, "fault", "the page cannot be shown")
        }
    }
}

/// Returns a redirect to another page after a form was processed (303).
pub(super) fn see_other(place: &str) -> Answer {
    let mut answer = answer::empty(StatusCode::SEE_OTHER);
    set(&mut answer, header::LOCATION, place);
    answer
}

/// The fields of a small form.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a form as browsers send it.
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self> {
        let kind = one(headers, &header::CONTENT_TYPE).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            let words = format!("a form comes as application/x-www-form-urlencoded, and this is `{kind}`");
            return Err(Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", words));
        }
        Ok(Self(form_urlencoded::parse(body).into_owned().take(128).collect()))
    }

    /// Returns the value of a field, unless it is blank.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the reason, which is required.
    fn reason(&self) -> Result<Note> {
        let words = "the reason is missing: it is recorded, so that others understand later why this was done";
        let missing = || Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "reason-missing", words);
        let wrong = |error| {
            Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format_args!("`reason`: {error}"))
        };
        Note::new(self.text("reason").ok_or_else(missing)?).map_err(wrong)
    }
}

/// Returns the links below a list: to its first and its next page.
fn pager(asked: &Asked, path: &str, next: Option<&str>) -> Markup {
    let first = asked.text("_page").map(|_| asked.first(path));
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(first) = first { a.button href=(first) { "First page" } }
                @if let Some(next) = next { a.button href=(asked.next(path, next)) rel="next" { "Next page" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_their_forms_have_a_tenant() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, "text/html,*/*;q=0.8".parse().unwrap());
        let tenant = |uri: &str| tenant_of_page(&headers, &uri.parse().unwrap()).map(|tenant| tenant.to_string());
        assert_eq!(tenant("/"), Some("demo".to_owned()));
        assert_eq!(tenant("/?tenant=ward"), Some("ward".to_owned()));
        assert_eq!(tenant("/ward/pages/devices/a"), Some("ward".to_owned()));
        assert_eq!(tenant("/ward/updates?answer=page"), Some("ward".to_owned()));
        for other in
            ["/ward/updates", "/ward/updates/1/make-current?answer=page", "/ward/fhir/Device", "/W!/pages/devices"]
        {
            assert_eq!(tenant(other), None, "{other}");
        }
        assert_eq!(tenant_of_page(&HeaderMap::new(), &"/ward/pages/devices".parse().unwrap()), None);
    }

    #[test]
    fn only_browsers_want_html() {
        let headers = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            headers
        };
        assert!(wants_html(&headers("text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!wants_html(&headers("*/*")) && !wants_html(&headers("application/fhir+json")));
        assert!(!wants_html(&HeaderMap::new()));
    }
}
