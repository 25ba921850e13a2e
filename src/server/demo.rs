//! A small demo fleet: an infusion pump with all levels, and a pulse oximeter.

use super::UpdateServer;
use crate::element::ReadMode;
use crate::store::{Storable as _, StoreError};
use crate::validate::check;
use std::error::Error;

/// The tenant of the fleet.
pub(super) const TENANT: &str = "demo";

/// One resource per line, devices first.
const FLEET: [&str; 2] = [include_str!("demo/infusion-pump.ndjson"), include_str!("demo/pulse-oximeter.ndjson")];

/// Stores the fleet, each document read strictly and validated as if a client had sent it.
///
/// # Errors
/// A document has a finding, or the store refuses it.
pub async fn fill(app: &UpdateServer) -> Result<(), Box<dyn Error>> {
    let store = app.tenanted(&TENANT.parse()?);
    for line in FLEET.iter().flat_map(|file| file.lines()).filter(|line| !line.is_empty()) {
        let checked = check(line.as_bytes(), ReadMode::Strict);
        if checked.report().has_errors() {
            return Err(checked.into_parts().1.into());
        }
        let resource = checked.into_valid()?;
        // A durable store has the resource already, or somebody has deleted it.
        if matches!(store.read(&resource.key()?).await, Err(StoreError::NotFound { .. })) {
            store.create(&resource).await?;
        }
    }
    Ok(())
}
