//! `integer`, `unsignedInt` and `positiveInt`: 32-bit whole numbers.

use crate::element::{Malformed, Scalar, Token};
use std::fmt::Write as _;

/// Parses digits without leading zeros; [`None`] for any other text, or a number beyond `u32`.
fn magnitude(text: &[u8]) -> Option<u32> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => text.iter().try_fold(0_u32, |number, byte| match byte {
            b'0'..=b'9' => number.checked_mul(10)?.checked_add(u32::from(byte - b'0')),
            _ => None,
        }),
        _ => None,
    }
}

/// Implements the text form, the conversions and the serde form (a number) of a number type.
macro_rules! number_form {
    ($name:ident, $number:ty, $type:literal) => {
        impl Scalar for $name {
            const TYPE: &'static str = $type;
            const TOKEN: Token = Token::Number;

            fn from_text(text: &str) -> Result<Self, Malformed> {
                Self::read(text).ok_or_else(|| Malformed::new($type, text, Self::WANTED))
            }

            fn push_text(&self, out: &mut String) {
                // Writing to a `String` does not fail.
                let _ = write!(out, "{self}");
            }
        }

        impl $name {
            #[doc = concat!("Reads the text form of a FHIR `", $type, "`.")]
            ///
            /// # Errors
            /// [`Malformed`] when the text is not such a number.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Malformed> {
                Self::from_text(text.as_ref())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::from_text(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Malformed;

            fn try_from(text: &str) -> Result<Self, Malformed> {
                Self::from_text(text)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Malformed;

            fn try_from(number: i64) -> Result<Self, Malformed> {
                let held = <$number>::try_from(number).ok().and_then(Self::hold);
                held.ok_or_else(|| Malformed::new($type, &number.to_string(), Self::WANTED))
            }
        }

        impl From<$name> for $number {
            fn from(number: $name) -> Self {
                number.get()
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                Self::from(number.get())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.get().serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// FHIR `integer`: a signed number of 32 bits, `-?([0]|([1-9][0-9]*))`.
///
/// The text `-0` is kept: it is not equal to `0`, although [`get`](Self::get) is 0 for both.
/// Source: FHIR 3.0.2, datatypes, integer.
///
/// ```
/// use fhir_devices::primitive::Integer;
///
/// assert_eq!(Integer::new("-17")?.get(), -17);
/// assert_eq!(Integer::new("-0")?.to_string(), "-0");
/// assert!(Integer::new("1.0").is_err());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Integer {
    number: i32,
    minus_zero: bool,
}

/// FHIR `unsignedInt`: a number from 0 to 2147483647, `[0]|([1-9][0-9]*)`.
///
/// Source: FHIR 3.0.2, datatypes, unsignedInt.
///
/// ```
/// use fhir_devices::primitive::UnsignedInt;
///
/// assert_eq!(UnsignedInt::new("30")?.get(), 30);
/// assert!(UnsignedInt::new("-5").is_err());
/// assert!(UnsignedInt::try_from(u32::MAX).is_err());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnsignedInt(u32);

/// FHIR `positiveInt`: a number from 1 to 2147483647, `[1-9][0-9]*`.
///
/// Source: FHIR 3.0.2, datatypes, positiveInt.
///
/// ```
/// use fhir_devices::primitive::PositiveInt;
///
/// assert_eq!(PositiveInt::new("1")?.get(), 1);
/// assert!(PositiveInt::new("0").is_err());
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PositiveInt(u32);

number_form!(Integer, i32, "integer");
number_form!(UnsignedInt, u32, "unsignedInt");
number_form!(PositiveInt, u32, "positiveInt");

impl Integer {
    const WANTED: &'static str = "wants a whole number from -2147483648 to 2147483647 without leading zeros";

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.number
    }

    fn read(text: &str) -> Option<Self> {
        match text.strip_prefix('-') {
            Some(digits) => {
                let number = i32::try_from(-i64::from(magnitude(digits.as_bytes())?)).ok()?;
                Some(Self { number, minus_zero: number == 0 })
            }
            None => Self::hold(i32::try_from(magnitude(text.as_bytes())?).ok()?),
        }
    }

    /// Always returns `Some`; an option as in the other two types.
    fn hold(number: i32) -> Option<Self> {
        Some(Self::from(number))
    }
}

impl UnsignedInt {
    const WANTED: &'static str = "wants a whole number from 0 to 2147483647 without sign or leading zeros";

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn read(text: &str) -> Option<Self> {
        Self::hold(magnitude(text.as_bytes())?)
    }

    fn hold(number: u32) -> Option<Self> {
        i32::try_from(number).is_ok().then_some(Self(number))
    }
}

impl PositiveInt {
    const WANTED: &'static str = "wants a whole number from 1 to 2147483647 without sign or leading zeros";

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn read(text: &str) -> Option<Self> {
        Self::hold(magnitude(text.as_bytes())?)
    }

    fn hold(number: u32) -> Option<Self> {
        (number > 0 && i32::try_from(number).is_ok()).then_some(Self(number))
    }
}

impl From<i32> for Integer {
    fn from(number: i32) -> Self {
        Self { number, minus_zero: false }
    }
}

impl From<u16> for UnsignedInt {
    fn from(number: u16) -> Self {
        Self(u32::from(number))
    }
}

impl TryFrom<u32> for UnsignedInt {
    type Error = Malformed;

    fn try_from(number: u32) -> Result<Self, Malformed> {
        Self::try_from(i64::from(number))
    }
}

impl TryFrom<u32> for PositiveInt {
    type Error = Malformed;

    fn try_from(number: u32) -> Result<Self, Malformed> {
        Self::try_from(i64::from(number))
    }
}

impl From<PositiveInt> for UnsignedInt {
    fn from(number: PositiveInt) -> Self {
        Self(number.0)
    }
}

impl std::fmt::Display for Integer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.minus_zero { f.pad("-0") } else { self.number.fmt(f) }
    }
}

impl std::fmt::Display for UnsignedInt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for PositiveInt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_is_32_bit_signed() {
        for good in ["0", "-0", "1", "-1", "2147483647", "-2147483648"] {
            assert_eq!(Integer::new(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "-", "+1", "01", "-01", "00", "1.0", "1e2", "2147483648", "-2147483649", "99999999999", " 1", "--1"]
        {
            assert!(Integer::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn minus_zero_text_is_kept() {
        let minus_zero = Integer::new("-0").unwrap();
        assert_eq!(minus_zero.get(), 0);
        assert_ne!(minus_zero, Integer::from(0));
    }

    #[test]
    fn unsigned_starts_at_zero_and_positive_at_one() {
        for good in ["1", "17", "2147483647"] {
            assert_eq!(UnsignedInt::new(good).unwrap().to_string(), good);
            assert_eq!(PositiveInt::new(good).unwrap().to_string(), good);
        }
        assert!(UnsignedInt::new("0").is_ok());
        assert!(PositiveInt::new("0").is_err());
        for bad in ["", "-0", "-1", "+1", "01", "1.5", "2147483648", "4294967296", "1e1"] {
            assert!(UnsignedInt::new(bad).is_err(), "{bad:?}");
            assert!(PositiveInt::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn number_out_of_range_is_refused() {
        assert!(Integer::try_from(1_i64 << 31).is_err());
        assert!(UnsignedInt::try_from(-1_i64).is_err());
        assert!(UnsignedInt::try_from(1_u32 << 31).is_err());
        assert!(PositiveInt::try_from(0_u32).is_err());
        assert_eq!(PositiveInt::try_from(5_u32).unwrap().get(), 5);
    }

    #[test]
    fn integer_round_trips() {
        assert_eq!(Integer::new("-17").unwrap().get(), -17);
        assert_eq!(UnsignedInt::new("17").unwrap().get(), 17);
        assert_eq!(UnsignedInt::from(17_u16), UnsignedInt::new("17").unwrap());
        assert_eq!(UnsignedInt::from(PositiveInt::new("17").unwrap()), UnsignedInt::new("17").unwrap());
    }

    #[test]
    fn serde_checks_the_number() {
        assert_eq!(serde_json::to_string(&PositiveInt::new("7").unwrap()).unwrap(), "7");
        assert_eq!(serde_json::from_str::<PositiveInt>("7").unwrap().get(), 7);
        assert!(serde_json::from_str::<PositiveInt>("0").is_err());
        assert!(serde_json::from_str::<PositiveInt>("\"7\"").is_err());
    }
}
