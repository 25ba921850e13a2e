//! The versions that are known to have had a body.

use crate::store::{Key, Tenant, Version, VersionId};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

/// The most versions of a generation; two generations are kept.
const GENERATION: usize = 1 << 15;

/// The versions with a body that were lately seen. An update of one of them cannot meet a resource that never was, nor one
/// that is deleted, and needs no look first.
///
/// Only hashes with a random key are kept, of 64 bits: it takes 2^48 updates until one is expected to be mistaken for known.
#[derive(Debug, Default)]
pub(super) struct KnownVersions {
    key: RandomState,
    generations: Mutex<[HashSet<u64>; 2]>,
}

impl KnownVersions {
    fn hash(&self, tenant: &Tenant, key: &Key, version: VersionId) -> u64 {
        self.key.hash_one((tenant, key, version))
    }

    pub(super) fn add(&self, tenant: &Tenant, version: &Version) {
        if version.is_deleted() {
            return;
        }
        let hash = self.hash(tenant, &version.key, version.version);
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [new, old] = &mut *generations;
        if new.len() >= GENERATION {
            *old = std::mem::take(new);
        }
        new.insert(hash);
    }

    pub(super) fn contains(&self, tenant: &Tenant, key: &Key, version: VersionId) -> bool {
        let hash = self.hash(tenant, key, version);
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().any(|generation| generation.contains(&hash))
    }
}
