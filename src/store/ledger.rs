//! Contract of the ledger: small records changed by compare-and-set.

use super::{BoxFuture, CommitError, InvalidText, Page, PageToken, Result, Tenant};
use crate::support::Shown;
use bytes::Bytes;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

/// Key of a ledger record of a tenant: 1 to 128 of `a`-`z`, `0`-`9` and `-`, in segments separated by `/`.
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
    /// Creates a key from its text form.
    ///
    /// # Errors
    /// [`InvalidText`] when the text is too long, has an empty segment, or holds another character.
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

    /// Returns whether a text is a valid key, in one pass.
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

/// Revision of a ledger record, such as an entity tag, counter or time stamp. Only equality has a meaning.
///
/// ```
/// use fhir_devices::store::Revision;
/// assert_eq!(Revision::new("7").as_str(), "7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Revision(SmolStr);

impl Revision {
    /// Creates a revision from the ledger's own text for it.
    pub fn new(name: impl Into<SmolStr>) -> Self {
        Self(name.into())
    }

    /// Returns the ledger's text for the revision.
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

/// Record of a ledger, as read.
///
/// ```
/// use fhir_devices::store::{LedgerRecord, Revision};
/// let record = LedgerRecord { key: "ingest/7".parse()?, revision: Revision::new("3"), value: "open".into() };
/// assert_eq!(record.key.as_str(), "ingest/7");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Key of the record.
    pub key: LedgerKey,
    /// Revision read.
    pub revision: Revision,
    /// Value of the record.
    pub value: Bytes,
}

/// One compare-and-set change of a ledger commit: the expected revision and the new value.
///
/// ```
/// use fhir_devices::store::Change;
/// let new = Change::create("ingest/7".parse()?, "open");
/// assert_eq!(new.expected, None);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Key of the record.
    pub key: LedgerKey,
    /// Revision that the caller has read; `None` when there was no record.
    pub expected: Option<Revision>,
    /// New value; `None` deletes.
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
    /// Creates a record that does not exist.
    #[must_use]
    pub fn create(key: LedgerKey, value: impl Into<Bytes>) -> Self {
        Self { key, expected: None, value: Some(value.into()) }
    }

    /// Replaces the value of a revision.
    #[must_use]
    pub fn replace(key: LedgerKey, expected: Revision, value: impl Into<Bytes>) -> Self {
        Self { key, expected: Some(expected), value: Some(value.into()) }
    }

    /// Deletes the record at a revision.
    #[must_use]
    pub fn delete(key: LedgerKey, expected: Revision) -> Self {
        Self { key, expected: Some(expected), value: None }
    }
}

/// Stores small records of work in progress, so that interrupted work can be resumed.
///
/// A record is never overwritten blindly: every write names the revision that the caller has read. Applications hold
/// the ledger in a [`TenantLedger`](super::TenantLedger).
///
/// # Contract
///
/// - **L1 Compare and set.** A change with a revision is applied only while that is the newest, and otherwise fails
///   with `Conflict`, also when there is no such record. A change without a revision is applied only while there is no
///   record, and otherwise fails with `AlreadyExists`. Check and write are one step: of several writers that expect the
///   same state, exactly one succeeds. A deletion without a revision is `Invalid`.
/// - **L2 Revisions.** Every change makes a revision that the key never had before, also across deletions.
/// - **L3 Reading.** Every `get` and `scan` after the acknowledgement of a commit returns its values to every caller,
///   byte for byte. A deleted record does not exist.
/// - **L4 Tenants.** No call sees, changes, or reveals the existence of a record of another tenant, page tokens
///   included. Two tenants may use the same key.
/// - **L5 Errors.** [`StoreError::applied`](super::StoreError::applied) is true to what happened. After `Indeterminate`
///   the caller reads the records and recognises its own values.
/// - **L6 Sizes.** The ledger accepts a value of [`LEDGER_MAX_VALUE`] bytes, a commit of [`LEDGER_MAX_CHANGES`] such
///   values, and one of [`max_changes`](Self::max_changes) small ones; larger ones may be `TooLarge` and `Unsupported`,
///   before anything is written.
/// - **L7 Cancellation.** Dropping a future leaves the old state or the new one, and a working ledger.
/// - **L8 Atomicity.** The changes of a commit are applied all or none, and a reader that sees one change of a commit
///   sees the others in later reads. The error names the first change that fails. A commit that names a key twice is
///   `Invalid`, and an empty one succeeds. The revisions are returned in the order of the changes; the revision of a
///   deletion names no record.
/// - **L9 Scanning.** The pages of a scan hold every record under a prefix that existed throughout it exactly once, in
///   ascending byte order of the keys, by the rules of R8 of [`ResourceStore`](super::ResourceStore). A record is under
///   a prefix when its key starts with that prefix and `/`.
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
    /// Returns the maximum number of changes of a commit, at least [`LEDGER_MAX_CHANGES`] (L6) and constant.
    fn max_changes(&self) -> usize;

    /// Returns the newest revision of a record, if the record exists.
    ///
    /// # Errors
    /// Errors of the engine.
    fn get<'a>(&'a self, tenant: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>>;

    /// Applies changes, all or none (L1, L8), and returns the new revisions.
    ///
    /// # Errors
    /// The conditions of L1, L6 and L8, with the index of the failed change; errors of the engine. `Conflict` and
    /// `AlreadyExists` name no version.
    fn apply<'a>(
        &'a self,
        tenant: &'a Tenant,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<Vec<Revision>, CommitError>>;

    /// Returns one page of the records under a prefix (L9).
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

/// Size in bytes of the largest value that every [`Ledger`] accepts (L6).
pub const LEDGER_MAX_VALUE: usize = 64 << 10;

/// Number of changes of a commit that every [`Ledger`] accepts (L6).
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
