//! Everyday tasks, each in a few lines.
//!
//! # Read the software revision of a component
//!
//! Reads the revision in either code system: FHIR or ISO/IEEE 11073-10101.
//!
//! ```
//! # use fhir_devices::DeviceComponent;
//! # let component = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
//! #     "type":{"text":"pump"},"productionSpecification":[{"productionSpec":"1.11",
//! #     "specType":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"531975"}]}}]}"#)?;
//! let revision = component.software_revision();
//! assert_eq!(revision, Some("1.11"));
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! # Set the software revision of a component
//!
//! ```
//! use fhir_devices::resource::device_component::SpecType;
//! # use fhir_devices::DeviceComponent;
//! # let mut component = DeviceComponent::from_json(
//! #     br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#)?;
//! component.set_production_spec(SpecType::SoftwareRevision, "1.12")?;
//! assert_eq!(component.software_revision(), Some("1.12"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Build a metric with unit, period and calibration
//!
//! ```
//! use fhir_devices::code::{MetricCalibrationState, MetricCalibrationType, MetricCategory, UnitsOfTime};
//! use fhir_devices::datatype::{CodeableConcept, Identifier, Timing};
//! use fhir_devices::{DeviceMetric, resource::device_metric::Calibration};
//! # use fhir_devices::Validate;
//!
//! const MDC: &str = "urn:iso:std:iso:11073:10101";
//! let handle = Identifier::new("https://acme.example/handle", "3.1.1.150456")?;
//! let metric = DeviceMetric::new(handle, CodeableConcept::code(MDC, "150456")?, MetricCategory::Measurement)
//!     .with_unit(CodeableConcept::code(MDC, "262688")?)
//!     .with_measurement_period(Timing::every(2, UnitsOfTime::Second))
//!     .with_calibration(Calibration::new(MetricCalibrationType::Gain, MetricCalibrationState::Calibrated));
//! assert!(metric.validate().is_empty());
//! assert!(metric.to_json().contains(r#""repeat":{"period":2,"periodUnit":"s"}"#));
//! # Ok::<(), fhir_devices::element::Malformed>(())
//! ```
//!
//! # Store every entry of a Bundle
//!
//! ```
//! # use fhir_devices::{Bundle, Valid, backend::Memory, store::TenantResources};
//! # use std::sync::Arc;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let bundle = Valid::new(Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
//! #     {"fullUrl":"https://ehr.example/Device/pump","resource":{"resourceType":"Device","id":"pump"}}]}"#)?)?;
//! # let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
//! let stored = store.import(&bundle).await?;
//! assert_eq!(stored.len(), 1);
//! # Ok(())
//! # }
//! ```
