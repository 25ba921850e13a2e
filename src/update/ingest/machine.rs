//! Transitions of the upload machine.

use super::super::VersionClaim;
use super::acceptance::{AcceptanceResult, Standing, check_acceptance, lower_version};
use super::{Effect, Ingest, Input, Refusal, State, Step, Transition, check};
use crate::audit::UploadFailure;
use crate::audit::{Action, AuditDraft};
use crate::manifest::{ActorId, IngestId};
use crate::primitive::{Id, Text};
use crate::store::{BlobRef, Generation, Sha256, VersionId};
use time::OffsetDateTime;

/// Applies an input to an upload. Every input has a result in every state.
///
/// # Errors
/// The [`Refusal`] of an input that cannot be true of this upload, contradicts its record, or comes too early or too
/// late.
///
/// ```
/// # use fhir_devices::{manifest::IngestId, store::{BlobRef, Generation}, update::ingest::*};
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (mut ingest, _) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// let blob = BlobRef::of(b"firmware");
/// assert_eq!(step(&ingest, &Input::BytesReceived { blob }, now)?, Step::Perform(Effect::HoldBytes { blob }));
/// let held = Input::BytesHeld { blob, generation: Generation(1) };
/// let Step::Transition(transition) = step(&ingest, &held, now)? else { panic!() };
/// assert_eq!(transition.effect, Some(Effect::CommitBytes { blob, generation: Generation(1) }));
/// ingest.state = transition.state;
/// assert_eq!(step(&ingest, &held, now), Ok(Step::Unchanged));
/// let other = Input::BytesReceived { blob: BlobRef::of(b"software") };
/// assert_eq!(step(&ingest, &other, now), Err(Refusal::OtherContent));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(ingest: &Ingest, input: &Input, now: OffsetDateTime) -> Result<Step, Refusal> {
    let at = At { ingest, now };
    match input {
        Input::Progressed => at.progressed(),
        Input::BytesReceived { blob } => at.received(*blob),
        Input::CheckFailed { reason } if !reason.is_fault() => Err(Refusal::NoFault),
        Input::CheckFailed { reason } => at.check_failed(*reason),
        Input::BytesHeld { blob, generation } => at.held(*blob, *generation),
        Input::BytesCommitted { generation } => at.committed(*generation),
        Input::DeadlineReached => at.deadline_reached(),
        Input::TargetRead { component, version, accepted, claim, reported } => {
            let read = Standing { accepted: accepted.as_ref(), claim: claim.as_ref(), reported };
            at.target_read(component, *version, &read)
        }
        Input::TargetLost => at.turned_away(UploadFailure::TargetLost, None),
        Input::NotAdmitted { why } => at.turned_away(UploadFailure::NotAdmitted, why.as_ref()),
        Input::ReferenceWritten { component, version } => at.written(component, *version),
        Input::Conflicted { attempt } => at.conflicted(*attempt),
        Input::Superseded { by, restored } => at.superseded(*by, *restored),
        Input::RestoreRequested { by, why } => at.restore_requested(by, why),
        Input::ReferenceRestored { component, restored } => at.reference_restored(component, *restored),
        Input::RestoreFailed => at.restore_failed(),
        Input::ReferenceMissing { component, version } => at.missing(component, *version),
        Input::ReferenceLost { component, version } => at.lost(component, *version),
        Input::Withdrawn { by, why } => at.withdrawn(by, why),
        Input::Retired { by } => at.retired(by.as_ref()),
        Input::ReferenceDropped { component } => at.dropped(component),
        Input::ReferenceMarked { component, until } => at.marked(component, *until),
        Input::RetentionEnded => at.retention_ended(),
        Input::BytesReleased { generation } => at.released(*generation),
        Input::Moved { generation } => at.moved(*generation),
    }
}

/// Upload at a time, with a method for each input.
struct At<'a> {
    ingest: &'a Ingest,
    now: OffsetDateTime,
}

type Answer = Result<Step, Refusal>;

const UNCHANGED: Answer = Ok(Step::Unchanged);

impl At<'_> {
    fn to(&self, action: Action, state: State) -> Transition {
        let audit = self.ingest.draft(self.now, action, Some(self.ingest.state.name()), &state);
        Transition { effect: super::resume(&state), accepted: None, claim: None, audit, state }
    }

    fn go(&self, action: Action, state: State) -> Answer {
        Ok(Step::Transition(self.to(action, state)))
    }

    fn later(&self) -> OffsetDateTime {
        self.now.saturating_add(time::Duration::seconds(i64::from(self.ingest.limits.lease_seconds)))
    }

    /// Ends the upload: at once if nothing is held, otherwise by a release.
    fn end(&self, action: Action, reason: UploadFailure) -> Transition {
        let (blob, generation, component) = match &self.ingest.state {
            State::Open { .. } | State::Closed { .. } => return self.to(action, State::Closed { reason }),
            State::Acquired { blob, generation, .. } => (blob, generation, None),
            State::Stored { blob, generation, target, .. } => (blob, generation, target.clone()),
            State::Attached { blob, generation, component, .. }
            | State::Superseded { blob, generation, component, .. }
            | State::Restoring { blob, generation, component, .. }
            | State::Withdrawn { blob, generation, component, .. } => (blob, generation, Some(component.clone())),
            State::Releasing { blob, generation, component, .. } => (blob, generation, component.clone()),
        };
        self.to(action, State::Releasing { blob: *blob, generation: *generation, component, reason })
    }

    fn fail(&self, reason: UploadFailure) -> Answer {
        Ok(Step::Transition(self.end(Action::Failed, reason)))
    }

    fn progressed(&self) -> Answer {
        let deadline = self.later();
        match &self.ingest.state {
            State::Open { deadline: known } | State::Acquired { deadline: known, .. } if deadline <= *known => {
                UNCHANGED
            }
            State::Open { .. } => self.go(Action::Extended, State::Open { deadline }),
            State::Acquired { blob, generation, .. } => {
                self.go(Action::Extended, State::Acquired { blob: *blob, generation: *generation, deadline })
            }
            State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => {
                UNCHANGED
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn received(&self, blob: BlobRef) -> Answer {
        match &self.ingest.state {
            State::Open { .. } => match check(&self.ingest.intent, &self.ingest.limits, &blob) {
                Ok(()) => Ok(Step::Perform(Effect::HoldBytes { blob })),
                Err(reason) => self.fail(reason),
            },
            State::Acquired { blob: known, generation, .. } if *known == blob => {
                Ok(Step::Perform(Effect::CommitBytes { blob, generation: *generation }))
            }
            State::Stored { blob: known, .. }
            | State::Attached { blob: known, .. }
            | State::Superseded { blob: known, .. }
            | State::Restoring { blob: known, .. }
                if *known == blob =>
            {
                UNCHANGED
            }
            State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::OtherContent),
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn check_failed(&self, reason: UploadFailure) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => self.fail(reason),
            State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => {
                Err(Refusal::AlreadyStored)
            }
            State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => self.ended(reason),
        }
    }

    /// Returns the answer for an upload that fails or failed: unchanged for the same reason, otherwise a refusal.
    fn ended(&self, wanted: UploadFailure) -> Answer {
        match &self.ingest.state {
            State::Releasing { reason, .. } | State::Closed { reason } if *reason == wanted => UNCHANGED,
            State::Withdrawn { .. } if wanted == UploadFailure::Withdrawn => UNCHANGED,
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::NotReleasing),
        }
    }

    fn held(&self, blob: BlobRef, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Open { .. } => match check(&self.ingest.intent, &self.ingest.limits, &blob) {
                Ok(()) => self.go(Action::Acquired, State::Acquired { blob, generation, deadline: self.later() }),
                Err(_) => Err(Refusal::NotDeclared),
            },
            State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => {
                if self.ingest.state.held() == Some((blob, generation)) {
                    UNCHANGED
                } else {
                    Err(Refusal::OtherContent)
                }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn committed(&self, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Open { .. } => Err(Refusal::NotHeld),
            State::Acquired { blob, generation: known, .. } if *known == generation => {
                self.go(Action::Stored, State::Stored { blob: *blob, generation, target: None, attempts: 0 })
            }
            State::Stored { generation: known, .. }
            | State::Attached { generation: known, .. }
            | State::Superseded { generation: known, .. }
            | State::Restoring { generation: known, .. }
                if *known == generation =>
            {
                UNCHANGED
            }
            State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::OtherContent),
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn deadline_reached(&self) -> Answer {
        match &self.ingest.state {
            State::Open { deadline } | State::Acquired { deadline, .. } => {
                if self.now < *deadline {
                    Err(Refusal::NotDue)
                } else {
                    self.fail(UploadFailure::UploadLost)
                }
            }
            State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. }
            | State::Releasing { .. }
            | State::Withdrawn { .. }
            | State::Closed { .. } => UNCHANGED,
        }
    }

    fn target_read(&self, component: &Id, version: VersionId, standing: &Standing<'_>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => Err(Refusal::NotStored),
            State::Stored { blob, generation, target: None, attempts } => {
                let (intent, id) = (&self.ingest.intent, self.ingest.id);
                let checked = match check_acceptance(intent, id, component, Some(blob.digest), standing, self.now) {
                    Ok(checked) => checked,
                    Err(refused) => return self.fail(refused.reason()),
                };
                let write = Effect::WriteReference {
                    component: component.clone(),
                    version,
                    blob: *blob,
                    generation: *generation,
                };
                let mut to = self.to(
                    Action::Targeted,
                    State::Stored {
                        blob: *blob,
                        generation: *generation,
                        target: Some(component.clone()),
                        attempts: *attempts,
                    },
                );
                let accepted = standing.accepted;
                if accepted.is_some_and(|last| last.by != id && Some(last.highest) >= intent.sequence) {
                    to.audit.downgrade.clone_from(&intent.downgrade);
                }
                self.tell_leaves(&mut to.audit, standing, &checked);
                (to.accepted, to.claim, to.effect) = (checked.accepted, checked.claim, Some(write));
                Ok(Step::Transition(to))
            }
            // A fixed target stays fixed: a late worker may still write there.
            State::Stored { target: Some(target), .. } if target != component => self.fail(UploadFailure::TargetLost),
            State::Stored { blob, generation, .. } => {
                if let Some(reason) = self.overtaken(component, blob.digest, standing) {
                    return self.fail(reason);
                }
                let (component, blob, generation) = (component.clone(), *blob, *generation);
                Ok(Step::Perform(Effect::WriteReference { component, version, blob, generation }))
            }
            State::Attached { component: known, .. }
            | State::Superseded { component: known, .. }
            | State::Restoring { component: known, .. } => {
                if known == component {
                    UNCHANGED
                } else {
                    Err(Refusal::AlreadyAttached)
                }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    /// Records the permissions that were used in the audit record, and what they override.
    fn tell_leaves(&self, audit: &mut AuditDraft, standing: &Standing<'_>, checked: &AcceptanceResult) {
        let intent = &self.ingest.intent;
        if let (Some(before), Some(_)) = (standing.claim, &checked.claim) {
            (audit.replaces, audit.actor) = (Some(before.sha256), intent.sender.clone());
        }
        if let (Some(lower), Some(leave)) = (&checked.lower, &intent.lower) {
            (audit.reported, audit.actor) = (Text::new(lower.reported.as_str()).ok(), Some(leave.by.clone()));
            audit.comment = Text::new(leave.reason.as_str()).ok();
        }
    }

    /// Returns the reason why an upload with a fixed component fails now. A lower version was read before it was
    /// accepted.
    fn overtaken(&self, component: &Id, sha256: Sha256, standing: &Standing<'_>) -> Option<UploadFailure> {
        let (intent, id) = (&self.ingest.intent, self.ingest.id);
        // An upload without a number comes before every one with a number: Rust orders `None` first.
        if standing.accepted.is_some_and(|last| last.by != id && Some(last.highest) >= intent.sequence) {
            return Some(UploadFailure::Superseded);
        }
        if VersionClaim::next(standing.claim, component, intent, sha256, id, true).is_err() {
            return Some(UploadFailure::VersionTaken);
        }
        let lower = lower_version(intent, standing.reported);
        (lower.is_some() && intent.lower.is_none()).then_some(UploadFailure::LowerVersion)
    }

    /// Handles a device to which the upload may no longer be attached.
    fn turned_away(&self, reason: UploadFailure, why: Option<&Text>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => {
                let mut to = self.end(Action::Failed, reason);
                to.audit.comment = why.cloned();
                Ok(Step::Transition(to))
            }
            State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => {
                Err(Refusal::AlreadyAttached)
            }
            State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => self.ended(reason),
        }
    }

    fn written(&self, component: &Id, version: VersionId) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => Err(Refusal::NotStored),
            State::Stored { target: Some(target), .. } if target != component => Err(Refusal::OtherTarget),
            // Records of format 1 had no target before the reference.
            State::Stored { blob, generation, .. } => self.go(
                Action::Attached,
                State::Attached {
                    blob: *blob,
                    generation: *generation,
                    component: component.clone(),
                    version,
                    restored: 0,
                },
            ),
            State::Attached { component: known, version: at, .. }
            | State::Superseded { component: known, version: at, .. }
            | State::Restoring { component: known, version: at, .. } => {
                if known == component && *at == version {
                    UNCHANGED
                } else {
                    Err(Refusal::AlreadyAttached)
                }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn conflicted(&self, attempt: u16) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => Err(Refusal::NotStored),
            State::Stored { attempts, .. } if attempt < *attempts => UNCHANGED,
            State::Stored { attempts, .. } if attempt > *attempts => Err(Refusal::NoSuchAttempt),
            State::Stored { blob, generation, target, attempts } => {
                let next = attempts.saturating_add(1);
                if next >= self.ingest.limits.max_attempts.max(1) {
                    return self.fail(UploadFailure::Contended);
                }
                let (blob, generation, target) = (*blob, *generation, target.clone());
                self.go(Action::Retried, State::Stored { blob, generation, target, attempts: next })
            }
            State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn superseded(&self, by: IngestId, seen: u32) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } | State::Restoring { .. } if by == self.ingest.id => Err(Refusal::NotSuperseded),
            State::Attached { restored, .. } | State::Restoring { restored, .. } if seen > *restored => {
                Err(Refusal::NoSuchAttempt)
            }
            // The observation is from before a restoration, which may still be in progress.
            State::Attached { restored, .. } | State::Restoring { restored, .. } if seen < *restored => UNCHANGED,
            State::Attached { blob, generation, component, version, restored }
            | State::Restoring { blob, generation, component, version, restored, .. } => {
                let (blob, generation, component, version) = (*blob, *generation, component.clone(), *version);
                let restored = *restored;
                self.go(Action::Superseded, State::Superseded { blob, generation, component, version, by, restored })
            }
            State::Superseded { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn restore_requested(&self, actor: &ActorId, why: &Text) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } | State::Restoring { .. } => UNCHANGED,
            State::Superseded { blob, generation, component, version, by, restored } => {
                let mut to = self.to(
                    Action::Restored,
                    State::Restoring {
                        blob: *blob,
                        generation: *generation,
                        component: component.clone(),
                        version: *version,
                        by: *by,
                        restored: restored.saturating_add(1),
                    },
                );
                (to.audit.actor, to.audit.comment) = (Some(actor.clone()), Some(why.clone()));
                Ok(Step::Transition(to))
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn reference_restored(&self, component: &Id, seen: u32) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { component: known, .. }
            | State::Superseded { component: known, .. }
            | State::Restoring { component: known, .. }
                if known != component =>
            {
                Err(Refusal::OtherTarget)
            }
            State::Attached { restored, .. }
            | State::Superseded { restored, .. }
            | State::Restoring { restored, .. }
                if seen > *restored =>
            {
                Err(Refusal::NoSuchAttempt)
            }
            State::Restoring { blob, generation, component, version, restored, .. } if seen == *restored => {
                let (blob, generation, component, version) = (*blob, *generation, component.clone(), *version);
                let restored = *restored;
                self.go(Action::MadeCurrent, State::Attached { blob, generation, component, version, restored })
            }
            State::Attached { .. } | State::Superseded { .. } | State::Restoring { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn missing(&self, component: &Id, seen: VersionId) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { component: known, .. } | State::Superseded { component: known, .. }
                if known != component =>
            {
                Err(Refusal::OtherTarget)
            }
            // The component was read before the reference was written.
            State::Attached { version, .. } | State::Superseded { version, .. } if seen < *version => UNCHANGED,
            State::Attached { blob, generation, component, restored, .. } => {
                let (blob, generation, component, restored) = (*blob, *generation, component.clone(), *restored);
                let version = seen.next();
                self.go(Action::Reattached, State::Attached { blob, generation, component, version, restored })
            }
            State::Superseded { blob, generation, component, by, restored, .. } => {
                let (blob, generation, component) = (*blob, *generation, component.clone());
                let (version, by, restored) = (seen.next(), *by, *restored);
                self.go(Action::Reattached, State::Superseded { blob, generation, component, version, by, restored })
            }
            // The component is written next in any case.
            State::Restoring { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn lost(&self, component: &Id, seen: Option<VersionId>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { component: known, .. } | State::Superseded { component: known, .. }
                if known != component =>
            {
                Err(Refusal::OtherTarget)
            }
            State::Attached { version, .. } | State::Superseded { version, .. }
                if seen.is_some_and(|seen| seen < *version) =>
            {
                UNCHANGED
            }
            State::Attached { .. } | State::Superseded { .. } => {
                Ok(Step::Transition(self.end(Action::Lost, UploadFailure::Lost)))
            }
            State::Restoring { .. } => UNCHANGED,
            State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => self.ended(UploadFailure::Lost),
        }
    }

    fn restore_failed(&self) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } | State::Superseded { .. } => UNCHANGED,
            State::Restoring { blob, generation, component, version, by, restored } => {
                let (blob, generation, component, version) = (*blob, *generation, component.clone(), *version);
                // The number is not reused: a component that comes back may have it.
                let (by, restored) = (*by, *restored);
                self.go(Action::NotRestored, State::Superseded { blob, generation, component, version, by, restored })
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } => Err(Refusal::Withdrawn),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn withdrawn(&self, by: &ActorId, why: &Text) -> Answer {
        match &self.ingest.state {
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => {
                let mut to = self.end(Action::Withdrawn, UploadFailure::Withdrawn);
                (to.audit.actor, to.audit.comment) = (Some(by.clone()), Some(why.clone()));
                Ok(Step::Transition(to))
            }
            State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => {
                self.ended(UploadFailure::Withdrawn)
            }
        }
    }

    fn retired(&self, by: Option<&ActorId>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } | State::Restoring { .. } => Err(Refusal::NotSuperseded),
            State::Superseded { .. } => {
                let mut to = self.end(Action::Retired, UploadFailure::Superseded);
                to.audit.actor = by.cloned();
                Ok(Step::Transition(to))
            }
            State::Releasing { .. } | State::Withdrawn { .. } | State::Closed { .. } => {
                self.ended(UploadFailure::Superseded)
            }
        }
    }

    fn marked(&self, component: &Id, until: OffsetDateTime) -> Answer {
        match &self.ingest.state {
            State::Releasing { component: Some(known), .. } if known != component => Err(Refusal::OtherTarget),
            State::Releasing { blob, generation, component: Some(_), reason: UploadFailure::Withdrawn } => {
                let (blob, generation, component) = (*blob, *generation, component.clone());
                self.go(Action::Marked, State::Withdrawn { blob, generation, component, until, released: false })
            }
            State::Releasing { component: Some(_), .. } => Err(Refusal::Releasing),
            State::Releasing { component: None, .. } | State::Withdrawn { .. } | State::Closed { .. } => UNCHANGED,
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::NotReleasing),
        }
    }

    fn retention_ended(&self) -> Answer {
        match &self.ingest.state {
            State::Withdrawn { blob, generation, released: false, .. } => {
                Ok(Step::Perform(Effect::ReleaseBytes { blob: *blob, generation: *generation }))
            }
            State::Withdrawn { until, .. } if self.now < *until => Err(Refusal::NotDue),
            State::Withdrawn { component, .. } => {
                Ok(Step::Perform(Effect::DropReference { component: component.clone() }))
            }
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. }
            | State::Releasing { .. }
            | State::Closed { .. } => UNCHANGED,
        }
    }

    fn dropped(&self, component: &Id) -> Answer {
        match &self.ingest.state {
            State::Releasing { component: None, .. } | State::Closed { .. } => UNCHANGED,
            State::Releasing { component: Some(known), .. } if known != component => Err(Refusal::OtherTarget),
            State::Releasing { blob, generation, reason, .. } => {
                let (blob, generation, reason) = (*blob, *generation, *reason);
                let mut to = self.to(Action::Detached, State::Releasing { blob, generation, component: None, reason });
                to.audit.component = Some(component.clone());
                Ok(Step::Transition(to))
            }
            State::Withdrawn { component: known, .. } if known != component => Err(Refusal::OtherTarget),
            State::Withdrawn { released: false, .. } => Err(Refusal::NotDue),
            State::Withdrawn { until, .. } if self.now < *until => Err(Refusal::NotDue),
            State::Withdrawn { .. } => {
                let mut to = self.to(Action::Detached, State::Closed { reason: UploadFailure::Withdrawn });
                to.audit.component = Some(component.clone());
                Ok(Step::Transition(to))
            }
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::NotReleasing),
        }
    }

    fn released(&self, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Closed { .. } | State::Withdrawn { released: true, .. } => UNCHANGED,
            State::Releasing { component: Some(_), .. } => Err(Refusal::StillReferenced),
            State::Releasing { generation: known, .. } | State::Withdrawn { generation: known, .. }
                if *known != generation =>
            {
                Err(Refusal::OtherContent)
            }
            State::Releasing { reason, .. } => self.go(Action::Closed, State::Closed { reason: *reason }),
            State::Withdrawn { blob, generation, component, until, .. } => {
                let (blob, generation, component, until) = (*blob, *generation, component.clone(), *until);
                self.go(Action::Released, State::Withdrawn { blob, generation, component, until, released: true })
            }
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Restoring { .. } => Err(Refusal::NotReleasing),
        }
    }

    /// Moves an attached or superseded upload to another generation: a writer of a reference reads the record first,
    /// and not the bytes.
    fn moved(&self, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Attached { generation: known, .. } | State::Superseded { generation: known, .. }
                if *known == generation =>
            {
                UNCHANGED
            }
            State::Attached { blob, component, version, restored, .. } => {
                let (blob, component, version, restored) = (*blob, component.clone(), *version, *restored);
                self.go(Action::Repaired, State::Attached { blob, generation, component, version, restored })
            }
            State::Superseded { blob, component, version, restored, by, .. } => {
                let (blob, component, version, by) = (*blob, component.clone(), *version, *by);
                let restored = *restored;
                self.go(Action::Repaired, State::Superseded { blob, generation, component, version, restored, by })
            }
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } | State::Restoring { .. } => {
                Err(Refusal::NotAttached)
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Withdrawn { .. } | State::Closed { .. } => Err(Refusal::Closed),
        }
    }
}
