//! One row of training data.

use common::Candidate;
use serde_json::{Map, Value};

/// A text, or chat messages in the form that chat templates take (`role`, `content`, `tool_calls`, …).
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// Goes to the tokenizer as it is.
    Plain(String),
    /// Goes through the model's chat template.
    Messages(Vec<Value>),
}

impl Text {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Plain(text) => text.is_empty(),
            Self::Messages(messages) => messages.is_empty(),
        }
    }
}

/// What a row teaches.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Of two continuations of one prompt, the first is to be preferred.
    Pair {
        /// What both continue.
        prompt: Text,
        /// The better one.
        chosen: Text,
        /// The worse one.
        rejected: Text,
    },
    /// A continuation that is desirable or not.
    Labelled {
        /// What it continues.
        prompt: Text,
        /// The continuation.
        completion: Text,
        /// Whether it is desirable.
        desirable: bool,
    },
    /// A continuation to imitate; of a conversation all assistant turns are learned, and the prompt is empty.
    Demonstration {
        /// What it continues.
        prompt: Text,
        /// What is imitated.
        completion: Text,
    },
    /// Candidates of one issue, for a verifier.
    Candidates {
        /// The text of the issue; empty where the candidates hold it.
        issue: String,
        /// The candidates, and whether each resolves the issue.
        candidates: Vec<(Candidate, bool)>,
    },
}

/// What a chat template needs besides the messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// Tool schemas.
    pub tools: Option<Vec<Value>>,
    /// Further variables of the template, such as `enable_thinking`.
    pub template: Map<String, Value>,
}

/// A row of training data.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1; in a file that is one list its place there.
    pub line: usize,
    /// The issue, where the row names one.
    pub instance_id: Option<String>,
    /// What it teaches.
    pub content: Content,
    /// What goes to the template with it.
    pub context: Context,
    /// By how much the chosen score is to exceed the rejected one (reward models).
    pub margin: Option<f64>,
}

/// Rows in the batches that TRL unpairs at once.
const BATCH: usize = 1000;

/// Pairs as two labelled rows each; other rows stay. As in TRL, of every 1,000 rows first all chosen continuations come,
/// then all rejected ones.
pub fn unpaired(rows: Vec<Row>) -> Vec<Row> {
    let mut single = Vec::with_capacity(rows.len() * 2);
    let mut rejections = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        if at % BATCH == 0 {
            single.append(&mut rejections);
        }
        match row.content {
            Content::Pair { prompt, chosen, rejected } => {
                let labelled = |completion, desirable| Row {
                    content: Content::Labelled { prompt: prompt.clone(), completion, desirable },
                    instance_id: row.instance_id.clone(),
                    context: row.context.clone(),
                    ..row
                };
                single.push(labelled(chosen, true));
                rejections.push(labelled(rejected, false));
            }
            _ => single.push(row),
        }
    }
    single.append(&mut rejections);
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_two_rows_each_chosen_ones_first() {
        let text = |text: String| Text::Plain(text);
        let pair = |line: usize| Row {
            line,
            instance_id: None,
            content: Content::Pair {
                prompt: text("p".to_owned()),
                chosen: text(format!("c{line}")),
                rejected: text(format!("r{line}")),
            },
            context: Context::default(),
            margin: None,
        };
        let rows = unpaired((0..=BATCH).map(pair).collect());
        let said: Vec<(&str, bool)> = rows
            .iter()
            .filter_map(|row| match &row.content {
                Content::Labelled { completion: Text::Plain(text), desirable, .. } => {
                    Some((text.as_str(), *desirable))
                }
                _ => None,
            })
            .collect();
        assert_eq!(said.len(), 2 * (BATCH + 1));
        assert_eq!(said[..2], [("c0", true), ("c1", true)]);
        assert_eq!(said[BATCH], ("r0", false));
        assert_eq!(said[2 * BATCH..], [("c1000", true), ("r1000", false)]);
    }
}
