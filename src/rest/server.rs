//! The interactions of one tenant, from a request to its answer.

use super::address::{Address, Operation};
use super::filter::Setting;
use super::find::{Finder, size};
use super::format::{Format, patched_version};
use super::header::{Handling, client_has, handling};
use super::limits::{Limits, Spent};
use super::pretty::indented;
use super::problem::{Problem, Result};
use super::query::Query;
use super::shown::Age;
use super::subset::Subset;
use super::write::{OF_THE_ANSWER, ReferencedDeletion};
use super::{Body, FHIR_JSON, JSON_PATCH, KnownUpdates, Request, Response, Subscriptions, capability};
use crate::convert;
use crate::element::ReadMode;
use crate::issue::Report;
use crate::primitive::CanonicalBase;
use crate::reference::OwnBase;
use crate::resource::Resource;
use crate::search::ResourceType;
use crate::store::{Clock, PageKey, ResourceStore, StoreError, SystemClock, TenantResources, Version};
use crate::support::http_date;
use crate::validate::{Valid, Validator};
use std::fmt;
use std::sync::{Arc, Mutex};
use url::form_urlencoded;

/// The FHIR REST API of one tenant over a store: plain values in, plain values out, so that any HTTP stack can carry it.
///
/// It reads, searches, and writes Device, DeviceComponent and DeviceMetric as FHIR STU3 says: versions, histories,
/// conditional interactions, batches and transactions. What it supports is listed by its CapabilityStatement, which is
/// made from the tables that it works by. It has no state of its own: a value a request will do.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::rest::{Request, Server};
/// use fhir_devices::store::TenantResources;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
/// let server = Server::new(store, "https://devices.example/st-mary/fhir");
///
/// let pump = r#"{"resourceType":"Device","id":"pump","model":"P9"}"#;
/// let put = Request::new("PUT", "Device/pump").header("Content-Type", "application/fhir+json").body(pump);
/// let made = server.handle(&put).await;
/// assert_eq!((made.status, made.header("etag")), (201, Some("W/\"1\"")));
///
/// let found = server.handle(&Request::new("GET", "Device").query("model=p")).await;
/// assert!(String::from_utf8_lossy(&found.body).contains(r#""total":1"#));
/// # Ok(())
/// # }
/// ```
pub struct Server<S: ?Sized = dyn ResourceStore> {
    pub(super) store: TenantResources<S>,
    pub(super) base: OwnBase,
    pub(super) pages: PageKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) canonical: CanonicalBase,
    pub(super) updates: Option<Arc<dyn KnownUpdates>>,
    pub(super) limits: Limits,
    /// How resources of other versions of FHIR are written and read.
    pub(super) conversion: Arc<convert::Options>,
    /// How the request under way is answered.
    pub(super) format: Format,
    pub(super) validator: Arc<Validator>,
    /// What the request under way has cost.
    pub(super) spent: Arc<Spent>,
    /// What is done with search parameters that are not known.
    pub(super) handling: Handling,
    /// How bodies are read.
    pub(super) mode: ReadMode,
    /// What was found in the body of the request under way, where it is read leniently.
    pub(super) findings: Arc<Mutex<Report>>,
    /// What becomes of a deletion of what others refer to.
    pub(super) referenced: ReferencedDeletion,
    /// The subscriptions, where there may be any.
    pub(super) subscriptions: Option<Subscriptions>,
    /// Whether the statement says that pages of other origins may use the service.
    pub(super) cors: bool,
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// The service of a tenant, at an address, with or without a slash at its end.
    ///
    /// Page tokens are sealed with a key that is no secret: it keeps damaged ones and those of other searches out. Who
    /// makes one gains nothing, as every search is of the tenant alone and asks everything anew.
    pub fn new(store: TenantResources<S>, base: impl Into<String>) -> Self {
        let base = OwnBase::new(&base.into());
        let store = store.at(base.clone());
        let pages = PageKey::from_bytes(crate::store::Sha256::of(b"fhir-devices: places of searches").0);
        Self {
            store,
            base,
            pages,
            clock: Arc::new(SystemClock),
            canonical: CanonicalBase::default(),
            updates: None,
            limits: Limits::default(),
            conversion: Arc::default(),
            format: Format::default(),
            validator: Arc::default(),
            spent: Arc::default(),
            handling: Handling::default(),
            mode: ReadMode::Strict,
            findings: Arc::default(),
            referenced: ReferencedDeletion::default(),
            subscriptions: None,
            cors: false,
        }
    }

    /// Sets the treatment of unknown search parameters where the client does not say by `Prefer: handling=..`. A condition
    /// of a write is always taken strictly.
    ///
    /// ```
    /// use fhir_devices::backend::Memory;
    /// use fhir_devices::rest::{Handling, Request, Server};
    /// use fhir_devices::store::TenantResources;
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// let search = Request::new("GET", "Device").query("colour=red");
    /// let lenient = Server::new(store.clone(), "https://devices.example/st-mary/fhir");
    /// assert_eq!(lenient.handle(&search).await.status, 200);
    /// assert_eq!(lenient.handle(&search.clone().header("Prefer", "handling=strict")).await.status, 400);
    /// let strict = Server::new(store, "https://devices.example/st-mary/fhir").with_handling(Handling::Strict);
    /// assert_eq!(strict.handle(&search).await.status, 400);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_handling(mut self, handling: Handling) -> Self {
        self.handling = handling;
        self
    }

    /// Sets the treatment of a deletion of a resource that others refer to.
    #[must_use]
    pub fn with_referenced_deletion(mut self, referenced: ReferencedDeletion) -> Self {
        self.referenced = referenced;
        self
    }

    /// Keeps Subscriptions too. [`SubscriptionService`](crate::service::SubscriptionService) sends their notifications.
    #[must_use]
    pub fn with_subscriptions(mut self, subscriptions: Subscriptions) -> Self {
        self.subscriptions = Some(subscriptions);
        self
    }

    /// Says in the CapabilityStatement (`rest.security.cors`) whether pages of other origins may use the service. What carries the
    /// requests over HTTP sets the headers of that.
    ///
    /// ```
    /// use fhir_devices::backend::Memory;
    /// use fhir_devices::rest::{Request, Server};
    /// use fhir_devices::store::TenantResources;
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// let server = Server::new(store, "https://devices.example/st-mary/fhir").with_cors(true);
    /// let statement = server.handle(&Request::new("GET", "metadata")).await;
    /// assert!(String::from_utf8_lossy(&statement.body).contains(r#""cors":true"#));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_cors(mut self, cors: bool) -> Self {
        self.cors = cors;
        self
    }

    /// Sets the key that signs page tokens.
    #[must_use]
    pub fn with_page_key(mut self, key: PageKey) -> Self {
        self.pages = key;
        self
    }

    /// Sets the clock, which the prefix `ap` (about the same) of a search is relative to.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the base of the code system of rule keys in outcomes.
    #[must_use]
    pub fn with_canonical_base(mut self, base: CanonicalBase) -> Self {
        self.conversion = Arc::new((*self.conversion).clone().base(base.clone()));
        self.canonical = base;
        self
    }

    /// Converts resources of other versions of FHIR so. The base of the tag that marks components is that of the service.
    ///
    /// A client says in which version it reads and writes: `Accept: application/fhir+json; fhirVersion=4.0`, and
    /// `Content-Type` likewise; 3.0, 4.0, 4.3 and 5.0 are known.
    ///
    /// ```
    /// use fhir_devices::backend::Memory;
    /// use fhir_devices::rest::{Request, Server};
    /// use fhir_devices::store::TenantResources;
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// let server = Server::new(store, "https://devices.example/st-mary/fhir");
    ///
    /// let pump = r#"{"resourceType":"Device","id":"pump","modelNumber":"P9","serialNumber":"1"}"#;
    /// let r4 = "application/fhir+json; fhirVersion=4.0";
    /// let put = Request::new("PUT", "Device/pump").header("Content-Type", r4).body(pump);
    /// assert_eq!(server.handle(&put).await.status, 201);
    ///
    /// let read = server.handle(&Request::new("GET", "Device/pump")).await;
    /// assert!(String::from_utf8_lossy(&read.body).contains(r#""model":"P9""#));
    /// let read = server.handle(&Request::new("GET", "Device/pump").header("Accept", r4)).await;
    /// assert!(String::from_utf8_lossy(&read.body).contains(r#""modelNumber":"P9""#));
    /// assert_eq!(read.header("content-type"), Some("application/fhir+json; fhirVersion=4.0; charset=utf-8"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_conversion(mut self, options: convert::Options) -> Self {
        self.conversion = Arc::new(options.base(self.canonical.clone()));
        self
    }

    /// Asks `updates` which updates of a component are known. Without it, those are that the stored component has.
    ///
    /// The [`available-update`](crate::update::AVAILABLE_UPDATE) extensions of a component are not the client's: what it
    /// leaves out stays, and what it sends is replaced by what is stored. A stale copy of an update that the component
    /// no longer has is left out, and an update that is not known is refused with 422. A component that is deleted takes its
    /// updates with it; one that is created after it begins without any, until its service attaches them again. A write whose
    /// updates are, all of them, exactly what `updates` says the component has to say is the service's own, and is taken as it is:
    /// so a second service over the same ledger may write through this one.
    ///
    /// What is read shows none but known updates, and those as `updates` has them, whatever some other program wrote into the
    /// store. The version and the `ETag` are those of the stored resource: when the service mends it, it has a new one. An older
    /// version shows its updates as they stood then, where they are known. `updates` is asked once for an answer, and not at all
    /// where no component in it has an update; where it cannot answer, the read fails.
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, rest::Server, service::UpdateService, store::TenantResources};
    /// # use std::sync::Arc;
    /// # let memory = Arc::new(Memory::new());
    /// let updates = UpdateService::new(memory.clone(), memory.clone(), memory.clone())?;
    /// let store = TenantResources::new(memory, "st-mary".parse()?);
    /// let server = Server::new(store, "https://devices.example/st-mary/fhir").with_known_updates(Arc::new(updates));
    /// # let _ = server;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_known_updates(mut self, updates: Arc<dyn KnownUpdates>) -> Self {
        self.updates = Some(updates);
        self
    }

    /// Checks what clients send by the rules and value sets of `validator` too. A document is checked once, as it was sent: before
    /// its id is set, references of a transaction are, and updates of a component are put back.
    ///
    /// ```
    /// use fhir_devices::rest::{Request, Server};
    /// use fhir_devices::validate::{Rule, Validator};
    /// use fhir_devices::{Device, Severity, backend::Memory, store::TenantResources};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// let named = Rule::new("acme-1", Severity::Error, "a device names its model", |device: &Device| device.model.is_some());
    /// let server = Server::new(store, "https://devices.example/st-mary/fhir").with_validator(Validator::new().rule(named));
    ///
    /// let put = Request::new("PUT", "Device/pump").header("Content-Type", "application/fhir+json");
    /// let refused = server.handle(&put.body(r#"{"resourceType":"Device","id":"pump"}"#)).await;
    /// assert_eq!(refused.status, 400);
    /// assert!(String::from_utf8_lossy(&refused.body).contains("acme-1"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_validator(mut self, validator: impl Into<Arc<Validator>>) -> Self {
        self.validator = validator.into();
        self
    }

    /// Sets the limits of one request.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits for what one request may cost.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The store of the tenant.
    pub fn store(&self) -> &TenantResources<S> {
        &self.store
    }

    /// The subscriptions, where there may be any.
    pub(crate) fn subscriptions(&self) -> Option<&Subscriptions> {
        self.subscriptions.as_ref()
    }

    /// The base of the code systems of this service.
    pub(super) fn canonical(&self) -> &CanonicalBase {
        &self.canonical
    }

    /// Carries a request out. Every fault is an answer too: an OperationOutcome with the status that fits.
    pub async fn handle(&self, request: &Request<'_>) -> Response {
        self.handle_with(request, Spent::default()).await.0
    }

    /// Carries out a request that reads, or the update of one resource, unless that takes a stored resource of more than
    /// `largest` bytes to be read into its elements, for which the caller may have no memory yet: nothing then, and nothing is
    /// written.
    #[cfg(feature = "server")]
    pub(crate) async fn handle_within(&self, request: &Request<'_>, largest: usize) -> Option<Response> {
        let (response, spent) = self.handle_with(request, Spent::with_largest(largest)).await;
        (!spent.is_deferred()).then_some(response)
    }

    /// The same on a thread that answers others: nothing also where a resource of more than `largest` bytes is shown.
    #[cfg(feature = "server")]
    pub(crate) async fn handle_at_once(&self, request: &Request<'_>, largest: usize) -> Option<Response> {
        let (response, spent) = self.handle_with(request, Spent::at_once(largest)).await;
        (!spent.is_deferred()).then_some(response)
    }

    async fn handle_with(&self, request: &Request<'_>, spent: Spent) -> (Response, Arc<Spent>) {
        let spent = Arc::new(spent);
        let search = match posted(request) {
            Ok(search) => search,
            Err(problem) => return (Format::default().label(self.told(problem)), spent),
        };
        let request = search.as_ref().unwrap_or(request);
        let address = Address::read(&request.path);
        let (format, address) = match Format::of(request) {
            Ok(format) => (format, address),
            Err(problem) => (Format::default(), address.and(Err(problem))),
        };
        let is_pretty = wants_pretty(&request.query);
        let mut limits = format.limits(self.limits);
        if is_pretty {
            // What is indented is written anew, and may be several times as large.
            limits = limits.with_page_bytes(limits.page_bytes() / 4);
        }
        let asked = handling(request);
        let server = Self {
            spent: Arc::clone(&spent),
            format,
            limits,
            handling: asked.unwrap_or(self.handling),
            mode: if asked == Some(Handling::Lenient) { ReadMode::Lenient } else { ReadMode::Strict },
            findings: Arc::default(),
            ..self.clone()
        };
        let answer = match (&*request.method, address) {
            ("POST", Ok(Address::Base)) => server.bundle(request).await,
            (_, Ok(address)) => server.interact(request, &address, None).await,
            (_, Err(problem)) => Err(problem),
        };
        let mut answer = format.label(answer.unwrap_or_else(|problem| self.told(problem)));
        if is_pretty && answer.header("content-type").is_some_and(|kind| kind.starts_with(FHIR_JSON)) {
            answer.body = indented(&answer.body).into();
        }
        (answer, spent)
    }

    /// The answer that tells a problem to the client.
    pub(super) fn told(&self, problem: Problem) -> Response {
        problem.under(&self.canonical).into_response()
    }

    /// Every interaction but batches and transactions. An entry of a batch has its resource already; elsewhere it is the body.
    pub(super) async fn interact(
        &self,
        request: &Request<'_>,
        address: &Address,
        sent: Option<Valid<Resource>>,
    ) -> Result<Response> {
        self.format.allows(request)?;
        if let Address::Subscription(address) = address {
            return self.subscription(request, address, sent.is_some()).await;
        }
        if request.method == "OPTIONS" {
            return Ok(self.options(address));
        }
        let address = match &*request.method {
            // A resource that is written says itself what it is.
            "PUT" | "POST" => address,
            "PATCH" => &self.address_meant(address, patched_version(request, self.format)?).await?,
            _ => &self.address_meant(address, self.format.version).await?,
        };
        match (&*request.method, address) {
            ("GET" | "HEAD", Address::Metadata) => Ok(self.statement()),
            ("GET" | "HEAD", Address::Resource(key)) => {
                let version = self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
                self.with_version(request, &version, Age::Newest).await
            }
            ("GET" | "HEAD", Address::Version(key, number)) => {
                let found = self.store.vread(key, *number).await;
                let version =
                    found.map_err(|error| Problem::of_store(&error, format_args!("{key}/_history/{number}")))?;
                self.with_version(request, &version, self.age(&version).await?).await
            }
            ("GET" | "HEAD", Address::History(key)) => self.history(request, key).await,
            ("GET" | "HEAD", Address::Changes(kind)) => self.changes(request, *kind).await,
            ("GET" | "HEAD", Address::Type(kind) | Address::Search(kind)) => self.search(*kind, &request.query).await,
            ("GET" | "HEAD", Address::Base | Address::SearchAll) => self.search_all(&request.query).await,
            ("POST", Address::Operation(Operation::Validate, kind, key)) => {
                self.validate(request, *kind, key.as_ref()).await
            }
            ("GET" | "HEAD", Address::Operation(Operation::Validate, _, Some(key))) => self.validate_stored(key).await,
            ("GET" | "HEAD" | "POST", Address::Operation(Operation::Meta, _, Some(key))) => self.meta(key).await,
            ("GET" | "HEAD" | "POST", Address::MetaInUse(kind)) => self.meta_in_use(*kind).await,
            ("POST", Address::Operation(Operation::MetaAdd, _, Some(key))) => {
                self.change_meta(request, key, true).await
            }
            ("POST", Address::Operation(Operation::MetaDelete, _, Some(key))) => {
                self.change_meta(request, key, false).await
            }
            ("POST", Address::Type(kind)) => self.create(request, *kind, sent).await,
            ("PUT", Address::Resource(key)) => self.update(request, key, sent).await,
            ("PUT", Address::Type(kind)) => self.update_where(request, *kind, sent).await,
            ("PATCH", Address::Resource(key)) => self.patch(request, key).await,
            ("PATCH", Address::Type(kind)) => self.patch_where(request, *kind).await,
            ("DELETE", Address::Resource(key)) => self.delete(request, key).await,
            ("DELETE", Address::Type(kind)) => self.delete_where(request, *kind).await,
            (method, address) => Err(not_allowed(method, &request.path, address)),
        }
    }

    fn statement(&self) -> Response {
        let capabilities = self.store.capabilities();
        Response::json(
            200,
            capability::statement(
                (self.base.as_str(), &self.canonical),
                capabilities,
                self.format.version,
                self.subscriptions.is_some(),
                self.cors,
            ),
        )
    }

    /// `OPTIONS`: which methods there are, and for the service itself what it can do.
    fn options(&self, address: &Address) -> Response {
        let response = match address {
            Address::Base | Address::Metadata => self.statement(),
            _ => Response::empty(204),
        };
        let response = response.with("allow", methods(address));
        if methods(address).contains("PATCH") { response.with("accept-patch", JSON_PATCH) } else { response }
    }

    pub(super) fn setting(&self) -> Setting<'_> {
        let own_parameters = self.store.capabilities().own_parameters;
        Setting { base: &self.base, now: self.clock.now(), limits: &self.limits, own_parameters }
    }

    pub(super) async fn finder<'a>(&'a self, query: &'a Query) -> Result<Finder<'a, S>> {
        let resolved = self.resolve(query.resource_type, &query.chains).await?;
        let follow = match self.store.capabilities().search_with_targets {
            true => query.includes.iter().filter_map(|include| include.followed_from(query.resource_type)).collect(),
            false => Vec::new(),
        };
        Ok(Finder { server: self, query, resolved, follow, targets: Mutex::default() })
    }

    /// A resource that is read, unless the client has it.
    async fn with_version(&self, request: &Request<'_>, version: &Version, age: Age) -> Result<Response> {
        if version.is_deleted() {
            return Err(Problem::of_store(&StoreError::gone(version.version), &version.key));
        }
        let tag = version.version.etag();
        let response = if client_has(request, &tag, version.last_updated, self.clock.now()) {
            Response::empty(304)
        } else {
            self.spent.may_show(size(version))?;
            if !self.format.is_stu3() || request.query.contains("_pretty") {
                self.spent.may_read(size(version))?;
            }
            let subset = self.subset(&request.query)?;
            if subset != Subset::Whole {
                self.spent.read(size(version), &self.limits)?;
            }
            let shown = self.shown_all(std::iter::once((version, age))).await?;
            let whole = shown.into_iter().next().unwrap_or_default();
            let part = self.part(version.key.resource_type(), whole, &subset);
            Response::json(200, part.map_err(|report| self.not_shown(report))?)
        };
        Ok(of_version(response, version))
    }

    /// How much of a resource that is read the client wants to see.
    fn subset(&self, query: &str) -> Result<Subset> {
        let mut subset = Subset::Whole;
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "_summary" => subset = Subset::summary(&value)?,
                "_elements" => subset = Subset::elements(&value),
                name if OF_THE_ANSWER.contains(&name) || self.handling == Handling::Lenient => {}
                name => {
                    let words = format!("a read takes no `{name}`, only {}", OF_THE_ANSWER.join(", "));
                    return Err(Problem::unsupported(400, "search-parameter", words));
                }
            }
        }
        Ok(subset)
    }

    /// So much of a resource as is wanted, in the version of FHIR that is asked for.
    pub(super) fn part(&self, kind: ResourceType, whole: Body, subset: &Subset) -> Result<Body, Report> {
        // Elements are named as that version names them.
        let late = subset.names_elements() && !self.format.is_stu3();
        let early = if late { whole } else { subset.of(kind, whole, self.format.version) };
        let json = self.translated(early)?;
        Ok(if late { subset.of(kind, json, self.format.version) } else { json })
    }
}

/// The methods that an address takes.
fn methods(address: &Address) -> &'static str {
    match address {
        Address::Base | Address::SearchAll | Address::Search(_) => "GET, HEAD, POST, OPTIONS",
        Address::Metadata | Address::History(_) | Address::Version(..) | Address::Changes(_) => "GET, HEAD, OPTIONS",
        Address::Type(_) => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        Address::Resource(_) => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        Address::MetaInUse(_) | Address::Operation(Operation::Meta | Operation::Validate, _, Some(_)) => {
            "GET, HEAD, POST, OPTIONS"
        }
        Address::Operation(..) => "POST, OPTIONS",
        Address::Subscription(address) => address.methods(),
    }
}

fn not_allowed(method: &str, path: &str, address: &Address) -> Problem {
    let words = match address {
        Address::Base => format!("the service itself does not take {method}"),
        _ => format!("`{path}` does not take {method}"),
    };
    Problem::unsupported(405, "method", words).with_header("allow", methods(address))
}

/// Whether an answer is to be indented.
fn wants_pretty(query: &str) -> bool {
    query.contains("_pretty")
        && form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "_pretty" && value == "true")
}

/// Whether a media type is that of a form.
fn is_form(kind: &str) -> bool {
    let name = kind.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A search that was posted, as the search that it is: its parameters stand in the body, the address, or both.
fn posted(request: &Request<'_>) -> Result<Option<Request<'static>>> {
    if request.method != "POST" || request.path.trim_end_matches('/').rsplit('/').next() != Some("_search") {
        return Ok(None);
    }
    let kind = request.one("content-type").unwrap_or_default();
    // Some clients leave the type of a form out where they compress it.
    if !request.body.is_empty() && !kind.is_empty() && !is_form(kind) {
        let words = "the parameters of a search come as application/x-www-form-urlencoded";
        return Err(Problem::unsupported(415, "content-type", words));
    }
    let body =
        std::str::from_utf8(&request.body).map_err(|_| Problem::bad("search", "the parameters are not UTF-8"))?;
    let query = [&*request.query, body].join("&");
    let mut search = Request::new("GET", request.path.clone().into_owned()).query(query);
    let headers = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    search.headers = headers.map(|(name, value)| (name.to_string().into(), value.to_string().into())).collect();
    Ok(Some(search))
}

/// The version, in the headers.
pub(super) fn of_version(response: Response, version: &Version) -> Response {
    let mut response =
        response.with("etag", version.version.etag()).with("last-modified", http_date(version.last_updated));
    response.changed = Some(version.last_updated);
    response
}

impl<S: ?Sized> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            base: self.base.clone(),
            pages: self.pages.clone(),
            clock: Arc::clone(&self.clock),
            limits: self.limits,
            conversion: Arc::clone(&self.conversion),
            format: self.format,
            validator: Arc::clone(&self.validator),
            spent: Arc::clone(&self.spent),
            canonical: self.canonical.clone(),
            updates: self.updates.clone(),
            handling: self.handling,
            mode: self.mode,
            findings: Arc::clone(&self.findings),
            referenced: self.referenced,
            subscriptions: self.subscriptions.clone(),
            cors: self.cors,
        }
    }
}

impl<S: ?Sized> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("store", &self.store).field("base", &self.base).finish_non_exhaustive()
    }
}
