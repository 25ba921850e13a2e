//! Files damaged by a disk: not served, marked, and replaced by sending the same bytes again.

use super::{block_on, fill, firmware, keyed, ours, read, to_ecg, updates};
use fhir_devices::audit::Action;
use fhir_devices::backend::{Files, Memory};
use fhir_devices::service::{Received, Submission, UpdateService};
use fhir_devices::store::*;
use fhir_devices::update::replay;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Service = UpdateService<Memory, Files, Memory>;

/// A service over a folder of files.
struct Place {
    folder: PathBuf,
    memory: Arc<Memory>,
    service: Service,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fhir-devices-damage-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let memory = Arc::new(Memory::new());
        fill(&*memory);
        let files = Arc::new(Files::open(&folder).unwrap());
        let service = UpdateService::new_with_urls(memory.clone(), files, memory.clone(), |tenant, key| {
            format!("https://files.example/{tenant}/{key}").parse().unwrap()
        });
        Self { folder, memory, service }
    }

    fn receive(&self, submission: Submission) -> Received {
        block_on(self.service.receive(&ours(), submission, firmware())).unwrap()
    }

    fn key(&self, received: &Received) -> BlobKey {
        block_on(self.service.upload(&ours(), received.update.id)).unwrap().state.key().unwrap()
    }

    /// Changes the bytes of a file on the disk.
    fn damage(&self, key: &BlobKey, change: impl Fn(&mut Vec<u8>)) {
        let path = find(&self.folder, &key.generation.to_string()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn download(&self, key: &BlobKey, range: Option<std::ops::Range<u64>>) -> Result<bytes::Bytes> {
        block_on(async {
            let read = self.service.download(&ours(), key, range).await?;
            stream::collect(read.body, 1_000).await
        })
    }

    fn is_damaged(&self, key: &BlobKey) -> bool {
        block_on(self.service.known_damage(&ours(), key)).unwrap().is_some()
    }

    fn actions(&self) -> Vec<Action> {
        let records = block_on(self.service.audit_records(&ours())).unwrap();
        replay(&records).unwrap();
        records.iter().map(|record| record.draft.action).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { path.to_string_lossy().contains(name).then_some(path) }
    })
}

fn cut(bytes: &mut Vec<u8>) {
    bytes.truncate(1);
}

#[allow(clippy::ptr_arg, reason = "it stands beside `cut`, which needs a vector")]
fn flip(bytes: &mut Vec<u8>) {
    bytes[3] ^= 1;
}

#[test]
fn truncated_file_is_refused_on_open() {
    let place = Place::new("cut");
    let key = place.key(&place.receive(to_ecg()));
    assert_eq!(place.download(&key, None).unwrap(), "firmware");
    place.damage(&key, cut);
    assert!(matches!(block_on(place.service.inspect(&ours(), &key)), Err(StoreError::Corrupt { .. })));
    for range in [None, Some(0..1)] {
        assert!(matches!(place.download(&key, range), Err(StoreError::Corrupt { .. })));
    }
    assert!(place.is_damaged(&key));
    assert_eq!(place.actions().iter().filter(|action| **action == Action::Damaged).count(), 1);
}

#[test]
fn changed_byte_breaks_off_the_read() {
    let place = Place::new("flip");
    let key = place.key(&place.receive(to_ecg()));
    place.damage(&key, flip);
    let (mut came, mut failed) = (0, None);
    block_on(async {
        let mut read = place.service.download(&ours(), &key, None).await.unwrap();
        assert_eq!(read.range, 0..8);
        while let Some(chunk) = stream::next(&mut read.body).await {
            match chunk {
                Ok(chunk) => came += chunk.len(),
                Err(error) => failed = Some(error),
            }
        }
    });
    assert!(came < 8, "the reader has {came} bytes and takes them for the file");
    assert!(matches!(failed, Some(StoreError::Corrupt { .. })));
    // From then on it is refused at once, parts of it too.
    assert!(place.is_damaged(&key) && place.actions().contains(&Action::Damaged));
    assert!(matches!(place.download(&key, Some(0..2)), Err(StoreError::Corrupt { .. })));
    assert!(matches!(block_on(place.service.inspect(&ours(), &key)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn scrub_marks_damaged_and_clears_intact_files() {
    let place = Place::new("scrub");
    let key = place.key(&place.receive(to_ecg()));
    place.damage(&key, flip);
    assert_eq!(block_on(place.service.scrub(&ours(), |_| {})).unwrap().len(), 1);
    assert!(place.is_damaged(&key));
    // Somebody put the file back from a backup.
    place.damage(&key, flip);
    assert!(block_on(place.service.scrub(&ours(), |_| {})).unwrap().is_empty());
    assert!(!place.is_damaged(&key));
    assert_eq!(place.download(&key, None).unwrap(), "firmware");
    assert!(place.actions().contains(&Action::DamageCleared));
}

#[test]
fn resent_upload_replaces_a_damaged_file() {
    let place = Place::new("again");
    let first = place.receive(keyed("k"));
    let key = place.key(&first);
    place.damage(&key, flip);
    block_on(place.service.scrub(&ours(), |_| {})).unwrap();
    let again = place.receive(keyed("k"));
    assert_eq!((again.replayed, again.update.id), (true, first.update.id));
    let moved = place.key(&first);
    assert_eq!(moved.digest, key.digest);
    assert_ne!(moved.generation, key.generation, "no name comes twice");
    assert_eq!(place.download(&moved, None).unwrap(), "firmware");
    let said = updates(&read(&place.memory, "ecg").0);
    assert_eq!(said.len(), 1);
    assert!(said[0].file.url.as_str().ends_with(&moved.to_string()), "{}", said[0].file.url.as_str());
    assert!(!place.is_damaged(&key));
    assert!(place.actions().contains(&Action::Repaired));
    // Nobody holds the damaged copy, and it is collected.
    assert_eq!(block_on(place.service.collect(&ours(), Duration::ZERO)).unwrap().deleted, 1);
    assert!(block_on(place.service.verify_audit(&ours(), &[])).unwrap().is_ok());
}

#[test]
fn other_upload_of_same_bytes_replaces_a_damaged_file() {
    let place = Place::new("other");
    let first = place.receive(to_ecg());
    let key = place.key(&first);
    place.damage(&key, cut);
    block_on(place.service.scrub(&ours(), |_| {})).unwrap();
    let second = place.receive(to_ecg());
    assert_ne!(place.key(&second), key, "a damaged copy is not shared");
    let repaired = block_on(place.service.repair(&ours())).unwrap();
    assert_eq!((repaired.moved, repaired.cleared, repaired.waiting), (1, 1, 0));
    assert_eq!(place.key(&first), place.key(&second));
    assert_eq!(place.download(&place.key(&first), None).unwrap(), "firmware");
    for update in updates(&read(&place.memory, "ecg").0) {
        assert!(update.file.url.as_str().ends_with(&place.key(&second).to_string()));
    }
    assert_eq!(block_on(place.service.repair(&ours())).unwrap(), fhir_devices::service::Repaired::default());
}

#[test]
fn damaged_file_waits_for_its_bytes() {
    let place = Place::new("waits");
    let key = place.key(&place.receive(to_ecg()));
    place.damage(&key, cut);
    block_on(place.service.scrub(&ours(), |_| {})).unwrap();
    assert_eq!(block_on(place.service.repair(&ours())).unwrap().waiting, 1);
    assert!(place.is_damaged(&key));
}

#[test]
fn scrub_delay_follows_the_chunk_size() {
    let place = Place::new("pace");
    place.receive(to_ecg());
    let told = std::sync::Mutex::new(Vec::new());
    let waits = AtomicU64::new(0);
    let pace = |bytes| {
        told.lock().unwrap().push(bytes);
        async { _ = waits.fetch_add(1, Ordering::Relaxed) }
    };
    let (damages, done) = block_on(place.service.scrub_at_pace(&ours(), pace)).unwrap();
    assert!(damages.is_empty());
    assert_eq!((done.blobs, done.bytes), (1, 8));
    let told = told.into_inner().unwrap();
    assert_eq!((told.iter().sum::<u64>(), told.len() as u64), (8, waits.into_inner()));
}

#[test]
fn damaged_files_are_listed_until_replaced() {
    let place = Place::new("listed");
    let list = || block_on(place.service.damaged_files(&ours(), NonZeroU32::MAX, None)).unwrap().items;
    let key = place.key(&place.receive(keyed("k")));
    assert!(list().is_empty());
    place.damage(&key, cut);
    block_on(place.service.scrub(&ours(), |_| {})).unwrap();
    let [(listed, damage)] = list().try_into().unwrap();
    assert_eq!((listed, Some(damage)), (key, block_on(place.service.known_damage(&ours(), &key)).unwrap()));
    place.receive(keyed("k"));
    assert!(list().is_empty());
}

#[test]
fn updates_of_a_damaged_file_are_marked_until_it_is_replaced() {
    let place = Place::new("marked");
    let received = place.receive(keyed("k"));
    let key = place.key(&received);
    let shown = || {
        let (mut component, version) = read(&place.memory, "ecg");
        let updates = block_on(place.service.updates_of(&ours(), &component)).unwrap();
        block_on(place.service.show_known_updates(&ours(), &mut component)).unwrap();
        assert_eq!(self::updates(&component), updates);
        (updates.iter().map(|update| update.damaged).collect::<Vec<_>>(), version.version)
    };
    let (whole, version) = shown();
    assert_eq!(whole, [false]);
    place.damage(&key, flip);
    block_on(place.service.scrub(&ours(), |_| {})).unwrap();
    assert_eq!(shown(), (vec![true], version));
    // The reconciler takes the mark for no change of the component.
    let mut position = Some(fhir_devices::service::ReconcilePosition::default());
    while let Some(from) = position {
        let found = block_on(place.service.reconcile(&ours(), NonZeroU32::MAX, from)).unwrap();
        assert!(found.reattached.is_empty() && found.failed.is_empty(), "{found:?}");
        position = found.next;
    }
    assert_eq!(shown(), (vec![true], version));
    place.receive(keyed("k"));
    assert_eq!(shown().0, [false]);
}
