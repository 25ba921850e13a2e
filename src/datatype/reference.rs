//! A reference from one resource to another.

use super::{Identifier, Literal, Primitive, Target, plain_id};
use crate::element::{Facts, ReadMode, RuleDef};
use crate::issue::IssueType;
use crate::primitive::Text;

/// A local reference has a contained resource.
pub const REF_1: RuleDef = RuleDef::new("ref-1", "a reference `#id` needs a contained resource with that id");

datatype! {
    /// A pointer to another resource: by its address, by its identifier, or in words.
    ///
    /// `T` is the type of the resource that may be pointed at, or a tuple of types ([`target`](super::target)). A
    /// reader refuses a literal that names another type.
    ///
    /// ```
    /// use fhir_devices::datatype::{Literal, Reference, target};
    ///
    /// let reference = Reference::<target::Device>::to("Device/d1")?;
    /// assert_eq!(reference.literal().and_then(|literal| literal.id()), Some("d1"));
    /// assert!(Reference::<target::Device>::to("Patient/p1").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Reference<T: Target> is "Reference" at "Reference" {
        /// The address: relative, absolute, `#id` of a contained resource, or a urn in a Bundle.
        reference "reference" [0..1] Primitive<Text>;
        /// An identifier of the target, where its address is not known.
        identifier "identifier" [0..1] Box<Identifier>;
        /// The target in words.
        display "display" [0..1] Primitive<Text>;
    }
    walked REF_1;
    facts |reference| Facts::Reference {
        literal: reference.reference.as_ref().and_then(|text| text.value.as_ref()).map(Text::as_str),
        targets: T::TYPES,
    };
    read |reference, r, at| {
        let text = reference.reference.as_ref().and_then(|text| text.value.as_ref()).map_or("", Text::as_str);
        if T::TYPES.is_empty() || T::TYPES.iter().any(|target| plain_id(text, target).is_some()) {
            return;
        }
        let Some(found) = reference.literal().and_then(|literal| literal.resource_type()) else { return };
        if allows::<T>(found) {
            return;
        }
        let message = wrong_target::<T>(found);
        r.find_here(r.offset(), "reference-target", IssueType::Value, at, message);
        if r.mode() == ReadMode::Lenient
            && let Some(text) = reference.reference.take().and_then(|text| text.value)
        {
            let mut w = crate::element::Writer::new();
            w.string(text.as_str());
            reference.unmodelled.push("reference", crate::element::Raw::compact(&w.finish()));
        }
    };
}

fn allows<T: Target>(found: &str) -> bool {
    T::TYPES.is_empty() || T::TYPES.contains(&found)
}

fn wrong_target<T: Target>(found: &str) -> String {
    format!("the reference is to a {found}, wanted {}", T::TYPES.join(" or "))
}

/// A reference to a resource of a type that is not allowed there, or a text that is no reference at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be referred to: {reason}")]
#[non_exhaustive]
pub struct WrongTarget {
    /// The text that was given.
    pub text: String,
    /// What was expected.
    pub reason: String,
}

impl<T: Target> Reference<T> {
    /// Returns a reference to a literal address.
    ///
    /// # Errors
    /// [`WrongTarget`] when the text is empty or names a resource type that is not one of `T`.
    pub fn to(literal: &str) -> Result<Self, WrongTarget> {
        let wrong = |reason: String| WrongTarget { text: literal.to_owned(), reason };
        if let Some(found) = Literal::parse(literal).resource_type()
            && !allows::<T>(found)
        {
            return Err(wrong(wrong_target::<T>(found)));
        }
        let text = Text::new(literal).map_err(|malformed| wrong(malformed.reason.to_owned()))?;
        Ok(Self { reference: Some(text.into()), ..Self::default() })
    }

    /// Returns a logical reference: by an identifier of the target.
    #[must_use]
    pub fn by_identifier(identifier: Identifier) -> Self {
        Self { identifier: Some(Box::new(identifier)), ..Self::default() }
    }

    /// Returns the literal reference taken apart, where there is one.
    #[must_use]
    pub fn literal(&self) -> Option<Literal<'_>> {
        self.reference.as_ref().and_then(|text| text.value.as_ref()).map(|text| Literal::parse(text.as_str()))
    }
}

impl<T: Target> Default for Reference<T> {
    fn default() -> Self {
        crate::element::Value::blank()
    }
}
