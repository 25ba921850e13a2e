//! Handle of a resource store for one tenant.

use super::{
    Applied, Capabilities, Changes, CommitError, Key, Page, PageToken, Precondition, ResourceStore, Result, Search,
    Storable, StoreError, Subject, Tenant, ValidWrite, Version, VersionId, Write, WriteId,
};
use crate::reference::OwnBase;
use crate::search::{Parameter, ResourceType};
use crate::validate::Valid;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Resource store with a fixed tenant: no method takes one.
///
/// The handle is cheap to clone, and its futures need no runtime of their own.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::store::{ResourceStore, StoreError, TenantResources};
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory: Arc<dyn ResourceStore> = Arc::new(Memory::new());
/// let ours = TenantResources::new(memory.clone(), "ours".parse()?);
/// let theirs = TenantResources::new(memory, "theirs".parse()?);
///
/// let pump = Valid::new(Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?)?;
/// let first = ours.create(&pump).await?;
/// ours.update(&pump, first.version).await?;
/// let late = ours.update(&pump, first.version).await;
/// assert!(matches!(late, Err(StoreError::Conflict { .. })));
/// assert!(matches!(theirs.get::<Device>("pump").await, Err(StoreError::NotFound { .. })));
/// # Ok(())
/// # }
/// ```
pub struct TenantResources<S: ?Sized = dyn ResourceStore> {
    tenant: Tenant,
    store: Arc<S>,
    own: Option<OwnBase>,
}

impl<S: ResourceStore + ?Sized> TenantResources<S> {
    /// Creates a handle for a tenant.
    pub fn new(store: Arc<S>, tenant: Tenant) -> Self {
        Self { tenant, store, own: None }
    }

    /// Sets the base URL of the tenant's own service: absolute references to it count as references to this store.
    #[must_use]
    pub fn at(mut self, own: OwnBase) -> Self {
        self.own = Some(own);
        self
    }

    /// Returns the base URL of the tenant's own service, if set.
    #[must_use]
    pub fn own_base(&self) -> Option<&OwnBase> {
        self.own.as_ref()
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Returns the subject of a call about a resource.
    pub(super) fn resource(&self, key: &Key) -> Subject {
        Subject::Resource(self.tenant.clone(), key.clone())
    }

    /// Returns the capabilities of the store.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Returns the newest version.
    ///
    /// # Errors
    /// As [`ResourceStore::read`].
    pub async fn read(&self, key: &Key) -> Result<Version> {
        self.store.read(&self.tenant, key).await.map_err(|error| error.about(self.resource(key)))
    }

    /// Returns one version, which may be a deletion.
    ///
    /// # Errors
    /// As [`ResourceStore::vread`].
    pub async fn vread(&self, key: &Key, version: VersionId) -> Result<Version> {
        let read = self.store.vread(&self.tenant, key, version).await;
        read.map_err(|error| error.about(Subject::Version(self.tenant.clone(), key.clone(), version)))
    }

    /// Creates a resource under its id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the resource has no id or is of a type that is not stored,
    /// [`StoreError::AlreadyExists`] when it exists; otherwise as [`ResourceStore::commit`].
    pub async fn create<T: Storable>(&self, resource: &Valid<T>) -> Result<Version> {
        self.put(resource, Precondition::Absent).await
    }

    /// Replaces the version that the caller has read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when that is no longer the newest; otherwise as [`create`](Self::create).
    pub async fn update<T: Storable>(&self, resource: &Valid<T>, version: VersionId) -> Result<Version> {
        self.put(resource, Precondition::Version(version)).await
    }

    /// Deletes a resource, and returns the version of the deletion.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Gone`] when it does not exist; otherwise as
    /// [`ResourceStore::commit`].
    pub async fn delete(&self, key: Key, when: Precondition) -> Result<Version> {
        self.write(ValidWrite::delete(key, when)).await
    }

    /// Applies one write.
    ///
    /// # Errors
    /// As [`ResourceStore::commit`], without the index.
    pub async fn write(&self, write: ValidWrite) -> Result<Version> {
        let mut made = self.commit(vec![write]).await.map_err(|refused| refused.error)?;
        made.pop().ok_or_else(|| StoreError::corrupt("a commit of one write gave no version"))
    }

    /// Applies writes, all or none.
    ///
    /// # Errors
    /// As [`ResourceStore::commit`].
    pub async fn commit(&self, writes: Vec<ValidWrite>) -> Result<Vec<Version>, CommitError> {
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        let made = self.store.commit(&self.tenant, writes.into_iter().map(Write::from).collect()).await;
        made.map_err(|refused| {
            let which = match (refused.index, keys.as_slice()) {
                (Some(index), keys) => keys.get(index),
                (None, [only]) => Some(only),
                (None, _) => None,
            };
            let subject = which.map_or_else(|| Subject::Tenant(self.tenant.clone()), |key| self.resource(key));
            refused.about(subject)
        })
    }

    /// Applies one write, and finds its outcome even when a reply is lost or the call is a repetition.
    ///
    /// # Flow
    /// The write is sent. When its outcome is unknown, or when a precondition fails that an earlier try of the same
    /// write could have made fail, the versions are searched for its id: a version with the id is the result. Without
    /// one, a write of unknown outcome is sent again, up to three times in all, provided that its precondition lets it
    /// be applied only once (`Absent`, `Version`).
    ///
    /// # Guarantees
    /// `Ok` means that the write was applied, once. An error whose [`applied`](StoreError::applied) is `No` means that no
    /// try of this call was applied.
    ///
    /// # Assumptions
    /// The write has an id of its own. The store keeps the versions made meanwhile; where it does not, more outcomes
    /// stay unknown. For `Absent`: nobody deletes the resource during the call.
    ///
    /// # Errors
    /// `Invalid` without a write id; `Indeterminate` when the outcome stays unknown; where a precondition fails and the
    /// versions cannot be read now, the error of that read; otherwise as [`ResourceStore::commit`].
    pub async fn write_resolved(&self, write: ValidWrite) -> Result<Version> {
        let Some(id) = write.write_id else {
            return Err(StoreError::invalid("a write needs an id to be resolved"));
        };
        let once = matches!(write.precondition, Precondition::Absent | Precondition::Version(_));
        let mut tries = 3;
        let mut unknown = false;
        loop {
            tries -= 1;
            let error = match self.write(write.clone()).await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            unknown |= error.applied() == Applied::Unknown;
            let own_doing = matches!(
                error,
                StoreError::AlreadyExists { .. } | StoreError::Conflict { .. } | StoreError::Gone { .. }
            );
            if !unknown && !own_doing {
                return Err(error);
            }
            let found = self.find_write(&write, id).await;
            let passed_by =
                matches!((&found, write.precondition), (Ok(WriteTrace::OfAnother), Precondition::Version(_)));
            match found {
                Ok(WriteTrace::Found(version)) => return Ok(version),
                // The precondition failed, and either nothing was sent before or another write made the version.
                Ok(_) if own_doing && (!unknown || passed_by) => return Err(error),
                Ok(_) if once && !own_doing && tries > 0 => {}
                Ok(_) => return Err(StoreError::indeterminate(Some(Box::new(error))).about(self.resource(&write.key))),
                // A try of an earlier call may have made the precondition fail: the caller must look again.
                Err(unread) if !unknown && (unread.is_transient() || unread.applied() == Applied::Unknown) => {
                    return Err(unread);
                }
                Err(_) if !unknown => return Err(error),
                Err(unread) => {
                    return Err(StoreError::indeterminate(Some(Box::new(unread))).about(self.resource(&write.key)));
                }
            }
        }
    }

    async fn find_write(&self, write: &Write, id: WriteId) -> Result<WriteTrace> {
        let key = &write.key;
        let capabilities = self.capabilities();
        let found = if !capabilities.history {
            self.read(key).await.map(|version| WriteTrace::of(version, id, WriteTrace::None))
        } else if let Precondition::Version(base) = write.precondition {
            self.vread(key, base.next()).await.map(|version| {
                // A deletion whose write id is lost may be the wanted one.
                let nameless = write.body.is_none() && version.is_deleted() && !capabilities.deletion_write_ids;
                WriteTrace::of(version, id, if nameless { WriteTrace::None } else { WriteTrace::OfAnother })
            })
        } else {
            self.find_in_history(key, id).await
        };
        match found {
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => Ok(WriteTrace::None),
            found => found,
        }
    }

    async fn find_in_history(&self, key: &Key, id: WriteId) -> Result<WriteTrace> {
        let mut after = None;
        loop {
            let page = self.history(key, NonZeroU32::MIN.saturating_add(63), after.as_ref()).await?;
            if let Some(found) = page.items.into_iter().find(|version| version.write_id == Some(id)) {
                return Ok(WriteTrace::Found(found));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(WriteTrace::None),
            }
        }
    }

    /// Returns one page of the resources that meet the criteria.
    ///
    /// # Errors
    /// As [`ResourceStore::search`].
    pub async fn search(&self, search: &Search) -> Result<Page<Version>> {
        let found = self.store.search(&self.tenant, search).await;
        found.map_err(|error| error.about(Subject::Resources(self.tenant.clone(), search.resource_type)))
    }

    /// Returns the page of [`search`](Self::search), with resources that its results reference by these parameters.
    ///
    /// # Errors
    /// As [`ResourceStore::search_with_targets`].
    pub(crate) async fn search_with_targets(
        &self,
        search: &Search,
        follow: &[(Parameter, ResourceType)],
    ) -> Result<(Page<Version>, Vec<Version>)> {
        let found = self.store.search_with_targets(&self.tenant, search, follow).await;
        found.map_err(|error| error.about(Subject::Resources(self.tenant.clone(), search.resource_type)))
    }

    /// Returns all resources that meet the criteria, page after page.
    ///
    /// All results are held in memory: the criteria must bound them.
    ///
    /// # Errors
    /// As [`ResourceStore::search`].
    pub async fn all(&self, mut search: Search) -> Result<Vec<Version>> {
        let mut found = Vec::new();
        loop {
            let page = self.search(&search).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Returns one page of the versions of a resource, newest first.
    ///
    /// # Errors
    /// As [`ResourceStore::history`].
    pub async fn history(&self, key: &Key, limit: NonZeroU32, after: Option<&PageToken>) -> Result<Page<Version>> {
        let history = self.store.history(&self.tenant, key, limit, after).await;
        history.map_err(|error| error.about(self.resource(key)))
    }

    /// Returns one page of the versions of all resources, by time.
    ///
    /// ```
    /// # use fhir_devices::{Device, Valid, backend::Memory, store::{Changes, TenantResources}};
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
    /// for id in ["one", "two"] {
    ///     let json = format!(r#"{{"resourceType":"Device","id":"{id}"}}"#);
    ///     store.create(&Valid::new(Device::from_json(json.as_bytes())?)?).await?;
    /// }
    /// let newest = store.changes(&Changes::new().limit(1)).await?;
    /// assert_eq!(newest.items[0].key.to_string(), "Device/two");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ResourceStore::changes`].
    pub async fn changes(&self, changes: &Changes) -> Result<Page<Version>> {
        self.store.changes(&self.tenant, changes).await
    }

    /// Removes the oldest versions of a resource, so that at most `keep` remain; returns how many were removed.
    ///
    /// # Errors
    /// As [`ResourceStore::prune_history`].
    pub async fn prune_history(&self, key: &Key, keep: NonZeroU32) -> Result<u64> {
        let pruned = self.store.prune_history(&self.tenant, key, keep).await;
        pruned.map_err(|error| error.about(self.resource(key)))
    }

    /// Removes the oldest versions of every existing resource of a type, page after page, so that at most `keep` of
    /// each remain; returns how many were removed. The history of a deleted resource stays, since no search finds it.
    ///
    /// # Errors
    /// As [`ResourceStore::search`] and [`ResourceStore::prune_history`]. Versions removed before the error stay
    /// removed.
    pub async fn prune_histories(&self, of: ResourceType, keep: NonZeroU32) -> Result<u64> {
        let (mut search, mut forgotten) = (Search::new(of), 0);
        loop {
            let page = self.search(&search).await?;
            for version in page.items {
                if version.version.get() > u64::from(keep.get()) {
                    forgotten += match self.prune_history(&version.key, keep).await {
                        Err(StoreError::NotFound { .. }) => 0,
                        pruned => pruned?,
                    };
                }
            }
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(forgotten),
            }
        }
    }
}

/// Result of looking for one write in the history of a resource.
enum WriteTrace {
    /// The write made this version.
    Found(Version),
    /// Another write made the only version that the write could have made.
    OfAnother,
    /// No kept version has the id of the write.
    None,
}

impl WriteTrace {
    fn of(version: Version, id: WriteId, otherwise: Self) -> Self {
        if version.write_id == Some(id) { Self::Found(version) } else { otherwise }
    }
}

impl<S: ?Sized> Clone for TenantResources<S> {
    fn clone(&self) -> Self {
        Self { tenant: self.tenant.clone(), store: Arc::clone(&self.store), own: self.own.clone() }
    }
}

impl<S: ?Sized> fmt::Debug for TenantResources<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantResources").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
