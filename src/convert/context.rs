//! What one conversion knows and finds.

use super::{Direction, Loss, Options, Step, Version};
use crate::issue::{Issue, Kind, Path, Places, Report, Severity};
use std::borrow::Cow;
use std::collections::BTreeSet;
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
    /// What has no place.
    Lost,
    /// Two resources with one address.
    Collision,
    /// A resource of another type, left as it is.
    Unconverted,
    /// A value of the wrong JSON type.
    WrongType,
    /// A member that the version has not, and the one before or behind it has.
    UnknownMember,
    /// What to mind.
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
            Self::Collision => "collision",
            Self::Unconverted => "unconverted",
            Self::WrongType => "wrong-type",
            Self::UnknownMember => "unknown-member",
            Self::Warning => "warning",
        }
    }

    const fn severity(self) -> (Severity, Kind) {
        match self {
            Self::Carried | Self::Rewritten | Self::Filled => (Severity::Information, Kind::Informational),
            Self::Edited => (Severity::Warning, Kind::Conflict),
            Self::Unconverted | Self::Warning => (Severity::Warning, Kind::NotSupported),
            Self::Lost => (Severity::Error, Kind::NotSupported),
            Self::Collision => (Severity::Error, Kind::Duplicate),
            Self::WrongType | Self::UnknownMember => (Severity::Error, Kind::Structure),
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
            Self::Unconverted => "the resource is left in its version",
            Self::WrongType => "the element has a value of the wrong JSON type",
            Self::UnknownMember => "the version has no such element",
            Self::Warning => "the element needs attention",
        }
    }
}

/// One finding, its places relative to the resource.
#[derive(Debug)]
pub(super) struct Finding {
    key: Key,
    severity: Severity,
    /// The element, as the mapping names it.
    element: Cow<'static, str>,
    detail: Cow<'static, str>,
    /// The place of the resource.
    base: Rc<str>,
    component: bool,
    /// The place in the document of the earlier step, and in that of the later.
    from: Option<String>,
    into: Option<String>,
    direction: Direction,
}

/// What one conversion knows and finds.
pub(super) struct Context<'o> {
    pub(super) options: &'o Options,
    pub(super) direction: Direction,
    /// The version that the whole conversion leads to.
    pub(super) target: Version,
    /// The place of the resource that is being converted.
    pub(super) base: Rc<str>,
    /// Whether that is a component.
    pub(super) component: bool,
    /// The ids of the Devices of R4 in the Bundle that are no components, where it is a Bundle.
    pub(super) devices: Option<BTreeSet<String>>,
    pub(super) findings: Vec<Finding>,
}

/// A place within a resource: `extension[0].valueReference`.
pub(super) fn relative(at: &Path<'_>) -> String {
    let place = at.to_string();
    place.strip_prefix('.').map(str::to_owned).unwrap_or(place)
}

impl<'o> Context<'o> {
    pub(super) fn new(options: &'o Options, target: Version) -> Self {
        Self {
            options,
            direction: Direction::Stu3ToR4,
            target,
            base: Rc::from(""),
            component: false,
            devices: None,
            findings: Vec::new(),
        }
    }

    /// Records a finding; `from` and `into` are its places in the two documents, within the resource.
    pub(super) fn find(
        &mut self,
        key: Key,
        element: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        from: Option<String>,
        into: Option<String>,
    ) {
        self.findings.push(Finding {
            key,
            severity: key.severity().0,
            element: element.into(),
            detail: detail.into(),
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
        from: Option<String>,
    ) {
        self.find(key, element, detail, from, None);
        if self.options.allow.contains(&loss)
            && let Some(finding) = self.findings.last_mut()
        {
            finding.severity = Severity::Warning;
        }
    }

    /// Whether some finding is an error, so that nothing more is to be made of the document.
    pub(super) fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity <= Severity::Error)
    }

    /// Records that the resource is of a type that is not converted.
    pub(super) fn refuse(&mut self, detail: String) {
        self.find(Key::Unconverted, self.base.to_string(), detail, Some(String::new()), None);
        if let Some(finding) = self.findings.last_mut() {
            finding.severity = Severity::Error;
        }
    }

    /// The findings as a report: `source` and `target` are the version of each document and the name of its resource.
    pub(super) fn into_report(self, source: (Version, &str), target: (Version, &str)) -> Report {
        self.findings.into_iter().map(|finding| finding.into_issue(source, target)).collect()
    }
}

impl Finding {
    /// Numbers the element `name`, for one of a list that is carried as it stands.
    pub(super) fn number(&mut self, name: &str, index: usize) {
        let numbered = self.element.replacen(name, &format!("{name}[{index}]"), 1);
        self.from = numbered.split_once('.').map(|(_, place)| place.to_owned());
        self.element = Cow::Owned(numbered);
    }

    fn into_issue(self, source: (Version, &str), target: (Version, &str)) -> Issue {
        let (_, kind) = self.key.severity();
        let message = match &*self.detail {
            "" => self.key.words().to_owned(),
            detail => format!("{}: {detail}", self.key.words()),
        };
        let issue = Issue::new(self.key.as_str(), self.severity, kind, &self.element, message);
        let rest = self.base.split_once('.').map(|(_, rest)| rest);
        let place = |(version, root): (Version, &str), step: Step, at: Option<String>| {
            // Where the conversion has two steps, R4 is between them.
            let at = at.map(|at| if step.is(version) { at } else { in_version(&at, version, self.component) })?;
            let mut place = String::with_capacity(root.len() + rest.map_or(0, str::len) + at.len() + 2);
            place.push_str(root);
            for part in rest.into_iter().chain(Some(&*at).filter(|at| !at.is_empty())) {
                place.push('.');
                place.push_str(part);
            }
            Some(place)
        };
        let [from, into] = self.direction.steps();
        issue.with_places(Places { source: place(source, from, self.from), target: place(target, into, self.into) })
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
fn in_version(at: &str, version: Version, component: bool) -> String {
    let table = match version {
        Version::Stu3 if component => COMPONENT_IN_STU3,
        Version::Stu3 => IN_STU3,
        Version::R5 => IN_R5,
        Version::R4 | Version::R4B => &[],
    };
    let renamed = table.iter().find_map(|(name, other)| {
        let rest = at.strip_prefix(name)?;
        let whole = rest.is_empty() || rest.starts_with(['.', '[']);
        whole.then(|| format!("{other}{rest}"))
    });
    renamed.unwrap_or_else(|| at.to_owned())
}
