//! Exit codes, and how a failure is told to the person at the terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Something failed while the command ran.
pub const FAILURE: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// An input had a problem and `--strict` was given.
pub const BAD_INPUT: u8 = 3;

/// Somebody pressed Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The help text that ends a command's `--help`: its examples, then the exit codes.
#[macro_export]
macro_rules! examples {
    ($text:literal) => {
        concat!(
            "Examples:\n",
            $text,
            "\n\nExit codes:\n",
            "  0  it worked (single bad lines of an input are reported on standard error and skipped)\n",
            "  1  it failed\n",
            "  2  the command line is wrong\n",
            "  3  an input cannot be used: there is nothing in it, or it has a problem and --strict was given"
        )
    };
}

/// An input that could not be used, under `--strict`; ends the program with [`BAD_INPUT`].
#[derive(Debug)]
pub struct BadInput(pub String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// A combination of flags that the parser alone cannot refuse; ends the program with [`USAGE`].
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The work was stopped by Ctrl-C or SIGTERM, and what was done is kept; ends the program with [`INTERRUPTED`].
#[derive(Debug)]
pub struct Interrupted(pub String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Prints a failure with its causes and gives the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.chain().any(is_closed_pipe) {
        // `entropo select … | head`: the reader has seen enough.
        return ExitCode::SUCCESS;
    }
    let kind = if error.is::<Interrupted>() { "" } else { "error: " };
    let mut text = format!("{kind}{error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  because: {cause}");
    }
    // Nothing is left to tell it to when standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code(&error))
}

fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(<dyn std::error::Error>::is::<Interrupted>) {
        INTERRUPTED
    } else if error.chain().any(<dyn std::error::Error>::is::<BadInput>) {
        BAD_INPUT
    } else if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        USAGE
    } else {
        FAILURE
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn codes_follow_the_cause() {
        let bad = Err::<(), _>(BadInput("x".into())).context("while reading").unwrap_err();
        assert_eq!(code(&bad), BAD_INPUT);
        assert_eq!(code(&Interrupted("x".into()).into()), INTERRUPTED);
        assert_eq!(code(&Usage("x".into()).into()), USAGE);
        assert_eq!(code(&anyhow::anyhow!("disk full")), FAILURE);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing").unwrap_err();
        assert_eq!(report(Err(error)), ExitCode::SUCCESS);
    }
}
