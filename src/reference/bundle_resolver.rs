//! Resolution of references between Bundle entries, by the rules of FHIR STU3 for `fullUrl`.

use super::item::{Item, token};
use super::resolve::{ReferenceLookup, Resolution, Resolver};
use crate::datatype::Literal;
use crate::resource::{Bundle, Resource};
use std::borrow::Cow;
use std::collections::HashMap;

/// Resolver of references within a Bundle. Construction takes one pass; each resolution is one look-up.
///
/// - A relative reference is resolved against the base URL of its own entry ([`ReferenceLookup::from`]). If that entry
///   has no base (`urn:uuid:..`), the reference resolves to the only entry of that type and id, whatever its base.
/// - A reference with a version needs an entry with that version.
/// - An entry without `fullUrl` is found by relative references with its type and id.
/// - A reference by identifier only resolves to the only device, component or metric with that identifier.
///
/// ```
/// use fhir_devices::{Bundle, datatype::{Reference, target}, reference::{BundleResolver, ReferenceLookup, Resolver}};
/// let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
///     {"fullUrl":"https://ehr.example/Device/d1","resource":{"resourceType":"Device","id":"d1"}}]}"#)?;
/// let resolver = BundleResolver::new(&bundle);
/// let reference = Reference::<target::Device>::to("Device/d1").unwrap();
/// let link = ReferenceLookup::of(&reference).from(Some("https://ehr.example/DeviceMetric/m1"));
/// assert!(resolver.resolve(&link).found().is_some());
/// let elsewhere = ReferenceLookup::of(&reference).from(Some("https://other.example/DeviceMetric/m1"));
/// assert!(resolver.resolve(&elsewhere).found().is_none());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Debug)]
pub struct BundleResolver<'b> {
    /// Entries by `fullUrl`, which several versions share.
    urls: HashMap<&'b str, Vec<&'b Resource>>,
    /// Entries by type and id: those without `fullUrl`, and all with a type and id.
    bare: HashMap<(&'b str, &'b str), Vec<&'b Resource>>,
    anywhere: HashMap<(&'b str, &'b str), Vec<&'b Resource>>,
    identifiers: HashMap<(Option<&'b str>, &'b str), Vec<&'b Resource>>,
}

impl<'b> BundleResolver<'b> {
    /// Indexes every entry of a Bundle.
    #[must_use]
    pub fn new(bundle: &'b Bundle) -> Self {
        let mut new = Self {
            urls: HashMap::with_capacity(bundle.entry.len()),
            bare: HashMap::new(),
            anywhere: HashMap::with_capacity(bundle.entry.len()),
            identifiers: HashMap::new(),
        };
        for entry in &bundle.entry {
            let Some(resource) = &entry.resource else { continue };
            let url = entry.full_url.as_ref().and_then(|url| url.value.as_ref()).map(|url| url.as_str());
            let named = match url.map(Literal::parse) {
                Some(Literal::Absolute { resource_type, id, .. }) => Some((resource_type, id)),
                Some(_) => None,
                None => resource.id().map(|id| (resource.resource_type(), id)),
            };
            if let Some(url) = url {
                new.urls.entry(url).or_default().push(resource);
            }
            if let Some(name) = named {
                new.anywhere.entry(name).or_default().push(resource);
                if url.is_none() {
                    new.bare.entry(name).or_default().push(resource);
                }
            }
            for token in Item::of(resource).into_iter().flat_map(Item::identifiers).filter_map(token) {
                new.identifiers.entry(token).or_default().push(resource);
            }
        }
        new
    }
}

impl Resolver for BundleResolver<'_> {
    fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>> {
        let found: Vec<&'s Resource> = match link.literal {
            None => {
                let key = link.identifier.and_then(token);
                let found = key.and_then(|key| self.identifiers.get(&key)).map_or(&[][..], Vec::as_slice);
                let of_type =
                    |resource: &&&Resource| link.targets.is_empty() || link.targets.contains(&resource.resource_type());
                return one(found.iter().filter(of_type).copied().collect(), None, link);
            }
            Some(Literal::Contained { .. }) => {
                return Resolution::NotAllowed { reason: "a contained resource is known to its container alone" };
            }
            Some(Literal::Conditional { .. }) => {
                return Resolution::NotAllowed { reason: "a conditional reference is for transactions alone" };
            }
            Some(Literal::Relative { resource_type, id, .. }) => match link.base() {
                Some(base) => {
                    let url = format!("{base}/{resource_type}/{id}");
                    let bare = self.bare.get(&(resource_type, id));
                    self.urls.get(url.as_str()).into_iter().chain(bare).flatten().copied().collect()
                }
                None => self.anywhere.get(&(resource_type, id)).into_iter().flatten().copied().collect(),
            },
            Some(Literal::Absolute { base, resource_type, id, .. }) => {
                let url = format!("{base}/{resource_type}/{id}");
                self.urls.get(url.as_str()).into_iter().flatten().copied().collect()
            }
            Some(Literal::Urn(url) | Literal::Other(url)) => {
                self.urls.get(url).into_iter().flatten().copied().collect()
            }
        };
        one(found, link.literal.and_then(|literal| literal.version()), link)
    }
}

/// Returns the only resource found, restricted to `version` if given.
fn one<'s>(
    mut found: Vec<&'s Resource>,
    version: Option<&str>,
    link: &ReferenceLookup<'_>,
) -> Resolution<Cow<'s, Resource>> {
    if let Some(version) = version {
        found.retain(|resource| version_of(resource).as_deref() == Some(version));
    }
    match found[..] {
        [] => Resolution::Absent,
        [one] => Resolution::Found(Cow::Borrowed(one)).restricted_to(link),
        _ => Resolution::Ambiguous { count: found.len() },
    }
}

fn version_of(resource: &Resource) -> Option<Cow<'_, str>> {
    if let Some(item) = Item::of(resource) {
        return item.version().map(|version| Cow::Borrowed(version.as_str()));
    }
    let Resource::Other(other) = resource else { return None };
    let meta: serde_json::Value = serde_json::from_str(other.member("meta")?).ok()?;
    Some(Cow::Owned(meta.get("versionId")?.as_str()?.to_owned()))
}
