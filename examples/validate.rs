//! Reads documents, checks them, and prints an OperationOutcome for each, one a line.
//!
//! ```text
//! cargo run --release --example validate -- device.json
//! cargo run --release --example validate -- --ndjson export.ndjson > outcomes.ndjson
//! ```

mod common;

use common::{Answer, xml};
use fhir_devices::OperationOutcome;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::Validator;
use std::process::ExitCode;
use std::sync::LazyLock;

const USAGE: &str = "usage: validate [--ndjson] [--lenient] FILE...

Prints one OperationOutcome (compact JSON) for each document, in order.

  --ndjson   each line of a file is a document
  --lenient  what can be kept as it stands is a warning, not an error
  FILE       a file in JSON, or XML with the feature `xml`; - for standard input

exit status: 0 no document has an error, 1 some document has one, 2 the command could not run";

fn main() -> ExitCode {
    common::run(USAGE, |arguments| Ok((arguments, outcome)))
}

fn outcome(document: &[u8], mode: ReadMode) -> Answer {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| Validator::new().udi());
    let (_, report) = xml::check(document, mode, &VALIDATOR);
    Answer { line: OperationOutcome::from(&report).to_json(), faulty: report.has_errors(), note: None }
}
