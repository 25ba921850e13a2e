//! The date formats of the agencies.

use super::{Findings, UdiRule};
use crate::primitive::Precision;
use std::fmt;
use time::{Date, Month};

/// A date on a carrier.
///
/// A date whose day is not stated means the last day of its month (GS1 General Specifications, section 3.4).
///
/// ```
/// use fhir_devices::primitive::Precision;
/// use fhir_devices::udi::{ParseMode, Udi};
/// use time::macros::date;
///
/// let udi = Udi::parse("+A999123/$$0228LOTD", ParseMode::Lenient, 2026)?.udi;
/// let day = udi.expires().unwrap();
/// assert_eq!((day.date, day.precision), (date!(2028 - 02 - 29), Precision::Month));
/// assert_eq!(day.to_string(), "2028-02");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Day {
    /// The day.
    pub date: Date,
    /// How much the carrier states: [`Month`](Precision::Month) or [`Day`](Precision::Day).
    pub precision: Precision,
    /// The hour, where the carrier states one.
    pub hour: Option<u8>,
}

impl Day {
    pub(super) const fn at(self, hour: u8) -> Self {
        Self { hour: Some(hour), ..self }
    }

    /// Returns whether a day is the same one, or in the month where only the month is stated.
    pub(super) fn holds(self, day: Self) -> bool {
        let month = |date: Date| (date.year(), date.month());
        self.date == day.date || self.precision == Precision::Month && month(self.date) == month(day.date)
    }

    /// A day that is held, with the hour that was stated before.
    pub(super) fn within(self, day: Self) -> Self {
        Self { hour: self.hour.or(day.hour), ..day }
    }
}

/// `YYYY-MM-DD`, without the day where the carrier states none; with `T` and the hour where it states that.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date.to_calendar_date();
        write!(f, "{year:04}-{:02}", u8::from(month))?;
        if self.precision != Precision::Month {
            write!(f, "-{day:02}")?;
        }
        self.hour.map_or(Ok(()), |hour| write!(f, "T{hour:02}"))
    }
}

/// Returns the number that some digits write; the caller has seen that they are digits.
pub(super) fn number(digits: &str) -> u32 {
    digits.bytes().fold(0, |sum, byte| sum.saturating_mul(10).saturating_add(u32::from(byte.wrapping_sub(b'0') % 10)))
}

/// Returns the number from `from` to `to` in a field of digits.
fn part(field: &str, from: usize, to: usize) -> u32 {
    number(field.get(from..to).unwrap_or_default())
}

/// Returns the year that two digits mean near to a reference year: at most 50 years ahead, at most 49 back.
///
/// Source: GS1 General Specifications, section 7.12.
pub(super) fn windowed(two: u32, reference: u16) -> i32 {
    let (two, reference) = (two.cast_signed(), i32::from(reference));
    let century = reference - reference % 100;
    match two - reference % 100 {
        51.. => century + two - 100,
        ..=-50 => century + two + 100,
        _ => century + two,
    }
}

/// `YYMMDD` in a field of digits; a day of 00 is the last one of the month where `whole_months` says so.
pub(super) fn yymmdd(field: &str, year: impl Fn(u32) -> i32, whole_months: bool, found: &mut Findings) -> Option<Day> {
    calendar(field, year(part(field, 0, 2)), part(field, 2, 4), Some(part(field, 4, 6)), whole_months, found)
}

/// `YYYYMMDD` in a field of digits.
pub(super) fn yyyymmdd(field: &str, found: &mut Findings) -> Option<Day> {
    calendar(field, part(field, 0, 4).cast_signed(), part(field, 4, 6), Some(part(field, 6, 8)), false, found)
}

/// `MMDDYY` in a field of digits, of this century.
pub(super) fn mmddyy(field: &str, found: &mut Findings) -> Option<Day> {
    calendar(field, this_century(part(field, 4, 6)), part(field, 0, 2), Some(part(field, 2, 4)), false, found)
}

/// `MMYY` in a field of digits, of this century.
pub(super) fn mmyy(field: &str, found: &mut Findings) -> Option<Day> {
    calendar(field, this_century(part(field, 2, 4)), part(field, 0, 2), None, true, found)
}

/// `YYJJJ` in a field of digits, of this century.
pub(super) fn yyjjj(field: &str, found: &mut Findings) -> Option<Day> {
    ordinal(field, this_century(part(field, 0, 2)), part(field, 2, 5), found)
}

/// Returns the year 20YY, which HIBCC and IFA mean.
pub(super) const fn this_century(two: u32) -> i32 {
    2000 + two.cast_signed()
}

fn calendar(
    field: &str,
    year: i32,
    month: u32,
    day: Option<u32>,
    whole_months: bool,
    found: &mut Findings,
) -> Option<Day> {
    let Some(named) = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok()) else {
        found.add(UdiRule::DateMonth, format!("`{field}` has month {month:02}, wanted 01 to 12"));
        return None;
    };
    let last = named.length(year);
    let (day, precision) = match day {
        None => (u32::from(last), Precision::Month),
        Some(0) if whole_months => (u32::from(last), Precision::Month),
        Some(day) => (day, Precision::Day),
    };
    let date = u8::try_from(day).ok().and_then(|day| Date::from_calendar_date(year, named, day).ok());
    if date.is_none() {
        let least = if whole_months { "00" } else { "01" };
        let message = format!("`{field}` has day {day:02}, wanted {least} to {last} in month {month:02} of {year}");
        found.add(UdiRule::DateDay, message);
    }
    Some(Day { date: date?, precision, hour: None })
}

/// Returns a day of the year.
pub(super) fn ordinal(field: &str, year: i32, day: u32, found: &mut Findings) -> Option<Day> {
    let date = u16::try_from(day).ok().and_then(|day| Date::from_ordinal_date(year, day).ok());
    if date.is_none() {
        let last = time::util::days_in_year(year);
        let message = format!("`{field}` has day {day:03} of the year, wanted 001 to {last} in {year}");
        found.add(UdiRule::DateOrdinal, message);
    }
    Some(Day { date: date?, precision: Precision::Day, hour: None })
}

/// Returns a number of two digits below `limit`: an hour, a minute or a second.
pub(super) fn clock(field: &str, digits: &str, limit: u8, found: &mut Findings) -> Option<u8> {
    let value = u8::try_from(number(digits)).ok().filter(|value| *value < limit);
    if value.is_none() {
        found.add(UdiRule::DateTime, format!("`{field}` has the time {digits}, wanted 00 to {}", limit - 1));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digit_year_is_nearest_to_the_reference() {
        assert_eq!(windowed(76, 2026), 2076);
        assert_eq!(windowed(77, 2026), 1977);
        assert_eq!(windowed(99, 2049), 2099);
        assert_eq!(windowed(99, 2050), 2099);
        assert_eq!(windowed(0, 2050), 2100);
        assert_eq!(windowed(0, 2051), 2100);
        assert_eq!(windowed(1, 2051), 2101);
        assert_eq!(windowed(2, 2051), 2002);
        assert_eq!(windowed(51, 2000), 1951);
        assert_eq!(windowed(50, 2000), 2050);
    }
}
