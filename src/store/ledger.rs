//! The contract of the ledger: small records that are changed by compare-and-set.

use super::{BoxFuture, InvalidText, Result, Tenant};
use bytes::Bytes;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names one record of a tenant: 1 to 128 of `a`-`z`, `0`-`9` and `-`, in segments parted by `/`.
///
/// ```
/// use fhir_devices::store::LedgerKey;
/// let key: LedgerKey = "ingest/id/00ff".parse()?;
/// assert_eq!(key.as_str(), "ingest/id/00ff");
/// assert!("ingest//00ff".parse::<LedgerKey>().is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct LedgerKey(SmolStr);

impl LedgerKey {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidText`] when it is too long, has an empty segment, or holds another character.
    pub fn new(name: impl Into<SmolStr>) -> Result<Self, InvalidText> {
        let name = name.into();
        let refuse = |reason| Err(InvalidText::new("a ledger key", &name, reason));
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.len() > 128 {
            return refuse("at most 128 characters are wanted");
        }
        if name.split('/').any(str::is_empty) {
            return refuse("a segment is empty");
        }
        if !name.bytes().all(|b| b == b'/' || allowed(b)) {
            return refuse("only a to z, 0 to 9, `-` and `/` are allowed");
        }
        Ok(Self(name))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LedgerKey {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        Self::new(name)
    }
}

/// One state of a record, as its ledger names it: an entity tag, a counter, a time stamp. Only equality means something.
///
/// ```
/// use fhir_devices::store::Revision;
/// assert_eq!(Revision::new("7").as_str(), "7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(SmolStr);

impl Revision {
    /// The revision that a ledger names so.
    pub fn new(name: impl Into<SmolStr>) -> Self {
        Self(name.into())
    }

    /// What the ledger named it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps small records that say what the crate is doing, so that work that breaks off is taken up again.
///
/// A record is never overwritten blindly: who writes says which revision they have seen.
///
/// # Contract
///
/// - **L1 Compare and set.** `put` with a revision is applied only while that is the newest, and otherwise fails with
///   `Conflict`, also where there is no such record. `put` without one is applied only while there is no record, and
///   otherwise fails with `AlreadyExists`. The check and the write are one step: of several writers that expect the same,
///   exactly one wins.
/// - **L2 Revisions.** Every `put` makes a revision that this key never had before.
/// - **L3 Reading.** What a `put` has acknowledged, every later `get` sees, whoever calls, byte for byte.
/// - **L4 Tenants.** No call sees, changes, or reveals the existence of a record of another tenant. Two tenants may use the
///   same key.
/// - **L5 Errors.** [`StoreError::applied`](super::StoreError::applied) tells the truth. After `Indeterminate` the caller
///   reads the record, and recognises its own value.
/// - **L6 Sizes.** A value of 64 KiB is taken; a larger one may be `TooLarge`, before anything is written.
/// - **L7 Cancellation.** Dropping a future leaves the old state or the new one, and a ledger that goes on working.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{Ledger, StoreError, Tenant};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (memory, tenant): (Memory, Tenant) = (Memory::new(), "st-mary".parse()?);
/// let ledger: &dyn Ledger = &memory;
/// let key = "ingest/id/00ff".parse()?;
/// let opened = ledger.put(&tenant, &key, None, "open".into()).await?;
/// ledger.put(&tenant, &key, Some(&opened), "stored".into()).await?;
/// let late = ledger.put(&tenant, &key, Some(&opened), "closed".into()).await;
/// assert!(matches!(late, Err(StoreError::Conflict { .. })));
/// # Ok(())
/// # }
/// ```
pub trait Ledger: Send + Sync + 'static {
    /// The newest revision of a record, if there is one.
    ///
    /// # Errors
    /// The engine's troubles.
    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<(Revision, Bytes)>>>;

    /// Replaces the revision that the caller has seen, or makes the record where they have seen none (L1).
    ///
    /// # Errors
    /// `Conflict` and `AlreadyExists` as in L1, without a version; `TooLarge`; the engine's troubles.
    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a LedgerKey,
        expected: Option<&'a Revision>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Revision>>;
}

impl<L: Ledger + ?Sized> Ledger for Arc<L> {
    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<(Revision, Bytes)>>> {
        (**self).get(tenant, key)
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a LedgerKey,
        expected: Option<&'a Revision>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Revision>> {
        (**self).put(tenant, key, expected, value)
    }
}
