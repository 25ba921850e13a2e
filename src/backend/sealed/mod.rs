//! Encryption at rest for any store: wrappers that seal what the inner store sees.
//!
//! [`SealedBlobs`] and [`SealedResources`] seal with authenticated encryption (AES-256-GCM) under a key for each
//! object, which the caller's [`KeyProvider`] wraps. Data at rest in the inner store can be neither read, nor changed
//! unnoticed, nor moved to another tenant or name. The records of the ledger name devices, files and digests, and no
//! patient; [`SealedLedger`] seals those records that contain secrets of clients.

mod blobs;
mod format;
mod key;
mod ledger;
mod resources;

pub use blobs::SealedBlobs;
pub use key::{DataKey, KeyId, KeyProvider, KeyRing, WrappedKey};
pub use ledger::SealedLedger;
pub use resources::SealedResources;
