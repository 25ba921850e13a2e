//! `time`: a time of day.

use super::Precision;
use super::calendar::{Clock, read_clock, write_time};

const SHAPE: &str = "wants hh:mm:ss, perhaps with a fraction and without zone";

fn read(text: &str) -> Result<Clock<'_>, &'static str> {
    match read_clock(text.as_bytes(), 59, SHAPE)? {
        (clock, []) => Ok(clock),
        _ => Err(SHAPE),
    }
}

fn check_time(text: &str) -> Result<(), &'static str> {
    read(text).map(drop)
}

text_form! {
    /// FHIR `time`: a time of day with seconds and without zone, from 00:00:00 to before 24:00:00.
    ///
    /// Source: FHIR 3.0.2, datatypes, time.
    ///
    /// ```
    /// use fhir_devices::primitive::Time;
    /// use time::macros::time;
    ///
    /// assert_eq!(Time::new("23:59:59.999")?.to_time(), time!(23:59:59.999));
    /// assert!(Time::new("24:00:00").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Time, "time", String, check_time
}

impl Time {
    fn clock(&self) -> Clock<'_> {
        // The text was checked on construction, so that the default is never used.
        read(self.as_str()).unwrap_or_default()
    }

    /// Returns the precision: seconds or fractions.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.clock().precision()
    }

    /// Returns the time to the nanosecond; further digits are cut off.
    #[must_use]
    pub fn to_time(&self) -> time::Time {
        // The check keeps every part in its range, so that the default is never used.
        self.clock().to_time().unwrap_or(time::Time::MIDNIGHT)
    }
}

impl From<time::Time> for Time {
    fn from(time: time::Time) -> Self {
        Self(write_time(time).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn time_has_seconds_and_no_zone() {
        for good in ["00:00:00", "08:00:00", "23:59:59.999", "12:05:07.1234567890123"] {
            assert_eq!(Time::new(good).unwrap(), good);
        }
        for bad in ["", "24:00:00", "12:05", "12:60:00", "08:00:60", "08:00:00Z", "8:00:00", "08:00:00.", "08-00-00"] {
            assert!(Time::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn digits_beyond_nanoseconds_stay_in_the_text() {
        let time = Time::new("12:05:07.1234567899").unwrap();
        assert_eq!(time.to_time().nanosecond(), 123_456_789);
        assert_eq!(time.precision(), Precision::Fraction(10));
    }

    proptest! {
        #[test]
        fn times_round_trip(hour in 0_u8..24, minute in 0_u8..60, second in 0_u8..60, nano in 0_u32..1_000_000_000) {
            let time = time::Time::from_hms_nano(hour, minute, second, nano).unwrap();
            prop_assert_eq!(Time::new(Time::from(time).as_str()).unwrap().to_time(), time);
        }
    }
}
