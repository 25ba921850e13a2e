//! In which order a search gives what it finds.

use super::problem::{Problem, Result};
use crate::resource::Resource;
use crate::search::value::values;
use crate::search::{Param, ResourceType, fold, params};
use crate::store::{SearchOrder, Version};
use crate::support::truncated;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The most keys of a sort.
const MOST: usize = 4;

/// How much of a value counts, in bytes: a page token holds those of one resource.
const CUT: usize = 80;

/// By what a key of a sort goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Id,
    Updated,
    Param(&'static str),
}

/// One key of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortKey {
    by: By,
    descending: bool,
}

/// The order of a search: by its keys, one after another, and at last by the id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort(Vec<SortKey>);

/// By what one resource is sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Values(Vec<Option<String>>, pub(super) String);

impl Sort {
    /// Reads `_sort`; what is not known goes into `ignored`.
    pub(super) fn read(of: ResourceType, value: &str, ignored: &mut Vec<String>) -> Result<Self> {
        let mut keys: Vec<SortKey> = Vec::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (name, descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
            let by = match name {
                "_id" => By::Id,
                "_lastUpdated" => By::Updated,
                name => match params(of).find(|param| param.name == name) {
                    Some(Param { name, .. }) => By::Param(name),
                    None => {
                        ignored.push(format!("_sort={name}"));
                        continue;
                    }
                },
            };
            keys.push(SortKey { by, descending });
        }
        if keys.len() > MOST {
            let words = format!("`_sort={value}` has {} keys, and at most {MOST} are taken", keys.len());
            return Err(Problem::unsupported(400, "search-parameter", words));
        }
        Ok(Self(keys))
    }

    /// Whether it is the order in which stores give resources.
    pub(super) fn is_by_id(&self) -> bool {
        matches!(self.0.as_slice(), [] | [SortKey { by: By::Id, descending: false }, ..])
    }

    /// The order of times that it is, if it is one: with the id in the same direction, as stores give it.
    pub(super) fn by_time(&self) -> Option<SearchOrder> {
        let (SortKey { by: By::Updated, descending }, rest) = self.0.split_first()? else { return None };
        let by_id = rest.first().is_none_or(|key| key.by == By::Id && key.descending == *descending);
        let order = if *descending { SearchOrder::UpdatedDescending } else { SearchOrder::Updated };
        by_id.then_some(order)
    }

    /// Whether the resources must be read.
    pub(super) fn needs_body(&self) -> bool {
        self.0.iter().any(|key| matches!(key.by, By::Param(_)))
    }

    /// By what a resource is sorted; `resource` may be absent where it need not be read.
    pub(super) fn values(&self, resource: Option<&Resource>, version: &Version) -> Values {
        let of = |key: &SortKey| match key.by {
            By::Id => Some(version.key.id().to_string()),
            By::Updated => {
                Some(format!("{:040}", version.last_updated.unix_timestamp_nanos().saturating_add(1 << 100)))
            }
            By::Param(name) => {
                let found = values(resource?, name);
                let tokens = found.tokens.iter().map(|coded| coded.value.to_lowercase());
                let is_token = !found.tokens.is_empty();
                // The words that go with a token are not its value.
                let texts = found.texts.iter().filter(|_| !is_token).map(|text| fold(text));
                let all = tokens.chain(texts).map(|text| truncated(&text, CUT).to_owned());
                if key.descending { all.max() } else { all.min() }
            }
        };
        Values(self.0.iter().map(of).collect(), version.key.id().to_string())
    }

    /// How two resources are sorted. What has no value comes last.
    pub(super) fn compare(&self, one: &Values, other: &Values) -> Ordering {
        let keys = self.0.iter().zip(one.0.iter().zip(&other.0));
        let by_keys = keys.map(|(key, (one, other))| match (one, other) {
            (Some(one), Some(other)) if key.descending => other.cmp(one),
            (Some(one), Some(other)) => one.cmp(other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        });
        let by_id = match self.0.last() {
            Some(SortKey { descending: true, .. }) => other.1.cmp(&one.1),
            _ => one.1.cmp(&other.1),
        };
        by_keys.fold(Ordering::Equal, Ordering::then).then(by_id)
    }
}
