//! What fuzzing starts from, and what it once found, goes through the readers in every run of the tests.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use model::chat::{ChatRequest, ChatTemplate, Moment};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let files = std::fs::read_dir(folder).expect("the seeds are there");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        std::fs::read(file.expect("readable").path()).expect("readable")
    };
    files.map(read).collect()
}

#[test]
fn seeds_of_the_fuzz_targets_are_read_without_panic() {
    for data in seeds("model_config") {
        model::Config::parse(&String::from_utf8_lossy(&data)).expect("a seed that is accepted");
    }
    for data in seeds("model_weights") {
        assert!(!model::weights::inspect(&data).expect("a seed that is accepted").is_empty());
    }
    for data in seeds("chat_template") {
        let text = String::from_utf8_lossy(&data);
        let (source, _) = text.split_once('\0').unwrap_or((&text, ""));
        let Ok(template) = ChatTemplate::new(source) else { continue };
        let messages = [serde_json::json!({"role": "user", "content": "a"})];
        let request = ChatRequest { messages: &messages, now: Some(Moment(0)), ..ChatRequest::default() };
        let render = || template.text(&request, &BTreeMap::new()).map_err(|error| error.to_string());
        assert_eq!(render(), render());
    }
}
