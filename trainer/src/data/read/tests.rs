use serde_json::{Value, json};

use super::*;
use crate::data::{Content, Row, Text};

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
fn messages_lose_their_nulls_and_keep_their_tool_calls() {
    let call = json!({"id": null, "type": "function", "function": {"name": "bash", "arguments": "{\"command\": \"ls\"}"}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call], "tool_call_id": null});
    let row = parse(
        json!({"messages": [say("user", "u"), message, {"role": "user", "content": "x", "tool_calls": []}]}),
    )
    .expect("valid");
    let Content::Demonstration { completion: Text::Messages(messages), .. } = row.content else {
        panic!("not a demonstration")
    };
    assert_eq!(messages[1], json!({"role": "assistant", "tool_calls": [call]}));
    assert_eq!(messages[2], say("user", "x"));
}

#[test]
fn texts_without_a_prompt_are_split_where_they_part() {
    let parts = |chosen: &str, rejected: &str| {
        let row = parse(json!({"chosen": chosen, "rejected": rejected})).expect("valid");
        let Content::Pair { prompt: Text::Plain(p), chosen: Text::Plain(c), rejected: Text::Plain(r) } =
            row.content
        else {
            panic!("not a pair of texts")
        };
        (p, c, r)
    };
    let texts = |p: &str, c: &str, r: &str| (p.to_owned(), c.to_owned(), r.to_owned());
    assert_eq!(parts("the sky is blue", "the sky is green"), texts("the sky is", " blue", " green"));
    assert_eq!(parts("é→a", "é→b"), texts("é→", "a", "b"));
    assert_eq!(parts("yes", "no"), texts("", "yes", "no"));
    // One is what the other begins with: its last character is no prompt.
    assert_eq!(parts("abc", "ab"), texts("a", "bc", "b"));
    assert_eq!(parts("a b", "a "), texts("a", " b", " "));
}

#[test]
fn candidates_of_an_issue_are_read_with_their_labels() {
    let row = parse(json!({"instance_id": "a__b-1", "issue": "it fails", "candidates": [
        {"candidate_id": "x", "label": true, "instance_id": "a__b-1", "patch": "p", "exit": "submitted"},
        {"candidate_id": "y", "label": 0, "turns": [{"role": "assistant", "content": "done"}]},
    ]}))
    .expect("valid");
    let Content::Candidates { issue, candidates } = row.content else { panic!("no candidates") };
    assert_eq!(issue, "it fails");
    let labels: Vec<(&str, bool)> =
        candidates.iter().map(|(candidate, label)| (candidate.candidate_id.as_str(), *label)).collect();
    assert_eq!(labels, [("x", true), ("y", false)]);
    assert_eq!(candidates[1].0.trajectory.turns[0].content, "done");
}

#[test]
fn malformed_rows_name_the_field() {
    let cases = [
        (json!({"prompt": "p", "chosen": "c"}), "`rejected`: is missing"),
        (
            json!({"prompt": "p", "chosen": "c", "rejected": 3}),
            "`rejected`: expected a string or a list of messages",
        ),
        (json!({"chosen": "c", "rejected": [say("assistant", "r")]}), "`rejected`: must be text"),
        (json!({"candidates": []}), "`candidates`: is empty"),
        (json!({"candidates": [{"candidate_id": "x"}]}), "`candidates[0].label`: is missing"),
        (json!({"candidates": [{"label": true}]}), "`candidates[0]`: missing field `candidate_id`"),
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
