//! The interactions with Subscriptions. They are kept in the ledger, beside the resources.

use super::address::SubscriptionAddress;
use super::bundle_writer::quoted;
use super::format::body_version;
use super::header::{Handling, IfMatch, Return, client_has, if_match, prefers};
use super::problem::{Problem, Result};
use super::write::{OF_THE_ANSWER, TRIES, overtaken, takes_no_condition};
use super::{Body, Request, Response, Server};
use crate::code::{SubscriptionChannelType, SubscriptionStatus};
use crate::convert;
use crate::datatype::{Meta, Primitive};
use crate::issue::{Issue, IssueType, Report, Severity};
use crate::primitive::{Id, Instant, Text};
use crate::resource::{OperationOutcome, Resource, Subscription};
use crate::store::{
    Changes, Ledger, ResourceStore, StoreError, Tenant, TenantLedger, VersionId, random_number, to_millisecond,
};
use crate::subscription::delivery::{Delivery, MOST_SENT};
use crate::subscription::registered::{MOST_BYTES, Progress, Register, Registered};
use crate::subscription::{EndpointRules, Pace};
use crate::support::http_date;
use crate::validate::Validate as _;
use std::fmt;
use std::sync::Arc;
use time::OffsetDateTime;
use url::form_urlencoded;

/// What stands in the place of the value of a header, which may be a secret.
const HIDDEN: &str = "(hidden)";

/// The most headers of a subscription, and the most bytes of all of them.
const MOST_HEADERS: (usize, usize) = (20, 4 << 10);

/// Headers that belong to the connection or to the notification itself.
const OWN_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The search parameters of Subscription.
const PARAMETERS: [&str; 7] = ["_id", "contact", "criteria", "payload", "status", "type", "url"];

/// The subscriptions of one tenant: where they are kept, and what they may ask for.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::rest::{Request, Server, Subscriptions};
/// use fhir_devices::store::TenantResources;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Arc::new(Memory::new());
/// let subscriptions = Subscriptions::new(memory.clone(), "st-mary".parse()?);
/// let store = TenantResources::new(memory, "st-mary".parse()?);
/// let server = Server::new(store, "https://devices.example/st-mary/fhir").with_subscriptions(subscriptions);
///
/// let wanted = r#"{"resourceType":"Subscription","status":"requested","reason":"new pumps","criteria":"Device?model=P9",
///     "channel":{"type":"rest-hook","endpoint":"https://ehr.example/hook","header":["Authorization: Bearer secret"]}}"#;
/// let post = Request::new("POST", "Subscription").header("Content-Type", "application/fhir+json").body(wanted);
/// let made = server.handle(&post).await;
/// assert_eq!(made.status, 201);
/// assert!(String::from_utf8_lossy(&made.body).contains("Authorization: (hidden)"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Subscriptions {
    pub(crate) register: Register,
    rules: EndpointRules,
    pub(crate) pace: Pace,
    most: usize,
}

impl Subscriptions {
    /// Returns the subscriptions of a tenant in a ledger: 100 at most, to public hosts by `https`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, tenant: Tenant) -> Self {
        let register = Register::new(TenantLedger::new(ledger, tenant));
        Self { register, rules: EndpointRules::default(), pace: Pace::default(), most: 100 }
    }

    /// Sets the rules for endpoints.
    #[must_use]
    pub fn with_endpoint_rules(mut self, rules: EndpointRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets the pace of deliveries.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the maximum number of subscriptions. Of several requests at the same moment each may take the last place.
    #[must_use]
    pub fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("rules", &self.rules).field("most", &self.most).finish_non_exhaustive()
    }
}

fn of_store(error: &StoreError) -> Problem {
    Problem::of_store(error, "the subscription")
}

fn none(id: &str) -> Problem {
    Problem::not_found(format_args!("there is no Subscription/{id}"))
}

fn words(value: &Primitive<Text>) -> &str {
    value.value.as_ref().map(Text::as_str).unwrap_or_default()
}

/// The name and the value of a header.
pub(crate) fn header_parts(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let is_value = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
    (is_name && is_value(value)).then_some((name, value.trim()))
}

/// A place in the resource with what is wrong there.
fn issue(rule: &'static str, kind: IssueType, at: &str, message: impl Into<String>) -> Issue {
    Issue::new(rule, Severity::Error, kind, format!("Subscription.{at}"), message.into())
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// An interaction with the Subscriptions, which are kept where the service has them.
    pub(super) async fn subscription(
        &self,
        request: &Request<'_>,
        address: &SubscriptionAddress,
        in_a_bundle: bool,
    ) -> Result<Response> {
        let Some(own) = &self.subscriptions else { return Err(super::address::not_kept("Subscription")) };
        if request.method == "OPTIONS" {
            return Ok(Response::empty(204).with("allow", address.methods()));
        }
        if self.format.version != convert::Version::Stu3 {
            return Err(Problem::unsupported(406, "format", "a Subscription is read and written in FHIR 3.0 alone"));
        }
        if in_a_bundle && !matches!(&*request.method, "GET" | "HEAD") {
            let words = "a Subscription is written by a request of its own, and not in a Bundle";
            return Err(Problem::unsupported(501, "interaction", words));
        }
        match (&*request.method, address) {
            (_, SubscriptionAddress::Other(what)) => {
                Err(Problem::unsupported(501, "interaction", format_args!("`{what}` of Subscription is not supported")))
            }
            ("GET" | "HEAD", SubscriptionAddress::One(id)) => {
                let found = own.register.get(id).await.map_err(|error| of_store(&error))?;
                self.read_subscription(request, &found.ok_or_else(|| none(id))?)
            }
            ("GET" | "HEAD", SubscriptionAddress::All | SubscriptionAddress::Search) => {
                self.find_subscriptions(own, &request.query).await
            }
            ("POST", SubscriptionAddress::All) => self.create_subscription(request, own).await,
            ("PUT", SubscriptionAddress::One(id)) => self.update_subscription(request, own, id).await,
            ("DELETE", SubscriptionAddress::One(id)) => self.delete_subscription(request, own, id).await,
            (method, _) => {
                let words = format!("`{}` does not take {method}", request.path);
                Err(Problem::unsupported(405, "method", words).with_header("allow", address.methods()))
            }
        }
    }

    /// A subscription as everyone may see it: without the values of its headers.
    fn shown_subscription(&self, registered: &Registered) -> Result<Body> {
        let mut resource = registered.resource.clone();
        resource.id = Id::new(registered.id.as_str()).ok().map(Primitive::from);
        let meta = resource.meta.get_or_insert_with(Meta::default);
        meta.version_id = Id::new(registered.version.to_string()).ok().map(Primitive::from);
        meta.last_updated = Instant::try_from(to_millisecond(registered.changed)).ok().map(Primitive::from);
        for header in &mut resource.channel.header {
            let name = words(header).split(':').next().unwrap_or_default().to_owned();
            *header = Text::new(format!("{name}: {HIDDEN}")).map_err(|error| Problem::bad("header", error))?.into();
        }
        Ok(resource.to_json().into())
    }

    fn read_subscription(&self, request: &Request<'_>, registered: &Registered) -> Result<Response> {
        let tag = format!("W/\"{}\"", registered.version);
        let response = if client_has(request, &tag, registered.changed, self.clock.now()) {
            Response::empty(304)
        } else {
            Response::json(200, self.shown_subscription(registered)?)
        };
        Ok(with_version(response, registered))
    }

    /// `GET Subscription?parameters`: all that are found, as there are few.
    async fn find_subscriptions(&self, own: &Subscriptions, query: &str) -> Result<Response> {
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            if OF_THE_ANSWER.contains(&&*name) || matches!(&*name, "_count" | "_total" | "_page") {
                continue;
            }
            // Criteria have a `?` and signs of their own, and their names a `:` where they have a modifier.
            if !PARAMETERS.contains(&&*name) && (self.handling == Handling::Strict || name.contains(':')) {
                let words = format!("`{name}` is not searched for here, only {}", PARAMETERS.join(", "));
                return Err(Problem::unsupported(400, "search-parameter", words));
            }
            if PARAMETERS.contains(&&*name) {
                wanted.push((name.into_owned(), value.into_owned()));
            }
        }
        let mut found = own.register.all().await.map_err(|error| of_store(&error))?;
        found.retain(|registered| wanted.iter().all(|(name, value)| meets(registered, name, value)));
        let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(&wanted).finish();
        let links = [("self", format!("{}/Subscription?{pairs}", self.base))];
        let mut bundle = self.bundle_writer("searchset", Some(found.len()), &links);
        for registered in &found {
            let body = self.shown_subscription(registered)?;
            let address = format!("{}/Subscription/{}", self.base, registered.id);
            bundle.entry(Some(&address), Some(&body), &format!("\"search\":{{\"mode\":{}}}", quoted("match")));
        }
        Ok(Response::json(200, bundle.finish()))
    }

    /// The Subscription of a body, with every finding where it is none.
    fn sent_subscription(&self, request: &Request<'_>) -> Result<Subscription> {
        takes_no_condition(request)?;
        if body_version(request)? != convert::Version::Stu3 {
            return Err(Problem::unsupported(415, "content-type", "a Subscription is written in FHIR 3.0 alone"));
        }
        let document = self.document(convert::Version::Stu3, &request.body)?;
        let Resource::Other(other) = &*document else {
            let words = format!("the resource is a {}, and the address wants a Subscription", document.resource_type());
            return Err(Problem::bad("resource-type", words));
        };
        if other.resource_type() != "Subscription" {
            let words = format!("the resource is a {}, and the address wants a Subscription", other.resource_type());
            return Err(Problem::bad("resource-type", words));
        }
        let read = Subscription::read(other.as_json().as_bytes(), self.mode);
        let read = read.map_err(|report| Problem::document_within(report, &self.limits))?.value;
        let report = read.validate();
        if report.has_errors() {
            return Err(Problem::document_within(report, &self.limits));
        }
        Ok(read)
    }

    /// What keeps the service from sending the notifications that a subscription asks for.
    fn check_subscription(&self, own: &Subscriptions, sent: &Subscription, before: Option<&Registered>) -> Report {
        let mut report = Report::new();
        let channel = &sent.channel;
        let status = sent.status.value;
        let may_be = matches!(status, Some(SubscriptionStatus::Requested | SubscriptionStatus::Off))
            || (status.is_some() && status == before.map(Registered::status));
        if !may_be {
            let message = "a client asks for the status `requested` or `off`; the service sets the others";
            report.push(issue("subscription-status", IssueType::BusinessRule, "status", message));
        }
        if channel.r#type.value != Some(SubscriptionChannelType::RestHook) {
            let message = format!(
                "the channel `{}` is not supported, only `rest-hook`",
                channel.r#type.value.map(SubscriptionChannelType::as_str).unwrap_or_default()
            );
            report.push(issue("channel-type", IssueType::NotSupported, "channel.type", message));
        }
        match channel.endpoint.as_ref().and_then(|endpoint| endpoint.value.as_ref()) {
            None => {
                report.push(issue("endpoint", IssueType::Required, "channel.endpoint", "a rest-hook needs an endpoint"))
            }
            Some(endpoint) => {
                if let Err(message) = own.rules.check(endpoint.as_str()) {
                    report.push(issue("endpoint", IssueType::BusinessRule, "channel.endpoint", message));
                }
            }
        }
        if let Some(payload) = channel.payload.as_ref().map(words)
            && payload_format(payload).is_none()
        {
            let xml = if cfg!(feature = "xml") { " or `application/fhir+xml`" } else { "" };
            let message = format!("`{payload}` is not a payload here, only `application/fhir+json`{xml}");
            report.push(issue("payload", IssueType::NotSupported, "channel.payload", message));
        }
        let bytes: usize = channel.header.iter().map(|header| words(header).len()).sum();
        if channel.header.len() > MOST_HEADERS.0 || bytes > MOST_HEADERS.1 {
            let message =
                format!("the headers are more than {} or have more than {} bytes", MOST_HEADERS.0, MOST_HEADERS.1);
            report.push(issue("header", IssueType::TooLong, "channel.header", message));
        }
        for (at, header) in channel.header.iter().enumerate().take(MOST_HEADERS.0) {
            let place = format!("channel.header[{at}]");
            // Its value is not told: it may be a secret.
            match header_parts(words(header)) {
                None => {
                    let message = "the header is not of the form `Name: value` in ASCII";
                    report.push(issue("header", IssueType::Value, &place, message));
                }
                Some((name, _)) if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) => {
                    let message = format!("`{name}` is set by the service itself");
                    report.push(issue("header", IssueType::BusinessRule, &place, message));
                }
                Some((name, HIDDEN)) => {
                    let message =
                        format!("the value of `{name}` is hidden, and no value is kept for this endpoint: send it");
                    report.push(issue("header", IssueType::Value, &place, message));
                }
                Some(_) => {}
            }
        }
        if let Err(problem) = self.criteria(words(&sent.criteria)) {
            for found in problem.issues() {
                let message = found.diagnostics.as_ref().map(words).unwrap_or_default();
                report.push(issue("criteria", IssueType::NotSupported, "criteria", message));
            }
        }
        let end = sent.end.as_ref().and_then(|end| end.value.as_ref()).and_then(Instant::to_offset_date_time);
        if status != Some(SubscriptionStatus::Off) && end.is_some_and(|end| end <= self.clock.now()) {
            report.push(issue("subscription-end", IssueType::BusinessRule, "end", "the end is past"));
        }
        if sent.to_json().len() > MOST_BYTES {
            let message = format!("the Subscription is larger than {MOST_BYTES} bytes");
            report.push(Issue::new("too-large", Severity::Error, IssueType::TooLong, "Subscription", message));
        }
        report
    }

    /// A subscription as it is kept, of what a client sent.
    fn taken_subscription(
        &self,
        own: &Subscriptions,
        mut sent: Subscription,
        before: Option<&Registered>,
    ) -> Result<Subscription> {
        if let Some(before) = before {
            keep_hidden_headers(&mut sent, &before.resource);
        }
        let report = self.check_subscription(own, &sent, before);
        if !report.is_empty() {
            return Err(Problem::unprocessable(&report));
        }
        // The service says itself what went wrong, and which version it is.
        let again = sent.status.value == Some(SubscriptionStatus::Requested);
        sent.error = before.filter(|_| !again).and_then(|before| before.resource.error.clone());
        sent.id = None;
        if let Some(meta) = &mut sent.meta {
            (meta.version_id, meta.last_updated) = (None, None);
        }
        Ok(sent)
    }

    /// The changes of the last moments, which a new subscription is not told of.
    async fn fresh_delivery(&self, pace: &Pace, now: OffsetDateTime) -> Result<Delivery> {
        let from = now - pace.overlap;
        let mut changes = Changes::new().since(from).limit(500);
        let mut known = Vec::new();
        loop {
            let page = self.store.changes(&changes).await.map_err(|error| Problem::of_store(&error, "the history"))?;
            known.extend(page.items.into_iter().map(|version| crate::store::Version { body: None, ..version }));
            match page.next {
                Some(next) if known.len() < MOST_SENT => changes.after = Some(next),
                _ => return Ok(Delivery::starting(from, &known)),
            }
        }
    }

    async fn create_subscription(&self, request: &Request<'_>, own: &Subscriptions) -> Result<Response> {
        if request.one("if-none-exist").is_some() {
            let words = "the creation of a Subscription takes no condition";
            return Err(Problem::unsupported(501, "interaction", words));
        }
        if !self.store.capabilities().changes {
            let words = "the store keeps no versions by time, so that no subscriber can be told of changes";
            return Err(Problem::unsupported(501, "interaction", words));
        }
        let sent = self.sent_subscription(request)?;
        let resource = self.taken_subscription(own, sent, None)?;
        if own.register.all().await.map_err(|error| of_store(&error))?.len() >= own.most {
            let words = format!("there are {} subscriptions already, which are as many as are kept", own.most);
            return Err(Problem::new(422, IssueType::TooCostly, "too-many-subscriptions", words));
        }
        let number = random_number().map_err(|error| of_store(&error))?;
        let now = self.clock.now();
        let registered =
            Registered { id: format!("{number:032x}"), version: 1, changed: now, resource, revision: None };
        let fresh = self.fresh_delivery(&own.pace, now).await?;
        let progress = match registered.status() {
            SubscriptionStatus::Off => Progress::Kept,
            _ => Progress::New(&fresh),
        };
        own.register.write(&registered, progress).await.map_err(|error| of_store(&error))?;
        self.written_subscription(request, 201, &registered)
    }

    async fn update_subscription(&self, request: &Request<'_>, own: &Subscriptions, id: &str) -> Result<Response> {
        let sent = self.sent_subscription(request)?;
        match sent.id.as_ref().and_then(|own| own.value.as_ref()) {
            Some(named) if named.as_str() == id => {}
            Some(named) => {
                let words = format!("the resource has the id `{named}`, and the address `{id}`");
                return Err(Problem::bad("id", words));
            }
            None => {
                return Err(Problem::bad(
                    "id",
                    format_args!("the resource has no id; `{id}` of the address is wanted"),
                ));
            }
        }
        let when = if_match(request)?;
        for _ in 0..TRIES {
            let Some(before) = own.register.get(id).await.map_err(|error| of_store(&error))? else {
                let words =
                    format!("there is no Subscription/{id}, and the service gives Subscriptions their ids: POST it");
                return Err(Problem::unsupported(405, "method", words).with_header("allow", "GET, HEAD, OPTIONS"));
            };
            check_version(when.as_ref(), &before)?;
            let resource = self.taken_subscription(own, sent.clone(), Some(&before))?;
            let now = self.clock.now();
            let delivery = own.register.delivery(id).await.map_err(|error| of_store(&error))?;
            let fresh;
            let mut kept;
            let progress = match (resource.status.value, delivery) {
                // What was turned off by its client begins anew; what was given up goes on where it stopped.
                (Some(SubscriptionStatus::Off), Some((revision, _))) => Progress::Deleted(revision),
                (Some(SubscriptionStatus::Off), None) => Progress::Kept,
                (_, None) => {
                    fresh = self.fresh_delivery(&own.pace, now).await?;
                    Progress::New(&fresh)
                }
                (Some(SubscriptionStatus::Requested), Some((revision, delivery))) => {
                    kept = delivery;
                    kept.begin_anew();
                    Progress::Replaced(revision, &kept)
                }
                (_, Some(_)) => Progress::Kept,
            };
            let after = Registered { version: before.version.saturating_add(1), changed: now, resource, ..before };
            match own.register.write(&after, progress).await {
                Ok(()) => return self.written_subscription(request, 200, &after),
                // The service or another client changed it meanwhile.
                Err(StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(of_store(&error)),
            }
        }
        Err(overtaken())
    }

    async fn delete_subscription(&self, request: &Request<'_>, own: &Subscriptions, id: &str) -> Result<Response> {
        takes_no_condition(request)?;
        let when = if_match(request)?;
        for _ in 0..TRIES {
            let Some(before) = own.register.get(id).await.map_err(|error| of_store(&error))? else {
                return Ok(Response::empty(204));
            };
            check_version(when.as_ref(), &before)?;
            let delivery = own.register.delivery(id).await.map_err(|error| of_store(&error))?;
            let progress = delivery.map_or(Progress::Kept, |(revision, _)| Progress::Deleted(revision));
            match own.register.delete(&before, progress).await {
                Ok(()) => return Ok(Response::empty(204)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(of_store(&error)),
            }
        }
        Err(overtaken())
    }

    fn written_subscription(&self, request: &Request<'_>, status: u16, registered: &Registered) -> Result<Response> {
        let response = match prefers(request) {
            Return::Minimal => Response::empty(status),
            Return::Outcome => {
                let words = format!("Subscription/{} is now in version {}", registered.id, registered.version);
                Response::json(
                    status,
                    OperationOutcome::of(Severity::Information, IssueType::Informational, &words).to_json(),
                )
            }
            Return::Representation => Response::json(status, self.shown_subscription(registered)?),
        };
        let place = format!("{}/Subscription/{}", self.path(), registered.id);
        Ok(with_version(response, registered).with("location", place))
    }
}

fn with_version(response: Response, registered: &Registered) -> Response {
    let tag = format!("W/\"{}\"", registered.version);
    response.with("etag", tag).with("last-modified", http_date(registered.changed))
}

fn check_version(when: Option<&IfMatch>, before: &Registered) -> Result<()> {
    let is_meant = match when {
        None | Some(IfMatch::Any) => true,
        Some(IfMatch::OneOf(listed)) => VersionId::new(before.version).is_some_and(|own| listed.contains(&own)),
    };
    if is_meant {
        return Ok(());
    }
    let id = &before.id;
    let words =
        format!("Subscription/{id} is not in the version that `If-Match` names; it is now W/\"{}\"", before.version);
    Err(Problem::new(409, IssueType::Conflict, "version-conflict", words))
}

/// Puts the values of headers back that the client has only seen hidden. They stay with the endpoint for which they were given:
/// else whoever may write could have a secret sent to themselves.
fn keep_hidden_headers(sent: &mut Subscription, before: &Subscription) {
    let endpoint = |of: &Subscription| of.channel.endpoint.as_ref().and_then(|endpoint| endpoint.value.clone());
    if endpoint(sent) != endpoint(before) {
        return;
    }
    let name = |header: &Primitive<Text>| words(header).split(':').next().unwrap_or_default().to_ascii_lowercase();
    for header in &mut sent.channel.header {
        let is_hidden = header_parts(words(header)).is_some_and(|(_, value)| value == HIDDEN);
        if is_hidden && let Some(kept) = before.channel.header.iter().find(|kept| name(kept) == name(header)) {
            *header = kept.clone();
        }
    }
}

/// The media type in which a resource is sent.
pub(crate) fn payload_format(payload: &str) -> Option<&'static str> {
    match payload.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/fhir+json" | "application/json+fhir" | "application/json" => Some(super::FHIR_JSON),
        "application/fhir+xml" | "application/xml+fhir" | "application/xml" if cfg!(feature = "xml") => {
            Some(super::FHIR_XML)
        }
        _ => None,
    }
}

/// Whether a subscription meets a search parameter: one of several values with commas between them.
fn meets(registered: &Registered, name: &str, values: &str) -> bool {
    let resource = &registered.resource;
    let channel = &resource.channel;
    super::filter::split(values).iter().any(|value| match name {
        "_id" => registered.id == *value,
        "status" => registered.status().as_str() == token(value),
        "type" => channel.r#type.value.is_some_and(|kind| kind.as_str() == token(value)),
        "url" => channel
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.value.as_ref())
            .is_some_and(|own| own.as_str() == value),
        "payload" => channel.payload.as_ref().map(words) == Some(value.as_str()),
        "criteria" => words(&resource.criteria).to_lowercase().starts_with(&value.to_lowercase()),
        "contact" => {
            let (system, value) = value.split_once('|').unwrap_or(("", value));
            resource.contact.iter().any(|contact| {
                let own = contact.system.as_ref().and_then(|system| system.value).map(|system| system.as_str());
                contact.value.as_ref().map(words) == Some(value) && (system.is_empty() || own == Some(system))
            })
        }
        _ => true,
    })
}

/// The code of a token, whatever its system.
fn token(value: &str) -> &str {
    value.rsplit('|').next().unwrap_or_default()
}
