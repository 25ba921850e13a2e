//! The simulated network between a process and the stores; rules may be removed.

use super::choices::Choices;
use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use fhir_devices::testkit::Faulty;
use std::collections::HashMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use url::Url;

/// A removed rule that the drivers rely on, or keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A component is written in whatever version (R3).
    NoIfMatch,
    /// The component is not written before the hold is released (R5).
    NoLastWrite,
    /// The record of an upload is not read again after the component (R5).
    NoReread,
    /// A deletion hits the bytes of every generation (R7).
    KeysReused,
    /// A failing call deletes the bytes that it has seen (R6).
    CleanUp,
    /// Bytes are reported as stored that are not (R2).
    EarlyAnswer,
    /// The ledger writes whatever the revision of a record.
    BlindLedger,
    /// The ledger writes the records one after the other.
    TornLedger,
    /// The ledger stores the states and loses their audit records.
    NoRecords,
    /// A full copy of some bytes is not moved aside when another is begun.
    NotAside,
    /// Interrupted work is not resumed.
    NoRecovery,
    /// Unneeded bytes are not collected.
    NoCollection,
    /// Bytes unknown to the ledger are not swept (R9).
    NoSweep,
    /// Components are not reconciled with the ledger.
    NoReconciliation,
    /// Every signature is accepted.
    NoVerification,
    /// The slots of ended deployments are not verified.
    NoEndedSlots,
}

pub(crate) struct Net {
    below: Arc<Faulty<Memory>>,
    choices: Choices,
    mutant: Option<Mutant>,
    /// Whether there was a call since the last check.
    touched: AtomicBool,
    /// Whether the ledger was written, or may have been, since the last check.
    wrote: AtomicBool,
    /// The last read of each record of an upload.
    known: Mutex<HashMap<LedgerKey, Option<LedgerRecord>>>,
}

impl Net {
    pub(crate) fn new(below: Arc<Faulty<Memory>>, choices: Choices, mutant: Option<Mutant>) -> Self {
        Self {
            below,
            choices,
            mutant,
            touched: AtomicBool::new(true),
            wrote: AtomicBool::new(true),
            known: Mutex::default(),
        }
    }

    pub(crate) fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn wrote(&self) -> bool {
        self.wrote.swap(false, Ordering::Relaxed)
    }

    async fn turn(&self) {
        turn().await;
        self.touched.store(true, Ordering::Relaxed);
    }

    fn real(&self, key: &BlobKey) -> BlobKey {
        real(self.mutant, key)
    }
}

/// Returns the key under which bytes are stored.
pub(crate) fn real(mutant: Option<Mutant>, key: &BlobKey) -> BlobKey {
    match mutant {
        Some(Mutant::KeysReused) if StoreId::of_marker(key).is_none() => BlobKey { generation: Generation(1), ..*key },
        _ => *key,
    }
}

/// Is ready at the second poll.
pub(crate) async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn references(body: Option<&Bytes>) -> usize {
    let text = body.map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
    text.matches("available-update").count()
}

impl ResourceStore for Net {
    fn capabilities(&self) -> Capabilities {
        ResourceStore::capabilities(&*self.below)
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            self.turn().await;
            self.below.read(tenant, key).await
        })
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            self.turn().await;
            self.below.vread(tenant, key, version).await
        })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        mut writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            self.turn().await;
            for write in &mut writes {
                if self.mutant == Some(Mutant::NoIfMatch) && matches!(write.precondition, Precondition::Version(_)) {
                    write.precondition = Precondition::Exists;
                }
                if self.mutant == Some(Mutant::NoLastWrite)
                    && let Ok(now) = self.below.below().read(tenant, &write.key).await
                    && write.body.is_some()
                    && write.write_id.is_none()
                    && references(write.body.as_ref()) <= references(now.body.as_ref())
                    && !foreign(write.body.as_ref(), now.body.as_ref())
                {
                    return Ok(vec![now]);
                }
            }
            self.below.commit(tenant, writes).await
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            self.turn().await;
            self.below.search(tenant, search).await
        })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            self.turn().await;
            self.below.history(tenant, key, limit, after).await
        })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.below.prune_history(tenant, key, keep)
    }
}

/// Returns whether a body has more notes of the other writer than another.
fn foreign(body: Option<&Bytes>, before: Option<&Bytes>) -> bool {
    let notes = |body: Option<&Bytes>| {
        body.map(|body| String::from_utf8_lossy(body).matches("acme.example/note").count()).unwrap_or_default()
    };
    notes(body) > notes(before)
}

impl Ledger for Net {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move {
            self.turn().await;
            let upload = key.as_str().starts_with("ingest/open") || key.as_str().starts_with("ingest/rest");
            if self.mutant != Some(Mutant::NoReread) || !upload {
                return Ledger::get(&*self.below, tenant, key).await;
            }
            let known = self.known.lock().unwrap().get(key).cloned();
            if let Some(known) = known
                && self.choices.pick(2) == 0
            {
                return Ok(known);
            }
            let read = Ledger::get(&*self.below, tenant, key).await;
            if let Ok(read) = &read {
                self.known.lock().unwrap().insert(key.clone(), read.clone());
            }
            read
        })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        mut changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            self.turn().await;
            self.wrote.store(true, Ordering::Relaxed);
            let memory = self.below.below();
            match self.mutant {
                Some(Mutant::BlindLedger) => {
                    for change in &mut changes {
                        let now = Ledger::get(&**memory, tenant, &change.key).await?;
                        change.expected = now.map(|record| record.revision);
                    }
                    changes.retain(|change| change.expected.is_some() || change.value.is_some());
                }
                Some(Mutant::NoRecords) => changes.retain(|change| !change.key.as_str().starts_with("audit/")),
                Some(Mutant::NotAside) => {
                    let is_aside =
                        |key: &LedgerKey| key.as_str().starts_with("blob/") && key.as_str().matches('/').count() == 2;
                    changes.retain(|change| change.expected.is_some() || !is_aside(&change.key));
                }
                Some(Mutant::TornLedger) => {
                    let mut made = Vec::new();
                    for change in changes {
                        made.extend(memory.apply(tenant, vec![change]).await?);
                        turn().await;
                        self.wrote.store(true, Ordering::Relaxed);
                    }
                    return Ok(made);
                }
                _ => {}
            }
            self.below.apply(tenant, changes).await
        })
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(async move {
            self.turn().await;
            if self.mutant == Some(Mutant::NoEndedSlots) && prefix.as_str().starts_with("ro-cleared/") {
                return Ok(Page { items: Vec::new(), next: None });
            }
            self.below.scan(tenant, prefix, limit, after).await
        })
    }
}

impl BlobStore for Net {
    fn capabilities(&self) -> BlobCapabilities {
        BlobStore::capabilities(&*self.below)
    }

    fn begin<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Box<dyn BlobWriter>>> {
        Box::pin(async move {
            self.turn().await;
            let below = self.below.begin(tenant).await?;
            let (memory, tenant) = (Arc::clone(self.below.below()), tenant.clone());
            let (choices, mutant) = (self.choices.clone(), self.mutant);
            Ok(Box::new(Writer { below, memory, tenant, choices, mutant, hasher: BlobHasher::new() })
                as Box<dyn BlobWriter>)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a BlobKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<BlobRead>> {
        Box::pin(async move {
            self.turn().await;
            BlobStore::get(&*self.below, tenant, &self.real(key), range).await
        })
    }

    fn head<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<BlobRef>> {
        Box::pin(async move {
            self.turn().await;
            self.below.head(tenant, &self.real(key)).await
        })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.turn().await;
            self.below.delete(tenant, &self.real(key)).await
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a Tenant,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<BlobInfo>>> {
        Box::pin(async move {
            self.turn().await;
            let mut page = self.below.list(tenant, limit, after).await?;
            if self.mutant == Some(Mutant::KeysReused) {
                page.items.retain(|info| StoreId::of_marker(&info.key).is_some());
            }
            Ok(page)
        })
    }

    fn url<'a>(&'a self, tenant: &'a Tenant, key: &'a BlobKey, kind: UrlKind) -> BoxFuture<'a, Result<Url>> {
        self.below.url(tenant, key, kind)
    }
}

struct Writer {
    below: Box<dyn BlobWriter>,
    memory: Arc<Memory>,
    tenant: Tenant,
    choices: Choices,
    mutant: Option<Mutant>,
    hasher: BlobHasher,
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            turn().await;
            if self.mutant == Some(Mutant::CleanUp) {
                self.hasher.update(&chunk);
            }
            self.below.write(chunk).await
        })
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(async move {
            turn().await;
            if self.mutant == Some(Mutant::EarlyAnswer) && self.choices.pick(2) == 0 {
                return Ok(PutOutcome::Stored);
            }
            let key = real(self.mutant, &blob.key(generation));
            self.below.commit(blob, key.generation).await
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            turn().await;
            if self.mutant == Some(Mutant::CleanUp) {
                let seen = self.hasher.finish().digest;
                let page = self.memory.list(&self.tenant, NonZeroU32::MAX, None).await?;
                for info in page.items.iter().filter(|info| info.key.digest == seen) {
                    self.memory.delete(&self.tenant, &info.key).await?;
                }
            }
            self.below.abort().await
        })
    }
}
