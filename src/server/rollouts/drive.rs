//! Background work on rollouts: one task per region, so that an unreachable region delays no other, and one task for
//! deadlines.

use super::super::UpdateServer;
use crate::publish::RegionId;
use crate::store::Tenant;
use crate::support::with_causes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often every tenant is visited when nothing is signalled.
const EVERY: Duration = Duration::from_secs(5);

/// Maximum number of steps per visit, for each part of the work.
const BUDGET: usize = 1_000;

/// How often the slots of a region are read and repaired, where offers are missing or came back. Over each new connection
/// to one that is not durable, [`RolloutService::run_once`](crate::service::RolloutService::run_once) does so.
const VERIFY_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Wakes the tasks that work on rollouts.
#[derive(Debug)]
pub(crate) struct Wake(watch::Sender<u64>);

impl Default for Wake {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Wake {
    pub(crate) fn now(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Works on the rollouts of all tenants until the process ends.
pub(crate) async fn run(app: Arc<UpdateServer>) {
    for region in app.regions.keys() {
        tokio::spawn(work(Arc::clone(&app), Some(region.clone())));
    }
    work(app, None).await;
}

/// Works on one region, or on deadlines where it is `None`.
async fn work(app: Arc<UpdateServer>, region: Option<RegionId>) {
    let mut wake = app.wake.0.subscribe();
    let mut verified_at = Instant::now();
    loop {
        wake.mark_unchanged();
        let mut after = None;
        let mut steps = 0;
        let verifies = verified_at.elapsed() >= VERIFY_EVERY;
        if verifies {
            verified_at = Instant::now();
        }
        loop {
            let page = match app.tenants.page(after.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the list of tenants cannot be read");
                    break;
                }
            };
            for tenant in &page.items {
                if let Some(region) = region.as_ref().filter(|_| verifies) {
                    verify(&app, tenant, region).await;
                }
                steps += look(&app, tenant, region.as_ref()).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if region.is_none() {
            app.rollout_gauges.count(&app).await;
        }
        if steps > 0 {
            // The other tasks continue with the results of this one.
            app.wake.now();
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            _ = wake.changed() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Reads the slots of a region, and has those rewritten that differ.
async fn verify(app: &UpdateServer, tenant: &Tenant, region: &RegionId) {
    match app.rollouts().verify(tenant, region).await {
        Ok(verified) if verified.mended > 0 || verified.failed > 0 => {
            let (mended, failed) = (verified.mended, verified.failed);
            tracing::warn!(%tenant, %region, mended, failed, "slots of the region differed or could not be read");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%tenant, %region, %error, "the slots of the region cannot be verified"),
    }
}

async fn look(app: &UpdateServer, tenant: &Tenant, region: Option<&RegionId>) -> usize {
    let rollouts = app.rollouts();
    let Some(region) = region else {
        return match rollouts.run_due(tenant).await {
            Ok(run) => run.steps,
            Err(error) => {
                tracing::warn!(%tenant, %error, "the deadlines of rollouts cannot be looked at");
                0
            }
        };
    };
    match rollouts.run_once(tenant, region, BUDGET).await {
        Ok(pass) => {
            for (id, error) in &pass.failed {
                tracing::warn!(%tenant, %region, %id, %error, "a rollout cannot be gone on with yet");
            }
            if let Some(error) = &pass.region {
                tracing::warn!(%tenant, %region, error = with_causes(error), "the region does not take what it is to show");
            }
            pass.steps
        }
        Err(error) => {
            tracing::warn!(%tenant, %region, %error, "the rollouts cannot be gone on with yet");
            0
        }
    }
}
