//! Measured and counted amounts.

use super::code_checks::{UCUM, check_unit};
use super::{Primitive, shown};
use crate::code::QuantityComparator;
use crate::element::Value;
use crate::issue::{Path, Report};
use crate::primitive::{Code, Decimal, PositiveInt, Text, Uri};
use std::cmp::Ordering;

const ISO_4217: &str = "urn:iso:std:iso:4217";

fn check_code(
    system: &Option<Primitive<Uri>>,
    code: &Option<Primitive<Code>>,
    at: &Path<'_>,
    row: &'static str,
    report: &mut Report,
) {
    // That money is of another system is said by mny-1.
    if row == "Money" {
        return;
    }
    if let (true, Some(code)) = (system_stated(system, UCUM), code.as_ref().and_then(|code| code.value.as_ref())) {
        check_unit(code.as_str(), &at.child("code"), row, report);
    }
}

macro_rules! quantity {
    (
        $(#[$meta:meta])*
        $Name:ident $type:literal $( $key:literal, $message:literal, $check:expr; )*
    ) => {
        datatype! {
            $(#[$meta])*
            #[derive(Default)]
            pub struct $Name is $type at $type {
                /// The number, with its precision.
                value "value" [0..1] Primitive<Decimal>;
                /// How the number is to be understood, if not as it stands.
                comparator "comparator" [0..1] Primitive<QuantityComparator>;
                /// The unit in words.
                unit "unit" [0..1] Primitive<Text>;
                /// The system of the coded unit.
                system "system" [0..1] Primitive<Uri>;
                /// The coded unit.
                code "code" [0..1] Primitive<Code>;
            }
            rules {
                "qty-3", "a coded unit has a system", |quantity| quantity.code.is_none() || quantity.system.is_some();
                $( $key, $message, $check; )*
            }
            also |quantity, at, report| check_code(&quantity.system, &quantity.code, at, $type, report);
        }
    };
}

quantity! {
    /// A measured amount.
    Quantity "Quantity"
}

quantity! {
    /// A time for which something has lived.
    Age "Age"
    "age-1", "an age has a coded unit of UCUM, and is more than zero", |age| {
        (age.code.is_some() || age.value.is_none())
            && system_is(&age.system, UCUM)
            && number(&age.value).is_none_or(|value| !value.is_negative() && !value.is_zero())
    };
}

quantity! {
    /// A number of things.
    Count "Count"
    "cnt-3", "a count is a whole number with the unit `1` of UCUM", |count| {
        (count.code.is_some() || count.value.is_none())
            && system_is(&count.system, UCUM)
            && count.code.as_ref().and_then(|code| code.value.as_ref()).is_none_or(|code| *code == "1")
            && number(&count.value).is_none_or(|value| !value.as_str().contains('.'))
    };
}

quantity! {
    /// A length.
    Distance "Distance"
    "dis-1", "a distance has a coded unit of UCUM", |distance| {
        (distance.code.is_some() || distance.value.is_none()) && system_is(&distance.system, UCUM)
    };
}

quantity! {
    /// A length of time.
    Duration "Duration"
    "drt-1", "a duration with a coded unit has a value, and the unit is of UCUM", |duration| {
        duration.code.is_none() || (system_stated(&duration.system, UCUM) && duration.value.is_some())
    };
}

quantity! {
    /// An amount of money.
    Money "Money"
    "mny-1", "an amount of money has a currency code of ISO 4217", |money| {
        (money.code.is_some() || money.value.is_none()) && system_is(&money.system, ISO_4217)
    };
}

datatype! {
    /// A measured amount that is exactly what it says: a [`Quantity`] without a comparator.
    #[derive(Default)]
    pub struct SimpleQuantity is "Quantity" at "SimpleQuantity" {
        /// The number, with its precision.
        value "value" [0..1] Primitive<Decimal>;
        /// The unit in words.
        unit "unit" [0..1] Primitive<Text>;
        /// The system of the coded unit.
        system "system" [0..1] Primitive<Uri>;
        /// The coded unit.
        code "code" [0..1] Primitive<Code>;
    }
    rules {
        "qty-3", "a coded unit has a system", |quantity| quantity.code.is_none() || quantity.system.is_some();
    }
    also |quantity, at, report| check_code(&quantity.system, &quantity.code, at, "SimpleQuantity", report);
    forbids {
        "comparator" "sqty-1", "a simple quantity is exactly what it says, and has no comparator";
    }
}

datatype! {
    /// A set of ordered amounts between two limits.
    #[derive(Default)]
    pub struct Range is "Range" at "Range" {
        /// The low limit, which belongs to the range.
        low "low" [0..1] SimpleQuantity;
        /// The high limit, which belongs to the range.
        high "high" [0..1] SimpleQuantity;
    }
    rules {
        "rng-2", "the low limit of a range is not above the high one", |range| !is_upside_down(range), said |range| {
            let of = |limit: &Option<SimpleQuantity>| shown(limit.as_ref().and_then(|limit| limit.value.as_ref()));
            format!("the low limit {} is above the high limit {}", of(&range.low), of(&range.high))
        };
    }
}

datatype! {
    /// A relationship of two amounts.
    #[derive(Default)]
    pub struct Ratio is "Ratio" at "Ratio" {
        /// The numerator.
        numerator "numerator" [0..1] Quantity;
        /// The denominator.
        denominator "denominator" [0..1] Quantity;
    }
    rules {
        "rat-1", "a ratio has a numerator and a denominator, or neither and an extension", |ratio| {
            ratio.numerator.is_some() == ratio.denominator.is_some()
                && (ratio.numerator.is_some() || !ratio.extension.is_empty())
        };
    }
}

datatype! {
    /// A series of measurements taken by a device, at equal distances in time.
    pub struct SampledData is "SampledData" at "SampledData" {
        /// What zero in the data stands for, and the unit.
        origin "origin" [1..1] SimpleQuantity;
        /// The number of milliseconds between samples.
        period "period" [1..1] Primitive<Decimal>;
        /// What each point is to be multiplied by before it is added to the origin.
        factor "factor" [0..1] Primitive<Decimal>;
        /// The lower limit of what can be detected.
        lower_limit "lowerLimit" [0..1] Primitive<Decimal>;
        /// The upper limit of what can be detected.
        upper_limit "upperLimit" [0..1] Primitive<Decimal>;
        /// The number of sample points at each moment.
        dimensions "dimensions" [1..1] Primitive<PositiveInt>;
        /// The points, separated by spaces: decimals, or `E`, `L`, `U`.
        data "data" [1..1] Primitive<Text>;
    }
}

impl SampledData {
    /// Creates a series of measurements.
    #[must_use]
    pub fn new(origin: SimpleQuantity, period: Decimal, dimensions: PositiveInt, data: Text) -> Self {
        Self { origin, period: period.into(), dimensions: dimensions.into(), data: data.into(), ..Self::blank() }
    }
}

fn number(value: &Option<Primitive<Decimal>>) -> Option<&Decimal> {
    value.as_ref().and_then(|value| value.value.as_ref())
}

fn system_stated(system: &Option<Primitive<Uri>>, wanted: &str) -> bool {
    system.as_ref().and_then(|system| system.value.as_ref()).is_some_and(|system| *system == wanted)
}

fn system_is(system: &Option<Primitive<Uri>>, wanted: &str) -> bool {
    system.is_none() || system_stated(system, wanted)
}

/// Returns whether the limits have the same unit, and the low one is above the high one.
fn is_upside_down(range: &Range) -> bool {
    let (Some(low), Some(high)) = (&range.low, &range.high) else { return false };
    let same_unit = low.code == high.code && low.system == high.system && low.unit == high.unit;
    match (number(&low.value), number(&high.value)) {
        (Some(low), Some(high)) => same_unit && low.numeric_cmp(high) == Ordering::Greater,
        _ => false,
    }
}
