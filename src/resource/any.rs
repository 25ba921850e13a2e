//! A resource of any type.

use super::{Bundle, Device, DeviceComponent, DeviceMetric, Document, OperationOutcome};
use crate::code::is_resource_type;
use crate::datatype::{Extension, Literal, Meta, Narrative, Primitive, check_language, plain_relative};
use crate::element::{Definition, Facts, Node, Outcome, Raw, Read, ReadMode, Reader, Slot, TypeDef, Value, Writer};
use crate::issue::{IssueType, Path, Report, Severity};
use crate::primitive::{Code, Id, Text, Uri, is_id};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;

/// A resource of any type of FHIR STU3.
///
/// The types that this crate models are typed; any other is kept whole, and written back unchanged.
///
/// ```
/// use fhir_devices::Resource;
///
/// let json = br#"{"resourceType":"Patient","id":"p1","multipleBirthInteger":2}"#;
/// let resource = Resource::from_json(json)?;
/// assert_eq!((resource.resource_type(), resource.id()), ("Patient", Some("p1")));
/// assert_eq!(resource.to_json().as_bytes(), json);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Resource {
    /// A device.
    Device(Box<Device>),
    /// A component of a device.
    DeviceComponent(Box<DeviceComponent>),
    /// A metric of a device.
    DeviceMetric(Box<DeviceMetric>),
    /// Several resources.
    Bundle(Box<Bundle>),
    /// The outcome of an operation.
    OperationOutcome(Box<OperationOutcome>),
    /// A resource of a type that this crate does not model.
    Other(OtherResource),
}

/// A resource of a type that this crate does not model: its JSON, every member and digit as it was read.
#[derive(Clone)]
pub struct OtherResource {
    resource_type: Box<str>,
    json: Box<str>,
    /// Whether what every resource has was validated while it was read, and nothing was found.
    validated: bool,
}

/// Equal are those of the same text, whether or not it was validated.
impl PartialEq for OtherResource {
    fn eq(&self, other: &Self) -> bool {
        self.resource_type == other.resource_type && self.json == other.json
    }
}

impl Eq for OtherResource {}

impl fmt::Debug for OtherResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherResource").field("resource_type", &self.resource_type).field("json", &self.json).finish()
    }
}

impl OtherResource {
    /// Returns the type of the resource.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// Returns the logical id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        // The id follows the type as a rule.
        let after_type =
            self.json.strip_prefix(r#"{"resourceType":""#).and_then(|rest| rest.strip_prefix(&*self.resource_type));
        let second = after_type.and_then(|rest| rest.strip_prefix(r#"","id":""#)).and_then(|rest| rest.split_once('"'));
        match second {
            Some((id, _)) if is_id(id) => Some(id),
            _ => self.member("id")?.strip_prefix('"')?.strip_suffix('"'),
        }
    }

    /// Returns the resource as compact JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Returns whether what every resource has was validated by the rules of the specification while it was read, and nothing
    /// was found.
    pub(crate) const fn is_validated(&self) -> bool {
        self.validated
    }

    /// Returns the JSON of the member `name`, where the resource has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&str> {
        member(&self.json, name)
    }
}

/// Returns the JSON of the member `name` of the object `json`.
pub(crate) fn member<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let mut r = Reader::new(json, ReadMode::Strict);
    let at = Path::root("");
    r.peek().filter(|byte| *byte == b'{')?;
    r.enter().ok()?;
    let mut first = true;
    while r.more(b'}', first).ok()? {
        first = false;
        let key = r.key().ok()?;
        r.peek();
        let start = r.offset();
        r.skip(&at).ok()?;
        if key == name {
            return Some(r.text_since(start));
        }
    }
    None
}

/// How many resources of types that are not modelled may stand around one that is read for its faults: each of them holds
/// what is inside it once more while that is read.
pub(crate) const MAX_INNER: usize = 4;

/// Returns whether a resource of that type has the elements of a DomainResource: text, contained resources and
/// extensions.
pub(crate) fn is_domain(resource_type: &str) -> bool {
    !matches!(resource_type, "Binary" | "Bundle" | "Parameters")
}

/// Reads a resource as text, and what every resource has, and what is modelled, for their faults alone. So many resources that
/// are kept as text stand around it. Says whether the reader validated its parts, and nothing was found.
fn read_text(resource_type: &str, inner: usize, r: &mut Reader<'_>, at: &Path<'_>, out: &mut String) -> Read<bool> {
    let check = r.part_check();
    // What only the whole resource can answer, or the one in which it is contained, is left to the one who validates.
    let mut validated = check.is_some();
    r.any_resource(at, out, &mut |r, at, key, depth, out| {
        // Most members are of no interest, which their first letter tells.
        if depth > 0 && !key.starts_with(['e', 'm', 'r', '_']) {
            return Ok(false);
        }
        let first = r.peek();
        let mut holds =
            |part: &dyn Node| validated = validated && check.is_some_and(|check| check(resource_type, part));
        match key {
            "extension" | "modifierExtension" => {
                check_member::<Vec<Extension>>(r, at, |all| all.iter().for_each(|one| holds(one)))
            }
            "reference" => {
                if check.is_none() || r.string_if(out, |literal| plain_relative(literal).is_some()) {
                    return Ok(check.is_some());
                }
                validated = validated && r.string_ahead().is_some_and(|literal| is_plain_reference(&literal));
                Ok(false)
            }
            "id" if depth == 0 => check_member::<Option<Primitive<Id>>>(r, at, |_| ()),
            "meta" if depth == 0 => {
                check_member::<Option<Meta>>(r, at, |meta| meta.iter().for_each(|meta| holds(meta)))
            }
            "implicitRules" if depth == 0 => check_member::<Option<Primitive<Uri>>>(r, at, |_| ()),
            "language" if depth == 0 => check_member::<Option<Primitive<Code>>>(r, at, |language| {
                validated = validated && language.as_ref().and_then(Primitive::get).is_some_and(is_plain_language);
            }),
            _ if key.starts_with('_') => {
                validated = false;
                match key {
                    "_id" | "_implicitRules" | "_language" if depth == 0 => {
                        check_under::<Option<Primitive<Text>>>(r, at, key)
                    }
                    _ if first == Some(b'[') => check_under::<Vec<Primitive<Text>>>(r, at, key),
                    _ => check_under::<Option<Primitive<Text>>>(r, at, key),
                }
            }
            "text" | "contained" if depth == 0 && !is_domain(resource_type) => {
                let message = format!("`{key}` is not a member of {resource_type} in FHIR STU3");
                r.find(r.offset(), "unknown-member", IssueType::Structure, at, message);
                Ok(false)
            }
            "text" if depth == 0 => {
                check_member::<Option<Narrative>>(r, at, |text| text.iter().for_each(|text| holds(text)))
            }
            "contained" if depth == 0 && first != Some(b'[') => check_member::<Vec<Resource>>(r, at, |_| ()),
            "contained" if depth == 0 => {
                validated = false;
                out.push('[');
                r.array(at, "resources", &mut |r, index| {
                    if index > 0 {
                        out.push(',');
                    }
                    read_inner(inner + 1, r, &at.indexed(index), out)
                })?;
                out.push(']');
                Ok(true)
            }
            "resource" if first == Some(b'{') && r.resource_type_ahead().is_ok_and(|found| found.is_some()) => {
                validated = false;
                read_inner(inner + 1, r, at, out)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    })?;
    Ok(validated)
}

/// Returns whether a reference has a known form, and is none to a contained resource.
fn is_plain_reference(literal: &str) -> bool {
    matches!(Literal::parse(literal), Literal::Relative { .. } | Literal::Absolute { .. })
}

/// Returns whether nothing is found about a language.
fn is_plain_language(tag: &Code) -> bool {
    let mut found = Report::new();
    check_language(tag.as_str(), &Path::root("language"), "", &mut found);
    found.is_empty()
}

/// Reads a value for its faults.
fn check_member<S: Slot + Default>(r: &mut Reader<'_>, at: &Path<'_>, read: impl FnOnce(&S)) -> Read<bool> {
    let mut value = S::default();
    r.scratch(|r| value.read(r, at))?;
    read(&value);
    Ok(true)
}

/// Reads the ids and the extensions of primitive values for their faults.
fn check_under<S: Slot + Default>(r: &mut Reader<'_>, at: &Path<'_>, key: &str) -> Read<bool> {
    r.scratch(|r| S::default().read_under(r, at, "", key))?;
    Ok(true)
}

/// Reads a resource within one that is kept as text, and writes it as it stands.
fn read_inner(inner: usize, r: &mut Reader<'_>, at: &Path<'_>, out: &mut String) -> Read<()> {
    r.peek();
    let start = r.offset();
    let found = if r.peek() == Some(b'{') { r.resource_type_ahead().ok().flatten() } else { None };
    match found.as_deref() {
        Some(_) if inner > MAX_INNER => {
            let message = format!("not checked, as it stands within {inner} resources of types that are not modelled");
            r.find_as(Severity::Information, start, "unchecked-type", IssueType::Informational, at, message);
            r.any_resource(at, out, &mut |_, _, _, _, _| Ok(false))
        }
        Some(found) if !MODELLED.contains(&found) => {
            unknown_type(found, start, r, at);
            read_text(found, inner, r, at, out).map(drop)
        }
        _ => {
            r.scratch(|r| Resource::blank().read(r, at))?;
            out.push_str(Raw::compact(r.text_since(start)).as_str());
            Ok(())
        }
    }
}

/// Reports a resource type that STU3 has not. Within a document a lenient read keeps such a resource.
fn unknown_type(found: &str, offset: usize, r: &mut Reader<'_>, at: &Path<'_>) {
    if is_resource_type(found) {
        return;
    }
    let hint = similar_type(found).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let message = format!("`{found}` is not a resource type of FHIR STU3{hint}");
    let here = at.child("resourceType");
    if r.is_within() {
        r.find(offset, "resource-type", IssueType::Structure, &here, message);
    } else {
        r.find_as(Severity::Error, offset, "resource-type", IssueType::Structure, &here, message);
    }
}

macro_rules! each {
    ($self:expr, $resource:ident => $typed:expr, $other:ident => $text:expr) => {
        match $self {
            Resource::Device($resource) => $typed,
            Resource::DeviceComponent($resource) => $typed,
            Resource::DeviceMetric($resource) => $typed,
            Resource::Bundle($resource) => $typed,
            Resource::OperationOutcome($resource) => $typed,
            Resource::Other($other) => $text,
        }
    };
}

impl Resource {
    /// Returns the type of the resource.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        match self {
            Self::Device(_) => "Device",
            Self::DeviceComponent(_) => "DeviceComponent",
            Self::DeviceMetric(_) => "DeviceMetric",
            Self::Bundle(_) => "Bundle",
            Self::OperationOutcome(_) => "OperationOutcome",
            Self::Other(other) => other.resource_type(),
        }
    }

    /// Returns the logical id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        each!(self, typed => Node::id(typed), other => other.id())
    }

    fn read_other(&mut self, found: &str, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
        let mut json = String::new();
        let validated = read_text(found, 0, r, at, &mut json)?;
        *self = Self::Other(OtherResource { resource_type: found.into(), json: json.into_boxed_str(), validated });
        Ok(Outcome::Taken)
    }
}

document!(Resource);

impl Document for Resource {
    fn root<'a>(r: &mut Reader<'a>) -> Cow<'a, str> {
        match r.resource_type_ahead() {
            Ok(Some(found)) if MODELLED.contains(&&*found) || is_resource_type(&found) => found,
            Ok(Some(found)) => Cow::Borrowed(similar_type(&found).unwrap_or("Resource")),
            Ok(None) | Err(_) => Cow::Borrowed("Resource"),
        }
    }
}

/// Returns the modelled type whose name is spelled almost so.
fn similar_type(found: &str) -> Option<&'static str> {
    let folded = found.to_ascii_lowercase();
    let same = |name: &&str| {
        let name = name.to_ascii_lowercase();
        folded == name || folded.strip_suffix('s') == Some(name.as_str())
    };
    MODELLED.iter().copied().find(|name| same(name))
}

const MODELLED: &[&str] = &["Device", "DeviceComponent", "DeviceMetric", "Bundle", "OperationOutcome"];

impl Value for Resource {
    fn blank() -> Self {
        Self::Other(OtherResource { resource_type: "".into(), json: "".into(), validated: false })
    }

    fn is_blank(&self) -> bool {
        matches!(self, Self::Other(other) if other.json.is_empty())
    }

    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
        if r.peek() != Some(b'{') {
            return r.wrong_type(at, "a resource");
        }
        let offset = r.offset();
        // Broken JSON is what is wrong then, and not the type that may yet come.
        let Ok(found) = r.resource_type_ahead() else { return self.read_other("", r, at) };
        r.charge(match found.as_deref() {
            Some("Device") => size_of::<Device>(),
            Some("DeviceComponent") => size_of::<DeviceComponent>(),
            Some("DeviceMetric") => size_of::<DeviceMetric>(),
            _ => size_of::<Bundle>(),
        })?;
        *self = match found.as_deref() {
            Some("Device") => Self::Device(Box::new(Device::blank())),
            Some("DeviceComponent") => Self::DeviceComponent(Box::new(DeviceComponent::blank())),
            Some("DeviceMetric") => Self::DeviceMetric(Box::new(DeviceMetric::blank())),
            Some("Bundle") => Self::Bundle(Box::new(Bundle::blank())),
            Some("OperationOutcome") => Self::OperationOutcome(Box::new(OperationOutcome::blank())),
            Some(found) => {
                unknown_type(found, offset, r, at);
                return self.read_other(found, r, at);
            }
            None => {
                let message = "the resource has no `resourceType` that is a string, wanted the name of its type";
                let here = at.child("resourceType");
                r.find_as(Severity::Error, offset, "resource-type", IssueType::Required, &here, message);
                if r.is_empty_object() {
                    r.skip(at)?;
                    return Ok(Outcome::Refused);
                }
                return self.read_other("", r, at);
            }
        };
        each!(self, typed => typed.read(r, at), _other => Ok(Outcome::Refused))
    }

    fn write(&self, w: &mut Writer) -> bool {
        each!(self, typed => typed.write(w), other => {
            w.raw(&other.json);
            !other.json.is_empty()
        })
    }

    fn types() -> &'static [TypeDef] {
        &const { [TypeDef::resource()] }
    }
}

impl Node for Resource {
    fn check(&self, at: &Path<'_>, report: &mut Report) {
        each!(self, typed => typed.check(at, report), _other => ());
    }

    fn children<'n>(&'n self, at: &Path<'_>, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {
        each!(self, typed => typed.children(at, visit), _other => ());
    }

    fn facts(&self) -> Facts<'_> {
        each!(self, typed => typed.facts(), other => {
            Facts::Text { resource_type: &other.resource_type, json: &other.json }
        })
    }

    fn id(&self) -> Option<&str> {
        Resource::id(self)
    }

    fn definition(&self) -> Option<&'static Definition> {
        each!(self, typed => typed.definition(), _other => None)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        each!(self, typed => typed.as_any(), other => Some(other))
    }
}

macro_rules! into_resource {
    ($($Name:ident)*) => { $(
        impl From<$Name> for Resource {
            fn from(resource: $Name) -> Self {
                Self::$Name(Box::new(resource))
            }
        }
    )* };
}

into_resource!(Device DeviceComponent DeviceMetric Bundle OperationOutcome);
