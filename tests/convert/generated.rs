//! Round trips of generated documents, and of faulty documents.

use fhir_devices::convert::{self, MetricDevice, Options, Version};
use fhir_devices::testkit::strategies;
use fhir_devices::{Resource, Severity};
use proptest::prelude::*;

const VERSIONS: [Version; 3] = [Version::R4, Version::R4B, Version::R5];

/// Returns whether a refusal is unavoidable: an STU3 document may have content that the other version cannot.
fn is_known_loss(report: &fhir_devices::Report) -> bool {
    let errors = report.iter().filter(|issue| issue.severity <= Severity::Error);
    let mut keys = errors.map(|issue| (&*issue.rule, &*issue.at));
    keys.all(|(rule, at)| {
        rule == "collision"
            || rule == "lost"
                && (at.ends_with("modifierExtension") || at == "Extension.valueMeta" || at == "Bundle.entry.request")
    })
}

fn comes_back(resource: &Resource, options: &Options) -> Result<(), TestCaseError> {
    for version in VERSIONS {
        match convert::to(version, resource, options) {
            Ok(converted) => {
                let back = convert::from(version, converted.json.as_bytes(), options);
                let back =
                    back.map_err(|report| TestCaseError::fail(format!("{version}: {report}\n{}", converted.json)))?;
                prop_assert_eq!(back.value.to_json(), resource.to_json(), "{} {}", version, converted.json);
                // The way by R4 is the way to R5.
                if version == Version::R4 {
                    let r5 = convert::to(Version::R5, resource, options);
                    let step = convert::between(Version::R4, Version::R5, converted.json.as_bytes(), options);
                    prop_assert_eq!(r5.map(|it| it.json).ok(), step.map(|it| it.json).ok());
                }
            }
            Err(report) => prop_assert!(is_known_loss(&report), "{} {}", version, report),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn device_round_trips(device in strategies::device()) {
        comes_back(&device.into(), &Options::default())?;
    }

    #[test]
    fn component_round_trips(component in strategies::device_component()) {
        comes_back(&component.into(), &Options::default())?;
    }

    #[test]
    fn metric_round_trips(metric in strategies::device_metric()) {
        let resource = Resource::from(metric);
        comes_back(&resource, &Options::default())?;
        comes_back(&resource, &Options::default().metric_device(MetricDevice::Source))?;
    }

    #[test]
    fn bundle_round_trips(bundle in strategies::bundle()) {
        comes_back(&bundle.into(), &Options::default())?;
    }
}

/// The faulty replacements of some characters.
const FRAGMENTS: [&str; 12] =
    ["null", "{}", "[]", "\"\"", "5", "{\"a\":1}", "[null]", "true", "\"DeviceComponent\"", "\\", "}", "\u{e9}"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn faulty_documents_never_panic(
        component in strategies::device_component(),
        version in 0..VERSIONS.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, 0..FRAGMENTS.len()), 1..4),
        token in any::<bool>(),
    ) {
        let version = VERSIONS[version];
        let options = Options::default().allow(convert::Loss::ALL);
        let Ok(converted) = convert::to(version, &component.into(), &options) else { return Ok(()) };
        let mut characters: Vec<char> = converted.json.chars().collect();
        for (place, length, fragment) in cuts {
            let mut start = place.index(characters.len().max(1)).min(characters.len());
            // A whole value, as a rule: what stands between a colon and the next comma.
            if token && let Some(colon) = characters.iter().skip(start).position(|c| *c == ':') {
                start += colon + 1;
            }
            let end = if token {
                characters.iter().skip(start).position(|c| ",}]".contains(*c)).map_or(characters.len(), |n| start + n)
            } else {
                (start + length).min(characters.len())
            };
            characters.splice(start..end, FRAGMENTS[fragment].chars());
        }
        let faulty: String = characters.into_iter().collect();
        for from in Version::ALL {
            match convert::from(from, faulty.as_bytes(), &Options::default()) {
                Ok(reading) => prop_assert!(!reading.report.has_errors(), "{}", reading.report),
                Err(report) => prop_assert!(report.has_errors(), "{}: {}", faulty, report),
            }
        }
        let _ = convert::version_of(faulty.as_bytes());
    }
}
