//! Removing expired records and references.

use super::entries::{Entries, Kept, OPEN, RELEASES, REST, Seen, StepContext, unreadable};
use super::ledger_session::{LedgerSession, Written};
use super::lifecycle::{Ending, PAGE};
use super::signed;
use super::update_service::UpdateService;
use crate::manifest::IngestId;
use crate::store::{BlobStore, LEDGER_MAX_CHANGES, Ledger, ResourceStore, Result, Sha256, StoreError, Tenant};
use crate::update::ingest::{self, Effect, Ingest, Input, State};
use crate::update::release::{self, Release};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The result of an [`expiry`](UpdateService::expire).
///
/// ```
/// use fhir_devices::service::Expired;
/// assert_eq!(Expired::default().records, 0);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Expired {
    /// The number of references of withdrawn updates that were removed from their components.
    pub references: u64,
    /// The number of removed records of ended uploads, each with its idempotency key.
    pub records: u64,
    /// The uploads that could not be cleaned up, and why. The next call tries them again.
    pub failed: Vec<(IngestId, StoreError)>,
}

/// A record to be removed, and the entry that schedules the removal.
type Ended = (Seen<Ingest>, Seen<Bytes>);

/// Number of records removed in one write: of the changes that every ledger accepts, one is the end of the audit chain,
/// and each upload needs five.
const AT_ONCE: usize = (LEDGER_MAX_CHANGES - 1) / 5;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Removes data whose retention has ended: the references of [withdrawn](Self::with_withdrawn_retention) updates,
    /// and the records of uploads that [ended](Self::with_ended_retention) or were
    /// [aborted](Self::with_aborted_retention), with their idempotency keys. It reads only data that is due, and is
    /// safe at any time and concurrently.
    ///
    /// The audit chain keeps its records, and gets a record for each removal.
    ///
    /// # Errors
    /// As [`Ledger::scan`]. An error with one upload is in the result.
    pub async fn expire(&self, tenant: &Tenant) -> Result<Expired> {
        let session = self.session(tenant);
        let (mut expired, mut ended, mut after) = (Expired::default(), Vec::new(), None);
        loop {
            let page = session.due(PAGE, after.as_ref()).await?;
            for (id, due) in page.items {
                match self.expire_one(&session, id, due, &mut expired).await {
                    Ok(Some(one)) => ended.push(one),
                    Ok(None) => {}
                    Err(error) => expired.failed.push((id, error)),
                }
                if ended.len() >= AT_ONCE {
                    self.forget(&session, std::mem::take(&mut ended), &mut expired).await;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.forget(&session, ended, &mut expired).await;
        Ok(expired)
    }

    /// Removes the reference of a withdrawn update; returns a record that is to be removed.
    async fn expire_one(
        &self,
        session: &LedgerSession<'_, L>,
        id: IngestId,
        due: Seen<Bytes>,
        expired: &mut Expired,
    ) -> Result<Option<Ended>> {
        let seen = session.ingest(id).await?;
        if due.value == Kept::CLOSED {
            let closed = seen.filter(|seen| matches!(seen.value.state, State::Closed { .. }));
            if let Some(closed) = closed {
                return Ok(Some((closed, due)));
            }
        } else if let Some(mut seen) = seen {
            let performed = ingest::step(&seen.value, &Input::RetentionEnded, session.now());
            if let Ok(ingest::Step::Perform(Effect::DropReference { component })) = performed {
                let (there, wrote) = self.end_reference(session, id, &component, Ending::Dropped).await?;
                let step_context = StepContext { wrote, ..StepContext::default() };
                session.step_with_context(&mut seen, &Input::ReferenceDropped { component }, step_context).await?.ok();
                expired.references += u64::from(there);
            }
        }
        // The reason for the entry is gone.
        let mut entries = Entries::default();
        entries.remove(&due);
        session.write(entries).await?;
        Ok(None)
    }

    /// Removes records in one write; one by one where that fails.
    async fn forget(&self, session: &LedgerSession<'_, L>, ended: Vec<Ended>, expired: &mut Expired) {
        if ended.is_empty() {
            return;
        }
        match Self::forget_all(session, &ended).await {
            Ok(true) => expired.records += ended.len() as u64,
            Ok(false) if ended.len() == 1 => {}
            Err(error) if ended.len() == 1 => {
                expired.failed.extend(ended.first().map(|(seen, _)| (seen.value.id, error)));
            }
            Ok(false) | Err(_) => {
                for one in ended {
                    let id = one.0.value.id;
                    match Self::forget_all(session, std::slice::from_ref(&one)).await {
                        Ok(done) => expired.records += u64::from(done),
                        Err(error) => expired.failed.push((id, error)),
                    }
                }
            }
        }
    }

    async fn forget_all(session: &LedgerSession<'_, L>, ended: &[Ended]) -> Result<bool> {
        let mut entries = Entries::default();
        for (seen, due) in ended {
            let Some(said) = seen.value.forget(session.now()) else { return Ok(false) };
            entries.forget(seen, said);
            entries.remove(due);
            if let Some(key) = &seen.value.key {
                let pointer = session.pointer_at(key).await?;
                // The key may stand for a later upload by now.
                if pointer.value == Some(seen.value.id) {
                    entries.remove(&pointer);
                }
            }
            if seen.value.signed.is_some() {
                entries.remove(&session.read(signed::signatures_place(seen.value.id)?).await?);
            }
        }
        Ok(session.write(entries).await? != Written::Not)
    }

    /// Removes the manifests to which no upload and no release refers any more: their uploads [expired](Self::expire),
    /// and their releases were withdrawn. It reads every upload and release if there is any manifest, and is safe at
    /// any time. Returns the number removed.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn collect_manifests(&self, tenant: &Tenant) -> Result<u64> {
        let session = self.session(tenant);
        // Manifests are read first: an upload that arrives later with one of them writes it again, with another
        // revision.
        let (mut manifests, mut after) = (BTreeMap::new(), None);
        loop {
            let page = session.records(signed::MANIFESTS, PAGE, after.as_ref()).await?;
            for Seen { key, revision, .. } in page.items {
                let digest = key.as_str().rsplit('/').next().and_then(|name| name.parse::<Sha256>().ok());
                manifests.extend(digest.map(|digest| (digest, Seen { key, revision, value: () })));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        // An upload may resume or come to rest while the others are read.
        for shelf in [OPEN, REST, OPEN] {
            let mut after = None;
            while !manifests.is_empty() {
                let page = session.records_in(shelf, PAGE, after.as_ref()).await?;
                for (_, seen) in page.items {
                    if let Some(manifest) = seen?.value.intent.manifest {
                        manifests.remove(&manifest);
                    }
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        // Releases are read after the uploads: a release is made from an existing upload.
        let mut after = None;
        while !manifests.is_empty() {
            let page = session.records(RELEASES, PAGE, after.as_ref()).await?;
            for Seen { key, value, .. } in page.items {
                let release = Release::from_bytes(&value).map_err(|error| unreadable(&key, error))?;
                if let Some(manifest) = release.request.manifest.filter(|_| release.state != release::State::Withdrawn)
                {
                    manifests.remove(&manifest);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut removed = 0;
        for unused in manifests.into_values() {
            let unused = Seen { key: unused.key, revision: unused.revision, value: None::<Bytes> };
            removed += u64::from(session.write_plain(&unused, None).await?);
        }
        Ok(removed)
    }
}
