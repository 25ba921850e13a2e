//! The canonical URLs of the crate's extensions and code systems, and their configurable base.

use super::Uri;
use std::borrow::Cow;
use url::Url;

/// A canonical URL of this crate.
///
/// ```
/// use fhir_devices::primitive::{CanonicalBase, CanonicalName};
/// let default = CanonicalName::AvailableUpdate.default_url();
/// assert!(default.ends_with(".invalid/StructureDefinition/fhir-devices-available-update"));
/// assert!(CanonicalName::AvailableUpdate.matches(default));
/// assert!(!CanonicalName::RuleSystem.matches(default));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CanonicalName {
    /// The extension of a component that says which update is available.
    AvailableUpdate,
    /// The extension of an issue that names the row of the definition that was broken.
    Row,
    /// The extension of a resource on another server that holds the write id of its version.
    WriteId,
    /// The code system of the rule keys in an OperationOutcome.
    RuleSystem,
    /// The code system of the actions in an AuditEvent.
    AuditAction,
    /// The code system of the reasons in an AuditEvent or a Provenance.
    AuditReason,
    /// The code system of the kinds of actors.
    AuditActorKind,
    /// The identifier system of actors.
    AuditActor,
    /// The identifier system of tenants.
    AuditTenant,
    /// The identifier system of uploads.
    AuditIngest,
    /// The identifier system of SHA-256 digests.
    AuditSha256,
    /// The code system of the tags that say which type of STU3 a converted resource has.
    Stu3Type,
    /// The identifier system of rollouts.
    Rollout,
    /// The code system of the tags of a device that name its region.
    Region,
}

/// The base where none is set.
const DEFAULT_BASE: &str = "https://fhir-devices-f77498d7-a562-46ce-808d-d3f3f84c850b.invalid";

/// The end of the URL of a name, and the two fixed URLs that it may have.
struct Urls {
    path: &'static str,
    default: &'static str,
    /// The one of versions before 0.1.
    former: &'static str,
}

macro_rules! urls {
    ($path:literal, $former:literal) => {
        Urls {
            path: $path,
            default: concat!("https://fhir-devices-f77498d7-a562-46ce-808d-d3f3f84c850b.invalid/", $path),
            former: concat!("https://fhir-devices.example/", $former),
        }
    };
}

impl CanonicalName {
    /// Every name.
    pub const ALL: [Self; 14] = [
        Self::AvailableUpdate,
        Self::Row,
        Self::WriteId,
        Self::RuleSystem,
        Self::AuditAction,
        Self::AuditReason,
        Self::AuditActorKind,
        Self::AuditActor,
        Self::AuditTenant,
        Self::AuditIngest,
        Self::AuditSha256,
        Self::Stu3Type,
        Self::Rollout,
        Self::Region,
    ];

    const fn urls(self) -> Urls {
        match self {
            Self::AvailableUpdate => {
                urls!("StructureDefinition/fhir-devices-available-update", "StructureDefinition/available-update")
            }
            Self::Row => urls!("StructureDefinition/fhir-devices-row", "StructureDefinition/row"),
            Self::WriteId => urls!("StructureDefinition/fhir-devices-write-id", "StructureDefinition/write-id"),
            Self::RuleSystem => urls!("CodeSystem/fhir-devices-rule", "CodeSystem/rule"),
            Self::AuditAction => urls!("CodeSystem/fhir-devices-audit-action", "audit/action"),
            Self::AuditReason => urls!("CodeSystem/fhir-devices-audit-reason", "audit/reason"),
            Self::AuditActorKind => urls!("CodeSystem/fhir-devices-actor-kind", "audit/actor-kind"),
            Self::AuditActor => urls!("NamingSystem/fhir-devices-actor", "audit/actor"),
            Self::AuditTenant => urls!("NamingSystem/fhir-devices-tenant", "audit/tenant"),
            Self::AuditIngest => urls!("NamingSystem/fhir-devices-ingest", "audit/ingest"),
            Self::AuditSha256 => urls!("NamingSystem/fhir-devices-sha-256", "audit/sha-256"),
            Self::Stu3Type => urls!("CodeSystem/stu3-type", "CodeSystem/stu3-type"),
            Self::Rollout => urls!("NamingSystem/fhir-devices-rollout", "NamingSystem/rollout"),
            Self::Region => urls!("CodeSystem/fhir-devices-region", "CodeSystem/region"),
        }
    }

    /// Returns the URL of this name under the default base.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        self.urls().default
    }

    /// Returns whether `url` is this name, under whichever base it was written: the default, one of a caller's, or the
    /// one of versions before 0.1.
    #[must_use]
    pub fn matches(self, url: &str) -> bool {
        let Urls { default, path, former } = self.urls();
        if url == default || url == former {
            return true;
        }
        let base = url.strip_suffix(path).and_then(|base| base.strip_suffix('/'));
        base.is_some_and(|base| CanonicalBase::new(base).is_ok())
    }
}

/// The base that is not an absolute `http` or `https` URL, or has a query or a fragment.
///
/// ```
/// use fhir_devices::primitive::CanonicalBase;
/// let error = CanonicalBase::new("fhir.example").unwrap_err();
/// assert_eq!(error.to_string(), "`fhir.example` is not a base of canonical URLs, wanted an http or https URL without query and fragment");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a base of canonical URLs, wanted an http or https URL without query and fragment")]
#[non_exhaustive]
pub struct InvalidCanonicalBase {
    /// The text that was found, cut to its first 64 characters.
    pub found: String,
}

/// The base of the crate's canonical URLs.
///
/// FHIR wants the URL of an extension to be a URL and no URN. The default is a host whose name has a UUID in it, below
/// `.invalid`, which RFC 6761 keeps from ever being registered: nobody can come to own it, and nobody else uses it by
/// chance. Who has a domain may put the names there, to publish their definitions. What was written under any base is
/// read under every other, see [`CanonicalName::matches`].
///
/// ```
/// use fhir_devices::primitive::{CanonicalBase, CanonicalName};
///
/// let ours = CanonicalBase::new("https://fhir.hospital.example/")?;
/// let url = ours.url(CanonicalName::AvailableUpdate);
/// assert_eq!(url, "https://fhir.hospital.example/StructureDefinition/fhir-devices-available-update");
/// assert!(CanonicalName::AvailableUpdate.matches(url.as_str()));
/// # Ok::<(), fhir_devices::primitive::InvalidCanonicalBase>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanonicalBase(Option<Uri>);

impl CanonicalBase {
    /// Sets the base; trailing slashes are ignored.
    ///
    /// # Errors
    /// [`InvalidCanonicalBase`] when it is not an absolute `http` or `https` URL, or has a query or a fragment.
    pub fn new(base: &str) -> Result<Self, InvalidCanonicalBase> {
        let base = base.trim_end_matches('/');
        let is_base = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        // The text is kept as it came: canonical URLs are compared character by character.
        let uri = Uri::new(base).ok().filter(|uri| uri.to_url().is_ok_and(|url| is_base(&url)));
        match uri {
            Some(uri) => Ok(Self(Some(uri))),
            None => Err(InvalidCanonicalBase { found: base.chars().take(64).collect() }),
        }
    }

    /// Returns the canonical URL of a name under this base.
    #[must_use]
    pub fn url(&self, name: CanonicalName) -> Uri {
        // Both parts are checked: the base when it was made, the names by the tests here.
        Uri(smol_str::SmolStr::new(self.text(name)))
    }

    /// Returns the URL of something else of this crate under this base.
    pub(crate) fn below(&self, path: &str) -> String {
        let base = self.0.as_ref().map_or(DEFAULT_BASE, Uri::as_str);
        format!("{base}/{path}")
    }

    pub(crate) fn text(&self, name: CanonicalName) -> Cow<'static, str> {
        match &self.0 {
            None => Cow::Borrowed(name.default_url()),
            Some(base) => Cow::Owned(format!("{}/{}", base.as_str(), name.urls().path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases() -> [CanonicalBase; 3] {
        ["https://a.example", "http://[::1]:8080/fhir/r3"]
            .map(|base| CanonicalBase::new(base).unwrap())
            .into_iter()
            .chain([CanonicalBase::default()])
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }

    #[test]
    fn canonical_name_is_recognised_under_every_base() {
        for name in CanonicalName::ALL {
            assert_eq!(CanonicalBase::default().url(name), name.default_url());
            for written in CanonicalName::ALL {
                assert_eq!(name.matches(written.urls().former), name == written, "{name:?} {written:?}");
                for base in bases() {
                    let url = base.url(written);
                    assert!(Uri::new(&url).is_ok(), "{url}");
                    assert_eq!(name.matches(url.as_str()), name == written, "{name:?} {url}");
                }
            }
        }
    }

    #[test]
    fn foreign_urls_are_not_canonical_names() {
        for url in [
            "",
            "https://vendor.example/StructureDefinition/available-update",
            "StructureDefinition/fhir-devices-available-update",
            "/StructureDefinition/fhir-devices-available-update",
            "urn:x/StructureDefinition/fhir-devices-available-update",
            "https://vendor.example/XStructureDefinition/fhir-devices-available-update",
            "https://vendor.example/StructureDefinition/fhir-devices-available-update/2",
            "https://vendor.example/?x=/StructureDefinition/fhir-devices-available-update",
            "https://fhir-devices.example/StructureDefinition/available-update/",
        ] {
            assert!(!CanonicalName::AvailableUpdate.matches(url), "{url}");
        }
    }

    #[test]
    fn canonical_base_is_an_absolute_url() {
        for bad in [
            "",
            "/",
            "fhir",
            "urn:uuid:0",
            "ftp://a.example",
            "https://a.example/?a",
            "https://a.example#b",
            "https://a b",
        ] {
            assert!(CanonicalBase::new(bad).is_err(), "{bad}");
        }
    }
}
