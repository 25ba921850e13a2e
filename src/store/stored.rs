//! The typed resources that a store keeps, and how they become bodies and index entries.

use super::{
    IndexEntries, Key, Precondition, ResourceStore, ResourceType, Result, StoreError, Tenanted, Token, Version, Write,
};
use crate::datatype::{CodeableConcept, Identifier, Literal, Meta, Reference, Target};
use crate::element::ReadMode;
use crate::primitive::{Id, Instant};
use crate::resource::{Device, DeviceComponent, DeviceMetric};
use crate::validate::Valid;
use smol_str::SmolStr;

/// A resource that a store keeps.
///
/// The version and the time of the last update are the store's: they are left out of the body that is written, and
/// set from the [`Version`] when it is read.
pub trait Stored: Clone + Sized + Send + Sync + 'static {
    /// Its type.
    const TYPE: ResourceType;

    /// Its logical id.
    fn logical_id(&self) -> Option<&Id>;

    /// Names it.
    fn set_logical_id(&mut self, id: Id);

    /// By what it is found.
    fn index(&self) -> IndexEntries;

    /// The body that is written: canonical JSON without the version and the time of the last update.
    fn body(&self) -> String;

    /// The resource as a version of it is, with the version and the time set.
    ///
    /// # Errors
    /// [`StoreError::Gone`] for a deletion, [`StoreError::Corrupt`] when the body cannot be read.
    fn from_version(version: &Version) -> Result<Self>;

    /// The write of this resource.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it has no id.
    fn write(&self, when: Precondition) -> Result<Write> {
        let id = self.logical_id().ok_or_else(|| StoreError::invalid("the resource has no id"))?;
        let key = Key::new(Self::TYPE, id.as_str())?;
        Ok(Write { when, ..Write::put(key, self.body(), self.index()) })
    }
}

macro_rules! stored {
    ($Name:ident, |$resource:ident| $index:expr) => {
        impl Stored for $Name {
            const TYPE: ResourceType = ResourceType::$Name;

            fn logical_id(&self) -> Option<&Id> {
                self.id.as_ref().and_then(|id| id.value.as_ref())
            }

            fn set_logical_id(&mut self, id: Id) {
                self.id.get_or_insert_default().value = Some(id);
            }

            fn index(&self) -> IndexEntries {
                let $resource = self;
                $index
            }

            fn body(&self) -> String {
                let mut resource = self.clone();
                if let Some(meta) = &mut resource.meta {
                    meta.version_id = None;
                    meta.last_updated = None;
                }
                resource.to_json()
            }

            fn from_version(version: &Version) -> Result<Self> {
                let Some(body) = &version.body else { return Err(StoreError::Gone { at: version.version }) };
                let read = Self::read(body, ReadMode::Lenient);
                let mut resource = read.map_err(|report| corrupt(&version.key, &report))?.value;
                stamp(resource.meta.get_or_insert_default(), version);
                Ok(resource)
            }
        }
    };
}

stored!(Device, |device| IndexEntries {
    identifier: device.identifier.iter().filter_map(identifier_token).collect(),
    kind: device.r#type.iter().flat_map(kind_tokens).collect(),
    ..IndexEntries::default()
});

stored!(DeviceComponent, |component| IndexEntries {
    identifier: identifier_token(&component.identifier).into_iter().collect(),
    kind: kind_tokens(&component.r#type).collect(),
    source: component.source.as_ref().and_then(reference_text),
    parent: component.parent.as_ref().and_then(reference_text),
});

stored!(DeviceMetric, |metric| IndexEntries {
    identifier: identifier_token(&metric.identifier).into_iter().collect(),
    kind: kind_tokens(&metric.r#type).collect(),
    source: metric.source.as_ref().and_then(reference_text),
    parent: metric.parent.as_ref().and_then(reference_text),
});

fn corrupt(key: &Key, report: &crate::issue::Report) -> StoreError {
    StoreError::Corrupt { what: format!("the body of `{key}` cannot be read: {report}") }
}

fn stamp(meta: &mut Meta, version: &Version) {
    meta.version_id = Id::new(version.version.to_string()).ok().map(Into::into);
    meta.last_updated = Instant::try_from(version.last_updated).ok().map(Into::into);
}

fn identifier_token(identifier: &Identifier) -> Option<Token> {
    let system = identifier.system.as_ref().and_then(|system| system.value.as_ref());
    let value = identifier.value.as_ref().and_then(|value| value.value.as_ref())?;
    Some(Token { system: system.map(|system| system.as_str().into()), value: value.as_str().into() })
}

fn kind_tokens(concept: &CodeableConcept) -> impl Iterator<Item = Token> + '_ {
    concept.coding.iter().filter_map(|coding| {
        let system = coding.system.as_ref().and_then(|system| system.value.as_ref());
        let code = coding.code.as_ref().and_then(|code| code.value.as_ref())?;
        Some(Token { system: system.map(|system| system.as_str().into()), value: code.as_str().into() })
    })
}

/// The one form in which references are indexed: without a version.
fn reference_text<T: Target>(reference: &Reference<T>) -> Option<SmolStr> {
    let literal = reference.literal()?;
    Some(match literal {
        Literal::Relative { resource_type, id, .. } => format!("{resource_type}/{id}").into(),
        Literal::Absolute { base, resource_type, id, .. } => format!("{base}/{resource_type}/{id}").into(),
        other => other.to_string().into(),
    })
}

impl<S: ResourceStore + ?Sized> Tenanted<S> {
    /// The newest version of a resource, typed, with the version that the store knows it by.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Gone`], [`StoreError::Corrupt`], or a fault of the store.
    pub async fn get<T: Stored>(&self, id: &str) -> Result<(T, Version)> {
        let version = self.read(&Key::new(T::TYPE, id)?).await?;
        Ok((T::from_version(&version)?, version))
    }

    /// Writes a valid resource under its id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it has no id, [`StoreError::Conflict`] or [`StoreError::AlreadyExists`] when the
    /// precondition does not hold, or a fault of the store.
    pub async fn put<T: Stored>(&self, resource: &Valid<T>, when: Precondition) -> Result<Version> {
        self.write(resource.write(when)?).await
    }
}
