//! A file of any format, told by its content.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::read_as(None, data));
