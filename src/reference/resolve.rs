//! Contract of resolvers.

use crate::datatype::{Identifier, Literal, Reference, Target};
use crate::resource::Resource;
use std::borrow::Cow;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

/// Reference to resolve, with its allowed types and its context.
///
/// ```
/// use fhir_devices::datatype::{Reference, target};
/// use fhir_devices::reference::ReferenceLookup;
/// let reference = Reference::<target::Device>::to("Device/d1")?;
/// let link = ReferenceLookup::of(&reference);
/// assert_eq!(link.literal.and_then(|literal| literal.id()), Some("d1"));
/// assert_eq!(link.targets, ["Device"]);
/// # Ok::<(), fhir_devices::datatype::WrongTarget>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReferenceLookup<'l> {
    /// Literal reference; it takes precedence over the identifier.
    pub literal: Option<Literal<'l>>,
    /// Identifier of the target, for a reference without a literal.
    pub identifier: Option<&'l Identifier>,
    /// Allowed target types; empty for any.
    pub targets: &'static [&'static str],
    /// `fullUrl` of the resource that holds the reference, if known.
    pub from: Option<&'l str>,
}

impl<'l> ReferenceLookup<'l> {
    /// Creates a look-up from a reference.
    #[must_use]
    pub fn of<T: Target>(reference: &'l Reference<T>) -> Self {
        Self {
            literal: reference.literal(),
            identifier: reference.identifier.as_deref(),
            targets: T::TYPES,
            from: None,
        }
    }

    /// Sets the `fullUrl` of the resource that holds the reference.
    #[must_use]
    pub const fn from(mut self, full_url: Option<&'l str>) -> Self {
        self.from = full_url;
        self
    }

    fn allows(&self, found: &str) -> bool {
        self.targets.is_empty() || self.targets.contains(&found)
    }

    /// Returns the base URL for a relative reference, if the URL of its resource has one.
    #[must_use]
    pub fn base(&self) -> Option<&'l str> {
        match Literal::parse(self.from?) {
            Literal::Absolute { base, .. } => Some(base),
            _ => None,
        }
    }
}

/// Result of resolving a reference.
///
/// ```
/// use fhir_devices::reference::Resolution;
/// let found = Resolution::Found(7).map(|number| number + 1);
/// assert_eq!(found.found(), Some(8));
/// assert_eq!(Resolution::<u8>::Absent.found(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution<R> {
    /// The resource.
    Found(R),
    /// The resolver does not have the target; another one may.
    Absent,
    /// The resource was deleted.
    Deleted {
        /// Version of the deletion, if known.
        version: Option<String>,
    },
    /// The target has a type that the reference does not allow.
    WrongType {
        /// Type of the target.
        found: String,
    },
    /// Several resources match.
    Ambiguous {
        /// Number of matching resources.
        count: usize,
    },
    /// The resolver does not handle the reference: it points to another service, or has another form.
    NotAllowed {
        /// Reason, as a clause for a message.
        reason: &'static str,
    },
}

impl<R> Resolution<R> {
    /// Returns the resource, if found.
    pub fn found(self) -> Option<R> {
        match self {
            Self::Found(resource) => Some(resource),
            _ => None,
        }
    }

    /// Converts the resource, if found.
    pub fn map<Q>(self, change: impl FnOnce(R) -> Q) -> Resolution<Q> {
        match self {
            Self::Found(resource) => Resolution::Found(change(resource)),
            Self::Absent => Resolution::Absent,
            Self::Deleted { version } => Resolution::Deleted { version },
            Self::WrongType { found } => Resolution::WrongType { found },
            Self::Ambiguous { count } => Resolution::Ambiguous { count },
            Self::NotAllowed { reason } => Resolution::NotAllowed { reason },
        }
    }

    /// Returns whether another resolver may know the target.
    #[must_use]
    pub const fn is_unresolved(&self) -> bool {
        matches!(self, Self::Absent | Self::NotAllowed { .. })
    }
}

impl<'r> Resolution<Cow<'r, Resource>> {
    /// Replaces a resource of a type that the link does not allow by [`WrongType`](Self::WrongType).
    #[must_use]
    pub fn restricted_to(self, link: &ReferenceLookup<'_>) -> Self {
        match self {
            Self::Found(resource) if !link.allows(resource.resource_type()) => {
                Self::WrongType { found: resource.resource_type().to_owned() }
            }
            same => same,
        }
    }
}

/// Resolver of references. The caller may implement it.
///
/// ```
/// use fhir_devices::{Resource, datatype::{Reference, target}};
/// use fhir_devices::reference::{ReferenceLookup, Resolution, Resolver};
/// use std::borrow::Cow;
///
/// struct One(Resource);
/// impl Resolver for One {
///     fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>> {
///         match link.literal {
///             Some(literal) if literal.id() == self.0.id() => Resolution::Found(Cow::Borrowed(&self.0)).restricted_to(link),
///             _ => Resolution::Absent,
///         }
///     }
/// }
///
/// let one = One(Resource::from_json(br#"{"resourceType":"Device","id":"d1"}"#).unwrap());
/// let reference = Reference::<target::Device>::to("Device/d1").unwrap();
/// assert!(one.resolve(&ReferenceLookup::of(&reference)).found().is_some());
/// ```
pub trait Resolver {
    /// Resolves one reference by one look-up, without resolving the references of its target.
    fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>>;
}

/// Future of the results of an [`AsyncResolver`], in the order of the links.
pub type ResolveFuture<'a, E> = Pin<Box<dyn Future<Output = Result<Vec<Resolution<Resource>>, E>> + Send + 'a>>;

/// Asynchronous resolver of many references at once. The caller may implement it.
///
/// Failing to look up is an error; a missing target is a result.
pub trait AsyncResolver: Send + Sync {
    /// Failure of a look-up.
    type Error;

    /// Resolves references; there is one result for each link, in order. The number of round trips should not grow with
    /// the number of links.
    fn resolve_all<'a>(&'a self, links: &'a [ReferenceLookup<'a>]) -> ResolveFuture<'a, Self::Error>;
}

/// Resolver that asks several resolvers in order until one knows the target.
///
/// The next resolver is asked if one lacks the target or does not handle the reference; a deleted, ambiguous or wrongly
/// typed target is a final result.
///
/// ```
/// use fhir_devices::{Bundle, code::BundleType, datatype::{Reference, target}};
/// use fhir_devices::reference::{ResolverChain, BundleResolver, ReferenceLookup, Resolution, Resolver};
/// let (first, second) = (Bundle::new(BundleType::Collection), Bundle::new(BundleType::Collection));
/// let (first, second) = (BundleResolver::new(&first), BundleResolver::new(&second));
/// let reference = Reference::<target::Device>::to("Device/d1")?;
/// assert_eq!(ResolverChain(vec![&first, &second]).resolve(&ReferenceLookup::of(&reference)), Resolution::Absent);
/// # Ok::<(), fhir_devices::datatype::WrongTarget>(())
/// ```
#[derive(Clone, Default)]
pub struct ResolverChain<'r>(pub Vec<&'r dyn Resolver>);

impl std::fmt::Debug for ResolverChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ResolverChain").field(&self.0.len()).finish()
    }
}

impl Resolver for ResolverChain<'_> {
    fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>> {
        let mut open = Resolution::Absent;
        for resolver in &self.0 {
            match resolver.resolve(link) {
                Resolution::Absent => {}
                refused @ Resolution::NotAllowed { .. } => open = refused,
                known => return known,
            }
        }
        open
    }
}

/// Resolver of `#id` among the contained resources of a resource.
///
/// ```
/// use fhir_devices::{Device, datatype::{Reference, target}, reference::{Contained, ReferenceLookup, Resolver}};
/// let device = Device::from_json(br##"{"resourceType":"Device","owner":{"reference":"#acme"},
///     "contained":[{"resourceType":"Organization","id":"acme"}]}"##)?;
/// let owner = device.owner.as_ref().unwrap();
/// assert!(Contained(&device.contained).resolve(&ReferenceLookup::of(owner)).found().is_some());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Contained<'r>(pub &'r [Resource]);

impl Resolver for Contained<'_> {
    fn resolve<'s>(&'s self, link: &ReferenceLookup<'_>) -> Resolution<Cow<'s, Resource>> {
        let Some(Literal::Contained { id }) = link.literal else { return Resolution::Absent };
        let mut found = self.0.iter().filter(|resource| resource.id() == Some(id));
        match (found.next(), found.count()) {
            (None, _) => Resolution::Absent,
            (Some(one), 0) => Resolution::Found(Cow::Borrowed(one)).restricted_to(link),
            (Some(_), more) => Resolution::Ambiguous { count: more + 1 },
        }
    }
}

/// End of a chain of ancestors.
///
/// ```
/// use fhir_devices::{DeviceComponent, reference::{ResolverChain, AncestorsEnd, ancestors}};
/// let top = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"x"}}"#)?;
/// assert_eq!(ancestors(&ResolverChain::default(), &top, None), (vec![], AncestorsEnd::Top));
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AncestorsEnd {
    /// The last component has no parent.
    Top,
    /// The parent of the last component is already in the chain.
    Cycle,
    /// The parent of the last component could not be resolved.
    Open(Resolution<()>),
}

/// Returns the ancestors of a component, nearest first, and how the chain ends. Cycles end the chain too.
#[must_use]
pub fn ancestors<'r>(
    resolver: &'r dyn Resolver,
    component: &crate::resource::DeviceComponent,
    from: Option<&str>,
) -> (Vec<Cow<'r, Resource>>, AncestorsEnd) {
    let mut above: Vec<Cow<'r, Resource>> = Vec::new();
    // A reference that repeats marks a cycle.
    let mut seen = HashSet::new();
    if let Some(id) = component.id.as_ref().and_then(|id| id.value.as_ref()) {
        seen.insert(format!("DeviceComponent/{id}"));
    }
    loop {
        let last = match above.last().map(|resource| &**resource) {
            None => component,
            Some(Resource::DeviceComponent(last)) => last,
            Some(_) => return (above, AncestorsEnd::Top),
        };
        let Some(parent) = &last.parent else { return (above, AncestorsEnd::Top) };
        let link = ReferenceLookup::of(parent).from(from);
        let name = match link.literal {
            Some(Literal::Relative { resource_type, id, .. }) => format!("{resource_type}/{id}"),
            Some(literal) => literal.to_string(),
            None => String::new(),
        };
        let found = resolver.resolve(&link);
        match found {
            Resolution::Found(_) if !seen.insert(name) => return (above, AncestorsEnd::Cycle),
            Resolution::Found(resource) => above.push(resource),
            other => return (above, AncestorsEnd::Open(other.map(|_| ()))),
        }
    }
}
