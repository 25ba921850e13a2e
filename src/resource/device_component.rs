//! A component of a device: a medical device system, a virtual medical device or a channel.

use crate::code::MeasurementPrinciple;
use crate::datatype::{CodeableConcept, Identifier, Primitive, Reference, target};
use crate::element::Value;
use crate::primitive::{Instant, Text};

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
}

impl DeviceComponent {
    /// A component with a handle and a type.
    #[must_use]
    pub fn new(identifier: Identifier, r#type: CodeableConcept) -> Self {
        Self { identifier, r#type, ..Self::blank() }
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
