//! Restoring the ledger, the update files or both from a backup.
//!
//! # Ownership of files
//!
//! The ledger of each tenant has a *store id*, and its store of update files has the same id, as a
//! [marker](crate::store::StoreId). Both are written at the first use. Only a service whose ledger and store have the
//! same id accepts uploads, collects or sweeps. Otherwise all of these are refused by a
//! [`StoreMismatch`](crate::service::StoreMismatch) with what was found, and nothing is deleted.
//!
//! | finding | cause | action |
//! |---|---|---|
//! | the ledger is empty, the store has files | the ledger was lost, or is a different one | restore the ledger; without a backup, adopt the store |
//! | ledger and store have different ids | one of them belongs to another pair | give the service the two that belong together |
//! | the store has no id, the ledger has one | the files were lost, or the store is a different one | restore the files; without a backup, adopt the store |
//! | the store has two ids | two services use one store | stop the other one, then adopt the store |
//!
//! The example `update_service` checks every tenant that it knows before it serves. On a mismatch it ends with exit
//! status 4 and the words above.
//!
//! # Order of a restore
//!
//! 1. Stop every service that uses the ledger or the store.
//! 2. Restore the ledger. An older ledger is no mismatch: it has the same id.
//! 3. Restore the files. Files unknown to the ledger do no harm; known files that are missing are marked as damaged by
//!    the next scrub.
//! 4. Start one service. If it refuses although the two belong together, start it once with `--adopt-store`, or call
//!    [`adopt_store`](crate::service::UpdateService::adopt_store). The adoption is recorded in the audit chain.
//! 5. Check `GET /TENANT/quarantine` and the metrics `files_quarantined`, `files_referenced`, `files_damaged`.
//!
//! # An older ledger
//!
//! An older ledger does not know the uploads after the backup. Their files are watched for a day, and then in
//! quarantine for a week ([`SweepRules`](crate::service::SweepRules)). A file that a component references is never
//! deleted, whatever the ledger says. If more files are due than a round may delete, none is deleted, and the metric
//! `sweeps_over_limit` shows it: check the list, and then either restore a newer ledger, or allow the deletion with
//! `--sweep-limit`. Files that the ledger knows again leave quarantine automatically. Repeating the uploads is always
//! safe.
//!
//! # Adopting a store
//!
//! ```
//! use fhir_devices::backend::Memory;
//! use fhir_devices::service::{StoreMismatch, UpdateService, MaintenanceError};
//! use fhir_devices::store::Tenant;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tenant: Tenant = "st-mary".parse()?;
//! let (memory, lost, empty) = (Arc::new(Memory::new()), Arc::new(Memory::new()), Arc::new(Memory::new()));
//! let before = UpdateService::new(memory.clone(), memory.clone(), lost)?;
//! let id = before.check_store(&tenant).await?;
//!
//! // The ledger is lost: nothing is taken, and nothing is deleted.
//! let service = UpdateService::new(memory.clone(), memory, empty)?;
//! let refused = service.sweep(&tenant).await.unwrap_err();
//! assert!(matches!(refused, MaintenanceError::Mismatch(StoreMismatch::EmptyLedger { store, .. }) if store == Some(id)));
//!
//! // There is no backup of it.
//! let adopted = service.adopt_store(&tenant, "ops/j.doe".parse()?, "the ledger's disk is lost".parse()?).await?;
//! assert_eq!(adopted.replaced, [id]);
//! service.sweep(&tenant).await?;
//! assert!(before.sweep(&tenant).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Damaged files
//!
//! A file whose length or digest differs from the ledger is marked: by a download, and by the scrub, which reads every
//! file once a week (`--scrub-every`). From then on the file is not served, and each update with it is marked: in the
//! components that clients read and search, by the part `damaged` of the extension `available-update`
//! ([`AvailableUpdate::damaged`](crate::update::AvailableUpdate::damaged)), in `GET /TENANT/updates/ID`, and on the web
//! page. The mark is shown and not stored, so that it makes no version of the component: a cache that relies on the
//! `ETag` learns of it with the next version. The status of the update does not change, since only one copy of its file
//! is damaged. A complete download is verified against the digest on the way and breaks off before its end; a partial
//! one cannot be, so that a client that joins parts verifies the whole. To repair the file, send the same bytes again,
//! under the same idempotency key or as another upload: they get a new key, and every update of the damaged file refers
//! to it. A file that was restored in place is found by the next scrub.
