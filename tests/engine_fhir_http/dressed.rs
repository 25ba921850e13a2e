//! The bodies and entries of the test kit as resources that a FHIR server accepts.
//!
//! The kit writes bodies such as `1`, with entries that no body has. Here each becomes a resource that holds both: the
//! body in an extension, the entries in the elements of the search parameters. A DeviceComponent of the kit is stored
//! as a Device, which may have many identifiers, and the other way round; a source and a parent of such a Device are
//! its patient and its location. References are absolute, to resources of the right type on a server that does not
//! exist, since servers accept no other reference to resources that they lack. All else is the store's: versions,
//! conditions, pages, tokens, errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fhir_devices::search::{Criterion, Parameter, ResourceType, Token, TokenMatch};
use fhir_devices::store::*;
use serde_json::{Value, json};
use std::num::NonZeroU32;

const BODY: &str = "https://kit.example/body";
const MAX_BODY: u64 = 64 << 10;

pub(crate) struct Dressed<S>(pub(crate) S);

fn other(kind: ResourceType) -> ResourceType {
    match kind {
        ResourceType::Device => ResourceType::DeviceComponent,
        ResourceType::DeviceComponent => ResourceType::Device,
        other => other,
    }
}

fn key(key: &Key) -> Key {
    Key::new(other(key.resource_type()), key.id().clone()).unwrap()
}

/// Returns the corresponding parameter of the other type; `kind` is the kit's type.
fn parameter(kind: ResourceType, of: Parameter) -> Parameter {
    match (kind, of) {
        (ResourceType::DeviceComponent, Parameter::Source) => Parameter::Patient,
        (ResourceType::DeviceComponent, Parameter::Parent) => Parameter::Location,
        (_, of) => of,
    }
}

/// Returns a value in the form that a resource can hold: a reference to an unknown resource, a URL without characters
/// that URLs exclude. `kind` is the kit's type.
fn value(kind: ResourceType, of: Parameter, value: &str) -> String {
    let target = match (kind, of) {
        (ResourceType::DeviceComponent, Parameter::Source) => "Patient",
        (ResourceType::DeviceComponent, Parameter::Parent) => "Location",
        (_, Parameter::Source) => "Device",
        _ => "DeviceComponent",
    };
    match of {
        Parameter::Source | Parameter::Parent => format!("https://kit.example/fhir/{target}/{}", id(value)),
        Parameter::Url => value.replace('%', "%25").replace('\\', "%5C"),
        _ => value.to_owned(),
    }
}

/// Returns an id that keeps the beginning of the text.
fn id(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("-{:x}-", u32::from(c)) };
    text.chars().map(letter).collect()
}

fn dress(write: &Write) -> Result<Vec<u8>> {
    let kind = other(write.key.resource_type());
    let body = write.body.as_ref().map(|body| STANDARD.encode(body)).unwrap_or_default();
    let mut resource = json!({
        "resourceType": kind.as_str(),
        "id": write.key.id().as_str(),
        "extension": [{"url": BODY, "valueString": format!("={body}")}],
    });
    let (mut identifiers, mut codings) = (Vec::new(), Vec::new());
    let token = |token: &Token, name: &str| match &token.system {
        Some(system) => json!({"system": system.as_str(), name: token.value.as_str()}),
        None => json!({name: token.value.as_str()}),
    };
    for (of, entry) in write.index.iter() {
        let text = value(write.key.resource_type(), of, &entry.value);
        let (name, element) = match parameter(write.key.resource_type(), of) {
            Parameter::Identifier => {
                identifiers.push(token(entry, "value"));
                continue;
            }
            Parameter::Type => {
                codings.push(token(entry, "code"));
                continue;
            }
            Parameter::Url => ("url", json!(text)),
            Parameter::Model => ("model", json!(text)),
            Parameter::Manufacturer => ("manufacturer", json!(text)),
            reference => (reference.as_str(), json!({"reference": text})),
        };
        if resource.get(name).is_some() || (entry.system.is_some() && name != "identifier") {
            return Err(StoreError::invalid(format!("no resource holds these entries: {:?}", write.index)));
        }
        resource[name] = element;
    }
    match kind {
        ResourceType::Device => {
            if !identifiers.is_empty() {
                resource["identifier"] = Value::Array(identifiers);
            }
            if !codings.is_empty() {
                resource["type"] = json!({"coding": codings});
            }
        }
        _ => {
            if identifiers.len() > 1 {
                return Err(StoreError::invalid("a DeviceComponent has one identifier"));
            }
            resource["identifier"] = identifiers.pop().unwrap_or_else(|| json!({"value": "of the kit"}));
            resource["type"] = json!({"text": "of the kit", "coding": codings});
            if codings.is_empty() {
                resource["type"] = json!({"text": "of the kit"});
            }
        }
    }
    Ok(resource.to_string().into_bytes())
}

fn undress(version: Version) -> Version {
    let body = version.body.map(|body| {
        let resource: Value = serde_json::from_slice(&body).unwrap();
        let extensions = resource["extension"].as_array().unwrap();
        let held = extensions.iter().find(|extension| extension["url"] == BODY).unwrap();
        STANDARD.decode(&held["valueString"].as_str().unwrap()[1..]).unwrap().into()
    });
    Version { key: key(&version.key), body, ..version }
}

fn criterion(kind: ResourceType, criterion: &Criterion) -> Criterion {
    let text = |of: &Parameter, text: &str| value(kind, *of, text).into();
    match criterion {
        Criterion::Is(of, TokenMatch::Value(value)) => {
            Criterion::Is(parameter(kind, *of), TokenMatch::Value(text(of, value)))
        }
        Criterion::Is(of, wanted) => Criterion::Is(parameter(kind, *of), wanted.clone()),
        Criterion::Begins(of, start) => Criterion::Begins(parameter(kind, *of), text(of, start)),
        Criterion::AnyOf(any) => Criterion::AnyOf(any.iter().map(|one| self::criterion(kind, one)).collect()),
        other => other.clone(),
    }
}

fn page(page: Page<Version>) -> Page<Version> {
    Page { items: page.items.into_iter().map(undress).collect(), next: page.next }
}

impl<S: ResourceStore> ResourceStore for Dressed<S> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.max_body = MAX_BODY;
        capabilities
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, of: &'a Key) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.0.read(tenant, &key(of)).await.map(undress) })
    }

    fn vread<'a>(&'a self, tenant: &'a Tenant, of: &'a Key, version: VersionId) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.0.vread(tenant, &key(of), version).await.map(undress) })
    }

    fn commit<'a>(
        &'a self,
        tenant: &'a Tenant,
        writes: Vec<Write>,
    ) -> BoxFuture<'a, Result<Vec<Version>, CommitError>> {
        Box::pin(async move {
            let mut dressed = Vec::new();
            for (at, write) in writes.into_iter().enumerate() {
                if write.body.as_ref().is_some_and(|body| body.len() as u64 > MAX_BODY) {
                    return Err(CommitError::at(at, StoreError::too_large(MAX_BODY)));
                }
                let body = match &write.body {
                    Some(_) => Some(dress(&write).map_err(|error| CommitError::at(at, error))?.into()),
                    None => None,
                };
                dressed.push(Write { key: key(&write.key), body, ..write });
            }
            let made = self.0.commit(tenant, dressed).await?;
            Ok(made.into_iter().map(undress).collect())
        })
    }

    fn search<'a>(&'a self, tenant: &'a Tenant, search: &'a Search) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move {
            let kind = search.resource_type;
            let all_of = search.all_of.iter().map(|one| criterion(kind, one)).collect();
            let search = Search { resource_type: other(kind), all_of, ..search.clone() };
            self.0.search(tenant, &search).await.map(page)
        })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        of: &'a Key,
        limit: NonZeroU32,
        after: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<Page<Version>>> {
        Box::pin(async move { self.0.history(tenant, &key(of), limit, after).await.map(page) })
    }

    fn prune_history<'a>(&'a self, tenant: &'a Tenant, of: &'a Key, keep: NonZeroU32) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.0.prune_history(tenant, &key(of), keep).await })
    }
}
