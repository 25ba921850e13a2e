//! The plan of a change to a containment tree, as the writes of one commit.

use super::{Key, Precondition, Result, StoreError, Stored, VersionId, Write};
use crate::containment::{Action, Change, Expect};
use crate::resource::Resource;

/// The writes that carry a plan out, for one [`commit`](super::TenantResources::commit).
///
/// A resource that is to stay as it is is written again as it is: so the commit fails if somebody changed it.
///
/// ```
/// use fhir_devices::{DeviceComponent, containment::{components, remove}, store::{Precondition, VersionId, writes}};
/// let json = br#"{"resourceType":"DeviceComponent","id":"m","meta":{"versionId":"1"},
///     "identifier":{"value":"1"},"type":{"text":"monitor"}}"#;
/// let all = [DeviceComponent::from_json(json).unwrap()];
/// let tree = components(&all);
/// let plan = remove(tree.get("m").unwrap(), false).unwrap();
/// assert_eq!(writes(&plan)?[0].when, Precondition::Version(VersionId::FIRST));
/// # Ok::<(), fhir_devices::store::StoreError>(())
/// ```
///
/// # Errors
/// [`StoreError::Invalid`] for a resource without an id, of a type that is not stored, or of a version that no store gave.
pub fn writes(plan: &[Change]) -> Result<Vec<Write>> {
    plan.iter().map(write).collect()
}

fn write(change: &Change) -> Result<Write> {
    let when = match &change.when {
        Expect::Absent => Precondition::Absent,
        Expect::Exists => Precondition::Exists,
        Expect::Version(version) => Precondition::Version(version.parse::<VersionId>()?),
    };
    match &change.action {
        Action::Write(resource) | Action::Keep(resource) => match resource {
            Resource::Device(device) => device.write(when),
            Resource::DeviceComponent(component) => component.write(when),
            Resource::DeviceMetric(metric) => metric.write(when),
            other => Err(StoreError::invalid(format!("a {} is not stored", other.resource_type()))),
        },
        Action::Delete(resource) => {
            let id = resource.id().ok_or_else(|| StoreError::invalid("the resource has no id"))?;
            Ok(Write::delete(Key::new(resource.resource_type().parse()?, id)?, when))
        }
    }
}
