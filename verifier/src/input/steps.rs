//! A conversation as steps: what the assistant thought and did, and what came back.

use std::borrow::Cow;
use std::fmt::Write as _;

use common::{Role, ToolCall, Trajectory, Turn};
use serde_json::Value;

/// One assistant turn with the observations that follow it. Texts are as the agent wrote them, not yet escaped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step<'a> {
    /// Position of the assistant turn in the trajectory.
    pub(super) turn: usize,
    /// What it thought or said; may be empty.
    pub(super) thought: Cow<'a, str>,
    /// What it did; may be empty.
    pub(super) action: Cow<'a, str>,
    /// Positions and texts of the turns up to the next assistant turn.
    pub(super) observations: Vec<(usize, &'a str)>,
}

/// How structured tool calls are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// `<function=NAME>` with a `<parameter=…>` for each argument, as the paper's scaffold has them.
    Functions,
    /// `$ NAME`, then the only argument bare, or a `key: value` line for each.
    Lines,
}

/// The steps of a conversation. What comes before the first assistant turn is the scaffold's prompt and left out.
pub(super) fn steps(trajectory: &Trajectory, calls: Calls) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (at, turn) in trajectory.turns.iter().enumerate() {
        if turn.role == Role::Assistant {
            steps.push(step(at, turn, calls));
        } else if let Some(last) = steps.last_mut() {
            last.observations.push((at, turn.content.trim_matches(['\n', '\r'])));
        }
    }
    steps
}

/// The issue: what the request gives, else what the trajectory holds, else the last prompt before the agent begins.
pub(super) fn issue<'a>(given: &'a str, trajectory: &'a Trajectory) -> &'a str {
    let given = given.trim();
    if !given.is_empty() {
        return given;
    }
    if let Some(own) = trajectory.issue.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        return own;
    }
    let prompts = trajectory.turns.iter().take_while(|turn| turn.role != Role::Assistant);
    prompts.filter(|turn| turn.role == Role::User).last().map_or("", |turn| turn.content.trim())
}

fn step(at: usize, turn: &Turn, calls: Calls) -> Step<'_> {
    let content = turn.content.trim();
    let (said, action) = if turn.tool_calls.is_empty() {
        let (said, action) = content.split_at(action_start(content));
        (said.trim_end(), Cow::Borrowed(action))
    } else {
        (content, Cow::Owned(written(&turn.tool_calls, calls)))
    };
    let reasoning = turn.reasoning.as_deref().map_or("", str::trim);
    let thought = match (reasoning, said) {
        ("", said) => Cow::Borrowed(said),
        (reasoning, "") => Cow::Borrowed(reasoning),
        // Some scaffolds keep the same text in both places.
        (reasoning, said) if said.contains(reasoning) => Cow::Borrowed(said),
        (reasoning, said) => Cow::Owned(format!("{reasoning}\n\n{said}")),
    };
    Step { turn: at, thought, action, observations: Vec::new() }
}

/// Where the action begins in a message of a scaffold without structured calls; its end when there is none.
fn action_start(content: &str) -> usize {
    const STARTS: [&str; 4] = ["<function=", "```", "----BEGIN_FUNCTION_CALL----", "<tool_call>"];
    STARTS.iter().filter_map(|mark| content.find(mark)).min().unwrap_or(content.len())
}

fn written(calls: &[ToolCall], style: Calls) -> String {
    let mut text = String::new();
    for call in calls {
        if !text.is_empty() {
            text.push_str(if style == Calls::Functions { "\n\n" } else { "\n" });
        }
        let arguments = match serde_json::from_str(&call.arguments) {
            Ok(Value::Object(arguments)) => {
                arguments.into_iter().map(|(key, value)| (key, plain(value))).collect()
            }
            _ if call.arguments.is_empty() => Vec::new(),
            _ => vec![("command".to_owned(), call.arguments.clone())],
        };
        match style {
            Calls::Functions => {
                let _ = writeln!(text, "<function={}>", call.name);
                for (key, value) in &arguments {
                    // Values of several lines stand on lines of their own.
                    let fence = if value.contains('\n') { "\n" } else { "" };
                    let _ = writeln!(text, "<parameter={key}>{fence}{value}{fence}</parameter>");
                }
                text.push_str("</function>");
            }
            Calls::Lines => {
                let _ = write!(text, "$ {}", call.name);
                match arguments.as_slice() {
                    [(_, value)] => {
                        let _ = write!(text, "\n{value}");
                    }
                    arguments => {
                        for (key, value) in arguments {
                            let _ = write!(text, "\n{key}: {value}");
                        }
                    }
                }
            }
        }
    }
    text
}

/// Strings without quotes, everything else as JSON.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, content: &str) -> Turn {
        Turn { role, content: content.into(), ..Turn::default() }
    }

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: Some("c".into()), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn thoughts_part_from_actions() {
        let cases = [
            ("I look.\n\n```bash\nls\n```\n", ("I look.", "```bash\nls\n```")),
            ("<function=bash>\n</function>", ("", "<function=bash>\n</function>")),
            ("Done.", ("Done.", "")),
            ("", ("", "")),
        ];
        for (content, (thought, action)) in cases {
            let turn = turn(Role::Assistant, content);
            let step = step(0, &turn, Calls::Lines);
            assert_eq!((&*step.thought, &*step.action), (thought, action));
        }
    }

    #[test]
    fn calls_are_written_out_in_either_style() {
        let calls = [
            call("bash", r#"{"command":"ls"}"#),
            call("edit", r#"{"path":"a.py","new":"x\ny","n":3}"#),
            call("finish", "{}"),
            call("raw", "ls -la"),
        ];
        assert_eq!(
            written(&calls, Calls::Lines),
            "$ bash\nls\n$ edit\npath: a.py\nnew: x\ny\nn: 3\n$ finish\n$ raw\nls -la"
        );
        assert_eq!(
            written(&calls[..2], Calls::Functions),
            "<function=bash>\n<parameter=command>ls</parameter>\n</function>\n\n<function=edit>\n<parameter=path>a.py</parameter>\n<parameter=new>\nx\ny\n</parameter>\n<parameter=n>3</parameter>\n</function>"
        );
    }

    #[test]
    fn prompts_are_left_out_and_observations_follow_their_step() {
        let mut acted = turn(Role::Assistant, "I look.");
        acted.reasoning = Some("hm".into());
        acted.tool_calls = vec![call("bash", r#"{"command":"ls"}"#), call("bash", r#"{"command":"pwd"}"#)];
        let trajectory = Trajectory {
            turns: vec![
                turn(Role::System, "be good"),
                turn(Role::User, "fix it"),
                acted,
                turn(Role::Tool, "a.py\n"),
                turn(Role::Tool, "/x"),
                turn(Role::Assistant, "done"),
            ],
            ..Trajectory::default()
        };
        let steps = steps(&trajectory, Calls::Lines);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].turn, &*steps[0].thought), (2, "hm\n\nI look."));
        assert_eq!(steps[0].observations, [(3, "a.py"), (4, "/x")]);
        assert_eq!((steps[1].turn, &*steps[1].thought, &*steps[1].action), (5, "done", ""));
        assert_eq!(issue(" ", &trajectory), "fix it");
        assert_eq!(issue("given", &trajectory), "given");
    }
}
