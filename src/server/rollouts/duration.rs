//! Durations in ISO 8601.

use std::time::Duration;

/// Parses a duration of weeks, days, hours, minutes and whole seconds: `P7D`, `PT1H30M`. `None` for any other text, and
/// for months and years, which have no fixed length.
pub(super) fn read(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('P')?;
    let (mut seconds, mut is_time, mut last) = (0_u64, false, None);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| !is_time) {
            (rest, is_time) = (time, true);
            // A `T` must be followed by a time.
            if rest.is_empty() {
                return None;
            }
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let mut chars = unit.chars();
        let (order, length) = match (is_time, chars.next()?) {
            (false, 'W') => (0, 7 * 86_400),
            (false, 'D') => (1, 86_400),
            (true, 'H') => (2, 3_600),
            (true, 'M') => (3, 60),
            (true, 'S') => (4, 1),
            _ => return None,
        };
        if last.is_some_and(|last| last >= order) {
            return None;
        }
        last = Some(order);
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(length)?)?;
        rest = chars.as_str();
    }
    last.map(|_| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_where_they_have_a_length() {
        for (text, seconds) in [
            ("PT1H", Some(3_600)),
            ("P7D", Some(604_800)),
            ("P1W", Some(604_800)),
            ("P1DT2H3M4S", Some(93_784)),
            ("PT0S", Some(0)),
            ("P", None),
            ("PT", None),
            ("P1M", None),
            ("P1Y", None),
            ("PT1M1H", None),
            ("PT1.5S", None),
            ("1H", None),
            ("P1H", None),
            ("PT99999999999999999999H", None),
        ] {
            assert_eq!(read(text).map(|found| found.as_secs()), seconds, "{text}");
        }
    }
}
