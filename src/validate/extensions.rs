//! Checking HL7's own STU3 extensions against their definitions: the type of the value, the place, whether they
//! are modifiers, how often they may come, and the codes of a required binding.
//!
//! `extensions.txt` has one definition a line, sorted by the bytes of its name: the part of its address after the base, the
//! places, how often it may come (with `!` where it is a modifier), the types of its value (`>` before the type of a resource
//! that a reference names; none where it consists of extensions), and the codes (`@language` for those of BCP 47). The parts of
//! an extension follow it, each by the name of the extension, a dot and its own `url`, without a place, and with how often it
//! comes at least and at most. An address of HL7 that is not in the table is let be: later versions define more. So is a part
//! with an address of its own.

use crate::code::is_resource_type;
use crate::datatype::{Coding, Extension, ExtensionValue, Reference, target};
use crate::element::{Choice as _, Definition};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{TagFault, check_tag, is_absolute};
use std::cmp::Ordering;

const TABLE: &str = include_str!("extensions.txt");

/// What stands for the codes of a language.
const LANGUAGES: &str = "@language";

const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// Returns whether an extension is one of HL7's own, by its address.
pub(super) fn is_core(url: &str) -> bool {
    url.starts_with(BASE)
}

/// The definition of an extension.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    contexts: &'static str,
    count: &'static str,
    types: &'static str,
    codes: &'static str,
    /// The rows that come after this one.
    after: &'static str,
}

impl Row {
    fn new(line: &'static str, after: &'static str) -> Self {
        let mut columns = line.split('|');
        let mut next = || columns.next().unwrap_or_default();
        Self { name: next(), contexts: next(), count: next(), types: next(), codes: next(), after }
    }

    /// Returns the rows of its parts.
    fn parts(self) -> impl Iterator<Item = Self> {
        let below = std::iter::successors(self.next(), |row| row.next())
            .take_while(move |row| row.name.strip_prefix(self.name).is_some_and(|rest| rest.starts_with('.')));
        below.filter(move |row| row.part_name(self).is_some_and(|name| !name.contains('.')))
    }

    fn next(self) -> Option<Self> {
        self.after.split_once('\n').map(|(line, after)| Self::new(line, after))
    }

    /// Returns the `url` of a part of `whole`.
    fn part_name(self, whole: Self) -> Option<&'static str> {
        self.name.strip_prefix(whole.name)?.strip_prefix('.')
    }
}

fn row_of(url: &str) -> Option<Row> {
    let name = url.strip_prefix(BASE).filter(|name| !name.contains('.'))?;
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let (before, after) = TABLE.get(low..high)?.split_at_checked((high - low) / 2)?;
        let start = before.rfind('\n').map_or(low, |end| low + end + 1);
        let end = after.find('\n').map_or(high, |end| low + before.len() + end);
        let line = TABLE.get(start..end)?;
        match name.as_bytes().cmp(line.split('|').next()?.as_bytes()) {
            Ordering::Equal => return Some(Row::new(line, TABLE.get(end + 1..)?)),
            Ordering::Less => high = start,
            Ordering::Greater => low = end + 1,
        }
    }
    None
}

/// The extensions of one element that may come once and have come.
#[derive(Default)]
pub(super) struct Seen(Vec<&'static str>);

/// Where an extension stands.
pub(super) enum Place {
    /// In an element of a modelled type, by all names that a definition may call it.
    Known {
        /// Its paths and its type.
        names: Vec<String>,
        /// Whether it is a resource.
        resource: bool,
    },
    /// In a resource that is kept as text, whose elements have types that are not known here.
    Text {
        /// The path from the type of the resource.
        path: String,
    },
}

impl Place {
    /// Returns the place of the element at `at` of the type `own`, which is a row of `owner`.
    pub(super) fn of(at: &Path<'_>, own: Option<&'static Definition>, owner: Option<&'static Definition>) -> Self {
        let mut names = Vec::new();
        if let Some(own) = own {
            names.extend([own.path.to_owned(), own.type_name.to_owned()]);
        }
        if let Some(owner) = owner
            && let Some(row) = owner.row(at.name())
        {
            names.push(format!("{}.{}", owner.path, row.name));
            let types = (row.types)().iter().filter(|one| !row.name.ends_with("[x]") || row.member(one) == at.name());
            names.extend(types.map(|one| one.name.to_owned()));
        }
        Self::Known { names, resource: own.is_some_and(Definition::is_resource) }
    }

    /// Returns the place of the element at `at`, that many steps below a resource of that type.
    pub(super) fn in_text(resource_type: &str, at: &Path<'_>, depth: usize) -> Self {
        let above = std::iter::successors(Some(at), |at| at.parent());
        let mut names: Vec<&str> = above.take(depth).map(|at| at.name().trim_start_matches('_')).collect();
        names.push(resource_type);
        names.reverse();
        // An element that holds others of its own type has the same name time and again.
        names.dedup();
        Self::Text { path: names.join(".") }
    }

    fn name(&self) -> &str {
        match self {
            Self::Known { names, .. } => names.first().map_or("a primitive", String::as_str),
            Self::Text { path } => path,
        }
    }

    /// Returns whether an extension of these contexts may stand here.
    fn is_one_of(&self, contexts: &str) -> bool {
        contexts.split([' ', ',']).any(|context| match (context, self) {
            ("*" | "Any" | "Element", _) => true,
            ("Resource" | "DomainResource", Self::Known { resource, .. }) => *resource,
            (_, Self::Known { names, .. }) => names.iter().any(|name| name == context),
            (_, Self::Text { path }) => {
                let first = context.split('.').next().unwrap_or_default();
                if !is_resource_type(first) {
                    return true;
                }
                // An element may be defined at one place and used at another of the same resource.
                let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
                context == path || (path.split('.').next() == Some(first) && last(context) == last(path))
            }
        })
    }
}

/// Checks an extension of HL7's own; others are let be.
pub(super) fn check(extension: &Extension, at: &Path<'_>, place: &Place, seen: &mut Seen, report: &mut Report) {
    let Some(row) = row_of(extension.url.as_str()) else { return };
    let mut find = |kind: IssueType, message: String| push(row, kind, at, &message, report);
    if !place.is_one_of(row.contexts) {
        let wanted = row.contexts.replace([' ', ','], ", ");
        find(IssueType::Extension, format!("stands at {}, wanted at {wanted}", place.name()));
    }
    let is_modifier = row.count.ends_with('!');
    if is_modifier != (at.name() == "modifierExtension") {
        let (found, wanted) =
            if is_modifier { ("extension", "modifierExtension") } else { ("modifierExtension", "extension") };
        find(IssueType::Extension, format!("is in `{found}`, wanted in `{wanted}`"));
    }
    if row.count.starts_with('1') {
        if seen.0.contains(&row.name) {
            find(IssueType::Extension, "comes a second time, wanted once at most".to_owned());
        } else {
            seen.0.push(row.name);
        }
    }
    check_content(extension, row, &mut find);
    check_parts(extension, row, row, at, report);
}

/// Checks the value of an extension, or of a part of one.
fn check_content(extension: &Extension, row: Row, find: &mut dyn FnMut(IssueType, String)) {
    match &extension.value {
        Some(value) => check_value(value, row, find),
        None if !row.types.is_empty() && !extension.extension.is_empty() => {
            find(IssueType::Value, format!("consists of extensions, wanted a value of {}", types_in_words(row)));
        }
        None => {}
    }
}

/// Checks the parts of `extension`, which is the one that `whole` defines or a part of it, defined by `row`: their names, how
/// often each comes, and their content. Their order is free.
fn check_parts(extension: &Extension, row: Row, whole: Row, at: &Path<'_>, report: &mut Report) {
    // What an extension without parts lacks is said by ext-1, or by the type of its value.
    if !row.types.is_empty() || extension.extension.is_empty() {
        return;
    }
    let of = row.part_name(whole).map(|name| format!(" of `{name}`")).unwrap_or_default();
    let mut seen: Vec<&'static str> = Vec::new();
    for (index, part) in extension.extension.iter().enumerate() {
        let url = part.url.as_str();
        if url.is_empty() || is_absolute(url) {
            continue;
        }
        let here = at.item("extension", index);
        let Some(own) = row.parts().find(|own| own.part_name(row) == Some(url)) else {
            let names: Vec<_> = row.parts().filter_map(|own| own.part_name(row)).collect();
            let message = format!("has a part `{url}`{of}, wanted {}", names.join(", "));
            push(whole, IssueType::Extension, &here, &message, report);
            continue;
        };
        if own.count.ends_with("..1") && seen.contains(&own.name) {
            let message = format!("has the part `{url}`{of} a second time, wanted it once at most");
            push(whole, IssueType::Extension, &here, &message, report);
        }
        if !seen.contains(&own.name) {
            seen.push(own.name);
        }
        check_content(part, own, &mut |kind, message| {
            push(whole, kind, &here, &format!("has a part `{url}`{of} that {message}"), report);
        });
        check_parts(part, own, whole, &here, report);
    }
    for own in row.parts().filter(|own| own.count.starts_with('1') && !seen.contains(&own.name)) {
        let name = own.part_name(row).unwrap_or_default();
        push(whole, IssueType::Required, at, &format!("lacks the part `{name}`{of}, wanted it at least once"), report);
    }
}

fn push(row: Row, kind: IssueType, at: &Path<'_>, message: &str, report: &mut Report) {
    let message = format!("the extension `{}` {message}", row.name);
    report.push(Issue::new("extension-definition", Severity::Error, kind, at, message).with_row("Extension"));
}

fn types_in_words(row: Row) -> String {
    let words =
        row.types.split(' ').map(|one| one.strip_prefix('>').map_or(one.to_owned(), |to| format!("Reference({to})")));
    words.collect::<Vec<_>>().join(" or ")
}

fn check_value(value: &ExtensionValue, row: Row, find: &mut dyn FnMut(IssueType, String)) {
    let found = value.name().strip_prefix("value").unwrap_or_default();
    if row.types.is_empty() {
        return find(IssueType::Value, format!("has a value (`value{found}`), wanted extensions"));
    }
    let is_found = |one: &str| match one.strip_prefix('>') {
        Some(_) => found == "Reference",
        None => one.eq_ignore_ascii_case(found),
    };
    if !row.types.split(' ').any(is_found) {
        return find(IssueType::Value, format!("has a `value{found}`, wanted a value of {}", types_in_words(row)));
    }
    if let ExtensionValue::Reference(reference) = value {
        let named = named_type(reference);
        let allowed = |one: &str| matches!(one.strip_prefix('>'), Some(to) if to == "Resource" || Some(to) == named);
        if let Some(named) = named
            && !row.types.split(' ').any(allowed)
        {
            find(IssueType::Value, format!("refers to a {named}, wanted {}", types_in_words(row)));
        }
    }
    let codes: Vec<&str> = match value {
        ExtensionValue::Code(code) => code.value.iter().map(|code| code.as_str()).collect(),
        ExtensionValue::Coding(coding) => code_of(coding).into_iter().collect(),
        ExtensionValue::CodeableConcept(concept) => concept.coding.iter().filter_map(code_of).collect(),
        ExtensionValue::Quantity(quantity) => {
            quantity.code.iter().filter_map(|code| code.value.as_ref()).map(|code| code.as_str()).collect()
        }
        _ => return,
    };
    if row.codes == LANGUAGES {
        for code in codes {
            if let Err(TagFault::Malformed) = check_tag(code) {
                find(IssueType::CodeInvalid, format!("has the code `{code}`, wanted a language tag of BCP 47"));
            }
        }
        return;
    }
    if !row.codes.is_empty()
        && !codes.is_empty()
        && !codes.iter().any(|code| row.codes.split(',').any(|one| one == *code))
    {
        let wanted = row.codes.replace(',', ", ");
        find(IssueType::CodeInvalid, format!("has the code `{}`, wanted one of {wanted}", codes.join("`, `")));
    }
}

fn named_type(reference: &Reference<target::Any>) -> Option<&str> {
    reference.literal().and_then(|literal| literal.resource_type())
}

fn code_of(coding: &Coding) -> Option<&str> {
    coding.code.as_ref().and_then(|code| code.value.as_ref()).map(|code| code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_extension_is_found() {
        let mut before = "";
        for line in TABLE.lines() {
            let (name, rest) = line.split_once('|').unwrap();
            assert!(before.as_bytes() < name.as_bytes(), "{before} stands before {name}");
            before = name;
            assert_eq!(rest.matches('|').count(), 3, "{name}");
            let Some((whole, _)) = name.split_once('.') else {
                let row = row_of(&format!("{BASE}{name}")).unwrap();
                assert_eq!(row.name, name);
                assert!(matches!(row.count, "1" | "*" | "1!" | "*!") && !row.contexts.is_empty(), "{name}");
                assert_eq!(row.types.is_empty(), row.parts().next().is_some(), "{name}");
                continue;
            };
            assert!(row_of(&format!("{BASE}{name}")).is_none(), "{name}");
            let whole = row_of(&format!("{BASE}{whole}")).unwrap();
            let parts = whole.parts().chain(whole.parts().flat_map(Row::parts));
            let row = parts.into_iter().find(|row| row.name == name).unwrap();
            assert!(matches!(row.count, "0..1" | "1..1" | "0..*" | "1..*") && row.contexts.is_empty(), "{name}");
        }
        assert!(row_of(&format!("{BASE}device-implantStatus")).is_none());
        assert!(row_of("http://x.example").is_none());
    }
}
