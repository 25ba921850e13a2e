//! What the examples that go through documents share: arguments, streams, and the exit status.

use fhir_devices::element::ReadMode;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

/// What is to be printed about one document.
pub(crate) struct Answer {
    /// The line, without its end.
    pub(crate) line: String,
    /// Whether the document has an error.
    pub(crate) faulty: bool,
}

/// Goes through the documents that the arguments name, and prints an answer to each, in order.
pub(crate) fn run(usage: &str, answer: fn(&[u8], ReadMode) -> Answer) -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let shown = writeln!(io::stdout(), "{usage}");
            return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
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

/// The arguments of a command.
struct Arguments {
    ndjson: bool,
    mode: ReadMode,
    files: Vec<OsString>,
}

impl Arguments {
    /// Reads the arguments; `None` asks for help.
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut parsed = Self { ndjson: false, mode: ReadMode::Strict, files: Vec::new() };
        let mut options = true;
        for argument in arguments {
            match argument.to_str().filter(|_| options) {
                Some("--ndjson") => parsed.ndjson = true,
                Some("--lenient") => parsed.mode = ReadMode::Lenient,
                Some("--help" | "-h") => return Ok(None),
                Some("--") => options = false,
                Some(other) if other.starts_with('-') && other != "-" => {
                    return Err(format!("unknown option `{other}`"));
                }
                _ => parsed.files.push(argument),
            }
        }
        if parsed.files.is_empty() { Err("no file was named".to_owned()) } else { Ok(Some(parsed)) }
    }
}

/// Why a file could not be gone through.
enum Trouble {
    /// It cannot be read; the next one may be.
    Input(io::Error),
    /// Nothing can be printed any more.
    Output(io::Error),
}

struct Run<'o> {
    out: BufWriter<io::StdoutLock<'o>>,
    mode: ReadMode,
    answer: fn(&[u8], ReadMode) -> Answer,
    faulty: bool,
}

impl Run<'_> {
    /// Answers to the one document in a file.
    fn whole(&mut self, file: &OsStr) -> Result<(), Trouble> {
        let mut json = Vec::new();
        if file == "-" {
            io::stdin().lock().read_to_end(&mut json).map_err(Trouble::Input)?;
        } else {
            json = fs::read(file).map_err(Trouble::Input)?;
        }
        self.print(&json)
    }

    /// Answers to each line of a file, and holds no more than one of them.
    fn lines(&mut self, file: &OsStr) -> Result<(), Trouble> {
        if file == "-" {
            return self.each_line(io::stdin().lock());
        }
        self.each_line(File::open(file).map_err(Trouble::Input)?)
    }

    fn each_line(&mut self, input: impl Read) -> Result<(), Trouble> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).map_err(Trouble::Input)? > 0 {
            if !line.trim_ascii().is_empty() {
                self.print(&line)?;
            }
            line.clear();
            if input.buffer().is_empty() {
                // The next read may wait for its writer, who may wait for our answer.
                self.out.flush().map_err(Trouble::Output)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, json: &[u8]) -> Result<(), Trouble> {
        let answer = (self.answer)(json, self.mode);
        self.faulty |= answer.faulty;
        writeln!(self.out, "{}", answer.line).map_err(Trouble::Output)
    }
}

/// A reader of our output that has seen enough closes it, and needs no message about that.
fn cannot_write(error: &io::Error) -> ExitCode {
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("standard output: {error}"));
    }
    ExitCode::from(2)
}

fn complain(trouble: &str) {
    // Where standard error is closed too, the exit status is all that can be said.
    let _ = writeln!(io::stderr(), "{trouble}");
}
