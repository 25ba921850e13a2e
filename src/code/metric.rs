//! Codes of DeviceMetric.

codes! {
    /// Operational status of a metric: `DeviceMetric.operationalStatus`.
    MetricOperationalStatus = "http://hl7.org/fhir/ValueSet/metric-operational-status" {
        /// The metric is operating and generates values.
        On = "on",
        /// The metric is not operating.
        Off = "off",
        /// The metric is operating, but generates no values.
        Standby = "standby",
        /// The record was entered in error.
        EnteredInError = "entered-in-error",
    }

    /// Display colour of a metric: `DeviceMetric.color`.
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

    /// Origin of the values of a metric: `DeviceMetric.category`.
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

    /// Type of a calibration: `DeviceMetric.calibration.type`.
    MetricCalibrationType = "http://hl7.org/fhir/ValueSet/metric-calibration-type" {
        /// Not stated.
        Unspecified = "unspecified",
        /// The zero point.
        Offset = "offset",
        /// The slope.
        Gain = "gain",
        /// Offset and gain, by two reference values.
        TwoPoint = "two-point",
    }

    /// State of a calibration: `DeviceMetric.calibration.state`.
    MetricCalibrationState = "http://hl7.org/fhir/ValueSet/metric-calibration-state" {
        /// Not calibrated.
        NotCalibrated = "not-calibrated",
        /// Calibration is required again.
        CalibrationRequired = "calibration-required",
        /// Calibrated, and still valid.
        Calibrated = "calibrated",
        /// Not stated.
        Unspecified = "unspecified",
    }
}
