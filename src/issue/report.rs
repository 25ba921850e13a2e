//! The issues of one document.

use super::{IssueType, Severity};
use crate::support::truncated;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Position in the source text, counted from 1; a column is a character, not a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Line number.
    pub line: usize,
    /// Number of the character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Issue in a document: its rule, severity, type, path and message.
///
/// ```
/// use fhir_devices::DeviceMetric;
///
/// let report = DeviceMetric::from_json(br#"{"resourceType":"DeviceMetric","type":{"text":"SpO2"}}"#).unwrap_err();
/// let places: Vec<_> = report.iter().map(|issue| issue.at.as_str()).collect();
/// assert_eq!(places, ["DeviceMetric.identifier", "DeviceMetric.category"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Issue {
    /// Key of the rule: the specification's (`tim-1`), or this crate's in kebab-case (`unknown-member`).
    pub rule: Cow<'static, str>,
    /// The severity.
    pub severity: Severity,
    /// The issue type.
    pub kind: IssueType,
    /// Path in the document, as a FHIRPath expression.
    pub at: String,
    /// Path of the violated element definition, such as `Coding.code`; empty where none applies.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub row: Cow<'static, str>,
    /// Value found and value expected.
    pub message: String,
    /// Position in the source text, if the document was parsed from text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Paths in both documents, for an issue about a conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Box<Places>>,
}

/// Paths of an issue in the source and target documents of a conversion, as FHIRPath.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Places {
    /// Path in the source document, if any.
    pub source: Option<String>,
    /// Path in the target document, if any.
    pub target: Option<String>,
}

/// Maximum number of bytes kept of a path and of a message.
const LONGEST: usize = 2_048;

/// Text limited to [`LONGEST`] bytes: a path may contain a member name of any length.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let left = LONGEST.saturating_sub(self.0.len());
        if part.len() <= left {
            self.0.push_str(part);
            return Ok(());
        }
        self.0.push_str(truncated(part, left));
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Formats a value, truncated to [`LONGEST`] bytes.
fn bounded(text: impl fmt::Display) -> String {
    let mut kept = Bounded::default();
    // Reaching the limit stops the writing, and keeps the beginning.
    let _ = write!(kept, "{text}");
    kept.0
}

/// Escapes the control characters of a text, which a quoted name or value may contain.
fn on_one_line(text: String) -> String {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte);
    if text.bytes().all(is_plain) || !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

/// Truncates a text to [`LONGEST`] bytes.
fn short(text: String) -> String {
    if text.len() <= LONGEST { text } else { bounded(text) }
}

impl Issue {
    /// Creates an issue. Control characters in the path and the message are escaped, so that each is one line; of each
    /// at most 2,048 bytes are kept.
    #[must_use]
    pub fn new(
        rule: impl Into<Cow<'static, str>>,
        severity: Severity,
        kind: IssueType,
        at: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.into(),
            severity,
            kind,
            at: on_one_line(bounded(at)),
            row: Cow::Borrowed(""),
            message: on_one_line(short(message.into())),
            position: None,
            places: None,
        }
    }

    /// Creates an issue from texts of this crate, which are short and have no control characters.
    pub(crate) const fn of_own_text(
        rule: &'static str,
        severity: Severity,
        kind: IssueType,
        at: String,
        message: String,
    ) -> Self {
        Self {
            rule: Cow::Borrowed(rule),
            severity,
            kind,
            at,
            row: Cow::Borrowed(""),
            message,
            position: None,
            places: None,
        }
    }

    /// Creates an issue from owned texts, escaped and truncated.
    pub(crate) fn of_text(
        rule: &'static str,
        severity: Severity,
        kind: IssueType,
        at: String,
        message: String,
    ) -> Self {
        Self::of_own_text(rule, severity, kind, on_one_line(short(at)), on_one_line(short(message)))
    }

    /// Sets the path of the violated element definition.
    #[must_use]
    pub fn with_row(mut self, row: impl Into<Cow<'static, str>>) -> Self {
        self.row = row.into();
        self
    }

    /// Sets the paths in both documents of a conversion.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = Some(Box::new(places));
        self
    }

    /// Sets the position in the source text.
    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}: {}", self.severity, self.rule, self.at, self.message)?;
        match self.position {
            Some(position) => write!(f, " ({position})"),
            None => Ok(()),
        }
    }
}

/// Issues of one document, in document order.
///
/// A report is the error of [`from_json`](crate::Device::from_json) and the result of
/// [`validate`](crate::Validate::validate). It converts to an [`OperationOutcome`](crate::OperationOutcome) and back.
///
/// At most [`MOST`](Self::MOST) issues are listed, so that a document cannot exhaust memory. The last issue then has
/// the rule `more-findings`, the number of the others, and their highest severity.
///
/// Under serde a report is the list of issues and the number counted by the last one; codes are those of FHIR.
///
/// ```
/// use fhir_devices::{Device, Report};
///
/// let report = Device::from_json(br#"{"resourceType":"Device","status":"gone"}"#).unwrap_err();
/// let json = serde_json::to_string(&report)?;
/// assert!(json.starts_with(r#"{"issues":[{"rule":"required-binding","severity":"error","kind":"code-invalid","at":"Device.status""#));
/// assert_eq!(serde_json::from_str::<Report>(&json)?, report);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed")]
pub struct Report {
    /// Listed issues, followed by the issue that counts the others.
    issues: Vec<Issue>,
    #[serde(skip_serializing_if = "is_zero")]
    omitted: usize,
}

/// Serialized form of a report.
#[derive(Deserialize)]
struct Listed {
    issues: Vec<Issue>,
    #[serde(default)]
    omitted: usize,
}

impl TryFrom<Listed> for Report {
    type Error = &'static str;

    fn try_from(Listed { mut issues, omitted }: Listed) -> Result<Self, Self::Error> {
        let counted = if omitted > 0 { issues.pop() } else { None };
        if omitted > 0 && counted.as_ref().is_none_or(|last| last.rule != Self::MORE) {
            return Err("issues are omitted, wanted the last one to count them, with the rule `more-findings`");
        }
        let mut report: Self = issues.into_iter().collect();
        if let Some(counted) = counted {
            report.omit(omitted, counted.severity, &counted.at);
        }
        Ok(report)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// Creates an empty report.
    #[must_use]
    pub const fn new() -> Self {
        Self { issues: Vec::new(), omitted: 0 }
    }

    /// Maximum number of listed issues.
    pub const MOST: usize = 1_000;

    /// Rule of the issue that counts the others.
    const MORE: &'static str = "more-findings";

    /// Appends an issue, or only counts it once [`MOST`](Self::MOST) are listed.
    pub fn push(&mut self, issue: Issue) {
        if self.issues.len() < Self::MOST {
            self.issues.push(issue);
        } else {
            self.omit(1, issue.severity, &issue.at);
        }
    }

    /// Inserts an issue before all others. If [`MOST`](Self::MOST) are listed already, the last of them is only
    /// counted.
    pub fn push_front(&mut self, issue: Issue) {
        let last = (self.listed().len() >= Self::MOST).then(|| self.issues.remove(Self::MOST - 1));
        self.issues.insert(0, issue);
        if let Some(last) = last {
            self.omit(1, last.severity, &last.at);
        }
    }

    /// Returns the number of issues that are counted but not listed.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Returns the issues without the one that counts others.
    fn listed(&self) -> &[Issue] {
        let listed = self.issues.len() - usize::from(self.omitted > 0);
        self.issues.get(..listed).unwrap_or_default()
    }

    /// Counts issues that are not listed; `at` is the path of one of them.
    pub(crate) fn omit(&mut self, count: usize, severity: Severity, at: &str) {
        if count == 0 {
            return;
        }
        if self.omitted == 0 {
            let root = at.split('.').next().unwrap_or_default();
            self.issues.push(Issue::new(Self::MORE, severity, IssueType::TooCostly, root, String::new()));
        }
        self.omitted = self.omitted.saturating_add(count);
        if let Some(last) = self.issues.last_mut() {
            last.severity = last.severity.min(severity);
            last.message.clear();
            let _ = write!(last.message, "{} more findings are not listed", self.omitted);
        }
    }

    /// Counts an issue before it is created if it would not be listed; returns whether it did.
    pub(crate) fn counts(&mut self, severity: Severity) -> bool {
        if self.omitted > 0 {
            self.omit(1, severity, "");
        }
        self.omitted > 0
    }

    /// Keeps the issues that meet a condition, and the count of those not listed.
    pub(crate) fn retain(&mut self, holds: impl FnMut(&Issue) -> bool) {
        let counted = if self.omitted > 0 { self.issues.pop() } else { None };
        self.issues.retain(holds);
        self.issues.extend(counted);
    }

    /// Truncates the list to `most` issues and counts the rest.
    pub(crate) fn cut(&mut self, most: usize) {
        if self.listed().len() <= most {
            return;
        }
        let counted = if self.omitted > 0 { self.issues.pop() } else { None };
        let mut more = Self { issues: self.issues.split_off(most), omitted: 0 };
        let omitted = std::mem::take(&mut self.omitted);
        for issue in more.issues.drain(..) {
            self.omit(1, issue.severity, &issue.at);
        }
        if let Some(counted) = counted {
            self.omit(omitted, counted.severity, &counted.at);
        }
    }

    /// Inserts each issue of `others` after as many issues of this report as its number says. The numbers must not
    /// decrease.
    pub(crate) fn weave(&mut self, others: Vec<(usize, Issue)>) {
        let mut others = others.into_iter().peekable();
        let mut own = std::mem::take(self);
        let counted = if own.omitted > 0 { own.issues.pop() } else { None };
        for (index, issue) in own.issues.into_iter().enumerate() {
            while let Some((_, other)) = others.next_if(|(before, _)| *before <= index) {
                self.push(other);
            }
            self.push(issue);
        }
        self.extend(others.map(|(_, other)| other));
        if let Some(counted) = counted {
            self.omit(own.omitted, counted.severity, &counted.at);
        }
    }

    /// Sorts the issues by their positions in the source, those without a position first.
    pub(crate) fn sort(&mut self) {
        let listed = self.listed().len();
        if let Some(listed) = self.issues.get_mut(..listed) {
            listed.sort_by_key(|issue| issue.position);
        }
    }

    /// Raises the issues of a rule to errors.
    pub(crate) fn raise(&mut self, rule: &str) {
        for issue in self.issues.iter_mut().filter(|issue| issue.rule == rule) {
            issue.severity = issue.severity.min(Severity::Error);
        }
    }

    /// Returns the issues for modification.
    pub(crate) fn issues_mut(&mut self) -> &mut [Issue] {
        &mut self.issues
    }

    /// Appends the issues of `other`.
    pub fn append(&mut self, mut other: Self) {
        let counted = if other.omitted > 0 { other.issues.pop() } else { None };
        self.extend(other.issues);
        if let Some(counted) = counted {
            self.omit(other.omitted, counted.severity, &counted.at);
        }
    }

    /// Returns the issues, in order; the one that counts others is the last.
    pub fn iter(&self) -> std::slice::Iter<'_, Issue> {
        self.issues.iter()
    }

    /// Returns the issues as a slice.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// Returns the number of issues in the list, including the one that counts others.
    #[must_use]
    pub fn len(&self) -> usize {
        self.issues.len()
    }

    /// Returns whether the report has no issues.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issues.is_empty()
    }

    /// Returns whether an issue is an error or fatal, so that the document must not be used as it is.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.issues.iter().any(|issue| issue.severity <= Severity::Error)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            issue.fmt(f)?;
        }
        Ok(())
    }
}

/// Writes the issues as `Display` does, one a line, so that a `main` that returns a report prints them; `{:#?}` writes
/// the fields.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(self, f);
        }
        f.debug_struct("Report").field("issues", &self.issues).field("omitted", &self.omitted).finish()
    }
}

impl std::error::Error for Report {}

impl IntoIterator for Report {
    type Item = Issue;
    type IntoIter = std::vec::IntoIter<Issue>;

    fn into_iter(self) -> Self::IntoIter {
        self.issues.into_iter()
    }
}

impl<'r> IntoIterator for &'r Report {
    type Item = &'r Issue;
    type IntoIter = std::slice::Iter<'r, Issue>;

    fn into_iter(self) -> Self::IntoIter {
        self.issues.iter()
    }
}

impl FromIterator<Issue> for Report {
    fn from_iter<I: IntoIterator<Item = Issue>>(issues: I) -> Self {
        let mut report = Self::new();
        report.extend(issues);
        report
    }
}

impl Extend<Issue> for Report {
    fn extend<I: IntoIterator<Item = Issue>>(&mut self, issues: I) {
        let issues = issues.into_iter();
        self.issues.reserve(issues.size_hint().0.min(Self::MOST));
        issues.for_each(|issue| self.push(issue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(severity: Severity, number: usize) -> Issue {
        Issue::new("r", severity, IssueType::Value, format_args!("Device.x[{number}]"), "wrong")
    }

    #[test]
    fn issues_beyond_the_limit_are_counted_in_the_last() {
        let mut report: Report = (0..Report::MOST).map(|number| issue(Severity::Warning, number)).collect();
        assert_eq!((report.len(), report.omitted(), report.has_errors()), (Report::MOST, 0, false));
        report.push(issue(Severity::Error, 7));
        report.push_front(issue(Severity::Warning, 8));
        assert_eq!((report.len(), report.omitted(), report.has_errors()), (Report::MOST + 1, 2, true));
        let last = report.issues().last().unwrap();
        assert_eq!((&*last.rule, &*last.at, last.severity), ("more-findings", "Device", Severity::Error));
        assert_eq!(last.message, "2 more findings are not listed");
        assert_eq!(report.issues()[0].at, "Device.x[8]");

        let mut both = Report::from_iter([issue(Severity::Information, 9)]);
        both.append(report.clone());
        assert_eq!((both.len(), both.omitted(), both.has_errors()), (Report::MOST + 1, 3, true));
        both.weave(vec![(0, issue(Severity::Warning, 1)), (5_000, issue(Severity::Warning, 2))]);
        assert_eq!((both.len(), both.omitted()), (Report::MOST + 1, 5));
        both.sort();
        both.retain(|issue| issue.at == "Device.x[1]");
        assert_eq!((both.len(), both.omitted()), (3, 5));
        both.cut(1);
        assert_eq!((both.len(), both.omitted(), both.has_errors()), (2, 6, true));
        assert_ne!(both, Report::from_iter([both.issues()[0].clone()]));
    }

    #[test]
    fn report_round_trips_through_serde() {
        let mut report: Report = (0..Report::MOST + 3).map(|number| issue(Severity::Warning, number)).collect();
        report.push(issue(Severity::Error, 7).with_row("Device.x").with_position(Position { line: 2, column: 9 }));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        for wrong in [
            r#"{"issues":[],"omitted":3}"#,
            r#"{"issues":[{"rule":"r","severity":"grave","kind":"value","at":"x","message":"m"}]}"#,
        ] {
            assert!(serde_json::from_str::<Report>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_path_and_message_are_truncated() {
        let long = "é".repeat(1 << 20);
        let issue = Issue::new("r", Severity::Error, IssueType::Value, &*long, format!("found `{long}`"));
        assert!(issue.at.len() < LONGEST + 4 && issue.at.ends_with("é…"), "{}", issue.at.len());
        assert!(issue.message.len() < LONGEST + 4 && issue.message.starts_with("found `é"));
    }
}
