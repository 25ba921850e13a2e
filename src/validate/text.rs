//! Resources of types that are not modelled: common elements are checked in them too, and what is modelled wherever it
//! stands in them.
//!
//! Reading has told the faults of form; here are the rules. The text is gone through once, and only its modelled parts become
//! values, one at a time.

use super::STANDARD;
use super::container::{Container, Ids};
use super::plain_narrative::is_plain;
use super::profiles::profiles;
use super::walk::{Walk, contained_rules, second_id, unreferred, walk, weave};
use super::{extensions, references};
use crate::datatype::{Extension, Meta, Narrative, check_language};
use crate::element::{Node, Outcome, Read, ReadMode, Reader, Value, plain_value};
use crate::issue::{Path, Report};
use crate::resource::{MAX_INNER, OtherResource, Resource, member};

/// What the findings about common elements name as the type.
const OWNER: &str = "DomainResource";

/// Whether a resource has the elements of a DomainResource: text, contained resources and extensions.
pub(super) use crate::resource::is_domain;

/// Returns whether validating a part of a resource of that type, by the rules of the specification, finds nothing. Reading asks,
/// as it has the part at hand.
pub(super) fn part_holds(resource_type: &str, part: &dyn Node) -> bool {
    let any = part.as_any();
    if any.and_then(|any| any.downcast_ref::<Narrative>()).is_some_and(is_plain_text)
        || any.and_then(|any| any.downcast_ref::<Meta>()).is_some_and(is_plain_meta)
    {
        return true;
    }
    let extension = any.and_then(|any| any.downcast_ref::<Extension>());
    // The definition of one of HL7's own says where it may stand, and how often it comes there.
    if extension.is_some_and(|extension| extensions::is_core(extension.url.as_str())) {
        return false;
    }
    let at = Path::root(OWNER);
    let mut found = Report::new();
    let mut w = Walk::new(&STANDARD, None);
    if let Some(meta) = any.and_then(|any| any.downcast_ref::<Meta>()) {
        profiles(meta, resource_type, &at, &mut found);
    }
    let (mut container, mut ids) = (Container::default(), Ids::default());
    walk(part, None, part.facts(), &at, &mut container, &mut ids, &mut w, &mut found);
    found.is_empty()
}

/// Returns whether a narrative is its status and a `div` in which nothing is to be found.
fn is_plain_text(text: &Narrative) -> bool {
    text.id.is_none() && text.extension.is_empty() && text.status.is_plain() && is_plain(text.div.as_str())
}

/// Returns whether a resource says no more about itself than its version and the time of it, about which there are no rules.
fn is_plain_meta(meta: &Meta) -> bool {
    let (version, time) = (&meta.version_id, &meta.last_updated);
    meta.id.is_none()
        && meta.extension.is_empty()
        && meta.profile.is_empty()
        && meta.security.is_empty()
        && meta.tag.is_empty()
        && (version.is_some() || time.is_some())
        && version.as_ref().is_none_or(Value::is_plain)
        && time.as_ref().is_none_or(Value::is_plain)
}

/// Returns whether reading has validated what every resource has, by the same rules, and found nothing.
fn is_validated(node: &dyn Node, w: &Walk<'_>) -> bool {
    let other = node.as_any().and_then(|any| any.downcast_ref::<OtherResource>());
    w.by.is_standard() && other.is_some_and(OtherResource::is_validated)
}

/// Checks a resource that is not contained in another.
pub(super) fn resource(
    node: &dyn Node,
    json: &str,
    resource_type: &str,
    at: &Path<'_>,
    w: &mut Walk<'_>,
    report: &mut Report,
) {
    if is_validated(node, w) {
        return w.meet(resource_type);
    }
    let mut own = Report::new();
    let mut container = Container::default();
    let inside = member_of_text(json, "contained");
    if let Some(array) = inside {
        // What is kept as text was read, so that it is JSON.
        let _ = items(array, &mut |index, item| {
            let here = at.item("contained", index);
            let id = plain(item, "id");
            if !container.add(id, plain(item, "resourceType")) {
                own.push(second_id(id, &here, OWNER));
            }
        });
    }
    w.inner += 1;
    common(json, resource_type, at, &mut container, w, &mut own);
    w.inner -= 1;
    if let Some(array) = inside {
        let mut findings = Vec::new();
        let _ = items(array, &mut |index, item| {
            let id = Some(plain(item, "id")).filter(|id| !id.is_empty());
            let here = at.item("contained", index);
            findings.extend(unreferred(id, plain(item, "resourceType"), &here, index, OWNER, &mut container));
        });
        weave(findings, &mut own);
    }
    report.append(own);
}

/// Checks a resource that is contained in another.
#[allow(clippy::too_many_arguments, reason = "the place, what was found so far, and what is checked by")]
pub(super) fn contained(
    node: &dyn Node,
    json: &str,
    resource_type: &str,
    at: &Path<'_>,
    owner: &'static str,
    container: &mut Container<'_>,
    w: &mut Walk<'_>,
    report: &mut Report,
) {
    let has = |name| member_of_text(json, name).is_some();
    let narrated = has("text");
    let versioned = member_of_text(json, "meta")
        .is_some_and(|meta| member(meta, "versionId").is_some() || member(meta, "lastUpdated").is_some());
    contained_rules(resource_type, [narrated, has("contained"), versioned], at, owner, report);
    // A narrative may show what else is contained.
    if !narrated && is_validated(node, w) {
        return w.meet(resource_type);
    }
    common(json, resource_type, at, container, w, report);
}

fn common(
    json: &str,
    resource_type: &str,
    at: &Path<'_>,
    container: &mut Container<'_>,
    w: &mut Walk<'_>,
    report: &mut Report,
) {
    w.meet(resource_type);
    let mut r = Reader::new(json, ReadMode::Strict);
    let mut text = Text { resource_type, container, w, report };
    // What is kept as text was read, so that it is JSON.
    let _ = text.object(&mut r, at, 0);
}

/// What is checked of one resource.
struct Text<'t, 'c, 'v> {
    resource_type: &'t str,
    container: &'t mut Container<'c>,
    w: &'t mut Walk<'v>,
    report: &'t mut Report,
}

impl Text<'_, '_, '_> {
    /// Checks the members of the object that comes next, which stands that many steps below the resource.
    fn object(&mut self, r: &mut Reader<'_>, at: &Path<'_>, depth: usize) -> Read<()> {
        r.enter()?;
        let mut first = true;
        while r.more(b'}', first)? {
            first = false;
            let key = r.key()?;
            let here = at.child(&key);
            match (&*key, r.peek()) {
                ("reference", Some(b'"')) => {
                    let literal = r.string()?;
                    references::check(&literal, &[], at, self.container, self.w, self.report);
                }
                ("extension" | "modifierExtension", Some(b'[')) => self.extensions(r, at, &key, depth)?,
                ("contained", Some(b'[')) if depth == 0 && is_domain(self.resource_type) => self.contained(r, &here)?,
                ("resource", Some(b'{')) if r.resource_type_ahead().is_ok_and(|found| found.is_some()) => {
                    self.inner(r, &here)?;
                }
                ("meta", Some(b'{')) if depth == 0 => {
                    let meta = self.part::<Meta>(r, &here)?;
                    if let Some(meta) = meta {
                        profiles(&meta, self.resource_type, &here, self.report);
                    }
                }
                ("text", Some(b'{')) if depth == 0 && is_domain(self.resource_type) => {
                    self.part::<Narrative>(r, &here)?;
                }
                ("language", Some(b'"')) if depth == 0 => {
                    let tag = r.string()?;
                    check_language(&tag, &here, "Resource.language", self.report);
                }
                (_, Some(b'{' | b'[')) if step_over_plain(r) => {}
                (_, Some(b'{')) => self.object(r, &here, depth + 1)?,
                (_, Some(b'[')) => self.array(r, &here, depth + 1)?,
                _ => r.skip(&here)?,
            }
        }
        Ok(())
    }

    fn array(&mut self, r: &mut Reader<'_>, at: &Path<'_>, depth: usize) -> Read<()> {
        r.enter()?;
        let mut index = 0;
        while r.more(b']', index == 0)? {
            let here = at.indexed(index);
            match r.peek() {
                Some(b'{') => self.object(r, &here, depth)?,
                Some(b'[') => self.array(r, &here, depth)?,
                _ => r.skip(&here)?,
            }
            index += 1;
        }
        Ok(())
    }

    /// Reads a value of a modelled type and walks over it.
    fn part<T: Value>(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<T>> {
        let mut value = T::blank();
        if value.read(r, at)? == Outcome::Refused {
            return Ok(None);
        }
        let mut ids = Ids::default();
        walk(&value, None, value.facts(), at, self.container, &mut ids, self.w, self.report);
        Ok(Some(value))
    }

    fn extensions(&mut self, r: &mut Reader<'_>, at: &Path<'_>, name: &str, depth: usize) -> Read<()> {
        let mut seen = extensions::Seen::default();
        r.enter()?;
        let mut index = 0;
        while r.more(b']', index == 0)? {
            let here = at.item(name, index);
            index += 1;
            if r.peek() != Some(b'{') {
                r.skip(&here)?;
                continue;
            }
            let Some(extension) = self.part::<Extension>(r, &here)? else { continue };
            let url = extension.url.as_str();
            if extensions::is_core(url) {
                let place = extensions::Place::in_text(self.resource_type, at, depth);
                extensions::check(&extension, &here, &place, &mut seen, self.report);
            }
        }
        Ok(())
    }

    fn contained(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<()> {
        r.enter()?;
        let mut number = 0;
        while r.more(b']', number == 0)? {
            let here = at.indexed(number);
            if !self.report.is_empty() {
                self.container.met.push((number, self.report.len()));
            }
            number += 1;
            if r.peek() != Some(b'{') {
                r.skip(&here)?;
                continue;
            }
            let mut resource = Resource::blank();
            resource.read(r, &here)?;
            let mut ids = Ids::default();
            let node: &dyn Node = &resource;
            super::walk::contained(node, node.facts(), &here, OWNER, self.container, &mut ids, self.w, self.report);
        }
        Ok(())
    }

    /// Returns a resource with an identity of its own within this one: `Parameters.parameter.resource`.
    fn inner(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<()> {
        if self.w.inner >= MAX_INNER {
            return r.skip(at);
        }
        let mut resource = Resource::blank();
        resource.read(r, at)?;
        super::walk::resource(&resource, at, self.w, self.report);
        Ok(())
    }
}

/// Steps over a value that has nothing in it that is checked in every type. Says whether it did.
fn step_over_plain(r: &mut Reader<'_>) -> bool {
    let plain = plain_value(r.rest());
    if let Some(text) = plain {
        r.step_over(text);
    }
    plain.is_some()
}

/// Returns the JSON of a member of a resource, sooner said where no member has the name.
fn member_of_text<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    if json.contains(name) { member(json, name) } else { None }
}

/// Returns the text of a member that is a plain string.
fn plain<'j>(json: &'j str, name: &str) -> &'j str {
    member(json, name).unwrap_or_default().trim_matches('"')
}

/// Visits the items of a JSON array.
fn items<'n>(array: &'n str, visit: &mut dyn FnMut(usize, &'n str)) -> Read<()> {
    let mut r = Reader::new(array, ReadMode::Strict);
    if r.peek() != Some(b'[') {
        return Ok(());
    }
    r.enter()?;
    let mut index = 0;
    while r.more(b']', index == 0)? {
        r.peek();
        let start = r.offset();
        r.skip(&Path::root(""))?;
        visit(index, r.text_since(start));
        index += 1;
    }
    Ok(())
}
