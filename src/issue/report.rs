//! The findings of one document.

use super::{Kind, Severity};
use std::borrow::Cow;
use std::fmt;

/// A place in the source text, counted from one; a column is a character, not a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One finding: which rule, how grave, of which kind, where, and what to do about it.
///
/// ```
/// use fhir_devices::DeviceMetric;
///
/// let report = DeviceMetric::from_json(br#"{"resourceType":"DeviceMetric","type":{"text":"SpO2"}}"#).unwrap_err();
/// let places: Vec<_> = report.iter().map(|issue| issue.at.as_str()).collect();
/// assert_eq!(places, ["DeviceMetric.identifier", "DeviceMetric.category"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issue {
    /// The key of the rule: the specification's (`tim-1`), or ours in kebab-case (`unknown-member`).
    pub rule: Cow<'static, str>,
    /// How grave it is.
    pub severity: Severity,
    /// What sort of finding it is.
    pub kind: Kind,
    /// The place in the document, as a FHIRPath expression.
    pub at: String,
    /// The row of the definition that was broken, such as `Coding.code`; empty where no row applies.
    pub row: Cow<'static, str>,
    /// What was found and what was wanted, for the person who must mend the document.
    pub message: String,
    /// The place in the source text, where the text was at hand.
    pub position: Option<Position>,
}

/// The text with its control characters escaped: a name or a value that is quoted may hold any.
fn on_one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

impl Issue {
    /// States a finding. Control characters in the place and the message are escaped, so that each is one line.
    #[must_use]
    pub fn new(
        rule: impl Into<Cow<'static, str>>,
        severity: Severity,
        kind: Kind,
        at: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.into(),
            severity,
            kind,
            at: on_one_line(at.to_string()),
            row: Cow::Borrowed(""),
            message: on_one_line(message.into()),
            position: None,
        }
    }

    /// The same finding with the row of the definition that was broken.
    #[must_use]
    pub fn with_row(mut self, row: impl Into<Cow<'static, str>>) -> Self {
        self.row = row.into();
        self
    }

    /// The same finding with its place in the source text.
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

/// Every finding about one document, in the order of the document.
///
/// A report is the error of [`from_json`](crate::Device::from_json) and the answer of
/// [`validate`](crate::Validate::validate). It turns into an
/// [`OperationOutcome`](crate::OperationOutcome) and back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    issues: Vec<Issue>,
}

impl Report {
    /// A report without findings.
    #[must_use]
    pub const fn new() -> Self {
        Self { issues: Vec::new() }
    }

    /// Adds a finding at the end.
    pub fn push(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    /// Adds a finding before all others.
    pub fn push_front(&mut self, issue: Issue) {
        self.issues.insert(0, issue);
    }

    /// Puts each finding of `others` in, after as many of those that are here as its number says. The numbers do not
    /// fall.
    pub(crate) fn weave(&mut self, others: Vec<(usize, Issue)>) {
        let mut others = others.into_iter().peekable();
        let mut woven = Vec::with_capacity(self.issues.len() + others.len());
        for (index, issue) in std::mem::take(&mut self.issues).into_iter().enumerate() {
            while let Some((_, other)) = others.next_if(|(before, _)| *before <= index) {
                woven.push(other);
            }
            woven.push(issue);
        }
        woven.extend(others.map(|(_, other)| other));
        self.issues = woven;
    }

    /// Puts the findings in the order of their places in the source, those first that are about the document as a
    /// whole and have none.
    pub(crate) fn sort(&mut self) {
        self.issues.sort_by_key(|issue| issue.position);
    }

    /// The findings, to complete them.
    pub(crate) fn issues_mut(&mut self) -> &mut [Issue] {
        &mut self.issues
    }

    /// Adds the findings of `other` at the end.
    pub fn append(&mut self, mut other: Self) {
        self.issues.append(&mut other.issues);
    }

    /// The findings, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Issue> {
        self.issues.iter()
    }

    /// The findings as a slice.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// How many findings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.issues.len()
    }

    /// Whether there is no finding of any severity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issues.is_empty()
    }

    /// Whether some finding is an error or fatal, so that the document must not be used as it stands.
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
        Self { issues: issues.into_iter().collect() }
    }
}

impl Extend<Issue> for Report {
    fn extend<I: IntoIterator<Item = Issue>>(&mut self, issues: I) {
        self.issues.extend(issues);
    }
}
