//! After a restore: what to do when the ledger, the update files or both come from a backup.
//!
//! # Ownership of files
//!
//! The ledger of each tenant has a *store id*, and its store of update files has the same one, as a
//! [marker](crate::store::StoreId). They are written at the first use. Only a service whose ledger has the id of the store
//! takes uploads, collects or sweeps. Everything else is refused by a
//! [`StoreMismatch`](crate::service::StoreMismatch), which says what was found; nothing is deleted then.
//!
//! | what was found | what happened | what to do |
//! |---|---|---|
//! | the ledger is empty, the store has files | the ledger was lost, or is another one | restore the ledger; without a backup, adopt the store |
//! | ledger and store have different ids | one of them is another one's | give the service the two that belong together |
//! | the store has no id, the ledger has one | the files were lost, or the store is another one | restore the files; without a backup, adopt the store |
//! | the store has two ids | two services use one store | stop the other one, then adopt the store |
//!
//! The example `update_service` looks at every tenant that it knows before it serves. Where they do not belong together it
//! ends with exit status 4 and the words above.
//!
//! # Order of a restore
//!
//! 1. Stop every service that uses the ledger or the store.
//! 2. Restore the ledger. An older one is no mismatch: it has the same id.
//! 3. Restore the files. More of them than the ledger knows do no harm; those that it knows and that are not there are
//!    marked as damaged by the next scrub.
//! 4. Start one service. Where it refuses, and the two are the right ones, start it once with `--adopt-store`, or call
//!    [`adopt_store`](crate::service::UpdateService::adopt_store). The adoption is in the audit chain.
//! 5. Look at `GET /TENANT/quarantine` and the metrics `files_quarantined`, `files_referenced`, `files_damaged`.
//!
//! # An older ledger
//!
//! Uploads that came after the backup are unknown to it. Their files are watched for a day, and then in quarantine for a
//! week ([`SweepRules`](crate::service::SweepRules)). A file to which a component refers is never deleted, whatever the ledger says. Where more
//! files are due than a round may delete, none is, and the metric `sweeps_over_limit` says so: look at the list, and then
//! either restore a newer ledger, or let them go with `--sweep-limit`. Files that the ledger knows again leave quarantine by
//! themselves. To send the uploads again is always right.
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
//! A file whose length or digest is not that of the ledger is marked: by whoever downloads it, and by the scrub, which
//! reads every file once a week (`--scrub-every`). From then on the file is not given out, and each update of it is marked:
//! in the components that clients read and search, by the part `damaged` of the extension `available-update`
//! ([`AvailableUpdate::damaged`](crate::update::AvailableUpdate::damaged)), in `GET /TENANT/updates/ID`, and on the page for people.
//! The mark is shown and not stored, so that it makes no version of the component: a cache that holds to the `ETag` learns of
//! it with the next version. The status stays that of the update, which damage to one copy of its file does not change.
//! A whole download is checked against the digest on the way and breaks off before its end; a part cannot be, so that whoever
//! puts parts together checks the whole. To repair it, send the same bytes again, under the same idempotency key or as
//! another upload: they get a name of their own, and every update of the damaged file refers to it. A file that was put back
//! whole is found by the next scrub.
