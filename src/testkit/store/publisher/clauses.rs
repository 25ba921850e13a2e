//! The checks of the clauses.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) fn g1_repeated_put_changes_nothing(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot) = (fresh(), slot("channel")?);
    let first = offer(1, 1)?;
    let version = region.written(&tenant, &slot, &first, None)?;
    for seen in [None, Some(&version)] {
        let again = region.written(&tenant, &slot, &first, seen)?;
        ensure!(again == version, "the same content again made version `{again}` of `{version}`");
    }
    region.holds(&tenant, &slot, Some(&first), "after a repetition")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g2_put_needs_the_newest_version(region: &Region<'_>) -> ClauseResult {
    if !region.store.capabilities().compare_and_set {
        return Ok(ClauseOutcome::Skipped("compare_and_set"));
    }
    let (tenant, slot) = (fresh(), slot("channel")?);
    let old = SlotVersion::new("of-nothing");
    wanted!(
        region.put(&tenant, &slot, &offer(1, 1)?, Some(&old))?,
        Err(PublishError::Changed),
        "a version of nothing was seen"
    );
    region.holds(&tenant, &slot, None, "after a refusal")?;
    let first = region.written(&tenant, &slot, &offer(1, 1)?, None)?;
    wanted!(
        region.put(&tenant, &slot, &offer(2, 1)?, None)?,
        Err(PublishError::Changed),
        "nothing was seen of a slot that holds something"
    );
    let second = region.written(&tenant, &slot, &offer(2, 1)?, Some(&first))?;
    ensure!(first != second, "two contents have the version `{first}`");
    wanted!(
        region.put(&tenant, &slot, &offer(3, 1)?, Some(&first))?,
        Err(PublishError::Changed),
        "an old version was seen"
    );
    region.holds(&tenant, &slot, Some(&offer(2, 1)?), "after a refusal")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g2_of_concurrent_writers_one_wins(region: &Region<'_>) -> ClauseResult {
    if !region.store.capabilities().compare_and_set {
        return Ok(ClauseOutcome::Skipped("compare_and_set"));
    }
    let (tenant, slot) = (fresh(), slot("channel")?);
    for round in 0..8_u32 {
        let seen = region.read(&tenant, &slot)?.map(|found| found.version);
        let (won, number) = (AtomicUsize::new(0), round * 10 + 1);
        region.together(4, |writer| {
            // All have the same number, so that none supersedes another.
            let action = ActionNumber(number);
            let key = OfferKey { deployment: DeploymentId(writer as u128 + 1), attempt: Attempt(1) };
            match region.put(&tenant, &slot, &Content::Tombstone { key, action }, seen.as_ref())? {
                Ok(_) => {
                    won.fetch_add(1, Ordering::Relaxed);
                }
                Err(PublishError::Changed) => {}
                Err(error) => return Err(BrokenClause::what(format!("one of many writers failed: {error:?}"))),
            }
            Ok(())
        })?;
        let won = won.load(Ordering::Relaxed);
        ensure!(won == 1, "{won} of 4 writers that saw the same won");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn g3_older_content_is_stale(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot) = (fresh(), slot("channel")?);
    let version = region.written(&tenant, &slot, &offer(2, 1)?, None)?;
    for lower in [offer(1, 1)?, tombstone(1)] {
        let late = region.put(&tenant, &slot, &lower, Some(&version))?;
        wanted!(late, Err(PublishError::Stale { action: ActionNumber(2) }), "a lower number was written");
        region.holds(&tenant, &slot, Some(&offer(2, 1)?), "after a lower number")?;
    }
    let version = region.written(&tenant, &slot, &tombstone(2), Some(&version))?;
    let late = region.put(&tenant, &slot, &offer(2, 1)?, Some(&version))?;
    wanted!(late, Err(PublishError::Stale { action: ActionNumber(2) }), "an offer was written over its tombstone");
    region.holds(&tenant, &slot, Some(&tombstone(2)), "after an offer that was taken back")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g3_newer_content_is_accepted(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot) = (fresh(), slot("channel")?);
    let mut version = region.written(&tenant, &slot, &offer(1, 1)?, None)?;
    for later in [tombstone(1), offer(2, 1)?, offer(3, 1)?, tombstone(3), tombstone(i32::MAX as u32)] {
        version = region.written(&tenant, &slot, &later, Some(&version))?;
        region.holds(&tenant, &slot, Some(&later), "after a later content")?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn g4_acknowledged_content_is_read(region: &Region<'_>) -> ClauseResult {
    let (tenant, one, other) = (fresh(), slot("channel")?, slot("Channel")?);
    region.holds(&tenant, &one, None, "at first")?;
    let version = region.written(&tenant, &one, &offer(1, 1)?, None)?;
    let found = region.read(&tenant, &one)?;
    ensure!(found.as_ref().is_some_and(|found| found.version == version), "version `{version}` is read as {found:?}");
    region.holds(&tenant, &other, None, "of another component")?;
    region.written(&tenant, &other, &tombstone(1), None)?;
    region.holds(&tenant, &one, Some(&offer(1, 1)?), "after a write to another component")?;
    region.together(4, |_| region.holds(&tenant, &one, Some(&offer(1, 1)?), "to another reader"))?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g5_calls_are_isolated_by_tenant(region: &Region<'_>) -> ClauseResult {
    let (one, other, slot) = (fresh(), fresh(), slot("channel")?);
    let version = region.written(&one, &slot, &offer(2, 1)?, None)?;
    region.holds(&other, &slot, None, "for another tenant")?;
    region.written(&other, &slot, &tombstone(1), None)?;
    region.holds(&one, &slot, Some(&offer(2, 1)?), "after a write of another tenant")?;
    region.written(&one, &slot, &tombstone(2), Some(&version))?;
    region.holds(&other, &slot, Some(&tombstone(1)), "after a write of another tenant")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g6_dropped_put_is_atomic(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot) = (fresh(), slot("channel")?);
    region.written(&tenant, &slot, &tombstone(1), None)?;
    for polls in 0..32_u32 {
        let before = region.read(&tenant, &slot)?;
        let next = tombstone(polls + 2);
        let seen = before.as_ref().map(|found| &found.version);
        let ended = region.wait(polled(region.store.put(&tenant, &slot, &next, seen), polls as usize))?;
        let after = region.read(&tenant, &slot)?.map(|found| found.content);
        let before = before.map(|found| found.content);
        let written = after.as_ref() == Some(&next);
        match ended {
            Some(Ok(_)) => ensure!(written, "a write that succeeded left {after:?}"),
            // An earlier dropped write may have arrived since the slot was read.
            Some(Err(PublishError::Changed)) => {}
            Some(Err(error)) => return Err(BrokenClause::what(format!("a write failed: {error:?}"))),
            None => {
                let known = after.as_ref().is_some_and(|after| after.action() <= next.action());
                ensure!(written || after == before || known, "a dropped write left {after:?}");
            }
        }
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn g7_content_is_read_as_written(region: &Region<'_>) -> ClauseResult {
    let tenant = fresh();
    for (name, content) in
        [("one", offer(1, 1)?), ("many", offer(1, 5)?), ("none", offer(1, 0)?), ("tombstone", tombstone(1))]
    {
        let slot = slot(name)?;
        region.written(&tenant, &slot, &content, None)?;
        region.holds(&tenant, &slot, Some(&content), "read back")?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn g8_largest_content_is_accepted_and_a_larger_one_refused(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot, limit) = (fresh(), slot("channel")?, region.store.capabilities().max_content);
    ensure!(
        limit >= crate::publish::MAX_CONTENT,
        "`max_content` is {limit}, wanted {} at least",
        crate::publish::MAX_CONTENT
    );
    let size = |files| Ok::<_, BrokenClause>(offer(1, files)?.to_bytes().len());
    // Every further file adds as many bytes as the second one.
    let (one, two) = (size(1)?, size(2)?);
    let files = 1 + limit.saturating_sub(one) / two.saturating_sub(one).max(1);
    region.written(&tenant, &slot, &offer(1, files)?, None)?;
    let larger = region.put(
        &tenant,
        &slot,
        &offer(2, files + 1)?,
        region.read(&tenant, &slot)?.as_ref().map(|found| &found.version),
    )?;
    wanted!(larger, Err(PublishError::TooLarge { limit: said }) if said == limit, "a content of more than {limit} bytes was written");
    region.holds(&tenant, &slot, Some(&offer(1, files)?), "after a content that is too large")?;
    Ok(ClauseOutcome::Held)
}

pub(super) fn g8_refusal_is_not_applied(region: &Region<'_>) -> ClauseResult {
    let (tenant, slot) = (fresh(), slot("channel")?);
    let version = region.written(&tenant, &slot, &offer(2, 1)?, None)?;
    let refused =
        [region.put(&tenant, &slot, &offer(1, 1)?, Some(&version))?, region.put(&tenant, &slot, &tombstone(1), None)?];
    for refused in refused {
        let Err(error) = refused else { return Err(BrokenClause::what("a lower number was written")) };
        ensure!(
            error.applied() == crate::store::Applied::No,
            "a refusal leaves open whether it was applied: {error:?}"
        );
    }
    region.holds(&tenant, &slot, Some(&offer(2, 1)?), "after refusals")?;
    Ok(ClauseOutcome::Held)
}
