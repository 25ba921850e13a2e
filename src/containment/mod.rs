//! Containment tree of a device: MDS > VMD > channel > metric, with its findings, selectors and edits.
//!
//! [`components`] and [`TreeBuilder`] build a [`Tree`] from resources in any order, with every [`Finding`] about its
//! structure; [`select`] finds the one component that matches a [`Selector`]; [`move_to`], [`add_component`],
//! [`add_metric`] and [`remove`] plan changes of the tree.
//!
//! ```
//! use fhir_devices::DeviceComponent;
//! use fhir_devices::containment::{Selector, components, select};
//! use fhir_devices::nomenclature::Level;
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
mod display;
mod edit;
mod finding;
mod hash_index;
mod node_record;
mod placement;
mod reference_index;
mod rule;
mod select;
mod target;
mod tree;

pub use build::{TreeBuilder, components};
pub use edit::{ChangeAction, ChangeCondition, EditError, PlannedChange, add_component, add_metric, move_to, remove};
pub use finding::Finding;
pub use rule::{ContainmentRule, NotAProfile, Profile};
pub use select::{Candidate, IdentifierQuery, NotASelector, SelectError, Selector, select, select_of};
pub use target::{UnfitTarget, UnfitTargetReason};
pub use tree::{Node, Tree};
