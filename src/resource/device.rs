//! A device: the administrative record of one piece of equipment.

use crate::code::{DeviceStatus, UdiEntryType};
use crate::datatype::{Annotation, CodeableConcept, ContactPoint, Identifier, Primitive, Reference, target};
use crate::primitive::{Base64, DateTime, Text, Uri};

resource! {
    /// The administrative record of one device: which it is, whose it is, where it is.
    ///
    /// Its physical parts are [`DeviceComponent`](crate::DeviceComponent)s, which point at it by `source`.
    ///
    /// ```
    /// use fhir_devices::{Device, code::DeviceStatus};
    ///
    /// let device = Device::from_json(br#"{"resourceType":"Device","id":"d1","status":"active"}"#)?;
    /// assert_eq!(device.status.unwrap().value, Some(DeviceStatus::Active));
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    #[derive(Default)]
    pub struct Device is "Device" {
        /// Names of this very device: serial number, asset tag.
        identifier "identifier" [0..*] Identifier;
        /// The unique device identifier, as its barcode or chip carries it.
        udi "udi" [0..1] Udi;
        /// Whether the record is in use.
        status "status" [0..1] Primitive<DeviceStatus>;
        /// What kind of device it is.
        r#type "type" [0..1] CodeableConcept;
        /// The lot in which it was made.
        lot_number "lotNumber" [0..1] Primitive<Text>;
        /// Who made it.
        manufacturer "manufacturer" [0..1] Primitive<Text>;
        /// When it was made.
        manufacture_date "manufactureDate" [0..1] Primitive<DateTime>;
        /// When it expires.
        expiration_date "expirationDate" [0..1] Primitive<DateTime>;
        /// The model, as its manufacturer names it.
        model "model" [0..1] Primitive<Text>;
        /// The version of the device, such as that of its software.
        version "version" [0..1] Primitive<Text>;
        /// The patient to whom it is affixed.
        patient "patient" [0..1] Reference<target::Patient>;
        /// The organization that answers for it.
        owner "owner" [0..1] Reference<target::Organization>;
        /// Whom to ask for support.
        contact "contact" [0..*] ContactPoint;
        /// Where it is.
        location "location" [0..1] Reference<target::Location>;
        /// Its network address.
        url "url" [0..1] Primitive<Uri>;
        /// Notes.
        note "note" [0..*] Annotation;
        /// What to mind for safety.
        safety "safety" [0..*] CodeableConcept;
    }
}

backbone! {
    /// The unique device identifier (UDI) of a [`Device`], and how it was read.
    #[derive(Default)]
    pub struct Udi at "Device.udi" {
        /// The fixed part, which names the version or model.
        device_identifier "deviceIdentifier" [0..1] Primitive<Text>;
        /// The name of the device on its label.
        name "name" [0..1] Primitive<Text>;
        /// The authority whose identifier it is.
        jurisdiction "jurisdiction" [0..1] Primitive<Uri>;
        /// The whole carrier as people read it.
        carrier_hrf "carrierHRF" [0..1] Primitive<Text>;
        /// The whole carrier as a machine reads it.
        carrier_aidc "carrierAIDC" [0..1] Primitive<Base64>;
        /// The agency that issued it.
        issuer "issuer" [0..1] Primitive<Uri>;
        /// How the identifier was entered.
        entry_type "entryType" [0..1] Primitive<UdiEntryType>;
    }
}
