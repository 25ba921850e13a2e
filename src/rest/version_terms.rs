//! Searches in the terms of R4, R4B and R5, where a component is a Device.

use super::Server;
use super::filter::split;
use super::problem::{Problem, Result};
use crate::convert;
use crate::search::ResourceType;
use crate::search::params;
use crate::store::ResourceStore;
use url::form_urlencoded;

type Pairs = Vec<(String, String)>;

/// A search in the terms of STU3.
pub(super) struct Terms {
    pub(super) resource_type: ResourceType,
    pub(super) pairs: Pairs,
    /// The same for components, where they are Devices of the version that may be found too.
    pub(super) components: Option<Pairs>,
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns a search of R4 or later in the terms of STU3; nothing where it is one of STU3.
    pub(super) fn version_terms(&self, kind: ResourceType, query: &str) -> Result<Option<Terms>> {
        if self.format.is_stu3() {
            return Ok(None);
        }
        terms(kind, query, self.format.version, &self.conversion).map(Some)
    }
}

/// Writes a search of R4 or later in the terms of STU3.
fn terms(kind: ResourceType, query: &str, version: convert::Version, options: &convert::Options) -> Result<Terms> {
    let is_device = kind == ResourceType::Device;
    // Which Devices are asked for: components, others, or both.
    let (mut resource_type, mut has_components) = (kind, is_device);
    let mut pairs = Pairs::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (plain, modifier) = match name.split_once(':') {
            Some((plain, modifier)) => (plain, Some(modifier)),
            None => (&*name, None),
        };
        let (name, value) = match (plain, modifier) {
            // The mark of components is none of their tags in STU3.
            ("_tag", None) if kind != ResourceType::DeviceMetric && convert::is_mark(&value) => {
                resource_type = ResourceType::DeviceComponent;
                continue;
            }
            ("_tag", Some("not")) if is_device && convert::is_mark(&value) => {
                has_components = false;
                continue;
            }
            ("device", _) if kind == ResourceType::DeviceMetric => {
                let version = version.mime();
                let words = format!("`{name}` of FHIR {version} is `parent` or `source` here: search for one of them");
                return Err(Problem::unsupported(400, "search-parameter", words));
            }
            ("parent", None) => (name.into_owned(), each(&value, |one| convert::component_reference(one, options))),
            ("parent", Some("Device")) => {
                let of_id = |id: &str| Some(convert::component_of(id, options).0.to_owned());
                let of = |one: &str| convert::component_reference(one, options).or_else(|| of_id(one));
                ("parent:DeviceComponent".to_owned(), each(&value, of))
            }
            ("_include" | "_revinclude", _) => (name.into_owned(), include(&value)),
            _ => (name.into_owned(), value.into_owned()),
        };
        if is_device && plain_name(&name) == "parent" {
            resource_type = ResourceType::DeviceComponent;
        }
        pairs.push((name, value));
    }
    if !is_device || (!has_components && resource_type == kind) {
        return Ok(Terms { resource_type, pairs, components: None });
    }
    let components = of_components(&pairs, options);
    if resource_type != kind {
        let none = || vec![("_id".to_owned(), NO_ID.to_owned())];
        return Ok(Terms { resource_type, pairs: components.unwrap_or_else(none), components: None });
    }
    // Components have not all that Devices are asked for.
    let has = |of, name: &str| params(of).any(|param| param.name == name);
    let fits = |name: &str| has(ResourceType::DeviceComponent, name) || !has(ResourceType::Device, name);
    let fits = pairs.iter().all(|(name, _)| fits(plain_name(name)));
    Ok(Terms { resource_type, pairs, components: components.filter(|_| fits) })
}

/// A value of `_id` that no resource has.
const NO_ID: &str = "*";

/// Returns the name of a search parameter without its modifier and what is chained to it.
fn plain_name(name: &str) -> &str {
    name.split([':', '.']).next().unwrap_or_default()
}

/// Returns the same search among components; nothing where its ids are those of none.
fn of_components(pairs: &Pairs, options: &convert::Options) -> Option<Pairs> {
    let of = |(name, value): &(String, String)| {
        let value = if name == "_id" { component_ids(value, options)? } else { value.clone() };
        Some((name.clone(), value))
    };
    pairs.iter().map(of).collect()
}

/// Returns the ids that components have in STU3, given those of Devices; nothing where none is one of a component.
fn component_ids(ids: &str, options: &convert::Options) -> Option<String> {
    let of = |id: &String| {
        let (own, certain) = convert::component_of(id, options);
        (certain || options.ids == convert::IdPolicy::Keep).then(|| own.to_owned())
    };
    let own: Vec<String> = split(ids).iter().filter_map(of).collect();
    (!own.is_empty()).then(|| own.join(","))
}

/// Returns the values of a list, each as it is in STU3 where that differs.
fn each(values: &str, of: impl Fn(&str) -> Option<String>) -> String {
    let own: Vec<String> = split(values).into_iter().map(|value| of(&value).unwrap_or(value)).collect();
    own.join(",")
}

/// Returns what is included, in the terms of STU3: `Device:parent` is a link between components.
fn include(value: &str) -> String {
    let mut parts: Vec<&str> = value.split(':').collect();
    if let [from, "parent", rest @ ..] = &mut *parts {
        if *from == "Device" {
            *from = "DeviceComponent";
        }
        if let [to @ "Device"] = rest {
            *to = "DeviceComponent";
        }
    }
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{IdPolicy, Options, Version};

    fn told(kind: ResourceType, query: &str, options: &Options) -> (String, Option<String>) {
        let terms = terms(kind, query, Version::R4, options).unwrap();
        let text =
            |pairs: &Pairs| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        (format!("{}?{}", terms.resource_type, text(&terms.pairs)), terms.components.as_ref().map(text))
    }

    #[test]
    fn search_of_r4_is_written_in_the_terms_of_stu3() {
        let keep = Options::default();
        let mark = "https://a.example/CodeSystem/stu3-type|DeviceComponent";
        for (kind, query, wanted, components) in [
            (ResourceType::Device, "type=a", "Device?type=a", Some("type=a")),
            (ResourceType::Device, "model=a", "Device?model=a", None),
            (ResourceType::Device, "_id=a,b", "Device?_id=a,b", Some("_id=a,b")),
            (ResourceType::Device, &*format!("_tag={mark}&type=a"), "DeviceComponent?type=a", None),
            (ResourceType::Device, &*format!("_tag:not={mark}&type=a"), "Device?type=a", None),
            (ResourceType::Device, "_tag=x|y", "Device?_tag=x|y", Some("_tag=x|y")),
            (ResourceType::Device, "parent=Device/a", "DeviceComponent?parent=DeviceComponent/a", None),
            (ResourceType::DeviceMetric, "parent=Device/a,b", "DeviceMetric?parent=DeviceComponent/a,b", None),
            (ResourceType::DeviceMetric, "parent:Device=a", "DeviceMetric?parent:DeviceComponent=a", None),
            (
                ResourceType::DeviceComponent,
                "_include=Device:parent:Device",
                "DeviceComponent?_include=DeviceComponent:parent:DeviceComponent",
                None,
            ),
        ] {
            assert_eq!(told(kind, query, &keep), (wanted.to_owned(), components.map(str::to_owned)), "{query}");
        }
        let prefix = Options::default().ids(IdPolicy::Prefix("dc-".to_owned()));
        let own = |query| told(ResourceType::Device, query, &prefix);
        assert_eq!(own("_id=a,dc-b"), ("Device?_id=a,dc-b".to_owned(), Some("_id=b".to_owned())));
        assert_eq!(own("_id=a"), ("Device?_id=a".to_owned(), None));
        assert_eq!(own("_id=a,dc-b&_tag=DeviceComponent").0, "DeviceComponent?_id=b");
        assert_eq!(own("_id=a&_tag=DeviceComponent").0, "DeviceComponent?_id=*");
        assert_eq!(own("parent=Device/dc-a").0, "DeviceComponent?parent=DeviceComponent/a");
    }

    #[test]
    fn parameter_of_r5_without_its_equal_names_those_of_stu3() {
        let problem = terms(ResourceType::DeviceMetric, "device=Device/a", Version::R5, &Options::default());
        assert_eq!(problem.err().unwrap().status(), 400);
    }
}
