//! One row of training data.

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
    /// Its line in the file, from 1.
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
