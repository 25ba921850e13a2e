//! Background maintenance: resumes interrupted uploads and deletes data that is no longer needed.

use super::{UpdateServer, deletions, files};
use crate::primitive::Id;
use crate::search::ResourceType;
use crate::service::{MaintenanceError, ReceiveError, ReconcilePosition};
use crate::store::{
    Applied, Change, CommitError, Key, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, StoreError, Tenant,
    TenantLedger,
};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two rounds.
const EVERY: Duration = Duration::from_secs(60);

/// Default time between two checks of every file against its digest.
pub(super) const SCRUB: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Read rate of these checks, in bytes per second.
const SCRUB_RATE: u64 = 16 << 20;

/// Number of rounds between two removals of old versions: one hour, since a removal looks at all resources.
const PRUNED_EVERY: u64 = 60;

/// The retention of ended uploads, unneeded files and old versions.
///
/// ```
/// use fhir_devices::server::Retention;
/// let mut retention = Retention::default();
/// assert_eq!(retention.superseded, 3);
/// retention.superseded = 5;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The number of superseded updates that a component keeps; 0 counts as 1.
    pub superseded: u32,
    /// The time for which a component shows a withdrawn update.
    pub withdrawn: Duration,
    /// The time for which the record of an ended upload is kept, with its idempotency key.
    pub ended: Duration,
    /// The time for which the record of an upload is kept whose bytes never arrived.
    pub aborted: Duration,
    /// The time for which a file is kept that no update needs any more.
    pub files: Duration,
    /// The number of versions of a resource that are kept; 0 keeps all.
    pub versions: u32,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    /// Returns 3 updates, 30 days, 30 days, a day, an hour, 1,000 versions, in the order of the fields.
    fn default() -> Self {
        Self {
            superseded: 3,
            withdrawn: DAY.saturating_mul(30),
            ended: DAY.saturating_mul(30),
            aborted: DAY,
            files: Duration::from_secs(3_600),
            versions: 1_000,
        }
    }
}

/// The tenant whose ledger holds the list of tenants. The library's own data for a tenant of this name is in other
/// folders.
pub(super) const LIST_OWNER: &str = "update-service";

/// The ledger folder of the list.
const LIST: &str = "tenants";

/// Number of tenants read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Maximum number of tenants cached as listed, so that the list is not read for each request.
const REMEMBERED: usize = 4_096;

/// The list of known tenants. Stores cannot list tenants, so the service keeps the list in the ledger, and a restart
/// knows which tenants to maintain. A tenant is listed before its first upload begins.
pub(super) struct Tenants {
    list: TenantLedger,
    remembered: RwLock<HashSet<Tenant>>,
}

impl Tenants {
    pub(super) fn of(ledger: Arc<dyn Ledger>) -> Result<Self> {
        Ok(Self { list: TenantLedger::new(ledger, LIST_OWNER.parse()?), remembered: RwLock::default() })
    }

    /// Returns the tenant that holds the list.
    pub(super) fn own(&self) -> &Tenant {
        self.list.tenant()
    }

    fn remembers(&self, tenant: &Tenant) -> bool {
        self.remembered.read().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    /// Returns whether a tenant is in the list.
    async fn has(&self, tenant: &Tenant) -> Result<bool> {
        if self.remembers(tenant) {
            return Ok(true);
        }
        let known = self.list.get(&place(tenant)?).await?.is_some();
        if known {
            self.remember(tenant);
        }
        Ok(known)
    }

    /// Adds a tenant to the list.
    async fn note(&self, tenant: &Tenant) -> Result<()> {
        if self.has(tenant).await? {
            return Ok(());
        }
        match self.list.apply(vec![Change::create(place(tenant)?, "noted")]).await {
            // Another request or another process was first.
            Ok(_) | Err(CommitError { error: StoreError::AlreadyExists { .. }, .. }) => self.remember(tenant),
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {
                return if self.has(tenant).await? { Ok(()) } else { Err(error) };
            }
            Err(CommitError { error, .. }) => return Err(error),
        }
        Ok(())
    }

    fn remember(&self, tenant: &Tenant) {
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            // Looking a tenant up again costs one read each.
            remembered.clear();
        }
        remembered.insert(tenant.clone());
    }

    /// Returns one page of the list.
    pub(super) async fn page(&self, after: Option<&PageToken>) -> Result<Page<Tenant>> {
        let Page { items, next } = self.list.scan(&LedgerKey::new(LIST)?, PAGE, after).await?;
        let tenant = |record: LedgerRecord| record.key.as_str().rsplit('/').next().and_then(|name| name.parse().ok());
        Ok(Page { items: items.into_iter().filter_map(tenant).collect(), next })
    }
}

fn place(tenant: &Tenant) -> Result<LedgerKey> {
    Ok(LedgerKey::new(format!("{LIST}/{tenant}"))?)
}

/// Lists a tenant in which something was found or changed. Where that fails, the next request tries again.
pub(super) async fn remember_tenant(app: &UpdateServer, tenant: &Tenant) {
    if app.tenants.remembers(tenant) {
        return;
    }
    if let Err(error) = app.tenants.note(tenant).await {
        tracing::warn!(%tenant, %error, "the tenant cannot be noted");
    }
}

/// Lists a tenant before an upload for one of its devices begins. A client may name any tenant; one without the device
/// is not listed.
///
/// # Errors
/// The device does not exist; errors of the stores. The upload must not begin then.
pub(super) async fn admit_tenant(
    app: &UpdateServer,
    tenant: &Tenant,
    device: &Id,
) -> std::result::Result<(), ReceiveError> {
    if app.tenants.has(tenant).await.map_err(ReceiveError::Ledger)? {
        return Ok(());
    }
    let none = || ReceiveError::NoSuchDevice { device: device.clone() };
    let key = Key::new(ResourceType::Device, device.as_str()).map_err(|_| none())?;
    match app.tenanted(tenant).read(&key).await {
        Ok(_) => {
            files::check(app, tenant).await.map_err(|error| match error {
                MaintenanceError::Mismatch(mismatch) => ReceiveError::StoreMismatch(mismatch),
                MaintenanceError::Store(error) => ReceiveError::Blobs(error),
            })?;
            app.tenants.note(tenant).await.map_err(ReceiveError::Ledger)
        }
        Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Err(none()),
        Err(error) => Err(ReceiveError::Resources(error)),
    }
}

/// Results of maintenance, for the metrics.
#[derive(Debug, Default)]
pub(super) struct MaintenanceMetrics {
    rounds: AtomicU64,
    ended: AtomicU64,
    collected: AtomicU64,
    entries_removed: AtomicU64,
    manifests_removed: AtomicU64,
    swept: AtomicU64,
    reattached: AtomicU64,
    lost: AtomicU64,
    unknown_removed: AtomicU64,
    unknown: AtomicU64,
    unshown: AtomicU64,
    forgotten: AtomicU64,
    pruned: AtomicU64,
    failed: AtomicU64,
    tenants: AtomicU64,
    waiting: AtomicU64,
    stuck: AtomicU64,
    watched: AtomicU64,
    quarantined: AtomicU64,
    readmitted: AtomicU64,
    referenced: AtomicU64,
    over_limit: AtomicU64,
    mismatched: AtomicU64,
    damaged: AtomicU64,
    repaired: AtomicU64,
    scrubbed: AtomicU64,
    scrubs: AtomicU64,
}

impl MaintenanceMetrics {
    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            (
                "maintenance_rounds_total",
                "counter",
                "Rounds over all tenants, of those that came to an end.",
                &self.rounds,
            ),
            ("maintenance_failures_total", "counter", "What could not be read or done in them.", &self.failed),
            ("uploads_resumed_total", "counter", "Uploads that were brought to their ends.", &self.ended),
            ("files_collected_total", "counter", "Files that nobody needed any more, deleted.", &self.collected),
            (
                "entries_removed_total",
                "counter",
                "Entries of deleted files, removed from the ledger.",
                &self.entries_removed,
            ),
            (
                "manifests_removed_total",
                "counter",
                "Manifests that no upload refers to, removed from the ledger.",
                &self.manifests_removed,
            ),
            ("files_swept_total", "counter", "Files that the ledger did not know, deleted.", &self.swept),
            (
                "files_readmitted_total",
                "counter",
                "Files that the ledger knew again, out of quarantine.",
                &self.readmitted,
            ),
            ("files_watched", "gauge", "Files that the ledger does not know, seen a short time ago.", &self.watched),
            ("files_quarantined", "gauge", "Files that the ledger does not know, in quarantine.", &self.quarantined),
            (
                "files_referenced",
                "gauge",
                "Files that nobody needs by the ledger and that stay, as a component refers to them. Alarm above 0.",
                &self.referenced,
            ),
            (
                "sweeps_over_limit",
                "gauge",
                "Tenants of whom more unknown files were found or due than one round may touch. Alarm above 0.",
                &self.over_limit,
            ),
            (
                "stores_mismatched",
                "gauge",
                "Tenants whose update files are not those of the ledger. Alarm above 0.",
                &self.mismatched,
            ),
            ("references_reattached_total", "counter", "References that were written again.", &self.reattached),
            ("uploads_lost_total", "counter", "Uploads that ended since their reference was gone.", &self.lost),
            (
                "unknown_references_removed_total",
                "counter",
                "References that belong to no upload, removed.",
                &self.unknown_removed,
            ),
            (
                "unknown_references",
                "gauge",
                "References that belong to no upload and were left at the last round.",
                &self.unknown,
            ),
            ("versions_removed_total", "counter", "Old versions of resources, removed.", &self.pruned),
            ("withdrawn_removed_total", "counter", "Withdrawn updates that components no longer show.", &self.unshown),
            (
                "records_removed_total",
                "counter",
                "Records of uploads that ended, removed at their time.",
                &self.forgotten,
            ),
            ("files_scrubbed_total", "counter", "Files that were held against their digests.", &self.scrubbed),
            ("scrubs_total", "counter", "Scrubs over all tenants, of those that came to an end.", &self.scrubs),
            (
                "uploads_repaired_total",
                "counter",
                "Uploads that were given a whole copy of a damaged file.",
                &self.repaired,
            ),
            (
                "files_damaged",
                "gauge",
                "Damaged files whose bytes have to be sent again, at the last round. Alarm above 0.",
                &self.damaged,
            ),
            ("tenants", "gauge", "Tenants at the last round.", &self.tenants),
            ("uploads_waiting", "gauge", "Uploads without their bytes at the last round.", &self.waiting),
            ("uploads_stuck", "gauge", "Uploads that could not be gone on with at the last round.", &self.stuck),
        ] {
            let _ = writeln!(text, "# HELP update_service_{name} {help}\n# TYPE update_service_{name} {kind}");
            let _ = writeln!(text, "update_service_{name} {}", value.load(Relaxed));
        }
        text
    }
}

/// Counts of one round.
#[derive(Debug, Default)]
struct Round {
    unknown: u64,
    tenants: u64,
    waiting: u64,
    stuck: u64,
    watched: u64,
    quarantined: u64,
    referenced: u64,
    over_limit: u64,
    mismatched: u64,
    damaged: u64,
}

/// The resource types of a tenant.
const TYPES: [ResourceType; 3] = [ResourceType::Device, ResourceType::DeviceComponent, ResourceType::DeviceMetric];

/// Removes the oldest versions of a tenant's resources, where the store supports it.
async fn prune(app: &UpdateServer, tenant: &Tenant) {
    let resources = app.tenanted(tenant);
    let capabilities = resources.capabilities();
    let Some(keep) = NonZeroU32::new(app.versions).filter(|_| capabilities.history) else { return };
    if !capabilities.history_pruning {
        if app.maintenance.rounds.load(Relaxed) == 0 {
            let versions = app.versions;
            tracing::warn!(%tenant, versions, "the store of resources cannot forget old versions: all are kept");
        }
        return;
    }
    for of in TYPES {
        match resources.prune_histories(of, keep).await {
            Ok(0) => {}
            Ok(versions) => {
                tracing::info!(%tenant, of = of.as_str(), versions, "removed old versions");
                app.maintenance.pruned.fetch_add(versions, Relaxed);
            }
            Err(error) => failed(&app.maintenance, tenant, &error, "old versions cannot be removed"),
        }
    }
    match deletions::prune(&app.ledger, &resources, keep).await {
        Ok(versions) => drop(app.maintenance.pruned.fetch_add(versions, Relaxed)),
        Err(error) => failed(&app.maintenance, tenant, &error, "old versions of deleted resources cannot be removed"),
    }
}

/// Maintains one tenant, once.
async fn maintain_tenant(app: &UpdateServer, tenant: &Tenant, round: &mut Round) {
    let metrics = &app.maintenance;
    if metrics.rounds.load(Relaxed).is_multiple_of(PRUNED_EVERY) {
        prune(app, tenant).await;
        match app.updates.collect_manifests(tenant).await {
            Ok(manifests) => drop(metrics.manifests_removed.fetch_add(manifests, Relaxed)),
            Err(error) => failed(metrics, tenant, &error, "the manifests cannot be collected"),
        }
    }
    round.tenants += 1;
    match app.updates.recover(tenant).await {
        Ok(recovered) => {
            for (id, error) in &recovered.failed {
                tracing::warn!(%tenant, %id, %error, "an upload cannot be gone on with yet");
            }
            if recovered.ended > 0 {
                tracing::info!(%tenant, uploads = recovered.ended, "went on with what broke off");
            }
            metrics.ended.fetch_add(recovered.ended, Relaxed);
            round.waiting += recovered.waiting;
            round.stuck += recovered.failed.len() as u64;
        }
        Err(error) => failed(metrics, tenant, &error, "the uploads cannot be looked through"),
    }
    match app.updates.expire(tenant).await {
        Ok(expired) => {
            for (id, error) in &expired.failed {
                tracing::warn!(%tenant, %id, %error, "what is left of an upload cannot be removed yet");
            }
            if expired.references + expired.records > 0 {
                let (references, records) = (expired.references, expired.records);
                tracing::info!(%tenant, references, records, "removed what was kept for its time");
            }
            metrics.unshown.fetch_add(expired.references, Relaxed);
            metrics.forgotten.fetch_add(expired.records, Relaxed);
            metrics.failed.fetch_add(expired.failed.len() as u64, Relaxed);
        }
        Err(error) => failed(metrics, tenant, &error, "what was kept for its time cannot be removed"),
    }
    match app.updates.repair(tenant).await {
        Ok(repaired) => {
            metrics.repaired.fetch_add(repaired.moved, Relaxed);
            round.damaged += repaired.waiting;
        }
        Err(error) => failed(metrics, tenant, &error, "the damaged files cannot be repaired"),
    }
    reconcile(app, tenant, round).await;
    match app.updates.collect(tenant, app.keep_files).await {
        Ok(collected) => {
            if collected.deleted > 0 {
                tracing::info!(%tenant, deleted = collected.deleted, "collected");
            }
            metrics.collected.fetch_add(collected.deleted, Relaxed);
            metrics.entries_removed.fetch_add(collected.forgotten, Relaxed);
            round.referenced += collected.referenced;
        }
        Err(error) => failed(metrics, tenant, &error, "the update files cannot be collected"),
    }
    match app.updates.sweep(tenant).await {
        Ok(swept) => {
            metrics.swept.fetch_add(swept.deleted, Relaxed);
            metrics.readmitted.fetch_add(swept.readmitted, Relaxed);
            round.watched += swept.watched;
            round.quarantined += swept.quarantined;
            round.referenced += swept.referenced;
            if swept.over_limit {
                round.over_limit += 1;
                let (watched, quarantined) = (swept.watched, swept.quarantined);
                tracing::error!(%tenant, watched, quarantined, "too many unknown update files: none was deleted");
            }
        }
        Err(error) => {
            round.mismatched += u64::from(matches!(error, MaintenanceError::Mismatch(_)));
            failed(metrics, tenant, &error, "the update files cannot be swept");
        }
    }
}

/// Reconciles the uploads of a tenant with its components, page by page.
async fn reconcile(app: &UpdateServer, tenant: &Tenant, round: &mut Round) {
    let (metrics, mut from) = (&app.maintenance, Some(ReconcilePosition::default()));
    while let Some(position) = from {
        let found = match app.updates.reconcile(tenant, PAGE, position).await {
            Ok(found) => found,
            Err(error) => return failed(metrics, tenant, &error, "the uploads and the components cannot be compared"),
        };
        for id in &found.reattached {
            tracing::warn!(%tenant, %id, "the component did not refer to the update, and does again");
        }
        for id in &found.lost {
            tracing::warn!(%tenant, %id, "the component did not refer to the update, which is given up as lost");
        }
        for one in &found.unknown {
            let (component, removed) = (&one.component, one.removed);
            let id = one.id.map(|id| id.to_string()).unwrap_or_default();
            tracing::warn!(%tenant, %component, id, removed, "the component refers to an update that is not known");
        }
        if found.stopped {
            tracing::error!(%tenant, "so many references are not known that none was removed: is the ledger an older one?");
        }
        for (what, error) in &found.failed {
            tracing::warn!(%tenant, what, %error, "cannot be compared");
        }
        let removed = found.unknown.iter().filter(|one| one.removed).count() as u64;
        round.unknown += found.unknown.len() as u64 - removed;
        metrics.unknown_removed.fetch_add(removed, Relaxed);
        metrics.reattached.fetch_add(found.reattached.len() as u64, Relaxed);
        metrics.lost.fetch_add(found.lost.len() as u64, Relaxed);
        metrics.failed.fetch_add(found.failed.len() as u64, Relaxed);
        from = found.next;
    }
}

fn failed(metrics: &MaintenanceMetrics, tenant: &Tenant, error: &dyn std::error::Error, what: &str) {
    metrics.failed.fetch_add(1, Relaxed);
    tracing::warn!(%tenant, %error, "{what}");
}

/// Maintains every listed tenant, once.
///
/// # Errors
/// The list cannot be read to its end.
async fn maintain_all(app: &UpdateServer) -> Result<()> {
    let (mut round, mut after) = (Round::default(), None);
    loop {
        let page = app.tenants.page(after.as_ref()).await?;
        for tenant in &page.items {
            maintain_tenant(app, tenant, &mut round).await;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let metrics = &app.maintenance;
    metrics.tenants.store(round.tenants, Relaxed);
    metrics.waiting.store(round.waiting, Relaxed);
    metrics.stuck.store(round.stuck, Relaxed);
    metrics.watched.store(round.watched, Relaxed);
    metrics.quarantined.store(round.quarantined, Relaxed);
    metrics.referenced.store(round.referenced, Relaxed);
    metrics.over_limit.store(round.over_limit, Relaxed);
    metrics.mismatched.store(round.mismatched, Relaxed);
    metrics.damaged.store(round.damaged, Relaxed);
    metrics.unknown.store(round.unknown, Relaxed);
    metrics.rounds.fetch_add(1, Relaxed);
    tracing::debug!(tenants = round.tenants, waiting = round.waiting, stuck = round.stuck, "maintained the tenants");
    Ok(())
}

/// Maintains every tenant at the start, and then every minute, until the process ends.
pub(super) async fn run(app: Arc<UpdateServer>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = maintain_all(&app).await {
            app.maintenance.failed.fetch_add(1, Relaxed);
            tracing::warn!(%error, "the list of tenants cannot be read");
        }
    }
}

/// Reads every file of every tenant and checks it against its digest, at intervals, until the process ends.
pub(super) async fn scrub(app: Arc<UpdateServer>) {
    let Some(every) = app.scrub_every else { return };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = scrub_all(&app).await {
            app.maintenance.failed.fetch_add(1, Relaxed);
            tracing::warn!(%error, "the list of tenants cannot be read for a scrub");
        }
    }
}

/// Returns the pause of a scrub after that many bytes.
fn scrub_pause(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SCRUB_RATE)
}

async fn scrub_all(app: &UpdateServer) -> Result<()> {
    let mut after = None;
    loop {
        let page = app.tenants.page(after.as_ref()).await?;
        for tenant in &page.items {
            match app.updates.scrub_at_pace(tenant, |bytes| tokio::time::sleep(scrub_pause(bytes))).await {
                Ok((damages, done)) => {
                    app.maintenance.scrubbed.fetch_add(done.blobs, Relaxed);
                    for damage in damages {
                        let (key, error) = (damage.key, damage.error);
                        tracing::error!(%tenant, %key, %error, "a file is not what the ledger says");
                    }
                }
                Err(error) => failed(&app.maintenance, tenant, &error, "the update files cannot be scrubbed"),
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    app.maintenance.scrubs.fetch_add(1, Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Memory;

    #[test]
    fn scrub_keeps_its_rate_limit() {
        assert_eq!(scrub_pause(SCRUB_RATE), Duration::from_secs(1));
        assert_eq!(scrub_pause(SCRUB_RATE / 64), Duration::from_secs(1) / 64);
        // A file read in chunks takes as long as one read at once.
        let chunks: Duration = (0..640).map(|_| scrub_pause(256 << 10)).sum();
        assert_eq!(chunks, scrub_pause(640 * (256 << 10)));
        assert!(scrub_pause(u64::MAX) > Duration::from_secs(1));
    }

    #[tokio::test]
    async fn tenant_list_has_each_tenant_once() {
        let ledger: Arc<dyn Ledger> = Arc::new(Memory::new());
        let count = REMEMBERED + 300;
        let all: Vec<Tenant> = (0..count).map(|n| format!("ward-{n:05}").parse().unwrap()).collect();
        let tenants = Tenants::of(Arc::clone(&ledger)).unwrap();
        for tenant in all.iter().chain(all.iter().take(10)) {
            tenants.note(tenant).await.unwrap();
            assert!(tenants.remembered.read().unwrap().len() <= REMEMBERED);
        }
        let (after_a_start, mut found, mut after) = (Tenants::of(ledger).unwrap(), Vec::new(), None);
        loop {
            let page = after_a_start.page(after.as_ref()).await.unwrap();
            found.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, all);
        assert!(after_a_start.has(&all[7]).await.unwrap());
        assert!(!after_a_start.has(&"nobody".parse().unwrap()).await.unwrap());
    }
}
