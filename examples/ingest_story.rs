//! The life of two updates, from the form to the deletion of their bytes, with their audit chain.
//!
//! ```text
//! cargo run --release --example ingest_story
//! ```
//!
//! Everything is in memory, with its own clock and ids, so that the output is the same each time. The signature is a
//! keyed digest, for which the example needs no feature; `Ed25519Keys` of the feature `ed25519` is for real keys.

#[path = "common/story.rs"]
mod story;

use fhir_devices::audit::{AuditRecord, ChainHead, provenance, verify};
use fhir_devices::backend::Memory;
use fhir_devices::containment::Selector;
use fhir_devices::manifest::{KeyId, Signature, SignatureContext, SignatureError, SignedManifest, Verifier};
use fhir_devices::nomenclature::Level;
use fhir_devices::service::{IngestId, ReceiveError, SignedSubmission, Submission, UpdateService};
use fhir_devices::store::{Sha256, Tenant, TenantResources, stream};
use fhir_devices::update::available;
use fhir_devices::update::replay;
use fhir_devices::{Device, DeviceComponent, Valid};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use story::say;
use time::OffsetDateTime;
use time::macros::datetime;

type Service = UpdateService<Memory, Memory, Memory>;

const USAGE: &str = "usage: ingest_story

Tells the life of two updates, from the form to the end of their bytes, and what the audit chain says of it. It takes no
arguments, and keeps everything in memory.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match story::arguments(USAGE) {
        Some(status) => status,
        None => story::ended(run().await),
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let tenant: Tenant = "st-mary".parse()?;
    let memory = Arc::new(Memory::new().with_base_url("https://cdn.example".parse()?).with_clock(clock()));
    let resources = TenantResources::new(Arc::clone(&memory), tenant.clone());
    fill(&resources).await?;
    let names = AtomicU64::new(0);
    let service = UpdateService::new(Arc::clone(&memory), Arc::clone(&memory), Arc::clone(&memory))?
        .with_clock(clock())
        .with_verifier(Shared)
        .with_ids(move || IngestId(names.fetch_add(1, Ordering::Relaxed).wrapping_add(1).into()));

    say!("A form brings version 2.4 for the MDS of the pump:");
    let old = receive(&service, &tenant, "2.4", "the firmware").await?;
    show(&resources).await?;

    say!("The same form comes again, with the same key:");
    let again = receive(&service, &tenant, "2.4", "the firmware").await?;
    say!("  it is upload {again} once more: {}", again == old);

    say!("Version 2.5 comes with a manifest that somebody changed:");
    refused(receive_signed(&service, &tenant, "1.2", Shared::sign(&manifest("1.1"))?).await)?;

    say!("The manifest is as it was signed, and wants a later bootloader than the pump has:");
    refused(receive_signed(&service, &tenant, "1.3", Shared::sign(&manifest("1.3"))?).await)?;

    say!("It wants one that the pump has, and takes the place of 2.4:");
    let new = receive_signed(&service, &tenant, "1.2", Shared::sign(&manifest("1.2"))?).await?;
    show(&resources).await?;

    say!("2.5 loses alarms, and is withdrawn:");
    let by = "biomed/j.doe".parse()?;
    let withdrawn = service.withdraw(&tenant, new, by, "2.5 loses alarms".parse()?).await?;
    say!("  upload {new} is {}", withdrawn.state.name());
    show(&resources).await?;
    say!("It is sent again with the same key:");
    refused(receive_signed(&service, &tenant, "1.2", Shared::sign(&manifest("1.2"))?).await)?;

    say!("2.4 is not kept either, and the bytes of both are deleted:");
    service.retire(&tenant, old, None).await?;
    let collected = service.collect(&tenant, Duration::ZERO).await?;
    let swept = service.sweep(&tenant).await?;
    say!("  {} blobs deleted, {} left behind", collected.deleted, swept.deleted + swept.kept);

    say!("What the audit chain says:");
    let records = service.audit_records(&tenant).await?;
    records.iter().try_for_each(tell)?;
    let made = records.iter().filter_map(provenance).count();
    say!("  {made} of the records tell of a version of the component, as Provenance");

    let start = ChainHead::start(tenant.clone());
    let checkpoint = service.audit_checkpoint(&tenant).await?;
    let head = verify(&start, &records, std::slice::from_ref(&checkpoint))?;
    say!("The chain of {} records is whole, and ends in {:.16}", head.count(), head.root().to_string());
    let replayed = replay(&records)?;
    for id in [old, new] {
        let told = replayed.uploads.get(&id).ok_or("an upload without a record")?;
        say!("  upload {id} is {} by its records: {}", told.name(), *told == service.upload(&tenant, id).await?.state);
    }

    let mut changed = records;
    if let Some(record) = changed.iter_mut().find(|record| record.draft.actor.is_some()) {
        record.draft.actor = Some("somebody-else".parse()?);
    }
    match verify(&start, &changed, &[checkpoint]) {
        Ok(_) => say!("A change was not noticed"),
        Err(broken) => say!("Whoever writes another name into it is found out: {broken}"),
    }
    Ok(())
}

/// Returns a clock that advances by a second at each call.
fn clock() -> impl Fn() -> OffsetDateTime {
    let seconds = AtomicI64::new(0);
    move || datetime!(2017-04-19 10:00 UTC) + time::Duration::seconds(seconds.fetch_add(1, Ordering::Relaxed))
}

async fn fill(resources: &TenantResources<Memory>) -> Result<(), Box<dyn Error>> {
    let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump-7","model":"Vista 900"}"#)?;
    resources.create(&Valid::new(pump)?).await?;
    let mds = DeviceComponent::from_json(
        br#"{"resourceType":"DeviceComponent","id":"mds","identifier":{"value":"1"},"source":{"reference":"Device/pump-7"},
            "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985","display":"MDC_DEV_PUMP_INFUS_MDS"}]},
            "productionSpecification":[{"specType":{"coding":[{"code":"firmware-revision"}]},"productionSpec":"1.2"}]}"#,
    )?;
    resources.create(&Valid::new(mds)?).await?;
    Ok(())
}

async fn receive(
    service: &Service,
    tenant: &Tenant,
    version: &str,
    file: &'static str,
) -> Result<IngestId, Box<dyn Error>> {
    let name = format!("pump-{version}.bin");
    let mut form = Submission::new("pump-7".parse()?, name.parse()?, "application/octet-stream".parse()?);
    form.target = Selector::Level(Level::Mds);
    form.version = Some(version.parse()?);
    form.idempotency_key = Some(format!("pump-{version}").parse()?);
    Ok(service.receive(tenant, form, stream::once(file)).await?.update.id)
}

/// Returns the manufacturer's manifest of version 2.5: its target, and the bootloader that it requires.
fn manifest(bootloader: &str) -> String {
    let sha256 = Sha256::of(b"the next firmware");
    format!(
        r#"{{"format":1,"identity":{{"provider":"acme","name":"pump/main","version":"2.5","scheme":"dotted"}},"sequence":25,
        "target":{{"level":"mds"}},"reportedAs":"software","compatibility":[{{"model":"Vista 900"}}],"requires":[{{"scope":
        "self","spec":"firmware","range":{{"scheme":"dotted","atLeast":"{bootloader}"}}}}],"artifacts":[{{"name":
        "pump-2.5.bin","mediaType":"application/octet-stream","size":17,"sha256":"{sha256}"}}],"urgency":"routine"}}"#
    )
}

async fn receive_signed(
    service: &Service,
    tenant: &Tenant,
    bootloader: &str,
    signature: Signature,
) -> Result<IngestId, Box<dyn Error>> {
    let manifest = SignedManifest::new(manifest(bootloader), vec![signature]);
    let mut form = SignedSubmission::new("pump-7".parse()?, "acme".parse()?, manifest);
    form.idempotency_key = Some("pump-2.5".parse()?);
    Ok(service.receive_signed(tenant, form, stream::once("the next firmware")).await?.update.id)
}

/// Prints why an upload was refused.
fn refused(answer: Result<IngestId, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let Err(error) = answer else { return Err("it was taken".into()) };
    say!("  it is refused: {error}");
    if let Some(ReceiveError::Manifest(why)) = error.downcast_ref()
        && let Some(why) = why.source()
    {
        say!("    {why}");
    }
    Ok(())
}

/// A secret shared by the manufacturer and the hospital; the signature is a digest with it (HMAC-SHA-256).
struct Shared;

impl Shared {
    const SECRET: [u8; 64] = [7; 64];
    const KEY: &str = "acme-and-st-mary";

    fn digest(bytes: &[u8]) -> Sha256 {
        let padded = |with: u8| Self::SECRET.map(|byte| byte ^ with);
        let inner = Sha256::of(&[&padded(0x36), bytes].concat());
        Sha256::of(&[&padded(0x5c)[..], &inner.0].concat())
    }

    fn sign(manifest: &str) -> Result<Signature, Box<dyn Error>> {
        Ok(Signature { key: Self::KEY.parse()?, bytes: Self::digest(manifest.as_bytes()).0.to_vec() })
    }
}

impl Verifier for Shared {
    fn verify(
        &self,
        bytes: &[u8],
        signatures: &[Signature],
        context: SignatureContext<'_>,
    ) -> Result<Vec<KeyId>, SignatureError> {
        let ours = |one: &&Signature| one.key == Self::KEY && context.provider == "acme";
        let Some(Signature { key, bytes: signature }) = signatures.iter().find(ours) else {
            return Err(SignatureError::NotAllowed { provider: context.provider.clone() });
        };
        // Compared by digest, so that the time reveals nothing about the signature.
        if Sha256::of(signature) != Sha256::of(&Self::digest(bytes).0) {
            return Err(SignatureError::Wrong { key: key.clone() });
        }
        Ok(vec![key.clone()])
    }
}

/// Prints the updates that the component states.
async fn show(resources: &TenantResources<Memory>) -> Result<(), Box<dyn Error>> {
    let (component, version) = resources.get::<DeviceComponent>("mds").await?;
    say!("  DeviceComponent/mds, version {}, says:", version.version);
    for update in available(&component) {
        let update = update?;
        let name = update.version.map(|version| version.to_string()).unwrap_or_default();
        say!("    {name} is {}, {} bytes, sha-256 {:.16}", update.status, update.size, update.sha256.to_string());
    }
    Ok(())
}

/// Prints one record as a line.
fn tell(record: &AuditRecord) -> std::io::Result<()> {
    let what = &record.draft;
    let of = match (what.ingest, what.blob) {
        (Some(id), _) => format!("upload {}", id.0),
        (None, Some(blob)) => format!("bytes {:.8}", blob.digest.to_string()),
        (None, None) => String::new(),
    };
    let from = what.from.map_or("nothing", |from| from.as_str());
    let who = what.actor.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
    let why = what.comment.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
    let found = record.context.verification.as_ref().filter(|_| what.from.is_none());
    let keys = found.map(|found| found.keys.iter().map(|key| format!(", signed by {key}")).collect::<String>());
    let keys = keys.unwrap_or_default();
    say!("  {:>2} {} {of} {}: {from} to {}{who}{why}{keys}", record.index, what.at.time(), what.action, what.to);
    Ok(())
}
