//! The `entropo-admin` command, for the image that brings databases up to date.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::admin()
}
