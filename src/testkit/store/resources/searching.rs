//! R7 and R8: search results, and their pages.

use super::*;
use crate::search::{Criterion, TokenMatch};
use crate::store::{Precondition, SearchOrder};
use std::collections::BTreeSet;

const CRITERION: ClauseOutcome = ClauseOutcome::Skipped("a criterion of a search");

fn components() -> Search {
    Search::new(ResourceType::DeviceComponent)
}

/// Returns a search with short pages, so that the results take several.
fn with(criteria: &[Criterion]) -> Search {
    let mut search = components().limit(2);
    search.all_of = criteria.to_vec();
    search
}

/// Parses a token to search for.
fn token(text: &str) -> ClauseResult<TokenMatch> {
    text.parse().map_err(|error| BrokenClause::what(format!("{error}")))
}

/// Checks that each search finds its ids.
fn each(store: &Store<'_>, t: &Tenant, cases: &[(Vec<Criterion>, &[&str])]) -> ClauseResult {
    let mut outcome = ClauseOutcome::Held;
    for (criteria, wanted) in cases {
        for search in [with(criteria), with(criteria).without_bodies()] {
            if store.finds(t, &search, wanted)? != ClauseOutcome::Held {
                outcome = CRITERION;
            }
        }
    }
    Ok(outcome)
}

/// Stores three components, and a device with an id of theirs: identifiers and types with and without systems, two
/// sources, and a parent.
fn ward(store: &Store<'_>) -> ClauseResult<Tenant> {
    let t = fresh();
    let identifier = |token| (Parameter::Identifier, token);
    let mds = (Parameter::Type, Token::new("mdc", "69641"));
    let parent = (Parameter::Parent, Token::bare("DeviceComponent/a"));
    let source_of = |device: &str| (Parameter::Source, Token::bare(device));
    let rows = [
        ("a", vec![identifier(Token::new("urn:a", "7")), mds.clone(), source_of("Device/1")]),
        ("b", vec![identifier(Token::new("urn:b", "7")), source_of("Device/1"), parent.clone()]),
        (
            "c",
            vec![
                identifier(Token::bare("7")),
                identifier(Token::new("urn:b", "9")),
                mds,
                source_of("Device/2"),
                parent,
            ],
        ),
    ];
    for (id, entries) in rows {
        store.made(&t, Write::create(component(id)?, "1", entries.into_iter().collect()))?;
    }
    store.made(&t, Write::create(device("a")?, "1", source("Device/1")))?;
    Ok(t)
}

pub(super) fn r7_token_is_found_in_each_form(store: &Store<'_>) -> ClauseResult {
    let t = ward(store)?;
    let identifier = |text: &str| token(text).map(|wanted| vec![Criterion::identifier(wanted)]);
    each(
        store,
        &t,
        &[
            (vec![], &["a", "b", "c"]),
            (identifier("7")?, &["a", "b", "c"]),
            (identifier("9")?, &["c"]),
            (identifier("urn:a|7")?, &["a"]),
            (identifier("urn:b|7")?, &["b"]),
            (identifier("|7")?, &["c"]),
            (identifier("|9")?, &[]),
            (identifier("urn:b|")?, &["b", "c"]),
            (identifier("urn:c|7")?, &[]),
            (identifier("urn:|")?, &[]),
            (vec![Criterion::kind(token("mdc|69641")?)], &["a", "c"]),
            (vec![Criterion::source("Device/1")], &["a", "b"]),
            (vec![Criterion::source("Device/")], &[]),
            (vec![Criterion::source("device/1")], &[]),
            (vec![Criterion::parent("DeviceComponent/a")], &["b", "c"]),
            (vec![Criterion::parent("DeviceComponent/b")], &[]),
        ],
    )
}

pub(super) fn r7_parameters_are_indexed_separately(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().given_entries {
        return Ok(ClauseOutcome::Skipped("index entries that the body does not hold"));
    }
    let t = fresh();
    let long = "é".repeat(Parameter::LONGEST / 2);
    for parameter in Parameter::ALL {
        let index = nothing()
            .with(parameter, Token::bare("shared"))
            .with(parameter, Token::new("urn:s", "within"))
            .with(parameter, Token::new(long.as_str(), long.as_str()));
        store.made(&t, Write::create(component(parameter.as_str())?, "1", index))?;
    }
    let mut outcome = ClauseOutcome::Held;
    for parameter in Parameter::ALL {
        for wanted in ["shared".to_owned(), "within".to_owned(), "urn:s|within".to_owned(), long.clone()] {
            let criterion = Criterion::is(parameter, token(&wanted)?);
            if store.finds(&t, &with(&[criterion]), &[parameter.as_str()])? != ClauseOutcome::Held {
                outcome = CRITERION;
            }
        }
        let foreign = Criterion::is(parameter, token("|within")?);
        store.finds(&t, &with(&[foreign]), &[])?;
    }
    Ok(outcome)
}

pub(super) fn r7_all_criteria_must_match(store: &Store<'_>) -> ClauseResult {
    let t = ward(store)?;
    let identifier = |text: &str| token(text).map(Criterion::identifier);
    let id = |id: &str| Criterion::Id(id.into());
    let any_id = |ids: &[&str]| Criterion::AnyId(ids.iter().map(|id| (*id).into()).collect());
    each(
        store,
        &t,
        &[
            (vec![id("b")], &["b"]),
            (vec![id("z")], &[]),
            (vec![id("B")], &[]),
            (vec![any_id(&["c", "a", "z"])], &["a", "c"]),
            (vec![any_id(&[])], &[]),
            (vec![Criterion::source("Device/1"), identifier("7")?], &["a", "b"]),
            (vec![Criterion::source("Device/1"), id("c")], &[]),
            (vec![Criterion::source("Device/1"), any_id(&["b", "c"])], &["b"]),
            (vec![Criterion::parent("DeviceComponent/a"), identifier("urn:b|")?], &["b", "c"]),
            (vec![Criterion::kind(token("69641")?), identifier("7")?, Criterion::source("Device/2")], &["c"]),
            // Two criteria on one parameter may match two different entries.
            (vec![identifier("|7")?, identifier("urn:b|9")?], &["c"]),
            (vec![identifier("urn:a|7")?, identifier("urn:b|7")?], &[]),
        ],
    )
}

pub(super) fn r7_any_of_matches_one_criterion(store: &Store<'_>) -> ClauseResult {
    let t = ward(store)?;
    let identifier = |text: &str| token(text).map(Criterion::identifier);
    let id = |id: &str| Criterion::Id(id.into());
    let any = |criteria: Vec<Criterion>| Criterion::AnyOf(criteria);
    let nested = any(vec![any(vec![id("a"), id("z")]), any(vec![]), Criterion::source("Device/2")]);
    each(
        store,
        &t,
        &[
            (vec![any(vec![identifier("urn:a|7")?, Criterion::source("Device/2")])], &["a", "c"]),
            (vec![any(vec![identifier("urn:b|")?, id("a")])], &["a", "b", "c"]),
            (vec![any(vec![identifier("7")?, identifier("urn:b|9")?]), Criterion::source("Device/1")], &["a", "b"]),
            (vec![any(vec![id("a")])], &["a"]),
            (vec![any(vec![])], &[]),
            (vec![any(vec![]), id("a")], &[]),
            (vec![nested.clone()], &["a", "c"]),
            (vec![nested, any(vec![id("b"), id("c")])], &["c"]),
        ],
    )
}

pub(super) fn r7_prefix_is_compared_byte_for_byte(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let urls =
        ["http://a/x_y", "http://a/xay", "http://a/x%y", "http://a/x*y", "http://a/x\\y", "http://a/é", "Http://a/x"];
    for (n, url) in urls.iter().enumerate() {
        let index = nothing().with(Parameter::Url, Token::bare(*url)).with(Parameter::Model, Token::bare("model"));
        store.made(&t, Write::create(component(&n.to_string())?, "1", index))?;
    }
    let begins = |start: &str| vec![Criterion::begins(Parameter::Url, start)];
    each(
        store,
        &t,
        &[
            (begins(""), &["0", "1", "2", "3", "4", "5", "6"]),
            (begins("http://a/x"), &["0", "1", "2", "3", "4"]),
            (begins("http://a/x_"), &["0"]),
            (begins("http://a/x%"), &["2"]),
            (begins("http://a/x*"), &["3"]),
            (begins("http://a/x\\"), &["4"]),
            (begins("http://a/é"), &["5"]),
            (begins("http://a/x_y"), &["0"]),
            (begins("http://a/x_yz"), &[]),
            (begins("ttp"), &[]),
            (begins("H"), &["6"]),
            (
                vec![Criterion::begins(Parameter::Model, "mod"), Criterion::begins(Parameter::Url, "http://a/x%")],
                &["2"],
            ),
        ],
    )
}

pub(super) fn r7_results_are_ordered_by_id(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let mut ids = ["b", "B", "a", "A", "-", ".-", "0", "10", "9", "a-b", "a.b", "ab", "aB", "Z", "z"];
    for id in ids {
        store.made(&t, Write::create(component(id)?, "1", source("Device/d")))?;
    }
    ids.sort_unstable();
    for limit in [1, 2, 100] {
        store.finds(&t, &components().limit(limit), &ids)?;
        store.finds(&t, &components().limit(limit).and(Criterion::source("Device/d")), &ids)?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r7_resource_is_found_once(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let index = ["7", "71", "72"]
        .into_iter()
        .flat_map(|value| ["urn:a", "urn:b"].map(|system| (Parameter::Identifier, Token::new(system, value))));
    let index: IndexEntries = index.collect();
    for id in ["a", "b"] {
        store.made(&t, Write::create(component(id)?, "1", index.clone()))?;
    }
    let identifier = |text: &str| token(text).map(Criterion::identifier);
    let both: &[&str] = &["a", "b"];
    let mut outcome = ClauseOutcome::Held;
    for criterion in [
        identifier("7")?,
        identifier("urn:a|")?,
        Criterion::begins(Parameter::Identifier, "7"),
        Criterion::AnyOf(vec![identifier("7")?, identifier("71")?, Criterion::Id("a".into())]),
    ] {
        for limit in [1, 100] {
            if store.finds(&t, &components().limit(limit).and(criterion.clone()), both)? != ClauseOutcome::Held {
                outcome = CRITERION;
            }
        }
    }
    Ok(outcome)
}

pub(super) fn r7_search_uses_the_newest_version(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let (a, b) = (component("a")?, component("b")?);
    let of = |device: &str| components().and(Criterion::source(device));
    store.made(&t, Write::create(a.clone(), "1", source("Device/old")))?;
    store.made(&t, Write::create(b, "1", source("Device/old")))?;
    let moved = source("Device/new").with(Parameter::Identifier, Token::bare("7"));
    store.made(&t, Write::update(a.clone(), v(1), "2", moved))?;
    store.finds(&t, &of("Device/old"), &["b"])?;
    store.finds(&t, &of("Device/new"), &["a"])?;
    store.made(&t, Write::delete(a.clone(), Precondition::Exists))?;
    store.made(&t, Write::create(a.clone(), "4", source("Device/old")))?;
    store.finds(&t, &of("Device/old"), &["a", "b"])?;
    store.finds(&t, &of("Device/new"), &[])?;
    store.finds(&t, &components().and(Criterion::identifier(token("7")?)), &[])?;
    // A write without entries removes them.
    store.made(&t, Write::update(a, v(4), "5", nothing()))?;
    store.finds(&t, &of("Device/old"), &["b"])?;
    store.finds(&t, &components(), &["a", "b"])
}

/// Checks that pages show every lasting resource once, while resources come and go before and after the current
/// position.
fn stable(store: &Store<'_>, criterion: Criterion) -> ClauseResult {
    const COUNT: usize = 30;
    let t = fresh();
    let name = |n: usize, what: &str| component(&format!("{n:03}-{what}"));
    let mut stays = BTreeSet::new();
    for n in 0..COUNT {
        store.made(&t, Write::create(name(n, "stays")?, "1", source("Device/s")))?;
        store.made(&t, Write::create(name(n, "goes")?, "1", source("Device/s")))?;
        stays.insert(name(n, "stays")?.id().clone());
    }
    let search = components().and(criterion).limit(4);
    if !store.capabilities().search_read_your_writes {
        return Ok(ClauseOutcome::Skipped("searches that see acknowledged writes"));
    }
    let seen = store.walk(&t, &search, |page| {
        let behind = COUNT.saturating_sub(page + 1);
        // Two resources before the current position go, or three come: a token that counts results would lose its
        // position.
        let (before, what) =
            if page % 2 == 0 { ([page, page + 1, behind], "goes") } else { ([page, page - 1, behind], "comes") };
        for at in before {
            let write = match what {
                "goes" => Write::delete(name(at, what)?, Precondition::None),
                _ => Write::put(name(at, what)?, "1", source("Device/s")),
            };
            // A resource that is gone already cannot be deleted again.
            store.write(&t, write).map(drop)?;
            // A lasting resource may change.
            store.made(&t, Write::put(name(at.min(COUNT - 1), "stays")?, "2", source("Device/s"))).map(drop)?;
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(CRITERION) };
    let seen = ids(&seen);
    let ascending = seen.iter().zip(seen.iter().skip(1)).all(|(one, next)| one < next);
    ensure!(ascending, "the pages are out of order, or show something twice: {seen:?}");
    let missing: Vec<_> = stays.iter().filter(|id| !seen.contains(&id.as_str())).collect();
    ensure!(missing.is_empty(), "the pages skip what was there all the time: {missing:?}");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r8_pages_are_stable_while_others_write(store: &Store<'_>) -> ClauseResult {
    stable(store, Criterion::source("Device/s"))
}

pub(super) fn r8_pages_of_combined_criteria_are_stable(store: &Store<'_>) -> ClauseResult {
    let begins = stable(store, Criterion::begins(Parameter::Source, "Device/"))?;
    let never = Criterion::source("Device/z");
    let any = stable(store, Criterion::AnyOf(vec![never, Criterion::source("Device/s")]))?;
    Ok(if begins == ClauseOutcome::Held { any } else { begins })
}

pub(super) fn r8_pages_of_any_length_are_complete(store: &Store<'_>) -> ClauseResult {
    let t = fresh();
    let long = "x".repeat(61);
    let wanted: Vec<_> = (0..7).map(|n| format!("{long}-{n}")).collect();
    for id in &wanted {
        store.made(&t, Write::create(component(id)?, "1", source("Device/s")))?;
    }
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    let long_source = Criterion::source(&"s".repeat(Parameter::LONGEST));
    let any = Criterion::AnyOf(vec![Criterion::source("Device/s"), long_source]);
    let mut outcome = ClauseOutcome::Held;
    for search in [components(), components().and(Criterion::source("Device/s")), components().and(any)] {
        for limit in [1, 2, 3, 6, 7, 8, u32::MAX] {
            if store.finds(&t, &search.clone().limit(limit), &wanted)? != ClauseOutcome::Held {
                outcome = CRITERION;
            }
        }
    }
    Ok(outcome)
}

/// Returns the token of the first page of a search with more pages.
fn first(store: &Store<'_>, t: &Tenant, search: &Search) -> ClauseResult<PageToken> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let page = store.search(t, search)?;
        let page = page.map_err(|error| BrokenClause::what(format!("a search failed: {error:?}")))?;
        match page.next {
            Some(next) => return Ok(next),
            None if store.capabilities().search_read_your_writes || Instant::now() > patience => {
                return Err(BrokenClause::what(format!("a page of {} says that all was seen", page.items.len())));
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

pub(super) fn r8_foreign_or_damaged_token_is_invalid(store: &Store<'_>) -> ClauseResult {
    let (t, other) = (fresh(), fresh());
    for tenant in [&t, &other] {
        for id in ["a", "b", "c"] {
            store.made(tenant, Write::put(device(id)?, "1", source("s")))?;
        }
    }
    let search = Search::new(ResourceType::Device).limit(1);
    let invalid = |tenant: &Tenant, search: Search, why: &str| {
        wanted!(store.search(tenant, &search)?, Err(StoreError::Invalid { .. }), "a search with a token that is {why}");
        Ok(())
    };
    let plain = first(store, &t, &search)?;
    let by_source = search.clone().and(Criterion::source("s"));
    let of_s = first(store, &t, &by_source)?;
    // The limit may change between two pages; nothing else may.
    let rest = store.search(&t, &search.clone().limit(9).after(plain.clone()))?.map(|page| ids(&page.items).concat());
    wanted!(rest, Ok(rest) if rest == "bc", "the rest behind the first page");
    let again = store.search(&t, &by_source.clone().after(of_s.clone()))?.map(|page| ids(&page.items).concat());
    wanted!(again, Ok(again) if again == "b" || again.is_empty(), "the second page by source");
    for token in [&plain, &of_s] {
        invalid(&t, Search::new(ResourceType::DeviceComponent).after(token.clone()), "of another type")?;
        invalid(&t, search.clone().and(Criterion::Id("b".into())).after(token.clone()), "of other criteria")?;
        invalid(&t, search.clone().and(Criterion::source("t")).after(token.clone()), "of another value")?;
        invalid(&t, search.clone().and(Criterion::parent("s")).after(token.clone()), "of another parameter")?;
        let begins = search.clone().and(Criterion::begins(Parameter::Source, "s"));
        invalid(&t, begins.after(token.clone()), "of another comparison")?;
    }
    invalid(&t, search.clone().after(of_s.clone()), "of more criteria")?;
    invalid(&t, by_source.clone().after(plain.clone()), "of fewer criteria")?;
    for tenant in [&other, &fresh()] {
        invalid(tenant, search.clone().after(plain.clone()), "of another tenant")?;
        invalid(tenant, by_source.clone().after(of_s.clone()), "of another tenant")?;
    }
    for at in 0..plain.as_str().len() {
        invalid(&t, search.clone().after(damaged(&plain, at)?), "damaged")?;
    }
    for made_up in ["A", "v1.", "v1.AAAA", "0", "1"] {
        let token = made_up.parse().map_err(|error| BrokenClause::what(format!("{error}")))?;
        invalid(&t, search.clone().after(token), "made up")?;
    }
    Ok(ClauseOutcome::Held)
}

pub(super) fn r8_foreign_history_token_is_invalid(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().history {
        return Ok(ClauseOutcome::Skipped("history"));
    }
    let (t, other) = (fresh(), fresh());
    let (a, b) = (device("a")?, device("b")?);
    for tenant in [&t, &other] {
        for key in [&a, &b, &a, &b, &a, &b] {
            store.made(tenant, Write::put(key.clone(), "1", nothing()))?;
        }
    }
    let page = store.history(&t, &a, 1, None)?;
    let page = page.map_err(|error| BrokenClause::what(format!("a history failed: {error:?}")))?;
    let Some(past) = page.next else {
        return Err(BrokenClause::what("a page of one of three versions says that all was seen"));
    };
    let rest = store.history(&t, &a, 9, Some(&past))?.map(|page| page.items.iter().map(|v| v.version.get()).collect());
    wanted!(rest, Ok::<Vec<_>, _>(rest) if rest == [2, 1], "the rest behind the first page");
    let invalid = |tenant: &Tenant, key: &Key, token: &PageToken, why: &str| {
        let history = store.history(tenant, key, 1, Some(token))?;
        wanted!(history, Err(StoreError::Invalid { .. }), "a history with a token that is {why}");
        Ok(())
    };
    invalid(&other, &a, &past, "of another tenant")?;
    invalid(&t, &b, &past, "of another resource")?;
    for at in 0..past.as_str().len() {
        invalid(&t, &a, &damaged(&past, at)?, "damaged")?;
    }
    let of_search = first(store, &t, &Search::new(ResourceType::Device).limit(1))?;
    invalid(&t, &a, &of_search, "of a search")?;
    let search = Search::new(ResourceType::Device).limit(1).after(past);
    wanted!(store.search(&t, &search)?, Err(StoreError::Invalid { .. }), "a search with the token of a history");
    Ok(ClauseOutcome::Held)
}

pub(super) fn r17_search_by_time_is_ordered_by_time(store: &Store<'_>) -> ClauseResult {
    if !store.capabilities().search_by_time {
        return Ok(ClauseOutcome::Skipped("an order of times"));
    }
    let t = fresh();
    for id in ["c", "a", "e", "d", "b"] {
        store.made(&t, Write::create(component(id)?, "1", source("Device/1")))?;
    }
    store.made(&t, Write::create(component("z")?, "1", source("Device/2")))?;
    store.made(&t, Write::create(device("a")?, "1", source("Device/1")))?;
    store.made(&t, Write::put(component("c")?, "2", source("Device/1")))?;
    store.made(&t, Write::delete(component("e")?, Precondition::Exists))?;
    for criteria in [vec![], vec![Criterion::source("Device/1")]] {
        let Some(found) = store.walk(&t, &with(&criteria), |_| Ok(()))? else { return Ok(CRITERION) };
        let mut wanted: Vec<_> = found.iter().map(|version| (version.last_updated, version.key.clone())).collect();
        wanted.sort();
        for order in [SearchOrder::Updated, SearchOrder::UpdatedDescending] {
            for limit in [1, 2, 100] {
                for search in [with(&criteria).limit(limit), with(&criteria).limit(limit).without_bodies()] {
                    let found = store.walk(&t, &search.order(order), |_| Ok(()))?.unwrap_or_default();
                    let found: Vec<_> = found.into_iter().map(|version| (version.last_updated, version.key)).collect();
                    ensure!(found == wanted, "{order:?} found {found:?}, wanted {wanted:?}");
                }
            }
            wanted.reverse();
        }
    }
    let first = store.search(&t, &components().limit(1).order(SearchOrder::Updated))?;
    let first = first.map_err(|error| BrokenClause::what(format!("a page failed: {error:?}")))?;
    let other = Search { after: first.next, ..components().order(SearchOrder::UpdatedDescending) };
    let refused = store.search(&t, &other)?;
    ensure!(
        matches!(refused, Err(StoreError::Invalid { .. })),
        "a token of another order gives {refused:?}, wanted `Invalid`"
    );
    Ok(ClauseOutcome::Held)
}

pub(super) fn r17_search_by_time_without_the_capability_is_unsupported(store: &Store<'_>) -> ClauseResult {
    if store.capabilities().search_by_time {
        return Ok(ClauseOutcome::Skipped("a store without an order of times"));
    }
    for order in [SearchOrder::Updated, SearchOrder::UpdatedDescending] {
        let found = store.search(&fresh(), &components().order(order))?;
        let is_refused = matches!(found, Err(StoreError::Unsupported { .. }));
        ensure!(is_refused, "{order:?} gives {found:?}, wanted `Unsupported`");
    }
    Ok(ClauseOutcome::Held)
}
