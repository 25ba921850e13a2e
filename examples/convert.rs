//! Converts documents between FHIR STU3, R4, R4B and R5 without loss, one per line.
//!
//! The findings of each document (carried, rewritten, filled, edited) go to standard error, an OperationOutcome per
//! line.
//!
//! ```text
//! cargo run --release --example convert -- --to r4 component.json
//! cargo run --release --example convert -- --to stu3 --ndjson export-of-an-ehr.ndjson > stu3.ndjson
//! ```

mod common;

use common::{Answer, xml};
use fhir_devices::convert::{self, Components, IdPolicy, LinkPolicy, Loss, MetricDevice, Options, Version};
use fhir_devices::element::ReadMode;
use fhir_devices::{OperationOutcome, Report};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "usage: convert --to stu3|r4|r4b|r5 [OPTIONS] FILE...

Prints each document in that version (compact JSON), and its findings as an OperationOutcome on standard error; where
it cannot be converted without loss, the OperationOutcome instead.

  --from V           the version of the documents: stu3, r4, r4b or r5; else the one that they show, and where
                     they show none R4 for --to stu3, and STU3 for any other
  --ids keep|prefix:P
                     which ids components have from R4 on: theirs, or P and theirs behind it
  --components marked|by-level
                     which Devices are components: those that say so, or VMDs and channels by their codes too
  --metric-device parent|source
                     what `device` of a DeviceMetric of R5 is
  --links as-written|source
                     how the component at the top is linked to its device: by `source` in STU3, `parent` from R4 on
  --allow-loss       what has no place is dropped, and told as a warning
  --ndjson           each line of a file is a document
  FILE               a file in JSON or in XML of STU3, or - for standard input

exit status: 0 every document was converted, 1 some document was not, 2 the command could not run";

fn main() -> ExitCode {
    common::run(USAGE, |arguments| {
        let (rest, conversion) = prepare(arguments)?;
        Ok((rest, move |json: &[u8], _: ReadMode| conversion.answer(json)))
    })
}

/// The requested conversion.
struct Conversion {
    to: Version,
    from: Option<Version>,
    options: Options,
}

/// Removes the options of this command from the arguments.
fn prepare(arguments: Vec<OsString>) -> Result<(Vec<OsString>, Conversion), String> {
    let (mut to, mut from, mut options) = (None, None, Options::default());
    let mut files = Vec::new();
    let mut rest = Vec::new();
    let mut arguments = lexopt::Parser::from_args(arguments);
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        let name = match argument {
            Long(name) => format!("--{name}"),
            Short(letter) => format!("-{letter}"),
            // Files follow a `--` of their own, since their names may begin with one.
            Value(file) => {
                files.push(file);
                continue;
            }
        };
        let mut value = || {
            let value = arguments.value().and_then(ValueExt::string);
            value.map_err(|error| error.to_string())
        };
        let none_of = |value: &str, wanted: &str| format!("`{value}` is no value of `{name}`, wanted {wanted}");
        match name.as_str() {
            "--to" => to = Some(version(&value()?)?),
            "--from" => from = Some(version(&value()?)?),
            "--ids" => {
                let value = value()?;
                options.ids = match value.split_once(':') {
                    None if value == "keep" => IdPolicy::Keep,
                    Some(("prefix", prefix)) if is_id(prefix) => IdPolicy::Prefix(prefix.to_owned()),
                    _ => return Err(none_of(&value, "keep, or prefix: and letters, digits, - and .")),
                };
            }
            "--components" => {
                options.components = match &*value()? {
                    "marked" => Components::Marked,
                    "by-level" => Components::ByLevel,
                    other => return Err(none_of(other, "marked or by-level")),
                };
            }
            "--metric-device" => {
                options.metric_device = match &*value()? {
                    "parent" => MetricDevice::Parent,
                    "source" => MetricDevice::Source,
                    other => return Err(none_of(other, "parent or source")),
                };
            }
            "--links" => {
                options.links = match &*value()? {
                    "as-written" => LinkPolicy::AsWritten,
                    "source" => LinkPolicy::Source,
                    other => return Err(none_of(other, "as-written or source")),
                };
            }
            "--allow-loss" => options = options.allow(Loss::ALL),
            "--ndjson" | "--help" | "-h" => rest.push(OsString::from(name)),
            other => return Err(format!("invalid option '{other}'")),
        }
    }
    let to = to.ok_or("`--to` is missing, wanted stu3, r4, r4b or r5")?;
    rest.push("--".into());
    rest.extend(files);
    Ok((rest, Conversion { to, from, options }))
}

fn version(name: &str) -> Result<Version, String> {
    name.parse().map_err(|error| format!("`{name}`: {error}"))
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 1..=63) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

impl Conversion {
    fn answer(&self, json: &[u8]) -> Answer {
        let assumed = if self.to == Version::Stu3 { Version::R4 } else { Version::Stu3 };
        let from = self.from.or_else(|| convert::version_of(json)).unwrap_or(assumed);
        let outcome = |report: &Report| OperationOutcome::from(report).to_json();
        if xml::is_xml(json) {
            return self.answer_xml(json);
        }
        match convert::between(from, self.to, json, &self.options) {
            Ok(converted) => Answer { line: converted.json, faulty: false, note: Some(outcome(&converted.report)) },
            Err(report) => Answer { line: outcome(&report), faulty: true, note: None },
        }
    }

    /// Answers a document in XML, which must be STU3.
    fn answer_xml(&self, document: &[u8]) -> Answer {
        match xml::read(document, ReadMode::Strict) {
            Ok(reading) => {
                let stu3 =
                    Self { to: self.to, from: Some(self.from.unwrap_or(Version::Stu3)), options: self.options.clone() };
                stu3.answer(reading.value.to_json().as_bytes())
            }
            Err(report) => Answer { line: OperationOutcome::from(&report).to_json(), faulty: true, note: None },
        }
    }
}
