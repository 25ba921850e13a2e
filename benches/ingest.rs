//! How long it takes to receive an update of 1 GiB, beside the bare SHA-256 of the same bytes in the same run, and how
//! much memory is asked for meanwhile, beyond the bytes themselves, which are given.
//!
//! ```text
//! cargo bench --bench ingest
//! ```

use allocation_counter::measure;
use bytes::Bytes;
use fhir_devices::backend::{Discard, Memory};
use fhir_devices::service::{Submission, UpdateService};
use fhir_devices::store::{BlobStore, Precondition, Tenant, Tenanted, stream};
use fhir_devices::{Device, DeviceComponent, Valid};
use sha2::{Digest as _, Sha256};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    println!("receiving 1 GiB into   SHA-256 alone    received    ratio    asked for");
    for keeps in [false, true] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let memory = Arc::new(Memory::new());
            let blobs: Arc<dyn BlobStore> = if keeps { memory.clone() } else { Arc::new(Discard::new()) };
            runtime.block_on(fill(&memory))?;
            let address = address.clone();
            let service = UpdateService::new(memory.clone(), blobs, memory).with_urls(move |_, _| address.clone());
            let bare = time(|| {
                let mut hash = Sha256::new();
                (0..CHUNKS).for_each(|_| hash.update(black_box(&chunk)));
                black_box(hash.finalize());
            });
            let mut received = Ok(Duration::ZERO);
            let asked = measure(|| received = receive(&runtime, &service, &chunk));
            rounds.push((received?.as_secs_f64() / bare.as_secs_f64(), bare, asked.bytes_max));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((ratio, bare, asked)) = rounds.get(ROUNDS / 2) {
            let name = if keeps { "Memory" } else { "Discard" };
            let received = bare.mul_f64(*ratio);
            println!("{name:<22}{bare:>14.0?}{received:>12.0?}{ratio:>9.2}{:>9} KiB", asked >> 10);
        }
    }
    Ok(())
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn tenant() -> Result<Tenant, Box<dyn Error>> {
    Ok("bench".parse()?)
}

async fn fill(memory: &Arc<Memory>) -> Result<(), Box<dyn Error>> {
    let store = Tenanted::new(Arc::clone(memory), tenant()?);
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
) -> Result<Duration, Box<dyn Error>> {
    let submission = Submission::new("pump".parse()?, "pump.bin".parse()?, "application/octet-stream".parse()?);
    let body = stream::chunks(std::iter::repeat_n(chunk.clone(), CHUNKS));
    let start = Instant::now();
    runtime.block_on(service.receive(&tenant()?, submission, body))?;
    Ok(start.elapsed())
}
