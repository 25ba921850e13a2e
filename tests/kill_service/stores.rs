//! The service as a process with failing stores: another ledger, a full disk, a lost file, and retention.

use super::operation::{Process, eventually};
use super::{Folder, binary};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

impl Folder {
    fn named(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fhir-devices-stores-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

fn data(folder: &Folder, options: &str) -> String {
    format!("--data '{}' {options}", folder.0.display())
}

/// Returns the form of an upload to the demo fleet.
fn form(bytes: &[u8]) -> Vec<u8> {
    let mut form = b"--edge\r\nContent-Disposition: form-data; name=\"DeviceId\"\r\n\r\ninfusion-pump-7\r\n\
        --edge\r\nContent-Disposition: form-data; name=\"Component\"\r\n\r\npump-lvp\r\n\
        --edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\r\n"
        .to_vec();
    form.extend_from_slice(bytes);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    form
}

fn upload(service: &Process, bytes: &[u8]) -> u16 {
    let kind = "Content-Type: multipart/form-data; boundary=edge\r\n";
    binary::ask(&service.address, "POST", "/demo/updates", kind, &form(bytes)).unwrap().status
}

fn put(service: &Process, id: &str, model: &str) -> u16 {
    let body = format!(r#"{{"resourceType":"Device","id":"{id}","model":"{model}"}}"#);
    let kind = "Content-Type: application/fhir+json\r\n";
    let path = format!("/demo/fhir/Device/{id}");
    binary::ask(&service.address, "PUT", &path, kind, body.as_bytes()).unwrap().status
}

fn text(service: &Process, path: &str) -> String {
    binary::ask(&service.address, "GET", path, "", b"").unwrap().text()
}

#[test]
fn lost_ledger_exits_with_4_until_adoption() {
    let folder = Folder::named("lost");
    let service = Process::start("", &data(&folder, ""));
    assert_eq!(upload(&service, b"firmware"), 201);
    assert_eq!(service.end().0, Some(0));
    std::fs::remove_file(folder.0.join("resources.redb")).unwrap();

    let files = files(&folder.0.join("files"));
    let refused =
        Command::new(binary::build()).args(["--listen", "127.0.0.1:0", "--data"]).arg(&folder.0).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(refused.stdout.is_empty() && said.contains("restore the ledger from its backup"), "{said}");
    assert!(said.contains("--adopt-store"), "{said}");
    assert_eq!(self::files(&folder.0.join("files")), files, "nothing was deleted");

    let adopting = Process::start("", &data(&folder, "--adopt-store"));
    assert_eq!(upload(&adopting, b"firmware"), 201);
    assert_eq!(adopting.end().0, Some(0));
    // It is the ledger's own from then on.
    let service = Process::start("", &data(&folder, ""));
    assert_eq!(service.get("/readyz", ""), 200);
    assert_eq!(service.end().0, Some(0));
}

/// Returns the files below a folder, by the ends of their names.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

/// Limits the size of files that the process writes, like a full disk; `false` where that is not possible.
fn limit(service: &Process, bytes: &str) -> bool {
    let arguments = [format!("--pid={}", service.child.id()), format!("--fsize={bytes}:unlimited")];
    match Command::new("prlimit").args(arguments).status() {
        Ok(status) if status.success() => true,
        _ => {
            println!("skipped: `prlimit` cannot limit the files of a process here");
            false
        }
    }
}

/// Without it the process would end at the first refused write.
const NO_SIGNAL: &str = "trap '' XFSZ;";

#[test]
fn full_disk_shows_in_readyz_and_recovers() {
    let folder = Folder::named("full");
    let service = Process::start(NO_SIGNAL, &data(&folder, ""));
    assert_eq!((put(&service, "before", "a"), upload(&service, b"firmware")), (201, 201));
    assert_eq!(service.get("/readyz", ""), 200);
    if !limit(&service, "4096") {
        return;
    }
    for (number, model) in ["b", "c", "d"].into_iter().enumerate() {
        let status = put(&service, "before", model);
        assert!(matches!(status, 500..600), "write {number}: {status}");
    }
    assert!(matches!(upload(&service, &[7; 600_000]), 500..600));
    eventually("`/readyz` says that there is none", || service.get("/readyz", "") == 503);
    let said = text(&service, "/readyz");
    assert!(said.contains("ledger") && said.contains("blobs"), "{said}");
    assert_eq!(service.get("/healthz", ""), 200);

    assert!(limit(&service, "unlimited"));
    eventually("writes go on", || put(&service, "before", "e") == 200);
    eventually("`/readyz` says that there is room", || service.get("/readyz", "") == 200);
    assert_eq!((put(&service, "after", "a"), upload(&service, &[7; 600_000])), (201, 201));
    // What was refused is not there, and what was acknowledged is.
    let history: Value = serde_json::from_str(&text(&service, "/demo/fhir/Device/before/_history")).unwrap();
    let models: Vec<_> = history["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]["model"]).collect();
    assert_eq!((models.first().unwrap().as_str(), models.last().unwrap().as_str()), (Some("e"), Some("a")));
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn full_blob_disk_shows_in_readyz() {
    let folder = Folder::named("files");
    let service = Process::start(NO_SIGNAL, &data(&folder, ""));
    // The file of the resources has its size from the beginning, and no file that comes may have as much.
    let size = std::fs::metadata(folder.0.join("resources.redb")).unwrap().len();
    if !limit(&service, &(size * 4).to_string()) {
        return;
    }
    let large = vec![7; usize::try_from(size * 5).unwrap()];
    assert!(matches!(upload(&service, &large), 500..600));
    assert_eq!(put(&service, "other", "a"), 201);
    assert_eq!(upload(&service, b"firmware"), 201);
    assert!(limit(&service, "unlimited"));
    assert_eq!(upload(&service, &large), 201);
}

#[test]
fn lost_file_exits_with_3() {
    let folder = Folder::named("gone");
    let service = Process::start(NO_SIGNAL, &data(&folder, ""));
    assert_eq!(put(&service, "before", "a"), 201);
    if !limit(&service, "4096") {
        return;
    }
    assert!(matches!(put(&service, "before", "b"), 500..600));
    // A foreign hand makes room in the wrong place.
    std::fs::write(folder.0.join("resources.redb"), b"").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(600));
    let _ = put(&service, "before", "c");
    let (status, log) = service.ended();
    assert_eq!(status, Some(3), "{log}");
    assert!(log.contains("the service cannot go on") && log.contains("is empty"), "{log}");
}

/// Returns the value of a metric.
fn number(service: &Process, name: &str) -> u64 {
    let metrics = text(service, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("update_service_{name} ")));
    line.unwrap_or_else(|| panic!("no `{name}` in {metrics}")).parse().unwrap()
}

#[test]
fn options_set_the_retention() {
    let folder = Folder::named("kept");
    let service = Process::start("", &data(&folder, "--keep-superseded 1 --keep-versions 2"));
    for bytes in [&b"one"[..], b"two", b"three", b"four"] {
        assert_eq!(upload(&service, bytes), 201);
    }
    let component: Value = serde_json::from_str(&text(&service, "/demo/fhir/DeviceComponent/pump-lvp")).unwrap();
    assert_eq!(component["extension"].as_array().unwrap().len(), 2, "the current one and one that is superseded");
    for model in ["a", "b", "c", "d"] {
        assert!(matches!(put(&service, "pump", model), 200 | 201));
    }
    assert_eq!(service.end().0, Some(0));
    // The maintenance after the next start removes what is not to be kept.
    let service = Process::start("", &data(&folder, "--keep-versions 2 --keep-withdrawn 0 --keep-ended 0"));
    eventually("the history has two versions", || {
        let history: Value = serde_json::from_str(&text(&service, "/demo/fhir/Device/pump/_history")).unwrap();
        history["entry"].as_array().unwrap().len() == 2
    });
    eventually("it is counted", || number(&service, "versions_removed_total") > 0);
    let id = text(&service, "/demo/fhir/DeviceComponent/pump-lvp");
    let id = id.split_once("\"valueId\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap().to_owned();
    let gone =
        binary::ask(&service.address, "DELETE", &format!("/demo/updates/{id}?reason=recalled"), "", b"").unwrap();
    assert!(matches!(gone.status, 200 | 202), "{}", gone.text());
    assert_eq!(service.end().0, Some(0));
    let service = Process::start("", &data(&folder, "--keep-withdrawn 0 --keep-ended 0"));
    eventually("the withdrawn update is no longer shown", || {
        !text(&service, "/demo/fhir/DeviceComponent/pump-lvp").contains(&id)
    });
    eventually("its removal is counted", || number(&service, "withdrawn_removed_total") > 0);
    assert_eq!(service.end().0, Some(0));
}
