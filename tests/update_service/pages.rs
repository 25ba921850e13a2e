//! The HTML pages, over HTTP as browsers request them.

use super::client::{Form, Reply, Service};
use std::time::{Duration, Instant};

const PUMP: &str = "infusion-pump-7";

/// Maximum size of a page, in bytes.
const MOST: usize = 100_000;

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn browse(service: &Service, path: &str) -> Reply {
    let reply = service.send("GET", path, &[BROWSER], b"").await;
    assert!(reply.body.len() < MOST, "{path} has {} bytes", reply.body.len());
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    reply
}

async fn text(service: &Service, path: &str) -> String {
    let reply = browse(service, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.text()
}

/// Sends a form as a browser without scripts does.
async fn submit(service: &Service, path: &str, form: &str) -> Reply {
    let headers = [BROWSER, ("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")];
    service.send("POST", path, &headers, form.as_bytes()).await
}

/// Sends the form of an update as a browser without scripts does.
async fn submit_file(service: &Service, form: &Form) -> Reply {
    let headers = [BROWSER, ("Content-Type", Form::TYPE), ("Sec-Fetch-Site", "same-origin")];
    service.send("POST", "/demo/updates?answer=page", &headers, &form.end()).await
}

async fn send_update(service: &Service, version: &str, bytes: &[u8]) -> String {
    let form = Form::of(PUMP).field("Component", "pump-mds").field("Version", version).file("pump.bin", bytes);
    let reply = service.upload("demo", &[], &form).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let link = reply.header("link").unwrap();
    link.split(['<', '>']).nth(1).unwrap().rsplit('/').next().unwrap().to_owned()
}

/// Creates a fleet of devices with three components each.
async fn fleet(service: &Service, count: usize) {
    let mut entries = Vec::new();
    for n in 0..count {
        let name = if n % 2 == 0 { "Vista" } else { "Flow" };
        entries.push(format!(
            r#"{{"resource":{{"resourceType":"Device","id":"d{n:05}","manufacturer":"Maker {m}","model":"{name} {n}","location":{{"reference":"Location/w{w}"}},"status":"active"}},"request":{{"method":"PUT","url":"Device/d{n:05}"}}}}"#,
            m = n % 7,
            w = n % 5
        ));
        for (level, code) in [("mds", 69985), ("vmd", 70050), ("channel", 126978)] {
            let parent = match level {
                "mds" => String::new(),
                "vmd" => format!(r#""parent":{{"reference":"DeviceComponent/d{n:05}-mds"}},"#),
                _ => format!(r#""parent":{{"reference":"DeviceComponent/d{n:05}-vmd"}},"#),
            };
            entries.push(format!(
                r#"{{"resource":{{"resourceType":"DeviceComponent","id":"d{n:05}-{level}","identifier":{{"value":"{level}"}},"type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}}],"text":"{level} of {n}"}},{parent}"source":{{"reference":"Device/d{n:05}"}},"productionSpecification":[{{"specType":{{"text":"software-revision","coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"531975"}}]}},"productionSpec":"1.{m}.0"}}]}},"request":{{"method":"PUT","url":"DeviceComponent/d{n:05}-{level}"}}}}"#,
                m = n % 9
            ));
        }
    }
    for some in entries.chunks(80) {
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, some.join(","));
        let reply = service.json("POST", "/ward/fhir", &[], &bundle).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!reply.text().contains("\"status\":\"4"), "{}", reply.text());
    }
}

fn rows(page: &str) -> usize {
    page.matches("<article class=\"device\"").count()
}

fn next(page: &str) -> Option<String> {
    let at = page.find("rel=\"next\"")?;
    let start = page.get(..at)?.rfind("href=\"")? + 6;
    Some(page.get(start..at)?.split('"').next()?.replace("&amp;", "&"))
}

#[tokio::test]
async fn fleet_of_402_is_paged_searched_and_filtered() {
    let service = Service::start().await;
    fleet(&service, 402).await;
    let (mut path, mut seen, mut pages) = ("/?tenant=ward".to_owned(), 0, 0);
    loop {
        let page = text(&service, &path).await;
        (seen, pages) = (seen + rows(&page), pages + 1);
        match next(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!((seen, pages), (402, 21));
    for (query, found) in [
        ("q=flow%20401", 1),
        ("q=d00017", 1),
        ("manufacturer=maker%203&model=vista%201", 8),
        ("location=w2&model=Flow%201", 11),
        ("status=inactive", 0),
        ("q=no-such-thing", 0),
    ] {
        let page = text(&service, &format!("/ward/pages/devices?{query}")).await;
        assert_eq!(rows(&page), found, "{query}");
    }
    let page = text(&service, "/ward/pages/devices?sort=-updated").await;
    assert!(page.contains("Flow 401") && !page.contains("Vista 0<"), "the newest change comes first");
}

#[tokio::test]
async fn fleet_filters_by_release_update_and_findings() {
    let service = Service::start().await;
    fleet(&service, 45).await;
    let form = Form::default().field("Name", "pump-os").field("Version", "1.4.0").field("Sequence", "1");
    let form = form.field("Level", "mds").field("VersionScheme", "semver").file("os.bin", b"the file");
    let made = service.send("POST", "/ward/releases", &[("Content-Type", Form::TYPE)], &form.end()).await;
    let release = made.json()["id"].as_str().unwrap().to_owned();
    let page = text(&service, &format!("/ward/pages/devices?below={release}")).await;
    assert!(page.contains("devices were looked through"), "{page}");
    // Those with 1.0 to 1.3, of nine.
    let (mut below, mut page) = (rows(&page), page);
    while let Some(path) = next(&page) {
        page = text(&service, &path).await;
        below += rows(&page);
    }
    assert_eq!(below, 20);
    let update = Form::of("d00044").field("Component", "d00044-vmd").field("Version", "2.0").file("a.bin", b"bytes");
    assert_eq!(service.upload("ward", &[], &update).await.status, 201);
    let page = text(&service, "/ward/pages/devices?update=available").await;
    assert!(rows(&page) == 1 && page.contains("d00044") && page.contains("45 devices were looked through"), "{page}");
    let circle = |id: &str, parent: &str| {
        format!(
            r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"x"}},"type":{{"text":"part"}},"parent":{{"reference":"DeviceComponent/{parent}"}},"source":{{"reference":"Device/d00003"}}}}"#
        )
    };
    for (id, parent) in [("one", "two"), ("two", "one")] {
        let path = format!("/ward/fhir/DeviceComponent/{id}");
        let reply = service.json("PUT", &path, &[], &circle(id, parent)).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let page = text(&service, "/ward/pages/devices?findings=some&q=d00003").await;
    assert!(rows(&page) == 1 && page.contains("findings</span>"), "{page}");
    let page = text(&service, "/ward/pages/devices/d00003").await;
    assert!(page.contains("CT-01"), "the device page tells the circle: {page}");
}

#[tokio::test]
async fn pages_stay_small_whatever_clients_wrote() {
    let service = Service::start().await;
    let long = "&\\\"'<".repeat(2_000);
    for n in 0..25 {
        let device = format!(r#"{{"resourceType":"Device","id":"l{n}","manufacturer":"{long}","model":"{long}"}}"#);
        assert_eq!(service.json("PUT", &format!("/ward/fhir/Device/l{n}"), &[], &device).await.status, 201);
        for c in 0..8 {
            let component = format!(
                r#"{{"resourceType":"DeviceComponent","id":"l{n}-{c}","identifier":{{"value":"1"}},"source":{{"reference":"Device/l{n}"}},"type":{{"text":"{long}","coding":[{{"code":"{c}","display":"{long}"}}]}}}}"#
            );
            let path = format!("/ward/fhir/DeviceComponent/l{n}-{c}");
            assert_eq!(service.json("PUT", &path, &[], &component).await.status, 201);
        }
    }
    for path in ["/?tenant=ward", "/ward/pages/devices/l3", "/ward/pages/send?device=l3", "/ward/pages/send"] {
        text(&service, path).await;
    }
}

#[tokio::test]
async fn device_page_has_tree_findings_versions_updates_and_history() {
    let service = Service::start().await;
    let id = send_update(&service, "4.2.0", b"first").await;
    let page = text(&service, &format!("/demo/pages/devices/{PUMP}")).await;
    for part in [
        "id=\"parts\"",
        "id=\"findings\"",
        "id=\"versions\"",
        "id=\"history\"",
        "Syringe pump",
        "Current flow",
        "2.0.5",
        &format!("/demo/pages/updates/{id}"),
        "_history/1",
        "/demo/pages/send?device=infusion-pump-7&amp;component=pump-lvp",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let missing = browse(&service, "/demo/pages/devices/nobody").await;
    assert!(missing.status == 404 && missing.text().contains("There is nothing here."));
    service.get("/demo/pages/devices/nobody").await.refusal(404);
}

#[tokio::test]
async fn send_page_chooses_no_component_and_says_what_will_happen() {
    let service = Service::start().await;
    let page = text(&service, &format!("/demo/pages/send?device={PUMP}")).await;
    assert_eq!(page.matches("type=\"radio\"").count(), 6);
    assert!(!page.contains(" checked") && page.contains("required"), "{page}");
    send_update(&service, "4.2.0", b"first").await;
    let with = |version: &str, sequence: &str| {
        format!("/demo/pages/send?DeviceId={PUMP}&Component=pump-mds&Version={version}&Sequence={sequence}")
    };
    for (version, sequence, words) in [
        ("4.3.0", "", "takes the place of the update <b>4.2.0</b>"),
        ("4.2.0", "", "An update of the version <b>4.2.0</b> was sent before"),
        ("4.3.0", "", "<b>4.3.0</b> is higher than <b>4.1.0</b>"),
        ("3.9", "", "<b>3.9</b> is lower than <b>4.1.0</b>"),
        ("4.1.0", "", "It reports the version <b>4.1.0</b> already."),
        ("blue", "", "cannot be put before or after"),
    ] {
        let page = text(&service, &with(version, sequence)).await;
        assert!(page.contains(words), "{version}: {words}: {page}");
    }
    // Without a script a browser sends every field of the form.
    let all = format!("{}&Sha256=&Reason=it+is+late&Replace=true&Downgrade=true&File=", with("4.3.0", ""));
    let page = text(&service, &all).await;
    assert!(page.contains("is higher than") && page.contains("value=\"it is late\""), "{page}");
    let numbered = Form::of(PUMP).field("Component", "pump-mds").field("Version", "4.3").field("Sequence", "7");
    assert_eq!(service.upload("demo", &[], &numbered.file("b.bin", b"second")).await.status, 201);
    let page = text(&service, &with("4.4", "7")).await;
    assert!(page.contains("The sequence number 7 is refused: it must be higher than 7."), "{page}");
    let page = text(&service, &with("4.4", "")).await;
    assert!(page.contains("It accepted the sequence number 7: the update needs a higher one."), "{page}");
}

#[tokio::test]
async fn browser_form_is_answered_with_a_page_and_programs_with_fhir() {
    let service = Service::start().await;
    let form = Form::of(PUMP).field("Component", "pump-mds").field("Version", "5.0").file("a.bin", b"bytes");
    let reply = submit_file(&service, &form).await;
    assert_eq!((reply.status, reply.header("content-type")), (201, Some("text/html; charset=utf-8")));
    assert!(reply.text().contains("The update is now available for") && reply.header("location").is_some());
    assert!(service.upload("demo", &[], &form).await.header("content-type").unwrap().contains("json"));
    for (form, status, words) in [
        (Form::of(PUMP).file("a.bin", b"x"), 422, "Choose one component of the device"),
        (Form::of("nobody").file("a.bin", b"x"), 404, "There is no such device."),
        (
            Form::of(PUMP).field("Component", "pump-mds").field("Sha256", &"0".repeat(64)).file("a", b"x"),
            422,
            "The file is not the one whose SHA-256 was given.",
        ),
        (
            Form::of(PUMP).field("Component", "pump-mds").field("Version", "1.0").file("a", b"x"),
            422,
            "Go back to a version below the reported one",
        ),
        (
            Form::of(PUMP).field("Component", "pump-mds").field("Version", "5.0").file("a", b"other"),
            409,
            "Replace the file that this version had",
        ),
        (Form::of(PUMP).field("Component", "pump-mds"), 400, "Choose the file of the update."),
    ] {
        let reply = submit_file(&service, &form).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(words) && reply.text().contains("role=\"alert\""), "{words}: {}", reply.text());
        service.upload("demo", &[], &form).await.refusal(status);
    }
}

#[tokio::test]
async fn updates_are_listed_filtered_and_paged() {
    let service = Service::start().await;
    for n in 0..27 {
        send_update(&service, &format!("5.{n}"), format!("bytes {n}").as_bytes()).await;
    }
    let page = text(&service, "/demo/pages/updates").await;
    assert_eq!(page.matches("<li class=\"card\"").count(), 25);
    let second = text(&service, &next(&page).unwrap()).await;
    assert!(second.matches("<li class=\"card\"").count() == 2 && next(&second).is_none());
    let available = text(&service, "/demo/pages/updates?state=available").await;
    assert!(available.matches("<li class=\"card\"").count() == 1 && available.contains("5.26"), "{available}");
    let named = text(&service, "/demo/pages/updates?q=5.17").await;
    assert_eq!(named.matches("<li class=\"card\"").count(), 1);
    for nothing in ["device=nobody", "q=nothing-like-that", "state=withdrawn"] {
        assert!(text(&service, &format!("/demo/pages/updates?{nothing}")).await.contains("No update is meant."));
    }
}

#[tokio::test]
async fn update_is_withdrawn_with_a_reason_and_its_life_tells_it() {
    let service = Service::start().await;
    let first = send_update(&service, "5.0", b"first").await;
    let second = send_update(&service, "5.1", b"second").await;
    let own = format!("/demo/pages/updates/{second}");
    assert!(text(&service, &own).await.contains("The component shows the update"));
    let question = text(&service, &format!("{own}/withdraw")).await;
    assert!(question.contains("This cannot be undone.") && question.contains("name=\"reason\" required"), "{question}");
    let refused = submit(&service, &format!("{own}/withdraw"), "reason=+").await;
    assert!(refused.status == 400 && refused.text().contains("The reason is missing."), "{}", refused.text());
    let done = submit(&service, &format!("{own}/withdraw"), "reason=it+loses+alarms").await;
    assert_eq!((done.status, done.header("location")), (303, Some(own.as_str())));
    let page = text(&service, &own).await;
    for words in ["withdrawn</span>", "it loses alarms", "Withdrawn</b> by local"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let earlier = format!("/demo/pages/updates/{first}");
    assert!(text(&service, &earlier).await.contains("Make current again"));
    let done = submit(&service, &format!("{earlier}/make-current"), "reason=the+later+one+is+withdrawn").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let page = text(&service, &earlier).await;
    assert!(page.contains("available</span>") && page.contains("The component shows it as current again"), "{page}");
    let again = submit(&service, &format!("{own}/make-current"), "reason=x").await;
    assert!(again.status == 409 && again.text().contains("Send its file again as a new update."), "{}", again.text());
    // A page of another site cannot do it.
    let headers = [BROWSER, ("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "https://evil.example")];
    let foreign = service.send("POST", &format!("{earlier}/withdraw"), &headers, b"reason=x").await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test]
async fn life_of_an_early_update_is_found_in_a_long_chain() {
    let service = Service::start().await;
    let first = send_update(&service, "5.0", b"first").await;
    for n in 1..40 {
        send_update(&service, &format!("5.{n}"), format!("bytes {n}").as_bytes()).await;
    }
    let last = send_update(&service, "6.0", b"last").await;
    for id in [first, last] {
        let began = Instant::now();
        let page = text(&service, &format!("/demo/pages/updates/{id}")).await;
        assert!(page.contains("The upload began") && page.contains("The component shows the update"), "{page}");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn pages_allow_only_their_own_style_and_script() {
    let service = Service::start().await;
    for path in ["/", "/demo/pages/devices", "/demo/pages/updates", "/demo/pages/send?device=infusion-pump-7"] {
        let reply = browse(&service, path).await;
        let policy = reply.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'sha256-",
            "script-src 'sha256-",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let page = reply.text();
        assert!(!page.contains(" style=\"") && !page.contains(" onclick=") && !page.contains("src=\"http"), "{page}");
    }
}

/// Creates a release for the MDS of the pump, and returns its id.
async fn release(service: &Service, version: &str, sequence: &str) -> String {
    let form = Form::default().field("Name", "pump-os").field("Version", version).field("Sequence", sequence);
    let form = form.field("Level", "mds").field("VersionScheme", "semver").file("os.bin", version.as_bytes());
    let headers = [BROWSER, ("Content-Type", Form::TYPE), ("Sec-Fetch-Site", "same-origin")];
    let made = service.send("POST", "/demo/releases?answer=page", &headers, &form.end()).await;
    assert_eq!(made.status, 303, "{}", made.text());
    made.header("location").unwrap().rsplit('/').next().unwrap().to_owned()
}

async fn until(service: &Service, path: &str, words: &str) -> String {
    for _ in 0..200 {
        let page = text(service, path).await;
        if page.contains(words) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} never has {words}: {}", text(service, path).await);
}

#[tokio::test]
async fn rollout_is_previewed_made_followed_and_steered() {
    let service = super::rollouts::start().await;
    let id = release(&service, "9.0.0", "90").await;
    let list = text(&service, "/demo/pages/releases").await;
    assert!(list.contains("pump-os 9.0.0") && list.contains("released</span>"), "{list}");
    let shown = text(&service, &format!("/demo/pages/releases/{id}")).await;
    assert!(shown.contains(&format!("/demo/pages/devices?below={id}")), "{shown}");
    let preview = text(&service, &format!("/demo/pages/rollouts/new?release={id}")).await;
    for words in ["It is for <b>2</b> components, of 9 that were looked at.", "Region <b>local</b>: 2"] {
        assert!(preview.contains(words), "{words}: {preview}");
    }
    // One that accepted a higher number is held back, and the preview says why.
    let high = Form::of(PUMP).field("Component", "pump-mds").field("Version", "9.1").field("Sequence", "91");
    assert_eq!(service.upload("demo", &[], &high.file("a.bin", b"later")).await.status, 201);
    let preview = text(&service, &format!("/demo/pages/rollouts/new?release={id}")).await;
    assert!(preview.contains("1 would be held back (sequence)"), "{preview}");
    let wrong = browse(&service, &format!("/demo/pages/rollouts/new?release={id}&scope=Nothing%3Fx")).await;
    assert!(wrong.status == 422 && wrong.text().contains("The search for the components cannot be read."));

    let made = submit(&service, "/demo/pages/rollouts", &format!("release={id}&first=100&cap=10&stop=2&after=5")).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let own = made.header("location").unwrap().to_owned();
    let page = until(&service, &own, "running</span>").await;
    for words in [
        "id=\"waves\"",
        "id=\"outcomes\"",
        "Region local",
        "data-live=\"/demo/rollouts/",
        "already out",
        "Time to field",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(text(&service, "/demo/pages/rollouts").await.contains("pump-os 9.0.0"));
    let components = text(&service, &format!("{own}/components?show=open")).await;
    assert!(components.contains("Why?"), "{components}");
    let explain = components.split("explain=").nth(1).unwrap().split('"').next().unwrap();
    let explained = text(&service, &format!("{own}/components?show=open&explain={explain}")).await;
    assert!(explained.contains("id=\"why\""), "{explained}");
    for list in ["already_out", "unproven", "failed"] {
        assert!(text(&service, &format!("{own}/components?show={list}")).await.contains("There is none."));
    }
    let question = text(&service, &format!("{own}/pause")).await;
    assert!(question.contains("It cannot stop a device that has the file already"), "{question}");
    let refused = submit(&service, &format!("{own}/pause"), "reason=").await;
    assert_eq!(refused.status, 400);
    for (action, then) in [("pause", "paused</span>"), ("resume", "running</span>"), ("cancel", "cancelled</span>")] {
        let done = submit(&service, &format!("{own}/{action}"), "reason=a+test").await;
        assert_eq!((done.status, done.header("location")), (303, Some(own.as_str())), "{}", done.text());
        until(&service, &own, then).await;
    }
    let again = submit(&service, &format!("{own}/resume"), "reason=a+test").await;
    assert!(
        again.status == 409 && again.text().contains("in a state in which this cannot be done"),
        "{}",
        again.text()
    );
    assert!(text(&service, "/demo/pages/rollouts?ended=true").await.contains("cancelled</span>"));
    let done = submit(&service, &format!("/demo/pages/releases/{id}/withdraw"), "reason=a+test").await;
    assert_eq!(done.status, 303, "{}", done.text());
    until(&service, &format!("/demo/pages/releases/{id}"), "withdrawn</span>").await;
}

#[tokio::test]
async fn rollout_page_charts_the_time_to_field() {
    let service = super::rollouts::start().await;
    let id = release(&service, "9.0.0", "90").await;
    let made = submit(&service, "/demo/pages/rollouts", &format!("release={id}&first=100&cap=10&stop=2&after=5")).await;
    let own = made.header("location").unwrap().to_owned();
    let began = Instant::now();
    let offers = loop {
        let offers = service.get("/demo/devices/infusion-pump-7/offers").await.json();
        if offers["offers"][0].is_object() {
            break offers;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the device is offered nothing");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let link = offers["offers"][0]["files"][0]["link"].as_str().unwrap();
    let path = link.split_once(&service.address.to_string()).unwrap().1;
    assert_eq!(service.get(path).await.status, 200);
    let report = r#"{"kind":"versions","restarted":true,"items":[{"component":"pump-mds","version":"9.0.0"}]}"#;
    let reported = service.send("POST", "/demo/devices/infusion-pump-7/reports", &[], report.as_bytes()).await;
    assert_eq!(reported.status, 200, "{}", reported.text());
    let page = until(&service, &own, "Components that have it: 1").await;
    assert!(page.contains("<svg role=\"img\"") && page.contains("Were given the file (already out): 1"), "{page}");
    let out = text(&service, &format!("{own}/components?show=already_out")).await;
    assert!(out.contains("has had the file") && out.contains("infusion-pump-7"), "{out}");
    assert!(text(&service, &format!("{own}/times")).await.contains("<svg role=\"img\""));
}
