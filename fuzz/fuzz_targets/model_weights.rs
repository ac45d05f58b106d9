//! The header of a safetensors file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::model_weights(data));
