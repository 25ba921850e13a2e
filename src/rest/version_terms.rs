//! Searches in the terms of R4, R4B and R5, where a component is a Device.

use super::Server;
use super::filter::split;
use super::problem::{Problem, Result};
use crate::convert;
use crate::search::ResourceType;
use crate::store::ResourceStore;
use std::borrow::Cow;
use url::form_urlencoded;

type Pairs = Vec<(String, String)>;

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns the type and the query of a search as they are in STU3.
    pub(super) fn in_terms_of_stu3<'q>(
        &self,
        kind: ResourceType,
        query: &'q str,
    ) -> Result<(ResourceType, Cow<'q, str>)> {
        if self.format.is_stu3() {
            return Ok((kind, Cow::Borrowed(query)));
        }
        let (kind, pairs) = terms(kind, query, self.format.version, &self.conversion)?;
        Ok((kind, form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into()))
    }
}

/// Writes a search of R4 or later in the terms of STU3.
fn terms(
    kind: ResourceType,
    query: &str,
    version: convert::Version,
    options: &convert::Options,
) -> Result<(ResourceType, Pairs)> {
    let mut resource_type = kind;
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
            ("_tag", Some("not")) if kind == ResourceType::Device && convert::is_mark(&value) => continue,
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
        if kind == ResourceType::Device && name.split(':').next() == Some("parent") {
            resource_type = ResourceType::DeviceComponent;
        }
        pairs.push((name, value));
    }
    if resource_type != kind {
        for (_, value) in pairs.iter_mut().filter(|(name, _)| name == "_id") {
            *value = component_ids(value, options);
        }
    }
    Ok((resource_type, pairs))
}

/// A value of `_id` that no resource has.
const NO_ID: &str = "*";

/// Returns the ids that components have in STU3, given those of Devices.
fn component_ids(ids: &str, options: &convert::Options) -> String {
    let of = |id: &String| {
        let (own, certain) = convert::component_of(id, options);
        (certain || options.ids == convert::IdPolicy::Keep).then(|| own.to_owned())
    };
    let own: Vec<String> = split(ids).iter().filter_map(of).collect();
    if own.is_empty() { NO_ID.to_owned() } else { own.join(",") }
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

    fn told(kind: ResourceType, query: &str, options: &Options) -> String {
        let (kind, pairs) = terms(kind, query, Version::R4, options).unwrap();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{kind}?{}", pairs.join("&"))
    }

    #[test]
    fn search_of_r4_is_written_in_the_terms_of_stu3() {
        let keep = Options::default();
        let mark = "https://a.example/CodeSystem/stu3-type|DeviceComponent";
        for (kind, query, wanted) in [
            (ResourceType::Device, "model=a", "Device?model=a"),
            (ResourceType::Device, &*format!("_tag={mark}&type=a"), "DeviceComponent?type=a"),
            (ResourceType::Device, &*format!("_tag:not={mark}&type=a"), "Device?type=a"),
            (ResourceType::Device, "_tag=x|y", "Device?_tag=x|y"),
            (ResourceType::Device, "parent=Device/a", "DeviceComponent?parent=DeviceComponent/a"),
            (ResourceType::DeviceMetric, "parent=Device/a,b", "DeviceMetric?parent=DeviceComponent/a,b"),
            (ResourceType::DeviceMetric, "parent:Device=a", "DeviceMetric?parent:DeviceComponent=a"),
            (
                ResourceType::DeviceComponent,
                "_include=Device:parent:Device",
                "DeviceComponent?_include=DeviceComponent:parent:DeviceComponent",
            ),
        ] {
            assert_eq!(told(kind, query, &keep), wanted, "{query}");
        }
        let prefix = Options::default().ids(IdPolicy::Prefix("dc-".to_owned()));
        let own = |query| told(ResourceType::Device, query, &prefix);
        assert_eq!(own("_id=a,dc-b&_tag=DeviceComponent"), "DeviceComponent?_id=b");
        assert_eq!(own("_id=a&_tag=DeviceComponent"), "DeviceComponent?_id=*");
        assert_eq!(own("parent=Device/dc-a"), "DeviceComponent?parent=DeviceComponent/a");
    }

    #[test]
    fn parameter_of_r5_without_its_equal_names_those_of_stu3() {
        let problem = terms(ResourceType::DeviceMetric, "device=Device/a", Version::R5, &Options::default());
        assert_eq!(problem.err().unwrap().status(), 400);
    }
}
