//! Resolution of all references of a resource.

use super::item::token;
use super::resolve::{AsyncResolver, Contained, ReferenceLookup, Resolution, Resolver};
use crate::datatype::{Identifier, Literal, Reference, Target, target};
use crate::element::{Facts, Node};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::resource::bundle::Entry;
use crate::resource::{Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource};
use crate::validate::Valid;
use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;

/// Resolved references of a resource, each with a target of an allowed type.
///
/// ```
/// use fhir_devices::{Bundle, DeviceComponent, Valid};
/// use fhir_devices::reference::{BundleResolver, resolve};
/// let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
///     {"resource":{"resourceType":"Device","id":"pump","model":"Infusor"}}]}"#)?;
/// let component = Valid::new(DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
///     "type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#)?)?;
/// let near = BundleResolver::new(&bundle);
/// let links = resolve(&component, &near)?;
/// let device = links.to(component.source.as_ref().unwrap()).unwrap();
/// assert_eq!(device.model.as_ref().and_then(|model| model.value.as_ref()).unwrap().as_str(), "Infusor");
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Links<'r> {
    /// Paths and targets, in document order.
    all: Vec<(String, Cow<'r, Resource>)>,
    /// Index of each reference by its memory address: the resource is borrowed while this lives.
    by_address: HashMap<usize, usize>,
}

impl Links<'_> {
    /// Returns the target of this reference, which must be borrowed from the resource itself: a copy is not found, nor
    /// a reference with display text only.
    #[must_use]
    pub fn to<T: Typed>(&self, reference: &Reference<T>) -> Option<&T::Resource> {
        let number = self.by_address.get(&address(reference))?;
        self.all.get(*number).and_then(|(_, resource)| T::of(resource))
    }

    /// Returns the target of the reference at a path, such as `DeviceComponent.parent`.
    #[must_use]
    pub fn at(&self, place: &str) -> Option<&Resource> {
        self.iter().find(|(at, _)| *at == place).map(|(_, resource)| resource)
    }

    /// Iterates over the paths of references and their targets, in document order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Resource)> {
        self.all.iter().map(|(at, resource)| (at.as_str(), &**resource))
    }

    /// Returns the number of resolved references.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there are no resolved references.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Target type of a reference: the typed resource if the crate models the type, otherwise any [`Resource`].
///
/// ```
/// use fhir_devices::{Resource, datatype::target, reference::Typed};
/// let device = Resource::from_json(br#"{"resourceType":"Device"}"#)?;
/// assert!(target::Device::of(&device).is_some());
/// assert!(target::DeviceComponent::of(&device).is_none());
/// # Ok::<(), fhir_devices::Report>(())
/// ```
pub trait Typed: Target {
    /// Type of the target.
    type Resource;

    /// Returns the resource as that type.
    fn of(resource: &Resource) -> Option<&Self::Resource>;
}

macro_rules! typed {
    ($($Modelled:ident)* ; $($Other:ident)*) => {
        $(
            impl Typed for target::$Modelled {
                type Resource = $Modelled;

                fn of(resource: &Resource) -> Option<&$Modelled> {
                    match resource {
                        Resource::$Modelled(typed) => Some(typed),
                        _ => None,
                    }
                }
            }
        )*
        $(
            impl Typed for target::$Other {
                type Resource = Resource;

                fn of(resource: &Resource) -> Option<&Resource> {
                    Some(resource)
                }
            }
        )*
    };
}

typed!(Device DeviceComponent DeviceMetric; Any Location Organization Patient Practitioner RelatedPerson Author Signer);

/// Resolves every reference of a resource, including contained resources and Bundle entries.
///
/// `#id` is resolved among the contained resources, everything else by the resolver; a relative reference in a Bundle
/// is resolved against the URL of its entry. References with display text only are skipped, and so are those in
/// resources of types that the crate does not model.
///
/// # Errors
/// A [`Report`] with an error at the path of each reference that does not resolve to one resource of the right type, in
/// document order: `reference-absent`, `reference-deleted`, `reference-target`, `reference-ambiguous`,
/// `reference-refused`.
///
/// ```
/// use fhir_devices::{DeviceComponent, Valid};
/// use fhir_devices::reference::{ResolverChain, resolve};
/// let component = Valid::new(DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
///     "type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#)?)?;
/// let report = resolve(&component, &ResolverChain::default()).unwrap_err();
/// let words: Vec<_> = report.iter().map(|issue| (issue.at.as_str(), issue.message.as_str())).collect();
/// assert_eq!(words, [("DeviceComponent.source", "`Device/pump` was not found, wanted a Device")]);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
pub fn resolve<'r, T: Node>(valid: &'r Valid<T>, resolver: &'r (impl Resolver + ?Sized)) -> Result<Links<'r>, Report> {
    let asked = asked(&**valid);
    let answers: Vec<_> = asked
        .iter()
        .map(|asked| if asked.is_within() { asked.within() } else { resolver.resolve(&asked.link) })
        .collect();
    links(asked, answers)
}

/// Resolves every reference of a resource by one call of an asynchronous resolver.
///
/// # Errors
/// The error of the resolver, if it failed; inside, the [`Report`] of [`resolve`].
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::reference::resolve_async;
/// use fhir_devices::store::{StoreResolver, TenantResources};
/// use fhir_devices::{DeviceComponent, Valid};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = StoreResolver::new(TenantResources::new(Arc::new(Memory::new()), "st-mary".parse()?));
/// let component = Valid::new(DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
///     "type":{"text":"pump"},"source":{"reference":"Device/pump"}}"#)?)?;
/// let report = resolve_async(&component, &store).await?.unwrap_err();
/// assert_eq!(report.iter().next().unwrap().rule, "reference-absent");
/// # Ok(())
/// # }
/// ```
pub async fn resolve_async<'r, T: Node, R: AsyncResolver + ?Sized>(
    valid: &'r Valid<T>,
    resolver: &R,
) -> Result<Result<Links<'r>, Report>, R::Error> {
    // The look-ups borrow nodes, which need not be `Sync`, so that they must not live across the await.
    let wanted: Vec<ReferenceLookup<'r>> =
        asked(&**valid).into_iter().filter(|asked| !asked.is_within()).map(|asked| asked.link).collect();
    let mut far = if wanted.is_empty() { Vec::new() } else { resolver.resolve_all(&wanted).await? }.into_iter();
    let asked = asked(&**valid);
    let answers = asked.iter().map(|asked| {
        if asked.is_within() {
            asked.within()
        } else {
            far.next().map_or(Resolution::Absent, |answer| answer.map(Cow::Owned))
        }
    });
    let answers: Vec<_> = answers.collect();
    Ok(links(asked, answers))
}

/// Reference to be resolved.
struct PendingReference<'n> {
    at: String,
    address: Option<usize>,
    link: ReferenceLookup<'n>,
    /// Contained resources of the resource that holds the reference.
    contained: &'n [Resource],
}

impl<'n> PendingReference<'n> {
    const fn is_within(&self) -> bool {
        matches!(self.link.literal, Some(Literal::Contained { .. }))
    }

    fn within(&self) -> Resolution<Cow<'n, Resource>> {
        match Contained(self.contained).resolve(&self.link) {
            // Only borrowed resources have the lifetime of the document.
            Resolution::Found(_) => {
                let id = self.link.literal.and_then(|literal| literal.id());
                let found = self.contained.iter().find(|resource| resource.id() == id);
                found.map_or(Resolution::Absent, |found| Resolution::Found(Cow::Borrowed(found)))
            }
            other => other.map(|resource| Cow::Owned(resource.into_owned())),
        }
    }
}

/// Context of a position in the walk.
#[derive(Clone, Copy)]
struct WalkScope<'n> {
    from: Option<&'n str>,
    contained: &'n [Resource],
}

fn asked(root: &dyn Node) -> Vec<PendingReference<'_>> {
    let mut all = Vec::new();
    let name = match root.facts() {
        Facts::Resource { resource_type, .. } | Facts::Text { resource_type, .. } => resource_type,
        _ => root.definition().map_or("", |definition| definition.path),
    };
    walk(root, &Path::root(name), WalkScope { from: None, contained: contained(root) }, &mut all);
    all
}

fn walk<'n>(node: &'n dyn Node, at: &Path<'_>, scope: WalkScope<'n>, all: &mut Vec<PendingReference<'n>>) {
    if let Facts::Reference { literal, targets } = node.facts() {
        let mut identifier = None;
        node.children(at, &mut |child, below| {
            if child.name() == "identifier" {
                identifier = below.as_any().and_then(|any| any.downcast_ref::<Identifier>());
            }
        });
        let link = ReferenceLookup { literal: literal.map(Literal::parse), identifier, targets, from: scope.from };
        if link.literal.is_some() || identifier.is_some() {
            let address = node.as_any().map(address);
            all.push(PendingReference { at: at.to_string(), address, link, contained: scope.contained });
        }
    }
    let entry = node.as_any().and_then(|any| any.downcast_ref::<Entry>());
    let from = entry.map(|entry| entry.full_url.as_ref().and_then(|url| url.value.as_ref()).map(|url| url.as_str()));
    node.children(at, &mut |child, below| {
        let is_resource = matches!(below.facts(), Facts::Resource { .. } | Facts::Text { .. });
        let inner = match from {
            // A resource has its own contained resources; a contained resource refers to its siblings.
            Some(from) if is_resource => WalkScope { from, contained: contained(below) },
            _ if is_resource && child.name() != "contained" => WalkScope { contained: contained(below), ..scope },
            _ => scope,
        };
        walk(below, child, inner, all);
    });
}

/// Returns the contained resources of a node.
fn contained(node: &dyn Node) -> &[Resource] {
    let Some(any) = node.as_any() else { return &[] };
    None.or_else(|| any.downcast_ref::<Device>().map(|one| &*one.contained))
        .or_else(|| any.downcast_ref::<DeviceComponent>().map(|one| &*one.contained))
        .or_else(|| any.downcast_ref::<DeviceMetric>().map(|one| &*one.contained))
        .or_else(|| any.downcast_ref::<OperationOutcome>().map(|one| &*one.contained))
        .unwrap_or_default()
}

fn address<T: Any + ?Sized>(of: &T) -> usize {
    std::ptr::from_ref(of).cast::<()>().addr()
}

fn links<'r>(
    asked: Vec<PendingReference<'r>>,
    answers: Vec<Resolution<Cow<'r, Resource>>>,
) -> Result<Links<'r>, Report> {
    let mut links = Links::default();
    let mut report = Report::new();
    for (asked, answer) in asked.into_iter().zip(answers) {
        match answer.restricted_to(&asked.link) {
            Resolution::Found(resource) => {
                if let Some(address) = asked.address {
                    links.by_address.insert(address, links.all.len());
                }
                links.all.push((asked.at, resource));
            }
            other => report.push(issue(&asked, &other)),
        }
    }
    if report.is_empty() { Ok(links) } else { Err(report) }
}

fn issue(asked: &PendingReference<'_>, answer: &Resolution<Cow<'_, Resource>>) -> Issue {
    let name = match (asked.link.literal, asked.link.identifier.and_then(token)) {
        (Some(literal), _) => format!("`{literal}`"),
        (None, Some((Some(system), value))) => format!("what has the identifier `{system}|{value}`"),
        (None, Some((None, value))) => format!("what has the identifier `{value}`"),
        (None, None) => "what has an identifier without a value".to_owned(),
    };
    let wanted = match asked.link.targets {
        [] => "a resource".to_owned(),
        types => format!("a {}", types.join(" or ")),
    };
    let (rule, kind, message) = match answer {
        Resolution::Found(_) | Resolution::Absent => {
            ("reference-absent", IssueType::NotFound, format!("{name} was not found, wanted {wanted}"))
        }
        Resolution::Deleted { .. } => {
            ("reference-deleted", IssueType::NotFound, format!("{name} was deleted, wanted {wanted}"))
        }
        Resolution::WrongType { found } => {
            ("reference-target", IssueType::Value, format!("{name} is a {found}, wanted {wanted}"))
        }
        Resolution::Ambiguous { count } => {
            ("reference-ambiguous", IssueType::Duplicate, format!("{name} may be one of {count} resources, wanted one"))
        }
        Resolution::NotAllowed { reason } => (
            "reference-refused",
            IssueType::Forbidden,
            format!("{name} was not looked for, as {reason}; wanted {wanted}"),
        ),
    };
    Issue::new(rule, Severity::Error, kind, asked.at.clone(), message).with_row("Reference")
}
