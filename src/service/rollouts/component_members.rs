//! The members of a component by which it is planned and offered an update, read without the others.

use super::offer::is_version;
use crate::nomenclature::is_mdc;
use crate::resource::DeviceComponent;
use crate::resource::device_component::{SPECIFICATION_TYPES, SpecType};
use crate::store::{StoreError, Stored as _, Version};
use crate::update::deployment::Runs;
use crate::update::release::Release;
use serde::Deserialize;
use std::borrow::Cow;

/// What a component is, by the members that decide whether it is meant, and what it runs.
///
/// A stored component may be large, and nothing else of it is needed to plan it: it is read whole only where something has to
/// look at all of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ComponentMembers<'a> {
    #[serde(default, borrow)]
    source: Source<'a>,
    #[serde(default, borrow)]
    r#type: Concept<'a>,
    #[serde(default, borrow)]
    operational_status: Vec<Concept<'a>>,
    #[serde(default, borrow)]
    production_specification: Vec<Specification<'a>>,
}

/// A text of the stored body, where it has no escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct BodyText<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Default, Deserialize)]
struct Source<'a> {
    #[serde(default, borrow)]
    reference: Option<BodyText<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Concept<'a> {
    #[serde(default, borrow)]
    coding: Vec<Coding<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Coding<'a> {
    #[serde(default, borrow)]
    system: Option<BodyText<'a>>,
    #[serde(default, borrow)]
    code: Option<BodyText<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification<'a> {
    #[serde(default, borrow)]
    spec_type: Concept<'a>,
    #[serde(default, borrow)]
    production_spec: Option<BodyText<'a>>,
}

fn text<'t>(found: Option<&'t BodyText<'_>>) -> Option<&'t str> {
    found.map(|text| &*text.0)
}

impl Coding<'_> {
    fn system(&self) -> Option<&str> {
        text(self.system.as_ref())
    }

    fn code(&self) -> Option<&str> {
        text(self.code.as_ref())
    }
}

impl Specification<'_> {
    fn is_about(&self, of: SpecType) -> bool {
        let (fhir, mdc) = of.codes();
        self.spec_type.coding.iter().any(|coding| match coding.system() {
            None | Some(SPECIFICATION_TYPES) => coding.code() == Some(fhir),
            Some(system) => is_mdc(system) && coding.code() == Some(mdc),
        })
    }
}

impl<'a> ComponentMembers<'a> {
    /// Reads them from a stored version.
    ///
    /// # Errors
    /// [`StoreError::Gone`] for a deletion, [`StoreError::Corrupt`] when the body cannot be read.
    pub(super) fn from_version(version: &'a Version) -> Result<Self, StoreError> {
        let Some(body) = &version.body else { return Err(StoreError::gone(version.version)) };
        match serde_json::from_slice(body) {
            Ok(members) => Ok(members),
            // The reader of resources forgives more, and says what is wrong.
            Err(_) => Ok(Self::of(&DeviceComponent::from_version(version)?)),
        }
    }

    fn of(component: &DeviceComponent) -> Self {
        let text = |text: &str| BodyText(Cow::Owned(text.to_owned()));
        let concept = |concept: &crate::datatype::CodeableConcept| Concept {
            coding: concept
                .coding
                .iter()
                .map(|coding| Coding {
                    system: coding.system.as_ref().and_then(|system| system.get()).map(|one| text(one.as_str())),
                    code: coding.code.as_ref().and_then(|code| code.get()).map(|one| text(one.as_str())),
                })
                .collect(),
        };
        let source = component.source.as_ref().and_then(|source| source.reference.as_ref());
        Self {
            source: Source { reference: source.and_then(|source| source.get()).map(|one| text(one.as_str())) },
            r#type: concept(&component.r#type),
            operational_status: component.operational_status.iter().map(concept).collect(),
            production_specification: component
                .production_specification
                .iter()
                .map(|one| Specification {
                    spec_type: one.spec_type.as_ref().map(concept).unwrap_or_default(),
                    production_spec: one
                        .production_spec
                        .as_ref()
                        .and_then(|spec| spec.get())
                        .map(|one| text(one.as_str())),
                })
                .collect(),
        }
    }

    /// The reference to its device, as it is written.
    pub(super) fn source(&self) -> Option<&str> {
        text(self.source.reference.as_ref())
    }

    /// The codes of its type in ISO/IEEE 11073-10101.
    pub(super) fn codes(&self) -> impl Iterator<Item = u32> {
        let mdc = self.r#type.coding.iter().filter(|coding| coding.system().is_some_and(is_mdc));
        mdc.filter_map(|coding| coding.code()?.parse().ok())
    }

    /// Returns whether it was entered in error.
    pub(super) fn is_void(&self) -> bool {
        self.operational_status
            .iter()
            .flat_map(|status| &status.coding)
            .any(|coding| coding.code() == Some("entered-in-error"))
    }

    /// Returns what it runs of what a release changes.
    pub(super) fn runs(&self, release: &Release) -> Runs {
        let of = release.request.reported_as.spec_type();
        let fitting = self.production_specification.iter().filter(|one| one.is_about(of));
        let mut versions = fitting.filter_map(|one| text(one.production_spec.as_ref()));
        if versions.any(|version| is_version(release, version)) { Runs::Target } else { Runs::Other }
    }
}
