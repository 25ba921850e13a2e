//! Downgrades to a lower version.

use crate::manifest::{ActorId, Note, ProductionSpec, VersionScheme};
use crate::resource::DeviceComponent;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Permission for an update whose version is lower than the one that the component reports.
///
/// Sequence numbers still rise: an earlier version comes with a later number.
///
/// ```
/// use fhir_devices::update::VersionDowngrade;
/// let back = VersionDowngrade { reason: "4.2 loses alarms".parse()?, by: "biomed/j.doe".parse()? };
/// assert_eq!(back.by, "biomed/j.doe".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionDowngrade {
    /// Reason of the downgrade.
    pub reason: Note,
    /// Actor that permits it.
    pub by: ActorId,
}

/// Error for a version that is lower than the one that the component reports.
///
/// ```
/// use fhir_devices::manifest::VersionScheme;
/// use fhir_devices::update::LowerVersion;
/// let lower = LowerVersion { version: "1.9.0".into(), reported: "1.10.0".into(), scheme: VersionScheme::Semver };
/// assert_eq!(
///     lower.to_string(),
///     "the version is `1.9.0`, and the component reports `1.10.0` (semver): wanted none below that, or leave to go back \
///      with a reason"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the version is `{version}`, and the component reports `{reported}` ({scheme}): wanted none below that, or leave to go \
     back with a reason"
)]
pub struct LowerVersion {
    /// Version of the update.
    pub version: String,
    /// Version that the component reports.
    pub reported: String,
    /// Scheme by which the versions are compared.
    pub scheme: VersionScheme,
}

impl LowerVersion {
    /// Returns the first reported version that is higher, if there is one.
    ///
    /// Without a declared scheme, two versions are compared by a scheme that fits both: where several fit, their orders
    /// agree. Versions without a common scheme are not compared.
    ///
    /// ```
    /// use fhir_devices::manifest::VersionScheme;
    /// use fhir_devices::update::LowerVersion;
    /// let is_lower = |version, scheme| LowerVersion::find(version, scheme, &["1.10.0".to_owned()]).is_some();
    /// assert!(is_lower("1.9.0", None) && !is_lower("1.11.0", None));
    /// assert!(!is_lower("build 9", None) && !is_lower("1.9.0", Some(VersionScheme::Opaque)));
    /// ```
    #[must_use]
    pub fn find(version: &str, scheme: Option<VersionScheme>, reported: &[String]) -> Option<Self> {
        reported.iter().find_map(|runs| {
            let scheme = scheme.or_else(|| VersionScheme::inferred(version, runs))?;
            let is_lower = scheme.compare_texts(version, runs) == Some(Ordering::Less);
            is_lower.then(|| Self { version: version.to_owned(), reported: runs.clone(), scheme })
        })
    }
}

/// Returns the reported versions of a component that an update changes: those of the declared kind, else the software
/// versions, else the firmware versions.
pub(crate) fn reported_versions(component: &DeviceComponent, declared: Option<ProductionSpec>) -> Vec<String> {
    let of = |spec: ProductionSpec| -> Vec<String> { spec.observed(component, None).map(str::to_owned).collect() };
    match declared {
        Some(spec) => of(spec),
        None => Some(of(ProductionSpec::Software))
            .filter(|software| !software.is_empty())
            .unwrap_or_else(|| of(ProductionSpec::Firmware)),
    }
}
