//! Stores of resources with one defect each.

use super::wrong::{Wrong, check_then_write};
use super::{each_holds, each_is_caught};
use fhir_devices::backend::Memory;
use fhir_devices::search::{Criterion, IndexEntries, Parameter, Token, TokenMatch};
use fhir_devices::store::*;
use fhir_devices::testkit::store::{block_on, resources};
use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

#[test]
fn every_resource_clause_catches_a_faulty_store() {
    each_is_caught(resources::CLAUSES, wrong, |store| store as &dyn ResourceStore);
}

#[test]
fn correct_resource_store_passes_every_clause() {
    each_holds(resources::CLAUSES, &wrong("") as &dyn ResourceStore);
}

#[test]
fn failed_clause_shows_text_and_likely_cause_first() {
    // Each body loses its last byte, so that no clause that reads one can hold.
    let store = || Wrong {
        read: |own, t, k| {
            let read = block_on(own.below.read(t, k))?;
            let body = read.body.map(|body| body.slice(..body.len().saturating_sub(1)));
            Ok(Version { body, ..read })
        },
        ..Wrong::right(Memory::new())
    };
    let broken = resources::test(async { store() }, |task| block_on(task), resources::r14_dropped_commit_is_atomic);
    let broken = broken.unwrap_err();
    let cause = broken.cause.as_ref().unwrap();
    assert_eq!(cause.clause, "r4_body_is_read_byte_for_byte");
    let shown = broken.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(lines[0].starts_with("likely cause: `r4_body_is_read_byte_for_byte` is broken: "), "{shown}");
    assert_eq!(lines[1], "    the clause: A body is read byte for byte, by every way of reading, with the same time.");
    assert!(lines[2].starts_with("`r14_dropped_commit_is_atomic`, which rests on it, is broken too: "), "{shown}");
    assert_eq!(
        lines[3],
        "    the clause: A commit that is dropped after any number of polls leaves the old state or the new one."
    );
}

type Made = Result<Vec<Version>, CommitError>;

/// Makes the writes of a commit as separate commits.
fn one_by_one(own: &Wrong, t: &Tenant, writes: Vec<Write>) -> Made {
    let mut made = Vec::new();
    for (at, write) in writes.into_iter().enumerate() {
        made.extend(own.made(t, vec![write]).map_err(|refused| CommitError::at(at, refused.error))?);
        thread::sleep(Duration::from_micros(50));
    }
    Ok(made)
}

/// Commits with each write changed.
fn changed(own: &Wrong, t: &Tenant, writes: Vec<Write>, change: fn(Write) -> Write) -> Made {
    own.made(t, writes.into_iter().map(change).collect())
}

/// Commits, and changes each version of the answer.
fn answered(own: &Wrong, t: &Tenant, writes: Vec<Write>, change: fn(Version) -> Version) -> Made {
    Ok(own.made(t, writes)?.into_iter().map(change).collect())
}

/// Commits, and changes the error.
fn refused(own: &Wrong, t: &Tenant, writes: Vec<Write>, change: fn(CommitError) -> CommitError) -> Made {
    own.made(t, writes).map_err(change)
}

/// Searches with each criterion changed.
fn asked(own: &Wrong, t: &Tenant, search: &Search, change: fn(&Criterion) -> Criterion) -> Result<Page<Version>> {
    let mut search = search.clone();
    search.all_of = search.all_of.iter().map(change).collect();
    block_on(own.below.search(t, &search))
}

/// Pages by an offset.
fn by_offset(own: &Wrong, t: &Tenant, search: &Search) -> Result<Page<Version>> {
    let mut offset = own.count.lock().unwrap();
    if search.after.is_none() {
        *offset = 0;
    }
    let all = Search { limit: NonZeroU32::MAX, after: None, ..search.clone() };
    let (all, limit) = (block_on(own.below.search(t, &all))?.items, search.limit.get() as usize);
    let items: Vec<_> = all.iter().skip(*offset as usize).take(limit).cloned().collect();
    *offset += items.len() as u64;
    let token = block_on(own.below.search(t, &Search { limit: NonZeroU32::MIN, after: None, ..search.clone() }))?.next;
    Ok(Page { next: token.filter(|_| (*offset as usize) < all.len()), items })
}

fn is_gathered(search: &Search) -> bool {
    search.all_of.iter().any(|criterion| matches!(criterion, Criterion::Begins(..) | Criterion::AnyOf(_)))
}

fn history(own: &Wrong, t: &Tenant, k: &Key, l: NonZeroU32, a: Option<&PageToken>) -> Result<Page<Version>> {
    block_on(own.below.history(t, k, l, a))
}

/// Stores the versions it makes, by tenant and key.
fn keeping(own: &Wrong, t: &Tenant, writes: Vec<Write>) -> Made {
    let made = own.made(t, writes)?;
    own.kept.lock().unwrap().extend(made.iter().map(|version| ((t.clone(), version.key.clone()), version.clone())));
    Ok(made)
}

/// Returns the store that breaks a clause.
fn wrong(clause: &'static str) -> Wrong {
    let mut wrong = Wrong::right(Memory::new().with_max_body(2_000).with_max_writes(50));
    match clause {
        "r15_pruned_history_keeps_the_newest_versions" => {
            wrong.prune = |own, t, k, _| block_on(own.below.prune_history(t, k, NonZeroU32::MIN));
        }
        "r16_changes_are_complete_and_newest_first" => {
            wrong.changes = |own, t, c| {
                let mut page = block_on(own.below.changes(t, c))?;
                page.items.retain(|version| !version.is_deleted());
                Ok(page)
            };
        }
        "r17_search_by_time_is_ordered_by_time" => {
            wrong.search = |own, t, s| {
                let mut page = block_on(own.below.search(t, s))?;
                page.items.sort_by_key(|version| version.key.clone());
                Ok(page)
            };
        }
        "r17_search_by_time_without_the_capability_is_unsupported" => {
            wrong.capabilities = |own| {
                let mut capabilities = ResourceStore::capabilities(&own.below);
                capabilities.search_by_time = false;
                capabilities
            };
        }
        "r15_prune_without_the_capability_is_unsupported" => {
            wrong.capabilities = |own| {
                let mut capabilities = ResourceStore::capabilities(&own.below);
                capabilities.history_pruning = false;
                capabilities
            };
        }
        "r1_refused_commit_writes_nothing"
        | "r1_commit_is_visible_as_a_whole"
        | "r1_commit_with_a_duplicate_key_is_refused"
        | "r1_commit_of_too_many_writes_is_refused" => wrong.commit = one_by_one,
        "r1_commit_returns_versions_in_order" => {
            wrong.commit = |own, t, w| own.made(t, w).map(|made| made.into_iter().rev().collect());
        }
        "r1_empty_commit_succeeds" => {
            wrong.commit = |own, t, w| match w.is_empty() {
                true => Err(StoreError::invalid("nothing to do").into()),
                false => own.made(t, w),
            };
        }
        "r1_commit_beyond_its_scope_is_refused" => {
            wrong.capabilities = |own| {
                let mut capabilities = ResourceStore::capabilities(&own.below);
                capabilities.atomic = AtomicScope::Device;
                capabilities
            };
        }
        "r2_preconditions_hold_for_small_bodies" => {
            wrong.commit = |own, t, w| {
                changed(own, t, w, |write| match write.precondition {
                    Precondition::Exists if write.body.is_some() => Write { precondition: Precondition::None, ..write },
                    _ => write,
                })
            };
        }
        // As where a large body takes another path, on which the condition is forgotten.
        "r2_preconditions_hold_for_the_largest_bodies" => {
            wrong.commit = |own, t, w| {
                changed(own, t, w, |write| match &write.body {
                    Some(body) if body.len() > 1_000 => Write { precondition: Precondition::None, ..write },
                    _ => write,
                })
            };
        }
        "r2_preconditions_hold_for_deletions" => {
            wrong.commit = |own, t, w| {
                changed(own, t, w, |write| match write.precondition {
                    Precondition::Version(_) if write.body.is_none() => {
                        Write { precondition: Precondition::None, ..write }
                    }
                    _ => write,
                })
            };
        }
        "r2_first_failing_write_is_named" => {
            wrong.commit = |own, t, w| {
                let last = w.len().saturating_sub(1);
                own.made(t, w).map_err(|refused| CommitError::at(last, refused.error))
            };
        }
        "r2_of_concurrent_writers_of_one_version_one_wins" | "r2_of_concurrent_creators_one_wins" => {
            wrong.commit = check_then_write
        }
        "r3_versions_continue_after_a_deletion" => {
            wrong.commit = |own, t, w| {
                let creates = w.first().is_some_and(|write| write.precondition == Precondition::Absent);
                let made = own.made(t, w)?;
                let first = |made: Version| Version { version: VersionId::FIRST, ..made };
                Ok(if creates { made.into_iter().map(first).collect() } else { made })
            };
        }
        // Answers with what is read afterwards.
        "r3_version_is_never_reused" => {
            wrong.commit = |own, t, w| {
                let made = own.made(t, w)?;
                thread::sleep(Duration::from_micros(100));
                Ok(made.into_iter().map(|made| block_on(own.below.read(t, &made.key)).unwrap_or(made)).collect())
            };
        }
        "r4_body_is_read_byte_for_byte" => {
            wrong.read = |own, t, k| {
                let read = block_on(own.below.read(t, k))?;
                let plain = read.body.iter().flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
                Ok(Version { body: Some(plain), ..read })
            };
        }
        "r4_acknowledged_write_is_visible_to_others" => {
            wrong.read = |own, t, k| {
                let read = block_on(own.below.read(t, k))?;
                let before = VersionId::new(read.version.get() - 1);
                Ok(before.and_then(|before| block_on(own.below.vread(t, k, before)).ok()).unwrap_or(read))
            };
        }
        // The index lags one write behind.
        "r4_search_sees_acknowledged_writes" => {
            wrong.commit = |own, t, w| {
                own.kept.lock().unwrap().clear();
                keeping(own, t, w)
            };
            wrong.search = |own, t, s| {
                let mut page = block_on(own.below.search(t, s))?;
                let late = own.kept.lock().unwrap();
                page.items.retain(|version| !late.contains_key(&(t.clone(), version.key.clone())));
                Ok(page)
            };
        }
        "r5_history_is_newest_first_and_keeps_deletions" => {
            wrong.history = |own, t, k, l, a| {
                let mut page = history(own, t, k, l, a)?;
                page.items.reverse();
                Ok(page)
            };
        }
        "r5_unknown_resource_has_no_history" => {
            wrong.history = |own, t, k, l, a| match history(own, t, k, l, a) {
                Err(StoreError::NotFound { .. }) => Ok(Page { items: Vec::new(), next: None }),
                history => history,
            };
        }
        "r5_history_without_the_capability_is_unsupported" => {
            wrong.capabilities = |own| {
                let mut capabilities = ResourceStore::capabilities(&own.below);
                capabilities.history = false;
                capabilities
            };
        }
        "r6_delete_needs_an_existing_resource" => {
            wrong.commit = |own, t, w| match (own.made(t, w.clone()), w.first()) {
                (Err(CommitError { error: StoreError::Gone { .. }, .. }), Some(write)) if write.body.is_none() => {
                    own.made(t, vec![Write::put(write.key.clone(), "", IndexEntries::new())])?;
                    own.made(t, w)
                }
                (made, _) => made,
            };
        }
        "r6_deleted_resource_is_gone" => {
            wrong.read = |own, t, k| match block_on(own.below.read(t, k)) {
                Err(StoreError::Gone { .. }) => Err(StoreError::not_found()),
                read => read,
            };
        }
        "r7_token_is_found_in_each_form" => {
            wrong.search = |own, t, s| {
                asked(own, t, s, |criterion| match criterion {
                    Criterion::Is(parameter, TokenMatch::Exact(Token { system: None, value })) => {
                        Criterion::Is(*parameter, TokenMatch::Value(value.clone()))
                    }
                    other => other.clone(),
                })
            };
        }
        "r7_parameters_are_indexed_separately" => {
            wrong.search = |own, t, s| {
                asked(own, t, s, |criterion| match criterion {
                    Criterion::Is(Parameter::UdiDi, wanted) => Criterion::Is(Parameter::UdiCarrier, wanted.clone()),
                    other => other.clone(),
                })
            };
        }
        "r7_all_criteria_must_match" => {
            wrong.search = |own, t, s| {
                let mut search = s.clone();
                search.all_of.truncate(1);
                block_on(own.below.search(t, &search))
            };
        }
        "r7_any_of_matches_one_criterion" => {
            wrong.search = |own, t, s| {
                asked(own, t, s, |criterion| match criterion {
                    Criterion::AnyOf(any) => any.first().unwrap_or(criterion).clone(),
                    other => other.clone(),
                })
            };
        }
        // A pattern in which `%` stands for anything.
        "r7_prefix_is_compared_byte_for_byte" => {
            wrong.search = |own, t, s| {
                asked(own, t, s, |criterion| match criterion {
                    Criterion::Begins(parameter, start) => {
                        Criterion::Begins(*parameter, start.split('%').next().unwrap_or_default().into())
                    }
                    other => other.clone(),
                })
            };
        }
        // The order of a language.
        "r7_results_are_ordered_by_id" => {
            wrong.search = |own, t, s| {
                let mut page = block_on(own.below.search(t, s))?;
                page.items.sort_by_key(|version| version.key.id().to_lowercase());
                Ok(page)
            };
        }
        "r7_resource_is_found_once" => {
            wrong.search = |own, t, s| {
                let mut page = block_on(own.below.search(t, s))?;
                page.items.extend(page.items.first().filter(|_| !s.all_of.is_empty()).cloned());
                Ok(page)
            };
        }
        "r7_search_uses_the_newest_version" => {
            wrong.commit = |own, t, w| {
                changed(own, t, w, |write| match write.precondition {
                    Precondition::Version(_) => Write { index: IndexEntries::new(), ..write },
                    _ => write,
                })
            };
        }
        "r8_pages_are_stable_while_others_write" => wrong.search = by_offset,
        "r8_pages_of_combined_criteria_are_stable" => {
            wrong.search = |own, t, s| match is_gathered(s) {
                true => by_offset(own, t, s),
                false => block_on(own.below.search(t, s)),
            };
        }
        // The last page is lost.
        "r8_pages_of_any_length_are_complete" => {
            wrong.search = |own, t, s| {
                let page = block_on(own.below.search(t, s))?;
                Ok(Page { next: page.next.filter(|_| s.after.is_none()), ..page })
            };
        }
        "r8_foreign_or_damaged_token_is_invalid" => {
            wrong.search = |own, t, s| match block_on(own.below.search(t, s)) {
                Err(StoreError::Invalid { .. }) => block_on(own.below.search(t, &Search { after: None, ..s.clone() })),
                page => page,
            };
        }
        "r8_foreign_history_token_is_invalid" => {
            wrong.history = |own, t, k, l, a| match history(own, t, k, l, a) {
                Err(StoreError::Invalid { .. }) => history(own, t, k, l, None),
                page => page,
            };
        }
        // A cache whose keys lack the tenant.
        "r9_reads_are_isolated_by_tenant" => {
            wrong.commit = keeping;
            wrong.read = |own, t, k| match block_on(own.below.read(t, k)) {
                Err(StoreError::NotFound { .. }) => {
                    let kept = own.kept.lock().unwrap();
                    kept.iter()
                        .find(|((_, key), _)| key == k)
                        .map(|(_, kept)| kept.clone())
                        .ok_or(StoreError::not_found())
                }
                read => read,
            };
        }
        // A deletion whose condition lacks the tenant.
        "r9_writes_are_isolated_by_tenant" => {
            wrong.commit = |own, t, w| {
                let deleted: Vec<_> = w.iter().filter(|write| write.body.is_none()).map(|w| w.key.clone()).collect();
                let made = keeping(own, t, w)?;
                for (tenant, key) in own.kept.lock().unwrap().keys().filter(|(_, key)| deleted.contains(key)) {
                    drop(own.made(tenant, vec![Write::delete(key.clone(), Precondition::None)]));
                }
                Ok(made)
            };
        }
        "r10_refusal_is_not_applied" => {
            wrong.commit = |own, t, w| {
                refused(own, t, w, |mut refused| match refused.error {
                    StoreError::AlreadyExists { .. } => {
                        refused.error = StoreError::backend("duplicate key".into());
                        refused
                    }
                    _ => refused,
                })
            };
        }
        "r11_write_id_is_returned" => {
            wrong.commit = |own, t, w| answered(own, t, w, |made| Version { write_id: None, ..made });
        }
        "r12_largest_body_is_accepted" => {
            wrong.commit = |own, t, w| {
                let limit = own.capabilities().max_body;
                let largest = |write: &Write| write.body.as_ref().is_some_and(|body| body.len() as u64 >= limit);
                match w.iter().position(largest) {
                    Some(at) => Err(CommitError::at(at, StoreError::too_large(limit))),
                    None => own.made(t, w),
                }
            };
        }
        "r12_larger_body_is_refused" => {
            wrong.capabilities = |own| {
                let mut capabilities = ResourceStore::capabilities(&own.below);
                capabilities.max_body = 1_000;
                capabilities
            };
        }
        "r13_last_updated_never_decreases" => {
            wrong.commit = |own, t, w| {
                answered(own, t, w, |made| {
                    let fallen = time::Duration::seconds(made.version.get().cast_signed());
                    Version { last_updated: made.last_updated - fallen, ..made }
                })
            };
        }
        "r14_dropped_commit_is_atomic" => wrong.halting = true,
        _ => {}
    }
    wrong
}
