//! Canonical URLs of the crate's extensions and code systems, under a configurable base.

use super::Uri;
use std::borrow::Cow;
use url::Url;

/// Name of a canonical URL of this crate.
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
    /// Extension of a component with an available update.
    AvailableUpdate,
    /// Extension of an issue with the path of the violated element definition.
    Row,
    /// Extension of a resource on another server with the write id of its version.
    WriteId,
    /// Code system of the rule keys in an OperationOutcome.
    RuleSystem,
    /// Code system of the actions in an AuditEvent.
    AuditAction,
    /// Code system of the reasons in an AuditEvent or a Provenance.
    AuditReason,
    /// Code system of the kinds of actors.
    AuditActorKind,
    /// Identifier system of actors.
    AuditActor,
    /// Identifier system of tenants.
    AuditTenant,
    /// Identifier system of uploads.
    AuditIngest,
    /// Identifier system of SHA-256 digests.
    AuditSha256,
    /// Code system of the tags with the STU3 type of a converted resource.
    Stu3Type,
    /// Identifier system of rollouts.
    Rollout,
    /// Code system of the tags of a device with its region.
    Region,
}

/// Default base.
const DEFAULT_BASE: &str = "https://fhir-devices-f77498d7-a562-46ce-808d-d3f3f84c850b.invalid";

/// Path of a canonical URL under a base, and its two fixed URLs.
struct Urls {
    path: &'static str,
    default: &'static str,
    /// URL in versions before 0.1.
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
    /// All names.
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

    /// Returns the URL under the default base.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        self.urls().default
    }

    /// Returns whether `url` has this name under any base: the default, a caller's, or that of versions before 0.1.
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

/// Error for a base that is not an absolute `http` or `https` URL, or has a query or a fragment.
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
    /// Text found, cut to its first 64 characters.
    pub found: String,
}

/// Base of the crate's canonical URLs.
///
/// FHIR requires the URL of an extension to be a URL and not a URN. The default is a host whose name contains a UUID,
/// below `.invalid`, which RFC 6761 reserves from registration: nobody can own it, and nobody else uses it by chance.
/// The owner of a domain may set a base there, to publish the definitions. URLs written under any base are recognised
/// under every other, see [`CanonicalName::matches`].
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
    /// Creates a base from a URL; trailing slashes are ignored.
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
        // The text is kept unchanged: canonical URLs are compared character by character.
        let uri = Uri::new(base).ok().filter(|uri| uri.to_url().is_ok_and(|url| is_base(&url)));
        match uri {
            Some(uri) => Ok(Self(Some(uri))),
            None => Err(InvalidCanonicalBase { found: base.chars().take(64).collect() }),
        }
    }

    /// Returns the canonical URL of a name under this base.
    #[must_use]
    pub fn url(&self, name: CanonicalName) -> Uri {
        // Both parts are valid: the base was checked on construction, the names are checked by the tests here.
        Uri(smol_str::SmolStr::new(self.text(name)))
    }

    /// Returns the URL of a path under this base.
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
