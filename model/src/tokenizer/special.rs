//! How special tokens are written in the files beside `tokenizer.json`.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

/// The names that transformers knows; others that end in `_token` are the model's own.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The text of a token that is written as a string or as `{"content": …}`.
pub(super) fn content(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(token) => token.get("content").and_then(Value::as_str),
        _ => None,
    }
}

/// An entry of `added_tokens_decoder`.
pub(super) fn added(token: &Map<String, Value>) -> Option<AddedToken> {
    let flag = |name: &str| token.get(name).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    let text = token.get("content").and_then(Value::as_str)?;
    Some(
        AddedToken::from(text.to_owned(), special)
            .single_word(flag("single_word").unwrap_or(false))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special)),
    )
}
