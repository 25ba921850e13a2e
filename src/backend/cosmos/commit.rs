//! Commits: one transactional batch in the partition of a device.

use super::super::checks::{Newest, check, check_writes};
use super::item::{Item, Locator, home, locator_partition, name, old_name};
use super::wire::{Batch, Batched};
use super::{Cosmos, MAX_WRITES, fault, wire};
use crate::store::{Applied, CommitError, Result, StoreError, Tenant, Version, Write, random_name};
use azure_data_cosmos::Query;
use azure_data_cosmos::feed::FeedScope;
use std::collections::HashMap;
use std::time::Duration;

/// The number of tries of a commit that is overtaken by others.
pub(super) const ROUNDS: u32 = 100;

/// The newest versions of what a commit writes, by name.
type Found = HashMap<String, Item>;

pub(super) async fn commit(cosmos: &Cosmos, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
    check_writes(&writes, MAX_WRITES, cosmos.max_body)?;
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let nonce = random_name()?;
    // What the last try would have made.
    let mut tried = Vec::new();
    for round in 0..ROUNDS {
        let mut places = Vec::with_capacity(writes.len());
        for write in &writes {
            places.push(cosmos.home(tenant, &write.key).await?);
        }
        let at = common_partition(tenant, &writes, &places)?;
        let found = match &at {
            Some(at) => newest(cosmos, at, &writes).await?,
            None => Found::new(),
        };
        if let Some(at) = &at
            && applied(cosmos, at, &found, &tried, &nonce).await?
        {
            return Ok(tried);
        }
        for (index, write) in writes.iter().enumerate() {
            let newest = found.get(&name(&write.key)).map(newest_of).transpose()?;
            check(write, newest).map_err(|error| CommitError::at(index, error))?;
        }
        // Each write that may be applied has a home.
        let Some(at) = at else { return Err(StoreError::not_found().into()) };
        if !claim(cosmos, tenant, &writes, &places, &at).await? {
            continue;
        }
        let (batch, made) = prepare(cosmos, tenant, &at, &writes, &found, &nonce)?;
        match batch.execute(&cosmos.container).await {
            Ok(Batched::Applied) => return Ok(made),
            Ok(Batched::Conflicted) => pause(round).await,
            Err(error) if error.applied() == Applied::No => return Err(error.into()),
            Err(error) => return resolve(cosmos, &at, &writes, made, &nonce, error).await,
        }
        tried = made;
    }
    Err(StoreError::throttled(None).into())
}

/// Returns the partition of a commit. What the writes that fail in any case would be about does not count.
fn common_partition(tenant: &Tenant, writes: &[Write], places: &[Option<String>]) -> Result<Option<String>> {
    let mut common: Option<String> = None;
    for (write, place) in writes.iter().zip(places) {
        let place = match place {
            Some(place) => place.clone(),
            None if check(write, None).is_ok() => home(tenant, &write.key, &write.index),
            None => continue,
        };
        match &common {
            None => common = Some(place),
            Some(common) if *common == place => {}
            Some(_) => return Err(StoreError::unsupported("a commit about more than one device")),
        }
    }
    Ok(common)
}

/// In one answer, so that they belong together.
async fn newest(cosmos: &Cosmos, at: &str, writes: &[Write]) -> Result<Found> {
    let names: Vec<String> = writes.iter().map(|write| name(&write.key)).collect();
    let items: Vec<Item> = match names.as_slice() {
        [name] => wire::read(&cosmos.container, at, name).await?.into_iter().collect(),
        names => {
            let query = Query::from("SELECT * FROM c WHERE ARRAY_CONTAINS(@names, c.id)");
            let query = query.with_parameter("@names", names).map_err(fault::of_read)?;
            wire::query(&cosmos.container, query, FeedScope::partition(at.to_owned()), names.len()).await?
        }
    };
    Ok(items.into_iter().map(|item| (item.id.clone(), item)).collect())
}

fn newest_of(item: &Item) -> Result<Newest> {
    Ok(Newest { version: item.version_id()?, living: item.body.is_some() })
}

/// Fixes where the resources are to be that never were. False when another has done so meanwhile, and differently.
async fn claim(
    cosmos: &Cosmos,
    tenant: &Tenant,
    writes: &[Write],
    places: &[Option<String>],
    at: &str,
) -> Result<bool> {
    for (write, _) in writes.iter().zip(places).filter(|(_, place)| place.is_none()) {
        let pk = locator_partition(tenant, &write.key);
        let locator = Locator { id: Locator::ID.into(), pk: pk.clone(), home: at.into() };
        let made = wire::create(&cosmos.container, &pk, Locator::ID, &locator).await;
        // Where it is not known whether it was made, nothing of the commit is there yet all the same.
        let made = made.map_err(|error| match error {
            StoreError::Indeterminate { source, .. } => StoreError::unavailable(None, source),
            known => known,
        })?;
        if !made && cosmos.home(tenant, &write.key).await?.as_deref() != Some(at) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn prepare(
    cosmos: &Cosmos,
    tenant: &Tenant,
    at: &str,
    writes: &[Write],
    found: &Found,
    nonce: &str,
) -> Result<(Batch, Vec<Version>)> {
    let now = cosmos.clock.now();
    let mut batch = Batch::new(at);
    let mut made = Vec::with_capacity(writes.len());
    for write in writes {
        let newest = found.get(&name(&write.key));
        let next = Item::next(tenant, at, write, newest, now, nonce)?;
        batch = match newest {
            None => batch.create(&next)?,
            Some(newest) => batch.create(&newest.clone().into_old())?.replace(&next.id, &newest.etag, &next)?,
        };
        made.push(next.to_version()?);
    }
    Ok((batch, made))
}

/// Returns whether an earlier try of this commit was applied after all: its answer was lost, or the SDK sent it again
/// by itself, and the second found what the first had made. The first version that it made tells, as the batch was
/// one.
async fn applied(cosmos: &Cosmos, at: &str, found: &Found, tried: &[Version], nonce: &str) -> Result<bool> {
    let Some(first) = tried.first() else { return Ok(false) };
    let (name, number) = (name(&first.key), first.version.get());
    let item = match found.get(&name) {
        Some(item) if item.version == number => Some(item.clone()),
        Some(item) if item.version > number => wire::read(&cosmos.container, at, &old_name(&name, number)).await?,
        _ => None,
    };
    Ok(item.is_some_and(|item| item.nonce == nonce))
}

/// Returns what became of a commit whose answer does not tell.
async fn resolve(
    cosmos: &Cosmos,
    at: &str,
    writes: &[Write],
    tried: Vec<Version>,
    nonce: &str,
    error: StoreError,
) -> Result<Vec<Version>, CommitError> {
    let looked = async {
        let found = newest(cosmos, at, writes).await?;
        applied(cosmos, at, &found, &tried, nonce).await
    };
    match looked.await {
        Ok(true) => Ok(tried),
        _ => Err(error.into()),
    }
}

/// Longer each time, up to a quarter of a second.
pub(super) async fn pause(round: u32) {
    tokio::time::sleep(Duration::from_millis(1 << round.min(8))).await;
}
