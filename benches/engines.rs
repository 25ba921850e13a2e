//! How fast the engines are: redb by itself, and PostgreSQL beside the bare statements through the same driver, on the same
//! server, with as many connections, in turns; once as durably as the server is by itself, and once without waiting for the
//! disk, where nothing hides what the processors do.
//!
//! ```text
//! cargo bench --features postgres,redb --bench engines [-- postgres]
//! ```

#[path = "engines/bare.rs"]
mod bare;
#[path = "../tests/postgres/server.rs"]
mod server;

use bare::Session;
use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::backend::{Postgres, Redb};
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token};
use fhir_devices::store::*;
use server::Server;
use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The components of a device.
const EACH: u64 = 10;
const WORKERS: u64 = 16;

fn main() -> Outcome {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds.
        return Ok(());
    }
    let runtime = Runtime::new()?;
    if std::env::args().all(|argument| argument != "postgres") {
        redb(&runtime)?;
    }
    for (how, setting) in
        [("each commit on the disk", ""), ("no commit waits for the disk", "-c synchronous_commit=off")]
    {
        match Server::start_own(&["-c shared_buffers=256MB", setting]) {
            Ok(server) => runtime.block_on(postgres(&server.url, how))?,
            Err(reason) => println!("skipped: {reason}"),
        }
    }
    Ok(())
}

fn tenant() -> Tenant {
    "st-mary".parse().unwrap_or_else(|_| std::process::abort())
}

fn id(number: u64) -> String {
    format!("component-{number:08}")
}

fn key(number: u64) -> Result<Key, InvalidText> {
    Key::new(ResourceType::DeviceComponent, id(number))
}

fn source(number: u64) -> String {
    format!("Device/device-{:07}", number / EACH)
}

fn index(number: u64, kind: u64) -> IndexEntries {
    IndexEntries::new()
        .with(Parameter::Source, Token::bare(source(number)))
        .with(Parameter::Identifier, Token::new("urn:example:handle", number.to_string()))
        .with(Parameter::Type, Token::new("urn:iso:std:iso:11073:10101", (69_641 + kind).to_string()))
}

fn write_id(number: u64) -> WriteId {
    WriteId(u128::from(number) << 64 | 1)
}

/// 730 bytes, as a component has on the average.
fn body(number: u64) -> String {
    format!("{number:0>730}")
}

/// What is done as the worker of the first number with the second.
type Work = Arc<dyn Fn(u64, u64) -> BoxFuture<'static, Outcome> + Send + Sync>;

fn work<F: Future<Output = Outcome> + Send + 'static>(of: impl Fn(u64) -> F + Send + Sync + 'static) -> Work {
    Arc::new(move |_, number| Box::pin(of(number)))
}

/// How often a second the work is done on so many tasks, which share its numbers.
async fn rate(workers: u64, round: Duration, numbers: &Arc<AtomicU64>, work: &Work) -> Outcome<f64> {
    let (begun, before) = (Instant::now(), numbers.load(Ordering::Relaxed));
    let worker = |worker| {
        let (numbers, work) = (Arc::clone(numbers), Arc::clone(work));
        tokio::spawn(async move {
            while begun.elapsed() < round {
                work(worker, numbers.fetch_add(1, Ordering::Relaxed)).await?;
            }
            Outcome::Ok(())
        })
    };
    for worker in (0..workers).map(worker).collect::<Vec<_>>() {
        worker.await??;
    }
    let done = numbers.load(Ordering::Relaxed) - before;
    Ok(f64::from(u32::try_from(done)?) / begun.elapsed().as_secs_f64())
}

// ------------------------------------------------------------------------------------------ the calls of a store

fn create<S: ResourceStore>(store: &Arc<S>) -> Work {
    let store = Arc::clone(store);
    work(move |number| {
        let store = Arc::clone(&store);
        async move {
            let write = Write::create(key(number)?, body(number), index(number, 0)).with_id(write_id(number));
            store.commit(&tenant(), vec![write]).await?;
            Ok(())
        }
    })
}

/// Replaces version 1 of each in turn, then version 2, as one who has read it.
fn update<S: ResourceStore>(store: &Arc<S>, count: u64, moves: bool) -> Work {
    let store = Arc::clone(store);
    work(move |number| {
        let store = Arc::clone(&store);
        async move {
            let (at, version, kind) = replaced(number, count, moves);
            let before = VersionId::new(version).ok_or("no version")?;
            let write = Write::update(key(at)?, before, body(version), index(at, kind)).with_id(write_id(version));
            store.commit(&tenant(), vec![write]).await?;
            Ok(())
        }
    })
}

/// Which resource, which version of it, and which of its types the update makes.
fn replaced(number: u64, count: u64, moves: bool) -> (u64, u64, u64) {
    let version = number / count + 1;
    (number % count, version, if moves { version } else { 0 })
}

fn read<S: ResourceStore>(store: &Arc<S>, count: u64) -> Work {
    let store = Arc::clone(store);
    work(move |number| {
        let store = Arc::clone(&store);
        async move {
            let read = store.read(&tenant(), &key(number * 7919 % count)?).await?;
            (read.body.is_some_and(|body| body.len() == 730)).then_some(()).ok_or_else(|| "another body".into())
        }
    })
}

fn search<S: ResourceStore>(store: &Arc<S>, count: u64) -> Work {
    let store = Arc::clone(store);
    work(move |number| {
        let store = Arc::clone(&store);
        async move {
            let of = Criterion::source(&source(number * 7919 % count));
            let found = store.search(&tenant(), &Search::new(ResourceType::DeviceComponent).and(of)).await?;
            (found.items.len() as u64 == EACH).then_some(()).ok_or_else(|| "not all of a device".into())
        }
    })
}

async fn fill<S: ResourceStore>(store: &Arc<S>, count: u64) -> Outcome {
    for first in (0..count).step_by(1_000) {
        let write = |number| Ok(Write::create(key(number)?, body(number), index(number, 0)).with_id(write_id(number)));
        store.commit(&tenant(), (first..first + 1_000).map(write).collect::<Outcome<_>>()?).await?;
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------ redb

const IN_REDB: u64 = 100_000;
const TWO_SECONDS: Duration = Duration::from_secs(2);

fn redb(runtime: &Runtime) -> Outcome {
    let path = std::env::temp_dir().join(format!("fhir-devices-bench-{}.redb", std::process::id()));
    let store = Arc::new(Redb::open(&path)?);
    let numbers = || Arc::new(AtomicU64::new(0));
    println!("redb, {IN_REDB} components of 730 bytes with 3 index entries     per second");
    let begun = Instant::now();
    runtime.block_on(fill(&store, IN_REDB))?;
    let filled = f64::from(u32::try_from(IN_REDB)?) / begun.elapsed().as_secs_f64();
    println!("{:<60}{filled:>10.0}", "creations, 1,000 in a commit");
    let new = Arc::new(AtomicU64::new(IN_REDB));
    for workers in [1, 16, 256] {
        let rate = runtime.block_on(rate(workers, TWO_SECONDS, &new, &create(&store)))?;
        println!("{:<60}{rate:>10.0}", format!("commits of one creation, {workers} at a time"));
    }
    for (what, call) in [("reads", read(&store, IN_REDB)), ("searches by source, 10 found", search(&store, IN_REDB))] {
        for workers in [1, 2] {
            let rate = runtime.block_on(rate(workers, TWO_SECONDS, &numbers(), &call))?;
            println!("{:<60}{rate:>10.0}", format!("{what}, {workers} at a time"));
        }
    }
    println!("{:<60}{:>7} MB", "the file", std::fs::metadata(&path)?.len() >> 20);
    drop(store);
    Ok(std::fs::remove_file(path)?)
}

// ------------------------------------------------------------------------------------------ PostgreSQL

const IN_POSTGRES: u64 = 20_000;
const ROUND: Duration = Duration::from_millis(250);
const ROUNDS: usize = 41;

async fn postgres(url: &str, how: &str) -> Outcome {
    let connections = NonZeroUsize::new(usize::try_from(WORKERS)?).ok_or("no workers")?;
    let connect = |schema: &str| Options::new().with_schema(schema).with_connections(connections).connect(url, NoTls);
    let store = Arc::new(connect("ours").await?);
    // The same tables, filled by the same means.
    let other: Arc<Postgres> = Arc::new(connect("bare").await?);
    fill(&store, IN_POSTGRES).await?;
    fill(&other, IN_POSTGRES).await?;
    drop(other);
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("VACUUM ANALYZE").await?;
    let mut sessions = Vec::new();
    for _ in 0..WORKERS {
        sessions.push(Arc::new(Session::connect(url).await?));
    }
    let sessions = Arc::new(sessions);
    let count = IN_POSTGRES;
    let of_bare = |which: usize| -> Work {
        let sessions = Arc::clone(&sessions);
        Arc::new(move |worker, number| {
            let session = usize::try_from(worker).ok().and_then(|worker| sessions.get(worker)).map(Arc::clone);
            Box::pin(async move {
                let session = session.ok_or("no session")?;
                match which {
                    0 => session.create(number).await,
                    1 | 2 => {
                        let (at, version, kind) = replaced(number, count, which == 2);
                        session.update(at, version, kind).await
                    }
                    3 => session.read(number * 7919 % count).await,
                    _ => session.search(number * 7919 % count).await,
                }
            })
        })
    };
    println!("\nPostgreSQL, {how}; {WORKERS} at a time, medians of {ROUNDS} rounds");
    println!("{:<48}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "bare", "store", "ratio", "lowest", "highest");
    let from = |first| (Arc::new(AtomicU64::new(first)), Arc::new(AtomicU64::new(first)));
    // Both kinds of updates go on with the versions that there are.
    let versions = from(0);
    let rows = [
        ("creations of 3 index entries", create(&store), from(count)),
        ("conditional updates", update(&store, count, false), versions.clone()),
        ("conditional updates that move an entry", update(&store, count, true), versions),
        ("reads", read(&store, count), from(0)),
        ("searches by source, 10 found", search(&store, count), from(0)),
    ];
    for (which, (what, ours, (of_ours, of_theirs))) in rows.into_iter().enumerate() {
        let theirs = of_bare(which);
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            // Who comes first takes turns too.
            let early = if round % 2 == 0 { rate(WORKERS, ROUND, &of_ours, &ours).await? } else { 0.0 };
            let bare = rate(WORKERS, ROUND, &of_theirs, &theirs).await?;
            let store = if round % 2 == 0 { early } else { rate(WORKERS, ROUND, &of_ours, &ours).await? };
            rounds.push((store / bare, bare, store));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        if let (Some((ratio, bare, store)), Some(lowest), Some(highest)) =
            (rounds.get(ROUNDS / 2), rounds.first(), rounds.last())
        {
            println!("{what:<48}{bare:>9.0}{store:>9.0}{ratio:>9.2}{:>9.2}{:>9.2}", lowest.0, highest.0);
        }
    }
    Ok(())
}
