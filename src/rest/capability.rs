//! The CapabilityStatement.

use super::address::Operation;
use super::include::FOLLOWED;
use super::{FHIR_JSON, FHIR_XML, JSON_PATCH};
use crate::convert::Version;
use crate::primitive::CanonicalBase;
use crate::search::{ParamKind, ResourceType, params};
use crate::store::{AtomicScope, Capabilities};
use serde_json::{Value, json};

/// What it says of the versions of FHIR.
const VERSIONS: &str = "Resources are kept in FHIR STU3, and are read and written in 3.0, 4.0, 4.3 and 5.0: as the parameter \
    `fhirVersion` of the media type says in Accept, _format and Content-Type; XML, where it is listed, is of 3.0 alone. From 4.0 on a DeviceComponent is a Device with \
    a tag; it is read and written at Device/[id] and at DeviceComponent/[id], and found at DeviceComponent and at Device?_tag=DeviceComponent. Search \
    parameters are those of STU3.";

/// The CapabilityStatement in a version of FHIR. It is made from the tables by which the service works and from what the
/// store can do, so that it promises nothing else.
pub(super) fn statement(
    (base, canonical): (&str, &CanonicalBase),
    store: Capabilities,
    version: Version,
    subscriptions: bool,
    cors: bool,
) -> String {
    let is_stu3 = version == Version::Stu3;
    // From R4 on there is no DeviceComponent.
    let kinds = ResourceType::ALL.into_iter().filter(|kind| is_stu3 || *kind != ResourceType::DeviceComponent);
    let resources = kinds.map(|kind| resource(kind, store, is_stu3, canonical));
    // A Subscription is read and written in FHIR 3.0 alone.
    let resources: Vec<Value> = resources.chain((subscriptions && is_stu3).then(subscription)).collect();
    let of_version = |version: Version| format!("{FHIR_JSON}; fhirVersion={}", version.mime());
    let formats: Vec<String> =
        ["json".to_owned(), FHIR_JSON.to_owned()].into_iter().chain(Version::ALL.map(of_version)).collect();
    let xml = ["xml", FHIR_XML].map(str::to_owned).into_iter().filter(|_| cfg!(feature = "xml"));
    let formats: Vec<String> = formats.into_iter().chain(xml).collect();
    // A transaction of one write is none.
    let several = store.max_writes > 1 && store.atomic > AtomicScope::Key;
    let interactions =
        several.then_some("transaction").into_iter().chain(["batch"]).chain(store.changes.then_some("history-system"));
    let interactions: Vec<Value> = interactions.chain(["search-system"]).map(|code| json!({ "code": code })).collect();
    let mut members = json!({
        "status": "active",
        "date": "2026-11-24",
        "kind": "instance",
        "software": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Medical devices and the software updates for them", "url": base },
        "fhirVersion": version.number(),
        "format": formats,
        "patchFormat": [JSON_PATCH],
        "rest": [{
            "mode": "server",
            "documentation": VERSIONS,
            "security": security(is_stu3, cors),
            "resource": resources,
            "interaction": interactions,
            "operation": operations(is_stu3),
        }],
    });
    if let Some(members) = members.as_object_mut().filter(|_| is_stu3) {
        // Members of a resource that are not known are refused unless the client asks for leniency.
        members.insert("acceptUnknown".to_owned(), "no".into());
    }
    let members = members.to_string();
    // First what it is, as in every other resource.
    let members = members.strip_prefix('{').unwrap_or_default();
    format!("{{\"resourceType\":\"CapabilityStatement\",{members}")
}

/// What is done with Subscriptions.
fn subscription() -> Value {
    let interactions = ["read", "update", "delete", "create", "search-type"].map(|code| json!({ "code": code }));
    let param = |name: &str, kind: &str| {
        let definition = match name {
            "_id" => "http://hl7.org/fhir/SearchParameter/Resource-id".to_owned(),
            name => format!("http://hl7.org/fhir/SearchParameter/Subscription-{name}"),
        };
        json!({ "name": name, "definition": definition, "type": kind })
    };
    json!({
        "type": "Subscription",
        "profile": { "reference": "http://hl7.org/fhir/StructureDefinition/Subscription" },
        "documentation": "The channel `rest-hook`, with criteria over the types that are kept here. The values of headers are \
            hidden. A deletion is not told of.",
        "interaction": interactions.to_vec(),
        "versioning": "versioned",
        "readHistory": false,
        "updateCreate": false,
        "searchParam": [
            param("_id", "token"),
            param("contact", "token"),
            param("criteria", "string"),
            param("payload", "string"),
            param("status", "token"),
            param("type", "token"),
            param("url", "uri"),
        ],
    })
}

/// How clients sign in, where they do, and whether pages of other origins may ask.
fn security(is_stu3: bool, cors: bool) -> Value {
    let system = if is_stu3 {
        "http://hl7.org/fhir/restful-security-service"
    } else {
        "http://terminology.hl7.org/CodeSystem/restful-security-service"
    };
    json!({
        "cors": cors,
        "service": [{
            "coding": [{ "system": system, "code": "Basic" }],
            "text": "a token that the operator gives out, as `Authorization: Bearer`, or as the password of `Basic`",
        }],
        "description": "Where the service asks for a token, each is for some tenants and has some of the roles read, write, upload, \
            release, approve, device and operate. This statement is open to all.",
    })
}

/// The operations, by the definitions of FHIR.
fn operations(is_stu3: bool) -> Value {
    let each = Operation::ALL.map(|(name, _)| {
        let name = name.trim_start_matches('$');
        let definition = format!("http://hl7.org/fhir/OperationDefinition/Resource-{name}");
        json!({ "name": name, "definition": if is_stu3 { json!({ "reference": definition }) } else { definition.into() } })
    });
    Value::from(each.to_vec())
}

fn resource(kind: ResourceType, store: Capabilities, is_stu3: bool, base: &CanonicalBase) -> Value {
    let profile = format!("http://hl7.org/fhir/StructureDefinition/{kind}");
    let is_offered = |code: &&str| match *code {
        "vread" | "history-instance" => store.history,
        "history-type" => store.changes,
        _ => true,
    };
    let interactions: Vec<Value> =
        ["read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"]
            .into_iter()
            .filter(is_offered)
            .map(|code| json!({ "code": code }))
            .collect();
    // Where a search lags behind, it does not show what another client has just created.
    let conditional = store.search_read_your_writes;
    let search: Vec<Value> = params(kind)
        .filter(|param| store.search_beginnings || param.index.is_none() || param.kind != ParamKind::Text)
        .map(|param| {
            let definition = param.definition(kind, base);
            json!({ "name": param.name, "definition": definition, "type": param.kind.as_str(), "documentation": param.about })
        })
        .collect();
    let link = |(from, by, _): &(ResourceType, crate::search::Parameter, ResourceType)| format!("{from}:{by}");
    let mut from: Vec<String> = FOLLOWED.iter().filter(|(from, ..)| *from == kind).map(link).collect();
    let mut to: Vec<String> = FOLLOWED.iter().filter(|(.., to)| *to == kind).map(link).collect();
    for list in [&mut from, &mut to] {
        if !list.is_empty() {
            list.insert(0, "*".to_owned());
        }
    }
    let mut said = json!({
        "type": kind.as_str(),
        "profile": if is_stu3 { json!({ "reference": profile }) } else { profile.into() },
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
