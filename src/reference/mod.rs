//! References: parsing of literals, and resolution to resources.
//!
//! [`resolve`] resolves every reference of a valid resource by a [`Resolver`]: a Bundle ([`BundleResolver`]), the
//! contained resources of a resource, a chain of resolvers, or the caller's own. [`resolve_async`] resolves them from a
//! store in one call.
//!
//! ```
//! use fhir_devices::reference::{BundleResolver, ReferenceLookup, Resolver};
//! use fhir_devices::{Bundle, DeviceComponent};
//!
//! let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
//!     {"resource":{"resourceType":"Device","id":"pump"}}]}"#)?;
//! let mds = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
//!     "type":{"text":"MDS"},"source":{"reference":"Device/pump"}}"#)?;
//! let (here, source) = (BundleResolver::new(&bundle), mds.source.as_ref().map(ReferenceLookup::of));
//! assert!(source.is_some_and(|link| here.resolve(&link).found().is_some()));
//! # Ok::<(), fhir_devices::Report>(())
//! ```

mod async_resolver;
mod bundle_resolver;
pub(crate) mod item;
mod links;
mod own_base;
mod resolve;

pub use crate::datatype::Literal;
pub use async_resolver::LocalThenRemote;
pub use bundle_resolver::BundleResolver;
pub use item::Item;
pub use links::{Links, Typed, resolve, resolve_async};
pub use own_base::OwnBase;
pub(crate) use own_base::{decoded, indexed, localize};
pub use resolve::{
    AncestorsEnd, AsyncResolver, Contained, ReferenceLookup, Resolution, ResolveFuture, Resolver, ResolverChain,
    ancestors,
};
