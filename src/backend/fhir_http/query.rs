//! Translating searches for the server.

use crate::search::{Criterion, Matching, Parameter, ResourceType, Token, TokenMatch, params};

pub(super) type Pair = (String, String);

/// A criterion as a query of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CriterionQuery {
    /// A query parameter.
    Pair(Pair),
    /// Not sent: results are filtered locally.
    Here,
    /// No resource matches.
    Never,
}

/// Returns the commas and bars of a value, which would part it.
fn escaped(text: &str) -> String {
    TokenMatch::Value(text.into()).to_string()
}

/// How a criterion is asked for. What the server finds by it holds at least all that is meant, as far as the server
/// compares as STU3 says; `minds_case` where it does not.
pub(super) fn asked(kind: ResourceType, criterion: &Criterion, minds_case: bool) -> CriterionQuery {
    match criterion {
        Criterion::Id(id) => CriterionQuery::Pair(("_id".into(), escaped(id))),
        Criterion::AnyId(ids) if ids.is_empty() => CriterionQuery::Never,
        Criterion::AnyId(ids) => {
            CriterionQuery::Pair(("_id".into(), ids.iter().map(|id| escaped(id)).collect::<Vec<_>>().join(",")))
        }
        // No resource of the type has an entry of such a parameter.
        Criterion::Is(parameter, _) | Criterion::Begins(parameter, _) if !has(kind, *parameter) => {
            CriterionQuery::Never
        }
        // The server does not know it.
        Criterion::Is(parameter, _) | Criterion::Begins(parameter, _) if parameter.is_own() => CriterionQuery::Here,
        Criterion::Is(parameter, wanted) => match value(*parameter, wanted, minds_case) {
            Some(value) => CriterionQuery::Pair((parameter.to_string(), value)),
            None => CriterionQuery::Here,
        },
        // A server compares the beginnings of texts by itself.
        Criterion::Begins(parameter, start) if parameter.matching() == Matching::Text && !start.is_empty() => {
            CriterionQuery::Pair((parameter.to_string(), escaped(start)))
        }
        Criterion::Begins(..) => CriterionQuery::Here,
        Criterion::AnyOf(any) => any_of(any, |one| asked(kind, one, minds_case)),
    }
}

fn has(kind: ResourceType, parameter: Parameter) -> bool {
    params(kind).any(|param| param.index == Some(parameter))
}

/// Several values of one parameter are asked for together.
pub(super) fn any_of(any: &[Criterion], asked: impl Fn(&Criterion) -> CriterionQuery) -> CriterionQuery {
    let mut whole = CriterionQuery::Never;
    for criterion in any {
        whole = match (whole, asked(criterion)) {
            (whole, CriterionQuery::Never) => whole,
            (CriterionQuery::Never, one) => one,
            (CriterionQuery::Pair((of, mut values)), CriterionQuery::Pair((name, value))) if of == name => {
                values.push(',');
                values.push_str(&value);
                CriterionQuery::Pair((of, values))
            }
            _ => return CriterionQuery::Here,
        };
    }
    whole
}

/// Returns the value of a parameter; `None` where a server might miss what is meant by it.
fn value(parameter: Parameter, wanted: &TokenMatch, minds_case: bool) -> Option<String> {
    let is_cut = |text: &str| text.len() >= Parameter::LONGEST;
    let text = wanted.value();
    if text.is_some_and(|text| text.is_empty()) {
        return None;
    }
    match (parameter.matching(), wanted) {
        // The beginning of a text is enough, cut or not.
        (Matching::Text, TokenMatch::Value(text) | TokenMatch::Exact(Token { system: None, value: text })) => {
            Some(escaped(text))
        }
        (Matching::Exact, TokenMatch::Value(text) | TokenMatch::Exact(Token { system: None, value: text })) => {
            (!is_cut(text)).then(|| escaped(text))
        }
        (Matching::Token, TokenMatch::System(system)) => (!is_cut(system)).then(|| wanted.to_string()),
        (Matching::Token, TokenMatch::Value(text) | TokenMatch::Exact(Token { value: text, .. })) => {
            let system = match wanted {
                TokenMatch::Exact(Token { system, .. }) => system.as_deref(),
                _ => None,
            };
            let has_case = text.chars().any(|c| c.is_uppercase() || c.to_uppercase().ne([c]));
            let kept = is_cut(text) || system.is_some_and(is_cut) || (minds_case && has_case);
            (!kept).then(|| wanted.to_string())
        }
        (Matching::Text | Matching::Exact, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> CriterionQuery {
        CriterionQuery::Pair((name.into(), value.into()))
    }

    #[test]
    fn criterion_is_sent_if_the_server_finds_all_matches() {
        let device = |criterion: Criterion| asked(ResourceType::Device, &criterion, false);
        let token = |text: &str| text.parse::<TokenMatch>().unwrap();
        let identifier = |text: &str| Criterion::identifier(token(text));
        assert_eq!(device(identifier("urn:a|SN-7")), pair("identifier", "urn:a|sn-7"));
        assert_eq!(device(identifier(r"a\,b\|c")), pair("identifier", r"a\,b\|c"));
        assert_eq!(device(identifier("urn:a|")), pair("identifier", "urn:a|"));
        assert_eq!(device(Criterion::value(Parameter::Model, "Flow 2")), pair("model", "flow 2"));
        assert_eq!(device(Criterion::begins(Parameter::Model, "Fl")), pair("model", "fl"));
        assert_eq!(device(Criterion::begins(Parameter::Identifier, "S")), CriterionQuery::Here);
        assert_eq!(device(identifier(&"x".repeat(300))), CriterionQuery::Here);
        // A device has no device above it.
        assert_eq!(device(Criterion::source("Device/d")), CriterionQuery::Never);
        assert_eq!(device(Criterion::AnyId([].into())), CriterionQuery::Never);
        let ids = Criterion::AnyOf(vec![Criterion::Id("a".into()), Criterion::source("x"), Criterion::Id("b".into())]);
        assert_eq!(device(ids), pair("_id", "a,b"));
        let mixed = Criterion::AnyOf(vec![Criterion::Id("a".into()), identifier("7")]);
        assert_eq!(device(mixed), CriterionQuery::Here);
    }

    #[test]
    fn case_sensitive_server_gets_no_letters() {
        let identifier = |text: &str| {
            let criterion = Criterion::identifier(text.parse().unwrap());
            asked(ResourceType::Device, &criterion, true)
        };
        assert_eq!(identifier("SN-7"), CriterionQuery::Here);
        assert_eq!(identifier("urn:a|69641"), pair("identifier", "urn:a|69641"));
    }
}
