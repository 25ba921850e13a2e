//! What the service does by itself: it goes on with what broke off, and deletes what nobody needs.

use super::App;
use fhir_devices::store::Tenant;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

/// How long nobody must have needed some bytes.
const GRACE: Duration = Duration::from_secs(3_600);

/// The tenants that somebody asked for since the start: a store has no list of them.
#[derive(Debug, Default)]
pub(crate) struct Tenants(Mutex<BTreeSet<Tenant>>);

/// How many are remembered.
const MOST: usize = 10_000;

impl Tenants {
    /// Remembers a tenant, and tells whether it is new.
    pub(crate) fn note(&self, tenant: &Tenant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < MOST && !known.contains(tenant) && known.insert(tenant.clone())
    }

    fn all(&self) -> Vec<Tenant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Looks after one tenant, once.
pub(crate) async fn look_after(app: &App, tenant: &Tenant) {
    match app.updates.recover(tenant).await {
        Ok(recovered) => {
            for (id, error) in &recovered.failed {
                tracing::warn!(%tenant, %id, %error, "an upload cannot be gone on with yet");
            }
        }
        Err(error) => tracing::warn!(%tenant, %error, "the uploads cannot be looked through"),
    }
    match app.updates.collect(tenant, GRACE).await {
        Ok(collected) if collected.deleted > 0 => tracing::info!(%tenant, deleted = collected.deleted, "collected"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%tenant, %error, "the update files cannot be collected"),
    }
    if let Err(error) = app.updates.sweep(tenant).await {
        tracing::warn!(%tenant, %error, "the update files cannot be swept");
    }
}

/// Looks after every tenant from time to time, until the process ends.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for tenant in app.tenants.all() {
            look_after(&app, &tenant).await;
        }
    }
}
