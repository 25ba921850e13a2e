//! A device: the administrative record of one piece of equipment.

use crate::code::{DeviceStatus, UdiEntryType};
use crate::datatype::{Annotation, CodeableConcept, ContactPoint, Extension, Identifier, Primitive, Reference, target};
use crate::primitive::{Base64, DateTime, Id, Text, Uri};

resource! {
    /// The administrative record of one device: which it is, whose it is, where it is.
    ///
    /// Its physical parts are [`DeviceComponent`](crate::DeviceComponent)s, which point at it by `source`.
    ///
    /// ```
    /// use fhir_devices::{Device, code::DeviceStatus};
    ///
    /// let device = Device::from_json(br#"{"resourceType":"Device","id":"d1","status":"active"}"#)?;
    /// assert_eq!(device.status, Some(DeviceStatus::Active.into()));
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    ///
    /// One is built by the elements that it has, and referred to by its id:
    ///
    /// ```
    /// use fhir_devices::{Device, code::DeviceStatus, datatype::{Identifier, Reference, target}, primitive::{Id, Text}};
    ///
    /// let device = Device::default()
    ///     .with_id(Id::new("pump-7")?)
    ///     .with_identifier(Identifier::new("https://acme.example/serial", "SN-0001")?)
    ///     .with_status(DeviceStatus::Active)
    ///     .with_manufacturer(Text::new("Acme")?)
    ///     .with_model(Text::new("P9")?);
    /// let reference: Reference<target::Device> = Reference::from(&device);
    /// assert_eq!(reference.literal().unwrap().to_string(), "Device/pump-7");
    /// # Ok::<(), fhir_devices::element::Malformed>(())
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
        /// The provider.
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
        /// The contact for support.
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

with! { Device {
    with_id: id [0..1] Primitive<Id>;
    with_extension: extension [0..*] Extension;
    with_identifier: identifier [0..*] Identifier;
    with_udi: udi [0..1] Udi;
    with_status: status [0..1] Primitive<DeviceStatus>;
    with_type: r#type [0..1] CodeableConcept;
    with_lot_number: lot_number [0..1] Primitive<Text>;
    with_manufacturer: manufacturer [0..1] Primitive<Text>;
    with_manufacture_date: manufacture_date [0..1] Primitive<DateTime>;
    with_expiration_date: expiration_date [0..1] Primitive<DateTime>;
    with_model: model [0..1] Primitive<Text>;
    with_version: version [0..1] Primitive<Text>;
    with_patient: patient [0..1] Reference<target::Patient>;
    with_owner: owner [0..1] Reference<target::Organization>;
    with_contact: contact [0..*] ContactPoint;
    with_location: location [0..1] Reference<target::Location>;
    with_url: url [0..1] Primitive<Uri>;
    with_note: note [0..*] Annotation;
    with_safety: safety [0..*] CodeableConcept;
} }

referred!(Device: Device Any Signer);

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
