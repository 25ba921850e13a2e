//! State machine of a release.

use super::super::rollout::{Action, Event};
use super::{Release, ReleasedFile, Sha1, State};
use crate::manifest::{ActorId, Note};
use crate::store::{BlobKey, BlobRef, Generation};
use time::OffsetDateTime;

/// Input of the release machine.
///
/// ```
/// use fhir_devices::update::release::Input;
/// assert_ne!(Input::Released, Input::DeadlineReached);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The blob ledger holds bytes for the release.
    BytesHeld {
        /// Digest and size.
        blob: BlobRef,
        /// Generation of the blob.
        generation: Generation,
    },
    /// The SHA-1 digest of a file was computed, in one read that also verified its SHA-256 digest.
    BytesHashed {
        /// Digest and size.
        blob: BlobRef,
        /// SHA-1 digest.
        sha1: Sha1,
    },
    /// The release is to be rolled out.
    Released,
    /// The withdrawal of the release was requested.
    WithdrawRequested {
        /// Actor that asked for it.
        by: ActorId,
        /// Reason given.
        why: Note,
        /// Whether a rollout of the release has not ended.
        in_use: bool,
    },
    /// The deadline of the draft was reached.
    DeadlineReached,
    /// The holds of the release on the bytes were released.
    HoldsReleased,
}

/// Effect to perform. It is idempotent.
///
/// ```
/// use fhir_devices::{store::BlobRef, update::release::Effect};
/// assert_ne!(Effect::ReleaseHolds, Effect::HoldBytes { blob: BlobRef::of(b"firmware") });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Hold bytes of the store for the release.
    HoldBytes {
        /// Digest and size.
        blob: BlobRef,
    },
    /// Read a blob once, and compute its SHA-1 digest.
    HashBytes {
        /// Key of the blob.
        key: BlobKey,
    },
    /// Release the holds on the bytes.
    ReleaseHolds,
}

/// Transition: what to write in one commit, and the effect after it.
///
/// Returned by [`step`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// New record of the release.
    pub release: Release,
    /// Audit event of the transition.
    pub event: Event,
    /// Effect to perform after the commit.
    pub effect: Option<Effect>,
}

/// Result of an input.
///
/// ```
/// use fhir_devices::update::release::Step;
/// assert_eq!(Step::Unchanged, Step::Unchanged.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum Step {
    /// The state changes.
    Transition(Transition),
    /// The input was applied before, or is obsolete.
    Unchanged,
}

/// Reason why an input of the release machine is refused.
///
/// ```
/// use fhir_devices::update::release::Refusal;
/// assert_eq!(Refusal::InUse.to_string(), "a rollout of the release has not ended, and is to be cancelled first");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The release has no such file.
    #[error("the release has no file with these bytes")]
    OtherBytes,
    /// The bytes or the digest differ from the recorded ones.
    #[error("the bytes are known by another generation or digest")]
    Contradicted,
    /// The bytes are not held.
    #[error("the bytes are not held for the release")]
    NotHeld,
    /// Bytes or digests are missing.
    #[error("a file of the release is not held or not hashed")]
    NotReady,
    /// A rollout of the release has not ended.
    #[error("a rollout of the release has not ended, and is to be cancelled first")]
    InUse,
    /// The input comes too early.
    #[error("the time for the bytes is not over")]
    NotDue,
    /// The release was not withdrawn.
    #[error("the release was not withdrawn")]
    NotWithdrawn,
    /// The release is withdrawn.
    #[error("the release is withdrawn")]
    Withdrawn,
}

/// Returns the outstanding effect of a release.
#[must_use]
pub fn resume(release: &Release) -> Option<Effect> {
    match release.state {
        State::Draft { .. } => release.request.files.iter().find_map(|file| match (file.generation, file.sha1) {
            (None, _) => Some(Effect::HoldBytes { blob: file.blob }),
            (Some(generation), None) => Some(Effect::HashBytes { key: file.blob.key(generation) }),
            (Some(_), Some(_)) => None,
        }),
        State::Withdrawing => Some(Effect::ReleaseHolds),
        State::Released | State::Withdrawn => None,
    }
}

/// Applies an input to a release. Every input has a result in every state.
///
/// # Errors
/// The [`Refusal`] of an input that cannot be true of this release, or comes too early or too late.
///
/// ```
/// # use fhir_devices::manifest::ReleaseId;
/// # use fhir_devices::{manifest::{ProductionSpec, VersionScheme}, nomenclature::Level, store::{BlobRef, Generation}, update::release::*};
/// # let blob = BlobRef::of(b"firmware");
/// # let request = Request {
/// #     provider: Some("acme".parse()?), name: "pump/main".parse()?, version: "2.4.0".parse()?, scheme: VersionScheme::Semver,
/// #     sequence: 6, manifest: None, files: vec![ReleasedFile::new("pump.bin".parse()?, "application/zip".parse()?, blob)],
/// #     target: Target { level: Some(Level::Mds), code: None }, reported_as: ProductionSpec::Software, upload: None,
/// # };
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (release, _) = Release::draft(ReleaseId(7), request, "biomed/j.doe".parse()?, now, time::Duration::HOUR)?;
/// assert_eq!(resume(&release), Some(Effect::HoldBytes { blob }));
/// assert_eq!(step(&release, &Input::Released, now), Err(Refusal::NotReady));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(release: &Release, input: &Input, now: OffsetDateTime) -> Result<Step, Refusal> {
    match input {
        Input::BytesHeld { blob, generation } => {
            file_changed(release, now, *blob, Action::BytesHeld, |file| match file.generation {
                Some(known) if known == *generation => Ok(false),
                Some(_) => Err(Refusal::Contradicted),
                None => {
                    file.generation = Some(*generation);
                    Ok(true)
                }
            })
        }
        Input::BytesHashed { blob, sha1 } => {
            file_changed(release, now, *blob, Action::BytesHashed, |file| match (file.generation, file.sha1) {
                (None, _) => Err(Refusal::NotHeld),
                (_, Some(known)) if known == *sha1 => Ok(false),
                (_, Some(_)) => Err(Refusal::Contradicted),
                (Some(_), None) => {
                    file.sha1 = Some(*sha1);
                    Ok(true)
                }
            })
        }
        Input::Released => match release.state {
            State::Draft { .. } if resume(release).is_some() => Err(Refusal::NotReady),
            State::Draft { .. } => {
                let released = Release { released_at: Some(now), state: State::Released, ..release.clone() };
                Ok(to(released, Action::Released, now))
            }
            State::Released => Ok(Step::Unchanged),
            State::Withdrawing | State::Withdrawn => Err(Refusal::Withdrawn),
        },
        Input::WithdrawRequested { by, why, in_use } => match release.state {
            State::Draft { .. } | State::Released if *in_use => Err(Refusal::InUse),
            State::Draft { .. } | State::Released => {
                let withdrawing = Release { state: State::Withdrawing, ..release.clone() };
                let event = withdrawing.event(Action::ReleaseWithdrawn, now);
                let event = Event { actor: Some(by.clone()), comment: Some(why.clone()), ..event };
                Ok(Step::Transition(Transition { effect: resume(&withdrawing), release: withdrawing, event }))
            }
            State::Withdrawing | State::Withdrawn => Ok(Step::Unchanged),
        },
        Input::DeadlineReached => match release.state {
            State::Draft { until } if now < until => Err(Refusal::NotDue),
            State::Draft { .. } => {
                let withdrawing = Release { state: State::Withdrawing, ..release.clone() };
                Ok(to(withdrawing, Action::ReleaseWithdrawn, now))
            }
            State::Released | State::Withdrawing | State::Withdrawn => Ok(Step::Unchanged),
        },
        Input::HoldsReleased => match release.state {
            State::Draft { .. } | State::Released => Err(Refusal::NotWithdrawn),
            State::Withdrawing => {
                let withdrawn = Release { state: State::Withdrawn, ..release.clone() };
                Ok(to(withdrawn, Action::HoldsReleased, now))
            }
            State::Withdrawn => Ok(Step::Unchanged),
        },
    }
}

fn to(release: Release, action: Action, now: OffsetDateTime) -> Step {
    let event = release.event(action, now);
    Step::Transition(Transition { effect: resume(&release), release, event })
}

/// Changes every file with these bytes, and returns the step, if anything changed.
fn file_changed(
    release: &Release,
    now: OffsetDateTime,
    blob: BlobRef,
    action: Action,
    mut change: impl FnMut(&mut ReleasedFile) -> Result<bool, Refusal>,
) -> Result<Step, Refusal> {
    if matches!(release.state, State::Withdrawing | State::Withdrawn) {
        return Err(Refusal::Withdrawn);
    }
    let mut changed = release.clone();
    let (mut found, mut new) = (false, false);
    for file in changed.request.files.iter_mut().filter(|file| file.blob == blob) {
        found = true;
        new |= change(file)?;
    }
    match (found, new) {
        (false, _) => Err(Refusal::OtherBytes),
        (true, false) => Ok(Step::Unchanged),
        (true, true) => Ok(to(changed, action, now)),
    }
}
