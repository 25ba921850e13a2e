//! Criteria of a search.

use super::index::cut;
use super::{IndexEntries, Parameter, Token};
use crate::support::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The four forms of a FHIR token search.
///
/// The text form is that of a search parameter, with `\` before `|`, `,`, `$` and `\` in the value.
///
/// ```
/// use fhir_devices::search::{Token, TokenMatch};
/// let any_system: TokenMatch = "69641".parse()?;
/// assert!(any_system.matches(&Token::new("urn:oid:1.2", "69641")));
/// let no_system: TokenMatch = "|69641".parse()?;
/// assert!(!no_system.matches(&Token::new("urn:oid:1.2", "69641")));
/// let whole_system: TokenMatch = "urn:oid:1.2|".parse()?;
/// assert!(whole_system.matches(&Token::new("urn:oid:1.2", "69641")));
/// assert_eq!("urn:oid:1.2|69641".parse(), Ok(TokenMatch::Exact(Token::new("urn:oid:1.2", "69641"))));
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum TokenMatch {
    /// `value`: in any system, or in none.
    Value(SmolStr),
    /// `system|value`, or `|value` for a value that has no system.
    Exact(Token),
    /// `system|`: any value of the system.
    System(SmolStr),
}

impl TokenMatch {
    /// Returns whether `token` matches.
    #[must_use]
    pub fn matches(&self, token: &Token) -> bool {
        match self {
            Self::Value(value) => token.value == *value,
            Self::Exact(exact) => token == exact,
            Self::System(system) => token.system.as_ref() == Some(system),
        }
    }

    /// Returns the value; `None` for a whole system.
    #[must_use]
    pub fn value(&self) -> Option<&SmolStr> {
        match self {
            Self::Value(value) | Self::Exact(Token { value, .. }) => Some(value),
            Self::System(_) => None,
        }
    }
}

impl FromStr for TokenMatch {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = |reason| InvalidText::new("a token to search for", text, reason);
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let c = match c {
                '|' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => chars.next().ok_or_else(|| refuse("it ends in `\\`"))?,
                c => c,
            };
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
        match parts.as_slice() {
            [value] if !value.is_empty() => Ok(Self::Value(value.into())),
            [system, value] => match (system.as_str(), value.as_str()) {
                ("", "") => Err(refuse("a system or a value is wanted")),
                ("", value) => Ok(Self::Exact(Token::bare(value))),
                (system, "") => Ok(Self::System(system.into())),
                (system, value) => Ok(Self::Exact(Token::new(system, value))),
            },
            [_] => Err(refuse("a system or a value is wanted")),
            _ => Err(refuse("it holds more than one `|`")),
        }
    }
}

impl fmt::Display for TokenMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (system, value) = match self {
            Self::Value(value) => (None, value.as_str()),
            Self::Exact(Token { system, value }) => (Some(system.as_deref().unwrap_or_default()), value.as_str()),
            Self::System(system) => (Some(system.as_str()), ""),
        };
        let escape = |text: &str, f: &mut fmt::Formatter<'_>| {
            text.chars().try_for_each(|c| match c {
                '|' | ',' | '$' | '\\' => write!(f, "\\{c}"),
                c => write!(f, "{c}"),
            })
        };
        if let Some(system) = system {
            escape(system, f)?;
            f.write_str("|")?;
        }
        escape(value, f)
    }
}

/// Criterion of a search.
///
/// Values are normalised by [`Parameter::fold`]; [`is`](Self::is), [`begins`](Self::begins) and the other constructors
/// do so.
///
/// ```
/// use fhir_devices::search::{Criterion, Parameter};
/// let of_the_pump = Criterion::source("Device/pump");
/// let infusors = Criterion::is(Parameter::Type, "urn:iso:std:iso:11073:10101|69985".parse()?);
/// let either = Criterion::AnyOf(vec![of_the_pump, infusors]);
/// # let _ = either;
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Criterion {
    /// The logical id is this one.
    Id(SmolStr),
    /// The logical id is one of these.
    AnyId(BTreeSet<SmolStr>),
    /// An index entry of the parameter matches. References, texts and URIs have no system.
    Is(Parameter, TokenMatch),
    /// An index entry of the parameter begins with this text, byte for byte.
    Begins(Parameter, SmolStr),
    /// One of these criteria matches; an empty list matches nothing.
    AnyOf(Vec<Criterion>),
}

impl Criterion {
    /// Creates a criterion: an index entry of the parameter matches.
    #[must_use]
    pub fn is(parameter: Parameter, wanted: TokenMatch) -> Self {
        let system = |system: SmolStr| SmolStr::from(cut(&system));
        Self::Is(
            parameter,
            match wanted {
                TokenMatch::Value(value) => TokenMatch::Value(parameter.fold(&value)),
                TokenMatch::Exact(Token { system: of, value }) => {
                    TokenMatch::Exact(Token { system: of.map(system), value: parameter.fold(&value) })
                }
                TokenMatch::System(of) => TokenMatch::System(system(of)),
            },
        )
    }

    /// Creates a criterion: an index entry of the parameter begins with this text.
    #[must_use]
    pub fn begins(parameter: Parameter, text: &str) -> Self {
        Self::Begins(parameter, parameter.fold(text))
    }

    /// Creates a criterion for a parameter without a system: a reference, a whole text, or a URI.
    #[must_use]
    pub fn value(parameter: Parameter, value: &str) -> Self {
        Self::Is(parameter, TokenMatch::Value(parameter.fold(value)))
    }

    /// Creates a criterion for the source Device, by its reference as written: `Device/pump`.
    #[must_use]
    pub fn source(reference: &str) -> Self {
        Self::value(Parameter::Source, reference)
    }

    /// Creates a criterion for the parent component, by its reference as written: `DeviceComponent/mds`.
    #[must_use]
    pub fn parent(reference: &str) -> Self {
        Self::value(Parameter::Parent, reference)
    }

    /// Creates a criterion for an identifier.
    #[must_use]
    pub fn identifier(wanted: TokenMatch) -> Self {
        Self::is(Parameter::Identifier, wanted)
    }

    /// Creates a criterion for a coding of `type`.
    #[must_use]
    #[doc(alias = "type")]
    pub fn kind(wanted: TokenMatch) -> Self {
        Self::is(Parameter::Type, wanted)
    }

    /// Returns whether a resource with this id and these index entries matches.
    #[must_use]
    pub fn matches(&self, id: &str, index: &IndexEntries) -> bool {
        match self {
            Self::Id(wanted) => wanted == id,
            Self::AnyId(wanted) => wanted.contains(id),
            Self::Is(parameter, wanted) => index.of(*parameter).any(|token| wanted.matches(token)),
            Self::Begins(parameter, start) => index.of(*parameter).any(|token| token.value.starts_with(start.as_str())),
            Self::AnyOf(any) => any.iter().any(|criterion| criterion.matches(id, index)),
        }
    }
}
