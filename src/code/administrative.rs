//! Codes of the datatypes that name, locate and count.

codes! {
    /// What an identifier is for: `Identifier.use`.
    IdentifierUse = "http://hl7.org/fhir/ValueSet/identifier-use" {
        /// The one to use and to show by default.
        Usual = "usual",
        /// The one that an authority vouches for most.
        Official = "official",
        /// Given for a time only.
        Temp = "temp",
        /// Given where it has a meaning, but not for telling things apart elsewhere.
        Secondary = "secondary",
    }

    /// By what means a contact is made: `ContactPoint.system`.
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
        /// A means that the other codes do not name.
        Other = "other",
    }

    /// In which role a contact is reached: `ContactPoint.use`.
    ContactPointUse = "http://hl7.org/fhir/ValueSet/contact-point-use" {
        /// At home.
        Home = "home",
        /// At work, and the first choice for business.
        Work = "work",
        /// For a time only.
        Temp = "temp",
        /// No longer, or never rightly, in use.
        Old = "old",
        /// Carried by the person.
        Mobile = "mobile",
    }

    /// How a narrative relates to the data beside it: `Narrative.status`.
    NarrativeStatus = "http://hl7.org/fhir/ValueSet/narrative-status" {
        /// Made from the core elements alone.
        Generated = "generated",
        /// Made from the core elements and the extensions.
        Extensions = "extensions",
        /// Says something that the data do not say.
        Additional = "additional",
        /// Says nothing of use.
        Empty = "empty",
    }

    /// How a stated value bounds the actual one: `Quantity.comparator`.
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

    /// What a name of a person is for: `HumanName.use`.
    NameUse = "http://hl7.org/fhir/ValueSet/name-use" {
        /// The one by which the person goes.
        Usual = "usual",
        /// The one that the authorities have registered.
        Official = "official",
        /// Given for a time only.
        Temp = "temp",
        /// An informal one.
        Nickname = "nickname",
        /// One that hides who the person is.
        Anonymous = "anonymous",
        /// No longer in use, or never right.
        Old = "old",
        /// The one from before a marriage.
        Maiden = "maiden",
    }

    /// What an address is for: `Address.use`.
    AddressUse = "http://hl7.org/fhir/ValueSet/address-use" {
        /// A home.
        Home = "home",
        /// A place of work, and the first choice for business.
        Work = "work",
        /// For a time only.
        Temp = "temp",
        /// No longer in use, or never right.
        Old = "old",
    }

    /// Whether an address takes letters or visitors: `Address.type`.
    AddressType = "http://hl7.org/fhir/ValueSet/address-type" {
        /// For post.
        Postal = "postal",
        /// A place that can be visited.
        Physical = "physical",
        /// For both.
        Both = "both",
    }
}
