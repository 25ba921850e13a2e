//! The shared parts of the examples that process documents: arguments, streams, and the exit status.

mod lines;
pub(crate) mod xml;

use fhir_devices::element::ReadMode;
use lexopt::Arg::{Long, Short, Value};
use lines::{Trouble, answer_lines};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

/// The output for one document.
pub(crate) struct Answer {
    /// The text, without the end of its last line; only `validate --text` answers with several lines.
    pub(crate) line: String,
    /// Whether the document has an error.
    pub(crate) faulty: bool,
    /// A line for standard error, without its end.
    pub(crate) note: Option<String>,
}

/// Removes an option without a value from the arguments, wherever it is before `--`; returns whether it was there.
#[allow(dead_code, reason = "not every example has such an option")]
pub(crate) fn take_flag(arguments: &mut Vec<OsString>, name: &str) -> bool {
    let before_files = arguments.iter().take_while(|argument| *argument != "--");
    let found: Vec<usize> = before_files.enumerate().filter(|(_, one)| *one == name).map(|(at, _)| at).collect();
    for at in found.iter().rev() {
        arguments.remove(*at);
    }
    !found.is_empty()
}

/// Processes the documents that the arguments name, and prints an answer to each, in order. `prepare` removes the
/// command's own options from the arguments, and returns the function that answers.
pub(crate) fn run<A: Fn(&[u8], ReadMode) -> Answer + Sync>(
    usage: &str,
    prepare: impl FnOnce(Vec<OsString>) -> Result<(Vec<OsString>, A), String>,
) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before_files = |argument: &&OsString| *argument != "--";
    let help = arguments.iter().take_while(before_files).any(|argument| argument == "--help" || argument == "-h");
    let prepared = prepare(arguments).and_then(|(rest, answer)| {
        Arguments::parse(rest)
            .map_err(|error| error.to_string())
            .map(|arguments| arguments.map(|arguments| (arguments, answer)))
    });
    let (arguments, answer) = match prepared {
        Ok(Some(prepared)) if !help => prepared,
        _ if help => return show(usage),
        Ok(_) => return show(usage),
        Err(trouble) => {
            complain(&format!("{trouble}\n{usage}"));
            return ExitCode::from(2);
        }
    };
    let mut run = Run {
        out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        mode: arguments.mode,
        answer,
        faulty: false,
    };
    let mut unread = false;
    for file in &arguments.files {
        let done = if arguments.ndjson { run.lines(file) } else { run.whole(file) };
        match done {
            Ok(()) => {}
            Err(Trouble::Input(error)) => {
                complain(&format!("{}: {error}", file.display()));
                unread = true;
            }
            Err(Trouble::Output(error)) => return cannot_write(&error),
        }
    }
    match run.out.flush() {
        Err(error) => cannot_write(&error),
        Ok(()) if unread => ExitCode::from(2),
        Ok(()) => ExitCode::from(u8::from(run.faulty)),
    }
}

fn show(usage: &str) -> ExitCode {
    let shown = writeln!(io::stdout(), "{usage}");
    if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// The arguments of a command.
struct Arguments {
    ndjson: bool,
    mode: ReadMode,
    files: Vec<OsString>,
}

impl Arguments {
    /// Parses the arguments; `None` asks for help.
    fn parse(arguments: Vec<OsString>) -> Result<Option<Self>, lexopt::Error> {
        let mut parsed = Self { ndjson: false, mode: ReadMode::Strict, files: Vec::new() };
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("ndjson") => parsed.ndjson = true,
                Long("lenient") => parsed.mode = ReadMode::Lenient,
                Long("help") | Short('h') => return Ok(None),
                Value(file) => parsed.files.push(file),
                other => return Err(other.unexpected()),
            }
        }
        if parsed.files.is_empty() { Err("no file was named".into()) } else { Ok(Some(parsed)) }
    }
}

struct Run<'o, A> {
    out: BufWriter<io::StdoutLock<'o>>,
    mode: ReadMode,
    answer: A,
    faulty: bool,
}

impl<A: Fn(&[u8], ReadMode) -> Answer + Sync> Run<'_, A> {
    /// Answers the one document of a file.
    fn whole(&mut self, file: &OsStr) -> Result<(), Trouble> {
        let mut json = Vec::new();
        if file == "-" {
            io::stdin().lock().read_to_end(&mut json).map_err(Trouble::Input)?;
        } else {
            json = fs::read(file).map_err(Trouble::Input)?;
        }
        self.print(&json)
    }

    /// Answers each line of a file.
    fn lines(&mut self, file: &OsStr) -> Result<(), Trouble> {
        let (mode, own) = (self.mode, &self.answer);
        let answer = |line: &[u8]| own(line, mode);
        self.faulty |= if file == "-" {
            answer_lines(io::stdin(), &mut self.out, answer)?
        } else {
            answer_lines(File::open(file).map_err(Trouble::Input)?, &mut self.out, answer)?
        };
        Ok(())
    }

    fn print(&mut self, json: &[u8]) -> Result<(), Trouble> {
        let answer = (self.answer)(json, self.mode);
        self.faulty |= answer.faulty;
        if let Some(note) = answer.note {
            complain(&note);
        }
        writeln!(self.out, "{}", answer.line).map_err(Trouble::Output)
    }
}

/// Ends the command at once, because the output failed.
fn stop(trouble: Trouble) -> ! {
    let (Trouble::Output(error) | Trouble::Input(error)) = trouble;
    cannot_write(&error);
    std::process::exit(2)
}

/// Reports an output error. A reader that closes our output early needs no message.
fn cannot_write(error: &io::Error) -> ExitCode {
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("standard output: {error}"));
    }
    ExitCode::from(2)
}

fn complain(trouble: &str) {
    // If standard error is closed too, the exit status is all that is left.
    let _ = writeln!(io::stderr(), "{trouble}");
}
