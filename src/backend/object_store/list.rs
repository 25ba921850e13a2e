//! Listing blobs in the order of their keys.

use super::{Place, fault};
use crate::store::{BlobInfo, BlobKey, Result, Tenant};
use ::object_store::ObjectMeta;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;

/// Maximum number of blobs on a page.
const MOST: usize = 1_000;

pub(super) type Objects = Pin<Box<dyn Stream<Item = ::object_store::Result<ObjectMeta>> + Send>>;

pub(super) async fn next(objects: &mut Objects) -> Option<::object_store::Result<ObjectMeta>> {
    poll_fn(|cx| objects.as_mut().poll_next(cx)).await
}

/// Returns the blobs after `after`, and whether there are more.
pub(super) async fn page(
    place: &Place,
    tenant: &Tenant,
    limit: NonZeroU32,
    after: Option<BlobKey>,
    ordered: bool,
) -> Result<(Vec<BlobInfo>, bool)> {
    let limit = usize::try_from(limit.get()).unwrap_or(MOST).min(MOST);
    let folder = place.blobs(tenant);
    let mut objects = match &after {
        Some(after) => place.store.list_with_offset(Some(&folder), &place.blob(tenant, after)),
        None => place.store.list(Some(&folder)),
    };
    // The first blobs of the page, and one more, which shows that there are more.
    let mut first = BTreeMap::new();
    while let Some(object) = next(&mut objects).await {
        let object = object.map_err(fault::of_read)?;
        let Some(key) = key_of(&folder, &object) else { continue };
        if after.is_some_and(|after| key <= after) {
            continue;
        }
        first.insert(key, object.size);
        if first.len() > limit + 1 {
            first.pop_last();
        }
        if ordered && first.len() > limit {
            break;
        }
    }
    let more = first.len() > limit;
    let items = first.into_iter().take(limit).map(|(key, size)| BlobInfo { key, size }).collect();
    Ok((items, more))
}

/// Returns the key of an object; `None` for objects of others.
fn key_of(folder: &::object_store::path::Path, object: &ObjectMeta) -> Option<BlobKey> {
    let mut parts = object.location.prefix_match(folder)?;
    let (digest, generation) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let key = BlobKey { digest: digest.as_ref().parse().ok()?, generation: generation.as_ref().parse().ok()? };
    // A digest in capitals parses too, but is not written by this store.
    (key.digest.to_string() == digest.as_ref()).then_some(key)
}
