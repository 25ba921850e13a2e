//! Search queries of a store.

use super::PageToken;
use crate::search::{Criterion, ResourceType};
use smol_str::SmolStr;
use std::num::NonZeroU32;

/// Search for one page of the existing resources of a type.
///
/// ```
/// use fhir_devices::store::Search;
/// use fhir_devices::search::{Criterion, ResourceType};
/// let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/pump")).limit(20);
/// assert_eq!(search.limit.get(), 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Type of the resources.
    pub resource_type: ResourceType,
    /// Criteria that every result meets; without any, every resource of the type is found.
    pub all_of: Vec<Criterion>,
    /// Maximum number of resources of a page.
    pub limit: NonZeroU32,
    /// Token of the previous page.
    pub after: Option<PageToken>,
    /// In the order of ids: excludes resources with an id up to and including this one. A store may return them all the
    /// same.
    pub behind: Option<SmolStr>,
    /// Whether bodies are wanted. Otherwise a store returns empty ones where that spares reading them.
    pub bodies: bool,
    /// Order of the results.
    pub order: SearchOrder,
}

/// Order of the results of a search. Resources of the same time are ordered by id, in the same direction as the times.
///
/// ```
/// use fhir_devices::search::ResourceType;
/// use fhir_devices::store::{Search, SearchOrder};
/// assert_eq!(Search::new(ResourceType::Device).order, SearchOrder::Id);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SearchOrder {
    /// By id, ascending.
    #[default]
    Id,
    /// By time of the newest version, oldest first. For stores with
    /// [`search_by_time`](super::Capabilities::search_by_time).
    Updated,
    /// By time of the newest version, newest first. For the same stores.
    UpdatedDescending,
}

impl Search {
    /// Creates a search for every resource of a type, 50 a page, from the start.
    #[must_use]
    pub fn new(resource_type: ResourceType) -> Self {
        let limit = NonZeroU32::MIN.saturating_add(49);
        Self {
            resource_type,
            all_of: Vec::new(),
            limit,
            after: None,
            behind: None,
            bodies: true,
            order: SearchOrder::Id,
        }
    }

    /// Adds a criterion.
    #[must_use]
    pub fn and(mut self, criterion: Criterion) -> Self {
        self.all_of.push(criterion);
        self
    }

    /// Sets the maximum number of resources of a page; 0 counts as 1.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Asks for keys, versions and times only, without bodies.
    ///
    /// ```
    /// use fhir_devices::store::Search;
    /// use fhir_devices::search::ResourceType;
    /// assert!(!Search::new(ResourceType::Device).without_bodies().bodies);
    /// ```
    #[must_use]
    pub fn without_bodies(mut self) -> Self {
        self.bodies = false;
        self
    }

    /// Sets the order.
    ///
    /// ```
    /// use fhir_devices::search::ResourceType;
    /// use fhir_devices::store::{Search, SearchOrder};
    /// let newest = Search::new(ResourceType::Device).order(SearchOrder::UpdatedDescending).limit(1);
    /// assert_eq!(newest.order, SearchOrder::UpdatedDescending);
    /// ```
    #[must_use]
    pub fn order(mut self, order: SearchOrder) -> Self {
        self.order = order;
        self
    }

    /// Asks for the page after the one that returned `token`.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }
}
