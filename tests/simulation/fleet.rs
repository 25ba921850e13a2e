//! Two tenants, each with a device of two components with content of another writer.

use super::net::turn;
use fhir_devices::backend::Memory;
use fhir_devices::datatype::{Extension, ExtensionValue, Primitive};
use fhir_devices::manifest::IngestId;
use fhir_devices::primitive::{Text, Uri};
use fhir_devices::search::ResourceType;
use fhir_devices::store::*;
use fhir_devices::update::{AvailableUpdate, UpdateFile, attach, is_available_update};
use fhir_devices::{Device, DeviceComponent};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub(crate) const COMPONENTS: [&str; 2] = ["mds", "vmd"];

/// The content of another writer, which must be kept.
pub(crate) const FOREIGN: &str = r#"{"url":"https://acme.example/hours","valueDecimal":1200.500}"#;

pub(crate) fn tenants() -> [Tenant; 2] {
    ["st-mary", "st-john"].map(|name| name.parse().unwrap())
}

/// Polls until the end, which must come.
pub(crate) fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    (0..200_000).find_map(|_| match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Runs a call of the in-memory stores, whose futures are ready at once.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    run(future).unwrap()
}

pub(crate) fn component(id: &str) -> DeviceComponent {
    let (code, name, parent) = match id {
        "mds" => ("69965", "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", ""),
        _ => ("70662", "MDC_DEV_ECG_VMD", r#","parent":{"reference":"DeviceComponent/mds"}"#),
    };
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","extension":[{FOREIGN}],"identifier":{{"value":"{id}"}},
        "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}","display":"{name}"}}]}},
        "source":{{"reference":"Device/monitor"}}{parent}}}"#
    );
    DeviceComponent::from_json(json.as_bytes()).unwrap()
}

pub(crate) fn fill(memory: &Memory) {
    let device = Device::from_json(br#"{"resourceType":"Device","id":"monitor"}"#).unwrap();
    for tenant in tenants() {
        let mut writes = vec![device.to_write(Precondition::Absent).unwrap()];
        writes.extend(COMPONENTS.iter().map(|id| component(id).to_write(Precondition::Absent).unwrap()));
        now(memory.commit(&tenant, writes)).unwrap();
    }
}

/// Another writer: reads the component, waits, and writes a note into it on the condition that it is unchanged.
pub(crate) async fn note(store: &impl ResourceStore, tenant: &Tenant, id: &str, note: &str) -> Result<()> {
    let key = Key::new(ResourceType::DeviceComponent, id)?;
    let version = store.read(tenant, &key).await?;
    let mut component = DeviceComponent::from_version(&version)?;
    turn().await;
    let url = Uri::new("https://acme.example/note").unwrap();
    let value = ExtensionValue::String(Primitive::from(Text::new(note).unwrap()));
    component.extension.push(Extension::new(url, value));
    let write = component.to_write(Precondition::Version(version.version))?;
    store.commit(tenant, vec![write]).await.map(drop).map_err(|refused| refused.error)
}

/// The id of an update that another writer makes up.
pub(crate) const MADE_UP: IngestId = IngestId(u128::MAX);

/// Another writer: restores its own copy of the component, which has no updates, or a made-up one.
pub(crate) async fn overwrite(store: &impl ResourceStore, tenant: &Tenant, id: &str, forges: bool) -> Result<()> {
    let key = Key::new(ResourceType::DeviceComponent, id)?;
    let version = store.read(tenant, &key).await?;
    let mut component = DeviceComponent::from_version(&version)?;
    turn().await;
    if forges {
        let mut other = component.clone();
        other.extension.clear();
        let (url, content_type) = ("https://evil.example/x".parse().unwrap(), "application/zip".parse().unwrap());
        let file = UpdateFile::new(url, content_type, "x.bin".parse().unwrap());
        let update = AvailableUpdate::new(MADE_UP, BlobRef::of(b"evil"), file);
        attach(&mut other, &update);
        component.extension.extend(other.extension);
    } else {
        component.extension.retain(|extension| !is_available_update(extension.url.as_str()));
    }
    let write = component.to_write(Precondition::Version(version.version))?;
    store.commit(tenant, vec![write]).await.map(drop).map_err(|refused| refused.error)
}
