//! The store on Azure Cosmos DB, tested against the contracts on its SDK's emulator, and its own behaviour: the layout
//! of resources, refused accounts, and lost answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use azure_data_cosmos_driver::fault_injection::{
    CustomResponseBuilder, FaultInjectionConditionBuilder, FaultInjectionErrorType, FaultInjectionResultBuilder,
    FaultInjectionRule, FaultInjectionRuleBuilder, FaultOperationType,
};
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, ContainerConfig, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use fhir_devices::backend::Cosmos;
use fhir_devices::backend::cosmos::sdk::clients::CosmosClient;
use fhir_devices::backend::cosmos::sdk::{
    AccountReference, CosmosClientBuilder, CosmosRuntimeBuilder, RoutingStrategy,
};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::testkit::store::Task;
use fhir_devices::testkit::store::clock::{TestClock, TimedStore};
use fhir_devices::{ledger_conformance, resource_store_conformance};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

const ENDPOINT: &str = "https://eastus.emulator.local";

async fn client(emulator: &Arc<InMemoryEmulatorHttpClient>) -> CosmosClient {
    client_with(emulator, Vec::new()).await
}

/// Returns a client with faults injected by these rules.
async fn client_with(emulator: &Arc<InMemoryEmulatorHttpClient>, rules: Vec<Arc<FaultInjectionRule>>) -> CosmosClient {
    // The SDK takes its cryptography from the process; another test may have set it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = CosmosRuntimeBuilder::from(emulator.runtime_builder_with_fault_rules(rules)).build().await.unwrap();
    let account = AccountReference::with_authentication_key(ENDPOINT.parse().unwrap(), "dGVzdGtleQ==");
    let near = RoutingStrategy::ProximityTo("East US".into());
    CosmosClientBuilder::new().with_runtime(runtime).build(account, near).await.unwrap()
}

fn emulator(consistency: ConsistencyLevel) -> Arc<InMemoryEmulatorHttpClient> {
    let region = VirtualRegion::new("East US", ENDPOINT.parse().unwrap());
    let account = VirtualAccountConfig::new(vec![region]).unwrap().with_consistency(consistency);
    Arc::new(InMemoryEmulatorHttpClient::new(account))
}

/// Creates an account whose container has several partitions.
async fn connect() -> Cosmos {
    connect_with(Vec::new()).await
}

async fn connect_with(rules: Vec<Arc<FaultInjectionRule>>) -> Cosmos {
    let emulator = emulator(ConsistencyLevel::Strong);
    emulator.store().create_database("fhir");
    let spread = ContainerConfig::new().with_partition_count(4).build().unwrap();
    emulator.store().create_container_with_config("fhir", "devices", "/pk".into(), spread);
    Cosmos::open(&client_with(&emulator, rules).await, "fhir", "devices").await.unwrap()
}

resource_store_conformance!(resources_in_cosmos, store = connect().await, block_on = |task| RUNTIME.block_on(task));
ledger_conformance!(ledger_in_cosmos, store = connect().await, block_on = |task| RUNTIME.block_on(task));
fhir_devices::resource_clock_conformance!(
    clock_in_cosmos,
    store = {
        let clock = TestClock::new();
        TimedStore::new(clock.clone(), connect().await.with_clock(clock))
    },
    block_on = |task| RUNTIME.block_on(task)
);

/// The emulator mostly sleeps: `COSMOS_SEEDS` sets the number of histories.
#[test]
fn histories_with_faults_are_linearizable() {
    let seeds = std::env::var("COSMOS_SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    let store = Arc::new(RUNTIME.block_on(connect()));
    let block_on = |task: Task<'_>| RUNTIME.block_on(task);
    let resources: Arc<dyn ResourceStore> = store.clone();
    history::resources(&resources, &block_on, 0..seeds).unwrap();
    let ledger: Arc<dyn Ledger> = store;
    history::ledger(&ledger, &block_on, 0..seeds).unwrap();
}

/// Returns a rule that makes calls of one kind fail: the first ones, or some of them.
fn fault(
    of: FaultOperationType,
    error: FaultInjectionErrorType,
    first: Option<u32>,
    probability: f32,
) -> Arc<FaultInjectionRule> {
    let result = FaultInjectionResultBuilder::new().with_error(error).with_probability(probability).build();
    let when = FaultInjectionConditionBuilder::new().with_operation_type(of).build();
    let rule = FaultInjectionRuleBuilder::new(format!("{of:?} {error:?}"), result).with_condition(when);
    Arc::new(rule.with_hit_limit(first.unwrap_or(u32::MAX)).build())
}

#[test]
fn histories_with_lost_responses_are_linearizable() {
    use FaultInjectionErrorType::{ResponseTimeoutAfterService, ServiceUnavailable, TooManyRequests};
    use FaultOperationType::BatchItem;
    let rules = vec![
        fault(BatchItem, ResponseTimeoutAfterService, None, 0.1),
        fault(BatchItem, ServiceUnavailable, None, 0.05),
        fault(BatchItem, TooManyRequests, None, 0.05),
        fault(FaultOperationType::CreateItem, ResponseTimeoutAfterService, None, 0.1),
        fault(FaultOperationType::ReadItem, ServiceUnavailable, None, 0.05),
    ];
    let store = Arc::new(RUNTIME.block_on(connect_with(rules)));
    let block_on = |task: Task<'_>| RUNTIME.block_on(task);
    let resources: Arc<dyn ResourceStore> = store.clone();
    history::resources(&resources, &block_on, 0..50).unwrap();
    let ledger: Arc<dyn Ledger> = store;
    history::ledger(&ledger, &block_on, 0..50).unwrap();
}

#[test]
fn commit_with_lost_response_is_resolved() {
    use FaultInjectionErrorType::{ResponseTimeout, ResponseTimeoutAfterService};
    RUNTIME.block_on(async {
        let (t, key) = (fresh(), component("c"));
        let write = || vec![Write::create(key.clone(), "1", of("d"))];
        // However often the SDK sends it again.
        for times in 1..4 {
            let rule = fault(FaultOperationType::BatchItem, ResponseTimeoutAfterService, Some(times), 1.0);
            let store = connect_with(vec![Arc::clone(&rule)]).await;
            let made = store.commit(&t, write()).await.unwrap().remove(0);
            assert_eq!(store.read(&t, &key).await.unwrap(), made);
            assert_eq!(made.version, VersionId::FIRST);
            assert!(rule.hit_count() > 0);
            let change = vec![Change::create("a".parse().unwrap(), "1")];
            let rule = fault(FaultOperationType::BatchItem, ResponseTimeoutAfterService, Some(times), 1.0);
            let store = connect_with(vec![rule]).await;
            let revision = store.apply(&t, change).await.unwrap().remove(0);
            let record = Ledger::get(&store, &t, &"a".parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(record.revision, revision);
        }
        let never = connect_with(vec![fault(FaultOperationType::BatchItem, ResponseTimeout, None, 1.0)]).await;
        let unknown = never.commit(&t, write()).await.unwrap_err().error;
        assert!(matches!(unknown, StoreError::Indeterminate { .. }), "{unknown:?}");
        assert!(matches!(never.read(&t, &key).await, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn refusals_map_to_store_errors() {
    RUNTIME.block_on(async {
        let answer = |status: u16, sub: u16, wait: &'static str| {
            let answer = CustomResponseBuilder::new(status.into()).with_sub_status(sub);
            let answer = answer.with_header("x-ms-retry-after-ms", wait);
            let result = FaultInjectionResultBuilder::new().with_custom_response(answer.build()).build();
            let when = FaultInjectionConditionBuilder::new().with_operation_type(FaultOperationType::BatchItem).build();
            Arc::new(FaultInjectionRuleBuilder::new("refusal", result).with_condition(when).build())
        };
        let refused = async |status, sub| {
            let store = connect_with(vec![answer(status, sub, "7")]).await;
            let write = Write::create(component("c"), "1", of("d"));
            store.commit(&fresh(), vec![write]).await.unwrap_err().error
        };
        let busy = refused(429, 3200).await;
        assert!(
            matches!(busy, StoreError::Throttled { retry_after: Some(wait), .. } if wait.as_millis() == 7),
            "{busy:?}"
        );
        assert!(matches!(refused(413, 0).await, StoreError::TooLarge { .. }));
        assert!(matches!(refused(403, 1014).await, StoreError::Unsupported { .. }));
        assert!(matches!(refused(401, 0).await, StoreError::Denied { .. }));
    });
}

/// Resources of one commit have one time, and so have those of a clock that stands.
#[test]
fn search_by_time_orders_resources_of_one_time_by_id() {
    RUNTIME.block_on(async {
        let (clock, t) = (TestClock::new(), fresh());
        let store = connect().await.with_clock(clock.clone());
        for group in [&["d", "a"][..], &["h", "b", "k", "c", "g"], &["e"], &["m", "f", "l"]] {
            let writes = group.iter().map(|id| Write::create(component(id), "1", of("d"))).collect();
            store.commit(&t, writes).await.unwrap();
            clock.turn(1);
        }
        let wanted = ["a", "d", "b", "c", "g", "h", "k", "e", "f", "l", "m"];
        for limit in 1..13 {
            for (order, is_reversed) in [(SearchOrder::Updated, false), (SearchOrder::UpdatedDescending, true)] {
                let mut found = Vec::new();
                let mut search = Search::new(ResourceType::DeviceComponent).limit(limit).order(order);
                loop {
                    let page = store.search(&t, &search).await.unwrap();
                    assert!(page.items.len() <= limit as usize);
                    found.extend(ids(&page).into_iter().map(str::to_owned));
                    let Some(next) = page.next else { break };
                    search = search.after(next);
                }
                if is_reversed {
                    found.reverse();
                }
                assert_eq!(found, wanted, "{limit} {order:?}");
            }
        }
    });
}

fn fresh() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t-{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

fn component(id: &str) -> Key {
    Key::new(ResourceType::DeviceComponent, id).unwrap()
}

fn of(device: &str) -> IndexEntries {
    IndexEntries::new().with(Parameter::Source, Token::bare(format!("Device/{device}")))
}

fn ids(page: &Page<Version>) -> Vec<&str> {
    page.items.iter().map(|version| version.key.id().as_str()).collect()
}

#[test]
fn account_without_strong_consistency_is_refused() {
    RUNTIME.block_on(async {
        for weak in [ConsistencyLevel::Session, ConsistencyLevel::BoundedStaleness, ConsistencyLevel::Eventual] {
            let emulator = emulator(weak);
            let client = client(&emulator).await;
            Cosmos::create(&client, "fhir", "devices").await.unwrap();
            let refused = Cosmos::open(&client, "fhir", "devices").await.map(|_| ()).unwrap_err();
            assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused:?}");
        }
    });
}

#[test]
fn container_is_created_once_and_checked() {
    RUNTIME.block_on(async {
        let emulator = emulator(ConsistencyLevel::Strong);
        let client = client(&emulator).await;
        let missing = Cosmos::open(&client, "fhir", "devices").await.map(|_| ()).unwrap_err();
        assert!(matches!(missing, StoreError::Invalid { .. }), "{missing:?}");
        for _ in 0..2 {
            Cosmos::create(&client, "fhir", "devices").await.unwrap();
        }
        Cosmos::open(&client, "fhir", "devices").await.unwrap();
        emulator.store().create_container("fhir", "other", "/tenant".into());
        let other = Cosmos::open(&client, "fhir", "other").await.map(|_| ()).unwrap_err();
        assert!(matches!(other, StoreError::Invalid { .. }), "{other:?}");
    });
}

#[test]
fn component_moved_between_devices_is_stored_once() {
    RUNTIME.block_on(async {
        let (store, t) = (connect().await, fresh());
        let key = component("pump");
        store.commit(&t, vec![Write::create(key.clone(), "1", of("a"))]).await.unwrap();
        let moved = Write::update(key.clone(), VersionId::FIRST, "2", of("b"));
        store.commit(&t, vec![moved]).await.unwrap();
        let search = |device: &str| {
            Search::new(ResourceType::DeviceComponent).and(Criterion::source(&format!("Device/{device}")))
        };
        assert_eq!(ids(&store.search(&t, &search("a")).await.unwrap()), [""; 0]);
        assert_eq!(ids(&store.search(&t, &search("b")).await.unwrap()), ["pump"]);
        assert_eq!(store.history(&t, &key, 9.try_into().unwrap(), None).await.unwrap().items.len(), 2);
        // One commit with its new device would be two batches.
        let device = Key::new(ResourceType::Device, "b").unwrap();
        let writes = vec![Write::put(device.clone(), "1", IndexEntries::new()), Write::put(key, "3", of("b"))];
        let refused = store.commit(&t, writes).await.unwrap_err();
        assert!(matches!(refused.error, StoreError::Unsupported { .. }), "{refused:?}");
        assert!(matches!(store.read(&t, &device).await, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn device_tree_is_written_in_one_commit() {
    RUNTIME.block_on(async {
        let (store, t) = (connect().await, fresh());
        let device = Key::new(ResourceType::Device, "d").unwrap();
        let metric = Key::new(ResourceType::DeviceMetric, "m").unwrap();
        let max = store.capabilities().max_writes;
        let parts = (0..max - 2).map(|n| Write::put(component(&format!("c{n}")), "{}", of("d")));
        let others = [Write::put(device, "{}", IndexEntries::new()), Write::put(metric, "{}", of("d"))];
        let writes: Vec<_> = parts.chain(others).collect();
        for round in 1..=2 {
            let made = store.commit(&t, writes.clone()).await.unwrap();
            assert!(made.iter().all(|version| version.version.get() == round));
        }
    });
}

#[test]
fn pages_are_bounded_by_bytes() {
    RUNTIME.block_on(async {
        let (store, t): (_, Tenant) = (connect().await, "ward".parse().unwrap());
        let body = "x".repeat(500_000);
        for at in 0..24 {
            let key = Key::new(ResourceType::Device, format!("d{at:02}")).unwrap();
            store.commit(&t, vec![Write::put(key, body.clone(), IndexEntries::new())]).await.unwrap();
        }
        let key = Key::new(ResourceType::Device, "d00").unwrap();
        for _ in 1..24 {
            store.commit(&t, vec![Write::put(key.clone(), body.clone(), IndexEntries::new())]).await.unwrap();
        }
        let of_bytes = |page: &Page<Version>| -> usize {
            page.items.iter().filter_map(|version| version.body.as_ref()).map(|body| body.len()).sum()
        };
        let (mut search, mut found) = (Search::new(ResourceType::Device), 0);
        loop {
            let page = store.search(&t, &search).await.unwrap();
            assert!(of_bytes(&page) < 10_000_000, "{}", of_bytes(&page));
            found += page.items.len();
            match page.next {
                Some(next) => search.after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, 24);
        let (mut versions, mut after) = (0, None);
        loop {
            let page = store.history(&t, &key, 50.try_into().unwrap(), after.as_ref()).await.unwrap();
            assert!(of_bytes(&page) < 10_000_000, "{}", of_bytes(&page));
            versions += page.items.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(versions, 24);
    });
}
