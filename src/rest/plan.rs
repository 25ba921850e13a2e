//! What of a query the store's index can answer, and what has to be checked on each resource.

use super::filter::{Filter, Setting, Wanted};
use crate::reference::OwnBase;
use crate::search::{Criterion, Parameter, ResourceType, Token, TokenMatch};
use crate::store::Key;
use crate::support::truncated;
use std::collections::BTreeSet;

/// The criteria that together find at least everything asked for, and the filters that must be checked all the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) all_of: Vec<Criterion>,
    /// The places of the filters that the index does not answer, or not exactly.
    pub(super) unindexed: Vec<usize>,
}

impl Plan {
    /// Returns the plan of filters: each becomes a criterion where the index of the store knows it.
    pub(super) fn of(filters: &[Filter], setting: &Setting<'_>) -> Self {
        let mut plan = Self::default();
        for (at, filter) in filters.iter().enumerate() {
            let asked = criterion(filter, setting);
            if asked.as_ref().is_none_or(|(_, exact)| !exact) {
                plan.unindexed.push(at);
            }
            plan.all_of.extend(asked.map(|(criterion, _)| criterion));
        }
        plan
    }
}

/// Returns what the index is asked, and whether its answer is exact.
fn criterion(filter: &Filter, setting: &Setting<'_>) -> Option<(Criterion, bool)> {
    if filter.not {
        return None;
    }
    if filter.param.name == "_id" {
        return of_ids(&filter.any_of).map(|criterion| (criterion, true));
    }
    let of = filter.param.index.filter(|of| setting.own_parameters || !of.is_own())?;
    let mut any = Vec::with_capacity(filter.any_of.len());
    let mut exact = true;
    for wanted in &filter.any_of {
        exact &= asked(of, wanted, setting.base, &mut any)?;
    }
    any.sort();
    any.dedup();
    let one = if any.len() == 1 { any.pop() } else { None };
    Some((one.unwrap_or(Criterion::AnyOf(any)), exact))
}

fn of_ids(any_of: &[Wanted]) -> Option<Criterion> {
    let mut ids = BTreeSet::new();
    for wanted in any_of {
        match wanted {
            Wanted::Token(TokenMatch::Value(id) | TokenMatch::Exact(Token { system: None, value: id })) => {
                // What is no id, such as a text with a NUL, is that of no resource.
                if Key::new(ResourceType::Device, id.clone()).is_ok() {
                    ids.insert(id.clone());
                }
            }
            // An id has no system.
            Wanted::Token(_) => {}
            _ => return None,
        }
    }
    Some(match (ids.len(), ids.pop_first()) {
        (1, Some(id)) => Criterion::Id(id),
        (_, Some(id)) => {
            ids.insert(id);
            Criterion::AnyId(ids)
        }
        (_, None) => Criterion::AnyOf(Vec::new()),
    })
}

/// How much of the beginning of a text the index is asked for. Values are cut before they are folded, and folding makes
/// them shorter, so that a longer beginning might not be there.
const BEGINNING: usize = 64;

/// Returns what the index is asked for one value, and whether the answer is exact; `None` where it does not know.
fn asked(of: Parameter, wanted: &Wanted, base: &OwnBase, any: &mut Vec<Criterion>) -> Option<bool> {
    let fits = |text: &str| text.len() <= Parameter::LONGEST;
    Some(match wanted {
        Wanted::Token(token) => {
            any.push(Criterion::is(of, token.clone()));
            match token {
                TokenMatch::Value(value) => fits(value),
                TokenMatch::Exact(Token { system, value }) => {
                    fits(value) && system.as_ref().is_none_or(|system| fits(system))
                }
                TokenMatch::System(system) => fits(system),
            }
        }
        Wanted::Starts(start) => {
            let beginning = truncated(start, BEGINNING);
            any.push(Criterion::Begins(of, beginning.into()));
            beginning.len() == start.len()
        }
        Wanted::Below(start) => {
            let beginning = truncated(start, BEGINNING);
            any.push(Criterion::Begins(of, beginning.into()));
            beginning.len() == start.len()
        }
        // The index has only the folded form.
        Wanted::Exact(whole) => {
            any.push(Criterion::value(of, whole));
            of == Parameter::Url && fits(whole)
        }
        // It may have been written relative, or with our own address.
        Wanted::Reference(text) => {
            let forms = if text.contains(':') { vec![text.clone()] } else { base.forms(text) };
            any.extend(forms.iter().map(|form| Criterion::value(of, form)));
            forms.iter().all(|form| fits(form))
        }
        Wanted::Missing(_) | Wanted::Above(_) | Wanted::Words(_) | Wanted::Contains(_) | Wanted::Date(_) => {
            return None;
        }
    })
}
