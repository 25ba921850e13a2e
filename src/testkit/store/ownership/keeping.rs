//! The clauses of ownership, each over a place of its own.

use super::place::{AGE, Place, SnapshotLedger};
use super::*;
use crate::audit::Action;
use crate::backend::Memory;
use crate::service::StoreMismatch;
use crate::store::{BlobKey, Change, LedgerKey};

type Stores<'a> = StoreUnderTest<'a, ServiceStores>;

pub(super) fn o1_store_and_ledger_share_an_id(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let id = place.check(&place.service())?;
    ensure!(place.has(&id.marker())?, "the store has no marker of the id {id}");
    place.receive(&place.service(), "firmware")?;
    for start in 1..3 {
        let found = place.check(&place.service())?;
        ensure!(found == id, "start {start} finds the id {found}, wanted {id}");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn o1_each_tenant_has_its_own_id(stores: &Stores<'_>) -> ClauseResult {
    let (one, other) = (Place::new(stores)?, Place::new(stores)?);
    let (first, second) = (one.check(&one.service())?, other.check(&other.service())?);
    ensure!(first != second, "two tenants have the id {first}");
    ensure!(one.check(&one.service())? == first, "the id of a tenant changed when another got one");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o2_empty_ledger_over_files_is_refused(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let id = place.check(&place.service())?;
    place.receive(&place.service(), "firmware")?;
    let files = place.files()?;
    let lost = place.service_over(Arc::new(Memory::new()));
    for _ in 0..3 {
        let mismatch = place.refused(&lost)?;
        let is_right = matches!(mismatch, StoreMismatch::EmptyLedger { store, .. } if store == Some(id));
        ensure!(is_right, "an empty ledger is refused by {mismatch:?}");
        place.passes(AGE);
    }
    ensure!(place.files()? == files, "a service with an empty ledger changed the files");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o2_ledger_of_another_store_is_refused(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let id = place.check(&place.service())?;
    place.receive(&place.service(), "firmware")?;
    let files = place.files()?;
    // The ledger of another store, given to this one by mistake.
    let other = SnapshotLedger::new(Arc::new(Memory::new()));
    let own = ServiceStores { blobs: Arc::new(Memory::new()), ..stores.store.clone() };
    let elsewhere = place.service_of(&own, other.clone());
    place.wait("an empty store is refused", elsewhere.check_store(&place.tenant))?;
    let service = place.service_over(other);
    for _ in 0..3 {
        let mismatch = place.refused(&service)?;
        let is_right = matches!(mismatch, StoreMismatch::OtherLedger { store, .. } if store == id);
        ensure!(is_right, "the ledger of another store is refused by {mismatch:?}");
        place.passes(AGE);
    }
    ensure!(place.files()? == files, "a service with the ledger of another store changed the files");
    ensure!(place.sweep(&place.service())?.kept == 1, "the service that owns the store does not go on");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o2_store_without_its_id_is_refused(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let id = place.check(&place.service())?;
    place.delete(&id.marker())?;
    let mismatch = place.refused(&place.service())?;
    let is_right = matches!(mismatch, StoreMismatch::UnmarkedStore { ledger, .. } if ledger == id);
    ensure!(is_right, "a store without its id is refused by {mismatch:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o3_unknown_file_is_watched_first(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let service = place.service();
    place.receive(&service, "firmware")?;
    let file = place.put_unknown("left behind")?;
    for passed in [0, AGE - 1] {
        place.passes(passed);
        let swept = place.sweep(&service)?;
        ensure!((swept.watched, swept.quarantined, swept.kept) == (1, 0, 1), "a new file is swept as {swept:?}");
    }
    let listed = place.quarantine(&service)?;
    let is_listed = matches!(listed.as_slice(), [one] if one.key == file && one.since.is_none() && one.due.is_none());
    ensure!(is_listed, "a file that is watched is listed as {listed:?}");
    ensure!(place.has(&file)?, "a file is gone before its grace is over");
    Ok(ClauseOutcome::Held)
}

/// Returns a file unknown to the ledger, in quarantine since now.
fn quarantined(place: &Place<'_>, service: &super::place::Service) -> ClauseResult<BlobKey> {
    place.check(service)?;
    let file = place.put_unknown("left behind")?;
    place.sweep(service)?;
    place.passes(AGE);
    let swept = place.sweep(service)?;
    ensure!((swept.quarantined, swept.deleted) == (1, 0), "a file whose grace is over is swept as {swept:?}");
    Ok(file)
}

pub(super) fn o4_file_is_quarantined_before_deletion(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let service = place.service();
    let file = quarantined(&place, &service)?;
    let listed = place.quarantine(&service)?;
    let is_listed = matches!(listed.as_slice(), [one] if one.key == file && one.since.is_some() && one.due > one.since);
    ensure!(is_listed, "a file in quarantine is listed as {listed:?}");
    place.passes(AGE - 1);
    let swept = place.sweep(&service)?;
    ensure!(swept.deleted == 0 && place.has(&file)?, "a file is deleted before its quarantine is over: {swept:?}");
    place.passes(1);
    let swept = place.sweep(&service)?;
    ensure!((swept.deleted, swept.quarantined) == (1, 0), "a file whose quarantine is over is swept as {swept:?}");
    ensure!(!place.has(&file)? && !place.files()?.contains(&file), "a file that was deleted is there");
    ensure!(place.quarantine(&service)?.is_empty(), "a file that was deleted is in quarantine");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o4_known_file_leaves_quarantine(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let service = place.service();
    let received = place.receive(&service, "firmware")?;
    let upload = place.wait("an upload is not known", service.upload(&place.tenant, received.update.id))?;
    let Some(file) = upload.state.key() else { return Err(BrokenClause::what("an upload has no file")) };
    // The record is lost, and restored later.
    let (ledger, at) = (&stores.store.ledger, LedgerKey::new(format!("blob/{}", file.digest)));
    let at = at.map_err(|error| BrokenClause::what(error.to_string()))?;
    let get = || place.wait("a record cannot be read", ledger.get(&place.tenant, &at));
    let apply = |change: Change| {
        place.wait("a record cannot be written", async {
            ledger.apply(&place.tenant, vec![change]).await.map_err(|refused| refused.error)
        })
    };
    let Some(record) = get()? else { return Err(BrokenClause::what("an upload has no record of its file")) };
    apply(Change::delete(at.clone(), record.revision))?;
    place.sweep(&service)?;
    place.passes(AGE);
    let swept = place.sweep(&service)?;
    ensure!(swept.quarantined == 1, "a file whose record is lost is swept as {swept:?}");
    apply(Change::create(at.clone(), record.value))?;
    let swept = place.sweep(&service)?;
    ensure!((swept.readmitted, swept.quarantined) == (1, 0), "a file that is known again is swept as {swept:?}");
    place.sweep_to_the_end(&service)?;
    ensure!(place.has(&file)?, "a file that is known again was deleted");
    let is_recorded = place.records(&service)?.iter().any(|record| record.draft.action == Action::Readmitted);
    ensure!(is_recorded, "no record says that a file left quarantine");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o5_too_many_due_files_are_all_kept(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let service = place.service();
    place.check(&service)?;
    let files = ["one", "two", "three"].map(|bytes| place.put_unknown(bytes));
    let files = files.into_iter().collect::<ClauseResult<Vec<_>>>()?;
    // A round records at most two files.
    let first = place.sweep(&service)?;
    ensure!((first.watched, first.over_limit) == (2, true), "three new files are swept as {first:?}");
    let last = place.sweep_to_the_end(&service)?;
    ensure!((last.over_limit, last.deleted) == (true, 0), "three due files are swept as {last:?}");
    for file in &files {
        ensure!(place.has(file)?, "one of more files than may be deleted is gone");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn o6_each_file_is_audited(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let service = place.service();
    let file = quarantined(&place, &service)?;
    place.sweep_to_the_end(&service)?;
    let records = place.records(&service)?;
    let of_file = records.iter().filter(|record| record.draft.generation == Some(file.generation));
    let actions: Vec<_> = of_file.map(|record| record.draft.action).collect();
    wanted!(actions.as_slice(), [Action::Quarantined, Action::Swept], "the records of a file that was deleted");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o7_referenced_file_is_kept(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let whole = SnapshotLedger::new(Arc::clone(&stores.store.ledger));
    let service = place.service_over(whole.clone());
    place.receive(&service, "firmware")?;
    let older = place.copy_of(&whole)?;
    let late = place.receive(&service, "software")?;
    let upload = place.wait("an upload is not known", service.upload(&place.tenant, late.update.id))?;
    let Some(file) = upload.state.key() else { return Err(BrokenClause::what("an upload has no file")) };
    let restored = place.service_over(older);
    let swept = place.sweep_to_the_end(&restored)?;
    ensure!((swept.deleted, swept.referenced) == (0, 1), "a file that a component refers to is swept as {swept:?}");
    ensure!(place.has(&file)?, "a file that a component refers to was deleted");
    Ok(ClauseOutcome::Held)
}

pub(super) fn o8_adopted_store_belongs_to_one_ledger(stores: &Stores<'_>) -> ClauseResult {
    let place = Place::new(stores)?;
    let before = place.service();
    let id = place.check(&before)?;
    place.receive(&before, "firmware")?;
    let service = place.service_over(Arc::new(Memory::new()));
    let adopted = place.adopt(&service)?;
    ensure!(adopted.replaced == [id], "an adoption replaced {:?}, wanted {id}", adopted.replaced);
    let found = place.check(&service)?;
    ensure!(found == adopted.id, "an adopted store has the id {found}, wanted {}", adopted.id);
    let mismatch = place.refused(&before)?;
    let is_right = matches!(mismatch, StoreMismatch::OtherLedger { store, .. } if store == adopted.id);
    ensure!(is_right, "who had an adopted store before is refused by {mismatch:?}");
    let is_recorded = place.records(&service)?.iter().any(|record| record.draft.action == Action::StoreAdopted);
    ensure!(is_recorded, "no record says that the store was adopted");
    Ok(ClauseOutcome::Held)
}
