//! Shows devices as trees, Device > MDS > VMD > channel > metric, with the findings at each node.
//!
//! ```text
//! cargo run --release --example containment_tree -- examples/data/monitor.json
//! cargo run --release --example containment_tree -- --profile pocd --mermaid bundle.json > tree.mmd
//! ```

#[path = "containment_tree/json.rs"]
mod json;
#[path = "containment_tree/mermaid.rs"]
mod mermaid;
#[path = "containment_tree/picture.rs"]
mod picture;
#[path = "common/xml.rs"]
mod xml;

use fhir_devices::containment::{Node, Profile, Tree, TreeBuilder};
use fhir_devices::element::ReadMode;
use fhir_devices::validate::Validator;
use fhir_devices::{Issue, Report, Resource, Severity};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;
use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: containment_tree [--json | --mermaid] [--profile base|pocd] FILE...

Prints the devices in the files as trees, Device > MDS > VMD > channel > metric, then the findings. A file holds a
Bundle or one resource; the files count as one set, in which parent and source are looked for.

  --json     one JSON object: the nodes, each with its children, and the findings
  --mermaid  a flowchart for documents that can show one
  --profile  base (FHIR alone, the default) or pocd (point-of-care devices: the levels are required)
  FILE       a file in JSON, or XML with the feature `xml`; - for standard input

exit status: 0 no finding is an error, 1 some finding is one, 2 the command could not run";

#[derive(Clone, Copy)]
enum Form {
    Picture,
    Json,
    Mermaid,
}

struct Arguments {
    form: Form,
    profile: Profile,
    files: Vec<OsString>,
}

/// The documents, with the findings of reading and validation.
#[derive(Default)]
struct Documents {
    names: Vec<String>,
    resources: Vec<Resource>,
    /// The index of each resource's file name.
    of: Vec<usize>,
    reports: Vec<(usize, Report)>,
}

/// A finding, with its file.
pub(crate) struct Found<'n> {
    pub(crate) file: &'n str,
    /// The node, for a finding of the tree.
    pub(crate) node: Option<usize>,
    pub(crate) issue: Issue,
}

/// A tree to print.
pub(crate) struct Shown<'t, 'a> {
    pub(crate) tree: &'t Tree<'a>,
    pub(crate) profile: Profile,
    pub(crate) findings: &'t [Found<'t>],
}

impl Shown<'_, '_> {
    /// Returns the findings at a node, the most severe first.
    pub(crate) fn at(&self, node: Node<'_, '_>) -> Vec<&Issue> {
        // The findings of the tree come last, in the order of its nodes.
        let from = self.findings.partition_point(|found| found.node < Some(node.index()));
        let here = self.findings.iter().skip(from).take_while(|found| found.node == Some(node.index()));
        let mut issues: Vec<&Issue> = here.map(|found| &found.issue).collect();
        issues.sort_by_key(|issue| issue.severity);
        issues
    }
}

fn main() -> ExitCode {
    let arguments = match parse(lexopt::Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let shown = writeln!(io::stdout(), "{USAGE}");
            return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
        Err(trouble) => {
            complain(&format!("{trouble}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let mut documents = Documents::default();
    let mut unread = false;
    for file in &arguments.files {
        if let Err(error) = documents.read(file) {
            complain(&format!("{}: {error}", file.display()));
            unread = true;
        }
    }
    match show(&documents, &arguments) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(error) => {
            complain(&format!("standard output: {error}"));
            ExitCode::from(2)
        }
        Ok(_) if unread => ExitCode::from(2),
        Ok(faulty) => ExitCode::from(u8::from(faulty)),
    }
}

/// Parses the arguments; `None` asks for help.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Arguments>, lexopt::Error> {
    let mut parsed = Arguments { form: Form::Picture, profile: Profile::Base, files: Vec::new() };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("json") => parsed.form = Form::Json,
            Long("mermaid") => parsed.form = Form::Mermaid,
            Long("profile") => {
                let name = arguments.value()?.string()?;
                parsed.profile = name.parse().map_err(|_| format!("`{name}` is no profile, wanted base or pocd"))?;
            }
            Long("help") | Short('h') => return Ok(None),
            Value(file) => parsed.files.push(file),
            other => return Err(other.unexpected()),
        }
    }
    if parsed.files.is_empty() { Err("no file was named".into()) } else { Ok(Some(parsed)) }
}

impl Documents {
    fn read(&mut self, file: &OsString) -> io::Result<()> {
        let mut document = Vec::new();
        if file == "-" {
            io::stdin().lock().read_to_end(&mut document)?;
        } else {
            document = std::fs::read(file)?;
        }
        let name = self.names.len();
        self.names.push(file.display().to_string());
        // Faulty documents are reported, and shown as far as they can be read.
        let (resource, report) = xml::check(&document, ReadMode::Strict, &Validator::new());
        if !report.is_empty() {
            self.reports.push((name, report));
        }
        if let Some(resource) = resource {
            self.resources.push(resource);
            self.of.push(name);
        }
        Ok(())
    }

    fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }
}

/// Prints the trees, and returns whether there is an error.
fn show(documents: &Documents, arguments: &Arguments) -> io::Result<bool> {
    let tree = documents.resources.iter().fold(TreeBuilder::new(), TreeBuilder::with).build();
    let of_reading = documents.reports.iter().flat_map(|(name, report)| {
        report.iter().map(|issue| Found { file: documents.name(*name), node: None, issue: issue.clone() })
    });
    let mut nodes = tree.nodes();
    let mut node = nodes.next();
    let of_tree = tree.findings().iter().filter_map(|finding| {
        while node.is_some_and(|node| node.index() < finding.index()) {
            node = nodes.next();
        }
        let document = documents.of.get(node?.document()).copied().unwrap_or_default();
        let issue = finding.issue(&tree, arguments.profile)?;
        Some(Found { file: documents.name(document), node: Some(finding.index()), issue })
    });
    let findings: Vec<Found<'_>> = of_reading.chain(of_tree).collect();
    let faulty = findings.iter().any(|found| found.issue.severity <= Severity::Error);
    let shown = Shown { tree: &tree, profile: arguments.profile, findings: &findings };
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.form {
        Form::Picture => picture::print(&shown, documents.names.len() > 1, &mut out)?,
        Form::Json => json::print(&shown, &mut out)?,
        Form::Mermaid => mermaid::print(&shown, &mut out)?,
    }
    out.flush()?;
    Ok(faulty)
}

fn complain(trouble: &str) {
    // If standard error is closed too, the exit status is all that is left.
    let _ = writeln!(io::stderr(), "{trouble}");
}
