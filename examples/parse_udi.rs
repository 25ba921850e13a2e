//! Parses UDI carrier strings of devices, and prints the parts of each as a JSON object, one per line.
//!
//! ```text
//! cargo run --release --example parse_udi -- '(01)09506000117843(17)260400(10)L1' '+A123BJC5D6E71G'
//! cargo run --release --example parse_udi -- --lenient --ndjson < carriers.ndjson
//! ```

use fhir_devices::Report;
use fhir_devices::udi::{
    BasicUdiDi, Carrier, ParseMode, Parsed, ParsedSecondary, SecondarySymbol, Udi, UdiElement, UdiRule,
};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: parse_udi [--lenient] [--ndjson] [--gtin] [--reference-year YYYY] STRING...

Prints a JSON object for each carrier string, in order: what it says, or the rule that it breaks.

  --lenient              wrong check characters, and known defects of published examples, are warnings
  --ndjson               lines of {\"hrf\":..} or {\"aidc\":..} on standard input, and no STRING
  --gtin                 digits alone are a GTIN, as EAN-13 and UPC-A have it
  --reference-year YYYY  the year that the two-digit years of GS1 are near to; else the current one
  STRING                 a carrier string in either form, or a Basic UDI-DI

exit status: 0 all could be read, 1 some could not, 2 the command could not run";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let shown = writeln!(io::stdout(), "{USAGE}");
            return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
        Err(trouble) => return stop(&format!("{trouble}\n{USAGE}")),
    };
    match run(&arguments) {
        Ok(all_read) => ExitCode::from(u8::from(!all_read)),
        // A reader that closes our output early needs no message.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(error) => stop(&format!("standard input or output: {error}")),
    }
}

fn stop(trouble: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{trouble}");
    ExitCode::from(2)
}

/// Answers every string or line; returns whether all could be parsed.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all_read = true;
    let mut print = |answer: Answer<'_>| {
        all_read &= !matches!(answer, Answer::Refused { .. });
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")
    };
    for text in &arguments.strings {
        arguments.answer(text, &mut print)?;
    }
    if arguments.ndjson {
        for line in io::stdin().lock().split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Line { hrf: Some(text), .. } | Line { aidc: Some(text), .. }) => {
                    arguments.answer(&text, &mut print)?;
                }
                Ok(_) => print(Answer::refused("no-carrier", "the line has neither `hrf` nor `aidc`"))?,
                Err(error) => print(Answer::refused("not-json", &error.to_string()))?,
            }
        }
    }
    out.flush()?;
    Ok(all_read)
}

/// A line of the input.
#[derive(Deserialize)]
struct Line {
    hrf: Option<String>,
    aidc: Option<String>,
}

/// The output for one string.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Carrier(Said<'a>),
    Basic {
        agency: &'static str,
        kind: &'static str,
        di: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        warnings: Vec<Finding<'a>>,
    },
    Refused {
        error: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        more: Vec<Finding<'a>>,
        /// The content of a label's second symbol.
        #[serde(skip_serializing_if = "Option::is_none")]
        fragment: Option<Second<'a>>,
    },
}

#[derive(Serialize)]
struct Second<'a> {
    agency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lot: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufactured: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    donation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u32>,
}

impl<'a> From<&'a SecondarySymbol> for Second<'a> {
    fn from(fragment: &'a SecondarySymbol) -> Self {
        Self {
            agency: fragment.agency().as_str(),
            link: fragment.link(),
            lot: fragment.lot(),
            serial: fragment.serial(),
            manufactured: fragment.manufactured().map(|day| day.date.to_string()),
            expires: fragment.expires().map(|day| day.date.to_string()),
            donation_id: fragment.donation_id(),
            quantity: fragment.quantity(),
        }
    }
}

#[derive(Serialize)]
struct Said<'a> {
    agency: &'static str,
    di: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lot: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufactured: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    donation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basic_udi_di: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_udi_di: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u32>,
    elements: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    id: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    message: &'a str,
}

fn findings(report: &Report) -> Vec<Finding<'_>> {
    report.iter().map(|issue| Finding { rule: &issue.rule, message: &issue.message }).collect()
}

impl<'a> Answer<'a> {
    fn carrier(read: &'a Parsed) -> Self {
        let udi = &read.udi;
        let part = |element: &'a UdiElement| Part { id: element.id(), value: element.value() };
        Self::Carrier(Said {
            agency: udi.agency().as_str(),
            di: udi.di(),
            lot: udi.lot(),
            serial: udi.serial(),
            manufactured: udi.manufactured().map(|day| day.date.to_string()),
            expires: udi.expires().map(|day| day.date.to_string()),
            donation_id: udi.donation_id(),
            version: udi.version(),
            basic_udi_di: udi.basic_udi_di(),
            master_udi_di: udi.master_udi_di(),
            quantity: udi.quantity(),
            elements: udi.elements().iter().map(part).collect(),
            warnings: findings(&read.warnings),
        })
    }

    fn report(report: &'a Report) -> Self {
        // The first error is the reason; issues that the lenient mode accepts are listed with the rest.
        let mut more = findings(report);
        let why = report.iter().position(|issue| issue.severity <= fhir_devices::Severity::Error).unwrap_or_default();
        let Finding { rule, message } = more.remove(why);
        Self::Refused { error: rule, message, more, fragment: None }
    }

    const fn refused(error: &'a str, message: &'a str) -> Self {
        Self::Refused { error, message, more: Vec::new(), fragment: None }
    }
}

struct Arguments {
    mode: ParseMode,
    ndjson: bool,
    gtin: bool,
    reference_year: u16,
    strings: Vec<String>,
}

impl Arguments {
    /// Parses the arguments; `None` asks for help.
    fn parse(mut arguments: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let this_year = u16::try_from(time::OffsetDateTime::now_utc().year()).unwrap_or(2000);
        let mut parsed = Self {
            mode: ParseMode::Strict,
            ndjson: false,
            gtin: false,
            reference_year: this_year,
            strings: Vec::new(),
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("lenient") => parsed.mode = ParseMode::Lenient,
                Long("ndjson") => parsed.ndjson = true,
                Long("gtin") => parsed.gtin = true,
                Long("reference-year") => {
                    let year = arguments.value()?.string()?;
                    let digits = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
                    let number = year.parse().ok().filter(|_| digits);
                    parsed.reference_year = number.ok_or_else(|| format!("`{year}` is no year, wanted four digits"))?;
                }
                Long("help") | Short('h') => return Ok(None),
                Value(text) => parsed.strings.push(text.string()?),
                other => return Err(other.unexpected()),
            }
        }
        match (parsed.ndjson, parsed.strings.is_empty()) {
            (false, true) => Err("no string was given".into()),
            (true, false) => Err("`--ndjson` reads standard input and takes no string".into()),
            _ => Ok(Some(parsed)),
        }
    }

    /// Answers one string: a carrier, or else a Basic UDI-DI.
    fn answer(&self, text: &str, print: &mut impl FnMut(Answer<'_>) -> io::Result<()>) -> io::Result<()> {
        if self.gtin && !text.is_empty() && text.len() <= 14 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match Udi::parse_gtin(text, self.mode) {
                Ok(read) => print(Answer::carrier(&read)),
                Err(report) => print(Answer::report(&report)),
            };
        }
        let refused = match Udi::parse(text, self.mode, self.reference_year) {
            Ok(read) => return print(Answer::carrier(&read)),
            Err(report) => report,
        };
        if let Ok(ParsedSecondary { fragment, .. }) = SecondarySymbol::parse(text, self.mode, self.reference_year) {
            let mut answer = Answer::report(&refused);
            if let Answer::Refused { fragment: second, .. } = &mut answer {
                *second = Some(Second::from(&fragment));
            }
            return print(answer);
        }
        // A string that begins like a carrier is a Basic UDI-DI only if all of it is valid.
        let surely_basic = text.starts_with("++") || Carrier::detect(text).is_none();
        match BasicUdiDi::parse(text, if surely_basic { self.mode } else { ParseMode::Strict }) {
            Ok((basic, warnings)) => print(Answer::Basic {
                agency: basic.agency().as_str(),
                kind: "basic-udi-di",
                di: basic.as_str(),
                warnings: findings(&warnings),
            }),
            Err(report) if text.starts_with("++") => print(Answer::report(&report)),
            Err(report) if surely_basic && !report.iter().any(|issue| issue.rule == UdiRule::BudiFormat.key()) => {
                print(Answer::report(&report))
            }
            Err(_) => print(Answer::report(&refused)),
        }
    }
}
