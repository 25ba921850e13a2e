//! Decisions for a component whose reference differs from the record of its upload, from what was read. The caller
//! reads the component first, then the record, and writes the component only if it is still as it was read.

use super::UpdateStatus;
use super::ingest::{Ingest, Input, State};
use crate::primitive::Id;
use crate::store::VersionId;
use time::OffsetDateTime;

/// Policy for an upload whose component no longer refers to it. The reference of a withdrawn upload is written again in
/// any case, until its retention ends.
///
/// ```
/// use fhir_devices::update::reconcile::MissingReferences;
/// assert_eq!(MissingReferences::default(), MissingReferences::Reattach);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingReferences {
    /// The reference is written again. If the component was deleted, that waits until it is created again.
    #[default]
    Reattach,
    /// The upload ends with the reason `lost`, and its bytes are released.
    MarkLost,
}

/// Reference found in a component, compared with the [expected one](expected_reference).
///
/// ```
/// use fhir_devices::update::reconcile::FoundReference;
/// assert_ne!(FoundReference::Missing, FoundReference::ComponentDeleted);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoundReference {
    /// The component does not exist.
    ComponentDeleted,
    /// The component has no reference of the upload.
    Missing,
    /// The reference differs, or is malformed.
    Changed,
    /// The reference is as expected.
    Same,
}

/// Decision about the reference of an upload.
///
/// ```
/// use fhir_devices::update::reconcile::Decision;
/// assert_ne!(Decision::Settled, Decision::Write);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing to do.
    Settled,
    /// Nothing to do until the component is created again.
    AwaitComponent,
    /// The upload is given up by [`Input::ReferenceLost`].
    Lose,
    /// The expected reference is written.
    Write,
}

/// Relation of another update of the component to the one to be written as current.
///
/// ```
/// use fhir_devices::update::reconcile::OtherUpdate;
/// assert_ne!(OtherUpdate::Earlier, OtherUpdate::Later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtherUpdate {
    /// The other update is left unchanged.
    Unrelated,
    /// The other update must be marked as superseded.
    Earlier,
    /// The other update supersedes the one to be written: the component must show that first, and the record follows by
    /// [`Input::Superseded`].
    Later,
    /// The other update is being attached or made current, which handles the others. Nothing is written meanwhile.
    Unsettled,
}

/// Record made before a reference is written.
///
/// ```
/// use fhir_devices::update::reconcile::Announcement;
/// assert_ne!(Announcement::Made, Announcement::Recall);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is looked at and taken apart at once")]
pub enum Announcement {
    /// The announcement was recorded before, and the reference was not written.
    Made,
    /// The reference of a withdrawn update is written again: a record of the audit chain only.
    Recall,
    /// This input of the upload machine.
    Missing(Input),
}

/// Returns the component that must refer to an upload at rest; for a withdrawn one only until its retention ends.
///
/// ```
/// # use fhir_devices::store::{BlobRef, Generation};
/// # use fhir_devices::update::{ingest::State, reconcile::component_to_refer};
/// # let now = time::macros::datetime!(2017-04-19 10:00 UTC);
/// # let blob = BlobRef::of(b"firmware");
/// let component = "ecg".parse()?;
/// let withdrawn = State::Withdrawn { blob, generation: Generation(1), component, until: now, released: true };
/// let before = now - time::Duration::seconds(1);
/// assert_eq!(component_to_refer(&withdrawn, before).map(|id| id.as_str()), Some("ecg"));
/// assert_eq!(component_to_refer(&withdrawn, now), None);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[must_use]
pub fn component_to_refer(state: &State, now: OffsetDateTime) -> Option<&Id> {
    match state {
        State::Attached { component, .. } | State::Superseded { component, .. } => Some(component),
        State::Withdrawn { component, until, released: true, .. } if now < *until => Some(component),
        _ => None,
    }
}

/// Returns the expected status of an upload in its component, and the expected count of restorations; `None` where no
/// reference is expected yet, or any more.
///
/// ```
/// # use fhir_devices::update::{ingest::State, reconcile::expected_reference};
/// # use fhir_devices::audit::UploadFailure;
/// assert_eq!(expected_reference(&State::Closed { reason: UploadFailure::Lost }), None);
/// ```
#[must_use]
pub const fn expected_reference(state: &State) -> Option<(UpdateStatus, u32)> {
    match state {
        State::Stored { .. } => Some((UpdateStatus::Current, 0)),
        State::Attached { restored, .. } => Some((UpdateStatus::Current, *restored)),
        State::Superseded { restored, .. } => Some((UpdateStatus::Superseded, *restored)),
        State::Restoring { restored, .. } => Some((UpdateStatus::Superseded, restored.saturating_sub(1))),
        State::Withdrawn { .. } => Some((UpdateStatus::Withdrawn, 0)),
        State::Releasing { .. } | State::Open { .. } | State::Acquired { .. } | State::Closed { .. } => None,
    }
}

/// Returns whether a reference in a component belongs to no upload of it, by the state of the upload that it names.
///
/// ```
/// # use fhir_devices::update::reconcile::is_unknown;
/// assert!(is_unknown(&"ecg".parse()?, None));
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[must_use]
pub fn is_unknown(component: &Id, named: Option<&State>) -> bool {
    named.and_then(State::component) != Some(component)
}

/// Decides about the reference of an upload for which [a reference is required](component_to_refer).
///
/// ```
/// # use fhir_devices::update::ingest::State;
/// # use fhir_devices::audit::UploadFailure;
/// # use fhir_devices::update::reconcile::{Decision, FoundReference, MissingReferences, decide};
/// # let state = State::Closed { reason: UploadFailure::Lost };
/// assert_eq!(decide(&state, FoundReference::Same, MissingReferences::Reattach), Decision::Settled);
/// ```
#[must_use]
pub const fn decide(state: &State, found: FoundReference, missing: MissingReferences) -> Decision {
    let is_recall = matches!(state, State::Withdrawn { .. });
    match (found, missing) {
        (FoundReference::Same, _) => Decision::Settled,
        // A deleted component needs no withdrawn reference.
        (FoundReference::ComponentDeleted, _) if is_recall => Decision::Settled,
        (FoundReference::ComponentDeleted, MissingReferences::Reattach) => Decision::AwaitComponent,
        (FoundReference::ComponentDeleted | FoundReference::Missing, MissingReferences::MarkLost) if !is_recall => {
            Decision::Lose
        }
        _ => Decision::Write,
    }
}

/// Compares an update that is to be written with another one that the component also shows as current.
///
/// The one that became current later remains current. The order is that of [`Ingest::current_since`], since a reference
/// that is written again is not a later update.
#[must_use]
pub fn compare(written: &Ingest, other: &Ingest) -> OtherUpdate {
    let State::Attached { component, .. } = &written.state else { return OtherUpdate::Unrelated };
    if is_unknown(component, Some(&other.state)) {
        return OtherUpdate::Unrelated;
    }
    match &other.state {
        State::Attached { .. } if other.current_since() >= written.current_since() => OtherUpdate::Later,
        State::Superseded { .. } | State::Attached { .. } => OtherUpdate::Earlier,
        // The writer that attaches or restores the other update marks this one.
        State::Stored { .. } | State::Restoring { .. } => OtherUpdate::Unsettled,
        _ => OtherUpdate::Unrelated,
    }
}

/// Returns what to record before the reference of an upload is written over a version of its component.
#[must_use]
pub fn announce(ingest: &Ingest, component: &Id, read: VersionId) -> Announcement {
    if matches!(ingest.state, State::Withdrawn { .. }) {
        return Announcement::Recall;
    }
    if ingest.state.attached_to() == Some((component, read.next())) {
        return Announcement::Made;
    }
    Announcement::Missing(Input::ReferenceMissing { component: component.clone(), version: read })
}
