//! The closed sets of codes.

use fhir_devices::element::Scalar;
use fhir_devices::{code, issue};
use std::collections::BTreeMap;

/// The codes of each closed set, by the url of its value set.
pub(crate) fn closed_sets() -> BTreeMap<&'static str, Vec<&'static str>> {
    macro_rules! sets {
        ($($Name:path),* $(,)?) => {
            [$( (<$Name as Scalar>::VALUE_SET.unwrap(), <$Name>::ALL.iter().map(|one| one.as_str()).collect()) ),*]
        };
    }
    let sets: [(&str, Vec<&str>); 24] = sets![
        code::AddressType,
        code::AddressUse,
        code::BundleType,
        code::ContactPointSystem,
        code::ContactPointUse,
        code::DaysOfWeek,
        code::DeviceStatus,
        code::EventTiming,
        code::HttpVerb,
        code::IdentifierUse,
        code::MeasurementPrinciple,
        code::MetricCalibrationState,
        code::MetricCalibrationType,
        code::MetricCategory,
        code::MetricColor,
        code::MetricOperationalStatus,
        code::NameUse,
        code::NarrativeStatus,
        code::QuantityComparator,
        code::SearchEntryMode,
        code::UdiEntryType,
        code::UnitsOfTime,
        issue::Kind,
        issue::Severity,
    ];
    sets.into_iter().collect()
}
