//! Codes of datatypes such as Identifier, ContactPoint, HumanName, Address and Quantity.

codes! {
    /// Purpose of an identifier: `Identifier.use`.
    IdentifierUse = "http://hl7.org/fhir/ValueSet/identifier-use" {
        /// The identifier to use and show by default.
        Usual = "usual",
        /// The most trusted identifier.
        Official = "official",
        /// A temporary identifier.
        Temp = "temp",
        /// Valid in a relative context only; another context may assign it to another object.
        Secondary = "secondary",
    }

    /// Communication system of a contact point: `ContactPoint.system`.
    ContactPointSystem = "http://hl7.org/fhir/ValueSet/contact-point-system" {
        /// A telephone, for speech.
        Phone = "phone",
        /// A fax machine.
        Fax = "fax",
        /// Electronic mail.
        Email = "email",
        /// A pager.
        Pager = "pager",
        /// An address on the web, or a messenger reached by one.
        Url = "url",
        /// Short messages to a telephone.
        Sms = "sms",
        /// Any other means of communication.
        Other = "other",
    }

    /// Purpose of a contact point: `ContactPoint.use`.
    ContactPointUse = "http://hl7.org/fhir/ValueSet/contact-point-use" {
        /// At home.
        Home = "home",
        /// At work, and the first choice for business.
        Work = "work",
        /// Temporary.
        Temp = "temp",
        /// No longer in use, or never correct.
        Old = "old",
        /// Carried by the person.
        Mobile = "mobile",
    }

    /// Relation of a narrative to the structured data: `Narrative.status`.
    NarrativeStatus = "http://hl7.org/fhir/ValueSet/narrative-status" {
        /// Generated from the core elements only.
        Generated = "generated",
        /// Generated from the core elements and the extensions.
        Extensions = "extensions",
        /// Contains information that the structured data lack.
        Additional = "additional",
        /// Contains no useful information.
        Empty = "empty",
    }

    /// Relation of the actual value to the stated one: `Quantity.comparator`.
    QuantityComparator = "http://hl7.org/fhir/ValueSet/quantity-comparator" {
        /// The actual value is less.
        LessThan = "<",
        /// The actual value is less or the same.
        LessOrEqual = "<=",
        /// The actual value is greater or the same.
        GreaterOrEqual = ">=",
        /// The actual value is greater.
        GreaterThan = ">",
    }

    /// Purpose of a person's name: `HumanName.use`.
    NameUse = "http://hl7.org/fhir/ValueSet/name-use" {
        /// The name that the person uses.
        Usual = "usual",
        /// The officially registered name.
        Official = "official",
        /// A temporary name.
        Temp = "temp",
        /// An informal name.
        Nickname = "nickname",
        /// An anonymous name or pseudonym.
        Anonymous = "anonymous",
        /// No longer in use, or never correct.
        Old = "old",
        /// A name from before a marriage.
        Maiden = "maiden",
    }

    /// Purpose of an address: `Address.use`.
    AddressUse = "http://hl7.org/fhir/ValueSet/address-use" {
        /// A home.
        Home = "home",
        /// A place of work, and the first choice for business.
        Work = "work",
        /// Temporary.
        Temp = "temp",
        /// No longer in use, or never correct.
        Old = "old",
    }

    /// Kind of an address, for mail or visits: `Address.type`.
    AddressType = "http://hl7.org/fhir/ValueSet/address-type" {
        /// For post.
        Postal = "postal",
        /// A place that can be visited.
        Physical = "physical",
        /// For both.
        Both = "both",
    }
}
