//! Staging of large files.

use super::{Place, fault, list};
use crate::store::{Result, Tenant, random_name};
use ::object_store::path::Path;
use ::object_store::{MultipartUpload, PutPayload, UploadPart};
use std::future::poll_fn;
use std::task::{Context, Poll};
use time::OffsetDateTime;

/// Number of concurrent part uploads.
const PARALLEL: usize = 4;

pub(super) async fn sweep(place: &Place, tenant: &Tenant, before: OffsetDateTime) -> Result<usize> {
    let mut objects = place.store.list(Some(&place.staging(tenant)));
    let mut old = Vec::new();
    while let Some(object) = list::next(&mut objects).await {
        let object = object.map_err(fault::of_read)?;
        if object.last_modified.timestamp_millis() < before.unix_timestamp().saturating_mul(1_000) {
            old.push(object.location);
        }
    }
    for path in &old {
        place.delete(path).await.map_err(fault::of_read)?;
    }
    Ok(old.len())
}

/// An upload in parts under a unique name. Dropping it aborts the upload, if there is a runtime to do so.
pub(super) struct Upload {
    pub(super) path: Path,
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: Vec<UploadPart>,
}

impl Upload {
    pub(super) async fn begin(place: &Place, tenant: &Tenant) -> Result<Self> {
        let path = place.staging(tenant).join(random_name()?);
        let begun = place.store.put_multipart_opts(&path, Default::default()).await;
        Ok(Self { path, upload: Some(begun.map_err(fault::of_read)?), under_way: Vec::new() })
    }

    /// Sends a part, and waits until the next one can be sent.
    pub(super) async fn send(&mut self, part: PutPayload) -> Result<()> {
        self.under_way.extend(self.upload.as_mut().map(|upload| upload.put_part(part)));
        self.wait(PARALLEL - 1).await
    }

    /// Completes the upload: the object then exists under its staging name.
    pub(super) async fn complete(mut self) -> Result<Path> {
        self.wait(0).await?;
        if let Some(upload) = &mut self.upload {
            // The name is unknown to others, so the outcome of an earlier try does not matter.
            upload.complete().await.map_err(fault::of_read)?;
        }
        self.upload = None;
        Ok(self.path.clone())
    }

    pub(super) async fn abort(mut self) -> Result<()> {
        self.under_way.clear();
        match self.upload.take() {
            Some(mut upload) => upload.abort().await.map_err(fault::of_read),
            None => Ok(()),
        }
    }

    async fn wait(&mut self, most: usize) -> Result<()> {
        poll_fn(|cx| self.poll(cx, most)).await.map_err(fault::of_read)
    }

    fn poll(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<::object_store::Result<()>> {
        let mut failed = None;
        self.under_way.retain_mut(|part| match part.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if self.under_way.len() <= most => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), runtime) {
            // Best effort: the parts are not an object, and the engine's own rule deletes them in the end.
            runtime.spawn(async move { upload.abort().await });
        }
    }
}
