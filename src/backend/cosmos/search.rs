//! Searches and histories.

use super::super::checks::{check_order, to_usize};
use super::item::{Item, exact, live, name, start, value};
use super::{Cosmos, fault, wire};
use crate::search::{Criteria, Criterion, TokenMatch};
use crate::store::{Key, Page, PageQuery, PageToken, Result, Search, Tenant, Version, text_place, version_place};
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

pub(super) async fn search(cosmos: &Cosmos, tenant: &Tenant, search: &Search) -> Result<Page<Version>> {
    check_order(search)?;
    let query = PageQuery::Search(search);
    let after = cosmos.pages.place(tenant, query, search.after.as_ref(), text_place)?;
    let limit = to_usize(search.limit).min(MOST);
    let mut conditions = Conditions::default();
    let wanted = conditions.parameter(live(tenant, search.resource_type));
    conditions.and(&format!("c.live = {wanted}"));
    if let Some(after) = after {
        let after = conditions.parameter(after);
        conditions.and(&format!("c.rid > {after}"));
    }
    for criterion in &search.all_of {
        let condition = conditions.of(criterion);
        conditions.and(&condition);
    }
    let found = conditions.into_query(limit + 1, "c.rid")?;
    let scope = FeedScope::full_container();
    let page = wire::query_page(&cosmos.container, found, scope, limit + 1, PAGE_BYTES, Item::size).await?;
    let (mut items, cut) = page;
    let more = cut || items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| cosmos.pages.seal(tenant, query, last.rid.as_bytes())).transpose()?;
    let criteria = Criteria::of(&search.all_of);
    let items = items.iter().filter(|item| item.meets(&criteria)).map(Item::to_version).collect::<Result<_>>()?;
    Ok(Page { items, next })
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
