//! Sending the notifications of subscriptions: the driver of [`subscription`](crate::subscription).

use crate::code::SubscriptionStatus;
use crate::datatype::Primitive;
use crate::primitive::{Instant, Text};
use crate::rest::{self, Criteria, Request, Subscriptions, header_parts, payload_format};
use crate::store::{Changes, Clock, Result, Revision, StoreError, SystemClock, Tenant, Version, random_number};
use crate::subscription::delivery::{AfterFailure, Delivery, Event, after};
use crate::subscription::registered::{Progress, Register, Registered};
use crate::subscription::{Notification, Notifier, NotifyError, Pace};
use crate::support::yield_now;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use url::Url;

/// Number of changes read at a time.
const PAGE: u32 = 50;

/// Maximum number of changes that one pass over a subscription reads.
const MOST_CHANGES: usize = 2_000;

/// Number of notifications after which the delivery state is saved. A service that is killed sends as many again.
const NOTED_EVERY: usize = 20;

/// Time after which the delivery state of a subscription without notifications is saved.
const QUIET: Duration = Duration::from_secs(300);

/// Number of tries of a contended write.
const TRIES: usize = 8;

/// The result of one pass over the subscriptions.
///
/// ```
/// use fhir_devices::service::Notified;
/// assert_eq!(Notified::default().sent, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notified {
    /// The number of notifications that were accepted.
    pub sent: u64,
    /// The number of notifications that failed, and will be retried.
    pub failed: u64,
    /// The number of subscriptions that were turned off, because they ended or notifications have failed for too long.
    pub turned_off: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

impl Notified {
    fn add(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.failed = self.failed.saturating_add(other.failed);
        self.turned_off = self.turned_off.saturating_add(other.turned_off);
        self.more |= other.more;
    }
}

/// Sends the notifications of the subscriptions that [`rest::Server`] keeps.
///
/// # Guarantees
/// - Each version that meets the criteria when it is processed is sent at least once, in the order of the store's
///   history, which for one resource is that of its versions. Versions after one that was not accepted wait for it.
/// - If the service is killed, up to 20 notifications are sent again. Nothing is lost: the delivery state of a
///   subscription is in the ledger, and the history is read from there.
/// - Of several services over one ledger, one sends for a subscription at a time; another one takes over when the lease
///   of [`Pace`] has expired.
///
/// # Assumptions
/// The clocks of the services and of the store differ by less than [`Pace::overlap`] and a third of [`Pace::lease`]; a
/// version is visible in the history within the overlap; the store does not forget versions that are not sent yet. A
/// deletion meets no criteria.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::rest::{Server, Subscriptions};
/// use fhir_devices::service::SubscriptionService;
/// use fhir_devices::store::{BoxFuture, ResourceStore, Tenant, TenantResources};
/// use fhir_devices::subscription::{Notification, Notifier, NotifyError};
/// use std::sync::Arc;
///
/// struct Dry;
///
/// impl Notifier for Dry {
///     fn send<'a>(&'a self, _: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Arc::new(Memory::new());
/// let rest = move |tenant: &Tenant| {
///     let resources: Arc<dyn ResourceStore> = memory.clone();
///     let subscriptions = Subscriptions::new(memory.clone(), tenant.clone());
///     let store = TenantResources::new(resources, tenant.clone());
///     Server::new(store, format!("https://devices.example/{tenant}/fhir")).with_subscriptions(subscriptions)
/// };
/// let service = SubscriptionService::new(rest, Arc::new(Dry))?;
/// assert_eq!(service.run_once(&"st-mary".parse()?).await?.sent, 0);
/// # Ok(())
/// # }
/// ```
pub struct SubscriptionService {
    rest: Box<dyn Fn(&Tenant) -> rest::Server + Send + Sync>,
    notifier: Arc<dyn Notifier>,
    clock: Arc<dyn Clock>,
    /// A random id that distinguishes this service from others.
    holder: u128,
    /// The unsaved positions of subscriptions without notifications since the record of that revision.
    positions: Mutex<BTreeMap<(Tenant, String), (Revision, OffsetDateTime)>>,
}

/// A subscription being processed.
struct Look {
    server: rest::Server,
    register: Register,
    pace: Pace,
    registered: Registered,
    delivery: Delivery,
    /// The revision of the delivery record.
    revision: Revision,
    /// The position in that record.
    recorded: OffsetDateTime,
    /// Whether this service holds the lease.
    holds: bool,
    /// The number of notifications sent since the record was written.
    unsaved: usize,
    done: Notified,
}

impl SubscriptionService {
    /// Creates a service over the FHIR API of each tenant, which has the subscriptions.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the operating system gives no random number.
    pub fn new(
        rest: impl Fn(&Tenant) -> rest::Server + Send + Sync + 'static,
        notifier: Arc<dyn Notifier>,
    ) -> Result<Self> {
        Ok(Self {
            rest: Box::new(rest),
            notifier,
            clock: Arc::new(SystemClock),
            holder: random_number()?,
            positions: Mutex::default(),
        })
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the ids of the subscriptions of a tenant that are not turned off.
    ///
    /// # Errors
    /// Errors of the ledger.
    pub async fn active(&self, tenant: &Tenant) -> Result<Vec<String>> {
        let server = (self.rest)(tenant);
        let Some(own) = server.subscriptions() else { return Ok(Vec::new()) };
        let all = own.register.all().await?.into_iter();
        Ok(all.filter(|one| one.status() != SubscriptionStatus::Off).map(|one| one.id).collect())
    }

    /// Processes every subscription of a tenant, one after the other.
    ///
    /// # Errors
    /// Errors of the stores. Notifications sent until then are recorded by the next pass, or sent again.
    pub async fn run_once(&self, tenant: &Tenant) -> Result<Notified> {
        let mut all = Notified::default();
        for id in self.active(tenant).await? {
            all.add(self.run_one(tenant, &id).await?);
        }
        Ok(all)
    }

    /// Processes one subscription, and sends its notifications. A slow endpoint delays only its own subscription, if
    /// each is processed in a task of its own.
    ///
    /// # Errors
    /// As [`run_once`](Self::run_once).
    pub async fn run_one(&self, tenant: &Tenant, id: &str) -> Result<Notified> {
        let Some(mut look) = self.begin(tenant, id).await? else { return Ok(Notified::default()) };
        let criteria = look.registered.resource.criteria.value.as_ref().map(Text::as_str).unwrap_or_default();
        let done = match look.server.criteria(criteria) {
            Ok(criteria) => self.go_through(&mut look, &criteria).await,
            Err(_) => {
                let error = NotifyError::new("the criteria are not understood any more");
                self.failed(&mut look, &error).await
            }
        };
        match done {
            // Another service or a client has written, and that write counts.
            Err(StoreError::Conflict { .. }) => Ok(look.done),
            Err(error) => Err(error),
            Ok(()) => {
                self.remember(tenant, &look);
                Ok(look.done)
            }
        }
    }

    /// Returns the work on a subscription; `None` where there is nothing to do now.
    async fn begin(&self, tenant: &Tenant, id: &str) -> Result<Option<Look>> {
        let server = (self.rest)(tenant);
        let Some(own) = server.subscriptions() else { return Ok(None) };
        let Subscriptions { register, pace, .. } = own.clone();
        let registered = register.get(id).await?.filter(|one| one.status() != SubscriptionStatus::Off);
        let Some(registered) = registered else {
            self.positions().remove(&(tenant.clone(), id.to_owned()));
            return Ok(None);
        };
        let now = self.clock.now();
        let stored = register.delivery(id).await?;
        let end = registered.resource.end.as_ref().and_then(|end| end.value.as_ref());
        let has_ended = end.and_then(Instant::to_offset_date_time).is_some_and(|end| end <= now);
        let Some((revision, mut delivery)) = stored else {
            // The delivery record is gone, so its notifications are unknown: it starts again.
            let fresh = Delivery::starting(now - pace.overlap, []);
            register.write(&registered, Progress::New(&fresh)).await?;
            return Ok(None);
        };
        let recorded = delivery.settled;
        let known = self.positions().get(&(tenant.clone(), id.to_owned())).cloned();
        if let Some((_, settled)) = known.filter(|(of, _)| *of == revision) {
            delivery.has_passed(settled, now, &pace);
        }
        let due = delivery.is_due(now, &pace);
        let mut look = Look {
            server,
            register,
            pace,
            registered,
            delivery,
            revision,
            recorded,
            holds: false,
            unsaved: 0,
            done: Notified::default(),
        };
        if has_ended {
            self.note(&mut look, Event::Ended, None).await?;
            look.done.turned_off += 1;
            return Ok(None);
        }
        if look.registered.status() == SubscriptionStatus::Requested {
            self.note(&mut look, Event::SetUp, None).await?;
        }
        Ok(Some(look).filter(|look| due && look.registered.status() != SubscriptionStatus::Off))
    }

    /// Processes the changes.
    async fn go_through(&self, look: &mut Look, criteria: &Criteria) -> Result<()> {
        let from = look.delivery.looks_from(self.clock.now(), &look.pace);
        let mut changes = Changes::new().of_type(criteria.resource_type()).since(from).oldest_first().limit(PAGE);
        let mut seen = 0_usize;
        loop {
            let begun = self.clock.now();
            let page = look.server.store().changes(&changes).await?;
            let met = look.server.meet_criteria(criteria, &page.items).await;
            let met =
                met.map_err(|_| StoreError::unavailable(None, Some("the criteria cannot be checked now".into())))?;
            seen = seen.saturating_add(page.items.len());
            for (version, met) in page.items.iter().zip(met) {
                let is_new = met && !look.delivery.has_sent(version);
                if is_new && (look.delivery.is_full() || !self.send(look, version).await?) {
                    return self.save(look).await;
                }
                look.delivery.has_passed(version.last_updated, self.clock.now(), &look.pace);
            }
            match page.next {
                Some(next) if seen < MOST_CHANGES => changes.after = Some(next),
                Some(_) => {
                    look.done.more = true;
                    return self.save(look).await;
                }
                None => {
                    look.delivery.has_passed(begun, begun, &look.pace);
                    return self.save(look).await;
                }
            }
            yield_now().await;
        }
    }

    /// Sends one notification; `false` where no other may be sent now.
    async fn send(&self, look: &mut Look, version: &Version) -> Result<bool> {
        if !look.holds
            || look.unsaved >= NOTED_EVERY
            || !look.delivery.may_send(self.holder, self.clock.now(), &look.pace)
        {
            if !look.delivery.take(self.holder, self.clock.now(), &look.pace) {
                return Ok(false);
            }
            self.write_delivery(look).await?;
            look.holds = true;
            // The client may have changed or deleted it.
            let current = look.register.get(&look.registered.id).await?;
            if current.and_then(|current| current.revision) != look.registered.revision {
                look.done.more = true;
                return Ok(false);
            }
        }
        let Some(notification) = notification(look, version).await? else { return Ok(true) };
        match self.notifier.send(&notification).await {
            Ok(()) => {
                look.delivery.was_sent(version);
                look.unsaved += 1;
                look.done.sent += 1;
                if look.registered.status() != SubscriptionStatus::Active {
                    self.note(look, Event::Sent, None).await?;
                }
                Ok(true)
            }
            Err(error) => {
                self.failed(look, &error).await?;
                Ok(false)
            }
        }
    }

    /// Records that a notification was not accepted.
    async fn failed(&self, look: &mut Look, error: &NotifyError) -> Result<()> {
        look.done.failed += 1;
        let after = look.delivery.has_failed(self.clock.now(), error.retry_after, &look.pace);
        look.delivery.release();
        self.write_delivery(look).await?;
        look.holds = false;
        let event = match after {
            AfterFailure::Retry => Event::Failed,
            AfterFailure::GiveUp => {
                look.done.turned_off += 1;
                Event::GivenUp
            }
        };
        self.note(look, event, Some(&error.reason)).await
    }

    /// Saves the delivery state of a subscription, where that is worth a write, and releases the lease.
    async fn save(&self, look: &mut Look) -> Result<()> {
        // After a restart, changes since this record are read again.
        let is_old = look.delivery.settled - look.recorded > QUIET;
        if look.holds || (is_old && look.delivery.take(self.holder, self.clock.now(), &look.pace)) {
            look.delivery.release();
            self.write_delivery(look).await?;
            look.holds = false;
        }
        Ok(())
    }

    async fn write_delivery(&self, look: &mut Look) -> Result<()> {
        look.revision = look.register.write_delivery(&look.registered.id, &look.revision, &look.delivery).await?;
        (look.unsaved, look.recorded) = (0, look.delivery.settled);
        Ok(())
    }

    /// Remembers the position of a subscription, until its record is written again.
    fn remember(&self, tenant: &Tenant, look: &Look) {
        let position = (look.revision.clone(), look.delivery.settled);
        self.positions().insert((tenant.clone(), look.registered.id.clone()), position);
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<(Tenant, String), (Revision, OffsetDateTime)>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event of a subscription in its resource.
    async fn note(&self, look: &mut Look, event: Event, error: Option<&str>) -> Result<()> {
        for _ in 0..TRIES {
            let Some(mut current) = look.register.get(&look.registered.id).await? else {
                return Err(StoreError::conflict(None));
            };
            let status = after(current.status(), event);
            let said = match error {
                Some(error) => Text::new(error.chars().take(500).collect::<String>()).ok().map(Primitive::from),
                None if status == SubscriptionStatus::Active => None,
                None => current.resource.error.clone(),
            };
            if current.status() == status && (current.resource.error == said || status == SubscriptionStatus::Off) {
                look.registered = current;
                return Ok(());
            }
            current.resource.status = status.into();
            current.resource.error = said;
            current.version = current.version.saturating_add(1);
            current.changed = self.clock.now();
            let progress = match event {
                Event::Ended => Progress::Deleted(look.revision.clone()),
                _ => Progress::Kept,
            };
            match look.register.write(&current, progress).await {
                Ok(()) => {
                    if let Some(written) = look.register.get(&current.id).await? {
                        look.registered = written;
                    }
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::conflict(None))
    }
}

/// Returns the notification of a version; `None` where the resource is gone by now.
async fn notification(look: &Look, version: &Version) -> Result<Option<Notification>> {
    let channel = &look.registered.resource.channel;
    let endpoint = channel.endpoint.as_ref().and_then(|endpoint| endpoint.value.as_ref());
    let endpoint = endpoint.and_then(|endpoint| Url::parse(endpoint.as_str()).ok());
    let mut url = endpoint.ok_or_else(|| StoreError::corrupt("a subscription has no endpoint"))?;
    let lines = channel.header.iter().filter_map(|header| header.value.as_ref());
    let headers = lines.filter_map(|line| header_parts(line.as_str()));
    let mut headers: Vec<(String, String)> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let payload = channel.payload.as_ref().and_then(|payload| payload.value.as_ref());
    let Some(format) = payload.and_then(|payload| payload_format(payload.as_str())) else {
        let mut ping = Notification::new("POST", url);
        ping.headers = headers;
        return Ok(Some(ping));
    };
    let key = &version.key;
    let read = |path: String| Request::new("GET", path).header("Accept", format);
    let mut shown = look.server.handle(&read(format!("{key}/_history/{}", version.version))).await;
    if shown.status == 404 {
        // That version was forgotten meanwhile.
        shown = look.server.handle(&read(key.to_string())).await;
    }
    match shown.status {
        200 => {}
        404 | 410 => return Ok(None),
        status => {
            let words = format!("{key} cannot be read for a notification: status {status}");
            return Err(StoreError::unavailable(None, Some(words.into())));
        }
    }
    headers.push(("content-type".to_owned(), shown.header("content-type").unwrap_or(format).to_owned()));
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend([key.resource_type().as_str(), key.id().as_str()]);
    }
    let mut told = Notification::new("PUT", url);
    (told.headers, told.body) = (headers, shown.body.to_bytes());
    Ok(Some(told))
}

impl fmt::Debug for SubscriptionService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionService").finish_non_exhaustive()
    }
}
