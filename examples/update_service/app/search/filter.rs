//! One condition of a search: how it is read from the query, and whether a resource meets it.

use super::params::{Coded, Kind, Param, Values, values};
use crate::app::answer::Problem;
use axum::http::StatusCode;
use fhir_devices::Resource;
use fhir_devices::datatype::Literal;
use fhir_devices::primitive::DateTime;
use fhir_devices::store::{TokenMatch, Version, fold};
use time::OffsetDateTime;

/// One parameter of a query: any of its values must be met.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) param: &'static Param,
    pub(crate) any_of: Vec<Wanted>,
    /// `:not`: none of them may be met.
    pub(crate) not: bool,
}

/// One value that is asked for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// `:missing`
    Missing(bool),
    Token(TokenMatch),
    /// Starts so, case and accents aside; `:text` looks so among the words of a token.
    Starts(String),
    /// `:contains`
    Contains(String),
    /// `:exact`, and uris.
    Exact(String),
    /// A reference in the form without version, relative where it is to this service.
    Reference(String),
    Date(Prefix, OffsetDateTime, OffsetDateTime),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

impl Filter {
    /// Reads a parameter with its modifier and its values; `base` is the address of the tenant's FHIR service.
    pub(crate) fn read(
        param: &'static Param,
        modifier: Option<&str>,
        value: &str,
        base: &str,
    ) -> Result<Self, Problem> {
        let refused = || {
            let words = format!(
                "`{}` is of type {} and takes no `:{}` here",
                param.name,
                param.kind.as_str(),
                modifier.unwrap_or_default()
            );
            Problem::unsupported(StatusCode::BAD_REQUEST, "search-modifier", words)
        };
        let one = |text: &str| -> Result<Wanted, Problem> {
            if text.is_empty() {
                return Err(wrong(param, text, "a value is wanted"));
            }
            Ok(match (param.kind, modifier) {
                (_, Some("missing")) => match text {
                    "true" => Wanted::Missing(true),
                    "false" => Wanted::Missing(false),
                    _ => return Err(wrong(param, text, "`true` or `false` is wanted")),
                },
                (Kind::Token, None | Some("not")) => {
                    Wanted::Token(text.parse().map_err(|error| wrong(param, text, &format!("{error}")))?)
                }
                (Kind::Token, Some("text")) => Wanted::Starts(fold(&unescape(text))),
                (Kind::Text, None) => Wanted::Starts(fold(&unescape(text))),
                (Kind::Text, Some("contains")) => Wanted::Contains(fold(&unescape(text))),
                (Kind::Text, Some("exact")) => Wanted::Exact(unescape(text)),
                (Kind::Uri, None) => Wanted::Exact(unescape(text)),
                (Kind::Reference(target), None) => Wanted::Reference(reference(&unescape(text), target, base)),
                (Kind::Reference(target), Some(named)) if named == target => {
                    Wanted::Reference(reference(&unescape(text), target, base))
                }
                (Kind::Date, None) => date(text).ok_or_else(|| wrong(param, text, "a date or a moment is wanted"))?,
                _ => return Err(refused()),
            })
        };
        let any_of = split(value).iter().map(|text| one(text)).collect::<Result<_, _>>()?;
        Ok(Self { param, any_of, not: modifier == Some("not") })
    }

    /// Whether a resource meets the condition.
    pub(crate) fn matches(&self, resource: &Resource, version: &Version, base: &str) -> bool {
        if self.param.name == "_lastUpdated" {
            return self.any_of.iter().any(|wanted| wanted.is_moment(version.last_updated));
        }
        if self.param.name == "_id" {
            return self.any_of.iter().any(|wanted| wanted.is_id(version.key.id())) != self.not;
        }
        let found = values(resource, self.param.name);
        self.any_of.iter().any(|wanted| wanted.is_met(&found, self.param.kind, base)) != self.not
    }
}

impl Wanted {
    fn is_met(&self, found: &Values<'_>, kind: Kind, base: &str) -> bool {
        match self {
            Self::Missing(missing) => found.is_empty() == *missing,
            Self::Token(token) => found.tokens.iter().any(|coded| token_is(token, coded)),
            Self::Starts(start) => found.texts.iter().any(|text| fold(text).starts_with(start.as_str())),
            Self::Contains(part) => found.texts.iter().any(|text| fold(text).contains(part.as_str())),
            Self::Exact(whole) => found.texts.iter().any(|text| text == whole),
            Self::Reference(wanted) => {
                let Kind::Reference(target) = kind else { return false };
                found.texts.iter().any(|text| reference(text, target, base) == *wanted)
            }
            Self::Date(..) => false,
        }
    }

    /// Ids differ by case.
    fn is_id(&self, id: &str) -> bool {
        match self {
            Self::Missing(missing) => !missing,
            Self::Token(TokenMatch::Value(value)) => value == id,
            Self::Token(TokenMatch::Exact(exact)) => exact.system.is_none() && exact.value == id,
            _ => false,
        }
    }

    fn is_moment(&self, moment: OffsetDateTime) -> bool {
        match self {
            Self::Missing(missing) => !missing,
            Self::Date(prefix, first, last) => {
                let within = *first <= moment && moment <= *last;
                match prefix {
                    Prefix::Eq => within,
                    Prefix::Ne => !within,
                    Prefix::Gt | Prefix::Sa => moment > *last,
                    Prefix::Lt | Prefix::Eb => moment < *first,
                    Prefix::Ge => moment >= *first,
                    Prefix::Le => moment <= *last,
                    Prefix::Ap => {
                        // Within a tenth of the time that lies between then and now.
                        let slack = (OffsetDateTime::now_utc() - *first).abs() / 10;
                        first.saturating_sub(slack) <= moment && moment <= last.saturating_add(slack)
                    }
                }
            }
            _ => false,
        }
    }
}

/// Tokens are compared literally, but not case sensitively (STU3); systems are uris, which are.
fn token_is(token: &TokenMatch, coded: &Coded<'_>) -> bool {
    let same = |wanted: &str| wanted == coded.value || wanted.to_lowercase() == coded.value.to_lowercase();
    match token {
        TokenMatch::Value(value) => same(value),
        TokenMatch::Exact(exact) => exact.system.as_deref() == coded.system && same(&exact.value),
        TokenMatch::System(system) => coded.system == Some(system.as_str()),
    }
}

/// A reference in one form: without its version, and relative where it is to this service. An id alone means `target`.
pub(crate) fn reference(text: &str, target: &str, base: &str) -> String {
    match Literal::parse(text) {
        Literal::Relative { resource_type, id, .. } => format!("{resource_type}/{id}"),
        Literal::Absolute { base: other, resource_type, id, .. } if other == base => format!("{resource_type}/{id}"),
        Literal::Absolute { base: other, resource_type, id, .. } => format!("{other}/{resource_type}/{id}"),
        Literal::Other(id) if !id.contains('/') && !id.contains(':') => format!("{target}/{id}"),
        other => other.to_string(),
    }
}

fn wrong(param: &Param, text: &str, wanted: &str) -> Problem {
    Problem::bad("search-value", format!("`{}={text}` cannot be searched for: {wanted}", param.name))
}

/// The values of a list, still escaped: a comma with `\` before it separates nothing.
fn split(value: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut escaped = false;
    for c in value.chars() {
        if c == ',' && !escaped {
            values.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = values.last_mut() {
            last.push(c);
        }
    }
    values
}

fn unescape(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

/// A date with its prefix, as the span of time that it covers.
fn date(text: &str) -> Option<Wanted> {
    const PREFIXES: [(&str, Prefix); 9] = [
        ("eq", Prefix::Eq),
        ("ne", Prefix::Ne),
        ("gt", Prefix::Gt),
        ("lt", Prefix::Lt),
        ("ge", Prefix::Ge),
        ("le", Prefix::Le),
        ("sa", Prefix::Sa),
        ("eb", Prefix::Eb),
        ("ap", Prefix::Ap),
    ];
    let named = PREFIXES.iter().find_map(|(name, prefix)| Some((*prefix, text.strip_prefix(name)?)));
    let (prefix, text) = named.unwrap_or((Prefix::Eq, text));
    // The `+` of a zone that was not encoded came out as a blank.
    let text = text.replace(' ', "+");
    let (first, last) = span(&text)?;
    Some(Wanted::Date(prefix, first, last))
}

fn span(text: &str) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let second = time::Duration::nanoseconds(999_999_999);
    let zoned = |text: &str| {
        let time = text.split_once('T').map(|(_, time)| time);
        let has_zone = time.is_none_or(|time| time.contains(['Z', '+', '-']));
        if has_zone { text.to_owned() } else { format!("{text}Z") }
    };
    let text = zoned(text);
    if let Ok(moment) = DateTime::new(&text) {
        let (first, last) = (moment.earliest()?, moment.latest()?);
        // A time in whole seconds covers the second.
        let whole = text.contains('T') && !text.contains('.');
        return Some((first, if whole { last.saturating_add(second) } else { last }));
    }
    // A search may leave the seconds out, and then covers the minute.
    let (minute, zone) = text.split_at_checked("2017-05-26T10:00".len())?;
    let first = DateTime::new(format!("{minute}:00{zone}")).ok()?.earliest()?;
    Some((first, first.saturating_add(time::Duration::seconds(59)).saturating_add(second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_one_form_whatever_way_it_is_written() {
        let base = "http://here/t/fhir";
        for text in ["p", "Device/p", "Device/p/_history/3", "http://here/t/fhir/Device/p"] {
            assert_eq!(reference(text, "Device", base), "Device/p", "{text}");
        }
        assert_eq!(reference("http://there/Device/p", "Device", base), "http://there/Device/p");
        assert_eq!(reference("urn:uuid:7", "Device", base), "urn:uuid:7");
    }

    #[test]
    fn a_comma_separates_unless_it_is_escaped() {
        assert_eq!(split(r"a,b\,c\\,d"), ["a", r"b\,c\\", "d"]);
        assert_eq!(unescape(r"b\,c\\"), r"b,c\");
    }

    #[test]
    fn a_date_covers_what_it_does_not_state() {
        for (text, moment, met) in [
            ("2017", "2017-12-31T23:59:59Z", true),
            ("2017-05-26T10:00", "2017-05-26T10:00:59Z", true),
            ("2017-05-26T10:00:00+02:00", "2017-05-26T08:00:00.5Z", true),
            ("2017-05-26T10:00:00 02:00", "2017-05-26T08:00:00.5Z", true),
            ("gt2017", "2017-12-31T23:59:59Z", false),
            ("ge2017", "2017-01-01T00:00:00Z", true),
            ("lt2017-05", "2017-04-30T23:59:59Z", true),
        ] {
            let moment = DateTime::new(moment).unwrap().earliest().unwrap();
            assert_eq!(date(text).unwrap().is_moment(moment), met, "{text}");
        }
        assert!(date("yesterday").is_none());
        assert!(date("2017-05-26T").is_none());
    }
}
