//! Literal references and urls of components, which are Devices from R4 on.

use super::options::IdPolicy;
use crate::datatype::Literal;
use crate::primitive::is_id;

/// Returns the reference to a component as one to a Device; nothing where it is to something else.
pub(super) fn to_device(text: &str, ids: &IdPolicy) -> Option<String> {
    if let Some(id) = text.strip_prefix("DeviceComponent/").filter(|id| is_id(id)) {
        return Some(match ids {
            IdPolicy::Keep => ["Device/", id].concat(),
            IdPolicy::Prefix(prefix) => ["Device/", prefix, id].concat(),
        });
    }
    if !text.contains("DeviceComponent/") {
        return None;
    }
    with_type(text, "DeviceComponent", "Device", |id| device_id(id, ids))
}

/// Returns the id of the Device that a component is from R4 on.
pub(super) fn device_id(id: &str, ids: &IdPolicy) -> String {
    match ids {
        IdPolicy::Keep => id.to_owned(),
        IdPolicy::Prefix(prefix) => format!("{prefix}{id}"),
    }
}

/// Returns the reference to a Device as one to the component that it is; nothing where it is to something else.
pub(super) fn to_component(text: &str, ids: &IdPolicy) -> Option<String> {
    with_type(text, "Device", "DeviceComponent", |id| component_id(id, ids).to_owned())
}

/// Returns the id of a component, given that of its Device.
pub(super) fn component_id<'i>(id: &'i str, ids: &IdPolicy) -> &'i str {
    match ids {
        IdPolicy::Keep => id,
        IdPolicy::Prefix(prefix) => id.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty()).unwrap_or(id),
    }
}

fn with_type(text: &str, from: &str, to: &'static str, id_of: impl Fn(&str) -> String) -> Option<String> {
    let literal = Literal::parse(text);
    let id = literal.id().filter(|_| literal.resource_type() == Some(from)).map(id_of)?;
    let version = literal.version();
    let base = match literal {
        Literal::Absolute { base, .. } => format!("{base}/"),
        _ => String::new(),
    };
    let version = version.map(|version| format!("/_history/{version}")).unwrap_or_default();
    Some(format!("{base}{to}/{id}{version}"))
}

/// Returns the reference to a component, by its id or by a search, as one to a Device.
pub(super) fn reference_to_device(text: &str, ids: &IdPolicy) -> Option<String> {
    to_device(text, ids).or_else(|| text.strip_prefix("DeviceComponent?").map(|query| ["Device?", query].concat()))
}

/// Returns the way back of [`reference_to_device`].
pub(super) fn reference_to_component(text: &str, ids: &IdPolicy) -> Option<String> {
    to_component(text, ids).or_else(|| text.strip_prefix("Device?").map(|query| ["DeviceComponent?", query].concat()))
}

/// Returns the url of a request or answer with the one type in place of the other: `Type`, `Type?search`, or a
/// reference.
pub(super) fn url_to_device(text: &str, ids: &IdPolicy) -> Option<String> {
    to_device(text, ids).or_else(|| type_alone(text, "DeviceComponent", "Device"))
}

/// Returns the way back of [`url_to_device`].
pub(super) fn url_to_component(text: &str, ids: &IdPolicy) -> Option<String> {
    to_component(text, ids).or_else(|| type_alone(text, "Device", "DeviceComponent"))
}

fn type_alone(text: &str, from: &str, to: &str) -> Option<String> {
    let rest = text.strip_prefix(from)?;
    (rest.is_empty() || rest.starts_with('?')).then(|| format!("{to}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_component_references_are_retargeted() {
        for (stu3, r4) in [
            ("DeviceComponent/a", "Device/a"),
            ("http://a.example/fhir/DeviceComponent/a/_history/2", "http://a.example/fhir/Device/a/_history/2"),
        ] {
            assert_eq!(to_device(stu3, &IdPolicy::Keep).as_deref(), Some(r4));
            assert_eq!(to_component(r4, &IdPolicy::Keep).as_deref(), Some(stu3));
        }
        for other in ["#a", "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "Device/a", "x/DeviceComponent/a", ""] {
            assert_eq!(to_device(other, &IdPolicy::Keep), None, "{other}");
        }
    }

    #[test]
    fn id_prefix_is_added_and_removed() {
        let ids = IdPolicy::Prefix("dc-".to_owned());
        assert_eq!(to_device("DeviceComponent/a", &ids).as_deref(), Some("Device/dc-a"));
        assert_eq!(to_component("Device/dc-a", &ids).as_deref(), Some("DeviceComponent/a"));
        assert_eq!(to_component("Device/a", &ids).as_deref(), Some("DeviceComponent/a"));
    }
}
