//! How to reach people and organizations, and what they are called.

use super::{Period, Primitive};
use crate::code::{AddressType, AddressUse, ContactPointSystem, ContactPointUse, NameUse};
use crate::primitive::{PositiveInt, Text};

datatype! {
    /// Contact details: a telephone number, an email address, a web page.
    #[derive(Default)]
    pub struct ContactPoint is "ContactPoint" at "ContactPoint" {
        /// The means of communication.
        system "system" [0..1] Primitive<ContactPointSystem>;
        /// The number or address.
        value "value" [0..1] Primitive<Text>;
        /// Its intent.
        r#use "use" [0..1] Primitive<ContactPointUse>;
        /// In which order to try; 1 comes first.
        rank "rank" [0..1] Primitive<PositiveInt>;
        /// When it is or was in use.
        period "period" [0..1] Period;
    }
    rules {
        "cpt-2" at "system", "a contact point with a value says by which system it is reached",
            |contact| contact.value.is_none() || contact.system.is_some();
    }
}

datatype! {
    /// The name of a person.
    #[derive(Default)]
    pub struct HumanName is "HumanName" at "HumanName" {
        /// What the name is for.
        r#use "use" [0..1] Primitive<NameUse>;
        /// The whole name as it is to be shown.
        text "text" [0..1] Primitive<Text>;
        /// The family name.
        family "family" [0..1] Primitive<Text>;
        /// The given names, in order.
        given "given" [0..*] Primitive<Text>;
        /// Parts before the name.
        prefix "prefix" [0..*] Primitive<Text>;
        /// Parts behind the name.
        suffix "suffix" [0..*] Primitive<Text>;
        /// When the name is or was in use.
        period "period" [0..1] Period;
    }
}

datatype! {
    /// A postal address or the address of a place.
    #[derive(Default)]
    pub struct Address is "Address" at "Address" {
        /// What the address is for.
        r#use "use" [0..1] Primitive<AddressUse>;
        /// Whether one can go there, write there, or both.
        r#type "type" [0..1] Primitive<AddressType>;
        /// The whole address as it is to be shown.
        text "text" [0..1] Primitive<Text>;
        /// Street, number, post office box.
        line "line" [0..*] Primitive<Text>;
        /// The city, town or village.
        city "city" [0..1] Primitive<Text>;
        /// The district or county.
        district "district" [0..1] Primitive<Text>;
        /// The state or other part of a country.
        state "state" [0..1] Primitive<Text>;
        /// The postal code.
        postal_code "postalCode" [0..1] Primitive<Text>;
        /// The country.
        country "country" [0..1] Primitive<Text>;
        /// When the address is or was in use.
        period "period" [0..1] Period;
    }
}
