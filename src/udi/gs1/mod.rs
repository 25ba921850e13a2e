//! GS1: element strings of application identifiers and values.
//!
//! Source: GS1 General Specifications, sections 3 (identifiers), 4.14 (associations), 7.8 (processing of strings).

mod content;
mod link;
mod table;

#[cfg(test)]
mod tests;

use super::carrier::{ARROW, GS};
use super::{Agency, CarrierForm, Findings, Udi, UdiElement, UdiRule, day, quoted};
use content::Stated;
pub(super) use content::check_digit;
pub(super) use link::is_link;
use std::borrow::Cow;
use table::Row;

pub(super) fn parse(data: &str, form: CarrierForm, reference_year: u16, found: &mut Findings) -> Udi {
    let mut udi = Udi::empty(Agency::Gs1);
    let data = with_separators(data, found);
    let elements = match form {
        CarrierForm::Hrf => split_hrf(&data, found),
        CarrierForm::DigitalLink => link::split(&data, found),
        _ => split_aidc(&data, found),
    };
    for (row, element) in &elements {
        understand(&mut udi, element, content::check(element, row, reference_year, found));
    }
    repeated(&elements, found);
    associated(&elements, found);
    if !elements.iter().any(|(_, element)| element.id() == "01") {
        found.no_di(format!("`{}` has no (01), wanted the GTIN of the device", quoted(&data)));
    }
    udi.elements = elements.into_iter().map(|(_, element)| element).collect();
    udi
}

type Found = (&'static Row, UdiElement);

/// Returns the data with FNC1 as it is sent.
fn with_separators<'d>(data: &'d str, found: &mut Findings) -> Cow<'d, str> {
    if !data.contains(ARROW) {
        return Cow::Borrowed(data);
    }
    found.add(UdiRule::Gs1ArrowFnc1, format!("`{}` has {ARROW} for FNC1, wanted the character 0x1D", quoted(data)));
    let sent: String = data.chars().map(|c| if c == ARROW { GS } else { c }).collect();
    Cow::Owned(sent.strip_prefix(GS).map_or_else(|| sent.clone(), str::to_owned))
}

/// Splits a concatenation: a value of predefined length ends there, another at FNC1.
fn split_aidc(data: &str, found: &mut Findings) -> Vec<Found> {
    let mut elements = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let Some((ai, row)) = table::leading(rest) else {
            let message = format!("`{}` begins with no application identifier of GS1", quoted(rest));
            found.add(UdiRule::Gs1UnknownAi, message);
            return elements;
        };
        let body = rest.get(ai.len()..).unwrap_or_default();
        // What is of predefined length is looked at no further, so that the whole is gone through once.
        let most = Row::predefined_length(ai).unwrap_or(usize::MAX);
        let mut ends = body.char_indices().enumerate();
        let end = ends.find(|(index, (_, c))| *index == most || *c == GS).map_or(body.len(), |(_, (at, _))| at);
        let (value, after) = body.split_at_checked(end).unwrap_or((body, ""));
        elements.push((row, UdiElement::new(ai, value)));
        rest = after.strip_prefix(GS).unwrap_or(after);
    }
    elements
}

/// Returns the application identifier in parentheses at the start of a text, its closing included; braces where told
/// so.
fn bracketed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let inner = text.strip_prefix(open)?;
    let digits = inner.bytes().take(5).take_while(u8::is_ascii_digit).count();
    let (ai, rest) = inner.split_at_checked(digits)?;
    if (2..=4).contains(&digits) { Some((ai, rest.strip_prefix(close)?)) } else { None }
}

/// Splits what people read: application identifiers in parentheses, each before its value.
fn split_hrf(data: &str, found: &mut Findings) -> Vec<Found> {
    let (open, close) = if data.starts_with('{') { ('{', '}') } else { ('(', ')') };
    if open == '{' {
        let message = format!("`{}` has application identifiers in braces, wanted parentheses", quoted(data));
        found.add(UdiRule::Gs1CurlyAi, message);
    }
    let mut elements = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let Some((ai, body)) = bracketed(rest, open, close) else {
            let wanted = "wanted two to four digits in parentheses";
            let message = format!("`{}` begins with no application identifier, {wanted}", quoted(rest));
            found.add(UdiRule::Gs1NoAi, message);
            return elements;
        };
        let (value, after) = value_before(body, |text| bracketed(text, open, close).is_some(), open);
        match table::row_of(ai) {
            Some(row) => elements.push((row, UdiElement::new(ai, &without_blanks(&value, row, found)))),
            None => found.add(UdiRule::Gs1UnknownAi, format!("`{ai}` is no application identifier of GS1")),
        }
        if after.is_empty() && ends_within(&value, open) {
            let message = format!("`{}` ends within an application identifier", quoted(data));
            found.warn(UdiRule::Truncated, message);
        }
        rest = after;
    }
    elements
}

/// Returns a value without the blanks and line breaks that people print around it, and between the digits of a number.
fn without_blanks<'v>(value: &'v str, row: &Row, found: &mut Findings) -> Cow<'v, str> {
    if !value.contains(char::is_whitespace) {
        return Cow::Borrowed(value);
    }
    let cut: Cow<'_, str> = match row.format.starts_with('N') {
        true => value.chars().filter(|c| !c.is_whitespace()).collect::<String>().into(),
        false => value.trim().into(),
    };
    if cut.len() != value.len() {
        found.add(UdiRule::Blank, format!("`{}` has blanks around it or in it, wanted none", quoted(value)));
    }
    cut
}

/// Returns whether a text ends with the beginning of an identifier in parentheses.
pub(super) fn ends_within(value: &str, open: char) -> bool {
    let Some(at) = value.rfind(open) else { return false };
    let last = value.get(at + open.len_utf8()..).unwrap_or_default();
    last.len() <= 4 && last.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Returns the value up to the next start of an element, without the backslashes that say that there is none; and the
/// rest.
pub(super) fn value_before(body: &str, starts: impl Fn(&str) -> bool, open: char) -> (Cow<'_, str>, &str) {
    let (mut value, mut from) = (String::new(), 0);
    for (at, _) in body.match_indices(open) {
        let escaped = body.get(from..at).is_some_and(|before| before.ends_with('\\'));
        if escaped {
            value.push_str(body.get(from..at - 1).unwrap_or_default());
            from = at;
        } else if body.get(at..).is_some_and(&starts) {
            let last = body.get(from..at).unwrap_or_default();
            let value = if from == 0 { Cow::Borrowed(last) } else { Cow::Owned(value + last) };
            return (value, body.get(at..).unwrap_or_default());
        }
    }
    let last = body.get(from..).unwrap_or_default();
    (if from == 0 { Cow::Borrowed(last) } else { Cow::Owned(value + last) }, "")
}

/// Returns the value with a backslash before each parenthesis that would begin an element.
pub(super) fn push_escaped(out: &mut String, value: &str, starts: impl Fn(&str) -> bool) {
    let mut from = 0;
    for (at, _) in value.match_indices('(') {
        if value.get(at..).is_some_and(&starts) {
            out.push_str(value.get(from..at).unwrap_or_default());
            out.push('\\');
            from = at;
        }
    }
    out.push_str(value.get(from..).unwrap_or_default());
}

/// Takes what an element means for a device.
fn understand(udi: &mut Udi, element: &UdiElement, stated: Stated) {
    let text = || Some(element.value().into());
    match element.id() {
        "01" => udi.di = element.value().into(),
        "10" => udi.lot = text(),
        "21" => udi.serial = text(),
        "11" => udi.manufactured = stated.day,
        "17" => udi.expires = stated.day,
        "8012" => udi.version = text(),
        "8013" => udi.basic_udi_di = text(),
        "8014" => udi.master_udi_di = text(),
        "30" => udi.quantity = Some(day::number(element.value())),
        // A day with its time says the same day as the element for the day alone.
        "7003" if udi.expires.is_none() => udi.expires = stated.day,
        "8008" if udi.manufactured.is_none() => udi.manufactured = stated.day,
        _ => {}
    }
}

/// An element that stands there twice says the same.
fn repeated(elements: &[Found], found: &mut Findings) {
    let mut sorted: Vec<&UdiElement> = elements.iter().map(|(_, element)| element).collect();
    sorted.sort_by_key(|element| element.id());
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && one.id() == other.id()
            && one.value() != other.value()
        {
            let (one, other, ai) = (quoted(one.value()), quoted(other.value()), one.id());
            found.add(UdiRule::Gs1RepeatConflict, format!("({ai}) is `{one}` and `{other}`, wanted one value"));
        }
    }
}

/// Each element has those that it needs beside it, and none that it excludes.
fn associated(elements: &[Found], found: &mut Findings) {
    let mut present: Vec<&str> = elements.iter().map(|(_, element)| element.id()).collect();
    present.sort_unstable();
    present.dedup();
    // None is the start of another, so that those that match a pattern stand together in the order.
    let first_with = |prefix: &str| present.partition_point(|ai| *ai < prefix);
    let matching = |pattern: &str, but: &str| {
        let prefix = pattern.trim_end_matches('n');
        let rest = present.get(first_with(prefix)..).unwrap_or_default();
        rest.iter().take_while(|ai| ai.starts_with(prefix)).find(|ai| **ai != but).copied()
    };
    let mut done: Vec<&str> = Vec::new();
    for (row, element) in elements {
        let ai = element.id();
        match done.binary_search(&ai) {
            Ok(_) => continue,
            Err(at) => done.insert(at, ai),
        }
        for excluded in row.excludes.split(',').filter(|one| !one.is_empty()) {
            let own = ai.get(..ai.len() - 1).unwrap_or_default();
            if let Some(other) = matching(if excluded == "=" { own } else { excluded }, ai) {
                found.add(UdiRule::Gs1Excludes, format!("({ai}) and ({other}) are an invalid pair"));
            }
        }
        let mut alternatives = row.requires.split(',').filter(|one| !one.is_empty()).peekable();
        if !found.partial
            && alternatives.peek().is_some()
            && !alternatives.any(|all| all.split('+').all(|one| matching(one, "").is_some()))
        {
            let wanted = row.requires.replace(',', ", ");
            found.add(UdiRule::Gs1Requires, format!("({ai}) stands without what it needs, wanted one of {wanted}"));
        }
    }
}

pub(super) fn to_hrf(udi: &Udi) -> String {
    let mut out = String::new();
    for element in &udi.elements {
        out.extend(["(", element.id(), ")"]);
        push_escaped(&mut out, element.value(), |text| bracketed(text, '(', ')').is_some());
    }
    out
}

pub(super) fn to_aidc(udi: &Udi) -> String {
    let mut out = String::new();
    for (index, element) in udi.elements.iter().enumerate() {
        out.extend([element.id(), element.value()]);
        if Row::predefined_length(element.id()).is_none() && index + 1 < udi.elements.len() {
            out.push(GS);
        }
    }
    out
}
