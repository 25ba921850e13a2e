//! The traits that connect declared types with the reader, the writer and the walk.

use super::definition::{Definition, TypeDef};
use super::reader::{Outcome, Read, Reader, Seen};
use super::writer::Writer;
use crate::issue::{IssueType, Path, Report};
use std::any::Any;

/// What an item of an array takes beside its value: a small text of its own on the heap, at the least.
const ITEM: usize = 32;

/// One value that a member can have, repeated or not.
pub(crate) trait Value: Node + Sized {
    /// Whether an array of such values may be padded with nulls.
    const PRIMITIVE: bool = false;

    /// What a message calls the items of an array of such values.
    const ITEMS: &'static str = "objects";

    /// Returns a value without content, to be read into.
    fn blank() -> Self;

    /// Returns whether the value has no content.
    fn is_blank(&self) -> bool;

    /// Reads the value.
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome>;

    /// Reads the id and extensions of a primitive.
    fn read_under(&mut self, _: &mut Reader<'_>, _: &Path<'_>) -> Read<Option<Outcome>> {
        Ok(None)
    }

    /// Notes that an array has a null where the value of a primitive would be.
    fn pad(&mut self) {}

    /// Takes the value of a primitive away, but not its id and extensions.
    fn unset(&mut self) {}

    /// Takes the id and extensions of a primitive away, but not its value.
    fn unset_under(&mut self) {}

    /// Returns whether a walk has nothing to see here.
    fn is_plain(&self) -> bool {
        false
    }

    /// Checks a primitive once its value, id and extensions have been read.
    fn settle(&self, _: &mut Reader<'_>, _: &Path<'_>) {}

    /// Writes the value, or nothing if it is blank; says which.
    fn write(&self, w: &mut Writer) -> bool;

    /// Writes a member with this value. The keys are `,"name":` and `,"_name":`.
    fn write_member(&self, w: &mut Writer, key: &'static str, _under: &'static str) {
        let mark = w.mark();
        w.key(key);
        if !self.write(w) {
            w.back(mark);
        }
    }

    /// Writes a repeating member with these values.
    fn write_members(values: &[Self], w: &mut Writer, key: &'static str, _under: &'static str) {
        let mark = w.mark();
        w.key(key);
        let array = w.open_array();
        for value in values {
            let item = w.mark();
            w.item();
            if !value.write(w) {
                w.back(item);
            }
        }
        if !w.close_array(array) {
            w.back(mark);
        }
    }

    /// Returns the types that the value may have.
    fn types() -> &'static [TypeDef];
}

/// A node of a document: an element, a resource, or a primitive with an id or extensions.
pub trait Node {
    /// Checks the rules of this node alone.
    fn check(&self, at: &Path<'_>, report: &mut Report);

    /// Visits the nodes right below this one, in the order of the specification.
    fn children<'n>(&'n self, at: &Path<'_>, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node));

    /// Returns what a rule over the whole resource needs to know of this node.
    fn facts(&self) -> Facts<'_> {
        Facts::Element
    }

    /// Returns the id of the node, where it has one.
    fn id(&self) -> Option<&str> {
        None
    }

    /// Returns the definition of the node's type, where it has rows.
    fn definition(&self) -> Option<&'static Definition> {
        None
    }

    /// Returns the node as a value of its own type, for rules that a caller adds.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// The facts about a [`Node`] that rules over a whole resource need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facts<'n> {
    /// Nothing special.
    Element,
    /// A code or several, which a value set may be bound to.
    Coded,
    /// An extension, with its url.
    Extension {
        /// The url, where there is one.
        url: Option<&'n str>,
    },
    /// An entry of a bundle.
    Entry {
        /// The address of the resource, where there is one.
        full_url: Option<&'n str>,
        /// The id of the resource, where there is one.
        id: Option<&'n str>,
        /// Whether there is a resource.
        resource: bool,
    },
    /// A narrative.
    Narrative {
        /// Its text, in XHTML.
        div: &'n str,
    },
    /// A reference.
    Reference {
        /// The literal reference, where there is one.
        literal: Option<&'n str>,
        /// The resource types that it may refer to; empty for any.
        targets: &'static [&'static str],
    },
    /// A resource.
    Resource {
        /// Its type.
        resource_type: &'n str,
        /// Whether it has a narrative.
        narrated: bool,
        /// Whether it contains resources.
        containing: bool,
        /// Whether it has a version or a time of update.
        versioned: bool,
        /// The language of its content.
        language: Option<&'n str>,
    },
    /// A resource of a type that the crate does not model, as JSON text.
    Text {
        /// The type that the text names.
        resource_type: &'n str,
        /// The text.
        json: &'n str,
    },
}

/// A member that is optional or repeats.
pub(crate) trait Slot {
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Outcome>>;
    fn read_under(&mut self, r: &mut Reader<'_>, at: &Path<'_>, name: &str, under: &str) -> Read<Option<Outcome>>;
    fn settle(&self, r: &mut Reader<'_>, at: &Path<'_>);
    fn is_blank(&self) -> bool;
    fn write(&self, w: &mut Writer, key: &'static str, under: &'static str);
    fn visit<'n>(&'n self, at: &Path<'_>, name: &'static str, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node));
}

impl<T: Value> Slot for Option<T> {
    #[inline]
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Outcome>> {
        let value = self.get_or_insert_with(T::blank);
        let outcome = value.read(r, at)?;
        if outcome == Outcome::Refused && value.is_blank() {
            *self = None;
        }
        Ok(Some(outcome))
    }

    fn read_under(&mut self, r: &mut Reader<'_>, at: &Path<'_>, _: &str, under: &str) -> Read<Option<Outcome>> {
        let value = self.get_or_insert_with(T::blank);
        let up = at.parent().copied().unwrap_or(*at);
        let outcome = value.read_under(r, &up.child(under))?;
        if outcome != Some(Outcome::Taken) && value.is_blank() {
            *self = None;
        }
        Ok(outcome)
    }

    #[inline]
    fn settle(&self, r: &mut Reader<'_>, at: &Path<'_>) {
        if let Some(value) = self {
            value.settle(r, at);
        }
    }

    fn is_blank(&self) -> bool {
        self.as_ref().is_none_or(T::is_blank)
    }

    #[inline]
    fn write(&self, w: &mut Writer, key: &'static str, under: &'static str) {
        if let Some(value) = self {
            value.write_member(w, key, under);
        }
    }

    #[inline]
    fn visit<'n>(&'n self, at: &Path<'_>, name: &'static str, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {
        if let Some(value) = self
            && !value.is_plain()
        {
            visit(&at.child(name), value);
        }
    }
}

impl<T: Value> Slot for Vec<T> {
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Outcome>> {
        let before = self.len();
        let mut good = true;
        let mut count = 0;
        let outcome = r.array(at, T::ITEMS, &mut |r, index| {
            count = index + 1;
            let item = at.indexed(index);
            if self.len() == index {
                r.charge(size_of::<T>() + ITEM)?;
                if index == 0 {
                    self.reserve_exact(1);
                }
                self.push(T::blank());
            }
            let Some(value) = self.get_mut(index) else { return r.skip(&item) };
            if T::PRIMITIVE && r.peek() == Some(b'n') {
                r.padded = true;
                value.pad();
                return r.null(&item);
            }
            good &= value.read(r, &item)? == Outcome::Taken;
            Ok(())
        })?;
        if T::PRIMITIVE && before > 0 && outcome == Outcome::Taken && before != count {
            let message =
                format!("`{0}` has {count} items and `_{0}` has {before}; nulls fill the shorter one", at.name());
            r.find(r.offset(), "array-length", IssueType::Structure, at, message);
        }
        if !good && r.mode() == super::ReadMode::Lenient {
            self.truncate(before);
            self.iter_mut().for_each(T::unset);
            return Ok(Some(Outcome::Refused));
        }
        Ok(Some(outcome))
    }

    fn read_under(&mut self, r: &mut Reader<'_>, at: &Path<'_>, name: &str, under: &str) -> Read<Option<Outcome>> {
        if !T::PRIMITIVE {
            return Ok(None);
        }
        let up = at.parent().copied().unwrap_or(*at);
        let at = up.child(under);
        let before = self.len();
        let mut good = true;
        let mut count = 0;
        let outcome = r.array(&at, "objects and nulls", &mut |r, index| {
            count = index + 1;
            let item = at.indexed(index);
            if self.len() == index {
                r.charge(size_of::<T>() + ITEM)?;
                self.push(T::blank());
            }
            let Some(value) = self.get_mut(index) else { return r.skip(&item) };
            good &= value.read_under(r, &item)? == Some(Outcome::Taken);
            Ok(())
        })?;
        if before > 0 && outcome == Outcome::Taken && before != count {
            let message = format!("`{under}` has {count} items and `{name}` has {before}; nulls fill the shorter one");
            r.find(r.offset(), "array-length", IssueType::Structure, &at, message);
        }
        if !good && r.mode() == super::ReadMode::Lenient {
            self.truncate(before);
            self.iter_mut().for_each(T::unset_under);
            return Ok(Some(Outcome::Refused));
        }
        Ok(Some(outcome))
    }

    fn settle(&self, r: &mut Reader<'_>, at: &Path<'_>) {
        if T::PRIMITIVE {
            for (index, value) in self.iter().enumerate() {
                value.settle(r, &at.indexed(index));
            }
        }
    }

    fn is_blank(&self) -> bool {
        self.iter().all(T::is_blank)
    }

    #[inline]
    fn write(&self, w: &mut Writer, key: &'static str, under: &'static str) {
        if !self.is_empty() {
            T::write_members(self, w, key, under);
        }
    }

    #[inline]
    fn visit<'n>(&'n self, at: &Path<'_>, name: &'static str, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {
        for (index, value) in self.iter().enumerate() {
            if !value.is_plain() {
                visit(&at.item(name, index), value);
            }
        }
    }
}

impl<T: Value> Value for Box<T> {
    fn blank() -> Self {
        Self::new(T::blank())
    }

    fn is_blank(&self) -> bool {
        (**self).is_blank()
    }

    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
        (**self).read(r, at)
    }

    fn write(&self, w: &mut Writer) -> bool {
        (**self).write(w)
    }

    fn types() -> &'static [TypeDef] {
        T::types()
    }
}

impl<T: Node> Node for Box<T> {
    fn check(&self, at: &Path<'_>, report: &mut Report) {
        (**self).check(at, report);
    }

    fn children<'n>(&'n self, at: &Path<'_>, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {
        (**self).children(at, visit);
    }

    fn facts(&self) -> Facts<'_> {
        (**self).facts()
    }

    fn id(&self) -> Option<&str> {
        (**self).id()
    }

    fn definition(&self) -> Option<&'static Definition> {
        (**self).definition()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        (**self).as_any()
    }
}

/// One of several types that an element may have: FHIR's `value[x]`.
pub(crate) trait Choice: Node + Sized {
    /// The name before the type: `value`.
    const PREFIX: &'static str;

    /// Returns the type names that may follow, in the order of the definition.
    fn types() -> &'static [TypeDef];

    /// Returns a blank value of the type whose name follows the prefix in `suffix`.
    fn blank(suffix: &str) -> Option<Self>;

    /// Returns whether the value is of the type that `suffix` names.
    fn is(&self, suffix: &str) -> bool;

    fn is_blank(&self) -> bool;
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome>;
    fn read_under(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Outcome>>;
    fn settle(&self, r: &mut Reader<'_>, at: &Path<'_>);
    fn write(&self, w: &mut Writer);
    /// Returns the name of the member that carries the value, such as `valueString`.
    fn name(&self) -> &'static str;
}

/// Reads the member of a choice, or says by `None` that the member is none of it.
pub(crate) fn read_choice<C: Choice>(
    slot: &mut Option<C>,
    r: &mut Reader<'_>,
    at: &Path<'_>,
    member: super::reader::Member<'_>,
    seen: &mut Seen,
    row: u32,
) -> Read<Option<Outcome>> {
    let Some(suffix) = member.name.strip_prefix(C::PREFIX) else { return Ok(None) };
    let Some(blank) = C::blank(suffix) else { return Ok(None) };
    let here = at.child(member.key);
    if let Some(other) = slot.as_ref().filter(|value| !value.is(suffix)) {
        let message = format!("found `{}` beside `{}`, wanted one `{}[x]`", member.key, other.name(), C::PREFIX);
        r.find_member(r.offset(), "choice", IssueType::Structure, at, member.key, message);
        r.skip(&here)?;
        return Ok(Some(Outcome::Refused));
    }
    if seen.again(row, member.under) {
        if slot.is_some() {
            return r.duplicate(&here);
        }
        // The one before it was refused, and may have been of another type.
        let message = format!("found `{}` beside another `{}[x]`, wanted one", member.key, C::PREFIX);
        r.find_member(r.offset(), "choice", IssueType::Structure, at, member.key, message);
        r.skip(&here)?;
        return Ok(Some(Outcome::Refused));
    }
    let value = slot.get_or_insert(blank);
    let outcome = if member.under { value.read_under(r, &here)? } else { Some(value.read(r, &here)?) };
    if outcome != Some(Outcome::Taken) && value.is_blank() {
        *slot = None;
    }
    Ok(outcome)
}
