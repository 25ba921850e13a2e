//! What a query string asks for.

use super::chain::Chain;
use super::filter::{Filter, Setting};
use super::format::Format;
use super::header::Handling;
use super::include::Include;
use super::limits::at_most;
use super::plan::Plan;
use super::problem::{Problem, Result};
use super::sort::Sort;
use super::subset::Subset;
use crate::reference::OwnBase;
use crate::search::{ResourceType, params};
use smol_str::SmolStr;
use url::form_urlencoded;

/// The most entries of a page, the included ones not counted.
pub(super) const MAX_COUNT: usize = 500;

/// The entries of a page, where the client does not say.
pub(super) const COUNT: usize = 50;

/// Whether the total is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// Only where it costs next to nothing.
    IfKnown,
    /// Always.
    Accurate,
    /// Always, and as far as one request may count.
    Estimate,
    /// Never.
    None,
}

/// A search, read from its query.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) resource_type: ResourceType,
    pub(super) filters: Vec<Filter>,
    /// Conditions on other resources.
    pub(super) chains: Vec<Chain>,
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
    /// The parameters that are not known, and were passed over.
    pub(super) ignored: Vec<String>,
}

impl Query {
    /// Reads a query. A parameter without a value asks for nothing; one that is not known is passed over or refused, as
    /// `handling` says. Every fault is told.
    pub(super) fn read(
        resource_type: ResourceType,
        query: &str,
        setting: &Setting<'_>,
        handling: Handling,
    ) -> Result<Self> {
        let mut read = Self {
            resource_type,
            filters: Vec::new(),
            chains: Vec::new(),
            plan: Plan::default(),
            count: COUNT,
            sort: Sort::default(),
            total: Total::IfKnown,
            subset: Subset::Whole,
            includes: Vec::new(),
            page: None,
            used: Vec::new(),
            ignored: Vec::new(),
        };
        let mut faults: Option<Problem> = None;
        let mut values = 0_usize;
        for (number, (name, value)) in (1..).zip(form_urlencoded::parse(query.as_bytes())) {
            at_most(number, setting.limits.parameters(), "parameters")?;
            values = values.saturating_add(1 + value.bytes().filter(|byte| *byte == b',').count());
            at_most(values, setting.limits.values(), "values")?;
            if value.is_empty() {
                continue;
            }
            match read.take(&name, &value, setting, handling) {
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
        read.plan = Plan::of(&read.filters, setting);
        Ok(read)
    }

    /// Takes a parameter, and says whether it belongs into the links.
    fn take(&mut self, name: &str, value: &str, setting: &Setting<'_>, handling: Handling) -> Result<bool> {
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
            ("_sort", None) => {
                let before = self.ignored.len();
                self.sort = Sort::read(self.resource_type, value, &mut self.ignored)?;
                if let Some(unsorted) = self.ignored.get(before).filter(|_| handling == Handling::Strict) {
                    return Err(unknown(self.resource_type, unsorted));
                }
            }
            ("_total", None) => self.total = total(value)?,
            ("_summary", None) if value == "count" => self.count = 0,
            ("_summary", None) => self.subset = Subset::summary(value)?,
            ("_elements", None) => self.subset = Subset::elements(value),
            ("_include" | "_revinclude", modifier) => {
                for include in Include::read(plain == "_revinclude", modifier, value)? {
                    if !self.includes.contains(&include) {
                        self.includes.push(include);
                        at_most(self.includes.len(), setting.limits.includes(), "includes")?;
                    }
                }
            }
            _ => match Chain::read(self.resource_type, name, value, setting)? {
                Some(chain) => self.chains.push(chain),
                None => return self.take_param(name, (plain, modifier), value, setting, handling),
            },
        }
        Ok(true)
    }

    /// Takes a search parameter of the type, and says whether it belongs into the links.
    fn take_param(
        &mut self,
        name: &str,
        (plain, modifier): (&str, Option<&str>),
        value: &str,
        setting: &Setting<'_>,
        handling: Handling,
    ) -> Result<bool> {
        match params(self.resource_type).find(|param| param.name == plain) {
            Some(param) => self.filters.push(Filter::read(param, modifier, value, setting)?),
            None if handling == Handling::Lenient && !REFUSED.contains(&plain) => {
                self.ignored.push(name.to_owned());
                return Ok(false);
            }
            None => return Err(unknown(self.resource_type, name)),
        }
        Ok(true)
    }

    /// Returns the address of a page of this search.
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

/// Returns a number of entries.
pub(super) fn count(value: &str) -> Result<usize> {
    let read = value
        .parse::<u64>()
        .map_err(|_| Problem::bad("search-value", format_args!("`_count={value}` is not a number of entries")))?;
    Ok(usize::try_from(read).unwrap_or(MAX_COUNT).min(MAX_COUNT))
}

fn total(value: &str) -> Result<Total> {
    match value {
        "accurate" => Ok(Total::Accurate),
        "estimate" => Ok(Total::Estimate),
        "none" => Ok(Total::None),
        _ => Err(Problem::bad(
            "search-value",
            format_args!("`_total={value}` is not known, only `none`, `estimate` and `accurate`"),
        )),
    }
}

/// Parameters of every search in FHIR that this service does not offer. They are refused also where others are passed over.
pub(super) const REFUSED: [&str; 7] =
    ["_text", "_content", "_filter", "_list", "_query", "_contained", "_containedType"];

fn unknown(resource_type: ResourceType, name: &str) -> Problem {
    let plain = name.split(':').next().unwrap_or_default();
    let words = if REFUSED.contains(&plain) {
        format!("`{name}` is not supported here, and is not passed over: what is found would be something else")
    } else {
        let known: Vec<&str> = params(resource_type).map(|param| param.name).collect();
        format!("`{name}` is not a search parameter of {resource_type} here; there are {}", known.join(", "))
    };
    Problem::unsupported(400, "search-parameter", words)
}
