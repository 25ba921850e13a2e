//! Uploads with a signed manifest: verified, checked against the device, and kept.

use super::admission::Found;
use super::entries::{Entries, Seen, at, unreadable};
use super::ledger_session::LedgerSession;
use super::target::{DeviceMembers, Target};
use super::update_service::UpdateService;
use super::{LifecycleError, ReceiveError};
use crate::containment::TreeBuilder;
use crate::manifest::{
    Acceptance, ActorId, AdmissionReason, Artifact, ArtifactName, IdempotencyKey, IngestId, KeyId, ManifestError, Note,
    ProviderId, Signature, SignatureContext, SignatureError, SignedManifest, Situation, UpdateManifest,
    VerifiedManifest, explain,
};
use crate::primitive::{Id, Text};
use crate::resource::Device;
use crate::store::{
    BlobStore, Ledger, LedgerKey, ResourceStore, Result as StoreResult, Sha256, StoreError, Stored as _, Tenant,
};
use crate::update::ingest::{Ingest, Intent, NotAcceptable, Signed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A signed update and its target device.
///
/// The target, the version and sequence number, and the digest and size of the file are those of the manifest.
///
/// ```
/// use fhir_devices::service::SignedSubmission;
/// use fhir_devices::manifest::{Signature, SignedManifest};
/// let signature = Signature { key: "acme-2017".parse()?, bytes: vec![0; 64] };
/// let manifest = SignedManifest::new(r#"{"format":1}"#, vec![signature]);
/// let submission = SignedSubmission::new("pump-7".parse()?, "acme".parse()?, manifest)
///     .with_artifact("pump-2.4.bin".parse()?);
/// assert!(!submission.replace);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedSubmission {
    /// The device that the update is for.
    pub device: Id,
    /// The stated manufacturer: only keys that may sign for this provider count.
    pub provider: ProviderId,
    /// The manifest, and the signatures over it.
    pub manifest: SignedManifest,
    /// The file of the manifest; `None` where it has only one.
    pub artifact: Option<ArtifactName>,
    /// Whether other bytes are permitted under a version that the component has had.
    pub replace: bool,
    /// The sender, for the audit records.
    pub sender: Option<ActorId>,
    /// The idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl SignedSubmission {
    /// Creates a submission of the only file of a manifest.
    #[must_use]
    pub const fn new(device: Id, provider: ProviderId, manifest: SignedManifest) -> Self {
        Self { device, provider, manifest, artifact: None, replace: false, sender: None, idempotency_key: None }
    }

    /// Sets the file of the manifest.
    #[must_use]
    pub fn with_artifact(self, artifact: ArtifactName) -> Self {
        Self { artifact: Some(artifact), ..self }
    }

    /// Sets whether other bytes are permitted under a version that the component has had.
    #[must_use]
    pub fn with_replace(self, replace: bool) -> Self {
        Self { replace, ..self }
    }

    /// Sets the sender, for the audit records.
    #[must_use]
    pub fn with_sender(self, sender: ActorId) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(self, idempotency_key: IdempotencyKey) -> Self {
        Self { idempotency_key: Some(idempotency_key), ..self }
    }
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns everything that speaks for and against an update of a device, as
    /// [`receive_signed`](Self::receive_signed) would check it now. Nothing is written.
    ///
    /// # Errors
    /// The conditions of [`ReceiveError`] that can be checked before the bytes arrive, except
    /// [`ReceiveError::NotAdmitted`].
    pub async fn explain(
        &self,
        tenant: &Tenant,
        submission: &SignedSubmission,
    ) -> Result<Vec<AdmissionReason>, ReceiveError> {
        let verified = self.verify(tenant, &submission.manifest, &submission.provider)?;
        let resources = self.resources(tenant);
        let intent = intent(&verified, &submission.device, submission.artifact.as_ref())?;
        let target = Target { resources: &resources, device: &intent.device, selector: &intent.target, whole: true };
        let (members, component) = target.meant_of_all().await?;
        let subject = CheckSubject { device_members: &members, device: target.device, component: &component };
        self.reasons(&self.session(tenant), subject, &verified, &intent, None).await
    }

    /// Returns the manifest of an upload, and its signatures, verbatim; `None` for an upload without a manifest.
    ///
    /// # Errors
    /// [`LifecycleError::NoSuchUpload`], [`LifecycleError::Store`].
    pub async fn manifest(&self, tenant: &Tenant, id: IngestId) -> Result<Option<SignedManifest>, LifecycleError> {
        let session = self.session(tenant);
        let seen = session
            .ingest(id)
            .await?
            .ok_or_else(|| LifecycleError::NoSuchUpload { tenant: tenant.clone(), upload: id })?;
        match seen.value.intent.manifest {
            Some(_) => Ok(Some(kept(&session, &seen.value).await?)),
            None => Ok(None),
        }
    }

    pub(super) fn verify(
        &self,
        tenant: &Tenant,
        manifest: &SignedManifest,
        provider: &ProviderId,
    ) -> Result<VerifiedManifest, ReceiveError> {
        let verifier = self.verifier.as_deref().ok_or(ReceiveError::NoVerifier)?;
        manifest.verify(verifier, SignatureContext::new(tenant, provider)).map_err(ReceiveError::Manifest)
    }

    /// Checks before the bytes arrive that exactly one component matches, and nothing speaks against its update.
    pub(super) async fn may_begin(
        &self,
        session: &LedgerSession<'_, L>,
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
        intent: &Intent,
        known: Option<IngestId>,
    ) -> Result<Admitted, ReceiveError> {
        let (members, component) = target.meant_of_all().await?;
        let subject = CheckSubject { device_members: &members, device: target.device, component: &component };
        let found = self.acceptable(session, subject, intent, known).await?;
        if let Some(verified) = manifest {
            let reasons = against(self.reasons(session, subject, verified, intent, known).await?);
            if !reasons.is_empty() {
                return Err(ReceiveError::NotAdmitted { reasons });
            }
        }
        Ok(Admitted { members, component, found })
    }

    /// Returns whether the one matching component may take the upload, by what it accepted and reports. With a
    /// manifest, that is only a part of the check: its sequence number is explained with all the rest.
    async fn acceptable(
        &self,
        session: &LedgerSession<'_, L>,
        subject: CheckSubject<'_>,
        intent: &Intent,
        known: Option<IngestId>,
    ) -> Result<Option<Found>, ReceiveError> {
        let CheckSubject { device_members, component: id, .. } = subject;
        let read = device_members.components.iter().find(|component| component.logical_id() == Some(id));
        let Some(read) = read else { return Ok(None) };
        let found = Found::look(session, read, id, intent, known).await.map_err(ReceiveError::Ledger)?;
        match found.why(intent, id, intent.sha256, session.now()) {
            Some(NotAcceptable::NotHigher(_)) if intent.manifest.is_some() => Ok(Some(found)),
            Some(refused) => Err(refused.into()),
            None => Ok(Some(found)),
        }
    }

    async fn reasons(
        &self,
        session: &LedgerSession<'_, L>,
        subject: CheckSubject<'_>,
        verified: &VerifiedManifest,
        intent: &Intent,
        known: Option<IngestId>,
    ) -> Result<Vec<AdmissionReason>, ReceiveError> {
        let accepted = session.accepted(subject.component).await.map_err(ReceiveError::Ledger)?.value;
        let accepted = accepted.of(intent.provider.as_ref());
        // An upload without an id yet stands for any but the accepted one.
        let other = accepted.map_or(0, |accepted| !accepted.by.0);
        let by = known.unwrap_or(IngestId(other));
        let passed = session.passed_on(accepted, intent, by).await.map_err(ReceiveError::Ledger)?;
        subject.explain(verified.manifest(), passed.as_ref().or(accepted), Some(by), session.now())
    }

    /// Returns the reasons against attaching an upload with a manifest to a component as read. A manifest of an earlier
    /// call is verified again: keys may have been revoked meanwhile.
    pub(super) async fn check_manifest(
        &self,
        session: &LedgerSession<'_, L>,
        ingest: &Ingest,
        subject: CheckSubject<'_>,
        accepted: Option<&Acceptance>,
        (in_hand, now): (Option<&VerifiedManifest>, OffsetDateTime),
    ) -> Result<Vec<AdmissionReason>, ReceiveError> {
        if ingest.intent.manifest.is_none() {
            return if self.takes_unsigned(session.tenant()) {
                Ok(Vec::new())
            } else {
                Err(ReceiveError::Unsigned { tenant: session.tenant().clone() })
            };
        }
        let again;
        let verified = match in_hand {
            Some(verified) => verified,
            None => {
                let signed = kept(session, ingest).await.map_err(ReceiveError::Ledger)?;
                let provider = ingest.intent.provider.as_ref().and_then(|name| ProviderId::new(name.as_str()).ok());
                let unknown = || ReceiveError::Ledger(lost(ingest, "its provider cannot be read"));
                again = self.verify(session.tenant(), &signed, &provider.ok_or_else(unknown)?)?;
                &again
            }
        };
        Ok(against(subject.explain(verified.manifest(), accepted, Some(ingest.id), now)?))
    }

    pub(super) fn takes_unsigned(&self, tenant: &Tenant) -> bool {
        !self.signed_only.as_ref().is_some_and(|wants| wants(tenant))
    }
}

fn against(mut reasons: Vec<AdmissionReason>) -> Vec<AdmissionReason> {
    reasons.retain(|reason| reason.is_against);
    reasons
}

/// Returns why an accepted upload fails, in the words of its audit record; `None` where it may still be attached.
pub(super) fn turned_away(error: &ReceiveError) -> Option<Option<Text>> {
    let words = match error {
        ReceiveError::NotAdmitted { .. } | ReceiveError::Unsigned { .. } => error.to_string(),
        ReceiveError::Manifest(ManifestError::Signature(SignatureError::Unavailable { .. })) => return None,
        ReceiveError::Manifest(ManifestError::Signature(signature)) => signature.to_string(),
        ReceiveError::Manifest(other) => other.to_string(),
        _ => return None,
    };
    Some(Note::about(&words).and_then(|note| Text::new(note.as_str()).ok()))
}

/// The data read to admit an upload: the device, the matching component, and its accepted and reported versions.
pub(super) struct Admitted {
    pub(super) members: DeviceMembers,
    pub(super) component: Id,
    pub(super) found: Option<Found>,
}

/// A component of a device, to be checked with all components of the device.
#[derive(Clone, Copy)]
pub(super) struct CheckSubject<'k> {
    pub(super) device_members: &'k DeviceMembers,
    pub(super) device: &'k Id,
    pub(super) component: &'k Id,
}

impl CheckSubject<'_> {
    pub(super) fn explain(
        self,
        manifest: &UpdateManifest,
        accepted: Option<&Acceptance>,
        ingest: Option<IngestId>,
        now: OffsetDateTime,
    ) -> Result<Vec<AdmissionReason>, ReceiveError> {
        let device = Device::from_version(&self.device_members.device).map_err(ReceiveError::Resources)?;
        let tree = TreeBuilder::with_capacity(self.device_members.components.len() + 1)
            .at(self.device_members.own.clone())
            .with_item(&device)
            .with_items(&self.device_members.components)
            .build();
        let node = tree.get(self.component.as_str()).ok_or(ReceiveError::Resources(StoreError::not_found()))?;
        let situation = Situation { accepted, ingest, device: Some(self.device), ..Situation::at(now) };
        Ok(explain(&tree, node, manifest, &situation))
    }
}

/// Returns the file of a manifest.
pub(super) fn artifact<'m>(
    verified: &'m VerifiedManifest,
    wanted: Option<&ArtifactName>,
) -> Result<&'m Artifact, ReceiveError> {
    let all = &verified.manifest().artifacts;
    let found = match (wanted, all.as_slice()) {
        (Some(wanted), all) => all.iter().find(|artifact| artifact.name == *wanted),
        (None, [one]) => Some(one),
        (None, _) => None,
    };
    found.ok_or_else(|| ReceiveError::NoSuchArtifact {
        wanted: wanted.cloned(),
        found: all.iter().map(|artifact| artifact.name.clone()).collect(),
    })
}

/// Returns the intent of an upload of a manifest's file to a device.
pub(super) fn intent(
    verified: &VerifiedManifest,
    device: &Id,
    wanted: Option<&ArtifactName>,
) -> Result<Intent, ReceiveError> {
    let artifact = artifact(verified, wanted)?;
    verified
        .intent(device.clone(), artifact)
        .ok_or_else(|| ReceiveError::NoSuchArtifact { wanted: Some(artifact.name.clone()), found: Vec::new() })
}

pub(super) fn signed(verified: &VerifiedManifest) -> Signed {
    Signed { update: verified.manifest().identity.name.clone(), keys: verified.keys().to_vec() }
}

/// The format of stored signatures. Fields are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Signatures {
    format: u32,
    signatures: Vec<OneSignature>,
}

#[derive(Serialize, Deserialize)]
struct OneSignature {
    key: KeyId,
    /// In base64.
    bytes: String,
}

/// The ledger folder of the manifests.
pub(super) const MANIFESTS: &str = "manifest";

/// Returns the key of a manifest's bytes, for all uploads with it.
fn place(of: &VerifiedManifest) -> StoreResult<LedgerKey> {
    at(MANIFESTS, &of.id().to_string())
}

/// Returns the key of an upload's signatures.
pub(super) fn signatures_place(ingest: IngestId) -> StoreResult<LedgerKey> {
    at("signatures", &ingest.to_string())
}

/// Stores a manifest and its signatures with their upload.
pub(super) async fn keep<L: Ledger + ?Sized>(
    session: &LedgerSession<'_, L>,
    entries: &mut Entries,
    ingest: IngestId,
    verified: &VerifiedManifest,
) -> StoreResult<()> {
    // A stored manifest is written again: a concurrent collection of it then fails on the revision.
    let seen = session.read(place(verified)?).await?;
    entries.record(&seen, verified.signed().bytes().to_vec());
    let one =
        |signature: &Signature| OneSignature { key: signature.key.clone(), bytes: STANDARD.encode(&signature.bytes) };
    let signatures = verified.signed().signatures().iter().map(one).collect();
    // Texts and a number under fixed names always serialize.
    let value = serde_json::to_vec(&Signatures { format: FORMAT, signatures }).unwrap_or_default();
    entries.keep(signatures_place(ingest)?, value);
    Ok(())
}

fn lost(ingest: &Ingest, what: &str) -> StoreError {
    StoreError::corrupt(format!("the manifest of the upload `{}`: {what}", ingest.id))
}

/// Returns the stored bytes of the manifest with this digest.
pub(super) async fn kept_bytes<L: Ledger + ?Sized>(
    session: &LedgerSession<'_, L>,
    wanted: Sha256,
) -> StoreResult<Option<Bytes>> {
    let Seen { key, value, .. } = session.read(at(MANIFESTS, &wanted.to_string())?).await?;
    match value {
        Some(bytes) if Sha256::of(&bytes) != wanted => Err(unreadable(&key, "it has other bytes")),
        value => Ok(value),
    }
}

/// Returns the manifest of an upload.
async fn kept<L: Ledger + ?Sized>(session: &LedgerSession<'_, L>, ingest: &Ingest) -> StoreResult<SignedManifest> {
    let wanted = ingest.intent.manifest.ok_or_else(|| lost(ingest, "it came without one"))?;
    let bytes = kept_bytes(session, wanted).await?.ok_or_else(|| lost(ingest, "it is not there"))?;
    let place = signatures_place(ingest.id)?;
    let value = session.read(place.clone()).await?.value.ok_or_else(|| lost(ingest, "its signatures are not there"))?;
    let read: Signatures = serde_json::from_slice(&value).map_err(|error| unreadable(&place, error))?;
    if read.format != FORMAT {
        return Err(unreadable(&place, "it is of a later version"));
    }
    let one = |OneSignature { key, bytes }: OneSignature| {
        let bytes = STANDARD.decode(bytes).map_err(|error| unreadable(&place, error))?;
        Ok(Signature { key, bytes })
    };
    let signatures = read.signatures.into_iter().map(one).collect::<StoreResult<_>>()?;
    Ok(SignedManifest::new(bytes, signatures))
}
