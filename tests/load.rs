//! Whatever one client sends within the size limits, the example `update_service` grows by at most 256 MiB, and answers
//! another client's `GET metadata` in time: a hostile corpus against the real binary, one by one and sixteen at once.
//!
//! `LOAD_DEVICES=400 cargo test --release --features redb,server --test load -- --nocapture` runs it over 400 Devices
//! of 3.8 MB and prints the time of each request; without the variable there are 24. `LOAD_POLLS=10000` sets the number
//! of devices that poll hawkBit's interface.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[allow(dead_code, reason = "another test starts and kills it in more ways")]
#[path = "kill_service/binary.rs"]
mod binary;

use binary::{Service, ask};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum growth of the process, in bytes.
const GROWTH: u64 = 256 << 20;

/// Maximum time of 99 % of the probes. A build without optimisation, on a busy machine, is no measure.
const P99: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 100 });

const JSON: &str = "Content-Type: application/fhir+json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

const PATCH: &str = "Content-Type: application/json-patch+json\r\n";
const MULTIPART: &str = "Content-Type: multipart/form-data; boundary=edge\r\n";

/// Gives each measurement the machine to itself.
static ALONE: Mutex<()> = Mutex::new(());

/// A request, named for its fault.
struct Hostile {
    name: &'static str,
    method: &'static str,
    path: String,
    headers: String,
    body: String,
}

fn request(name: &'static str, method: &'static str, path: &str, headers: &str, body: String) -> Hostile {
    Hostile { name, method, path: format!("/load/{path}"), headers: headers.to_owned(), body }
}

/// Returns items separated by commas, up to a number of bytes.
fn items(item: &str, bytes: usize) -> String {
    let mut text = format!("{item},").repeat(bytes / (item.len() + 1));
    text.pop();
    text
}

/// Returns a Device that needs about the maximum memory for its size.
fn wide(id: &str) -> String {
    format!(r#"{{"resourceType":"Device","id":"{id}","identifier":[{}]}}"#, items(r#"{"value":"1"}"#, 1_200_000))
}

fn batch(entries: &str) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries}]}}"#)
}

fn corpus() -> Vec<Hostile> {
    const BUNDLE: usize = (32 << 20) - 4_096;
    const DOCUMENT: usize = (4 << 20) - 4_096;
    let mut attributes = String::new();
    for at in 0..100_000 {
        let _ = write!(attributes, " a{at}='1'");
    }
    let div =
        format!(r#"{{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'{attributes}>a</div>"}}"#);
    let identifiers =
        |bytes| format!(r#"{{"resourceType":"Device","identifier":[{}]}}"#, items(r#"{"value":"1"}"#, bytes));
    let entry = |resource: &str| format!(r#"{{"resource":{resource},"request":{{"method":"POST","url":"Device"}}}}"#);
    let references = items(r##"{"reference":"#x"}"##, 200_000);
    let long_key = format!(r#"{{"resourceType":"Parameters","{}":[{references}]}}"#, "k".repeat(1_000_000));
    let many_headers = format!("{JSON}{}", "Prefer: return=minimal\r\n".repeat(2_000));
    let long_id = "a".repeat(1_000_000);
    let patch: Vec<String> =
        (0..1_000).map(|at| format!(r#"{{"op":"copy","from":"/identifier","path":"/x{at}"}}"#)).collect();
    let part = |name: &str| format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n");
    let values: Vec<String> = (0..16_000).map(|at| format!("n{at}")).collect();
    vec![
        request(
            "batch_that_reads_one_large_device",
            "POST",
            "fhir",
            JSON,
            batch(&items(r#"{"request":{"method":"GET","url":"Device/d0"}}"#, 212_000)),
        ),
        request(
            "bundle_of_unknown_members",
            "POST",
            "fhir",
            JSON,
            format!(r#"{{"resourceType":"Bundle","type":"batch"{}}}"#, r#","z":1"#.repeat(BUNDLE / 6)),
        ),
        request(
            "device_of_unknown_members",
            "PUT",
            "fhir/Device/a",
            JSON,
            format!(r#"{{"resourceType":"Device","id":"a"{}}}"#, r#","z":1"#.repeat(DOCUMENT / 6)),
        ),
        request("bundle_of_empty_entries", "POST", "fhir", JSON, batch(&items("{}", BUNDLE))),
        request(
            "batch_of_faulty_entries",
            "POST",
            "fhir",
            JSON,
            batch(&items(&entry(r#"{"resourceType":"Device","x":1}"#), 80_000 * 90)),
        ),
        request(
            "batch_of_small_devices",
            "POST",
            "fhir",
            JSON,
            batch(&items(&entry(r#"{"resourceType":"Device"}"#), BUNDLE)),
        ),
        request(
            "bundle_with_one_device_of_identifiers",
            "POST",
            "fhir",
            JSON,
            batch(&entry(&identifiers(BUNDLE - 1_000))),
        ),
        request("device_of_identifiers", "POST", "fhir/Device", JSON, identifiers(DOCUMENT)),
        request(
            "device_of_deep_extensions",
            "POST",
            "fhir/Device",
            JSON,
            format!(
                r#"{{"resourceType":"Device","extension":[{}]}}"#,
                items(&format!("{}{}", r#"{"extension":["#.repeat(50), "]}".repeat(50)), DOCUMENT)
            ),
        ),
        request(
            "contained_devices",
            "POST",
            "fhir/Device",
            JSON,
            format!(r#"{{"resourceType":"Device","contained":[{}]}}"#, items(r#"{"resourceType":"Device"}"#, DOCUMENT)),
        ),
        request(
            "narrative_of_attributes",
            "POST",
            "fhir/Device",
            JSON,
            format!(r#"{{"resourceType":"Device","text":{div}}}"#),
        ),
        request("references_under_a_long_name", "POST", "fhir", JSON, batch(&format!(r#"{{"resource":{long_key}}}"#))),
        request("search_of_values", "POST", "fhir/Device/_search", FORM, format!("identifier={}", values.join(","))),
        request("search_of_filters", "POST", "fhir/Device/_search", FORM, "model=a&".repeat(100_000)),
        request(
            "search_of_elements",
            "POST",
            "fhir/Device/_search",
            FORM,
            format!("_elements={}", items("a", 1_000_000)),
        ),
        request(
            "search_that_filters_large_devices",
            "GET",
            "fhir/Device?device-name:missing=false&_count=500",
            "",
            String::new(),
        ),
        request(
            "search_that_reads_large_devices",
            "GET",
            "fhir/Device?_tag:missing=true&_count=500",
            "",
            String::new(),
        ),
        request("sort_of_large_devices", "GET", "fhir/Device?_sort=-_lastUpdated&_count=1", "", String::new()),
        request(
            "sort_of_large_devices_that_are_filtered",
            "GET",
            "fhir/Device?_sort=_lastUpdated&device-name:missing=false&_count=500",
            "",
            String::new(),
        ),
        request(
            "sort_of_large_devices_by_four_keys",
            "GET",
            "fhir/Device?_sort=model,-manufacturer,-_lastUpdated,_id&_count=500",
            "",
            String::new(),
        ),
        request("page_of_large_devices", "GET", "fhir/Device?_count=500", "", String::new()),
        request("history_of_a_large_device", "GET", "fhir/Device/d0/_history?_count=500", "", String::new()),
        request("document_of_deep_arrays", "PUT", "fhir/Device/a", JSON, "[".repeat(DOCUMENT)),
        request(
            "document_of_deep_objects",
            "POST",
            "fhir",
            JSON,
            format!(r#"{{"resourceType":"Bundle","type":"batch","entry":{}"#, r#"{"a":"#.repeat(BUNDLE / 5)),
        ),
        request("request_of_many_headers", "PUT", "fhir/Device/a", &many_headers, identifiers(1_000)),
        request("read_with_a_body", "GET", "fhir/metadata", JSON, "x".repeat(DOCUMENT)),
        request("read_of_a_long_id", "GET", &format!("fhir/Device/{}", "x".repeat(60_000)), "", String::new()),
        request("search_of_a_long_id", "POST", "fhir/Device/_search", FORM, format!("_id={long_id}")),
        request(
            "device_of_a_long_id",
            "PUT",
            "fhir/Device/a",
            JSON,
            format!(r#"{{"resourceType":"Device","id":"{long_id}"}}"#),
        ),
        request(
            "transaction_that_reads_one_large_device",
            "POST",
            "fhir",
            JSON,
            batch(&items(r#"{"request":{"method":"GET","url":"Device/d0"}}"#, 200_000)).replace("batch", "transaction"),
        ),
        request(
            "transaction_of_conditional_references",
            "POST",
            "fhir",
            JSON,
            batch(&items(
                r#"{"resource":{"resourceType":"Device","patient":{"reference":"Patient?identifier=x|1"}},"request":{"method":"POST","url":"Device","ifNoneExist":"model=none"}}"#,
                700_000,
            ))
            .replace("batch", "transaction"),
        ),
        request(
            "batch_of_searches",
            "POST",
            "fhir",
            JSON,
            batch(&items(r#"{"request":{"method":"GET","url":"Device?_sort=-_lastUpdated&_count=500"}}"#, 300_000)),
        ),
        request("first_wide_device", "PUT", "fhir/Device/w0", JSON, wide("w0")),
        request("second_wide_device", "PUT", "fhir/Device/w1", JSON, wide("w1")),
        request("search_that_filters_wide_devices", "GET", "fhir/Device?device-name:missing=true", "", String::new()),
        request("patch_of_a_wide_device", "PATCH", "fhir/Device/w0", PATCH, format!("[{}]", patch.join(","))),
        request("form_of_many_fields", "POST", "updates", MULTIPART, part("Version").repeat(100_000)),
        request("form_of_many_unknown_fields", "POST", "updates", MULTIPART, part(&"z".repeat(5_000)).repeat(2_000)),
        Hostile {
            name: "page_for_people",
            method: "GET",
            path: "/?tenant=load".to_owned(),
            headers: String::new(),
            body: String::new(),
        },
    ]
}

fn memory(service: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{service}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).expect("the system tells the memory");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Reads the metadata repeatedly until told to stop, and returns the time of each answer.
fn probe(address: &str, stop: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let reply = ask(address, "GET", "/load/fhir/metadata", "", b"").expect("another client is answered");
        assert_eq!(reply.status, 200);
        took.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    took
}

/// Requests a large answer several times, reads none of them, and returns the connections.
fn leave_unread(address: &str, path: &str, count: usize) -> Vec<TcpStream> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let streams = (0..count).map(ask).collect();
    std::thread::sleep(Duration::from_secs(3));
    streams
}

fn p99(took: &mut [Duration]) -> Duration {
    took.sort();
    took[(took.len() * 99 / 100).min(took.len() - 1)]
}

#[test]
fn hostile_requests_take_bounded_memory_and_time() {
    if cfg!(debug_assertions) && std::env::var_os("LOAD_DEVICES").is_none() {
        return println!("skipped: a build without optimisation is no measure, unless LOAD_DEVICES asks for it");
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = std::env::temp_dir().join(format!("fhir-devices-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let service = Service::start(&binary::build(), &folder);
    let (address, pid) = (service.address().to_owned(), service.process());
    let devices = std::env::var("LOAD_DEVICES").ok().and_then(|count| count.parse().ok()).unwrap_or(24);
    // A text of FHIR has a million bytes at most.
    let filler = "x".repeat(950_000);
    for at in 0..devices {
        let device = format!(
            r#"{{"resourceType":"Device","id":"d{at}","lotNumber":"{filler}","manufacturer":"{filler}","model":"{filler}","version":"{filler}"}}"#
        );
        assert_eq!(
            ask(&address, "PUT", &format!("/load/fhir/Device/d{at}"), JSON, device.as_bytes()).unwrap().status,
            201
        );
    }
    // The cache of the store is filled before.
    ask(&address, "GET", "/load/fhir/Device?_count=500", "", b"").unwrap();
    let before = memory(pid, "VmRSS");
    let corpus = corpus();
    let stop = AtomicBool::new(false);
    let mut worst = (0, "");
    let mut took = std::thread::scope(|scope| {
        let probing = scope.spawn(|| probe(&address, &stop));
        let send = |hostile: &Hostile| {
            let begun = Instant::now();
            let reply = ask(&address, hostile.method, &hostile.path, &hostile.headers, hostile.body.as_bytes());
            let reply = reply.unwrap_or_else(|error| panic!("{}: {error}", hostile.name));
            assert!(reply.status < 500 || reply.status == 503, "{}: {}", hostile.name, reply.status);
            assert!(reply.body.len() < 48 << 20, "{}: {} bytes", hostile.name, reply.body.len());
            (reply.status, reply.body.len(), begun.elapsed())
        };
        for hostile in &corpus {
            let (status, bytes, took) = send(hostile);
            let grown = memory(pid, "VmHWM").saturating_sub(before);
            println!("{}: {status}, {bytes} bytes, {took:?}, grown by at most {} MiB", hostile.name, grown >> 20);
            if grown > worst.0 {
                worst = (grown, hostile.name);
            }
        }
        let (begun, address) = (Instant::now(), &address);
        std::thread::scope(|scope| {
            let copies = [
                "batch_that_reads_one_large_device",
                "bundle_with_one_device_of_identifiers",
                "device_of_unknown_members",
                "page_of_large_devices",
                "search_that_filters_wide_devices",
            ];
            for name in copies.iter().cycle().take(16) {
                let hostile = corpus.iter().find(|hostile| hostile.name == *name).unwrap();
                // One that is refused for want of memory may be cut off while it sends.
                scope.spawn(move || {
                    let body = hostile.body.as_bytes();
                    if let Ok(reply) = ask(address, hostile.method, &hostile.path, &hostile.headers, body) {
                        assert!(reply.status < 500 || reply.status == 503, "{}: {}", hostile.name, reply.status);
                    }
                });
            }
        });
        let grown = memory(pid, "VmHWM").saturating_sub(before);
        println!("sixteen at once: {:?}, grown by at most {} MiB", begun.elapsed(), grown >> 20);
        if grown > worst.0 {
            worst = (grown, "sixteen at once");
        }
        let unread = leave_unread(address, "/load/fhir/Device/d0", 100);
        let grown = memory(pid, "VmHWM").saturating_sub(before);
        println!("a hundred that do not read their answer: grown by at most {} MiB", grown >> 20);
        if grown > worst.0 {
            worst = (grown, "a hundred that do not read their answer");
        }
        drop(unread);
        stop.store(true, Ordering::Relaxed);
        probing.join().unwrap()
    });
    let slow = p99(&mut took);
    println!("{} probes, p99 {slow:?}, the slowest {:?}", took.len(), took.last().unwrap());
    drop(service);
    drop(std::fs::remove_dir_all(&folder));
    assert!(worst.0 <= GROWTH, "{}: the process grew by {} MiB", worst.1, worst.0 >> 20);
    assert!(slow <= P99, "99 of 100 probes took up to {slow:?}");
}

/// Returns the processor time of a process, on all cores together.
fn at_work(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    // A tick is a hundredth of a second on every Linux.
    Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

/// Ten thousand devices that poll once in 30 s: the cost of the polls, each over a connection of its own, two at a
/// time.
#[test]
fn polling_devices_take_a_tenth_of_a_core() {
    let asked = std::env::var("LOAD_POLLS").ok().and_then(|count| count.parse().ok());
    if cfg!(debug_assertions) && asked.is_none() {
        return println!("skipped: a build without optimisation is no measure, unless LOAD_POLLS asks for it");
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let devices: usize = asked.unwrap_or(10_000);
    let folder = std::env::temp_dir().join(format!("fhir-devices-polls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let service = Service::start(&binary::build(), &folder);
    let (address, pid) = (service.address().to_owned(), service.process());
    let numbers: Vec<usize> = (0..devices).collect();
    for some in numbers.chunks(500) {
        let entry = |number: &usize| {
            let device = format!(r#"{{"resourceType":"Device","id":"p{number}"}}"#);
            format!(r#"{{"resource":{device},"request":{{"method":"PUT","url":"Device/p{number}"}}}}"#)
        };
        let entries: Vec<String> = some.iter().map(entry).collect();
        let reply = ask(&address, "POST", "/load/fhir", JSON, batch(&entries.join(",")).as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let before = at_work(pid);
    let poll = |number: &usize| {
        let begun = Instant::now();
        let reply = ask(&address, "GET", &format!("/load/controller/v1/p{number}"), "", b"").unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        begun.elapsed()
    };
    let halves = numbers.chunks(devices.div_ceil(2));
    let mut took = std::thread::scope(|scope| {
        let running: Vec<_> = halves.map(|half| scope.spawn(|| half.iter().map(poll).collect::<Vec<_>>())).collect();
        running.into_iter().flat_map(|half| half.join().unwrap()).collect::<Vec<Duration>>()
    });
    let spent = at_work(pid) - before;
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    println!("{devices} polls took {spent:?} of the service, 99 of 100 within {p99:?}");
    drop(service);
    std::fs::remove_dir_all(&folder).unwrap();
    if !cfg!(debug_assertions) {
        let tenth_of_a_core = Duration::from_micros(300) * u32::try_from(devices).unwrap();
        assert!(spent <= tenth_of_a_core, "{devices} polls took {spent:?}");
        assert!(p99 < P99, "a poll took {p99:?}");
    }
}
