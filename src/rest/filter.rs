//! One search condition: parsing and matching.

use super::Limits;
use super::limits::at_most;
use super::problem::{Problem, Result};
use crate::datatype::Literal;
use crate::reference::OwnBase;
use crate::resource::Resource;
use crate::search::date::Moments;
use crate::search::value::{Coded, Values, values};
use crate::search::{Beginnings, Param, ParamKind, TokenMatch, fold};
use crate::store::Version;
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// What a query is read with: where the service is, and what time it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// The address of the tenant's FHIR service, without a slash at its end.
    pub(super) base: &'a OwnBase,
    pub(super) now: OffsetDateTime,
    pub(super) limits: &'a Limits,
    /// Whether the store finds every resource by this library's own parameters.
    pub(super) own_parameters: bool,
}

/// The most values of a parameter with `:contains`, each of which is looked for in every text.
const MAX_PARTS: usize = 16;

/// One parameter of a query: any of its values must be met.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) param: &'static Param,
    pub(super) any_of: Vec<Wanted>,
    /// `:not`: none of them may be met.
    pub(super) not: bool,
    matcher: Matcher,
}

/// The values that are asked for, so that a resource is checked without going through all of them.
#[derive(Clone, Debug, Default)]
struct Matcher {
    missing: BTreeSet<bool>,
    /// Values without case, in any system.
    values: BTreeSet<String>,
    /// By a value without case, the systems that it may have.
    exact: BTreeMap<String, BTreeSet<Option<String>>>,
    systems: BTreeSet<String>,
    starts: Beginnings,
    parts: Vec<String>,
    whole: BTreeSet<String>,
    below: Beginnings,
    above: Vec<String>,
    references: BTreeSet<String>,
}

impl Matcher {
    fn of(any_of: &[Wanted]) -> Self {
        let mut matcher = Self::default();
        let (mut starts, mut below) = (Vec::new(), Vec::new());
        for wanted in any_of {
            match wanted {
                Wanted::Missing(missing) => drop(matcher.missing.insert(*missing)),
                Wanted::Token(TokenMatch::Value(value)) => drop(matcher.values.insert(value.to_lowercase())),
                Wanted::Token(TokenMatch::Exact(exact)) => {
                    let systems = matcher.exact.entry(exact.value.to_lowercase()).or_default();
                    systems.insert(exact.system.as_ref().map(ToString::to_string));
                }
                Wanted::Token(TokenMatch::System(system)) => drop(matcher.systems.insert(system.to_string())),
                Wanted::Starts(start) | Wanted::Words(start) => starts.push(start.as_str().into()),
                Wanted::Contains(part) => matcher.parts.push(part.clone()),
                Wanted::Exact(whole) => drop(matcher.whole.insert(whole.clone())),
                Wanted::Reference(reference) => drop(matcher.references.insert(reference.clone())),
                Wanted::Below(start) => below.push(start.as_str().into()),
                Wanted::Above(whole) => matcher.above.push(whole.clone()),
                Wanted::Date(_) => {}
            }
        }
        matcher.below = below.into_iter().collect();
        matcher.starts = starts.into_iter().collect();
        matcher
    }

    fn is_met(&self, found: &Values<'_>, base: &OwnBase) -> bool {
        self.missing.contains(&found.is_empty())
            || found.tokens.iter().any(|coded| self.is_token(coded))
            || found.texts.iter().any(|text| self.is_text(text, base))
    }

    /// Tokens are compared literally, but not case sensitively (STU3); systems are uris, which are.
    fn is_token(&self, coded: &Coded<'_>) -> bool {
        let of_system = || coded.system.is_some_and(|system| self.systems.contains(system));
        if self.values.is_empty() && self.exact.is_empty() {
            return of_system();
        }
        let value = coded.value.to_lowercase();
        self.values.contains(&value)
            || of_system()
            || self.exact.get(&value).is_some_and(|systems| systems.contains(&coded.system.map(ToOwned::to_owned)))
    }

    fn is_text(&self, text: &str, base: &OwnBase) -> bool {
        if self.whole.contains(text) || (!self.references.is_empty() && self.references.contains(&base.normal(text))) {
            return true;
        }
        if self.below.meet(text) || self.above.iter().any(|whole| whole.starts_with(text)) {
            return true;
        }
        if self.starts.is_empty() && self.parts.is_empty() {
            return false;
        }
        let folded = fold(text);
        self.starts.meet(&folded) || self.parts.iter().any(|part| folded.contains(part.as_str()))
    }
}

/// One value that is asked for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// `:missing`
    Missing(bool),
    Token(TokenMatch),
    /// Starts so, case and accents aside; `:text` looks so among the words of a token.
    Starts(String),
    /// `:text`
    Words(String),
    /// `:contains`
    Contains(String),
    /// `:below`: an address that begins so.
    Below(String),
    /// `:above`: an address with which this one begins.
    Above(String),
    /// `:exact`, and addresses.
    Exact(String),
    /// A reference in the form without version, relative where it is to this service.
    Reference(String),
    Date(Moments),
}

impl Filter {
    /// Reads a parameter with its modifier and its values.
    pub(super) fn read(
        param: &'static Param,
        modifier: Option<&str>,
        value: &str,
        setting: &Setting<'_>,
    ) -> Result<Self> {
        let values = split(value);
        if matches!(modifier, Some("contains" | "above")) {
            at_most(values.len(), MAX_PARTS, "values with such a modifier")?;
        }
        let any_of: Vec<_> = values.iter().map(|text| wanted(param, modifier, text, setting)).collect::<Result<_>>()?;
        let matcher = Matcher::of(&any_of);
        Ok(Self { param, any_of, not: modifier == Some("not"), matcher })
    }

    /// Returns whether the resource must be read to tell.
    pub(super) fn needs_body(&self) -> bool {
        !matches!(self.param.name, "_id" | "_lastUpdated")
    }

    /// Returns whether a resource meets the condition; `resource` may be absent where it need not be read.
    pub(super) fn matches(&self, resource: Option<&Resource>, version: &Version, base: &OwnBase) -> bool {
        match self.param.name {
            "_lastUpdated" => self.any_of.iter().any(|wanted| wanted.is_moment(version.last_updated)),
            "_id" => self.is_id(version.key.id()) != self.not,
            name => {
                let found = resource.map(|resource| values(resource, name)).unwrap_or_default();
                self.matcher.is_met(&found, base) != self.not
            }
        }
    }

    /// Returns whether a resource that is not stored yet meets the condition; nothing where that depends on how it is
    /// stored.
    pub(super) fn is_met_by(&self, resource: &Resource, base: &OwnBase) -> Option<bool> {
        self.needs_body().then(|| self.matcher.is_met(&values(resource, self.param.name), base) != self.not)
    }

    /// Ids differ by case.
    fn is_id(&self, id: &str) -> bool {
        let lower = id.to_lowercase();
        self.matcher.missing.contains(&false)
            || ((self.matcher.values.contains(&lower) || self.matcher.exact.contains_key(&lower))
                && self.any_of.iter().any(|wanted| wanted.is_id(id)))
    }
}

fn wanted(param: &'static Param, modifier: Option<&str>, text: &str, setting: &Setting<'_>) -> Result<Wanted> {
    if text.is_empty() {
        return Err(wrong(param, text, "a value is wanted"));
    }
    Ok(match (param.kind, modifier) {
        (_, Some("missing")) => match text {
            "true" => Wanted::Missing(true),
            "false" => Wanted::Missing(false),
            _ => return Err(wrong(param, text, "`true` or `false` is wanted")),
        },
        (ParamKind::Token, None | Some("not")) => {
            Wanted::Token(text.parse().map_err(|error| wrong(param, text, &format!("{error}")))?)
        }
        (ParamKind::Token, Some("text")) if param.name != "_id" => Wanted::Words(fold(&unescape(text))),
        (ParamKind::Text, None) => Wanted::Starts(fold(&unescape(text))),
        (ParamKind::Text, Some("contains")) => Wanted::Contains(fold(&unescape(text))),
        (ParamKind::Text, Some("exact")) | (ParamKind::Uri, None) => Wanted::Exact(unescape(text)),
        (ParamKind::Uri, Some("below")) => Wanted::Below(unescape(text)),
        (ParamKind::Uri, Some("above")) => Wanted::Above(unescape(text)),
        (ParamKind::Reference(target), None) => Wanted::Reference(reference(&unescape(text), target, setting.base)),
        (ParamKind::Reference(target), Some(named)) if named == target => {
            Wanted::Reference(reference(&unescape(text), target, setting.base))
        }
        (ParamKind::Date, None) => match Moments::read(text, setting.now) {
            Some(moments) => Wanted::Date(moments),
            None => return Err(wrong(param, text, "a date or a moment is wanted")),
        },
        (kind, modifier) => {
            let taken: Vec<String> = kind.modifiers().iter().map(|name| format!("`:{name}`")).collect();
            let words = format!(
                "`{}` is of type {kind} and takes no `:{}` here, only {}",
                param.name,
                modifier.unwrap_or_default(),
                taken.join(", ")
            );
            return Err(Problem::unsupported(400, "search-modifier", words));
        }
    })
}

fn wrong(param: &Param, text: &str, wanted: &str) -> Problem {
    Problem::bad("search-value", format_args!("`{}={text}` cannot be searched for: {wanted}", param.name))
}

impl Wanted {
    fn is_id(&self, id: &str) -> bool {
        match self {
            Self::Token(TokenMatch::Value(value)) => value == id,
            Self::Token(TokenMatch::Exact(exact)) => exact.system.is_none() && exact.value == id,
            _ => false,
        }
    }

    fn is_moment(&self, moment: OffsetDateTime) -> bool {
        match self {
            Self::Missing(missing) => !missing,
            Self::Date(moments) => moments.has(moment),
            _ => false,
        }
    }
}

/// Returns a reference of a query in one form; an id alone means `target`.
fn reference(text: &str, target: &str, base: &OwnBase) -> String {
    match Literal::parse(text) {
        Literal::Other(id) if !id.contains(['/', ':', '?']) => format!("{target}/{id}"),
        _ => base.normal(text),
    }
}

/// Returns the values of a list, still escaped: a comma with `\` before it separates nothing.
pub(super) fn split(value: &str) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_filter_is_normalised() {
        let base = &OwnBase::new("http://here/t/fhir");
        for text in ["p", "Device/p", "Device/p/_history/3", "http://here/t/fhir/Device/p"] {
            assert_eq!(reference(text, "Device", base), "Device/p", "{text}");
        }
        assert_eq!(reference("http://there/Device/p", "Device", base), "http://there/Device/p");
        assert_eq!(reference("urn:uuid:7", "Device", base), "urn:uuid:7");
        assert_eq!(reference("#p", "Device", base), "#p");
    }

    #[test]
    fn unescaped_comma_separates_values() {
        assert_eq!(split(r"a,b\,c\\,d"), ["a", r"b\,c\\", "d"]);
        assert_eq!(unescape(r"b\,c\\"), r"b,c\");
    }
}
