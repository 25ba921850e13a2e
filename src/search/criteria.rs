//! Criteria of a search, arranged so that matching a resource does not scan all wanted values.

use super::{Criterion, IndexEntries, Parameter, TokenMatch};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

/// Set of text prefixes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginnings(BTreeSet<SmolStr>);

impl Beginnings {
    /// Returns whether there is no prefix.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a text starts with one of the prefixes.
    pub(crate) fn meet(&self, text: &str) -> bool {
        // No prefix starts with another, so that only the last one before the text can match.
        self.0
            .range::<str, _>((Bound::Unbounded, Bound::Included(text)))
            .next_back()
            .is_some_and(|start| text.starts_with(start.as_str()))
    }
}

impl FromIterator<SmolStr> for Beginnings {
    fn from_iter<I: IntoIterator<Item = SmolStr>>(starts: I) -> Self {
        let sorted: BTreeSet<SmolStr> = starts.into_iter().collect();
        let mut kept: Vec<SmolStr> = Vec::with_capacity(sorted.len());
        for start in sorted {
            if kept.last().is_none_or(|last| !start.starts_with(last.as_str())) {
                kept.push(start);
            }
        }
        Self(kept.into_iter().collect())
    }
}

/// Wanted values of one parameter.
#[derive(Debug, Default)]
struct OfParameter {
    values: HashSet<SmolStr>,
    /// Wanted systems by value.
    exact: BTreeMap<SmolStr, HashSet<Option<SmolStr>>>,
    systems: HashSet<SmolStr>,
    beginnings: Beginnings,
}

impl OfParameter {
    fn meets(&self, system: Option<&str>, value: &str) -> bool {
        self.values.contains(value)
            || system.is_some_and(|system| self.systems.contains(system))
            || (!self.exact.is_empty()
                && self.exact.get(value).is_some_and(|systems| systems.contains(&system.map(SmolStr::from))))
            || self.beginnings.meet(value)
    }
}

/// Alternatives, one of which must match.
#[derive(Debug, Default)]
struct AnyOf {
    ids: HashSet<SmolStr>,
    parameters: BTreeMap<Parameter, OfParameter>,
}

impl AnyOf {
    fn of(criterion: &Criterion) -> Self {
        let (mut any, mut begins) = (Self::default(), BTreeMap::new());
        any.add(criterion, &mut begins);
        for (parameter, starts) in begins {
            any.parameters.entry(parameter).or_default().beginnings = starts.into_iter().collect();
        }
        any
    }

    fn add(&mut self, criterion: &Criterion, begins: &mut BTreeMap<Parameter, Vec<SmolStr>>) {
        match criterion {
            Criterion::Id(id) => drop(self.ids.insert(id.clone())),
            Criterion::AnyId(ids) => self.ids.extend(ids.iter().cloned()),
            Criterion::Is(parameter, wanted) => {
                let of = self.parameters.entry(*parameter).or_default();
                match wanted {
                    TokenMatch::Value(value) => drop(of.values.insert(value.clone())),
                    TokenMatch::System(system) => drop(of.systems.insert(system.clone())),
                    TokenMatch::Exact(token) => {
                        of.exact.entry(token.value.clone()).or_default().insert(token.system.clone());
                    }
                }
            }
            Criterion::Begins(parameter, start) => begins.entry(*parameter).or_default().push(start.clone()),
            Criterion::AnyOf(any) => any.iter().for_each(|criterion| self.add(criterion, begins)),
        }
    }
}

/// Criteria that must all match.
#[derive(Debug)]
pub(crate) struct Criteria(Vec<AnyOf>);

impl Criteria {
    pub(crate) fn of(all: &[Criterion]) -> Self {
        Self(all.iter().map(AnyOf::of).collect())
    }

    /// Returns whether a resource with this id and these entries, each with its system and value, matches all criteria.
    pub(crate) fn meet<'e, E: Iterator<Item = (Parameter, Option<&'e str>, &'e str)>>(
        &self,
        id: &str,
        entries: impl Fn() -> E,
    ) -> bool {
        self.0.iter().all(|any| {
            any.ids.contains(id)
                || entries().any(|(parameter, system, value)| {
                    any.parameters.get(&parameter).is_some_and(|of| of.meets(system, value))
                })
        })
    }

    /// Returns whether a resource with this id and index matches all criteria.
    #[cfg_attr(not(any(feature = "cosmos", feature = "redb")), allow(dead_code, reason = "these backends ask it"))]
    pub(crate) fn matches(&self, id: &str, index: &IndexEntries) -> bool {
        let entries = || index.iter().map(|(parameter, token)| (parameter, token.system.as_deref(), &*token.value));
        self.meet(id, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Token;
    use super::*;

    #[test]
    fn criteria_match_by_kind() {
        let token = |text: &str| text.parse::<TokenMatch>().unwrap();
        let index = IndexEntries::new()
            .with(Parameter::Type, Token::new("urn:x", "1"))
            .with(Parameter::Identifier, Token::bare("2"))
            .with(Parameter::Model, Token::bare("Vista 900"));
        let single = [
            Criterion::Id("a".into()),
            Criterion::Id("b".into()),
            Criterion::AnyId(["a".into(), "c".into()].into()),
            Criterion::AnyId(BTreeSet::new()),
            Criterion::is(Parameter::Type, token("1")),
            Criterion::is(Parameter::Type, token("urn:x|1")),
            Criterion::is(Parameter::Type, token("|1")),
            Criterion::is(Parameter::Type, token("urn:x|")),
            Criterion::is(Parameter::Type, token("urn:y|")),
            Criterion::is(Parameter::Identifier, token("1")),
            Criterion::is(Parameter::Identifier, token("|2")),
            Criterion::begins(Parameter::Model, "vista"),
            Criterion::begins(Parameter::Model, "vista 9"),
            Criterion::begins(Parameter::Model, "vista 91"),
            Criterion::begins(Parameter::Model, ""),
            Criterion::begins(Parameter::Model, "w"),
            Criterion::AnyOf(Vec::new()),
        ];
        for one in &single {
            assert_eq!(
                Criteria::of(std::slice::from_ref(one)).matches("a", &index),
                one.matches("a", &index),
                "{one:?}"
            );
            for other in &single {
                for third in &single {
                    let any = Criterion::AnyOf(vec![one.clone(), Criterion::AnyOf(vec![other.clone(), third.clone()])]);
                    let both = [any.clone(), third.clone()];
                    let wanted = both.iter().all(|criterion| criterion.matches("a", &index));
                    assert_eq!(Criteria::of(&both).matches("a", &index), wanted, "{any:?} {third:?}");
                }
            }
        }
    }
}
