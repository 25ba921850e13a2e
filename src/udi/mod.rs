//! The unique device identifier (UDI) of a device: the string on its label.

pub mod check;
