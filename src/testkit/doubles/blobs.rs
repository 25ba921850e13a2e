//! A faulty blob store.

use super::Faulty;
use super::fault_schedule::{CallOutcome, FaultSchedule, pause, throttled, unavailable, unknown};
use crate::store::{
    BlobCapabilities, BlobInfo, BlobKey, BlobRead, BlobRef, BlobStore, BlobWriter, BoxFuture, ByteStream, Generation,
    Page, PageToken, PutOutcome, Result, Tenant, UrlKind,
};
use bytes::Bytes;
use futures_core::Stream;
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use url::Url;

impl<S: BlobStore + ?Sized> BlobStore for Faulty<S> {
    fn capabilities(&self) -> BlobCapabilities {
        self.below.capabilities()
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            let below = self.read_by(self.below.begin(tenant)).await?;
            Ok(Box::new(Writer { dice: Arc::clone(&self.dice), below }) as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(async move {
            let plan = self.dice.next();
            self.dice.catch_up().await;
            pause(plan.before).await;
            let read = match plan.fate {
                CallOutcome::Works | CallOutcome::Twice => self.below.get(tenant, key, range).await,
                CallOutcome::Torn => self.below.get(tenant, key, range).await.map(torn),
                CallOutcome::Throttled => Err(throttled()),
                CallOutcome::Unavailable | CallOutcome::Lost | CallOutcome::Dropped | CallOutcome::Late => {
                    Err(unavailable())
                }
            };
            pause(plan.after).await;
            read
        })
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(self.read_by(self.below.head(tenant, key)))
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let plan = self.dice.next();
            self.dice.catch_up().await;
            pause(plan.before).await;
            let outcome = match plan.fate {
                CallOutcome::Works | CallOutcome::Torn => self.below.delete(tenant, key).await,
                CallOutcome::Twice => {
                    self.below.delete(tenant, key).await?;
                    self.below.delete(tenant, key).await
                }
                CallOutcome::Unavailable => Err(unavailable()),
                CallOutcome::Throttled => Err(throttled()),
                CallOutcome::Lost => self.below.delete(tenant, key).await.and_then(|()| Err(unknown())),
                CallOutcome::Dropped => Err(unknown()),
                CallOutcome::Late => {
                    let (below, tenant, key) = (Arc::clone(&self.below), tenant.clone(), *key);
                    self.dice.put_off(Box::pin(async move { drop(below.delete(&tenant, &key).await) }));
                    Err(unknown())
                }
            };
            pause(plan.after).await;
            outcome
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(self.read_by(self.below.list(tenant, limit, after)))
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        Box::pin(self.read_by(self.below.url(tenant, key, kind)))
    }
}

struct Writer {
    dice: Arc<FaultSchedule>,
    below: Box<dyn BlobWriter>,
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let plan = self.dice.next();
            pause(plan.before).await;
            let written = match plan.fate {
                CallOutcome::Works | CallOutcome::Twice | CallOutcome::Late => self.below.write(chunk).await,
                CallOutcome::Torn => {
                    let half = chunk.slice(..chunk.len() / 2);
                    self.below.write(half).await.and_then(|()| Err(unavailable()))
                }
                CallOutcome::Throttled => Err(throttled()),
                CallOutcome::Unavailable | CallOutcome::Lost | CallOutcome::Dropped => Err(unavailable()),
            };
            pause(plan.after).await;
            written
        })
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move {
            let plan = self.dice.next();
            pause(plan.before).await;
            let outcome = match plan.fate {
                CallOutcome::Works | CallOutcome::Torn | CallOutcome::Twice => {
                    self.below.commit(blob, generation).await
                }
                CallOutcome::Unavailable => self.below.abort().await.and_then(|()| Err(unavailable())),
                CallOutcome::Throttled => self.below.abort().await.and_then(|()| Err(throttled())),
                CallOutcome::Lost => self.below.commit(blob, generation).await.and_then(|_| Err(unknown())),
                CallOutcome::Dropped => Err(unknown()),
                CallOutcome::Late => {
                    let commit = self.below.commit(blob, generation);
                    self.dice.put_off(Box::pin(async move { drop(commit.await) }));
                    Err(unknown())
                }
            };
            pause(plan.after).await;
            outcome
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.below.abort()
    }
}

/// Returns a read whose stream fails after half of its bytes.
fn torn(read: BlobRead) -> BlobRead {
    let left = (read.range.end - read.range.start) / 2;
    BlobRead { body: Box::pin(Torn { below: Some(read.body), left }), ..read }
}

struct Torn {
    /// The inner stream; `None` once it has failed.
    below: Option<ByteStream>,
    left: u64,
}

impl Stream for Torn {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(below) = &mut self.below else { return Poll::Ready(None) };
        let chunk = ready!(below.as_mut().poll_next(cx));
        let length = match &chunk {
            Some(Ok(chunk)) => chunk.len() as u64,
            _ => 0,
        };
        match (chunk, self.left.checked_sub(length)) {
            (Some(Ok(chunk)), Some(left)) if left > 0 => {
                self.left = left;
                Poll::Ready(Some(Ok(chunk)))
            }
            (Some(Err(error)), _) => Poll::Ready(Some(Err(error))),
            _ => {
                self.below = None;
                Poll::Ready(Some(Err(unavailable())))
            }
        }
    }
}
