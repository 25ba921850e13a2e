//! `dateTime`: a date, or a time with its zone.

use super::calendar::{Parts, read_date, read_rest};
use super::{Date, Instant, Precision};
use crate::element::Malformed;
use std::cmp::Ordering;
use time::OffsetDateTime;

const SHAPE: &str = "wants YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz";

fn read(text: &str) -> Result<Parts<'_>, &'static str> {
    let (parts, rest) = read_date(text.as_bytes(), SHAPE)?;
    read_rest(parts, rest, SHAPE)
}

text_form! {
    /// FHIR `dateTime`: a year, a month, a day, or a date and time with seconds and time zone.
    ///
    /// The day exists in the Gregorian calendar, the second may be 60 (a leap second), the zone lies within 14 hours. A
    /// negative year counts as in ISO 8601, and there is no year 0000. Source: FHIR 3.0.2, datatypes, dateTime.
    ///
    /// ```
    /// use fhir_devices::primitive::DateTime;
    /// use std::cmp::Ordering;
    ///
    /// let made = DateTime::new("2015-02")?;
    /// let expires = DateTime::new("2017-02-07T13:28:17-05:00")?;
    /// assert_eq!(made.partial_cmp_time(&expires), Some(Ordering::Less));
    /// assert!(DateTime::new("2015-02-07T13:28Z").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    DateTime, "dateTime", String, read
}

impl DateTime {
    fn parts(&self) -> Parts<'_> {
        // The text was checked on construction, so that the default is never used.
        read(self.as_str()).unwrap_or_default()
    }

    /// Returns the precision.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.parts().precision
    }

    /// Returns the first point in time that the text covers.
    ///
    /// A date without time has no zone and is taken as UTC. Digits beyond the nanosecond are cut off. A leap second
    /// becomes the start of the next second; [`None`] if that is in the year 10000.
    #[must_use]
    pub fn earliest(&self) -> Option<OffsetDateTime> {
        self.parts().earliest()
    }

    /// Returns the last point in time that the text covers, to the nanosecond: the end of the year, month or day, in
    /// UTC, or the same as [`earliest`](Self::earliest) if the text has a time.
    #[must_use]
    pub fn latest(&self) -> Option<OffsetDateTime> {
        self.parts().latest()
    }

    /// Returns the order of two values, if it is certain.
    ///
    /// Two texts with times are always comparable, exactly and across zones. Two dates are compared to their common
    /// precision, as days of one place: 2015 is before 2016-01, and neither before nor after 2015-03. Of a date and a
    /// time the zone of the date is unknown, so that they are ordered only if the order is the same in every zone.
    #[must_use]
    pub fn partial_cmp_time(&self, other: &Self) -> Option<Ordering> {
        self.parts().certain_order(&other.parts())
    }
}

impl From<Date> for DateTime {
    fn from(date: Date) -> Self {
        Self(date.0)
    }
}

impl From<Instant> for DateTime {
    fn from(instant: Instant) -> Self {
        Self(instant.0)
    }
}

impl TryFrom<OffsetDateTime> for DateTime {
    type Error = Malformed;

    /// Formats the time as [`Instant`] does.
    fn try_from(moment: OffsetDateTime) -> Result<Self, Malformed> {
        Instant::try_from(moment).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};
    use time::macros::datetime;

    fn date_time(text: &str) -> DateTime {
        DateTime::new(text).unwrap()
    }

    #[test]
    fn date_time_needs_seconds_and_zone_after_the_day() {
        for good in [
            "2015",
            "2015-02",
            "2016-02-29",
            "-0044-03-15",
            "2015-02-07T13:28:17-05:00",
            "2015-02-07T00:00:00Z",
            "2015-02-07T13:28:17.239+02:00",
            "2016-12-31T23:59:60Z",
            "2015-02-07T13:28:17+14:00",
            "2015-02-07T13:28:17-13:59",
            "2015-02-07T13:28:17.123456789012345Z",
        ] {
            assert_eq!(date_time(good), good);
        }
        for bad in [
            "",
            "now",
            "15-02-07",
            "2015-2-7",
            "2015-00",
            "2015-02-00",
            "2015-02-29",
            "2015-02-30",
            "0000",
            "0000-01-01T00:00:00Z",
            "20150207",
            "2015-W05",
            "2015-02-07 ",
            "2015-02-07T",
            "2015-02T13:28:17Z",
            "2015-02-07T13:28Z",
            "2015-02-07T13:28:17",
            "2015-02-07T24:00:00Z",
            "2015-02-07T13:60:00Z",
            "2015-02-07T13:28:61Z",
            "2015-02-07T13:28:17.Z",
            "2015-02-07T13:28:17+14:30",
            "2015-02-07T13:28:17+0100",
            "2015-02-07T13:28:17+13:60",
            "2015-02-07 13:28:17Z",
            "2015-02-07t13:28:17z",
            "2015-02-07T13:28:17Zz",
        ] {
            assert!(DateTime::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn partial_date_covers_its_whole_range() {
        for (text, first, last) in [
            ("2015", datetime!(2015-01-01 0:00 UTC), datetime!(2015-12-31 23:59:59.999999999 UTC)),
            ("2016-02", datetime!(2016-02-01 0:00 UTC), datetime!(2016-02-29 23:59:59.999999999 UTC)),
            ("2016-02-03", datetime!(2016-02-03 0:00 UTC), datetime!(2016-02-03 23:59:59.999999999 UTC)),
            ("2016-02-03T10:00:00.5+02:00", datetime!(2016-02-03 8:00:00.5 UTC), datetime!(2016-02-03 8:00:00.5 UTC)),
        ] {
            assert_eq!(date_time(text).earliest(), Some(first), "{text}");
            assert_eq!(date_time(text).latest(), Some(last), "{text}");
        }
    }

    #[test]
    fn overlapping_times_are_not_ordered() {
        for (left, order, right) in [
            ("2015", Some(Equal), "2015"),
            ("2015", Some(Less), "2016-01"),
            ("2015", None, "2015-03-01"),
            ("2015-02-07T13:28:17Z", Some(Equal), "2015-02-07T08:28:17-05:00"),
            ("2015-02-07T13:28:17Z", Some(Equal), "2015-02-07T13:28:17.000Z"),
            ("2015-02-07T13:28:17Z", Some(Less), "2015-02-07T13:28:18Z"),
            ("2015-02-07T13:28:17Z", Some(Less), "2015-02-07T13:29:16Z"),
            ("2015-02-07T13:28:17.45Z", Some(Less), "2015-02-07T13:28:17.5Z"),
            ("2015-02-07T13:28:17.0000000001Z", Some(Greater), "2015-02-07T13:28:17Z"),
            ("2016-12-31T23:59:60.9Z", Some(Less), "2017-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", Some(Greater), "2016-12-31T23:59:59.9Z"),
            ("2015-02-07", None, "2015-02-07T13:28:17Z"),
            ("2015-02-07", None, "2015-02-08T13:59:59Z"),
            ("2015-02-07", Some(Less), "2015-02-08T14:00:00Z"),
            ("2015-02-07", None, "2015-02-06T10:00:00Z"),
            ("2015-02-07", Some(Greater), "2015-02-06T09:59:59Z"),
        ] {
            assert_eq!(date_time(left).partial_cmp_time(&date_time(right)), order, "{left} {right}");
            let reverse = order.map(Ordering::reverse);
            assert_eq!(date_time(right).partial_cmp_time(&date_time(left)), reverse, "{right} {left}");
        }
    }

    #[test]
    fn date_time_has_a_precision() {
        let stated = |text| date_time(text).precision();
        assert_eq!(stated("2015"), Precision::Year);
        assert_eq!(stated("2015-02"), Precision::Month);
        assert_eq!(stated("2015-02-07"), Precision::Day);
        assert_eq!(stated("2015-02-07T13:28:17Z"), Precision::Second);
        assert!(stated("2015-02-07T13:28:17.5Z") > Precision::Second);
    }

    #[test]
    fn date_and_instant_convert_to_date_time() {
        assert_eq!(DateTime::from(Date::new("2015-02").unwrap()), "2015-02");
        assert_eq!(DateTime::from(Instant::new("2015-02-07T13:28:17Z").unwrap()), "2015-02-07T13:28:17Z");
        assert_eq!(DateTime::try_from(datetime!(2015-02-07 13:28:17 +2)).unwrap(), "2015-02-07T13:28:17+02:00");
    }
}
