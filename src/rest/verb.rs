//! The verb that made a version, for histories: creations under an id of the service are told by their write ids.

use super::problem::{Problem, Result};
use crate::store::{Key, Sha256, Version, WriteId, random_number};

/// The bits of a write id that are random where it is that of a `POST`.
const RANDOM: u32 = 64;

/// Returns the part of the write id of a `POST` that follows from its random part: no other write has it, but by a
/// chance of 2^-64.
fn mark(key: &Key, random: u128) -> u128 {
    let digest = Sha256::of(format!("POST {key} {random:x}").as_bytes());
    digest.0.iter().take(8).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Returns a name for the write by which a `POST` creates a resource.
pub(super) fn posted(key: &Key) -> Result<WriteId> {
    let random = random_number().map_err(|error| Problem::of_store(&error, "a new name"))? >> RANDOM;
    Ok(WriteId(random << RANDOM | mark(key, random)))
}

/// Returns the verb that made a version. A patch counts as the update that it makes: histories have no word for it.
pub(super) fn verb(version: &Version) -> &'static str {
    let is_posted = |WriteId(id): WriteId| mark(&version.key, id >> RANDOM) == id & u128::from(u64::MAX);
    match version.write_id {
        _ if version.is_deleted() => "DELETE",
        Some(id) if is_posted(id) => "POST",
        _ => "PUT",
    }
}
