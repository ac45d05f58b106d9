//! Turns of a trajectory as chat messages.

use common::{Role, ToolCall, Trajectory, Turn};
use serde_json::{Value, json};

/// A scaffold's closing word after the agent has finished: nothing is learned after it, and it is not the agent's.
const CLOSING: &str = "<<< Finished >>>";

/// A trajectory as chat messages, in the form that chat templates take.
///
/// Tool calls get ids where the scaffold gave none, and arguments become objects where they are JSON objects: templates
/// print them as such.
pub fn conversation(trajectory: &Trajectory) -> Vec<Value> {
    let mut turns = trajectory.turns.as_slice();
    if let [rest @ .., last] = turns
        && last.role == Role::User
        && last.content.trim() == CLOSING
    {
        turns = rest;
    }
    turns.iter().enumerate().map(|(index, turn)| message(index, turn)).collect()
}

/// Splits messages after the first one of the user: what comes before is the prompt.
pub fn split_prompt(mut messages: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    let first = messages.iter().position(|message| message["role"] == "user");
    let rest = messages.split_off(first.map_or(0, |index| index + 1));
    (messages, rest)
}

/// Undoes in a message what tables do to tool calls: arguments that are JSON text become the object that templates
/// print, and keys that are null, which a table gives to every call, go.
pub fn clean(message: &mut Value) {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else { return };
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.retain(|_, value| !value.is_null());
        let function = match call.get_mut("function") {
            Some(Value::Object(function)) => function,
            _ => call,
        };
        if let Some(Value::String(text)) = function.get("arguments")
            && let Ok(object @ Value::Object(_)) = serde_json::from_str(text)
        {
            function.insert("arguments".to_owned(), object);
        } else if let Some(Value::Object(arguments)) = function.get_mut("arguments") {
            arguments.retain(|_, value| !value.is_null());
        }
    }
}

fn message(index: usize, turn: &Turn) -> Value {
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut message = json!({"role": role, "content": turn.content});
    if let Some(reasoning) = &turn.reasoning {
        message["reasoning_content"] = json!(reasoning);
    }
    if !turn.tool_calls.is_empty() {
        let calls = turn.tool_calls.iter().enumerate();
        message["tool_calls"] = calls.map(|(call, tool_call)| calling(index, call, tool_call)).collect();
    }
    if let Some(id) = &turn.tool_call_id {
        message["tool_call_id"] = json!(id);
    }
    message
}

fn calling(turn: usize, index: usize, call: &ToolCall) -> Value {
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!(call.arguments),
    };
    let id = call.id.clone().unwrap_or_else(|| format!("call_{turn}_{index}"));
    json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, content: &str) -> Turn {
        Turn { role, content: content.to_owned(), ..Turn::default() }
    }

    #[test]
    fn calls_keep_their_arguments_as_objects() {
        let call = |name: &str, arguments: &str| ToolCall {
            id: None,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let mut asking = turn(Role::Assistant, "look");
        asking.tool_calls = vec![call("bash", r#"{"command": "ls"}"#), call("raw", "ls -l")];
        let mut answer = turn(Role::Tool, "a.py");
        answer.tool_call_id = Some("call_2_0".to_owned());
        let turns = vec![turn(Role::System, "s"), turn(Role::User, "u"), asking, answer];
        let messages = conversation(&Trajectory { turns, ..Trajectory::default() });
        assert_eq!(
            messages[2],
            json!({"role": "assistant", "content": "look", "tool_calls": [
                {"id": "call_2_0", "type": "function", "function": {"name": "bash", "arguments": {"command": "ls"}}},
                {"id": "call_2_1", "type": "function", "function": {"name": "raw", "arguments": "ls -l"}}]})
        );
        assert_eq!(messages[3]["tool_call_id"], "call_2_0");
    }

    #[test]
    fn what_tables_do_to_tool_calls_is_undone() {
        let call = |arguments: Value| {
            json!({"role": "assistant", "tool_calls": [{"id": null, "type": "function", "function": {
                "name": "bash", "arguments": arguments}}]})
        };
        let cleaned = |arguments: Value| {
            let mut message = call(arguments);
            clean(&mut message);
            message["tool_calls"][0].clone()
        };
        let is = |arguments: Value| json!({"type": "function", "function": {"name": "bash", "arguments": arguments}});
        assert_eq!(cleaned(json!({"command": "ls", "path": null})), is(json!({"command": "ls"})));
        // What the policy wrote itself stays, null included.
        let text = "{\"command\": \"ls\", \"path\": null}";
        assert_eq!(cleaned(json!(text)), is(json!({"command": "ls", "path": null})));
        assert_eq!(cleaned(json!("ls -l")), is(json!("ls -l")));
    }

    #[test]
    fn the_prompt_ends_with_the_issue_and_the_scaffold_has_no_last_word() {
        let turns = vec![
            turn(Role::System, "s"),
            turn(Role::User, "u"),
            turn(Role::Assistant, "a"),
            turn(Role::User, "<<< Finished >>>\n"),
        ];
        let (prompt, rest) = split_prompt(conversation(&Trajectory { turns, ..Trajectory::default() }));
        assert_eq!((prompt.len(), rest.len()), (2, 1));
        let (prompt, rest) = split_prompt(vec![json!({"role": "assistant", "content": ""})]);
        assert_eq!((prompt.len(), rest.len()), (0, 1));
    }
}
