//! Id shared by a blob store and its ledger.

use super::hex::{hex, number};
use super::{BlobKey, BlobRef, Generation, InvalidText, Result, Sha256};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Id shared by the files and the ledger of a tenant, so that a foreign ledger is detected.
///
/// The ledger keeps the id in a record. The blob store keeps it as a *marker*: a blob with [fixed
/// content](Self::CONTENT) whose generation is the id. So every [`BlobStore`](super::BlobStore) can hold a marker, even
/// without conditional writes, and damage to its bytes does no harm: only its key counts. The digest of the content
/// begins with 26 zero bits, so that markers are listed before every other blob. The text form is 32 hexadecimal digits
/// in lower case.
///
/// ```
/// use fhir_devices::store::{BlobRef, Generation, StoreId};
/// let id: StoreId = "0000000000000000000000000000feed".parse()?;
/// assert_eq!(StoreId::of_marker(&id.marker()), Some(id));
/// assert_eq!(StoreId::of_marker(&BlobRef::of(b"firmware").key(Generation(0xfeed))), None);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct StoreId(pub u128);

impl StoreId {
    /// Content of every marker.
    pub const CONTENT: &'static str =
        "fhir-devices store marker, format 1: the generation is the id of the ledger. 1962313";

    /// SHA-256 digest of the content.
    pub const DIGEST: Sha256 = Sha256([
        0x00, 0x00, 0x00, 0x3d, 0x96, 0xd2, 0xb1, 0x2e, 0x71, 0xa5, 0xcc, 0xa5, 0x7b, 0x40, 0xc9, 0xe0, 0xe8, 0x20,
        0x82, 0xab, 0x55, 0xea, 0x65, 0xbf, 0x22, 0x33, 0x29, 0x32, 0x09, 0x93, 0x08, 0xac,
    ]);

    /// Returns the key of the marker with this id.
    #[must_use]
    pub fn marker(self) -> BlobKey {
        BlobKey { digest: Self::DIGEST, generation: Generation(self.0) }
    }

    /// Returns the digest and size of every marker.
    #[must_use]
    pub fn content() -> BlobRef {
        BlobRef { digest: Self::DIGEST, size: Self::CONTENT.len() as u64 }
    }

    /// Returns the id of a marker; `None` for any other blob.
    #[must_use]
    pub fn of_marker(key: &BlobKey) -> Option<Self> {
        (key.digest == Self::DIGEST).then_some(Self(key.generation.0))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0.to_be_bytes(), &mut [0; 64]))
    }
}

impl FromStr for StoreId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("a store id", text, "32 hexadecimal digits in lower case are wanted");
        number(text).map(Self).ok_or_else(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_id_digest_matches_its_content() {
        assert_eq!(BlobRef::of(StoreId::CONTENT.as_bytes()), StoreId::content());
    }
}
