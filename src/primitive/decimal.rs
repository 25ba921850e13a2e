//! `decimal`: a number with all its digits.

use crate::element::{Malformed, Scalar};
use std::cmp::Ordering;

fn check_decimal(text: &str) -> Result<(), &'static str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let after_whole = match unsigned {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', ..] => after_digits(unsigned),
        _ => return Err("wants digits, with at most a minus before them"),
    };
    match after_whole {
        [] => Ok(()),
        [b'.', fraction @ ..] if !fraction.is_empty() && after_digits(fraction).is_empty() => Ok(()),
        [b'e' | b'E', ..] => Err("wants no exponent"),
        [b'0'..=b'9', ..] => Err("wants no leading zeros"),
        [b'.', ..] if text.contains(['e', 'E']) => Err("wants no exponent"),
        [b'.', ..] => Err("wants digits and nothing else after the decimal point"),
        _ => Err("wants digits, with at most a minus before them"),
    }
}

/// Returns the rest after the leading digits of `bytes`.
fn after_digits(mut bytes: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

text_form! {
    /// FHIR `decimal`: a JSON number without exponent, `-?([0]|([1-9][0-9]*))(\.[0-9]+)?`.
    ///
    /// Every digit is kept, because the precision is significant: `1.50` stays `1.50`. Equality and hash are therefore
    /// those of the text; [`numeric_cmp`](Self::numeric_cmp) compares the numbers. The length is not limited. Under
    /// serde a decimal is a string, as a float would lose digits; in a resource it is a JSON number.
    /// Source: FHIR 3.0.2, datatypes, decimal.
    ///
    /// ```
    /// use fhir_devices::primitive::Decimal;
    /// use std::cmp::Ordering;
    ///
    /// let precise = Decimal::new("1.50")?;
    /// let plain = Decimal::new("1.5")?;
    /// assert_ne!(precise, plain);
    /// assert_eq!(precise.numeric_cmp(&plain), Ordering::Equal);
    /// assert!(Decimal::new("1e2").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Decimal, "decimal", Number, check_decimal
}

/// Digits of a decimal without leading zeros before the point and trailing zeros after it.
#[derive(PartialEq, Eq)]
struct Digits<'t> {
    whole: &'t str,
    fraction: &'t str,
}

impl Digits<'_> {
    fn is_zero(&self) -> bool {
        self.whole == "0" && self.fraction.is_empty()
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
        whole.then_with(|| self.fraction.cmp(other.fraction))
    }
}

impl Decimal {
    fn digits(&self) -> Digits<'_> {
        let text = self.as_str();
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        Digits { whole, fraction: fraction.trim_end_matches('0') }
    }

    /// Compares the numbers, exactly and at any length: `-0` equals `0`, and `1.50` equals `1.5`.
    #[must_use]
    pub fn numeric_cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.digits(), other.digits());
        match (self.is_negative(), other.is_negative()) {
            (false, false) => left.cmp(&right),
            (true, true) => right.cmp(&left),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// Returns whether the number is below zero; `-0` is not.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.as_str().starts_with('-') && !self.is_zero()
    }

    /// Returns whether the number is zero, with any sign and digits.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits().is_zero()
    }

    /// Returns the nearest binary float; infinite where the number is beyond its range.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // Every decimal is a valid float literal, so that the default is never used.
        self.as_str().parse().unwrap_or_default()
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self(smol_str::format_smolstr!("{number}"))
    }
}

impl From<i32> for Decimal {
    fn from(number: i32) -> Self {
        Self::from(i64::from(number))
    }
}

impl From<u32> for Decimal {
    fn from(number: u32) -> Self {
        Self::from(i64::from(number))
    }
}

/// Converts a float to the shortest decimal that parses back to it, without exponent.
impl TryFrom<f64> for Decimal {
    type Error = Malformed;

    fn try_from(number: f64) -> Result<Self, Malformed> {
        if number.is_finite() {
            Ok(Self(smol_str::format_smolstr!("{number}")))
        } else {
            Err(Malformed::new(Self::TYPE, &number.to_string(), "wants a finite number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::new(text).unwrap()
    }

    #[test]
    fn decimal_is_a_json_number_without_exponent() {
        for good in ["0", "-0", "0.00", "1.50", "-0.5", "10", "123456789012345678901234567890.123456789", "-2147483649"]
        {
            assert_eq!(decimal(good), good);
        }
        for bad in ["", "-", "1e2", "1E+2", "-2.5e0", "01", "-01.5", "+1", ".5", "1.", "1.5.2", " 1", "1 ", "NaN", "١"]
        {
            assert!(Decimal::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn decimals_compare_by_value() {
        use Ordering::{Equal, Greater, Less};
        for (left, order, right) in [
            ("0", Equal, "-0"),
            ("0", Equal, "-0.00"),
            ("1.50", Equal, "1.5"),
            ("1.05", Less, "1.5"),
            ("9", Less, "10"),
            ("-9", Greater, "-10"),
            ("-1", Less, "0"),
            ("0.1", Greater, "-5"),
            ("123456789012345678901234567890.1", Less, "123456789012345678901234567890.11"),
        ] {
            assert_eq!(decimal(left).numeric_cmp(&decimal(right)), order, "{left} {right}");
            assert_eq!(decimal(right).numeric_cmp(&decimal(left)), order.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn negative_zero_is_not_negative() {
        assert!(!decimal("-0.0").is_negative());
        assert!(decimal("-0.0").is_zero());
        assert!(decimal("-0.01").is_negative());
    }

    #[test]
    fn float_converts_without_exponent() {
        assert_eq!(Decimal::try_from(1e21).unwrap(), "1000000000000000000000");
        assert_eq!(Decimal::try_from(1.5e-7).unwrap(), "0.00000015");
        assert!(Decimal::try_from(f64::NAN).is_err());
        assert!(Decimal::try_from(f64::NEG_INFINITY).is_err());
        assert_eq!(Decimal::from(i64::MIN), "-9223372036854775808");
    }

    proptest! {
        #[test]
        fn decimal_order_agrees_with_scaled_integers(
            left in -1_000_000_i64..1_000_000, right in -1_000_000_i64..1_000_000,
            left_scale in 0_usize..6, right_scale in 0_usize..6,
        ) {
            let write = |number: i64, scale: usize| {
                let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                let sign = if number < 0 { "-" } else { "" };
                decimal(&if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
            };
            let model = (left * 10_i64.pow(6 - left_scale as u32)).cmp(&(right * 10_i64.pow(6 - right_scale as u32)));
            prop_assert_eq!(write(left, left_scale).numeric_cmp(&write(right, right_scale)), model);
        }

        #[test]
        fn finite_floats_round_trip(number in any::<f64>()) {
            if number.is_finite() {
                let written = Decimal::try_from(number).unwrap();
                prop_assert!(Decimal::new(written.as_str()).is_ok());
                prop_assert_eq!(written.to_f64(), number);
            }
        }
    }
}
