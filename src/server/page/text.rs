//! Sizes, times and texts formatted for readers.

use maud::{Markup, html};
use std::borrow::Cow;
use time::OffsetDateTime;
use time::macros::format_description;

/// Maximum HTML bytes of a client's text, where many such texts are on a page.
const MOST: usize = 80;

/// Shortens a client's text, so that a page stays small.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    let mut bytes = 0_usize;
    let too_much = |(_, c): &(usize, char)| {
        bytes += match c {
            '&' => 5,
            '<' | '>' => 4,
            '"' => 6,
            c => c.len_utf8(),
        };
        bytes > MOST
    };
    match text.char_indices().find(too_much) {
        Some((end, _)) => Cow::Owned(format!("{}\u{2026}", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Returns a message of the service as a sentence. It may repeat a client's text, and is shortened.
pub(super) fn sentence(text: &str) -> String {
    const LONGEST: usize = 400;
    let mut chars = text.chars().take(LONGEST);
    let mut whole: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    whole.extend(chars);
    if text.chars().nth(LONGEST).is_some() {
        whole.push('\u{2026}');
    } else if !whole.ends_with(['.', '!', '?']) {
        whole.push('.');
    }
    whole
}

/// Formats a number of bytes.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}

/// Formats a time.
pub(super) fn time(at: OffsetDateTime) -> Markup {
    let at = at.to_offset(time::UtcOffset::UTC);
    let exact = at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap_or_default();
    let shown = at.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC")).unwrap_or_default();
    html! { time datetime=(exact) { (shown) } }
}

/// Returns a badge. Its kind is also told by the words, not by the colour alone.
pub(super) fn badge(kind: &str, words: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_short_ones_stay() {
        assert_eq!(short("Vista 900"), "Vista 900");
        assert_eq!(short(&"\u{e4}".repeat(500)).chars().count(), MOST / 2 + 1);
        assert_eq!(short(&"\"".repeat(500)).chars().count(), MOST / 6 + 1);
    }

    #[test]
    fn words_of_the_service_become_a_sentence() {
        assert_eq!(sentence("the file is `a`"), "The file is `a`.");
        assert!(sentence(&"x".repeat(500)).ends_with('\u{2026}'));
    }

    #[test]
    fn sizes_and_times_are_readable() {
        assert_eq!((size(7).as_str(), size(1_025).as_str(), size(3 << 20).as_str()), ("7 bytes", "2 KiB", "3 MiB"));
        let at = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(time(at).into_string(), "<time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00 UTC</time>");
    }
}
