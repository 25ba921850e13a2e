//! A component of a device: a medical device system, a virtual medical device or a channel.

use crate::code::MeasurementPrinciple;
use crate::datatype::{BCP_47, CodeableConcept, Extension, Identifier, Primitive, Reference, target};
use crate::element::{Malformed, Value};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::nomenclature::is_mdc;
use crate::primitive::{Id, Instant, Text};
use std::fmt;

resource! {
    /// A component of a device, at one level of its containment tree: medical device system (MDS), virtual medical
    /// device (VMD) or channel.
    ///
    /// `source` points at the [`Device`](crate::Device), `parent` at the component above.
    ///
    /// ```
    /// use fhir_devices::{DeviceComponent, datatype::{CodeableConcept, Coding, Identifier, Reference}};
    ///
    /// let handle = Identifier::new("https://acme.example/handle", "3.1")?;
    /// let vmd = Coding::new("urn:iso:std:iso:11073:10101", "69686")?;
    /// let mut component = DeviceComponent::new(handle, CodeableConcept::from(vmd));
    /// component.source = Some(Reference::to("Device/d1")?);
    /// assert!(component.to_json().contains(r#""source":{"reference":"Device/d1"}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What it reports of its versions is read in one line, and set in one:
    ///
    /// ```
    /// # use fhir_devices::{DeviceComponent, resource::device_component::SpecType};
    /// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
    /// let mut component = DeviceComponent::from_json(json)?;
    /// component.set_production_spec(SpecType::SoftwareRevision, "1.12")?;
    /// assert_eq!(component.software_revision(), Some("1.12"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct DeviceComponent is "DeviceComponent" {
        /// The name that the software stack gave this component: its handle.
        identifier "identifier" [1..1] Identifier;
        /// What kind of component it is.
        r#type "type" [1..1] CodeableConcept;
        /// When the system changed last.
        last_system_change "lastSystemChange" [0..1] Primitive<Instant>;
        /// The device at the top.
        source "source" [0..1] Reference<target::Device>;
        /// The component above.
        parent "parent" [0..1] Reference<target::DeviceComponent>;
        /// How it is working: on, off, standby.
        operational_status "operationalStatus" [0..*] CodeableConcept;
        /// The group of parameters that it supports.
        parameter_group "parameterGroup" [0..1] CodeableConcept;
        /// The physical principle of its measurement.
        measurement_principle "measurementPrinciple" [0..1] Primitive<MeasurementPrinciple>;
        /// Its serial number, revisions and other specifications of production.
        production_specification "productionSpecification" [0..*] ProductionSpecification;
        /// The language of the texts that the device produces.
        language_code "languageCode" [0..1] CodeableConcept;
    }
    also check_language_code;
}

/// Reports a language that has codes, none of which is of BCP 47: its maximum value set has no others.
fn check_language_code(component: &DeviceComponent, at: &Path<'_>, report: &mut Report) {
    let Some(concept) = &component.language_code else { return };
    let is_coded = concept.coding.iter().any(|coding| coding.code.as_ref().is_some_and(|code| code.value.is_some()));
    if is_coded && concept.code_in(BCP_47).is_none() {
        let message =
            format!("no code of the language is of the system `{BCP_47}`, wanted a language tag such as `de-CH`");
        let issue =
            Issue::new("language", Severity::Warning, IssueType::CodeInvalid, at.child("languageCode"), message);
        report.push(issue.with_row("DeviceComponent.languageCode"));
    }
}

impl DeviceComponent {
    /// Creates a component with a handle and a type.
    #[must_use]
    pub fn new(identifier: Identifier, r#type: CodeableConcept) -> Self {
        Self { identifier, r#type, ..Self::blank() }
    }

    /// Returns the revision of the software that it reports.
    #[must_use]
    pub fn software_revision(&self) -> Option<&str> {
        self.production_spec(SpecType::SoftwareRevision)
    }

    /// Returns the revision of the firmware that it reports.
    #[must_use]
    pub fn firmware_revision(&self) -> Option<&str> {
        self.production_spec(SpecType::FirmwareRevision)
    }

    /// Returns the revision of the hardware that it reports.
    #[must_use]
    pub fn hardware_revision(&self) -> Option<&str> {
        self.production_spec(SpecType::HardwareRevision)
    }

    /// Returns the serial number that it reports.
    #[must_use]
    pub fn serial_number(&self) -> Option<&str> {
        self.production_spec(SpecType::SerialNumber)
    }

    /// Returns the specification of a type: that of the whole component, else of its first item.
    #[must_use]
    pub fn production_spec(&self, of: SpecType) -> Option<&str> {
        let found = self.production_specification.get(self.specification(of)?)?;
        found.production_spec.as_ref()?.get().map(Text::as_str)
    }

    /// Sets the specification of a type: where [`production_spec`](Self::production_spec) reads it, or as a new specification.
    ///
    /// # Errors
    /// [`Malformed`] when the text is empty.
    pub fn set_production_spec(&mut self, of: SpecType, text: &str) -> Result<(), Malformed> {
        let text = Primitive::from(Text::new(text)?);
        match self.specification(of).and_then(|at| self.production_specification.get_mut(at)) {
            Some(found) => found.production_spec = Some(text),
            None => self.production_specification.push(ProductionSpecification {
                spec_type: Some(CodeableConcept::code(SPECIFICATION_TYPES, of.as_str())?),
                production_spec: Some(text),
                ..ProductionSpecification::default()
            }),
        }
        Ok(())
    }

    /// Returns where the specification of a type is: that of the whole component, or the first of those of items.
    fn specification(&self, of: SpecType) -> Option<usize> {
        let all = || self.production_specification.iter().enumerate().filter(|(_, one)| one.is_about(of));
        all().find(|(_, one)| one.component_id.is_none()).or_else(|| all().next()).map(|(at, _)| at)
    }
}

with! { DeviceComponent {
    with_id: id [0..1] Primitive<Id>;
    with_extension: extension [0..*] Extension;
    with_last_system_change: last_system_change [0..1] Primitive<Instant>;
    with_source: source [0..1] Reference<target::Device>;
    with_parent: parent [0..1] Reference<target::DeviceComponent>;
    with_operational_status: operational_status [0..*] CodeableConcept;
    with_parameter_group: parameter_group [0..1] CodeableConcept;
    with_measurement_principle: measurement_principle [0..1] Primitive<MeasurementPrinciple>;
    with_production_specification: production_specification [0..*] ProductionSpecification;
    with_language_code: language_code [0..1] CodeableConcept;
} }

referred!(DeviceComponent: DeviceComponent Any);

/// The code system of the types of specification.
pub(crate) const SPECIFICATION_TYPES: &str = "http://hl7.org/fhir/specification-type";

/// What a specification of production is about: the codes of FHIR, and those of ISO/IEEE 11073-10101 that say the same.
///
/// ```
/// use fhir_devices::resource::device_component::SpecType;
/// assert_eq!(SpecType::SoftwareRevision.as_str(), "software-revision");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SpecType {
    /// `unspecified`
    Unspecified,
    /// `serial-number`
    SerialNumber,
    /// `part-number`
    PartNumber,
    /// `hardware-revision`
    HardwareRevision,
    /// `software-revision`
    SoftwareRevision,
    /// `firmware-revision`
    FirmwareRevision,
    /// `protocol-revision`
    ProtocolRevision,
    /// `gmdn`: the code of the Global Medical Device Nomenclature.
    Gmdn,
}

impl SpecType {
    /// Returns the code of FHIR.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.codes().0
    }

    /// Returns the code in FHIR, and in ISO/IEEE 11073-10101.
    pub(crate) const fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Unspecified => ("unspecified", "531971"),
            Self::SerialNumber => ("serial-number", "531972"),
            Self::PartNumber => ("part-number", "531973"),
            Self::HardwareRevision => ("hardware-revision", "531974"),
            Self::SoftwareRevision => ("software-revision", "531975"),
            Self::FirmwareRevision => ("firmware-revision", "531976"),
            Self::ProtocolRevision => ("protocol-revision", "531977"),
            Self::Gmdn => ("gmdn", "531978"),
        }
    }
}

impl fmt::Display for SpecType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

backbone! {
    /// One specification of the production of a component, such as its software revision.
    #[derive(Default)]
    pub struct ProductionSpecification at "DeviceComponent.productionSpecification" {
        /// What it specifies.
        spec_type "specType" [0..1] CodeableConcept;
        /// The item inside the component that it is about.
        component_id "componentId" [0..1] Identifier;
        /// The specification itself.
        production_spec "productionSpec" [0..1] Primitive<Text>;
    }
}

impl ProductionSpecification {
    /// Returns whether it is about this. A type without a code system is taken by its code, as the examples of FHIR
    /// have it.
    #[must_use]
    pub fn is_about(&self, of: SpecType) -> bool {
        let (fhir, mdc) = of.codes();
        self.spec_type.iter().flat_map(|concept| &concept.coding).any(|coding| {
            let code = coding.code.as_ref().and_then(Primitive::get).map(|code| code.as_str());
            match coding.system.as_ref().and_then(Primitive::get).map(|system| system.as_str()) {
                None | Some(SPECIFICATION_TYPES) => code == Some(fhir),
                Some(system) => is_mdc(system) && code == Some(mdc),
            }
        })
    }
}
