//! Small updates: received in three commits, with data that is read once.
//!
//! The steps are those of every other upload, in the same order. All bytes are available before the first commit, so
//! the upload is opened and holds its bytes in one commit, and the data read to admit it is still used when they are
//! stored. If anything has changed since it was read, the path of all uploads takes over.

use super::admission::Found;
use super::bytes::Gathered;
use super::entries::{Entries, OPEN, Seen, StepContext, at};
use super::ledger_session::LedgerSession;
use super::signed::{self, Admitted, CheckSubject};
use super::target::{DeviceMembers, Look, Target};
use super::update_service::UpdateService;
use super::{ReceiveError, Received};
use crate::audit::{AuditDraft, Holder};
use crate::manifest::{IngestId, VerifiedManifest};
use crate::primitive::Id;
use crate::store::{BlobRef, BlobStore, Generation, Ledger, ResourceStore, StoreError, Stored as _};
use crate::update::blob;
use crate::update::ingest::{self, Effect, Ingest, Input, Step};

/// The state of a small update after its first commit.
pub(super) struct Begun {
    members: DeviceMembers,
    component: Id,
    found: Found,
    blob: BlobRef,
    generation: Generation,
    is_present: bool,
    /// The record of the bytes as written.
    entry: Seen<Option<blob::Entry>>,
}

impl Begun {
    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Writes the record of a new upload that holds its bytes already. `None` where that does not fit into one commit,
    /// or a record had changed since it was read.
    pub(super) async fn begin_small(
        &self,
        session: &LedgerSession<'_, L>,
        (new, said): (&Ingest, &AuditDraft),
        pointer: Option<&Seen<Option<IngestId>>>,
        manifest: Option<&VerifiedManifest>,
        (admitted, blob): (&mut Option<Admitted>, BlobRef),
    ) -> Result<Option<(Seen<Ingest>, Option<Begun>)>, ReceiveError> {
        let now = session.now();
        if !matches!(
            ingest::step(new, &Input::BytesReceived { blob }, now),
            Ok(Step::Perform(Effect::HoldBytes { .. }))
        ) {
            return Ok(None);
        }
        let entry = session.newest(&blob.digest).await.map_err(ReceiveError::Ledger)?;
        if let Some(known) = entry.value.as_ref().filter(|known| known.is_present())
            && !self.is_whole(session, known).await?
        {
            return Ok(None);
        }
        let fresh = Generation(self.ids.next_id().map_err(ReceiveError::Ledger)?.0.max(1));
        let (by, max_holders) = (Holder::Ingest(new.id), self.max_holders);
        let held = blob::Input::Held { blob, by, fresh, max_holders, actor: None };
        let Ok(blob::Step::Transition(to)) = blob::step(entry.value.as_ref(), &held, now) else { return Ok(None) };
        let (generation, is_present) = (to.entry.generation, to.entry.is_present());
        let Ok(Step::Transition(acquired)) = ingest::step(new, &Input::BytesHeld { blob, generation }, now) else {
            return Ok(None);
        };
        let mut entries = Entries::default();
        if let Some(pointer) = pointer {
            entries.pointer(pointer, new.id);
        }
        if let Some(verified) = manifest {
            signed::keep(session, &mut entries, new.id, verified).await.map_err(ReceiveError::Ledger)?;
        }
        entries.opened(new, said.clone());
        let place = entries.changes.len();
        entries.blob(&entry, &to);
        let next = entries.stepped(new, acquired, StepContext::default());
        let key = at(OPEN, &new.id.to_string()).map_err(ReceiveError::Ledger)?;
        let mut seen = Seen { key, revision: None, value: new.clone() };
        entries.ingest_as(&seen, next).map_err(ReceiveError::Ledger)?;
        let Some(made) = session.write_step_made(&mut seen, entries).await.map_err(ReceiveError::Ledger)? else {
            return Ok(None);
        };
        // Where the answer was lost, the written revision is not known.
        let begun = made.get(place).cloned().zip(admitted.take()).and_then(|(revision, admitted)| {
            let Admitted { members, component, found } = admitted;
            let entry = Seen { key: entry.key, revision: Some(revision), value: Some(to.entry) };
            let found = found?.of_upload(new.id)?;
            Some(Begun { members, component, found, blob, generation, is_present, entry })
        });
        Ok(Some((seen, begun)))
    }

    /// Stores the bytes of a small update, and makes the component refer to them. `None` where something had changed
    /// since it was read: the upload is continued from its current state.
    pub(super) async fn finish_small(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        (begun, body): (Begun, Gathered),
        target: &Target<'_, R>,
        manifest: Option<&VerifiedManifest>,
    ) -> Result<Option<Received>, ReceiveError> {
        let Begun { mut members, mut component, mut found, blob, generation, is_present, entry } = begun;
        if !is_present {
            let mut writer = self.blobs.begin(session.tenant()).await.map_err(ReceiveError::Blobs)?;
            for chunk in body.into_chunks() {
                if let Err(error) = writer.write(chunk).await {
                    // The caller needs the first error; the abort only tidies up.
                    let _ = writer.abort().await;
                    return Err(super::bytes::of_blobs(error));
                }
            }
            self.commit_bytes(session, writer, blob, generation).await?;
        }
        if target.whole {
            // Other components are checked too, and may have changed since.
            let Ok(Look::Meant(meant)) = target.look(seen.value.id).await else { return Ok(None) };
            (component, members) = match meant.seen.0.logical_id().cloned() {
                Some(id) => (id, meant.device_members),
                None => return Ok(None),
            };
            let (intent, id) = (&seen.value.intent, Some(seen.value.id));
            let look = Found::look(session, &meant.seen.0, &component, intent, id).await;
            found = look.map_err(ReceiveError::Ledger)?;
        }
        let now = session.now();
        let mut entries = Entries::default();
        let committed = ingest::step(&seen.value, &Input::BytesCommitted { generation }, now);
        let Ok(Step::Transition(to)) = committed else { return Ok(None) };
        match blob::step(entry.value.as_ref(), &blob::Input::Committed { generation }, now) {
            Ok(blob::Step::Transition(to)) => entries.blob(&entry, &to),
            Ok(blob::Step::Unchanged) => {}
            Err(_) => return Ok(None),
        }
        let stored = entries.stepped(&seen.value, to, StepContext::default());
        let subject = CheckSubject { device_members: &members, device: target.device, component: &component };
        let Some(read) = members.seen(&component) else { return Ok(None) };
        match self.check_manifest(session, &stored, subject, found.before(), (manifest, now)).await {
            Ok(reasons) if reasons.is_empty() => {}
            Ok(_) | Err(_) => return Ok(None),
        }
        let (accepted, claim, reported) = found.parts();
        let version = read.1.version;
        let input = Input::TargetRead { component: component.clone(), version, accepted, claim, reported };
        let Ok(Step::Transition(to)) = ingest::step(&stored, &input, now) else { return Ok(None) };
        let Some(effect @ Effect::WriteReference { .. }) = to.effect.clone() else { return Ok(None) };
        found.accept(&mut entries, &to);
        let targeted = entries.stepped(&stored, to, StepContext::default());
        entries.ingest_as(seen, targeted).map_err(ReceiveError::Ledger)?;
        if !session.write_step(seen, entries).await.map_err(ReceiveError::Ledger)? {
            return Ok(None);
        }
        self.write_reference(session, seen, target, read, effect).await
    }

    /// Makes bytes visible under their key.
    pub(super) async fn commit_bytes(
        &self,
        session: &LedgerSession<'_, L>,
        writer: Box<dyn crate::store::BlobWriter>,
        blob: BlobRef,
        generation: Generation,
    ) -> Result<(), ReceiveError> {
        match writer.commit(blob, generation).await {
            Ok(_) => Ok(()),
            Err(lost) if lost.applied() == crate::store::Applied::Unknown => {
                match self.blobs.head(session.tenant(), &blob.key(generation)).await {
                    Ok(found) if found == blob => Ok(()),
                    _ => Err(ReceiveError::Blobs(lost)),
                }
            }
            Err(error) => Err(super::bytes::of_blobs(error)),
        }
    }

    /// Marks an upload as attached, and the one that it replaced as superseded, in one commit. `false` where that is
    /// not possible.
    pub(super) async fn attach_marked(
        &self,
        session: &LedgerSession<'_, L>,
        seen: &mut Seen<Ingest>,
        (earlier, restored): (IngestId, u32),
        written: &Input,
    ) -> Result<bool, StoreError> {
        let by = seen.value.id;
        let earlier = session.ingest_at_rest(earlier).await?;
        let Some(earlier) = earlier.filter(|earlier| earlier.value.state.is_end()) else { return Ok(false) };
        let now = session.now();
        let superseded = ingest::step(&earlier.value, &Input::Superseded { by, restored }, now);
        let (Ok(Step::Transition(superseded)), Ok(Step::Transition(attached))) =
            (superseded, ingest::step(&seen.value, written, now))
        else {
            return Ok(false);
        };
        let mut entries = Entries::default();
        entries.ingest(&earlier, superseded, StepContext::default())?;
        entries.ingest(seen, attached, StepContext::default())?;
        session.write_step(seen, entries).await
    }
}
