//! The uploads of a tenant, newest first.

use super::entries::{OPEN, REST};
use super::lifecycle::PAGE;
use super::update_service::UpdateService;
use crate::manifest::IngestId;
use crate::store::{BlobStore, Ledger, ResourceStore, Result, Tenant};
use crate::update::ingest::Ingest;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use time::OffsetDateTime;

/// The position of an upload in the list of its tenant, newest first.
pub(crate) type UploadPlace = (OffsetDateTime, IngestId);

fn place(ingest: &Ingest) -> UploadPlace {
    let opened = ingest.opened.as_ref().and_then(crate::primitive::Instant::to_offset_date_time);
    (opened.unwrap_or(OffsetDateTime::UNIX_EPOCH), ingest.id)
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the uploads of a tenant after a position, newest first, and the position after which there are more.
    /// Every record is read for each page, but no more than a page is held in memory.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`](crate::store::StoreError::Corrupt) where a record cannot be parsed; as [`Ledger::scan`].
    pub(crate) async fn uploads(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<UploadPlace>,
    ) -> Result<(Vec<Ingest>, Option<UploadPlace>)> {
        self.uploads_where(tenant, limit, after, |_| true).await
    }

    /// Returns the uploads that match a filter, as [`uploads`](Self::uploads) does.
    ///
    /// # Errors
    /// As [`uploads`](Self::uploads).
    pub(crate) async fn uploads_where(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<UploadPlace>,
        is_wanted: impl Fn(&Ingest) -> bool,
    ) -> Result<(Vec<Ingest>, Option<UploadPlace>)> {
        let session = self.session(tenant);
        let most = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let mut newest: BTreeMap<Reverse<UploadPlace>, Ingest> = BTreeMap::new();
        let mut more = false;
        for folder in [OPEN, REST] {
            let mut token = None;
            loop {
                let page = session.records_in(folder, PAGE, token.as_ref()).await?;
                for (_, seen) in page.items {
                    let ingest = seen?.value;
                    let place = place(&ingest);
                    if after.is_some_and(|after| place >= after) || !is_wanted(&ingest) {
                        continue;
                    }
                    newest.insert(Reverse(place), ingest);
                    if newest.len() > most {
                        newest.pop_last();
                        more = true;
                    }
                }
                match page.next {
                    Some(next) => token = Some(next),
                    None => break,
                }
            }
        }
        let last = newest.keys().next_back().map(|Reverse(place)| *place).filter(|_| more);
        Ok((newest.into_values().collect(), last))
    }
}
