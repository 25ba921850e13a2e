//! The shared parts of the examples without arguments: `--help`, and an end without a panic when the output is closed.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints a line. If standard output is closed, it returns an error from the function, where `println!` would panic.
macro_rules! say {
    ($($words:tt)*) => { { use std::io::Write as _; writeln!(std::io::stdout(), $($words)*)? } };
}
pub(crate) use say;

/// Returns the exit status if there are arguments: `--help` prints the usage, and anything else is refused.
pub(crate) fn arguments(usage: &str) -> Option<ExitCode> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next() {
        Ok(None) => None,
        Ok(Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h'))) => {
            // A reader that closed the output needs no more help.
            let _ = writeln!(io::stdout(), "{usage}");
            Some(ExitCode::SUCCESS)
        }
        Ok(Some(other)) => Some(refused(&other.unexpected(), usage)),
        Err(error) => Some(refused(&error, usage)),
    }
}

fn refused(error: &lexopt::Error, usage: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{error}\n{usage}");
    ExitCode::from(2)
}

/// Returns the exit status of an example. A reader that closes our output early needs no message.
pub(crate) fn ended(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_none_or(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        let _ = writeln!(io::stderr(), "{error}");
    }
    ExitCode::from(2)
}
