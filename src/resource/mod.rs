//! The resources: [`Device`], [`DeviceComponent`], [`DeviceMetric`], [`Bundle`], [`OperationOutcome`], and any other
//! kept as text.

use crate::element::RuleDef;

/// A contained resource has no text.
pub const DOM_1: RuleDef = RuleDef::new("dom-1", "a contained resource has no narrative");
/// A contained resource contains nothing.
pub const DOM_2: RuleDef = RuleDef::new("dom-2", "a contained resource contains no resources");
/// A contained resource is referred to.
pub const DOM_3: RuleDef = RuleDef::new("dom-3", "a contained resource is referred to from elsewhere in the resource");
/// A contained resource has no version.
pub const DOM_4: RuleDef = RuleDef::new("dom-4", "a contained resource has neither a version nor a time of update");

/// Declares a resource: [`element!`] with the rows that every domain resource begins with.
macro_rules! resource {
    (
        $(#[$meta:meta])*
        pub struct $Name:ident is $type:literal { $($rows:tt)* }
        $( rules { $($rules:tt)* } )?
        $( also $also:expr; )?
    ) => {
        element! {
            $(#[$meta])*
            pub struct $Name is $type at $type resource $type {
                /// The logical id: unique among the resources of this type on a server.
                id "id" [0..1] $crate::datatype::Primitive<$crate::primitive::Id>;
                /// The version, and what a server and its users say about the resource.
                meta "meta" [0..1] $crate::datatype::Meta;
                /// Rules under which the resource was made, and which must be understood to use it.
                implicit_rules "implicitRules" [0..1] $crate::datatype::Primitive<$crate::primitive::Uri>;
                /// The language of the content.
                language "language" [0..1] $crate::datatype::Primitive<$crate::primitive::Code>;
                /// The resource in words, for people.
                text "text" [0..1] $crate::datatype::Narrative;
                /// Resources that have no existence of their own.
                contained "contained" [0..*] $crate::resource::Resource;
                /// Additional content.
                extension "extension" [0..*] $crate::datatype::Extension;
                /// Additional content that changes the meaning of the resource, and must not be ignored.
                modifier_extension "modifierExtension" [0..*] $crate::datatype::Extension;
                $($rows)*
            }
            $( rules { $($rules)* } )?
            walked $crate::resource::DOM_2, $crate::resource::DOM_1, $crate::resource::DOM_4, $crate::resource::DOM_3;
            facts |resource| $crate::element::Facts::Resource {
                resource_type: $type,
                narrated: resource.text.is_some(),
                containing: !resource.contained.is_empty(),
                versioned: $crate::resource::is_versioned(resource.meta.as_ref()),
                language: resource.language.as_ref().and_then(|language| language.value.as_ref()).map(|code| code.as_str()),
            };
            $( also $also; )?
        }

        document!($Name, $type);
    };
}

/// Declares methods that set an optional element, or add to one that repeats, and give the value back.
macro_rules! with {
    ($Name:ident { $($method:ident: $field:ident $card:tt $ty:ty;)* }) => {
        impl $Name {
            $( with!(@one $method $field $card $ty); )*
        }
    };
    (@one $method:ident $field:ident [0..*] $ty:ty) => {
        #[doc = concat!("The same with one more value of `", stringify!($field), "`.")]
        #[must_use]
        pub fn $method(mut self, value: impl Into<$ty>) -> Self {
            self.$field.push(value.into());
            self
        }
    };
    (@one $method:ident $field:ident [0..1] $ty:ty) => {
        #[doc = concat!("The same with this `", stringify!($field), "`.")]
        #[must_use]
        pub fn $method(mut self, value: impl Into<$ty>) -> Self {
            self.$field = Some(value.into());
            self
        }
    };
}

/// References to a resource by its logical id. One to a resource without an id has no address, and is not valid.
macro_rules! referred {
    ($Name:ident: $($target:ident)*) => { $(
        impl From<&$Name> for $crate::datatype::Reference<$crate::datatype::target::$target> {
            fn from(resource: &$Name) -> Self {
                let id = resource.id.as_ref().and_then(|id| id.get());
                let literal = id.and_then(|id| Self::to(&format!("{}/{id}", stringify!($Name))).ok());
                literal.unwrap_or_default()
            }
        }
    )* };
}

fn is_versioned(meta: Option<&crate::datatype::Meta>) -> bool {
    meta.is_some_and(|meta| meta.version_id.is_some() || meta.last_updated.is_some())
}

#[macro_use]
mod document;
mod any;
pub mod bundle;
pub mod device;
pub mod device_component;
pub mod device_metric;
mod hint;
pub mod operation_outcome;
pub mod subscription;

pub(crate) use any::{MAX_INNER, is_domain, member};
pub use any::{OtherResource, Resource};
pub use bundle::Bundle;
pub use device::Device;
pub use device_component::DeviceComponent;
pub use device_metric::DeviceMetric;
pub use document::Reading;
pub(crate) use document::{BYTE_ORDER_MARK, Document, read_document, read_within};
#[cfg(feature = "xml")]
pub(crate) use document::{read_xml_document, read_xml_within, write_xml, xml_in_json};
pub use operation_outcome::OperationOutcome;
pub use subscription::Subscription;
