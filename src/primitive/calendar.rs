//! Calendar and clock arithmetic of `date`, `dateTime`, `instant` and `time`: parsing and comparison.

use std::cmp::Ordering;
use time::{Duration, Month, OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// Precision of a date or time.
///
/// ```
/// use fhir_devices::primitive::{DateTime, Precision};
///
/// assert_eq!(DateTime::new("2015-02")?.precision(), Precision::Month);
/// assert_eq!(DateTime::new("2015-02-07T13:28:17.239Z")?.precision(), Precision::Fraction(3));
/// assert!(Precision::Year < Precision::Second);
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// Year only.
    #[default]
    Year,
    /// Year and month.
    Month,
    /// Calendar day.
    Day,
    /// Second.
    Second,
    /// Number of digits of a fraction of a second; 255 stands for that many or more.
    Fraction(u8),
}

impl Precision {
    fn has_clock(self) -> bool {
        matches!(self, Self::Second | Self::Fraction(_))
    }
}

/// Expected format, for an error message.
pub(super) type Expectation = &'static str;

/// Time of day; the default is midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock<'t> {
    hour: u8,
    minute: u8,
    /// The second; 60 is a leap second.
    second: u8,
    /// Digits after the decimal point.
    fraction: &'t [u8],
}

/// Components of a date or time. Components that the text leaves out have their least possible value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'t> {
    pub(super) precision: Precision,
    year: i32,
    month: u8,
    day: u8,
    clock: Clock<'t>,
    /// Time zone in minutes east of UTC.
    offset: i16,
}

/// Point in time, exact to every digit.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment<'t> {
    /// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
    second: i64,
    /// Whether the point is in the leap second after that second.
    leap: bool,
    /// Digits after the point, without trailing zeros.
    fraction: &'t [u8],
}

fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 to a day of the proleptic Gregorian calendar.
fn day_number(year: i32, month: u8, day: u8) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year, in eras of 400 years.
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_of_year = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Parses two digits.
fn two(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => Some(((tens - b'0') * 10 + (ones - b'0'), rest)),
        _ => None,
    }
}

/// Parses two digits after `before`.
fn two_after(before: u8, bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [first, rest @ ..] if *first == before => two(rest),
        _ => None,
    }
}

/// Parses a year, month or day, and returns the rest; `shape` is the error for a wrong format.
pub(super) fn read_date(text: &[u8], shape: Expectation) -> Result<(Parts<'_>, &[u8]), Expectation> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (century, rest) = two(unsigned).ok_or(shape)?;
    let (year_of_century, rest) = two(rest).ok_or(shape)?;
    let year = i32::from(century) * 100 + i32::from(year_of_century);
    if year == 0 {
        return Err("wants a year from 0001 to 9999");
    }
    let year = if negative { -year } else { year };
    let mut parts = Parts { year, month: 1, day: 1, ..Parts::default() };
    if !rest.starts_with(b"-") {
        return Ok((parts, rest));
    }
    let (month, rest) = two_after(b'-', rest).ok_or(shape)?;
    if !(1..=12).contains(&month) {
        return Err("wants a month from 01 to 12");
    }
    (parts.precision, parts.month) = (Precision::Month, month);
    if !rest.starts_with(b"-") {
        return Ok((parts, rest));
    }
    let (day, rest) = two_after(b'-', rest).ok_or(shape)?;
    if day == 0 || day > days_in_month(year, month) {
        return Err("wants a day that the month has");
    }
    (parts.precision, parts.day) = (Precision::Day, day);
    Ok((parts, rest))
}

/// Parses `hh:mm:ss` with an optional fraction, and returns the rest.
pub(super) fn read_clock(text: &[u8], last_second: u8, shape: Expectation) -> Result<(Clock<'_>, &[u8]), Expectation> {
    let (hour, rest) = two(text).ok_or(shape)?;
    let (minute, rest) = two_after(b':', rest).ok_or(shape)?;
    let (second, rest) = two_after(b':', rest).ok_or(shape)?;
    if hour > 23 {
        return Err("wants an hour from 00 to 23");
    }
    if minute > 59 {
        return Err("wants a minute from 00 to 59");
    }
    if second > last_second {
        return Err(if last_second == 60 { "wants a second from 00 to 60" } else { "wants a second from 00 to 59" });
    }
    let clock = Clock { hour, minute, second, fraction: &[] };
    match rest {
        [b'.', digits @ ..] => {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            match digits.split_at_checked(length) {
                Some((fraction, rest)) if length > 0 => Ok((Clock { fraction, ..clock }, rest)),
                _ => Err("wants digits after the point"),
            }
        }
        _ => Ok((clock, rest)),
    }
}

/// Parses `Z` or `+zz:zz` up to the end of the text, as minutes.
fn read_zone(text: &[u8], shape: Expectation) -> Result<i16, Expectation> {
    let (east, rest) = match text {
        [b'Z'] => return Ok(0),
        [b'+', rest @ ..] => (true, rest),
        [b'-', rest @ ..] => (false, rest),
        _ => return Err(shape),
    };
    let (hours, rest) = two(rest).ok_or(shape)?;
    let (minutes, rest) = two_after(b':', rest).ok_or(shape)?;
    if !rest.is_empty() {
        return Err(shape);
    }
    if minutes > 59 || hours > 14 || (hours == 14 && minutes > 0) {
        return Err("wants a time zone from -14:00 to +14:00");
    }
    let offset = i16::from(hours) * 60 + i16::from(minutes);
    Ok(if east { offset } else { -offset })
}

/// Parses the rest after a day: nothing, or `T`, the time and its zone.
pub(super) fn read_rest<'t>(parts: Parts<'t>, rest: &'t [u8], shape: Expectation) -> Result<Parts<'t>, Expectation> {
    match rest {
        [] => Ok(parts),
        [b'T', rest @ ..] if parts.precision == Precision::Day => {
            let (clock, rest) = read_clock(rest, 60, shape)?;
            let offset = read_zone(rest, shape)?;
            Ok(Parts { precision: clock.precision(), clock, offset, ..parts })
        }
        _ => Err(shape),
    }
}

impl Clock<'_> {
    pub(super) fn precision(&self) -> Precision {
        if self.fraction.is_empty() {
            Precision::Second
        } else {
            Precision::Fraction(u8::try_from(self.fraction.len()).unwrap_or(u8::MAX))
        }
    }

    fn nanosecond(&self) -> u32 {
        let padded = self.fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        padded.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    }

    /// Returns the time of day to the nanosecond; a leap second counts as the second before it.
    pub(super) fn to_time(self) -> Option<time::Time> {
        time::Time::from_hms_nano(self.hour, self.minute, self.second.min(59), self.nanosecond()).ok()
    }
}

impl<'t> Parts<'t> {
    pub(super) fn has_sign(&self) -> bool {
        self.year < 0
    }

    /// Returns the first point in time that the components cover.
    pub(super) fn moment(&self) -> Moment<'t> {
        let Clock { hour, minute, second, fraction } = self.clock;
        let minutes = i64::from(hour) * 60 + i64::from(minute) - i64::from(self.offset);
        let zeros = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        Moment {
            second: self.day_number() * 86_400 + minutes * 60 + i64::from(second.min(59)),
            leap: second == 60,
            fraction: fraction.get(..fraction.len() - zeros).unwrap_or(fraction),
        }
    }

    fn day_number(&self) -> i64 {
        day_number(self.year, self.month, self.day)
    }

    /// Returns the day after the last one that a partial date covers.
    fn end_day(&self) -> i64 {
        match (self.precision, self.month) {
            (Precision::Year, _) | (Precision::Month, 12) => day_number(self.year + 1, 1, 1),
            (Precision::Month, month) => day_number(self.year, month + 1, 1),
            _ => self.day_number() + 1,
        }
    }

    /// Returns the day, if the text has one.
    pub(super) fn to_date(self) -> Option<time::Date> {
        if self.precision < Precision::Day { None } else { self.first_day() }
    }

    fn first_day(&self) -> Option<time::Date> {
        time::Date::from_calendar_date(self.year, Month::try_from(self.month).ok()?, self.day).ok()
    }

    fn last_day(&self) -> Option<time::Date> {
        let month = if self.precision == Precision::Year { 12 } else { self.month };
        let day = if self.precision < Precision::Day { days_in_month(self.year, month) } else { self.day };
        time::Date::from_calendar_date(self.year, Month::try_from(month).ok()?, day).ok()
    }

    /// Returns the first point in time to the nanosecond. A leap second becomes the start of the next second.
    pub(super) fn earliest(&self) -> Option<OffsetDateTime> {
        let offset = UtcOffset::from_whole_seconds(i32::from(self.offset) * 60).ok()?;
        let moment = PrimitiveDateTime::new(self.first_day()?, self.clock.to_time()?).assume_offset(offset);
        if self.clock.second == 60 {
            moment.replace_nanosecond(0).ok()?.checked_add(Duration::SECOND)
        } else {
            Some(moment)
        }
    }

    /// Returns the last point in time to the nanosecond: the first one, unless the date is partial.
    pub(super) fn latest(&self) -> Option<OffsetDateTime> {
        if self.precision.has_clock() {
            return self.earliest();
        }
        let last = time::Time::from_hms_nano(23, 59, 59, 999_999_999).ok()?;
        Some(PrimitiveDateTime::new(self.last_day()?, last).assume_utc())
    }

    /// Returns the order of two dates or times, if it is certain.
    pub(super) fn certain_order(&self, other: &Self) -> Option<Ordering> {
        /// Maximum offset of a time zone from UTC, in seconds.
        const WIDEST_ZONE: i64 = 14 * 3_600;
        match (self.precision.has_clock(), other.precision.has_clock()) {
            (true, true) => Some(self.moment().cmp(&other.moment())),
            (false, false) => {
                let (start, end) = (self.day_number(), self.end_day());
                let (other_start, other_end) = (other.day_number(), other.end_day());
                if end <= other_start {
                    Some(Ordering::Less)
                } else if other_end <= start {
                    Some(Ordering::Greater)
                } else {
                    (self.precision == other.precision).then_some(Ordering::Equal)
                }
            }
            (false, true) => {
                let second = other.moment().second;
                if self.end_day() * 86_400 + WIDEST_ZONE <= second {
                    Some(Ordering::Less)
                } else if second < self.day_number() * 86_400 - WIDEST_ZONE {
                    Some(Ordering::Greater)
                } else {
                    None
                }
            }
            (true, false) => other.certain_order(self).map(Ordering::reverse),
        }
    }
}

/// Formats a time as RFC 3339, in its own zone if FHIR can express that zone and otherwise in UTC; [`None`] outside the
/// years 0001 to 9999.
pub(super) fn write_moment(moment: OffsetDateTime) -> Option<String> {
    let offset = moment.offset();
    let sayable = offset.seconds_past_minute() == 0 && offset.whole_seconds().abs() <= 14 * 3_600;
    let moment = if sayable { moment } else { moment.checked_to_offset(UtcOffset::UTC)? };
    if !(1..=9999).contains(&moment.year()) {
        return None;
    }
    let mut out = String::with_capacity(35);
    push_date(&mut out, moment.date());
    out.push('T');
    push_time(&mut out, moment.time());
    match moment.offset().whole_seconds() / 60 {
        0 => out.push('Z'),
        minutes => {
            out.push(if minutes < 0 { '-' } else { '+' });
            push_digits(&mut out, minutes.unsigned_abs() / 60, 2);
            out.push(':');
            push_digits(&mut out, minutes.unsigned_abs() % 60, 2);
        }
    }
    Some(out)
}

/// Appends a number with leading zeros.
fn push_digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

fn push_date(out: &mut String, date: time::Date) {
    if date.year() < 0 {
        out.push('-');
    }
    push_digits(out, date.year().unsigned_abs(), 4);
    out.push('-');
    push_digits(out, u8::from(date.month()).into(), 2);
    out.push('-');
    push_digits(out, date.day().into(), 2);
}

fn push_time(out: &mut String, time: time::Time) {
    let (hour, minute, second, nanosecond) = time.as_hms_nano();
    for (index, part) in [hour, minute, second].into_iter().enumerate() {
        if index > 0 {
            out.push(':');
        }
        push_digits(out, part.into(), 2);
    }
    if nanosecond > 0 {
        out.push('.');
        push_digits(out, nanosecond, 9);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Formats a date as `YYYY-MM-DD`; [`None`] unless the year has four digits and is not 0000.
pub(super) fn write_date(date: time::Date) -> Option<String> {
    let mut out = String::with_capacity(11);
    push_date(&mut out, date);
    (1..=9999).contains(&date.year().abs()).then_some(out)
}

/// Formats a time as `hh:mm:ss`, with as many fractional digits as needed.
pub(super) fn write_time(time: time::Time) -> String {
    let mut out = String::with_capacity(18);
    push_time(&mut out, time);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn day_numbers_agree_with_the_time_crate(julian in -5_373_484_i32..=5_373_484) {
            if let Ok(date) = time::Date::from_julian_day(julian) {
                let (year, month, day) = date.to_calendar_date();
                prop_assert_eq!(day_number(year, u8::from(month), day), i64::from(julian) - 2_440_588);
                prop_assert!(day <= days_in_month(year, u8::from(month)));
            }
        }
    }
}
