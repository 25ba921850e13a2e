//! Writing blobs.

use super::staging::Upload;
use super::{Limits, Place, fault};
use crate::store::{
    Applied, BlobHasher, BlobRef, BlobWriter, BoxFuture, Generation, PutOutcome, Result, StoreError, Tenant,
};
use ::object_store::path::Path;
use ::object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Number of tries of a request that the engine refuses because of another one for the same object.
const TRIES: u32 = 5;

/// Number of checks whether a copy has finished: about a minute in all.
const LOOKS: u32 = 12;

pub(super) struct Writer {
    place: Place,
    tenant: Tenant,
    limits: Limits,
    hasher: Option<BlobHasher>,
    size: u64,
    /// The bytes that are not sent yet.
    held: VecDeque<Bytes>,
    held_size: usize,
    upload: Option<Upload>,
    /// Whether a write failed, or was dropped.
    broken: bool,
}

impl Writer {
    pub(super) fn new(place: Place, tenant: Tenant, limits: Limits) -> Self {
        let hasher = limits.verifies_digest.then(BlobHasher::new);
        let (held, upload) = (VecDeque::new(), None);
        Self { place, tenant, limits, hasher, size: 0, held, held_size: 0, upload, broken: false }
    }

    async fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.check()?;
        self.broken = true;
        self.size = self.size.saturating_add(chunk.len() as u64);
        if self.size > self.limits.max_size {
            self.held.clear();
            self.upload = None;
            return Err(StoreError::too_large(self.limits.max_size));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if !chunk.is_empty() {
            self.held_size += chunk.len();
            self.held.push_back(chunk);
        }
        // The last part is kept back: it may be the whole file.
        while self.held_size > self.limits.part_size {
            let part = self.cut(self.limits.part_size);
            self.send(part).await?;
        }
        self.broken = false;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.size > self.limits.max_size {
            return Err(StoreError::too_large(self.limits.max_size));
        }
        if self.broken {
            return Err(StoreError::invalid("a writer that failed can only be aborted"));
        }
        Ok(())
    }

    /// Removes and returns the first `size` held bytes.
    fn cut(&mut self, size: usize) -> PutPayload {
        let mut left = size.min(self.held_size);
        let mut part = Vec::new();
        self.held_size -= left;
        while let Some(mut chunk) = self.held.pop_front() {
            if chunk.len() > left {
                let taken = chunk.split_to(left);
                part.extend((!taken.is_empty()).then_some(taken));
                self.held.push_front(chunk);
                break;
            }
            left -= chunk.len();
            part.push(chunk);
        }
        part.into_iter().collect()
    }

    async fn send(&mut self, part: PutPayload) -> Result<()> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(Upload::begin(&self.place, &self.tenant).await?),
        };
        upload.send(part).await
    }

    async fn finish(mut self, blob: BlobRef, generation: Generation) -> Result<PutOutcome> {
        let found = match self.hasher.take() {
            Some(hasher) => hasher.finish(),
            None => BlobRef { digest: blob.digest, size: self.size },
        };
        if let Err(error) = self.check().and_then(|()| blob.verify_written(found)) {
            // The caller needs the refusal.
            let _ = self.give_up().await;
            return Err(error);
        }
        let to = Target { path: self.place.blob(&self.tenant, &blob.key(generation)), size: blob.size };
        let rest = self.cut(self.held_size);
        let Some(mut upload) = self.upload.take() else {
            return self.place.put(&to, rest).await;
        };
        if rest.content_length() > 0 {
            upload.send(rest).await?;
        }
        let staged = upload.complete().await?;
        let outcome = self.place.publish(&staged, &to).await;
        // The source is kept while the copy may still be in progress.
        if outcome.as_ref().err().is_none_or(|error| error.applied() == Applied::No) {
            let _ = self.place.delete(&staged).await;
        }
        outcome
    }

    async fn give_up(&mut self) -> Result<()> {
        match self.upload.take() {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}

/// The path and size of a blob to write.
struct Target {
    path: Path,
    size: u64,
}

impl Place {
    /// Writes a small blob.
    async fn put(&self, to: &Target, payload: PutPayload) -> Result<PutOutcome> {
        for round in 0..TRIES {
            match self.store.put_opts(&to.path, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(PutOutcome::Stored),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                    if let Some(outcome) = self.present(to).await? {
                        return Ok(outcome);
                    }
                }
                Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {
                    return match self.present(to).await? {
                        Some(outcome) => Ok(outcome),
                        None => self.resolve(to, self.store.put(&to.path, payload).await.map(drop)).await,
                    };
                }
                Err(error) => return self.resolve(to, Err(error)).await,
            }
            // Another writer caused the refusal, and then did not write.
            pause(round).await;
        }
        Err(fault::unavailable("others are writing the same object"))
    }

    /// Copies a staged object to its place.
    async fn publish(&self, staged: &Path, to: &Target) -> Result<PutOutcome> {
        for round in 0..TRIES {
            match self.store.copy_if_not_exists(staged, &to.path).await {
                Ok(()) => return self.arrived(to).await,
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                    if let Some(outcome) = self.present(to).await? {
                        return Ok(outcome);
                    }
                }
                Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {
                    if let Some(outcome) = self.present(to).await? {
                        return Ok(outcome);
                    }
                    let copied = self.store.copy(staged, &to.path).await;
                    return match self.resolve(to, copied).await? {
                        PutOutcome::Stored => self.arrived(to).await,
                        PutOutcome::AlreadyPresent => Ok(PutOutcome::AlreadyPresent),
                    };
                }
                Err(error) => return self.resolve(to, Err(error)).await,
            }
            pause(round).await;
        }
        Err(fault::unavailable("others are writing the same object"))
    }

    /// Returns the outcome where the blob exists already.
    async fn present(&self, to: &Target) -> Result<Option<PutOutcome>> {
        match self.size(&to.path).await.map_err(|error| StoreError::indeterminate(Some(error.into())))? {
            None => Ok(None),
            Some(size) if size == to.size => Ok(Some(PutOutcome::AlreadyPresent)),
            Some(_) => self.arrived(to).await.map(|_| Some(PutOutcome::AlreadyPresent)),
        }
    }

    /// Waits for a copy: Azure may answer before it has finished.
    async fn arrived(&self, to: &Target) -> Result<PutOutcome> {
        for round in 0..LOOKS {
            match self.size(&to.path).await {
                Ok(Some(size)) if size == to.size => return Ok(PutOutcome::Stored),
                Ok(_) => pause(round).await,
                Err(error) => return Err(StoreError::indeterminate(Some(error.into()))),
            }
        }
        Err(StoreError::indeterminate(Some("the copy has not come to its end".into())))
    }

    /// Returns the outcome of a failed write: success, where the object exists.
    async fn resolve(&self, to: &Target, written: ::object_store::Result<()>) -> Result<PutOutcome> {
        let Err(error) = written else { return Ok(PutOutcome::Stored) };
        match self.size(&to.path).await {
            Ok(Some(size)) if size == to.size => Ok(PutOutcome::Stored),
            _ => Err(fault::of_commit(error)),
        }
    }
}

/// Waits, longer each time. Without a runtime there is no server to wait for either.
async fn pause(round: u32) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::time::sleep(Duration::from_millis(20 << round.min(10))).await;
    }
}

impl BlobWriter for Writer {
    fn write<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.take(chunk))
    }

    fn commit(self: Box<Self>, blob: BlobRef, generation: Generation) -> BoxFuture<'static, Result<PutOutcome>> {
        Box::pin(self.finish(blob, generation))
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.give_up().await })
    }
}
