//! Language tags of BCP 47: checks of their syntax and of their registered subtags.
//!
//! `subtags.txt` has the subtags of IANA's registry, in lower case and separated by blanks; three-letter languages are
//! the first two letters, a colon, and all third letters.

use oxilangtag::LanguageTag;
use std::sync::LazyLock;

const REGISTRY: &str = include_str!("subtags.txt");

/// Sections of the registry, each with its subtags sorted: every CodeableConcept of languages needs a look-up.
static SECTIONS: LazyLock<Vec<(&str, Vec<&str>)>> = LazyLock::new(|| {
    let sections = REGISTRY.lines().filter_map(|line| line.split_once(' '));
    let sorted = sections.map(|(name, subtags)| {
        let mut subtags: Vec<&str> = subtags.split(' ').collect();
        subtags.sort_unstable();
        (name, subtags)
    });
    sorted.collect()
});

/// The subtags of two letters, each by the number of its letters: the languages and the regions.
static PAIRS: LazyLock<[Vec<bool>; 2]> = LazyLock::new(|| {
    ["language ", "region "].map(|name| {
        let letters = || b'a'..=b'z';
        let pairs = letters().flat_map(|first| letters().map(move |second| [first, second]));
        pairs.map(|pair| std::str::from_utf8(&pair).is_ok_and(|pair| is_in(name, pair))).collect()
    })
});

/// Returns whether a tag is a registered language of two letters, with a registered region of two letters or without one, as
/// nearly every tag is.
fn is_common(tag: &str) -> bool {
    let [languages, regions] = &*PAIRS;
    let has = |pairs: &[bool], first: u8, second: u8| {
        let letter = |byte: u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_lowercase() - b'a'));
        let number = letter(first).zip(letter(second)).map(|(first, second)| first * 26 + second);
        number.and_then(|number| pairs.get(number)).copied().unwrap_or_default()
    };
    match *tag.as_bytes() {
        [first, second] => has(languages, first, second),
        [first, second, b'-', third, fourth] => has(languages, first, second) && has(regions, third, fourth),
        _ => false,
    }
}

/// Fault of a language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagFault<'t> {
    /// The tag does not have the syntax of BCP 47.
    Malformed,
    /// The subtag has a valid position, but is not registered.
    Unregistered(&'t str),
}

/// Checks a language tag.
pub(crate) fn check_tag(tag: &str) -> Result<(), TagFault<'_>> {
    if is_common(tag) {
        return Ok(());
    }
    let parsed = LanguageTag::parse(tag).map_err(|_| TagFault::Malformed)?;
    let primary = parsed.primary_language();
    // Private-use tags, and tags that were registered as a whole before their subtags.
    if tag.as_bytes().get(1) == Some(&b'-') || (primary == tag && tag.contains('-')) {
        return Ok(());
    }
    let known = |subtag: &str, section: &str| is_in(section, subtag);
    let place = |subtag: &str| position(tag, subtag);
    if !is_language(primary) {
        return Err(TagFault::Unregistered(place(primary)));
    }
    let extended = parsed.extended_language_subtags().find(|subtag| !known(subtag, "extlang "));
    let script = parsed.script().filter(|subtag| !known(subtag, "script ") && !is_private_script(subtag));
    let region = parsed.region().filter(|subtag| !known(subtag, "region ") && !is_private_region(subtag));
    let variant = parsed.variant_subtags().find(|subtag| !known(subtag, "variant "));
    match extended.or(script).or(region).or(variant) {
        Some(subtag) => Err(TagFault::Unregistered(place(subtag))),
        None => Ok(()),
    }
}

/// Returns the subtag as written in the tag.
fn position<'t>(tag: &'t str, subtag: &str) -> &'t str {
    tag.split('-').find(|one| *one == subtag).unwrap_or(tag)
}

fn section(name: &str) -> &'static [&'static str] {
    let found = SECTIONS.iter().find(|(own, _)| *own == name.trim_end());
    found.map(|(_, subtags)| subtags.as_slice()).unwrap_or_default()
}

fn is_in(name: &str, subtag: &str) -> bool {
    let lower = || subtag.bytes().map(|byte| byte.to_ascii_lowercase());
    section(name).binary_search_by(|one| one.bytes().cmp(lower())).is_ok()
}

fn is_language(subtag: &str) -> bool {
    let Some((first, third)) = subtag.split_at_checked(2).filter(|(_, third)| third.len() == 1) else {
        return is_in("language ", subtag);
    };
    // qaa to qtz are for private use.
    let second = first.as_bytes().get(1).map(u8::to_ascii_lowercase);
    if first.starts_with(['q', 'Q']) && matches!(second, Some(b'a'..=b't')) {
        return true;
    }
    let rows = section("language3 ").iter().filter_map(|row| row.split_once(':'));
    let mut letters = rows.filter(|(own, _)| own.eq_ignore_ascii_case(first)).map(|(_, letters)| letters);
    letters.any(|letters| third.chars().all(|c| letters.contains(c.to_ascii_lowercase())))
}

/// Returns whether a script is for private use: Qaaa to Qabx.
fn is_private_script(subtag: &str) -> bool {
    let mut letters = subtag.bytes().map(|byte| byte.to_ascii_lowercase());
    let mut next = || letters.next().unwrap_or_default();
    let (start, third, last) = ([next(), next()], next(), next());
    start == [b'q', b'a'] && (third == b'a' || (third == b'b' && last <= b'x'))
}

/// Returns whether a region is for private use: QM to QZ, XA to XZ.
fn is_private_region(subtag: &str) -> bool {
    let mut letters = subtag.bytes().map(|byte| byte.to_ascii_lowercase());
    match (letters.next(), letters.next()) {
        (Some(b'q'), Some(second)) => (b'm'..=b'z').contains(&second),
        (Some(b'x'), Some(second)) => second.is_ascii_lowercase(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_language_tag_is_valid() {
        for good in [
            "de",
            "en-US",
            "zh-Hant-TW",
            "x-klingon",
            "gsw",
            "sl-rozaj-biske",
            "de-CH-1996",
            "es-419",
            "zh-yue-HK",
            "de-u-co-phonebk",
            "i-klingon",
            "en-GB-oed",
            "art-lojban",
            "qaa-Qaaa-QM-x-southern",
            "EN-us",
            "fil",
            "en-x-a",
        ] {
            assert_eq!(check_tag(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn malformed_tag_differs_from_an_unregistered_one() {
        for bad in ["de-", "a", "de_DE", "", "-de", "de--DE", "deutschland-x", "de-a", "1", "de DE", "de-DE-", "ü"] {
            assert_eq!(check_tag(bad), Err(TagFault::Malformed), "{bad}");
        }
        for (odd, subtag) in [
            ("english", "english"),
            ("xx", "xx"),
            ("de-XQ", ""),
            ("de-Abcd-DE", "Abcd"),
            ("de-ZY", "ZY"),
            ("de-abcde", "abcde"),
        ] {
            let wanted = if subtag.is_empty() { Ok(()) } else { Err(TagFault::Unregistered(subtag)) };
            assert_eq!(check_tag(odd), wanted, "{odd}");
        }
    }
}
