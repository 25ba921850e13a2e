//! Sequence numbers: the order of the updates of a component, by provider.

use super::ingest::{Ingest, Intent, State, Unreadable};
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, ActorId, DowngradeAuthorization, IngestId, Note};
use crate::primitive::{Id, Text};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

impl Acceptance {
    /// Passes the accepted number on to another upload, from one that failed unintentionally: no component refers to
    /// that one, and none ever will. `None` if the earlier upload has not ended, ended as withdrawn or superseded, or
    /// had another number.
    ///
    /// The result must replace this acceptance on condition that this one is still stored, so that the number is passed
    /// on only once.
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

/// Error for an update without a sequence number after one that had one.
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
    /// Highest accepted number.
    pub highest: u64,
}

/// Error for a new highest sequence number that is not lower than the accepted one.
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
    /// Requested number.
    pub to: u64,
    /// Highest accepted number; `None` if there is none.
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

/// Lowers the highest accepted sequence number of a component, at an actor's request. Returns the new acceptance, and
/// the authorization for the audit record.
///
/// No accepted upload may be on its way to the component meanwhile: see
/// [`UpdateService::lower_sequence`](crate::service::UpdateService::lower_sequence).
///
/// # Errors
/// [`NotLowered`] if no number was accepted, or the requested one is not lower.
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

/// Accepted sequence numbers of a component: a ledger record, written together with the accepted upload.
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
    /// Logical id of the component.
    pub component: Id,
    providers: Vec<Acceptance>,
}

/// Format version of records. Fields and names are added but never changed; a change gets another number.
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

    /// Returns the acceptance of a provider.
    #[must_use]
    pub fn of(&self, provider: Option<&Text>) -> Option<&Acceptance> {
        self.providers.iter().find(|one| one.provider.as_ref() == provider)
    }

    /// Returns the acceptances of all providers.
    pub fn all(&self) -> impl Iterator<Item = &Acceptance> {
        self.providers.iter()
    }

    /// Returns the acceptance that precedes an update of this intent: that of its provider, or, for an intent without a
    /// number, the highest of all providers, since such an update comes after all of them.
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

    /// Serializes the record as JSON with a format number.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written { format: FORMAT, component: self.component.clone(), accepted: self.providers.clone() };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, component, accepted } = written else { return Err(Unreadable) };
        let mut record = Self::new(component);
        accepted.into_iter().for_each(|one| record.put(one));
        Ok(record)
    }
}
