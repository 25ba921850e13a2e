//! Conversion of a planned change of a containment tree into the writes of one commit.

use super::{Key, Precondition, Result, StoreError, ValidWrite, VersionId};
use crate::containment::{ChangeAction, ChangeCondition, PlannedChange};
use crate::issue::{Report, Severity};
use crate::validate::Valid;

/// Returns the writes that carry out a plan, for one [`commit`](super::TenantResources::commit).
///
/// A resource that the plan keeps is written again unchanged, so that the commit fails if another writer changed it.
/// Every written resource is validated.
///
/// ```
/// use fhir_devices::{DeviceComponent, containment::{components, remove}, store::{Precondition, VersionId, writes}};
/// let json = br#"{"resourceType":"DeviceComponent","id":"m","meta":{"versionId":"1"},
///     "identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json).unwrap()];
/// let tree = components(&all);
/// let plan = remove(tree.get("m").unwrap(), false).unwrap();
/// assert_eq!(writes(&plan)?[0].precondition, Precondition::Version(VersionId::FIRST));
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
///
/// # Errors
/// [`StoreError::Invalid`] for a resource that is not valid, without an id, of a type that is not stored, or with a
/// version id that no store assigned.
pub fn writes(plan: &[PlannedChange]) -> Result<Vec<ValidWrite>> {
    plan.iter().map(write).collect()
}

fn write(change: &PlannedChange) -> Result<ValidWrite> {
    let when = match &change.condition {
        ChangeCondition::Absent => Precondition::Absent,
        ChangeCondition::Exists => Precondition::Exists,
        ChangeCondition::Version(version) => Precondition::Version(version.parse::<VersionId>()?),
    };
    match &change.action {
        ChangeAction::Write(resource) | ChangeAction::Keep(resource) => {
            let (kind, id) = (resource.resource_type().to_owned(), resource.id().unwrap_or_default().to_owned());
            let valid =
                Valid::new(resource.clone()).map_err(|report| StoreError::invalid(not_valid(&kind, &id, &report)))?;
            valid.write(when)
        }
        ChangeAction::Delete(resource) => {
            let id = resource.id().ok_or_else(|| StoreError::invalid("the resource has no id"))?;
            Ok(ValidWrite::delete(Key::new(resource.resource_type().parse()?, id)?, when))
        }
    }
}

/// Returns the message for an invalid resource: its first error and the number of the others.
pub(super) fn not_valid(kind: &str, id: &str, report: &Report) -> String {
    let mut errors = report.iter().filter(|issue| issue.severity <= Severity::Error);
    let first = errors.next().map(ToString::to_string).unwrap_or_default();
    match errors.count() {
        0 => format!("{kind}/{id} is not valid: {first}"),
        more => format!("{kind}/{id} is not valid: {first}, and {more} more"),
    }
}
