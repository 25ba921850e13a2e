//! Operating the service: settings from several sources, and several processes over one ledger.

use super::client::Service;
use super::sources;
use fhir_devices::backend::Memory;
use fhir_devices::server::{self, Stores, UpdateServer, shared_page_key};
use std::ffi::OsString;
use std::sync::Arc;

fn all(given: &[&str], environment: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let given = given.iter().map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let all = sources::arguments(given, environment)?;
    Ok(all.into_iter().map(|argument| argument.into_string().unwrap()).collect())
}

/// A settings file that is removed at the end.
struct File(std::path::PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fhir-devices-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn settings_come_from_file_environment_and_arguments() {
    let file = File::with(
        "all",
        "# ours\n\nDEVICE_UPDATES_LOG=warn\nDEVICE_UPDATES_LISTEN = \"127.0.0.1:1\"\nDEVICE_UPDATES_NO_DEMO=true\n",
    );
    let environment =
        [("DEVICE_UPDATES_LISTEN", "127.0.0.1:2"), ("DEVICE_UPDATES_REGION", "a=slots b=slots"), ("HOME", "/")];
    let found = all(&["--settings", file.path(), "--listen", "127.0.0.1:3"], &environment).unwrap();
    assert_eq!(
        found,
        [
            "--listen=127.0.0.1:2",
            "--log=warn",
            "--no-demo",
            "--region=a=slots",
            "--region=b=slots",
            "--listen",
            "127.0.0.1:3"
        ]
    );
    let settings = super::settings::read(found.into_iter()).unwrap().unwrap();
    assert_eq!((settings.listen.port(), settings.demo, settings.regions.len()), (3, false, 2));
    let named = [("DEVICE_UPDATES_SETTINGS", file.path()), ("DEVICE_UPDATES_NO_DEMO", "false")];
    assert_eq!(all(&[], &named).unwrap(), ["--listen=127.0.0.1:1", "--log=warn"]);
}

#[test]
fn regions_name_how_their_devices_are_reached() {
    use super::settings::{Reached, read};
    let given = ["--region=ward=slots", "--region=eu=iot-hub:/etc/eu", "--region=lab=mqtt:mqtts://broker:8883"];
    let settings = read(given.into_iter().chain(["--region-file=lab=/etc/lab"])).unwrap().unwrap();
    let reached: Vec<_> = settings.regions.iter().map(|(name, reached)| (name.as_str(), reached)).collect();
    let (hub, broker) = (Reached::IotHub("/etc/eu".into()), Reached::Mqtt("mqtts://broker:8883".to_owned()));
    assert_eq!(reached, [("ward", &Reached::Slots), ("eu", &hub), ("lab", &broker)]);
    assert_eq!(settings.region_files.len(), 1);
    for wrong in ["lab", "lab=", "lab=other:the-password", "lab=mqtt:", "lab=iot-hub", "UP!=slots"] {
        let refused = read([format!("--region={wrong}")].into_iter()).unwrap_err();
        assert!(!refused.contains("the-password"), "{refused}");
    }
    assert!(read(["--region-file=lab"].into_iter()).is_err());
}

#[test]
fn wrong_settings_name_their_place() {
    let file = File::with("wrong", "DEVICE_UPDATES_LOG=warn\nLISTEN=127.0.0.1:1\n");
    let wrong = all(&[&format!("--settings={}", file.path())], &[]).unwrap_err();
    assert!(wrong.contains("line 2 is no") && wrong.contains(file.path()), "{wrong}");
    assert!(all(&["--settings"], &[]).unwrap_err().contains("wants a value"));
    assert!(all(&["--settings", "/no/such/file"], &[]).unwrap_err().contains("/no/such/file"));
    assert!(all(&[], &[("DEVICE_UPDATES_NO_DEMO", "perhaps")]).unwrap_err().contains("`true` or `false`"));
    let unknown = all(&[], &[("DEVICE_UPDATES_NO_SUCH", "1")]).unwrap();
    assert!(super::settings::read(unknown.into_iter()).unwrap_err().contains("no-such"));
}

#[test]
fn deployed_settings_are_ones_that_the_service_knows() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy/update-service.env");
    let found = all(&["--settings", path], &[]).unwrap();
    let settings = super::settings::read(found.into_iter()).unwrap().unwrap();
    assert!(settings.tls.is_some() && settings.tokens.is_some() && !settings.demo);
    // The lines that are comments are settings too.
    let text = std::fs::read_to_string(path).unwrap().replace("#DEVICE_UPDATES_", "DEVICE_UPDATES_");
    let file = File::with("deployed", &text);
    let found = all(&["--settings", file.path()], &[]).unwrap();
    assert!(super::settings::read(found.into_iter()).unwrap().unwrap().postgres.is_some());
}

#[tokio::test]
async fn page_links_of_one_process_are_taken_by_another() {
    let memory = Arc::new(Memory::new());
    let stores = || Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory.clone() };
    let mut keys = Vec::new();
    for _ in 0..2 {
        keys.push(shared_page_key(&stores().ledger).await.unwrap());
    }
    let server = |key: Option<_>| {
        move |base: &str, stores| {
            let app = UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap();
            match key {
                Some(key) => app.with_page_key(key),
                None => app,
            }
        }
    };
    let mut keys = keys.into_iter();
    let (first, second) = (server(keys.next()), server(keys.next()));
    let one = Service::with(|base| first(base, stores())).await;
    let other = Service::with(|base| second(base, stores())).await;
    let alone = Service::with(|base| server(None)(base, stores())).await;
    let page = one.get("/demo/fhir/DeviceComponent?_count=2").await.json();
    let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap();
    let next = next["url"].as_str().unwrap().split_once(&one.address.to_string()).unwrap().1.to_owned();
    assert_eq!(other.get(&next).await.status, 200);
    // Without the shared secret it is as before.
    assert_eq!(alone.get(&next).await.status, 400);
}
