//! Uploads with a manifest, signed by a trusted or an untrusted key.

use super::fleet::COMPONENTS;
use super::net::Mutant;
use fhir_devices::manifest::{KeyId, Signature, SignatureContext, SignatureError, SignedManifest, Verifier};
use fhir_devices::service::SignedSubmission;
use fhir_devices::store::Sha256;

/// The version of every update signed by an untrusted key.
pub(crate) const FORGED: &str = "6.6.6";

/// The version of updates without a manifest, where they have one.
pub(crate) const UNSIGNED: &str = "u1";

/// One key, whose signature is the digest of the signed bytes.
pub(crate) struct OneKey(pub(crate) Option<Mutant>);

impl Verifier for OneKey {
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError> {
        let is_good = |one: &&Signature| {
            one.key == "acme-2017" && one.bytes == Sha256::of(bytes).0 || self.0 == Some(Mutant::NoVerification)
        };
        let good: Vec<KeyId> = signatures.iter().filter(is_good).map(|one| one.key.clone()).collect();
        if good.is_empty() {
            return Err(SignatureError::NotAllowed { provider: context.provider.clone() });
        }
        Ok(good)
    }
}

/// Returns an update of a component whose version identifies its bytes.
pub(crate) fn signed(c: usize, version: &str, sequence: u64, content: &[u8]) -> SignedSubmission {
    let code = [69_965, 70_662][c];
    let manifest = format!(
        r#"{{"format":1,"identity":{{"provider":"acme","name":"{}","version":"{version}","scheme":"semver"}},
        "sequence":{sequence},"target":{{"code":{code}}},"reportedAs":"firmware","compatibility":[{{"code":{code}}}],
        "artifacts":[{{"name":"monitor.bin","mediaType":"application/octet-stream","size":{},"sha256":"{}"}}],
        "urgency":"routine"}}"#,
        COMPONENTS[c],
        content.len(),
        Sha256::of(content)
    );
    let bytes = if version == FORGED { [0; 32] } else { Sha256::of(manifest.as_bytes()).0 };
    let signature = Signature { key: "acme-2017".parse().unwrap(), bytes: bytes.to_vec() };
    let manifest = SignedManifest::new(manifest, vec![signature]);
    SignedSubmission::new("monitor".parse().unwrap(), "acme".parse().unwrap(), manifest)
}
