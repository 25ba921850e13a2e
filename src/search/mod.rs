//! FHIR search parameters: their names and types, the elements that they cover, and the comparison of values.
//!
//! [`params`] is the table of the parameters of each type. [`IndexEntries`] are the values by which a store finds a
//! resource, and a [`Criterion`] is a condition on them. The REST API, the index of a store and the engines read the
//! same table.
//!
//! ```
//! use fhir_devices::search::{Criterion, IndexEntries, Parameter, Token};
//!
//! let index = IndexEntries::new().with(Parameter::Manufacturer, Token::bare("Dräger"));
//! assert!(Criterion::begins(Parameter::Manufacturer, "DRAG").matches("any-id", &index));
//! ```

mod criteria;
mod criterion;
pub(crate) mod date;
mod fold;
mod index;
mod param;
mod resource_type;
pub(crate) mod value;

pub(crate) use criteria::{Beginnings, Criteria};
pub use criterion::{Criterion, TokenMatch};
pub use fold::fold;
pub use index::{IndexEntries, Matching, Parameter, Token};
pub use param::{Param, ParamKind, params};
pub use resource_type::ResourceType;
