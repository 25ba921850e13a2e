//! The criteria of a subscription: a search that is asked of each version by itself.

use super::Server;
use super::filter::Filter;
use super::header::Handling;
use super::limits::Spent;
use super::problem::{Problem, Result};
use super::query::Query;
use crate::search::ResourceType;
use crate::store::{ResourceStore, Version, typed};
use std::sync::Arc;
use url::form_urlencoded;

/// The longest criteria, in bytes.
const LONGEST: usize = 2 << 10;

/// Parameters that say what a page of a search shows, and nothing of a resource.
const OF_A_PAGE: [&str; 10] =
    ["_count", "_page", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "_format", "_pretty"];

/// What a resource must meet so that a subscriber is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Criteria(Query);

impl Criteria {
    /// The type of the resources.
    pub(crate) fn resource_type(&self) -> ResourceType {
        self.0.resource_type
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Reads criteria, as `Device?model=P9`: a search of one type in the language of this service, strictly.
    pub(crate) fn criteria(&self, text: &str) -> Result<Criteria> {
        let refused = |words: String| Err(Problem::new(422, crate::issue::IssueType::NotSupported, "criteria", words));
        if text.len() > LONGEST {
            return refused(format!("the criteria are longer than {LONGEST} bytes"));
        }
        let (kind, query) = text.split_once('?').unwrap_or((text, ""));
        let Ok(kind) = kind.parse::<ResourceType>() else {
            return refused(format!("`{kind}` is not kept here, wanted a search as in `Device?model=P9`"));
        };
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            let plain = name.split(':').next().unwrap_or_default();
            if OF_A_PAGE.contains(&plain) {
                return refused(format!("`{name}` says what a page of a search shows, and criteria take none"));
            }
        }
        Query::read(kind, query, &self.setting(), Handling::Strict).map(Criteria)
    }

    /// Of each of some versions, whether it meets the criteria. A deletion meets none.
    pub(crate) async fn meet_criteria(&self, criteria: &Criteria, versions: &[Version]) -> Result<Vec<bool>> {
        let query = &criteria.0;
        // Each look has the limits of a request.
        let server = Self { spent: Arc::new(Spent::default()), ..self.clone() };
        let (inside, outside): (Vec<&Filter>, Vec<&Filter>) =
            query.filters.iter().partition(|filter| filter.needs_body());
        let mut met = Vec::with_capacity(versions.len());
        for version in versions {
            let mut is_met = !version.is_deleted()
                && version.key.resource_type() == query.resource_type
                && outside.iter().all(|filter| filter.matches(None, version, &self.base));
            if is_met && !inside.is_empty() {
                // What another program has stored and cannot be read meets nothing.
                is_met = typed(version).is_ok_and(|resource| {
                    inside.iter().all(|filter| filter.matches(Some(&resource), version, &self.base))
                });
            }
            met.push(is_met);
        }
        for chain in &query.chains {
            let some: Vec<Version> =
                versions.iter().zip(&met).filter(|(_, met)| **met).map(|(one, _)| one.clone()).collect();
            let mut held = server.holds(query.resource_type, chain, &some).await?.into_iter();
            for is_met in met.iter_mut().filter(|met| **met) {
                *is_met = held.next().unwrap_or_default();
            }
        }
        Ok(met)
    }
}
