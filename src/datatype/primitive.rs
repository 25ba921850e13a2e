//! One primitive value with the id and the extensions that it may have.

use super::Extension;
use crate::element::{
    Definition, ElementDef, Facts, IdText, Max, Member, Node, Outcome, Read, Reader, Scalar, Seen, Sink, TypeDef,
    Unmodelled, Value, Writer,
};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Text, Uri, Xhtml, has_loose_bracket, urn_fault};
use std::borrow::Cow;
use std::str::FromStr;

/// A primitive element: a value, or extensions that stand for one, or both.
///
/// In JSON the value of `birthDate` is in `birthDate`, its id and extensions are in `_birthDate`. Here the three are
/// one thing.
///
/// ```
/// use fhir_devices::{Device, datatype::Primitive, primitive::Text};
///
/// let mut device = Device::from_json(br#"{"resourceType":"Device","model":"P9","_model":{"id":"m"}}"#)?;
/// let model: &Primitive<Text> = device.model.as_ref().unwrap();
/// assert_eq!(model.get().unwrap(), "P9");
/// assert_eq!(model.id().unwrap(), "m");
///
/// device.model = Some(Text::new("P10")?.into());
/// assert_eq!(device.to_json(), r#"{"resourceType":"Device","model":"P10"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Primitive<S> {
    /// The value.
    pub value: Option<S>,
    /// The id and the extensions, where there are any.
    pub extras: Option<Box<Extras>>,
}

/// The id and extensions of a primitive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// The id of the element, unique within the resource.
    pub id: Option<Text>,
    /// Additional content.
    pub extension: Vec<Extension>,
    /// Members that are not in the model, kept by a lenient read.
    pub unmodelled: Unmodelled,
    /// A null stands for the value in an array, also where every value of the array is missing.
    padded: bool,
}

impl Extras {
    fn is_blank(&self) -> bool {
        self.id.is_none() && self.extension.is_empty() && self.unmodelled.is_empty()
    }
}

impl<S> Primitive<S> {
    /// Returns the value, where there is one.
    ///
    /// ```
    /// let device = fhir_devices::Device::from_json(br#"{"resourceType":"Device","model":"P9"}"#)?;
    /// let model = device.model.as_ref().and_then(|model| model.get());
    /// assert_eq!(model.map(|text| text.as_str()), Some("P9"));
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[must_use]
    pub const fn get(&self) -> Option<&S> {
        self.value.as_ref()
    }

    /// Returns the id of the element.
    #[must_use]
    pub fn id(&self) -> Option<&Text> {
        self.extras.as_ref().and_then(|extras| extras.id.as_ref())
    }

    /// Returns the extensions of the element.
    #[must_use]
    pub fn extension(&self) -> &[Extension] {
        self.extras.as_ref().map_or(&[], |extras| extras.extension.as_slice())
    }

    /// Returns the extensions of the element, to change them.
    pub fn extension_mut(&mut self) -> &mut Vec<Extension> {
        &mut self.extras.get_or_insert_default().extension
    }
}

/// A value as messages show it; cut where it is long.
pub(crate) fn shown<S: Scalar>(primitive: Option<&Primitive<S>>) -> String {
    let Some(value) = primitive.and_then(Primitive::get) else { return "no value".to_owned() };
    let mut text = String::new();
    value.push_text(&mut text);
    let cut: String = text.chars().take(64).collect();
    format!("`{cut}`")
}

impl<S> Default for Primitive<S> {
    fn default() -> Self {
        Self { value: None, extras: None }
    }
}

impl<S: Scalar> From<S> for Primitive<S> {
    fn from(value: S) -> Self {
        Self { value: Some(value), extras: None }
    }
}

impl<S: Scalar> Primitive<S> {
    const TYPES: &'static [TypeDef] = &[TypeDef::primitive::<S>()];

    fn write_extras(&self, w: &mut Writer) -> bool {
        let Some(extras) = &self.extras else { return false };
        let mark = w.open();
        if let Some(id) = &extras.id {
            w.key(",\"id\":");
            w.string(id.as_str());
        }
        if !extras.extension.is_empty() {
            Extension::write_members(&extras.extension, w, ",\"extension\":", "");
        }
        w.unmodelled(&extras.unmodelled);
        w.close(mark)
    }
}

/// What may be unusual about a value that its type allows.
#[derive(Clone, Copy)]
enum Oddities {
    None,
    /// Those of texts: blanks alone, and control characters.
    Text,
    /// Those of addresses: URNs of the wrong form, and brackets.
    Uri,
}

impl Oddities {
    const fn of(type_name: &str) -> Self {
        match type_name.as_bytes() {
            b"string" | b"markdown" => Self::Text,
            b"uri" => Self::Uri,
            _ => Self::None,
        }
    }

    /// Returns whether a value may be unusual; almost none is. `escaped` says whether it had escapes.
    #[inline]
    fn may_be_in(self, text: &str, escaped: bool) -> bool {
        match self {
            Self::None => false,
            // Most texts begin with a letter; and JSON has control characters as escapes alone.
            Self::Text => escaped || text.as_bytes().first().is_none_or(|first| *first <= b' ' || !first.is_ascii()),
            Self::Uri => text.starts_with("urn:") || has_loose_bracket(text),
        }
    }

    /// Returns the rule and the finding for an unusual value.
    fn find(self, text: &str, escaped: bool) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Text => {
                if text.chars().all(char::is_whitespace) {
                    return Some(("blank", "found a string of blanks, wanted no member or some text".to_owned()));
                }
                if !escaped {
                    return None;
                }
                let is_control = |c: &char| *c < ' ' && !matches!(c, '\t' | '\n' | '\r');
                let found = text.chars().find(is_control)?;
                let message = format!(
                    "found the control character {}, wanted none but tab and line ends",
                    found.escape_unicode()
                );
                Some(("control-character", message))
            }
            Self::Uri => {
                let cut = || text.chars().take(64).collect::<String>();
                if text.starts_with("urn:") {
                    let reason = urn_fault(text)?;
                    return Some(("urn", format!("`{}` is no URN of its namespace: {reason}", cut())));
                }
                has_loose_bracket(text).then(|| {
                    (
                        "uri-bracket",
                        format!(
                            "`{}` has a bracket outside of a host, which RFC 3986 does not allow: wanted %5B and %5D",
                            cut()
                        ),
                    )
                })
            }
        }
    }
}

/// Reads the token of a scalar, and reports why it is none.
#[inline]
pub(super) fn read_scalar<S: Scalar>(slot: &mut Option<S>, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
    r.peek();
    let offset = r.offset();
    let Some(text) = r.scalar(at, S::TOKEN)? else { return Ok(Outcome::Refused) };
    match S::from_text(&text) {
        Ok(value) => {
            let oddities = const { Oddities::of(S::TYPE) };
            let escaped = matches!(text, Cow::Owned(_));
            if oddities.may_be_in(&text, escaped)
                && let Some((rule, message)) = oddities.find(&text, escaped)
            {
                r.find_as(Severity::Warning, offset, rule, IssueType::Value, at, message);
            }
            *slot = Some(value);
            r.done(text);
            Ok(Outcome::Taken)
        }
        Err(malformed) => {
            if text.is_empty() {
                r.find(offset, "empty", IssueType::Value, at, "found an empty string, wanted no member or some text");
            } else if S::VALUE_SET.is_some() {
                let message = format!("`{}` is not in the value set: {}", malformed.found, malformed.reason);
                r.find(offset, "required-binding", IssueType::CodeInvalid, at, message);
            } else {
                r.find(offset, S::TYPE, IssueType::Value, at, malformed.to_string());
            }
            Ok(Outcome::Refused)
        }
    }
}

/// Reads the value; the primitive has no id and no extensions.
///
/// ```
/// use fhir_devices::{Device, datatype::Primitive, primitive::Id};
/// let device = Device { id: Some("pump".parse()?), ..Device::default() };
/// assert_eq!(device.id, Some(Primitive::from(Id::new("pump")?)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<S: Scalar + FromStr> FromStr for Primitive<S> {
    type Err = S::Err;

    fn from_str(text: &str) -> Result<Self, S::Err> {
        text.parse::<S>().map(Self::from)
    }
}

impl<S: Scalar> Value for Primitive<S> {
    const PRIMITIVE: bool = true;
    const ITEMS: &'static str = match S::TOKEN {
        crate::element::Token::Boolean => "booleans",
        crate::element::Token::Number => "numbers",
        crate::element::Token::String => "strings",
    };

    fn blank() -> Self {
        Self::default()
    }

    #[inline]
    fn is_blank(&self) -> bool {
        self.value.is_none() && self.extras.as_ref().is_none_or(|extras| extras.is_blank())
    }

    #[inline]
    fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
        read_scalar(&mut self.value, r, at)
    }

    fn read_under(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Option<Outcome>> {
        let extras = self.extras.get_or_insert_default();
        if Path::is_item(at) && r.peek() == Some(b'n') {
            r.null(at)?;
            return Ok(Some(Outcome::Taken));
        }
        let outcome = r.object(at, &mut **extras)?;
        if outcome == Outcome::Refused && extras.is_blank() && !extras.padded {
            self.extras = None;
        }
        Ok(Some(outcome))
    }

    fn pad(&mut self) {
        self.extras.get_or_insert_default().padded = true;
    }

    fn unset(&mut self) {
        self.value = None;
        if let Some(extras) = &mut self.extras {
            extras.padded = false;
        }
    }

    fn unset_under(&mut self) {
        let padded = self.extras.take().is_some_and(|extras| extras.padded);
        self.extras = padded.then(|| Box::new(Extras { padded, ..Extras::default() }));
    }

    #[inline]
    fn is_plain(&self) -> bool {
        self.extras.is_none() && self.value.is_some()
    }

    fn settle(&self, r: &mut Reader<'_>, at: &Path<'_>) {
        if let Some(extras) = &self.extras
            && self.value.is_none()
            && extras.extension.is_empty()
        {
            let message = "found neither a value nor an extension, wanted one of them";
            r.find(r.offset(), "ele-1", IssueType::Invariant, at, message);
        }
    }

    #[inline]
    fn write(&self, w: &mut Writer) -> bool {
        match &self.value {
            Some(value) => {
                w.scalar(value);
                true
            }
            None => false,
        }
    }

    #[inline]
    fn write_member(&self, w: &mut Writer, key: &'static str, under: &'static str) {
        if let Some(value) = &self.value {
            w.key(key);
            w.scalar(value);
        }
        if self.extras.is_some() {
            let mark = w.mark();
            w.key(under);
            if !self.write_extras(w) {
                w.back(mark);
            }
        }
    }

    fn write_members(values: &[Self], w: &mut Writer, key: &'static str, under: &'static str) {
        let padded = |one: &Self| one.extras.as_ref().is_some_and(|extras| extras.padded);
        if values.iter().any(|one| one.value.is_some() || padded(one)) {
            w.key(key);
            let array = w.open_array();
            for value in values {
                w.item();
                if !value.write(w) {
                    w.null();
                }
            }
            w.close_array(array);
        }
        if values.iter().any(|one| one.extras.as_ref().is_some_and(|extras| !extras.padded || !extras.is_blank())) {
            w.key(under);
            let array = w.open_array();
            for value in values {
                w.item();
                if !value.write_extras(w) {
                    w.null();
                }
            }
            w.close_array(array);
        }
    }

    fn types() -> &'static [TypeDef] {
        Self::TYPES
    }
}

impl<S: Scalar> Node for Primitive<S> {
    fn check(&self, at: &Path<'_>, report: &mut Report) {
        if self.value.is_none() && self.extension().is_empty() {
            let message = "found neither a value nor an extension, wanted one of them";
            report.push(Issue::new("ele-1", Severity::Error, IssueType::Invariant, at, message).with_row(S::TYPE));
        }
    }

    fn children<'n>(&'n self, at: &Path<'_>, visit: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {
        for (index, extension) in self.extension().iter().enumerate() {
            visit(&at.item("extension", index), extension);
        }
    }

    fn id(&self) -> Option<&str> {
        self.extras.as_ref().and_then(|extras| extras.id.as_ref()).map(Text::as_str)
    }
}

impl Sink for Extras {
    fn definition(&self) -> &'static Definition {
        &const {
            Definition {
                path: "Element",
                type_name: "Element",
                rows: &[
                    ElementDef::new("id", 0, Max::One, Text::types),
                    ElementDef::new("extension", 0, Max::Many, Extension::types),
                ],
                rules: &[],
                forbidden: &[],
            }
        }
    }

    fn member(
        &mut self,
        r: &mut Reader<'_>,
        at: &Path<'_>,
        member: Member<'_>,
        seen: &mut Seen,
    ) -> Read<Option<Outcome>> {
        use crate::element::Slot;
        match member.key {
            "id" => {
                let here = at.child("id");
                if seen.again(0, false) { r.duplicate(&here) } else { self.id.read(r, &here) }
            }
            "extension" => {
                let here = at.child("extension");
                if seen.again(1, false) { r.duplicate(&here) } else { self.extension.read(r, &here) }
            }
            _ => Ok(None),
        }
    }

    fn is_extras(&self) -> bool {
        true
    }

    fn finish(&mut self, _: &mut Reader<'_>, _: &Path<'_>, _: &Seen) {}

    fn unmodelled(&mut self) -> &mut Unmodelled {
        &mut self.unmodelled
    }
}

impl<S: Scalar + AsRef<str>> IdText for Primitive<S> {
    fn id_text(&self) -> Option<&str> {
        self.value.as_ref().map(AsRef::as_ref)
    }
}

impl IdText for Text {
    fn id_text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

/// Values that are attributes in XML, and so have neither id nor extensions.
macro_rules! bare {
    ($($Type:ident = $blank:expr),*) => { $(
        impl Value for $Type {
            const ITEMS: &'static str = "strings";

            fn blank() -> Self {
                $blank
            }

            fn is_blank(&self) -> bool {
                self.as_str().is_empty()
            }

            fn is_plain(&self) -> bool {
                true
            }

            #[inline]
            fn read(&mut self, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
                let mut slot = None;
                let outcome = read_scalar(&mut slot, r, at)?;
                if let Some(value) = slot {
                    *self = value;
                }
                Ok(outcome)
            }

            fn write(&self, w: &mut Writer) -> bool {
                if !self.is_blank() {
                    w.scalar(self);
                }
                !self.is_blank()
            }

            fn types() -> &'static [TypeDef] {
                &const { [TypeDef::bare(<$Type as Scalar>::TYPE)] }
            }
        }

        impl Node for $Type {
            fn check(&self, _: &Path<'_>, _: &mut Report) {}

            fn children<'n>(&'n self, _: &Path<'_>, _: &mut dyn FnMut(&Path<'_>, &'n dyn Node)) {}

            fn facts(&self) -> Facts<'_> {
                Facts::Element
            }
        }
    )* };
}

bare!(Text = Text::blank(), Uri = Uri::blank(), Xhtml = Xhtml::blank());
