//! Sequence numbers: the order of the updates of a component, by provider.

use super::ingest::{Ingest, Intent, State, Unreadable};
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, ActorId, DowngradeAuthorization, IngestId, Note};
use crate::primitive::{Id, Text};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

impl Acceptance {
    /// Returns the same number, accepted for another upload in the place of one that failed without anybody's wish: no
    /// component refers to it, and none ever will. None where the one that it was accepted for may still be attached, was
    /// attached once, was withdrawn, or had another number.
    ///
    /// It has to be written in the place of this one, on the condition that this one is still there, so that the number is
    /// passed on once.
    ///
    /// ```
    /// use fhir_devices::manifest::{Acceptance, IngestId};
    /// use fhir_devices::update::ingest::{Ingest, Intent, Limits, State};
    /// use fhir_devices::audit::UploadFailure;
    /// # let intent = Intent::new("d".parse()?, "f".parse()?, "a/b".parse()?);
    /// # let now = time::OffsetDateTime::UNIX_EPOCH;
    /// let accepted = Acceptance { provider: None, highest: 6, by: IngestId(7) };
    /// let intent = Intent { sequence: Some(6), ..intent };
    /// let (mut earlier, _) = Ingest::open(IngestId(7), intent.clone(), Limits::default(), now);
    /// earlier.state = State::Closed { reason: UploadFailure::Contended };
    /// let passed = accepted.passed_on(&earlier, &intent, IngestId(8)).unwrap();
    /// assert_eq!(passed, Acceptance { by: IngestId(8), ..accepted.clone() });
    /// earlier.state = State::Closed { reason: UploadFailure::Withdrawn };
    /// assert_eq!(accepted.passed_on(&earlier, &intent, IngestId(8)), None);
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[must_use]
    pub fn passed_on(&self, earlier: &Ingest, intent: &Intent, to: IngestId) -> Option<Self> {
        let same = |of: &Intent| of.sequence == Some(self.highest) && of.provider == self.provider;
        let ours = earlier.id == self.by && to != self.by && same(&earlier.intent) && same(intent);
        let over = matches!(&earlier.state, State::Closed { reason }
            if !matches!(reason, UploadFailure::Withdrawn | UploadFailure::Superseded));
        (ours && over).then(|| Self { by: to, ..self.clone() })
    }
}

/// The error for an update without a sequence number after one that had one.
///
/// ```
/// use fhir_devices::update::Unsequenced;
/// assert_eq!(
///     Unsequenced { highest: 6 }.to_string(),
///     "the update has no sequence number, and the component accepted the number 6: wanted one above that"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the update has no sequence number, and the component accepted the number {highest}: wanted one above that")]
pub struct Unsequenced {
    /// The highest that was accepted.
    pub highest: u64,
}

/// The error for a new highest sequence number that is not lower than the accepted one.
///
/// ```
/// use fhir_devices::update::NotLowered;
/// assert_eq!(
///     NotLowered { to: 6, highest: Some(6) }.to_string(),
///     "the highest accepted sequence number is 6, wanted one below that instead of 6"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", not_lowered(*.to, *.highest))]
pub struct NotLowered {
    /// The number that was asked for.
    pub to: u64,
    /// The highest that was accepted; `None` where none was.
    pub highest: Option<u64>,
}

fn not_lowered(to: u64, highest: Option<u64>) -> String {
    match highest {
        Some(highest) => {
            format!("the highest accepted sequence number is {highest}, wanted one below that instead of {to}")
        }
        None => format!("no sequence number was accepted, and so none can be lowered to {to}"),
    }
}

/// Lowers the highest accepted sequence number of a component, as an actor asked: what is accepted then, and the leave for the
/// audit record.
///
/// No upload that was accepted may be on its way to the component meanwhile: see
/// [`UpdateService::lower_sequence`](crate::service::UpdateService::lower_sequence).
///
/// # Errors
/// [`NotLowered`].
///
/// ```
/// use fhir_devices::update::lower;
/// use fhir_devices::manifest::{Acceptance, IngestId};
/// # let now = time::OffsetDateTime::UNIX_EPOCH;
/// let before = Acceptance { provider: None, highest: 9_000_000, by: IngestId(7) };
/// let (next, leave) = lower(Some(&before), 6, &"biomed/j.doe".parse()?, &"typed a date".parse()?, now)?;
/// assert_eq!((next.highest, leave.from, leave.to), (6, 9_000_000, 6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lower(
    before: Option<&Acceptance>,
    to: u64,
    by: &ActorId,
    why: &Note,
    now: OffsetDateTime,
) -> Result<(Acceptance, DowngradeAuthorization), NotLowered> {
    let Some(before) = before else { return Err(NotLowered { to, highest: None }) };
    let reason = Text::new(why.as_str()).ok().filter(|_| to < before.highest);
    let Some(reason) = reason else { return Err(NotLowered { to, highest: Some(before.highest) }) };
    let from = before.highest;
    let leave = DowngradeAuthorization { from, to, reason, approved_by: vec![by.clone()], not_after: now };
    Ok((Acceptance { highest: to, ..before.clone() }, leave))
}

/// The accepted sequence numbers of a component: a ledger record, written together with the accepted upload.
///
/// ```
/// use fhir_devices::update::Accepted;
/// use fhir_devices::manifest::{Acceptance, IngestId};
/// let mut accepted = Accepted::new("pump".parse()?);
/// accepted.put(Acceptance { provider: Some("acme".parse()?), highest: 6, by: IngestId(7) });
/// assert_eq!(accepted.of(None), None);
/// assert_eq!(Accepted::from_bytes(&accepted.to_bytes())?, accepted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The component.
    pub component: Id,
    providers: Vec<Acceptance>,
}

/// How records are written. Fields and names are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    component: Id,
    accepted: Vec<Acceptance>,
}

impl Accepted {
    /// Creates the record of a component without an accepted update.
    #[must_use]
    pub fn new(component: Id) -> Self {
        Self { component, providers: Vec::new() }
    }

    /// Returns what was accepted from a provider.
    #[must_use]
    pub fn of(&self, provider: Option<&Text>) -> Option<&Acceptance> {
        self.providers.iter().find(|one| one.provider.as_ref() == provider)
    }

    /// Returns what was accepted, from each provider.
    pub fn all(&self) -> impl Iterator<Item = &Acceptance> {
        self.providers.iter()
    }

    /// Returns what was accepted before an update of this intent: from its provider, or, where it has no number, from
    /// whichever provider accepted the highest, since it comes after all of them.
    #[must_use]
    pub fn before(&self, intent: &Intent) -> Option<&Acceptance> {
        match intent.sequence {
            Some(_) => self.of(intent.provider.as_ref()),
            None => self.providers.iter().max_by_key(|accepted| accepted.highest),
        }
    }

    /// Replaces the acceptance of a provider.
    pub fn put(&mut self, next: Acceptance) {
        match self.providers.iter_mut().find(|one| one.provider == next.provider) {
            Some(one) => *one = next,
            None => self.providers.push(next),
        }
    }

    /// Returns the stored form: JSON with a format number.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written { format: FORMAT, component: self.component.clone(), accepted: self.providers.clone() };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none, or of a format that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, component, accepted } = written else { return Err(Unreadable) };
        let mut record = Self::new(component);
        accepted.into_iter().for_each(|one| record.put(one));
        Ok(record)
    }
}
