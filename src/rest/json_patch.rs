//! JSON Patch (RFC 6902) on a tree that keeps the text of its numbers.

use super::Limits;
use super::problem::{Problem, Result};
use crate::convert::json::{Json, Object};
use crate::element::MAX_DEPTH;
use crate::issue::IssueType;
use std::borrow::Cow;

/// The rule of a patch that is not one.
const MALFORMED: &str = "json-patch";
/// The rule of an operation that cannot be carried out.
const FAILED: &str = "json-patch-failed";
/// The rule of a test that does not hold.
const UNEQUAL: &str = "json-patch-test";

/// How many members and items the operations of one patch may look at or shift.
const MAX_WORK: usize = 10_000_000;

/// How many bytes the operations may copy, beside as many as the document and the patch have.
const MAX_COPIED: usize = 64 << 10;

/// How much of a pointer is shown in a message, in characters.
const SHOWN: usize = 200;

/// The operations of a patch, in order.
#[derive(Debug)]
pub(super) struct Patch<'a> {
    operations: Vec<Operation<'a>>,
    /// How many bytes its text has.
    size: usize,
}

#[derive(Debug)]
struct Operation<'a> {
    action: Action<'a>,
    path: Pointer,
}

#[derive(Debug)]
enum Action<'a> {
    Add(Json<'a>),
    Remove,
    Replace(Json<'a>),
    Move(Pointer),
    Copy(Pointer),
    Test(Json<'a>),
}

impl Action<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Remove => "remove",
            Self::Replace(_) => "replace",
            Self::Move(_) => "move",
            Self::Copy(_) => "copy",
            Self::Test(_) => "test",
        }
    }
}

/// A JSON Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads the text form; nothing where it is none.
    fn read(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix('/') else {
            return text.is_empty().then(|| Self { tokens: Vec::new() });
        };
        let token = |token: &str| {
            let escapes_are_known = token.split('~').skip(1).all(|part| part.starts_with(['0', '1']));
            escapes_are_known.then(|| token.replace("~1", "/").replace("~0", "~"))
        };
        rest.split('/').map(token).collect::<Option<_>>().map(|tokens| Self { tokens })
    }

    /// Returns the last token, and those before it; nothing for the pointer to the whole document.
    fn split(&self) -> Option<(&[String], &str)> {
        self.tokens.split_last().map(|(last, above)| (above, last.as_str()))
    }

    /// Returns the place in FHIRPath, as far as the tokens are names and numbers.
    fn expression(&self, root: &str) -> String {
        let mut place = root.to_owned();
        for token in self.tokens.iter().take(MAX_DEPTH as usize) {
            if index(token).is_some() {
                place += &format!("[{token}]");
            } else if token.len() <= SHOWN && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                place += &format!(".{token}");
            } else {
                break;
            }
        }
        place
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1")));
        f.write_str(&shortened(whole.take(SHOWN).collect()))
    }
}

/// Returns a text of a client's, as a message shows it.
fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Returns the index that a token names: digits without a zero before them.
fn index(token: &str) -> Option<usize> {
    let is_number = token == "0" || (!token.starts_with('0') && !token.is_empty());
    (is_number && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok()).flatten()
}

impl<'a> Patch<'a> {
    /// Reads a patch, with everything that is wrong with it.
    pub(super) fn read(body: &'a [u8], limits: &Limits) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| Problem::bad(MALFORMED, "the patch is not UTF-8"))?;
        let json = Json::read_within(text, "JsonPatch", limits.read_memory());
        let Json::Array(items) = json.map_err(|report| Problem::document_within(report, limits))? else {
            return Err(Problem::bad(MALFORMED, "the patch is no array of operations"));
        };
        if items.len() > limits.operations() {
            let (found, most) = (items.len(), limits.operations());
            let words = format!("the patch has {found} operations, and at most {most} are taken: send several");
            return Err(Problem::new(413, IssueType::TooCostly, "too-costly", words));
        }
        let mut operations = Vec::with_capacity(items.len());
        let mut faults: Option<Problem> = None;
        for (at, item) in items.into_iter().enumerate() {
            match Operation::read(item) {
                Ok(operation) => operations.push(operation),
                Err(words) => {
                    let fault = Problem::bad(MALFORMED, format_args!("operation[{at}]: {words}"));
                    faults = Some(match faults {
                        Some(before) => before.and(fault),
                        None => fault,
                    });
                }
            }
        }
        match faults {
            Some(faults) => Err(faults),
            None => Ok(Self { operations, size: body.len() }),
        }
    }

    /// Carries the operations out on a document of `size` bytes whose type is `root`. An array from which they took the last
    /// item, and which is still empty at their end, is taken out too: FHIR has no empty arrays.
    pub(super) fn apply(&self, document: Json<'a>, size: usize, root: &str) -> Result<Json<'a>> {
        let copied = MAX_COPIED.saturating_add(self.size).saturating_add(size);
        let mut work = Work { document, steps: MAX_WORK, copied, emptied: Vec::new() };
        for (at, operation) in self.operations.iter().enumerate() {
            work.carry_out(operation).map_err(|fault| {
                let (name, path) = (operation.action.name(), &operation.path);
                let words = format!("operation[{at}], `{name}` at `{path}`: {}", fault.words);
                Problem::new(fault.status, fault.kind, fault.rule, words).at(&path.expression(root))
            })?;
        }
        work.take_emptied();
        Ok(work.document)
    }
}

impl<'a> Operation<'a> {
    fn read(item: Json<'a>) -> Result<Self, String> {
        let Json::Object(mut members) = item else { return Err("found no object".to_owned()) };
        let pointer = |name: &str, members: &Object<'_>| {
            let text = match members.get(name) {
                Some(Json::Text(text)) => text,
                Some(_) => return Err(format!("`{name}` is no string")),
                None => return Err(format!("`{name}` is missing")),
            };
            let found = || format!("`{name}` is `{}`, wanted a JSON Pointer", shortened(text.to_string()));
            Pointer::read(text).ok_or_else(found)
        };
        let op = match members.get("op") {
            Some(Json::Text(op)) => op.to_string(),
            Some(_) => return Err("`op` is no string".to_owned()),
            None => return Err("`op` is missing".to_owned()),
        };
        let path = pointer("path", &members)?;
        let mut value = || members.take("value").ok_or_else(|| "`value` is missing".to_owned());
        let action = match op.as_str() {
            "add" => Action::Add(value()?),
            "remove" => Action::Remove,
            "replace" => Action::Replace(value()?),
            "move" => Action::Move(pointer("from", &members)?),
            "copy" => Action::Copy(pointer("from", &members)?),
            "test" => Action::Test(value()?),
            other => {
                let wanted = "`add`, `remove`, `replace`, `move`, `copy` or `test`";
                return Err(format!("`op` is `{}`, wanted {wanted}", shortened(other.to_owned())));
            }
        };
        if let Action::Move(from) = &action
            && path.tokens.len() > from.tokens.len()
            && path.tokens.starts_with(&from.tokens)
        {
            return Err(format!("`{from}` cannot be moved into itself"));
        }
        Ok(Self { action, path })
    }
}

/// Why an operation was not carried out.
struct Fault {
    status: u16,
    kind: IssueType,
    rule: &'static str,
    words: String,
}

impl Fault {
    fn failed(words: impl Into<String>) -> Self {
        Self { status: 422, kind: IssueType::Processing, rule: FAILED, words: words.into() }
    }

    fn too_costly(words: &str) -> Self {
        Self { status: 413, kind: IssueType::TooCostly, rule: "too-costly", words: words.to_owned() }
    }

    fn absent(from: &Pointer) -> Self {
        Self::failed(format!("there is nothing at `{from}`"))
    }
}

/// A document that is being changed, and what may still be done to it.
struct Work<'a> {
    document: Json<'a>,
    steps: usize,
    copied: usize,
    /// The arrays from which the last item was taken.
    emptied: Vec<Vec<String>>,
}

impl<'a> Work<'a> {
    fn carry_out(&mut self, operation: &Operation<'a>) -> Result<(), Fault> {
        let path = &operation.path;
        match &operation.action {
            Action::Add(value) => self.add(path, value.clone()),
            Action::Remove => self.remove(path).map(drop),
            Action::Replace(value) => {
                self.fits(path, value)?;
                *self.find(path)? = value.clone();
                Ok(())
            }
            Action::Move(from) if from == path => self.find(from).map(drop),
            Action::Move(from) => {
                let value = self.remove(from)?;
                self.add(path, value)
            }
            Action::Copy(from) => {
                let found = self.find(from)?;
                let bytes = size_of_text(found);
                let value = found.clone();
                let Some(left) = self.copied.checked_sub(bytes) else {
                    let words = "the patch copies more than the resource and the patch have together: send it in parts";
                    return Err(Fault::too_costly(words));
                };
                self.copied = left;
                self.add(path, value)
            }
            Action::Test(value) => {
                if !equal(self.find(path)?, value) {
                    let words = "found another value than the one that is given".to_owned();
                    return Err(Fault { status: 422, kind: IssueType::Conflict, rule: UNEQUAL, words });
                }
                Ok(())
            }
        }
    }

    /// Counts members and items that are looked at or shifted.
    fn spend(steps: &mut usize, count: usize) -> Result<(), Fault> {
        *steps = steps
            .checked_sub(count.saturating_add(1))
            .ok_or_else(|| Fault::too_costly("the patch takes more steps than one request may: send it in parts"))?;
        Ok(())
    }

    /// Returns the value at the end of some tokens; nothing where there is none.
    fn at(&mut self, tokens: &[String]) -> Result<Option<&mut Json<'a>>, Fault> {
        let mut value = &mut self.document;
        for token in tokens {
            let below = match value {
                Json::Object(object) => {
                    Self::spend(&mut self.steps, object.members.len())?;
                    object.get_mut(token)
                }
                Json::Array(items) => {
                    Self::spend(&mut self.steps, 0)?;
                    index(token).and_then(|at| items.get_mut(at))
                }
                Json::Text(_) | Json::Token(_) => None,
            };
            let Some(below) = below else { return Ok(None) };
            value = below;
        }
        Ok(Some(value))
    }

    fn find(&mut self, pointer: &Pointer) -> Result<&mut Json<'a>, Fault> {
        self.at(&pointer.tokens)?.ok_or_else(|| Fault::absent(pointer))
    }

    /// Refuses a value that would make the document deeper than one that is read.
    fn fits(&mut self, pointer: &Pointer, value: &Json<'_>) -> Result<(), Fault> {
        let (depth, values) = extent(value);
        Self::spend(&mut self.steps, values)?;
        if pointer.tokens.len().saturating_add(depth) > MAX_DEPTH as usize {
            return Err(Fault::failed(format!("more than {MAX_DEPTH} objects and arrays are inside one another")));
        }
        Ok(())
    }

    fn add(&mut self, pointer: &Pointer, value: Json<'a>) -> Result<(), Fault> {
        self.fits(pointer, &value)?;
        let Some((above, last)) = pointer.split() else {
            self.document = value;
            return Ok(());
        };
        let mut steps = self.steps;
        match self.at(above)? {
            Some(Json::Object(object)) => {
                Self::spend(&mut steps, object.members.len())?;
                object.put(Cow::Owned(last.to_owned()), value);
            }
            Some(Json::Array(items)) => {
                let at = if last == "-" { Some(items.len()) } else { index(last) };
                let Some(at) = at.filter(|at| *at <= items.len()) else {
                    let words =
                        format!("`{}` is no place in an array of {} items", shortened(last.into()), items.len());
                    return Err(Fault::failed(words));
                };
                Self::spend(&mut steps, items.len() - at)?;
                items.insert(at, value);
            }
            Some(Json::Text(_) | Json::Token(_)) => {
                return Err(Fault::failed("what is above it is no object and no array"));
            }
            None => return Err(Fault::failed("there is nothing above it")),
        }
        self.steps = self.steps.min(steps);
        Ok(())
    }

    fn remove(&mut self, pointer: &Pointer) -> Result<Json<'a>, Fault> {
        let Some((above, last)) = pointer.split() else {
            return Err(Fault::failed("the whole resource cannot be removed"));
        };
        let mut steps = self.steps;
        let (mut is_empty, mut found) = (false, None);
        match self.at(above)? {
            Some(Json::Object(object)) => {
                Self::spend(&mut steps, object.members.len())?;
                found = object.take(last);
            }
            Some(Json::Array(items)) => {
                if let Some(at) = index(last).filter(|at| *at < items.len()) {
                    Self::spend(&mut steps, items.len() - at)?;
                    found = Some(items.remove(at));
                    is_empty = items.is_empty();
                }
            }
            Some(Json::Text(_) | Json::Token(_)) | None => {}
        }
        self.steps = self.steps.min(steps);
        if is_empty {
            self.emptied.push(above.to_vec());
        }
        found.ok_or_else(|| Fault::absent(pointer))
    }

    /// Takes out the arrays that are empty since their last item was taken.
    fn take_emptied(&mut self) {
        while let Some(tokens) = self.emptied.pop() {
            if matches!(self.at(&tokens), Ok(Some(Json::Array(items))) if items.is_empty())
                && let Some((last, above)) = tokens.split_last()
                && let Ok(Some(Json::Object(object))) = self.at(above)
            {
                object.take(last);
            }
        }
    }
}

/// How deep a value is, itself included where others can be in it, and how many values there are.
fn extent(value: &Json<'_>) -> (usize, usize) {
    let sum = |(depth, values): (usize, usize), below: &Json<'_>| {
        let (deeper, more) = extent(below);
        (depth.max(deeper), values.saturating_add(more))
    };
    let (depth, values) = match value {
        Json::Text(_) | Json::Token(_) => return (0, 1),
        Json::Array(items) => items.iter().fold((0, 1), sum),
        Json::Object(object) => object.members.iter().map(|(_, value)| value).fold((0, 1), sum),
    };
    (depth + 1, values)
}

/// About how many bytes the text of a value has.
fn size_of_text(value: &Json<'_>) -> usize {
    match value {
        Json::Token(token) => token.len() + 1,
        Json::Text(text) => text.len() + 3,
        Json::Array(items) => items.iter().map(size_of_text).fold(3, usize::saturating_add),
        Json::Object(object) => {
            let members = object.members.iter().map(|(name, value)| size_of_text(value).saturating_add(name.len() + 4));
            members.fold(3, usize::saturating_add)
        }
    }
}

/// Returns whether two values are equal as RFC 6902 says: numbers by their value, objects in any order of their
/// members.
fn equal(one: &Json<'_>, two: &Json<'_>) -> bool {
    match (one, two) {
        (Json::Token(one), Json::Token(two)) => one == two || same_number(one, two),
        (Json::Text(one), Json::Text(two)) => one == two,
        (Json::Array(one), Json::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal(one, two))
        }
        (Json::Object(one), Json::Object(two)) if one.members.len() == two.members.len() => {
            let sorted = |object: &'_ Object<'_>| {
                let mut order: Vec<usize> = (0..object.members.len()).collect();
                order.sort_by(|one, two| {
                    let name = |at: &usize| object.members.get(*at).map(|(name, _)| &**name);
                    name(one).cmp(&name(two))
                });
                order
            };
            sorted(one).into_iter().zip(sorted(two)).all(|(at, other)| {
                let pair = one.members.get(at).zip(two.members.get(other));
                pair.is_some_and(|(one, two)| one.0 == two.0 && equal(&one.1, &two.1))
            })
        }
        _ => false,
    }
}

/// Returns whether two tokens are numbers of the same value. A number whose exponent is beyond all measure is its own
/// text alone.
fn same_number(one: &str, two: &str) -> bool {
    /// Returns the sign, the digits without zeros at their ends, and the power of ten of the last one.
    fn read(token: &str) -> Option<(bool, String, i64)> {
        let (is_negative, rest) = token.strip_prefix('-').map_or((false, token), |rest| (true, rest));
        if !rest.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let trimmed = digits.trim_end_matches('0');
        let shift = i64::try_from(digits.len() - trimmed.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        let trimmed = trimmed.trim_start_matches('0');
        if trimmed.is_empty() {
            return Some((false, String::new(), 0));
        }
        let exponent: i64 = exponent.parse().ok()?;
        Some((is_negative, trimmed.to_owned(), exponent.checked_add(shift)?))
    }
    matches!((read(one), read(two)), (Some(one), Some(two)) if one == two)
}

#[cfg(test)]
#[path = "json_patch_tests.rs"]
mod tests;
