//! Misbehaving servers, and the store's reaction to them.

use super::odd::{Heard, Odd, Say, html, say};
use fhir_devices::backend::FhirServer;
use fhir_devices::backend::fhir_http::{Options, ServerFault};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType};
use fhir_devices::store::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn ward() -> Tenant {
    "ward".parse().unwrap()
}

/// Returns options for tests of the answer to one request.
fn plain() -> Options {
    Options::new().trust_if_match().without_write_marks()
}

fn pump() -> Key {
    Key::new(ResourceType::Device, "p").unwrap()
}

fn v(number: u64) -> VersionId {
    VersionId::new(number).unwrap()
}

fn device(id: &str, version: &str) -> String {
    let version = if version.is_empty() { String::new() } else { format!(r#""versionId":"{version}","#) };
    format!(
        r#"{{"resourceType":"Device","id":"{id}","meta":{{{version}"lastUpdated":"2017-04-19T10:00:00Z"}},"model":"P9"}}"#
    )
}

const PLAIN: &str = r#"{"resourceType":"Device","id":"p","model":"P9"}"#;

fn outcome(words: &str) -> String {
    format!(
        r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"error","code":"conflict","diagnostics":"{words}"}}]}}"#
    )
}

async fn over(options: Options, script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> (FhirServer, Odd) {
    let odd = Odd::start(script).await;
    (options.at(&format!("http://{}/{{tenant}}", odd.address)).unwrap(), odd)
}

/// Starts a server with the same answer to everything.
async fn always(said: Say) -> (FhirServer, Odd) {
    over(plain(), move |_| said.clone()).await
}

async fn read(store: &FhirServer) -> Result<Version> {
    store.read(&ward(), &pump()).await
}

async fn write(store: &FhirServer, when: Precondition) -> Result<Version> {
    let write = Write { precondition: when, ..Write::put(pump(), PLAIN, IndexEntries::new()) };
    store.commit(&ward(), vec![write]).await.map(|mut made| made.remove(0)).map_err(|refused| refused.error)
}

async fn delete(store: &FhirServer, when: Precondition) -> Result<Version> {
    let write = Write::delete(pump(), when);
    store.commit(&ward(), vec![write]).await.map(|mut made| made.remove(0)).map_err(|refused| refused.error)
}

async fn search(store: &FhirServer) -> Result<Page<Version>> {
    store.search(&ward(), &Search::new(ResourceType::Device)).await
}

/// Returns the server fault in an error.
#[track_caller]
fn fault<T: std::fmt::Debug>(answer: Result<T>) -> ServerFault {
    match answer {
        Err(StoreError::Backend { source, .. } | StoreError::Indeterminate { source: Some(source), .. }) => {
            source.downcast_ref::<ServerFault>().unwrap_or_else(|| panic!("{source:?}")).clone()
        }
        other => panic!("{other:?}"),
    }
}

fn ids(page: &Page<Version>) -> Vec<&str> {
    page.items.iter().map(|version| version.key.id().as_str()).collect()
}

fn bundle(ids: &[&str], next: &str) -> String {
    let entry = |id: &&str| format!(r#"{{"resource":{},"search":{{"mode":"match"}}}}"#, device(id, "1"));
    let entries: Vec<_> = ids.iter().map(entry).collect();
    let link =
        if next.is_empty() { String::new() } else { format!(r#""link":[{{"relation":"next","url":"{next}"}}],"#) };
    format!(r#"{{"resourceType":"Bundle","type":"searchset",{link}"entry":[{}]}}"#, entries.join(","))
}

// ------------------------------------------------------------------------------------------ versions

#[tokio::test]
async fn version_is_read_from_every_etag_spelling() {
    for tag in ["3", "\"3\"", "W/\"3\"", "w/\"3\"", "W/3"] {
        let (store, _) = always(say(200, device("p", "")).with("ETag", tag)).await;
        assert_eq!(read(&store).await.unwrap().version, v(3), "{tag}");
    }
    // Where the resource tells it, a tag made of its bytes does not matter, and one of another version is wrong.
    let (store, _) = always(say(200, device("p", "3")).with("ETag", "\"5f-a0b1\"")).await;
    assert_eq!(read(&store).await.unwrap().version, v(3));
    let (store, _) = always(say(200, device("p", "3")).with("ETag", "W/\"4\"")).await;
    assert!(matches!(read(&store).await, Err(StoreError::Corrupt { .. })));
    let (store, _) = always(say(200, device("p", ""))).await;
    assert_eq!(fault(read(&store).await), ServerFault::VersionMissing);
    let (store, _) = always(say(200, device("p", "a7-c"))).await;
    assert_eq!(fault(read(&store).await), ServerFault::VersionNotANumber { found: "a7-c".into() });
}

#[tokio::test]
async fn missing_time_is_taken_from_the_headers() {
    let (store, _) = always(say(200, PLAIN).with("ETag", "W/\"3\"")).await;
    assert_eq!(fault(read(&store).await), ServerFault::TimeMissing);
    let said = say(200, PLAIN).with("ETag", "W/\"3\"").with("Last-Modified", "Wed, 19 Apr 2017 10:00:00 GMT");
    let (store, _) = always(said).await;
    assert_eq!(read(&store).await.unwrap().last_updated, time::macros::datetime!(2017-04-19 10:00 UTC));
}

#[tokio::test]
async fn write_result_is_read_if_not_in_the_response() {
    for (name, place) in [
        ("Location", "http://internal.example:8080/fhir/Device/p/_history/2"),
        ("Location", "/ward/Device/p/_history/2"),
        ("Location", "Device/p/_history/2"),
        ("Location", "https://other.example/Device/p/_history/2/"),
        ("Content-Location", "Device/p/_history/2"),
        ("ETag", "\"2\""),
    ] {
        for said in [say(200, ""), say(204, ""), say(200, outcome("all is well")), html(200)] {
            let said = said.with(name, place);
            let (store, odd) = over(plain(), move |heard| match heard.line.as_str() {
                "PUT /ward/Device/p" => said.clone(),
                "GET /ward/Device/p/_history/2" => say(200, device("p", "2")),
                _ => say(500, ""),
            })
            .await;
            let made = write(&store, Precondition::Version(v(1))).await.unwrap();
            assert_eq!((made.version, made.body.as_deref()), (v(2), Some(PLAIN.as_bytes())), "{name}: {place}");
            assert_eq!(odd.heard.lock().unwrap()[0].header("if-match"), Some("W/\"1\""));
        }
    }
    // What was made is not known where nothing tells it.
    for said in [say(200, ""), html(200), say(202, ""), say(200, "").with("Location", "Device/p")] {
        let (store, _) = always(said).await;
        let unknown = write(&store, Precondition::None).await.unwrap_err();
        assert_eq!(unknown.applied(), Applied::Unknown, "{unknown:?}");
    }
    let (store, _) = always(say(200, device("p", "a7-c"))).await;
    let unknown = write(&store, Precondition::None).await;
    assert!(matches!(unknown, Err(StoreError::Indeterminate { .. })), "{unknown:?}");
    assert_eq!(fault(write(&store, Precondition::None).await), ServerFault::VersionNotANumber { found: "a7-c".into() });
}

#[tokio::test]
async fn create_answered_with_200_is_checked_by_its_version() {
    let created = |version: &'static str| {
        over(plain(), move |heard| match heard.line.starts_with("GET") {
            true => say(404, ""),
            false => say(200, device("p", version)),
        })
    };
    assert_eq!(write(&created("1").await.0, Precondition::Absent).await.unwrap().version, v(1));
    let undone = write(&created("2").await.0, Precondition::Absent).await;
    assert_eq!(fault(undone), ServerFault::ConditionIgnored { made: 2 });
    // Trusted, the server is not asked first.
    let (store, odd) = over(plain().trust_if_none_match(), |_| say(201, device("p", "1"))).await;
    assert_eq!(write(&store, Precondition::Absent).await.unwrap().version, v(1));
    assert_eq!(odd.lines(), ["PUT /ward/Device/p"]);
    assert_eq!(odd.heard.lock().unwrap()[0].header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn server_that_drops_extensions_is_detected() {
    let (store, _) = always(say(200, device("p", "2"))).await;
    let named = Write::update(pump(), v(1), PLAIN, IndexEntries::new()).with_id(WriteId(7));
    let lost = store.commit(&ward(), vec![named]).await.map_err(|refused| refused.error);
    assert!(matches!(&lost, Err(StoreError::Indeterminate { .. })), "{lost:?}");
    assert_eq!(fault(lost), ServerFault::WriteIdLost);
}

// ------------------------------------------------------------------------------------------ conditions

/// Starts a server that refuses every write with a status, and answers reads with `shows`.
async fn refusing(status: u16, shows: Say) -> (FhirServer, Odd) {
    over(plain(), move |heard| match heard.line.starts_with("GET") {
        true => shows.clone(),
        false => say(status, outcome("not like that")),
    })
    .await
}

#[tokio::test]
async fn failed_condition_is_recognised_by_any_status() {
    for status in [404, 409, 410, 412] {
        let (store, _) = refusing(status, say(200, device("p", "4"))).await;
        let conflict = write(&store, Precondition::Version(v(3))).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { current: Some(at), .. }) if at == v(4)), "{conflict:?}");
        let (store, _) = refusing(status, say(404, "")).await;
        let conflict = write(&store, Precondition::Version(v(3))).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { current: None, .. })), "{conflict:?}");
        let (store, _) = refusing(status, say(410, "").with("ETag", "W/\"5\"")).await;
        let conflict = write(&store, Precondition::Version(v(3))).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { current: Some(at), .. }) if at == v(5)), "{conflict:?}");
    }
    for status in [409, 412] {
        let looks = AtomicUsize::new(0);
        let (store, _) = over(plain(), move |heard| match heard.line.starts_with("GET") {
            // Another makes it after the look.
            true if looks.fetch_add(1, Ordering::SeqCst) == 0 => say(404, ""),
            true => say(200, device("p", "1")),
            false => say(status, ""),
        })
        .await;
        let exists = write(&store, Precondition::Absent).await;
        assert!(matches!(exists, Err(StoreError::AlreadyExists { current: Some(at), .. }) if at == v(1)), "{exists:?}");
    }
    let (store, odd) = refusing(500, say(200, device("p", "1"))).await;
    assert!(matches!(write(&store, Precondition::Absent).await, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(odd.lines(), ["GET /ward/Device/p"]);
}

#[tokio::test]
async fn other_refusal_keeps_the_server_message() {
    for status in [409, 412] {
        let (store, _) = refusing(status, say(200, device("p", "3"))).await;
        for when in [Precondition::Version(v(3)), Precondition::Exists, Precondition::None] {
            let refused = write(&store, when).await.unwrap_err();
            assert!(
                matches!(&refused, StoreError::Invalid { what, .. } if what.contains("not like that")),
                "{refused:?}"
            );
            if when != Precondition::None {
                let refused = delete(&store, when).await.unwrap_err();
                assert!(matches!(&refused, StoreError::Invalid { what, .. } if what.contains("not like that")));
            }
        }
        let (store, _) = refusing(status, say(404, "")).await;
        let refused = write(&store, Precondition::Absent).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    for status in [400, 415, 422, 418, 451] {
        let (store, _) = refusing(status, say(200, device("p", "3"))).await;
        let refused = write(&store, Precondition::Version(v(3))).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Invalid { what, .. } if what.contains("not like that")), "{refused:?}");
    }
    // An id that the caller chose.
    for status in [404, 405] {
        let (store, _) = refusing(status, say(404, "")).await;
        for when in [Precondition::Absent, Precondition::None] {
            let refused = write(&store, when).await;
            assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
        }
    }
    for status in [401, 403] {
        let (store, _) = always(say(status, outcome("who are you"))).await;
        assert!(matches!(read(&store).await, Err(StoreError::Denied { .. })));
        assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Denied { .. })));
    }
    let (store, _) = always(say(413, "")).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::TooLarge { .. })));
}

#[tokio::test]
async fn required_if_match_is_sent() {
    for status in [409, 412, 428] {
        let (store, odd) = over(plain(), move |heard| match heard.line.as_str() {
            "GET /ward/Device/p" => say(200, device("p", "3")),
            _ if heard.header("if-match") == Some("W/\"3\"") => say(200, device("p", "4")),
            _ => say(status, ""),
        })
        .await;
        assert_eq!(write(&store, Precondition::None).await.unwrap().version, v(4));
        assert_eq!(odd.lines().len(), 3);
    }
}

#[tokio::test]
async fn write_applied_against_its_condition_is_detected() {
    let (store, _) = always(say(200, device("p", "6"))).await;
    let ignored = write(&store, Precondition::Version(v(3))).await;
    assert_eq!(fault(ignored), ServerFault::ConditionIgnored { made: 6 });
    let (store, _) = over(plain().with_gaps(), |_| say(200, device("p", "6"))).await;
    assert_eq!(write(&store, Precondition::Version(v(3))).await.unwrap().version, v(6));
    // A deletion is told in its answer, or else when it is read, or else in the history.
    for (answer, gone, history) in [
        (say(204, "").with("ETag", "W/\"7\""), say(500, ""), say(500, "")),
        (say(200, outcome("deleted")), say(410, "").with("Location", "Device/p/_history/7"), say(500, "")),
        (say(204, ""), say(410, ""), say(200, deleted("6"))),
    ] {
        let read = AtomicUsize::new(0);
        let (store, odd) = over(plain(), move |heard| match heard.line.as_str() {
            "DELETE /ward/Device/p" => answer.clone(),
            "GET /ward/Device/p" if read.fetch_add(1, Ordering::SeqCst) == 0 => say(200, device("p", "3")),
            "GET /ward/Device/p" => gone.clone(),
            _ => history.clone(),
        })
        .await;
        let ignored = delete(&store, Precondition::Version(v(3))).await;
        assert_eq!(fault(ignored), ServerFault::ConditionIgnored { made: 7 });
        assert_eq!(odd.heard.lock().unwrap()[1].header("if-match"), Some("W/\"3\""));
    }
}

/// Returns a history that ends in a deletion without a number of its own.
fn deleted(of: &str) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"history","entry":[
        {{"request":{{"method":"DELETE","url":"Device/p"}}}},
        {{"resource":{},"request":{{"method":"PUT","url":"Device/p"}}}}]}}"#,
        device("p", of)
    )
}

#[tokio::test]
async fn false_deletion_is_detected() {
    let (store, _) = over(plain(), |heard| match heard.line.starts_with("DELETE") {
        true => say(204, ""),
        false => say(200, device("p", "3")),
    })
    .await;
    let unknown = delete(&store, Precondition::Exists).await;
    assert!(matches!(unknown, Err(StoreError::Indeterminate { .. })), "{unknown:?}");
}

#[tokio::test]
async fn gone_differs_from_not_found() {
    let (store, _) = always(say(404, "")).await;
    assert!(matches!(read(&store).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(
        store.history(&ward(), &pump(), 3.try_into().unwrap(), None).await,
        Err(StoreError::NotFound { .. })
    ));
    for said in [say(410, "").with("ETag", "W/\"4\""), say(410, "").with("Location", "Device/p/_history/4")] {
        let (store, _) = always(said).await;
        assert!(matches!(read(&store).await, Err(StoreError::Gone { at, .. }) if at == v(4)));
    }
    let script = |heard: &Heard| match heard.line.contains("_history") {
        true => say(200, deleted("3")),
        false => say(410, ""),
    };
    let (store, _) = over(plain(), script).await;
    assert!(matches!(read(&store).await, Err(StoreError::Gone { at, .. }) if at == v(4)));
    let (store, _) = over(plain().without_history(), script).await;
    assert_eq!(fault(read(&store).await), ServerFault::VersionMissing);
    assert!(matches!(store.vread(&ward(), &pump(), v(1)).await, Err(StoreError::Unsupported { .. })));
    // Some servers show an empty history of what they do not have.
    let (store, _) = over(plain(), |heard| match heard.line.contains("_history") {
        true => say(200, r#"{"resourceType":"Bundle","type":"history"}"#),
        false => say(404, ""),
    })
    .await;
    let never = store.history(&ward(), &pump(), 3.try_into().unwrap(), None).await;
    assert!(matches!(never, Err(StoreError::NotFound { .. })), "{never:?}");
}

/// A server whose histories show no deletions: `p` was created, deleted, created again, and deleted; the numbers of the
/// deletions are shown nowhere.
fn secretive(heard: &Heard) -> Say {
    let history = format!(
        r#"{{"resourceType":"Bundle","type":"history","entry":[{{"resource":{}}},{{"resource":{}}}]}}"#,
        device("p", "3"),
        device("p", "1")
    );
    match heard.line.as_str() {
        "GET /ward/Device/p" => say(410, ""),
        line if line.contains("_history?") => say(200, history),
        _ => say(404, ""),
    }
}

#[tokio::test]
async fn hidden_deletions_follow_from_version_numbers() {
    let (store, _) = over(plain(), secretive).await;
    let gone = read(&store).await;
    assert!(matches!(gone, Err(StoreError::Gone { at, .. }) if at == v(4)), "{gone:?}");
    for limit in [1, 2, 3, 4, 5] {
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            let page = store.history(&ward(), &pump(), limit.try_into().unwrap(), after.as_ref()).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            told.extend(page.items.iter().map(|version| (version.version.get(), version.is_deleted())));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(told, [(4, true), (3, false), (2, true), (1, false)], "{limit}");
    }
    // Where numbers are left out, nothing is known by them.
    let (store, _) = over(plain().with_gaps(), secretive).await;
    assert_eq!(fault(read(&store).await), ServerFault::VersionMissing);
}

#[tokio::test]
async fn stale_deletion_etag_is_ignored() {
    for tag in ["1", "W/\"3\"", "\"7a-NR\""] {
        let read = AtomicUsize::new(0);
        let (store, _) = over(plain(), move |heard| match heard.line.as_str() {
            "DELETE /ward/Device/p" => say(204, "").with("ETag", tag),
            "GET /ward/Device/p" if read.fetch_add(1, Ordering::SeqCst) == 0 => say(200, device("p", "3")),
            _ => secretive(heard),
        })
        .await;
        assert_eq!(delete(&store, Precondition::Exists).await.unwrap().version, v(4), "{tag}");
    }
}

// ------------------------------------------------------------------------------------------ trouble

#[tokio::test]
async fn write_errors_state_whether_applied() {
    let seven = Some(Duration::from_secs(7));
    let throttled = always(say(429, "").with("Retry-After", "7")).await.0;
    for error in [read(&throttled).await.unwrap_err(), write(&throttled, Precondition::None).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Throttled { retry_after, .. } if retry_after == seven), "{error:?}");
    }
    // The server's own word that it does not serve now.
    for said in [say(503, outcome("closed")), html(503).with("Retry-After", "7")] {
        let (store, _) = always(said).await;
        let error = write(&store, Precondition::None).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert_eq!(error.applied(), Applied::No);
    }
    // What stands before a server says so too when it has lost the answer.
    for said in [html(503), html(502), html(504), say(500, outcome("oh")), html(500), say(408, "")] {
        let (store, _) = always(said.clone()).await;
        for when in [Precondition::None, Precondition::Version(v(1))] {
            let error = write(&store, when).await.unwrap_err();
            assert!(matches!(error, StoreError::Indeterminate { .. }), "{said:?}: {error:?}");
        }
    }
    for said in [html(503), html(502), html(504), say(408, "")] {
        let (store, _) = always(said).await;
        assert!(matches!(read(&store).await, Err(StoreError::Unavailable { .. })));
        assert!(matches!(search(&store).await, Err(StoreError::Unavailable { .. })));
    }
    let (store, _) = always(say(500, outcome("oh"))).await;
    assert_eq!(fault(read(&store).await), ServerFault::UnexpectedStatus { status: 500, text: "oh".into() });
    // The connection breaks after the request.
    let (store, _) = always(Say::Bytes(Vec::new())).await;
    assert!(matches!(read(&store).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Indeterminate { .. })));
    let (store, _) = always(Say::Bytes(b"SSH-2.0-x\r\n".into())).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Indeterminate { .. })));
    // Nobody hears the request.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = FhirServer::new(&format!("http://{nobody}/{{tenant}}")).unwrap();
    let error = write(&store, Precondition::None).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn broken_read_is_retried_once_and_a_write_is_not() {
    let ending = |times: usize| {
        let turns = AtomicUsize::new(0);
        over(plain(), move |_| match turns.fetch_add(1, Ordering::SeqCst) < times {
            true => Say::Bytes(Vec::new()),
            false => say(200, device("p", "1")),
        })
    };
    let (store, odd) = ending(1).await;
    assert_eq!(read(&store).await.unwrap().version, v(1));
    assert_eq!(odd.lines().len(), 2);
    let (store, odd) = ending(2).await;
    assert!(matches!(read(&store).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(odd.lines().len(), 2);
    let (store, odd) = ending(1).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Indeterminate { .. })));
    assert_eq!(odd.lines().len(), 1);
}

#[tokio::test]
async fn missing_response_times_out() {
    let (store, _) = over(plain().with_timeout(Duration::from_millis(200)), |_| Say::Nothing).await;
    assert!(matches!(read(&store).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Indeterminate { .. })));
}

#[tokio::test]
async fn truncated_response_counts_by_its_status() {
    let whole = say(200, device("p", "2")).with("ETag", "W/\"2\"");
    let (store, _) = always(whole.torn()).await;
    assert!(matches!(read(&store).await, Err(StoreError::Unavailable { .. })));
    // The version had been told: what it is, is read.
    let torn = whole.torn();
    let (store, _) = over(plain(), move |heard| match heard.line.starts_with("PUT") {
        true => torn.clone(),
        false => whole.clone(),
    })
    .await;
    assert_eq!(write(&store, Precondition::Version(v(1))).await.unwrap().version, v(2));
    let (store, _) = always(say(200, device("p", "2")).torn()).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Indeterminate { .. })));
    let (store, _) = always(say(422, outcome("no")).torn()).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Invalid { .. })));
    // Without a length, JSON tells that it is not whole.
    let half = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", &device("p", "2")[..60]);
    let (store, _) = always(Say::Bytes(half.into_bytes())).await;
    assert!(matches!(fault(read(&store).await), ServerFault::Unreadable { .. }));
}

#[tokio::test]
async fn wrong_response_body_is_refused() {
    let component = r#"{"resourceType":"DeviceComponent","id":"p","meta":{"versionId":"1","lastUpdated":"2017-04-19T10:00:00Z"},"identifier":{"value":"1"},"type":{"text":"x"}}"#;
    for said in [
        html(200),
        say(200, component),
        say(200, outcome("all is well")),
        say(200, "[]"),
        say(200, "7"),
        say(200, ""),
        say(200, "{}"),
        say(200, bundle(&["p"], "")),
        say(200, device("p", "1")).with("Content-Type", "application/fhir+xml"),
        Say::Answer(200, vec![("Content-Encoding", "gzip".into())], b"\x1f\x8b\x08\x00".to_vec()),
    ] {
        let (store, _) = always(said.clone()).await;
        let found = fault(read(&store).await);
        assert!(matches!(found, ServerFault::Unreadable { .. }), "{said:?}: {found:?}");
        if !matches!(&said, Say::Answer(_, _, body) if body.starts_with(b"{\"resourceType\":\"Bundle")) {
            let found = fault(search(&store).await);
            assert!(matches!(found, ServerFault::Unreadable { .. }), "{said:?}: {found:?}");
        }
    }
    let (store, odd) = always(say(200, device("q", "1"))).await;
    assert!(matches!(read(&store).await, Err(StoreError::Corrupt { .. })));
    let other = write(&store, Precondition::None).await;
    assert!(matches!(other, Err(StoreError::Indeterminate { .. })), "{other:?}");
    assert_eq!(odd.heard.lock().unwrap()[0].header("accept-encoding"), Some("identity"));
    let (store, _) = always(say(200, device("p", "2"))).await;
    assert!(matches!(store.vread(&ward(), &pump(), v(1)).await, Err(StoreError::Corrupt { .. })));
    // Among what is found, an outcome is passed over, and another type is not.
    let entries =
        |json: &str| format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{json}}}]}}"#);
    let (store, _) = always(say(200, entries(&outcome("a warning")))).await;
    assert_eq!(search(&store).await.unwrap().items, []);
    let (store, _) = always(say(200, entries(component))).await;
    assert!(matches!(fault(search(&store).await), ServerFault::Unreadable { .. }));
}

#[tokio::test]
async fn oversized_response_is_refused() {
    let large = device("p", "1").replace("P9", &"9".repeat(5_000));
    let (store, _) = over(plain().with_max_answer(4_000), move |_| say(200, large.clone())).await;
    assert_eq!(fault(read(&store).await), ServerFault::TooLarge { limit: 4_000 });
    assert_eq!(fault(search(&store).await), ServerFault::TooLarge { limit: 4_000 });
    let unknown = write(&store, Precondition::None).await;
    assert!(matches!(unknown, Err(StoreError::Indeterminate { .. })), "{unknown:?}");
    // Nor is a body sent that is larger than allowed.
    let (store, odd) = over(plain().with_max_body(20), |_| say(200, "")).await;
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::TooLarge { limit: 20, .. })));
    assert!(odd.lines().is_empty());
}

// ------------------------------------------------------------------------------------------ other places

fn with_token() -> Options {
    plain().with_bearer(|tenant| {
        let token = format!("token-of-{tenant}");
        Box::pin(async move { Ok(token) })
    })
}

#[tokio::test]
async fn credentials_go_to_their_tenant_only() {
    let elsewhere = Odd::start(|_| say(200, bundle(&["stolen"], ""))).await;
    let away = elsewhere.address;
    let away = [
        format!("http://{away}/ward/Device?page=2"),
        format!("//{away}/ward/Device?page=2"),
        "/other/Device?page=2".to_owned(),
        "/wardens/Device?page=2".to_owned(),
        "../other/Device?page=2".to_owned(),
        "https://evil.example/ward/Device".to_owned(),
        "ftp://evil.example/".to_owned(),
        "http://[".to_owned(),
        "data:application/fhir+json,{}".to_owned(),
    ];
    for link in away {
        let next = link.clone();
        let (store, odd) = over(with_token(), move |_| say(200, bundle(&["a"], &next))).await;
        let fault = fault(search(&store).await);
        assert!(matches!(&fault, ServerFault::ForeignLink { to } if !to.contains("token")), "{link}: {fault}");
        let asked = odd.heard.lock().unwrap().clone();
        assert_eq!((asked.len(), asked[0].header("authorization")), (1, Some("Bearer token-of-ward")));
    }
    for status in [301, 302, 303, 307, 308] {
        let to = format!("http://{}/ward/Device/p", elsewhere.address);
        let (store, odd) = over(with_token(), move |_| say(status, "").with("Location", to.clone())).await;
        assert!(matches!(fault(read(&store).await), ServerFault::Redirected { .. }));
        assert!(matches!(fault(search(&store).await), ServerFault::Redirected { .. }));
        assert!(matches!(fault(write(&store, Precondition::None).await), ServerFault::Redirected { .. }));
        assert_eq!(odd.lines().len(), 3);
    }
    assert!(elsewhere.lines().is_empty());
    let (store, odd) = over(plain(), |_| say(200, "")).await;
    drop(store);
    let refusing = plain().with_bearer(|_| Box::pin(async { Err(StoreError::denied(None)) }));
    let store = refusing.at(&format!("http://{}/{{tenant}}", odd.address)).unwrap();
    assert!(matches!(read(&store).await, Err(StoreError::Denied { .. })));
    let broken = plain().with_bearer(|_| Box::pin(async { Ok("a\nb".to_owned()) }));
    let store = broken.at(&format!("http://{}/{{tenant}}", odd.address)).unwrap();
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Invalid { .. })));
    assert!(odd.lines().is_empty());
}

#[tokio::test]
async fn invalid_or_plain_http_address_is_refused() {
    assert!(matches!(FhirServer::new("https://fhir.example/stu3"), Err(StoreError::Invalid { .. })));
    for address in ["fhir.example/{tenant}", "ftp://fhir.example/{tenant}", "https://fhir.example/?t={tenant}"] {
        let store = FhirServer::new(address).unwrap();
        assert!(matches!(read(&store).await, Err(StoreError::Invalid { .. })), "{address}");
    }
    let store = FhirServer::new("http://0.0.0.0:1/{tenant}").unwrap();
    let refused = read(&store).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Invalid { what, .. } if what.contains("not encrypted")), "{refused:?}");
    let store = FhirServer::new("ftp://nurse:secret@fhir.example/{tenant}").unwrap();
    assert!(!read(&store).await.unwrap_err().to_string().contains("secret"));
    let store = plain().allow_plain_http().at("http://0.0.0.0:1/{tenant}").unwrap();
    assert!(matches!(write(&store, Precondition::None).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(plain().with_roots(b"no certificate"), Err(StoreError::Invalid { .. })));
    assert!(matches!(plain().with_identity(b"no certificate"), Err(StoreError::Invalid { .. })));
}

#[test]
fn crypto_provider_is_not_set_for_the_process() {
    use rustls::crypto::{CryptoProvider, ring};
    use std::sync::Arc;
    plain().at("https://fhir.example/{tenant}").unwrap();
    assert!(CryptoProvider::get_default().is_none());
    let without_ciphers = CryptoProvider { cipher_suites: Vec::new(), ..ring::default_provider() };
    let refused = plain().with_crypto_provider(Arc::new(without_ciphers)).at("https://fhir.example/{tenant}");
    assert!(matches!(refused, Err(StoreError::Backend { .. })));
}

#[tokio::test]
async fn missing_capabilities_are_read_from_metadata() {
    let statement = |version: &str, of_device: &str| {
        say(
            200,
            format!(
                r#"{{"resourceType":"CapabilityStatement","fhirVersion":"{version}","format":["xml"],"rest":[{{"mode":"server",
            "resource":[{{"type":"Device","interaction":[{{"code":"read"}},{{"code":"vread"}},{{"code":"update"}},{{"code":"delete"}},
            {{"code":"search-type"}}]{of_device}}}]}}]}}"#
            ),
        )
    };
    let said = statement("4.0.1", r#","versioning":"no-version","updateCreate":false"#);
    let (store, odd) = over(with_token().with_transactions(2), move |_| said.clone()).await;
    let missing_capabilities: Vec<_> =
        store.missing_capabilities(&ward()).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        missing_capabilities,
        [
            "the server has FHIR `4.0.1`, wanted 3.0",
            "the server writes no JSON",
            "the server does not offer `history-instance` of a Device",
            "the server creates no Device under an id of the client's",
            "the server does not tell the versions of a Device",
            "the server keeps no DeviceComponent",
            "the server keeps no DeviceMetric",
            "the server takes no transactions",
        ]
    );
    assert_eq!(odd.lines(), ["GET /ward/metadata"]);
    let said = statement("3.0.1", "");
    let (store, _) = over(plain().without_history(), move |_| said.clone()).await;
    assert_eq!(store.missing_capabilities(&ward()).await.unwrap().len(), 3);
    for (said, status) in [(say(404, ""), 404), (html(500), 500)] {
        let (store, _) = always(said).await;
        assert!(
            matches!(fault(store.missing_capabilities(&ward()).await), ServerFault::UnexpectedStatus { status: told, .. } if told == status)
        );
    }
    for said in [say(200, bundle(&[], "")), html(200), say(200, "")] {
        let (store, _) = always(said).await;
        assert!(matches!(fault(store.missing_capabilities(&ward()).await), ServerFault::Unreadable { .. }));
    }
}

// ------------------------------------------------------------------------------------------ pages

#[tokio::test]
async fn empty_page_with_next_link_continues() {
    let (store, odd) = over(plain(), |heard| match heard.line.split_once("page=") {
        None => say(200, bundle(&[], "/ward/Device?page=2")),
        Some((_, "2")) => say(
            200,
            r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"Device?page=3"}]}"#,
        ),
        Some((_, "3")) => say(200, bundle(&["a", "b"], "/ward?page=4")),
        Some(_) => say(200, bundle(&["c"], "")),
    })
    .await;
    let page = search(&store).await.unwrap();
    assert_eq!((ids(&page), &page.next), (vec!["a", "b", "c"], &None));
    assert_eq!(odd.lines()[3], "GET /ward/?page=4");
}

#[tokio::test]
async fn endless_paging_is_an_error() {
    let (store, _) = always(say(200, bundle(&[], "/ward/Device?page=2"))).await;
    assert_eq!(fault(search(&store).await), ServerFault::EndlessPages);
    let turns = AtomicUsize::new(0);
    let (store, _) = over(plain(), move |_| {
        let turn = turns.fetch_add(1, Ordering::SeqCst) % 3;
        say(200, bundle(&[], &format!("/ward/Device?page={turn}")))
    })
    .await;
    assert_eq!(fault(search(&store).await), ServerFault::EndlessPages);
    let (store, _) = always(say(200, bundle(&["a"], "/ward/Device?page=2"))).await;
    assert!(matches!(fault(search(&store).await), ServerFault::NotSorted | ServerFault::EndlessPages));
    let (store, _) = over(plain(), |heard| {
        let page =
            deleted("6").replace(r#""type""#, r#""link":[{"relation":"next","url":"Device/p/_history?p=1"}],"type""#);
        if heard.line.contains("_history") { say(200, page) } else { say(410, "") }
    })
    .await;
    let history = store.history(&ward(), &pump(), 9.try_into().unwrap(), None).await;
    assert_eq!(fault(history), ServerFault::EndlessPages);
}

#[tokio::test]
async fn unsorted_pages_fail_and_one_page_is_sorted() {
    let (store, _) = always(say(200, bundle(&["b", "a", "b"], ""))).await;
    assert_eq!(ids(&search(&store).await.unwrap()), ["a", "b"]);
    let (store, _) = always(say(200, bundle(&["b", "a"], "/ward/Device?page=2"))).await;
    assert_eq!(fault(search(&store).await), ServerFault::NotSorted);
    let (store, _) = over(plain(), |heard| match heard.line.contains("page=") {
        false => say(200, bundle(&["b"], "/ward/Device?page=2")),
        true => say(200, bundle(&["a"], "")),
    })
    .await;
    assert_eq!(fault(search(&store).await), ServerFault::NotSorted);
}

/// A server of seven devices, two per page, with links of a given length, which serves each linked page.
async fn paged(long: usize, expired: u16) -> (FhirServer, Odd) {
    const ALL: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    over(plain(), move |heard| {
        let from = match heard.line.split_once("from=") {
            None => 0,
            Some(_) if expired != 0 => return say(expired, ""),
            Some((_, from)) => from.split('&').next().unwrap().parse::<usize>().unwrap(),
        };
        let end = (from + 2).min(ALL.len());
        let next = format!("/ward/Device?from={end}&state={}", "x".repeat(long));
        say(200, bundle(&ALL[from..end], if end < ALL.len() { &next } else { "" }))
    })
    .await
}

#[tokio::test]
async fn pages_are_complete_with_any_link_length() {
    for long in [3, 2_000] {
        for limit in [1, 2, 3, 4, 7, 100] {
            let (store, _) = paged(long, 0).await;
            let mut search = Search::new(ResourceType::Device).limit(limit);
            let mut all = Vec::new();
            loop {
                let page = store.search(&ward(), &search).await.unwrap();
                assert!(page.items.len() <= limit as usize);
                all.extend(page.items.iter().map(|version| version.key.id().to_string()));
                match page.next {
                    Some(next) => search.after = Some(next),
                    None => break,
                }
            }
            assert_eq!(all.concat(), "abcdefg", "{long} {limit}");
        }
    }
    for expired in [404, 410] {
        let (store, _) = paged(3, expired).await;
        let search = Search::new(ResourceType::Device).limit(2);
        let next = store.search(&ward(), &search).await.unwrap().next.unwrap();
        let refused = store.search(&ward(), &search.after(next)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
}

/// A server of 30 resources or versions of 900 kB each, which returns as many as requested at once.
async fn heavy() -> (FhirServer, Odd) {
    over(plain(), |heard| {
        let number = |name: &str| {
            let (_, rest) = heard.line.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
        };
        let (from, count) = (number("from=").unwrap_or_default(), number("_count=").unwrap_or(1));
        let resource = |at: usize| {
            let filler = "x".repeat(900_000);
            let (id, version) = if heard.line.contains("_history") {
                ("p".to_owned(), (30 - at).to_string())
            } else {
                (format!("d{at:02}"), "1".to_owned())
            };
            device(&id, &version).replace("P9", &filler)
        };
        let Some((place, _)) = heard.line.split_once('?') else { return say(200, device("p", "30")) };
        let place = place.split_once(' ').unwrap().1;
        let end = (from + count).min(30);
        let entries: Vec<String> = (from..end).map(|at| format!(r#"{{"resource":{}}}"#, resource(at))).collect();
        let next = format!(r#""link":[{{"relation":"next","url":"{place}?from={end}&_count={count}"}}],"#);
        let next = if end < 30 { next } else { String::new() };
        say(200, format!(r#"{{"resourceType":"Bundle","type":"searchset",{next}"entry":[{}]}}"#, entries.join(",")))
    })
    .await
}

#[tokio::test]
async fn pages_are_bounded_by_bytes() {
    let (store, _) = heavy().await;
    let of_bytes = |page: &Page<Version>| page.items.iter().filter_map(|it| it.body.as_ref()).map(|it| it.len()).sum();
    let (mut search, mut found) = (Search::new(ResourceType::Device), Vec::new());
    loop {
        let page = store.search(&ward(), &search).await.unwrap();
        let bytes: usize = of_bytes(&page);
        assert!(bytes < 9_500_000, "{bytes}");
        found.extend(page.items.iter().map(|version| version.key.id().to_string()));
        match page.next {
            Some(next) => search.after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, (0..30).map(|at| format!("d{at:02}")).collect::<Vec<_>>());
    let (mut versions, mut after) = (Vec::new(), None);
    loop {
        let page = store.history(&ward(), &pump(), 50.try_into().unwrap(), after.as_ref()).await.unwrap();
        let bytes: usize = of_bytes(&page);
        assert!(bytes < 9_500_000, "{bytes}");
        versions.extend(page.items.iter().map(|version| version.version.get()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(versions, (1..=30).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn search_results_are_filtered_again() {
    // It passes over what it does not know.
    let (store, odd) = always(say(200, bundle(&["a", "b", "c"], ""))).await;
    let only = |criterion| Search::new(ResourceType::Device).and(criterion);
    let b = store.search(&ward(), &only(Criterion::Id("b".into()))).await.unwrap();
    assert_eq!(ids(&b), ["b"]);
    let other = store.search(&ward(), &only(Criterion::value(Parameter::Model, "P"))).await.unwrap();
    assert_eq!(ids(&other), [""; 0]);
    let begins = store.search(&ward(), &only(Criterion::begins(Parameter::Model, "P"))).await.unwrap();
    assert_eq!(ids(&begins), ["a", "b", "c"]);
    let lines = odd.lines();
    assert!(lines[0].contains("_id=b&") && lines[1].contains("model=p&") && lines[2].contains("model=p&"), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("_sort=_id")));
    // A long question is posted.
    let ids: std::collections::BTreeSet<_> = (0..400).map(|n| format!("device-{n}").into()).collect();
    store.search(&ward(), &only(Criterion::AnyId(ids))).await.unwrap();
    let posted = odd.heard.lock().unwrap().last().unwrap().clone();
    assert_eq!(posted.line, "POST /ward/Device/_search");
    assert_eq!(posted.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(posted.body.contains("device-399"));
}

#[test]
fn call_without_a_runtime_fails() {
    let store = FhirServer::new("http://127.0.0.1:1/{tenant}").unwrap();
    let outside = fhir_devices::testkit::store::block_on(store.read(&ward(), &pump()));
    assert!(matches!(outside, Err(StoreError::Unavailable { .. })));
}
