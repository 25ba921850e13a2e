//! L9: the records under a prefix.

use super::*;

/// Creates records with these names.
fn records(store: &Store<'_>, t: &Tenant, names: &[&str]) -> ClauseResult<()> {
    names.iter().try_for_each(|name| store.made(t, Change::create(key(name)?, (*name).to_owned())).map(drop))
}

fn names(records: &[LedgerRecord]) -> Vec<&str> {
    records.iter().map(|record| record.key.as_str()).collect()
}

pub(super) fn l9_prefix_selects_records_below_it(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    records(store, &t, &["a", "a-b", "a-b/c", "a/b", "a/b/c", "a/b/c/d", "a/c", "a0", "a0/x", "aa/b", "b/a"])?;
    let cases: [(&str, &[&str]); 7] = [
        ("a", &["a/b", "a/b/c", "a/b/c/d", "a/c"]),
        ("a/b", &["a/b/c", "a/b/c/d"]),
        ("a/b/c/d", &[]),
        ("a-b", &["a-b/c"]),
        ("a0", &["a0/x"]),
        ("c", &[]),
        ("b/a", &[]),
    ];
    for (prefix, wanted) in cases {
        let found = store.all(&t, &key(prefix)?, 2, |_| Ok(()))?;
        ensure!(names(&found) == wanted, "under `{prefix}` are {:?}, wanted {wanted:?}", names(&found));
        let same = found.iter().all(|record| record.value == record.key.as_str());
        ensure!(same, "a scan gives the value of another record");
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l9_pages_of_any_length_are_complete(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let wanted = ["p/-", "p/0", "p/10", "p/9", "p/a", "p/a-b", "p/a/b"];
    records(store, &t, &wanted)?;
    for limit in [1, 2, 3, 6, 7, 8, u32::MAX] {
        let found = store.all(&t, &key("p")?, limit, |_| Ok(()))?;
        ensure!(names(&found) == wanted, "pages of at most {limit} show {:?}, wanted {wanted:?}", names(&found));
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn l9_pages_are_stable_while_others_write(store: &Store<'_>) -> ClauseResult {
    const COUNT: usize = 20;
    let (t, prefix) = (fresh(), key("p")?);
    let name = |n: usize, what: &str| format!("p/{n:03}-{what}");
    for n in 0..COUNT {
        records(store, &t, &[&name(n, "stays"), &name(n, "goes")])?;
    }
    let seen = store.all(&t, &prefix, 3, |page| {
        let behind = COUNT.saturating_sub(page + 1);
        // Two records before the current position go or come: a token that counts records would lose its position.
        let before = if page % 2 == 0 { page + 1 } else { page - 1 };
        for at in [page, before, behind] {
            let goes = key(&name(at, "goes"))?;
            match store.get(&t, &goes)? {
                Some(record) if page % 2 == 0 => drop(store.made(&t, Change::delete(goes, record.revision))?),
                _ if page % 2 == 0 => {}
                // The record may exist already.
                _ => drop(store.change(&t, Change::create(key(&name(at, "comes"))?, "x"))?),
            }
            let stays = key(&name(at, "stays"))?;
            if let Some(record) = store.get(&t, &stays)? {
                store.made(&t, Change::replace(stays, record.revision, "changed"))?;
            }
        }
        Ok(())
    })?;
    let seen = names(&seen);
    let ascending = seen.iter().zip(seen.iter().skip(1)).all(|(one, next)| one < next);
    ensure!(ascending, "the pages are out of order, or show something twice: {seen:?}");
    let missing: Vec<_> = (0..COUNT).map(|n| name(n, "stays")).filter(|name| !seen.contains(&name.as_str())).collect();
    ensure!(missing.is_empty(), "the pages skip what was there all the time: {missing:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn l9_foreign_or_damaged_token_is_invalid(store: &Store<'_>) -> ClauseResult {
    let (t, other) = (fresh(), fresh());
    let prefix = key("p")?;
    for tenant in [&t, &other] {
        records(store, tenant, &["p/a", "p/b", "p/c", "q/a", "q/b"])?;
    }
    let page =
        store.scan(&t, &prefix, 1, None)?.map_err(|error| BrokenClause::what(format!("a scan failed: {error:?}")))?;
    let Some(token) = page.next else {
        return Err(BrokenClause::what("a page of one of three says that all was seen"));
    };
    let rest = store.scan(&t, &prefix, 9, Some(&token))?.map(|page| names(&page.items).join(" "));
    wanted!(rest, Ok(rest) if rest == "p/b p/c", "the rest behind the first page");
    for (tenant, of) in [(&other, &prefix), (&fresh(), &prefix), (&t, &key("q")?), (&t, &key("p/a")?)] {
        let foreign = store.scan(tenant, of, 9, Some(&token))?;
        wanted!(foreign, Err(StoreError::Invalid { .. }), "a scan with a token of another tenant or prefix");
    }
    for at in 0..token.as_str().len() {
        let damaged = damaged(&token, at)?;
        let scan = store.scan(&t, &prefix, 9, Some(&damaged))?;
        wanted!(scan, Err(StoreError::Invalid { .. }), "a scan with a token that is damaged at {at}");
    }
    Ok(ClauseOutcome::Held)
}
