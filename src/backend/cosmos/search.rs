//! Searches and histories.

use super::super::checks::{TimePlace, to_usize};
use super::item::{Item, exact, live, name, start, time_text, value};
use super::{Cosmos, fault, wire};
use crate::search::{Criteria, Criterion, TokenMatch};
use crate::store::{
    Key, Page, PageQuery, PageToken, Result, Search, SearchOrder, Tenant, Version, text_place, version_place,
};
use azure_data_cosmos::feed::FeedScope;
use std::num::NonZeroU32;

/// The most items of a page.
const MOST: usize = 1_000;
/// The bytes of the bodies after which a page ends.
const PAGE_BYTES: usize = 8 << 20;

/// The conditions of a query and what they ask for.
#[derive(Debug, Default)]
struct Conditions {
    text: String,
    values: Vec<serde_json::Value>,
}

impl Conditions {
    fn parameter(&mut self, value: impl Into<serde_json::Value>) -> String {
        self.values.push(value.into());
        format!("@p{}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        if !self.text.is_empty() {
            self.text.push_str(" AND ");
        }
        self.text.push_str(condition);
    }

    fn of(&mut self, criterion: &Criterion) -> String {
        match criterion {
            Criterion::Id(id) => format!("c.rid = {}", self.parameter(id.as_str())),
            Criterion::AnyId(ids) => {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                format!("ARRAY_CONTAINS({}, c.rid)", self.parameter(ids))
            }
            Criterion::Is(parameter, TokenMatch::Value(wanted)) => {
                format!("ARRAY_CONTAINS(c.x.v, {})", self.parameter(value(*parameter, wanted)))
            }
            Criterion::Is(parameter, TokenMatch::Exact(wanted)) => {
                format!("ARRAY_CONTAINS(c.x.t, {})", self.parameter(exact(*parameter, wanted)))
            }
            Criterion::Is(parameter, TokenMatch::System(wanted)) => {
                format!("ARRAY_CONTAINS(c.x.s, {})", self.parameter(value(*parameter, wanted)))
            }
            Criterion::Begins(parameter, wanted) => {
                format!("CONTAINS(c.x.b, {})", self.parameter(start(*parameter, wanted)))
            }
            Criterion::AnyOf(any) if any.is_empty() => "false".into(),
            Criterion::AnyOf(any) => {
                let any: Vec<String> = any.iter().map(|criterion| self.of(criterion)).collect();
                format!("({})", any.join(" OR "))
            }
        }
    }

    /// Returns the first items, in an order.
    fn into_query(self, limit: usize, order: &str) -> Result<azure_data_cosmos::Query> {
        let text = format!("SELECT TOP {limit} * FROM c WHERE {} ORDER BY {order}", self.text);
        let mut query = azure_data_cosmos::Query::from(text);
        for (at, value) in self.values.into_iter().enumerate() {
            query = query.with_parameter(format!("@p{}", at + 1), value).map_err(fault::of_read)?;
        }
        Ok(query)
    }
}

/// The conditions that every resource of a search meets.
fn conditions_of(tenant: &Tenant, search: &Search) -> Conditions {
    let mut conditions = Conditions::default();
    let wanted = conditions.parameter(live(tenant, search.resource_type));
    conditions.and(&format!("c.live = {wanted}"));
    for criterion in &search.all_of {
        let condition = conditions.of(criterion);
        conditions.and(&condition);
    }
    conditions
}

/// Returns the versions of those items that meet the criteria exactly.
fn versions(items: &[Item], search: &Search) -> Result<Vec<Version>> {
    let criteria = Criteria::of(&search.all_of);
    items.iter().filter(|item| item.meets(&criteria)).map(Item::to_version).collect()
}

pub(super) async fn search(cosmos: &Cosmos, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
    if search.order != SearchOrder::Id {
        return search_by_time(cosmos, tenant, search).await;
    }
    let query = PageQuery::Search(search);
    let after = cosmos.pages.place(tenant, query, search.after.as_ref(), text_place)?;
    let limit = to_usize(search.limit).min(MOST);
    let mut conditions = conditions_of(tenant, search);
    if let Some(after) = after {
        let after = conditions.parameter(after);
        conditions.and(&format!("c.rid > {after}"));
    }
    let found = conditions.into_query(limit + 1, "c.rid")?;
    let scope = FeedScope::full_container();
    let page = wire::query_page(&cosmos.container, found, scope, limit + 1, PAGE_BYTES, Item::size).await?;
    let (mut items, cut) = page;
    let more = cut || items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| cosmos.pages.seal(tenant, query, last.rid.as_bytes())).transpose()?;
    Ok(Page { items: versions(&items, search)?, next })
}

/// A search in the order of times. The container sorts by one property without an index of its own for both, so that the
/// resources of one time are asked for in the order of their ids.
async fn search_by_time(cosmos: &Cosmos, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
    let query = PageQuery::Search(search);
    let after = cosmos.pages.place(tenant, query, search.after.as_ref(), |bytes| TimePlace::decode(&bytes))?;
    let limit = to_usize(search.limit).min(MOST);
    let (behind, direction) = match search.order {
        SearchOrder::UpdatedDescending => ("<", "DESC"),
        _ => (">", "ASC"),
    };
    let mut items = Vec::<Item>::new();
    let page = async |conditions: Conditions, order: &str, wanted: usize, bytes: usize| {
        let found = conditions.into_query(wanted, &format!("{order} {direction}"))?;
        let left = PAGE_BYTES.saturating_sub(bytes).max(1);
        wire::query_page(&cosmos.container, found, FeedScope::full_container(), wanted, left, Item::size).await
    };
    let of_time = |time: &str, id: Option<&str>| {
        let mut conditions = conditions_of(tenant, search);
        let time = conditions.parameter(time);
        conditions.and(&format!("c.time = {time}"));
        if let Some(id) = id {
            let id = conditions.parameter(id);
            conditions.and(&format!("c.rid {behind} {id}"));
        }
        conditions
    };
    let mut reached = after.as_ref().map(|after| time_text(after.nanos));
    let mut more = false;
    if let Some((time, after)) = reached.as_ref().zip(after.as_ref()) {
        (items, more) = page(of_time(time, Some(&after.id)), "c.rid", limit + 1, 0).await?;
    }
    while !more && items.len() <= limit {
        let bytes = items.iter().map(Item::size).fold(0, usize::saturating_add);
        let wanted = (limit + 1).saturating_sub(items.len());
        let mut conditions = conditions_of(tenant, search);
        if let Some(time) = &reached {
            let time = conditions.parameter(time.as_str());
            conditions.and(&format!("c.time {behind} {time}"));
        }
        let (mut found, cut) = page(conditions, "c.time", wanted, bytes).await?;
        let is_whole = !cut && found.len() < wanted;
        // Of the last time there may be others.
        let last = found.last().map(|last| last.time.clone()).filter(|_| !is_whole);
        found.retain(|item| last.as_ref() != Some(&item.time));
        found.sort_by(|a, b| (&a.time, &a.rid).cmp(&(&b.time, &b.rid)));
        if search.order == SearchOrder::UpdatedDescending {
            found.reverse();
        }
        items.extend(found);
        let Some(last) = last else { break };
        let wanted = (limit + 1).saturating_sub(items.len());
        let bytes = items.iter().map(Item::size).fold(0, usize::saturating_add);
        let (found, cut) = page(of_time(&last, None), "c.rid", wanted, bytes).await?;
        items.extend(found);
        (reached, more) = (Some(last), cut);
    }
    more |= items.len() > limit;
    items.truncate(limit);
    let place = items.last().filter(|_| more).map(|last| {
        let nanos = last.last_updated()?.unix_timestamp_nanos();
        Ok::<_, crate::store::StoreError>(TimePlace { nanos, id: last.rid.as_str().into() })
    });
    let next = place.transpose()?.map(|place| cosmos.pages.seal(tenant, query, &place.encode())).transpose()?;
    Ok(Page { items: versions(&items, search)?, next })
}

pub(super) async fn history(
    cosmos: &Cosmos,
    tenant: &Tenant,
    key: &Key,
    limit: NonZeroU32,
    after: Option<&PageToken>,
) -> Result<Page<Version>> {
    let query = PageQuery::History(key);
    let before = cosmos.pages.place(tenant, query, after, version_place)?;
    let limit = to_usize(limit).min(MOST);
    let (home, newest) = cosmos.newest(tenant, key).await?;
    let below = before.unwrap_or(u64::MAX).min(newest.version);
    let mut items = Vec::new();
    if before.is_none_or(|before| newest.version < before) {
        items.push(newest);
    }
    let wanted = (limit + 1).saturating_sub(items.len());
    let mut conditions = Conditions::default();
    let of = conditions.parameter(name(key));
    let below = conditions.parameter(below);
    conditions.and(&format!("c.old = {of} AND c.version < {below}"));
    let older = conditions.into_query(wanted, "c.version DESC")?;
    let left = PAGE_BYTES.saturating_sub(items.iter().map(Item::size).sum()).max(1);
    let scope = FeedScope::partition(home);
    let (older, cut) = wire::query_page(&cosmos.container, older, scope, wanted, left, Item::size).await?;
    items.extend(older);
    let more = cut || items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(|last| last.version.to_be_bytes());
    let next = last.map(|place| cosmos.pages.seal(tenant, query, &place)).transpose()?;
    let items = items.iter().map(Item::to_version).collect::<Result<_>>()?;
    Ok(Page { items, next })
}
