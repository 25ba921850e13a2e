//! The types that references may point at, as markers for [`Reference`](super::Reference).

use std::fmt::Debug;

/// One resource type or several that a reference may point at.
pub trait Target: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The names of the resource types; empty for any.
    const TYPES: &'static [&'static str];
}

/// Any resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Any {}

impl Target for Any {
    const TYPES: &'static [&'static str] = &[];
}

macro_rules! targets {
    ($($Name:ident)*) => { $(
        #[doc = concat!("A reference to a ", stringify!($Name), ".")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name {}

        impl Target for $Name {
            const TYPES: &'static [&'static str] = &[stringify!($Name)];
        }
    )* };
}

targets!(Device DeviceComponent DeviceMetric Location Organization Patient Practitioner RelatedPerson);

/// The types of author of an [`Annotation`](super::Annotation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {}

impl Target for Author {
    const TYPES: &'static [&'static str] = &["Practitioner", "Patient", "RelatedPerson"];
}

/// The types of signer of a [`Signature`](super::Signature).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {}

impl Target for Signer {
    const TYPES: &'static [&'static str] = &["Practitioner", "RelatedPerson", "Patient", "Device", "Organization"];
}
