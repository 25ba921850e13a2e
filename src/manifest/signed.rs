//! Signed manifests, verified before they are parsed.

use super::read::MAX_BYTES;
use super::{KeyId, ProviderId, UpdateManifest};
use crate::issue::Report;
use crate::store::{BoxError, InvalidText, Sha256, Tenant};
use bytes::Bytes;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Names a manifest: the digest of its exact bytes.
///
/// ```
/// use fhir_devices::manifest::ManifestId;
/// let id = ManifestId::of(b"{}");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct ManifestId(pub Sha256);

impl ManifestId {
    /// Returns the name of the manifest that these bytes are.
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

/// One signature over the bytes of a manifest.
///
/// ```
/// use fhir_devices::manifest::Signature;
/// let signature = Signature { key: "acme-2017".parse()?, bytes: vec![0; 64] };
/// assert_eq!(signature.key, "acme-2017");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key made it.
    pub key: KeyId,
    /// The signature itself, in the form of its algorithm.
    pub bytes: Vec<u8>,
}

/// The tenant that received a manifest and its stated provider.
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
    /// The tenant.
    pub tenant: &'c Tenant,
    /// The provider.
    pub provider: &'c ProviderId,
}

impl<'c> SignatureContext<'c> {
    /// Returns the context of a manifest: the tenant that received it, and its stated provider.
    #[must_use]
    pub const fn new(tenant: &'c Tenant, provider: &'c ProviderId) -> Self {
        Self { tenant, provider }
    }
}

/// Why the signatures of a manifest are refused.
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
        /// The provider.
        provider: ProviderId,
    },
    /// A key that may sign did not make this signature over these bytes.
    #[error("the signature by the key `{key}` is not over these bytes")]
    Wrong {
        /// The key.
        key: KeyId,
    },
    /// Too few signatures are valid.
    #[error("found {found} good signatures, wanted {wanted}")]
    TooFew {
        /// How many are good.
        found: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// The verifier could not decide.
    #[error("the signatures could not be checked")]
    Unavailable {
        /// The reason.
        source: BoxError,
    },
}

/// Checks signatures: the caller's keys, and the caller's rules for them.
///
/// # Contract
///
/// - The signatures are over exactly these bytes.
/// - A key signs for the providers and the tenants that it was given to, and for no others.
/// - The answer names the keys whose signatures were found good, and at least one. There is no verifier that accepts
///   everything: an empty answer is refused.
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
    /// Returns the keys whose signatures over `bytes` are good, and may be used for the tenant and the provider.
    ///
    /// # Errors
    /// [`SignatureError`].
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError>;
}

/// A received manifest: its exact bytes and signatures. Nothing of it can be read before it
/// is verified.
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
    /// Keeps the bytes and the signatures.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, signatures: Vec<Signature>) -> Self {
        Self { bytes: bytes.into(), signatures }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        ManifestId::of(&self.bytes)
    }

    /// Returns the bytes as they came.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the signatures as they came.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the signatures, and reads the same bytes then.
    ///
    /// # Errors
    /// [`ManifestError`]: too many bytes, signatures that are not enough, bytes that are no manifest, or a manifest of
    /// another provider than the one whose keys were asked for.
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

/// The most bytes of all signatures together, with the names of their keys: no more than a ledger keeps in one record.
const MAX_SIGNATURES: usize = 40 * 1024;

/// What each signature counts for at least, be it empty.
const SIGNATURE: usize = 32;

/// Why a manifest is refused.
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
        /// How many it has.
        found: usize,
        /// How many are taken.
        most: usize,
    },
    /// The signatures exceed the maximum size.
    #[error("the signatures have {found} bytes, wanted at most {most}")]
    SignaturesTooLarge {
        /// How many they have, with the names of their keys.
        found: usize,
        /// How many are taken.
        most: usize,
    },
    /// The signatures are not enough.
    #[error("the signatures of the manifest are not enough")]
    Signature(#[source] SignatureError),
    /// The bytes are signed, and no manifest.
    #[error("the manifest cannot be read")]
    Unreadable(#[source] Report),
    /// The manifest names another provider than the one whose keys signed it.
    #[error("the manifest is of the provider `{found}`, wanted one of `{wanted}`")]
    OtherProvider {
        /// The provider that the manifest names.
        found: ProviderId,
        /// The provider that was wanted.
        wanted: ProviderId,
    },
}

/// A manifest whose signatures were found good, and the bytes that they are over. There is no other way to have one than
/// [`SignedManifest::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    id: ManifestId,
    manifest: UpdateManifest,
    keys: Vec<KeyId>,
    signed: SignedManifest,
}

impl VerifiedManifest {
    /// Returns its id.
    #[must_use]
    pub const fn id(&self) -> ManifestId {
        self.id
    }

    /// Returns what it says.
    #[must_use]
    pub const fn manifest(&self) -> &UpdateManifest {
        &self.manifest
    }

    /// Returns the keys whose signatures were found good; at least one.
    #[must_use]
    pub fn keys(&self) -> &[KeyId] {
        &self.keys
    }

    /// Returns the bytes and the signatures, to be kept or checked again.
    #[must_use]
    pub const fn signed(&self) -> &SignedManifest {
        &self.signed
    }
}
