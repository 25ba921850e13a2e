//! Reading blobs.

use super::{Place, fault};
use crate::store::{BlobKey, BlobRead, BlobRef, Result, StoreError, Tenant};
use ::object_store::{GetOptions, GetRange};
use bytes::Bytes;
use futures_core::Stream;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(super) async fn head(place: &Place, tenant: &Tenant, key: &BlobKey) -> Result<BlobRef> {
    let size = place.size(&place.blob(tenant, key)).await.map_err(fault::of_read)?;
    Ok(BlobRef { digest: key.digest, size: size.ok_or(StoreError::not_found())? })
}

pub(super) async fn get(place: &Place, tenant: &Tenant, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead> {
    let path = place.blob(tenant, key);
    if range.as_ref().is_some_and(|range| range.start >= range.end) {
        head(place, tenant, key).await?.clip(range.clone())?;
    }
    // Servers use signed numbers: an end beyond their range means no end.
    let asked = range.clone().map(|range| match i64::try_from(range.end) {
        Ok(_) => GetRange::Bounded(range),
        Err(_) => GetRange::Offset(range.start),
    });
    let options = GetOptions { range: asked, ..GetOptions::default() };
    let found = match place.store.get_opts(&path, options).await {
        Ok(found) => found,
        Err(error @ ::object_store::Error::NotFound { .. }) => return Err(fault::of_read(error)),
        Err(error) => {
            // The engines report a range outside the blob differently.
            if range.is_some() {
                head(place, tenant, key).await?.clip(range)?;
            }
            return Err(fault::of_read(error));
        }
    };
    let blob = BlobRef { digest: key.digest, size: found.meta.size };
    let range = blob.clip(range)?;
    if found.range != range {
        let what = format!("bytes {:?} came where {range:?} were asked for", found.range);
        return Err(StoreError::corrupt(what));
    }
    let left = range.end - range.start;
    Ok(BlobRead { blob, range, body: Box::pin(Whole { inner: Some(found.into_stream()), left }) })
}

/// A stream of known length, which never ends short.
struct Whole<S> {
    inner: Option<S>,
    left: u64,
}

impl<S: Stream<Item = ::object_store::Result<Bytes>> + Unpin> Stream for Whole<S> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let item = match ready!(Pin::new(inner).poll_next(cx)) {
            Some(Ok(chunk)) => match self.left.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                None => Some(Err(StoreError::corrupt("more bytes came than were asked for"))),
            },
            Some(Err(error)) => Some(Err(fault::of_read(error))),
            None if self.left > 0 => Some(Err(fault::unavailable("the bytes ended too early"))),
            None => None,
        };
        self.inner = None;
        Poll::Ready(item)
    }
}
