//! ICCBBA: structures of ISBT 128, each with an identifier of its own and a fixed length.
//!
//! Source: ICCBBA ST-001 (structures) and ST-017 (those of a device).

use super::day::{Day, number, ordinal};
use super::parsed_udi::keep;
use super::{Agency, Findings, Udi, UdiElement, UdiRule, check, quoted};
use smol_str::SmolStr;

/// The characters of a structure.
#[derive(Clone, Copy)]
enum Set {
    Digits,
    Upper,
    Alphanumeric,
}

impl Set {
    const fn holds(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::Upper => c.is_ascii_digit() || c.is_ascii_uppercase(),
            Self::Alphanumeric => c.is_ascii_alphanumeric(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Upper => "upper case letters and digits",
            Self::Alphanumeric => "letters and digits",
        }
    }
}

/// The identifier of a structure, the length after it, and its characters. The donation number comes last, as its
/// identifier is the start of others.
const STRUCTURES: [(&str, usize, Set); 10] = [
    ("=+", 5, Set::Digits),
    ("=/", 16, Set::Upper),
    ("=,", 6, Set::Upper),
    ("=>", 6, Set::Digits),
    ("=}", 6, Set::Digits),
    ("=*", 6, Set::Digits),
    ("=)", 10, Set::Alphanumeric),
    ("&)", 10, Set::Alphanumeric),
    ("&,1", 18, Set::Alphanumeric),
    ("=", 15, Set::Upper),
];

/// The digits of a GTIN.
const GTIN: usize = 14;

pub(super) fn parse(data: &str, found: &mut Findings) -> Udi {
    let mut udi = Udi::empty(Agency::Iccbba);
    let mut di = None;
    let mut rest = data;
    while !rest.is_empty() {
        let Some((id, length, set)) = structure(rest) else {
            if di.is_some() {
                let message = format!("`{}` begins with no structure of a device", quoted(rest));
                found.add(UdiRule::IccbbaUnknownStructure, message);
            }
            break;
        };
        let body = rest.get(id.len()..).unwrap_or_default();
        let gtin = id == "=/" && found.lenient() && is_gtin(body);
        let length = if gtin { GTIN } else { length };
        let end = body.char_indices().nth(length).map_or(body.len(), |(end, _)| end);
        let (value, after) = body.split_at_checked(end).unwrap_or((body, ""));
        let sound = if gtin {
            found.add(UdiRule::IccbbaGtin, format!("`{value}` after `=/` is a GTIN, wanted 16 characters"));
            true
        } else {
            sound(id, value, length, set, found)
        };
        if sound {
            understand(id, value, &mut udi, &mut di, found);
        } else if matches!(id, "=/" | "=)") {
            // It is there; that it is wrong has been said.
            di.get_or_insert_with(SmolStr::default);
        }
        udi.elements.push(UdiElement::new(id, value));
        // The tables of the FDA print a blank between the two structures of a blood container.
        rest = if id == "=)" && after.starts_with(" &)") { after.trim_start() } else { after };
    }
    if di.is_none() {
        found.no_di(format!("`{}` has neither `=/` nor `=)`, wanted the product", quoted(data)));
    }
    count(&udi, found);
    udi.di = di.unwrap_or_default();
    udi
}

/// The structure that a text begins with.
fn structure(text: &str) -> Option<(&'static str, usize, Set)> {
    STRUCTURES.into_iter().find(|(id, ..)| {
        let rest = text.strip_prefix(id);
        if *id == "=" { rest.is_some_and(|rest| rest.starts_with(facility)) } else { rest.is_some() }
    })
}

/// Returns whether a donation number may begin so.
fn facility(c: char) -> bool {
    c != '0' && c != 'O' && Set::Upper.holds(c)
}

/// Whether a text begins with 14 digits and then ends or has another structure.
fn is_gtin(text: &str) -> bool {
    text.split_at_checked(GTIN).is_some_and(|(digits, rest)| {
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (rest.is_empty() || rest.starts_with(['=', '&']))
    })
}

/// Whether a value has the length and the characters of its structure.
fn sound(id: &str, value: &str, length: usize, set: Set, found: &mut Findings) -> bool {
    let charset = |found: &mut Findings, c: char, set: Set| {
        let message = format!("`{}` after `{id}` has `{c}`, wanted {}", quoted(value), set.name());
        found.add(UdiRule::IccbbaCharset, message);
        false
    };
    if let Some(c) = value.chars().find(|c| !set.holds(*c)) {
        return charset(found, c, set);
    }
    if value.len() != length {
        let message = format!("`{value}` after `{id}` has the length {}, wanted {length}", value.len());
        found.add(UdiRule::IccbbaLength, message);
        return false;
    }
    // The facility that begins a donation number and a product code: never with the letter O, nor with a zero first.
    let code = value.get(..5).filter(|_| matches!(id, "=" | "=/")).unwrap_or_default();
    if let Some(c) = code.chars().find(|c| *c == 'O').or_else(|| code.chars().next().filter(|c| !facility(*c))) {
        let message = format!("`{code}` after `{id}` has `{c}`, which the code of a facility cannot have there");
        found.add(UdiRule::IccbbaCharset, message);
        return false;
    }
    let sequence = value.get(5..13).filter(|_| id == "=").unwrap_or_default();
    match sequence.chars().find(|c| !c.is_ascii_digit()) {
        None => true,
        Some(_) if found.lenient() => {
            let message = format!("`{sequence}` of the donation number `{value}` has letters, wanted digits");
            found.add(UdiRule::IccbbaDinLetters, message);
            true
        }
        Some(c) => charset(found, c, Set::Digits),
    }
}

/// Takes what a structure means for a device.
fn understand(id: &str, value: &str, udi: &mut Udi, di: &mut Option<SmolStr>, found: &mut Findings) {
    let rule = UdiRule::RepeatConflict;
    match id {
        "=/" | "=)" => keep(di, value.into(), "the product", rule, found),
        "=," => keep(&mut udi.serial, value.into(), "the serial number", rule, found),
        "&," | "&,1" | "&)" => keep(&mut udi.lot, value.into(), "the lot", rule, found),
        "=" => {
            flags(value, found);
            keep(&mut udi.donation_id, value.into(), "the donation number", rule, found);
        }
        "=>" | "=}" | "=*" => {
            let Some(day) = cyyjjj(value, found) else { return };
            match id {
                "=>" => keep(&mut udi.expires, day, "the last day of use", rule, found),
                "=}" => keep(&mut udi.manufactured, day, "the day of production", rule, found),
                _ => {} // The day of collection identifies no production.
            }
        }
        _ => {}
    }
}

/// Returns a day as the century, the year in it and the day of the year. The century counts from 2000, and 9 is 1900.
fn cyyjjj(value: &str, found: &mut Findings) -> Option<Day> {
    let part = |from, to| number(value.get(from..to).unwrap_or_default()).cast_signed();
    let century = match part(0, 1) {
        9 => 1900,
        later => 2000 + later * 100,
    };
    ordinal(value, century + part(1, 3), number(value.get(3..6).unwrap_or_default()), found)
}

/// Flags from 60 to 96 are the check of a donation number.
fn flags(value: &str, found: &mut Findings) {
    let (din, flags) = value.split_at_checked(13).unwrap_or_default();
    let is_check = flags.bytes().all(|byte| byte.is_ascii_digit()) && (60..=96).contains(&number(flags));
    if let Some(wanted) = check::iso7064_mod37_2(din).filter(|_| is_check)
        && number(flags) != 60 + u32::from(wanted)
    {
        let message = format!("`{value}` ends with the flags {flags}, wanted the check {}", 60 + wanted);
        found.add(UdiRule::IccbbaFlags, message);
    }
}

/// The header of a compound message says how many structures follow.
fn count(udi: &Udi, found: &mut Findings) {
    let mut elements = udi.elements.iter().enumerate();
    let Some((at, header)) = elements.find(|(_, element)| element.id() == "=+") else { return };
    let (stated, follow) = (header.value().get(..2).unwrap_or_default(), udi.elements.len() - at - 1);
    if usize::try_from(number(stated)).ok() != Some(follow) {
        let message = format!("`=+{}` says that {stated} structures follow, and {follow} do", header.value());
        found.add(UdiRule::IccbbaCompoundCount, message);
    }
}

/// Returns the string; the header of a compound message is for machines alone.
pub(super) fn write(udi: &Udi, machine: bool) -> String {
    let parts = udi.elements.iter().filter(|element| machine || element.id() != "=+");
    parts.flat_map(|element| [element.id(), element.value()]).collect()
}
