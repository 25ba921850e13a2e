//! ISO/IEEE 11073-10101, the nomenclature of medical devices: levels and parts of a device by code.

mod level;
mod part;
mod system;
mod term;

pub use level::{Level, NotALevel};
pub use part::DevicePart;
pub use system::{MDC, is_mdc};
pub use term::Term;
