//! What the service can do, as it says itself.

use super::include::FOLLOWED;
use super::param::params;
use crate::store::ResourceType;
use serde_json::{Value, json};

/// The CapabilityStatement. It is made from the tables by which the service works, so that it promises nothing else.
pub(super) fn statement(base: &str) -> String {
    let resources: Vec<Value> = ResourceType::ALL.into_iter().map(resource).collect();
    let members = json!({
        "status": "active",
        "date": "2026-11-24",
        "kind": "instance",
        "software": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Medical devices and the software updates for them", "url": base },
        "fhirVersion": "3.0.2",
        "acceptUnknown": "no",
        "format": ["json", "application/fhir+json"],
        "rest": [{
            "mode": "server",
            "resource": resources,
            "interaction": [{ "code": "transaction" }, { "code": "batch" }],
        }],
    })
    .to_string();
    // First what it is, as in every other resource.
    let members = members.strip_prefix('{').unwrap_or_default();
    format!("{{\"resourceType\":\"CapabilityStatement\",{members}")
}

fn resource(kind: ResourceType) -> Value {
    let interactions = ["read", "vread", "update", "delete", "history-instance", "create", "search-type"];
    let search: Vec<Value> = params(kind)
        .map(|param| json!({ "name": param.name, "type": param.kind.as_str(), "documentation": param.about }))
        .collect();
    let link = |(from, by, _): &(ResourceType, crate::store::Parameter, ResourceType)| format!("{from}:{by}");
    let from: Vec<String> = FOLLOWED.iter().filter(|(from, ..)| *from == kind).map(link).collect();
    let to: Vec<String> = FOLLOWED.iter().filter(|(.., to)| *to == kind).map(link).collect();
    let mut said = json!({
        "type": kind.as_str(),
        "profile": { "reference": format!("http://hl7.org/fhir/StructureDefinition/{kind}") },
        "interaction": interactions.map(|code| json!({ "code": code })),
        "versioning": "versioned-update",
        "readHistory": true,
        "updateCreate": true,
        "conditionalCreate": true,
        "conditionalRead": "full-support",
        "conditionalUpdate": true,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "local"],
        "searchParam": search,
    });
    if let Some(members) = said.as_object_mut() {
        // A list that is empty is not written in FHIR.
        for (name, list) in [("searchInclude", from), ("searchRevInclude", to)] {
            if !list.is_empty() {
                members.insert(name.to_owned(), list.into());
            }
        }
    }
    said
}
