//! The version of FHIR that a server speaks.

use super::content::{Content, WriteMark, incoming, outgoing};
use super::query::{CriterionQuery, asked};
use crate::convert::{self, Components, IdPolicy, Version};
use crate::element::ReadMode;
use crate::primitive::CanonicalBase;
use crate::resource::Resource;
use crate::search::{Criterion, Parameter, ResourceType, Token, TokenMatch};
use crate::store::{Key, Result, StoreError};

/// How the resources of the store stand on a server: as they are, or converted to the version that it speaks.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) version: Version,
    pub(super) conversion: convert::Options,
}

impl Dialect {
    pub(super) fn is_stu3(&self) -> bool {
        self.version == Version::Stu3
    }

    /// How `fhirVersion` begins in the CapabilityStatement.
    pub(super) fn release(&self) -> &'static str {
        match self.version {
            Version::Stu3 => "3.0",
            Version::R4 => "4.0",
            Version::R4B => "4.3",
            Version::R5 => "5.0",
        }
    }

    /// The types that the server must keep.
    pub(super) fn types(&self) -> &'static [ResourceType] {
        if self.is_stu3() { &ResourceType::ALL } else { &[ResourceType::Device, ResourceType::DeviceMetric] }
    }

    /// The type that the server keeps the resources of a type as.
    pub(super) fn type_of(&self, kind: ResourceType) -> ResourceType {
        match kind {
            ResourceType::DeviceComponent if !self.is_stu3() => ResourceType::Device,
            kind => kind,
        }
    }

    fn id_of(&self, kind: ResourceType, id: &str) -> String {
        match kind {
            ResourceType::DeviceComponent if !self.is_stu3() => convert::device_of(id, &self.conversion),
            _ => id.to_owned(),
        }
    }

    /// The address of a resource below that of the tenant.
    pub(super) fn address(&self, key: &Key) -> String {
        let kind = key.resource_type();
        format!("{}/{}", self.type_of(kind), self.id_of(kind, key.id().as_str()))
    }

    /// Returns what is sent of a body.
    pub(super) fn outgoing(
        &self,
        key: &Key,
        body: &[u8],
        mark: Option<&WriteMark>,
        base: &CanonicalBase,
    ) -> Result<String> {
        let body = outgoing(key, body, mark, base)?;
        if self.is_stu3() {
            return Ok(body);
        }
        let wrong = |report| StoreError::invalid(format!("`{key}` in FHIR {}: {report}", self.release()));
        let resource = Resource::read(body.as_bytes(), ReadMode::Lenient).map_err(wrong)?.value;
        convert::to(self.version, &resource, &self.conversion).map(|converted| converted.json).map_err(wrong)
    }

    /// Takes a resource apart that a server sent; nothing where it is one of another type here, as a Device that is a
    /// component.
    pub(super) fn incoming(&self, kind: ResourceType, json: &[u8]) -> Result<Option<Content>, String> {
        if self.is_stu3() {
            return incoming(kind, json).map(Some);
        }
        let read = convert::from(self.version, json, &self.conversion).map_err(|report| report.to_string())?;
        let is_other = |resource: &Resource| resource.resource_type() != kind.as_str();
        if is_other(&read.value) && kind == ResourceType::DeviceMetric {
            return Err(format!("a DeviceMetric is wanted, and a {} came", read.value.resource_type()));
        }
        if is_other(&read.value) || self.has_foreign_id(kind, json) {
            return Ok(None);
        }
        incoming(kind, read.value.to_json().as_bytes()).map(Some)
    }

    /// Whether a component has an id that none is written under here, so that it would be found and could not be read.
    fn has_foreign_id(&self, kind: ResourceType, json: &[u8]) -> bool {
        #[derive(serde::Deserialize)]
        struct Named {
            #[serde(default)]
            id: String,
        }
        let IdPolicy::Prefix(prefix) = &self.conversion.ids else { return false };
        let named = serde_json::from_slice::<Named>(json).ok();
        kind == ResourceType::DeviceComponent && named.is_none_or(|named| !named.id.starts_with(prefix.as_str()))
    }

    /// How a criterion is asked for. What the server finds by it holds at least all that is meant.
    pub(super) fn asked(&self, kind: ResourceType, criterion: &Criterion, minds_case: bool) -> CriterionQuery {
        if self.is_stu3() {
            return asked(kind, criterion, minds_case);
        }
        match criterion {
            Criterion::Id(id) => {
                let id = self.id_of(kind, id).into();
                asked(kind, &Criterion::Id(id), minds_case)
            }
            Criterion::AnyId(ids) => {
                let ids = ids.iter().map(|id| self.id_of(kind, id).into()).collect();
                asked(kind, &Criterion::AnyId(ids), minds_case)
            }
            Criterion::Is(Parameter::Parent, wanted) => match self.parent(wanted) {
                Some(pair) => CriterionQuery::Pair(pair),
                None => CriterionQuery::Here,
            },
            Criterion::Is(parameter, _) | Criterion::Begins(parameter, _) if !self.has(kind, *parameter) => {
                // Whether any resource can meet it is known by the table of STU3.
                match asked(kind, criterion, minds_case) {
                    CriterionQuery::Never => CriterionQuery::Never,
                    _ => CriterionQuery::Here,
                }
            }
            Criterion::AnyOf(any) => super::query::any_of(any, |one| self.asked(kind, one, minds_case)),
            criterion => asked(kind, criterion, minds_case),
        }
    }

    /// The parent of a component or metric, which is a Device there.
    fn parent(&self, wanted: &TokenMatch) -> Option<(String, String)> {
        let (TokenMatch::Value(text) | TokenMatch::Exact(Token { system: None, value: text })) = wanted else {
            return None;
        };
        let id = text.strip_prefix("DeviceComponent/").filter(|id| !id.contains(['/', ',', '|', '\\', '$']))?;
        Some(("parent".to_owned(), format!("Device/{}", self.id_of(ResourceType::DeviceComponent, id))))
    }

    /// Whether a parameter is there from R4 on with the same values.
    fn has(&self, kind: ResourceType, parameter: Parameter) -> bool {
        use Parameter::{Identifier, Location, Manufacturer, Model, Organization, Patient, Source, Type, Url};
        match kind {
            ResourceType::Device => {
                matches!(parameter, Identifier | Location | Manufacturer | Model | Organization | Patient | Type | Url)
            }
            ResourceType::DeviceComponent => matches!(parameter, Identifier | Type),
            ResourceType::DeviceMetric => matches!(parameter, Identifier | Source | Type),
        }
    }

    /// What a search for a type asks for besides its criteria.
    pub(super) fn of_type(&self, kind: ResourceType) -> Option<(String, String)> {
        let is_component = kind == ResourceType::DeviceComponent && !self.is_stu3();
        let all_marked = self.conversion.components == Components::Marked;
        (is_component && all_marked).then(|| ("_tag".to_owned(), "DeviceComponent".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r4(conversion: convert::Options) -> Dialect {
        Dialect { version: Version::R4, conversion }
    }

    const MDS: &str =
        r#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"MDS"}}"#;

    #[test]
    fn component_is_a_tagged_device_of_r4() {
        let (keep, apart) = (r4(convert::Options::default()), convert::Options::default());
        let apart = r4(apart.ids(IdPolicy::Prefix("dc-".to_owned())));
        let key = Key::new(ResourceType::DeviceComponent, "mds").unwrap();
        assert_eq!((keep.address(&key), apart.address(&key)), ("Device/mds".to_owned(), "Device/dc-mds".to_owned()));
        let sent = |dialect: &Dialect| dialect.outgoing(&key, MDS.as_bytes(), None, &CanonicalBase::default()).unwrap();
        for dialect in [&keep, &apart] {
            let sent = sent(dialect);
            assert!(sent.starts_with(r#"{"resourceType":"Device","id":""#) && sent.contains(r#""tag":[{"#), "{sent}");
            let back = dialect.incoming(ResourceType::DeviceComponent, sent.as_bytes()).unwrap().unwrap();
            assert_eq!((back.id.as_str(), &*back.body), ("mds", MDS.as_bytes()));
            assert!(dialect.incoming(ResourceType::Device, sent.as_bytes()).unwrap().is_none());
        }
        // One without the prefix could not be read by its key.
        assert!(apart.incoming(ResourceType::DeviceComponent, sent(&keep).as_bytes()).unwrap().is_none());
        assert!(keep.incoming(ResourceType::DeviceMetric, sent(&keep).as_bytes()).is_err());
    }

    #[test]
    fn search_is_asked_in_the_terms_of_r4() {
        let apart = r4(convert::Options::default().ids(IdPolicy::Prefix("dc-".to_owned())));
        let component = |criterion: Criterion| apart.asked(ResourceType::DeviceComponent, &criterion, false);
        let pair = |name: &str, value: &str| CriterionQuery::Pair((name.into(), value.into()));
        assert_eq!(component(Criterion::Id("a".into())), pair("_id", "dc-a"));
        assert_eq!(component(Criterion::AnyId(["a".into(), "b".into()].into())), pair("_id", "dc-a,dc-b"));
        assert_eq!(component(Criterion::parent("DeviceComponent/mds")), pair("parent", "Device/dc-mds"));
        assert_eq!(component(Criterion::parent("https://x.example/DeviceComponent/a")), CriterionQuery::Here);
        assert_eq!(component(Criterion::source("Device/pump")), CriterionQuery::Here);
        let either = Criterion::AnyOf(vec![Criterion::parent("DeviceComponent/a"), Criterion::source("Device/b")]);
        assert_eq!(component(either), CriterionQuery::Here);
        let metric = apart.asked(ResourceType::DeviceMetric, &Criterion::source("Device/pump"), false);
        assert_eq!(metric, pair("source", "Device/pump"));
        assert_eq!(apart.of_type(ResourceType::DeviceComponent), Some(("_tag".into(), "DeviceComponent".into())));
        assert_eq!(apart.of_type(ResourceType::Device), None);
        let by_level = r4(convert::Options::default().components(Components::ByLevel));
        assert_eq!(by_level.of_type(ResourceType::DeviceComponent), None);
    }
}
