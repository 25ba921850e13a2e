//! Narratives in which nothing is to be found, told by one pass over their bytes: what most are.

use super::xhtml::{Content, Element, Stage, element_of};

/// The start of nearly every narrative.
const ROOT: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">";

/// How many elements may be open at once in a narrative that is told so.
const DEEPEST: usize = 16;

/// What a byte of the text between two tags says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    /// White space of XML.
    Space,
    /// Something that is read: a visible character of ASCII.
    Seen,
    /// A part of another character, which may be a space too.
    Other,
    /// The start of a tag.
    Tag,
    /// What takes more to know: a reference, a bracket that may end a section, a control character, and the first byte of the
    /// characters that XML does not have.
    Doubtful,
}

#[expect(clippy::indexing_slicing, reason = "the index stays below the length of the table")]
const BYTES: [Byte; 256] = {
    let mut table = [Byte::Seen; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' => Byte::Space,
            b'<' => Byte::Tag,
            b'&' | b']' | 0..b' ' | 0x7f | 0xef => Byte::Doubtful,
            0x80.. => Byte::Other,
            _ => Byte::Seen,
        };
        byte += 1;
    }
    table
};

/// An element that is open.
#[derive(Clone, Copy)]
struct Frame {
    name: &'static str,
    content: Content,
    stage: Stage,
}

/// The elements that are open.
struct Open {
    frames: [Frame; DEEPEST],
    depth: usize,
}

impl Open {
    fn last(&mut self) -> Option<&mut Frame> {
        self.depth.checked_sub(1).and_then(|last| self.frames.get_mut(last))
    }

    /// Opens an element; [`None`] where too many are open.
    fn push(&mut self, element: &Element) -> Option<()> {
        let frame = self.frames.get_mut(self.depth)?;
        *frame = Frame { name: element.name, content: element.content, stage: Stage::Empty };
        self.depth += 1;
        Some(())
    }
}

/// Returns whether a check of the `div` would find nothing, and meet no address: it has text without references, and elements
/// without attributes, each where it may stand. False where it takes more to know.
pub(super) fn is_plain(div: &str) -> bool {
    div.strip_prefix(ROOT).and_then(|inside| scan(inside.as_bytes())) == Some(true)
}

/// Goes over what follows the start of the root, and says whether it has a text; [`None`] where it takes more to know.
fn scan(inside: &[u8]) -> Option<bool> {
    let root = Frame { name: "div", content: Content::Flow, stage: Stage::Empty };
    let mut open = Open { frames: [root; DEEPEST], depth: 1 };
    let mut said = false;
    let mut rest = inside;
    loop {
        let (text, seen, after) = text_run(rest)?;
        said |= seen == Byte::Seen;
        let last = open.last()?;
        if text && !last.content.has_text() && (seen != Byte::Space || last.content == Content::Nothing) {
            return None;
        }
        if let Some(close) = after.strip_prefix(b"/") {
            rest = close.strip_prefix(last.name.as_bytes())?.strip_prefix(b">")?;
            if last.content.missing(last.stage).is_some() {
                return None;
            }
            open.depth -= 1;
            if open.depth == 0 {
                return rest.is_empty().then_some(said);
            }
            continue;
        }
        let length = after.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
        let (name, after) = after.split_at_checked(length)?;
        let element = std::str::from_utf8(name).ok().and_then(element_of)?;
        if !element.required().is_empty() {
            return None;
        }
        last.stage = last.content.after(last.stage, element.name, element.kind)?;
        match after {
            [b'>', after @ ..] => {
                open.push(element)?;
                rest = after;
            }
            [b'/', b'>', after @ ..] if element.content.missing(Stage::Empty).is_none() => rest = after,
            _ => return None,
        }
    }
}

/// Returns whether there is a text before the next tag, what of it counts most, and what follows the `<`.
#[expect(clippy::indexing_slicing, reason = "a byte is an index of a table of 256")]
fn text_run(bytes: &[u8]) -> Option<(bool, Byte, &[u8])> {
    let mut most = Byte::Space;
    for (index, byte) in bytes.iter().enumerate() {
        match BYTES[usize::from(*byte)] {
            Byte::Space => {}
            Byte::Seen => most = Byte::Seen,
            Byte::Other if most == Byte::Space => most = Byte::Other,
            Byte::Other => {}
            Byte::Tag => return Some((index > 0, most, bytes.get(index + 1..)?)),
            Byte::Doubtful => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::narrative::narrative_in_full;
    use super::*;
    use crate::issue::{Path, Report};
    use proptest::prelude::*;

    fn of(content: &str) -> String {
        format!("{ROOT}{content}</div>")
    }

    #[test]
    fn usual_narratives_are_plain() {
        for content in [
            "A pump",
            "<p><b>Pump</b> no. 7<br/></p>",
            "<table><tr><td>a</td><td>b</td></tr></table>",
            "<ul>\n<li>\u{e4} 1</li></ul>",
        ] {
            assert!(is_plain(&of(content)), "{content}");
        }
        for content in [
            "",
            " ",
            "\u{a0}",
            "a&b",
            "a]]>b",
            "<p>a",
            "a</div>",
            "<p>a</b>",
            "<p class=\"x\">a</p>",
            "<ul>a</ul>",
            "a<ul/>",
            "<p>a<p>b</p></p>",
            "<script>a</script>",
            "<img/>",
            "a<br> </br>",
            "a\u{1}",
            "a\u{fffe}",
            "<!-- a -->a",
        ] {
            assert!(!is_plain(&of(content)), "{content}");
        }
    }

    proptest! {
        #[test]
        fn plain_narratives_have_no_findings(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", " ", "\u{e4}", "\u{a0}", "&amp;", "]]>", "<p>", "</p>", "<b>", "</b>", "<br/>", "<ul>", "</ul>", "<li>", "</li>",
                "<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<a href=\"#x\">", "</a>", "<img/>", "<hr></hr>", "</div>",
                "<div>", "<pre>", "</pre>", "<x>", "</x>", "\u{1}", "<!-- a -->",
            ]), 0..12),
        ) {
            let div = of(&parts.concat());
            let (mut report, mut shown) = (Report::new(), 0);
            narrative_in_full(&div, &Path::root("div"), &mut report, &mut |_| shown += 1);
            prop_assert!(!is_plain(&div) || (report.is_empty() && shown == 0), "{}: {}", div, report);
        }
    }
}
