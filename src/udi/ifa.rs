//! IFA: data identifiers of ASC MH10 and values, in format 06 of ISO/IEC 15434.
//!
//! Source: IFA, UDI specification 2.5. Years of two digits are of this century.

use super::carrier::GS;
use super::day::{number, this_century, yymmdd, yyyymmdd};
use super::gs1::{check_digit, ends_within, push_escaped, value_before};
use super::parsed_udi::keep;
use super::{Agency, CarrierForm, Findings, Udi, UdiElement, UdiRule, check, quoted};

const HEADER: &str = "[)>\u{1e}06\u{1d}";
const TRAILER: &str = "\u{1e}\u{4}";

/// The data identifiers of a device, and the price and the web address that may stand beside them.
const KNOWN: [&str; 9] = ["9N", "8P", "1T", "S", "D", "16D", "Q", "27Q", "33L"];

pub(super) fn parse(data: &str, form: CarrierForm, found: &mut Findings) -> Udi {
    let mut udi = Udi::empty(Agency::Ifa);
    let elements = match form {
        CarrierForm::Hrf => split_hrf(data, found),
        _ => split_aidc(data, found),
    };
    let Some(elements) = elements else { return udi };
    let (mut di, mut gtin) = (None, None);
    for element in &elements {
        let (id, value) = (element.id(), element.value());
        let rule = UdiRule::RepeatConflict;
        if !KNOWN.contains(&id) {
            let message = format!("`{id}` is no data identifier of a device, wanted one of {}", KNOWN.join(", "));
            found.warn(UdiRule::IfaOtherDi, message);
        }
        if !characters(element, found) {
            continue;
        }
        match id {
            "9N" => {
                check_value(value, found);
                let (place, what) = if value.starts_with("MA") {
                    (&mut udi.master_udi_di, "the Master UDI-DI")
                } else {
                    (&mut di, "the product")
                };
                keep(place, value.into(), what, rule, found);
            }
            "8P" => {
                if value.len() == 14 && value.bytes().all(|byte| byte.is_ascii_digit()) {
                    check_digit(value, id, found);
                    gtin = Some(value);
                } else {
                    found.add(UdiRule::IfaLength, format!("`{}` of (8P) is no GTIN, wanted 14 digits", quoted(value)));
                }
            }
            "1T" => keep(&mut udi.lot, value.into(), "the batch", rule, found),
            "S" => keep(&mut udi.serial, value.into(), "the serial number", rule, found),
            "Q" if value.len() <= 9 && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                keep(&mut udi.quantity, number(value), "the quantity", rule, found);
            }
            "D" if has_digits(element, 6, found) => {
                if let Some(day) = yymmdd(value, this_century, true, found) {
                    keep(&mut udi.expires, day, "the last day of use", rule, found);
                }
            }
            "16D" if has_digits(element, 8, found) => {
                if let Some(day) = yyyymmdd(value, found) {
                    keep(&mut udi.manufactured, day, "the day of manufacture", rule, found);
                }
            }
            _ => {}
        }
    }
    match (di, gtin) {
        (Some(di), _) => udi.di = di,
        (None, Some(gtin)) if found.lenient() => {
            found.add(UdiRule::IfaGtinAlone, format!("`{gtin}` in 8P stands alone, wanted the product in 9N"));
            udi.di = gtin.into();
        }
        (None, _) => {
            found.no_di(format!("`{}` has no product in 9N, wanted a PPN or an HPC", quoted(data)));
        }
    }
    udi.elements = elements;
    udi
}

/// Returns the data identifier that a text begins with, and the rest.
fn leading(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let (id, rest) = text.split_at_checked(digits + 1)?;
    (digits <= 3 && id.ends_with(|c: char| c.is_ascii_uppercase())).then_some((id, rest))
}

/// Returns the data identifier in parentheses at the start of a text, and the rest.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = leading(text.strip_prefix('(')?)?;
    Some((id, rest.strip_prefix(')')?))
}

/// Splits what a scanner sends: format 06, or the form of DIN 16598 that keyboards can write.
fn split_aidc(data: &str, found: &mut Findings) -> Option<Vec<UdiElement>> {
    let (body, separator) = match data.strip_prefix('.') {
        Some(body) => (body, '^'),
        None => match data.strip_prefix(HEADER).and_then(|body| body.strip_suffix(TRAILER)) {
            Some(body) => (body, GS),
            None => {
                let wanted = "wanted `[)>` RS `06` GS before the data and RS EOT after them";
                found.add(UdiRule::IfaEnvelope, format!("`{}` is not in format 06, {wanted}", quoted(data)));
                return None;
            }
        },
    };
    let mut elements = Vec::new();
    for field in body.split(separator) {
        match leading(field) {
            Some((id, value)) => elements.push(UdiElement::new(id, value)),
            None => unknown(field, found),
        }
    }
    Some(elements)
}

/// Splits what people read: data identifiers in parentheses, each before its value.
fn split_hrf(data: &str, found: &mut Findings) -> Option<Vec<UdiElement>> {
    let mut elements = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let Some((id, body)) = bracketed(rest) else {
            unknown(rest, found);
            return None;
        };
        let (value, after) = value_before(body, |text| bracketed(text).is_some(), '(');
        // A web address, and what identifies no device, may have blanks.
        let trimmed = if matches!(id, "9N" | "8P" | "1T" | "S" | "D" | "16D") { value.trim() } else { &value };
        if trimmed.len() != value.len() {
            found.add(UdiRule::Blank, format!("`{}` of ({id}) has blanks around it, wanted none", quoted(&value)));
        }
        if after.is_empty() && ends_within(trimmed, '(') {
            found.warn(UdiRule::Truncated, format!("`{}` ends within a data identifier", quoted(data)));
        }
        elements.push(UdiElement::new(id, trimmed));
        rest = after;
    }
    Some(elements)
}

fn unknown(text: &str, found: &mut Findings) {
    let wanted = "wanted one of up to three digits and a letter";
    found.add(UdiRule::IfaUnknownDi, format!("`{}` begins with no data identifier, {wanted}", quoted(text)));
}

/// Returns whether a value has characters of its element and a length that it may have.
fn characters(element: &UdiElement, found: &mut Findings) -> bool {
    let (id, value) = (element.id(), element.value());
    if id == "9N" {
        return true; // Checked as a whole.
    }
    let dense = matches!(id, "1T" | "S");
    // A backslash is no character of any element: it tells data from identifiers where people read them.
    if let Some(bad) = value.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ' && !dense) || *c == '\\') {
        let message = format!("`{}` of ({id}) has `{bad}`, wanted printable ASCII characters", quoted(value));
        found.add(UdiRule::IfaCharset, message);
        return false;
    }
    if value.is_empty() || dense && value.len() > 20 {
        let wanted = if dense { "1 to 20" } else { "at least 1" };
        let message = format!("`{}` of ({id}) has the length {}, wanted {wanted}", quoted(value), value.len());
        found.add(UdiRule::IfaLength, message);
        return false;
    }
    true
}

fn has_digits(element: &UdiElement, count: usize, found: &mut Findings) -> bool {
    let good = element.value().len() == count && element.value().bytes().all(|byte| byte.is_ascii_digit());
    if !good {
        let message = format!("`{}` of ({}) is no date, wanted {count} digits", quoted(element.value()), element.id());
        found.add(UdiRule::IfaDateField, message);
    }
    good
}

/// Checks a PPN, an HPC, a Master UDI-DI or a number of another agency.
fn check_value(value: &str, found: &mut Findings) {
    let agency = value.get(..2).unwrap_or_default();
    let (name, shape, lengths) = match agency {
        "11" => ("PPN", "12 digits", 12..=12),
        // Until version 1.04 there was no packaging level index; where one is, it stands before the check digits.
        "13" if level(value).is_some() => ("HPC", "11 to 28 characters of 0-9A-Z.-", 11..=28),
        "13" => ("HPC", "10 to 28 characters of 0-9A-Z.-", 10..=28),
        "MA" => ("Master UDI-DI", "10 to 28 characters of 0-9A-Z.-", 10..=28),
        "12" | "14" | "15" | "16" | "17" | "18" | "19" | "20" | "21" | "22" | "23" | "24" => {
            ("national number", "5 to 28 characters of 0-9A-Z.-", 5..=28)
        }
        _ => {
            let message = format!("`{}` of (9N) begins with no agency code, wanted 11 to 24 or MA", quoted(value));
            return found.add(UdiRule::IfaPraCode, message);
        }
    };
    let (body, digits) = value.split_at_checked(value.len().saturating_sub(2)).unwrap_or_default();
    let holds = |byte: u8| match agency {
        "11" => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b'.' | b'-'),
    };
    let ends_right = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !(lengths.contains(&value.len()) && body.bytes().all(holds) && ends_right) {
        let message =
            format!("`{}` of (9N) is no {name}, wanted {shape}, the last two its check digits", quoted(value));
        return found.add(UdiRule::IfaPpnFormat, message);
    }
    if agency == "13" && level(value) == Some('9') {
        let message = format!("`{value}` of (9N) has the packaging level 9, which is reserved, wanted 0 to 8");
        return found.add(UdiRule::IfaHpcPli, message);
    }
    let wanted = check::ifa_digits(body);
    if number(digits) != u32::from(wanted) {
        let message = format!("`{value}` of (9N) ends with {digits}, wanted the check digits {wanted:02}");
        return found.add(UdiRule::IfaCheckDigits, message);
    }
    if agency == "11" {
        pzn(body, found);
    }
}

/// Returns the packaging level index of an HPC, where there is a digit in its place.
fn level(value: &str) -> Option<char> {
    value.chars().rev().nth(2).filter(char::is_ascii_digit)
}

fn pzn(body: &str, found: &mut Findings) {
    let (digits, last) = body.get(2..).and_then(|pzn| pzn.split_at_checked(7)).unwrap_or_default();
    let wanted = check::pzn_digit(digits);
    if wanted.is_none_or(|wanted| !last.starts_with(wanted)) {
        let wanted = wanted.map_or_else(|| "another number".to_owned(), |wanted| format!("the check digit {wanted}"));
        found.add(UdiRule::IfaPznCheckDigit, format!("`{digits}{last}` is no PZN, wanted {wanted}"));
    }
}

pub(super) fn to_hrf(udi: &Udi) -> String {
    let mut out = String::new();
    for element in &udi.elements {
        out.extend(["(", element.id(), ")"]);
        push_escaped(&mut out, element.value(), |text| bracketed(text).is_some());
    }
    out
}

pub(super) fn to_aidc(udi: &Udi) -> String {
    let mut out = HEADER.to_owned();
    for (index, element) in udi.elements.iter().enumerate() {
        if index > 0 {
            out.push(GS);
        }
        out.extend([element.id(), element.value()]);
    }
    out.push_str(TRAILER);
    out
}
