//! The format of sealed bytes.
//!
//! A blob is a sequence of chunks, each sealed with AES-256-GCM under the data key of the blob, followed by a trailer
//! of fixed size with the wrapped data key. The nonce of a chunk is its number and whether it is the last one, so that
//! chunks can be neither exchanged nor cut off. The digest of a blob is known only at its end; its name is bound to the
//! data key, which is wrapped last, so the trailer comes last.

use super::key::{DataKey, KeyId, WrappedKey};
use crate::store::{Result, StoreError};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, Nonce, Tag};

/// Size of a chunk before sealing, in bytes.
pub(super) const CHUNK: usize = 64 << 10;
/// Number of bytes that sealing adds to a chunk.
pub(super) const TAG: usize = 16;
/// Size of a sealed chunk, in bytes.
pub(super) const SEALED: usize = CHUNK + TAG;
/// Size of the trailer of a blob, in bytes.
pub(super) const TRAILER: usize = 512;

const MAGIC: &[u8; 4] = b"FDS1";

fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt(what.to_owned())
}

/// Returns the number of chunks of `size` bytes; an empty blob has one.
pub(super) fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK as u64).max(1)
}

/// Returns the size of a sealed blob of `size` bytes; `None` on overflow.
pub(super) fn sealed_size(size: u64) -> Option<u64> {
    size.checked_add(chunks(size).checked_mul(TAG as u64)?)?.checked_add(TRAILER as u64)
}

/// Returns the size of the content of a sealed blob.
pub(super) fn plain_size(sealed: u64) -> Result<u64> {
    let plain = || {
        let body = sealed.checked_sub(TRAILER as u64)?;
        let plain = body.checked_sub(body.div_ceil(SEALED as u64).checked_mul(TAG as u64)?)?;
        (sealed_size(plain)? == sealed).then_some(plain)
    };
    plain().ok_or_else(|| corrupt("the size is not that of a sealed blob"))
}

/// Returns the largest blob whose sealed form fits into `limit` bytes.
pub(super) fn largest_within(limit: u64) -> u64 {
    let body = limit.saturating_sub(TRAILER as u64);
    body.saturating_sub(body.div_ceil(SEALED as u64).saturating_mul(TAG as u64))
}

fn nonce(number: u64, last: bool) -> Nonce<Aes256Gcm> {
    let mut nonce = [0; 12];
    let [first, _, _, _, rest @ ..] = &mut nonce;
    *first = u8::from(last);
    *rest = number.to_be_bytes();
    nonce.into()
}

/// Seals a chunk in place, and returns the tag that follows it.
pub(super) fn seal(cipher: &Aes256Gcm, number: u64, last: bool, chunk: &mut [u8]) -> Result<[u8; TAG]> {
    let tag = cipher.encrypt_inout_detached(&nonce(number, last), &[], chunk.into());
    tag.map(Into::into).map_err(|_| StoreError::invalid("a chunk is too long to be sealed"))
}

/// Opens a chunk with its tag in place, leaving its bytes.
pub(super) fn open(cipher: &Aes256Gcm, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<()> {
    let changed = || corrupt("the bytes were changed after they were sealed");
    let at = chunk.len().checked_sub(TAG).ok_or_else(changed)?;
    let (bytes, tag) = chunk.split_at_mut_checked(at).ok_or_else(changed)?;
    let tag = Tag::<Aes256Gcm>::try_from(&*tag).map_err(|_| changed())?;
    cipher.decrypt_inout_detached(&nonce(number, last), &[], bytes.into(), &tag).map_err(|_| changed())?;
    chunk.truncate(at);
    Ok(())
}

/// Returns the stored form of a wrapped key.
pub(super) fn write_key(wrapped: &WrappedKey) -> Result<Vec<u8>> {
    let too_long = || StoreError::invalid("the provider's wrapped key is too long to be kept");
    if wrapped.bytes.len() > WrappedKey::LONGEST {
        return Err(too_long());
    }
    let name = wrapped.by.as_str().as_bytes();
    let name_length = u8::try_from(name.len()).map_err(|_| too_long())?;
    let length = u16::try_from(wrapped.bytes.len()).map_err(|_| too_long())?;
    Ok([&MAGIC[..], &[name_length], name, &length.to_be_bytes(), &wrapped.bytes].concat())
}

/// Returns whether bytes are sealed, by their first bytes.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a wrapped key, and returns the rest.
pub(super) fn read_key(bytes: &[u8]) -> Result<(WrappedKey, &[u8])> {
    let read = || {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (&name_length, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked(name_length.into())?;
        let by: KeyId = std::str::from_utf8(name).ok()?.parse().ok()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (wrapped, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some((WrappedKey { by, bytes: wrapped.to_vec() }, rest))
    };
    read().ok_or_else(|| corrupt("it was not sealed by this crate"))
}

/// Returns the trailer of a blob.
pub(super) fn trailer(wrapped: &WrappedKey) -> Result<Vec<u8>> {
    let mut bytes = write_key(wrapped)?;
    bytes.resize(TRAILER, 0);
    Ok(bytes)
}

/// Returns the context that a data key is bound to: each part preceded by its length, so that no two lists of parts
/// have the same bytes.
pub(super) fn context(parts: &[&str]) -> Vec<u8> {
    let mut context = Vec::new();
    for part in parts {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

/// Seals a whole text, preceded by its data key.
pub(super) fn seal_whole(key: &DataKey, wrapped: &WrappedKey, plain: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = write_key(wrapped)?;
    let at = bytes.len();
    bytes.reserve_exact(plain.len() + TAG);
    bytes.extend_from_slice(plain);
    let tag = seal(&key.cipher(), 0, true, bytes.get_mut(at..).unwrap_or_default())?;
    bytes.extend_from_slice(&tag);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_size_follows_from_sealed_size() {
        let chunk = CHUNK as u64;
        for size in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 7, 5 << 40] {
            let sealed = sealed_size(size).unwrap();
            assert_eq!(plain_size(sealed).unwrap(), size);
            assert_eq!(largest_within(sealed), size);
        }
        for sealed in [0, TRAILER as u64, (TRAILER + TAG - 1) as u64, (TRAILER + SEALED + TAG - 1) as u64] {
            assert!(plain_size(sealed).is_err(), "{sealed}");
        }
        assert_eq!(sealed_size(u64::MAX), None);
        assert!(sealed_size(largest_within(u64::MAX)).is_some());
        assert_eq!(largest_within(0), 0);
    }

    #[test]
    fn wrapped_key_round_trips() {
        let wrapped = WrappedKey { by: "k".repeat(128).parse().unwrap(), bytes: vec![7; WrappedKey::LONGEST] };
        let bytes = trailer(&wrapped).unwrap();
        assert_eq!(bytes.len(), TRAILER);
        assert_eq!(read_key(&bytes).unwrap().0, wrapped);
        for cut in 0..write_key(&wrapped).unwrap().len() {
            assert!(read_key(&bytes[..cut]).is_err());
        }
        let longer = WrappedKey { bytes: vec![7; WrappedKey::LONGEST + 1], ..wrapped };
        assert!(trailer(&longer).is_err());
    }
}
