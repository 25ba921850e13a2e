//! The digest of a token, compared in constant time.

use crate::store::Sha256;
use std::hash::{Hash, Hasher};
use subtle::ConstantTimeEq as _;

/// The SHA-256 digest of a token. A comparison takes the same time wherever two digests differ, so that the time of a
/// sign-in reveals nothing about the known tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenDigest(Sha256);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::of(token.as_bytes()))
    }
}

impl From<Sha256> for TokenDigest {
    fn from(digest: Sha256) -> Self {
        Self(digest)
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.0.ct_eq(&other.0.0).into()
    }
}

impl Eq for TokenDigest {}

impl Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_digests_are_equal_in_every_byte_or_not_at_all() {
        let digest = TokenDigest::of("a-long-enough-token");
        assert_eq!(digest, TokenDigest::from(Sha256::of(b"a-long-enough-token")));
        for at in 0..32 {
            let mut other = digest.0;
            other.0[at] ^= 1;
            assert_ne!(digest, TokenDigest(other), "byte {at}");
        }
    }
}
