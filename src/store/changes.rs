//! Query for the versions of all resources of a tenant.

use super::PageToken;
use crate::search::ResourceType;
use std::num::NonZeroU32;
use time::OffsetDateTime;

/// Query for one page of the versions of all resources of a tenant or of one type, newest or oldest first.
///
/// ```
/// use fhir_devices::store::Changes;
/// use fhir_devices::search::ResourceType;
/// let changes = Changes::new().of_type(ResourceType::Device).limit(20);
/// assert_eq!((changes.resource_type, changes.limit.get()), (Some(ResourceType::Device), 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Type of the resources; `None` for every type.
    pub resource_type: Option<ResourceType>,
    /// Earliest time of a version.
    pub since: Option<OffsetDateTime>,
    /// Whether the oldest version comes first; otherwise the newest does.
    pub oldest_first: bool,
    /// Maximum number of versions of a page.
    pub limit: NonZeroU32,
    /// Token of the previous page.
    pub after: Option<PageToken>,
}

impl Changes {
    /// Creates a query for all versions of every type, 50 a page, newest first.
    #[must_use]
    pub const fn new() -> Self {
        let limit = NonZeroU32::MIN.saturating_add(49);
        Self { resource_type: None, since: None, oldest_first: false, limit, after: None }
    }

    /// Restricts the query to one resource type.
    #[must_use]
    pub const fn of_type(mut self, of: ResourceType) -> Self {
        self.resource_type = Some(of);
        self
    }

    /// Excludes versions before a moment.
    #[must_use]
    pub const fn since(mut self, moment: OffsetDateTime) -> Self {
        self.since = Some(moment);
        self
    }

    /// Orders the versions oldest first.
    ///
    /// ```
    /// use fhir_devices::store::Changes;
    /// assert!(Changes::new().oldest_first().oldest_first);
    /// ```
    #[must_use]
    pub const fn oldest_first(mut self) -> Self {
        self.oldest_first = true;
        self
    }

    /// Sets the maximum number of versions of a page; 0 counts as 1.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Asks for the page after the one that returned `token`.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}
