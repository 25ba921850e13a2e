//! `GET /healthz` and `GET /readyz`, and fatal conditions that end the process.

use super::answer::{Answer, Problem, Result, json_text};
use super::{Shared, method_not_allowed};
use crate::issue::IssueType;
use crate::search::ResourceType;
use crate::store::{
    BlobKey, BlobStore, Change, Generation, Key, Ledger, LedgerKey, ResourceStore, Sha256, StoreError, Tenant,
};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// How long a store may take to answer a readiness check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the result of a check is reused.
const FRESH: Duration = Duration::from_secs(1);

/// How often a check also writes to the ledger and the store of update files: a full disk still answers reads. Where a
/// request has failed since the last check, or that check failed, the next one writes at once.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Number of bytes of a test write, which is aborted: large enough that a store which buffers small writes passes them
/// on.
const WRITE_BYTES: usize = 256 << 10;

/// `Retry-After` while the service is not ready, in seconds.
const RETRY_AFTER: u64 = 5;

/// The tenant of the checks, which also has the service's own records.
const TENANT: &str = "update-service";

/// The id of the resource and the name of the record that a check reads. The resource is never written.
const PROBE: &str = "readiness";

/// Collects conditions after which this process cannot continue, such as a store that must be reopened.
///
/// A part that finds such a condition calls [`report`](Self::report). From then on `GET /readyz` answers 503; after a
/// few seconds [`serve`](super::serve()) takes no connection, and returns after the time that requests in progress
/// have. The example `update_service` then exits with status 3. The first reported condition counts.
///
/// ```
/// use fhir_devices::server::Fatal;
/// let fatal = Fatal::default();
/// fatal.report("the database must be opened anew");
/// fatal.report("later");
/// assert_eq!(fatal.reported().as_deref(), Some("the database must be opened anew"));
/// ```
#[derive(Clone, Debug)]
pub struct Fatal(watch::Sender<Option<String>>);

impl Default for Fatal {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Fatal {
    /// Reports a condition: the part that failed, and what an operator may do. It may be called from any thread.
    pub fn report(&self, condition: impl Display) {
        let condition = condition.to_string();
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(condition, "the service cannot go on");
                *known = Some(condition);
            }
            first
        });
    }

    /// Returns the condition that was reported first.
    #[must_use]
    pub fn reported(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until a condition is reported.
    pub(super) async fn wait(&self) {
        let mut changes = self.0.subscribe();
        // Waiting fails only without a sender, and `self` is one.
        drop(changes.wait_for(Option::is_some).await);
    }
}

/// The kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Read,
    Write,
}

/// The outcome of a store's last check.
type Said = std::result::Result<(), &'static str>;

/// The readiness checks of the stores.
#[derive(Debug)]
pub(super) struct Readiness {
    timeout: Duration,
    last: Mutex<Last>,
    /// Whether a request has failed since the last check.
    doubtful: AtomicBool,
}

#[derive(Debug, Default)]
struct Last {
    checked: Option<Instant>,
    wrote: Option<Instant>,
    said: Vec<(&'static str, Said)>,
    /// Checks that timed out. A store is not asked again before its check ends.
    pending: Vec<(&'static str, JoinHandle<Said>)>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { timeout: TIMEOUT, last: Mutex::default(), doubtful: AtomicBool::new(false) }
    }
}

impl Readiness {
    /// Creates the checks with another timeout.
    pub(super) fn with_timeout(timeout: Duration) -> Self {
        Self { timeout, ..Self::default() }
    }

    /// Notes that a request failed, so that the next check writes.
    pub(super) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Relaxed);
    }

    /// Checks every store, unless the last result is fresh. Concurrent callers share one check.
    async fn check(
        &self,
        stores: [(&'static str, impl FnOnce(Probe) -> JoinHandle<Said>); 3],
    ) -> Vec<(&'static str, Said)> {
        let mut last = self.last.lock().await;
        if last.checked.is_some_and(|at| at.elapsed() < FRESH) {
            return last.said.clone();
        }
        let doubtful = self.doubtful.swap(false, Ordering::Relaxed);
        let rests = !doubtful && last.wrote.is_some_and(|at| at.elapsed() < WRITE_EVERY);
        let probe = if rests && last.said.iter().all(|(_, said)| said.is_ok()) { Probe::Read } else { Probe::Write };
        if probe == Probe::Write {
            last.wrote = Some(Instant::now());
        }
        let mut asked = std::mem::take(&mut last.pending);
        for (name, ask) in stores {
            if !asked.iter().any(|(pending, _)| *pending == name) {
                asked.push((name, ask(probe)));
            }
        }
        let until = tokio::time::Instant::now() + self.timeout;
        let mut said = Vec::new();
        for (name, mut task) in asked {
            match tokio::time::timeout_at(until, &mut task).await {
                Ok(answer) => said.push((name, answer.unwrap_or(Err("the check failed")))),
                Err(_) => {
                    said.push((name, Err("no answer in time")));
                    last.pending.push((name, task));
                }
            }
        }
        said.sort_unstable_by_key(|(name, _)| *name);
        last.checked = Some(Instant::now());
        last.said.clone_from(&said);
        said
    }
}

/// Returns whether a store answered. Details go to the log, since a cause may contain an address or a name.
fn answered<T>(name: &str, outcome: std::result::Result<T, StoreError>) -> Said {
    match outcome {
        Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(()),
        Err(error) => {
            tracing::warn!(store = name, error = &error as &dyn std::error::Error, "the store is not ready");
            Err(match error {
                StoreError::Throttled { .. } => "throttled",
                StoreError::Unavailable { .. } => "unavailable",
                _ => "failed",
            })
        }
    }
}

fn ask_resources(store: Arc<dyn ResourceStore>) -> JoinHandle<Said> {
    tokio::spawn(async move {
        let invalid = |_| StoreError::not_found();
        let read = async {
            let tenant: Tenant = TENANT.parse().map_err(invalid)?;
            store.read(&tenant, &Key::new(ResourceType::Device, PROBE).map_err(invalid)?).await
        };
        answered("resources", read.await)
    })
}

fn ask_ledger(ledger: Arc<dyn Ledger>, probe: Probe) -> JoinHandle<Said> {
    tokio::spawn(async move {
        let invalid = |_| StoreError::not_found();
        let asked = async {
            let tenant: Tenant = TENANT.parse().map_err(invalid)?;
            let key = LedgerKey::new(PROBE).map_err(invalid)?;
            let known = ledger.get(&tenant, &key).await?;
            if probe == Probe::Read {
                return Ok(());
            }
            let expected = known.map(|record| record.revision);
            let change = Change { key, expected, value: Some(Bytes::from_static(b"written by a readiness check")) };
            match ledger.apply(&tenant, vec![change]).await.map_err(|refused| refused.error) {
                // Another process over the same ledger wrote the record.
                Err(StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) => Ok(()),
                written => written.map(drop),
            }
        };
        answered("ledger", asked.await)
    })
}

fn ask_blobs(blobs: Arc<dyn BlobStore>, probe: Probe) -> JoinHandle<Said> {
    tokio::spawn(async move {
        let asked = async {
            let tenant: Tenant = TENANT.parse().map_err(|_| StoreError::not_found())?;
            match blobs.head(&tenant, &BlobKey { digest: Sha256::of(b""), generation: Generation(0) }).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            if probe == Probe::Read {
                return Ok(());
            }
            let mut writer = blobs.begin(&tenant).await?;
            let size = usize::try_from(blobs.capabilities().max_size).unwrap_or(WRITE_BYTES).min(WRITE_BYTES);
            let written = writer.write(Bytes::from(vec![0; size])).await;
            // The outcome of the write counts; the blob is never visible.
            let _ = writer.abort().await;
            written
        };
        answered("blobs", asked.await)
    })
}

/// Returns the routes of this module. Health checks need no token.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(alive).fallback(method_not_allowed))
        .route("/readyz", get(ready).fallback(method_not_allowed))
}

/// `GET /healthz`: answers while the process runs, without asking a store.
pub(super) async fn alive() -> Answer {
    json_text(StatusCode::OK, r#"{"status":"alive"}"#.to_owned())
}

/// A check that reads from or writes to a store, in a task of its own.
type Question<'a> = Box<dyn FnOnce(Probe) -> JoinHandle<Said> + Send + 'a>;

/// `GET /readyz`: every store answers a small read in time, the ledger and the update files can be written, and no part
/// has reported a fatal condition.
pub(super) async fn ready(State(app): State<Shared>) -> Result {
    if app.fatal.reported().is_some() {
        return Err(not_ready("the service is about to end"));
    }
    let (resources, ledger, blobs) = (app.resources.clone(), app.ledger.clone(), app.blobs.clone());
    let stores: [(_, Question<'_>); 3] = [
        ("blobs", Box::new(move |probe| ask_blobs(blobs, probe))),
        ("ledger", Box::new(move |probe| ask_ledger(ledger, probe))),
        ("resources", Box::new(move |_| ask_resources(resources))),
    ];
    let said = app.readiness.check(stores).await;
    let failed: Vec<_> =
        said.iter().filter_map(|(name, said)| said.err().map(|why| format!("{name} ({why})"))).collect();
    if failed.is_empty() {
        let body = r#"{"status":"ready","stores":{"blobs":"ok","ledger":"ok","resources":"ok"}}"#;
        return Ok(json_text(StatusCode::OK, body.to_owned()));
    }
    Err(not_ready(format_args!("not ready: {}", failed.join(", "))))
}

fn not_ready(words: impl Display) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, "not-ready", words).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn first_fatal_condition_is_kept() {
        let fatal = Fatal::default();
        assert_eq!(fatal.reported(), None);
        let waiting = tokio::spawn({
            let fatal = fatal.clone();
            async move { fatal.wait().await }
        });
        fatal.report("the store of resources failed");
        fatal.report("another");
        waiting.await.unwrap();
        assert_eq!(fatal.reported().as_deref(), Some("the store of resources failed"));
    }

    #[tokio::test]
    async fn hanging_store_is_probed_once_at_a_time() {
        let readiness = Readiness::with_timeout(Duration::from_millis(20));
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        for round in 1..=3 {
            let hung = |_| {
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::spawn(std::future::pending::<Said>())
            };
            let stores: [(_, Question<'_>); 3] = [
                ("a", Box::new(|_| tokio::spawn(async { Ok(()) }))),
                ("b", Box::new(hung)),
                ("c", Box::new(|_| tokio::spawn(async { Err("unavailable") }))),
            ];
            let said = readiness.check(stores).await;
            let wanted = [("a", Ok(())), ("b", Err("no answer in time")), ("c", Err("unavailable"))];
            assert_eq!(said, wanted, "round {round}");
            readiness.last.lock().await.checked = None;
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn health_check_writes_periodically_and_after_failure() {
        let readiness = Readiness::default();
        let probes = Arc::new(std::sync::Mutex::new(Vec::new()));
        for fails in [false, false, true, true, false, false] {
            let ask = |probe: Probe| {
                probes.lock().unwrap().push(probe);
                tokio::spawn(async move { if fails { Err("unavailable") } else { Ok(()) } })
            };
            let good = |_| tokio::spawn(async { Ok(()) });
            let stores: [(_, Question<'_>); 3] = [("a", Box::new(ask)), ("b", Box::new(good)), ("c", Box::new(good))];
            readiness.check(stores).await;
            readiness.last.lock().await.checked = None;
        }
        use Probe::{Read, Write};
        assert_eq!(*probes.lock().unwrap(), [Write, Read, Read, Write, Write, Read]);
    }
}
