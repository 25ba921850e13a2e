//! Verification of signed JSON Web Tokens (RFC 7519) by the keys of a provider.

use super::claims::Claims;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation, decode, decode_header};

/// The longest token that is read, in characters.
const MAX: usize = 16 << 10;

/// How far the clocks of provider and service may be apart, in seconds.
const LEEWAY: u64 = 60;

/// Whether a text has the form of a signed JSON Web Token: three parts, the first of which is a JSON object.
pub(super) fn is_one(text: &str) -> bool {
    text.len() <= MAX && text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A token whose header was read, and whose signature was not checked.
pub(super) struct Unverified<'t> {
    text: &'t str,
    header: Header,
}

impl<'t> Unverified<'t> {
    /// Reads the header. A signature by a shared secret, or none, is no signature of a provider.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let header = is_one(text).then(|| decode_header(text).ok())??;
        let secret = AlgorithmFamily::Hmac.algorithms().contains(&header.alg);
        (!secret).then_some(Self { text, header })
    }

    /// Whether the header says that it is an access token, or does not say what it is.
    pub(super) fn may_be_access_token(&self) -> bool {
        let kind = self.header.typ.as_deref().unwrap_or("JWT");
        let kind = kind.strip_prefix("application/").unwrap_or(kind);
        kind.eq_ignore_ascii_case("JWT") || kind.eq_ignore_ascii_case("at+jwt")
    }

    /// Returns the key that signed it by its header: the one of that id, or the only one that can have been.
    pub(super) fn key<'k>(&self, keys: &'k JwkSet) -> Option<&'k Jwk> {
        let fits = |key: &&Jwk| can_verify(key, self.header.alg);
        match &self.header.kid {
            Some(id) => keys.keys.iter().filter(|key| key.common.key_id.as_ref() == Some(id)).find(fits),
            None => {
                let mut fitting = keys.keys.iter().filter(fits);
                fitting.next().filter(|_| fitting.next().is_none())
            }
        }
    }

    /// Checks signature, issuer, audience and times, and returns the claims.
    pub(super) fn verify(&self, key: &Jwk, issuer: &str, audience: &str) -> Option<Claims> {
        let mut wanted = Validation::new(self.header.alg);
        wanted.set_issuer(&[issuer]);
        wanted.set_audience(&[audience]);
        wanted.set_required_spec_claims(&["exp", "iss", "aud"]);
        wanted.validate_nbf = true;
        wanted.leeway = LEEWAY;
        let key = DecodingKey::from_jwk(key).ok()?;
        Some(decode::<Claims>(self.text, &key, &wanted).ok()?.claims)
    }
}

/// Whether a key is one for signatures of an algorithm.
fn can_verify(key: &Jwk, algorithm: Algorithm) -> bool {
    let named = key
        .common
        .key_algorithm
        .is_none_or(|named| named.to_string().parse::<Algorithm>().is_ok_and(|named| named == algorithm));
    let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    named && signs && DecodingKey::from_jwk(key).is_ok_and(|key| key.family().algorithms().contains(&algorithm))
}
