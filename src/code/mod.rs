//! Value sets of required bindings as enums.
//!
//! A code outside the set is refused when it is read, and cannot be constructed in Rust. Value sets with an extensible,
//! preferred or example binding are not enums: their codes are [`Code`](crate::primitive::Code) or
//! [`Coding`](https://hl7.org/fhir/STU3/datatypes.html#Coding).
//!
//! ```
//! use fhir_devices::code::DeviceStatus;
//!
//! let status: DeviceStatus = "entered-in-error".parse()?;
//! assert_eq!(status, DeviceStatus::EnteredInError);
//! let refusal = "retired".parse::<DeviceStatus>().unwrap_err();
//! assert_eq!(refusal.reason, "wants one of active, inactive, entered-in-error, unknown");
//! # Ok::<(), fhir_devices::element::Malformed>(())
//! ```

/// Declares an enum for each value set of a required binding: its URL, and for each code a doc, a name and the code.
macro_rules! codes {
    ($(
        $(#[$meta:meta])*
        $name:ident = $value_set:literal {
            $(#[$first_meta:meta])* $first:ident = $first_code:literal,
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)*
        }
    )*) => {
        $(
            $(#[$meta])*
            ///
            #[doc = concat!("The value set is <", $value_set, ">, FHIR 3.0.2.")]
            ///
            /// ```
            #[doc = concat!("use fhir_devices::code::", stringify!($name), ";")]
            ///
            #[doc = concat!("let first = ", stringify!($name), "::", stringify!($first), ";")]
            #[doc = concat!("assert_eq!(first.as_str(), \"", $first_code, "\");")]
            /// ```
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, Hash, serde_with::SerializeDisplay, serde_with::DeserializeFromStr,
            )]
            pub enum $name {
                $(#[$first_meta])*
                $first,
                $($(#[$variant_meta])* $variant,)*
            }

            impl $name {
                /// All codes, in the order of the value set.
                pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant,)*];

                /// Returns the code.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self {
                        Self::$first => $first_code,
                        $(Self::$variant => $code,)*
                    }
                }
            }

            impl crate::element::Scalar for $name {
                const TYPE: &'static str = "code";
                const TOKEN: crate::element::Token = crate::element::Token::String;
                const VALUE_SET: Option<&'static str> = Some($value_set);
                const CODES: &'static [&'static str] = &[$first_code $(, $code)*];

                fn from_text(text: &str) -> Result<Self, crate::element::Malformed> {
                    const REASON: &str = concat!("wants one of ", $first_code $(, ", ", $code)*);
                    match text {
                        $first_code => Ok(Self::$first),
                        $($code => Ok(Self::$variant),)*
                        _ => Err(crate::element::Malformed::new("code", text, REASON)),
                    }
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
                    <Self as crate::element::Scalar>::from_text(text)
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.pad(self.as_str())
                }
            }
        )*

        #[cfg(test)]
        mod round_trip {
            $(
                #[test]
                #[allow(non_snake_case)] // one test an enum, named as the enum
                fn $name() {
                    $crate::code::tests::every_code_survives(super::$name::ALL, super::$name::as_str);
                }
            )*
        }
    };
}

mod administrative;
mod bundle;
mod device;
mod metric;
mod resource_type;
mod subscription;
mod system;
mod timing;
mod value_set;

pub use administrative::{
    AddressType, AddressUse, ContactPointSystem, ContactPointUse, IdentifierUse, NameUse, NarrativeStatus,
    QuantityComparator,
};
pub use bundle::{BundleType, HttpVerb, SearchEntryMode};
pub use device::{DeviceStatus, MeasurementPrinciple, UdiEntryType};
pub use metric::{MetricCalibrationState, MetricCalibrationType, MetricCategory, MetricColor, MetricOperationalStatus};
pub use resource_type::{RESOURCE_TYPES, is_resource_type};
pub use subscription::{SubscriptionChannelType, SubscriptionStatus};
pub(crate) use system::has_code;
pub use timing::{DaysOfWeek, EventTiming, UnitsOfTime};
pub use value_set::{
    IDENTIFIER_TYPE, OPERATIONAL_STATUS, PARAMETER_GROUP, SIGNATURE_TYPE, SPECIFICATION_TYPE, TIMING_ABBREVIATION,
    ValueSet,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Malformed, Scalar};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Asserts that each code round-trips, is unique, and that no other text is accepted.
    pub(super) fn every_code_survives<T>(all: &[T], as_str: impl Fn(T) -> &'static str)
    where
        T: Scalar + Copy + Display + FromStr<Err = Malformed> + serde::Serialize + serde::de::DeserializeOwned,
    {
        for code in all {
            let text = as_str(*code);
            assert_eq!(text.parse::<T>().as_ref(), Ok(code));
            assert_eq!(code.to_string(), text);
            assert_eq!(code.as_text(), Some(text));
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *code);
            assert_eq!(all.iter().filter(|other| as_str(**other) == text).count(), 1, "{text}");
            let refusal = format!("{text} ").parse::<T>().unwrap_err();
            assert_eq!(refusal.expected, "code");
            assert!(refusal.reason.split([' ', ',']).any(|word| word == text), "{} in {}", text, refusal.reason);
        }
        assert!(T::from_text("").is_err());
        assert!(T::VALUE_SET.is_some_and(|url| url.starts_with("http://hl7.org/fhir/ValueSet/")));
    }

    #[test]
    fn codes_are_case_sensitive() {
        assert!("get".parse::<HttpVerb>().is_err());
        assert!("Active".parse::<DeviceStatus>().is_err());
    }

    #[test]
    fn codes_of_later_fhir_versions_are_refused() {
        assert!("old".parse::<IdentifierUse>().is_err());
        assert!("PATCH".parse::<HttpVerb>().is_err());
    }
}
