//! The datatypes of FHIR STU3 that device resources reach, to the leaves.
//!
//! Fields are public and named as in FHIR; a field that may be absent is an `Option`, one that repeats a `Vec`, and
//! every primitive is a [`Primitive`], so that its id and extensions are never lost.

/// Declares a datatype: [`element!`] with the rows that every datatype begins with.
macro_rules! datatype {
    (
        $(#[$meta:meta])*
        pub struct $Name:ident $(<$T:ident: $bound:ident>)? is $type:literal at $path:literal { $($rows:tt)* }
        $($rest:tt)*
    ) => {
        element! {
            $(#[$meta])*
            pub struct $Name $(<$T: $bound>)? is $type at $path {
                /// The id of the element, unique within the resource.
                id "id" [0..1] $crate::primitive::Text;
                /// Additional content.
                extension "extension" [0..*] $crate::datatype::Extension;
                $($rows)*
            }
            $($rest)*
        }
    };
}

/// Declares a part of a resource: [`element!`] with the rows that every backbone element begins with.
macro_rules! backbone {
    (
        $(#[$meta:meta])*
        pub struct $Name:ident at $path:literal { $($rows:tt)* }
        $($rest:tt)*
    ) => {
        element! {
            $(#[$meta])*
            pub struct $Name is "BackboneElement" at $path {
                /// The id of the element, unique within the resource.
                id "id" [0..1] $crate::primitive::Text;
                /// Additional content.
                extension "extension" [0..*] $crate::datatype::Extension;
                /// Additional content that changes the meaning of the element, and must not be ignored.
                modifier_extension "modifierExtension" [0..*] $crate::datatype::Extension;
                $($rows)*
            }
            $($rest)*
        }
    };
}

mod attachment;
mod code_checks;
mod contact;
mod extension;
mod identification;
mod literal;
mod meta;
mod primitive;
mod quantity;
mod reference;
pub mod target;
mod timing;

pub use attachment::{Annotation, Attachment, AuthorChoice, OnBehalfOf, Signature, SignerChoice};
pub(crate) use code_checks::{BCP_47, check_language};
pub use contact::{Address, ContactPoint, HumanName};
pub use extension::{Extension, ExtensionValue};
pub use identification::{CodeableConcept, Coding, Identifier, Period};
pub use literal::Literal;
pub(crate) use literal::{plain_id, plain_relative};
pub use meta::{Meta, Narrative, TXT_1, TXT_2};
pub(crate) use primitive::shown;
pub use primitive::{Extras, Primitive};
pub use quantity::{Age, Count, Distance, Duration, Money, Quantity, Range, Ratio, SampledData, SimpleQuantity};
pub use reference::{REF_1, Reference, WrongTarget};
pub use target::Target;
pub use timing::{Bounds, Repeat, Timing};
