//! Verification of Ed25519 signatures.

use super::{KeyId, ProviderId, Signature, SignatureContext, SignatureError, Verifier};
use crate::store::Tenant;
use ed25519_dalek::VerifyingKey;
use std::collections::{BTreeMap, BTreeSet};

/// Trusted Ed25519 public keys, each for providers in one tenant or in all.
///
/// A valid signature has 64 bytes over exactly the bytes of the manifest, by a key that may sign for the provider in
/// the tenant; points of small order and non-canonical forms are refused (`verify_strict`). A signature by any other
/// key is ignored, and a wrong signature by a key that may sign is an error.
///
/// ```
/// use ed25519_dalek::{Signer, SigningKey};
/// use fhir_devices::manifest::{Ed25519Keys, Signature, SignatureContext, Verifier};
///
/// let key = SigningKey::from_bytes(&[7; 32]);
/// let (tenant, provider) = ("st-mary".parse()?, "acme".parse()?);
/// let mut keys = Ed25519Keys::new();
/// keys.trust("acme-2017".parse()?, key.verifying_key().to_bytes(), "acme".parse()?, None)?;
///
/// let bytes = b"the manifest";
/// let signature = Signature { key: "acme-2017".parse()?, bytes: key.sign(bytes).to_bytes().to_vec() };
/// let context = SignatureContext::new(&tenant, &provider);
/// assert_eq!(keys.verify(bytes, &[signature.clone()], context)?, ["acme-2017"]);
/// assert!(keys.verify(b"another one", &[signature], context).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ed25519Keys {
    keys: BTreeMap<KeyId, Entry>,
    wanted: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    key: VerifyingKey,
    /// Providers and tenants that the key may sign for; `None` means all tenants.
    allowed: BTreeSet<(ProviderId, Option<Tenant>)>,
}

/// Reason why a public key is refused.
///
/// ```
/// use fhir_devices::manifest::{Ed25519Keys, NotAnEd25519Key};
/// let weak = Ed25519Keys::new().trust("k".parse()?, [0; 32], "acme".parse()?, None);
/// assert_eq!(weak, Err(NotAnEd25519Key::Weak));
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnEd25519Key {
    /// The bytes are not a point of the curve.
    #[error("the bytes are not an Ed25519 public key")]
    Malformed,
    /// The key is weak: signatures over any message can be made for it.
    #[error("the public key is weak")]
    Weak,
    /// Another key has the same id, or the same key has another id.
    #[error("another key has the name")]
    NameTaken,
}

impl Default for Ed25519Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Ed25519Keys {
    /// Creates an empty set of keys that requires one valid signature.
    #[must_use]
    pub const fn new() -> Self {
        Self { keys: BTreeMap::new(), wanted: 1 }
    }

    /// Sets the required number of keys with a valid signature; 0 counts as 1.
    #[must_use]
    pub const fn wanting(mut self, keys: usize) -> Self {
        self.wanted = if keys == 0 { 1 } else { keys };
        self
    }

    /// Adds a trusted key for a provider, in one tenant or in all.
    ///
    /// # Errors
    /// [`NotAnEd25519Key`] with the reason.
    pub fn trust(
        &mut self,
        id: KeyId,
        public: [u8; 32],
        provider: ProviderId,
        tenant: Option<Tenant>,
    ) -> Result<(), NotAnEd25519Key> {
        let key = VerifyingKey::from_bytes(&public).map_err(|_| NotAnEd25519Key::Malformed)?;
        if key.is_weak() {
            return Err(NotAnEd25519Key::Weak);
        }
        // One key under two ids would count as two signatures.
        if self.keys.iter().any(|(other, entry)| (*other == id) != (entry.key == key)) {
            return Err(NotAnEd25519Key::NameTaken);
        }
        let entry = self.keys.entry(id).or_insert_with(|| Entry { key, allowed: BTreeSet::new() });
        entry.allowed.insert((provider, tenant));
        Ok(())
    }

    /// Revokes a key for all providers.
    pub fn revoke(&mut self, id: &KeyId) {
        self.keys.remove(id);
    }

    fn allowed(&self, id: &KeyId, context: SignatureContext<'_>) -> Option<&VerifyingKey> {
        let entry = self.keys.get(id)?;
        let allows = |tenant| entry.allowed.contains(&(context.provider.clone(), tenant));
        (allows(None) || allows(Some(context.tenant.clone()))).then_some(&entry.key)
    }
}

impl Verifier for Ed25519Keys {
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError> {
        if signatures.is_empty() {
            return Err(SignatureError::Unsigned);
        }
        let mut good = BTreeSet::new();
        for Signature { key: id, bytes: signature } in signatures {
            let Some(key) = self.allowed(id, context) else { continue };
            let wrong = || SignatureError::Wrong { key: id.clone() };
            let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| wrong())?;
            key.verify_strict(bytes, &signature).map_err(|_| wrong())?;
            good.insert(id.clone());
        }
        match good.len() {
            0 => Err(SignatureError::NotAllowed { provider: context.provider.clone() }),
            found if found < self.wanted => Err(SignatureError::TooFew { found, wanted: self.wanted }),
            _ => Ok(good.into_iter().collect()),
        }
    }
}
