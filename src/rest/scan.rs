//! A search that is read page by page within the process.

use super::Server;
use super::header::Handling;
use super::problem::{Problem, Result};
use super::query::Query;
use super::sort::Sort;
use crate::search::ResourceType;
use crate::store::{ResourceStore, Version};

/// One page of what was found, and where the next one begins.
pub(crate) type Scanned = (Vec<Version>, Option<String>);

impl<S: ResourceStore + ?Sized> Server<S> {
    /// One page of a search, as it stands behind the base of the service: `DeviceComponent?type=69985`. Of what a client may say
    /// beside the criteria (order, pages, other resources to come along) nothing counts.
    pub(crate) async fn scan(
        &self,
        search: &str,
        of: ResourceType,
        count: usize,
        after: Option<&str>,
    ) -> Result<Scanned> {
        let mut query = self.scan_query(search, of)?;
        query.count = count;
        query.page = after.map(Into::into);
        let hits = self.finder(&query).await?.page().await?;
        Ok((hits.page, hits.next.map(|next| next.as_str().to_owned())))
    }

    /// Returns whether a text is such a search.
    pub(crate) fn check_scan(&self, search: &str, of: ResourceType) -> Result<()> {
        self.scan_query(search, of).map(drop)
    }

    fn scan_query(&self, search: &str, of: ResourceType) -> Result<Query> {
        let (kind, criteria) = search.split_once('?').unwrap_or((search, ""));
        if kind != of.as_str() {
            let words = format!("the search is of `{kind}`, wanted `{of}` or `{of}?` and its parameters");
            return Err(Problem::bad("search-type", words));
        }
        let mut query = Query::read(of, criteria, &self.setting(), Handling::Strict)?;
        query.sort = Sort::default();
        query.total = super::query::Total::None;
        Ok(query)
    }
}
