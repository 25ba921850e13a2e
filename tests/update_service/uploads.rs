//! Uploads of updates, and downloads of files.

use super::client::{Form, Service, reply};
use fhir_devices::DeviceComponent;
use fhir_devices::backend::{Discard, Memory};
use fhir_devices::server::{self, Stores, UpdateServer};
use fhir_devices::store::{BlobStore, Generation, Sha256};
use fhir_devices::update::{AvailableUpdate, available};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const PUMP: &str = "infusion-pump-7";

fn updates(component: &[u8]) -> Vec<AvailableUpdate> {
    let component = DeviceComponent::from_json(component).unwrap();
    available(&component).collect::<Result<_, _>>().unwrap()
}

/// Returns the number of updates in the component.
async fn attached(service: &Service, component: &str) -> usize {
    updates(&service.get(&format!("/demo/fhir/DeviceComponent/{component}")).await.body).len()
}

#[tokio::test]
async fn uploaded_update_is_attached_and_downloadable() {
    let service = Service::start().await;
    let file = b"--edge is no end\r\n--edg\r\n\0\xff firmware".repeat(1_000);
    let form = Form::of(PUMP)
        .field("Component", "pump-syringe")
        .field("Version", "2.1.0")
        .field("Sequence", "9223372036854775807")
        .field("Sha256", &Sha256::of(&file).to_string().to_uppercase())
        .field("_charset_", "UTF-8")
        .file("../<b>pump</b>.bin", &file);
    let reply = service.upload("demo", &[], &form).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("etag"), Some("W/\"2\""));
    assert!(reply.header("last-modified").unwrap().ends_with(" GMT"));
    let location = reply.header("location").unwrap();
    assert_eq!(location, "/demo/fhir/DeviceComponent/pump-syringe/_history/2");
    assert_eq!(service.get(location).await.body, reply.body);
    assert_eq!(service.get("/demo/fhir/DeviceComponent/pump-syringe").await.body, reply.body);

    let [update] = updates(&reply.body).try_into().unwrap();
    assert_eq!(update.version.unwrap(), "2.1.0");
    assert_eq!(update.sequence, Some(9_223_372_036_854_775_807));
    assert_eq!((update.sha256, update.size), (Sha256::of(&file), file.len() as u64));
    assert_eq!(update.file.title, "../<b>pump</b>.bin");
    let base = format!("http://{}", service.address);
    let path = update.file.url.as_str().strip_prefix(&base).unwrap();
    let got = service.get(path).await;
    assert_eq!((got.status, &got.body), (200, &file));

    let page = service.get("/").await.text();
    assert!(page.contains("../&lt;b&gt;pump&lt;/b&gt;.bin") && !page.contains("<b>pump</b>"), "the name is escaped");
}

#[tokio::test]
async fn idempotency_key_replays_and_refuses_other_content() {
    let service = Service::start().await;
    let key = [("Idempotency-Key", "run-7")];
    let form = Form::of(PUMP).field("Component", "pump-lvp").file("a.bin", b"firmware");
    let first = service.upload("demo", &key, &form).await;
    let again = service.upload("demo", &key, &form).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.body, again.body);
    assert_eq!(attached(&service, "pump-lvp").await, 1);
    for other in [
        Form::of(PUMP).field("Component", "pump-lvp").file("a.bin", b"other"),
        Form::of(PUMP).field("Component", "pump-syringe").file("a.bin", b"firmware"),
    ] {
        let reply = service.upload("demo", &key, &other).await;
        assert_eq!(reply.refusal(409).0, "idempotency-key-reused");
    }
    assert_eq!((attached(&service, "pump-lvp").await, attached(&service, "pump-syringe").await), (1, 0));
}

#[tokio::test]
async fn level_selects_one_component_or_lists_several() {
    let service = Service::start().await;
    let by_level =
        service.upload("demo", &[], &Form::of("pulse-oximeter-3").field("Component", "vmd").file("a", b"1")).await;
    assert_eq!((by_level.status, by_level.json()["id"].as_str()), (201, Some("oximeter-vmd")));

    for (target, listed) in [("vmd", 2), ("", 6), ("nobody", 6)] {
        let form = Form::of(PUMP).field("Component", target).file("a", b"1");
        let reply = service.upload("demo", &[], &form).await;
        let (rule, words) = reply.refusal(422);
        assert_eq!(rule, if target == "nobody" { "no-such-component" } else { "ambiguous-target" });
        assert_eq!(words.matches("pump-mds").count(), listed, "{words}");
        assert!(words.contains("`pump-mds/pump-syringe` (vmd, Syringe pump)"), "{words}");
        assert_eq!(reply.json()["issue"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn invalid_form_is_reported_and_attaches_nothing() {
    let service = Service::start().await;
    let form = || Form::of(PUMP).field("Component", "pump-lvp");
    let long = "x".repeat(5_000);
    let many = (0..40).fold(Form::default(), |form, _| form.file("", b""));
    let huge_head = Form::default().field(&"n".repeat(200_000), "x");
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (form().end(), 400, "no-file"),
        (Form::default().end(), 400, "no-file"),
        (form().file("", b"").end(), 400, "no-file"),
        (Form::default().file("a", b"1").end(), 400, "device-id"),
        (Form::of(" ").file("a", b"1").end(), 400, "device-id"),
        (Form::default().file("a", b"1").field("DeviceId", PUMP).end(), 400, "device-id"),
        (form().file("a", b"1").file("b", b"2").end(), 400, "two-files"),
        (form().file("a", b"1").field("Version", "2").end(), 400, "field-after-file"),
        (form().field("DeviceId", PUMP).file("a", b"1").end(), 400, "repeated-field"),
        (form().field("Sha256", "abc").file("a", b"1").end(), 400, "field-value"),
        (form().field("Sequence", "-1").file("a", b"1").end(), 400, "field-value"),
        (form().field("Sequence", "9223372036854775808").file("a", b"1").end(), 400, "field-value"),
        (form().field("Sequence", "18446744073709551616").file("a", b"1").end(), 400, "field-value"),
        (form().field("Replace", "yes").file("a", b"1").end(), 400, "field-value"),
        (form().field("Downgrade", "true").file("a", b"1").end(), 400, "field-value"),
        (form().field("Reason", "why").file("a", b"1").end(), 400, "field-value"),
        (form().field("Reports", "firmware").file("a", b"1").end(), 400, "field-value"),
        (form().field("VersionScheme", "calver").file("a", b"1").end(), 400, "field-value"),
        (Form::of("../etc").file("a", b"1").end(), 400, "field-value"),
        (form().file(&"n".repeat(300), b"1").end(), 400, "field-value"),
        (form().file("a", b"").end(), 400, "empty-file"),
        (Form::of("nobody").file("a", b"1").end(), 404, "no-such-device"),
        (form().field("Sha256", &Sha256::of(b"2").to_string()).file("a", b"1").end(), 422, "digest-mismatch"),
        (form().field("Version", &long).file("a", b"1").end(), 413, "field-too-large"),
        (many.file("a", b"1").end(), 413, "too-many-parts"),
        (huge_head.file("a", b"1").end(), 413, "form-too-large"),
        (form().file("a", b"1").unfinished().to_vec(), 400, "multipart"),
        ([form().unfinished(), Form::file_head("a").as_bytes(), b"half"].concat(), 400, "multipart"),
        (b"garbage".to_vec(), 400, "multipart"),
        (b"--edge\r\n\r\n\r\n\r\n--edge--".to_vec(), 400, "unknown-field"),
        (b"--edge\r\nno header\r\n\r\nx\r\n--edge--".to_vec(), 400, "multipart"),
        (Vec::new(), 400, "multipart"),
    ];
    for (body, status, rule) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
        let reply = service.send("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], &body).await;
        assert_eq!(reply.refusal(status).0, rule, "{shown}");
    }
    assert_eq!(attached(&service, "pump-lvp").await, 0);

    let whole = form().file("a", b"1").end();
    for (kind, status, rule) in [
        ("application/json", 415, "content-type"),
        ("multipart/form-data", 400, "multipart"),
        ("multipart/mixed; boundary=edge", 415, "content-type"),
    ] {
        let reply = service.send("POST", "/demo/updates", &[("Content-Type", kind)], &whole).await;
        assert_eq!(reply.refusal(status).0, rule, "{kind}");
    }
    let key = "k".repeat(5_000);
    let reply = service.upload("demo", &[("Idempotency-Key", &key)], &form().file("a", b"1")).await;
    assert_eq!(reply.refusal(400).0, "field-value");
}

/// Returns the URL path of an update's file.
fn path_of(update: &AvailableUpdate) -> String {
    url::Url::parse(update.file.url.as_str()).unwrap().path().to_owned()
}

#[tokio::test]
async fn upload_to_a_device_of_another_tenant_is_404() {
    let service = Service::start().await;
    let form = Form::of(PUMP).field("Component", "pump-lvp").file("a", b"1");
    assert_eq!(service.upload("other", &[], &form).await.refusal(404).0, "no-such-device");
    assert_eq!(service.upload("No_Tenant", &[], &form).await.refusal(404).0, "not-found");
    let file = service.upload("demo", &[], &form).await;
    let [update] = updates(&file.body).try_into().unwrap();
    let path = path_of(&update);
    service.get(&path.replace("/demo/", "/other/")).await.refusal(404);
    assert_eq!(service.get(&path).await.status, 200);
}

#[tokio::test]
async fn oversized_file_gets_413_with_or_without_length() {
    let service = Service::with(|base| UpdateServer::over(Stores::in_memory(1_000), base, 1_000).unwrap()).await;
    let form = |size| Form::of(PUMP).field("Component", "pump-lvp").file("a", &vec![b'x'; size]);
    assert_eq!(service.upload("demo", &[], &form(1_001)).await.refusal(413).0, "too-large");
    assert_eq!(service.upload("demo", &[], &form(3_000_000)).await.refusal(413).0, "too-large");
    assert_eq!(attached(&service, "pump-lvp").await, 0);
    assert_eq!(service.upload("demo", &[], &form(1_000)).await.status, 201);
}

#[tokio::test]
async fn refused_client_that_sends_on_gets_its_response() {
    let service = Service::start().await;
    // More than the buffers of a connection hold, and refused before the first byte of the file.
    let mut stream = service.connect().await;
    let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], "Content-Length: 40000000");
    let form = Form::of("nobody");
    let begin = [head.as_bytes(), form.unfinished(), Form::file_head("a").as_bytes()].concat();
    stream.write_all(&begin).await.unwrap();
    let mut left = 40_000_000 - (begin.len() - head.len());
    while left > 0 {
        let block = vec![7; left.min(1 << 20)];
        stream.write_all(&block).await.unwrap();
        left -= block.len();
    }
    assert_eq!(reply(stream, "POST").await.refusal(404).0, "no-such-device");
    // The connection is fit for another request.
    let mut stream = service.connect().await;
    let body = Form::of("nobody").file("a", &vec![7; 1 << 20]).end();
    let first = format!(
        "POST /demo/updates HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        service.address,
        Form::TYPE,
        body.len()
    );
    stream.write_all(&[first.as_bytes(), &body].concat()).await.unwrap();
    stream.write_all(service.head("GET", "/demo/fhir/metadata", &[], "X: y").as_bytes()).await.unwrap();
    let both = reply(stream, "GET").await;
    assert_eq!(both.status, 404);
    assert!(both.text().contains("HTTP/1.1 200 OK"), "{}", both.text());
}

#[tokio::test]
async fn fields_in_one_chunk_with_the_file_are_read() {
    let service = Service::start().await;
    let mut stream = service.connect().await;
    // The service reads in larger pieces the more a connection brings.
    for round in 0..6 {
        let file = vec![round; 300_000];
        let body = Form::of(PUMP).field("Component", "pump-lvp").file("a", &file).end();
        let head = format!(
            "POST /demo/updates HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            Form::TYPE,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    stream.write_all(service.head("GET", "/demo/fhir/metadata", &[], "X: y").as_bytes()).await.unwrap();
    let all = reply(stream, "POST").await;
    let whole = all.head.clone() + &all.text();
    assert_eq!(whole.matches("HTTP/1.1 201 Created").count(), 6, "{whole}");
}

#[tokio::test]
async fn disconnected_client_leaves_nothing() {
    let memory = Arc::new(Memory::new());
    let kept = Arc::clone(&memory);
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: memory.clone(), ledger: memory };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    let mut stream = service.connect().await;
    let form = Form::of(PUMP).field("Component", "pump-lvp");
    let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], "Content-Length: 1000000");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[form.unfinished(), Form::file_head("a").as_bytes(), &[1; 5_000]].concat()).await.unwrap();
    requests_under_way(&service, 2).await;
    drop(stream);
    requests_under_way(&service, 1).await;
    assert_eq!(attached(&service, "pump-lvp").await, 0);
    let most = NonZeroU32::new(10).unwrap();
    let files = BlobStore::list(&*kept, &"demo".parse().unwrap(), most, None).await.unwrap().items;
    // The mark by which the store belongs to its ledger is all that there is.
    assert!(files.iter().all(|file| file.size < 5_000), "{files:?}");
    assert_eq!(service.upload("demo", &[], &form.file("a", b"1")).await.status, 201);
}

/// Waits for that many requests in progress, including this one.
async fn requests_under_way(service: &Service, wanted: usize) {
    let line = format!("\nupdate_service_requests_under_way {wanted}\n");
    let waiting = async {
        while !service.get("/metrics").await.text().contains(&line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never:{line}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_file_of_unknown_size_is_streamed() {
    const MIB: usize = 1 << 20;
    let discard = Discard::new();
    let kept = discard.clone();
    let memory = Arc::new(Memory::new());
    let service = Service::with(|base| {
        let stores = Stores { resources: memory.clone(), blobs: Arc::new(discard), ledger: memory };
        UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap()
    })
    .await;
    let before = peak_kib();
    let mut stream = service.connect().await;
    let head = service.head("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], "Transfer-Encoding: chunked");
    stream.write_all(head.as_bytes()).await.unwrap();
    let form = Form::of(PUMP).field("Component", "pump-lvp");
    send_chunk(&mut stream, &[form.unfinished(), Form::file_head("large.bin").as_bytes()].concat()).await;
    let block = vec![b'\r'; MIB];
    for _ in 0..64 {
        send_chunk(&mut stream, &block).await;
    }
    send_chunk(&mut stream, b"\r\n--edge--\r\n").await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let reply = reply(stream, "POST").await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let [update] = updates(&reply.body).try_into().unwrap();
    assert_eq!((update.size, kept.bytes()), (64 << 20, 64 << 20));
    // Other tests of this process take part in it; a file held whole would show all the same.
    assert!(peak_kib() - before < 48 << 10, "{} KiB more at the peak", peak_kib() - before);
}

async fn send_chunk(stream: &mut tokio::net::TcpStream, bytes: &[u8]) {
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
}

/// Returns the peak memory of this process, where the system reports it.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn download_supports_range_and_304() {
    let service = Service::start().await;
    let form = Form::of(PUMP).field("Component", "pump-lvp").file("a.bin", b"0123456789");
    let received = service.upload("demo", &[], &form).await;
    assert_eq!(received.status, 201);
    let [update] = updates(&received.body).try_into().unwrap();
    let (digest, path) = (Sha256::of(b"0123456789"), path_of(&update));
    assert!(path.starts_with(&format!("/blobs/demo/sha256/{digest}/")));
    let tag = format!("\"{digest}\"");

    let whole = service.get(&path).await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    for (name, value) in [
        ("etag", tag.as_str()),
        ("content-length", "10"),
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(whole.header(name), Some(value), "{name}");
    }
    let head = service.send("HEAD", &path, &[], b"").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));

    for (range, body, content_range) in
        [("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=8-", "89", "bytes 8-9/10"), ("bytes=-1", "9", "bytes 9-9/10")]
    {
        let part = service.send("GET", &path, &[("Range", range)], b"").await;
        assert_eq!((part.status, part.text().as_str()), (206, body));
        assert_eq!(part.header("content-range"), Some(content_range));
    }
    let behind = service.send("GET", &path, &[("Range", "bytes=10-")], b"").await;
    behind.refusal(416);
    assert_eq!(behind.header("content-range"), Some("bytes */10"));
    let stale = service.send("GET", &path, &[("Range", "bytes=2-4"), ("If-Range", "\"other\"")], b"").await;
    assert_eq!((stale.status, stale.body.len()), (200, 10));
    let known = service.send("GET", &path, &[("If-None-Match", &tag)], b"").await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag.as_str())));
    service.get(&format!("/blobs/demo/sha256/{}/{}", Sha256::of(b"other"), Generation(0))).await.refusal(404);
    service.get("/blobs/demo/sha256/nothing/nothing").await.refusal(404);
}

#[tokio::test]
async fn download_keeps_its_type_and_is_not_executable() {
    let service = Service::start().await;
    let send = async |component: &str, kind: Option<&str>, bytes: &[u8]| {
        let form = Form::of(PUMP).field("Component", component).file_of(kind, bytes);
        service.upload("demo", &[], &form).await
    };
    let last = |reply: &super::client::Reply| updates(&reply.body).pop().unwrap();
    for (kind, said) in [
        (Some("text/html; charset=utf-8"), "text/html; charset=utf-8"),
        (Some("application/vnd.acme.firmware+zip"), "application/vnd.acme.firmware+zip"),
        (None, "application/octet-stream"),
    ] {
        let bytes = format!("<script>alert('{said}')</script>");
        let reply = send("pump-lvp", kind, bytes.as_bytes()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let update = last(&reply);
        assert_eq!(update.file.content_type.as_str(), said);
        let file = service.get(&path_of(&update)).await;
        let part = service.send("GET", &path_of(&update), &[("Range", "bytes=0-3")], b"").await;
        for answer in [file, part] {
            assert_eq!(answer.header("content-type"), Some(said));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("content-disposition"), Some("attachment"));
            assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        }
    }

    // The same bytes came as two things, so that nobody can say which they are.
    let first = last(&send("pump-lvp", Some("application/zip"), b"both").await);
    assert_eq!(service.get(&path_of(&first)).await.header("content-type"), Some("application/zip"));
    let second = last(&send("pump-syringe", Some("application/gzip"), b"both").await);
    assert_eq!(path_of(&first), path_of(&second));
    assert_eq!(service.get(&path_of(&first)).await.header("content-type"), Some("application/octet-stream"));

    let long = format!("application/{}", "x".repeat(300));
    for kind in ["nothing", "text/", "text/html\u{e9}", "text/html  ; a=b", &long] {
        let reply = send("pump-lvp", Some(kind), b"1").await;
        assert_eq!(reply.refusal(400).0, "field-value", "{kind}");
    }
}

#[tokio::test]
async fn uploads_are_listed_newest_first_in_pages() {
    let service = Service::start().await;
    let mut sent = Vec::new();
    for version in 1..=5 {
        let form = Form::of(PUMP).field("Component", "pump-syringe").field("Version", &format!("2.{version}.0"));
        let reply = service.upload("demo", &[], &form.file("a.bin", format!("firmware {version}").as_bytes())).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        sent.insert(0, format!("2.{version}.0"));
    }
    let (mut listed, mut path) = (Vec::new(), "/demo/updates?_count=2".to_owned());
    loop {
        let page = service.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let body = page.json();
        let updates = body["updates"].as_array().unwrap().clone();
        assert!(updates.len() <= 2);
        listed.extend(updates.iter().map(|one| one["version"].as_str().unwrap().to_owned()));
        let Some(next) = body["next"].as_str() else {
            assert_eq!(page.header("link"), None);
            break;
        };
        assert_eq!(page.header("link"), Some(&*format!("<{next}>; rel=\"next\"")));
        path = next.to_owned();
    }
    assert_eq!(listed, sent);
    service.get("/demo/updates?_page=x").await.refusal(400);
}
