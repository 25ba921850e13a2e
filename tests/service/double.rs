//! A store that fails on purpose, over the in-memory store.

use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use url::Url;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls at most `polls` times, and drops the future then.
pub(super) fn poll_only<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    (0..polls).find_map(|_| match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Is ready at the second poll.
pub(super) async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

type Meddle = Box<dyn FnMut(&Memory) + Send>;

/// The fate of a write.
#[derive(Clone, Copy)]
pub(super) enum CallOutcome {
    /// The write is applied, and its answer is lost.
    Lost,
    /// The write is not applied, and the outcome is reported as unknown.
    Dropped,
    /// The store refuses service.
    Refused,
}

/// Every call pauses before and after its effect, so that a future may be dropped in between.
#[derive(Default)]
pub(super) struct Double {
    pub(super) below: Memory,
    /// Runs before each commit of resources.
    pub(super) meddle: Mutex<Option<Meddle>>,
    /// The fates of the next commits, last one first.
    pub(super) commits: Mutex<Vec<CallOutcome>>,
    /// The fates of the next writes to the ledger, last one first.
    pub(super) puts: Mutex<Vec<CallOutcome>>,
    pub(super) tried: AtomicUsize,
}

fn unavailable() -> StoreError {
    StoreError::unavailable(None, None)
}

async fn fated<T, E: From<StoreError>>(
    fate: Option<CallOutcome>,
    write: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let lost = || Err(StoreError::indeterminate(None).into());
    pause().await;
    let answer = match fate {
        None => write.await,
        Some(CallOutcome::Lost) => match write.await {
            Ok(_) => lost(),
            refused => refused,
        },
        Some(CallOutcome::Dropped) => lost(),
        Some(CallOutcome::Refused) => Err(unavailable().into()),
    };
    pause().await;
    answer
}

impl ResourceStore for Double {
    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&self.below)
    }

    fn read<'a>(&'a self, t: &'a Tenant, k: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(fated(None, self.below.read(t, k)))
    }

    fn vread<'a>(&'a self, t: &'a Tenant, k: &'a Key, v: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(fated(None, self.below.vread(t, k, v)))
    }

    fn commit<'a>(&'a self, t: &'a Tenant, w: Vec<Write>) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            pause().await;
            self.tried.fetch_add(1, Ordering::Relaxed);
            if let Some(meddle) = &mut *self.meddle.lock().unwrap() {
                meddle(&self.below);
            }
            let fate = self.commits.lock().unwrap().pop();
            fated(fate, self.below.commit(t, w)).await
        })
    }

    fn search<'a>(&'a self, t: &'a Tenant, s: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            // Small pages, so that there are several.
            let small = s.clone().limit(2);
            fated(None, self.below.search(t, &small)).await
        })
    }

    fn history<'a>(
        &'a self,
        t: &'a Tenant,
        k: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(fated(None, self.below.history(t, k, limit, after)))
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.below.prune_history(tenant, key, keep)
    }
}

impl BlobStore for Double {
    fn capabilities(&self) -> BlobCapabilities {
        BlobStore::capabilities(&self.below)
    }

    fn begin<'a>(&'a self, t: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            let writer = fated(None, self.below.begin(t)).await?;
            Ok(Box::new(Pausing(writer)) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(&'a self, t: &'a Tenant, d: &'a BlobKey, r: Option<Range<u64>>) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(fated(None, BlobStore::get(&self.below, t, d, r)))
    }

    fn head<'a>(&'a self, t: &'a Tenant, d: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(fated(None, self.below.head(t, d)))
    }

    fn delete<'a>(&'a self, t: &'a Tenant, d: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(fated(None, self.below.delete(t, d)))
    }

    fn list<'a>(
        &'a self,
        t: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(fated(None, self.below.list(t, limit, after)))
    }

    fn url<'a>(&'a self, t: &'a Tenant, d: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(fated(None, self.below.url(t, d, kind)))
    }
}

struct Pausing(Box<dyn BlobWriter>);

impl BlobWriter for Pausing {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(fated(None, self.0.write(chunk)))
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(fated(None, self.0.commit(blob, generation)))
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(fated(None, self.0.abort()))
    }
}

impl Ledger for Double {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, t: &'a Tenant, k: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(fated(None, Ledger::get(&self.below, t, k)))
    }

    fn apply<'a>(&'a self, t: &'a Tenant, changes: Vec<Change>) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        let fate = self.puts.lock().unwrap().pop();
        Box::pin(async move {
            let apply = async { Ledger::apply(&self.below, t, changes).await.map_err(|refused| refused.error) };
            fated(fate, apply).await.map_err(CommitError::from)
        })
    }

    fn scan<'a>(
        &'a self,
        t: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(fated(None, self.below.scan(t, prefix, limit, after)))
    }
}
