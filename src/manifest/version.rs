//! Version schemes. A version is never compared as text.

use super::VersionLabel;
use crate::primitive::{Date, Precision};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Version scheme, which defines syntax and order.
///
/// | scheme | syntax | order |
/// | --- | --- | --- |
/// | `semver` | Semantic Versioning 2.0.0 | its precedence: build metadata is ignored |
/// | `dotted` | 2 to 4 numbers separated by dots | number by number; a missing one is 0 |
/// | `date` | `YYYY-MM-DD`, an existing day | by day |
/// | `opaque` | any | none: two versions are equal or not comparable |
///
/// ```
/// use fhir_devices::manifest::VersionScheme;
/// use std::cmp::Ordering;
///
/// let [early, late] = ["1.9.0".parse()?, "1.10.0".parse()?];
/// assert_eq!(VersionScheme::Semver.compare(&early, &late), Some(Ordering::Less));
/// assert_eq!(VersionScheme::Opaque.compare(&early, &late), None);
/// // What does not follow the scheme has no place in its order.
/// assert_eq!(VersionScheme::Date.compare(&early, &late), None);
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
#[non_exhaustive]
pub enum VersionScheme {
    /// Semantic Versioning 2.0.0.
    Semver,
    /// Numbers separated by dots.
    Dotted,
    /// Dates.
    Date,
    /// Text without an order.
    Opaque,
}

/// Error for text that is not the name of a scheme.
///
/// ```
/// let error = "calver".parse::<fhir_devices::manifest::VersionScheme>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is not a version scheme, wanted semver, dotted, date or opaque");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a version scheme, wanted semver, dotted, date or opaque")]
#[non_exhaustive]
pub struct NotAScheme;

impl VersionScheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Semver, Self::Dotted, Self::Date, Self::Opaque];

    /// Returns the name in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Semver => "semver",
            Self::Dotted => "dotted",
            Self::Date => "date",
            Self::Opaque => "opaque",
        }
    }

    /// Returns a scheme that two versions share; [`None`] where only [`Opaque`](Self::Opaque) fits both. Where two
    /// schemes fit both versions, as for `1.2.3`, their orders are the same.
    ///
    /// ```
    /// use fhir_devices::manifest::VersionScheme;
    /// assert_eq!(VersionScheme::inferred("1.2.3", "1.3.0-rc.1"), Some(VersionScheme::Semver));
    /// assert_eq!(VersionScheme::inferred("1.2", "1.2.3"), Some(VersionScheme::Dotted));
    /// assert_eq!(VersionScheme::inferred("2017-04-19", "1.2.3"), None);
    /// ```
    #[must_use]
    pub fn inferred(one: &str, other: &str) -> Option<Self> {
        [Self::Semver, Self::Dotted, Self::Date].into_iter().find(|scheme| scheme.fits(one) && scheme.fits(other))
    }

    /// Describes the syntax of a version, for a message.
    pub(crate) const fn shape(self) -> &'static str {
        match self {
            Self::Semver => "a semantic version such as 1.2.3 or 1.2.3-rc.1",
            Self::Dotted => "2 to 4 numbers with dots between",
            Self::Date => "a day as YYYY-MM-DD",
            Self::Opaque => "any text",
        }
    }

    /// Returns whether a version follows the scheme.
    ///
    /// ```
    /// use fhir_devices::manifest::VersionScheme;
    /// assert!(VersionScheme::Dotted.fits("2.04.1"));
    /// assert!(!VersionScheme::Semver.fits("2.04.1"));
    /// assert!(!VersionScheme::Date.fits("2017-02-29"));
    /// ```
    #[must_use]
    pub fn fits(self, version: &str) -> bool {
        match self {
            Self::Semver => Semver::read(version).is_some(),
            Self::Dotted => Dotted::read(version).is_some(),
            Self::Date => day(version).is_some(),
            Self::Opaque => true,
        }
    }

    /// Compares two versions; [`None`] where the scheme defines no order between them.
    #[must_use]
    pub fn compare(self, one: &VersionLabel, other: &VersionLabel) -> Option<Ordering> {
        self.compare_texts(one.as_str(), other.as_str())
    }

    /// Compares two reported versions, which may be any text.
    pub(crate) fn compare_texts(self, one: &str, other: &str) -> Option<Ordering> {
        match self {
            Self::Semver => Some(Semver::read(one)?.compare(&Semver::read(other)?)),
            Self::Dotted => Some(Dotted::read(one)?.compare(&Dotted::read(other)?)),
            Self::Date => Some(day(one)?.as_str().cmp(day(other)?.as_str())),
            Self::Opaque => (one == other).then_some(Ordering::Equal),
        }
    }
}

impl fmt::Display for VersionScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for VersionScheme {
    type Err = NotAScheme;

    fn from_str(name: &str) -> Result<Self, NotAScheme> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name).ok_or(NotAScheme)
    }
}

/// Returns a whole number of any size as its digits without leading zeros.
fn number(digits: &str) -> Option<&str> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.trim_start_matches('0'))
}

/// Compares two whole numbers without leading zeros.
fn compare_numbers(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Returns a whole number as in Semantic Versioning, where leading zeros are not allowed.
fn strict_number(digits: &str) -> Option<&str> {
    if digits.len() > 1 && digits.starts_with('0') { None } else { number(digits) }
}

struct Semver<'v> {
    core: [&'v str; 3],
    /// Pre-release version, after the hyphen.
    early: Option<&'v str>,
}

impl<'v> Semver<'v> {
    fn read(text: &'v str) -> Option<Self> {
        let (rest, build) = match text.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (text, None),
        };
        let (core, early) = match rest.split_once('-') {
            Some((core, early)) => (core, Some(early)),
            None => (rest, None),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(allowed);
        let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        if build.is_some_and(|build| !build.split('.').all(is_word)) {
            return None;
        }
        let good = |word: &str| is_word(word) && (!is_number(word) || strict_number(word).is_some());
        if early.is_some_and(|early| !early.split('.').all(good)) {
            return None;
        }
        let mut numbers = core.split('.').map(strict_number);
        let core = [numbers.next()??, numbers.next()??, numbers.next()??];
        if numbers.next().is_some() { None } else { Some(Self { core, early }) }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let numbers = self.core.iter().zip(other.core).map(|(one, other)| compare_numbers(one, other));
        let core = numbers.fold(Ordering::Equal, Ordering::then);
        core.then_with(|| match (self.early, other.early) {
            (None, None) => Ordering::Equal,
            // A release comes after its pre-releases.
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => compare_early(one, other),
        })
    }
}

/// Compares pre-releases identifier by identifier: numbers by value and before all other identifiers, those by their
/// bytes; if one is a prefix of the other, the shorter comes first.
fn compare_early(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let (one, other) = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => (one, other),
        };
        let order = match (number(one), number(other)) {
            (Some(one), Some(other)) => compare_numbers(one, other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
    }
}

struct Dotted<'v>([&'v str; 4]);

impl<'v> Dotted<'v> {
    fn read(text: &'v str) -> Option<Self> {
        let mut parts = [""; 4];
        let mut count = 0;
        for digits in text.split('.') {
            *parts.get_mut(count)? = number(digits)?;
            count += 1;
        }
        (count >= 2).then_some(Self(parts))
    }

    fn compare(&self, other: &Self) -> Ordering {
        let numbers = self.0.iter().zip(other.0).map(|(one, other)| compare_numbers(one, other));
        numbers.fold(Ordering::Equal, Ordering::then)
    }
}

fn day(text: &str) -> Option<Date> {
    Date::new(text).ok().filter(|date| date.precision() == Precision::Day && !text.starts_with('-'))
}
