//! What this service can do, as it says itself.

use super::search::params::params;
use fhir_devices::store::ResourceType;
use serde_json::{Value, json};

/// The CapabilityStatement. It is made from the tables that the service works by, so that it promises nothing else.
pub(crate) fn statement(base: &str) -> String {
    let resources: Vec<Value> = ResourceType::ALL.into_iter().map(resource).collect();
    let members = json!({
        "status": "active",
        "date": "2026-11-23",
        "kind": "instance",
        "software": { "name": "update_service", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Medical devices and the software updates for them", "url": base },
        "fhirVersion": "3.0.2",
        "acceptUnknown": "no",
        "format": ["json", "application/fhir+json"],
        "rest": [{ "mode": "server", "resource": resources }],
    })
    .to_string();
    // First what it is, as in every other resource.
    let members = members.strip_prefix('{').unwrap_or_default();
    format!("{{\"resourceType\":\"CapabilityStatement\",{members}")
}

fn resource(kind: ResourceType) -> Value {
    let interactions = ["read", "vread", "update", "delete", "create", "search-type"];
    let search: Vec<Value> = params(kind)
        .map(|param| json!({ "name": param.name, "type": param.kind.as_str(), "documentation": param.about }))
        .collect();
    json!({
        "type": kind.as_str(),
        "profile": { "reference": format!("http://hl7.org/fhir/StructureDefinition/{kind}") },
        "interaction": interactions.map(|code| json!({ "code": code })),
        "versioning": "versioned-update",
        "readHistory": true,
        "updateCreate": true,
        "conditionalCreate": true,
        "conditionalRead": "not-match",
        "conditionalUpdate": false,
        "conditionalDelete": "not-supported",
        "searchParam": search,
    })
}
