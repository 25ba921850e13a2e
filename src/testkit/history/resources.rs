//! Histories of a store of resources.

use super::super::doubles::Faulty;
use super::super::store::{BlockOn, BrokenClause, ClauseResult, fresh, polled};
use super::{CALLS, Model, Numbers, Recorded, Ticks, contradiction, linearizable, together, wait};
use crate::search::{IndexEntries, ResourceType};
use crate::store::{Applied, Key, Precondition, ResourceStore, StoreError, Version, VersionId, Write, WriteId};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of resources: few, so that many calls meet at one.
const KEYS: u64 = 2;

/// A call at one resource. Each written value is a number that no other call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write(Precondition, u64),
    Delete(Precondition),
}

/// An answer. The current version that a failed precondition may name is optional, and not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Is(u64, Option<u64>),
    NotFound,
    Gone(u64),
    AlreadyExists,
    Conflict,
}

/// The newest version of a resource (0 before the first), and its content unless it is a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Newest(u64, Option<u64>);

struct Resource;

impl Model for Resource {
    type State = Newest;
    type Call = Call;
    type Answer = Answer;

    fn step(&self, state: &Newest, call: &Call) -> (Newest, Answer) {
        let Newest(version, living) = *state;
        let missing = if version == 0 { Answer::NotFound } else { Answer::Gone(version) };
        let (when, value) = match *call {
            Call::Read => return (*state, living.map_or(missing, |value| Answer::Is(version, Some(value)))),
            Call::Write(when, value) => (when, Some(value)),
            Call::Delete(when) => (when, None),
        };
        let refused = match when {
            Precondition::Absent if living.is_some() => Some(Answer::AlreadyExists),
            Precondition::Version(wanted) if living.is_none() || wanted.get() != version => Some(Answer::Conflict),
            Precondition::Exists if living.is_none() => Some(missing),
            _ if value.is_none() && living.is_none() => Some(missing),
            _ => None,
        };
        match refused {
            Some(answer) => (*state, answer),
            None => (Newest(version + 1, value), Answer::Is(version + 1, value)),
        }
    }
}

/// Records one history per seed on four threads, and checks that it is linearizable.
///
/// All histories share the store; each has a tenant of its own.
///
/// # Errors
/// [`BrokenClause`] with the seed, when no order explains a history, or when a call fails with an error that the
/// contract does not allow.
pub fn resources(store: &Arc<dyn ResourceStore>, block_on: &BlockOn<'_>, seeds: Range<u64>) -> ClauseResult<()> {
    for seed in seeds {
        let faulty: Arc<dyn ResourceStore> = Arc::new(Faulty::new(Arc::clone(store), seed));
        let checked = run(&faulty, block_on, seed);
        checked.map_err(|broken| BrokenClause::new("history", format!("seed {seed}: {}", broken.what)))?;
    }
    Ok(())
}

fn run(store: &Arc<dyn ResourceStore>, block_on: &BlockOn<'_>, seed: u64) -> ClauseResult<()> {
    let (tenant, ticks) = (fresh(), Ticks::default());
    let key = |number: u64| {
        let key = Key::new(ResourceType::DeviceComponent, format!("c{number}"));
        key.map_err(|error| BrokenClause::new("history", error.to_string()))
    };
    let keys = (0..KEYS).map(key).collect::<ClauseResult<Vec<_>>>()?;
    // The version of each resource that any thread saw last, so that several writers try to replace the same version.
    let last: Vec<_> = keys.iter().map(|_| AtomicU64::new(1)).collect();
    let calls = together(|thread| {
        let mut numbers = Numbers(seed ^ (thread + 1) << 32);
        let mut calls = Vec::new();
        for number in 0..CALLS {
            // Most calls go to the first resource.
            let at = usize::from(numbers.below(4) == 0);
            let (Some(key), Some(last)) = (keys.get(at), last.get(at)) else { continue };
            let call = chosen(&mut numbers, last.load(Ordering::Relaxed), thread * 1_000 + number);
            let drops = numbers.below(10) == 0;
            let polls = usize::try_from(numbers.below(6)).unwrap_or_default();
            let began = ticks.next();
            let asked = ask(store, &tenant, key, call);
            let answer = match drops {
                true => wait(block_on, polled(asked, polls))?.unwrap_or(Ok(None)),
                false => wait(block_on, asked)?,
            };
            let ended = ticks.next();
            let answer = match answer {
                Ok(Some(version)) => Some(seen(&version)?),
                // The call was dropped before it ended.
                Ok(None) => None,
                Err(error) if error.is_transient() => continue,
                Err(error) if error.applied() == Applied::Unknown => None,
                Err(error) => Some(refused(&error)?),
            };
            if let Some(Answer::Is(version, _) | Answer::Gone(version)) = answer {
                last.store(version, Ordering::Relaxed);
            }
            if answer.is_some() || call != Call::Read {
                calls.push((at, Recorded { call, answer, began, ended }));
            }
        }
        Ok(calls)
    })?;
    for (at, key) in keys.iter().enumerate() {
        let part: Vec<_> = calls.iter().filter(|(of, _)| *of == at).map(|(_, call)| call.clone()).collect();
        if !linearizable(&Resource, Newest(0, None), &part) {
            let refused = |answer: &Option<Answer>| !matches!(answer, Some(Answer::Is(..)));
            let idle = |call: &Recorded<_, _>| call.call == Call::Read || refused(&call.answer);
            let shown = contradiction(&Resource, Newest(0, None), &part, idle);
            return Err(BrokenClause::new("history", format!("no order explains the calls at `{key}`: {shown}")));
        }
    }
    Ok(())
}

fn chosen(numbers: &mut Numbers, last: u64, value: u64) -> Call {
    let last = Precondition::Version(VersionId::new(last).unwrap_or(VersionId::FIRST));
    match numbers.below(16) {
        0..=4 => Call::Read,
        5..=7 => Call::Write(Precondition::Absent, value),
        8..=11 => Call::Write(last, value),
        12 => Call::Write(Precondition::Exists, value),
        13 => Call::Write(Precondition::None, value),
        14 => Call::Delete(last),
        _ => Call::Delete(Precondition::Exists),
    }
}

async fn ask(
    store: &Arc<dyn ResourceStore>,
    tenant: &crate::store::Tenant,
    key: &Key,
    call: Call,
) -> Result<Option<Version>, StoreError> {
    let write = match call {
        Call::Read => return store.read(tenant, key).await.map(Some),
        Call::Write(when, value) => {
            let put = Write::put(key.clone(), value.to_string(), IndexEntries::new());
            Write { precondition: when, ..put }.with_id(WriteId(value.into()))
        }
        Call::Delete(when) => Write::delete(key.clone(), when),
    };
    store.commit(tenant, vec![write]).await.map(|mut made| made.pop()).map_err(|refused| refused.error)
}

fn seen(version: &Version) -> ClauseResult<Answer> {
    let Some(body) = &version.body else { return Ok(Answer::Is(version.version.get(), None)) };
    let value = std::str::from_utf8(body).ok().and_then(|text| text.parse::<u64>().ok());
    match value {
        Some(value) => Ok(Answer::Is(version.version.get(), Some(value))),
        None => Err(BrokenClause::new("history", format!("a body that nobody wrote: {body:?}"))),
    }
}

fn refused(error: &StoreError) -> ClauseResult<Answer> {
    match error {
        StoreError::NotFound { .. } => Ok(Answer::NotFound),
        StoreError::Gone { at, .. } => Ok(Answer::Gone(at.get())),
        StoreError::AlreadyExists { .. } => Ok(Answer::AlreadyExists),
        StoreError::Conflict { .. } => Ok(Answer::Conflict),
        other => Err(BrokenClause::new("history", format!("an answer that no call can have: {other:?}"))),
    }
}
