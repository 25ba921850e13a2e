//! The effect of the options `--keep-*` of the example `update_service` on uploads, files and versions.

use super::Folder;
use super::binary::{Reply, Service, ask, build};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const COMPONENT: &str = "/ward/fhir/DeviceComponent/pump-mds";

fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

fn get(service: &Service, path: &str) -> serde_json::Value {
    let reply = ask(service.address(), "GET", path, "", b"").unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    json(&reply)
}

fn form(text: &str, sha256: Option<&str>) -> String {
    let digest =
        sha256.map(|digest| format!("--edge\r\nContent-Disposition: form-data; name=\"Sha256\"\r\n\r\n{digest}\r\n"));
    format!(
        "--edge\r\nContent-Disposition: form-data; name=\"DeviceId\"\r\n\r\npump\r\n{}--edge\r\nContent-Disposition: form-data; \
         name=\"f\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n{text}\r\n--edge--\r\n",
        digest.unwrap_or_default()
    )
}

fn upload(service: &Service, form: &str) -> Reply {
    let headers = "Content-Type: multipart/form-data; boundary=edge\r\n";
    ask(service.address(), "POST", "/ward/updates", headers, form.as_bytes()).unwrap()
}

/// Returns the statuses of the updates in the component.
fn statuses(service: &Service) -> Vec<String> {
    let component = get(service, COMPONENT);
    let parts = component["extension"].as_array().cloned().unwrap_or_default();
    let status = |update: &serde_json::Value| {
        let parts = update["extension"].as_array().unwrap();
        let status = parts.iter().find(|part| part["url"] == "status").unwrap();
        status["valueCode"].as_str().unwrap().to_owned()
    };
    parts.iter().map(status).collect()
}

/// Returns the number of update files in a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path),
        false => usize::from(std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"firmware "))),
    };
    entries.map(|entry| count(entry.path())).sum()
}

/// The data that a service still has.
#[derive(Debug)]
struct Left {
    /// The statuses of the updates in the component.
    statuses: Vec<String>,
    files: usize,
    /// The states of the uploads.
    uploads: Vec<String>,
    /// The versions of the component.
    versions: usize,
}

/// Checks the rest after six uploads, of which the last is withdrawn, one has wrong bytes and one is interrupted, and
/// after the first round of a restarted service.
fn left(name: &str, options: &[&str], is_done: impl Fn(&Left) -> bool) {
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-keep-{name}-{}", std::process::id())));
    let (binary, data) = (build(), &folder.0);
    let service = Service::start_with(&binary, data, options);
    let device = r#"{"resourceType":"Device","id":"pump"}"#;
    let component = r#"{"resourceType":"DeviceComponent","id":"pump-mds","identifier":{"value":"1"},"type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#;
    for (path, body) in [("/ward/fhir/Device/pump", device), (COMPONENT, component)] {
        let kind = "Content-Type: application/fhir+json\r\n";
        assert_eq!(ask(service.address(), "PUT", path, kind, body.as_bytes()).unwrap().status, 201);
    }
    let mut last = String::new();
    for at in 0..6 {
        let reply = upload(&service, &form(&format!("firmware {at}"), None));
        assert_eq!(reply.status, 201, "{}", reply.text());
        let link = reply.header("link").unwrap();
        last = link.split_once("/updates/").and_then(|(_, rest)| rest.split('>').next()).unwrap().to_owned();
    }
    let withdrawn =
        ask(service.address(), "DELETE", &format!("/ward/updates/{last}?reason=recalled"), "", b"").unwrap();
    assert!(matches!(withdrawn.status, 200 | 202), "{}", withdrawn.text());
    assert_eq!(upload(&service, &form("firmware 7", Some(&"0".repeat(64)))).status, 422);
    // Large enough to be known to the ledger before it has come whole.
    let half = form(&"firmware 8".repeat(20_000), None);
    let mut broken = TcpStream::connect(service.address()).unwrap();
    let head = format!(
        "POST /ward/updates HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=edge\r\nContent-Length: {}\r\n\r\n",
        service.address(),
        half.len()
    );
    broken.write_all(head.as_bytes()).unwrap();
    broken.write_all(&half.as_bytes()[..half.len() - 20]).unwrap();
    drop(broken);
    let begun = Instant::now();
    service.stop();
    // It looks after its tenants at the start, and then once a minute. What one round ends, the next one removes.
    for _ in 0..2 {
        let service = Service::start_with(&binary, data, options);
        let has_looked = || {
            let metrics = ask(service.address(), "GET", "/metrics", "", b"").unwrap().text();
            metrics.lines().any(|line| line.contains("_rounds_total ") && line.ends_with(" 1"))
        };
        while !has_looked() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{name}: nobody looks after the tenants");
            std::thread::sleep(Duration::from_millis(20));
        }
        service.stop();
    }
    let service = Service::start_with(&binary, data, options);
    let begun = Instant::now();
    loop {
        let uploads = get(&service, "/ward/updates?_count=100");
        let state = |upload: &serde_json::Value| upload["state"].as_str().unwrap().to_owned();
        let uploads = uploads["updates"].as_array().unwrap().iter().map(state).collect();
        let versions = get(&service, &format!("{COMPONENT}/_history?_count=100"));
        let versions = versions["entry"].as_array().unwrap().len();
        let found = Left { statuses: statuses(&service), files: files(data), uploads, versions };
        if is_done(&found) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {found:?} is left");
        std::thread::sleep(Duration::from_millis(100));
    }
    service.stop();
}

#[test]
fn keep_options_remove_updates_files_records_and_versions() {
    let none = [
        ["--keep-superseded", "2"],
        ["--keep-withdrawn", "0"],
        ["--keep-ended", "0"],
        ["--keep-aborted", "0"],
        ["--upload-timeout", "0"],
        ["--keep-files", "0"],
        ["--keep-versions", "4"],
    ];
    left("none", none.as_flattened(), |left| {
        // A round removes versions before it takes the withdrawn update out of the component, which makes one more.
        left.statuses == ["superseded", "superseded"]
            && left.files == 2
            && left.uploads.len() == 2
            && left.versions <= 5
    });
}

/// Returns the number of uploads in a state.
fn count(left: &Left, state: &str) -> usize {
    left.uploads.iter().filter(|of| *of == state).count()
}

#[test]
fn without_keep_options_everything_is_kept_for_its_time() {
    left("default", &["--keep-superseded", "3"], |left| {
        // The file of what was retired or withdrawn stays for an hour, and every record for a day at least; an upload that broke
        // off has an hour to go on.
        left.statuses == ["superseded", "superseded", "superseded", "withdrawn"]
            && left.files >= 4
            && left.uploads.len() >= 8
            && count(left, "open") == 1
            && left.versions > 6
    });
}

#[test]
fn aborted_upload_is_kept_for_its_time_after_its_timeout() {
    // Those that are closed: what was retired, what had wrong bytes and what broke off.
    left("aborted", &["--upload-timeout", "0", "--keep-ended", "0"], |left| {
        count(left, "open") == 0 && count(left, "closed") == 2
    });
    left("forgotten", &["--upload-timeout", "0", "--keep-aborted", "0"], |left| {
        count(left, "open") == 0 && count(left, "closed") <= 2
    });
}
