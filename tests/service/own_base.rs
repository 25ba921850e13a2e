//! References that are written as the service's own absolute URL.

use super::*;
use fhir_devices::reference::OwnBase;
use fhir_devices::rest::{Request, Server};

const BASE: &str = "https://updates.example/st-mary/fhir";

/// A monitor whose components refer to each other by absolute URLs.
fn absolute(base: &str) -> (Arc<Memory>, Service<Memory>) {
    let memory = Arc::new(Memory::new());
    let device = Device::from_json(br#"{"resourceType":"Device","id":"monitor"}"#).unwrap();
    put(&*memory, &ours(), &device, Precondition::Absent);
    for (id, code, display, parent) in MONITOR {
        let json = component(id, code, display, parent).body();
        let json = json.replace(r#"reference":""#, &format!(r#"reference":"{base}/"#));
        let component = DeviceComponent::from_json(json.as_bytes()).unwrap();
        put(&*memory, &ours(), &component, Precondition::Absent);
    }
    let service = UpdateService::new(memory.clone(), memory.clone(), memory.clone()).unwrap();
    (memory, service.with_own_base(|tenant| OwnBase::new(&format!("https://updates.example/{tenant}/fhir/"))))
}

#[test]
fn own_absolute_source_is_found() {
    for base in [BASE, "http://UPDATES.example:80/st-mary/fhir", "https://updates.example/st-m%61ry/fhir/"] {
        let (memory, service) = absolute(base);
        let received = receive(&service, submission(Selector::Level(Level::Channel)), firmware()).unwrap();
        assert_eq!(received.component.logical_id().unwrap(), "lead-1", "{base}");
        assert_eq!(
            received.component.source.unwrap().reference.unwrap().value.unwrap(),
            format!("{base}/Device/monitor").as_str()
        );

        let server = Server::new(resources(&memory), BASE);
        let tree = block_on(server.store().device_tree("monitor")).unwrap();
        assert_eq!((tree.resources.len(), tree.tree().root_components().count()), (5, 1), "{base}");
        for query in
            ["source=monitor", "source=Device/monitor", "source=http://updates.example/st-mary/fhir/Device/monitor"]
        {
            let found = block_on(server.handle(&Request::new("GET", "DeviceComponent").query(query)));
            assert!(String::from_utf8_lossy(&found.body).contains(r#""total":4"#), "{base} {query}");
        }
        let query = "_id=monitor&_revinclude=DeviceComponent:source";
        let found = block_on(server.handle(&Request::new("GET", "Device").query(query)));
        assert_eq!(String::from_utf8_lossy(&found.body).matches(r#""mode":"include""#).count(), 4, "{base}");
    }
}

#[test]
fn absolute_source_of_another_service_is_foreign() {
    for base in ["https://updates.example/icu/fhir", "https://other.example/st-mary/fhir"] {
        let (memory, service) = absolute(base);
        let refused = receive(&service, submission(Selector::Level(Level::Channel)), firmware());
        assert!(matches!(refused, Err(ReceiveError::Unresolved(SelectError::None { .. }))), "{base}: {refused:?}");
        let server = Server::new(resources(&memory), BASE);
        let found = block_on(server.handle(&Request::new("GET", "DeviceComponent").query("source=monitor")));
        assert!(String::from_utf8_lossy(&found.body).contains(r#""total":0"#), "{base}");
    }
}

#[test]
fn child_with_a_foreign_source_is_not_a_target() {
    let (memory, service) = absolute(BASE);
    let (mut lead, version) = read(&memory, "lead-1");
    lead.source.as_mut().unwrap().reference.as_mut().unwrap().value =
        Some("https://other.example/st-mary/fhir/Device/monitor".parse().unwrap());
    put(&*memory, &ours(), &lead, Precondition::Version(version.version));
    let refused = receive(&service, submission(Selector::Level(Level::Channel)), firmware());
    assert!(matches!(refused, Err(ReceiveError::Unresolved(_))), "{refused:?}");
}

#[test]
fn percent_encoded_id_in_an_own_url_is_recognised() {
    for device in ["Device/m%6Fnitor", "%44evice/monitor", "Device/%6donitor/_history/1"] {
        let (memory, service) = absolute(BASE);
        for (id, code, display, parent) in MONITOR {
            let json = component(id, code, display, parent).body();
            let json = json.replace("Device/monitor", &format!("{BASE}/{device}"));
            let json = json.replace("DeviceComponent/", &format!("{BASE}/DeviceCompon%65nt/"));
            put(&*memory, &ours(), &DeviceComponent::from_json(json.as_bytes()).unwrap(), Precondition::Exists);
        }
        let received = receive(&service, submission(Selector::Level(Level::Channel)), firmware()).unwrap();
        assert_eq!(received.component.logical_id().unwrap(), "lead-1", "{device}");
        let server = Server::new(resources(&memory), BASE);
        let tree = block_on(server.store().device_tree("monitor")).unwrap();
        assert_eq!((tree.resources.len(), tree.tree().root_components().count()), (5, 1), "{device}");
        let search = Request::new("GET", "DeviceComponent").query("source=monitor");
        let found = block_on(server.handle(&search));
        assert!(String::from_utf8_lossy(&found.body).contains(r#""total":4"#), "{device}");
    }
}
