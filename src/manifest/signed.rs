//! Signed manifests, verified before they are parsed.

use super::read::MAX_BYTES;
use super::{KeyId, ProviderId, UpdateManifest};
use crate::issue::Report;
use crate::store::{BoxError, InvalidText, Sha256, Tenant};
use bytes::Bytes;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Id of a manifest: the digest of its exact bytes.
///
/// ```
/// use fhir_devices::manifest::ManifestId;
/// let id = ManifestId::of(b"{}");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct ManifestId(pub Sha256);

impl ManifestId {
    /// Computes the id of the manifest with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::of(bytes))
    }
}

impl fmt::Display for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ManifestId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        text.parse().map(Self)
    }
}

/// Signature over the bytes of a manifest.
///
/// ```
/// use fhir_devices::manifest::Signature;
/// let signature = Signature { key: "acme-2017".parse()?, bytes: vec![0; 64] };
/// assert_eq!(signature.key, "acme-2017");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Id of the signing key.
    pub key: KeyId,
    /// Signature bytes, in the format of the algorithm.
    pub bytes: Vec<u8>,
}

/// Context of a signature check: the tenant that received the manifest, and its stated provider.
///
/// ```
/// use fhir_devices::manifest::SignatureContext;
/// let (tenant, provider) = ("st-mary".parse()?, "acme".parse()?);
/// let context = SignatureContext::new(&tenant, &provider);
/// assert_eq!(context.provider, "acme");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignatureContext<'c> {
    /// Receiving tenant.
    pub tenant: &'c Tenant,
    /// Stated provider.
    pub provider: &'c ProviderId,
}

impl<'c> SignatureContext<'c> {
    /// Creates a context from the receiving tenant and the stated provider.
    #[must_use]
    pub const fn new(tenant: &'c Tenant, provider: &'c ProviderId) -> Self {
        Self { tenant, provider }
    }
}

/// Reason why the signatures of a manifest are refused.
///
/// ```
/// use fhir_devices::manifest::SignatureError;
/// assert_eq!(SignatureError::Unsigned.to_string(), "the manifest has no signature");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The manifest has no signature.
    #[error("the manifest has no signature")]
    Unsigned,
    /// No signature is by a key that may sign for this provider in this tenant.
    #[error("no signature is by a key that may sign for the provider `{provider}` here")]
    NotAllowed {
        /// Provider of the context.
        provider: ProviderId,
    },
    /// A signature that names a permitted key does not verify over these bytes.
    #[error("the signature by the key `{key}` is not over these bytes")]
    Wrong {
        /// Id of the key.
        key: KeyId,
    },
    /// Too few signatures are valid.
    #[error("found {found} good signatures, wanted {wanted}")]
    TooFew {
        /// Number of valid signatures.
        found: usize,
        /// Required number.
        wanted: usize,
    },
    /// The verifier could not decide.
    #[error("the signatures could not be checked")]
    Unavailable {
        /// Cause of the failure.
        source: BoxError,
    },
}

/// Verifier of signatures, with the caller's keys and rules.
///
/// # Contract
///
/// - A signature covers exactly these bytes.
/// - A key signs only for the providers and tenants assigned to it.
/// - The result names the keys with a valid signature, at least one. No verifier accepts everything: an empty result is
///   refused.
///
/// ```
/// use fhir_devices::manifest::KeyId;
/// use fhir_devices::manifest::{Signature, SignatureContext, SignatureError, Verifier};
///
/// /// Trusts no key.
/// struct Nobody;
///
/// impl Verifier for Nobody {
///     fn verify(&self, _: &[u8], _: &[Signature], context: SignatureContext<'_>) -> Result<Vec<KeyId>, SignatureError> {
///         Err(SignatureError::NotAllowed { provider: context.provider.clone() })
///     }
/// }
/// # let context = (&"st-mary".parse()?, &"acme".parse()?);
/// # let context = SignatureContext::new(context.0, context.1);
/// assert!(Nobody.verify(b"{}", &[], context).is_err());
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
pub trait Verifier: Send + Sync {
    /// Returns the keys with a valid signature over `bytes` that may sign for the tenant and the provider.
    ///
    /// # Errors
    /// [`SignatureError`] with the reason.
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError>;
}

/// Received manifest: its exact bytes and signatures. Its contents can only be read after verification.
///
/// ```
/// use fhir_devices::manifest::{ManifestId, SignedManifest};
/// let signed = SignedManifest::new("{}", Vec::new());
/// assert_eq!(signed.id(), ManifestId::of(b"{}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    bytes: Bytes,
    signatures: Vec<Signature>,
}

impl SignedManifest {
    /// Creates a signed manifest from its bytes and signatures.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, signatures: Vec<Signature>) -> Self {
        Self { bytes: bytes.into(), signatures }
    }

    /// Returns the id of the manifest.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        ManifestId::of(&self.bytes)
    }

    /// Returns the bytes as received.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the signatures as received.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the signatures, then parses the same bytes.
    ///
    /// # Errors
    /// [`ManifestError`]: too many bytes, insufficient signatures, bytes that are not a manifest, or a manifest of a
    /// provider other than that of the context.
    pub fn verify(
        &self,
        verifier: &dyn Verifier,
        context: SignatureContext<'_>,
    ) -> Result<VerifiedManifest, ManifestError> {
        if self.bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge { found: self.bytes.len(), most: MAX_BYTES });
        }
        let found = self.signatures.iter().map(|one| one.key.as_str().len() + one.bytes.len() + SIGNATURE).sum();
        if found > MAX_SIGNATURES {
            return Err(ManifestError::SignaturesTooLarge { found, most: MAX_SIGNATURES });
        }
        let keys = verifier.verify(&self.bytes, &self.signatures, context).map_err(ManifestError::Signature)?;
        if keys.is_empty() {
            return Err(ManifestError::Signature(SignatureError::Unsigned));
        }
        let manifest = UpdateManifest::from_json(&self.bytes).map_err(ManifestError::Unreadable)?;
        if manifest.identity.provider != *context.provider {
            let (found, wanted) = (manifest.identity.provider, context.provider.clone());
            return Err(ManifestError::OtherProvider { found, wanted });
        }
        Ok(VerifiedManifest { id: self.id(), manifest, keys, signed: self.clone() })
    }
}

/// Maximum size of all signatures with their key ids, in bytes: no more than one ledger record holds.
const MAX_SIGNATURES: usize = 40 * 1024;

/// Overhead in bytes that each signature adds to that size.
const SIGNATURE: usize = 32;

/// Reason why a manifest is refused.
///
/// ```
/// use fhir_devices::manifest::ManifestError;
/// let error = ManifestError::TooLarge { found: 70_000, most: 65_536 };
/// assert_eq!(error.to_string(), "the manifest has 70000 bytes, wanted at most 65536");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The manifest exceeds the maximum size.
    #[error("the manifest has {found} bytes, wanted at most {most}")]
    TooLarge {
        /// Size in bytes.
        found: usize,
        /// Maximum size in bytes.
        most: usize,
    },
    /// The signatures exceed the maximum size.
    #[error("the signatures have {found} bytes, wanted at most {most}")]
    SignaturesTooLarge {
        /// Size in bytes, with key ids and overhead.
        found: usize,
        /// Maximum size in bytes.
        most: usize,
    },
    /// The signatures are insufficient.
    #[error("the signatures of the manifest are not enough")]
    Signature(#[source] SignatureError),
    /// The signed bytes are not a valid manifest.
    #[error("the manifest cannot be read")]
    Unreadable(#[source] Report),
    /// The manifest names a provider other than the one of the context.
    #[error("the manifest is of the provider `{found}`, wanted one of `{wanted}`")]
    OtherProvider {
        /// Provider in the manifest.
        found: ProviderId,
        /// Provider of the context.
        wanted: ProviderId,
    },
}

/// Manifest with verified signatures, and the bytes that they cover. Only [`SignedManifest::verify`] creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    id: ManifestId,
    manifest: UpdateManifest,
    keys: Vec<KeyId>,
    signed: SignedManifest,
}

impl VerifiedManifest {
    /// Returns the id of the manifest.
    #[must_use]
    pub const fn id(&self) -> ManifestId {
        self.id
    }

    /// Returns the contents of the manifest.
    #[must_use]
    pub const fn manifest(&self) -> &UpdateManifest {
        &self.manifest
    }

    /// Returns the keys with a valid signature; at least one.
    #[must_use]
    pub fn keys(&self) -> &[KeyId] {
        &self.keys
    }

    /// Returns the bytes and the signatures, to be stored or verified again.
    #[must_use]
    pub const fn signed(&self) -> &SignedManifest {
        &self.signed
    }
}
