//! `kill -9` under load: of a process with a redb file, and of a PostgreSQL server. Acknowledged writes must be there
//! afterwards, and every commit whole.
//!
//! `KILL_ROUNDS=30 cargo test --release --features postgres,redb,testkit --test kill -- --nocapture` does thirty rounds
//! of each; without the variable there are two.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "postgres/server.rs"]
mod server;

use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::backend::{Postgres, Redb};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token};
use fhir_devices::store::*;
use fhir_devices::testkit::store::block_on;
use server::Server;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WRITERS: u64 = 8;

/// Returns the number of rows that a writer writes in each commit: three, or one, which takes a path of its own.
fn rows(writer: u64) -> u64 {
    if writer.is_multiple_of(2) { 3 } else { 1 }
}

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2)
}

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn key(writer: u64, row: u64) -> Key {
    Key::new(ResourceType::DeviceComponent, format!("{writer}-{row}")).unwrap()
}

/// Returns the commit that makes version `count` of a writer's rows.
fn commit(writer: u64, count: u64) -> Vec<Write> {
    let write = |row| {
        let index = IndexEntries::new().with(Parameter::Source, Token::bare(format!("Device/{count}")));
        let body = format!("{count:0>700}");
        match VersionId::new(count - 1) {
            None => Write::create(key(writer, row), body, index),
            Some(before) => Write::update(key(writer, row), before, body, index),
        }
    };
    (0..rows(writer)).map(write).collect()
}

/// Returns a writer's version after a kill, which must be the same for all its rows, with the right bodies and entries.
async fn check(store: &impl ResourceStore, writer: u64) -> u64 {
    let mut versions = Vec::new();
    for row in 0..rows(writer) {
        match store.read(&tenant(), &key(writer, row)).await {
            Ok(version) => {
                let count = version.version.get();
                assert_eq!(version.body.unwrap(), format!("{count:0>700}"), "another body than was written");
                versions.push(count);
                let search = Search::new(ResourceType::DeviceComponent)
                    .and(Criterion::source(&format!("Device/{count}")))
                    .and(Criterion::Id(version.key.id().clone()));
                assert_eq!(store.search(&tenant(), &search).await.unwrap().items.len(), 1, "it is not found");
            }
            Err(StoreError::NotFound { .. }) => versions.push(0),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(versions.iter().all(|version| *version == versions[0]), "half a commit: {versions:?}");
    versions[0]
}

#[derive(Default)]
struct Figures {
    acknowledged: u64,
    unknown: u64,
    applied: u64,
    reopened: Duration,
}

impl Figures {
    fn tell(&self, what: &str, rounds: u64) {
        println!(
            "{what}: {rounds} rounds, {} commits of 1 or 3 writes acknowledged, 0 lost, 0 torn; {} without an answer, of which {} \
             were applied; it served again after at most {} ms",
            self.acknowledged,
            self.unknown,
            self.applied,
            self.reopened.as_millis()
        );
    }
}

fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below
}

// ------------------------------------------------------------------------------------------ redb

const CHILD: &str = "KILL_CHILD_FILE";

/// Not a test of its own: the process that is killed. It prints each acknowledgement on its standard output.
#[test]
fn process_to_kill() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let store = Redb::open(file).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                let mut count = block_on(check(store, writer));
                loop {
                    count += 1;
                    block_on(store.commit(&tenant(), commit(writer, count))).unwrap();
                    // One write, which the kernel has when the process dies.
                    std::io::stdout().write_all(format!("acknowledged {writer} {count}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn killed_redb_process_keeps_acknowledged_writes() {
    let file = std::env::temp_dir().join(format!("fhir-devices-kill-{}.redb", std::process::id()));
    let remove = Remove(file.clone());
    let (mut figures, mut acknowledged) = (Figures::default(), BTreeMap::new());
    for _ in 0..rounds() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_to_kill", "--nocapture"])
            .env(CHILD, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The time runs from the first acknowledgement on.
        let mut before = figures.acknowledged;
        let mut heard = |line: String, acknowledged: &mut BTreeMap<u64, u64>| {
            let Some(rest) = line.split_once("acknowledged ").map(|(_, rest)| rest) else { return false };
            let (writer, count) = rest.split_once(' ').unwrap();
            acknowledged.insert(writer.parse().unwrap(), count.parse().unwrap());
            before += 1;
            true
        };
        while !heard(lines.next().unwrap().unwrap(), &mut acknowledged) {}
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + random(300)));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        for line in lines {
            heard(line.unwrap(), &mut acknowledged);
        }
        killer.join().unwrap();
        figures.acknowledged = before;
        let begun = Instant::now();
        let store = Redb::open(&file).unwrap();
        for writer in 0..WRITERS {
            let (found, told) = (block_on(check(&store, writer)), acknowledged.get(&writer).copied().unwrap_or(0));
            assert!(found >= told, "writer {writer}: {told} was acknowledged, and {found} is there");
            assert!(found <= told + 1, "writer {writer}: {found} is there, and only {told} was acknowledged");
            figures.unknown += 1;
            figures.applied += found - told;
            acknowledged.insert(writer, found);
        }
        figures.reopened = figures.reopened.max(begun.elapsed());
    }
    figures.tell("a process on redb", rounds());
    drop(remove);
}

struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

// ------------------------------------------------------------------------------------------ PostgreSQL

#[test]
fn killed_postgres_keeps_acknowledged_writes() {
    let server = match Server::start_own(&[]) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connect = || Options::new().with_acquire_timeout(Duration::from_secs(5)).connect(&server.url, NoTls);
    let store = Arc::new(runtime.block_on(connect()).unwrap());
    let (mut figures, acknowledged) = (Figures::default(), Arc::new(Mutex::new(BTreeMap::new())));
    for _ in 0..rounds() {
        let stopped = Arc::new(AtomicBool::new(false));
        let load = |writer| {
            let (store, stopped, acknowledged) = (Arc::clone(&store), Arc::clone(&stopped), Arc::clone(&acknowledged));
            runtime.spawn(load(store, stopped, acknowledged, writer))
        };
        let writers: Vec<_> = (0..WRITERS).map(load).collect();
        std::thread::sleep(Duration::from_millis(100 + random(400)));
        server.kill().unwrap();
        stopped.store(true, Ordering::SeqCst);
        let mut unknown = Vec::new();
        for writer in writers {
            let (made, left) = runtime.block_on(writer).unwrap();
            figures.acknowledged += made;
            unknown.push(left);
        }
        let begun = Instant::now();
        server.boot().unwrap();
        // The store that has seen the server die goes on with the one that comes.
        for (writer, left) in (0..).zip(unknown) {
            let found = runtime.block_on(check(&*store, writer));
            let told = acknowledged.lock().unwrap().get(&writer).copied().unwrap_or(0);
            assert!(found >= told, "writer {writer}: {told} was acknowledged, and {found} is there");
            assert!(found <= told + u64::from(left), "writer {writer}: {found} is there, and {told} was acknowledged");
            figures.unknown += u64::from(left);
            figures.applied += found - told;
            acknowledged.lock().unwrap().insert(writer, found);
        }
        figures.reopened = figures.reopened.max(begun.elapsed());
    }
    figures.tell("a PostgreSQL server", rounds());
}

/// Commits until the server is gone; returns the number of acknowledged commits, and whether the last outcome is
/// unknown.
async fn load(
    store: Arc<Postgres>,
    stopped: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeMap<u64, u64>>>,
    writer: u64,
) -> (u64, bool) {
    let mut count = acknowledged.lock().unwrap().get(&writer).copied().unwrap_or(0);
    let mut made = 0;
    loop {
        match store.commit(&tenant(), commit(writer, count + 1)).await {
            Ok(_) => {
                (count, made) = (count + 1, made + 1);
                acknowledged.lock().unwrap().insert(writer, count);
            }
            Err(refused) if refused.error.applied() == Applied::Unknown => return (made, true),
            // Nothing was applied: the server is away.
            Err(refused) if refused.error.is_transient() && stopped.load(Ordering::SeqCst) => return (made, false),
            Err(refused) if refused.error.is_transient() => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(refused) => panic!("{refused:?}"),
        }
    }
}
