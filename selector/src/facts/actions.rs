//! The actions of a conversation with what came back, on any scaffold.

use std::{borrow::Cow, sync::LazyLock};

use common::{Role, Turn};
use regex::Regex;

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Changes files.
    Edit,
    /// Runs code.
    Run,
    /// Runs a test suite.
    Test,
}

/// One assistant turn's command and the observations up to the next.
#[derive(Debug)]
pub(super) struct Action<'a> {
    pub(super) text: Cow<'a, str>,
    /// The observation. Turns after the first are left out: scaffolds answer an action with one.
    pub(super) observation: &'a str,
    edits: bool,
    runs: bool,
    tests: bool,
}

impl Action<'_> {
    pub(super) fn is(&self, kind: Kind) -> bool {
        match kind {
            Kind::Edit => self.edits,
            Kind::Run => self.runs,
            Kind::Test => self.tests,
        }
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
pub(super) fn of(turns: &[Turn]) -> Vec<Action<'_>> {
    let mut actions: Vec<Action<'_>> = Vec::new();
    for turn in turns {
        if turn.role == Role::Assistant {
            actions.push(action(turn));
        } else if let Some(last) = actions.last_mut()
            && last.observation.is_empty()
        {
            last.observation = &turn.content;
        }
    }
    actions
}

fn action(turn: &Turn) -> Action<'_> {
    let text = command(turn);
    let submits = text.trim_start().starts_with("submit");
    Action {
        observation: "",
        edits: !submits && EDIT.is_match(&text),
        runs: RUN.is_match(&text) && !text.contains("-m pip"),
        tests: TEST.is_match(&text),
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
