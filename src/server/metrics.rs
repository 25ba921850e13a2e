//! Metrics in the text format of Prometheus, and a log line for each request that changes something or fails.
//!
//! Written by hand: `prometheus-client` finds each counter through a map of label sets behind a lock, while the labels
//! here are fixed and a counter is one addition; what remains is the text format, some 60 lines.

use super::Shared;
use super::answer::{Answer, plain, set};
use super::place::one;
use crate::store::random_number;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::Response;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing::Instrument as _;

const KINDS: [&str; 7] = ["fhir", "updates", "blobs", "page", "metrics", "health", "other"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 10] = [100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// Number and duration of requests of each kind.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: [[[AtomicU64; CLASSES.len()]; METHODS.len()]; KINDS.len()],
    took: [Durations; KINDS.len()],
    under_way: AtomicU64,
}

#[derive(Debug, Default)]
struct Durations {
    /// Requests per histogram interval; the last interval is above every bound.
    within: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Metrics {
    fn count(&self, kind: usize, method: &Method, status: u16, took: Duration) {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1);
        let counter = self.requests.get(kind).and_then(|of| of.get(method)).and_then(|of| of.get(class));
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(took) = self.took.get(kind) {
            let at = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
            if let Some(bucket) = took.within.get(at) {
                bucket.fetch_add(1, Relaxed);
            }
            took.micros.fetch_add(micros, Relaxed);
        }
    }

    /// Returns the metrics in the text format.
    fn text(&self) -> String {
        let mut text = String::from(
            "# HELP update_service_requests_total Requests that were answered.\n# TYPE update_service_requests_total counter\n",
        );
        for (kind, of) in KINDS.iter().zip(&self.requests) {
            for (method, of) in METHODS.iter().zip(of) {
                for (class, counter) in CLASSES.iter().zip(of) {
                    let count = counter.load(Relaxed);
                    if count > 0 {
                        let _ = writeln!(
                            text,
                            "update_service_requests_total{{kind=\"{kind}\",method=\"{method}\",status=\"{class}\"}} {count}"
                        );
                    }
                }
            }
        }
        text += "# HELP update_service_request_seconds How long requests took, up to the head of the answer.\n";
        text += "# TYPE update_service_request_seconds histogram\n";
        for (kind, took) in KINDS.iter().zip(&self.took) {
            let mut sum = 0;
            let ends = BOUNDS.iter().map(|micros| seconds(*micros)).chain(["+Inf".to_owned()]);
            for (end, bucket) in ends.zip(&took.within) {
                sum += bucket.load(Relaxed);
                let _ = writeln!(text, "update_service_request_seconds_bucket{{kind=\"{kind}\",le=\"{end}\"}} {sum}");
            }
            let total = seconds(took.micros.load(Relaxed));
            let _ = writeln!(text, "update_service_request_seconds_sum{{kind=\"{kind}\"}} {total}");
            let _ = writeln!(text, "update_service_request_seconds_count{{kind=\"{kind}\"}} {sum}");
        }
        text += "# HELP update_service_requests_under_way Requests that are being answered.\n";
        text += "# TYPE update_service_requests_under_way gauge\n";
        let _ = writeln!(text, "update_service_requests_under_way {}", self.under_way.load(Relaxed));
        text
    }
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Returns the kind of a request from its path.
fn kind(path: &str) -> usize {
    let mut segments = path.split('/').skip(1);
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let name = match (first, second) {
        ("", _) => "page",
        ("metrics", "") => "metrics",
        ("healthz" | "readyz", "") => "health",
        ("blobs", _) => "blobs",
        (_, "fhir") => "fhir",
        (_, "updates") => "updates",
        (_, "pages") => "page",
        _ => "other",
    };
    KINDS.iter().position(|known| *known == name).unwrap_or(KINDS.len() - 1)
}

/// A request in progress; one that is dropped also counts down.
struct InProgress<'a>(&'a AtomicU64);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts a request, and logs it.
pub(super) async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let metrics = &app.metrics;
    metrics.under_way.fetch_add(1, Relaxed);
    let under_way = InProgress(&metrics.under_way);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = %id);
    let mut response = next.run(request).instrument(span.clone()).await;
    set(&mut response, REQUEST_ID, &id);
    let _entered = span.enter();
    drop(under_way);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    metrics.count(kind(uri.path()), &method, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // Queries may contain names of patients, and are not logged.
    if status >= 500 {
        app.readiness.doubt();
        tracing::warn!(%method, path = uri.path(), status, micros, "answered");
    } else if matches!(method, Method::GET | Method::HEAD) {
        tracing::debug!(%method, path = uri.path(), status, micros, "answered");
    } else {
        tracing::info!(%method, path = uri.path(), status, micros, "answered");
    }
    response
}

/// The header that identifies a request in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the id that a proxy gave the request, if it is a short name; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_name = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    // Without randomness, every request has the id 0, and is still answered.
    let new = || format!("{:032x}", random_number().unwrap_or_default());
    one(headers, &REQUEST_ID).filter(is_name).map_or_else(new, str::to_owned)
}

/// `GET /metrics`
pub(super) async fn show(State(app): State<Shared>) -> Answer {
    plain(
        "text/plain; version=0.0.4",
        app.metrics.text()
            + &app.maintenance.text()
            + &app.rollout_gauges.text(&app.rollouts().field_times())
            + &app.connections.text()
            + &app.sign_ins.text()
            + &app.subscriptions.as_ref().map(|subscribed| subscribed.text()).unwrap_or_default()
            + &app.token_file.as_ref().map(|file| file.text()).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_counted_under_its_route() {
        let metrics = Metrics::default();
        metrics.count(kind("/demo/fhir/Device/x"), &Method::GET, 200, Duration::from_micros(700));
        metrics.count(kind("/demo/fhir/Device/x"), &Method::TRACE, 405, Duration::from_secs(60));
        let text = metrics.text();
        for line in [
            "update_service_requests_total{kind=\"fhir\",method=\"GET\",status=\"2xx\"} 1",
            "update_service_requests_total{kind=\"fhir\",method=\"other\",status=\"4xx\"} 1",
            "update_service_request_seconds_bucket{kind=\"fhir\",le=\"0.000500\"} 0",
            "update_service_request_seconds_bucket{kind=\"fhir\",le=\"0.001000\"} 1",
            "update_service_request_seconds_bucket{kind=\"fhir\",le=\"+Inf\"} 2",
            "update_service_request_seconds_sum{kind=\"fhir\"} 60.000700",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
