//! Reads a monitor with its components, looks at it, validates it, changes it and writes it again.
//!
//! ```text
//! cargo run --release --example read_a_device
//! ```

#[path = "common/story.rs"]
mod story;

use fhir_devices::datatype::{CodeableConcept, ExtensionValue};
use fhir_devices::primitive::{Decimal, Instant, Text};
use fhir_devices::resource::device_component::{ProductionSpecification, SpecType};
use fhir_devices::{Bundle, DeviceComponent, OperationOutcome, Resource, Valid, Validate};
use std::error::Error;
use std::process::ExitCode;
use story::say;

/// A monitor, its module (MDS), the pulse oximeter in it (VMD), and its metrics.
const MONITOR: &[u8] = include_bytes!("data/monitor.json");

const HOURS_IN_USE: &str = "https://acme.example/fhir/StructureDefinition/hours-in-use";

const USAGE: &str = "usage: read_a_device

Reads a monitor with its components, looks at it, checks it, changes it and writes it again. It takes no arguments.";

fn main() -> ExitCode {
    match story::arguments(USAGE) {
        Some(status) => status,
        None => story::ended(run()),
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // Reading is strict: a document with any fault is an `Err` with every finding.
    let monitor = Bundle::from_json(MONITOR)?;

    // Fields have FHIR's names. A primitive is its value, with its optional id and extensions.
    say!("The parts of the monitor:");
    for resource in monitor.resources() {
        match resource {
            Resource::Device(device) => {
                let model = device.model.as_ref().and_then(|model| model.get());
                say!("  Device {}", model.map_or("without a model", Text::as_str));
            }
            Resource::DeviceComponent(component) => {
                let parent = component.parent.as_ref().and_then(|parent| parent.literal());
                let parent = parent.and_then(|parent| parent.id()).unwrap_or("the device itself");
                say!("  DeviceComponent {} below {parent}", words(&component.r#type));
            }
            Resource::DeviceMetric(metric) => say!("  DeviceMetric {}", words(&metric.r#type)),
            other => say!("  {} {}", other.resource_type(), other.id().unwrap_or_default()),
        }
    }

    let found = monitor.resources().find_map(|resource| match resource {
        Resource::DeviceComponent(component) if resource.id() == Some("spo2") => Some(component),
        _ => None,
    });
    let mut oximeter: DeviceComponent = *found.ok_or("the monitor has no pulse oximeter")?.clone();

    // An extension is found by its url. A decimal keeps its digits, and compares as a number.
    let hours = oximeter.extension.iter().find(|extension| extension.url == HOURS_IN_USE);
    if let Some(ExtensionValue::Decimal(hours)) = hours.and_then(|extension| extension.value.as_ref())
        && let Some(hours) = hours.get()
    {
        let many = hours.numeric_cmp(&Decimal::from(1000)).is_gt();
        say!("The pulse oximeter was in use for {hours} hours: {}.", if many { "many" } else { "few" });
    }

    // The types restrict single elements; `validate` checks the rules over several elements.
    oximeter.set_production_spec(SpecType::SoftwareRevision, "4.2.0")?;
    oximeter.last_system_change = Some(Instant::new("2018-03-01T09:30:00+01:00")?.into());
    oximeter.production_specification.push(ProductionSpecification::default());
    let report = oximeter.validate();
    say!("An empty specification is a finding:\n  {report}");
    say!("The same as an OperationOutcome:\n  {}", OperationOutcome::from(&report).to_json());

    // A `Valid` is the proof of validation.
    oximeter.production_specification.pop();
    let oximeter = Valid::new(oximeter)?;
    say!("The pulse oximeter, written again:\n  {}", oximeter.to_json());
    Ok(())
}

/// Returns the text of a concept, as far as it has any.
fn words(concept: &CodeableConcept) -> &str {
    let display = concept.coding.iter().find_map(|coding| coding.display.as_ref());
    let words = concept.text.as_ref().or(display).and_then(|words| words.get());
    words.map_or("of some type", Text::as_str)
}
