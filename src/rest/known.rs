//! The updates that a service knows, for checks of client writes.

use crate::manifest::IngestId;
use crate::primitive::Id;
use crate::store::{BoxFuture, Result, Tenant};
use crate::update::{AvailableUpdate, UpdateStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the updates of a component that its service knows. [`UpdateService`](crate::service::UpdateService) does.
///
/// A [`Server`](super::Server) asks it for two things. What a client writes is checked against it, where the updates of the
/// component that it sends are not those that are stored. And what the stored components say is checked against it when they are
/// read, so that nobody is shown an update that some other program wrote into the store.
///
/// ```
/// use fhir_devices::primitive::Id;
/// use fhir_devices::rest::{KnownUpdate, KnownUpdates, UpdateStage};
/// use fhir_devices::store::{BoxFuture, Result, Tenant};
/// use fhir_devices::manifest::IngestId;
/// use std::collections::{BTreeMap, BTreeSet};
///
/// /// A service whose updates have all been taken back.
/// struct Empty;
///
/// impl KnownUpdates for Empty {
///     fn known<'a>(
///         &'a self,
///         _: &'a Tenant,
///         of: &'a BTreeSet<(Id, IngestId)>,
///     ) -> BoxFuture<'a, Result<BTreeMap<(Id, IngestId), KnownUpdate>>> {
///         let ended = || KnownUpdate::new(UpdateStage::Ended, None);
///         Box::pin(async move { Ok(of.iter().map(|one| (one.clone(), ended())).collect()) })
///     }
/// }
/// ```
pub trait KnownUpdates: Send + Sync {
    /// What is known of these updates, each with the component that it is said to be of. One that is not known, or is of
    /// another component, is left out.
    ///
    /// # Errors
    /// Those of the store that keeps the list.
    fn known<'a>(
        &'a self,
        tenant: &'a Tenant,
        of: &'a BTreeSet<(Id, IngestId)>,
    ) -> BoxFuture<'a, Result<BTreeMap<(Id, IngestId), KnownUpdate>>>;
}

/// The stage of an update.
///
/// ```
/// use fhir_devices::rest::UpdateStage;
/// assert_ne!(UpdateStage::Attaching, UpdateStage::Attached);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpdateStage {
    /// Its component is fixed, and may not refer to it yet.
    Attaching,
    /// The update is the current one. The component may say already that a later one took its place.
    Attached,
    /// A later update superseded it.
    Superseded,
    /// The update becomes current again. The component may not say so yet.
    Restoring,
    /// The update is being removed from the component.
    Removing,
    /// The update was withdrawn. The component may not say so yet.
    Withdrawn,
    /// The update belonged to this component, or was meant for it, and has ended.
    Ended,
}

/// An update known to a service.
///
/// ```
/// use fhir_devices::rest::{KnownUpdate, UpdateStage};
/// let known = KnownUpdate::new(UpdateStage::Ended, None);
/// assert_eq!((known.stage, known.update), (UpdateStage::Ended, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownUpdate {
    /// The stage of the upload.
    pub stage: UpdateStage,
    /// The reference that its component must have; `None` where that is no longer known.
    pub update: Option<AvailableUpdate>,
    /// Whether the address of its file is signed anew each time, so that what follows its path does not count.
    pub is_signed: bool,
}

impl KnownUpdate {
    /// An update at a stage, with what its component has to say of it.
    #[must_use]
    pub const fn new(stage: UpdateStage, update: Option<AvailableUpdate>) -> Self {
        Self { stage, update, is_signed: false }
    }

    /// Sets whether the address of its file is signed anew each time.
    #[must_use]
    pub const fn signed(mut self, is_signed: bool) -> Self {
        self.is_signed = is_signed;
        self
    }

    /// Whether a reference names the same file, version and place among the updates. Where the update stands is left out, and
    /// so are its time and damage to its file.
    #[must_use]
    pub fn is_same_file(&self, there: &AvailableUpdate) -> bool {
        let Some(known) = &self.update else { return false };
        let mut there = there.clone();
        (there.status, there.restored, there.damaged) = (known.status, known.restored, known.damaged);
        there.file.creation.clone_from(&known.file.creation);
        if self.is_signed {
            let path = |url: &str| url.split(['?', '#']).next().unwrap_or_default().to_owned();
            if path(there.file.url.as_str()) == path(known.file.url.as_str()) {
                there.file.url.clone_from(&known.file.url);
            }
        }
        there == *known
    }

    /// Returns the reference that a component with `there` is shown with; `None` where it must not be shown.
    ///
    /// A component is written to before the record of the update is marked, or after it, as the step wants: where both are
    /// possible, what the component says counts.
    #[must_use]
    pub fn shown(&self, there: &AvailableUpdate) -> Option<AvailableUpdate> {
        use UpdateStatus::{Current, Superseded, Withdrawn};
        let known = self.update.as_ref();
        let status = match (self.stage, there.status) {
            (UpdateStage::Removing | UpdateStage::Ended, _) => return None,
            (UpdateStage::Withdrawn, _) => Withdrawn,
            (UpdateStage::Superseded, _) => Superseded,
            (
                UpdateStage::Attaching | UpdateStage::Attached | UpdateStage::Restoring,
                said @ (Current | Superseded),
            ) => said,
            (UpdateStage::Attaching | UpdateStage::Attached, Withdrawn) => Current,
            (UpdateStage::Restoring, Withdrawn) => Superseded,
        };
        let Some(known) = known else {
            // Of one that was taken back, the recall is shown even where its file is not known any more.
            return (status == Withdrawn).then(|| AvailableUpdate { status, ..there.clone() });
        };
        let restored = match self.stage {
            UpdateStage::Restoring => there.restored.min(known.restored),
            UpdateStage::Withdrawn => there.restored,
            _ => known.restored,
        };
        if self.is_same_file(there) {
            return Some(AvailableUpdate { status, restored, damaged: known.damaged, ..there.clone() });
        }
        Some(AvailableUpdate { status, restored, ..known.clone() })
    }

    /// Whether a write of the service may make the component say this of the update. `with_another` tells that the same write
    /// says of another update that it is current.
    pub(super) fn may_become(&self, sent: &AvailableUpdate, with_another: bool) -> bool {
        let Some(known) = &self.update else { return false };
        let is_fit = match (self.stage, sent.status) {
            (UpdateStage::Attaching | UpdateStage::Attached, UpdateStatus::Current) => sent.restored == known.restored,
            (UpdateStage::Attached, UpdateStatus::Superseded) => with_another && sent.restored == known.restored,
            (UpdateStage::Superseded, UpdateStatus::Superseded) => sent.restored == known.restored,
            (UpdateStage::Restoring, UpdateStatus::Current) => sent.restored == known.restored,
            (UpdateStage::Restoring, UpdateStatus::Superseded) => sent.restored < known.restored,
            (UpdateStage::Withdrawn, UpdateStatus::Withdrawn) => true,
            _ => false,
        };
        is_fit && self.is_same_file(sent)
    }

    /// Whether a write of the service may leave the update out of the component.
    pub(super) const fn may_leave(&self) -> bool {
        matches!(self.stage, UpdateStage::Removing | UpdateStage::Ended)
    }
}
