//! What the fuzz targets check, besides that nothing panics.

use std::io::Cursor;
use std::ops::ControlFlow;

use common::formats::{Limits, ReadContext, Record, parse_json, read, read_value};
use common::{Candidate, SourceFormat};

/// Reads the bytes as a file of this format, or of the one detected. What is read must be fit to store: candidates have
/// an id, and survive being written and read again.
pub fn read_as(format: Option<SourceFormat>, data: &[u8]) {
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
    let _ = read(Cursor::new(data), &ctx, &mut check);
    if let Ok(value) = parse_json(data) {
        let _ = read_value(value, &ctx, &mut check);
    }
}

/// Lenient parsing accepts all that strict parsing does, with the same result.
pub fn lenient(data: &[u8]) {
    let lenient = parse_json(data);
    if let Ok(strict) = serde_json::from_slice::<serde_json::Value>(data) {
        assert_eq!(lenient.expect("lenient is no stricter"), strict);
    }
}

/// Reads the bytes as a log of tests.
pub fn log(data: &[u8]) {
    let results = common::test_formats::test_log(&String::from_utf8_lossy(data));
    assert!(!results.contains_key(""));
}

/// Reads the bytes as a JUnit report.
pub fn junit(data: &[u8]) {
    let _ = common::test_formats::junit(&String::from_utf8_lossy(data));
}

/// Reads the bytes as a model's configuration. One that is accepted says the same after it was written, and the sizes in
/// it can be multiplied.
#[cfg(feature = "model")]
pub fn model_config(data: &[u8]) {
    let Ok(config) = model::Config::parse(&String::from_utf8_lossy(data)) else { return };
    let again = model::Config::from_map(config.raw().clone()).expect("its own fields are accepted");
    assert_eq!(again, config);
    assert!(config.heads % config.kv_heads == 0 && config.head_size % 2 == 0);
    let (angles, factor) = config.rope.frequencies(config.head_size.min(1 << 10));
    assert!(factor.is_finite() && angles.iter().all(|angle| !angle.is_nan()));
}

/// Reads the bytes as a file of weights.
#[cfg(feature = "model")]
pub fn model_weights(data: &[u8]) {
    for (name, shape) in model::weights::inspect(data).unwrap_or_default() {
        let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        assert!(elements.is_some_and(|elements| elements <= data.len()), "{name}: {shape:?}");
    }
}

/// Reads the bytes as a chat template, those after a NUL as a conversation. Nothing runs without end, and what is
/// rendered twice is the same.
#[cfg(feature = "model")]
pub fn chat_template(data: &[u8]) {
    use model::chat::{ChatRequest, ChatTemplate, Moment};
    let text = String::from_utf8_lossy(data);
    let (source, messages) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(template) = ChatTemplate::new(source) else { return };
    let messages: Vec<serde_json::Value> = serde_json::from_str(messages)
        .unwrap_or_else(|_| vec![serde_json::json!({"role": "user", "content": messages})]);
    let request = ChatRequest { messages: &messages, now: Some(Moment(0)), ..ChatRequest::default() };
    let special = std::collections::BTreeMap::new();
    let once = template.text(&request, &special).map_err(|error| error.to_string());
    assert_eq!(once, template.text(&request, &special).map_err(|error| error.to_string()));
}
