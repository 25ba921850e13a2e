//! Lowering a sequence number that is too high.

use super::entries::Entries;
use super::ledger_session::Written;
use super::lifecycle::PAGE;
use super::update_service::UpdateService;
use crate::audit::{Action, AuditDraft, StateName};
use crate::manifest::{ActorId, IngestId, Note};
use crate::primitive::{Id, Text};
use crate::store::{BlobStore, Ledger, ResourceStore, StoreError, Tenant};
use crate::update::ingest::State;
use crate::update::{Accepted, NotLowered, lower};

/// The error of lowering the highest accepted sequence number of a component.
///
/// ```
/// use fhir_devices::service::SequenceError;
/// use fhir_devices::update::NotLowered;
/// let error = SequenceError::from(NotLowered { to: 7, highest: Some(6) });
/// assert_eq!(error.to_string(), "the highest accepted sequence number is 6, wanted one below that instead of 7");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// The number is not lower than the accepted one.
    #[error(transparent)]
    NotLowered(#[from] NotLowered),
    /// An upload with an accepted number is on its way to the component, and would arrive after the lowering.
    #[error(
        "the upload `{upload}` is on its way to the component `{component}`, wanted it attached or withdrawn first"
    )]
    UnderWay {
        /// The component.
        component: Id,
        /// The upload.
        upload: IngestId,
    },
    /// Other writers changed the accepted numbers at each attempt.
    #[error("what the component `{component}` accepted changed during each of {attempts} attempts")]
    Contended {
        /// The component.
        component: Id,
        /// The number of attempts.
        attempts: u32,
    },
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[from] StoreError),
}

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns the sequence numbers that a component accepted, by provider.
    ///
    /// # Errors
    /// As [`Ledger::get`].
    pub async fn accepted(&self, tenant: &Tenant, component: &Id) -> Result<Accepted, StoreError> {
        Ok(self.session(tenant).accepted(component).await?.value)
    }

    /// Lowers the highest sequence number that a component accepted from a provider, so that numbers above `to` are
    /// accepted again: the correction of a number that was too high by mistake. `None` stands for all updates without a
    /// provider, which includes those without a manifest.
    ///
    /// Attached updates stay attached. The audit chain records the actor and the reason, in the same write.
    ///
    /// # Errors
    /// The conditions of [`SequenceError`].
    ///
    /// ```
    /// # use fhir_devices::{backend::Memory, service::{SequenceError, UpdateService}, store::Tenant};
    /// # async fn example(service: UpdateService<Memory, Memory, Memory>, tenant: Tenant) -> Result<(), Box<dyn std::error::Error>> {
    /// let (by, why) = ("biomed/j.doe".parse()?, "somebody typed a date".parse()?);
    /// let accepted = service.lower_sequence(&tenant, &"pump".parse()?, None, 6, by, why).await?;
    /// assert_eq!(accepted.of(None).unwrap().highest, 6);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lower_sequence(
        &self,
        tenant: &Tenant,
        component: &Id,
        provider: Option<&Text>,
        to: u64,
        by: ActorId,
        why: Note,
    ) -> Result<Accepted, SequenceError> {
        let session = self.session(tenant);
        for _ in 0..self.max_attempts {
            // In this order: an upload accepted after this changes the record, and the write fails.
            let seen = session.accepted(component).await?;
            let now = session.now();
            let (next, leave) = lower(seen.value.of(provider), to, &by, &why, now)?;
            let mut after = None;
            loop {
                let page = session.unfinished_records(PAGE, after.as_ref()).await?;
                for (upload, record) in page.items {
                    let record = record?.value;
                    let is_fixed =
                        matches!(&record.state, State::Stored { target: Some(fixed), .. } if fixed == component);
                    if is_fixed && record.intent.sequence.is_some() && record.intent.provider.as_ref() == provider {
                        return Err(SequenceError::UnderWay { component: component.clone(), upload });
                    }
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            let mut said =
                AuditDraft::new(now, Action::SequenceLowered, Some(StateName::Accepted), StateName::Accepted);
            (said.actor, said.comment) = (Some(by.clone()), Some(leave.reason.clone()));
            (said.component, said.provider) = (Some(component.clone()), provider.cloned());
            (said.sequence, said.downgrade) = (Some(to), Some(Box::new(leave)));
            let mut accepted = seen.value.clone();
            accepted.put(next);
            let mut entries = Entries::default();
            entries.lowered(&seen, &accepted, said);
            match session.write(entries).await? {
                Written::As(_) | Written::CommittedReplyLost => return Ok(accepted),
                Written::Not => {}
            }
        }
        Err(SequenceError::Contended { component: component.clone(), attempts: self.max_attempts })
    }
}
