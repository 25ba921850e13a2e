//! How fast an update of 1 GiB is received by the service, with its records and their audit chain in the ledger, beside the
//! bare SHA-256 of the same bytes in the same run: by the clock, and by the work of the thread, since a machine may be
//! shared. And how much memory is asked for meanwhile, beyond the bytes themselves, which are given.
//!
//! ```text
//! cargo bench --bench ingest
//! ```

#[path = "common/taken.rs"]
mod taken;

use allocation_counter::measure;
use bytes::Bytes;
use fhir_devices::backend::{Discard, Memory};
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::{BlobStore, Precondition, Tenant, TenantResources, stream};
use fhir_devices::{Device, DeviceComponent, Valid};
use sha2::{Digest as _, Sha256};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use taken::{Start, Taken};
use tokio::runtime::Runtime;
use url::Url;

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = (1 << 30) / CHUNK;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds, and an unoptimised hash takes minutes.
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let address = Url::parse("https://cdn.example/update")?;
    let chunk = Bytes::from(vec![0x5a; CHUNK]);
    println!("receiving 1 GiB into   SHA-256 alone    received    of its speed    by work    asked for");
    for keeps in [false, true] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let memory = Arc::new(Memory::new());
            let blobs: Arc<dyn BlobStore> = if keeps { memory.clone() } else { Arc::new(Discard::new()) };
            runtime.block_on(fill(&memory))?;
            let address = address.clone();
            let service = UpdateService::new_with_urls(memory.clone(), blobs, memory, move |_, _| address.clone());
            let bare = time(|| {
                let mut hash = Sha256::new();
                (0..CHUNKS).for_each(|_| hash.update(black_box(&chunk)));
                black_box(hash.finalize());
            });
            let mut received = Ok(bare);
            let asked = measure(|| received = receive(&runtime, &service, &chunk));
            let records = runtime.block_on(service.audit_records(&tenant()?))?;
            assert_eq!(records.len(), 7, "all of it is recorded");
            rounds.push((bare, received?, asked.bytes_max));
        }
        let percent = |part: fn(&Taken) -> Duration| {
            let speed = |(bare, received, _): &(Taken, Taken, u64)| {
                100.0 * part(bare).as_secs_f64() / part(received).as_secs_f64()
            };
            let mut speeds: Vec<f64> = rounds.iter().map(speed).collect();
            speeds.sort_by(f64::total_cmp);
            speeds.get(ROUNDS / 2).copied().unwrap_or_default()
        };
        let (passed, worked) = (percent(|taken| taken.passed), percent(|taken| taken.worked));
        let least = |of: fn(&(Taken, Taken, u64)) -> Duration| rounds.iter().map(of).min().unwrap_or_default();
        let (bare, received) = (least(|round| round.0.passed), least(|round| round.1.passed));
        let asked = rounds.iter().map(|round| round.2).max().unwrap_or_default() >> 10;
        let name = if keeps { "Memory" } else { "Discard" };
        println!("{name:<22}{bare:>14.0?}{received:>12.0?}{passed:>13.0} %{worked:>9.0} %{asked:>9} KiB");
    }
    Ok(())
}

fn time(work: impl FnOnce()) -> Taken {
    let start = Start::now();
    work();
    start.taken()
}

fn tenant() -> Result<Tenant, Box<dyn Error>> {
    Ok("bench".parse()?)
}

async fn fill(memory: &Arc<Memory>) -> Result<(), Box<dyn Error>> {
    let store = TenantResources::new(Arc::clone(memory), tenant()?);
    let device = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
    store.put(&Valid::new(device)?, Precondition::Absent).await?;
    let component = DeviceComponent::from_json(
        br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"type":{"text":"pump"},
            "source":{"reference":"Device/pump"}}"#,
    )?;
    store.put(&Valid::new(component)?, Precondition::Absent).await?;
    Ok(())
}

fn receive(
    runtime: &Runtime,
    service: &UpdateService<Memory, dyn BlobStore, Memory>,
    chunk: &Bytes,
) -> Result<Taken, Box<dyn Error>> {
    let submission = Submission::new("pump".parse()?, "pump.bin".parse()?, "application/octet-stream".parse()?);
    let body = stream::chunks(std::iter::repeat_n(chunk.clone(), CHUNKS));
    let start = Start::now();
    runtime.block_on(service.receive(&tenant()?, submission, body))?;
    Ok(start.taken())
}
