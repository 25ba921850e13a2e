//! Reading and writing documents.

use super::hint;
use crate::element::{Outcome, PartCheck, Read, ReadMode, Reader, Value};
use crate::issue::{Issue, IssueType, Path, Position, Report, Severity};
#[cfg(feature = "xml")]
use crate::xml::Transcript;
use std::borrow::Cow;

/// The result of a lenient read: the value and the report.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// The findings; none of them is an error.
    pub report: Report,
}

/// A type that a whole document can be read into.
pub(crate) trait Document: Value {
    /// Returns the name of the root of the document that the reader is about to read.
    fn root<'a>(r: &mut Reader<'a>) -> Cow<'a, str>;
}

/// The UTF-8 byte order mark.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a document as far as it can be read, with every finding.
pub(crate) fn read_document<T: Document>(json: &[u8], mode: ReadMode) -> (Option<T>, Report) {
    read_within(json, mode, usize::MAX, None)
}

/// The same with at most `memory` bytes for the values, the text aside, and with a check of the parts of resources that are
/// kept as text.
pub(crate) fn read_within<T: Document>(
    json: &[u8],
    mode: ReadMode,
    memory: usize,
    check: Option<PartCheck>,
) -> (Option<T>, Report) {
    let text = match std::str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => return (None, not_utf8(json, error.valid_up_to(), "json")),
    };
    let marked = text.starts_with(BYTE_ORDER_MARK);
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let (value, mut report, root) = read_from(Reader::new(text, mode).with_memory(memory).with_part_check(check));
    if marked && mode == ReadMode::Strict {
        let message = "found a byte order mark before the document, wanted none (RFC 8259, section 8.1)";
        let issue = Issue::new("byte-order-mark", Severity::Warning, IssueType::Invalid, &*root, message);
        report.push_front(issue.with_position(Position { line: 1, column: 1 }));
    }
    (value, report)
}

/// Reads a document to its end.
fn read_from<T: Document>(mut r: Reader<'_>) -> (Option<T>, Report, Cow<'_, str>) {
    let root = T::root(&mut r);
    let mut value = T::blank();
    let end = read_to_end(&mut value, &mut r, &Path::root(&root));
    let mut report = r.into_report(&root);
    hint::add(&mut report, &root);
    (end.is_ok_and(|outcome| outcome == Outcome::Taken).then_some(value), report, root)
}

/// Reads a document in XML as far as it can be read, with every finding.
#[cfg(feature = "xml")]
pub(crate) fn read_xml_document<T: Document>(xml: &[u8], mode: ReadMode) -> (Option<T>, Report) {
    let (value, report, _) = read_xml_within(xml, mode, usize::MAX, None);
    (value, report)
}

/// The same with at most `memory` bytes for the values, the text and its JSON form aside; and that form, where there is one.
#[cfg(feature = "xml")]
pub(crate) fn read_xml_within<T: Document>(
    xml: &[u8],
    mode: ReadMode,
    memory: usize,
    check: Option<PartCheck>,
) -> (Option<T>, Report, Option<Transcript<'_>>) {
    let text = match std::str::from_utf8(xml) {
        Ok(text) => text,
        Err(error) => return (None, not_utf8(xml, error.valid_up_to(), "xml"), None),
    };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let transcript = crate::xml::transcribe(text, element_types(), mode == ReadMode::Lenient);
    let r = Reader::new(transcript.json(), mode)
        .with_memory(memory)
        .with_part_check(check)
        .with_origin(transcript.origin());
    let (value, report, _) = read_from(r);
    (value, report, Some(transcript))
}

/// Returns the JSON form of a document in XML, unless it has a fault.
#[cfg(feature = "xml")]
pub(crate) fn xml_in_json(xml: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(xml).ok()?;
    let transcript = crate::xml::transcribe(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text), element_types(), false);
    transcript.is_faultless().then(|| transcript.json().to_owned())
}

/// Writes a resource, given as JSON, as XML.
#[cfg(feature = "xml")]
pub(crate) fn write_xml(json: &str) -> Result<String, Report> {
    crate::xml::write_xml(json, element_types())
}

#[cfg(feature = "xml")]
fn element_types() -> &'static crate::xml::ElementTypes {
    use super::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};
    use crate::element::Element;
    crate::xml::ElementTypes::get(|| {
        vec![
            Device::definition(),
            DeviceComponent::definition(),
            DeviceMetric::definition(),
            Bundle::definition(),
            OperationOutcome::definition(),
        ]
    })
}

fn read_to_end<T: Value>(value: &mut T, r: &mut Reader<'_>, at: &Path<'_>) -> Read<Outcome> {
    let outcome = value.read(r, at)?;
    r.end()?;
    Ok(outcome)
}

fn not_utf8(bytes: &[u8], valid: usize, rule: &'static str) -> Report {
    let good = bytes.get(..valid).and_then(|good| std::str::from_utf8(good).ok()).unwrap_or_default();
    let line = good.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = "found bytes that are not UTF-8";
    let issue = Issue::new(rule, Severity::Fatal, IssueType::Invalid, "Resource", message);
    Report::from_iter([issue.with_position(Position { line, column })])
}

/// Gives a type the methods and the serde implementations of a whole document.
macro_rules! document {
    ($Name:ident, $root:literal) => {
        impl $crate::resource::Document for $Name {
            fn root<'a>(_: &mut $crate::element::Reader<'a>) -> std::borrow::Cow<'a, str> {
                std::borrow::Cow::Borrowed($root)
            }
        }

        document!($Name);
    };
    ($Name:ident) => {
        impl $Name {
            /// Reads a document strictly.
            ///
            /// # Errors
            /// A [`Report`](crate::Report) with every finding, when the text is not JSON, or breaks the definitions
            /// in what a type can say: structure, cardinality, the form of primitives, required codes, the types
            /// that references point at.
            pub fn from_json(json: &[u8]) -> Result<Self, $crate::issue::Report> {
                Self::read(json, $crate::element::ReadMode::Strict).map(|reading| reading.value)
            }

            /// Reads a document strictly or leniently.
            ///
            /// # Errors
            /// A [`Report`](crate::Report) with every finding, when one of them is an error. In the lenient mode
            /// only broken JSON, too deep a nesting and a wrong `resourceType` are.
            pub fn read(
                json: &[u8],
                mode: $crate::element::ReadMode,
            ) -> Result<$crate::resource::Reading<Self>, $crate::issue::Report> {
                match $crate::resource::read_document(json, mode) {
                    (Some(value), report) if !report.has_errors() => Ok($crate::resource::Reading { value, report }),
                    (_, report) => Err(report),
                }
            }

            /// Returns the resource as compact JSON, in the order of the specification.
            #[must_use]
            pub fn to_json(&self) -> String {
                let mut w = $crate::element::Writer::new();
                $crate::element::Value::write(self, &mut w);
                w.finish()
            }

            /// Reads a document in XML strictly.
            ///
            /// # Errors
            /// A [`Report`](crate::Report) with every finding, when the text is not well-formed XML or has a document
            /// type, or breaks the definitions as [`from_json`](Self::from_json) says, or in the order of its elements,
            /// its namespaces or its attributes.
            #[cfg(feature = "xml")]
            pub fn from_xml(xml: &[u8]) -> Result<Self, $crate::issue::Report> {
                Self::read_xml(xml, $crate::element::ReadMode::Strict).map(|reading| reading.value)
            }

            /// Reads a document in XML strictly or leniently.
            ///
            /// # Errors
            /// A [`Report`](crate::Report) with every finding, when one of them is an error. In the lenient mode only
            /// XML that is not well-formed, too deep a nesting, another namespace and a wrong resource type are.
            #[cfg(feature = "xml")]
            pub fn read_xml(
                xml: &[u8],
                mode: $crate::element::ReadMode,
            ) -> Result<$crate::resource::Reading<Self>, $crate::issue::Report> {
                match $crate::resource::read_xml_document(xml, mode) {
                    (Some(value), report) if !report.has_errors() => Ok($crate::resource::Reading { value, report }),
                    (_, report) => Err(report),
                }
            }

            /// The resource as FHIR XML on one line, but for what its narrative holds.
            ///
            /// # Errors
            /// A [`Report`](crate::Report) that says what has no form in XML: characters that XML has not, a narrative that is
            /// no `div` of XHTML, and members that no definition knows, or whose values are not of the shape that it wants.
            #[cfg(feature = "xml")]
            pub fn to_xml(&self) -> Result<String, $crate::issue::Report> {
                $crate::resource::write_xml(&self.to_json())
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let json = self.to_json();
                if !serializer.is_human_readable() {
                    return serializer.serialize_str(&json);
                }
                let raw = serde_json::value::RawValue::from_string(json).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read = |json: &str| Self::from_json(json.as_bytes()).map_err(serde::de::Error::custom);
                if !deserializer.is_human_readable() {
                    return read(&String::deserialize(deserializer)?);
                }
                let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
                read(raw.get())
            }
        }
    };
}
