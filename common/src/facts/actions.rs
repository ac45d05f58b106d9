//! The actions of a conversation with what came back, on any scaffold.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use super::{Outcome, outcome};
use crate::{Role, Turn};

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes files.
    Edit,
    /// Runs code.
    Run,
    /// Runs a test suite.
    Test,
}

/// One assistant turn's command and what came back up to the next.
#[derive(Debug, Clone)]
pub struct Action<'a> {
    /// Position of the assistant's turn in the conversation.
    pub turn: usize,
    /// What it asks to be done.
    pub text: Cow<'a, str>,
    /// The observation. Turns after the first are left out: scaffolds answer an action with one.
    pub observation: &'a str,
    /// What kind of action it is and how it went.
    pub step: Step,
}

/// An action without its texts.
#[expect(clippy::struct_excessive_bools, reason = "each says one independent thing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// It changes files, if the environment lets it.
    pub edits: bool,
    /// It runs code.
    pub runs: bool,
    /// It runs a test suite.
    pub tests: bool,
    /// It is a word-by-word copy of an earlier one.
    pub repeats: bool,
    /// What the observation says, were the action a run of code.
    pub outcome: Outcome,
    /// The environment refused the edit.
    pub refused: bool,
}

impl Step {
    /// Whether the action does this.
    pub fn is(self, kind: Kind) -> bool {
        match kind {
            Kind::Edit => self.edits,
            Kind::Run => self.runs,
            Kind::Test => self.tests,
        }
    }

    /// Whether the observation shows an error, a missing command or a refused edit.
    pub fn shows_error(self) -> bool {
        self.refused || self.outcome == Outcome::Failed
    }

    /// Whether it changed files: an edit that the environment did not refuse.
    pub fn took(self) -> bool {
        self.edits && !self.refused
    }

    /// The same action before its observation came.
    #[must_use]
    pub fn unanswered(self) -> Self {
        Self { outcome: Outcome::Silent, refused: false, ..self }
    }
}

static EDIT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?im)^\s*(edit|insert|create|str_replace|apply_patch|write_file|replace_\w+)\b|str_replace_editor (str_replace|insert|create)|"command": ?"(str_replace|insert|create|undo_edit)"|<parameter=command>\s*(str_replace|insert|create)|\bsed -i|cat\s*>+|<<\s*['"]?(EOF|PY|PATCH)|\btee\b|git apply|\bpatch -p|str_replace_in_file|replace_in_file|insert_lines|edit_file|write_to_file|write_text\(|\.write\("#,
    )
});
static RUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(pytest|tox|runtests|unittest|manage\.py test|run_tests?|go test|cargo test|npm (run )?test|yarn test|mvn|gradlew?|make (check|test)|ctest|jest|mocha|bin/test|node \S+\.js|java -|python[0-9.]* \S+|go run|cargo run|ruby \S+|php \S+)",
    )
});
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(pytest|tox|runtests|unittest|manage\.py test|run_tests?|go test|cargo test|npm (run )?test|yarn test|mvn[^|]*test|gradlew?[^|]*test|make (check|test)|ctest|jest|mocha|bin/test)\b",
    )
});
static FENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)```[a-z_]*\n(.*?)```"));
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?s)<function=.*?</function>|----BEGIN_FUNCTION_CALL----.*?----END_FUNCTION_CALL----")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are constant and tested")
}

/// The actions of a conversation, in order.
pub fn of(turns: &[Turn]) -> Vec<Action<'_>> {
    let mut actions: Vec<Action<'_>> = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        if turn.role == Role::Assistant {
            actions.push(action(at, turn));
        } else if let Some(last) = actions.last_mut()
            && last.observation.is_empty()
        {
            last.observation = &turn.content;
        }
    }
    let mut seen = rustc_hash::FxHashSet::default();
    let repeats: Vec<bool> = actions.iter().map(|action| !seen.insert(action.text.trim())).collect();
    for (action, repeats) in actions.iter_mut().zip(repeats) {
        action.step.repeats = repeats;
        action.step.outcome = outcome::of(action.observation);
        action.step.refused = outcome::is_refused_edit(action.observation);
    }
    actions
}

fn action(at: usize, turn: &Turn) -> Action<'_> {
    let text = command(turn);
    let submits = text.trim_start().starts_with("submit");
    Action {
        turn: at,
        observation: "",
        step: Step {
            edits: !submits && EDIT.is_match(&text),
            runs: RUN.is_match(&text) && !text.contains("-m pip"),
            tests: TEST.is_match(&text),
            repeats: false,
            outcome: Outcome::Silent,
            refused: false,
        },
        text,
    }
}

/// What the turn asks to be done: structured calls, else commands fenced in the text, else the text.
fn command(turn: &Turn) -> Cow<'_, str> {
    match turn.tool_calls.as_slice() {
        [] => {}
        calls => {
            let lines: Vec<String> =
                calls.iter().map(|call| format!("{} {}", call.name, call.arguments)).collect();
            return Cow::Owned(lines.join("\n"));
        }
    }
    for fenced in [&*CALL, &*FENCE] {
        let found: Vec<&str> = fenced
            .captures_iter(&turn.content)
            .filter_map(|found| found.get(1).or_else(|| found.get(0)))
            .map(|found| found.as_str())
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => return Cow::Borrowed(one),
            many => return Cow::Owned(many.join("\n")),
        }
    }
    Cow::Borrowed(&turn.content)
}
