//! Sweeping files unknown to the ledger: quarantined, then deleted.

use super::entries::{Entries, Seen, at, unreadable};
use super::ledger_session::{LedgerSession, Written};
use super::lifecycle::PAGE;
use super::update_service::UpdateService;
use super::{IngestId, MaintenanceError};
use crate::audit::{Action, AuditDraft, StateName};
use crate::resource::DeviceComponent;
use crate::search::ResourceType;
use crate::store::{
    BlobInfo, BlobKey, BlobRef, BlobStore, Ledger, LedgerKey, Page, PageToken, ResourceStore, Result, Search, Sha256,
    StoreId, Stored as _, Tenant, TenantResources,
};
use crate::update::blob::{Entry, Sweep, sweep};
use crate::update::{available, moment};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// How long files unknown to the ledger are kept, and how many of them one sweep may delete.
///
/// ```
/// use fhir_devices::service::SweepRules;
/// use std::time::Duration;
/// let rules = SweepRules::default();
/// assert_eq!(rules.grace, Duration::from_secs(24 * 3_600));
/// assert_eq!(rules.quarantine, Duration::from_secs(7 * 24 * 3_600));
/// assert_eq!(rules.max_per_round, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepRules {
    /// The time after which an unknown file is quarantined.
    pub grace: Duration,
    /// The time in quarantine before deletion.
    pub quarantine: Duration,
    /// Maximum number of files that one sweep of a tenant deletes, and maximum number that it newly records. Where more
    /// are due, it deletes none, and [says so](Swept::over_limit): so many at once suggest that the ledger is the wrong
    /// one.
    pub max_per_round: usize,
}

impl Default for SweepRules {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        Self { grace: DAY, quarantine: DAY.saturating_mul(7), max_per_round: 100 }
    }
}

impl SweepRules {
    /// Sets how long a file is only watched.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long a file is quarantined.
    #[must_use]
    pub fn with_quarantine(mut self, quarantine: Duration) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// Sets the maximum number of files that one sweep deletes.
    #[must_use]
    pub fn with_max_per_round(mut self, files: usize) -> Self {
        self.max_per_round = files;
        self
    }
}

/// The result of a [`sweep`](UpdateService::sweep).
///
/// ```
/// use fhir_devices::service::Swept;
/// assert_eq!(Swept::default().kept, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// The number of blobs that the ledger knows.
    pub kept: u64,
    /// The number of unknown blobs that were first seen recently.
    pub watched: u64,
    /// The number of blobs in quarantine.
    pub quarantined: u64,
    /// The number of blobs that left quarantine, because the ledger knows them.
    pub readmitted: u64,
    /// The number of blobs that were due for deletion but kept, because a component refers to them.
    pub referenced: u64,
    /// The number of blobs that were deleted after their quarantine.
    pub deleted: u64,
    /// Whether more files were due, or new, than [one sweep may touch](SweepRules::max_per_round): an operator should
    /// look.
    pub over_limit: bool,
}

/// A file that the ledger does not know.
///
/// Listed by [`UpdateService::quarantine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The key of the file.
    pub key: BlobKey,
    /// The size in bytes.
    pub size: u64,
    /// When the file was first seen.
    pub first_seen: OffsetDateTime,
    /// When it was quarantined; `None` while it is only watched.
    pub since: Option<OffsetDateTime>,
    /// When it may be deleted, by the rules of this service.
    pub due: Option<OffsetDateTime>,
}

/// The record of an unknown file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Watched {
    format: u32,
    key: BlobKey,
    size: u64,
    #[serde(with = "moment")]
    first_seen: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment::optional")]
    since: Option<OffsetDateTime>,
}

const FORMAT: u32 = 1;

/// The ledger folder of these records.
const FOLDER: &str = "quarantine";

impl Watched {
    fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).unwrap_or_default()
    }

    fn read(key: &LedgerKey, value: &[u8]) -> Result<Self> {
        let read: Result<Self, _> = serde_json::from_slice(value);
        match read {
            Ok(watched) if watched.format == FORMAT => Ok(watched),
            Ok(_) => Err(unreadable(key, "its format is not known")),
            Err(error) => Err(unreadable(key, error)),
        }
    }

    fn draft(&self, action: Action, to: StateName, now: OffsetDateTime) -> AuditDraft {
        let from = self.since.is_some().then_some(StateName::Quarantined);
        let mut draft = AuditDraft::new(now, action, from, to);
        let blob = BlobRef { digest: self.key.digest, size: self.size };
        (draft.blob, draft.generation) = (Some(blob), Some(self.key.generation));
        draft
    }
}

fn after(since: OffsetDateTime, time: Duration) -> OffsetDateTime {
    since.saturating_add(time::Duration::try_from(time).unwrap_or(time::Duration::MAX))
}

/// The blobs to which the components of a tenant refer, read once on first use.
#[derive(Default)]
pub(super) struct References {
    read: Option<HashMap<Sha256, Vec<IngestId>>>,
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Looks for files unknown to the ledger: those of a late writer under a released key, and those of a ledger that
    /// was lost.
    ///
    /// # Flow
    /// A file is recorded when it is first seen. After the [grace period](SweepRules::grace) it is quarantined, which
    /// is recorded in the audit chain, and after the [quarantine](SweepRules::quarantine) it is deleted, which is
    /// recorded too. A file that the ledger knows by then leaves quarantine. A file that a component refers to is kept,
    /// whatever the ledger says. Where more files are due than [one sweep may delete](SweepRules::max_per_round), none
    /// is deleted.
    ///
    /// It is safe at any time: a key is in the ledger before its blob is written, and is never used twice.
    ///
    /// # Errors
    /// [`MaintenanceError::Mismatch`] where the blob store does not belong to the ledger: nothing is deleted then.
    /// Errors of the stores; files deleted until then stay deleted.
    pub async fn sweep(&self, tenant: &Tenant) -> Result<Swept, MaintenanceError> {
        let session = self.session(tenant);
        self.check_pairing(&session).await?;
        let mut swept = Swept::default();
        self.look_for_unknown(&session, &mut swept).await?;
        let due = self.quarantine_round(&session, &mut swept).await?;
        if due.len() > self.sweep_rules.max_per_round {
            swept.over_limit = true;
            return Ok(swept);
        }
        let mut references = References::default();
        for seen in due {
            if self.is_referred_to(&session, &mut references, &seen.value.key).await? {
                swept.referenced += 1;
            } else if self.delete_unknown(&session, &seen).await? {
                swept.deleted += 1;
                swept.quarantined = swept.quarantined.saturating_sub(1);
            }
        }
        Ok(swept)
    }

    /// Returns one page of the files unknown to the ledger, including those that are only watched, in the order of
    /// their keys.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn quarantine(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after_page: Option<&PageToken>,
    ) -> Result<Page<Quarantined>> {
        let Page { items, next } = self.session(tenant).records(FOLDER, limit, after_page).await?;
        let shown = |seen: Seen<Bytes>| {
            let Watched { key, size, first_seen, since, .. } = Watched::read(&seen.key, &seen.value)?;
            let due = since.map(|since| after(since, self.sweep_rules.quarantine));
            Ok(Quarantined { key, size, first_seen, since, due })
        };
        Ok(Page { items: items.into_iter().map(shown).collect::<Result<_>>()?, next })
    }

    /// Records the files unknown to the ledger.
    async fn look_for_unknown(&self, session: &LedgerSession<'_, L>, swept: &mut Swept) -> Result<()> {
        let (mut noted, mut after_page) = (0_usize, None);
        loop {
            let page = self.blobs.list(session.tenant(), PAGE, after_page.as_ref()).await?;
            for BlobInfo { key, size } in page.items {
                if StoreId::of_marker(&key).is_some() {
                    continue;
                }
                // The entry is read after the blob was listed: it exists before its blob does.
                if self.is_known(session, &key).await?.is_some() {
                    swept.kept += 1;
                    continue;
                }
                let seen = session.read(at(FOLDER, &key.to_string())?).await?;
                if seen.value.is_some() {
                    continue;
                }
                if noted >= self.sweep_rules.max_per_round {
                    swept.over_limit = true;
                    continue;
                }
                noted += 1;
                let new = Watched { format: FORMAT, key, size, first_seen: session.now(), since: None };
                // A faster call has recorded it too.
                session.write_plain(&seen, Some(new.to_bytes())).await?;
            }
            match page.next {
                Some(next) => after_page = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Moves each recorded file one step on, and returns those due for deletion: at most one more than allowed.
    async fn quarantine_round(&self, session: &LedgerSession<'_, L>, swept: &mut Swept) -> Result<Vec<Seen<Watched>>> {
        let (mut due, mut after_page) = (Vec::new(), None);
        let (rules, now) = (self.sweep_rules, session.now());
        loop {
            let page = session.records(FOLDER, PAGE, after_page.as_ref()).await?;
            for Seen { key, revision, value } in page.items {
                let value = Watched::read(&key, &value)?;
                let mut seen = Seen { key, revision, value };
                if let Some(state) = self.is_known(session, &seen.value.key).await? {
                    if self.close(session, &seen, Action::Readmitted, state).await? && seen.value.since.is_some() {
                        swept.readmitted += 1;
                    }
                    continue;
                }
                if seen.value.since.is_none() && now >= after(seen.value.first_seen, rules.grace) {
                    let mut entries = Entries::default();
                    entries.note(seen.value.draft(Action::Quarantined, StateName::Quarantined, now));
                    let next = Watched { since: Some(now), ..seen.value };
                    entries.record(&seen, next.to_bytes());
                    if let Written::As(mut made) = session.write(entries).await? {
                        seen = Seen { key: seen.key, revision: made.pop(), value: next };
                    }
                }
                match seen.value.since {
                    None => swept.watched += 1,
                    Some(since) => {
                        swept.quarantined += 1;
                        if now >= after(since, rules.quarantine) && due.len() <= rules.max_per_round {
                            due.push(seen);
                        }
                    }
                }
            }
            match page.next {
                Some(next) => after_page = Some(next),
                None => return Ok(due),
            }
        }
    }

    /// Returns the ledger's state of the bytes, if the ledger is responsible for them.
    async fn is_known(&self, session: &LedgerSession<'_, L>, key: &BlobKey) -> Result<Option<StateName>> {
        let entry = session.entry(key).await?.value;
        Ok(match sweep(key, entry.as_ref()) {
            Sweep::Keep => Some(entry.as_ref().map_or(StateName::Live, |entry: &Entry| entry.state.name())),
            Sweep::Delete => None,
        })
    }

    /// Deletes a file after its quarantine; `false` where the ledger knows it after all, or another call was faster.
    async fn delete_unknown(&self, session: &LedgerSession<'_, L>, seen: &Seen<Watched>) -> Result<bool> {
        let now = session.read(seen.key.clone()).await?;
        if now.revision != seen.revision || self.is_known(session, &seen.value.key).await?.is_some() {
            return Ok(false);
        }
        self.blobs.delete(session.tenant(), &seen.value.key).await?;
        self.close(session, seen, Action::Swept, StateName::Gone).await
    }

    /// Removes the record of a file with an audit record, unless the file was only watched.
    async fn close(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &Seen<Watched>,
        action: Action,
        to: StateName,
    ) -> Result<bool> {
        let mut entries = Entries::default();
        if seen.value.since.is_some() {
            entries.note(seen.value.draft(action, to, session.now()));
            entries.remove(seen);
            return Ok(session.write(entries).await? != Written::Not);
        }
        let plain = Seen { key: seen.key.clone(), revision: seen.revision.clone(), value: None };
        session.write_plain(&plain, None).await
    }

    /// Returns whether a component refers to these bytes. For an upload that the ledger knows, the ledger decides; for
    /// an unknown upload, the digest decides.
    pub(super) async fn is_referred_to(
        &self,
        session: &LedgerSession<'_, L>,
        references: &mut References,
        key: &BlobKey,
    ) -> Result<bool> {
        let read = match &mut references.read {
            Some(read) => read,
            none => none.insert(self.references(session.tenant()).await?),
        };
        for id in read.get(&key.digest).into_iter().flatten() {
            let known = session.ingest(*id).await?.map(|seen| seen.value);
            let generation = known.map(|ingest| ingest.state.held().map(|(_, generation)| generation));
            match generation {
                // The ledger does not know the upload.
                None => return Ok(true),
                Some(held) if held == Some(key.generation) => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    async fn references(&self, tenant: &Tenant) -> Result<HashMap<Sha256, Vec<IngestId>>> {
        let resources = TenantResources::new(Arc::clone(&self.resources), tenant.clone());
        let mut found: HashMap<Sha256, Vec<IngestId>> = HashMap::new();
        let mut search = Search::new(ResourceType::DeviceComponent);
        loop {
            let page = resources.search(&search).await?;
            for version in &page.items {
                let component = DeviceComponent::from_version(version)?;
                for update in available(&component).flatten() {
                    found.entry(update.sha256).or_default().push(update.id);
                }
            }
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(found),
            }
        }
    }
}
