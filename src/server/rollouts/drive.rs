//! The work on rollouts that goes on by itself: one task a region, so that one that cannot be reached holds up no other, and one
//! for deadlines.

use super::super::UpdateServer;
use crate::publish::RegionId;
use crate::store::Tenant;
use crate::support::with_causes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often every tenant is looked at, where nobody did anything.
const EVERY: Duration = Duration::from_secs(5);

/// How many steps one look takes at most for each part of its work.
const BUDGET: usize = 1_000;

/// Tells those who work on rollouts that something was done.
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

/// Works on one region, or on deadlines.
async fn work(app: Arc<UpdateServer>, region: Option<RegionId>) {
    let mut wake = app.wake.0.subscribe();
    loop {
        wake.mark_unchanged();
        let mut after = None;
        let mut steps = 0;
        loop {
            let page = match app.tenants.page(after.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the list of tenants cannot be read");
                    break;
                }
            };
            for tenant in &page.items {
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
            // The others go on with what this one did.
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
