//! Logs of test runs.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::log(data));
