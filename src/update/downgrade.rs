//! The permission to go back to an earlier version.

use super::{ActorId, Note, VersionLabel};
use crate::primitive::Instant;
use serde::{Deserialize, Serialize};

/// The permission to go back from one version to an earlier one: why, by whom, and until when.
///
/// ```
/// use fhir_devices::update::DowngradeAuthorization;
/// let back = DowngradeAuthorization {
///     from: "2.4".parse()?,
///     to: "2.3".parse()?,
///     reason: "2.4 loses alarms".parse()?,
///     approved_by: vec!["m.jones".parse()?],
///     not_after: None,
/// };
/// assert_eq!(back.to, "2.3");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DowngradeAuthorization {
    /// The version that is left.
    pub from: VersionLabel,
    /// The version that is gone back to.
    pub to: VersionLabel,
    /// Why.
    pub reason: Note,
    /// Who allowed it; at least one.
    pub approved_by: Vec<ActorId>,
    /// The last moment at which it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Instant>,
}
