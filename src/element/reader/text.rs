//! Values that are kept as text, and looking ahead for what an object is.

use super::super::raw::push_compact;
use super::{Read, Reader};
use crate::issue::{IssueType, Path};
use std::borrow::Cow;

impl<'a> Reader<'a> {
    /// Returns the `resourceType` of the object that comes next, wherever it stands in the object, with nothing
    /// consumed. Fails where broken JSON comes before it.
    pub(crate) fn resource_type_ahead(&mut self) -> Read<Option<Cow<'a, str>>> {
        self.peek();
        let (pos, depth) = (self.pos, self.depth);
        if let Some((at, found)) = &self.ahead
            && *at == pos
        {
            return Ok(Some(found.clone()));
        }
        let found = self.find_resource_type();
        // Broken JSON is reported by the pass that reads.
        self.fault = None;
        (self.pos, self.depth) = (pos, depth);
        self.ahead = found.as_ref().ok().cloned().flatten().map(|found| (pos, found));
        found
    }

    fn find_resource_type(&mut self) -> Read<Option<Cow<'a, str>>> {
        if self.peek() != Some(b'{') {
            return Ok(None);
        }
        self.enter()?;
        let mut first = true;
        while self.more(b'}', first)? {
            first = false;
            if self.key()? == "resourceType" {
                return if self.peek() == Some(b'"') { self.string().map(Some) } else { Ok(None) };
            }
            self.skip_here()?;
        }
        Ok(None)
    }

    /// Reads a resource as text, as [`any`](Self::any) does; its findings are of no row. `known` is asked at each member.
    pub(crate) fn any_resource(&mut self, at: &Path<'_>, out: &mut String, known: &mut Known<'_>) -> Read<()> {
        let outer = self.owner.take();
        let read = self.any(at, 0, out, known);
        self.owner = outer;
        read
    }

    /// Returns the string that comes next, with nothing consumed; [`None`] where none comes or it is broken.
    pub(crate) fn string_ahead(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let pos = self.pos;
        let found = self.string();
        self.pos = pos;
        // Broken JSON is reported by the pass that reads.
        self.fault = None;
        found.ok()
    }

    /// Reads a string without escapes of which a condition holds, and writes it as it stands. Says whether it did; nothing is
    /// consumed otherwise.
    pub(crate) fn string_if(&mut self, out: &mut String, holds: impl FnOnce(&str) -> bool) -> bool {
        let start = self.pos;
        match self.string_ahead() {
            Some(Cow::Borrowed(text)) if holds(text) => {
                self.pos = start + text.len() + 2;
                out.push_str(self.text_since(start));
                true
            }
            _ => false,
        }
    }

    /// Reads what does not stay in memory, so that it takes none of what the values may take together.
    pub(crate) fn scratch<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let memory = self.memory;
        let result = read(self);
        self.memory = memory;
        result
    }

    /// Returns whether the next value is an object without members.
    pub(crate) fn is_empty_object(&mut self) -> bool {
        let is_open = self.peek() == Some(b'{');
        let rest = self.bytes.get(self.pos + 1..).unwrap_or_default();
        is_open && rest.trim_ascii_start().first() == Some(&b'}')
    }

    /// Returns whether the next value stands within another.
    pub(crate) fn is_within(&self) -> bool {
        self.depth > 0
    }

    /// Reads any value as text, without white space between tokens, and reports what no FHIR JSON may have: nulls
    /// that are members, empty objects, arrays and strings, and members that come twice. It stands that many objects and
    /// arrays below the resource.
    fn any(&mut self, at: &Path<'_>, depth: usize, out: &mut String, known: &mut Known<'_>) -> Read<()> {
        let offset = match self.peek() {
            Some(_) => self.pos,
            None => return self.bad_token(self.pos),
        };
        match self.byte() {
            Some(b'{') => self.any_object(at, depth, out, known),
            Some(b'[') => {
                self.enter()?;
                out.push('[');
                let mut index = 0;
                while self.more(b']', index == 0)? {
                    if index > 0 {
                        out.push(',');
                    }
                    let item = at.indexed(index);
                    if self.peek() == Some(b'n') {
                        self.null(&item)?;
                        out.push_str("null");
                    } else {
                        self.any(&item, depth + 1, out, known)?;
                    }
                    index += 1;
                }
                out.push(']');
                if index == 0 {
                    self.find(
                        offset,
                        "empty",
                        IssueType::Structure,
                        at,
                        "found an empty array, wanted no member or some items",
                    );
                }
                Ok(())
            }
            byte => {
                if byte == Some(b'n') {
                    self.find(offset, "null", IssueType::Structure, at, "found null, wanted no member or a value");
                }
                self.skip(at)?;
                let token = self.text_since(offset);
                if token == "\"\"" {
                    self.find(
                        offset,
                        "empty",
                        IssueType::Value,
                        at,
                        "found an empty string, wanted no member or some text",
                    );
                }
                out.push_str(token);
                Ok(())
            }
        }
    }

    fn any_object(&mut self, at: &Path<'_>, depth: usize, out: &mut String, known: &mut Known<'_>) -> Read<()> {
        let offset = self.pos;
        let mut keys = std::collections::BTreeSet::new();
        self.enter()?;
        out.push('{');
        let mut first = true;
        while self.more(b'}', first)? {
            self.peek();
            let key_offset = self.pos;
            let key = self.key()?;
            if !first {
                out.push(',');
            }
            first = false;
            let end = self.text_since(key_offset).trim_end_matches(':').trim_end().len();
            out.push_str(self.text.get(key_offset..key_offset + end).unwrap_or_default());
            out.push(':');
            let here = at.child(&key);
            let again = keys.contains(&key);
            if again {
                self.find(
                    key_offset,
                    "duplicate-member",
                    IssueType::Structure,
                    &here,
                    "found the member a second time",
                );
            }
            self.peek();
            let start = self.pos;
            let written = out.len();
            if again || !known(self, &here, &key, depth, out)? {
                self.any(&here, depth + 1, out, known)?;
            } else if out.len() == written {
                push_compact(self.text_since(start), out);
            }
            keys.insert(key);
        }
        out.push('}');
        if first {
            self.find(offset, "ele-1", IssueType::Invariant, at, "found an empty object, wanted a value or members");
        }
        Ok(())
    }
}

/// What is asked at each member of an object that is read as text: its name, and how far below the resource the object stands.
/// It says whether it read the value; where it wrote nothing, the value is taken over as it stands.
pub(crate) type Known<'k> = dyn FnMut(&mut Reader<'_>, &Path<'_>, &str, usize, &mut String) -> Read<bool> + 'k;
