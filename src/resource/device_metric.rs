//! A metric: something that a device measures, calculates or lets one set.

use crate::code::{
    MetricCalibrationState, MetricCalibrationType, MetricCategory, MetricColor, MetricOperationalStatus,
};
use crate::datatype::{CodeableConcept, Extension, Identifier, Primitive, Reference, Timing, target};
use crate::element::Value;
use crate::primitive::{Id, Instant};

resource! {
    /// Something that a device measures, calculates or lets one set.
    ///
    /// ```
    /// use fhir_devices::{DeviceMetric, code::MetricCategory, datatype::{CodeableConcept, Identifier}};
    ///
    /// let handle = Identifier::new("https://acme.example/handle", "3.1.1.150456")?;
    /// let saturation = CodeableConcept::text("SpO2")?;
    /// let metric = DeviceMetric::new(handle, saturation, MetricCategory::Measurement);
    /// assert_eq!(metric.category.value, Some(MetricCategory::Measurement));
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    ///
    /// One with unit, period and calibration:
    ///
    /// ```
    /// # use fhir_devices::code::{MetricCalibrationState, MetricCalibrationType, MetricCategory, UnitsOfTime};
    /// # use fhir_devices::datatype::{CodeableConcept, Identifier, Timing};
    /// # use fhir_devices::{DeviceMetric, Valid, resource::device_metric::Calibration};
    /// const MDC: &str = "urn:iso:std:iso:11073:10101";
    /// let handle = Identifier::new("https://acme.example/handle", "3.1.1.150456")?;
    /// let metric = DeviceMetric::new(handle, CodeableConcept::code(MDC, "150456")?, MetricCategory::Measurement)
    ///     .with_unit(CodeableConcept::code(MDC, "262688")?)
    ///     .with_measurement_period(Timing::every(2, UnitsOfTime::Second))
    ///     .with_calibration(Calibration::new(MetricCalibrationType::Gain, MetricCalibrationState::Calibrated));
    /// assert!(Valid::new(metric)?.to_json().contains(r#""repeat":{"period":2,"periodUnit":"s"}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct DeviceMetric is "DeviceMetric" {
        /// The name of this metric: its handle.
        identifier "identifier" [1..1] Identifier;
        /// What is measured, calculated or set.
        r#type "type" [1..1] CodeableConcept;
        /// The unit.
        unit "unit" [0..1] CodeableConcept;
        /// The device at the top.
        source "source" [0..1] Reference<target::Device>;
        /// The component above, such as a channel.
        parent "parent" [0..1] Reference<target::DeviceComponent>;
        /// Whether it is on, off or on standby.
        operational_status "operationalStatus" [0..1] Primitive<MetricOperationalStatus>;
        /// The colour in which it is shown.
        color "color" [0..1] Primitive<MetricColor>;
        /// Whether it is a measurement, a setting or a calculation.
        category "category" [1..1] Primitive<MetricCategory>;
        /// How often it is measured.
        measurement_period "measurementPeriod" [0..1] Timing;
        /// Its calibrations, done or due.
        calibration "calibration" [0..*] Calibration;
    }
}

impl DeviceMetric {
    /// Creates a metric with a handle, a type and a category.
    #[must_use]
    pub fn new(identifier: Identifier, r#type: CodeableConcept, category: MetricCategory) -> Self {
        Self { identifier, r#type, category: category.into(), ..Self::blank() }
    }
}

with! { DeviceMetric {
    with_id: id [0..1] Primitive<Id>;
    with_extension: extension [0..*] Extension;
    with_unit: unit [0..1] CodeableConcept;
    with_source: source [0..1] Reference<target::Device>;
    with_parent: parent [0..1] Reference<target::DeviceComponent>;
    with_operational_status: operational_status [0..1] Primitive<MetricOperationalStatus>;
    with_color: color [0..1] Primitive<MetricColor>;
    with_measurement_period: measurement_period [0..1] Timing;
    with_calibration: calibration [0..*] Calibration;
} }

referred!(DeviceMetric: DeviceMetric Any);

backbone! {
    /// One calibration of a [`DeviceMetric`].
    #[derive(Default)]
    pub struct Calibration at "DeviceMetric.calibration" {
        /// The method.
        r#type "type" [0..1] Primitive<MetricCalibrationType>;
        /// Whether it is done or due.
        state "state" [0..1] Primitive<MetricCalibrationState>;
        /// When it was done last.
        time "time" [0..1] Primitive<Instant>;
    }
}

impl Calibration {
    /// Creates a calibration of a method, done or due.
    #[must_use]
    pub fn new(r#type: MetricCalibrationType, state: MetricCalibrationState) -> Self {
        Self { r#type: Some(r#type.into()), state: Some(state.into()), ..Self::default() }
    }
}

with! { Calibration {
    with_time: time [0..1] Primitive<Instant>;
} }
