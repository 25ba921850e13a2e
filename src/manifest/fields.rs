//! JSON objects with a fixed set of members, each at most once.

use crate::element::{Read, Reader};
use crate::issue::{IssueType, Path};

/// Member that an object may have.
pub(super) struct Field {
    name: &'static str,
    is_required: bool,
}

impl Field {
    pub(super) const fn required(name: &'static str) -> Self {
        Self { name, is_required: true }
    }

    pub(super) const fn optional(name: &'static str) -> Self {
        Self { name, is_required: false }
    }
}

/// Members that an object may have. Any other is refused, and an empty object too.
pub(super) struct Fields(pub(super) &'static [Field]);

type ReadMember<'m> = &'m mut dyn FnMut(&mut Reader<'_>, &Path<'_>, &'static str) -> Read<()>;

impl Fields {
    /// Reads an object, calling `member` at the value of each known member. Returns whether the value is an object with
    /// all required members.
    pub(super) fn read(&self, r: &mut Reader<'_>, at: &Path<'_>, member: ReadMember<'_>) -> Read<bool> {
        if r.peek() != Some(b'{') {
            r.wrong_type(at, "an object")?;
            return Ok(false);
        }
        let start = r.offset();
        let mut seen = 0_u64;
        r.enter()?;
        let mut first = true;
        while r.more(b'}', first)? {
            first = false;
            r.peek();
            let offset = r.offset();
            let key = r.key()?;
            r.peek();
            let place = at.child(&key);
            match self.0.iter().enumerate().find(|(_, field)| field.name == key) {
                None => {
                    let message = format!("`{key}` is not a member here, wanted one of {}", self.names());
                    r.find(offset, "unknown-member", IssueType::Structure, &place, message);
                    r.skip(&place)?;
                }
                Some((index, _)) if seen >> index & 1 == 1 => {
                    r.find(offset, "duplicate-member", IssueType::Structure, &place, "found the member a second time");
                    r.skip(&place)?;
                }
                Some((index, field)) => {
                    seen |= 1 << index;
                    member(r, &place, field.name)?;
                }
            }
        }
        let mut whole = true;
        for (index, field) in self.0.iter().enumerate().filter(|(_, field)| field.is_required) {
            if seen >> index & 1 == 0 {
                whole = false;
                let message = format!("`{}` is missing", field.name);
                r.find(start, "min-cardinality", IssueType::Required, &at.child(field.name), message);
            }
        }
        if whole && seen == 0 {
            let message = format!("found an object that says nothing, wanted at least one of {}", self.names());
            r.find(start, "empty", IssueType::Structure, at, message);
            whole = false;
        }
        Ok(whole)
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|field| format!("`{}`", field.name)).collect();
        names.join(", ")
    }
}

/// Stores the value that was read, if it is valid.
pub(super) fn member<T>(into: &mut Option<T>, read: Read<Option<T>>) -> Read<()> {
    *into = read?;
    Ok(())
}

/// Reads a non-empty array of at most `most` items.
pub(super) fn many<T>(
    into: &mut Vec<T>,
    r: &mut Reader<'_>,
    at: &Path<'_>,
    most: usize,
    item: &mut dyn FnMut(&mut Reader<'_>, &Path<'_>) -> Read<Option<T>>,
) -> Read<()> {
    r.array(at, "items", &mut |r, index| {
        let place = at.indexed(index);
        if index == most {
            let message = format!("found more than {most} items");
            r.find(r.offset(), "too-many", IssueType::TooLong, at, message);
        }
        if index >= most {
            return r.skip(&place);
        }
        into.extend(item(r, &place)?);
        Ok(())
    })
    .map(drop)
}

/// Readers of single JSON values.
pub(super) mod once {
    use crate::element::{Read, Reader, Token};
    use crate::issue::{IssueType, Path};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Reads a string that parses as a `T`.
    pub(in super::super) fn text<T: FromStr<Err: Display>>(r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<T>> {
        let offset = r.offset();
        let Some(text) = r.scalar(at, Token::String)? else { return Ok(None) };
        let read = text.parse::<T>();
        r.done(text);
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                r.find(offset, "malformed", IssueType::Value, at, error.to_string());
                Ok(None)
            }
        }
    }

    /// Reads a whole number from 0 to `most`.
    pub(in super::super) fn number(r: &mut Reader<'_>, at: &Path<'_>, most: u64) -> Read<Option<u64>> {
        let offset = r.offset();
        let Some(text) = r.scalar(at, Token::Number)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number <= most);
        if number.is_none() {
            let shown: String = text.chars().take(64).collect();
            let message = format!("`{shown}` is not a whole number from 0 to {most}");
            r.find(offset, "malformed", IssueType::Value, at, message);
        }
        Ok(number)
    }

    /// Reads a string that is the name of one of `all`.
    pub(in super::super) fn named<T: Copy>(
        r: &mut Reader<'_>,
        at: &Path<'_>,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Read<Option<T>> {
        let offset = r.offset();
        let Some(text) = r.scalar(at, Token::String)? else { return Ok(None) };
        let found = all.iter().copied().find(|one| name(*one) == text);
        if found.is_none() {
            let names: Vec<String> = all.iter().map(|one| format!("`{}`", name(*one))).collect();
            let shown: String = text.chars().take(64).collect();
            let message = format!("`{shown}` is not a value here, wanted one of {}", names.join(", "));
            r.find(offset, "value-set", IssueType::CodeInvalid, at, message);
        }
        r.done(text);
        Ok(found)
    }
}
