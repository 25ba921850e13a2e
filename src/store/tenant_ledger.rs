//! Tenant handles: a ledger with the tenant fixed.

use super::{
    Applied, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision, StoreError,
    Subject, Tenant,
};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A ledger with the tenant fixed in the value: no method takes one.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{Change, TenantLedger};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = TenantLedger::new(Arc::new(Memory::new()), "st-mary".parse()?);
/// ledger.apply(vec![Change::create("job/1".parse()?, "a"), Change::create("job/2".parse()?, "b")]).await?;
/// let found = ledger.all(&"job".parse()?).await?;
/// assert_eq!(found.iter().map(|record| &*record.value).collect::<Vec<_>>(), [b"a", b"b"]);
/// # Ok(())
/// # }
/// ```
pub struct TenantLedger<L: ?Sized = dyn Ledger> {
    tenant: Tenant,
    ledger: Arc<L>,
}

impl<L: Ledger + ?Sized> TenantLedger<L> {
    /// Fixes the tenant.
    pub fn new(ledger: Arc<L>, tenant: Tenant) -> Self {
        Self { tenant, ledger }
    }

    /// Returns what a call about a record is about.
    fn record(&self, key: &LedgerKey) -> Subject {
        Subject::Record(self.tenant.clone(), key.clone())
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Returns the most changes of a commit that the ledger takes.
    #[must_use]
    pub fn max_changes(&self) -> usize {
        self.ledger.max_changes()
    }

    /// Returns the newest revision of a record, if there is one.
    ///
    /// # Errors
    /// As [`Ledger::get`].
    pub async fn get(&self, key: &LedgerKey) -> Result<Option<LedgerRecord>> {
        self.ledger.get(&self.tenant, key).await.map_err(|error| error.about(self.record(key)))
    }

    /// Applies changes, all or none.
    ///
    /// # Errors
    /// As [`Ledger::apply`].
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        let keys: Vec<LedgerKey> = changes.iter().map(|change| change.key.clone()).collect();
        let made = self.ledger.apply(&self.tenant, changes).await;
        made.map_err(|refused| {
            let which = match (refused.index, keys.as_slice()) {
                (Some(index), keys) => keys.get(index),
                (None, [only]) => Some(only),
                (None, _) => None,
            };
            let subject = which.map_or_else(|| Subject::Tenant(self.tenant.clone()), |key| self.record(key));
            refused.about(subject)
        })
    }

    /// Applies changes, and finds out what became of it where the answer is lost.
    ///
    /// # Guarantees
    /// `Ok` means that the changes were applied, once, by this call. The values tell it: no other writer may write the value
    /// of the first change that writes one.
    ///
    /// # Errors
    /// `Indeterminate` when the outcome stays unknown, or nothing but deletions was asked for; otherwise as
    /// [`Ledger::apply`].
    pub async fn apply_resolved(&self, changes: Vec<Change>) -> Result<Vec<Revision>, CommitError> {
        let lost = match self.apply(changes.clone()).await {
            Err(refused) if refused.error.applied() == Applied::Unknown => refused,
            answer => return answer,
        };
        let Some(sign) = changes.iter().find(|change| change.value.is_some()) else { return Err(lost) };
        let about = self.record(&sign.key);
        let unknown = |error: StoreError| StoreError::indeterminate(Some(Box::new(error))).about(about.clone());
        match self.get(&sign.key).await {
            Ok(Some(found)) if Some(&found.value) == sign.value.as_ref() => {}
            // Nothing was applied yet, though the engine may still be at it: only who tries again can tell.
            Ok(_) => return Err(lost),
            Err(error) => return Err(unknown(error).into()),
        }
        let mut revisions = Vec::with_capacity(changes.len());
        for change in &changes {
            let found = self.get(&change.key).await.map_err(unknown)?;
            revisions.push(found.map_or_else(|| Revision::new(""), |record| record.revision));
        }
        Ok(revisions)
    }

    /// One page of the records under a prefix.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn scan(
        &self,
        prefix: &LedgerKey,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<LedgerRecord>> {
        let found = self.ledger.scan(&self.tenant, prefix, limit, after).await;
        found.map_err(|error| error.about(Subject::Records(self.tenant.clone(), prefix.clone())))
    }

    /// Returns every record under a prefix. Everything is held in memory: the prefix must bound it.
    ///
    /// # Errors
    /// As [`Ledger::scan`].
    pub async fn all(&self, prefix: &LedgerKey) -> Result<Vec<LedgerRecord>> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.scan(prefix, NonZeroU32::MIN.saturating_add(255), after.as_ref()).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}

impl<L: ?Sized> Clone for TenantLedger<L> {
    fn clone(&self) -> Self {
        Self { tenant: self.tenant.clone(), ledger: Arc::clone(&self.ledger) }
    }
}

impl<L: ?Sized> fmt::Debug for TenantLedger<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLedger").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
