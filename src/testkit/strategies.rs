//! Arbitrary valid values of the resources, the datatypes and the primitives.
//!
//! The values are made from the tables of the types. A document has up to about 120 optional elements, five levels
//! deep, plus what these require; an array has up to three items, a text up to about twenty characters.
//!
//! ```
//! use fhir_devices::{Validate, testkit::strategies};
//! use proptest::{prop_assert, strategy::Strategy, test_runner::TestRunner};
//!
//! // Any device, with a model in any case. What else the element has (an extension that refers to a contained resource) stays.
//! let with_model = (strategies::device(), strategies::text()).prop_map(|(mut device, model)| {
//!     device.model.get_or_insert_default().value = Some(model);
//!     device
//! });
//! TestRunner::default().run(&with_model, |device| {
//!     prop_assert!(!device.validate().has_errors());
//!     Ok(())
//! })?;
//! # Ok::<(), proptest::test_runner::TestError<fhir_devices::Device>>(())
//! ```
//!
//! Every value has these properties:
//!
//! - Reading it finds nothing, and [`validate`](crate::Validate::validate) no error; as codes are arbitrary, it may
//!   warn of a code outside an extensible value set.
//! - Shrinking removes members and items, shortens texts and takes the first code of a set, and keeps the value valid.
//! - Ids of elements are unique in the document; contained resources are referred to.

use super::values::Values;
use crate::datatype::{
    Address, Age, Annotation, Attachment, CodeableConcept, Coding, ContactPoint, Count, Distance, Duration, Extension,
    HumanName, Identifier, Meta, Money, Narrative, Period, Quantity, Range, Ratio, Reference, SampledData, Signature,
    SimpleQuantity, Target, Timing,
};
use crate::element::Element;
use crate::resource::bundle::Entry;
use crate::resource::device::Udi;
use crate::resource::device_component::ProductionSpecification;
use crate::resource::device_metric::Calibration;
use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource};
use proptest::strategy::Strategy;

pub use super::primitives::*;

macro_rules! strategies {
    ($( $(#[$meta:meta])* $name:ident $Type:ident; )*) => { $(
        $(#[$meta])*
        pub fn $name() -> impl Strategy<Value = $Type> + Clone {
            Values::<$Type>::new($Type::definition().path, |maker| maker.whole($Type::definition(), &[]))
        }
    )* };
}

strategies! {
    /// Devices.
    ///
    /// ```
    /// use fhir_devices::testkit::strategies::device;
    /// use proptest::test_runner::{TestError, TestRunner};
    ///
    /// // A property that does not hold: no device has a model.
    /// let failed = TestRunner::deterministic().run(&device(), |device| {
    ///     assert!(device.model.is_none());
    ///     Ok(())
    /// });
    /// let Err(TestError::Fail(_, device)) = failed else { panic!("no device had a model") };
    /// assert_eq!(device.to_json(), r#"{"resourceType":"Device","model":"a"}"#);
    /// ```
    device Device;
    /// Device components.
    device_component DeviceComponent;
    /// Device metrics.
    device_metric DeviceMetric;
    /// Bundles of each type, with resources of any type.
    bundle Bundle;
    /// Operation outcomes.
    operation_outcome OperationOutcome;
    /// Entries of a [`Bundle`] of the type `collection`.
    bundle_entry Entry;
    /// UDIs of devices.
    udi Udi;
    /// Production specifications of components.
    production_specification ProductionSpecification;
    /// Calibrations of metrics.
    calibration Calibration;
    /// Postal addresses.
    address Address;
    /// Ages.
    age Age;
    /// Notes.
    annotation Annotation;
    /// Attachments.
    attachment Attachment;
    /// Codeable concepts.
    codeable_concept CodeableConcept;
    /// Codings.
    coding Coding;
    /// Contact points.
    contact_point ContactPoint;
    /// Counts.
    count Count;
    /// Distances.
    distance Distance;
    /// Durations.
    duration Duration;
    /// Names of persons.
    human_name HumanName;
    /// Identifiers.
    identifier Identifier;
    /// Metadata of resources.
    meta Meta;
    /// Amounts of money.
    money Money;
    /// Narratives.
    narrative Narrative;
    /// Periods that do not end before they start.
    period Period;
    /// Quantities.
    quantity Quantity;
    /// Ranges.
    range Range;
    /// Ratios of two quantities.
    ratio Ratio;
    /// Sampled data.
    sampled_data SampledData;
    /// Signatures.
    signature Signature;
    /// Quantities without a comparator.
    simple_quantity SimpleQuantity;
    /// Timings.
    timing Timing;
}

/// Extensions, simple and complex, with a value of any of the 38 types.
pub fn extension() -> impl Strategy<Value = Extension> + Clone {
    // The name of the member decides whether an extension stands inside another.
    Values::<Extension>::new("extension", |maker| maker.whole(Extension::definition(), &[]))
}

/// Resources of any type, including types that the crate does not model.
pub fn resource() -> impl Strategy<Value = Resource> + Clone {
    Values::<Resource>::new("Resource", |maker| maker.any())
}

/// References to resources of the types `T`: relative, absolute, by URN, by identifier, by display.
///
/// ```
/// use fhir_devices::datatype::target;
/// use fhir_devices::testkit::strategies::reference;
/// use proptest::{prop_assert, test_runner::TestRunner};
///
/// TestRunner::default().run(&reference::<target::Device>(), |reference| {
///     let found = reference.literal().and_then(|literal| literal.resource_type());
///     prop_assert!(found.is_none_or(|found| found == "Device"));
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn reference<T: Target>() -> impl Strategy<Value = Reference<T>> + Clone {
    Values::<Reference<T>>::new("Reference", |maker| maker.whole(Reference::<T>::definition(), T::TYPES))
}
