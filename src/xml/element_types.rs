//! Which elements a type has, in which order, and what each of them is in JSON: of the declared types by their rows, of
//! the others by a table.

use crate::element::{Definition, ElementDef, Max, TypeDef};
use std::collections::HashMap;
use std::sync::OnceLock;

/// The types that are not declared in Rust, one a line: the name, the type that it extends, and its own elements. After a
/// colon is the type of an element that occurs once at most, after an asterisk that of one that repeats; `name[x]:any` may
/// be of any type that an extension may have.
const TABLE: &str = include_str!("elements.txt");

/// Every type of FHIR STU3 that a document may have.
pub(crate) struct ElementTypes {
    types: Vec<ElementType>,
    by_name: HashMap<Box<str>, usize>,
    /// What stands beside the value of a primitive.
    element: ElementType,
}

/// One type.
#[derive(Default)]
pub(super) struct ElementType {
    /// Its name, or the path of a type within a resource.
    pub(super) name: Box<str>,
    pub(super) rows: Vec<Row>,
    /// Whether it is a resource, whose JSON says its type.
    pub(super) is_resource: bool,
    /// Whether it is declared in Rust, so that the reader checks it.
    pub(super) is_declared: bool,
}

/// One element, or one attribute, of a type.
pub(super) struct Row {
    pub(super) name: Box<str>,
    /// What most names differ in, to compare at once.
    key: u64,
    /// Its place in the order of the elements; those of one choice have the same.
    pub(super) order: u8,
    pub(super) repeats: bool,
    pub(super) kind: RowKind,
}

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    Boolean,
    Number,
    Text,
    /// An attribute, and no element.
    Attribute,
    /// The XHTML of a narrative.
    Xhtml,
    /// An element that holds a resource.
    Resource,
    /// An element of the type of that index.
    Complex(usize),
}

impl Row {
    fn new(name: &str, order: u8, repeats: bool, kind: RowKind) -> Self {
        Self { name: name.into(), key: key_of(name), order, repeats, kind }
    }
}

/// Returns the length and the first bytes of a name.
fn key_of(name: &str) -> u64 {
    name.bytes().take(7).fold(name.len() as u64, |key, byte| key << 8 | u64::from(byte))
}

impl RowKind {
    /// Returns whether it is a value with an id and extensions.
    pub(super) const fn is_primitive(self) -> bool {
        matches!(self, Self::Boolean | Self::Number | Self::Text)
    }

    /// Returns whether a value with that text is a number or a boolean in JSON, and no string.
    pub(super) fn is_token(self, text: &str) -> bool {
        match self {
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Number => is_number(text),
            _ => false,
        }
    }
}

impl ElementType {
    /// Returns a type of which nothing is known.
    pub(super) fn unknown() -> &'static Self {
        static UNKNOWN: OnceLock<ElementType> = OnceLock::new();
        UNKNOWN.get_or_init(Self::default)
    }

    /// Returns what a message calls it.
    pub(super) fn words(&self) -> &str {
        if self.name.is_empty() { "a resource of an unknown type" } else { &self.name }
    }

    /// Returns the row of that name, sought from row `from` on and then from the beginning: a document has its
    /// elements in the order of the rows.
    pub(super) fn row(&self, name: &str, from: usize) -> Option<(usize, &Row)> {
        let key = key_of(name);
        let is = |(_, row): &(usize, &Row)| row.key == key && *row.name == *name;
        let later = self.rows.iter().enumerate().skip(from).find(is);
        later.or_else(|| self.rows.iter().enumerate().take(from).find(is))
    }
}

impl ElementTypes {
    /// Returns the types, with those that `roots` declare and name. The same at every call.
    pub(crate) fn get(roots: fn() -> Vec<&'static Definition>) -> &'static Self {
        static TYPES: OnceLock<ElementTypes> = OnceLock::new();
        TYPES.get_or_init(|| Builder::default().build(&roots()))
    }

    /// Returns the resource type of that name.
    pub(super) fn resource(&self, name: &str) -> Option<&ElementType> {
        self.by_name.get(name).and_then(|index| self.types.get(*index)).filter(|found| found.is_resource)
    }

    pub(super) fn type_at(&self, index: usize) -> Option<&ElementType> {
        self.types.get(index)
    }

    /// Returns the type of what stands beside the value of a primitive.
    pub(super) fn element(&self) -> &ElementType {
        &self.element
    }
}

#[derive(Default)]
struct Builder {
    types: Vec<ElementType>,
    by_name: HashMap<Box<str>, usize>,
    /// The declared types by the address of their definition.
    declared: HashMap<usize, usize>,
    /// The rows of a value of any type.
    any: Vec<(String, RowKind)>,
}

impl Builder {
    fn build(mut self, roots: &[&'static Definition]) -> ElementTypes {
        for root in roots {
            self.declare(root);
        }
        for line in TABLE.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            self.by_name.insert(name.into(), self.types.len());
            self.types.push(ElementType::default());
        }
        for line in TABLE.lines() {
            let built = self.listed(line);
            if let Some(slot) = self.by_name.get(&built.name).and_then(|index| self.types.get_mut(*index)) {
                *slot = built;
            }
        }
        let element = self.listed("Element Element");
        ElementTypes { types: self.types, by_name: self.by_name, element }
    }

    /// Adds a declared type, and those of its rows.
    fn declare(&mut self, definition: &'static Definition) -> usize {
        let address = std::ptr::from_ref(definition).addr();
        if let Some(known) = self.declared.get(&address) {
            return *known;
        }
        let index = self.types.len();
        self.declared.insert(address, index);
        self.types.push(ElementType::default());
        if definition.path == definition.type_name {
            self.by_name.entry(definition.path.into()).or_insert(index);
        }
        let mut rows = Vec::new();
        for (order, row) in definition.rows.iter().enumerate() {
            self.declare_row(row, u8::try_from(order).unwrap_or(u8::MAX), definition, &mut rows);
        }
        let is_resource = definition.is_resource();
        if let Some(slot) = self.types.get_mut(index) {
            *slot = ElementType { name: definition.path.into(), rows, is_resource, is_declared: true };
        }
        index
    }

    fn declare_row(&mut self, row: &ElementDef, order: u8, owner: &'static Definition, rows: &mut Vec<Row>) {
        for one in (row.types)() {
            let kind = self.kind(one);
            let name = row.member(one);
            if owner.path == "Extension" && row.name.ends_with("[x]") {
                if let RowKind::Complex(index) = kind {
                    self.by_name.insert(one.name.into(), index);
                }
                self.any.push((name.trim_start_matches("value").to_owned(), kind));
            }
            rows.push(Row::new(&name, order, row.max == Max::Many, kind));
        }
    }

    fn kind(&mut self, one: &TypeDef) -> RowKind {
        match one.definition {
            Some(definition) => RowKind::Complex(self.declare(definition())),
            None if one.name == "Resource" => RowKind::Resource,
            None if one.name == "xhtml" => RowKind::Xhtml,
            None if !one.extensible => RowKind::Attribute,
            None => match one.name {
                "boolean" => RowKind::Boolean,
                "integer" | "decimal" | "positiveInt" | "unsignedInt" => RowKind::Number,
                _ => RowKind::Text,
            },
        }
    }

    /// Returns the type of one line of the table.
    fn listed(&self, line: &str) -> ElementType {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let base = words.next().unwrap_or_default();
        let inherited: &[&str] = match base {
            "Resource" => &["id:text", "meta:Meta", "implicitRules:text", "language:text"],
            "DomainResource" => &[
                "id:text",
                "meta:Meta",
                "implicitRules:text",
                "language:text",
                "text:Narrative",
                "contained*Resource",
                "extension*Extension",
                "modifierExtension*Extension",
            ],
            "BackboneElement" => &["@id:text", "extension*Extension", "modifierExtension*Extension"],
            _ => &["@id:text", "extension*Extension"],
        };
        let mut rows = Vec::new();
        for (order, word) in inherited.iter().copied().chain(words).enumerate() {
            let order = u8::try_from(order).unwrap_or(u8::MAX);
            let Some(end) = word.find([':', '*']) else { continue };
            let (element, of) = word.split_at(end);
            let repeats = of.starts_with('*');
            let of = of.trim_start_matches([':', '*']);
            let (element, is_attribute) = element.strip_prefix('@').map_or((element, false), |name| (name, true));
            if let Some(prefix) = element.strip_suffix("[x]") {
                let choice =
                    |(suffix, kind): &(String, RowKind)| Row::new(&format!("{prefix}{suffix}"), order, false, *kind);
                rows.extend(self.any.iter().map(choice));
                continue;
            }
            let kind = match of {
                _ if is_attribute => RowKind::Attribute,
                "text" => RowKind::Text,
                "number" => RowKind::Number,
                "boolean" => RowKind::Boolean,
                "Resource" => RowKind::Resource,
                other => self.by_name.get(other).map_or(RowKind::Text, |index| RowKind::Complex(*index)),
            };
            rows.push(Row::new(element, order, repeats, kind));
        }
        let is_resource = matches!(base, "Resource" | "DomainResource");
        ElementType { name: name.into(), rows, is_resource, is_declared: false }
    }
}

/// Returns whether a text is a number as JSON writes it.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return false;
    }
    let mut rest = unsigned.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return digits(exponent) > 0 && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}
