//! What the service can do, as it says itself.

use super::JSON_PATCH;
use super::include::FOLLOWED;
use crate::search::{ParamKind, params};
use crate::store::{AtomicScope, Capabilities, ResourceType};
use serde_json::{Value, json};

/// The CapabilityStatement. It is made from the tables by which the service works and from what the store can do, so that it
/// promises nothing else.
pub(super) fn statement(base: &str, store: Capabilities) -> String {
    let resources: Vec<Value> = ResourceType::ALL.into_iter().map(|kind| resource(kind, store)).collect();
    // A transaction of one write is none.
    let several = store.max_writes > 1 && store.atomic > AtomicScope::Key;
    let interactions: Vec<Value> =
        several.then_some("transaction").into_iter().chain(["batch"]).map(|code| json!({ "code": code })).collect();
    let members = json!({
        "status": "active",
        "date": "2026-11-24",
        "kind": "instance",
        "software": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Medical devices and the software updates for them", "url": base },
        "fhirVersion": "3.0.2",
        "acceptUnknown": "no",
        "format": ["json", "application/fhir+json"],
        "patchFormat": [JSON_PATCH],
        "rest": [{
            "mode": "server",
            "resource": resources,
            "interaction": interactions,
        }],
    })
    .to_string();
    // First what it is, as in every other resource.
    let members = members.strip_prefix('{').unwrap_or_default();
    format!("{{\"resourceType\":\"CapabilityStatement\",{members}")
}

fn resource(kind: ResourceType, store: Capabilities) -> Value {
    let kept = ["vread", "history-instance"];
    let interactions: Vec<Value> =
        ["read", "vread", "update", "patch", "delete", "history-instance", "create", "search-type"]
            .into_iter()
            .filter(|code| store.history || !kept.contains(code))
            .map(|code| json!({ "code": code }))
            .collect();
    // Where a search lags behind, it does not show what another client has just created.
    let conditional = store.search_read_your_writes;
    let search: Vec<Value> = params(kind)
        .filter(|param| store.search_beginnings || param.index.is_none() || param.kind != ParamKind::Text)
        .map(|param| json!({ "name": param.name, "type": param.kind.as_str(), "documentation": param.about }))
        .collect();
    let link = |(from, by, _): &(ResourceType, crate::store::Parameter, ResourceType)| format!("{from}:{by}");
    let from: Vec<String> = FOLLOWED.iter().filter(|(from, ..)| *from == kind).map(link).collect();
    let to: Vec<String> = FOLLOWED.iter().filter(|(.., to)| *to == kind).map(link).collect();
    let mut said = json!({
        "type": kind.as_str(),
        "profile": { "reference": format!("http://hl7.org/fhir/StructureDefinition/{kind}") },
        "interaction": interactions,
        "versioning": "versioned-update",
        "readHistory": store.history,
        "updateCreate": true,
        "conditionalCreate": conditional,
        "conditionalRead": "full-support",
        "conditionalUpdate": conditional,
        "conditionalDelete": if conditional { "single" } else { "not-supported" },
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
