//! Documents in XML beside those in JSON.

use fhir_devices::element::ReadMode;
use fhir_devices::resource::Reading;
use fhir_devices::validate::{Validator, check_by};
use fhir_devices::{Report, Resource};

/// Returns whether a document is XML: its first character is `<`, after white space and a byte order mark.
pub(crate) fn is_xml(document: &[u8]) -> bool {
    let document = document.strip_prefix("\u{feff}".as_bytes()).unwrap_or(document);
    document.trim_ascii_start().first() == Some(&b'<')
}

/// Returns the report on an XML document in a build without XML.
#[cfg(not(feature = "xml"))]
fn unsupported() -> Report {
    use fhir_devices::issue::{Issue, IssueType};
    let message = "the document is XML, and this program was built without the feature `xml`";
    Report::from_iter([Issue::new(
        "format",
        fhir_devices::Severity::Fatal,
        IssueType::NotSupported,
        "Resource",
        message,
    )])
}

/// Reads a document in either format.
#[allow(dead_code, reason = "not every example reads so")]
pub(crate) fn read(document: &[u8], mode: ReadMode) -> Result<Reading<Resource>, Report> {
    if !is_xml(document) {
        return Resource::read(document, mode);
    }
    #[cfg(feature = "xml")]
    return Resource::read_xml(document, mode);
    #[cfg(not(feature = "xml"))]
    Err(unsupported())
}

/// Reads a document in either format as far as possible, with every finding.
#[allow(dead_code, reason = "not every example reads so")]
pub(crate) fn check(document: &[u8], mode: ReadMode, validator: &Validator) -> (Option<Resource>, Report) {
    if !is_xml(document) {
        return check_by(document, mode, validator).into_parts();
    }
    #[cfg(feature = "xml")]
    return fhir_devices::validate::check_xml_by(document, mode, validator).into_parts();
    #[cfg(not(feature = "xml"))]
    (None, unsupported())
}

/// Writes a resource in XML.
#[allow(dead_code, reason = "not every example writes so")]
pub(crate) fn write(resource: &Resource) -> Result<String, Report> {
    #[cfg(feature = "xml")]
    return resource.to_xml();
    #[cfg(not(feature = "xml"))]
    {
        let _ = resource;
        Err(unsupported())
    }
}
