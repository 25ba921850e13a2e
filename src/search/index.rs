//! Search parameters that have an index, and the index entries of resources.

use crate::support::{InvalidText, truncated};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

/// Search parameter with an index in stores: those of STU3, and this library's own for components.
///
/// ```
/// use fhir_devices::search::Parameter;
/// assert_eq!("udi-di".parse(), Ok(Parameter::UdiDi));
/// assert_eq!(Parameter::Source.as_str(), "source");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum Parameter {
    /// Category of a metric: measurement, setting or calculation.
    Category,
    /// Name on the label of a device, or the text of its type.
    DeviceName,
    /// Identifier of a device, component or metric.
    Identifier,
    /// Location of a device.
    Location,
    /// Manufacturer of a device.
    Manufacturer,
    /// Model of a device.
    Model,
    /// Organization responsible for a device.
    Organization,
    /// Parent component.
    Parent,
    /// Patient to whom a device is affixed.
    Patient,
    /// Device that is the source of a component or metric.
    Source,
    /// Status of the record of a device.
    Status,
    /// Type of a device, component or metric.
    Type,
    /// Barcode of a unique device identifier, as text or machine-readable.
    UdiCarrier,
    /// Device identifier, the fixed part of a UDI.
    UdiDi,
    /// Network address of a device.
    Url,
    /// Version of an update that is available for a component.
    AvailableUpdateVersion,
    /// Status of an available update: current, superseded or withdrawn.
    AvailableUpdateStatus,
    /// Sequence number of an available update.
    AvailableUpdateSequence,
    /// Production specification of a component, with its type as the system.
    ProductionSpecification,
    /// Software or firmware revision last reported by a component.
    ReportedVersion,
}

/// Comparison of the values of a parameter.
///
/// ```
/// use fhir_devices::search::{Matching, Parameter};
/// assert_eq!(Parameter::Model.matching(), Matching::Text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Value within a system, ignoring case.
    Token,
    /// Beginning of a text, ignoring case and accents.
    Text,
    /// Exact: references and URIs.
    Exact,
}

impl Parameter {
    /// Every parameter.
    pub const ALL: [Self; 20] = [
        Self::Category,
        Self::DeviceName,
        Self::Identifier,
        Self::Location,
        Self::Manufacturer,
        Self::Model,
        Self::Organization,
        Self::Parent,
        Self::Patient,
        Self::Source,
        Self::Status,
        Self::Type,
        Self::UdiCarrier,
        Self::UdiDi,
        Self::Url,
        Self::AvailableUpdateVersion,
        Self::AvailableUpdateStatus,
        Self::AvailableUpdateSequence,
        Self::ProductionSpecification,
        Self::ReportedVersion,
    ];

    /// Returns whether the parameter is this library's own, unknown to other FHIR servers.
    ///
    /// ```
    /// use fhir_devices::search::Parameter;
    /// assert!(Parameter::ReportedVersion.is_own());
    /// assert!(!Parameter::Type.is_own());
    /// ```
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(
            self,
            Self::AvailableUpdateVersion
                | Self::AvailableUpdateStatus
                | Self::AvailableUpdateSequence
                | Self::ProductionSpecification
                | Self::ReportedVersion
        )
    }

    /// Maximum length in bytes of an indexed value and of its system. Longer ones are cut on both sides of a
    /// comparison, so that a search finds too much rather than too little.
    pub const LONGEST: usize = 256;

    /// Returns the name of the search parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::DeviceName => "device-name",
            Self::Identifier => "identifier",
            Self::Location => "location",
            Self::Manufacturer => "manufacturer",
            Self::Model => "model",
            Self::Organization => "organization",
            Self::Parent => "parent",
            Self::Patient => "patient",
            Self::Source => "source",
            Self::Status => "status",
            Self::Type => "type",
            Self::UdiCarrier => "udi-carrier",
            Self::UdiDi => "udi-di",
            Self::Url => "url",
            Self::AvailableUpdateVersion => "available-update-version",
            Self::AvailableUpdateStatus => "available-update-status",
            Self::AvailableUpdateSequence => "available-update-sequence",
            Self::ProductionSpecification => "production-specification",
            Self::ReportedVersion => "reported-version",
        }
    }

    /// Returns the comparison of the parameter's values.
    #[must_use]
    pub const fn matching(self) -> Matching {
        match self {
            Self::Category
            | Self::Identifier
            | Self::Status
            | Self::Type
            | Self::AvailableUpdateVersion
            | Self::AvailableUpdateStatus
            | Self::AvailableUpdateSequence
            | Self::ProductionSpecification
            | Self::ReportedVersion => Matching::Token,
            Self::DeviceName | Self::Manufacturer | Self::Model | Self::UdiCarrier | Self::UdiDi => Matching::Text,
            Self::Location | Self::Organization | Self::Parent | Self::Patient | Self::Source | Self::Url => {
                Matching::Exact
            }
        }
    }

    /// Normalises a value for index and criteria: tokens in lower case, texts without case and accents, cut to
    /// [`LONGEST`](Self::LONGEST) bytes.
    ///
    /// ```
    /// use fhir_devices::search::Parameter;
    /// assert_eq!(Parameter::Manufacturer.fold("Dräger"), "drager");
    /// assert_eq!(Parameter::Source.fold("Device/A"), "Device/A");
    /// ```
    #[must_use]
    pub fn fold(self, value: &str) -> SmolStr {
        let value = cut(value);
        match self.matching() {
            Matching::Token if value.chars().all(|c| !c.is_uppercase()) => value.into(),
            Matching::Token => cut(&value.to_lowercase()).into(),
            Matching::Text => cut(&super::fold::fold(value)).into(),
            Matching::Exact => value.into(),
        }
    }
}

/// Returns at most the first [`Parameter::LONGEST`] bytes, cut between characters.
pub(super) fn cut(text: &str) -> &str {
    truncated(text, Parameter::LONGEST)
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Parameter {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.into_iter().find(|parameter| parameter.as_str() == name);
        found.ok_or_else(|| InvalidText::new("a search parameter", name, "the store keeps no index of that name"))
    }
}

/// Value within a system: an identifier, or a code.
///
/// ```
/// use fhir_devices::search::Token;
/// let mdc = Token::new("urn:iso:std:iso:11073:10101", "69641");
/// assert_eq!(mdc.value, "69641");
/// assert_eq!(Token::bare("69641").system, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// URI of the system, if the element has one.
    pub system: Option<SmolStr>,
    /// Value of the identifier or code.
    pub value: SmolStr,
}

impl Token {
    /// Creates a value within a system.
    pub fn new(system: impl Into<SmolStr>, value: impl Into<SmolStr>) -> Self {
        Self { system: Some(system.into()), value: value.into() }
    }

    /// Creates a value without a system.
    pub fn bare(value: impl Into<SmolStr>) -> Self {
        Self { system: None, value: value.into() }
    }
}

/// Index entries of one resource, extracted by the crate: a store never parses a body.
///
/// An entry is a parameter and a value, with the system of a token. References and texts have no system. Entries are
/// unique, normalised by [`Parameter::fold`], and sorted.
///
/// ```
/// use fhir_devices::search::{IndexEntries, Parameter, Token};
/// let index = IndexEntries::new()
///     .with(Parameter::Type, Token::new("urn:iso:std:iso:11073:10101", "69641"))
///     .with(Parameter::Source, Token::bare("Device/pump"));
/// let (parameter, token) = index.iter().next().unwrap();
/// assert_eq!((parameter, token.value.as_str()), (Parameter::Source, "Device/pump"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexEntries(Vec<(Parameter, Token)>);

impl IndexEntries {
    /// Creates an empty index.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Restores entries from the vector of [`into_vec`](Self::into_vec), as a store has kept it.
    #[cfg(feature = "redb")]
    pub(crate) const fn kept(entries: Vec<(Parameter, Token)>) -> Self {
        Self(entries)
    }

    /// Adds an entry.
    #[must_use]
    pub fn with(mut self, parameter: Parameter, token: Token) -> Self {
        self.insert(parameter, token);
        self
    }

    /// Adds an entry after normalising it. To add many at once use [`collect`](Iterator::collect).
    pub fn insert(&mut self, parameter: Parameter, token: Token) {
        let entry = folded(parameter, token);
        if let Err(at) = self.0.binary_search(&entry) {
            self.0.insert(at, entry);
        }
    }

    /// Returns the entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Parameter, &Token)> {
        self.0.iter().map(|(parameter, token)| (*parameter, token))
    }

    /// Returns the entries of one parameter.
    pub fn of(&self, parameter: Parameter) -> impl Iterator<Item = &Token> {
        self.0.iter().filter(move |(of, _)| *of == parameter).map(|(_, token)| token)
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries as a sorted vector.
    #[must_use]
    pub fn into_vec(self) -> Vec<(Parameter, Token)> {
        self.0
    }
}

impl FromIterator<(Parameter, Token)> for IndexEntries {
    fn from_iter<I: IntoIterator<Item = (Parameter, Token)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().map(|(parameter, token)| folded(parameter, token)).collect();
        entries.sort_unstable();
        entries.dedup();
        Self(entries)
    }
}

/// Normalises an entry.
fn folded(parameter: Parameter, token: Token) -> (Parameter, Token) {
    let system =
        token.system.map(|system| if system.len() > Parameter::LONGEST { cut(&system).into() } else { system });
    (parameter, Token { system, value: parameter.fold(&token.value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_value_is_truncated_at_a_character() {
        let long = format!("{}é", "a".repeat(Parameter::LONGEST - 1));
        assert_eq!(Parameter::Source.fold(&long), long.trim_end_matches('é'));
        assert_eq!(Parameter::Source.fold("é"), "é");
        assert_eq!(Parameter::Identifier.fold("Straße-ÄB"), "straße-äb");
    }
}
