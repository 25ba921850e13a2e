//! Properties of every value that can be built: the strategies of the test kit, and its injected faults.
//!
//! `PROPTEST_CASES` sets the number of values; without it there are few, so that the tests take seconds.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

use fhir_devices::code::BundleType;
use fhir_devices::datatype::{Extension, ExtensionValue, Primitive, target};
use fhir_devices::element::ReadMode;
use fhir_devices::primitive::Uri;
use fhir_devices::testkit::mutations::{InjectedFault, Mutation, mutation};
use fhir_devices::testkit::strategies;
use fhir_devices::validate::check;
use fhir_devices::{
    Bundle, Device, DeviceComponent, DeviceMetric, Issue, OperationOutcome, Resource, Severity, Valid, Validate,
};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

fn few(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

// ------------------------------------------------------------------------------------------------------------ values

/// Properties of a value of each type of resource.
macro_rules! holds {
    ($($name:ident $Type:ident;)*) => { $(
        proptest! {
            #![proptest_config(few(100))]
            #[test]
            fn $name(value in strategies::$name()) {
                let written = value.to_json();
                let again = $Type::from_json(written.as_bytes());
                prop_assert_eq!(again.as_ref(), Ok(&value), "{}", written);
                prop_assert_eq!(&again.unwrap().to_json(), &written, "written again");
                let report = value.validate();
                prop_assert!(!report.has_errors(), "{}: {}", report, written);

                let lenient = $Type::read(written.as_bytes(), ReadMode::Lenient).unwrap();
                // Texts are arbitrary, so that some are of blanks alone, or have control characters.
                let odd = ["blank", "control-character", "urn", "uri-bracket"];
                prop_assert!(lenient.report.iter().all(|issue| odd.contains(&&*issue.rule)), "{}: {}", lenient.report, written);
                prop_assert_eq!(&lenient.value, &value, "{}", written);

                let checked = check(written.as_bytes(), ReadMode::Strict);
                prop_assert!(!checked.report().has_errors(), "{}: {}", checked.report(), written);
                prop_assert_eq!(checked.resource().unwrap().to_json(), written.as_str());

                prop_assert_eq!(&serde_json::to_string(&value).unwrap(), &written);
                prop_assert_eq!(&serde_json::from_str::<$Type>(&written).unwrap(), &value);
                prop_assert!(Valid::new(value).is_ok());
            }
        }
    )* };
}

mod written_values_are_read_back_equal_and_valid {
    use super::*;

    holds! {
        device Device;
        device_component DeviceComponent;
        device_metric DeviceMetric;
        bundle Bundle;
        operation_outcome OperationOutcome;
        resource Resource;
    }
}

/// Properties of a value of each datatype, in an extension of a device.
macro_rules! hold_in_extensions {
    ($($name:ident)*) => { $(
        proptest! {
            #![proptest_config(few(40))]
            #[test]
            fn $name(value in strategies::$name(), url in Just("http://x.example/y")) {
                let url = Uri::new(url).unwrap();
                let extension = Extension::new(url, ExtensionValue::from(Box::new(value)));
                holds_for_device(Device { extension: vec![extension], ..Device::default() })?;
            }
        }
    )* };
}

/// Properties of a value of each primitive type, in an extension of a device.
macro_rules! hold_as_primitives {
    ($($name:ident)*) => { $(
        proptest! {
            #![proptest_config(few(40))]
            #[test]
            fn $name(value in strategies::$name(), url in Just("http://x.example/y")) {
                let extension = Extension::new(Uri::new(url).unwrap(), Primitive::from(value));
                holds_for_device(Device { extension: vec![extension], ..Device::default() })?;
            }
        }
    )* };
}

fn holds_for_device(device: Device) -> Result<(), TestCaseError> {
    let written = device.to_json();
    let report = device.validate();
    prop_assert!(!report.has_errors(), "{}: {}", report, written);
    prop_assert_eq!(Device::from_json(written.as_bytes()), Ok(device), "{}", written);
    Ok(())
}

mod values_of_datatypes_are_valid_in_a_device {
    use super::*;

    hold_in_extensions! {
        address age annotation attachment codeable_concept coding contact_point count distance duration human_name
        identifier meta money period quantity range ratio sampled_data signature timing
    }
    hold_as_primitives! {
        base64 code date date_time decimal id instant integer markdown oid positive_int text time unsigned_int uri
    }

    proptest! {
        #![proptest_config(few(40))]
        #[test]
        fn parts_of_other_resources(
            metric in strategies::device_metric(),
            component in strategies::device_component(),
            (calibration, specification) in (strategies::calibration(), strategies::production_specification()),
            entry in strategies::bundle_entry(),
        ) {
            let metric = DeviceMetric { calibration: vec![calibration], contained: Vec::new(), ..metric };
            let written = metric.to_json();
            prop_assert_eq!(DeviceMetric::from_json(written.as_bytes()), Ok(metric), "{}", written);
            let component = DeviceComponent { production_specification: vec![specification], ..component };
            let written = component.to_json();
            prop_assert_eq!(DeviceComponent::from_json(written.as_bytes()), Ok(component), "{}", written);
            let mut bundle = Bundle::new(BundleType::Collection);
            bundle.entry.push(entry);
            prop_assert_eq!(Bundle::from_json(bundle.to_json().as_bytes()), Ok(bundle));
        }

        #[test]
        fn parts_of_resources(
            (extension, narrative) in (strategies::extension(), strategies::narrative()),
            (udi, owner) in (strategies::udi(), strategies::reference::<target::Organization>()),
        ) {
            let (text, udi, owner) = (Some(narrative), Some(udi), Some(owner));
            let extension = vec![extension];
            // Ids that are unique in each of them need not be in all.
            let device = Device { text, extension, udi, owner, ..Device::default() };
            let report = device.validate();
            let known = |issue: &Issue| issue.rule == "id-unique" || issue.severity > Severity::Error;
            prop_assert!(report.iter().all(known), "{}", report);
        }
    }
}

// ------------------------------------------------------------------------------------------------------------ faults

#[test]
fn injected_fault_is_found_by_rule_and_path() {
    for fault in InjectedFault::ALL {
        let mut runner = TestRunner::new(few(24));
        let found = runner.run(&mutation(*fault), |mutation| {
            let report = check(mutation.json.as_bytes(), ReadMode::Strict).into_report();
            let Mutation { rule, at, json, .. } = &mutation;
            prop_assert!(mutation.is_found_in(&report), "{rule} at {at} in {json}\n{report}");
            prop_assert!(report.has_errors());
            Ok(())
        });
        found.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

// --------------------------------------------------------------------------------------------------------- shrinking

/// Returns the smallest value of a strategy for which a property fails.
fn smallest<S: Strategy>(strategy: S, holds: impl Fn(&S::Value) -> bool) -> S::Value {
    let config = ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(
        config.clone(),
        proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm),
    );
    let failed = runner.run(&strategy, |value| {
        prop_assert!(holds(&value));
        Ok(())
    });
    match failed {
        Err(TestError::Fail(_, value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn failing_value_shrinks_to_its_cause() {
    let device = |holds: fn(&Device) -> bool| smallest(strategies::device(), holds).to_json();
    assert_eq!(device(|_| false), r#"{"resourceType":"Device"}"#);
    assert_eq!(device(|device| device.model.is_none()), r#"{"resourceType":"Device","model":"a"}"#);
    assert_eq!(device(|device| device.status.is_none()), r#"{"resourceType":"Device","status":"active"}"#);
    assert_eq!(device(|device| device.note.is_empty()), r#"{"resourceType":"Device","note":[{"text":"a"}]}"#);
    assert_eq!(
        device(|device| device.owner.as_ref().is_none_or(|owner| owner.identifier.is_none())),
        r#"{"resourceType":"Device","owner":{"identifier":{"value":"a"}}}"#
    );
    assert_eq!(
        device(|device| device.extension.iter().all(|one| one.extension.is_empty())),
        r#"{"resourceType":"Device","extension":[{"extension":[{"url":"a","valueString":"a"}],"url":"http://a.example"}]}"#
    );
    assert_eq!(
        device(|device| device.model.as_ref().is_none_or(|model| model.extras.is_none() || model.value.is_none())),
        r#"{"resourceType":"Device","model":"a","_model":{"id":"a"}}"#
    );
    // What is contained must be referred to.
    let contained = device(|device| device.contained.is_empty());
    assert!(contained.len() < 160 && contained.contains("{\"reference\":\"#c"), "{contained}");
}

#[test]
fn required_elements_shrink_to_the_simplest() {
    assert_eq!(
        smallest(strategies::device_component(), |_| false).to_json(),
        r#"{"resourceType":"DeviceComponent","identifier":{"value":"a"},"type":{"text":"a"}}"#
    );
    assert_eq!(
        smallest(strategies::device_metric(), |metric| metric.measurement_period.is_none()).to_json(),
        concat!(
            r#"{"resourceType":"DeviceMetric","identifier":{"value":"a"},"type":{"text":"a"},"#,
            r#""category":"measurement","measurementPeriod":{"event":["2017"]}}"#
        )
    );
    let entry = smallest(strategies::bundle(), |bundle| bundle.entry.is_empty()).to_json();
    assert!(entry.len() < 120, "{entry}");
    assert_eq!(smallest(strategies::text(), |_| false).as_str().chars().count(), 1);
}

#[test]
fn filtered_strategy_still_shrinks() {
    let named = strategies::device().prop_filter("a device with a model", |device| device.model.is_some());
    assert_eq!(smallest(named, |_| false).to_json(), r#"{"resourceType":"Device","model":"a"}"#);
}
