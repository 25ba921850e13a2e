//! Ledgers with one defect each, named for the clause that it breaks.

use super::wrong::halt;
use super::{each_holds, each_is_caught};
use fhir_devices::backend::Memory;
use fhir_devices::store::*;
use fhir_devices::testkit::store::{block_on, ledger};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

#[test]
fn every_ledger_clause_catches_a_faulty_ledger() {
    each_is_caught(ledger::CLAUSES, Wrong::new, |store| store as &dyn Ledger);
}

#[test]
fn correct_ledger_passes_every_clause() {
    each_holds(ledger::CLAUSES, &Wrong::new("") as &dyn Ledger);
}

struct Wrong {
    below: Memory,
    defect: &'static str,
    /// Records that are shown in another state.
    kept: Mutex<Vec<(Tenant, LedgerRecord)>>,
    offset: Mutex<usize>,
}

type Made = Result<Vec<Revision>, CommitError>;

impl Wrong {
    fn new(defect: &'static str) -> Self {
        Self { below: Memory::new(), defect, kept: Mutex::default(), offset: Mutex::default() }
    }

    fn read(&self, t: &Tenant, key: &LedgerKey) -> Option<LedgerRecord> {
        block_on(Ledger::get(&self.below, t, key)).unwrap()
    }

    fn made(&self, t: &Tenant, changes: Vec<Change>) -> Made {
        block_on(self.below.apply(t, changes))
    }

    fn page(
        &self,
        t: &Tenant,
        prefix: &LedgerKey,
        limit: NonZeroU32,
        a: Option<&PageToken>,
    ) -> Result<Page<LedgerRecord>> {
        block_on(self.below.scan(t, prefix, limit, a))
    }

    /// Applies the changes, each to the current state.
    fn blindly(&self, t: &Tenant, changes: Vec<Change>) -> Made {
        let seen =
            |change: Change| Change { expected: self.read(t, &change.key).map(|record| record.revision), ..change };
        self.made(t, changes.into_iter().map(seen).collect())
    }

    async fn one_by_one(&self, t: &Tenant, changes: Vec<Change>, halting: bool) -> Made {
        let mut made = Vec::new();
        for (at, change) in changes.into_iter().enumerate() {
            made.extend(self.made(t, vec![change]).map_err(|refused| CommitError::at(at, refused.error))?);
            match halting {
                true => halt().await,
                false => thread::sleep(Duration::from_micros(50)),
            }
        }
        Ok(made)
    }
}

impl Ledger for Wrong {
    fn max_changes(&self) -> usize {
        self.below.max_changes()
    }

    fn get<'a>(&'a self, t: &'a Tenant, key: &'a LedgerKey) -> BoxFuture<'a, Result<Option<LedgerRecord>>> {
        Box::pin(async move {
            let found = self.read(t, key);
            Ok(match self.defect {
                // What was before.
                "l3_acknowledged_change_is_visible_to_others" => {
                    let kept = self.kept.lock().unwrap();
                    kept.iter().find(|(tenant, kept)| tenant == t && kept.key == *key).map(|(_, kept)| kept.clone())
                }
                "l3_value_is_read_byte_for_byte" => {
                    let text = |record: LedgerRecord| LedgerRecord {
                        value: String::from_utf8_lossy(&record.value).into_owned().into(),
                        ..record
                    };
                    found.map(text)
                }
                // A cache whose keys lack the tenant.
                "l4_calls_are_isolated_by_tenant" => found.or_else(|| {
                    let kept = self.kept.lock().unwrap();
                    kept.iter().find(|(_, kept)| kept.key == *key).map(|(_, kept)| kept.clone())
                }),
                _ => found,
            })
        })
    }

    fn apply<'a>(&'a self, t: &'a Tenant, changes: Vec<Change>) -> BoxFuture<'a, Made> {
        Box::pin(async move {
            for change in &changes {
                if let Some(record) = self.read(t, &change.key) {
                    let mut kept = self.kept.lock().unwrap();
                    kept.retain(|(tenant, kept)| (tenant, &kept.key) != (t, &change.key));
                    kept.push((t.clone(), record));
                }
            }
            let deletes = changes.first().is_some_and(|change| change.value.is_none());
            let creates = changes.first().is_some_and(|change| change.expected.is_none());
            match self.defect {
                "l1_write_needs_the_newest_revision" if !creates && !deletes => self.blindly(t, changes),
                "l1_delete_needs_the_newest_revision" if deletes && !creates => self.blindly(t, changes),
                // The check and the write are two steps.
                "l1_of_concurrent_writers_one_wins" | "l1_of_concurrent_creators_one_wins" => {
                    let seen = |change: &Change| self.read(t, &change.key).map(|record| record.revision);
                    if changes.iter().any(|change| seen(change) != change.expected) {
                        return self.made(t, changes);
                    }
                    thread::sleep(Duration::from_micros(100));
                    // One more may come between; then it is tried again.
                    loop {
                        if let Ok(made) = self.blindly(t, changes.clone()) {
                            return Ok(made);
                        }
                    }
                }
                "l2_revision_is_never_reused" => {
                    let made = self.made(t, changes.clone())?;
                    let named = |(change, revision): (&Change, Revision)| match change.expected {
                        None => Revision::new("first"),
                        Some(_) => revision,
                    };
                    Ok(changes.iter().zip(made).map(named).collect())
                }
                "l4_calls_are_isolated_by_tenant" => {
                    let made = self.made(t, changes.clone())?;
                    let now = changes.iter().filter_map(|change| Some((t.clone(), self.read(t, &change.key)?)));
                    self.kept.lock().unwrap().extend(now);
                    Ok(made)
                }
                "l5_refusal_is_not_applied" => self.made(t, changes).map_err(|mut refused| {
                    refused.error = StoreError::indeterminate(Some(Box::new(refused.error)));
                    refused
                }),
                "l6_largest_values_and_commits_are_accepted" if changes.len() > 10 => {
                    Err(StoreError::unsupported("more than ten changes").into())
                }
                "l6_larger_values_are_accepted_or_refused_whole" if changes.len() > LEDGER_MAX_CHANGES => {
                    self.made(t, changes.into_iter().take(LEDGER_MAX_CHANGES).collect())
                }
                "l7_dropped_commit_is_atomic" => self.one_by_one(t, changes, true).await,
                "l8_refused_commit_changes_nothing" | "l8_commit_is_visible_as_a_whole" => {
                    self.one_by_one(t, changes, false).await
                }
                "l8_commit_returns_revisions_in_order" => {
                    self.made(t, changes).map(|made| made.into_iter().rev().collect())
                }
                "l8_empty_commit_succeeds_and_duplicate_key_fails" if changes.is_empty() => {
                    Err(StoreError::invalid("nothing to do").into())
                }
                _ => self.made(t, changes),
            }
        })
    }

    fn scan<'a>(
        &'a self,
        t: &'a Tenant,
        prefix: &'a LedgerKey,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord>>> {
        Box::pin(async move {
            let page = self.page(t, prefix, limit, after);
            match self.defect {
                // The record of that name too.
                "l9_prefix_selects_records_below_it" => {
                    let mut page = page?;
                    page.items.splice(0..0, self.read(t, prefix).filter(|_| after.is_none()));
                    Ok(page)
                }
                "l9_pages_of_any_length_are_complete" => {
                    page.map(|page| Page { next: page.next.filter(|_| after.is_none()), ..page })
                }
                // By the number of what was seen before.
                "l9_pages_are_stable_while_others_write" => {
                    let mut offset = self.offset.lock().unwrap();
                    if after.is_none() {
                        *offset = 0;
                    }
                    let all = self.page(t, prefix, NonZeroU32::MAX, None)?.items;
                    let items: Vec<_> = all.iter().skip(*offset).take(limit.get() as usize).cloned().collect();
                    *offset += items.len();
                    let token = self.page(t, prefix, NonZeroU32::MIN, None)?.next;
                    Ok(Page { next: token.filter(|_| *offset < all.len()), items })
                }
                "l9_foreign_or_damaged_token_is_invalid" => match page {
                    Err(StoreError::Invalid { .. }) => self.page(t, prefix, limit, None),
                    page => page,
                },
                _ => page,
            }
        })
    }
}
