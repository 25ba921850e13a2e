//! Checks a value against the format of its application identifier.

use super::super::day::{clock, windowed, yymmdd, yyyymmdd};
use super::super::{Day, Findings, UdiElement, UdiRule, check, quoted};
use super::Row;

/// The date in a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Stated {
    /// The first date in it, with its hour.
    pub(super) day: Option<Day>,
}

/// One component of a format, such as `N14,csum`, `X..20` or `[N4],hhmi`.
struct Component {
    set: char,
    least: usize,
    most: usize,
    optional: bool,
    asks: &'static str,
}

/// Returns the components of a format of the table.
fn components(format: &'static str) -> impl Iterator<Item = Component> {
    format.split(' ').filter_map(|text| {
        let (shape, asks) = text.split_once(',').unwrap_or((text, ""));
        let optional = shape.starts_with('[');
        let mut characters = shape.trim_matches(['[', ']']).chars();
        let set = characters.next()?;
        let length = characters.as_str();
        let most = length.trim_start_matches('.').parse().ok()?;
        let least = if length.starts_with('.') { 1 } else { most };
        Some(Component { set, least, most, optional, asks })
    })
}

/// Returns whether a character is in a set of GS1: N digits, X set 82, Y set 39, Z set 64.
fn holds(set: char, c: char) -> bool {
    match (set, u8::try_from(c)) {
        ('N', Ok(byte)) => byte.is_ascii_digit(),
        ('Y', Ok(byte)) => matches!(byte, b'#' | b'-' | b'/' | b'0'..=b'9' | b'A'..=b'Z'),
        ('Z', Ok(byte)) => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='),
        (_, Ok(byte)) => check::set82(byte).is_some(),
        (_, Err(_)) => false,
    }
}

const fn name_of(set: char) -> &'static str {
    match set {
        'N' => "digits",
        'Y' => "characters of set 39",
        'Z' => "characters of set 64",
        _ => "characters of set 82",
    }
}

/// Checks a value, and says what it means.
pub(super) fn check(element: &UdiElement, row: &Row, reference_year: u16, found: &mut Findings) -> Stated {
    let mut stated = Stated::default();
    let mut rest = element.value();
    for component in components(row.format) {
        if component.optional && rest.is_empty() {
            break;
        }
        let end = rest.char_indices().nth(component.most).map_or(rest.len(), |(end, _)| end);
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if part.chars().count() < component.least {
            wrong_length(element, row, found);
            return stated;
        }
        if let Some(c) = part.chars().find(|c| !holds(component.set, *c)) {
            let (value, ai, set) = (quoted(element.value()), element.id(), name_of(component.set));
            found.add(UdiRule::Gs1Charset, format!("`{value}` of ({ai}) has `{c}`, wanted {set}"));
            return stated;
        }
        for ask in component.asks.split(',') {
            check_value(ask, part, element, reference_year, &mut stated, found);
        }
        rest = after;
    }
    if !rest.is_empty() {
        wrong_length(element, row, found);
    }
    stated
}

fn wrong_length(element: &UdiElement, row: &Row, found: &mut Findings) {
    let (mut least, mut most) = (0, 0);
    for component in components(row.format) {
        least += if component.optional { 0 } else { component.least };
        most += component.most;
    }
    let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let (value, ai, length) = (quoted(element.value()), element.id(), element.value().chars().count());
    found.add(UdiRule::Gs1Length, format!("`{value}` of ({ai}) has the length {length}, wanted {wanted}"));
}

/// Checks one thing that is asked of a component whose characters and length are right.
fn check_value(
    ask: &str,
    part: &str,
    element: &UdiElement,
    reference_year: u16,
    stated: &mut Stated,
    found: &mut Findings,
) {
    let (value, ai) = (quoted(element.value()), element.id());
    let year = |two| windowed(two, reference_year);
    let field = |from: usize| part.get(from..from + 2).unwrap_or_default();
    let good = match ask {
        "csum" => return check_digit(part, ai, found),
        "csumalpha" => return check_pair(part, ai, found),
        "yymmdd" | "yymmd0" => {
            let day = yymmdd(part, year, ask == "yymmd0", found);
            stated.day = stated.day.or(day);
            return;
        }
        "yyyymmdd" => {
            stated.day = yyyymmdd(part, found);
            return;
        }
        "hhmi" | "hh" => {
            let hour = clock(&value, field(0), 24, found);
            if ask == "hhmi" {
                clock(&value, field(2), 60, found);
            }
            stated.day = stated.day.zip(hour).map(|(day, hour)| day.at(hour));
            return;
        }
        "mi" | "ss" => {
            clock(&value, part, 60, found);
            return;
        }
        "hasnondigit" => part.bytes().any(|byte| !byte.is_ascii_digit()),
        "zero" => part.bytes().all(|byte| byte == b'0'),
        "nonzero" => part.bytes().any(|byte| byte != b'0'),
        "yesno" => matches!(part, "0" | "1"),
        _ => true,
    };
    if !good {
        let wanted = match ask {
            "hasnondigit" => "something other than digits",
            "zero" => "zero",
            "nonzero" => "something other than zero",
            _ => "0 or 1",
        };
        found.add(UdiRule::Gs1Content, format!("`{value}` of ({ai}) has `{part}`, wanted {wanted}"));
    }
}

/// The last digit is the check digit of those before it.
pub(in super::super) fn check_digit(part: &str, ai: &str, found: &mut Findings) {
    let Some((last, _)) = part.char_indices().next_back() else { return };
    let (digits, end) = part.split_at_checked(last).unwrap_or_default();
    if let Some(wanted) = check::gs1_digit(digits)
        && !end.starts_with(wanted)
    {
        found.add(
            UdiRule::Gs1CheckDigit,
            format!("`{part}` of ({ai}) ends with {end}, wanted the check digit {wanted}"),
        );
    }
}

fn check_pair(part: &str, ai: &str, found: &mut Findings) {
    let (text, end) = part.split_at_checked(part.len().saturating_sub(2)).unwrap_or_default();
    let wanted = if text.is_empty() { None } else { check::gs1_pair(text) };
    match wanted.map(String::from_iter) {
        Some(wanted) if wanted == end => {}
        Some(wanted) => {
            let message = format!("`{part}` of ({ai}) ends with {end}, wanted the check characters {wanted}");
            found.add(UdiRule::Gs1CheckPair, message);
        }
        None => found.add(UdiRule::Gs1Length, format!("`{part}` of ({ai}) has no room for check characters")),
    }
}
