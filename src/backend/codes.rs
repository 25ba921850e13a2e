//! Numeric codes of resource types and parameters in stored data. They are part of the format: existing codes never
//! change, and a new type or parameter gets a new code.

use crate::search::{Parameter, ResourceType};

pub(super) fn type_code(resource_type: ResourceType) -> u8 {
    match resource_type {
        ResourceType::Device => 1,
        ResourceType::DeviceComponent => 2,
        ResourceType::DeviceMetric => 3,
    }
}

#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "this backend asks it"))]
pub(super) fn type_of(code: u8) -> Option<ResourceType> {
    ResourceType::ALL.into_iter().find(|kind| type_code(*kind) == code)
}

pub(super) fn parameter_code(parameter: Parameter) -> u8 {
    match parameter {
        Parameter::Category => 1,
        Parameter::DeviceName => 2,
        Parameter::Identifier => 3,
        Parameter::Location => 4,
        Parameter::Manufacturer => 5,
        Parameter::Model => 6,
        Parameter::Organization => 7,
        Parameter::Parent => 8,
        Parameter::Patient => 9,
        Parameter::Source => 10,
        Parameter::Status => 11,
        Parameter::Type => 12,
        Parameter::UdiCarrier => 13,
        Parameter::UdiDi => 14,
        Parameter::Url => 15,
        Parameter::AvailableUpdateVersion => 16,
        Parameter::AvailableUpdateStatus => 17,
        Parameter::AvailableUpdateSequence => 18,
        Parameter::ProductionSpecification => 19,
        Parameter::ReportedVersion => 20,
    }
}

/// Returns the first text after all texts that begin with `start`; `None` where there is none.
pub(super) fn end_of(start: &[u8]) -> Option<Vec<u8>> {
    let mut end = start.to_vec();
    while let Some(last) = end.pop() {
        if last < 255 {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
