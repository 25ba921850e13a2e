//! Random bytes of the operating system, for secrets and unique ids.

use super::{Result, StoreError};

/// Fills a buffer with random bytes.
///
/// # Errors
/// [`StoreError::Unavailable`] where the operating system has none.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        StoreError::unavailable(None, Some(format!("the operating system gives no random bytes: {error}").into()))
    })
}

/// Returns random bytes.
///
/// # Errors
/// [`StoreError::Unavailable`] where the operating system has none.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Returns a random number of 128 bits.
///
/// # Errors
/// [`StoreError::Unavailable`] where the operating system has none.
pub(crate) fn random_number() -> Result<u128> {
    random_bytes().map(u128::from_be_bytes)
}

/// Returns a random name: 128 bits in hexadecimal digits.
///
/// # Errors
/// [`StoreError::Unavailable`] where the operating system has none.
#[cfg(any(feature = "cosmos", feature = "object-store"))]
pub(crate) fn random_name() -> Result<String> {
    Ok(format!("{:032x}", random_number()?))
}
