//! Version claims: the bytes that belong to a version of a component.

use super::ingest::{Intent, Unreadable};
use crate::manifest::IngestId;
use crate::primitive::{Id, Text};
use crate::store::Sha256;
use serde::{Deserialize, Serialize};

/// Bytes that belong to a version of a component, claimed by the first upload with that version: a ledger record,
/// written together with the step that fixes the component of an upload.
///
/// The claim stays when that upload is withdrawn or fails: devices may have its bytes.
///
/// ```
/// use fhir_devices::store::Sha256;
/// use fhir_devices::update::VersionClaim;
/// use fhir_devices::manifest::IngestId;
/// let claim = VersionClaim {
///     component: "pump".parse()?,
///     provider: None,
///     version: "2.4".parse()?,
///     sha256: Sha256::of(b"firmware"),
///     by: IngestId(7),
/// };
/// assert_eq!(VersionClaim::from_bytes(&claim.to_bytes())?, claim);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionClaim {
    /// Logical id of the component.
    pub component: Id,
    /// Provider of the update; `None` stands for all updates that name none.
    pub provider: Option<Text>,
    /// Claimed version.
    pub version: Text,
    /// Digest of the bytes.
    pub sha256: Sha256,
    /// Upload that made the claim.
    pub by: IngestId,
}

/// Error for an upload with other bytes under a version that the component knows.
///
/// ```
/// use fhir_devices::store::Sha256;
/// use fhir_devices::update::VersionTaken;
/// let taken = VersionTaken { version: "2.4".parse()?, known: Sha256([1; 32]), found: Some(Sha256([2; 32])) };
/// let (known, found) = ("01".repeat(32), "02".repeat(32));
/// assert_eq!(
///     taken.to_string(),
///     format!("the file of version `2.4` has the digest `{found}`, and the version stands for `{known}`: wanted those \
///         bytes, another version, or leave to replace them")
/// );
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file of version `{version}` has {}, and the version stands for `{known}`: wanted those bytes, another version, \
     or leave to replace them",
    digest(.found.as_ref())
)]
pub struct VersionTaken {
    /// Version of the upload.
    pub version: Text,
    /// Digest of the claimed bytes.
    pub known: Sha256,
    /// Digest of the uploaded bytes, if known.
    pub found: Option<Sha256>,
}

fn digest(found: Option<&Sha256>) -> String {
    found.map_or_else(|| "another digest".to_owned(), |found| format!("the digest `{found}`"))
}

/// Format version of records. Fields and names are added but never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    component: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Text>,
    version: Text,
    sha256: Sha256,
    by: IngestId,
}

impl VersionClaim {
    /// Checks the bytes of an upload against the claim of its version. Returns the new claim, if it changes. An upload
    /// without a version claims none.
    ///
    /// `is_fixed` says that the component of the upload was fixed before: the claim was made then, and a later claim
    /// that replaced it is not reverted.
    ///
    /// # Errors
    /// [`VersionTaken`], unless the intent permits replacing the bytes.
    pub fn next(
        before: Option<&Self>,
        component: &Id,
        intent: &Intent,
        sha256: Sha256,
        by: IngestId,
        is_fixed: bool,
    ) -> Result<Option<Self>, VersionTaken> {
        let Some(version) = &intent.version else { return Ok(None) };
        match before {
            Some(before) if before.sha256 == sha256 => Ok(None),
            Some(before) if is_fixed || !intent.replace => {
                Err(VersionTaken { version: version.clone(), known: before.sha256, found: Some(sha256) })
            }
            None if is_fixed => Ok(None),
            _ => {
                let (component, provider) = (component.clone(), intent.provider.clone());
                Ok(Some(Self { component, provider, version: version.clone(), sha256, by }))
            }
        }
    }

    /// Serializes the record as JSON with a format number.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { component, provider, version, sha256, by } = self.clone();
        serde_json::to_vec(&Written { format: FORMAT, component, provider, version, sha256, by }).unwrap_or_default()
    }

    /// Parses the stored form.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes are not a record, or have an unknown format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
        let Written { format: FORMAT, component, provider, version, sha256, by } = written else {
            return Err(Unreadable);
        };
        Ok(Self { component, provider, version, sha256, by })
    }
}
