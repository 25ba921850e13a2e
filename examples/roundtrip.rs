//! Reads documents and writes them again without loss, one per line, in the element order of the specification.
//!
//! A document that cannot be read gives its OperationOutcome instead. The rules over several elements are not checked
//! here; `validate` does that.
//!
//! ```text
//! cargo run --release --example roundtrip -- device.json
//! cargo run --release --features xml --example roundtrip -- --to xml device.json
//! ```

mod common;

use common::{Answer, xml};
use fhir_devices::element::ReadMode;
use fhir_devices::{OperationOutcome, Report};
use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "usage: roundtrip [--ndjson] [--lenient] [--to json|xml] FILE...

Prints each document as it is written again, or its OperationOutcome (JSON) where it cannot be read or has no form in XML.

  --ndjson   each line of a file is a document
  --lenient  what can be kept as it stands is kept, and does not stop the document from being read
  --to       json (compact) or xml (on one line but for what the narrative holds); else the document's own format
  FILE       a file in JSON, or XML with the feature `xml`; - for standard input

exit status: 0 every document was written, 1 some document was not, 2 the command could not run";

/// The output format.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Xml,
}

fn main() -> ExitCode {
    common::run(USAGE, |arguments| {
        let (rest, to) = prepare(arguments)?;
        Ok((rest, move |document: &[u8], mode: ReadMode| again(document, mode, to)))
    })
}

/// Removes the option of this command from the arguments.
fn prepare(arguments: Vec<OsString>) -> Result<(Vec<OsString>, Option<Format>), String> {
    let (mut rest, mut to) = (Vec::new(), None);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let given = argument.to_str().unwrap_or_default();
        let value = match given.strip_prefix("--to") {
            Some("") => arguments.next().unwrap_or_default().into_string().unwrap_or_default(),
            Some(value) if value.starts_with('=') => value.trim_start_matches('=').to_owned(),
            _ => {
                let is_last = given == "--";
                rest.push(argument);
                if is_last {
                    rest.extend(arguments.by_ref());
                }
                continue;
            }
        };
        to = match &*value {
            "json" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            other => return Err(format!("`{other}` is no value of `--to`, wanted json or xml")),
        };
    }
    Ok((rest, to))
}

fn again(document: &[u8], mode: ReadMode, to: Option<Format>) -> Answer {
    let own = if xml::is_xml(document) { Format::Xml } else { Format::Json };
    let written = xml::read(document, mode).and_then(|reading| match to.unwrap_or(own) {
        Format::Json => Ok(reading.value.to_json()),
        Format::Xml => xml::write(&reading.value),
    });
    let outcome = |report: &Report| OperationOutcome::from(report).to_json();
    match written {
        Ok(line) => Answer { line, faulty: false, note: None },
        Err(report) => Answer { line: outcome(&report), faulty: true, note: None },
    }
}
