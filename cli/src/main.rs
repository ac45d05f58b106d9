//! The `entropo` command; everything is in the library, so that tests can run the same program.

use std::process::ExitCode;

// Many threads parse and drop large strings: a thread-caching allocator is worth its 100 kB.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
