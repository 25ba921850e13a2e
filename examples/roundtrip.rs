//! Reads documents and writes them again, one a line, in the order of the specification; nothing of them is lost.
//!
//! A document that cannot be read gives its OperationOutcome instead. The rules over several elements are not judged
//! here; `validate` does that.
//!
//! ```text
//! cargo run --release --example roundtrip -- device.json
//! ```

mod common;

use common::Answer;
use fhir_devices::element::ReadMode;
use fhir_devices::{OperationOutcome, Resource};
use std::process::ExitCode;

const USAGE: &str = "usage: roundtrip [--ndjson] [--lenient] FILE...

Prints each document as it is written again (compact JSON), or its OperationOutcome where it cannot be read.

  --ndjson   each line of a file is a document
  --lenient  what can be kept as it stands is kept, and does not stop the document from being read
  FILE       a file, or - for standard input

exit status: 0 every document was read, 1 some document was not, 2 the command could not run";

fn main() -> ExitCode {
    common::run(USAGE, |arguments| Ok((arguments, again)))
}

fn again(json: &[u8], mode: ReadMode) -> Answer {
    match Resource::read(json, mode) {
        Ok(reading) => Answer { line: reading.value.to_json(), faulty: false, note: None },
        Err(report) => Answer { line: OperationOutcome::from(&report).to_json(), faulty: true, note: None },
    }
}
