//! `date`: a year, a month or a day.

use super::Precision;
use super::calendar::{Parts, read_date, write_date};
use crate::element::{Malformed, Scalar};
use std::cmp::Ordering;

const SHAPE: &str = "wants YYYY, YYYY-MM or YYYY-MM-DD";

fn read(text: &str) -> Result<Parts<'_>, &'static str> {
    match read_date(text.as_bytes(), SHAPE)? {
        (parts, []) => Ok(parts),
        _ => Err(SHAPE),
    }
}

text_form! {
    /// FHIR `date`: a year, a month or a day without time or zone.
    ///
    /// The day exists in the Gregorian calendar. A negative year counts as in ISO 8601 (-0004 is a leap year), and
    /// there is no year 0000. Source: FHIR 3.0.2, datatypes, date.
    ///
    /// ```
    /// use fhir_devices::primitive::Date;
    /// use time::macros::date;
    ///
    /// assert_eq!(Date::new("2016-02-29")?.to_date(), Some(date!(2016 - 02 - 29)));
    /// assert_eq!(Date::new("2016-02")?.to_date(), None);
    /// assert!(Date::new("2015-02-29").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Date, "date", String, read
}

impl Date {
    fn parts(&self) -> Parts<'_> {
        // The text was checked on construction, so that the default is never used.
        read(self.as_str()).unwrap_or_default()
    }

    /// Returns the precision: year, month or day.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.parts().precision
    }

    /// Returns the day; [`None`] when the text has only a year or a month.
    #[must_use]
    pub fn to_date(&self) -> Option<time::Date> {
        self.parts().to_date()
    }

    /// Returns the order of two dates, if it is certain; [`None`] when one contains the other, such as 2015 and
    /// 2015-03.
    #[must_use]
    pub fn partial_cmp_time(&self, other: &Self) -> Option<Ordering> {
        self.parts().certain_order(&other.parts())
    }
}

impl TryFrom<time::Date> for Date {
    type Error = Malformed;

    /// Formats the day as `YYYY-MM-DD`; the year 0 and years of more than four digits have no text form.
    fn try_from(date: time::Date) -> Result<Self, Malformed> {
        match write_date(date) {
            Some(text) => Ok(Self(text.into())),
            None => Err(Malformed::new(Self::TYPE, &date.to_string(), "wants a year from 0001 to 9999")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn date_is_a_year_month_or_calendar_day() {
        for good in ["2015", "2015-02", "2015-02-28", "2016-02-29", "2000-02-29", "0001-01-01", "-0044-03-15", "9999"] {
            assert_eq!(Date::new(good).unwrap(), good);
        }
        for bad in [
            "",
            "15",
            "2015-2",
            "2015-13",
            "2015-00",
            "2015-02-00",
            "2015-02-29",
            "1900-02-29",
            "2015-04-31",
            "0000",
            "2015-02-07T00:00:00Z",
            "2015-02-",
            "2015-",
            "20150207",
            "2015-02-07 ",
            "+2015",
            "--2015",
            "12015",
            "now",
        ] {
            assert!(Date::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn date_has_a_precision() {
        for (text, precision) in
            [("2016", Precision::Year), ("2016-02", Precision::Month), ("2016-02-29", Precision::Day)]
        {
            let date = Date::new(text).unwrap();
            assert_eq!(date.precision(), precision);
            assert_eq!(date.to_date().is_some(), precision == Precision::Day, "{text}");
        }
    }

    #[test]
    fn date_converts_to_and_from_a_day() {
        for day in [date!(2015 - 02 - 28), date!(0001 - 01 - 01), date!(-0044 - 03 - 15), date!(9999 - 12 - 31)] {
            assert_eq!(Date::try_from(day).unwrap().to_date(), Some(day));
        }
        assert!(Date::try_from(date!(0000 - 01 - 01)).is_err());
    }

    #[test]
    fn overlapping_times_are_not_ordered() {
        let order = |left, right| Date::new(left).unwrap().partial_cmp_time(&Date::new(right).unwrap());
        assert_eq!(order("2015", "2015"), Some(Ordering::Equal));
        assert_eq!(order("2015", "2016-01-01"), Some(Ordering::Less));
        assert_eq!(order("2016-01-01", "2015-12"), Some(Ordering::Greater));
        assert_eq!(order("2015", "2015-03"), None);
        assert_eq!(order("2015-03-31", "2015-03"), None);
        assert_eq!(order("-0044-03-15", "0001"), Some(Ordering::Less));
    }
}
