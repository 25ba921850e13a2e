//! Resolution of references from a store, and reading of device trees.

use super::{Key, ResourceStore, Result, Search, StoreError, Stored, TenantResources, Version, VersionId};
use crate::containment::{Tree, TreeBuilder};
use crate::datatype::Literal;
use crate::reference::{AsyncResolver, OwnBase, ReferenceLookup, Resolution, ResolveFuture, decoded, localize};
use crate::resource::{Device, DeviceComponent, DeviceMetric, Resource};
use crate::search::{Criterion, Parameter, ResourceType};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Resolves references from a store, with one search per resource type.
///
/// Missing resources are read one by one, to tell deleted ones from those that never existed: at most
/// [`MAX_SINGLE_READS`](Self::MAX_SINGLE_READS) in a call. A version other than the newest is also read by itself,
/// without that limit.
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::datatype::{Reference, target};
/// use fhir_devices::reference::{ReferenceLookup, Resolution, AsyncResolver};
/// use fhir_devices::store::{StoreResolver, TenantResources};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = StoreResolver::new(TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?));
/// let reference = Reference::<target::Device>::to("Device/pump")?;
/// assert_eq!(store.resolve_all(&[ReferenceLookup::of(&reference)]).await?, [Resolution::Absent]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StoreResolver<S: ?Sized> {
    store: TenantResources<S>,
}

impl<S: ResourceStore + ?Sized> StoreResolver<S> {
    /// Maximum number of missing resources of a call that are read one by one.
    pub const MAX_SINGLE_READS: usize = 8;

    /// Creates a resolver of relative references, and of absolute ones to the store's own [base](TenantResources::at).
    #[must_use]
    pub fn new(store: TenantResources<S>) -> Self {
        Self { store }
    }

    /// Sets the base of the store's own service, so that absolute references to it are resolved too.
    #[must_use]
    pub fn at(mut self, base: impl Into<String>) -> Self {
        self.store = self.store.at(OwnBase::new(&base.into()));
        self
    }

    /// Returns the key and version to read, or the resolution where no read is needed.
    fn ask(&self, link: &ReferenceLookup<'_>) -> Result<(Key, Option<VersionId>), Resolution<Resource>> {
        let refuse = |reason| Resolution::NotAllowed { reason };
        let decoded = link.literal.and_then(decoded);
        let literal = decoded.as_deref().map(Literal::parse).or(link.literal);
        let (resource_type, id, version) = match literal.map(|literal| localize(self.store.own_base(), literal)) {
            Some(Literal::Relative { resource_type, id, version }) => (resource_type, id, version),
            Some(Literal::Absolute { .. }) => return Err(refuse("it is at another service")),
            Some(Literal::Contained { .. }) => {
                return Err(refuse("a contained resource is known to its container alone"));
            }
            Some(_) => return Err(refuse("it names no resource of a service")),
            None => return Err(refuse("the store is not asked by identifier")),
        };
        if !link.targets.is_empty() && !link.targets.contains(&resource_type) {
            return Err(Resolution::WrongType { found: resource_type.to_owned() });
        }
        let stored = resource_type.parse().map_err(|_| refuse("the store keeps devices and their parts alone"))?;
        let version = version.map(str::parse::<VersionId>).transpose().map_err(|_| Resolution::Absent)?;
        Ok((Key::new(stored, id).map_err(|_| Resolution::Absent)?, version))
    }

    async fn resolve_each(&self, links: &[ReferenceLookup<'_>]) -> Result<Vec<Resolution<Resource>>> {
        let asked: Vec<_> = links.iter().map(|link| self.ask(link)).collect();
        let mut ids: BTreeMap<ResourceType, BTreeSet<SmolStr>> = BTreeMap::new();
        for (key, _) in asked.iter().flatten() {
            ids.entry(key.resource_type()).or_default().insert(key.id().clone());
        }
        let mut found = HashMap::new();
        for (resource_type, ids) in ids {
            let search = Search::new(resource_type).and(Criterion::AnyId(ids)).limit(u32::MAX);
            found.extend(self.store.all(search).await?.into_iter().map(|version| (version.key.clone(), version)));
        }
        let mut looked_for = 0;
        let mut answers = Vec::with_capacity(asked.len());
        for ask in asked {
            let (key, wanted) = match ask {
                Ok(ask) => ask,
                Err(answer) => {
                    answers.push(answer);
                    continue;
                }
            };
            let read = match (found.get(&key), wanted) {
                (Some(newest), wanted) if wanted.is_none_or(|wanted| wanted == newest.version) => Ok(newest.clone()),
                (_, Some(wanted)) => self.store.vread(&key, wanted).await,
                (_, None) if looked_for < Self::MAX_SINGLE_READS => {
                    looked_for += 1;
                    self.store.read(&key).await
                }
                (_, None) => Err(StoreError::not_found()),
            };
            answers.push(match read {
                Ok(version) if version.is_deleted() => {
                    Resolution::Deleted { version: Some(version.version.to_string()) }
                }
                Ok(version) => Resolution::Found(typed(&version)?),
                Err(StoreError::Gone { at, .. }) => Resolution::Deleted { version: Some(at.to_string()) },
                Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => Resolution::Absent,
                Err(error) => return Err(error),
            });
        }
        Ok(answers)
    }
}

impl<S: ResourceStore + ?Sized> AsyncResolver for StoreResolver<S> {
    type Error = StoreError;

    fn resolve_all<'a>(&'a self, links: &'a [ReferenceLookup<'a>]) -> ResolveFuture<'a, StoreError> {
        Box::pin(self.resolve_each(links))
    }
}

/// Parses the resource of a version.
pub(crate) fn typed(version: &Version) -> Result<Resource> {
    Ok(match version.key.resource_type() {
        ResourceType::Device => Device::from_version(version)?.into(),
        ResourceType::DeviceComponent => DeviceComponent::from_version(version)?.into(),
        ResourceType::DeviceMetric => DeviceMetric::from_version(version)?.into(),
    })
}

/// Device with its components and metrics, read from a store.
///
/// ```
/// # use fhir_devices::{backend::Memory, store::TenantResources};
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use fhir_devices::{Device, Valid};
/// let store = TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?);
/// let pump = Device::from_json(br#"{"resourceType":"Device","id":"pump"}"#)?;
/// store.create(&Valid::new(pump)?).await?;
/// let device_tree = store.device_tree("pump").await?;
/// assert_eq!(device_tree.tree().top_level().next().unwrap().path(), "pump");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeviceTree {
    /// Resources of the tree, the device first.
    pub resources: Vec<Resource>,
    own: Option<OwnBase>,
}

impl DeviceTree {
    /// Returns the containment tree of the resources.
    #[must_use]
    pub fn tree(&self) -> Tree<'_> {
        self.resources
            .iter()
            .fold(TreeBuilder::with_capacity(self.resources.len()).at(self.own.clone()), TreeBuilder::with)
            .build()
    }
}

/// Resources with the versions that they were parsed from.
pub(crate) type DeviceMembers = Vec<(Resource, Version)>;

impl<S: ResourceStore + ?Sized> TenantResources<S> {
    /// Returns the device, all components and metrics that name it as source, the components above them with another
    /// source or none, and resources below these that name a parent but no source.
    ///
    /// The calls are one read for the device, one search each for components and metrics, one search for each level
    /// above those, and two for each level of resources that name only a parent. Their number does not grow with the
    /// number of resources, except for the pages into which a store divides its results.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Gone`] when there is no such device; otherwise as
    /// [`ResourceStore::search`].
    pub async fn device_tree(&self, device: &str) -> Result<DeviceTree> {
        let key = Key::new(ResourceType::Device, device)?;
        let device = typed(&self.read(&key).await?)?;
        let device_members =
            self.device_members(&key, &[ResourceType::DeviceComponent, ResourceType::DeviceMetric]).await?;
        let resources =
            std::iter::once(device).chain(device_members.into_iter().map(|(resource, _)| resource)).collect();
        Ok(DeviceTree { resources, own: self.own_base().cloned() })
    }

    /// Returns the members of a device of these types: see [`device_tree`](Self::device_tree).
    pub(crate) async fn device_members(&self, device: &Key, types: &[ResourceType]) -> Result<DeviceMembers> {
        let mut device_members = DeviceMembers::new();
        for resource_type in types {
            let of_device = self.refers(Parameter::Source, device);
            device_members.extend(self.found(*resource_type, of_device).await?);
        }
        let mut known: BTreeSet<Key> = device_members.iter().map(|(_, version)| version.key.clone()).collect();
        let mut next = 0;
        loop {
            let above = device_members.iter().skip(next).filter_map(|(resource, _)| self.parent(resource));
            let is_known = |id: &SmolStr| component_key(id).is_some_and(|key| known.contains(&key));
            let wanted: BTreeSet<SmolStr> = above.filter(|id| !is_known(id)).collect();
            if wanted.is_empty() {
                break;
            }
            next = device_members.len();
            known.extend(wanted.iter().filter_map(component_key));
            device_members.extend(self.found(ResourceType::DeviceComponent, Criterion::AnyId(wanted)).await?);
        }
        // Members of another device's component belong to that device.
        let of_device = device.to_string();
        let mut from = 0;
        loop {
            let holders = device_members.iter().skip(from).filter(|(resource, version)| {
                let is_own = self.source(resource).is_none_or(|source| source == of_device);
                version.key.resource_type() == ResourceType::DeviceComponent && is_own
            });
            let parents = holders.map(|(_, version)| self.refers(Parameter::Parent, &version.key));
            let below = Criterion::AnyOf(parents.collect());
            if below == Criterion::AnyOf(Vec::new()) {
                return Ok(device_members);
            }
            from = device_members.len();
            for resource_type in types {
                for one in self.found(*resource_type, below.clone()).await? {
                    if self.source(&one.0).is_none() && known.insert(one.1.key.clone()) {
                        device_members.push(one);
                    }
                }
            }
        }
    }

    /// Returns the criterion for resources that refer to `to`, in any form of the reference.
    pub(crate) fn refers(&self, parameter: Parameter, to: &Key) -> Criterion {
        let relative = to.to_string();
        match self.own_base() {
            None => Criterion::value(parameter, &relative),
            Some(own) => {
                Criterion::AnyOf(own.forms(&relative).iter().map(|form| Criterion::value(parameter, form)).collect())
            }
        }
    }

    /// Returns the source reference of a resource without its version; relative where it points into this store.
    fn source(&self, resource: &Resource) -> Option<String> {
        let source = match resource {
            Resource::DeviceComponent(component) => component.source.as_ref(),
            Resource::DeviceMetric(metric) => metric.source.as_ref(),
            _ => None,
        };
        let literal = source?.literal().unwrap_or(Literal::Other(""));
        let decoded = decoded(literal);
        Some(match localize(self.own_base(), decoded.as_deref().map_or(literal, Literal::parse)) {
            Literal::Relative { resource_type, id, .. } => format!("{resource_type}/{id}"),
            other => other.to_string(),
        })
    }

    /// Returns the id of the parent component, where the reference points into this store.
    fn parent(&self, resource: &Resource) -> Option<SmolStr> {
        let parent = match resource {
            Resource::DeviceComponent(component) => component.parent.as_ref(),
            Resource::DeviceMetric(metric) => metric.parent.as_ref(),
            _ => None,
        };
        let literal = parent?.literal()?;
        let decoded = decoded(literal);
        match localize(self.own_base(), decoded.as_deref().map_or(literal, Literal::parse)) {
            Literal::Relative { id, .. } => Some(id.into()),
            _ => None,
        }
    }

    async fn found(&self, resource_type: ResourceType, criterion: Criterion) -> Result<DeviceMembers> {
        let search = Search::new(resource_type).and(criterion).limit(u32::MAX);
        let versions = self.all(search).await?;
        versions.into_iter().map(|version| Ok((typed(&version)?, version))).collect()
    }
}

fn component_key(id: &SmolStr) -> Option<Key> {
    Key::new(ResourceType::DeviceComponent, id.clone()).ok()
}
