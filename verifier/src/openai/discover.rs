//! Which model the server serves: `GET /v1/models`.

use serde_json::Value;

/// A model as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// The server's name for it.
    pub(super) id: String,
    /// The longest context in tokens, where the server says.
    pub(super) max_tokens: Option<usize>,
    /// What names its contents, as far as the server says.
    pub(super) marks: Vec<String>,
}

/// Picks the wanted model, or the only one.
pub(super) fn choose(reply: &Value, wanted: &str) -> Result<Served, String> {
    let entries = reply.get("data").and_then(Value::as_array).ok_or("the list of models has no `data`")?;
    let mut ids: Vec<&str> =
        entries.iter().filter_map(|entry| entry.get("id").and_then(Value::as_str)).collect();
    let entry = match (wanted, ids.as_slice()) {
        ("", [id]) => entries.iter().find(|entry| entry["id"] == **id),
        ("", []) => return Err("the server serves no model".to_owned()),
        ("", _) => {
            ids.sort_unstable();
            return Err(format!("the server serves several models; choose one of them: {}", ids.join(", ")));
        }
        (wanted, _) => entries.iter().find(|entry| entry["id"] == *wanted),
    };
    let entry =
        entry.ok_or_else(|| format!("the server does not serve `{wanted}`; it serves {}", ids.join(", ")))?;
    Ok(served(entry))
}

fn served(entry: &Value) -> Served {
    let number =
        |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok()).filter(|n| *n > 0);
    // vLLM and SGLang say `max_model_len`; llama.cpp what the model was trained with; OpenRouter `context_length`.
    let max_tokens = [&entry["max_model_len"], &entry["context_length"], &entry["meta"]["n_ctx_train"]]
        .into_iter()
        .find_map(number);
    // `created` is no mark: vLLM puts the time of the request there.
    let marks = [
        ("id", &entry["id"]),
        ("root", &entry["root"]),
        ("parent", &entry["parent"]),
        ("meta", &entry["meta"]),
    ];
    let marks = marks
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Served { id: entry["id"].as_str().unwrap_or_default().to_owned(), max_tokens, marks }
}

/// 16 hex digits over everything that determines a score, as far as it can be known from here.
pub(super) fn revision(marks: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for mark in marks {
        hasher.update(&(mark.len() as u64).to_le_bytes());
        hasher.update(mark.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_only_model_needs_no_name() {
        let list = json!({"object": "list", "data": [
            {"id": "judge", "created": 1, "owned_by": "vllm", "root": "/models/judge", "parent": null, "max_model_len": 65536}
        ]});
        let served = choose(&list, "").unwrap();
        assert_eq!((served.id.as_str(), served.max_tokens), ("judge", Some(65536)));
        let later =
            json!({"data": [{"id": "judge", "created": 2, "root": "/models/judge", "max_model_len": 65536}]});
        assert_eq!(
            choose(&later, "judge").unwrap().marks,
            served.marks,
            "the time of the request does not count"
        );
        assert!(choose(&list, "other").unwrap_err().contains("does not serve `other`; it serves judge"));
    }

    #[test]
    fn of_several_one_must_be_chosen() {
        let list = json!({"data": [{"id": "b"}, {"id": "a", "meta": {"n_ctx_train": 4096}}]});
        assert!(choose(&list, "").unwrap_err().ends_with("a, b"));
        assert_eq!(choose(&list, "a").unwrap().max_tokens, Some(4096));
        assert!(choose(&json!({"data": []}), "").is_err());
        assert!(choose(&json!({"models": []}), "").is_err());
    }

    #[test]
    fn a_revision_tells_contents_apart() {
        let of = |marks: &[&str]| revision(&marks.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_eq!(of(&[]).len(), 16);
    }
}
