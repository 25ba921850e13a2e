//! The store in PostgreSQL, tested against the contracts, and its own behaviour: broken sessions, schemas, query plans.
//!
//! The tests run against the server of `FHIR_DEVICES_POSTGRES` (a URL), or start one where its binaries are found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "postgres/server.rs"]
mod server;

use fhir_devices::backend::Postgres;
use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token, TokenMatch};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::testkit::store::ownership::ServiceStores;
use fhir_devices::{ledger_conformance, resource_store_conformance};
use server::Server;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(Server::shared);

fn options() -> Options {
    Options::new().with_schema("fhir_test").with_max_body(1 << 20).with_connections(8.try_into().unwrap())
}

async fn open(options: Options) -> Result<Postgres> {
    options.connect(&SERVER.as_ref().unwrap().url, NoTls).await
}

async fn connect() -> Postgres {
    open(options()).await.unwrap()
}

resource_store_conformance!(
    resources_in_postgres,
    store = connect().await,
    skip = SERVER.as_ref().err(),
    block_on = |future| RUNTIME.block_on(future)
);
fhir_devices::ownership_conformance!(
    ownership_in_postgres,
    store = {
        let postgres = Arc::new(connect().await);
        ServiceStores::new(postgres.clone(), fhir_devices::backend::Memory::new(), postgres)
    },
    skip = SERVER.as_ref().err(),
    block_on = |future| RUNTIME.block_on(future)
);
ledger_conformance!(
    ledger_in_postgres,
    store = connect().await,
    skip = SERVER.as_ref().err(),
    block_on = |future| RUNTIME.block_on(future)
);

/// Runs a test if there is a server.
fn on_a_server<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    match &*SERVER {
        Ok(_) => RUNTIME.block_on(test()),
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn histories_with_faults_are_linearizable() {
    if let Err(reason) = &*SERVER {
        return println!("skipped: {reason}");
    }
    let store = Arc::new(RUNTIME.block_on(connect()));
    let block_on = |task: fhir_devices::testkit::store::Task<'_>| RUNTIME.block_on(task);
    let resources: Arc<dyn ResourceStore> = store.clone();
    history::resources(&resources, &block_on, 0..200).unwrap();
    let ledger: Arc<dyn Ledger> = store;
    history::ledger(&ledger, &block_on, 0..200).unwrap();
}

fn fresh() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    format!("test-{now:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

fn device(id: &str) -> Key {
    Key::new(ResourceType::Device, id).unwrap()
}

fn nothing() -> IndexEntries {
    IndexEntries::default()
}

fn source(of: &str) -> IndexEntries {
    nothing().with(Parameter::Source, Token::bare(of))
}

fn v(n: u64) -> VersionId {
    VersionId::new(n).unwrap()
}

async fn put(store: &Postgres, tenant: &Tenant, write: Write) -> Result<Version> {
    store.commit(tenant, vec![write]).await.map(|mut made| made.pop().unwrap()).map_err(|refused| refused.error)
}

/// Returns the ids that a search finds, page after page.
async fn ids(store: &Postgres, tenant: &Tenant, search: &Search) -> Vec<String> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    loop {
        let page = store.search(tenant, &search).await.unwrap();
        all.extend(page.items.iter().map(|version| version.key.id().to_string()));
        match page.next {
            Some(next) => search.after = Some(next),
            None => return all,
        }
    }
}

/// A session of the test itself.
async fn session() -> Client {
    let (client, connection) = tokio_postgres::connect(&SERVER.as_ref().unwrap().url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

// ------------------------------------------------------------------------------------------ the schema

#[test]
fn concurrent_migrations_succeed_and_share_tokens() {
    on_a_server(|| async {
        session().await.batch_execute("DROP SCHEMA IF EXISTS fhir_race CASCADE").await.unwrap();
        let connect = || tokio::spawn(open(options().with_schema("fhir_race")));
        let mut stores = Vec::new();
        for connecting in (0..8).map(|_| connect()).collect::<Vec<_>>() {
            stores.push(connecting.await.unwrap().unwrap());
        }
        let t = fresh();
        for id in ["a", "b"] {
            put(&stores[0], &t, Write::create(device(id), "1", nothing())).await.unwrap();
        }
        let search = Search::new(ResourceType::Device).limit(1);
        let token = stores[1].search(&t, &search).await.unwrap().next.unwrap();
        let rest = stores[2].search(&t, &search.after(token)).await.unwrap();
        assert_eq!(rest.items[0].key, device("b"));
    });
}

#[test]
fn schema_of_another_version_is_refused() {
    on_a_server(|| async {
        let (session, name) = (session().await, "fhir_other");
        session.batch_execute("DROP SCHEMA IF EXISTS fhir_other CASCADE").await.unwrap();
        assert!(open(options().with_schema(name).without_migration()).await.is_err());
        open(options().with_schema(name)).await.unwrap();
        open(options().with_schema(name).without_migration()).await.unwrap();
        session.batch_execute("INSERT INTO fhir_other.migrations VALUES (999)").await.unwrap();
        for options in [options().with_schema(name), options().with_schema(name).without_migration()] {
            assert!(matches!(open(options).await, Err(StoreError::Unsupported { .. })));
        }
        for bad in ["", "A", "1a", "a b", "pg_x", "a;b", &"a".repeat(64)] {
            assert!(matches!(open(options().with_schema(bad)).await, Err(StoreError::Invalid { .. })), "{bad}");
        }
    });
}

#[test]
fn earlier_schema_becomes_searchable_by_own_parameters() {
    on_a_server(|| async {
        let (session, name) = (session().await, "fhir_own");
        for is_sealed in [false, true] {
            session.batch_execute("DROP SCHEMA IF EXISTS fhir_own CASCADE").await.unwrap();
            let (store, t) = (open(options().with_schema(name)).await.unwrap(), fresh());
            assert!(store.capabilities().own_parameters);
            let component = r#"{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"1"},"type":{"text":"MDS"},
                "productionSpecification":[{"specType":{"coding":[{"code":"software-revision"}]},"productionSpec":"4.2.0"}]}"#;
            let of = |id: &str| Key::new(ResourceType::DeviceComponent, id).unwrap();
            // As earlier schemas have them: without entries for these parameters.
            let index = || nothing().with(Parameter::Identifier, Token::bare("1"));
            let writes = (0..250).map(|at| Write::create(of(&format!("c{at:03}")), component, index()));
            store.commit(&t, writes.collect()).await.unwrap();
            put(&store, &t, Write::create(device("d"), component, index())).await.unwrap();
            put(&store, &t, Write::delete(of("c007"), Precondition::None)).await.unwrap();
            if is_sealed {
                put(&store, &t, Write::put(of("c008"), "sealed", index())).await.unwrap();
            }
            let reported = |version: &str| {
                let wanted = Criterion::is(Parameter::ReportedVersion, version.parse().unwrap());
                Search::new(ResourceType::DeviceComponent).and(wanted)
            };
            assert_eq!(ids(&store, &t, &reported("4.2.0")).await, Vec::<String>::new());
            session.batch_execute("DELETE FROM fhir_own.migrations WHERE version >= 5").await.unwrap();
            assert!(open(options().with_schema(name).without_migration()).await.is_err());
            for _ in 0..2 {
                let store = open(options().with_schema(name)).await.unwrap();
                assert_eq!(store.capabilities().own_parameters, !is_sealed);
                let found = ids(&store, &t, &reported("software-revision|4.2.0")).await;
                assert_eq!((found.len(), found.contains(&"c007".to_owned())), (249 - usize::from(is_sealed), false));
            }
            put(&store, &t, Write::put(of("c000"), "{}", index())).await.unwrap();
            assert_eq!(ids(&store, &t, &reported("4.2.0")).await.len(), 248 - usize::from(is_sealed));
        }
    });
}

#[test]
fn search_gives_what_is_referred_to_in_the_same_statement() {
    on_a_server(|| async {
        let (store, t) = (connect().await, fresh());
        assert!(store.capabilities().search_with_targets);
        let part = |id: &str| Key::new(ResourceType::DeviceComponent, id).unwrap();
        let refers = |source: &str, parent: &str| source_and_parent(source, parent);
        for (key, index) in [
            (device("d1"), nothing()),
            (device("d2"), nothing()),
            (part("top"), refers("Device/d1", "DeviceComponent/none")),
            (part("a"), refers("Device/d1", "DeviceComponent/top")),
            (part("b"), refers("Device/d2", "DeviceComponent/top")),
            (part("c"), refers("Device/gone", "urn:uuid:7")),
            (part("e"), refers("Device/d1\0\u{e9}", "http://there.example/DeviceComponent/top")),
        ] {
            put(&store, &t, Write::put(key, "{}", index)).await.unwrap();
        }
        put(&store, &t, Write::put(device("gone"), "{}", nothing())).await.unwrap();
        put(&store, &t, Write::delete(device("gone"), Precondition::None)).await.unwrap();
        let (source, parent) =
            ((Parameter::Source, ResourceType::Device), (Parameter::Parent, ResourceType::DeviceComponent));
        let all = Search::new(ResourceType::DeviceComponent);
        let by_identifier = all.clone().and(Criterion::identifier("1".parse().unwrap()));
        let windowed = by_identifier.clone().and(Criterion::parent("DeviceComponent/top"));
        for (search, follow, found, wanted) in [
            (all.clone(), &[source, parent][..], "a b c e top", "Device/d1 Device/d2 DeviceComponent/top"),
            (all.clone().limit(1), &[source], "a", "Device/d1 Device/d2"),
            (by_identifier.clone(), &[parent], "a b c e top", "DeviceComponent/top"),
            (windowed.clone(), &[source, parent], "a b", "Device/d1 Device/d2 DeviceComponent/top"),
            (windowed.and(Criterion::source("Device/d9")), &[source], "", ""),
            (all, &[], "a b c e top", ""),
        ] {
            let (page, targets) = store.search_with_targets(&t, &search, follow).await.unwrap();
            let plain = store.search(&t, &search).await.unwrap();
            assert_eq!((&page.items, page.next.is_some()), (&plain.items, plain.next.is_some()), "{search:?}");
            let ids: Vec<&str> = page.items.iter().map(|version| version.key.id().as_str()).collect();
            assert_eq!(ids.join(" "), found, "{search:?}");
            let mut keys: Vec<String> = targets.iter().map(|version| version.key.to_string()).collect();
            keys.sort();
            assert_eq!(keys.join(" "), wanted, "{search:?}");
            assert!(targets.iter().all(|version| version.body.as_deref() == Some(b"{}")));
        }
    });
}

fn source_and_parent(source: &str, parent: &str) -> IndexEntries {
    nothing()
        .with(Parameter::Identifier, Token::bare("1"))
        .with(Parameter::Source, Token::bare(source))
        .with(Parameter::Parent, Token::bare(parent))
}

// ------------------------------------------------------------------------------------------ commits

#[test]
fn opposite_key_orders_do_not_deadlock() {
    on_a_server(|| async {
        let (store, t) = (Arc::new(connect().await), fresh());
        let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let storm = |worker: usize| {
            let (store, t, ids) = (Arc::clone(&store), t.clone(), ids.clone());
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut keys = ids.clone();
                    keys.rotate_left((worker * 7 + round) % 20);
                    if worker.is_multiple_of(2) {
                        keys.reverse();
                    }
                    let write = |id: &String| Write::put(device(id), format!("{worker}-{round}"), nothing());
                    store.commit(&t, keys.iter().map(write).collect()).await.unwrap();
                }
            })
        };
        for worker in (0..6).map(storm).collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        for id in &ids {
            assert_eq!(store.read(&t, &device(id)).await.unwrap().version, v(120));
        }
    });
}

#[test]
fn index_has_only_newest_entries_after_many_writes() {
    on_a_server(|| async {
        let (store, t) = (Arc::new(connect().await), fresh());
        let storm = |worker: u64| {
            let (store, t) = (Arc::clone(&store), t.clone());
            tokio::spawn(async move {
                for round in 0..60 {
                    let of = format!("Device/{}", (worker * 31 + round) % 7);
                    let write = if round % 11 == 10 {
                        Write::delete(device("hot"), Precondition::None)
                    } else {
                        Write::put(device("hot"), of.clone(), source(&of))
                    };
                    drop(put(&store, &t, write).await);
                }
            })
        };
        for worker in (0..6).map(storm).collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        let newest = store.read(&t, &device("hot")).await.ok().and_then(|version| version.body);
        for n in 0..7 {
            let of = format!("Device/{n}");
            let found = ids(&store, &t, &Search::new(ResourceType::Device).and(Criterion::source(&of))).await;
            let is_newest = newest.as_deref() == Some(of.as_bytes());
            assert_eq!(found.len(), usize::from(is_newest), "{of}, and the newest is {newest:?}");
        }
    });
}

#[test]
fn version_times_never_decrease_with_the_clock() {
    on_a_server(|| async {
        let (store, t) = (connect().await, fresh());
        put(&store, &t, Write::create(device("a"), "1", nothing())).await.unwrap();
        let future = "UPDATE fhir_test.resources SET last_updated = now() + interval '30 seconds' WHERE tenant = $1";
        session().await.execute(future, &[&t.as_str()]).await.unwrap();
        let before = store.read(&t, &device("a")).await.unwrap().last_updated;
        let after = put(&store, &t, Write::update(device("a"), v(1), "2", nothing())).await.unwrap();
        assert_eq!(after.last_updated, before);
        assert_eq!(store.read(&t, &device("a")).await.unwrap(), after);
    });
}

#[test]
fn times_recover_after_a_clock_jump() {
    on_a_server(|| async {
        let (store, t) = (connect().await, fresh());
        let writes = |n: u64| ["a", "b"].map(|id| Write::update(device(id), v(n), "2", nothing())).to_vec();
        for id in ["a", "b"] {
            put(&store, &t, Write::create(device(id), "1", nothing())).await.unwrap();
        }
        for (n, one_by_one) in [(1, true), (2, false)] {
            let future = "UPDATE fhir_test.resources SET last_updated = now() + interval '5 years' WHERE tenant = $1";
            session().await.execute(future, &[&t.as_str()]).await.unwrap();
            let made = if one_by_one {
                let mut made = Vec::new();
                for write in writes(n) {
                    made.push(put(&store, &t, write).await.unwrap());
                }
                made
            } else {
                store.commit(&t, writes(n)).await.unwrap()
            };
            let now = time::OffsetDateTime::now_utc();
            for version in made {
                assert!(version.last_updated <= now + time::Duration::minutes(1), "{version:?}");
            }
        }
    });
}

#[test]
fn history_limit_keeps_the_newest_versions() {
    on_a_server(|| async {
        let (store, t) = (open(options().with_max_versions(3.try_into().unwrap())).await.unwrap(), fresh());
        for n in 1..=5 {
            put(&store, &t, Write::put(device("a"), n.to_string(), nothing())).await.unwrap();
        }
        let nine = NonZeroU32::new(9).unwrap();
        let history = store.history(&t, &device("a"), nine, None).await.unwrap().items;
        assert_eq!(history.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [5, 4, 3]);
        assert!(matches!(store.vread(&t, &device("a"), v(2)).await, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn large_commit_is_one_statement_in_order() {
    on_a_server(|| async {
        let (store, t) = (connect().await, fresh());
        let write = |n: usize| {
            let index = source("Device/s").with(Parameter::Identifier, Token::new("urn:x", n.to_string()));
            Write::create(device(&(n * 7 % 1_000).to_string()), n.to_string(), index)
        };
        let made = store.commit(&t, (0..1_000).map(write).collect()).await.unwrap();
        for (n, version) in made.iter().enumerate() {
            assert_eq!(version.key, device(&(n * 7 % 1_000).to_string()));
        }
        // Two criteria, of which one has thousands of candidates.
        let search = Search::new(ResourceType::Device)
            .and(Criterion::source("Device/s"))
            .and(Criterion::identifier("urn:x|501".parse().unwrap()));
        assert_eq!(ids(&store, &t, &search).await, [(501 * 7 % 1_000).to_string()]);
    });
}

#[test]
fn sparse_search_continues_beyond_its_windows() {
    on_a_server(|| async {
        let (store, t) = (connect().await, fresh());
        for chunk in (0..5_000).collect::<Vec<usize>>().chunks(1_000) {
            let write = |n: &usize| {
                let mut index = nothing().with(Parameter::Manufacturer, Token::bare("one"));
                index
                    .insert(Parameter::Identifier, Token::new(if *n % 2_500 == 2_499 { "rare" } else { "other" }, "x"));
                index.insert(Parameter::Model, Token::bare(if *n % 1_000 == 999 { "rare" } else { "usual" }));
                Write::create(device(&format!("{n:04}")), "1", index)
            };
            store.commit(&t, chunk.iter().map(write).collect()).await.unwrap();
        }
        let of_system = Criterion::identifier("rare|".parse().unwrap());
        let search = Search::new(ResourceType::Device).and(of_system.clone());
        let first = store.search(&t, &search).await.unwrap();
        assert!(first.items.is_empty() && first.next.is_some());
        assert_eq!(ids(&store, &t, &search).await, ["2499", "4999"]);
        let both = search.and(Criterion::value(Parameter::Manufacturer, "one")).limit(1);
        assert_eq!(ids(&store, &t, &both).await, ["2499", "4999"]);
        let all = Search::new(ResourceType::Device).and(Criterion::begins(Parameter::Manufacturer, "o")).limit(700);
        let in_order: Vec<String> = (0..5_000).map(|n| format!("{n:04}")).collect();
        assert_eq!(ids(&store, &t, &all).await, in_order);
        // A beginning that many have is looked for in the order of the ids, one that few have by its index.
        let begins = |start: &str| Criterion::begins(Parameter::Model, start);
        let devices = || Search::new(ResourceType::Device).limit(900);
        let rare = ["0999", "1999", "2999", "3999", "4999"];
        for (criterion, wanted) in [
            (begins("rar"), rare.to_vec()),
            (Criterion::AnyOf(vec![begins("rare"), begins("x")]), rare.to_vec()),
            (Criterion::AnyOf(vec![begins("ra"), begins("usu")]), in_order.iter().map(String::as_str).collect()),
            (Criterion::AnyOf(vec![begins("x"), Criterion::Id("0007".into())]), vec!["0007"]),
            (begins("x"), vec![]),
        ] {
            assert_eq!(ids(&store, &t, &devices().and(criterion.clone())).await, wanted, "{criterion:?}");
            let with_another = devices().and(criterion).and(of_system.clone());
            let wanted: Vec<_> = wanted.into_iter().filter(|id| ["2499", "4999"].contains(id)).collect();
            assert_eq!(ids(&store, &t, &with_another).await, wanted);
        }
        let either = Criterion::AnyOf(vec![of_system, Criterion::Id("0007".into())]);
        assert_eq!(ids(&store, &t, &Search::new(ResourceType::Device).and(either)).await, ["0007", "2499", "4999"]);
    });
}

// ------------------------------------------------------------------------------------------ troubles

#[test]
fn broken_session_is_indeterminate_and_replaced() {
    on_a_server(|| async {
        let (store, t) = (Arc::new(connect().await), fresh());
        put(&store, &t, Write::create(device("a"), "1", nothing())).await.unwrap();
        // The commit waits for a row that this session holds, and loses its own session meanwhile.
        let mut holder = session().await;
        let held = holder.transaction().await.unwrap();
        let hold = "SELECT 1 FROM fhir_test.resources WHERE tenant = $1 FOR UPDATE";
        held.query(hold, &[&t.as_str()]).await.unwrap();
        let update = Write::update(device("a"), v(1), "2", nothing());
        let (of_task, tenant) = (Arc::clone(&store), t.clone());
        let commit = tokio::spawn(async move { put(&of_task, &tenant, update).await });
        let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND query LIKE '%UPDATE fhir_test.resources%' AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
        while held.query(waiting, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let lost = commit.await.unwrap().unwrap_err();
        assert!(matches!(lost, StoreError::Indeterminate { .. }), "{lost:?}");
        held.commit().await.unwrap();
        assert_eq!(store.read(&t, &device("a")).await.unwrap().version, v(1));
        put(&store, &t, Write::update(device("a"), v(1), "2", nothing())).await.unwrap();
    });
}

#[test]
fn pool_timeout_is_throttled_and_lost_commit_unknown() {
    on_a_server(|| async {
        let one = options().with_connections(1.try_into().unwrap()).with_acquire_timeout(Duration::from_millis(300));
        let (store, t) = (Arc::new(open(one).await.unwrap()), fresh());
        // The connection is made and knows the statement before the patience counts, however slow the machine is.
        let first = loop {
            if let Ok(first) = put(&store, &t, Write::put(device("a"), "1", nothing())).await {
                break first;
            }
        };
        let mut holder = session().await;
        let held = holder.transaction().await.unwrap();
        held.query("SELECT 1 FROM fhir_test.resources WHERE tenant = $1 FOR UPDATE", &[&t.as_str()]).await.unwrap();
        let commit = || {
            let (store, t) = (Arc::clone(&store), t.clone());
            tokio::spawn(async move { put(&store, &t, Write::put(device("a"), "2", nothing())).await })
        };
        // The first has the only connection until its patience ends, and then the second has it.
        let mut commits = Vec::new();
        for _ in 0..2 {
            commits.push(commit());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let in_vain = store.read(&t, &device("a")).await;
        assert!(matches!(in_vain, Err(StoreError::Throttled { .. })), "{in_vain:?}");
        for commit in commits {
            let late = commit.await.unwrap().unwrap_err();
            assert!(matches!(late, StoreError::Indeterminate { .. }), "{late:?}");
        }
        held.rollback().await.unwrap();
        // At the server both go on once the row is free.
        while store.read(&t, &device("a")).await.unwrap().version != first.version.next().next() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn unknown_role_is_denied_and_no_server_unavailable() {
    on_a_server(|| async {
        let url = &SERVER.as_ref().unwrap().url;
        if !url.contains("user=postgres") {
            return println!("skipped: the server of the environment has roles of its own");
        }
        let nobody = options().connect(&url.replace("user=postgres", "user=nobody_at_all"), NoTls).await;
        assert!(matches!(nobody, Err(StoreError::Denied { .. })), "{nobody:?}");
        let nowhere = options().connect("host=127.0.0.1 port=1 user=postgres", NoTls).await;
        assert!(matches!(nowhere, Err(StoreError::Unavailable { .. })), "{nowhere:?}");
        let nothing = options().connect("host=127.0.0.1 speed=fast", NoTls).await;
        assert!(matches!(nothing, Err(StoreError::Invalid { .. })), "{nothing:?}");
    });
}

#[test]
fn tls_session_verifies_the_certificate() {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let folder = std::env::temp_dir().join(format!("fhir-devices-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost";
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            names,
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .args([key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        assert!(std::env::var_os("FHIR_DEVICES_REQUIRE_ENGINES").is_none(), "openssl is required");
        return println!("skipped: there is no openssl to make a certificate");
    }
    // The server's user reads them; a server that does not run as ours is given them.
    drop(std::process::Command::new("chown").arg("-R").arg("postgres").arg(&folder).status());
    let settings = format!("-c ssl=on -c ssl_key_file={} -c ssl_cert_file={}", key.display(), certificate.display());
    let server = match Server::start_own(&[&settings]) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let url = format!("{} sslmode=require", server.url);
    let trusting = |certificates: Vec<CertificateDer<'static>>| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        tokio_postgres_rustls::MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth())
    };
    RUNTIME.block_on(async {
        let known = CertificateDer::from_pem_file(&certificate).unwrap();
        let store = options().connect(&url, trusting(vec![known])).await.unwrap();
        put(&store, &fresh(), Write::create(device("a"), "1", nothing())).await.unwrap();
        let (session, connection) = tokio_postgres::connect(&server.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                         WHERE a.application_name = 'fhir-devices'";
        assert!(session.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0));
        let stranger = options().connect(&url, trusting(vec![])).await;
        assert!(matches!(stranger, Err(StoreError::Unavailable { .. })), "{stranger:?}");
        let open = options().connect(&url, NoTls).await;
        assert!(matches!(open, Err(StoreError::Unavailable { .. })), "{open:?}");
    });
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn call_without_a_runtime_fails() {
    if let Err(reason) = &*SERVER {
        return println!("skipped: {reason}");
    }
    let store = RUNTIME.block_on(connect());
    let outside = fhir_devices::testkit::store::block_on(store.read(&fresh(), &device("a")));
    assert!(matches!(outside, Err(StoreError::Unavailable { .. })));
}

#[test]
fn many_values_and_a_nul_are_accepted() {
    on_a_server(|| async {
        let store = connect().await;
        let tenant: Tenant = "many-values".parse().unwrap();
        for at in 0..20 {
            let key = Key::new(ResourceType::Device, format!("d{at}")).unwrap();
            let index = IndexEntries::new()
                .with(Parameter::Identifier, Token::new("urn:x", format!("n{at}")))
                .with(Parameter::Model, Token::bare(format!("model {at}")));
            put(&store, &tenant, Write::put(key, "{}", index)).await.unwrap();
        }
        let each = |of: &dyn Fn(usize) -> Criterion| Criterion::AnyOf((3..8_003).map(of).collect());
        let token = |text: String| text.parse::<TokenMatch>().unwrap();
        let values = each(&|at| Criterion::is(Parameter::Identifier, token(format!("n{at}"))));
        let exact = each(&|at| Criterion::is(Parameter::Identifier, token(format!("urn:x|n{at}"))));
        let begins = each(&|at| Criterion::begins(Parameter::Model, &format!("model {at}")));
        let all = Search::new(ResourceType::Device).limit(500);
        let expected = ids(&store, &tenant, &all.clone().and(values.clone())).await;
        assert_eq!(expected.len(), 17);
        for criteria in [
            vec![exact.clone()],
            vec![values.clone(), exact.clone()],
            vec![Criterion::AnyOf(vec![values, Criterion::Id("\0".into())]), begins],
        ] {
            let search = Search { all_of: criteria, ..all.clone() };
            assert_eq!(ids(&store, &tenant, &search).await, expected);
        }
        let nothing = Criterion::AnyId(["\0".into(), "a\0".into()].into());
        for criterion in [Criterion::Id("\0".into()), nothing.clone(), Criterion::AnyOf(vec![nothing])] {
            assert!(ids(&store, &tenant, &all.clone().and(criterion)).await.is_empty());
        }
    });
}
