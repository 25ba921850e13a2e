//! The audit chain of a tenant, read and verified.

use super::lifecycle::PAGE;
use super::update_service::UpdateService;
use crate::audit::{AuditRecord, ChainBreak, ChainHead, Checkpoint, read_lines, verify};
use crate::store::{BlobStore, Ledger, Page, PageToken, ResourceStore, Result, StoreError, Tenant};
use std::num::NonZeroU32;

impl<R, B, L> UpdateService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns one page of the audit chain of a tenant, in order: each record as the line whose digest is in the next
    /// record. Use it to export a chain, or to search a long one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a record is not text; as [`Ledger::scan`].
    pub async fn audit_lines(
        &self,
        tenant: &Tenant,
        limit: NonZeroU32,
        after: Option<&PageToken>,
    ) -> Result<Page<String>> {
        self.session(tenant).chain(limit, after).await
    }

    /// Returns one record of the audit chain as a line, by its index from 0.
    #[cfg(feature = "server")]
    pub(crate) async fn audit_line(&self, tenant: &Tenant, index: u64) -> Result<Option<String>> {
        self.session(tenant).chain_record(index).await
    }

    /// Returns every audit record of a tenant, in the order of the chain. All records are held in memory.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a record cannot be parsed; errors of the ledger.
    pub async fn audit_records(&self, tenant: &Tenant) -> Result<Vec<AuditRecord>> {
        let session = self.session(tenant);
        let (mut lines, mut after) = (String::new(), None);
        loop {
            let page = session.chain(PAGE, after.as_ref()).await?;
            for line in page.items {
                lines.push_str(&line);
                lines.push('\n');
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let unreadable = |error| StoreError::corrupt(format!("the audit chain of `{tenant}`: {error}"));
        read_lines(&lines).map(|(_, record)| record.map_err(unreadable)).collect()
    }

    /// Returns a checkpoint of the audit chain, to be signed at intervals.
    ///
    /// # Errors
    /// Errors of the ledger.
    pub async fn audit_checkpoint(&self, tenant: &Tenant) -> Result<Checkpoint> {
        Ok(self.session(tenant).head().await?.0.checkpoint())
    }

    /// Verifies the audit chain against the checkpoints; the inner error is the first break.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a record cannot be parsed; errors of the ledger.
    pub async fn verify_audit(&self, tenant: &Tenant, known: &[Checkpoint]) -> Result<Result<ChainHead, ChainBreak>> {
        // The end is read first: records added meanwhile are after it.
        let end = self.audit_checkpoint(tenant).await?;
        let records = self.audit_records(tenant).await?;
        let checkpoints: Vec<_> = known.iter().cloned().chain([end]).collect();
        Ok(verify(&ChainHead::start(tenant.clone()), &records, &checkpoints))
    }
}
