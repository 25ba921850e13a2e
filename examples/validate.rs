//! Reads documents, validates them, and prints an OperationOutcome for each, one per line.
//!
//! ```text
//! cargo run --release --example validate -- device.json
//! cargo run --release --example validate -- --text device.json
//! cargo run --release --example validate -- --ndjson export.ndjson > outcomes.ndjson
//! ```

mod common;

use common::{Answer, xml};
use fhir_devices::OperationOutcome;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::Validator;
use std::process::ExitCode;
use std::sync::LazyLock;

const USAGE: &str = "usage: validate [--text] [--ndjson] [--lenient] FILE...

Prints one OperationOutcome (compact JSON) for each document, in order.

  --text     the findings of each document as lines for people instead, or `no finding`
  --ndjson   each line of a file is a document
  --lenient  what can be kept as it stands is a warning, not an error
  FILE       a file in JSON, or XML with the feature `xml`; - for standard input

exit status: 0 no document has an error, 1 some document has one, 2 the command could not run";

fn main() -> ExitCode {
    common::run(USAGE, |mut arguments| {
        let is_text = common::take_flag(&mut arguments, "--text");
        Ok((arguments, move |document: &[u8], mode| check(document, mode, is_text)))
    })
}

fn check(document: &[u8], mode: ReadMode, is_text: bool) -> Answer {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| Validator::new().udi());
    let (_, report) = xml::check(document, mode, &VALIDATOR);
    let line = match is_text {
        true if report.is_empty() => "no finding".to_owned(),
        true => report.to_string(),
        false => OperationOutcome::from(&report).to_json(),
    };
    Answer { line, faulty: report.has_errors(), note: None }
}
