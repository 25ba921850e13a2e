//! Histories of a ledger.

use super::super::doubles::Faulty;
use super::super::store::{BlockOn, BrokenClause, ClauseResult, fresh, polled};
use super::{CALLS, Model, Numbers, Recorded, Ticks, contradiction, linearizable, together, wait};
use crate::store::{Applied, Change, Ledger, LedgerKey, Revision, StoreError, Tenant};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A call at the two records of a history. Each written value is a number that no other call writes; a revision is
/// identified by the value that was read with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Get(usize),
    /// Changes: number of the record, the value expected there, and the new value.
    Apply(Vec<(usize, Option<u64>, Option<u64>)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Is(Option<u64>),
    Applied,
    AlreadyExists,
    Conflict,
}

/// Both records in one model: a commit may change both.
struct Records;

impl Model for Records {
    type State = [Option<u64>; 2];
    type Call = Call;
    type Answer = Answer;

    fn step(&self, state: &Self::State, call: &Call) -> (Self::State, Answer) {
        let changes = match call {
            Call::Get(at) => return (*state, Answer::Is(state.get(*at).copied().flatten())),
            Call::Apply(changes) => changes,
        };
        let mut next = *state;
        for (at, expected, value) in changes {
            let Some(record) = next.get_mut(*at) else { continue };
            match (expected, *record) {
                (None, Some(_)) => return (*state, Answer::AlreadyExists),
                (Some(expected), found) if found != Some(*expected) => return (*state, Answer::Conflict),
                _ => *record = *value,
            }
        }
        (next, Answer::Applied)
    }
}

/// The value that was read with each revision. It must never change.
#[derive(Default)]
struct Names(Mutex<HashMap<(usize, String), u64>>);

impl Names {
    fn same(&self, at: usize, revision: &Revision, value: u64) -> ClauseResult<()> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *names.entry((at, revision.as_str().to_owned())).or_insert(value);
        if known == value {
            return Ok(());
        }
        let name = revision.as_str();
        Err(BrokenClause::new("history", format!("the revision `{name}` stands for {known} and for {value}")))
    }
}

/// Records one history per seed on four threads, and checks that it is linearizable.
///
/// All histories share the ledger; each has a tenant of its own. Some commits change both records at once.
///
/// # Errors
/// [`BrokenClause`] with the seed, when no order explains a history, or when a call fails with an error that the
/// contract does not allow.
pub fn ledger(store: &Arc<dyn Ledger>, block_on: &BlockOn<'_>, seeds: Range<u64>) -> ClauseResult<()> {
    for seed in seeds {
        let faulty: Arc<dyn Ledger> = Arc::new(Faulty::new(Arc::clone(store), seed));
        let checked = run(&faulty, block_on, seed);
        checked.map_err(|broken| BrokenClause::new("history", format!("seed {seed}: {}", broken.what)))?;
    }
    Ok(())
}

fn run(store: &Arc<dyn Ledger>, block_on: &BlockOn<'_>, seed: u64) -> ClauseResult<()> {
    let (tenant, ticks, names) = (fresh(), Ticks::default(), Names::default());
    let key = |name: &str| name.parse::<LedgerKey>().map_err(|error| BrokenClause::new("history", error.to_string()));
    let keys = [key("history/a")?, key("history/b")?];
    // The values that any thread saw last, so that several writers try to replace the same revision.
    let last: Mutex<[Option<(u64, Revision)>; 2]> = Mutex::default();
    let calls = together(|thread| {
        let mut numbers = Numbers(seed ^ (thread + 1) << 32);
        let mut calls = Vec::new();
        for number in 0..CALLS {
            let seen_last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let call = chosen(&mut numbers, &seen_last, thread * 1_000 + number);
            let drops = numbers.below(10) == 0;
            let polls = usize::try_from(numbers.below(6)).unwrap_or_default();
            let began = ticks.next();
            let asked = ask(store, &tenant, &keys, &call, &seen_last);
            let answer = match drops {
                true => wait(block_on, polled(asked, polls))?,
                false => Some(wait(block_on, asked)?),
            };
            let ended = ticks.next();
            let answer = match answer {
                Some(Ok(seen)) => {
                    for (at, seen) in &seen {
                        if let Some((value, revision)) = seen {
                            names.same(*at, revision, *value)?;
                        }
                        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                        last.get_mut(*at).into_iter().for_each(|last| last.clone_from(seen));
                    }
                    match &call {
                        Call::Get(_) => Some(Answer::Is(seen.first().and_then(|(_, seen)| Some(seen.as_ref()?.0)))),
                        Call::Apply(_) => Some(Answer::Applied),
                    }
                }
                None => None,
                Some(Err(error)) if error.is_transient() => continue,
                Some(Err(error)) if error.applied() == Applied::Unknown => None,
                Some(Err(StoreError::AlreadyExists { .. })) => Some(Answer::AlreadyExists),
                Some(Err(StoreError::Conflict { .. })) => Some(Answer::Conflict),
                Some(Err(other)) => {
                    return Err(BrokenClause::new("history", format!("an answer that no call can have: {other:?}")));
                }
            };
            if answer.is_some() || !matches!(call, Call::Get(_)) {
                calls.push(Recorded { call, answer, began, ended });
            }
        }
        Ok(calls)
    })?;
    if linearizable(&Records, [None, None], &calls) {
        return Ok(());
    }
    let idle = |call: &Recorded<_, _>| call.answer != Some(Answer::Applied);
    let shown = contradiction(&Records, [None, None], &calls, idle);
    Err(BrokenClause::new("history", format!("no order explains the calls: {shown}")))
}

fn chosen(numbers: &mut Numbers, last: &[Option<(u64, Revision)>; 2], value: u64) -> Call {
    let at = usize::from(numbers.below(3) == 0);
    let seen = |at: usize| last.get(at).and_then(|seen| Some(seen.as_ref()?.0));
    match (numbers.below(8), seen(at)) {
        (0..=2, _) => Call::Get(at),
        // Changes both records, each once and to different values.
        (3, _) => {
            let change = |at: usize, more: u64| (at, seen(at), Some(value + more));
            Call::Apply(vec![change(at, 0), change(1 - at, 500)])
        }
        (4, Some(_)) => Call::Apply(vec![(at, seen(at), None)]),
        _ => Call::Apply(vec![(at, seen(at), Some(value))]),
    }
}

type Seen = Vec<(usize, Option<(u64, Revision)>)>;

async fn ask(
    store: &Arc<dyn Ledger>,
    tenant: &Tenant,
    keys: &[LedgerKey; 2],
    call: &Call,
    last: &[Option<(u64, Revision)>; 2],
) -> Result<Seen, StoreError> {
    let changes = match call {
        Call::Get(at) => {
            let Some(key) = keys.get(*at) else { return Ok(Vec::new()) };
            let record = store.get(tenant, key).await?;
            let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            let seen = match record {
                None => None,
                Some(record) => match number(&record.value) {
                    Some(value) => Some((value, record.revision)),
                    None => return Err(StoreError::corrupt("a value that nobody wrote")),
                },
            };
            return Ok(vec![(*at, seen)]);
        }
        Call::Apply(changes) => changes,
    };
    let change = |(at, expected, value): &(usize, Option<u64>, Option<u64>)| {
        let seen = last.get(*at)?.as_ref();
        Some(Change {
            key: keys.get(*at)?.clone(),
            expected: expected.and_then(|_| Some(seen?.1.clone())),
            value: value.map(|value| value.to_string().into()),
        })
    };
    let made = store.apply(tenant, changes.iter().filter_map(change).collect()).await;
    let made = made.map_err(|refused| refused.error)?;
    let seen = |((at, _, value), revision): (&(usize, Option<u64>, Option<u64>), Revision)| {
        (*at, value.map(|value| (value, revision)))
    };
    Ok(changes.iter().zip(made).map(seen).collect())
}
