//! Admission of an upload by the sequence numbers that its component accepted and the versions that it reports: checked
//! before the bytes arrive, and again in the step that fixes the component.

use super::ReceiveError;
use super::entries::{Entries, Seen};
use super::ledger_session::LedgerSession;
use crate::audit::UploadFailure;
use crate::manifest::{Acceptance, IngestId, MAX_SEQUENCE, hidden_character};
use crate::primitive::Id;
use crate::resource::DeviceComponent;
use crate::store::{Ledger, Sha256, StoreError};
use crate::update::ingest::{Effect, Intent, NotAcceptable, Standing, Transition, check_acceptance};
use crate::update::{Accepted, UpdateStatus, VersionClaim, available, reported_versions};
use time::OffsetDateTime;

/// The accepted sequence numbers and reported versions of a component, read for one upload.
pub(super) struct Found {
    /// The record of the accepted sequence numbers.
    pub(super) accepted: Seen<Accepted>,
    /// The acceptance of a failed upload with the same number, passed on to this one.
    pub(super) passed: Option<Acceptance>,
    /// The claim of the version; `None` where the upload has no version.
    pub(super) claim: Option<Seen<Option<VersionClaim>>>,
    upload: IngestId,
    before: Option<Acceptance>,
    known: Option<VersionClaim>,
    reported: Vec<String>,
}

impl Found {
    /// Reads the ledger, after the component was read.
    pub(super) async fn look<L: Ledger + ?Sized>(
        session: &LedgerSession<'_, L>,
        component: &DeviceComponent,
        id: &Id,
        intent: &Intent,
        upload: Option<IngestId>,
    ) -> Result<Self, StoreError> {
        let accepted = session.accepted(id).await?;
        let before = accepted.value.before(intent).cloned();
        // An upload without an id yet stands for any but the accepted one.
        let upload = upload.unwrap_or(IngestId(before.as_ref().map_or(0, |before| !before.by.0)));
        let passed = session.passed_on(before.as_ref(), intent, upload).await?;
        let claim = match &intent.version {
            Some(version) => Some(session.claim(id, intent.provider.as_ref(), version).await?),
            None => None,
        };
        let mut known = claim.as_ref().and_then(|claim| claim.value.clone());
        if known.is_none() && claim.is_some() {
            known = attached_before(session, component, id, intent, upload).await?;
        }
        let before = passed.clone().or(before);
        let reported = reported_versions(component, intent.reported_as);
        Ok(Self { accepted, passed, claim, upload, before, known, reported })
    }

    /// Returns the acceptance before this upload: that of another upload, or one passed on to this upload.
    pub(super) const fn before(&self) -> Option<&Acceptance> {
        self.before.as_ref()
    }

    /// Returns this for an upload that has its id now; `None` where an acceptance was passed on to one without an id.
    pub(super) fn of_upload(self, upload: IngestId) -> Option<Self> {
        self.passed.is_none().then_some(Self { upload, ..self })
    }

    /// Adds the acceptance of a step of an upload to the entries.
    pub(super) fn accept(&mut self, entries: &mut Entries, to: &Transition) {
        let goes_on = matches!(to.effect, Some(Effect::WriteReference { .. }));
        if let Some(next) = to.accepted.clone().or(self.passed.clone().filter(|_| goes_on)) {
            let before = self.accepted.clone();
            self.accepted.value.put(next);
            entries.accepted(&before, &self.accepted.value);
        }
        if let (Some(next), Some(claim)) = (&to.claim, &self.claim) {
            entries.claim(claim, next);
        }
    }

    /// Returns the values for the state machine.
    pub(super) fn standing(&self) -> Standing<'_> {
        Standing { accepted: self.before.as_ref(), claim: self.known.as_ref(), reported: &self.reported }
    }

    /// Returns owned values.
    pub(super) fn parts(&self) -> (Option<Acceptance>, Option<VersionClaim>, Vec<String>) {
        (self.before.clone(), self.known.clone(), self.reported.clone())
    }

    /// Returns the reason why an upload is refused, with the found and expected values.
    pub(super) fn why(
        &self,
        intent: &Intent,
        component: &Id,
        sha256: Option<Sha256>,
        now: OffsetDateTime,
    ) -> Option<NotAcceptable> {
        check_acceptance(intent, self.upload, component, sha256, &self.standing(), now).err()
    }
}

/// Returns the claim of an upload's version from the component itself, where an update was attached before versions had
/// records in the ledger.
async fn attached_before<L: Ledger + ?Sized>(
    session: &LedgerSession<'_, L>,
    component: &DeviceComponent,
    id: &Id,
    intent: &Intent,
    upload: IngestId,
) -> Result<Option<VersionClaim>, StoreError> {
    let same = |update: &crate::update::AvailableUpdate| update.version == intent.version && update.id != upload;
    for update in available(component).flatten().filter(|update| update.status != UpdateStatus::Withdrawn) {
        let (true, Some(version)) = (same(&update), update.version.clone()) else { continue };
        let earlier = session.ingest(update.id).await?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.value.intent.provider == intent.provider) {
            let (component, provider) = (id.clone(), earlier.value.intent.provider);
            return Ok(Some(VersionClaim { component, provider, version, sha256: update.sha256, by: update.id }));
        }
    }
    Ok(None)
}

/// Checks that the sender's metadata are acceptable at all.
pub(super) fn check_intent(intent: &Intent) -> Result<(), ReceiveError> {
    let reason = intent.lower.as_ref().map(|lower| lower.reason.as_str());
    let version = intent.version.as_ref().map(|version| version.as_str());
    let texts =
        [("the name of the file", Some(intent.file_name.as_str())), ("the version", version), ("the reason", reason)];
    let hidden = texts.into_iter().find_map(|(what, text)| Some((what, hidden_character(text?)?)));
    if let Some((what, found)) = hidden {
        return Err(ReceiveError::HiddenCharacter { what, found });
    }
    if let Some(scheme) = intent.scheme {
        match version.filter(|version| !scheme.fits(version)) {
            Some(version) => return Err(ReceiveError::VersionForm { version: version.to_owned(), scheme }),
            None if version.is_none() => return Err(ReceiveError::VersionForm { version: String::new(), scheme }),
            None => {}
        }
    }
    match intent.sequence {
        Some(sequence) if sequence > MAX_SEQUENCE => {
            Err(ReceiveError::SequenceTooHigh { sequence, highest: MAX_SEQUENCE })
        }
        _ => Ok(()),
    }
}

/// Returns whether an upload was refused because of what its component accepted or reports.
pub(super) const fn is_of_acceptance(reason: UploadFailure) -> bool {
    matches!(
        reason,
        UploadFailure::NotHigher
            | UploadFailure::Unsequenced
            | UploadFailure::VersionTaken
            | UploadFailure::LowerVersion
    )
}
