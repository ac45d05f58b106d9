//! The reader of `llama-factory`.

#![no_main]

use common::SourceFormat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::read_as(Some(SourceFormat::LlamaFactory), data));
