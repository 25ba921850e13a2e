//! Codes of DeviceMetric.

codes! {
    /// Whether a metric is being produced: `DeviceMetric.operationalStatus`.
    MetricOperationalStatus = "http://hl7.org/fhir/ValueSet/metric-operational-status" {
        /// The metric works and gives values.
        On = "on",
        /// The metric does not work.
        Off = "off",
        /// The metric is ready and gives no values.
        Standby = "standby",
        /// The record was made by mistake and is void.
        EnteredInError = "entered-in-error",
    }

    /// The colour in which a metric is shown: `DeviceMetric.color`.
    MetricColor = "http://hl7.org/fhir/ValueSet/metric-color" {
        /// Black.
        Black = "black",
        /// Red.
        Red = "red",
        /// Green.
        Green = "green",
        /// Yellow.
        Yellow = "yellow",
        /// Blue.
        Blue = "blue",
        /// Magenta.
        Magenta = "magenta",
        /// Cyan.
        Cyan = "cyan",
        /// White.
        White = "white",
    }

    /// Where the values of a metric come from: `DeviceMetric.category`.
    MetricCategory = "http://hl7.org/fhir/ValueSet/metric-category" {
        /// Measured on the patient or the surroundings.
        Measurement = "measurement",
        /// Set on the device.
        Setting = "setting",
        /// Computed from other values.
        Calculation = "calculation",
        /// Not stated.
        Unspecified = "unspecified",
    }

    /// What a calibration corrects: `DeviceMetric.calibration.type`.
    MetricCalibrationType = "http://hl7.org/fhir/ValueSet/metric-calibration-type" {
        /// Not stated.
        Unspecified = "unspecified",
        /// The zero point.
        Offset = "offset",
        /// The slope.
        Gain = "gain",
        /// Zero point and slope, by two reference values.
        TwoPoint = "two-point",
    }

    /// How a calibration stands: `DeviceMetric.calibration.state`.
    MetricCalibrationState = "http://hl7.org/fhir/ValueSet/metric-calibration-state" {
        /// Not calibrated.
        NotCalibrated = "not-calibrated",
        /// Calibration is due again.
        CalibrationRequired = "calibration-required",
        /// Calibrated, and still valid.
        Calibrated = "calibrated",
        /// Not stated.
        Unspecified = "unspecified",
    }
}
