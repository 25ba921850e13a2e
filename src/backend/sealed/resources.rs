//! Resources whose bodies are sealed before the inner store sees them.

use super::format;
use super::key::{DataKey, KeyProvider};
use crate::search::{Criterion, Parameter, ResourceType, Token, TokenMatch};
use crate::store::{
    BoxFuture, Capabilities, Changes, CommitError, Key, Page, PageToken, ResourceStore, Result, Search, StoreError,
    Tenant, Version, VersionId, Write,
};
use bytes::Bytes;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use smol_str::SmolStr;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A resource store that encrypts bodies for an inner store.
///
/// # Guarantees
/// Each version has a data key of its own, wrapped by the [`KeyProvider`] and bound to the tenant and the key of the
/// resource: a body that was moved to another tenant or resource, or changed, does not open
/// ([`Corrupt`](StoreError::Corrupt)). Keys rotate without rewriting versions.
///
/// A data key seals one body only, so that its nonce is never reused; the provider counts how often its own wrapping
/// key is used, as [`KeyRing::MOST_WRAPS`](super::KeyRing::MOST_WRAPS) says.
///
/// # What it does not hide
/// The inner store sees types and ids, times, sizes, and the index entries, which include identifiers and references to
/// patients. [`with_blind_index`](Self::with_blind_index) hides the values of the entries.
///
/// # What it does not authenticate
/// Only bodies are authenticated: version numbers, times, write ids, deletions and index entries are trusted as the
/// inner store returns them. Whoever can write there can delete a resource or undo its deletion, replace a newer body
/// of a resource by an older one, give a version another number or time, and make a search find or miss it.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::backend::sealed::{KeyRing, SealedResources};
/// use fhir_devices::store::{Precondition, TenantResources};
/// use fhir_devices::{Device, Valid};
/// use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Arc::new(Memory::new());
/// let keys = KeyRing::new("2026".parse()?, [7; 32]);
/// let store = TenantResources::new(Arc::new(SealedResources::new(memory.clone(), Arc::new(keys))), "st-mary".parse()?);
/// let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump","lotNumber":"A7"}"#)?;
/// store.put(&Valid::new(pump)?, Precondition::Absent).await?;
/// assert_eq!(store.get::<Device>("pump").await?.0.lot_number, Some("A7".parse()?));
///
/// let below = TenantResources::new(memory, "st-mary".parse()?);
/// assert!(below.get::<Device>("pump").await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct SealedResources<S: ?Sized = dyn ResourceStore> {
    keys: Arc<dyn KeyProvider>,
    blind: Option<Zeroizing<[u8; 32]>>,
    below: Arc<S>,
}

/// Maximum number of bytes that sealing adds to a body.
const OVERHEAD: u64 = format::TRAILER as u64 + format::TAG as u64;

impl<S: ResourceStore + ?Sized> SealedResources<S> {
    /// Creates a store that seals bodies into `below`.
    #[must_use]
    pub fn new(below: Arc<S>, keys: Arc<dyn KeyProvider>) -> Self {
        Self { keys, blind: None, below }
    }

    /// Also hides the values of index entries: the inner store sees a keyed hash (HMAC-SHA-256) of each, which differs
    /// between tenants. Equal values can be found, and recognized as equal. A prefix search is
    /// [`Unsupported`](StoreError::Unsupported) then. The secret must stay the same as long as the store exists.
    #[must_use]
    pub fn with_blind_index(mut self, secret: [u8; 32]) -> Self {
        self.blind = Some(Zeroizing::new(secret));
        self
    }

    async fn seal(&self, tenant: &Tenant, write: Write) -> Result<Write> {
        let index = match &self.blind {
            Some(secret) => {
                write.index.into_vec().into_iter().map(|(of, token)| (of, blind(secret, tenant, of, token))).collect()
            }
            None => write.index,
        };
        let body = match write.body {
            Some(body) => {
                let limit = self.capabilities().max_body;
                if body.len() as u64 > limit {
                    return Err(StoreError::too_large(limit));
                }
                let key = DataKey::random()?;
                let wrapped = self.keys.wrap(tenant, &key, &bound(&write.key)).await?;
                Some(Bytes::from(format::seal_whole(&key, &wrapped, &body)?))
            }
            None => None,
        };
        Ok(Write { body, index, ..write })
    }

    async fn open(&self, tenant: &Tenant, mut version: Version) -> Result<Version> {
        if let Some(body) = version.body.take() {
            let (wrapped, sealed) = format::read_key(&body)?;
            let key = self.keys.unwrap(tenant, &wrapped, &bound(&version.key)).await?;
            let mut plain = sealed.to_vec();
            format::open(&key.cipher(), 0, true, &mut plain)?;
            version.body = Some(plain.into());
        }
        Ok(version)
    }

    async fn open_page(&self, tenant: &Tenant, page: Page<Version>) -> Result<Page<Version>> {
        let mut items = Vec::with_capacity(page.items.len());
        for version in page.items {
            items.push(self.open(tenant, version).await?);
        }
        Ok(Page { items, next: page.next })
    }

    fn ask(&self, tenant: &Tenant, search: &Search) -> Result<Search> {
        let mut asked = search.clone();
        if let Some(secret) = &self.blind {
            let hidden = search.all_of.iter().map(|criterion| hide(secret, tenant, criterion));
            asked.all_of = hidden.collect::<Result<_>>()?;
        }
        Ok(asked)
    }
}

fn bound(key: &Key) -> Vec<u8> {
    format::context(&["resource", key.resource_type().as_str(), key.id()])
}

/// Returns a criterion over the hidden values.
fn hide(secret: &[u8; 32], tenant: &Tenant, criterion: &Criterion) -> Result<Criterion> {
    Ok(match criterion {
        Criterion::Is(of, wanted) => Criterion::Is(
            *of,
            match wanted {
                TokenMatch::Value(value) => TokenMatch::Value(hash(secret, tenant, *of, "value", value)),
                TokenMatch::Exact(token) => TokenMatch::Exact(blind(secret, tenant, *of, token.clone())),
                TokenMatch::System(system) => TokenMatch::System(hash(secret, tenant, *of, "system", system)),
            },
        ),
        Criterion::Begins(..) => {
            return Err(StoreError::unsupported("a search for the beginning of a hidden value"));
        }
        Criterion::AnyOf(any) => {
            Criterion::AnyOf(any.iter().map(|one| hide(secret, tenant, one)).collect::<Result<_>>()?)
        }
        Criterion::Id(_) | Criterion::AnyId(_) => criterion.clone(),
    })
}

fn blind(secret: &[u8; 32], tenant: &Tenant, of: Parameter, token: Token) -> Token {
    Token {
        system: token.system.map(|system| hash(secret, tenant, of, "system", &system)),
        value: hash(secret, tenant, of, "value", &token.value),
    }
}

/// Returns an HMAC-SHA-256, truncated to 16 bytes, in hexadecimal.
fn hash(secret: &[u8; 32], tenant: &Tenant, of: Parameter, part: &str, text: &str) -> SmolStr {
    let message = format::context(&[tenant.as_str(), of.as_str(), part, text]);
    // A key shorter than a block is padded with zeros (RFC 2104).
    let mut block = [0; 64];
    block.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
    let mac = <Hmac<Sha256> as KeyInit>::new(&block.into()).chain_update(message).finalize().into_bytes();
    mac.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

impl<S: ResourceStore + ?Sized> ResourceStore for SealedResources<S> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.below.capabilities();
        capabilities.max_body = capabilities.max_body.saturating_sub(OVERHEAD);
        capabilities.search_beginnings &= self.blind.is_none();
        capabilities.search_with_targets &= self.blind.is_none();
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.open(tenant, self.below.read(tenant, key).await?).await })
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.open(tenant, self.below.vread(tenant, key, version).await?).await })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            let mut sealed = Vec::with_capacity(writes.len());
            let mut bodies = Vec::with_capacity(writes.len());
            for (at, write) in writes.into_iter().enumerate() {
                bodies.push(write.body.clone());
                let write = self.seal(tenant, write).await;
                sealed.push(write.map_err(|error| CommitError::at(at, error))?);
            }
            let mut made = self.below.commit(tenant, sealed).await?;
            made.iter_mut().zip(bodies).for_each(|(version, body)| version.body = body);
            Ok(made)
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            let asked = self.ask(tenant, search)?;
            let mut page = self.below.search(tenant, &asked).await?;
            if search.bodies {
                return self.open_page(tenant, page).await;
            }
            // A sealed body is useless to the caller, and an empty one cannot be opened.
            page.items.iter_mut().for_each(|version| version.body = Some(Bytes::new()));
            Ok(page)
        })
    }

    fn search_with_targets<'a>(
        &'a self,
        tenant: &'a Tenant,
        search: &'a Search,
        follow: &'a [(Parameter, ResourceType)],
    ) -> BoxFuture<'a, Result<(Page<Version>, Vec<Version>)>> {
        Box::pin(async move {
            let asked = self.ask(tenant, search)?;
            // Hidden values name no resource.
            let follow = if self.blind.is_none() { follow } else { &[] };
            let (page, targets) = self.below.search_with_targets(tenant, &asked, follow).await?;
            let targets = Page { items: targets, next: None };
            Ok((self.open_page(tenant, page).await?, self.open_page(tenant, targets).await?.items))
        })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.open_page(tenant, self.below.history(tenant, key, limit, after).await?).await })
    }

    fn changes<'a>(&'a self, tenant: &'a Tenant, changes: &'a Changes) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.open_page(tenant, self.below.changes(tenant, changes).await?).await })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, key: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        self.below.prune_history(tenant, key, keep)
    }
}

impl<S: ?Sized> fmt::Debug for SealedResources<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedResources").field("blind", &self.blind.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blinded_values_are_stable_across_releases() {
        let hidden = hash(&[7; 32], &"ward".parse().unwrap(), Parameter::Model, "value", "p9");
        assert_eq!(hidden, "36c98190c25ffc15aa544368a85fcb4d");
    }
}
