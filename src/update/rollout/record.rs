//! Stored form of rollout records: JSON with a format number, states by name.

use super::super::ingest::Unreadable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Format version. Fields and names are added but never changed; a change gets another number.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

/// Serializes a record.
pub(in super::super) fn to_bytes<T: Serialize>(record: &T) -> Vec<u8> {
    // Strings and numbers under fixed names always serialize.
    serde_json::to_vec(&Written { format: FORMAT, record }).unwrap_or_default()
}

/// Parses the stored form.
pub(in super::super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let written: Written<T> = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
    if written.format == FORMAT { Ok(written.record) } else { Err(Unreadable) }
}
