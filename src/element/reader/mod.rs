//! Reading JSON text, once, into typed values and findings.
//!
//! The reader never stops at a finding: what it cannot use it reports, steps over and, in the lenient mode, keeps as
//! text. Only broken JSON and too deep a nesting end it ([`Stop`]).

mod line_index;
mod origin;
mod text;
mod tokens;

pub(crate) use line_index::LineIndex;
pub(crate) use origin::Origin;

use super::definition::Definition;
use super::raw::Unmodelled;
use super::scalar::Token;
use super::value::Node;
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use std::borrow::Cow;

/// How strictly a document is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// A document with any fault is refused, with every finding.
    #[default]
    Strict,
    /// What cannot be read as its type is a warning and is kept as text (see [`Unmodelled`]), so that nothing is lost
    /// when the document is written again. Broken JSON, too deep a nesting and a wrong `resourceType` are refused
    /// all the same.
    Lenient,
}

/// The maximum nesting depth of JSON objects and arrays.
pub const MAX_DEPTH: u32 = 128;

/// The rule of the finding that a document has more elements than its reader has memory for.
pub(crate) const TOO_MANY_ELEMENTS: &str = "too-many-elements";

/// Reading was aborted; the reader holds the reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop;

/// A result that only broken JSON makes fail.
pub(crate) type Read<T> = Result<T, Stop>;

/// The result of reading a member, whose value was consumed in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The member is in the model.
    Taken,
    /// A finding says why it is not in the model.
    Refused,
}

/// The target that an object is read into.
pub(crate) trait Sink {
    /// Returns the definition of the type, for the rows of findings and for members that there are none of.
    fn definition(&self) -> &'static Definition;

    /// Returns the resource type that the member `resourceType` must name, for a resource.
    fn resource_type(&self) -> Option<&'static str> {
        None
    }

    /// Reads the value of `member`, or says that there is no such member by `None`, with nothing consumed.
    fn member(
        &mut self,
        r: &mut Reader<'_>,
        at: &Path<'_>,
        member: Member<'_>,
        seen: &mut Seen,
    ) -> Read<Option<Outcome>>;

    /// Returns whether the object is what a primitive has beside its value, which may be an id alone.
    fn is_extras(&self) -> bool {
        false
    }

    /// Checks the object as a whole once every member has been read.
    fn finish(&mut self, r: &mut Reader<'_>, at: &Path<'_>, seen: &Seen);

    /// Returns where the members go that are not in the model.
    fn unmodelled(&mut self) -> &mut Unmodelled;
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'k> {
    /// The name as it stands.
    pub(crate) key: &'k str,
    /// The name of the element: the key without its leading underscore.
    pub(crate) name: &'k str,
    /// Whether the key begins with an underscore: the id and the extensions of a primitive.
    pub(crate) under: bool,
}

impl<'k> Member<'k> {
    fn new(key: &'k str) -> Self {
        match key.strip_prefix('_') {
            Some(name) => Self { key, name, under: true },
            None => Self { key, name: key, under: false },
        }
    }
}

/// The elements of a type that an object has had so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    value: u64,
    under: u64,
    other: bool,
}

impl Seen {
    /// Notes row `row` and says whether it came before.
    pub(crate) fn again(&mut self, row: u32, under: bool) -> bool {
        let rows = if under { &mut self.under } else { &mut self.value };
        let bit = 1u64.checked_shl(row).unwrap_or(0);
        let again = *rows & bit != 0;
        *rows |= bit;
        again
    }

    /// Returns whether row `row` came, as a value or as an underscored member.
    pub(crate) fn has(&self, row: u32) -> bool {
        (self.value | self.under) & 1u64.checked_shl(row).unwrap_or(0) != 0
    }

    /// Returns whether some primitive has members beside its value.
    pub(crate) fn any_under(&self) -> bool {
        self.under != 0
    }
}

/// Reads one document.
pub(crate) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: u32,
    mode: ReadMode,
    fault: Option<Fault>,
    /// The type whose members are being read.
    owner: Option<&'static Definition>,
    /// Set when an array of primitives was padded with a null.
    pub(crate) padded: bool,
    /// A buffer for the strings that have escapes, used again and again.
    buffer: String,
    /// The type of the resource at an offset, found by looking ahead.
    ahead: Option<(usize, Cow<'a, str>)>,
    findings: Vec<(usize, Issue)>,
    /// How many findings were not kept, and how grave the gravest of them is.
    omitted: Option<(usize, Severity)>,
    /// How many bytes the values may still take.
    memory: usize,
    /// How many objects and arrays may stand inside one another.
    deepest: u32,
    /// The document from which the text was made, where it is no JSON document itself.
    origin: Option<Origin<'a>>,
    /// How the parts of a resource that is kept as text are validated while they are read.
    part_check: Option<PartCheck>,
}

/// Returns whether validating a part of a resource of that type finds nothing.
pub(crate) type PartCheck = fn(&str, &dyn Node) -> bool;

struct Fault {
    offset: usize,
    rule: &'static str,
    kind: IssueType,
    message: Cow<'static, str>,
    /// The fault is one token that stands where a value should; the element is known.
    token: bool,
    at: Option<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, mode: ReadMode) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            depth: 0,
            mode,
            fault: None,
            owner: None,
            padded: false,
            buffer: String::new(),
            ahead: None,
            findings: Vec::new(),
            omitted: None,
            memory: usize::MAX,
            deepest: MAX_DEPTH,
            origin: None,
            part_check: None,
        }
    }

    /// With a check of the parts of resources that are kept as text, so that who validates need not read them again.
    pub(crate) fn with_part_check(mut self, check: Option<PartCheck>) -> Self {
        self.part_check = check;
        self
    }

    pub(crate) fn part_check(&self) -> Option<PartCheck> {
        self.part_check
    }

    /// Of a text that was made from a document in another format.
    #[cfg(feature = "xml")]
    pub(crate) fn with_origin(mut self, origin: Origin<'a>) -> Self {
        self.origin = Some(origin);
        self
    }

    /// One of two wordings: that of JSON, or the one of XML.
    fn words(&self, json: &'static str, xml: &'static str) -> &'static str {
        if self.origin.is_some() { xml } else { json }
    }

    /// With at most `bytes` for the values, the text aside. Reading stops where they would take more.
    pub(crate) fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Returns the reader with so many levels more than [`MAX_DEPTH`].
    pub(crate) fn with_more_depth(mut self, levels: u32) -> Self {
        self.deepest = MAX_DEPTH + levels;
        self
    }

    /// Counts the memory of one more value.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) -> Read<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => self.too_many_values(),
        }
    }

    #[cold]
    fn too_many_values<T>(&mut self) -> Read<T> {
        let message = Cow::Borrowed("found more elements than are read at a time: send it in parts");
        let (offset, rule, kind) = (self.pos, TOO_MANY_ELEMENTS, IssueType::TooCostly);
        self.fault = Some(Fault { offset, rule, kind, message, token: false, at: None });
        Err(Stop)
    }

    // ------------------------------------------------------------------------------------------------- findings

    /// Records a finding at `offset`. In the lenient mode one that loses nothing is a warning.
    pub(crate) fn find(
        &mut self,
        offset: usize,
        rule: &'static str,
        kind: IssueType,
        at: &Path<'_>,
        message: impl Into<String>,
    ) {
        let severity = match self.mode {
            ReadMode::Strict => Severity::Error,
            ReadMode::Lenient => Severity::Warning,
        };
        self.find_as(severity, offset, rule, kind, at, message);
    }

    /// Records a finding of a severity that does not depend on the mode.
    pub(crate) fn find_as(
        &mut self,
        severity: Severity,
        offset: usize,
        rule: &'static str,
        kind: IssueType,
        at: &Path<'_>,
        message: impl Into<String>,
    ) {
        if self.is_full() {
            let (count, worst) = self.omitted.unwrap_or((0, severity));
            self.omitted = Some((count.saturating_add(1), worst.min(severity)));
            return;
        }
        let issue = Issue::new(rule, severity, kind, at, message).with_row(self.row(at.name()));
        self.findings.push((offset, issue));
    }

    /// Returns whether further findings are counted only. One place is left for the fault that ends the reading.
    fn is_full(&self) -> bool {
        self.findings.len() >= Report::MOST - 1
    }

    /// Records a finding about the element itself whose members are being read, and not about one of them.
    #[cold]
    pub(crate) fn find_here(
        &mut self,
        offset: usize,
        rule: &'static str,
        kind: IssueType,
        at: &Path<'_>,
        message: impl Into<String>,
    ) {
        self.find_member(offset, rule, kind, at, "", message);
    }

    /// Records a finding about the element itself whose members are being read, that one of its members gave rise to.
    #[cold]
    pub(crate) fn find_member(
        &mut self,
        offset: usize,
        rule: &'static str,
        kind: IssueType,
        at: &Path<'_>,
        member: &str,
        message: impl Into<String>,
    ) {
        let full = self.is_full();
        self.find(offset, rule, kind, at, message);
        if full {
            return;
        }
        let row = self.row(member);
        if let Some((_, issue)) = self.findings.last_mut() {
            issue.row = row;
        }
    }

    /// Returns the row of a member of the type that is being read; the type itself, where it has no such row.
    fn row(&self, member: &str) -> Cow<'static, str> {
        match self.owner.map(|owner| (owner.path, owner.row(member))) {
            Some((path, Some(row))) => Cow::Owned(format!("{path}.{}", row.name)),
            Some((path, None)) => Cow::Borrowed(path),
            None => Cow::Borrowed(""),
        }
    }

    /// Returns the report, with the place in the source of each finding; `root` names the document where reading
    /// stopped.
    pub(crate) fn into_report(self, root: &str) -> Report {
        let mut findings = self.findings;
        let mut fault = self.fault.map(|fault| {
            let at = fault.at.unwrap_or_else(|| root.to_owned());
            (fault.offset, Issue::new(fault.rule, Severity::Fatal, fault.kind, at, fault.message))
        });
        let mut omitted = vec![self.omitted];
        let mut text = self.text;
        if let Some(origin) = self.origin {
            text = origin.text;
            for (offset, issue) in findings.iter_mut().chain(&mut fault) {
                *offset = origin.offset(*offset);
                // XML has a primitive and what belongs to it in one element.
                issue.at = issue.at.replace("._", ".");
            }
            findings.extend(origin.findings);
            findings.sort_by_key(|(offset, _)| *offset);
            // Where the document ended before its end, so does the JSON, and that is no fault of its own.
            fault = origin.fault.or(fault);
            omitted.push(origin.omitted);
        }
        if findings.is_empty() && fault.is_none() {
            return Report::new();
        }
        let mut places = LineIndex::new(text);
        let mut rising: Vec<_> = findings.iter_mut().collect();
        rising.sort_by_key(|(offset, _)| *offset);
        for (offset, issue) in rising {
            issue.position = Some(places.position(*offset));
        }
        let mut report: Report = findings.into_iter().map(|(_, issue)| issue).collect();
        if let Some((offset, issue)) = fault {
            report.push(issue.with_position(places.position(offset)));
        }
        for (count, severity) in omitted.into_iter().flatten() {
            report.omit(count, severity, root);
        }
        report
    }

    #[cold]
    #[inline(never)]
    fn broken<T>(&mut self, offset: usize, message: impl Into<Cow<'static, str>>) -> Read<T> {
        self.fault = Some(Fault {
            offset,
            rule: "json",
            kind: IssueType::Invalid,
            message: message.into(),
            token: false,
            at: None,
        });
        Err(Stop)
    }

    #[cold]
    #[inline(never)]
    fn broken_token<T>(&mut self, offset: usize, message: impl Into<Cow<'static, str>>) -> Read<T> {
        let stop = self.broken(offset, message);
        if let Some(fault) = &mut self.fault {
            fault.token = true;
        }
        stop
    }

    /// Gives the element to a fault in a value's token. A fault of the structure stays with the document: there is
    /// no telling which element it would have been.
    fn place_fault(&mut self, at: &Path<'_>) {
        if let Some(fault) = &mut self.fault
            && fault.token
            && fault.at.is_none()
        {
            fault.at = Some(at.to_string());
        }
    }

    // --------------------------------------------------------------------------------------------------- values

    /// Reports a value of the wrong JSON type and steps over it.
    #[cold]
    pub(crate) fn wrong_type(&mut self, at: &Path<'_>, wanted: &'static str) -> Read<Outcome> {
        let found = self.found();
        let (rule, message) = match found {
            "null" => ("null", format!("found null, wanted {wanted}")),
            "an array" if self.depth > 0 && !at.is_item() => {
                ("max-cardinality", format!("found an array, wanted {wanted}; the element does not repeat"))
            }
            found => ("wrong-type", format!("found {found}, wanted {wanted}")),
        };
        let offset = self.pos;
        // Where it is no JSON value at all, stepping over it says what is broken.
        self.skip(at)?;
        if self.depth == 0 {
            self.find_as(Severity::Error, offset, rule, IssueType::Structure, at, message);
        } else {
            self.find(offset, rule, IssueType::Structure, at, message);
        }
        Ok(Outcome::Refused)
    }

    /// Returns the token of a primitive: the content of a string, or the text of a number or boolean. `None` when the
    /// token is of another kind; that has been reported, and the value stepped over.
    #[inline]
    pub(crate) fn scalar(&mut self, at: &Path<'_>, wanted: Token) -> Read<Option<Cow<'a, str>>> {
        let token = match (self.peek(), wanted) {
            (Some(b'"'), Token::String) => self.string(),
            (Some(b'-' | b'0'..=b'9'), Token::Number) => self.number().map(Cow::Borrowed),
            (Some(b't'), Token::Boolean) => self.literal("true").map(Cow::Borrowed),
            (Some(b'f'), Token::Boolean) => self.literal("false").map(Cow::Borrowed),
            // In XML every value is a text; the type of it is checked by its form.
            (Some(b'"'), _) if self.origin.is_some() => self.string(),
            _ => return self.wrong_type(at, wanted.name()).map(|_| None),
        };
        match token {
            Ok(token) => Ok(Some(token)),
            Err(stop) => {
                self.place_fault(at);
                Err(stop)
            }
        }
    }

    /// Takes a token back that is no longer needed.
    #[inline]
    pub(crate) fn done(&mut self, token: Cow<'a, str>) {
        if let Cow::Owned(buffer) = token {
            self.buffer = buffer;
        }
    }

    /// Steps over a null.
    pub(crate) fn null(&mut self, at: &Path<'_>) -> Read<()> {
        self.literal("null").map(drop).inspect_err(|_| self.place_fault(at))
    }

    /// Reads an object into `sink`.
    pub(crate) fn object(&mut self, at: &Path<'_>, sink: &mut dyn Sink) -> Read<Outcome> {
        if self.peek() != Some(b'{') {
            return self.wrong_type(at, "an object");
        }
        let outer = self.owner.replace(sink.definition());
        let offset = self.pos;
        let outcome = self.members(at, sink, offset);
        self.owner = outer;
        outcome
    }

    fn members(&mut self, at: &Path<'_>, sink: &mut dyn Sink, offset: usize) -> Read<Outcome> {
        let mut seen = Seen::default();
        let resource_type = sink.resource_type();
        let mut typed = resource_type.is_none();
        self.enter()?;
        let mut first = true;
        while self.more(b'}', first)? {
            first = false;
            self.peek();
            let key_offset = self.pos;
            let key = self.key()?;
            self.peek();
            let start = self.pos;
            if let Some(wanted) = resource_type
                && key == "resourceType"
            {
                if typed {
                    self.unusable(key_offset, "duplicate-member", at, &key, "found the member a second time")?;
                    self.keep(sink, &key, start);
                } else {
                    self.check_resource_type(&at.child("resourceType"), wanted)?;
                }
                typed = true;
                continue;
            }
            match sink.member(self, at, Member::new(&key), &mut seen)? {
                Some(Outcome::Taken) => {}
                Some(Outcome::Refused) => self.keep(sink, &key, start),
                None => {
                    seen.other = true;
                    self.unknown(key_offset, sink, at, &key)?;
                    self.keep(sink, &key, start);
                }
            }
        }
        if !typed && let Some(wanted) = resource_type {
            let message = format!("the resource has no `resourceType`, wanted `{wanted}`");
            self.find_as(
                Severity::Error,
                offset,
                "resource-type",
                IssueType::Required,
                &at.child("resourceType"),
                message,
            );
        }
        if resource_type.is_none() && !seen.other && (first || !sink.is_extras()) {
            // Row 0 of every element that is not a resource is its id.
            if (seen.value | seen.under) & !1 == 0 {
                let message = match first {
                    true => self.words("found an empty object", "found an element with neither value nor content"),
                    false => {
                        self.words("found an object with nothing but an id", "found an element with nothing but an id")
                    }
                };
                self.find_here(
                    offset,
                    "ele-1",
                    IssueType::Invariant,
                    at,
                    format!("{message}, wanted a value or members"),
                );
                return Ok(if first { Outcome::Refused } else { Outcome::Taken });
            }
        }
        sink.finish(self, at, &seen);
        Ok(Outcome::Taken)
    }

    /// Reports a member that is not in the model, and steps over its value.
    #[cold]
    fn unknown(&mut self, offset: usize, sink: &dyn Sink, at: &Path<'_>, key: &str) -> Read<()> {
        let owner = sink.definition();
        if let Some((_, rule)) = owner.forbidden.iter().find(|(name, _)| *name == Member::new(key).name) {
            self.find(offset, rule.key, IssueType::Invariant, &at.child(key), rule.message);
            return self.skip(&at.child(key));
        }
        if self.origin.is_some() && key.starts_with(['@', '#']) {
            // A finding of the format says so already.
            return self.skip(&at.child(key));
        }
        let member = self.words("a member", "an element");
        let message = format!("`{key}` is not {member} of {} in FHIR STU3", owner.path);
        self.unusable(offset, "unknown-member", at, key, message)
    }

    /// Reports a member that cannot be used, and steps over its value.
    #[cold]
    fn unusable(
        &mut self,
        offset: usize,
        rule: &'static str,
        at: &Path<'_>,
        key: &str,
        message: impl Into<String>,
    ) -> Read<()> {
        self.find(offset, rule, IssueType::Structure, &at.child(key), message);
        self.skip(&at.child(key))
    }

    /// Reports a member that came before, and steps over its value.
    #[cold]
    pub(crate) fn duplicate(&mut self, at: &Path<'_>) -> Read<Option<Outcome>> {
        let offset = self.pos;
        let message = self.words("found the member a second time", "found the element a second time");
        self.find(offset, "duplicate-member", IssueType::Structure, at, message);
        self.skip(at)?;
        Ok(Some(Outcome::Refused))
    }

    /// Keeps the value that began at `start` as text, in the lenient mode.
    fn keep(&mut self, sink: &mut dyn Sink, key: &str, start: usize) {
        if self.mode == ReadMode::Lenient {
            sink.unmodelled().push(key, self.raw_since(start));
        }
    }

    fn check_resource_type(&mut self, at: &Path<'_>, wanted: &'static str) -> Read<()> {
        let offset = self.pos;
        if self.peek() != Some(b'"') {
            let found = self.found();
            let message = format!("found {found}, wanted the string `{wanted}`");
            self.find_as(Severity::Error, offset, "resource-type", IssueType::Structure, at, message);
            return self.skip(at);
        }
        let found = self.string()?;
        if found != wanted {
            let message = format!("found `{found}`, wanted `{wanted}`");
            self.find_as(Severity::Error, offset, "resource-type", IssueType::Structure, at, message);
        }
        Ok(())
    }

    /// Reads an array, calling `item` at each of its values with the index. An empty array is a finding.
    pub(crate) fn array(
        &mut self,
        at: &Path<'_>,
        wanted: &'static str,
        item: &mut dyn FnMut(&mut Self, usize) -> Read<()>,
    ) -> Read<Outcome> {
        if self.peek() != Some(b'[') {
            let offset = self.pos;
            let found = self.found();
            self.skip(at)?;
            let rule = if found == "null" { "null" } else { "wrong-type" };
            self.find(offset, rule, IssueType::Structure, at, format!("found {found}, wanted an array of {wanted}"));
            return Ok(Outcome::Refused);
        }
        let offset = self.pos;
        self.enter()?;
        let mut index = 0;
        while self.more(b']', index == 0)? {
            self.peek();
            item(self, index)?;
            index += 1;
        }
        if index == 0 {
            self.find(
                offset,
                "empty",
                IssueType::Structure,
                at,
                "found an empty array, wanted no member or some items",
            );
            return Ok(Outcome::Refused);
        }
        Ok(Outcome::Taken)
    }
}
