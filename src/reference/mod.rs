//! References: from the literal text, by the place that it names, to the resource.
//!
//! [`resolve`] follows every reference of a valid resource; who answers is a [`Resolve`]: a Bundle ([`InBundle`]), what a
//! resource contains, several in order, one of your own. [`resolve_later`] asks a store, once for all.
//!
//! ```
//! use fhir_devices::reference::{InBundle, Link, Resolve};
//! use fhir_devices::{Bundle, DeviceComponent};
//!
//! let bundle = Bundle::from_json(br#"{"resourceType":"Bundle","type":"collection","entry":[
//!     {"resource":{"resourceType":"Device","id":"pump"}}]}"#)?;
//! let mds = DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},
//!     "type":{"text":"MDS"},"source":{"reference":"Device/pump"}}"#)?;
//! let (here, source) = (InBundle::new(&bundle), mds.source.as_ref().map(Link::of));
//! assert!(source.is_some_and(|link| here.resolve(&link).found().is_some()));
//! # Ok::<(), fhir_devices::Report>(())
//! ```

mod in_bundle;
pub(crate) mod item;
mod later;
mod links;
mod own_base;
mod resolve;

pub use crate::datatype::Literal;
pub use in_bundle::InBundle;
pub use item::Item;
pub use later::Then;
pub use links::{Links, Typed, resolve, resolve_later};
pub use own_base::OwnBase;
pub(crate) use own_base::{decoded, indexed, localize};
pub use resolve::{Chain, Contained, End, Link, Resolution, Resolve, ResolveLater, Resolving, ancestors};
