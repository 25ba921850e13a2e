//! What a query string asks for.

use super::filter::{Filter, Setting};
use super::format::Format;
use super::include::Include;
use super::limits::at_most;
use super::plan::Plan;
use super::problem::{Problem, Result};
use super::subset::Subset;
use crate::reference::OwnBase;
use crate::search::params;
use crate::store::ResourceType;
use smol_str::SmolStr;
use url::form_urlencoded;

/// The most entries of a page, the included ones not counted.
pub(super) const MAX_COUNT: usize = 500;

/// The entries of a page, where the client does not say.
pub(super) const COUNT: usize = 50;

/// In which order the resources come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// `_id`, which is how stores keep them.
    Id,
    /// `-_id`
    IdDescending,
    /// `_lastUpdated`
    Updated,
    /// `-_lastUpdated`
    UpdatedDescending,
}

/// Whether the total is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// Where it costs next to nothing.
    IfKnown,
    /// Always.
    Accurate,
    /// Never.
    None,
}

/// A search, read from its query.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) resource_type: ResourceType,
    pub(super) filters: Vec<Filter>,
    pub(super) plan: Plan,
    /// How many entries a page has; 0 asks for the total alone.
    pub(super) count: usize,
    pub(super) sort: Sort,
    pub(super) total: Total,
    pub(super) subset: Subset,
    pub(super) includes: Vec<Include>,
    /// Where the page before ended.
    pub(super) page: Option<SmolStr>,
    /// The parameters that were taken into account, for the links.
    pub(super) used: Vec<(String, String)>,
}

impl Query {
    /// Reads a query. A parameter that is not known is refused, as ignoring it would find too much, unless the client
    /// asked for leniency. Every fault is told.
    pub(super) fn read(resource_type: ResourceType, query: &str, setting: &Setting<'_>, lenient: bool) -> Result<Self> {
        let mut read = Self {
            resource_type,
            filters: Vec::new(),
            plan: Plan::default(),
            count: COUNT,
            sort: Sort::Id,
            total: Total::IfKnown,
            subset: Subset::Whole,
            includes: Vec::new(),
            page: None,
            used: Vec::new(),
        };
        let mut faults: Option<Problem> = None;
        let mut values = 0_usize;
        for (number, (name, value)) in (1..).zip(form_urlencoded::parse(query.as_bytes())) {
            at_most(number, setting.limits.parameters(), "parameters")?;
            values = values.saturating_add(1 + value.bytes().filter(|byte| *byte == b',').count());
            at_most(values, setting.limits.values(), "values")?;
            match read.take(&name, &value, setting, lenient) {
                Ok(true) => read.used.push((name.into_owned(), value.into_owned())),
                Ok(false) => {}
                Err(fault) => {
                    faults = Some(match faults {
                        Some(before) => before.and(fault),
                        None => fault,
                    });
                }
            }
        }
        if let Some(faults) = faults {
            return Err(faults);
        }
        read.plan = Plan::of(&read.filters, setting.base);
        Ok(read)
    }

    /// Takes a parameter, and says whether it belongs into the links.
    fn take(&mut self, name: &str, value: &str, setting: &Setting<'_>, lenient: bool) -> Result<bool> {
        let (plain, modifier) = match name.split_once(':') {
            Some((plain, modifier)) => (plain, Some(modifier)),
            None => (name, None),
        };
        match (plain, modifier) {
            ("_format" | "_pretty", None) => return Ok(false),
            ("_page", None) => {
                self.page = Some(value.into());
                return Ok(false);
            }
            ("_count", None) => self.count = count(value)?,
            ("_sort", None) => self.sort = sort(value)?,
            ("_total", None) => self.total = total(value)?,
            ("_summary", None) if value == "count" => self.count = 0,
            ("_summary", None) => self.subset = Subset::summary(value)?,
            ("_elements", None) => self.subset = Subset::elements(value),
            ("_include" | "_revinclude", modifier) => {
                let include = Include::read(plain == "_revinclude", modifier, value)?;
                if !self.includes.contains(&include) {
                    self.includes.push(include);
                    at_most(self.includes.len(), setting.limits.includes(), "includes")?;
                }
            }
            _ => match params(self.resource_type).find(|param| param.name == plain) {
                // A parameter without a value asks for nothing.
                Some(_) if value.is_empty() => return Ok(false),
                Some(param) => self.filters.push(Filter::read(param, modifier, value, setting)?),
                None if lenient => return Ok(false),
                None => return Err(unknown(self.resource_type, name)),
            },
        }
        Ok(true)
    }

    /// The address of a page of this search.
    pub(super) fn link(&self, base: &OwnBase, page: Option<&str>, format: Format) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.used.iter().filter(|(name, _)| name != "_count"));
        query.append_pair("_count", &self.count.to_string());
        if let Some(page) = page {
            query.append_pair("_page", page);
        }
        query.extend_pairs(format.parameter());
        format!("{base}/{}?{}", self.resource_type, query.finish())
    }
}

/// A number of entries.
pub(super) fn count(value: &str) -> Result<usize> {
    let read = value
        .parse::<u64>()
        .map_err(|_| Problem::bad("search-value", format_args!("`_count={value}` is not a number of entries")))?;
    Ok(usize::try_from(read).unwrap_or(MAX_COUNT).min(MAX_COUNT))
}

fn sort(value: &str) -> Result<Sort> {
    match value {
        "_id" => Ok(Sort::Id),
        "-_id" => Ok(Sort::IdDescending),
        "_lastUpdated" => Ok(Sort::Updated),
        "-_lastUpdated" => Ok(Sort::UpdatedDescending),
        _ => {
            let words =
                format!("`_sort={value}` is not supported, only `_id` and `_lastUpdated`, each with `-` or without");
            Err(Problem::unsupported(400, "search-parameter", words))
        }
    }
}

fn total(value: &str) -> Result<Total> {
    match value {
        "accurate" => Ok(Total::Accurate),
        "estimate" => Ok(Total::IfKnown),
        "none" => Ok(Total::None),
        _ => Err(Problem::bad(
            "search-value",
            format_args!("`_total={value}` is not known, only `none`, `estimate` and `accurate`"),
        )),
    }
}

fn unknown(resource_type: ResourceType, name: &str) -> Problem {
    let plain = name.split(':').next().unwrap_or_default();
    let words = if plain.contains('.') || plain == "_has" {
        format!("`{name}` goes over a reference, which is not supported: search for the other resource first")
    } else if matches!(
        plain,
        "_text" | "_content" | "_list" | "_query" | "_filter" | "_contained" | "_containedType" | "_type"
    ) {
        format!("`{name}` is not supported")
    } else {
        let known: Vec<&str> = params(resource_type).map(|param| param.name).collect();
        format!("`{name}` is not a search parameter of {resource_type} here; there are {}", known.join(", "))
    };
    Problem::unsupported(400, "search-parameter", words)
}
