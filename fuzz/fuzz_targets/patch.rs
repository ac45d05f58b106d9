//! A patch, from its text to its digest: nothing panics, and the digest of the same text is the same.

#![no_main]

use patch::{Digest, Similarity, parse, similarity};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let patch = parse(&text);
    let (one, two) = (Digest::of(&patch), Digest::of(&patch));
    assert_eq!(one, two);
    assert_eq!(similarity(&one, &two), Similarity::SAME);
    // A flag names a line of the text.
    let lines = text.split('\n').count();
    assert!(patch.flags.iter().all(|flag| (1..=lines).contains(&flag.line)));
});
