//! Searches.

use super::PageToken;
use crate::search::{Criterion, ResourceType};
use smol_str::SmolStr;
use std::num::NonZeroU32;

/// A search for one page of the living resources of a type.
///
/// ```
/// use fhir_devices::store::Search;
/// use fhir_devices::search::{Criterion, ResourceType};
/// let search = Search::new(ResourceType::DeviceComponent).and(Criterion::source("Device/pump")).limit(20);
/// assert_eq!(search.limit.get(), 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The type to look among.
    pub resource_type: ResourceType,
    /// What each resource found must meet; with none, every resource of the type is found.
    pub all_of: Vec<Criterion>,
    /// The most resources of a page.
    pub limit: NonZeroU32,
    /// Where the page before ended.
    pub after: Option<PageToken>,
    /// In the order of ids: resources with an id up to this one are not wanted. A store may give them all the same.
    pub behind: Option<SmolStr>,
    /// Whether the bodies are wanted. Without, a store gives empty ones where that spares it to read them.
    pub bodies: bool,
    /// In which order they come.
    pub order: SearchOrder,
}

/// The order in which a search finds resources. Of those that have one time, the order is that of the ids, ascending or
/// descending as that of the times.
///
/// ```
/// use fhir_devices::search::ResourceType;
/// use fhir_devices::store::{Search, SearchOrder};
/// assert_eq!(Search::new(ResourceType::Device).order, SearchOrder::Id);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SearchOrder {
    /// By their ids.
    #[default]
    Id,
    /// By the times of their newest versions, the oldest first. For stores with
    /// [`search_by_time`](super::Capabilities::search_by_time).
    Updated,
    /// The same, the newest first.
    UpdatedDescending,
}

impl Search {
    /// Returns every resource of a type, 50 a page, from the start.
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

    /// Without bodies: what is wanted is which resources there are, in which versions and of which times.
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

    /// Returns the page behind the one that gave `token`.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }
}
