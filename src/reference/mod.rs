//! What refers to what: the components of a device as a tree, and the one component that somebody means.
//!
//! ```
//! use fhir_devices::DeviceComponent;
//! use fhir_devices::nomenclature::Level;
//! use fhir_devices::reference::{Selector, components, select};
//!
//! let read = |json: &str| DeviceComponent::from_json(json.as_bytes());
//! let all = [
//!     read(r#"{"resourceType":"DeviceComponent","id":"pump","identifier":{"value":"1"},"type":{"coding":[
//!         {"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}"#)?,
//!     read(r#"{"resourceType":"DeviceComponent","id":"syringe","identifier":{"value":"2"},"type":{"coding":[
//!         {"system":"urn:iso:std:iso:11073:10101","code":"69986"}]},"parent":{"reference":"DeviceComponent/pump"}}"#)?,
//! ];
//! let tree = components(&all);
//! let found = select(&tree, &Selector::Level(Level::Vmd)).unwrap();
//! assert_eq!(found.path(), "pump/syringe");
//! assert!(select(&tree, &Selector::Any).is_err());
//! # Ok::<(), fhir_devices::Report>(())
//! ```

mod build;
mod check;
mod content;
mod edit;
mod finding;
mod fit;
mod in_bundle;
mod item;
mod later;
mod links;
mod names;
mod place;
mod record;
mod resolve;
mod rule;
mod select;
mod slots;
mod tree;

pub use crate::datatype::Literal;
pub use build::{Gather, components};
pub use edit::{Action, Change, EditError, Expect, add_component, add_metric, move_to, remove};
pub use finding::Finding;
pub use fit::{Unfit, UnfitReason};
pub use in_bundle::InBundle;
pub use item::Item;
pub use later::Then;
pub use links::{Links, Typed, resolve, resolve_later};
pub use resolve::{Chain, Contained, End, Link, Resolution, Resolve, ResolveLater, Resolving, ancestors};
pub use rule::{NotAProfile, Profile, Rule};
pub use select::{Candidate, Label, SelectError, Selector, select, select_of};
pub use tree::{Node, Tree};
