//! Implements `ResourceStore` on a `BTreeMap`, and uses it through a handle for one tenant.
//!
//! ```text
//! cargo run --example implement_a_store
//! ```
//!
//! The contract of a store consists of numbered clauses at `ResourceStore`; the comments below name them. This store
//! keeps no history and takes one write per commit, and reports that where the contract asks. The tests at its end, one
//! for each clause, show that it keeps the others:
//!
//! ```text
//! cargo test --features testkit --example implement_a_store
//! ```

#[path = "common/story.rs"]
mod story;

use fhir_devices::containment::components;
use fhir_devices::search::{Criterion, IndexEntries, ResourceType};
use fhir_devices::store::commit_time;
use fhir_devices::store::{
    AtomicScope, BoxFuture, Capabilities, CommitError, Key, Page, PageKey, PageQuery, PageToken, Precondition,
    ResourceStore, Result, Search, SearchOrder, StoreError, Stored, Tenant, TenantResources, Version, VersionId, Write,
};
use fhir_devices::{DeviceComponent, Valid};
use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use story::say;
use time::OffsetDateTime;

/// The newest version of each resource. A key of the map begins with the tenant, so no call can reach another tenant
/// (R9).
struct Shelf {
    resources: Mutex<BTreeMap<(Tenant, Key), (Version, IndexEntries)>>,
    /// Makes the tokens of pages. They end with the process, as the resources do.
    pages: PageKey,
}

const LARGEST: u64 = 1 << 20;

impl Shelf {
    fn new() -> Self {
        Self { resources: Mutex::default(), pages: PageKey::random() }
    }

    fn read_now(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        let resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, _) = resources.get(&(tenant.clone(), key.clone())).ok_or(StoreError::not_found())?;
        if version.is_deleted() { Err(StoreError::gone(version.version)) } else { Ok(version.clone()) }
    }

    /// The precondition is checked and the write made under one lock, so of several writers one wins (R2).
    fn write_now(&self, tenant: &Tenant, write: Write) -> Result<Version> {
        if write.body.as_ref().is_some_and(|body| body.len() as u64 > LARGEST) {
            return Err(StoreError::too_large(LARGEST));
        }
        if write.body.is_none() && write.precondition == Precondition::Absent {
            return Err(StoreError::invalid("a deletion of what must be absent"));
        }
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant.clone(), write.key.clone());
        let before = resources.get(&place).map(|(version, _)| version);
        let living = before.filter(|version| !version.is_deleted()).map(|version| version.version);
        let newest = before.map(|version| version.version);
        let missing = || newest.map_or(StoreError::not_found(), StoreError::gone);
        match write.precondition {
            Precondition::Absent if living.is_some() => return Err(StoreError::already_exists(living)),
            Precondition::Version(wanted) if living != Some(wanted) => {
                return Err(StoreError::conflict(newest));
            }
            Precondition::Exists if living.is_none() => return Err(missing()),
            _ if write.body.is_none() && living.is_none() => return Err(missing()),
            _ => {}
        }
        // A deletion has a version number too, and a creation after it continues the numbers (R3).
        let now = OffsetDateTime::now_utc();
        let version = Version {
            key: write.key,
            version: newest.map_or(VersionId::FIRST, VersionId::next),
            last_updated: commit_time(now, before.map(|before| before.last_updated)),
            write_id: write.write_id,
            body: write.body,
        };
        resources.insert(place, (version.clone(), write.index));
        Ok(version)
    }

    /// Returns results in the order of the ids, as the map is (R7). A token contains the last id of the page, so that
    /// concurrent writes shift nothing (R8).
    fn search_now(&self, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
        // There is no index of times, and the capabilities do not promise one (R17).
        if search.order != SearchOrder::Id {
            return Err(StoreError::unsupported("a search in the order of times"));
        }
        let query = PageQuery::Search(search);
        let last = search.after.as_ref().map(|token| self.pages.open(tenant, query, token)).transpose()?;
        let resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = resources.iter().filter(|((owner, key), (version, index))| {
            owner == tenant
                && key.resource_type() == search.resource_type
                && last.as_deref().is_none_or(|last| key.id().as_bytes() > last)
                && !version.is_deleted()
                && search.all_of.iter().all(|criterion| criterion.matches(key.id(), index))
        });
        let limit = usize::try_from(search.limit.get()).unwrap_or(usize::MAX);
        let items: Vec<_> = found.by_ref().take(limit).map(|(_, (version, _))| version.clone()).collect();
        let last = items.last().filter(|_| found.next().is_some());
        let next = last.map(|last| self.pages.seal(tenant, query, last.key.id().as_bytes())).transpose()?;
        Ok(Page { items, next })
    }
}

impl ResourceStore for Shelf {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(AtomicScope::Key, 1, LARGEST);
        capabilities.history = false;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, key: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.read_now(tenant, key) })
    }

    fn vread<'a>(&'a self, _: &'a Tenant, _: &'a Key, _: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async { Err(StoreError::unsupported("history")) })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        mut writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            if writes.len() > 1 {
                // All or nothing, and this store supports only one write (R1).
                return Err(StoreError::unsupported("a commit of several writes").into());
            }
            let Some(write) = writes.pop() else { return Ok(Vec::new()) };
            let version = self.write_now(tenant, write).map_err(|error| CommitError::at(0, error))?;
            Ok(vec![version])
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.search_now(tenant, search) })
    }

    fn history<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a Key,
        _: NonZeroU32,
        _: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async { Err(StoreError::unsupported("history")) })
    }

    fn prune_history<'a>(&'a self, _: &'a Tenant, _: &'a Key, _: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Err(StoreError::unsupported("the pruning of a history")) })
    }
}

const USAGE: &str = "usage: implement_a_store

Puts a store of resources on one map, writes to it, searches it, and shows a conflict. It takes no arguments.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match story::arguments(USAGE) {
        Some(status) => status,
        None => story::ended(run().await),
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let shelf = Arc::new(Shelf::new());
    let store = TenantResources::new(Arc::clone(&shelf), "st-mary".parse()?);
    say!("a store on one map, for the tenant {}", store.tenant());

    for (id, code, parent) in [("mds", "69985", None), ("syringe", "69986", Some("DeviceComponent/mds"))] {
        let parent = parent.map(|parent| format!(r#","parent":{{"reference":"{parent}"}}"#)).unwrap_or_default();
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},"type":{{"coding":[
            {{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}}]}},"source":{{"reference":"Device/pump-7"}}{parent}}}"#
        );
        let component = Valid::new(DeviceComponent::from_json(json.as_bytes())?)?;
        let written = store.create(&component).await?;
        say!("wrote {} as version {}", written.key, written.version);
    }

    let (mut syringe, seen): (DeviceComponent, Version) = store.get("syringe").await?;
    syringe.language = Some("de".parse::<fhir_devices::primitive::Code>()?.into());
    let syringe = Valid::new(syringe)?;
    let written = store.update(&syringe, seen.version).await?;
    say!("replaced version {} by {}", seen.version, written.version);
    match store.update(&syringe, seen.version).await {
        Err(StoreError::Conflict { current: Some(current), .. }) => {
            say!("refused to replace version {} again: the newest is {current}", seen.version);
        }
        other => return Err(format!("a conflict was wanted, and this came: {other:?}").into()),
    }

    let of_the_pump = Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/pump-7"));
    let found: Result<Vec<_>> = store.all(of_the_pump).await?.iter().map(DeviceComponent::from_version).collect();
    let found = found?;
    let tree = components(&found);
    for member in tree.members() {
        let level = member.level().map_or("unknown", |level| level.as_str());
        say!("found {} ({level})", member.path());
    }

    let theirs = TenantResources::new(shelf, "st-elsewhere".parse()?);
    match theirs.get::<DeviceComponent>("syringe").await {
        Err(StoreError::NotFound { .. }) => say!("another tenant finds nothing"),
        other => return Err(format!("nothing was wanted, and this came: {other:?}").into()),
    }
    Ok(())
}

#[cfg(feature = "testkit")]
fhir_devices::resource_store_conformance!(conformance, store = Shelf::new());
