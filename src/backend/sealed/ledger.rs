//! A ledger whose secrets are sealed.

use super::format;
use super::key::{DataKey, KeyProvider};
use crate::store::{
    BoxFuture, Change, CommitError, LEDGER_MAX_VALUE, Ledger, LedgerKey, LedgerRecord, Page, PageToken, Result,
    Revision, StoreError, Tenant,
};
use crate::subscription::registered::FOLDER;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Maximum number of bytes that sealing adds to a value.
const OVERHEAD: usize = format::TRAILER + format::TAG;

/// A ledger that seals the values of some folders, with authenticated encryption under a key for each value: the folder
/// of Subscriptions, whose headers contain secrets of clients, and [further ones](Self::with_folder).
///
/// The keys of records, and all other records, are not sealed. The maximum size of a value in a sealed folder is
/// [`LEDGER_MAX_VALUE`] minus 528 bytes. A value written before it was sealed is read as it is, and is sealed when it is
/// written again.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::backend::sealed::{KeyRing, SealedLedger};
/// use fhir_devices::rest::{Request, Server, Subscriptions};
/// use fhir_devices::store::{Ledger, Tenant, TenantResources};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (memory, tenant): (_, Tenant) = (Arc::new(Memory::new()), "st-mary".parse()?);
/// let keys = Arc::new(KeyRing::new("2026".parse()?, [7; 32]));
/// let ledger = Arc::new(SealedLedger::new(memory.clone(), keys));
/// let store = TenantResources::new(memory.clone(), tenant.clone());
/// let server = Server::new(store, "https://devices.example/st-mary/fhir")
///     .with_subscriptions(Subscriptions::new(ledger, tenant.clone()));
///
/// let wanted = r#"{"resourceType":"Subscription","status":"requested","reason":"new pumps","criteria":"Device?model=P9",
///     "channel":{"type":"rest-hook","endpoint":"https://ehr.example/hook","header":["Authorization: Bearer secret"]}}"#;
/// let post = Request::new("POST", "Subscription").header("Content-Type", "application/fhir+json").body(wanted);
/// assert_eq!(server.handle(&post).await.status, 201);
/// let kept = memory.scan(&tenant, &"subscriptions/of".parse()?, 10.try_into()?, None).await?.items.remove(0);
/// assert!(!kept.value.windows(6).any(|part| part == b"secret"));
/// # Ok(())
/// # }
/// ```
pub struct SealedLedger<L: ?Sized = dyn Ledger> {
    keys: Arc<dyn KeyProvider>,
    folders: Vec<LedgerKey>,
    below: Arc<L>,
}

impl<L: Ledger + ?Sized> SealedLedger<L> {
    /// Creates a ledger that seals Subscriptions into `below`.
    #[must_use]
    pub fn new(below: Arc<L>, keys: Arc<dyn KeyProvider>) -> Self {
        Self { keys, folders: LedgerKey::new(FOLDER).into_iter().collect(), below }
    }

    /// Also seals the records below another key.
    ///
    /// ```
    /// use fhir_devices::backend::Memory;
    /// use fhir_devices::backend::sealed::{KeyRing, SealedLedger};
    /// use fhir_devices::store::{Change, Ledger, Tenant};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (memory, tenant): (_, Tenant) = (Arc::new(Memory::new()), "st-mary".parse()?);
    /// let keys = Arc::new(KeyRing::new("2026".parse()?, [7; 32]));
    /// let ledger = SealedLedger::new(memory.clone(), keys).with_folder("own/secrets".parse()?);
    /// ledger.apply(&tenant, vec![Change::create("own/secrets/1".parse()?, "secret")]).await?;
    /// let key = "own/secrets/1".parse()?;
    /// assert!(ledger.get(&tenant, &key).await?.is_some_and(|record| record.value == "secret"));
    /// assert!(memory.get(&tenant, &key).await?.is_some_and(|record| record.value != "secret"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_folder(mut self, folder: LedgerKey) -> Self {
        self.folders.push(folder);
        self
    }

    fn seals(&self, key: &LedgerKey) -> bool {
        let is_under =
            |folder: &LedgerKey| key.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.folders.iter().any(is_under)
    }

    async fn seal(&self, tenant: &Tenant, change: Change) -> Result<Change> {
        let Change { key, expected, value } = change;
        let value = match value {
            Some(plain) if self.seals(&key) => {
                let limit = LEDGER_MAX_VALUE.saturating_sub(OVERHEAD);
                if plain.len() > limit {
                    return Err(StoreError::too_large(limit as u64));
                }
                let data = DataKey::random()?;
                let wrapped = self.keys.wrap(tenant, &data, &bound(&key)).await?;
                Some(format::seal_whole(&data, &wrapped, &plain)?.into())
            }
            value => value,
        };
        Ok(Change { key, expected, value })
    }

    async fn open(&self, tenant: &Tenant, mut record: LedgerRecord) -> Result<LedgerRecord> {
        if self.seals(&record.key) && format::is_sealed(&record.value) {
            let (wrapped, sealed) = format::read_key(&record.value)?;
            let data = self.keys.unwrap(tenant, &wrapped, &bound(&record.key)).await?;
            let mut plain = sealed.to_vec();
            format::open(&data.cipher(), 0, true, &mut plain)?;
            record.value = plain.into();
        }
        Ok(record)
    }
}

/// Returns the context that the data key of a record is bound to.
fn bound(key: &LedgerKey) -> Vec<u8> {
    format::context(&["ledger", key.as_str()])
}

impl<L: Ledger + ?Sized> Ledger for SealedLedger<L> {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move {
            match self.below.get(tenant, key).await? {
                Some(record) => self.open(tenant, record).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        Box::pin(async move {
            let mut sealed = Vec::with_capacity(changes.len());
            for (at, change) in changes.into_iter().enumerate() {
                sealed.push(self.seal(tenant, change).await.map_err(|error| CommitError::at(at, error))?);
            }
            self.below.apply(tenant, sealed).await
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
            let page = self.below.scan(tenant, prefix, limit, after).await?;
            let mut items = Vec::with_capacity(page.items.len());
            for record in page.items {
                items.push(self.open(tenant, record).await?);
            }
            Ok(Page { items, next: page.next })
        })
    }
}

impl<L: ?Sized> fmt::Debug for SealedLedger<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedLedger").field("folders", &self.folders).finish_non_exhaustive()
    }
}
