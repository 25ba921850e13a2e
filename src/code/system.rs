//! Codes of the code systems that HL7 publishes completely with STU3: its own, and its v2 and v3 tables.
//!
//! `systems.txt` has one system a line, sorted by the bytes of its name: the part of its URL after FHIR's base URL, and
//! its codes, each between two bars. Tables that users may extend by a pattern, or that are published with gaps, are
//! left out.

use std::sync::LazyLock;

const TABLE: &str = include_str!("systems.txt");

/// Systems with their codes, in the order of the table.
static SYSTEMS: LazyLock<Vec<(&str, &str)>> =
    LazyLock::new(|| TABLE.lines().filter_map(|line| line.split_once('|')).collect());

const BASE: &str = "http://hl7.org/fhir/";

/// The only complete code system in the table with a URL of another owner.
const SIGNATURE_TYPES: &str = "urn:iso-astm:E1762-95:2013";

/// Returns whether the code system has the code; `None` for a system without a table here.
pub(crate) fn has_code(system: &str, code: &str) -> Option<bool> {
    let name = match system.strip_prefix(BASE) {
        Some(name) => name,
        None if system == SIGNATURE_TYPES => system,
        None => return None,
    };
    let codes = codes(name)?;
    let mut known = codes.split('|');
    Some(if name.starts_with("v2/") {
        // The v2 tables ignore case; `NNxxx` is the national number of a country.
        known.any(|one| one.eq_ignore_ascii_case(code)) || name == "v2/0203" && is_national_number(code)
    } else {
        known.any(|one| one == code)
    })
}

fn is_national_number(code: &str) -> bool {
    let country = code.strip_prefix("NN").unwrap_or_default();
    country.len() == 3 && country.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Returns the codes of the system with that name, separated by bars.
fn codes(name: &str) -> Option<&'static str> {
    let at = SYSTEMS.binary_search_by(|(own, _)| own.as_bytes().cmp(name.as_bytes())).ok()?;
    SYSTEMS.get(at).map(|(_, codes)| *codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_system_is_found_with_its_codes() {
        let mut before = "";
        for line in TABLE.lines() {
            let (name, listed) = line.split_once('|').unwrap();
            assert!(before.as_bytes() < name.as_bytes(), "{before} stands before {name}");
            before = name;
            assert_eq!(codes(name), Some(listed), "{name}");
            assert!(line.is_ascii() && line.ends_with('|'), "{name}");
        }
        assert_eq!(codes("aa"), None);
        assert_eq!(codes("zz"), None);
    }

    #[test]
    fn code_belongs_to_its_own_system_only() {
        let of = |name: &str, code: &str| has_code(&format!("{BASE}{name}"), code);
        assert_eq!(of("specification-type", "firmware-revision"), Some(true));
        assert_eq!(of("specification-type", "firmware"), Some(false));
        assert_eq!(of("v3/Confidentiality", "R"), Some(true));
        assert_eq!(of("v3/Confidentiality", "r"), Some(false));
        assert_eq!(of("v2/0203", "sn"), Some(true));
        assert_eq!(of("v2/0203", "NNDEU"), Some(true));
        assert_eq!(of("v2/0203", "QQQ"), Some(false));
        assert_eq!(of("no-such-system", "a"), None);
        assert_eq!(has_code("http://snomed.info/sct", "1"), None);
        assert_eq!(has_code(SIGNATURE_TYPES, "1.2.840.10065.1.12.1.1"), Some(true));
    }
}
