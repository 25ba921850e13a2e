//! Decimals with an exponent, which R4 and R5 allow and STU3 does not.
//!
//! In STU3 the number stands without the exponent, and what was written beside it in an extension; where it would have too
//! many digits, in the extension alone.

use super::Direction;
use super::carry::{edited, has_only, push_under, take_under};
use super::context::{Context, Key, relative};
use super::json::{Json, Object};
use super::walk::Kind;
use crate::issue::Path;
use std::borrow::Cow;

const WRITTEN: &str = x4!("decimal.value");
const ELEMENT: &str = "decimal.value";

/// The most digits of a number that is written without its exponent.
const LONGEST: usize = 64;

/// Whether a member is a decimal.
fn is_decimal(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Quantity | Kind::Money => name == "value",
        Kind::Extension => name == "valueDecimal",
        Kind::SampledData => matches!(name, "period" | "factor" | "lowerLimit" | "upperLimit"),
        Kind::Repeat => matches!(name, "duration" | "durationMax" | "period" | "periodMax"),
        Kind::Bundle => name == "score",
        _ => false,
    }
}

/// Converts the decimals of an object, the values in it being converted.
pub(super) fn convert(ctx: &mut Context<'_>, object: &mut Object<'_>, kind: Kind, at: &Path<'_>) {
    match ctx.direction {
        Direction::R4ToStu3 => {
            let has_exponent = |(name, value): &(Cow<'_, str>, Json<'_>)| match value {
                Json::Token(number) => number.contains(['e', 'E']) && is_decimal(kind, name) && is_number(number),
                _ => false,
            };
            while let Some(index) = object.members.iter().position(has_exponent) {
                without_exponent(ctx, object, index, at);
            }
        }
        // What is carried was seen before.
        Direction::Stu3ToR4 if ctx.has_own_extensions => {
            let names: Vec<String> =
                object.members.iter().filter_map(|(name, extra)| carrier(kind, name, extra)).collect();
            for name in names {
                restore(ctx, object, &name, at);
            }
        }
        _ => {}
    }
}

/// A number, and no `true` or `false`.
fn is_number(token: &str) -> bool {
    token.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn without_exponent(ctx: &mut Context<'_>, object: &mut Object<'_>, index: usize, at: &Path<'_>) {
    let Some((name, Json::Token(number))) = object.members.get_mut(index) else { return };
    let name = name.clone().into_owned();
    let plain = plain(number);
    let key = if plain.is_some() { Key::Rewritten } else { Key::Carried };
    let written = match plain {
        Some(plain) => std::mem::replace(number, plain.into()),
        None => match object.members.remove(index) {
            (_, Json::Token(number)) => number,
            _ => return,
        },
    };
    push_under(object, &name, Object::of([("url", Json::text(WRITTEN)), ("valueString", Json::Text(written))]));
    let place = relative(&at.child(&name));
    ctx.find(key, ELEMENT, "STU3 has no exponents", place.clone(), place);
}

/// The name of the decimal whose member for id and extensions this is, where it carries a number as it was written.
fn carrier(kind: Kind, name: &str, extra: &Json<'_>) -> Option<String> {
    let name = name.strip_prefix('_').filter(|name| is_decimal(kind, name))?;
    let extensions = extra.as_object()?.get("extension")?.items();
    extensions.iter().filter_map(Json::as_object).any(is_carrier).then(|| name.to_owned())
}

/// Whether an extension is one that this crate writes.
fn is_carrier(extension: &Object<'_>) -> bool {
    let is_written = |text: &str| Number::parse(text).is_some();
    extension.text("url") == Some(WRITTEN)
        && has_only(extension, "valueString")
        && extension.text("valueString").is_some_and(is_written)
}

/// Puts a number back as it was written, unless it was changed since.
fn restore(ctx: &mut Context<'_>, object: &mut Object<'_>, name: &str, at: &Path<'_>) {
    let Some(mut carried) = take_under(ctx, object, name, WRITTEN, is_carrier) else { return };
    let Some(Json::Text(written)) = carried.take("valueString") else { return };
    let is_same = match (object.get(name), plain(&written)) {
        (Some(Json::Token(number)), Some(plain)) => *number == plain,
        (None, None) => true,
        _ => false,
    };
    if is_same {
        object.put(name.to_owned(), Json::Token(written));
    } else {
        edited(ctx, ELEMENT, relative(&at.child(name)));
    }
}

/// A number with an exponent, taken apart.
struct Number<'t> {
    sign: &'t str,
    whole: &'t str,
    fraction: &'t str,
    /// The sign and the digits behind the `e`.
    exponent: &'t str,
}

impl<'t> Number<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let sign = if unsigned.len() < text.len() { "-" } else { "" };
        let (number, exponent) = unsigned.split_once(['e', 'E'])?;
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (number, ""),
        };
        let is_whole = digits(whole) && (whole == "0" || !whole.starts_with('0'));
        let is_number = is_whole && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
        is_number.then_some(Self { sign, whole, fraction, exponent })
    }
}

/// The same number without its exponent, where it is not too long.
fn plain(written: &str) -> Option<String> {
    let Number { sign, whole, fraction, exponent } = Number::parse(written)?;
    let digits = [whole, fraction].concat();
    if digits.bytes().all(|digit| digit == b'0') {
        return Some([sign, "0"].concat());
    }
    let point = exponent.parse::<i64>().ok()?.checked_add(i64::try_from(whole.len()).ok()?)?;
    let (ahead, behind) = match usize::try_from(point) {
        Ok(point) => (point, point.max(digits.len())),
        Err(_) => (0, digits.len().checked_add(usize::try_from(point.checked_neg()?).ok()?)?),
    };
    // The zero ahead of a point is a digit, too.
    if behind + usize::from(ahead == 0) > LONGEST {
        return None;
    }
    // Zeros on both sides, so that the point is between two digits.
    let padded = if point < 0 { format!("{digits:0>behind$}") } else { format!("{digits:0<behind$}") };
    let (whole, fraction) = padded.split_at_checked(ahead)?;
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Some(if fraction.is_empty() { [sign, whole].concat() } else { [sign, whole, ".", fraction].concat() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_written_without_its_exponent() {
        for (written, number) in [
            ("1e3", Some("1000")),
            ("1E+3", Some("1000")),
            ("1.50e2", Some("150")),
            ("1.50e1", Some("15.0")),
            ("-1.50e-1", Some("-0.150")),
            ("1.5e-7", Some("0.00000015")),
            ("0.001e2", Some("0.1")),
            ("0.00e99999999999999999999", Some("0")),
            ("-0e0", Some("-0")),
            ("12e0", Some("12")),
            ("1e63", Some(&*format!("1{}", "0".repeat(63)))),
            ("1e64", None),
            ("1e-64", None),
            ("1e-9223372036854775808", None),
            ("1e99999999999999999999", None),
            ("1000", None),
            ("01e3", None),
            ("1.e3", None),
            ("1e", None),
            ("1e+-3", None),
        ] {
            assert_eq!(plain(written).as_deref(), number, "{written}");
        }
    }
}
