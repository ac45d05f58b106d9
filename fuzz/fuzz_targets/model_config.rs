//! `config.json` of a model folder.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::model_config(data));
