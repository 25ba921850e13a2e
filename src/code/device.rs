//! Codes of Device and DeviceComponent.

codes! {
    /// Whether a device is available: `Device.status`.
    DeviceStatus = "http://hl7.org/fhir/ValueSet/device-status" {
        /// The device can be used.
        Active = "active",
        /// The device is no longer in use.
        Inactive = "inactive",
        /// The record was made by mistake and is void.
        EnteredInError = "entered-in-error",
        /// Whether the device can be used is not known.
        Unknown = "unknown",
    }

    /// How a device identifier came into the record: `Device.udi.entryType`.
    UdiEntryType = "http://hl7.org/fhir/ValueSet/udi-entry-type" {
        /// Scanned from a bar code, of one or two dimensions.
        Barcode = "barcode",
        /// Read from a radio tag.
        Rfid = "rfid",
        /// Typed in from the label.
        Manual = "manual",
        /// Taken from the card that came with an implant.
        Card = "card",
        /// Reported by the patient or someone close to them.
        SelfReported = "self-reported",
        /// The way is not known.
        Unknown = "unknown",
    }

    /// By what effect a component measures: `DeviceComponent.measurementPrinciple`.
    MeasurementPrinciple = "http://hl7.org/fhir/ValueSet/measurement-principle" {
        /// An effect that is not in this list.
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
