//! Blob keys, digests and read results.

use super::hex::{bytes, hex, number};
use super::{ByteStream, InvalidText, Result, StoreError};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::Digest as _;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// SHA-256 digest of a blob, which also names it.
///
/// The text form is 64 hexadecimal digits, written in lower case and read in either case.
///
/// ```
/// use fhir_devices::store::Sha256;
/// let digest = Sha256::of(b"abc");
/// assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Computes the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("a SHA-256 digest", text, "64 hexadecimal digits are wanted");
        bytes(text).map(Self).ok_or_else(refuse)
    }
}

/// Content of a blob: digest and size.
///
/// ```
/// use fhir_devices::store::BlobRef;
/// assert_eq!(BlobRef::of(b"firmware").size, 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct BlobRef {
    /// SHA-256 digest of the bytes.
    pub digest: Sha256,
    /// Size in bytes.
    pub size: u64,
}

impl BlobRef {
    /// Returns the digest and size of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Sha256::of(bytes), size: bytes.len() as u64 }
    }

    /// Returns the key of this blob for a generation.
    #[must_use]
    pub fn key(&self, generation: Generation) -> BlobKey {
        BlobKey { digest: self.digest, generation }
    }

    /// Checks that `found` has the digest and size of this blob.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the difference.
    pub fn verify(&self, found: Self) -> Result<()> {
        let what = if found.size != self.size {
            format!("the size is {} bytes, and {} are wanted", found.size, self.size)
        } else if found.digest != self.digest {
            format!("the digest is `{}`, and `{}` is wanted", found.digest, self.digest)
        } else {
            return Ok(());
        };
        Err(StoreError::corrupt(what))
    }

    /// Checks that `written`, the digest and size of the bytes of a commit, are those of this blob (B2).
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] with the difference.
    pub fn verify_written(&self, written: Self) -> Result<()> {
        self.verify(written).map_err(|differs| match differs {
            StoreError::Corrupt { what, .. } => StoreError::mismatch(what),
            other => other,
        })
    }

    /// Returns the byte range of a request for `range`: the whole blob for `None`, and the end cut at the size.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an empty range, [`StoreError::OutOfRange`] for one that starts at or after the end.
    pub fn clip(&self, range: Option<Range<u64>>) -> Result<Range<u64>> {
        match range {
            None => Ok(0..self.size),
            Some(range) if range.start >= range.end => Err(StoreError::invalid("the range is empty")),
            Some(range) if range.start >= self.size => Err(StoreError::out_of_range(self.size)),
            Some(range) => Ok(range.start..range.end.min(self.size)),
        }
    }
}

/// Generation of a blob: 128 bits that distinguish one write from every other, never reused.
///
/// A deleted blob never comes back under the same key, so that a late deletion cannot hit the bytes of a later upload.
/// The text form is 32 hexadecimal digits in lower case.
///
/// ```
/// use fhir_devices::store::Generation;
/// let generation = Generation(0xfeed);
/// assert_eq!(generation.to_string(), "0000000000000000000000000000feed");
/// assert_eq!(generation.to_string().parse(), Ok(generation));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct Generation(pub u128);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0.to_be_bytes(), &mut [0; 64]))
    }
}

impl FromStr for Generation {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = || InvalidText::new("a generation", text, "32 hexadecimal digits in lower case are wanted");
        number(text).map(Self).ok_or_else(refuse)
    }
}

/// Key of a blob in a tenant: digest and generation.
///
/// The text form is `DIGEST/GENERATION`, safe as two path segments.
///
/// ```
/// use fhir_devices::store::{BlobKey, Generation, Sha256};
/// let key = BlobKey { digest: Sha256::of(b"firmware"), generation: Generation(7) };
/// assert!(key.to_string().ends_with("/00000000000000000000000000000007"));
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct BlobKey {
    /// SHA-256 digest of the bytes.
    pub digest: Sha256,
    /// Generation of the write.
    pub generation: Generation,
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.digest, self.generation)
    }
}

impl FromStr for BlobKey {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text.split_once('/') {
            Some((digest, generation)) => Ok(Self { digest: digest.parse()?, generation: generation.parse()? }),
            None => Err(InvalidText::new("the name of a blob", text, "the form is DIGEST/GENERATION")),
        }
    }
}

/// Entry of a list of blobs.
///
/// ```
/// use fhir_devices::store::{BlobInfo, BlobRef, Generation};
/// let info = BlobInfo { key: BlobRef::of(b"firmware").key(Generation(7)), size: 8 };
/// assert_eq!(info.blob(), BlobRef::of(b"firmware"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobInfo {
    /// Key of the blob.
    pub key: BlobKey,
    /// Size in bytes.
    pub size: u64,
}

impl BlobInfo {
    /// Returns the digest and size.
    #[must_use]
    pub fn blob(&self) -> BlobRef {
        BlobRef { digest: self.key.digest, size: self.size }
    }
}

/// Computes the digest and size of streamed bytes.
///
/// ```
/// use fhir_devices::store::{BlobHasher, BlobRef};
/// let mut hasher = BlobHasher::new();
/// hasher.update(b"firm");
/// hasher.update(b"ware");
/// assert_eq!(hasher.finish(), BlobRef::of(b"firmware"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct BlobHasher {
    hash: sha2::Sha256,
    size: u64,
}

impl BlobHasher {
    /// Creates a hasher without bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
    }

    /// Returns the number of bytes added so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest and size of all bytes added.
    #[must_use]
    pub fn finish(self) -> BlobRef {
        BlobRef { digest: Sha256(self.hash.finalize().into()), size: self.size }
    }
}

/// Result of reading a blob: its content reference and a stream of the requested bytes.
///
/// ```
/// use fhir_devices::store::{BlobRead, BlobRef, stream};
/// let whole = BlobRead { blob: BlobRef::of(b"abc"), range: 0..3, body: stream::once("abc") };
/// assert!(whole.is_whole());
/// ```
pub struct BlobRead {
    /// Digest and size of the whole blob.
    pub blob: BlobRef,
    /// Byte range of the stream.
    pub range: Range<u64>,
    /// Stream of the bytes in the range.
    pub body: ByteStream,
}

impl BlobRead {
    /// Returns whether the range is the whole blob.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.range == (0..self.blob.size)
    }
}

impl fmt::Debug for BlobRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobRead").field("blob", &self.blob).field("range", &self.range).finish_non_exhaustive()
    }
}

/// Outcome of a blob commit.
///
/// ```
/// use fhir_devices::store::PutOutcome;
/// assert_ne!(PutOutcome::Stored, PutOutcome::AlreadyPresent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The blob was absent and is now stored.
    Stored,
    /// The tenant already had a blob under this key.
    AlreadyPresent,
}

/// Kind of URL that leads to a blob.
///
/// ```
/// use fhir_devices::store::UrlKind;
/// let an_hour = UrlKind::Signed { valid_for: std::time::Duration::from_secs(3600) };
/// assert_ne!(an_hour, UrlKind::Public);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlKind {
    /// Stable and without credentials, as behind a content delivery network.
    Public,
    /// Grants read permission by itself for a limited time.
    Signed {
        /// Validity of the URL.
        valid_for: Duration,
    },
}
