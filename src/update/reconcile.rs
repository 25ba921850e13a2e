//! What has to be done where a component says another thing of an upload than the record of the upload: decisions alone, by what
//! was read. Who carries them out reads the component first, then the record, and writes to the component only if it still is
//! as it was read.

use super::UpdateStatus;
use super::ingest::{Ingest, Input, State};
use crate::primitive::Id;
use crate::store::VersionId;
use time::OffsetDateTime;

/// The policy for an upload whose component no longer refers to it. The recall of a withdrawn one is
/// shown again in any case, until its time is over.
///
/// ```
/// use fhir_devices::update::reconcile::MissingReferences;
/// assert_eq!(MissingReferences::default(), MissingReferences::Reattach);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingReferences {
    /// The reference is written again. Where the component is deleted, that waits until it is created again.
    #[default]
    Reattach,
    /// The upload ends with the reason `lost`, and its bytes are released.
    MarkLost,
}

/// The reference found in a component, compared with the [expected one](expected_reference).
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

/// The decision about the reference of an upload.
///
/// ```
/// use fhir_devices::update::reconcile::Decision;
/// assert_ne!(Decision::Settled, Decision::Write);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing.
    Settled,
    /// Nothing until the component is created again.
    AwaitComponent,
    /// The upload is given up, with [`Input::ReferenceLost`].
    Lose,
    /// The reference is written as it has to be.
    Write,
}

/// The relation of another update of the component to the one to be written as current.
///
/// ```
/// use fhir_devices::update::reconcile::OtherUpdate;
/// assert_ne!(OtherUpdate::Earlier, OtherUpdate::Later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtherUpdate {
    /// The update is left as it is.
    Unrelated,
    /// The component has to say that it is superseded.
    Earlier,
    /// The one that was to be written is superseded by it: the component has to say so first, and its record follows with
    /// [`Input::Superseded`].
    Later,
    /// The update is being attached or made current, and whoever does so looks at the others. Nothing is written meanwhile.
    Unsettled,
}

/// What is recorded before a reference is written.
///
/// ```
/// use fhir_devices::update::reconcile::Announcement;
/// assert_ne!(Announcement::Made, Announcement::Recall);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is looked at and taken apart at once")]
pub enum Announcement {
    /// The announcement was recorded, and the reference was not written.
    Made,
    /// That a recall is shown again, in the audit chain alone.
    Recall,
    /// This input.
    Missing(Input),
}

/// The component that has to refer to an upload that is at rest: that of a withdrawn one only until its time is over.
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

/// Returns what the component of an upload has to say of it, and how often it has to say that it was made current
/// again; nothing where it says nothing yet, or no more.
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

/// Returns what has to be done about the reference of an upload that [has to be there](component_to_refer).
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
        // There is nobody to recall it for.
        (FoundReference::ComponentDeleted, _) if is_recall => Decision::Settled,
        (FoundReference::ComponentDeleted, MissingReferences::Reattach) => Decision::AwaitComponent,
        (FoundReference::ComponentDeleted | FoundReference::Missing, MissingReferences::MarkLost) if !is_recall => {
            Decision::Lose
        }
        _ => Decision::Write,
    }
}

/// How another update stands to one that is to be written to the component, of which the component says that it is current as
/// well.
///
/// The one that became current later stays so. When that was is told by [`Ingest::current_since`], since a reference that is
/// written again is no later update.
#[must_use]
pub fn compare(written: &Ingest, other: &Ingest) -> OtherUpdate {
    let State::Attached { component, .. } = &written.state else { return OtherUpdate::Unrelated };
    if is_unknown(component, Some(&other.state)) {
        return OtherUpdate::Unrelated;
    }
    match &other.state {
        State::Attached { .. } if other.current_since() >= written.current_since() => OtherUpdate::Later,
        State::Superseded { .. } | State::Attached { .. } => OtherUpdate::Earlier,
        // Whoever attaches or restores it marks the one that is written here.
        State::Stored { .. } | State::Restoring { .. } => OtherUpdate::Unsettled,
        _ => OtherUpdate::Unrelated,
    }
}

/// Returns what is recorded before the reference of an upload is written over a version of its component.
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
