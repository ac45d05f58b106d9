//! A chat template, and after a NUL a conversation.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::chat_template(data));
