//! The steps of an upload: what an input leads to, and what is to be done.

use super::super::{Acceptance, Action, ActorId, AuditDraft, IngestId, accept};
use super::{Effect, Ingest, Reason, State, check};
use crate::primitive::{Id, Text};
use crate::store::{BlobRef, Generation, VersionId};
use time::OffsetDateTime;

/// Something that happened.
///
/// ```
/// use fhir_devices::update::ingest::{Input, Reason};
/// assert_ne!(Input::TargetLost, Input::CheckFailed { reason: Reason::Empty });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Some bytes have come, and more are expected.
    Progressed,
    /// All bytes have passed, and are still invisible.
    BytesReceived {
        /// What they are, as measured.
        blob: BlobRef,
    },
    /// The bytes did not stand a check that was made before they had all passed, or as they were committed.
    CheckFailed {
        /// Which check.
        reason: Reason,
    },
    /// The blob ledger holds the bytes for this upload.
    BytesHeld {
        /// Which bytes.
        blob: BlobRef,
        /// Which writing of them.
        generation: Generation,
    },
    /// The bytes are visible under their name, whole, and the blob ledger says so.
    BytesCommitted {
        /// Which writing of them.
        generation: Generation,
    },
    /// The deadline of the state may have come. Where bytes are acquired, the store has been asked for them, in vain.
    DeadlineReached,
    /// The one component that is meant was read, without a reference of this upload in it. After that, this record and the
    /// record of what was accepted for the component were read, in this order or together.
    TargetRead {
        /// The component.
        component: Id,
        /// The version of it that was read.
        version: VersionId,
        /// What was last accepted for it from the provider of this upload.
        accepted: Option<Acceptance>,
    },
    /// The component that was meant is no longer there, or no longer the only one.
    TargetLost,
    /// The component refers to the bytes.
    ReferenceWritten {
        /// The component.
        component: Id,
        /// The version of it that was the first to do so.
        version: VersionId,
    },
    /// Somebody else wrote to the component between the reading and the writing.
    Conflicted {
        /// Which attempt failed: the number that the state gave.
        attempt: u16,
    },
    /// A later update took its place in the component.
    Superseded {
        /// That update.
        by: IngestId,
    },
    /// Somebody took it back.
    Withdrawn {
        /// Who.
        by: ActorId,
        /// Why.
        why: Text,
    },
    /// It is no longer kept, now that a later one has its place.
    Retired {
        /// Who decided so; `None` for a rule of the service.
        by: Option<ActorId>,
    },
    /// The component was written to, or is gone, and has no reference of this upload.
    ReferenceDropped {
        /// The component.
        component: Id,
    },
    /// The blob ledger no longer holds the bytes for this upload.
    BytesReleased {
        /// Which writing of them.
        generation: Generation,
    },
}

/// A step into another state: three things that belong together in one write of the ledger, and what is to be done after it.
///
/// ```
/// # use fhir_devices::update::{Action, IngestId, ingest::*};
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (ingest, _) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// let Step::To(transition) = step(&ingest, &Input::TargetLost, now)? else { panic!() };
/// assert_eq!(transition.state, State::Closed { reason: Reason::TargetLost });
/// assert_eq!(transition.audit.action, Action::Failed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state.
    pub state: State,
    /// What is accepted for the component with this step, where that is new. It is to be written with the state or before it.
    pub accepted: Option<Acceptance>,
    /// What an audit record says of it.
    pub audit: AuditDraft,
    /// What is to be done once it is written: that of [`resume`](super::resume), or the next part of it.
    pub effect: Option<Effect>,
}

/// What an input leads to.
///
/// ```
/// use fhir_devices::update::ingest::{Effect, Step};
/// assert_ne!(Step::Unchanged, Step::Do(Effect::FindTarget));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a step is looked at and taken apart at once")]
pub enum Step {
    /// Another state.
    To(Transition),
    /// The same state, and something to be done in it.
    Do(Effect),
    /// The input was known already, or means nothing any more.
    Unchanged,
}

/// Why an input cannot be true of an upload, or comes too early or too late.
///
/// ```
/// use fhir_devices::update::ingest::Refusal;
/// assert_eq!(Refusal::OtherContent.to_string(), "the upload has other bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Bytes that are not those that were declared.
    #[error("the bytes are not those that were declared")]
    NotDeclared,
    /// A reason that is no fault of the bytes.
    #[error("the reason is no fault of the bytes")]
    NoFault,
    /// Bytes, or a writing of them, that are not those that came before.
    #[error("the upload has other bytes")]
    OtherContent,
    /// Bytes that are committed before they are held.
    #[error("the bytes are not held yet")]
    NotHeld,
    /// A reference to bytes that are not in the store.
    #[error("the bytes are not stored yet")]
    NotStored,
    /// The bytes are in the store, and stood their checks.
    #[error("the bytes are stored already")]
    AlreadyStored,
    /// A component that is not the one that was fixed.
    #[error("the upload is for another component")]
    OtherTarget,
    /// An attempt that was not made yet.
    #[error("the attempt was not made yet")]
    NoSuchAttempt,
    /// The reference is written in another place or version.
    #[error("the reference is written already")]
    AlreadyAttached,
    /// No component refers to the bytes yet.
    #[error("the upload is not attached yet")]
    NotAttached,
    /// No later update has its place.
    #[error("the upload is not superseded")]
    NotSuperseded,
    /// The deadline has not come.
    #[error("the deadline has not come yet")]
    NotDue,
    /// Nothing of it is to be released.
    #[error("the upload is not being released")]
    NotReleasing,
    /// The component has not been written to, and may still refer to the bytes.
    #[error("the component may still refer to the bytes")]
    StillReferenced,
    /// It is coming to nothing.
    #[error("the upload is being released")]
    Releasing,
    /// It has come to nothing.
    #[error("the upload is closed")]
    Closed,
}

/// What an input leads to. Every input has an answer in every state.
///
/// # Errors
/// The [`Refusal`] when it cannot be true of this upload, contradicts what is known, or comes too early or too late.
///
/// ```
/// # use fhir_devices::{store::{BlobRef, Generation}, update::{IngestId, ingest::*}};
/// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let (mut ingest, _) = Ingest::open(IngestId(7), intent, Limits::default(), now);
/// let blob = BlobRef::of(b"firmware");
/// assert_eq!(step(&ingest, &Input::BytesReceived { blob }, now)?, Step::Do(Effect::HoldBytes { blob }));
/// let held = Input::BytesHeld { blob, generation: Generation(1) };
/// let Step::To(transition) = step(&ingest, &held, now)? else { panic!() };
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
        Input::TargetRead { component, version, accepted } => at.target_read(component, *version, accepted.as_ref()),
        Input::TargetLost => at.target_lost(),
        Input::ReferenceWritten { component, version } => at.written(component, *version),
        Input::Conflicted { attempt } => at.conflicted(*attempt),
        Input::Superseded { by } => at.superseded(*by),
        Input::Withdrawn { by, why } => at.withdrawn(by, why),
        Input::Retired { by } => at.retired(by.as_ref()),
        Input::ReferenceDropped { component } => at.dropped(component),
        Input::BytesReleased { generation } => at.released(*generation),
    }
}

/// An upload at a time: what each input leads to from where it stands.
struct At<'a> {
    ingest: &'a Ingest,
    now: OffsetDateTime,
}

type Answer = Result<Step, Refusal>;

const UNCHANGED: Answer = Ok(Step::Unchanged);

impl At<'_> {
    fn to(&self, action: Action, state: State) -> Transition {
        let audit = self.ingest.draft(self.now, action, Some(self.ingest.state.name()), &state);
        Transition { effect: super::resume(&state), accepted: None, audit, state }
    }

    fn go(&self, action: Action, state: State) -> Answer {
        Ok(Step::To(self.to(action, state)))
    }

    fn later(&self) -> OffsetDateTime {
        self.now.saturating_add(time::Duration::seconds(i64::from(self.ingest.limits.lease_seconds)))
    }

    /// The way to the end: at once where nothing is held, else by way of a release.
    fn end(&self, action: Action, reason: Reason) -> Transition {
        let (blob, generation, component) = match &self.ingest.state {
            State::Open { .. } | State::Closed { .. } => return self.to(action, State::Closed { reason }),
            State::Acquired { blob, generation, .. } => (blob, generation, None),
            State::Stored { blob, generation, target, .. } => (blob, generation, target.clone()),
            State::Attached { blob, generation, component, .. }
            | State::Superseded { blob, generation, component, .. } => (blob, generation, Some(component.clone())),
            State::Releasing { blob, generation, component, .. } => (blob, generation, component.clone()),
        };
        self.to(action, State::Releasing { blob: *blob, generation: *generation, component, reason })
    }

    fn fail(&self, reason: Reason) -> Answer {
        Ok(Step::To(self.end(Action::Failed, reason)))
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
            State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn received(&self, blob: BlobRef) -> Answer {
        match &self.ingest.state {
            State::Open { .. } => match check(&self.ingest.intent, &self.ingest.limits, &blob) {
                Ok(()) => Ok(Step::Do(Effect::HoldBytes { blob })),
                Err(reason) => self.fail(reason),
            },
            State::Acquired { blob: known, generation, .. } if *known == blob => {
                Ok(Step::Do(Effect::CommitBytes { blob, generation: *generation }))
            }
            State::Stored { blob: known, .. }
            | State::Attached { blob: known, .. }
            | State::Superseded { blob: known, .. }
                if *known == blob =>
            {
                UNCHANGED
            }
            State::Acquired { .. } | State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } => {
                Err(Refusal::OtherContent)
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn check_failed(&self, reason: Reason) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => self.fail(reason),
            State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } => Err(Refusal::AlreadyStored),
            State::Releasing { .. } | State::Closed { .. } => self.ended(reason),
        }
    }

    /// The answer where the upload comes to nothing or has done so: whether it is for the same reason.
    fn ended(&self, wanted: Reason) -> Answer {
        match &self.ingest.state {
            State::Releasing { reason, .. } | State::Closed { reason } if *reason == wanted => UNCHANGED,
            State::Closed { .. } => Err(Refusal::Closed),
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. } => Err(Refusal::NotReleasing),
        }
    }

    fn held(&self, blob: BlobRef, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Open { .. } => match check(&self.ingest.intent, &self.ingest.limits, &blob) {
                Ok(()) => self.go(Action::Acquired, State::Acquired { blob, generation, deadline: self.later() }),
                Err(_) => Err(Refusal::NotDeclared),
            },
            State::Acquired { .. } | State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } => {
                if self.ingest.state.held() == Some((blob, generation)) {
                    UNCHANGED
                } else {
                    Err(Refusal::OtherContent)
                }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
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
                if *known == generation =>
            {
                UNCHANGED
            }
            State::Acquired { .. } | State::Stored { .. } | State::Attached { .. } | State::Superseded { .. } => {
                Err(Refusal::OtherContent)
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn deadline_reached(&self) -> Answer {
        match &self.ingest.state {
            State::Open { deadline } | State::Acquired { deadline, .. } => {
                if self.now < *deadline {
                    Err(Refusal::NotDue)
                } else {
                    self.fail(Reason::UploadLost)
                }
            }
            State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. }
            | State::Releasing { .. }
            | State::Closed { .. } => UNCHANGED,
        }
    }

    fn target_read(&self, component: &Id, version: VersionId, accepted: Option<&Acceptance>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => Err(Refusal::NotStored),
            State::Stored { blob, generation, target: None, attempts } => {
                let Some(accepted) = self.accept(accepted) else { return self.fail(Reason::NotHigher) };
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
                (to.accepted, to.effect) = (accepted, Some(write));
                to.audit.downgrade.clone_from(&self.ingest.intent.downgrade);
                Ok(Step::To(to))
            }
            // What was fixed stays fixed: one who is late may still write there.
            State::Stored { target: Some(target), .. } if target != component => self.fail(Reason::TargetLost),
            State::Stored { blob, generation, .. } => {
                // What is lower was read before this upload was accepted.
                let outrun = self.ingest.intent.sequence.is_some_and(|sequence| {
                    accepted.is_some_and(|last| last.by != self.ingest.id && last.highest >= sequence)
                });
                if outrun {
                    return self.fail(Reason::Superseded);
                }
                let (component, blob, generation) = (component.clone(), *blob, *generation);
                Ok(Step::Do(Effect::WriteReference { component, version, blob, generation }))
            }
            State::Attached { component: known, .. } | State::Superseded { component: known, .. } => {
                if known == component { UNCHANGED } else { Err(Refusal::AlreadyAttached) }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    /// What is to be accepted, nothing where there is no sequence number; [`None`] where it may not be.
    fn accept(&self, before: Option<&Acceptance>) -> Option<Option<Acceptance>> {
        let intent = &self.ingest.intent;
        let Some(sequence) = intent.sequence else { return Some(None) };
        let (provider, downgrade) = (intent.provider.as_ref(), intent.downgrade.as_deref());
        let next = accept(before, provider, sequence, self.ingest.id, downgrade, self.now).ok()?;
        Some((Some(&next) != before).then_some(next))
    }

    fn target_lost(&self) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => self.fail(Reason::TargetLost),
            State::Attached { .. } | State::Superseded { .. } => Err(Refusal::AlreadyAttached),
            State::Releasing { .. } | State::Closed { .. } => self.ended(Reason::TargetLost),
        }
    }

    fn written(&self, component: &Id, version: VersionId) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } => Err(Refusal::NotStored),
            State::Stored { target: Some(target), .. } if target != component => Err(Refusal::OtherTarget),
            // Records of format 1 had no target before the reference.
            State::Stored { blob, generation, .. } => self.go(
                Action::Attached,
                State::Attached { blob: *blob, generation: *generation, component: component.clone(), version },
            ),
            State::Attached { component: known, version: at, .. }
            | State::Superseded { component: known, version: at, .. } => {
                if known == component && *at == version {
                    UNCHANGED
                } else {
                    Err(Refusal::AlreadyAttached)
                }
            }
            State::Releasing { .. } => Err(Refusal::Releasing),
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
                    return self.fail(Reason::Contended);
                }
                let (blob, generation, target) = (*blob, *generation, target.clone());
                self.go(Action::Retried, State::Stored { blob, generation, target, attempts: next })
            }
            State::Attached { .. } | State::Superseded { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn superseded(&self, by: IngestId) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } if by == self.ingest.id => Err(Refusal::NotSuperseded),
            State::Attached { blob, generation, component, version } => {
                let (blob, generation, component, version) = (*blob, *generation, component.clone(), *version);
                self.go(Action::Superseded, State::Superseded { blob, generation, component, version, by })
            }
            State::Superseded { .. } => UNCHANGED,
            State::Releasing { .. } => Err(Refusal::Releasing),
            State::Closed { .. } => Err(Refusal::Closed),
        }
    }

    fn withdrawn(&self, by: &ActorId, why: &Text) -> Answer {
        match &self.ingest.state {
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. } => {
                let mut to = self.end(Action::Withdrawn, Reason::Withdrawn);
                (to.audit.actor, to.audit.comment) = (Some(by.clone()), Some(why.clone()));
                Ok(Step::To(to))
            }
            State::Releasing { .. } | State::Closed { .. } => self.ended(Reason::Withdrawn),
        }
    }

    fn retired(&self, by: Option<&ActorId>) -> Answer {
        match &self.ingest.state {
            State::Open { .. } | State::Acquired { .. } | State::Stored { .. } => Err(Refusal::NotAttached),
            State::Attached { .. } => Err(Refusal::NotSuperseded),
            State::Superseded { .. } => {
                let mut to = self.end(Action::Retired, Reason::Superseded);
                to.audit.actor = by.cloned();
                Ok(Step::To(to))
            }
            State::Releasing { .. } | State::Closed { .. } => self.ended(Reason::Superseded),
        }
    }

    fn dropped(&self, component: &Id) -> Answer {
        match &self.ingest.state {
            State::Releasing { component: None, .. } | State::Closed { .. } => UNCHANGED,
            State::Releasing { component: Some(known), .. } if known != component => Err(Refusal::OtherTarget),
            State::Releasing { blob, generation, reason, .. } => {
                let (blob, generation, reason) = (*blob, *generation, *reason);
                self.go(Action::Detached, State::Releasing { blob, generation, component: None, reason })
            }
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. } => Err(Refusal::NotReleasing),
        }
    }

    fn released(&self, generation: Generation) -> Answer {
        match &self.ingest.state {
            State::Closed { .. } => UNCHANGED,
            State::Releasing { component: Some(_), .. } => Err(Refusal::StillReferenced),
            State::Releasing { generation: known, .. } if *known != generation => Err(Refusal::OtherContent),
            State::Releasing { reason, .. } => self.go(Action::Closed, State::Closed { reason: *reason }),
            State::Open { .. }
            | State::Acquired { .. }
            | State::Stored { .. }
            | State::Attached { .. }
            | State::Superseded { .. } => Err(Refusal::NotReleasing),
        }
    }
}
