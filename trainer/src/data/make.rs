//! Rows as JSON: of runs, and of rows that were read.
//!
//! Every row says where it comes from under `source`, which readers pass over: the candidates with their content
//! addresses, or the file and line of the row it was made from.

use std::collections::BTreeMap;

use common::{Candidate, Trajectory};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Content, Context, Row, Text, conversation, split_prompt};

/// What rows are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// Two runs of one prompt, one of which is better.
    #[default]
    Pairs,
    /// Single runs with a label.
    Kto,
    /// Single runs to imitate.
    Sft,
    /// The candidates of an issue with their labels.
    Verifier,
}

/// A run and its address.
fn origin(candidate: &Candidate) -> Value {
    json!({"candidate_id": candidate.candidate_id, "content_id": candidate.trajectory.content_id()})
}

/// Prompt and continuation of a run.
fn parts(trajectory: &Trajectory) -> (Vec<Value>, Vec<Value>) {
    split_prompt(conversation(trajectory))
}

fn finish(instance_id: &str, tools: Option<&[Value]>, mut row: Map<String, Value>, source: Value) -> Value {
    if let Some(tools) = tools {
        row.insert("tools".to_owned(), json!(tools));
    }
    row.insert("instance_id".to_owned(), json!(instance_id));
    row.insert("source".to_owned(), source);
    Value::Object(row)
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// A preference pair of two runs with the same prompt.
pub fn pair_row(chosen: &Candidate, rejected: &Candidate, tools: Option<&[Value]>) -> Value {
    let (prompt, better) = parts(&chosen.trajectory);
    let (_, worse) = parts(&rejected.trajectory);
    let row = fields([("prompt", json!(prompt)), ("chosen", json!(better)), ("rejected", json!(worse))]);
    let source = json!({"chosen": origin(chosen), "rejected": origin(rejected)});
    finish(&chosen.trajectory.instance_id, tools, row, source)
}

/// A run with its label.
pub fn labelled_row(candidate: &Candidate, desirable: bool, tools: Option<&[Value]>) -> Value {
    let (prompt, completion) = parts(&candidate.trajectory);
    let row =
        fields([("prompt", json!(prompt)), ("completion", json!(completion)), ("label", json!(desirable))]);
    finish(&candidate.trajectory.instance_id, tools, row, json!({"completion": origin(candidate)}))
}

/// A run to imitate.
pub fn demonstration_row(candidate: &Candidate, tools: Option<&[Value]>) -> Value {
    let row = fields([("messages", json!(conversation(&candidate.trajectory)))]);
    finish(&candidate.trajectory.instance_id, tools, row, json!({"messages": origin(candidate)}))
}

/// The candidates of an issue with their labels.
pub fn verifier_row(instance_id: &str, issue: &str, candidates: &[(Candidate, bool)]) -> Value {
    let labelled = |(candidate, resolved): &(Candidate, bool)| {
        let mut value = json!(candidate);
        value["label"] = json!(resolved);
        value
    };
    let origins: BTreeMap<&str, String> = candidates
        .iter()
        .map(|(candidate, _)| (candidate.candidate_id.as_str(), candidate.trajectory.content_id()))
        .collect();
    let row = fields([
        ("issue", json!(issue)),
        ("candidates", candidates.iter().map(labelled).collect::<Vec<_>>().into()),
    ]);
    finish(instance_id, None, row, json!({"content_ids": origins}))
}

/// What a row that was read gives for a kind: itself, parts of it, or nothing where it does not hold what the kind needs.
pub fn converted(row: Row, kind: RowKind) -> Vec<Row> {
    let of = |content: Content, row: &Row| Row { content, ..row.clone() };
    match (kind, &row.content) {
        (RowKind::Pairs, Content::Pair { .. })
        | (RowKind::Kto, Content::Labelled { .. })
        | (RowKind::Sft, Content::Demonstration { .. })
        | (RowKind::Verifier, Content::Candidates { .. }) => vec![row],
        (RowKind::Kto, Content::Pair { prompt, chosen, rejected }) => {
            let labelled = |completion: &Text, desirable| Content::Labelled {
                prompt: prompt.clone(),
                completion: completion.clone(),
                desirable,
            };
            vec![of(labelled(chosen, true), &row), of(labelled(rejected, false), &row)]
        }
        (
            RowKind::Sft,
            Content::Pair { prompt, chosen: completion, .. }
            | Content::Labelled { prompt, completion, desirable: true },
        ) => {
            vec![of(Content::Demonstration { prompt: prompt.clone(), completion: completion.clone() }, &row)]
        }
        _ => Vec::new(),
    }
}

/// A row that was read, as JSON.
pub fn row_json(row: &Row, file: &str) -> Value {
    let text = |text: &Text| match text {
        Text::Plain(text) => json!(text),
        Text::Messages(messages) => json!(messages),
    };
    let mut out = match &row.content {
        Content::Pair { prompt, chosen, rejected } => {
            fields([("prompt", text(prompt)), ("chosen", text(chosen)), ("rejected", text(rejected))])
        }
        Content::Labelled { prompt, completion, desirable } => {
            fields([("prompt", text(prompt)), ("completion", text(completion)), ("label", json!(desirable))])
        }
        Content::Demonstration { prompt: Text::Messages(prompt), completion: Text::Messages(completion) }
            if prompt.is_empty() =>
        {
            fields([("messages", json!(completion))])
        }
        Content::Demonstration { prompt, completion } => {
            fields([("prompt", text(prompt)), ("completion", text(completion))])
        }
        Content::Candidates { issue, candidates } => {
            let Value::Object(mut whole) = verifier_row("", issue, candidates) else { return Value::Null };
            whole.remove("instance_id");
            whole.remove("source");
            whole
        }
    };
    let Context { tools, template } = &row.context;
    if let Some(tools) = tools {
        out.insert("tools".to_owned(), json!(tools));
    }
    if !template.is_empty() {
        out.insert("chat_template_kwargs".to_owned(), json!(template));
    }
    if let Some(margin) = row.margin {
        out.insert("margin".to_owned(), json!(margin));
    }
    if let Some(id) = &row.instance_id {
        out.insert("instance_id".to_owned(), json!(id));
    }
    out.insert("source".to_owned(), json!({"file": file, "line": row.line}));
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use common::{Role, Turn};

    use super::*;
    use crate::data::{Mask, parse_rows};

    fn candidate(id: &str, said: &str) -> Candidate {
        let turn = |role, content: &str| Turn { role, content: content.to_owned(), ..Turn::default() };
        let turns = vec![turn(Role::User, "fix it"), turn(Role::Assistant, said)];
        let trajectory = Trajectory { instance_id: "a__b-1".to_owned(), turns, ..Trajectory::default() };
        Candidate { candidate_id: id.to_owned(), trajectory }
    }

    fn read(row: &Value) -> Row {
        let loaded = parse_rows(row.to_string().as_bytes(), Mask::Policy).expect("reads");
        assert_eq!(loaded.refused, []);
        loaded.rows.into_iter().next().expect("one row")
    }

    #[test]
    fn rows_of_runs_are_read_back() {
        let (good, bad) = (candidate("g", "done"), candidate("b", "no"));
        let say = |role: &str, text: &str| json!({"role": role, "content": text});
        let messages = |role: &str, text: &str| Text::Messages(vec![say(role, text)]);
        let prompt = || messages("user", "fix it");
        let tools = [json!({"name": "bash"})];
        let pair = pair_row(&good, &bad, Some(&tools));
        assert_eq!(pair["source"]["chosen"]["content_id"], good.trajectory.content_id());
        let row = read(&pair);
        let expected = Content::Pair {
            prompt: prompt(),
            chosen: messages("assistant", "done"),
            rejected: messages("assistant", "no"),
        };
        assert_eq!((row.content, row.instance_id.as_deref()), (expected, Some("a__b-1")));
        assert_eq!(row.context.tools.as_deref(), Some(&tools[..]));
        let expected =
            Content::Labelled { prompt: prompt(), completion: messages("assistant", "no"), desirable: false };
        assert_eq!(read(&labelled_row(&bad, false, None)).content, expected);
        let whole = Text::Messages(vec![say("user", "fix it"), say("assistant", "done")]);
        let expected = Content::Demonstration { prompt: Text::Messages(Vec::new()), completion: whole };
        assert_eq!(read(&demonstration_row(&good, None)).content, expected);
        let candidates = vec![(good, true), (bad, false)];
        let row = read(&verifier_row("a__b-1", "it fails", &candidates));
        assert_eq!(row.content, Content::Candidates { issue: "it fails".to_owned(), candidates });
    }

    #[test]
    fn rows_become_other_kinds_and_survive_being_written() {
        let pair = json!({"prompt": "p", "chosen": "c", "rejected": "r", "margin": 1.0, "instance_id": "i",
            "chat_template_kwargs": {"a": 1}});
        let pair = read(&pair);
        let kinds = |kind| converted(pair.clone(), kind);
        assert_eq!(kinds(RowKind::Pairs), std::slice::from_ref(&pair));
        assert_eq!(kinds(RowKind::Kto).len(), 2);
        assert!(matches!(&kinds(RowKind::Sft)[..], [Row { content: Content::Demonstration { .. }, .. }]));
        assert_eq!(kinds(RowKind::Verifier), []);
        for kind in [RowKind::Pairs, RowKind::Kto, RowKind::Sft] {
            for row in kinds(kind) {
                let json = row_json(&row, "x.jsonl");
                assert_eq!(json["source"], json!({"file": "x.jsonl", "line": 1}));
                assert_eq!(read(&json), row);
            }
        }
    }
}
