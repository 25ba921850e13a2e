//! `instant`: a point in time, to the second or finer.

use super::Precision;
use super::calendar::{Parts, read_date, read_rest, write_moment};
use crate::element::{Malformed, Scalar};
use std::cmp::Ordering;
use time::OffsetDateTime;

const SHAPE: &str = "wants YYYY-MM-DDThh:mm:ss+zz:zz, with Z for UTC";

fn read(text: &str) -> Result<Parts<'_>, &'static str> {
    let (date, rest) = read_date(text.as_bytes(), SHAPE)?;
    let parts = read_rest(date, rest, SHAPE)?;
    if parts.precision < Precision::Second || parts.has_sign() { Err(SHAPE) } else { Ok(parts) }
}

text_form! {
    /// FHIR `instant`: a date and time to the second or finer, with time zone.
    ///
    /// The second may be 60 (a leap second). Source: FHIR 3.0.2, datatypes, instant.
    ///
    /// ```
    /// use fhir_devices::primitive::Instant;
    /// use time::macros::datetime;
    ///
    /// let change = Instant::new("2014-10-07T14:45:00.5+02:00")?;
    /// assert_eq!(change.to_offset_date_time(), Some(datetime!(2014-10-07 14:45:00.5 +2)));
    /// assert!(Instant::new("2014-10-07T14:45Z").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Instant, "instant", String, read
}

impl Instant {
    fn parts(&self) -> Parts<'_> {
        // The text was checked on construction, so that the default is never used.
        read(self.as_str()).unwrap_or_default()
    }

    /// Returns the precision: seconds or fractions.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.parts().precision
    }

    /// Returns the time in its own zone, to the nanosecond; further digits are cut off.
    ///
    /// A leap second becomes the start of the next second; [`None`] if that is in the year 10000.
    #[must_use]
    pub fn to_offset_date_time(&self) -> Option<OffsetDateTime> {
        self.parts().earliest()
    }

    /// Compares two times, exactly and across zones.
    #[must_use]
    pub fn cmp_time(&self, other: &Self) -> Ordering {
        self.parts().moment().cmp(&other.parts().moment())
    }
}

impl TryFrom<OffsetDateTime> for Instant {
    type Error = Malformed;

    /// Formats the time in its own zone, or in UTC if that zone has seconds or lies beyond 14 hours; years outside 0001
    /// to 9999 have no text form. The fraction has as many digits as needed.
    fn try_from(moment: OffsetDateTime) -> Result<Self, Malformed> {
        match write_moment(moment) {
            Some(text) => Ok(Self(text.into())),
            None => Err(Malformed::new(Self::TYPE, &moment.to_string(), "wants a year from 0001 to 9999")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    #[test]
    fn instant_needs_seconds_and_a_zone() {
        for good in [
            "2014-10-07T14:45:00Z",
            "2014-10-07T14:45:00.123456789Z",
            "2014-10-07T14:45:00+14:00",
            "2014-10-07T14:45:00-13:59",
            "2014-10-07T14:45:00+00:00",
            "2014-10-07T14:45:00-00:00",
            "2016-12-31T23:59:60Z",
            "9999-12-31T23:59:60-14:00",
        ] {
            assert_eq!(Instant::new(good).unwrap(), good);
        }
        for bad in [
            "",
            "2014",
            "2014-10",
            "2016-12-28",
            "2016-12-28T09:03",
            "2014-10-07T14:45Z",
            "2014-10-07T14:45:00",
            "2014-10-32T14:45:00Z",
            "2014-02-30T14:45:00Z",
            "14:45:00Z",
            "-0044-03-15T12:00:00Z",
            "0000-10-07T14:45:00Z",
            "2014-10-07T14:45:00+14:01",
            "2014-10-07T14:45:00-15:00",
        ] {
            assert!(Instant::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn leap_second_becomes_the_next_second() {
        let leap = Instant::new("2016-12-31T23:59:60.75Z").unwrap();
        assert_eq!(leap.to_offset_date_time(), Some(datetime!(2017-01-01 0:00 UTC)));
        assert_eq!(Instant::new("9999-12-31T23:59:60Z").unwrap().to_offset_date_time(), None);
    }

    #[test]
    fn instants_compare_across_zones() {
        let cmp = |left, right| Instant::new(left).unwrap().cmp_time(&Instant::new(right).unwrap());
        assert_eq!(cmp("2014-10-07T14:45:00Z", "2014-10-07T15:45:00.0+01:00"), Ordering::Equal);
        assert_eq!(cmp("2014-10-07T14:45:00+02:00", "2014-10-07T14:45:00Z"), Ordering::Less);
        assert_eq!(cmp("2014-10-07T14:45:00Z", "2014-10-07T14:45:01Z"), Ordering::Less);
        assert_eq!(Instant::new("2014-10-07T14:45:00Z").unwrap().precision(), Precision::Second);
    }

    #[test]
    fn unsupported_zone_becomes_utc() {
        let odd = datetime!(2014-10-07 14:45:00 +00:19:32);
        assert_eq!(Instant::try_from(odd).unwrap(), "2014-10-07T14:25:28Z");
        assert!(Instant::try_from(datetime!(-0001-01-01 0:00 UTC)).is_err());
    }

    proptest! {
        #[test]
        fn instants_round_trip(
            second in -62_135_510_400_i64..253_402_214_400, nano in 0_i64..1_000_000_000, zone in -840_i32..=840,
        ) {
            let moment = OffsetDateTime::from_unix_timestamp(second).unwrap() + time::Duration::nanoseconds(nano);
            let moment = moment.to_offset(time::UtcOffset::from_whole_seconds(zone * 60).unwrap());
            let written = Instant::try_from(moment).unwrap();
            prop_assert!(Instant::new(written.as_str()).is_ok());
            prop_assert_eq!(written.to_offset_date_time(), Some(moment));
        }
    }
}
