//! The REST API over a million components: reads and searches a second on two threads over the store in memory, and how long
//! a page of 50 takes of a search that goes over references, in memory and, with the feature `postgres`, in PostgreSQL.
//!
//! ```text
//! cargo bench --bench rest                        # a million components in memory
//! cargo bench --features postgres --bench rest -- 1000000 postgres
//! ```

#[cfg(feature = "postgres")]
#[path = "../tests/postgres/server.rs"]
mod server;

use fhir_devices::backend::Memory;
use fhir_devices::rest::{Request, Server};
use fhir_devices::store::{Precondition, ResourceStore, Storable, Tenant, TenantResources, Write};
use fhir_devices::{Device, DeviceComponent};
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const THREADS: u64 = 2;
/// How long one run takes, and how many there are.
const RUN: Duration = Duration::from_secs(1);
const RUNS: usize = 3;
/// The components of a device, and the models of devices.
const PARTS: u64 = 10;
const MODELS: u64 = 1_000;
/// How many resources are written at a time.
const AT_ONCE: u64 = 500;

/// Searches that go over references: one that few devices meet, one that all do, and one against the direction.
const CHAINS: [(&str, &str, &str); 4] = [
    ("few devices", "DeviceComponent", "source:Device.model=model-7&_count=50"),
    ("all devices", "DeviceComponent", "source:Device.manufacturer=acme&_count=50"),
    ("few components", "Device", "_has:DeviceComponent:source:identifier=urn:example:handle|123457&_count=50"),
    ("all components", "Device", "_has:DeviceComponent:source:type=69641&_count=50"),
];

fn main() -> Result<(), Box<dyn Error>> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds.
        return Ok(());
    }
    let count = std::env::args().filter_map(|argument| argument.parse::<u64>().ok()).next().unwrap_or(1_000_000);
    if std::env::args().any(|argument| argument == "postgres") {
        return postgres(count);
    }
    let tenant: Tenant = "st-mary".parse()?;
    let memory = Arc::new(Memory::new());
    for writes in writes(count) {
        now(memory.commit(&tenant, writes?)).map_err(|refused| refused.error)?;
    }
    let server = Server::new(TenantResources::new(memory, tenant), "https://devices.example/st-mary/fhir");
    println!("{count} components in memory");
    let read = |number: u64| (format!("DeviceComponent/c{}", number % count), String::new());
    println!("reads                  {:>10.0} a second   (at least 30,000)", best(&server, read)?);
    let by_source =
        |number: u64| ("DeviceComponent".to_owned(), format!("source=Device/d{}", number % (count / PARTS)));
    println!(
        "searches by source     {:>10.0} a second   (at least 10,000; {PARTS} found by each)",
        best(&server, by_source)?
    );
    let by_handle =
        |number: u64| ("DeviceComponent".to_owned(), format!("identifier=urn:example:handle|{}", number % count));
    println!("searches by identifier {:>10.0} a second   (one found by each)", best(&server, by_handle)?);
    for (name, path, query) in CHAINS {
        let request = Request::new("GET", path).query(query);
        let took = page(|| Ok(now(server.handle(&request)).status))?;
        println!("chain, {name:<15} {took:>10.2?} for a page of 50   (at most 20 ms)");
    }
    Ok(())
}

#[cfg(feature = "postgres")]
fn postgres(count: u64) -> Result<(), Box<dyn Error>> {
    use fhir_devices::backend::postgres::{NoTls, Options};
    let runtime = tokio::runtime::Runtime::new()?;
    let own = match server::Server::start_own(&["-c shared_buffers=512MB", "-c synchronous_commit=off"]) {
        Ok(own) => own,
        Err(reason) => {
            println!("skipped: {reason}");
            return Ok(());
        }
    };
    let tenant: Tenant = "st-mary".parse()?;
    let store = Arc::new(runtime.block_on(Options::new().connect(&own.url, NoTls))?);
    for writes in writes(count) {
        runtime.block_on(store.commit(&tenant, writes?)).map_err(|refused| refused.error)?;
    }
    let server = Server::new(TenantResources::new(store, tenant), "https://devices.example/st-mary/fhir");
    println!("{count} components in PostgreSQL");
    for (name, path, query) in CHAINS {
        let request = Request::new("GET", path).query(query);
        let took = page(|| Ok(runtime.block_on(server.handle(&request)).status))?;
        println!("chain, {name:<15} {took:>10.2?} for a page of 50   (at most 20 ms)");
    }
    Ok(())
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: u64) -> Result<(), Box<dyn Error>> {
    Err("it wants the feature `postgres`".into())
}

/// The median of several answers, the first ones not counted.
fn page(mut ask: impl FnMut() -> Result<u16, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for turn in 0..24 {
        let begun = Instant::now();
        if ask()? != 200 {
            return Err("the search is refused".into());
        }
        if turn > 2 {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Devices with their components, some at a time.
fn writes(count: u64) -> impl Iterator<Item = Result<Vec<Write>, Box<dyn Error>>> {
    (0..count).step_by(usize::try_from(AT_ONCE).unwrap_or(1)).map(move |from| {
        let mut writes = Vec::new();
        for number in from..(from + AT_ONCE).min(count) {
            let device = number / PARTS;
            if number % PARTS == 0 {
                let json = format!(
                    r#"{{"resourceType":"Device","id":"d{device}","manufacturer":"Acme","model":"model-{}","lotNumber":"{device}"}}"#,
                    device % MODELS
                );
                writes.push(Device::from_json(json.as_bytes())?.to_write(Precondition::Absent)?);
            }
            let json = format!(
                r#"{{"resourceType":"DeviceComponent","id":"c{number}","identifier":{{"system":"urn:example:handle","value":"{number}"}},"type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"69641","display":"MDC_DEV_PUMP_INFUS_VMD"}}]}},"source":{{"reference":"Device/d{device}"}},"productionSpecification":[{{"specType":{{"coding":[{{"system":"http://hl7.org/fhir/specification-type","code":"software-revision"}}]}},"productionSpec":"4.{number}"}}]}}"#
            );
            writes.push(DeviceComponent::from_json(json.as_bytes())?.to_write(Precondition::Absent)?);
        }
        Ok(writes)
    })
}

/// How many requests are answered in a second by all threads, in the best of several runs.
fn best<S: ResourceStore + ?Sized>(
    server: &Server<S>,
    request: impl Fn(u64) -> (String, String) + Sync,
) -> Result<f64, Box<dyn Error>> {
    let mut best = 0.0_f64;
    for _ in 0..RUNS {
        let begun = Instant::now();
        let done: Result<u64, String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let request = &request;
                    scope.spawn(move || {
                        let (mut done, mut seed) = (0, thread);
                        while begun.elapsed() < RUN {
                            seed = dice(seed);
                            let (path, query) = request(seed >> 33);
                            let answer = now(server.handle(&Request::new("GET", path).query(query)));
                            if answer.status != 200 {
                                return Err(format!("status {}", answer.status));
                            }
                            done += 1;
                        }
                        Ok(done)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread broke off".to_owned())?).sum()
        });
        let done = f64::from(u32::try_from(done?)?);
        best = best.max(done / begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn dice(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// The outcome of a future that waits for nothing but its turn.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
