use serde_json::{Value, json};

use super::*;
use crate::data::{Content, Text};

fn parse(value: Value) -> Result<Row, RowErrorKind> {
    row(1, value)
}

fn say(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn refused(value: Value) -> String {
    parse(value).expect_err("must be refused").to_string()
}

#[test]
fn pairs_come_as_texts_as_messages_and_as_whole_conversations() {
    let plain = parse(json!({"prompt": "p", "chosen": "c", "rejected": "r"})).expect("valid");
    let text = |text: &str| Text::Plain(text.to_owned());
    assert_eq!(plain.content, Content::Pair { prompt: text("p"), chosen: text("c"), rejected: text("r") });

    let whole = |answer: &str| json!([say("system", "s"), say("user", "u"), say("assistant", answer)]);
    let row = parse(
        json!({"chosen": whole("yes"), "rejected": whole("no"), "margin": 0.5, "instance_id": "a__b-1"}),
    )
    .expect("valid");
    let expected = Content::Pair {
        prompt: Text::Messages(vec![say("system", "s"), say("user", "u")]),
        chosen: Text::Messages(vec![say("assistant", "yes")]),
        rejected: Text::Messages(vec![say("assistant", "no")]),
    };
    assert_eq!(row.content, expected);
    assert_eq!((row.margin, row.instance_id.as_deref()), (Some(0.5), Some("a__b-1")));
    let apart = json!({
        "prompt": [say("system", "s"), say("user", "u")],
        "chosen": [say("assistant", "yes")],
        "rejected": [say("assistant", "no")],
    });
    assert_eq!(parse(apart).expect("valid").content, expected);
}

#[test]
fn conversations_that_part_late_share_what_comes_before() {
    let chosen = json!([say("user", "u"), say("assistant", "a"), say("tool", "o"), say("assistant", "yes")]);
    let rejected = json!([say("user", "u"), say("assistant", "a"), say("tool", "o"), say("assistant", "no")]);
    let Content::Pair { prompt: Text::Messages(prompt), .. } =
        parse(json!({"chosen": chosen, "rejected": rejected})).expect("valid").content
    else {
        panic!("not a pair of messages")
    };
    assert_eq!(prompt.len(), 3);
}

#[test]
fn labels_and_demonstrations_are_told_apart() {
    let kto = json!({"prompt": [say("user", "u")], "completion": [say("assistant", "a")], "label": false});
    assert!(matches!(parse(kto).expect("valid").content, Content::Labelled { desirable: false, .. }));
    let shown = json!({"prompt": "p", "completion": "c"});
    assert!(matches!(parse(shown).expect("valid").content, Content::Demonstration { .. }));
    let tagged = json!({"messages": [say("user", "u"), say("assistant", "a")], "kto_tag": 1});
    let Content::Labelled { prompt, completion, desirable } = parse(tagged).expect("valid").content else {
        panic!("not labelled")
    };
    assert!(desirable);
    assert_eq!(prompt, Text::Messages(vec![say("user", "u")]));
    assert_eq!(completion, Text::Messages(vec![say("assistant", "a")]));
}

#[test]
fn llama_factory_rows_are_read() {
    let from = |from: &str, value: &str| json!({"from": from, "value": value});
    let row = parse(json!({
        "conversations": [from("human", "u"), from("function_call", "f"), from("observation", "o")],
        "chosen": from("gpt", "yes"), "rejected": from("gpt", "no"),
        "system": "s", "tools": "[{\"name\": \"bash\"}]",
    }))
    .expect("valid");
    let Content::Pair { prompt: Text::Messages(prompt), chosen: Text::Messages(chosen), .. } = row.content
    else {
        panic!("not a pair of messages")
    };
    let roles: Vec<&str> = prompt.iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(chosen, [say("assistant", "yes")]);
    assert_eq!(row.context.tools, Some(vec![json!({"name": "bash"})]));

    let row = parse(
        json!({"instruction": "i", "input": "x", "output": "o", "history": [["q", "a"]], "kto_tag": true}),
    )
    .expect("valid");
    let Content::Labelled { prompt: Text::Messages(prompt), .. } = row.content else {
        panic!("not labelled")
    };
    assert_eq!(prompt, [say("user", "q"), say("assistant", "a"), say("user", "i\nx")]);
}

#[test]
fn what_tables_do_to_tool_calls_is_undone() {
    let call = json!({"id": null, "type": "function", "function": {
        "name": "bash", "arguments": "{\"command\": \"ls\", \"path\": null}"}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call], "tool_call_id": null});
    let row = parse(
        json!({"messages": [say("user", "u"), message, {"role": "user", "content": "x", "tool_calls": []}]}),
    )
    .expect("valid");
    let Content::Demonstration { completion: Text::Messages(messages), .. } = row.content else {
        panic!("not a demonstration")
    };
    assert_eq!(
        messages[1],
        json!({"role": "assistant", "tool_calls": [
            {"type": "function", "function": {"name": "bash", "arguments": {"command": "ls"}}}]})
    );
    assert_eq!(messages[2], say("user", "x"));
}

#[test]
fn malformed_rows_name_the_field() {
    let cases = [
        (json!({"prompt": "p", "chosen": "c"}), "`rejected`: is missing"),
        (
            json!({"prompt": "p", "chosen": "c", "rejected": 3}),
            "`rejected`: expected a string or a list of messages",
        ),
        (json!({"chosen": "c", "rejected": "r"}), "`prompt`: is missing"),
        (
            json!({"prompt": "p", "chosen": [say("assistant", "c")], "rejected": "r"}),
            "`chosen`: must be text",
        ),
        (json!({"messages": [{"content": "x"}]}), "`messages[0].role`"),
        (json!({"messages": [say("user", "u")]}), "nothing to learn"),
        (json!({"messages": [{"role": "assistant"}]}), "neither `content` nor `tool_calls`"),
        (json!({"completion": "c", "label": "yes"}), "`label`: expected true or false"),
        (json!({"messages": [say("assistant", "a")], "tools": 3}), "`tools`: expected a list"),
        (json!({"messages": [say("assistant", "a")], "tools": "{"}), "`tools`: "),
        (json!({"conversations": [{"from": "nobody", "value": ""}]}), "`conversations[0].from`"),
        (
            json!({"chosen": [say("user", "a")], "rejected": [say("user", "b")]}),
            "begins with another message",
        ),
        (json!({"text": 1}), "found text"),
        (json!([1]), "not a JSON object"),
    ];
    for (value, part) in cases {
        let message = refused(value.clone());
        assert!(message.contains(part), "{value}: {message}");
    }
}

#[test]
fn a_file_is_read_to_its_end_and_bad_lines_are_numbered() {
    let text = "\u{feff}{\"prompt\": \"p\", \"completion\": \"c\"}\n\n{oops\n{\"prompt\": \"p\", \"completion\": \"d\"}";
    let mut lines = Vec::new();
    let report =
        read_rows(text.as_bytes(), |row| lines.push(row.map(|row| row.line).map_err(|error| error.line)));
    assert_eq!(report.expect("reads"), ReadReport { rows: 2, refused: 1 });
    assert_eq!(lines, [Ok(1), Err(3), Ok(4)]);
}
