//! A small fleet to begin with: an infusion pump with all levels, and a pulse oximeter.

use super::App;
use fhir_devices::Resource;
use fhir_devices::element::ReadMode;
use fhir_devices::store::Precondition;
use fhir_devices::validate::check;
use std::error::Error;

/// The tenant that has the fleet.
pub(crate) const TENANT: &str = "demo";

/// One resource a line, devices first.
const FLEET: [&str; 2] = [include_str!("demo/infusion-pump.ndjson"), include_str!("demo/pulse-oximeter.ndjson")];

/// Puts the fleet in, each document read strictly and validated as if a client had sent it.
///
/// # Errors
/// A document has a finding, or the store refuses it.
pub(crate) async fn fill(app: &App) -> Result<(), Box<dyn Error>> {
    let store = app.tenanted(&TENANT.parse()?);
    for line in FLEET.iter().flat_map(|file| file.lines()).filter(|line| !line.is_empty()) {
        let checked = check(line.as_bytes(), ReadMode::Strict);
        if !checked.report.is_empty() {
            return Err(checked.report.into());
        }
        match checked.resource {
            Some(Resource::Device(device)) => {
                store.put(&fhir_devices::Valid::new(*device)?, Precondition::Absent).await?
            }
            Some(Resource::DeviceComponent(part)) => {
                store.put(&fhir_devices::Valid::new(*part)?, Precondition::Absent).await?
            }
            Some(Resource::DeviceMetric(metric)) => {
                store.put(&fhir_devices::Valid::new(*metric)?, Precondition::Absent).await?
            }
            _ => return Err("the demo fleet holds something that is no part of a device".into()),
        };
    }
    Ok(())
}
