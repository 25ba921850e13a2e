//! What a resource says about itself, and its text for people.

use super::{Coding, Primitive};
use crate::code::NarrativeStatus;
use crate::element::{Facts, RuleDef, Value};
use crate::primitive::{Id, Instant, Uri, Xhtml};

datatype! {
    /// What a server and its users say about a resource.
    #[derive(Default)]
    pub struct Meta is "Meta" at "Meta" {
        /// The version.
        version_id "versionId" [0..1] Primitive<Id>;
        /// When the version was written.
        last_updated "lastUpdated" [0..1] Primitive<Instant>;
        /// The profiles that the resource claims to conform to.
        profile "profile" [0..*] Primitive<Uri>;
        /// Security labels.
        security "security" [0..*] Coding;
        /// Tags.
        tag "tag" [0..*] Coding;
    }
}

/// A narrative has formatting elements and attributes alone.
pub const TXT_1: RuleDef = RuleDef::new("txt-1", "a narrative has formatting elements and attributes alone");
/// A narrative says something.
pub const TXT_2: RuleDef = RuleDef::new("txt-2", "a narrative has some text or an image");

datatype! {
    /// The resource in words, for people.
    pub struct Narrative is "Narrative" at "Narrative" {
        /// Where the text came from.
        status "status" [1..1] Primitive<NarrativeStatus>;
        /// The text: one `div` of XHTML.
        div "div" [1..1] Xhtml;
    }
    facts |narrative| Facts::Narrative { div: narrative.div.as_str() };
}

impl Narrative {
    /// Creates a text for people.
    #[must_use]
    pub fn new(status: NarrativeStatus, div: Xhtml) -> Self {
        Self { status: status.into(), div, ..Self::blank() }
    }
}
