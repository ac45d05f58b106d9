//! What fuzzing starts from, and what it once found, goes through the readers in every run of the tests.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

use common::formats::{Limits, ReadContext, Record, parse_json, read};
use common::{Candidate, SourceFormat, test_formats};

fn read_as(format: Option<SourceFormat>, data: &[u8]) {
    let limits = Limits { line_bytes: 1 << 16, document_bytes: 1 << 16 };
    let ctx = ReadContext { format, limits, ..ReadContext::named("a/owner__repo-1.json") };
    let mut check = |record: Record| {
        if let Record::Candidate(record) = record {
            assert!(!record.candidate.candidate_id.is_empty());
            let text = serde_json::to_vec(&record.candidate).expect("a candidate can be written");
            let again: Candidate = serde_json::from_slice(&text).expect("a written candidate can be read");
            assert_eq!(again, record.candidate);
        }
        ControlFlow::Continue(())
    };
    // Whether it is one of its format is not the question here.
    let _ = read(Cursor::new(data), &ctx, &mut check);
}

#[test]
fn seeds_of_the_fuzz_targets_are_read_without_panic() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut files = 0;
    for folder in std::fs::read_dir(seeds).expect("the seeds are there") {
        let folder = folder.expect("readable").path();
        let target = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let format: Option<SourceFormat> = serde_json::from_value(target.replace('_', "-").into()).ok();
        for seed in std::fs::read_dir(&folder).expect("readable") {
            let data = std::fs::read(seed.expect("readable").path()).expect("readable");
            let text = String::from_utf8_lossy(&data);
            read_as(format, &data);
            read_as(None, &data);
            let _ = parse_json(&data);
            assert!(!test_formats::test_log(&text).contains_key(""));
            let _ = test_formats::junit(&text);
            files += 1;
        }
    }
    assert!(files >= 30, "{files}");
}
