//! The reader of `swe-bench-run`.

#![no_main]

use common::SourceFormat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::read_as(Some(SourceFormat::SweBenchRun), data));
