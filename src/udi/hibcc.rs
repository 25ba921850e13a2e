//! HIBCC: `+`, primary data, `/`, secondary data, supplementary data, check character.
//!
//! Source: ANSI/HIBC 2.6. Years of two digits are of this century.

use super::day::{Day, clock, mmddyy, mmyy, number, yyjjj, yymmdd, yyyymmdd};
use super::parsed_udi::keep;
use super::{Agency, Findings, Udi, UdiElement, UdiRule, check, day, quoted};

/// The most characters of a lot and of a serial number.
const LONGEST: usize = 18;

pub(super) fn parse(data: &str, found: &mut Findings) -> Udi {
    let mut udi = Udi::empty(Agency::Hibcc);
    let Some((body, last)) = checked_characters(data, found) else { return udi };
    let (body, tail) = without_link(body, last, found);
    let linked = tail.len() > 1;
    udi.tail = tail.into();
    read_body(body, &mut udi, found);
    if !linked {
        check_character(body, last, found);
    }
    udi
}

/// Reads secondary data that are a symbol of their own: `+`, the data, the link character, which is the check character of the
/// primary data, and the check character.
pub(super) fn parse_secondary(data: &str, found: &mut Findings) -> (Udi, Option<char>) {
    let mut udi = Udi::empty(Agency::Hibcc);
    let Some((body, last)) = checked_characters(data, found) else { return (udi, None) };
    check_character(body, last, found);
    let Some((at, link)) = body.char_indices().next_back() else {
        found.add(UdiRule::HibcSecondaryEmpty, format!("`{}` has no secondary data", quoted(data)));
        return (udi, None);
    };
    let mut segments = body.get(..at).unwrap_or_default().split('/');
    read_secondary(segments.next().unwrap_or_default(), &mut udi, found);
    read_supplements(segments, &mut udi, found);
    (udi, Some(link))
}

/// Returns whether the data are secondary data that are a symbol of their own.
pub(super) fn is_secondary(data: &str) -> bool {
    data.strip_prefix('+').is_some_and(|body| body.starts_with(|c: char| c == '$' || c.is_ascii_digit()))
}

/// Returns the primary data and the secondary data in one string, with the check character of the whole; [`None`]
/// where the link character is not that of the primary data.
pub(super) fn joined(primary: &Udi, secondary: &Udi, link: char) -> Option<String> {
    let mut text = format!("+{}", primary.elements.first()?.value());
    if check::hibc_character(&text) != Some(link) {
        return None;
    }
    for element in &secondary.elements {
        text.extend(["/", element.id(), element.value()]);
    }
    text.push(check::hibc_character(&text)?);
    Some(text)
}

fn read_body(body: &str, udi: &mut Udi, found: &mut Findings) {
    let mut segments = body.split('/');
    let primary = segments.next().unwrap_or_default();
    if !primary.starts_with(|c: char| c.is_ascii_uppercase()) {
        let wanted = "wanted the letter of a labeler first; secondary data alone name no device";
        found.no_di(format!("`+{}` has no primary data, {wanted}", quoted(body)));
        return;
    }
    read_primary(primary, udi, found);
    if let Some(secondary) = segments.next() {
        read_secondary(secondary, udi, found);
    }
    read_supplements(segments, udi, found);
}

fn read_supplements<'s>(segments: impl Iterator<Item = &'s str>, udi: &mut Udi, found: &mut Findings) {
    let mut after_quantity = false;
    for segment in segments {
        if after_quantity {
            found.add(UdiRule::HibcQNotLast, format!("`/{}` follows the quantity, wanted it last", quoted(segment)));
        }
        after_quantity = segment.starts_with('Q');
        read_supplement(segment, udi, found);
    }
}

/// Returns the text between the leading `+` and the check character, where each character is one of HIBC.
fn checked_characters<'d>(data: &'d str, found: &mut Findings) -> Option<(&'d str, char)> {
    let body = data.strip_prefix('+').unwrap_or(data);
    let Some((at, last)) = body.char_indices().next_back() else {
        found.add(UdiRule::NoDi, format!("`{data}` is empty, wanted primary data"));
        return None;
    };
    let body = body.get(..at).unwrap_or_default();
    // In a caption an underscore stands for the check character blank, which could not be seen.
    let last = if last == '_' { ' ' } else { last };
    let bad = body.chars().chain([last]).find(|c| u8::try_from(*c).ok().and_then(check::hibc).is_none());
    match bad {
        Some(bad) => {
            let message = format!("`{}` has `{bad}`, wanted upper case letters, digits and `-. $/+%`", quoted(data));
            found.add(UdiRule::HibcCharset, message);
            None
        }
        None => Some((body, last)),
    }
}

/// Returns the text without the link character that secondary data have as a symbol of their own, and what ends the
/// string.
///
/// They have it where the primary data, and the secondary data with it, have the check characters of their own.
fn without_link<'d>(body: &'d str, last: char, found: &mut Findings) -> (&'d str, String) {
    let whole = check::hibc_character(&format!("+{body}"));
    if whole != Some(last)
        && let Some((primary, secondary)) = body.split_once('/')
        && let Some(link) = check::hibc_character(&format!("+{primary}"))
        && let Some(rest) = body.strip_suffix(link)
        && rest.len() > primary.len()
        && check::hibc_character(&format!("+{secondary}")) == Some(last)
    {
        let message = format!("`+{}{last}` keeps the link `{link}` of a symbol of its own", quoted(body));
        found.add(UdiRule::HibcLinkChar, format!("{message}, wanted one check character for the whole"));
        return (rest, String::from_iter([link, last]));
    }
    (body, last.into())
}

fn check_character(body: &str, last: char, found: &mut Findings) {
    if let Some(wanted) = check::hibc_character(&format!("+{body}"))
        && wanted != last
    {
        let message = format!("`+{}{last}` ends with `{last}`, wanted the check character `{wanted}`", quoted(body));
        found.add(UdiRule::HibcCheckChar, message);
    }
}

/// Labeler, product number, unit of measure.
fn read_primary(primary: &str, udi: &mut Udi, found: &mut Findings) {
    udi.elements.push(UdiElement::new("+", primary));
    udi.di = primary.into();
    let (product, unit) = primary.split_at_checked(primary.len().saturating_sub(1)).unwrap_or_default();
    let pcn = product.get(4..).unwrap_or_default();
    if pcn.is_empty() || pcn.len() > LONGEST {
        let wanted = "wanted a labeler of 4, a product number of 1 to 18 and a unit of 1 character";
        found.add(UdiRule::HibcLength, format!("`{}` has the length {}, {wanted}", quoted(primary), primary.len()));
    }
    if let Some(bad) = product.chars().find(|c| !c.is_ascii_alphanumeric()) {
        let message = format!("`{}` has `{bad}`, wanted letters and digits", quoted(product));
        found.add(UdiRule::HibcPcnCharset, message);
    }
    if !unit.bytes().all(|byte| byte.is_ascii_digit()) {
        found.add(UdiRule::HibcUom, format!("`{}` has the unit of measure `{unit}`, wanted a digit", quoted(primary)));
    }
}

/// The secondary data: flags, a date, and a lot or a serial number.
fn read_secondary(secondary: &str, udi: &mut Udi, found: &mut Findings) {
    let Some(flagged) = secondary.strip_prefix('$') else {
        let (date, lot) = secondary.split_at_checked(5).unwrap_or((secondary, ""));
        if secondary.is_empty() {
            found.add(UdiRule::HibcSecondaryEmpty, "nothing follows `/`, wanted secondary data");
        } else if date.len() == 5 && date.bytes().all(|byte| byte.is_ascii_digit()) {
            udi.elements.push(UdiElement::new("", secondary));
            udi.expires = yyjjj(date, found);
            set_lot(lot, udi, found);
        } else {
            let message = format!("`{}` begins with no flag, wanted `$` or a date of five digits", quoted(secondary));
            found.add(UdiRule::HibcSecondaryFlag, message);
        }
        return;
    };
    let (dated, flagged) = strip(flagged, '$');
    let (serial, flagged) = strip(flagged, '+');
    let flag = match (dated, serial) {
        (false, false) => "$",
        (false, true) => "$+",
        (true, false) => "$$",
        (true, true) => "$$+",
    };
    let date_flag = if dated { flagged.get(..1).filter(|flag| *flag != "0" && *flag != "1") } else { None };
    let id = [flag, date_flag.unwrap_or_default()].concat();
    udi.elements.push(UdiElement::new(&id, flagged.get(id.len() - flag.len()..).unwrap_or_default()));
    let number = if dated { read_date(flagged, serial, udi, found) } else { Some(flagged) };
    match number {
        None => {}
        Some("") if serial => {
            found.add(UdiRule::HibcSecondaryEmpty, format!("`{}` has no serial number", quoted(secondary)));
        }
        Some(number) if serial => set_serial(number, udi, found),
        Some(number) => set_lot(number, udi, found),
    }
}

fn strip(text: &str, flag: char) -> (bool, &str) {
    text.strip_prefix(flag).map_or((false, text), |rest| (true, rest))
}

/// So many digits, and the rest.
fn digits(text: &str, count: usize) -> Option<(&str, &str)> {
    text.split_at_checked(count).filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Takes a quantity and a date from the text after `$$`, and gives what follows; [`None`] where that cannot be said.
fn read_date<'t>(text: &'t str, serial: bool, udi: &mut Udi, found: &mut Findings) -> Option<&'t str> {
    let length = match text.as_bytes() {
        [b'8', ..] if !serial => 2,
        [b'9', ..] if !serial => 5,
        _ => return read_plain_date(text, udi, found),
    };
    let Some((quantity, rest)) = text.get(1..).and_then(|text| digits(text, length)) else {
        let message = format!("`$${}` has no quantity of {length} digits after its flag", quoted(text));
        found.add(UdiRule::HibcQuantity, message);
        return None;
    };
    udi.quantity = Some(number(quantity));
    // The date is optional after a quantity, and no lot begins with its flag.
    if rest.starts_with(|c: char| ('0'..='7').contains(&c)) { read_plain_date(rest, udi, found) } else { Some(rest) }
}

fn read_plain_date<'t>(text: &'t str, udi: &mut Udi, found: &mut Findings) -> Option<&'t str> {
    let flag = text.as_bytes().first().copied().unwrap_or_default();
    let (flag_length, length) = match flag {
        b'0' | b'1' => (0, 4),
        b'2' | b'3' => (1, 6),
        b'4' => (1, 8),
        b'5' => (1, 5),
        b'6' => (1, 7),
        b'7' => return text.get(1..),
        _ => {
            found.add(UdiRule::HibcDateField, format!("`$${}` has no flag for its date, wanted 0 to 7", quoted(text)));
            return None;
        }
    };
    let Some((field, rest)) = text.get(flag_length..).and_then(|text| digits(text, length)) else {
        let message = format!("`$${}` has no date of {length} digits after its flag", quoted(text));
        found.add(UdiRule::HibcDateField, message);
        return None;
    };
    udi.expires = match flag {
        b'2' => mmddyy(field, found),
        b'3' => yymmdd(field, day::this_century, false, found),
        b'4' => with_hour(yymmdd(field, day::this_century, false, found), field, 6, found),
        b'5' => yyjjj(field, found),
        b'6' => with_hour(yyjjj(field, found), field, 5, found),
        _ => mmyy(field, found),
    };
    Some(rest)
}

fn with_hour(day: Option<Day>, field: &str, at: usize, found: &mut Findings) -> Option<Day> {
    let hour = clock(field, field.get(at..).unwrap_or_default(), 24, found);
    day.zip(hour).map(|(day, hour)| day.at(hour))
}

fn set_lot(lot: &str, udi: &mut Udi, found: &mut Findings) {
    if named(lot, "lot", found) && !lot.is_empty() {
        udi.lot = Some(lot.into());
    }
}

fn set_serial(serial: &str, udi: &mut Udi, found: &mut Findings) {
    if named(serial, "serial number", found) {
        keep(&mut udi.serial, serial.into(), "the serial number", UdiRule::RepeatConflict, found);
    }
}

/// Returns whether a lot or a serial number has its characters and no more of them than it may have.
fn named(text: &str, what: &str, found: &mut Findings) -> bool {
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')) {
        let message = format!("`{}` of the {what} has `{bad}`, wanted letters, digits, `-` and `.`", quoted(text));
        found.add(UdiRule::HibcCharset, message);
        return false;
    }
    if text.len() > LONGEST {
        let message = format!("`{}` of the {what} has the length {}, wanted at most 18", quoted(text), text.len());
        found.add(UdiRule::HibcLength, message);
        return false;
    }
    true
}

/// One part of the supplementary data.
fn read_supplement(segment: &str, udi: &mut Udi, found: &mut Findings) {
    let (id, value) = if let Some(value) = segment.strip_prefix("16D") {
        ("16D", value)
    } else if let Some(value) = segment.strip_prefix("14D") {
        ("14D", value)
    } else if let Some(value) = segment.strip_prefix('S') {
        ("S", value)
    } else if let Some(value) = segment.strip_prefix('Q') {
        ("Q", value)
    } else {
        let message = format!("`/{}` begins like no supplement, wanted S, 16D, 14D or Q", quoted(segment));
        found.add(UdiRule::HibcSupplementalDi, message);
        return;
    };
    udi.elements.push(UdiElement::new(id, value));
    match id {
        "S" if value.is_empty() => found.add(UdiRule::HibcLength, "`/S` has no serial number"),
        "S" => set_serial(value, udi, found),
        "Q" if (1..=5).contains(&value.len()) && digits(value, value.len()).is_some() => {
            keep(&mut udi.quantity, number(value), "the quantity", UdiRule::RepeatConflict, found);
        }
        "Q" => {
            let message = format!("`{}` is no quantity, wanted 1 to 5 digits", quoted(value));
            found.add(UdiRule::HibcQuantity, message);
        }
        _ if value.len() != 8 || digits(value, 8).is_none() => {
            let message = format!("`{id}{}` has no date, wanted YYYYMMDD", quoted(value));
            found.add(UdiRule::HibcDateField, message);
        }
        _ => {
            if let Some(day) = yyyymmdd(value, found) {
                let (place, what) = if id == "16D" {
                    (&mut udi.manufactured, "the day of manufacture")
                } else {
                    (&mut udi.expires, "the last day of use")
                };
                match place {
                    // The secondary data may say the month, or the hour, of the same day.
                    Some(before) if before.holds(day) => *place = Some(before.within(day)),
                    _ => keep(place, day, what, UdiRule::RepeatConflict, found),
                }
            }
        }
    }
}

/// Returns the string, whose forms for people and for machines are the same.
pub(super) fn write(udi: &Udi) -> String {
    let mut out = String::new();
    for (index, element) in udi.elements.iter().enumerate() {
        if index > 0 {
            out.push('/');
        }
        out.extend([element.id(), element.value()]);
    }
    out.push_str(&udi.tail);
    out
}
