//! What one conversion knows and finds.

use super::{Direction, Loss, Options, Step, Version};
use crate::issue::{Issue, IssueType, Path, Places, Report, Severity};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

/// The kinds of findings: their keys in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Kept in an extension.
    Carried,
    /// Written otherwise, with the original beside it.
    Rewritten,
    /// Filled, as the version requires a value.
    Filled,
    /// A native element that was changed since it was carried; it counts.
    Edited,
    /// An element without a place in the version converted to.
    Lost,
    /// Two resources with one address.
    Collision,
    /// An extension of the document itself that a conversion writes too.
    Wrapped,
    /// A resource of another type, left as it is.
    Unconverted,
    /// A value of the wrong JSON type.
    WrongType,
    /// A member that the version has not, and the one before or behind it has.
    UnknownMember,
    /// An element that the version of the document requires, and that is not there.
    Missing,
    /// A code that is not one of those of the version of the document.
    WrongCode,
    /// A warning.
    Warning,
}

impl Key {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Rewritten => "rewritten",
            Self::Filled => "filled",
            Self::Edited => "edited",
            Self::Lost => "lost",
            Self::Collision | Self::Wrapped => "collision",
            Self::Unconverted => "unconverted",
            Self::WrongType => "wrong-type",
            Self::UnknownMember => "unknown-member",
            Self::Missing => "min-cardinality",
            Self::WrongCode => "required-binding",
            Self::Warning => "warning",
        }
    }

    const fn severity(self) -> (Severity, IssueType) {
        match self {
            Self::Carried | Self::Rewritten | Self::Filled => (Severity::Information, IssueType::Informational),
            Self::Edited => (Severity::Warning, IssueType::Conflict),
            Self::Unconverted | Self::Warning => (Severity::Warning, IssueType::NotSupported),
            Self::Lost => (Severity::Error, IssueType::NotSupported),
            Self::Collision => (Severity::Error, IssueType::Duplicate),
            Self::Wrapped => (Severity::Warning, IssueType::Duplicate),
            Self::WrongType | Self::UnknownMember => (Severity::Error, IssueType::Structure),
            Self::Missing => (Severity::Error, IssueType::Required),
            Self::WrongCode => (Severity::Error, IssueType::CodeInvalid),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Carried => "the element is carried in an extension",
            Self::Rewritten => "the value is written for the version, and the original is carried beside it",
            Self::Filled => "the element is filled",
            Self::Edited => "the element was changed since it was carried, and the change is kept",
            Self::Lost => "the version has no place for the element",
            Self::Collision => "two resources would have the same address",
            Self::Wrapped => "the document has what a conversion writes",
            Self::Unconverted => "the resource is left in its version",
            Self::WrongType => "the element has a value of the wrong JSON type",
            Self::UnknownMember => "the version has no such element",
            Self::Missing => "the required element is missing",
            Self::WrongCode => "the code is not one of the version",
            Self::Warning => "the element needs attention",
        }
    }
}

/// A place within a resource, which is written when the report is.
#[derive(Clone, Debug, Default)]
pub(super) enum Place {
    /// No value.
    #[default]
    None,
    /// Below the resource: `udi.name`; of the resource itself the empty text.
    At(Cow<'static, str>),
    /// An item of a list of the resource.
    Item(&'static str, usize),
}

impl Place {
    /// The name of the place, and the number of the item.
    fn into_parts(self) -> Option<(Cow<'static, str>, Option<usize>)> {
        match self {
            Self::None => None,
            Self::At(place) => Some((place, None)),
            Self::Item(name, index) => Some((Cow::Borrowed(name), Some(index))),
        }
    }
}

impl From<&'static str> for Place {
    fn from(place: &'static str) -> Self {
        Self::At(Cow::Borrowed(place))
    }
}

impl From<String> for Place {
    fn from(place: String) -> Self {
        Self::At(Cow::Owned(place))
    }
}

/// One finding, its places relative to the resource.
#[derive(Debug)]
struct Finding {
    key: Key,
    severity: Severity,
    /// The element, as the mapping names it.
    element: Cow<'static, str>,
    detail: Cow<'static, str>,
    /// The place of the resource.
    base: Rc<str>,
    component: bool,
    /// The place in the document of the earlier step, and in that of the later.
    from: Place,
    into: Place,
    direction: Direction,
}

/// What one conversion knows and finds.
pub(super) struct Context<'o> {
    pub(super) options: &'o Options,
    pub(super) direction: Direction,
    /// The version that the whole conversion begins with, and the one that it leads to.
    pub(super) source: Version,
    pub(super) target: Version,
    /// The type of the resource that is being converted, as it is before.
    pub(super) resource: &'static str,
    /// The place of the resource that is being converted.
    pub(super) base: Rc<str>,
    /// Whether that is a component.
    pub(super) component: bool,
    /// Whether the document is one of the version that the step begins with, and is held to its definitions.
    pub(super) is_checked: bool,
    /// The ids of the Devices of R4 in the Bundle that are no components, where it is a Bundle.
    pub(super) devices: Option<BTreeSet<String>>,
    /// Whether some extension is for an element of the version that the step leads to.
    pub(super) has_own_extensions: bool,
    findings: Vec<Finding>,
    /// Whether something had no place.
    pub(super) has_lost: bool,
    /// How many findings are not listed, and how grave the gravest of them is.
    omitted: Option<(usize, Severity)>,
}

/// A place within a resource: `extension[0].valueReference`.
pub(super) fn relative(at: &Path<'_>) -> String {
    let place = at.to_string();
    place.strip_prefix('.').map(str::to_owned).unwrap_or(place)
}

impl<'o> Context<'o> {
    pub(super) fn new(options: &'o Options, source: Version, target: Version) -> Self {
        Self {
            options,
            direction: Direction::Stu3ToR4,
            source,
            target,
            resource: "",
            base: Rc::from(""),
            component: false,
            is_checked: false,
            devices: None,
            has_own_extensions: false,
            findings: Vec::with_capacity(8),
            has_lost: false,
            omitted: None,
        }
    }

    /// Records a finding; `from` and `into` are its places in the two documents, within the resource.
    pub(super) fn find(
        &mut self,
        key: Key,
        element: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        from: impl Into<Place>,
        into: impl Into<Place>,
    ) {
        self.push((key, key.severity().0), element.into(), detail.into(), from.into(), into.into());
    }

    fn push(
        &mut self,
        (key, severity): (Key, Severity),
        element: Cow<'static, str>,
        detail: Cow<'static, str>,
        from: Place,
        into: Place,
    ) {
        if self.findings.len() >= Report::MOST {
            let (count, gravest) = self.omitted.unwrap_or((0, severity));
            self.omitted = Some((count.saturating_add(1), gravest.min(severity)));
            return;
        }
        self.findings.push(Finding {
            key,
            severity,
            element,
            detail,
            base: Rc::clone(&self.base),
            component: self.component,
            from,
            into,
            direction: self.direction,
        });
    }

    /// Records what has no place, an error unless that loss is allowed.
    pub(super) fn lose(
        &mut self,
        loss: Loss,
        key: Key,
        element: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        from: impl Into<Place>,
    ) {
        self.has_lost = true;
        let allowed = self.options.allow.contains(&loss);
        let severity = if allowed { Severity::Warning } else { Severity::Error };
        self.push((key, severity), element.into(), detail.into(), from.into(), Place::None);
    }

    /// Whether some finding is an error, so that nothing more is to be made of the document.
    pub(super) fn is_refused(&self) -> bool {
        let mut severities = self.findings.iter().map(|finding| finding.severity);
        let omitted = self.omitted.map(|(_, severity)| severity);
        severities.any(|severity| severity <= Severity::Error) || omitted.is_some_and(|one| one <= Severity::Error)
    }

    /// Records that the resource is of a type that is not converted.
    pub(super) fn refuse(&mut self, detail: String) {
        let element = self.base.to_string().into();
        self.push((Key::Unconverted, Severity::Error), element, detail.into(), "".into(), Place::None);
    }

    /// The findings as a report: `source` and `target` are the version of each document and the name of its resource.
    pub(super) fn into_report(self, source: (Version, &str), target: (Version, &str)) -> Report {
        let mut report: Report = self.findings.into_iter().map(|finding| finding.into_issue(source, target)).collect();
        if let Some((count, severity)) = self.omitted {
            report.omit(count, severity, target.1);
        }
        report
    }
}

impl Finding {
    fn into_issue(self, source: (Version, &str), target: (Version, &str)) -> Issue {
        let (_, kind) = self.key.severity();
        let is_own = matches!((&self.element, &self.detail), (Cow::Borrowed(_), Cow::Borrowed(_)));
        let message = match &*self.detail {
            "" => self.key.words().to_owned(),
            detail => [self.key.words(), ": ", detail].concat(),
        };
        let of = if is_own { Issue::of_own_text } else { Issue::of_text };
        let issue = of(self.key.as_str(), self.severity, kind, self.element.into_owned(), message);
        let rest = self.base.split_once('.').map(|(_, rest)| rest);
        let place = |(version, root): (Version, &str), step: Step, at: Place| {
            // Where the conversion has two steps, R4 is between them.
            let (at, mut index) = at.into_parts()?;
            let at = if step.is(version) {
                at
            } else {
                // A table may name the item.
                let at = match index.take() {
                    Some(index) => format!("{at}[{index}]").into(),
                    None => at,
                };
                in_version(at, version, self.component)
            };
            let mut place = String::with_capacity(root.len() + rest.map_or(0, str::len) + at.len() + 8);
            place.push_str(root);
            for part in rest.into_iter().chain(Some(&*at).filter(|at| !at.is_empty())) {
                place.push('.');
                place.push_str(part);
            }
            if let Some(index) = index {
                push_index(&mut place, index);
            }
            Some(place)
        };
        let [from, into] = self.direction.steps();
        issue.with_places(Places { source: place(source, from, self.from), target: place(target, into, self.into) })
    }
}

/// Writes the number of an item, which has one digit almost always.
fn push_index(place: &mut String, index: usize) {
    match u8::try_from(index) {
        Ok(digit @ 0..=9) => place.extend(['[', char::from(b'0' + digit), ']']),
        _ => {
            let _ = write!(place, "[{index}]");
        }
    }
}

/// Elements of R4 by their names in another version: of any of the types, and of components alone.
const IN_STU3: &[(&str, &str)] = &[
    ("deviceName[0]", "udi"),
    ("deviceName", "udi.name"),
    ("udiCarrier[0]", "udi"),
    ("modelNumber", "model"),
    ("version[0].value", "version"),
    ("identifier[0]", "identifier"),
];
const COMPONENT_IN_STU3: &[(&str, &str)] = &[("statusReason", "operationalStatus"), ("identifier[0]", "identifier")];
const IN_R5: &[(&str, &str)] = &[
    ("deviceName", "name"),
    ("specialization", "conformsTo"),
    ("type", "type[0]"),
    ("definition", "definition.reference"),
];

/// A place of R4 in another version.
fn in_version(at: Cow<'static, str>, version: Version, component: bool) -> Cow<'static, str> {
    let table = match version {
        Version::Stu3 if component => COMPONENT_IN_STU3,
        Version::Stu3 => IN_STU3,
        Version::R5 => IN_R5,
        Version::R4 | Version::R4B => &[],
    };
    let renamed = table.iter().find_map(|(name, other)| {
        let rest = at.strip_prefix(name)?;
        let whole = rest.is_empty() || rest.starts_with(['.', '[']);
        whole.then(|| [other, rest].concat())
    });
    renamed.map_or(at, Cow::Owned)
}
