//! The stored form of rollout records: JSON with a format number, states by name.

use super::super::ingest::Unreadable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Fields and names are added, and never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

/// Returns a record as it is kept.
pub(in super::super) fn to_bytes<T: Serialize>(record: &T) -> Vec<u8> {
    // Texts and numbers under fixed names: there is nothing in it that JSON cannot say.
    serde_json::to_vec(&Written { format: FORMAT, record }).unwrap_or_default()
}

/// Reads the stored form.
pub(in super::super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let written: Written<T> = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
    if written.format == FORMAT { Ok(written.record) } else { Err(Unreadable) }
}
