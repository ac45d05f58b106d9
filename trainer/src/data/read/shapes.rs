//! Which shape a row has, and what it says.

use common::Candidate;
use serde_json::{Value, json};

use super::{
    RowErrorKind,
    fields::{Fields, boolean, messages, present, string, text, tools, type_of, wrong},
};
use crate::data::{Content, Context, Row, Text};

/// A row from its JSON.
pub(in crate::data) fn row(line: usize, value: Value) -> Result<Row, RowErrorKind> {
    let Value::Object(fields) = value else {
        return Err(RowErrorKind::Json(format!("found {}", type_of(&value))));
    };
    let content = if present(&fields, "conversations").is_some() {
        sharegpt(&fields)?
    } else if present(&fields, "instruction").is_some() {
        alpaca(&fields)?
    } else if present(&fields, "candidates").is_some() {
        candidates(&fields)?
    } else if present(&fields, "chosen").is_some() || present(&fields, "rejected").is_some() {
        preference(&fields)?
    } else if present(&fields, "completion").is_some() {
        completion(&fields)?
    } else if present(&fields, "messages").is_some() {
        conversation(&fields)?
    } else {
        let names: Vec<&str> = fields.keys().map(String::as_str).take(12).collect();
        return Err(RowErrorKind::Shape(if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }));
    };
    let template = match present(&fields, "chat_template_kwargs") {
        None => Fields::new(),
        Some(Value::Object(template)) => template.clone(),
        Some(other) => {
            return Err(wrong(
                "chat_template_kwargs",
                format!("expected an object, found {}", type_of(other)),
            ));
        }
    };
    let margin = match present(&fields, "margin") {
        None => None,
        Some(value) => {
            Some(value.as_f64().ok_or_else(|| wrong("margin", format!("expected a number, found {value}")))?)
        }
    };
    let context = Context { tools: tools(&fields)?, template };
    Ok(Row {
        line,
        instance_id: string(&fields, "instance_id")?.map(str::to_owned),
        content,
        context,
        margin,
    })
}

fn preference(fields: &Fields) -> Result<Content, RowErrorKind> {
    let side =
        |name: &str| text(fields, name)?.ok_or_else(|| wrong(name, "is missing beside its counterpart"));
    let (chosen, rejected) = (side("chosen")?, side("rejected")?);
    pair(text(fields, "prompt")?, chosen, rejected)
}

/// A pair; without a prompt, what both sides begin with is the prompt.
fn pair(prompt: Option<Text>, chosen: Text, rejected: Text) -> Result<Content, RowErrorKind> {
    match (prompt, chosen, rejected) {
        (Some(prompt), chosen, rejected) => {
            same_kind("chosen", &prompt, &chosen)?;
            same_kind("rejected", &prompt, &rejected)?;
            Ok(Content::Pair { prompt, chosen, rejected })
        }
        (None, Text::Messages(mut chosen), Text::Messages(mut rejected)) => {
            let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
            // The prompt ends before the policy speaks for the last time before the two part.
            let shorter = chosen.len().min(rejected.len());
            let common = if common == shorter { common.saturating_sub(1) } else { common };
            if common == 0 {
                return Err(wrong(
                    "rejected",
                    "begins with another message than `chosen`; give the `prompt` apart",
                ));
            }
            let chosen_rest = chosen.split_off(common);
            let rejected_rest = rejected.split_off(common);
            Ok(Content::Pair {
                prompt: Text::Messages(chosen),
                chosen: Text::Messages(chosen_rest),
                rejected: Text::Messages(rejected_rest),
            })
        }
        (None, Text::Plain(chosen), Text::Plain(rejected)) => Ok(texts_without_prompt(&chosen, &rejected)),
        (None, ..) => {
            Err(wrong("rejected", "must be text where `chosen` is text, and messages where it is messages"))
        }
    }
}

/// What two texts begin with is their prompt, up to a space before the difference, as in TRL.
fn texts_without_prompt(chosen: &str, rejected: &str) -> Content {
    let same = chosen.chars().zip(rejected.chars()).take_while(|(one, other)| one == other).count();
    let shorter = chosen.chars().count().min(rejected.chars().count());
    let same = if same == shorter { same.saturating_sub(1) } else { same };
    let mut at = chosen.char_indices().nth(same).map_or(chosen.len(), |(at, _)| at);
    if same < shorter && chosen[..at].ends_with(' ') {
        at -= 1;
    }
    let text = |text: &str| Text::Plain(text.to_owned());
    // Both have the same bytes up to there.
    Content::Pair {
        prompt: text(&chosen[..at]),
        chosen: text(&chosen[at..]),
        rejected: text(&rejected[at..]),
    }
}

/// Candidates of an issue: native candidates, each with its label beside its fields.
fn candidates(fields: &Fields) -> Result<Content, RowErrorKind> {
    let Some(Value::Array(items)) = present(fields, "candidates") else {
        return Err(wrong("candidates", "expected a list of candidates"));
    };
    let read = items.iter().enumerate().map(|(index, item)| {
        let path = format!("candidates[{index}]");
        let Value::Object(item) = item else {
            return Err(wrong(&path, format!("expected an object, found {}", type_of(item))));
        };
        let mut item = item.clone();
        let Some(resolved) = boolean(&item, "label")? else {
            return Err(wrong(
                &format!("{path}.label"),
                "is missing: whether the candidate resolves the issue",
            ));
        };
        item.remove("label");
        let candidate: Candidate =
            serde_json::from_value(Value::Object(item)).map_err(|error| wrong(&path, error.to_string()))?;
        Ok((candidate, resolved))
    });
    let candidates = read.collect::<Result<Vec<_>, _>>()?;
    if candidates.is_empty() {
        return Err(wrong("candidates", "is empty"));
    }
    Ok(Content::Candidates { issue: string(fields, "issue")?.unwrap_or_default().to_owned(), candidates })
}

fn same_kind(name: &str, prompt: &Text, other: &Text) -> Result<(), RowErrorKind> {
    match (prompt, other) {
        (Text::Plain(_), Text::Plain(_)) | (Text::Messages(_), Text::Messages(_)) => Ok(()),
        _ => Err(wrong(name, "must be text where `prompt` is text, and messages where it is messages")),
    }
}

fn completion(fields: &Fields) -> Result<Content, RowErrorKind> {
    let completion = text(fields, "completion")?.ok_or_else(|| wrong("completion", "is missing"))?;
    let prompt = match text(fields, "prompt")? {
        Some(prompt) => prompt,
        None => empty_like(&completion),
    };
    same_kind("completion", &prompt, &completion)?;
    match label(fields)? {
        Some(desirable) => Ok(Content::Labelled { prompt, completion, desirable }),
        None => Ok(Content::Demonstration { prompt, completion }),
    }
}

fn label(fields: &Fields) -> Result<Option<bool>, RowErrorKind> {
    Ok(boolean(fields, "label")?.or(boolean(fields, "kto_tag")?))
}

fn empty_like(text: &Text) -> Text {
    match text {
        Text::Plain(_) => Text::Plain(String::new()),
        Text::Messages(_) => Text::Messages(Vec::new()),
    }
}

fn conversation(fields: &Fields) -> Result<Content, RowErrorKind> {
    let Some(Value::Array(items)) = present(fields, "messages") else {
        return Err(wrong("messages", "expected a list of messages"));
    };
    let messages = messages(items, "messages")?;
    labelled_or_shown(fields, messages)
}

/// A whole conversation, with a label or to imitate.
fn labelled_or_shown(fields: &Fields, messages: Vec<Value>) -> Result<Content, RowErrorKind> {
    if !messages.iter().any(|message| message["role"] == "assistant") {
        return Err(wrong("messages", "no message of the assistant: there is nothing to learn"));
    }
    match label(fields)? {
        None => Ok(Content::Demonstration {
            prompt: Text::Messages(Vec::new()),
            completion: Text::Messages(messages),
        }),
        Some(desirable) => {
            let (prompt, completion) = crate::data::split_prompt(messages);
            Ok(Content::Labelled {
                prompt: Text::Messages(prompt),
                completion: Text::Messages(completion),
                desirable,
            })
        }
    }
}

fn sharegpt(fields: &Fields) -> Result<Content, RowErrorKind> {
    let Some(Value::Array(items)) = present(fields, "conversations") else {
        return Err(wrong("conversations", "expected a list of turns"));
    };
    let mut turns = messages(items, "conversations")?;
    if let Some(system) = string(fields, "system")?.filter(|system| !system.is_empty()) {
        turns.insert(0, json!({"role": "system", "content": system}));
    }
    match (text(fields, "chosen")?, text(fields, "rejected")?) {
        (Some(chosen), Some(rejected)) => pair(Some(Text::Messages(turns)), chosen, rejected),
        (None, None) => labelled_or_shown(fields, turns),
        (chosen, _) => {
            let missing = if chosen.is_some() { "rejected" } else { "chosen" };
            Err(wrong(missing, "is missing beside its counterpart"))
        }
    }
}

fn alpaca(fields: &Fields) -> Result<Content, RowErrorKind> {
    let say = |role: &str, content: &str| json!({"role": role, "content": content});
    let mut prompt = Vec::new();
    if let Some(system) = string(fields, "system")?.filter(|system| !system.is_empty()) {
        prompt.push(say("system", system));
    }
    if let Some(history) = present(fields, "history") {
        let rounds: Vec<(String, String)> = serde_json::from_value(history.clone())
            .map_err(|error| wrong("history", format!("expected a list of pairs of texts: {error}")))?;
        for (question, answer) in rounds {
            prompt.extend([say("user", &question), say("assistant", &answer)]);
        }
    }
    let instruction = string(fields, "instruction")?.unwrap_or_default();
    let question = match string(fields, "input")?.filter(|input| !input.is_empty()) {
        Some(input) if instruction.is_empty() => input.to_owned(),
        Some(input) => format!("{instruction}\n{input}"),
        None => instruction.to_owned(),
    };
    prompt.push(say("user", &question));
    let answer = |name: &str| -> Result<Option<Text>, RowErrorKind> {
        Ok(string(fields, name)?.map(|answer| Text::Messages(vec![say("assistant", answer)])))
    };
    let prompt = Text::Messages(prompt);
    match (answer("chosen")?, answer("rejected")?, answer("output")?) {
        (Some(chosen), Some(rejected), _) => pair(Some(prompt), chosen, rejected),
        (Some(_), None, _) => Err(wrong("rejected", "is missing beside its counterpart")),
        (None, Some(_), _) => Err(wrong("chosen", "is missing beside its counterpart")),
        (None, None, None) => Err(wrong("output", "is missing")),
        (None, None, Some(completion)) => Ok(match label(fields)? {
            Some(desirable) => Content::Labelled { prompt, completion, desirable },
            None => Content::Demonstration { prompt, completion },
        }),
    }
}
