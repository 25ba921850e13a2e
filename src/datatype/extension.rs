//! Extensions, and the types that their value may have.

use super::{
    Address, Age, Annotation, Attachment, CodeableConcept, Coding, ContactPoint, Count, Distance, Duration, HumanName,
    Identifier, Meta, Money, Period, Primitive, Quantity, Range, Ratio, Reference, SampledData, Signature, Timing,
    target,
};
use crate::element::Facts;
use crate::primitive::{
    Base64, Code, Date, DateTime, Decimal, Id, Instant, Integer, Markdown, Oid, PositiveInt, Text, Time, UnsignedInt,
    Uri,
};

element! {
    /// Content that the definition of a type has no place for; its url says what it means.
    ///
    /// ```
    /// use fhir_devices::{datatype::{Extension, Primitive}, primitive::{Decimal, Uri}};
    ///
    /// let hours = Decimal::new("1200.50")?;
    /// let url = Uri::new("https://example.org/fhir/StructureDefinition/hours-in-use")?;
    /// let extension = Extension::new(url, Primitive::from(hours));
    /// assert_eq!(extension.url, "https://example.org/fhir/StructureDefinition/hours-in-use");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Extension is "Extension" at "Extension" {
        /// The id of the element, unique within the resource.
        id "id" [0..1] Text;
        /// The parts of a complex extension.
        extension "extension" [0..*] Extension;
        /// What the extension means: the address of its definition.
        url "url" [1..1] Uri;
        /// The value of a simple extension.
        value "value[x]" [x 0..1] ExtensionValue;
    }
    rules {
        "ext-1", "an extension has either extensions or a value, and not both",
            |extension| extension.extension.is_empty() != extension.value.is_none();
    }
    facts |extension| Facts::Extension { url: Some(extension.url.as_str()).filter(|url| !url.is_empty()) };
}

impl Extension {
    /// Creates a simple extension.
    #[must_use]
    pub fn new(url: Uri, value: impl Into<ExtensionValue>) -> Self {
        Self { url, value: Some(value.into()), ..crate::element::Value::blank() }
    }

    /// Returns an extension that consists of extensions.
    #[must_use]
    pub fn complex(url: Uri, parts: Vec<Extension>) -> Self {
        Self { url, extension: parts, ..crate::element::Value::blank() }
    }

    /// Returns the part of a complex extension that has this url.
    #[must_use]
    pub fn part(&self, url: &str) -> Option<&Extension> {
        self.extension.iter().find(|part| part.url == url)
    }
}

choice! {
    /// The value of an [`Extension`]: any of 38 types.
    pub enum ExtensionValue "value" {
        /// `valueBase64Binary`
        Base64Binary Primitive<Base64>;
        /// `valueBoolean`
        Boolean Primitive<bool>;
        /// `valueCode`
        Code Primitive<Code>;
        /// `valueDate`
        Date Primitive<Date>;
        /// `valueDateTime`
        DateTime Primitive<DateTime>;
        /// `valueDecimal`
        Decimal Primitive<Decimal>;
        /// `valueId`
        Id Primitive<Id>;
        /// `valueInstant`
        Instant Primitive<Instant>;
        /// `valueInteger`
        Integer Primitive<Integer>;
        /// `valueMarkdown`
        Markdown Primitive<Markdown>;
        /// `valueOid`
        Oid Primitive<Oid>;
        /// `valuePositiveInt`
        PositiveInt Primitive<PositiveInt>;
        /// `valueString`
        String Primitive<Text>;
        /// `valueTime`
        Time Primitive<Time>;
        /// `valueUnsignedInt`
        UnsignedInt Primitive<UnsignedInt>;
        /// `valueUri`
        Uri Primitive<Uri>;
        /// `valueAddress`
        Address Box<Address>;
        /// `valueAge`
        Age Box<Age>;
        /// `valueAnnotation`
        Annotation Box<Annotation>;
        /// `valueAttachment`
        Attachment Box<Attachment>;
        /// `valueCodeableConcept`
        CodeableConcept Box<CodeableConcept>;
        /// `valueCoding`
        Coding Box<Coding>;
        /// `valueContactPoint`
        ContactPoint Box<ContactPoint>;
        /// `valueCount`
        Count Box<Count>;
        /// `valueDistance`
        Distance Box<Distance>;
        /// `valueDuration`
        Duration Box<Duration>;
        /// `valueHumanName`
        HumanName Box<HumanName>;
        /// `valueIdentifier`
        Identifier Box<Identifier>;
        /// `valueMoney`
        Money Box<Money>;
        /// `valuePeriod`
        Period Box<Period>;
        /// `valueQuantity`
        Quantity Box<Quantity>;
        /// `valueRange`
        Range Box<Range>;
        /// `valueRatio`
        Ratio Box<Ratio>;
        /// `valueReference`
        Reference Box<Reference<target::Any>>;
        /// `valueSampledData`
        SampledData Box<SampledData>;
        /// `valueSignature`
        Signature Box<Signature>;
        /// `valueTiming`
        Timing Box<Timing>;
        /// `valueMeta`
        Meta Box<Meta>;
    }
}
