//! Metrics of rollouts. They are counted at intervals in the background, so that a request for the metrics reads no
//! store.

use super::super::UpdateServer;
use crate::service::{FieldTimes, Overdue, RolloutError};
use crate::store::{Page, Tenant};
use crate::update::deployment::OutcomeClass;
use crate::update::rollout::{Counts, Status, Tally};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two counts.
const EVERY: Duration = Duration::from_secs(10);

/// Number of rollouts read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

#[derive(Debug, Default)]
struct Numbers {
    /// Number of rollouts with work to do, by status.
    rollouts: BTreeMap<Status, u64>,
    states: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<OutcomeClass, u64>,
    late: u64,
    oldest: Duration,
}

/// The results of the last count.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    numbers: Mutex<Numbers>,
    counted_at: Mutex<Option<Instant>>,
}

impl Gauges {
    /// Counts the rollouts of all tenants, unless the last count is recent.
    pub(super) async fn count(&self, app: &UpdateServer) {
        let now = Instant::now();
        {
            let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
            if counted_at.is_some_and(|at| now.duration_since(at) < EVERY) {
                return;
            }
            *counted_at = Some(now);
        }
        let (mut numbers, mut after) = (Numbers::default(), None);
        loop {
            let Page { items, next } = match app.tenants.page(after.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the rollouts cannot be counted");
                    return;
                }
            };
            for tenant in &items {
                if let Err(error) = numbers.add(app, tenant).await {
                    tracing::warn!(%tenant, %error, "the rollouts cannot be counted");
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        *self.numbers.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(in super::super) fn text(&self, times: &FieldTimes) -> String {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).text() + &times_text(times)
    }
}

impl Numbers {
    async fn add(&mut self, app: &UpdateServer, tenant: &Tenant) -> Result<(), RolloutError> {
        let (service, mut after) = (app.rollouts(), None);
        loop {
            let page = service.rollouts(tenant, false, PAGE, after.as_ref()).await?;
            for rollout in page.items {
                *self.rollouts.entry(rollout.status).or_default() += 1;
                let view = service.view(tenant, rollout.id).await?;
                self.add_deployments(&view.counts, &view.tally);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let Overdue { count, longest, .. } = service.overdue(tenant).await?;
        self.late += u64::from(count);
        self.oldest = self.oldest.max(longest.unwrap_or_default());
        Ok(())
    }

    fn add_deployments(&mut self, counts: &Counts, tally: &Tally) {
        for (name, count) in counts.by_state() {
            *self.states.entry(name).or_default() += u64::from(count);
        }
        for class in OutcomeClass::ALL {
            *self.outcomes.entry(*class).or_default() += u64::from(tally.of(*class));
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        head(&mut text, "rollouts", "gauge", "Rollouts for which there is something to do, by status.");
        for status in Status::ALL {
            let count = self.rollouts.get(status).copied().unwrap_or(0);
            let _ = writeln!(text, "update_service_rollouts{{status=\"{status}\"}} {count}");
        }
        head(&mut text, "deployments", "gauge", "Components of these rollouts that have not ended, by state.");
        for (name, count) in &self.states {
            let _ = writeln!(text, "update_service_deployments{{state=\"{name}\"}} {count}");
        }
        head(&mut text, "deployments_ended", "gauge", "Components of these rollouts that have ended, by outcome.");
        for (class, count) in &self.outcomes {
            let _ = writeln!(text, "update_service_deployments_ended{{outcome=\"{class}\"}} {count}");
        }
        let (open, ended) = (self.states.values().sum::<u64>(), self.outcomes.values().sum::<u64>());
        let done = (ended * 1_000).checked_div(open + ended).unwrap_or(1_000);
        let unproven = self.outcomes.get(&OutcomeClass::Unproven).copied().unwrap_or(0);
        for (name, help, value) in [
            ("deployments_done_permille", "How many of 1,000 of these components have ended.", done),
            (
                "deployments_unproven",
                "Components with the bytes of which nobody knows what they run. Look at each.",
                unproven,
            ),
            ("deployments_late", "Components past the time at which something should have been heard.", self.late),
            ("deployments_oldest_late_seconds", "For how long the oldest of them is.", self.oldest.as_secs()),
        ] {
            head(&mut text, name, "gauge", help);
            let _ = writeln!(text, "update_service_{name} {value}");
        }
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP update_service_{name} {help}\n# TYPE update_service_{name} {kind}");
}

/// Returns the times from release to the report of the version: a histogram, with its median and 95th percentile.
fn times_text(times: &FieldTimes) -> String {
    let (mut text, name) = (String::new(), "time_to_observed_seconds");
    let help =
        "From the release of an update to the report of its version, of the components that succeeded in this process.";
    head(&mut text, name, "histogram", help);
    for (bound, count) in times.cumulative() {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs().to_string());
        let _ = writeln!(text, "update_service_{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "update_service_{name}_sum {}", times.sum().as_secs());
    let _ = writeln!(text, "update_service_{name}_count {}", times.total());
    let name = "time_to_observed_quantile_seconds";
    head(&mut text, name, "gauge", "The bound of the histogram within which half, and 95 of 100, of them lie.");
    for (permille, quantile) in [(500, "0.5"), (950, "0.95")] {
        if let Some(time) = times.quantile(permille) {
            let _ = writeln!(text, "update_service_{name}{{quantile=\"{quantile}\"}} {}", time.as_secs());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_shares_and_quantiles() {
        let mut numbers = Numbers { late: 2, oldest: Duration::from_secs(120), ..Numbers::default() };
        numbers.rollouts.insert(Status::Running, 1);
        let mut tally = Tally::default();
        tally.count(OutcomeClass::Succeeded);
        tally.count(OutcomeClass::Unproven);
        numbers.add_deployments(&Counts { planned: 5, claimed: 1, ..Counts::default() }, &tally);
        let mut times = FieldTimes::default();
        times.count(Duration::from_secs(90));
        let gauges = Gauges { numbers: Mutex::new(numbers), ..Gauges::default() };
        let text = gauges.text(&times);
        for line in [
            "update_service_rollouts{status=\"running\"} 1",
            "update_service_deployments{state=\"planned\"} 5",
            "update_service_deployments_ended{outcome=\"unproven\"} 1",
            "update_service_deployments_done_permille 250",
            "update_service_deployments_unproven 1",
            "update_service_deployments_late 2",
            "update_service_deployments_oldest_late_seconds 120",
            "update_service_time_to_observed_seconds_bucket{le=\"60\"} 0",
            "update_service_time_to_observed_seconds_bucket{le=\"600\"} 1",
            "update_service_time_to_observed_seconds_sum 90",
            "update_service_time_to_observed_quantile_seconds{quantile=\"0.95\"} 600",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
