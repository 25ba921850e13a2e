//! The store in a redb file, tested against the contracts, and its own behaviour: crashes, loss of power, and a failing
//! disk.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use fhir_devices::backend::redb::Options;
use fhir_devices::backend::{Memory, Redb};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token};
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::testkit::history;
use fhir_devices::testkit::store::block_on;
use fhir_devices::testkit::store::clock::{TestClock, TimedStore};
use fhir_devices::testkit::store::ownership::ServiceStores;
use fhir_devices::{Device, DeviceComponent};
use fhir_devices::{ledger_conformance, ownership_conformance, resource_clock_conformance, resource_store_conformance};
use redb::StorageBackend;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

/// A file that is removed with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fhir-devices-{name}-{}.redb", std::process::id()));
        drop(std::fs::remove_file(&path));
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn memory() -> Redb {
    Options::new().with_max_body(1 << 20).in_memory().unwrap()
}

resource_store_conformance!(resources_in_redb, store = memory());
ledger_conformance!(ledger_in_redb, store = memory());
ownership_conformance!(
    ownership_in_redb,
    store = {
        let redb = Arc::new(memory());
        ServiceStores::new(redb.clone(), fhir_devices::backend::Memory::new(), redb)
    }
);
resource_clock_conformance!(
    clock_in_redb,
    store = {
        let clock = TestClock::new();
        TimedStore::new(clock.clone(), Options::new().with_clock(clock).in_memory().unwrap())
    }
);

#[test]
fn histories_with_faults_are_linearizable() {
    let store = Arc::new(memory());
    let resources: Arc<dyn ResourceStore> = store.clone();
    history::resources(&resources, &|task| block_on(task), 0..200).unwrap();
    let ledger: Arc<dyn Ledger> = store;
    history::ledger(&ledger, &|task| block_on(task), 0..200).unwrap();
}

fn fresh() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
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

fn limit(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn v(n: u64) -> VersionId {
    VersionId::new(n).unwrap()
}

fn put(store: &impl ResourceStore, tenant: &Tenant, write: Write) -> Result<Version> {
    block_on(store.commit(tenant, vec![write])).map(|mut made| made.pop().unwrap()).map_err(|e| e.error)
}

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|version| version.key.id().as_str()).collect()
}

/// Follows the pages to their end.
fn walk(store: &impl ResourceStore, tenant: &Tenant, search: &Search) -> Vec<Version> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    loop {
        let found = block_on(store.search(tenant, &search)).unwrap();
        assert!(found.items.len() <= search.limit.get() as usize);
        all.extend(found.items);
        match found.next {
            Some(next) => search.after = Some(next),
            None => return all,
        }
    }
}

// ------------------------------------------------------------------------------------------ the file

#[test]
fn acknowledged_writes_survive_reopening() {
    let (place, t) = (Place::new("reopened"), fresh());
    let record: LedgerKey = "ingest/7".parse().unwrap();
    let (token, revision) = {
        let store = Redb::open(&place.0).unwrap();
        for id in ["a", "b", "c"] {
            put(&store, &t, Write::create(device(id), "1", source("s")).with_id(WriteId(7))).unwrap();
        }
        put(&store, &t, Write::update(device("a"), v(1), "2", source("s"))).unwrap();
        put(&store, &t, Write::delete(device("c"), Precondition::Exists)).unwrap();
        let search = Search::new(ResourceType::Device).and(Criterion::source("s")).limit(1);
        let token = block_on(store.search(&t, &search)).unwrap().next.unwrap();
        let made = block_on(store.apply(&t, vec![Change::create(record.clone(), "open")])).unwrap();
        (token, made[0].clone())
    };
    let store = Redb::open(&place.0).unwrap();
    assert_eq!(block_on(store.read(&t, &device("a"))).unwrap().body.unwrap(), "2");
    assert_eq!(block_on(store.vread(&t, &device("a"), v(1))).unwrap().write_id, Some(WriteId(7)));
    assert!(matches!(block_on(store.read(&t, &device("c"))), Err(StoreError::Gone { at, .. }) if at == v(2)));
    // A token that was given before leads on.
    let search = Search::new(ResourceType::Device).and(Criterion::source("s")).after(token);
    assert_eq!(ids(&block_on(store.search(&t, &search)).unwrap().items), ["b"]);
    let read = block_on(store.get(&t, &record)).unwrap().unwrap();
    assert_eq!((read.revision, read.value), (revision, "open".into()));
}

#[test]
fn revision_of_a_deleted_record_is_not_reused() {
    let (place, t) = (Place::new("revisions"), fresh());
    let key: LedgerKey = "a/b".parse().unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let store = Redb::open(&place.0).unwrap();
        let made = block_on(store.apply(&t, vec![Change::create(key.clone(), "x")])).unwrap();
        assert!(!seen.contains(&made[0]));
        block_on(store.apply(&t, vec![Change::delete(key.clone(), made[0].clone())])).unwrap();
        seen.extend(made);
    }
}

#[test]
fn file_has_one_owner() {
    let place = Place::new("owned");
    let store = Redb::open(&place.0).unwrap();
    let second = Redb::open(&place.0).unwrap_err();
    assert!(matches!(second, StoreError::Unavailable { .. }), "{second:?}");
    drop(store);
    Redb::open(&place.0).unwrap();
}

#[test]
fn foreign_or_newer_file_is_refused() {
    let place = Place::new("foreign");
    std::fs::write(&place.0, vec![7; 100_000]).unwrap();
    let refused = Redb::open(&place.0).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
    std::fs::remove_file(&place.0).unwrap();
    Redb::open(&place.0).unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let db = redb::Database::open(&place.0).unwrap();
    let transaction = db.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("format", 99_u32.to_le_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(db);
    assert!(matches!(Redb::open(&place.0), Err(StoreError::Unsupported { .. })));
}

fn of_token() -> Criterion {
    Criterion::identifier("urn:x|1".parse().unwrap())
}

#[test]
fn files_of_earlier_formats_are_searchable() {
    for format in [1, 2] {
        file_of_format_is_searchable(format);
    }
}

fn file_of_format_is_searchable(format: u32) {
    let place = Place::new(&format!("format-{format}"));
    let (store, t) = (Redb::open(&place.0).unwrap(), fresh());
    let index = || nothing().with(Parameter::Identifier, Token::new("urn:x", "1"));
    for id in ["a", "b"] {
        put(&store, &t, Write::put(device(id), "1", index())).unwrap();
    }
    put(&store, &t, Write::put(device("a"), "1", index())).unwrap();
    put(&store, &t, Write::delete(device("b"), Precondition::None)).unwrap();
    drop(store);
    let written = [TIMES, VERSIONS].map(|table| rows(&place, table));
    assert_eq!(written.each_ref().map(Vec::len), [1, 4]);
    // What the format did not have is taken away.
    let db = redb::Database::open(&place.0).unwrap();
    let transaction = db.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    transaction.open_table(meta).unwrap().insert("format", format.to_le_bytes().as_slice()).unwrap();
    for table in [TIMES, VERSIONS] {
        assert!(transaction.delete_table(table).unwrap());
    }
    if format == 1 {
        assert!(transaction.delete_table(redb::TableDefinition::<&[u8], &[u8]>::new("heads")).unwrap());
    }
    transaction.commit().unwrap();
    drop(db);
    let store = Redb::open(&place.0).unwrap();
    let all = Search::new(ResourceType::Device);
    for search in [all.clone(), all.clone().and(of_token()), all.order(SearchOrder::UpdatedDescending)] {
        let page = block_on(store.search(&t, &search)).unwrap();
        let found: Vec<_> =
            page.items.iter().map(|version| (version.key.id().as_str(), version.body.clone())).collect();
        assert_eq!(found, [("a", Some("1".into()))]);
    }
    let changes = block_on(store.changes(&t, &Changes::new().oldest_first())).unwrap().items;
    let made: Vec<_> =
        changes.iter().map(|made| (made.key.id().as_str(), made.version.get(), made.is_deleted())).collect();
    assert_eq!(made, [("a", 1, false), ("b", 1, false), ("a", 2, false), ("b", 2, true)]);
    drop(store);
    assert_eq!([TIMES, VERSIONS].map(|table| rows(&place, table)), written);
}

const COMPONENT: &str = r#"{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"1"},"type":{"text":"MDS"},
    "productionSpecification":[{"specType":{"coding":[{"code":"software-revision"}]},"productionSpec":"4.2.0"}]}"#;

fn reported(version: &str) -> Search {
    Search::new(ResourceType::DeviceComponent).and(Criterion::is(Parameter::ReportedVersion, version.parse().unwrap()))
}

#[test]
fn file_of_the_third_format_is_searchable_by_own_parameters() {
    for is_sealed in [false, true] {
        let place = Place::new(&format!("format-3-{is_sealed}"));
        let (store, t) = (Redb::open(&place.0).unwrap(), fresh());
        assert!(store.capabilities().own_parameters);
        let of = |id: &str| Key::new(ResourceType::DeviceComponent, id).unwrap();
        // As the third format has them: without entries for these parameters.
        let index = || nothing().with(Parameter::Identifier, Token::bare("1"));
        for at in 0..600 {
            put(&store, &t, Write::put(of(&format!("c{at:03}")), COMPONENT, index())).unwrap();
        }
        put(&store, &t, Write::delete(of("c007"), Precondition::None)).unwrap();
        if is_sealed {
            put(&store, &t, Write::put(of("c008"), "sealed", index())).unwrap();
        }
        assert_eq!(walk(&store, &t, &reported("4.2.0")), []);
        drop(store);
        let db = redb::Database::open(&place.0).unwrap();
        let transaction = db.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 3_u32.to_le_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(db);
        for _ in 0..2 {
            let store = Redb::open(&place.0).unwrap();
            // What could not be read is not found: the REST API must look for itself.
            assert_eq!(store.capabilities().own_parameters, !is_sealed);
            let found = walk(&store, &t, &reported("4.2.0"));
            assert_eq!(found.len(), 599 - usize::from(is_sealed));
            assert!(ids(&found).iter().all(|id| *id != "c007"));
            let both = reported("software-revision|4.2.0").and(Criterion::identifier("1".parse().unwrap()));
            assert_eq!(walk(&store, &t, &both).len(), found.len());
        }
        // The entries go with the resource.
        let store = Redb::open(&place.0).unwrap();
        put(&store, &t, Write::put(of("c000"), "{}", index())).unwrap();
        assert_eq!(walk(&store, &t, &reported("4.2.0")).len(), 598 - usize::from(is_sealed));
    }
}

#[test]
fn reads_see_every_acknowledged_write_while_others_read() {
    let place = Place::new("shared-reads");
    let (store, t) = (Arc::new(Redb::open(&place.0).unwrap()), fresh());
    put(&*store, &t, Write::put(device("a"), "0", nothing())).unwrap();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            let (store, done, t) = (store.clone(), done.clone(), t.clone());
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let read = block_on(store.read(&t, &device("a"))).unwrap().version.get();
                    assert!(read >= last, "{read} after {last}");
                    last = read;
                }
            });
        }
        for round in 1..300 {
            let written = put(&*store, &t, Write::put(device("a"), round.to_string(), nothing())).unwrap();
            let read = block_on(store.read(&t, &device("a"))).unwrap();
            assert_eq!((read.version, read.body), (written.version, written.body));
            let found = block_on(store.search(&t, &Search::new(ResourceType::Device))).unwrap().items;
            assert_eq!(found[0].version, written.version);
        }
        done.store(true, Ordering::Relaxed);
    });
}

type Order = redb::TableDefinition<'static, &'static [u8], ()>;

const TIMES: Order = redb::TableDefinition::new("times");
const VERSIONS: Order = redb::TableDefinition::new("versions");

/// Returns the keys of a table of a file that no store has open.
fn rows(place: &Place, table: Order) -> Vec<Vec<u8>> {
    use redb::ReadableTable as _;
    let db = redb::Database::open(&place.0).unwrap();
    let transaction = redb::ReadableDatabase::begin_read(&db).unwrap();
    let table = transaction.open_table(table).unwrap();
    table.iter().unwrap().map(|row| row.unwrap().0.value().to_vec()).collect()
}

#[test]
fn order_of_versions_has_those_that_history_has() {
    let place = Place::new("order-of-versions");
    let options = || Options::new().with_max_versions(3.try_into().unwrap());
    let (store, t) = (options().open(&place.0).unwrap(), fresh());
    for id in ["a", "b"] {
        for _ in 0..5 {
            put(&store, &t, Write::put(device(id), "1", nothing())).unwrap();
        }
    }
    block_on(store.prune_history(&t, &device("a"), NonZeroU32::MIN)).unwrap();
    put(&store, &t, Write::delete(device("b"), Precondition::None)).unwrap();
    drop(store);
    let numbers: Vec<_> = rows(&place, VERSIONS).iter().map(|row| (row[row.len() - 10], row[row.len() - 1])).collect();
    assert_eq!(numbers, [(b'a', 5), (b'b', 4), (b'b', 5), (b'b', 6)]);
    assert_eq!(rows(&place, TIMES).len(), 1);
}

/// An in-memory storage that counts the bytes read.
#[derive(Debug)]
struct Metered(redb::backends::InMemoryBackend, Arc<AtomicU64>);

impl StorageBackend for Metered {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

#[test]
fn search_without_bodies_reads_none() {
    let read = Arc::new(AtomicU64::new(0));
    let storage = Metered(redb::backends::InMemoryBackend::new(), Arc::clone(&read));
    let (store, t) = (Options::new().with_cache(0).open_on(storage).unwrap(), fresh());
    for n in 0..12 {
        let index = nothing().with(Parameter::Identifier, Token::new("urn:x", "1"));
        put(&store, &t, Write::put(device(&format!("d{n:02}")), "x".repeat(500_000), index)).unwrap();
    }
    for search in [Search::new(ResourceType::Device), Search::new(ResourceType::Device).and(of_token())] {
        let cost = |search: &Search| {
            let before = read.load(Ordering::Relaxed);
            let page = block_on(store.search(&t, search)).unwrap();
            assert_eq!((page.items.len(), page.next), (12, None));
            read.load(Ordering::Relaxed) - before
        };
        assert!(cost(&search.clone().limit(50)) > 6_000_000);
        let without = cost(&search.limit(50).without_bodies());
        assert!(without < 1_000_000, "{without} bytes are read");
    }
}

#[test]
fn search_by_time_reads_the_page_alone() {
    let read = Arc::new(AtomicU64::new(0));
    let storage = Metered(redb::backends::InMemoryBackend::new(), Arc::clone(&read));
    let (store, t) = (Options::new().with_cache(0).open_on(storage).unwrap(), fresh());
    let fill = |from: usize, to: usize| {
        for n in from..to {
            put(&store, &t, Write::put(device(&format!("d{n:04}")), "x".repeat(2_000), nothing())).unwrap();
        }
    };
    let cost = || {
        let orders = [SearchOrder::Updated, SearchOrder::UpdatedDescending];
        orders.map(|order| {
            let before = read.load(Ordering::Relaxed);
            let search = Search::new(ResourceType::Device).order(order).limit(2);
            assert_eq!(block_on(store.search(&t, &search)).unwrap().items.len(), 2);
            read.load(Ordering::Relaxed) - before
        })
    };
    fill(0, 250);
    let few = cost();
    fill(250, 1_000);
    for (few, many) in few.into_iter().zip(cost()) {
        // A tree of four times as many is a level deeper at most.
        assert!(many <= few * 2, "{few} and {many} bytes are read");
    }
}

#[test]
fn thousand_uploads_to_one_component_read_the_same_each() {
    let read = Arc::new(AtomicU64::new(0));
    let storage = Metered(redb::backends::InMemoryBackend::new(), Arc::clone(&read));
    let options = Options::new().with_cache(0).with_max_versions(10.try_into().unwrap());
    let (store, t) = (Arc::new(options.open_on(storage).unwrap()), fresh());
    let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#).unwrap();
    let mds = DeviceComponent::from_json(
        br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
            "source":{"reference":"Device/pump"}}"#,
    )
    .unwrap();
    put(&*store, &t, pump.to_write(Precondition::Absent).unwrap()).unwrap();
    put(&*store, &t, mds.to_write(Precondition::Absent).unwrap()).unwrap();
    let service = UpdateService::new(store.clone(), Arc::new(Memory::new()), store.clone()).unwrap();
    let costs: Vec<u64> = (0..1_000)
        .map(|at| {
            let before = read.load(Ordering::Relaxed);
            let content_type = "application/octet-stream".parse().unwrap();
            let submission = Submission::new("pump".parse().unwrap(), "a.bin".parse().unwrap(), content_type);
            block_on(service.receive(&t, submission, stream::once(format!("firmware {at}")))).unwrap();
            read.load(Ordering::Relaxed) - before
        })
        .collect();
    let mean = |costs: &[u64]| costs.iter().sum::<u64>() / costs.len() as u64;
    let (early, late) = (mean(&costs[100..200]), mean(&costs[900..]));
    assert!(late <= early * 2, "{early} and {late} bytes are read for an upload");
}

#[test]
fn history_limit_keeps_the_newest_versions() {
    let (store, t) = (Options::new().with_max_versions(3.try_into().unwrap()).in_memory().unwrap(), fresh());
    for n in 1..=5 {
        put(&store, &t, Write::put(device("a"), n.to_string(), nothing())).unwrap();
    }
    let history = block_on(store.history(&t, &device("a"), limit(9), None)).unwrap().items;
    assert_eq!(history.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [5, 4, 3]);
    assert!(matches!(block_on(store.vread(&t, &device("a"), v(2))), Err(StoreError::NotFound { .. })));
}

#[test]
fn search_continues_after_pages_without_matches() {
    let (store, t) = (memory(), fresh());
    for chunk in (0..12_000).collect::<Vec<_>>().chunks(1_000) {
        let write = |n: &i32| {
            let token = Token::new(if *n == 11_999 { "rare" } else { "common" }, n.to_string());
            Write::create(device(&format!("{n:05}")), "1", nothing().with(Parameter::Identifier, token))
        };
        block_on(store.commit(&t, chunk.iter().map(write).collect())).unwrap();
    }
    // Neither is served by the index: a whole system, and a beginning that everything has.
    let of_system = Search::new(ResourceType::Device).and(Criterion::identifier("rare|".parse().unwrap()));
    let first = block_on(store.search(&t, &of_system)).unwrap();
    assert!(first.items.is_empty() && first.next.is_some());
    assert_eq!(ids(&walk(&store, &t, &of_system)), ["11999"]);
    let all = Search::new(ResourceType::Device).and(Criterion::begins(Parameter::Identifier, "")).limit(1_000);
    assert_eq!(walk(&store, &t, &all).len(), 12_000);
}

#[test]
fn search_intersects_two_long_lists() {
    let (store, t) = (memory(), fresh());
    // Evens have one value and threes the other; sixes have both. Lists of thousands of ids interleave.
    let write = |n: usize| {
        let mut index = nothing();
        if n.is_multiple_of(2) {
            index.insert(Parameter::Model, Token::bare("even"));
        }
        if n.is_multiple_of(3) {
            index.insert(Parameter::Manufacturer, Token::bare("three"));
        }
        if n.is_multiple_of(1_000) {
            index.insert(Parameter::Source, Token::bare("Device/rare"));
        }
        Write::create(device(&format!("{n:05}")), "1", index)
    };
    for chunk in (0..9_000).collect::<Vec<_>>().chunks(1_000) {
        block_on(store.commit(&t, chunk.iter().copied().map(write).collect())).unwrap();
    }
    let even = || Criterion::value(Parameter::Model, "even");
    let three = || Criterion::value(Parameter::Manufacturer, "three");
    let count = |all_of: Vec<Criterion>, limit| {
        let mut search = Search::new(ResourceType::Device).limit(limit);
        search.all_of = all_of;
        let found = walk(&store, &t, &search);
        assert!(ids(&found).windows(2).all(|pair| pair[0] < pair[1]));
        found.len()
    };
    for limit in [7, 1_000, 100_000] {
        assert_eq!(count(vec![even(), three()], limit), 1_500);
        assert_eq!(count(vec![Criterion::AnyOf(vec![even(), three()])], limit), 4_500 + 3_000 - 1_500);
        assert_eq!(count(vec![three(), Criterion::source("Device/rare"), even()], limit), 3);
    }
}

// ------------------------------------------------------------------------------------------ a disk that fails

/// Keeps written data apart from synced data, as a disk with a cache does.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    written: Vec<u8>,
    /// The content at the last sync, which survives a loss of power, and the writes since.
    synced: Vec<u8>,
    since: Vec<(usize, Vec<u8>)>,
    syncs: usize,
    broken: bool,
}

impl Disk {
    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.0.lock().unwrap()
    }

    /// Returns the disk after a loss of power: the synced content, and those later writes that `survives` selects.
    fn after_power_loss(&self, mut survives: impl FnMut() -> bool) -> Self {
        let cells = self.cells();
        let mut bytes = cells.synced.clone();
        for (at, data) in cells.since.iter().filter(|_| survives()) {
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
        Self(Arc::new(Mutex::new(Cells { written: bytes.clone(), synced: bytes, ..Cells::default() })))
    }

    fn sound(&self) -> io::Result<MutexGuard<'_, Cells>> {
        let cells = self.cells();
        if cells.broken { Err(io::Error::other("the disk has failed")) } else { Ok(cells) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.cells().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (cells, at) = (self.cells(), offset as usize);
        out.copy_from_slice(cells.written.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut cells = self.sound()?;
        cells.written.resize(len as usize, 0);
        // The length is kept at once; what lies there is not.
        let longer = cells.synced.len().max(len as usize);
        cells.synced.resize(longer, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // What other threads commit meanwhile waits, as it does for a disk.
        thread::sleep(Duration::from_millis(1));
        let mut cells = self.sound()?;
        cells.since.clear();
        cells.synced = cells.written.clone();
        cells.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut cells, at) = (self.sound()?, offset as usize);
        cells.written[at..at + data.len()].copy_from_slice(data);
        cells.since.push((at, data.to_vec()));
        Ok(())
    }
}

/// A random number generator that makes a failed run repeatable.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn power_loss_keeps_acknowledged_writes() {
    for seed in 1..=20 {
        let (disk, t) = (Disk::default(), fresh());
        let store = Options::new().open_on(disk.clone()).unwrap();
        let acknowledged = AtomicU64::new(0);
        let cut = thread::scope(|scope| {
            let writer = || {
                for n in 1..60 {
                    let writes =
                        ["a", "b", "c"].map(|id| Write::put(device(id), n.to_string(), source(&n.to_string())));
                    block_on(store.commit(&t, writes.into())).unwrap();
                    acknowledged.store(n, Ordering::SeqCst);
                }
            };
            let writing = scope.spawn(writer);
            let mut state = seed;
            thread::sleep(Duration::from_micros(500 + random(&mut state) % 60_000));
            let before = acknowledged.load(Ordering::SeqCst);
            // Of the writes since the last sync any may have reached the disk.
            let cut = (before, disk.after_power_loss(|| random(&mut state).is_multiple_of(2)));
            writing.join().unwrap();
            cut
        });
        let (before, disk) = cut;
        let store = Options::new().open_on(disk).unwrap();
        let rows = ["a", "b", "c"].map(|id| block_on(store.read(&t, &device(id))).ok());
        let version = rows[0].as_ref().map_or(0, |row| row.version.get());
        assert!(version >= before, "seed {seed}: {before} was acknowledged, and {version} is there");
        for row in &rows {
            assert_eq!(row.as_ref().map_or(0, |row| row.version.get()), version, "seed {seed}: half a commit");
            assert_eq!(
                row.as_ref().map(|row| row.body.clone().unwrap()),
                rows[0].as_ref().map(|_| version.to_string().into())
            );
        }
        let search = Search::new(ResourceType::Device).and(Criterion::source(&version.to_string()));
        assert_eq!(walk(&store, &t, &search).len(), if version == 0 { 0 } else { 3 });
    }
}

#[test]
fn disk_failure_makes_a_commit_indeterminate() {
    let (disk, t) = (Disk::default(), fresh());
    let store = Options::new().open_on(disk.clone()).unwrap();
    put(&store, &t, Write::create(device("a"), "1", nothing())).unwrap();
    disk.cells().broken = true;
    let refused = put(&store, &t, Write::update(device("a"), v(1), "2", nothing())).unwrap_err();
    assert!(matches!(refused, StoreError::Indeterminate { .. } | StoreError::Unavailable { .. }), "{refused:?}");
    let after = put(&store, &t, Write::update(device("a"), v(1), "2", nothing())).unwrap_err();
    assert_eq!(
        after.applied(),
        if matches!(after, StoreError::Unavailable { .. }) { Applied::No } else { Applied::Unknown }
    );
    drop(store);
    disk.cells().broken = false;
    let store = Options::new().open_on(disk.after_power_loss(|| true)).unwrap();
    let there = block_on(store.read(&t, &device("a"))).unwrap().version;
    assert!(there == v(1) || refused.applied() == Applied::Unknown);
}

#[test]
fn store_recovers_from_a_full_disk() {
    let (disk, t) = (Disk::default(), fresh());
    let again = disk.clone();
    let store = Options::new().open_by(move || Ok(again.clone())).unwrap();
    put(&store, &t, Write::create(device("a"), "1", nothing())).unwrap();
    disk.cells().broken = true;
    for _ in 0..3 {
        let refused = put(&store, &t, Write::create(device("b"), "1", nothing())).unwrap_err();
        assert!(matches!(refused, StoreError::Indeterminate { .. } | StoreError::Unavailable { .. }), "{refused:?}");
    }
    disk.cells().broken = false;
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(block_on(store.read(&t, &device("a"))).unwrap().version, v(1));
    let there = block_on(store.read(&t, &device("b"))).is_ok();
    let made = put(&store, &t, Write::put(device("b"), "2", nothing())).unwrap();
    assert_eq!(made.version, v(if there { 2 } else { 1 }));
    put(&store, &t, Write::update(device("a"), v(1), "2", nothing())).unwrap();
    drop(store);
    let store = Options::new().open_on(disk).unwrap();
    assert_eq!(block_on(store.read(&t, &device("a"))).unwrap().version, v(2));
}

thread_local! {
    /// Whether panics of this thread are counted instead of printed.
    static COUNTED: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

/// Returns the number of panics of a call on this thread, including caught ones.
fn panics(run: impl FnOnce()) -> usize {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match COUNTED.get() {
            Some(count) => COUNTED.set(Some(count + 1)),
            None => before(info),
        }));
    });
    COUNTED.set(Some(0));
    run();
    COUNTED.take().unwrap_or_default()
}

#[test]
fn damaged_header_is_refused_without_a_panic() {
    let (place, t) = (Place::new("header"), fresh());
    let store = Redb::open(&place.0).unwrap();
    put(&store, &t, Write::create(device("a"), "1", nothing())).unwrap();
    drop(store);
    let whole = std::fs::read(&place.0).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&place.0, bytes).unwrap();
        let mut opened = None;
        assert_eq!(panics(|| opened = Some(Redb::open(&place.0).map(drop))), 0);
        opened.unwrap()
    };
    let lengths = (0..400).chain([4_095, 4_096, 4_097, 8_192, whole.len() / 2, whole.len() - 4_096, whole.len() - 1]);
    for length in lengths {
        let refused = open(&whole[..length]);
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{length}: {refused:?}");
    }
    // One that is longer than its header says is put in order, by whole pages.
    let longer = |bytes| [whole.as_slice(), &vec![0; bytes]].concat();
    assert!(matches!(open(&longer(1)), Err(StoreError::Corrupt { .. })));
    assert!(open(&longer(8_192)).is_ok());
    for (at, byte) in (0..32).flat_map(|at| [0, 1, 2, 0x7f, 0x80, 0xff].map(|byte| (at, byte))) {
        let mut damaged = whole.clone();
        damaged[at] = byte;
        // Some bytes are not used, and some say what may be; none of them ends the process.
        let _ = open(&damaged);
    }
    assert!(open(&whole).is_ok());
}

#[test]
fn truncated_or_empty_file_is_refused_by_path() {
    let (place, t) = (Place::new("truncated"), fresh());
    let store = Redb::open(&place.0).unwrap();
    put(&store, &t, Write::create(device("a"), "1", nothing())).unwrap();
    drop(store);
    let whole = std::fs::read(&place.0).unwrap();
    for length in [0, 1, 9, 64, 320, 4_096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&place.0, &whole[..length]).unwrap();
        let refused = Redb::open(&place.0).unwrap_err();
        let name = place.0.file_name().unwrap().to_str().unwrap();
        assert!(matches!(&refused, StoreError::Corrupt { what, .. } if what.contains(name)), "{length}: {refused:?}");
        assert_eq!(std::fs::metadata(&place.0).unwrap().len(), length as u64);
    }
    std::fs::write(&place.0, &whole).unwrap();
    assert!(block_on(Redb::open(&place.0).unwrap().read(&t, &device("a"))).is_ok());
}

#[test]
fn half_created_file_is_recreated() {
    let place = Place::new("half-made");
    for left in [&b""[..], b"redb", &[7; 9_000]] {
        let begun = std::path::PathBuf::from(format!("{}.new", place.0.display()));
        std::fs::write(&begun, left).unwrap();
        drop(Redb::open(&place.0).unwrap());
        assert!(place.0.exists() && !begun.exists());
        std::fs::remove_file(&place.0).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("modes");
    let mode = || std::fs::metadata(&place.0).unwrap().permissions().mode() & 0o777;
    drop(Redb::open(&place.0).unwrap());
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(Redb::open(&place.0).unwrap());
    assert_eq!(mode(), 0o600);
}

#[test]
fn waiting_commits_share_a_sync_and_fail_singly() {
    let (disk, t) = (Disk::default(), fresh());
    let store = Options::new().open_on(disk.clone()).unwrap();
    let before = disk.cells().syncs;
    // The futures are polled one after the other, and all wait at the same time.
    let writes = (0..200).map(|n| Write::create(device(&(n / 2).to_string()), n.to_string(), nothing()));
    let mut commits: Vec<_> = writes.map(|write| store.commit(&t, vec![write])).collect();
    for commit in &mut commits {
        assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let answers: Vec<_> = commits.into_iter().map(block_on).collect();
    for pair in answers.chunks(2) {
        assert!(pair[0].is_ok());
        let refused = pair[1].as_ref().unwrap_err();
        assert!(matches!(refused.error, StoreError::AlreadyExists { current, .. } if current == Some(v(1))));
    }
    let syncs = disk.cells().syncs - before;
    assert!(syncs < 20, "{syncs} syncs for 200 commits");
}

#[test]
fn dropped_store_finishes_its_commits() {
    let (place, t) = (Place::new("dropped"), fresh());
    let store = Redb::open(&place.0).unwrap();
    let mut commit = store.commit(&t, vec![Write::create(device("a"), "1", nothing())]);
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(commit);
    drop(store);
    assert_eq!(block_on(Redb::open(&place.0).unwrap().read(&t, &device("a"))).unwrap().version, v(1));
}
