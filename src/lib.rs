//! Medical devices as HL7 FHIR STU3 resources, lossless and checked.

#[macro_use]
pub mod element;
pub mod backend;
pub mod code;
#[macro_use]
pub mod datatype;
pub mod issue;
pub mod nomenclature;
pub mod primitive;
pub mod reference;
pub mod resource;
pub mod service;
pub mod store;
pub mod update;
pub mod validate;

pub use issue::{Issue, Report, Severity};
pub use resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome, Resource};
pub use validate::{Valid, Validate};
