//! The ledger contract: small records, changed by compare-and-set.

use super::{BoxFuture, CommitError, InvalidText, Page, PageToken, Result, Tenant};
use crate::support::Shown;
use bytes::Bytes;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::num::NonZeroU32;
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
        if Self::is_sound(&name) {
            return Ok(Self(name));
        }
        let refuse = |reason| Err(InvalidText::new("a ledger key", &name, reason));
        if name.len() > 128 {
            return refuse("at most 128 characters are wanted");
        }
        if name.split('/').any(str::is_empty) {
            return refuse("a segment is empty");
        }
        refuse("only a to z, 0 to 9, `-` and `/` are allowed")
    }

    /// Whether a name can be a key, in one pass.
    fn is_sound(name: &str) -> bool {
        let mut before = b'/';
        name.len() <= 128
            && name.bytes().all(|b| {
                let fits = b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (b == b'/' && before != b'/');
                before = b;
                fits
            })
            && before != b'/'
    }

    /// Returns the text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for LedgerKey {
    fn borrow(&self) -> &str {
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Revision(SmolStr);

impl Revision {
    /// Creates the revision that a ledger names so.
    pub fn new(name: impl Into<SmolStr>) -> Self {
        Self(name.into())
    }

    /// Returns what the ledger named it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(name))
    }
}

/// A record as it was read.
///
/// ```
/// use fhir_devices::store::{LedgerRecord, Revision};
/// let record = LedgerRecord { key: "ingest/7".parse()?, revision: Revision::new("3"), value: "open".into() };
/// assert_eq!(record.key.as_str(), "ingest/7");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Its key.
    pub key: LedgerKey,
    /// The revision that was read.
    pub revision: Revision,
    /// What it says.
    pub value: Bytes,
}

/// One change of a commit to the ledger: what the caller has seen, and what shall be there instead.
///
/// ```
/// use fhir_devices::store::Change;
/// let new = Change::create("ingest/7".parse()?, "open");
/// assert_eq!(new.expected, None);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: LedgerKey,
    /// The revision that the caller has seen; `None` where they have seen no record.
    pub expected: Option<Revision>,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

impl fmt::Debug for LedgerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, revision, value } = self;
        let mut shown = f.debug_struct("LedgerRecord");
        shown.field("key", key).field("revision", revision).field("value", &Shown(value)).finish()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, expected, value } = self;
        let value = value.as_deref().map(Shown);
        f.debug_struct("Change").field("key", key).field("expected", expected).field("value", &value).finish()
    }
}

impl Change {
    /// Creates a record where there is none.
    #[must_use]
    pub fn create(key: LedgerKey, value: impl Into<Bytes>) -> Self {
        Self { key, expected: None, value: Some(value.into()) }
    }

    /// Replaces a revision.
    #[must_use]
    pub fn replace(key: LedgerKey, expected: Revision, value: impl Into<Bytes>) -> Self {
        Self { key, expected: Some(expected), value: Some(value.into()) }
    }

    /// Deletes a revision.
    #[must_use]
    pub fn delete(key: LedgerKey, expected: Revision) -> Self {
        Self { key, expected: Some(expected), value: None }
    }
}

/// Stores small records of work in progress, so that interrupted work is resumed.
///
/// A record is never overwritten blindly: who writes says which revision they have seen. An application holds the ledger in
/// a [`TenantLedger`](super::TenantLedger).
///
/// # Contract
///
/// - **L1 Compare and set.** A change with a revision is applied only while that is the newest, and otherwise fails with
///   `Conflict`, also where there is no such record. A change without one is applied only while there is no record, and
///   otherwise fails with `AlreadyExists`. The check and the write are one step: of several writers that expect the same,
///   exactly one wins. A deletion without a revision is `Invalid`.
/// - **L2 Revisions.** Every change makes a revision that this key never had before, deletions in between included.
/// - **L3 Reading.** What a commit has acknowledged, every later `get` and `scan` sees, whoever calls, byte for byte. A
///   deleted record is no record.
/// - **L4 Tenants.** No call sees, changes, or reveals the existence of a record of another tenant, tokens included. Two
///   tenants may use the same key.
/// - **L5 Errors.** [`StoreError::applied`](super::StoreError::applied) tells the truth. After `Indeterminate` the caller
///   reads the records, and recognises its own values.
/// - **L6 Sizes.** A value of [`LEDGER_MAX_VALUE`] bytes, a commit of [`LEDGER_MAX_CHANGES`] such values, and one of
///   [`max_changes`](Self::max_changes) small ones are taken; larger ones may be `TooLarge` and `Unsupported`, before anything
///   is written.
/// - **L7 Cancellation.** Dropping a future leaves the old state or the new one, and a ledger that goes on working.
/// - **L8 Atomicity.** The changes of a commit are applied all or none, and a reader of one record that sees a change of it
///   sees the others afterwards. The error names the first change that fails. A commit that names a key twice is
///   `Invalid`, and an empty one succeeds. The revisions come back in the order of the changes; that of a deletion
///   names nothing any more.
/// - **L9 Scanning.** Pages hold every record under a prefix that was there all the time exactly once, in ascending byte
///   order of the keys, by the rules of R8 of [`ResourceStore`](super::ResourceStore). A record is under a prefix when its
///   key is that prefix with `/` and more behind it.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{Change, Ledger, StoreError, Tenant};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (memory, tenant): (Memory, Tenant) = (Memory::new(), "st-mary".parse()?);
/// let ledger: &dyn Ledger = &memory;
/// let key = "ingest/id/00ff".parse()?;
/// let opened = ledger.apply(&tenant, vec![Change::create(key, "open")]).await?.remove(0);
/// let to = |value: &'static str| Change::replace("ingest/id/00ff".parse().unwrap(), opened.clone(), value);
/// ledger.apply(&tenant, vec![to("stored")]).await?;
/// let late = ledger.apply(&tenant, vec![to("closed")]).await;
/// assert!(matches!(late.unwrap_err().error, StoreError::Conflict { .. }));
/// # Ok(())
/// # }
/// ```
pub trait Ledger: Send + Sync + 'static {
    /// Returns the most changes of a commit that it takes, [`LEDGER_MAX_CHANGES`] at least (L6). It never changes.
    fn max_changes(&self) -> usize;

    /// Returns the newest revision of a record, if there is one.
    ///
    /// # Errors
    /// The engine's troubles.
    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>>;

    /// Applies changes, all or none (L1, L8), and gives the revisions made.
    ///
    /// # Errors
    /// The conditions of L1, L6 and L8, with the change that decided; errors of the engine. `Conflict` and `AlreadyExists`
    /// name no version.
    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>>;

    /// One page of the records under a prefix (L9).
    ///
    /// # Errors
    /// `Invalid` for a foreign or damaged token; errors of the engine.
    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>>;
}

/// The largest value that every [`Ledger`] takes, in bytes (L6).
pub const LEDGER_MAX_VALUE: usize = 64 << 10;

/// The most changes of a commit that every [`Ledger`] takes (L6).
pub const LEDGER_MAX_CHANGES: usize = 16;

impl<L: Ledger + ?Sized> Ledger for Arc<L> {
    fn max_changes(&self) -> usize {
        (**self).max_changes()
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        (**self).get(tenant, key)
    }

    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>> {
        (**self).apply(tenant, changes)
    }

    fn scan<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        (**self).scan(tenant, prefix, limit, after)
    }
}
