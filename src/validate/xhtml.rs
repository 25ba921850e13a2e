//! The content and attributes of each XHTML element, by the schema that HL7 publishes with FHIR
//! (`fhir-xhtml.xsd`, XHTML 1.0 Strict without active content and forms), as a table. `map` and `area` are left out with what
//! belongs to them: the schema has them, txt-1 has not.

/// What an element may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Text, blocks and inline elements.
    Flow,
    /// Text and inline elements.
    Inline,
    /// Text and inline elements without `a`.
    Link,
    /// Text and inline elements without `img`.
    Preformatted,
    /// Blocks.
    Block,
    /// `li`, once at least.
    Items,
    /// `dt` and `dd`, once at least.
    Terms,
    /// `caption`, columns, `thead`, `tfoot`, and `tbody` or `tr` once at least, in that order.
    Table,
    /// `tr`, once at least.
    Rows,
    /// `th` and `td`, once at least.
    Cells,
    /// `col`.
    Columns,
    /// Nothing.
    Nothing,
    /// Anything, as the element is unknown itself.
    Any,
}

/// An element: its name, what it holds, and the attributes that it has beside the usual ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) content: Content,
    pub(super) kind: Kind,
    attributes: &'static [(&'static str, Form)],
}

/// The form of the value of an attribute.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Any text, addresses and media types among them.
    Text,
    /// One name token.
    Token,
    /// Name tokens.
    Tokens,
    /// A name without a colon.
    Name,
    /// Names without a colon.
    Names,
    /// A language tag by XML Schema.
    Language,
    /// One character.
    Character,
    /// A whole number, at most so much.
    Number(u64),
    /// Pixels or a percentage.
    Length,
    /// Pixels, a percentage or a share.
    Share,
    /// Lengths parted by commas.
    Lengths,
    /// One of several words.
    Word(&'static str),
}

use Content::*;
use Form::*;

/// The attributes of nearly every element.
const USUAL: &[(&str, Form)] = &[
    ("class", Tokens),
    ("id", Name),
    ("style", Text),
    ("title", Text),
    ("lang", Language),
    ("xml:lang", Language),
    ("dir", Word("ltr rtl")),
];

const NONE: &[(&str, Form)] = &[];
const CITE: &[(&str, Form)] = &[("cite", Text)];
const ALIGN: Form = Word("left center right justify char");
const VALIGN: Form = Word("top middle bottom baseline");
const SHAPE: Form = Word("rect circle poly default");
const GROUP: &[(&str, Form)] = &[("align", ALIGN), ("char", Character), ("charoff", Length), ("valign", VALIGN)];
const COLUMN: &[(&str, Form)] = &[
    ("span", Number(u64::MAX)),
    ("width", Share),
    ("align", ALIGN),
    ("char", Character),
    ("charoff", Length),
    ("valign", VALIGN),
];
const CELL: &[(&str, Form)] = &[
    ("abbr", Text),
    ("axis", Text),
    ("headers", Names),
    ("scope", Word("row col rowgroup colgroup")),
    ("rowspan", Number(u64::MAX)),
    ("colspan", Number(u64::MAX)),
    ("align", ALIGN),
    ("char", Character),
    ("charoff", Length),
    ("valign", VALIGN),
];

const fn element(name: &'static str, content: Content, attributes: &'static [(&'static str, Form)]) -> Element {
    Element { name, content, kind: Kind::of(name), attributes }
}

#[rustfmt::skip]
const ELEMENTS: &[Element] = &[
    element("p", Inline, NONE),
    element("div", Flow, NONE),
    element("span", Inline, NONE),
    element("td", Flow, CELL),
    element("tr", Cells, GROUP),
    element("th", Flow, CELL),
    element("b", Inline, NONE),
    element("br", Nothing, NONE),
    element("a", Link, &[("accesskey", Character), ("tabindex", Number(32_767)), ("charset", Text), ("type", Text), ("name", Token), ("href", Text), ("hreflang", Language), ("rel", Tokens), ("rev", Tokens), ("shape", SHAPE), ("coords", Lengths)]),
    element("table", Table, &[("summary", Text), ("width", Length), ("border", Number(u64::MAX)), ("frame", Word("void above below hsides lhs rhs vsides box border")), ("rules", Word("none groups rows cols all")), ("cellspacing", Length), ("cellpadding", Length)]),
    element("tbody", Rows, GROUP),
    element("thead", Rows, GROUP),
    element("tfoot", Rows, GROUP),
    element("li", Flow, NONE),
    element("ul", Items, NONE),
    element("ol", Items, NONE),
    element("i", Inline, NONE),
    element("h1", Inline, NONE),
    element("h2", Inline, NONE),
    element("h3", Inline, NONE),
    element("h4", Inline, NONE),
    element("h5", Inline, NONE),
    element("h6", Inline, NONE),
    element("dl", Terms, NONE),
    element("dt", Inline, NONE),
    element("dd", Flow, NONE),
    element("address", Inline, NONE),
    element("hr", Nothing, NONE),
    element("pre", Preformatted, &[("xml:space", Word("preserve"))]),
    element("blockquote", Block, CITE),
    element("bdo", Inline, NONE),
    element("em", Inline, NONE),
    element("strong", Inline, NONE),
    element("dfn", Inline, NONE),
    element("code", Inline, NONE),
    element("samp", Inline, NONE),
    element("kbd", Inline, NONE),
    element("var", Inline, NONE),
    element("cite", Inline, NONE),
    element("abbr", Inline, NONE),
    element("acronym", Inline, NONE),
    element("q", Inline, CITE),
    element("sub", Inline, NONE),
    element("sup", Inline, NONE),
    element("tt", Inline, NONE),
    element("big", Inline, NONE),
    element("small", Inline, NONE),
    element("img", Nothing, &[("src", Text), ("alt", Text), ("longdesc", Text), ("height", Length), ("width", Length)]),
    element("caption", Inline, NONE),
    element("colgroup", Columns, COLUMN),
    element("col", Nothing, COLUMN),
];

/// Returns the element of that name.
pub(super) fn element_of(name: &str) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| element.name == name)
}

/// Where an element may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Among blocks.
    Block,
    /// Within a line of text, as unknown elements do.
    Inline,
    /// Only within the element of which it is a part.
    Part,
}

impl Kind {
    const fn of(name: &str) -> Self {
        match name.as_bytes() {
            b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"div" | b"ul" | b"ol" | b"dl" | b"pre" | b"hr"
            | b"blockquote" | b"address" | b"table" => Self::Block,
            b"li" | b"dt" | b"dd" | b"tr" | b"td" | b"th" | b"tbody" | b"thead" | b"tfoot" | b"caption" | b"col"
            | b"colgroup" => Self::Part,
            _ => Self::Inline,
        }
    }
}

/// What an open element has had so far: of a table the last of its parts, of others whether anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Empty,
    Caption,
    Columns,
    ColumnGroups,
    Head,
    Foot,
    Bodies,
    Rows,
    Filled,
}

impl Content {
    /// Returns whether text may stand there.
    pub(super) const fn has_text(self) -> bool {
        matches!(self, Flow | Inline | Link | Preformatted | Any)
    }

    /// Returns the stage after a child of that name and kind; [`None`] where the child may not stand there.
    pub(super) fn after(self, stage: Stage, child: &str, kind: Kind) -> Option<Stage> {
        let allowed = match self {
            Flow => kind != Kind::Part,
            Inline => kind == Kind::Inline,
            Link => kind == Kind::Inline && child != "a",
            Preformatted => kind == Kind::Inline && child != "img",
            Block => kind == Kind::Block,
            Items => child == "li",
            Terms => matches!(child, "dt" | "dd"),
            Rows => child == "tr",
            Cells => matches!(child, "th" | "td"),
            Columns => child == "col",
            Nothing => false,
            Any => true,
            Table => {
                let (next, last) = match child {
                    "caption" => (Stage::Caption, Stage::Empty),
                    "col" => (Stage::Columns, Stage::Columns),
                    "colgroup" if stage == Stage::Columns => return None,
                    "colgroup" => (Stage::ColumnGroups, Stage::ColumnGroups),
                    "thead" => (Stage::Head, Stage::ColumnGroups),
                    "tfoot" => (Stage::Foot, Stage::Head),
                    "tbody" => (Stage::Bodies, Stage::Bodies),
                    "tr" if stage == Stage::Bodies => return None,
                    "tr" => (Stage::Rows, Stage::Rows),
                    _ => return None,
                };
                return (stage <= last).then_some(next);
            }
        };
        allowed.then_some(Stage::Filled)
    }

    /// Returns what is missing when the element ends at that stage.
    pub(super) fn missing(self, stage: Stage) -> Option<&'static str> {
        let wanted = match self {
            Items => "li",
            Terms => "dt or dd",
            Rows => "tr",
            Cells => "th or td",
            Table if stage < Stage::Bodies => return Some("tbody or tr"),
            _ => return None,
        };
        (stage == Stage::Empty).then_some(wanted)
    }
}

impl Element {
    /// Returns whether the element may have the attribute: `None` where it may not, else whether the value has the
    /// right form.
    pub(super) fn attribute(&self, name: &str, value: &str) -> Option<bool> {
        let usual = if self.name == "br" { USUAL.get(..4).unwrap_or_default() } else { USUAL };
        let find = |list: &[(&str, Form)]| list.iter().find(|(own, _)| *own == name).map(|(_, form)| *form);
        Some(find(usual).or_else(|| find(self.attributes))?.holds(value))
    }

    /// Returns the attributes that the element must have.
    pub(super) fn required(&self) -> &'static [&'static str] {
        if self.name == "img" { &["src", "alt"] } else { &[] }
    }
}

impl Form {
    fn holds(self, value: &str) -> bool {
        // References to characters stand for what is not checked here.
        if value.contains('&') {
            return true;
        }
        let trimmed = value.trim_matches(is_space);
        let mut words = trimmed.split(is_space).filter(|word| !word.is_empty());
        match self {
            Text => true,
            Token => is_token(trimmed),
            Tokens => !trimmed.is_empty() && words.all(is_token),
            Name => is_name(trimmed),
            Names => !trimmed.is_empty() && words.all(is_name),
            Language => {
                let mut parts = trimmed.split('-');
                let is_part =
                    |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
                parts.next().is_some_and(|first| is_part(first) && first.bytes().all(|b| b.is_ascii_alphabetic()))
                    && parts.all(is_part)
            }
            Character => value.chars().count() == 1,
            Number(most) => {
                !trimmed.is_empty()
                    && trimmed.bytes().all(|b| b.is_ascii_digit())
                    && (most == u64::MAX || trimmed.parse::<u64>().is_ok_and(|number| number <= most))
            }
            Length => is_length(value),
            Share => {
                is_length(value)
                    || value.strip_suffix('*').is_some_and(|share| share.bytes().all(|b| b.is_ascii_digit()))
            }
            Lengths => value
                .split(',')
                .enumerate()
                .all(|(index, one)| is_length(if index == 0 { one } else { one.trim_start_matches(is_space) })),
            Word(list) => list.split(' ').any(|one| one == trimmed),
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '\u{b7}') || is_mark(c))
}

/// Marks that XML lets stand in names, beside letters and digits.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && is_token(text) && !text.contains(':')
}

fn is_length(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned.strip_suffix('%') {
        Some(percent) => match percent.split_once('.') {
            Some((whole, part)) => digits(whole) && digits(part),
            None => digits(percent),
        },
        None => digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_parts_are_ordered() {
        let read = |children: &[&str]| {
            let stage =
                children.iter().try_fold(Stage::Empty, |stage, child| Table.after(stage, child, Kind::of(child)));
            stage.map(|stage| Table.missing(stage).is_none())
        };
        assert_eq!(read(&["caption", "col", "col", "thead", "tfoot", "tbody", "tbody"]), Some(true));
        assert_eq!(read(&["colgroup", "tr", "tr"]), Some(true));
        assert_eq!(read(&["thead"]), Some(false));
        for bad in [
            &["tbody", "thead"][..],
            &["tr", "tbody"],
            &["tbody", "tr"],
            &["col", "colgroup"],
            &["caption", "caption"],
            &["tfoot", "thead"],
            &["p"],
            &["td"],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn attributes_are_checked_by_element_and_form() {
        let of = |element: &str, name: &str, value: &str| element_of(element).unwrap().attribute(name, value);
        assert_eq!(of("td", "colspan", "2"), Some(true));
        assert_eq!(of("td", "colspan", "two"), Some(false));
        assert_eq!(of("strong", "colspan", "2"), None);
        assert_eq!(of("br", "class", "a b"), Some(true));
        assert_eq!(of("br", "lang", "de"), None);
        assert_eq!(of("img", "width", "50%"), Some(true));
        assert_eq!(of("img", "width", "50px"), Some(false));
        assert_eq!(of("col", "width", "2*"), Some(true));
        assert_eq!(of("p", "xml:lang", "de-CH"), Some(true));
        assert_eq!(of("p", "id", "1a"), Some(false));
        assert_eq!(of("a", "tabindex", "40000"), Some(false));
    }
}
