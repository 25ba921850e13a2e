//! Checking HL7's own STU3 extensions against their definitions: the type of the value, the place, whether they
//! are modifiers, how often they may come, and the codes of a required binding.
//!
//! `extensions.txt` has one definition a line, sorted by the bytes of its name: the part of its address after the base, the
//! places, how often it may come (with `!` where it is a modifier), the types of its value (`>` before the type of a resource
//! that a reference names; none where it consists of extensions), and the codes. An address of HL7 that is not in the table is
//! let be: later versions define more.

use crate::code::is_resource_type;
use crate::datatype::{Coding, Extension, ExtensionValue, Reference, target};
use crate::element::{Choice as _, Definition};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use std::cmp::Ordering;

const TABLE: &str = include_str!("extensions.txt");

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
}

fn row_of(url: &str) -> Option<Row> {
    let name = url.strip_prefix(BASE)?;
    let mut rest = TABLE;
    while !rest.is_empty() {
        let (before, after) = rest.split_at_checked(rest.len() / 2)?;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = after.find('\n').map_or(rest.len(), |end| before.len() + end + 1);
        let mut columns = rest.get(start..end)?.trim_end_matches('\n').split('|');
        let own = columns.next()?;
        match name.as_bytes().cmp(own.as_bytes()) {
            Ordering::Equal => {
                let mut next = || columns.next().unwrap_or_default();
                return Some(Row { name: own, contexts: next(), count: next(), types: next(), codes: next() });
            }
            Ordering::Less => rest = rest.get(..start)?,
            Ordering::Greater => rest = rest.get(end..)?,
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
    let mut find = |kind: IssueType, message: String| {
        let message = format!("the extension `{}` {message}", row.name);
        report.push(Issue::new("extension-definition", Severity::Error, kind, at, message).with_row("Extension"));
    };
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
    match &extension.value {
        Some(value) => check_value(value, row, &mut find),
        None if !row.types.is_empty() && !extension.extension.is_empty() => {
            find(IssueType::Value, format!("consists of extensions, wanted a value of {}", types_in_words(row)));
        }
        None => {}
    }
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
        _ => return,
    };
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
            let row = row_of(&format!("{BASE}{name}")).unwrap();
            assert_eq!(row.name, name);
            assert!(matches!(row.count, "1" | "*" | "1!" | "*!") && !row.contexts.is_empty(), "{name}");
        }
        assert!(row_of(&format!("{BASE}device-implantStatus")).is_none());
        assert!(row_of("http://x.example").is_none());
    }
}
