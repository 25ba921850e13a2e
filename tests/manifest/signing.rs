//! Verification before parsing; and attempts to get around it.

use super::*;
use fhir_devices::manifest::{
    KeyId, ManifestError, ManifestId, ProviderId, Signature, SignatureContext, SignatureError, SignedManifest, Verifier,
};
use fhir_devices::store::{BlobRef, Sha256, Tenant};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A verifier that accepts some keys, and counts its calls.
struct Says(Vec<KeyId>, AtomicUsize);

impl Says {
    fn keys(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| key.parse().unwrap()).collect(), AtomicUsize::new(0))
    }
}

impl Verifier for Says {
    fn verify(&self, _: &[u8], _: &[Signature], _: SignatureContext<'_>) -> Result<Vec<KeyId>, SignatureError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.clone())
    }
}

/// A verifier that refuses everything.
struct Nobody;

impl Verifier for Nobody {
    fn verify(&self, _: &[u8], _: &[Signature], _: SignatureContext<'_>) -> Result<Vec<KeyId>, SignatureError> {
        Err(SignatureError::Unsigned)
    }
}

fn names() -> (Tenant, ProviderId) {
    ("st-mary".parse().unwrap(), "acme".parse().unwrap())
}

fn verify(
    bytes: Vec<u8>,
    signatures: Vec<Signature>,
    verifier: &dyn Verifier,
) -> Result<fhir_devices::manifest::VerifiedManifest, ManifestError> {
    let (tenant, provider) = names();
    SignedManifest::new(bytes, signatures).verify(verifier, SignatureContext::new(&tenant, &provider))
}

#[test]
fn verified_manifest_keeps_the_signed_bytes() {
    let bytes = document("smallest");
    let verified = verify(bytes.clone(), Vec::new(), &Says::keys(&["acme-2017"])).unwrap();
    assert_eq!(verified.id(), ManifestId(Sha256::of(&bytes)));
    assert_eq!(verified.signed().bytes(), &bytes);
    assert_eq!(verified.manifest(), &smallest());
    assert_eq!(verified.keys(), ["acme-2017"]);
}

#[test]
fn unverified_bytes_are_not_parsed() {
    // They are no manifest, and nobody looks.
    assert!(matches!(
        verify(b"{".to_vec(), Vec::new(), &Nobody),
        Err(ManifestError::Signature(SignatureError::Unsigned))
    ));
    assert!(matches!(verify(b"{".to_vec(), Vec::new(), &Says::keys(&["k"])), Err(ManifestError::Unreadable(_))));
}

#[test]
fn verifier_without_keys_accepts_nothing() {
    let refusal = verify(document("smallest"), Vec::new(), &Says::keys(&[])).unwrap_err();
    assert!(matches!(refusal, ManifestError::Signature(SignatureError::Unsigned)));
}

#[test]
fn oversized_manifest_is_not_verified() {
    let verifier = Says::keys(&["k"]);
    let refusal = verify(vec![b' '; 64 * 1024 + 1], Vec::new(), &verifier).unwrap_err();
    assert_eq!(refusal.to_string(), "the manifest has 65537 bytes, wanted at most 65536");
    assert_eq!(verifier.1.load(Ordering::Relaxed), 0);
}

#[test]
fn manifest_of_another_provider_is_refused() {
    let mut other = smallest();
    other.identity.provider = "mallory".parse().unwrap();
    let refusal = verify(other.to_json().into_bytes(), Vec::new(), &Says::keys(&["acme-2017"])).unwrap_err();
    assert_eq!(refusal.to_string(), "the manifest is of the provider `mallory`, wanted one of `acme`");
}

#[test]
fn file_of_another_update_does_not_match() {
    let manifest = smallest();
    assert_eq!(manifest.artifact(&BlobRef::of(b"firmware")), Some(&manifest.artifacts[0]));
    assert_eq!(manifest.artifact(&BlobRef::of(b"firmwarE")), None);
    let longer = BlobRef { size: 9, ..BlobRef::of(b"firmware") };
    assert_eq!(manifest.artifact(&longer), None);
}

#[test]
fn upload_is_bound_to_its_manifest() {
    let bytes = document("every-member");
    let verified = verify(bytes, Vec::new(), &Says::keys(&["acme-2017"])).unwrap();
    let artifact = &verified.manifest().artifacts[0];
    let intent = verified.intent("pump-7".parse().unwrap(), artifact).unwrap();
    assert_eq!(intent.manifest, Some(verified.id().0));
    assert_eq!((intent.sha256, intent.size), (Some(artifact.sha256), Some(artifact.size)));
    assert_eq!(intent.sequence, Some(u64::MAX));
    assert_eq!(intent.provider.unwrap(), "acme");
    assert_eq!(intent.target, verified.manifest().target.selector());
    assert_eq!(intent.downgrade.as_deref(), verified.manifest().downgrade.as_ref());
    assert_eq!(verified.intent("pump-7".parse().unwrap(), &smallest().artifacts[0]), None);
}

#[test]
fn every_refusal_has_a_message() {
    let refusals = [
        SignatureError::Unsigned,
        SignatureError::NotAllowed { provider: "acme".parse().unwrap() },
        SignatureError::Wrong { key: "acme-2017".parse().unwrap() },
        SignatureError::TooFew { found: 1, wanted: 2 },
        SignatureError::Unavailable { source: "the vault is closed".into() },
    ];
    let words = refusals.map(|refusal| refusal.to_string());
    assert_eq!(
        words,
        [
            "the manifest has no signature",
            "no signature is by a key that may sign for the provider `acme` here",
            "the signature by the key `acme-2017` is not over these bytes",
            "found 1 good signatures, wanted 2",
            "the signatures could not be checked",
        ]
    );
}

#[cfg(feature = "ed25519")]
mod ed25519 {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};
    use fhir_devices::manifest::{Ed25519Keys, NotAnEd25519Key};
    use proptest::prelude::*;

    fn secret(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> [u8; 32] {
        secret(seed).verifying_key().to_bytes()
    }

    fn sign(seed: u8, id: &str, bytes: &[u8]) -> Signature {
        Signature { key: id.parse().unwrap(), bytes: secret(seed).sign(bytes).to_bytes().to_vec() }
    }

    fn keys(trusted: &[(&str, u8, &str, Option<&str>)]) -> Ed25519Keys {
        let mut keys = Ed25519Keys::new();
        for (id, seed, provider, tenant) in trusted {
            let tenant = tenant.map(|tenant| tenant.parse().unwrap());
            keys.trust(id.parse().unwrap(), public(*seed), provider.parse().unwrap(), tenant).unwrap();
        }
        keys
    }

    /// Returns the outcome of a valid manifest with these signatures.
    fn outcome(keys: &Ed25519Keys, signed: &[(&str, u8)]) -> String {
        let bytes = document("smallest");
        let signatures = signed.iter().map(|(id, seed)| sign(*seed, id, &bytes)).collect();
        match verify(bytes, signatures, keys) {
            Ok(verified) => {
                let keys: Vec<&str> = verified.keys().iter().map(KeyId::as_str).collect();
                format!("good: {}", keys.join(" "))
            }
            Err(ManifestError::Signature(refusal)) => refusal.to_string(),
            Err(other) => other.to_string(),
        }
    }

    const NOT_ALLOWED: &str = "no signature is by a key that may sign for the provider `acme` here";

    #[test]
    fn provider_keys_sign_for_that_provider_only() {
        let trusted = keys(&[("a", 1, "acme", None), ("b", 2, "bolt", None)]);
        assert_eq!(outcome(&trusted, &[("a", 1)]), "good: a");
        assert_eq!(outcome(&trusted, &[("b", 2)]), NOT_ALLOWED);
        assert_eq!(outcome(&trusted, &[("c", 1)]), NOT_ALLOWED);
        assert_eq!(outcome(&trusted, &[]), "the manifest has no signature");
        // A signature of somebody else takes nothing away.
        assert_eq!(outcome(&trusted, &[("b", 2), ("a", 1)]), "good: a");
        assert_eq!(outcome(&Ed25519Keys::new(), &[("a", 1)]), NOT_ALLOWED);
    }

    #[test]
    fn tenant_key_signs_for_that_tenant_only() {
        assert_eq!(outcome(&keys(&[("a", 1, "acme", Some("st-john"))]), &[("a", 1)]), NOT_ALLOWED);
        assert_eq!(outcome(&keys(&[("a", 1, "acme", Some("st-mary"))]), &[("a", 1)]), "good: a");
        let both = keys(&[("a", 1, "acme", Some("st-john")), ("a", 1, "acme", Some("st-mary"))]);
        assert_eq!(outcome(&both, &[("a", 1)]), "good: a");
    }

    #[test]
    fn wrong_signature_by_a_trusted_key_is_refused() {
        let trusted = keys(&[("a", 1, "acme", None), ("b", 2, "acme", None)]);
        let wrong = "the signature by the key `a` is not over these bytes";
        assert_eq!(outcome(&trusted, &[("a", 2)]), wrong);
        assert_eq!(outcome(&trusted, &[("b", 2), ("a", 2)]), wrong);
        for length in [0, 63, 65] {
            let signature = Signature { key: "a".parse().unwrap(), bytes: vec![0; length] };
            let refusal = verify(document("smallest"), vec![signature], &trusted).unwrap_err();
            assert!(matches!(refusal, ManifestError::Signature(SignatureError::Wrong { .. })));
        }
    }

    #[test]
    fn signature_threshold_counts_each_key_once() {
        let trusted = keys(&[("a", 1, "acme", None), ("b", 2, "acme", None)]).wanting(2);
        assert_eq!(outcome(&trusted, &[("a", 1), ("b", 2)]), "good: a b");
        assert_eq!(outcome(&trusted, &[("a", 1), ("a", 1)]), "found 1 good signatures, wanted 2");
        assert_eq!(outcome(&keys(&[]).wanting(0), &[("a", 1)]), NOT_ALLOWED);
    }

    #[test]
    fn revoked_key_is_refused() {
        let mut trusted = keys(&[("a", 1, "acme", None)]);
        trusted.revoke(&"a".parse().unwrap());
        assert_eq!(outcome(&trusted, &[("a", 1)]), NOT_ALLOWED);
    }

    #[test]
    fn weak_malformed_or_duplicate_key_is_refused() {
        let mut trusted = keys(&[("a", 1, "acme", None)]);
        let mut trust = |id: &str, bytes| trusted.trust(id.parse().unwrap(), bytes, "acme".parse().unwrap(), None);
        let mut small_order = [0; 32];
        small_order[0] = 1;
        assert_eq!(trust("weak", small_order), Err(NotAnEd25519Key::Weak));
        assert_eq!(trust("none", [2; 32]), Err(NotAnEd25519Key::Malformed));
        assert_eq!(trust("a", public(2)), Err(NotAnEd25519Key::NameTaken));
        assert_eq!(trust("b", public(1)), Err(NotAnEd25519Key::NameTaken));
        assert_eq!(trust("b", public(2)), Ok(()));
    }

    #[test]
    fn signature_of_another_manifest_is_refused() {
        let trusted = keys(&[("a", 1, "acme", None)]);
        let other = document("every-member");
        let refusal = verify(document("smallest"), vec![sign(1, "a", &other)], &trusted).unwrap_err();
        assert!(matches!(refusal, ManifestError::Signature(SignatureError::Wrong { .. })));
        // Not even over the same manifest in other bytes.
        let same = smallest().to_json();
        let refusal = verify(document("smallest"), vec![sign(1, "a", same.as_bytes())], &trusted).unwrap_err();
        assert!(matches!(refusal, ManifestError::Signature(SignatureError::Wrong { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn changed_bit_in_bytes_or_signature_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let trusted = keys(&[("a", 1, "acme", None)]);
            let bytes = document("smallest");
            let signature = sign(1, "a", &bytes);
            let mut other = bytes.clone();
            other[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(verify(other, vec![signature.clone()], &trusted).is_err());
            let mut changed = signature;
            changed.bytes[at.index(64)] ^= 1 << bit;
            prop_assert!(verify(bytes, vec![changed], &trusted).is_err());
        }
    }
}
