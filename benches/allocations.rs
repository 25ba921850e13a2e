//! How often the heap is asked for memory; the same on every machine, so that the gate runs it.
//!
//! ```text
//! cargo bench --bench allocations
//! ```

mod documents;

use allocation_counter::measure;
use fhir_devices::Validate;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::check;
use serde_json::Value;
use std::error::Error;
use std::hint::black_box;

/// The most allocations that reading a small Device may take.
const BAR: u64 = 30;

/// The most allocations that it may take to say which types were not checked.
const SAID: u64 = 30;

fn main() -> Result<(), Box<dyn Error>> {
    println!("allocations     read  validate  read+validate  write  serde_json Value");
    for document in documents::all()? {
        let json = document.json.as_bytes();
        // Tables that are made when they are asked for first are not the document's.
        drop(check(json, ReadMode::Strict));
        let count = |work: &dyn Fn()| measure(work).count_total;
        let read = count(&|| {
            black_box((document.read)(json));
        });
        let checked = count(&|| drop(black_box(check(json, ReadMode::Strict))));
        let validated = count(&|| drop(black_box(document.resource.validate())));
        let written = count(&|| drop(black_box(document.resource.to_json())));
        let value = count(&|| drop(black_box(serde_json::from_slice::<Value>(json))));
        println!("{:<12}{read:>8}{validated:>10}{checked:>15}{written:>7}{value:>18}", document.name);
        // That the contained resources of the large one are of types that are not modelled is said, in one finding.
        let most = if document.name == "large" { SAID } else { 0 };
        if validated > most && document.name != "bundle" {
            let wanted = format!("wanted at most {most}");
            return Err(format!("validating {} takes {validated} allocations, {wanted}", document.name).into());
        }
        if document.name == "device" && read > BAR {
            return Err(format!("reading a small Device takes {read} allocations, wanted at most {BAR}").into());
        }
    }
    Ok(())
}
