//! The store on another FHIR server, tested against the contract over the example `update_service`, and against
//! misbehaving servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by a panic"
)]

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "update_service/client.rs"]
mod client;
#[path = "engine_fhir_http/dressed.rs"]
mod dressed;
#[path = "engine_fhir_http/durable.rs"]
mod durable;
#[path = "common/example.rs"]
mod example;
#[path = "engine_fhir_http/foreign.rs"]
mod foreign;
#[path = "engine_fhir_http/lax.rs"]
mod lax;
#[path = "engine_fhir_http/odd.rs"]
mod odd;
#[path = "engine_fhir_http/r4.rs"]
mod r4;
#[path = "engine_fhir_http/servers.rs"]
mod servers;
#[path = "engine_fhir_http/service.rs"]
mod service;
#[path = "engine_fhir_http/story.rs"]
mod story;
#[path = "engine_fhir_http/transactions.rs"]
mod transactions;
#[path = "engine_fhir_http/wire.rs"]
mod wire;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use client::Service;
use dressed::Dressed;
use fhir_devices::backend::FhirServer;
use fhir_devices::backend::fhir_http::Options;
use fhir_devices::server::{self, UpdateServer};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::testkit::store::{ClauseOutcome, StoreUnderTest, Task, resources};
use fhir_devices::{Device, Valid};
use futures_core::Stream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn block_on(task: Task<'_>) {
    RUNTIME.block_on(task);
}

/// Returns options with the known features of the service beyond FHIR.
fn options() -> Options {
    Options::new().with_read_your_writes_search()
}

fn dressed(options: Options) -> Dressed<FhirServer> {
    let service = RUNTIME.block_on(Service::start());
    Dressed(options.at(&format!("http://{}/{{tenant}}/fhir", service.address)).unwrap())
}

/// Returns the store over the service, with the results of a probe.
fn connected() -> Dressed<FhirServer> {
    let address = RUNTIME.block_on(Service::start()).address;
    let address = format!("http://{address}/{{tenant}}/fhir");
    Dressed(RUNTIME.block_on(Options::new().connect(&address, &"ward".parse().unwrap())).unwrap())
}

/// The skipped clauses where a commit has one write.
const SKIPPED: [(&str, &str); 12] = [
    ("r1_refused_commit_writes_nothing", "commits of several writes"),
    ("r1_commit_returns_versions_in_order", "commits of several writes"),
    ("r1_commit_is_visible_as_a_whole", "commits of several writes"),
    ("r1_commit_with_a_duplicate_key_is_refused", "commits of several writes"),
    ("r2_first_failing_write_is_named", "commits of several writes"),
    ("r2_of_concurrent_creators_one_wins", "creations on the condition that there is none"),
    ("r5_history_without_the_capability_is_unsupported", "no history"),
    ("r7_parameters_are_indexed_separately", "index entries that the body does not hold"),
    ("r13_last_updated_never_decreases", "times in the order of the versions"),
    ("r15_pruned_history_keeps_the_newest_versions", "the pruning of a history"),
    ("r16_changes_are_complete_and_newest_first", "no changes"),
    ("r17_search_by_time_is_ordered_by_time", "an order of times"),
];

/// The clauses still skipped where a commit may be a transaction.
const SKIPPED_IN_TRANSACTIONS: [(&str, &str); 7] = [
    ("r1_commit_beyond_its_scope_is_refused", "no scope smaller than a tenant"),
    ("r5_history_without_the_capability_is_unsupported", "no history"),
    ("r7_parameters_are_indexed_separately", "index entries that the body does not hold"),
    ("r13_last_updated_never_decreases", "times in the order of the versions"),
    ("r15_pruned_history_keeps_the_newest_versions", "the pruning of a history"),
    ("r16_changes_are_complete_and_newest_first", "no changes"),
    ("r17_search_by_time_is_ordered_by_time", "an order of times"),
];

fn contract_holds_with(options: Options, skips: &[(&str, &str)]) {
    contract_holds(&dressed(options), skips);
}

fn contract_holds(store: &Dressed<FhirServer>, skips: &[(&str, &str)]) {
    let trial = StoreUnderTest::new(store as &dyn ResourceStore, &block_on);
    let (mut broken, mut skipped) = (Vec::new(), Vec::new());
    for clause in resources::CLAUSES {
        match (clause.check)(&trial) {
            Ok(ClauseOutcome::Held) => {}
            Ok(ClauseOutcome::Skipped(why)) => skipped.push((clause.name, why)),
            Err(why) => broken.push((clause.name, why)),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(skipped, skips);
}

#[test]
fn contract_holds_over_the_example_service() {
    contract_holds_with(options(), &SKIPPED);
}

#[test]
fn contract_holds_with_transactions_and_trusted_creates() {
    contract_holds_with(options().with_transactions(100).trust_if_none_match(), &SKIPPED_IN_TRANSACTIONS);
}

#[test]
fn contract_holds_with_what_a_probe_found() {
    let store = connected();
    let capabilities = store.capabilities();
    assert!(capabilities.conditional_create && capabilities.conditional_delete && capabilities.max_writes > 1);
    assert!(capabilities.search_read_your_writes && capabilities.history);
    contract_holds(&store, &SKIPPED_IN_TRANSACTIONS);
}

#[test]
fn contract_holds_with_a_case_sensitive_server() {
    let options = options().with_transactions(3).case_sensitive().trust_if_none_match();
    contract_holds_with(options, &SKIPPED_IN_TRANSACTIONS);
}

/// A proxy that loses requests and answers, and reports it as gateways do.
async fn lossy(State(count): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    // Numbers that look random, and are the same in every run.
    let number = count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let html = |status: StatusCode| (status, [("content-type", "text/html")], "<html>").into_response();
    match number % 24 {
        0 => html(StatusCode::BAD_GATEWAY),
        1 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        2 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response(),
        lost @ 3..=6 => {
            let answer = next.run(request).await;
            match lost {
                3 => html(StatusCode::GATEWAY_TIMEOUT),
                4 => html(StatusCode::SERVICE_UNAVAILABLE),
                // The head, and nothing of the body.
                5 => Response::from_parts(answer.into_parts().0, Body::from_stream(Torn)),
                _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        _ => next.run(request).await,
    }
}

/// A body that breaks off.
struct Torn;

impl Stream for Torn {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// Returns the store over the service, through the lossy proxy.
fn over_a_lossy_way() -> FhirServer {
    let address = RUNTIME.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stores = server::Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
        let app =
            Arc::new(UpdateServer::over(stores, &format!("http://{address}"), server::DEFAULT_MAX_UPLOAD).unwrap());
        let count = Arc::new(AtomicU64::new(0));
        let router = app.router().layer(from_fn_with_state(count, lossy));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    options().at(&format!("http://{address}/{{tenant}}/fhir")).unwrap()
}

#[test]
fn histories_with_lost_messages_are_linearizable() {
    let store: Arc<dyn ResourceStore> = Arc::new(Dressed(over_a_lossy_way()));
    history::resources(&store, &block_on, 0..100).unwrap();
}

#[test]
fn resolved_write_is_applied_once_despite_losses() {
    const WRITES: u64 = 300;
    let store = TenantResources::new(Arc::new(over_a_lossy_way()), "ward".parse().unwrap());
    let body = |number: u64| format!(r#"{{"resourceType":"Device","id":"pump","model":"{number}"}}"#);
    RUNTIME.block_on(async {
        let (mut at, mut unknown) = (0, 0);
        for number in 1..=WRITES {
            let when = VersionId::new(at).map_or(Precondition::Absent, Precondition::Version);
            let pump = Valid::new(Device::from_json(body(number).as_bytes()).unwrap()).unwrap();
            let write = pump.write(when).unwrap().with_id(WriteId(number.into()));
            // What stays unknown is asked for again, as after a restart.
            let made = loop {
                match store.write_resolved(write.clone()).await {
                    Ok(made) => break made,
                    Err(error) if error.is_transient() => {}
                    Err(error) if error.applied() == Applied::Unknown => unknown += 1,
                    Err(error) => panic!("{number}: {error:?}"),
                }
            };
            at += 1;
            assert_eq!((made.version.get(), made.write_id), (at, Some(WriteId(number.into()))));
            assert_eq!(made.body.unwrap(), body(number));
        }
        assert!(unknown > 0, "the way loses nothing");
    });
}

#[test]
fn histories_with_faults_are_linearizable() {
    let store: Arc<dyn ResourceStore> = Arc::new(dressed(options()));
    history::resources(&store, &block_on, 0..200).unwrap();
}
