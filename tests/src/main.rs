//! The `entropo` command, built for the end-to-end tests.

fn main() -> std::process::ExitCode {
    cli::main()
}
