//! FHIR XML, through the same declared rows as JSON.
//!
//! A document in XML is transcribed to its JSON form by the rows of its types, and read by the one reader that there is:
//! so it is held to the same rules, strictly or leniently, and every finding has its place in the XML. What JSON has not
//! is checked while it is transcribed: the order of the elements, namespaces, attributes, text between elements. A document is
//! written by the same rows, from its JSON form.
//!
//! The rows of the types that the crate does not model stand in a table of their own (`elements.txt`): which elements
//! there are, in which order, which of them repeat and which are numbers and booleans. XML needs it, where JSON does not, to
//! tell a list of one from a single value and a number from a text.
//!
//! What is called for by a document type is never looked up: a DOCTYPE is refused, and so is every entity but the five
//! of XML and the references to characters.

mod element_types;
mod markup;
mod narrative;
mod transcribe;
mod write;

pub(crate) use element_types::ElementTypes;
pub(crate) use transcribe::{Transcript, transcribe};
pub(crate) use write::write_xml;

/// The namespace of the elements of FHIR.
pub const NAMESPACE: &str = "http://hl7.org/fhir";

/// The namespace of the elements of a narrative.
pub const XHTML_NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// Returns whether a document is XML, by its first character; a byte order mark and white space before it do not count.
///
/// ```
/// assert!(fhir_devices::xml::is_xml("\u{feff}<Device xmlns=\"http://hl7.org/fhir\"/>".as_bytes()));
/// assert!(!fhir_devices::xml::is_xml(br#"{"resourceType":"Device"}"#));
/// ```
#[must_use]
pub fn is_xml(document: &[u8]) -> bool {
    let document = document.strip_prefix("\u{feff}".as_bytes()).unwrap_or(document);
    document.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}
