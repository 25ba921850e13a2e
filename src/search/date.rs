//! Date search parameters: a time span with a comparison prefix.

use crate::primitive::DateTime;
use time::{Duration, OffsetDateTime};

/// Comparison prefix of a date parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

const PREFIXES: [(&str, Prefix); 9] = [
    ("eq", Prefix::Eq),
    ("ne", Prefix::Ne),
    ("gt", Prefix::Gt),
    ("lt", Prefix::Lt),
    ("ge", Prefix::Ge),
    ("le", Prefix::Le),
    ("sa", Prefix::Sa),
    ("eb", Prefix::Eb),
    ("ap", Prefix::Ap),
];

/// Date search value: a prefix, and the time span that the date covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moments {
    prefix: Prefix,
    first: OffsetDateTime,
    last: OffsetDateTime,
}

impl Moments {
    /// Parses a date with its prefix; `now` is the reference time of `ap`.
    pub(crate) fn read(text: &str, now: OffsetDateTime) -> Option<Self> {
        let named = PREFIXES.iter().find_map(|(name, prefix)| Some((*prefix, text.strip_prefix(name)?)));
        let (prefix, text) = named.unwrap_or((Prefix::Eq, text));
        // The `+` of a zone that was not URL-encoded is decoded as a space.
        let (mut first, mut last) = span(&text.replace(' ', "+"))?;
        if prefix == Prefix::Ap {
            // Approximate: within a tenth of the distance between the date and now.
            let slack = (now - first).abs() / 10;
            (first, last) = (first.saturating_sub(slack), last.saturating_add(slack));
        }
        Some(Self { prefix, first, last })
    }

    /// Returns whether a moment matches.
    pub(crate) fn has(&self, moment: OffsetDateTime) -> bool {
        let within = self.first <= moment && moment <= self.last;
        match self.prefix {
            Prefix::Eq | Prefix::Ap => within,
            Prefix::Ne => !within,
            Prefix::Gt | Prefix::Sa => moment > self.last,
            Prefix::Lt | Prefix::Eb => moment < self.first,
            Prefix::Ge => moment >= self.first,
            Prefix::Le => moment <= self.last,
        }
    }
}

/// Returns the first moment that a date covers.
pub(crate) fn from(text: &str) -> Option<OffsetDateTime> {
    span(&text.replace(' ', "+")).map(|(first, _)| first)
}

fn span(text: &str) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let second = Duration::nanoseconds(999_999_999);
    let time = text.split_once('T').map(|(_, time)| time);
    let has_zone = time.is_none_or(|time| time.contains(['Z', '+', '-']));
    let text = if has_zone { text.to_owned() } else { format!("{text}Z") };
    if let Ok(moment) = DateTime::new(&text) {
        let (first, last) = (moment.earliest()?, moment.latest()?);
        return Some(match text.split_once('.') {
            // A time in whole seconds covers the second, and one with a fraction covers the digits that it leaves out;
            // times are shown and searched to the millisecond.
            None if text.contains('T') => (first, last.saturating_add(second)),
            None => (first, last),
            Some((_, fraction)) => {
                let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
                let unit = 10_i32.saturating_pow(u32::try_from(digits.min(3)).unwrap_or(3));
                let first = first.replace_millisecond(first.millisecond()).unwrap_or(first);
                (first, first.saturating_add(Duration::nanoseconds(i64::from(1_000_000_000 / unit) - 1)))
            }
        });
    }
    // A search may leave the seconds out; the time then covers the minute.
    let (minute, zone) = text.split_at_checked("2017-05-26T10:00".len())?;
    let first = DateTime::new(format!("{minute}:00{zone}")).ok()?.earliest()?;
    Some((first, first.saturating_add(Duration::seconds(59)).saturating_add(second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn partial_date_matches_its_range() {
        let now = datetime!(2018-01-01 0:00 UTC);
        for (text, moment, met) in [
            ("2017", "2017-12-31T23:59:59Z", true),
            ("2017-05-26T10:00", "2017-05-26T10:00:59Z", true),
            ("2017-05-26T10:00:00+02:00", "2017-05-26T08:00:00.5Z", true),
            ("2017-05-26T10:00:00 02:00", "2017-05-26T08:00:00.5Z", true),
            ("ne2017-05", "2017-05-31T23:59:59Z", false),
            ("gt2017", "2017-12-31T23:59:59Z", false),
            ("sa2017", "2018-01-01T00:00:00Z", true),
            ("ge2017", "2017-01-01T00:00:00Z", true),
            ("lt2017-05", "2017-04-30T23:59:59Z", true),
            ("eb2017-05", "2017-05-01T00:00:00Z", false),
            ("le2017-05", "2017-05-31T23:59:59Z", true),
            ("ap2017-01-01", "2017-02-05T00:00:00Z", true),
            ("ap2017-01-01", "2017-02-08T00:00:00Z", false),
            ("2017-05-26T10:00:00.125Z", "2017-05-26T10:00:00.125789Z", true),
            ("gt2017-05-26T10:00:00.125Z", "2017-05-26T10:00:00.125789Z", false),
            ("le2017-05-26T10:00:00.125Z", "2017-05-26T10:00:00.125789Z", true),
            ("lt2017-05-26T10:00:00.125Z", "2017-05-26T10:00:00.125789Z", false),
            ("gt2017-05-26T10:00:00.125Z", "2017-05-26T10:00:00.126Z", true),
            ("2017-05-26T10:00:00.1Z", "2017-05-26T10:00:00.199Z", true),
            ("eq2017-05-26T10:00:00.125456Z", "2017-05-26T10:00:00.125789Z", true),
        ] {
            let moment = DateTime::new(moment).unwrap().earliest().unwrap();
            assert_eq!(Moments::read(text, now).unwrap().has(moment), met, "{text}");
        }
        for wrong in ["yesterday", "2017-05-26T", "2017-05-26Té", "", "gt", "2017-13"] {
            assert!(Moments::read(wrong, now).is_none(), "{wrong}");
        }
    }
}
