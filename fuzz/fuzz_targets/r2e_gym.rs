//! The reader of `r2e-gym`.

#![no_main]

use common::SourceFormat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::read_as(Some(SourceFormat::R2eGym), data));
