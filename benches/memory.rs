//! The store in memory with a million components: how many bytes of memory a document takes, and how many reads,
//! conditional updates and searches a second it does on two threads: by the clock, and by the time that the threads were on
//! a processor, where other programs do not count. Each rate is the best of several runs.
//!
//! ```text
//! cargo bench --bench memory              # a million components
//! cargo bench --bench memory -- 100000    # fewer
//! ```

#![allow(clippy::panic, reason = "a bench may stop where it stands")]

#[path = "common/taken.rs"]
mod taken;

use bytes::Bytes;
use fhir_devices::backend::Memory;
use fhir_devices::search::{Criterion, IndexEntries, Parameter, ResourceType, Token};
use fhir_devices::store::{Key, ResourceStore, Search, Tenant, VersionId, Write};
use std::error::Error;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use taken::{Start, Taken};

const THREADS: u64 = 2;
/// How long one run takes, and how many there are.
const RUN: Duration = Duration::from_secs(1);
const RUNS: usize = 5;
/// The components of a device.
const PARTS: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().filter_map(|argument| argument.parse::<u64>().ok()).next().unwrap_or(1_000_000);
    let tenant: Tenant = "st-mary".parse()?;
    let store = Memory::new();
    let size = body(0).len();
    let mut spent = Duration::ZERO;
    let allocated = allocation_counter::measure(|| {
        let started = Instant::now();
        fill(&store, &tenant, count);
        spent = started.elapsed();
    });
    let per_document = allocated.bytes_current / i64::try_from(count)?;
    println!("{count} components of {size} bytes, filled at {:.0} a second", rate(count, spent));
    println!("asked of the heap          {per_document:>12} bytes a document   (at most 1,200)");
    if let Some(resident) = resident() {
        println!("resident                   {:>12} bytes a document", resident / count);
    }

    let dice = |seed: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let best = best(|thread, until| {
        let (mut done, mut seed) = (0, thread);
        while Instant::now() < until {
            for _ in 0..256 {
                seed = dice(seed);
                black_box(now(store.read(&tenant, &key((seed >> 33) % count))).is_ok());
            }
            done += 256;
        }
        done
    });
    println!("reads                      {best}   (at least 1,000,000)");

    let best = self::best(|thread, until| {
        let (mut done, mut seed) = (0, thread);
        while Instant::now() < until {
            for _ in 0..64 {
                seed = dice(seed);
                let of = key((seed >> 33) % count);
                let search =
                    Search::new(ResourceType::DeviceComponent).and(Criterion::source(&source((seed >> 33) % count)));
                black_box((now(store.search(&tenant, &search)).is_ok(), of));
            }
            done += 64;
        }
        done
    });
    println!("searches by source         {best}   ({PARTS} found by each)");

    // Each thread has a part of the components, and raises the version of one after the other. The versions before are not
    // kept, so that the machine does not run out of memory.
    let short = Memory::new().with_max_versions(std::num::NonZeroUsize::MIN);
    drop(store);
    fill(&short, &tenant, count);
    let rounds = AtomicU64::new(0);
    let written: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let best = self::best(|thread, until| {
        rounds.fetch_add(1, Ordering::Relaxed);
        let Some(written) = usize::try_from(thread).ok().and_then(|thread| written.get(thread)) else { return 0 };
        let (mut done, share) = (0, count / THREADS);
        while Instant::now() < until {
            for _ in 0..256 {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let (of, version) = (thread * share + number % share, number / share + 1);
                let Some(version) = VersionId::new(version) else { return done };
                let update = Write::update(key(of), version, body(of), entries(of));
                done += u64::from(now(short.commit(&tenant, vec![update])).is_ok());
            }
        }
        done
    });
    println!("conditional updates        {best}   (at least 500,000)");
    Ok(())
}

/// What all threads do together in a second of the clock, and in one of their processors.
#[derive(Clone, Copy, Default)]
struct Rates {
    passed: f64,
    worked: f64,
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>12.0} a second, {:.0} a second of work", self.passed, self.worked)
    }
}

/// The best of the runs.
fn best(work: impl Fn(u64, Instant) -> u64 + Sync) -> Rates {
    let run = |_| {
        let until = Instant::now() + RUN;
        std::thread::scope(|scope| {
            let work = &work;
            let timed = |thread| {
                move || {
                    let start = Start::now();
                    let done = work(thread, until);
                    let Taken { passed, worked } = start.taken();
                    Rates { passed: rate(done, passed), worked: rate(done, worked) }
                }
            };
            let all: Vec<_> = (0..THREADS).map(|thread| scope.spawn(timed(thread))).collect();
            let of_each = all.into_iter().map(|thread| thread.join().unwrap_or_default());
            of_each.fold(Rates::default(), |sum, one| Rates {
                passed: sum.passed + one.passed,
                worked: sum.worked + one.worked,
            })
        })
    };
    (0..RUNS).map(run).fold(Rates::default(), |best, one| Rates {
        passed: best.passed.max(one.passed),
        worked: best.worked.max(one.worked),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a rate is rounded")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The bytes of this process that lie in memory, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn fill(store: &Memory, tenant: &Tenant, count: u64) {
    for start in (0..count).step_by(500) {
        let write = |n| Write::create(key(n), body(n), entries(n));
        let made = now(store.commit(tenant, (start..count.min(start + 500)).map(write).collect()));
        assert!(made.is_ok(), "the store refuses a component");
    }
}

fn key(n: u64) -> Key {
    match Key::new(ResourceType::DeviceComponent, format!("component-{n}")) {
        Ok(key) => key,
        Err(error) => panic!("{error}"),
    }
}

fn source(n: u64) -> String {
    format!("Device/device-{}", n / PARTS)
}

fn entries(n: u64) -> IndexEntries {
    let parent = format!("DeviceComponent/component-{}", n / PARTS * PARTS);
    IndexEntries::new()
        .with(Parameter::Identifier, Token::new("urn:oid:1.2.840.10004.1.1.1.0.0.1", format!("0012210000{n:010}")))
        .with(Parameter::Parent, Token::bare(parent))
        .with(Parameter::Source, Token::bare(source(n)))
        .with(Parameter::Type, Token::new("urn:iso:std:iso:11073:10101", (69_641 + n % PARTS).to_string()))
}

/// The canonical JSON of a component as a bedside monitor has them.
fn body(n: u64) -> Bytes {
    let text = format!(
        r#"{{"resourceType":"DeviceComponent","id":"component-{n}","identifier":{{"system":"urn:oid:1.2.840.10004.1.1.1.0.0.1","value":"0012210000{n:010}"}},"type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{}","display":"MDC_DEV_ANALY_SAT_O2_VMD"}}]}},"lastSystemChange":"2017-04-19T10:00:00Z","source":{{"reference":"Device/device-{}"}},"parent":{{"reference":"DeviceComponent/component-{}"}},"operationalStatus":[{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"1","display":"on"}}]}}],"productionSpecification":[{{"specType":{{"text":"software"}},"productionSpec":"4.2.0"}},{{"specType":{{"text":"hardware"}},"productionSpec":"B, as delivered in 2017"}}],"languageCode":{{"coding":[{{"system":"urn:ietf:bcp:47","code":"en-US"}}]}}}}"#,
        69_641 + n % PARTS,
        n / PARTS,
        n / PARTS * PARTS,
    );
    text.into()
}

/// The futures of the store in memory are ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future of the store in memory is pending"),
    }
}
