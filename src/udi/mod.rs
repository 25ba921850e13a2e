//! The unique device identifier (UDI) of a device: the string on its label, read, checked and written.
//!
//! Four agencies issue them, each with a grammar of its own: [GS1](Agency::Gs1), [HIBCC](Agency::Hibcc),
//! [ICCBBA](Agency::Iccbba) (ISBT 128) and [IFA](Agency::Ifa). Each has a form for people (HRF) and one for scanners
//! (AIDC). [`Carrier`] tells from the first characters which it is, and reads it into a [`Udi`], which keeps every
//! element and writes both forms again. A [`BasicUdiDi`] names a family of devices and is in no barcode.
//!
//! ```
//! use fhir_devices::udi::{Agency, ParseMode, Udi};
//! use time::macros::date;
//!
//! let udi = Udi::parse("(01)09506000117843(17)260400(10)L1(21)S7", ParseMode::Strict, 2026)?.udi;
//! assert_eq!(udi.agency(), Agency::Gs1);
//! assert_eq!(udi.di(), "09506000117843");
//! assert_eq!(udi.expires().unwrap().date, date!(2026 - 04 - 30));
//! assert_eq!(udi.to_aidc(), "01095060001178431726040010L1\u{1d}21S7");
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! A label may say the device identifier in one symbol and the rest in another: what the second says is a [`SecondarySymbol`], which
//! [joins](SecondarySymbol::join) the first.
//!
//! What is wrong is a [`Report`]; each finding has a [`UdiRule`]. In the [lenient mode](ParseMode::Lenient) a wrong check
//! character is a warning that says the one expected, and the defects of published examples are tolerated, each under
//! its own rule. There is no clock here: the year that a two-digit year is near to is an argument.

mod basic;
mod carrier;
pub mod check;
mod day;
mod gs1;
mod hibcc;
mod iccbba;
mod ifa;
mod parsed_udi;
mod rule;
mod secondary;

pub use basic::BasicUdiDi;
pub use carrier::{Agency, Carrier, CarrierForm, Parsed};
pub use day::Day;
pub use parsed_udi::{Udi, UdiElement};
pub use rule::{ParseMode, UdiRule};
pub use secondary::{ParsedSecondary, SecondarySymbol};

use rule::{Findings, quoted};

#[cfg(doc)]
use crate::issue::Report;
