//! Version downgrades.

use crate::manifest::{ActorId, Note, ProductionSpec, VersionScheme};
use crate::resource::DeviceComponent;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The permission to bring an update whose version is lower than the one that the component reports.
///
/// Sequence numbers rise all the same: an earlier version comes with a later number.
///
/// ```
/// use fhir_devices::update::VersionDowngrade;
/// let back = VersionDowngrade { reason: "4.2 loses alarms".parse()?, by: "biomed/j.doe".parse()? };
/// assert_eq!(back.by, "biomed/j.doe".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionDowngrade {
    /// The reason.
    pub reason: Note,
    /// The actor.
    pub by: ActorId,
}

/// A version that is lower than the one that the component reports.
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
    /// The version of the update.
    pub version: String,
    /// The one that the component reports.
    pub reported: String,
    /// The scheme that puts the one before the other.
    pub scheme: VersionScheme,
}

impl LowerVersion {
    /// Checks a version by those that a component reports: the first that is higher, if one is.
    ///
    /// Without a declared scheme, two versions are compared where both have the form of the same one: no text has two forms
    /// whose orders differ. Those that have none are not compared.
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

/// Returns the versions that a component reports and that an update of it changes: those of the kind that is declared,
/// else of its software, else of its firmware.
pub(crate) fn reported_versions(component: &DeviceComponent, declared: Option<ProductionSpec>) -> Vec<String> {
    let of = |spec: ProductionSpec| -> Vec<String> { spec.observed(component, None).map(str::to_owned).collect() };
    match declared {
        Some(spec) => of(spec),
        None => Some(of(ProductionSpec::Software))
            .filter(|software| !software.is_empty())
            .unwrap_or_else(|| of(ProductionSpec::Firmware)),
    }
}
