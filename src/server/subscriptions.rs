//! Subscriptions: the task that processes them, and the client that sends their notifications.

use super::UpdateServer;
use crate::rest::Subscriptions;
use crate::service::SubscriptionService;
use crate::store::{BoxFuture, Ledger, Tenant};
use crate::subscription::{EndpointRules, Notification, Notifier, NotifyError, Pace};
use crate::support::tls::client_config;
use crate::support::with_causes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Method, redirect};
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// How often every subscription is processed without a change here: another service may have changed a resource.
const EVERY: Duration = Duration::from_secs(5);

/// How long the task waits for further changes, so that one run covers all of them.
const TOGETHER: Duration = Duration::from_millis(50);

/// Number of subscriptions processed concurrently.
const AT_A_TIME: usize = 16;

/// The rules for subscriptions, and how their notifications are sent.
///
/// ```
/// use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, SubscriptionOptions, UpdateServer};
/// let options = SubscriptionOptions::new()?.with_most(20);
/// let stores = Stores::in_memory(DEFAULT_MAX_UPLOAD);
/// let server = UpdateServer::over(stores, "http://127.0.0.1:8080", DEFAULT_MAX_UPLOAD)?.with_subscriptions(options);
/// # let _ = server;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SubscriptionOptions {
    rules: EndpointRules,
    pace: Pace,
    most: usize,
    notifier: Arc<dyn Notifier>,
}

impl SubscriptionOptions {
    /// Returns the default options: at most 100 per tenant, to public hosts over `https`, with certificates that this
    /// machine trusts.
    ///
    /// # Errors
    /// [`NoHttpClient`] where TLS has no crypto provider.
    pub fn new() -> Result<Self, NoHttpClient> {
        Self::with_endpoint_rules(EndpointRules::default())
    }

    /// Returns the default options with these rules for endpoints.
    ///
    /// # Errors
    /// [`NoHttpClient`] where TLS has no crypto provider.
    pub fn with_endpoint_rules(rules: EndpointRules) -> Result<Self, NoHttpClient> {
        let pace = Pace::default();
        let notifier = HttpNotifier::new(rules, pace.send_timeout)?;
        Ok(Self { rules, pace, most: 100, notifier: Arc::new(notifier) })
    }

    /// Sets the pace of deliveries. [`Pace::send_timeout`] is that of the notifier.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the maximum number of subscriptions of a tenant.
    #[must_use]
    pub fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Sets the sender of notifications.
    #[must_use]
    pub fn with_notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = notifier;
        self
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionOptions")
            .field("rules", &self.rules)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Sends notifications over HTTP/1.1, only to addresses that its rules allow: each address that a host name resolves to
/// is checked. Redirects are not followed, and no proxy is used.
///
/// ```
/// use fhir_devices::server::HttpNotifier;
/// use fhir_devices::subscription::{EndpointRules, Notification, Notifier};
/// use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let notifier = HttpNotifier::new(EndpointRules::default(), Duration::from_secs(10))?;
/// let refused = notifier.send(&Notification::new("POST", "https://127.0.0.1/hook".parse()?)).await;
/// assert!(refused.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HttpNotifier {
    client: Client,
    rules: EndpointRules,
}

/// The HTTP client of the service, for notifications or an identity provider, could not be built.
///
/// ```
/// use fhir_devices::server::SubscriptionOptions;
/// assert!(SubscriptionOptions::new().is_ok());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of the service could not be built")]
pub struct NoHttpClient(#[source] pub(super) Box<dyn Error + Send + Sync>);

/// Resolves host names to the allowed addresses.
struct AllowedOnly(EndpointRules);

impl Resolve for AllowedOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| rules.allows_ip(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the host of the endpoint is in a private network".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl HttpNotifier {
    /// Creates a notifier with these rules and a timeout for each notification.
    ///
    /// # Errors
    /// [`NoHttpClient`] where TLS has no crypto provider.
    pub fn new(rules: EndpointRules, timeout: Duration) -> Result<Self, NoHttpClient> {
        let client = Client::builder()
            .tls_backend_preconfigured(client_config(None, &[], None).map_err(NoHttpClient)?)
            .dns_resolver(Arc::new(AllowedOnly(rules)))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|error| NoHttpClient(error.into()))?;
        Ok(Self { client, rules })
    }
}

impl Notifier for HttpNotifier {
    fn send<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(async move {
            // The rules may have changed since the subscription was written.
            self.rules.check(notification.url.as_str()).map_err(NotifyError::new)?;
            let method = Method::from_bytes(notification.method.as_bytes());
            let method = method.map_err(|_| NotifyError::new("the notification has no method of HTTP"))?;
            let mut request = self.client.request(method, notification.url.clone()).body(notification.body.clone());
            for (name, value) in &notification.headers {
                request = request.header(name, value);
            }
            let answer = request.send().await.map_err(|error| {
                // The URL may have a secret in its query.
                let error = error.without_url();
                let what = if error.is_timeout() {
                    "the endpoint did not answer in time"
                } else {
                    "the endpoint cannot be reached"
                };
                NotifyError::new(format!("{what}: {}", with_causes(&error)))
            })?;
            if answer.status().is_success() {
                return Ok(());
            }
            let error = NotifyError::new(format!("the endpoint answered {}", answer.status()));
            let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            Err(match after {
                Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
                None => error,
            })
        })
    }
}

/// The subscriptions of a service.
pub(super) struct Subscribed {
    options: SubscriptionOptions,
    /// The tenants whose resources were changed here.
    changed: Mutex<BTreeSet<Tenant>>,
    wake: Notify,
    /// The subscriptions that are being processed.
    under_way: Mutex<HashSet<(Tenant, String)>>,
    active: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    turned_off: AtomicU64,
}

impl Subscribed {
    pub(super) fn new(options: SubscriptionOptions) -> Self {
        Self {
            options,
            changed: Mutex::default(),
            wake: Notify::new(),
            under_way: Mutex::default(),
            active: AtomicU64::default(),
            sent: AtomicU64::default(),
            failed: AtomicU64::default(),
            turned_off: AtomicU64::default(),
        }
    }

    /// Returns the subscriptions of a tenant.
    pub(super) fn of(&self, ledger: Arc<dyn Ledger>, tenant: Tenant) -> Subscriptions {
        let SubscriptionOptions { rules, pace, most, .. } = self.options;
        Subscriptions::new(ledger, tenant).with_endpoint_rules(rules).with_pace(pace).with_most(most)
    }

    /// Has the subscriptions of a tenant processed soon.
    pub(super) fn changed(&self, tenant: &Tenant) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if !changed.contains(tenant) {
            changed.insert(tenant.clone());
        }
        drop(changed);
        self.wake.notify_one();
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            ("subscriptions", "gauge", "Subscriptions that are not turned off, at the last round.", &self.active),
            ("notifications_sent_total", "counter", "Notifications that were taken.", &self.sent),
            ("notifications_failed_total", "counter", "Notifications that were not taken.", &self.failed),
            (
                "subscriptions_turned_off_total",
                "counter",
                "Subscriptions whose time was over, or whose notifications failed for too long.",
                &self.turned_off,
            ),
        ] {
            text += &format!("# HELP update_service_{name} {help}\n# TYPE update_service_{name} {kind}\n");
            text += &format!("update_service_{name} {}\n", value.load(Relaxed));
        }
        text
    }
}

/// Processes the subscriptions of all tenants until the process ends.
pub(super) async fn run(app: Arc<UpdateServer>) {
    let Some(subscribed) = &app.subscriptions else { return };
    let (of, notifier) = (Arc::clone(&app), Arc::clone(&subscribed.options.notifier));
    let service = match SubscriptionService::new(move |tenant| of.fhir(tenant), notifier) {
        Ok(service) => Arc::new(service),
        Err(error) => {
            tracing::error!(%error, "no notifications are sent");
            return;
        }
    };
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        all(&app, &service, &permits).await;
        let next_round = tokio::time::sleep(EVERY);
        tokio::pin!(next_round);
        loop {
            tokio::select! {
                () = &mut next_round => break,
                () = subscribed.wake.notified() => {}
            }
            tokio::time::sleep(TOGETHER).await;
            let changed = std::mem::take(&mut *subscribed.changed.lock().unwrap_or_else(PoisonError::into_inner));
            for tenant in &changed {
                of_tenant(&app, &service, &permits, tenant).await;
            }
        }
    }
}

/// Processes the subscriptions of every tenant once.
async fn all(app: &Arc<UpdateServer>, service: &Arc<SubscriptionService>, permits: &Arc<Semaphore>) {
    let (mut after, mut active) = (None, 0_u64);
    loop {
        let page = match app.tenants.page(after.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the list of tenants cannot be read");
                return;
            }
        };
        for tenant in &page.items {
            active += of_tenant(app, service, permits, tenant).await;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if let Some(subscribed) = &app.subscriptions {
        subscribed.active.store(active, Relaxed);
    }
}

/// Starts a task for each subscription of a tenant, and returns their number.
async fn of_tenant(
    app: &Arc<UpdateServer>,
    service: &Arc<SubscriptionService>,
    permits: &Arc<Semaphore>,
    tenant: &Tenant,
) -> u64 {
    let Some(subscribed) = &app.subscriptions else { return 0 };
    let ids = match service.active(tenant).await {
        Ok(ids) => ids,
        Err(error) => {
            tracing::warn!(%tenant, %error, "the subscriptions cannot be read");
            return 0;
        }
    };
    let count = ids.len() as u64;
    for id in ids {
        let one = (tenant.clone(), id);
        if !subscribed.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(one.clone()) {
            // The subscription is being processed, and is again in the next round.
            continue;
        }
        let (app, service, permits) = (Arc::clone(app), Arc::clone(service), Arc::clone(permits));
        tokio::spawn(async move { look(&app, &service, &permits, one).await });
    }
    count
}

async fn look(app: &UpdateServer, service: &SubscriptionService, permits: &Semaphore, one: (Tenant, String)) {
    let Some(subscribed) = &app.subscriptions else { return };
    let (tenant, id) = &one;
    let permit = permits.acquire().await;
    let done = service.run_one(tenant, id).await;
    drop(permit);
    subscribed.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&one);
    match done {
        Ok(done) => {
            subscribed.sent.fetch_add(done.sent, Relaxed);
            subscribed.failed.fetch_add(done.failed, Relaxed);
            subscribed.turned_off.fetch_add(done.turned_off, Relaxed);
            if done.failed > 0 {
                tracing::warn!(%tenant, subscription = id.as_str(), "a notification was not taken; the subscription says why");
            }
            if done.turned_off > 0 {
                tracing::warn!(%tenant, subscription = id.as_str(), "a subscription was turned off");
            }
            if done.more || done.sent > 0 {
                // Later changes are processed next.
                subscribed.changed(tenant);
            }
        }
        Err(error) => tracing::warn!(%tenant, subscription = id.as_str(), %error, "notifications cannot be sent now"),
    }
}
