//! Subscriptions as stored in the ledger.

use super::delivery::Delivery;
use crate::code::SubscriptionStatus;
use crate::resource::Subscription;
use crate::store::{
    Change, CommitError, InvalidText, Ledger, LedgerKey, LedgerRecord, Result, Revision, StoreError, TenantLedger,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// The ledger folder of the subscriptions.
pub(crate) const FOLDER: &str = "subscriptions/of";

/// The ledger folder of their delivery states.
const DELIVERIES: &str = "subscriptions/at";

/// Maximum size of a subscription, in bytes.
pub(crate) const MOST_BYTES: usize = 16 << 10;

/// A stored subscription: the resource has neither id nor version, and its headers are complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) changed: OffsetDateTime,
    pub(crate) resource: Subscription,
    /// The revision of the record it was read from, if any.
    pub(crate) revision: Option<Revision>,
}

#[derive(Serialize, Deserialize)]
struct Record<'r> {
    form: u32,
    version: u64,
    #[serde(with = "crate::primitive::moment")]
    changed: OffsetDateTime,
    #[serde(borrow)]
    resource: &'r RawValue,
}

impl Registered {
    /// Returns the status.
    pub(crate) fn status(&self) -> SubscriptionStatus {
        self.resource.status.value.unwrap_or(SubscriptionStatus::Off)
    }

    fn from_record(record: &LedgerRecord) -> Result<Self> {
        let damaged = || {
            StoreError::corrupt(
                "the record of a subscription cannot be read: it is damaged, or sealed by a key that is not at hand",
            )
        };
        let id = record.key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let read: Record<'_> = serde_json::from_slice(&record.value).map_err(|_| damaged())?;
        let resource = Subscription::from_json(read.resource.get().as_bytes()).map_err(|_| damaged())?;
        let revision = Some(record.revision.clone());
        Ok(Self { id, version: read.version, changed: read.changed, resource, revision })
    }

    /// Returns the change that writes this subscription over the record that was read.
    fn change(&self) -> Result<Change> {
        let json = self.resource.to_json();
        let invalid = |error: serde_json::Error| StoreError::invalid(error.to_string());
        let resource: &RawValue = serde_json::from_str(&json).map_err(invalid)?;
        let record = Record { form: 1, version: self.version, changed: self.changed, resource };
        let value = serde_json::to_string(&record).map_err(invalid)?;
        Ok(match &self.revision {
            Some(revision) => Change::replace(key(FOLDER, &self.id)?, revision.clone(), value),
            None => Change::create(key(FOLDER, &self.id)?, value),
        })
    }
}

fn key(folder: &str, id: &str) -> Result<LedgerKey, InvalidText> {
    LedgerKey::new(format!("{folder}/{id}"))
}

/// The stored subscriptions of one tenant.
pub(crate) struct Register<L: ?Sized = dyn Ledger>(TenantLedger<L>);

impl<L: ?Sized> Clone for Register<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Ledger + ?Sized> Register<L> {
    pub(crate) fn new(ledger: TenantLedger<L>) -> Self {
        Self(ledger)
    }

    /// Returns a subscription; `None` where it does not exist, or its id is invalid.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<Registered>> {
        let Ok(key) = key(FOLDER, id) else { return Ok(None) };
        self.0.get(&key).await?.as_ref().map(Registered::from_record).transpose()
    }

    /// Returns all subscriptions, in the order of their ids.
    pub(crate) async fn all(&self) -> Result<Vec<Registered>> {
        self.0.all(&LedgerKey::new(FOLDER)?).await?.iter().map(Registered::from_record).collect()
    }

    /// Returns the delivery state of a subscription, and the revision of its record.
    pub(crate) async fn delivery(&self, id: &str) -> Result<Option<(Revision, Delivery)>> {
        let Some(record) = self.0.get(&key(DELIVERIES, id)?).await? else { return Ok(None) };
        let delivery = Delivery::from_json(&record.value);
        let delivery = delivery.ok_or_else(|| StoreError::corrupt("the progress of a subscription cannot be read"))?;
        Ok(Some((record.revision, delivery)))
    }

    /// Writes a subscription, and its delivery state where that changes, all or nothing.
    pub(crate) async fn write(&self, registered: &Registered, progress: Progress<'_>) -> Result<()> {
        let mut changes = vec![registered.change()?];
        changes.extend(progress.change(&registered.id)?);
        self.0.apply_resolved(changes).await.map(drop).map_err(|refused| refused.error)
    }

    /// Writes the delivery state of a subscription.
    pub(crate) async fn write_delivery(&self, id: &str, over: &Revision, delivery: &Delivery) -> Result<Revision> {
        let change = Change::replace(key(DELIVERIES, id)?, over.clone(), delivery.to_json());
        let made = self.0.apply_resolved(vec![change]).await.map_err(|refused: CommitError| refused.error)?;
        made.into_iter().next().ok_or_else(|| StoreError::corrupt("a change gave no revision"))
    }

    /// Deletes a subscription, and its delivery state.
    pub(crate) async fn delete(&self, registered: &Registered, progress: Progress<'_>) -> Result<()> {
        let Some(revision) = registered.revision.clone() else { return Ok(()) };
        let mut changes = vec![Change::delete(key(FOLDER, &registered.id)?, revision)];
        changes.extend(progress.change(&registered.id)?);
        self.0.apply(changes).await.map(drop).map_err(|refused| refused.error)
    }
}

/// The change to the record of a delivery state.
pub(crate) enum Progress<'d> {
    /// The record stays.
    Kept,
    /// No record exists yet.
    New(&'d Delivery),
    /// The record is replaced.
    Replaced(Revision, &'d Delivery),
    /// The record is deleted.
    Deleted(Revision),
}

impl Progress<'_> {
    fn change(self, id: &str) -> Result<Option<Change>> {
        let key = key(DELIVERIES, id)?;
        Ok(match self {
            Self::Kept => None,
            Self::New(delivery) => Some(Change::create(key, delivery.to_json())),
            Self::Replaced(revision, delivery) => Some(Change::replace(key, revision, delivery.to_json())),
            Self::Deleted(revision) => Some(Change::delete(key, revision)),
        })
    }
}
