//! How fast the engines are: redb by itself, and PostgreSQL beside the bare statements through the same driver, on the same
//! server, with the same connections, in turns.
//!
//! ```text
//! cargo bench --features postgres,redb --bench engines
//! ```

#[path = "../tests/postgres/server.rs"]
mod server;

use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::backend::{Postgres, Redb};
use fhir_devices::store::*;
use server::Server;
use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Statement};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The components of a device.
const EACH: u64 = 10;
const WORKERS: u64 = 16;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

fn main() -> Outcome {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds.
        return Ok(());
    }
    let runtime = Runtime::new()?;
    redb(&runtime)?;
    match Server::start_own(&["-c shared_buffers=256MB"]) {
        Ok(server) => runtime.block_on(postgres(&server.url)),
        Err(reason) => {
            println!("skipped: {reason}");
            Ok(())
        }
    }
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

fn index(number: u64) -> IndexEntries {
    IndexEntries::new()
        .with(Parameter::Source, Token::bare(source(number)))
        .with(Parameter::Identifier, Token::new("urn:example:handle", number.to_string()))
        .with(Parameter::Type, Token::new("urn:iso:std:iso:11073:10101", "69641"))
}

/// 730 bytes, as a component has on the average.
fn body(number: u64) -> String {
    format!("{number:0>730}")
}

type Work = Arc<dyn Fn(u64) -> BoxFuture<'static, Outcome> + Send + Sync>;

fn work<F: Future<Output = Outcome> + Send + 'static>(of: impl Fn(u64) -> F + Send + Sync + 'static) -> Work {
    Arc::new(move |number| Box::pin(of(number)))
}

/// How often a second the work is done on so many tasks, which share its numbers.
async fn rate(workers: u64, numbers: &Arc<AtomicU64>, work: &Work) -> Outcome<f64> {
    let (begun, before) = (Instant::now(), numbers.load(Ordering::Relaxed));
    let worker = |_| {
        let (numbers, work) = (Arc::clone(numbers), Arc::clone(work));
        tokio::spawn(async move {
            while begun.elapsed() < ROUND {
                work(numbers.fetch_add(1, Ordering::Relaxed)).await?;
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
            store.commit(&tenant(), vec![Write::create(key(number)?, body(number), index(number))]).await?;
            Ok(())
        }
    })
}

/// Replaces version 1 of each in turn, then version 2, as one who has read it.
fn update<S: ResourceStore>(store: &Arc<S>, count: u64) -> Work {
    let store = Arc::clone(store);
    work(move |number| {
        let store = Arc::clone(&store);
        async move {
            let version = VersionId::new(number / count + 1).ok_or("no version")?;
            let at = number % count;
            let write = Write::update(key(at)?, version, body(number), index(at));
            store.commit(&tenant(), vec![write]).await?;
            Ok(())
        }
    })
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
        let write = |number| Ok(Write::create(key(number)?, body(number), index(number)));
        store.commit(&tenant(), (first..first + 1_000).map(write).collect::<Outcome<_>>()?).await?;
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------ redb

const IN_REDB: u64 = 100_000;

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
        let rate = runtime.block_on(rate(workers, &new, &create(&store)))?;
        println!("{:<60}{rate:>10.0}", format!("commits of one creation, {workers} at a time"));
    }
    for (what, call) in [("reads", read(&store, IN_REDB)), ("searches by source, 10 found", search(&store, IN_REDB))] {
        for workers in [1, 2] {
            let rate = runtime.block_on(rate(workers, &numbers(), &call))?;
            println!("{:<60}{rate:>10.0}", format!("{what}, {workers} at a time"));
        }
    }
    println!("{:<60}{:>7} MB", "the file", std::fs::metadata(&path)?.len() >> 20);
    drop(store);
    Ok(std::fs::remove_file(path)?)
}

// ------------------------------------------------------------------------------------------ PostgreSQL

const IN_POSTGRES: u64 = 20_000;

/// The statements that someone would write who has no contract to keep, each prepared on each connection.
struct Bare {
    sessions: Vec<(Client, [Statement; 4])>,
    next: AtomicU64,
}

const BARE: [&str; 4] = [
    "WITH r AS (INSERT INTO bare.resources (tenant, type, id, version, last_updated, indexed, body) \
     VALUES ($1, 2, $2, 1, clock_timestamp(), '', $3) RETURNING number) \
     INSERT INTO bare.entries (resource, tenant, type, parameter, value, system, id) \
     SELECT r.number, $1, 2, n.parameter, n.value, n.system, $2 \
     FROM r, unnest($4::smallint[], $5::bytea[], $6::bytea[]) n (parameter, value, system)",
    "WITH h AS (INSERT INTO bare.versions (tenant, type, id, version, last_updated, write_id, body) \
     SELECT tenant, type, id, version, last_updated, write_id, body FROM bare.resources \
     WHERE tenant = $1 AND type = 2 AND id = $2 AND version = $3) \
     UPDATE bare.resources SET version = version + 1, last_updated = greatest(last_updated, clock_timestamp()), body = $4 \
     WHERE tenant = $1 AND type = 2 AND id = $2 AND version = $3",
    "SELECT version, last_updated, write_id, body FROM bare.resources WHERE tenant = $1 AND type = 2 AND id = $2",
    "SELECT r.id, r.version, r.last_updated, r.write_id, r.body FROM bare.entries e \
     JOIN bare.resources r ON r.tenant = e.tenant AND r.type = e.type AND r.id = e.id \
     WHERE e.tenant = $1 AND e.type = 2 AND e.parameter = 10 AND e.value = $2 ORDER BY e.id LIMIT 51",
];

impl Bare {
    async fn connect(url: &str) -> Outcome<Self> {
        let mut sessions = Vec::new();
        for _ in 0..WORKERS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let [create, update, read, search] = BARE;
            let prepared = [
                client.prepare(create).await?,
                client.prepare(update).await?,
                client.prepare(read).await?,
                client.prepare(search).await?,
            ];
            sessions.push((client, prepared));
        }
        Ok(Self { sessions, next: AtomicU64::new(0) })
    }

    /// The calls go round, as many at a time as there are sessions.
    fn session(&self) -> Outcome<&(Client, [Statement; 4])> {
        let at = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed) % WORKERS)?;
        self.sessions.get(at).ok_or_else(|| "no session".into())
    }

    async fn create(&self, number: u64) -> Outcome {
        let (client, [create, ..]) = self.session()?;
        let index = index(number).into_vec();
        let parameters: Vec<i16> = index.iter().map(|(of, _)| if *of == Parameter::Source { 10 } else { 3 }).collect();
        let values: Vec<&[u8]> = index.iter().map(|(_, token)| token.value.as_bytes()).collect();
        let systems: Vec<&[u8]> =
            index.iter().map(|(_, token)| token.system.as_deref().unwrap_or("").as_bytes()).collect();
        let (id, body) = (id(number), body(number));
        let made = client.execute(create, &[&"st-mary", &id, &body.as_bytes(), &parameters, &values, &systems]).await?;
        (made == 3).then_some(()).ok_or_else(|| "not made".into())
    }

    async fn update(&self, number: u64, count: u64) -> Outcome {
        let (client, [_, update, ..]) = self.session()?;
        let (id, body, version) = (id(number % count), body(number), i64::try_from(number / count + 1)?);
        let made = client.execute(update, &[&"st-mary", &id, &version, &body.as_bytes()]).await?;
        (made == 1).then_some(()).ok_or_else(|| "not updated".into())
    }

    async fn read(&self, number: u64, count: u64) -> Outcome {
        let (client, [.., read, _]) = self.session()?;
        let row = client.query_one(read, &[&"st-mary", &id(number * 7919 % count)]).await?;
        (row.try_get::<_, &[u8]>("body")?.len() == 730).then_some(()).ok_or_else(|| "another body".into())
    }

    async fn search(&self, number: u64, count: u64) -> Outcome {
        let (client, [.., search]) = self.session()?;
        let of = source(number * 7919 % count);
        let rows = client.query(search, &[&"st-mary", &of.as_bytes()]).await?;
        (rows.len() as u64 == EACH).then_some(()).ok_or_else(|| "not all of a device".into())
    }
}

async fn postgres(url: &str) -> Outcome {
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
    let bare = Arc::new(Bare::connect(url).await?);
    let of_bare = |which: usize| {
        let bare = Arc::clone(&bare);
        work(move |number| {
            let bare = Arc::clone(&bare);
            async move {
                match which {
                    0 => bare.create(number).await,
                    1 => bare.update(number, IN_POSTGRES).await,
                    2 => bare.read(number, IN_POSTGRES).await,
                    _ => bare.search(number, IN_POSTGRES).await,
                }
            }
        })
    };
    println!("\nPostgreSQL, {WORKERS} connections, medians of {ROUNDS} rounds    bare    store    ratio");
    let count = IN_POSTGRES;
    let rows = [
        ("creations of 3 index entries", create(&store), IN_POSTGRES),
        ("conditional updates", update(&store, count), 0),
        ("reads", read(&store, count), 0),
        ("searches by source, 10 found", search(&store, count), 0),
    ];
    for (which, (what, ours, first)) in rows.into_iter().enumerate() {
        let theirs = of_bare(which);
        let (of_ours, of_theirs) = (Arc::new(AtomicU64::new(first)), Arc::new(AtomicU64::new(first)));
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let bare = rate(WORKERS, &of_theirs, &theirs).await?;
            let store = rate(WORKERS, &of_ours, &ours).await?;
            rounds.push((store / bare, bare, store));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((ratio, bare, store)) = rounds.get(ROUNDS / 2) {
            println!("{what:<48}{bare:>9.0}{store:>9.0}{ratio:>9.2}");
        }
    }
    Ok(())
}
