//! Handle of a ledger for one tenant.

use super::{
    Applied, Change, CommitError, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result, Revision, StoreError,
    Subject, Tenant,
};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Ledger with a fixed tenant: no method takes one.
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
    /// Creates a handle for a tenant.
    pub fn new(ledger: Arc<L>, tenant: Tenant) -> Self {
        Self { tenant, ledger }
    }

    /// Returns the subject of a call about a record.
    fn record(&self, key: &LedgerKey) -> Subject {
        Subject::Record(self.tenant.clone(), key.clone())
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Returns the maximum number of changes of a commit.
    #[must_use]
    pub fn max_changes(&self) -> usize {
        self.ledger.max_changes()
    }

    /// Returns the newest revision of a record, if the record exists.
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

    /// Applies changes, and reads the records to find the outcome when the reply is lost.
    ///
    /// # Guarantees
    /// `Ok` means that this call applied the changes, once. It decides by the values: no other writer may write the
    /// value of the first change that has one.
    ///
    /// # Errors
    /// `Indeterminate` when the outcome stays unknown, or the changes are deletions only; otherwise as
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
            // Nothing is applied yet, but the engine may still be applying it: only a repetition can tell.
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

    /// Returns one page of the records under a prefix.
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

    /// Returns every record under a prefix. All records are held in memory: the prefix must bound them.
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
