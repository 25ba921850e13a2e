//! A FHIR STU3 server that others have written, where `FHIR_STU3_URL` leads to one: reads, writes, conditions and histories of
//! one resource, and a search by each kind of parameter. It is left as it was, but for deletions.

use super::RUNTIME;
use fhir_devices::backend::fhir_http::Options;
use fhir_devices::search::{Criterion, ResourceType};
use fhir_devices::store::*;
use fhir_devices::validate::Valid;
use fhir_devices::{Device, DeviceComponent};
use std::num::NonZeroU32;
use std::sync::Arc;

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap()
}

#[test]
fn resource_life_cycle_on_a_foreign_server() {
    let Ok(url) = std::env::var("FHIR_STU3_URL") else {
        return println!("skipped: FHIR_STU3_URL is not set");
    };
    RUNTIME.block_on(async {
        let server = Options::new().at_each(move |_| url.clone()).unwrap();
        let store = TenantResources::new(Arc::new(server), "foreign".parse().unwrap());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let (pump, part) = (format!("pump-{now}"), format!("part-{now}"));
        let json = format!(
            r#"{{"resourceType":"Device","id":"{pump}","identifier":[{{"system":"urn:sn","value":"{now}"}}],"model":"P9"}}"#
        );
        let mut device = Device::from_json(json.as_bytes()).unwrap();
        let key = Key::new(ResourceType::Device, pump.as_str()).unwrap();
        assert!(matches!(store.read(&key).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.history(&key, NonZeroU32::MAX, None).await, Err(StoreError::NotFound { .. })));
        let made = store.put(&Valid::new(device.clone()).unwrap(), Precondition::Absent).await.unwrap();
        assert_eq!((made.version, made.body.as_deref()), (v(1), Some(json.as_bytes())));
        let again = store.put(&Valid::new(device.clone()).unwrap(), Precondition::Absent).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
        device.model = Some(fhir_devices::primitive::Text::new("P10").unwrap().into());
        let update = Valid::new(device.clone()).unwrap().write(Precondition::Version(v(1))).unwrap().with_id(WriteId(u128::from(u64::MAX)));
        let second = store.write_resolved(update.clone()).await.unwrap();
        assert_eq!(second.version, v(2));
        assert_eq!(store.read(&key).await.unwrap(), second);
        assert_eq!(store.vread(&key, v(1)).await.unwrap(), made);
        let stale = store.put(&Valid::new(device).unwrap(), Precondition::Version(v(1))).await;
        assert!(matches!(stale, Err(StoreError::Conflict { current: Some(at), .. }) if at == v(2)), "{stale:?}");

        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{part}","identifier":{{"value":"{now}"}},
            "type":{{"text":"x"}},"source":{{"reference":"Device/{pump}"}}}}"#
        );
        let component = DeviceComponent::from_json(json.as_bytes()).unwrap();
        store.put(&Valid::new(component).unwrap(), Precondition::Absent).await.unwrap();
        let ids = async |search: Search| -> Vec<String> {
            let found = store.all(search).await.unwrap();
            found.iter().map(|version| version.key.id().to_string()).collect()
        };
        let parts = Search::new(ResourceType::DeviceComponent);
        assert_eq!(ids(parts.clone().and(Criterion::source(&format!("Device/{pump}")))).await, [part.as_str()]);
        assert_eq!(ids(parts.and(Criterion::Id(part.as_str().into()))).await, [part.as_str()]);
        let devices = Search::new(ResourceType::Device);
        let by_number = format!("urn:sn|{now}").parse().unwrap();
        assert_eq!(ids(devices.and(Criterion::identifier(by_number))).await, [pump.as_str()]);

        for key in [Key::new(ResourceType::DeviceComponent, part).unwrap(), key.clone()] {
            store.delete(key, Precondition::Exists).await.unwrap();
        }
        assert!(matches!(store.read(&key).await, Err(StoreError::Gone { at, .. }) if at == v(3)));
        let history = store.history(&key, NonZeroU32::MAX, None).await.unwrap();
        let told: Vec<_> = history.items.iter().map(|version| (version.version.get(), version.is_deleted())).collect();
        assert_eq!(told, [(3, true), (2, false), (1, false)]);
    });
}
