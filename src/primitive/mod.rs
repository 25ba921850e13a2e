//! Primitive types of FHIR STU3, checked once on construction.
//!
//! Each type is created from text by one check (`new`, `FromStr`, `TryFrom`, or [`Scalar::from_text`]) and keeps that
//! text verbatim, so that it is written as it was read. Equality is equality of the text; values are compared by
//! methods such as [`Decimal::numeric_cmp`] and [`DateTime::partial_cmp_time`].
//!
//! | FHIR | here | JSON |
//! | --- | --- | --- |
//! | string, markdown, xhtml | [`Text`], [`Markdown`], [`Xhtml`] | string |
//! | code, id | [`Code`], [`Id`] | string |
//! | uri, oid, uuid | [`Uri`], [`Oid`], [`Uuid`] | string |
//! | base64Binary | [`Base64`] | string |
//! | date, dateTime, instant, time | [`Date`], [`DateTime`], [`Instant`], [`Time`] | string |
//! | decimal | [`Decimal`] | number |
//! | integer, unsignedInt, positiveInt | [`Integer`], [`UnsignedInt`], [`PositiveInt`] | number |
//! | boolean | [`bool`] | boolean |
//!
//! ```
//! use fhir_devices::primitive::{Decimal, Id, Instant};
//!
//! let id: Id = "pump-7".parse()?;
//! assert_eq!(id, "pump-7");
//! assert!(Id::new("pump 7").is_err());
//! assert_eq!(Decimal::new("1.50")?.to_string(), "1.50");
//! assert!(Instant::new("2017-05-26").is_err());
//! # Ok::<(), fhir_devices::element::Malformed>(())
//! ```
//!
//! [`Scalar::from_text`]: crate::element::Scalar::from_text

/// Declares a newtype over a checked text: its construction, its conversions, its `Scalar` and its serde form.
///
/// The check is a `fn(&str) -> Result<(), &'static str>` whose error is the expected format.
macro_rules! text_form {
    ($(#[$meta:meta])* $name:ident, $type:literal, $token:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde_with::SerializeDisplay, serde_with::DeserializeFromStr)]
        pub struct $name(pub(super) smol_str::SmolStr);

        impl $name {
            #[doc = concat!("Checks that `text` is a FHIR `", $type, "` and keeps it verbatim.")]
            ///
            /// # Errors
            /// [`Malformed`](crate::element::Malformed) when the text breaks a rule of the type.
            pub fn new(text: impl AsRef<str>) -> Result<Self, crate::element::Malformed> {
                let text = text.as_ref();
                match $check(text) {
                    Ok(_) => Ok(Self(smol_str::SmolStr::new(text))),
                    Err(reason) => Err(crate::element::Malformed::new($type, text, reason)),
                }
            }

            /// Returns the text as given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl crate::element::Scalar for $name {
            const TYPE: &'static str = $type;
            const TOKEN: crate::element::Token = crate::element::Token::$token;

            fn from_text(text: &str) -> Result<Self, crate::element::Malformed> {
                Self::new(text)
            }

            fn push_text(&self, out: &mut String) {
                out.push_str(self.as_str());
            }

            fn as_text(&self) -> Option<&str> {
                Some(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::element::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = crate::element::Malformed;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::element::Malformed;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

mod base64_binary;
mod boolean;
mod calendar;
mod canonical;
mod date;
mod date_time;
mod decimal;
mod instant;
mod integer;
mod language;
pub(crate) mod moment;
mod text;
mod time_of_day;
mod token;
mod uri;

pub use base64_binary::Base64;
pub use calendar::Precision;
pub use canonical::{CanonicalBase, CanonicalName, InvalidCanonicalBase};
pub use date::Date;
pub use date_time::DateTime;
pub use decimal::Decimal;
pub use instant::Instant;
pub use integer::{Integer, PositiveInt, UnsignedInt};
pub(crate) use language::{TagFault, check_tag};
pub use text::{Markdown, Text, Xhtml};
pub use time_of_day::Time;
pub(crate) use token::is_id;
pub use token::{Code, Id};
pub use uri::{Oid, Uri, Uuid};
pub(crate) use uri::{has_loose_bracket, is_absolute, urn_fault};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Scalar;
    use proptest::prelude::*;

    /// Parses `text` as `T`; if that succeeds, both ways of writing must return the text.
    fn survives<T: Scalar>(text: &str) -> Result<(), TestCaseError> {
        if let Ok(value) = T::from_text(text) {
            let mut written = String::new();
            value.push_text(&mut written);
            prop_assert_eq!(&written, text);
            prop_assert!(value.as_text().is_none_or(|at_hand| at_hand == text));
        }
        Ok(())
    }

    /// Texts close to primitives, so that the checks are entered deeply.
    fn near_texts() -> impl Strategy<Value = String> {
        prop_oneof![
            ".*",
            "[-+]?[0-9]{0,12}(\\.[0-9]{0,4})?([eE][0-9])?",
            "-?[0-9]{4}(-[0-1][0-9](-[0-3][0-9])?)?",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]+)?(Z|[+-][01][0-9]:[0-9]{2})",
            "[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,3})?",
            "urn:(oid|uuid):[0-9a-f.-]{0,40}",
            "[A-Za-z0-9+/ ]{0,12}={0,3}",
            "(true|false)?",
        ]
    }

    proptest! {
        #[test]
        fn primitive_check_never_panics_and_round_trips(text in near_texts()) {
            survives::<bool>(&text)?;
            survives::<Text>(&text)?;
            survives::<Markdown>(&text)?;
            survives::<Xhtml>(&text)?;
            survives::<Code>(&text)?;
            survives::<Id>(&text)?;
            survives::<Uri>(&text)?;
            survives::<Oid>(&text)?;
            survives::<Uuid>(&text)?;
            survives::<Base64>(&text)?;
            survives::<Decimal>(&text)?;
            survives::<Integer>(&text)?;
            survives::<UnsignedInt>(&text)?;
            survives::<PositiveInt>(&text)?;
            survives::<Date>(&text)?;
            survives::<DateTime>(&text)?;
            survives::<Instant>(&text)?;
            survives::<Time>(&text)?;
        }
    }

    #[test]
    fn deserialising_checks_the_text() {
        let id: Id = serde_json::from_str("\"a.b-1\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a.b-1\"");
        let refusal = serde_json::from_str::<Id>("\"a b\"").unwrap_err();
        assert!(refusal.to_string().contains("is not of type `id`"), "{refusal}");
    }

    #[test]
    fn malformed_message_names_type_text_and_reason() {
        let refusal = DateTime::new("2015-02-29").unwrap_err();
        assert_eq!(refusal.to_string(), "`2015-02-29` is not of type `dateTime`: wants a day that the month has");
    }
}

/// Creates a placeholder for a required value that is not read yet; it is never written.
macro_rules! blank {
    ($($name:ident),*) => { $(
        impl $name {
            pub(crate) const fn blank() -> Self {
                Self(smol_str::SmolStr::new_static(""))
            }
        }
    )* };
}

blank!(Text, Uri, Xhtml);
