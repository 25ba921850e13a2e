//! Codes of Device and DeviceComponent.

codes! {
    /// Availability of a device: `Device.status`.
    DeviceStatus = "http://hl7.org/fhir/ValueSet/device-status" {
        /// The device can be used.
        Active = "active",
        /// The device is no longer in use.
        Inactive = "inactive",
        /// The record was entered in error.
        EnteredInError = "entered-in-error",
        /// Whether the device can be used is not known.
        Unknown = "unknown",
    }

    /// Source of a device identifier: `Device.udi.entryType`.
    UdiEntryType = "http://hl7.org/fhir/ValueSet/udi-entry-type" {
        /// Scanned from a one- or two-dimensional barcode.
        Barcode = "barcode",
        /// Read from an RFID tag.
        Rfid = "rfid",
        /// Typed in from the label.
        Manual = "manual",
        /// Read from the card of an implant.
        Card = "card",
        /// Reported by the patient or someone close to them.
        SelfReported = "self-reported",
        /// The source is not known.
        Unknown = "unknown",
    }

    /// Physical principle of a measurement: `DeviceComponent.measurementPrinciple`.
    MeasurementPrinciple = "http://hl7.org/fhir/ValueSet/measurement-principle" {
        /// A principle that is not in this list.
        Other = "other",
        /// A chemical reaction.
        Chemical = "chemical",
        /// Voltage or current.
        Electrical = "electrical",
        /// Electrical impedance.
        Impedance = "impedance",
        /// Radiation of nuclei.
        Nuclear = "nuclear",
        /// Light.
        Optical = "optical",
        /// Heat.
        Thermal = "thermal",
        /// A biological process.
        Biological = "biological",
        /// Force or motion.
        Mechanical = "mechanical",
        /// Sound.
        Acoustical = "acoustical",
        /// A person, who enters what they observed.
        Manual = "manual",
    }
}
