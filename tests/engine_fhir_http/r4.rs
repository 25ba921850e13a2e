//! Another vendor's FHIR R4 server, at `FHIR_R4_URL` with `{tenant}` for a tenant.

use super::client::{Form, Service};
use super::dressed::Dressed;
use super::foreign::{clauses_hold, url_in};
use super::odd::{Heard, Odd, Say, say};
use super::{RUNTIME, block_on};
use fhir_devices::backend::Memory;
use fhir_devices::backend::fhir_http::Options;
use fhir_devices::convert::{self, Components, IdPolicy, Version};
use fhir_devices::search::ResourceType;
use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, UpdateServer};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::{Device, Valid};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn r4(conversion: convert::Options) -> Options {
    Options::new().fhir_version(Version::R4).conversion(conversion)
}

/// Returns options under which components and devices have separate ids.
fn apart() -> Options {
    r4(convert::Options::default().ids(IdPolicy::Prefix("dc-".to_owned())))
}

#[test]
fn contract_holds_over_a_foreign_r4_server() {
    let Some(url) = url_in("FHIR_R4_URL") else { return };
    clauses_hold(apart(), &url);
}

#[test]
fn histories_over_a_foreign_r4_server_are_linearizable() {
    let Some(url) = url_in("FHIR_R4_URL") else { return };
    let store = RUNTIME.block_on(apart().connect(&url, &"foreign".parse().unwrap())).unwrap();
    let store: Arc<dyn ResourceStore> = Arc::new(Dressed(store));
    history::resources(&store, &block_on, 0..5).unwrap();
}

#[test]
fn other_versions_are_refused() {
    for version in [Version::R4B, Version::R5] {
        let refused = Options::new().fhir_version(version).at("https://fhir.example/{tenant}");
        assert!(matches!(refused, Err(StoreError::Invalid { .. })));
    }
}

/// The hospital's own devices in its server: a pump, and a VMD known by its code alone.
#[test]
fn native_devices_of_r4_get_updates() {
    let Some(url) = url_in("FHIR_R4_URL") else { return };
    RUNTIME.block_on(async {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let tenant: Tenant = format!("native-{now}").parse().unwrap();
        let parsed = url::Url::parse(&url.replace("{tenant}", tenant.as_str())).unwrap();
        let address = format!("{}:{}", parsed.host_str().unwrap(), parsed.port().unwrap()).parse().unwrap();
        let hospital = Service { address };
        let pump = json!({"resourceType": "Device", "id": "pump", "modelNumber": "P9",
            "deviceName": [{"name": "Flow", "type": "user-friendly-name"}], "safety": [{"text": "MR safe"}]});
        let vmd = json!({"resourceType": "Device", "id": "vmd", "parent": {"reference": "Device/pump"},
            "type": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "69710"}]},
            "deviceName": [{"name": "Oximeter", "type": "user-friendly-name"}]});
        for native in [&pump, &vmd] {
            let path = format!("{}/Device/{}", parsed.path(), native["id"].as_str().unwrap());
            let made = hospital.json("PUT", &path, &[], &native.to_string()).await;
            assert_eq!(made.status, 201, "{}", made.text());
        }
        let shown = async |id: &str| -> Value { hospital.get(&format!("{}/Device/{id}", parsed.path())).await.json() };
        let links = convert::LinkPolicy::Source;
        let conversion = convert::Options::default().components(Components::ByLevel).links(links);
        let resources = Arc::new(r4(conversion).connect(&url, &tenant).await.unwrap());

        // What is read and written again keeps what STU3 has no place for.
        let store = TenantResources::new(resources.clone(), tenant.clone());
        let (mut device, version) = store.get::<Device>("pump").await.unwrap();
        device.lot_number = Some(fhir_devices::primitive::Text::new("7").unwrap().into());
        store.put(&Valid::new(device).unwrap(), Precondition::Version(version.version)).await.unwrap();
        let now = shown("pump").await;
        assert_eq!(
            (&now["deviceName"], &now["safety"], &now["modelNumber"]),
            (&pump["deviceName"], &pump["safety"], &pump["modelNumber"])
        );
        assert_eq!(now["lotNumber"], "7");
        let devices = store.all(Search::new(ResourceType::Device)).await.unwrap();
        assert_eq!(devices.iter().map(|found| found.key.to_string()).collect::<Vec<_>>(), ["Device/pump"]);

        // The VMD is a component here, and gets an update.
        let here = Arc::new(Memory::new());
        let stores = Stores { resources, blobs: here.clone(), ledger: here };
        let service = Service::with(|base| UpdateServer::over(stores, base, DEFAULT_MAX_UPLOAD).unwrap()).await;
        let form = Form::of("pump").field("Component", "vmd").file("flow.bin", b"firmware");
        let made = service.upload(tenant.as_str(), &[], &form).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let now = shown("vmd").await;
        assert_eq!(now["deviceName"], vmd["deviceName"], "{now}");
        assert!(now["extension"].to_string().contains("flow.bin"), "{now}");
    });
}

/// A server with two Devices that can be converted, one that would lose an element, and an invalid one.
fn three_and_a_loss(heard: &Heard) -> Say {
    let device = |id: &str, member: &str| -> Value {
        let json = format!(
            r#"{{"resourceType":"Device","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2017-04-19T10:00:00Z"}}{member}}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    let lost =
        r#","extension":[{"url":"http://a.example","valueExpression":{"language":"text/cql","expression":"1"}}]"#;
    let all =
        [device("a", ""), device("b", lost), device("c", r#","status":"gone""#), device("d", r#","modelNumber":"P9""#)];
    match heard.line.rsplit('/').next().unwrap() {
        id @ ("a" | "b" | "c" | "d") => say(200, all.iter().find(|one| one["id"] == id).unwrap().to_string()),
        _ => {
            let entries: Vec<_> = all.iter().map(|one| json!({"resource": one})).collect();
            say(200, json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string())
        }
    }
}

#[tokio::test]
async fn unconvertible_resource_is_left_out_of_a_search_and_named() {
    let odd = Odd::start(three_and_a_loss).await;
    let (tenant, url): (Tenant, _) = ("ward".parse().unwrap(), format!("http://{}/{{tenant}}", odd.address));
    let search = Search::new(ResourceType::Device);
    let options = || r4(convert::Options::default());

    // Where nobody is told, nothing is passed over in silence.
    let refused = options().at(&url).unwrap().search(&tenant, &search).await.unwrap_err();
    assert!(refused.to_string().contains("unreadable") || format!("{refused:?}").contains("`Device/b`"), "{refused:?}");

    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let store = options()
        .leave_out_unreadable(move |tenant, resource, why| {
            tell.lock().unwrap().push((tenant.to_string(), resource.to_owned(), why.to_owned()));
        })
        .at(&url)
        .unwrap();
    let found = store.search(&tenant, &search).await.unwrap();
    let ids: Vec<_> = found.items.iter().map(|version| version.key.to_string()).collect();
    assert_eq!((ids, found.next), (vec!["Device/a".to_owned(), "Device/d".to_owned()], None));
    let told = told.lock().unwrap().clone();
    let [(ward, b, lost), (_, c, wrong)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((ward.as_str(), b.as_str(), c.as_str()), ("ward", "Device/b", "Device/c"));
    assert!(lost.contains("valueExpression") && wrong.contains("status"), "{lost}; {wrong}");
    for (id, is_there) in [("a", true), ("b", false), ("c", false)] {
        let key = Key::new(ResourceType::Device, id).unwrap();
        assert_eq!(store.read(&tenant, &key).await.is_ok(), is_there, "{id}");
    }
}
