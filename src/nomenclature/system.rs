//! URIs of the code system.

/// FHIR's URI of the code system ISO/IEEE 11073-10101.
pub const MDC: &str = "urn:iso:std:iso:11073:10101";

/// Other URIs of the same code system: its object identifiers, and names in older documents.
const ALIASES: [&str; 5] = [
    "urn:oid:1.3.111.2.11073.10101",
    "urn:oid:1.2.840.10004.1.1.1.0.0.1",
    "urn:oid:2.16.840.1.113883.6.24",
    "urn:std:iso:11073:10101",
    "https://rtmms.nist.gov",
];

/// Returns whether `system` is ISO/IEEE 11073-10101, by its URN, one of its object identifiers, or an older name.
///
/// ```
/// use fhir_devices::nomenclature::is_mdc;
/// assert!(is_mdc("urn:iso:std:iso:11073:10101"));
/// assert!(is_mdc("urn:oid:2.16.840.1.113883.6.24"));
/// assert!(!is_mdc("http://loinc.org"));
/// ```
#[must_use]
pub fn is_mdc(system: &str) -> bool {
    system == MDC || ALIASES.contains(&system)
}
