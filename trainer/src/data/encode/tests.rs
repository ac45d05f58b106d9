use std::path::Path;

use model::Tokenizer;
use serde_json::{Value, json};

use super::*;
use crate::data::{Content, Context, Row, Text};

/// A byte-level tokenizer with a template that has no generation blocks; tokens are bytes but for the special ones.
pub(super) fn encoder(rules: EncodeRules) -> Encoder {
    Encoder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chatml"), rules).expect("opens")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chatml")).expect("loads")
}

fn encode(_: &Tokenizer, row: &Row, rules: EncodeRules) -> Result<Encoded, EncodeError> {
    encoder(rules).encode(row)
}

pub(super) fn say(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

pub(super) fn row(content: Content) -> Row {
    Row { line: 1, instance_id: None, content, context: Context::default(), margin: None }
}

pub(super) fn pair(chosen: Vec<Value>, rejected: Vec<Value>) -> Row {
    let prompt = Text::Messages(vec![say("system", "s"), say("user", "fix it")]);
    row(Content::Pair { prompt, chosen: Text::Messages(chosen), rejected: Text::Messages(rejected) })
}

pub(super) fn trained_text(tokenizer: &Tokenizer, tokens: &Tokens) -> Vec<String> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut inside = false;
    for (&id, &trained) in tokens.ids.iter().zip(&tokens.trained) {
        match (trained, inside) {
            (true, true) => runs.last_mut().expect("inside a run").push(id),
            (true, false) => runs.push(vec![id]),
            _ => {}
        }
        inside = trained;
    }
    runs.iter().map(|run| tokenizer.decode(run, false).expect("decodes")).collect()
}

#[test]
fn only_what_the_policy_wrote_is_trained_at_every_turn() {
    let tokenizer = tokenizer();
    let chosen = vec![say("assistant", "look"), say("tool", "OBS"), say("assistant", "done")];
    let row = pair(chosen, vec![say("assistant", "give up")]);
    let Encoded::Pair { chosen, rejected, shared } =
        encode(&tokenizer, &row, EncodeRules::default()).expect("encodes")
    else {
        panic!("not a pair")
    };
    assert_eq!(trained_text(&tokenizer, &chosen), ["look<|im_end|>", "done<|im_end|>"]);
    assert_eq!(trained_text(&tokenizer, &rejected), ["give up<|im_end|>"]);
    assert_eq!(chosen.turn_ends.len(), 2);
    assert_eq!(chosen.ids[..shared], rejected.ids[..shared]);
    let prompt = tokenizer.decode(&chosen.ids[..chosen.prompt], false).expect("decodes");
    assert_eq!(
        prompt,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nfix it<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!((shared, chosen.prompt), (chosen.prompt, rejected.prompt));
}

#[test]
fn the_completion_mask_trains_observations_too() {
    let tokenizer = tokenizer();
    let chosen = vec![say("assistant", "look"), say("tool", "OBS"), say("assistant", "done")];
    let row = pair(chosen, vec![say("assistant", "give up")]);
    let rules = EncodeRules { mask: Mask::Completion, ..EncodeRules::default() };
    let Encoded::Pair { chosen, .. } = encode(&tokenizer, &row, rules).expect("encodes") else {
        panic!("not a pair")
    };
    assert_eq!(
        trained_text(&tokenizer, &chosen),
        ["look<|im_end|>\n<|im_start|>tool\nOBS<|im_end|>\n<|im_start|>assistant\ndone<|im_end|>\n"]
    );
}

#[test]
fn pairs_may_part_at_any_turn() {
    let tokenizer = tokenizer();
    let prompt = vec![say("user", "u"), say("assistant", "same"), say("tool", "o")];
    let side = |last: &str| Text::Messages(vec![say("assistant", last)]);
    let content =
        Content::Pair { prompt: Text::Messages(prompt), chosen: side("yes"), rejected: side("yonder") };
    let Encoded::Pair { chosen, rejected, shared } =
        encode(&tokenizer, &row(content), EncodeRules::default()).expect("encodes")
    else {
        panic!("not a pair")
    };
    assert_eq!(trained_text(&tokenizer, &chosen), ["yes<|im_end|>"]);
    assert_eq!(trained_text(&tokenizer, &rejected), ["yonder<|im_end|>"]);
    // The `y` that both begin with is trained in both, so it is not shared.
    assert_eq!(shared, chosen.prompt);
}

#[test]
fn what_teaches_nothing_is_refused() {
    let tokenizer = tokenizer();
    let error = encode(
        &tokenizer,
        &pair(vec![say("tool", "x")], vec![say("assistant", "y")]),
        EncodeRules::default(),
    );
    assert!(matches!(&error, Err(EncodeError::NothingTrained { part }) if part == "chosen"), "{error:?}");
    let rules = EncodeRules { max_tokens: 10, over_long: OverLong::Drop, ..EncodeRules::default() };
    let error = encode(&tokenizer, &pair(vec![say("assistant", "x")], vec![say("assistant", "y")]), rules);
    assert!(
        matches!(&error, Err(EncodeError::TooLong { part, limit: 10, .. }) if part == "chosen"),
        "{error:?}"
    );
}

fn long_row() -> Row {
    let mut messages = vec![say("system", "s"), say("user", "u")];
    for turn in 0..6 {
        messages.push(say("assistant", &format!("act {turn}")));
        messages.push(say("tool", &format!("{turn}").repeat(500)));
    }
    messages.push(say("assistant", "done"));
    row(Content::Demonstration { prompt: Text::Messages(Vec::new()), completion: Text::Messages(messages) })
}

#[test]
fn the_oldest_observations_are_condensed_first_and_the_end_stays() {
    let tokenizer = tokenizer();
    let rules = EncodeRules { max_tokens: 2_600, ..EncodeRules::default() };
    let Encoded::Demonstration { tokens } = encode(&tokenizer, &long_row(), rules).expect("encodes") else {
        panic!("not a demonstration")
    };
    let text = tokenizer.decode(&tokens.ids, false).expect("decodes");
    assert!(tokens.ids.len() <= 2_600);
    assert!(tokens.shortened.observations >= 2 && tokens.shortened.tokens > 0);
    assert!(!text.contains("0000") && text.contains("5555") && text.ends_with("done<|im_end|>\n"), "{text}");
    assert_eq!(trained_text(&tokenizer, &tokens).len(), 7, "no turn of the policy is lost");
    let rules = EncodeRules { max_tokens: 200, ..rules };
    assert!(matches!(encode(&tokenizer, &long_row(), rules), Err(EncodeError::TooLong { .. })));
}

#[test]
fn the_issue_is_never_condensed() {
    let issue = "the issue ".repeat(60);
    let mut messages = vec![say("system", &"s".repeat(600)), say("user", &issue)];
    for turn in 0..6 {
        messages.push(say("assistant", &format!("act {turn}")));
        messages.push(say("user", &"o".repeat(600)));
    }
    let content =
        Content::Demonstration { prompt: Text::Messages(Vec::new()), completion: Text::Messages(messages) };
    let rules = EncodeRules { max_tokens: 3_200, ..EncodeRules::default() };
    let encoder = encoder(rules);
    let Encoded::Demonstration { tokens } = encoder.encode(&row(content)).expect("fits") else {
        panic!("not a demonstration")
    };
    let text = encoder.tokenizer().decode(&tokens.ids, false).expect("decodes");
    assert!(tokens.shortened.observations > 0 && text.contains(&issue), "{text}");
}

#[test]
fn pairs_whose_prompts_are_rendered_differently_are_refused() {
    // A template that looks at what is still to come.
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if messages|length > 3 and m.role == 'user' %}!{% endif %}\
        {{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let dir = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chatml");
    std::fs::copy(from.join("tokenizer.json"), dir.path().join("tokenizer.json")).expect("copied");
    std::fs::copy(from.join("tokenizer_config.json"), dir.path().join("tokenizer_config.json"))
        .expect("copied");
    std::fs::write(dir.path().join("chat_template.jinja"), template).expect("written");
    let encoder = Encoder::open(dir.path(), EncodeRules::default()).expect("opens");
    let prompt = vec![say("user", "u")];
    let content = Content::Pair {
        prompt: Text::Messages(prompt),
        chosen: Text::Messages(vec![say("assistant", "done")]),
        rejected: Text::Messages(vec![say("assistant", "x"), say("tool", "o"), say("assistant", "done")]),
    };
    let error = encoder.encode(&row(content)).expect_err("refused");
    assert!(matches!(error, EncodeError::Prompt { .. }), "{error}");
}

#[test]
fn candidates_are_read_as_the_verifier_reads_them() {
    use common::{Candidate, Role, Trajectory, Turn};
    let candidate = |id: &str, said: &str| Candidate {
        candidate_id: id.to_owned(),
        trajectory: Trajectory {
            turns: vec![Turn { role: Role::Assistant, content: said.to_owned(), ..Turn::default() }],
            patch: Some("diff".to_owned()),
            ..Trajectory::default()
        },
    };
    let content = Content::Candidates {
        issue: "it fails".to_owned(),
        candidates: vec![(candidate("a", "one"), true), (candidate("b", "two"), false)],
    };
    let encoded = |layout| {
        let encoder = encoder(EncodeRules { layout, ..EncodeRules::default() });
        let Encoded::Candidates { candidates, shared } =
            encoder.encode(&row(content.clone())).expect("reads")
        else {
            panic!("no candidates")
        };
        assert_eq!(candidates[0].tokens.ids[..shared], candidates[1].tokens.ids[..shared]);
        assert!(shared > 10 && candidates.iter().all(|one| one.tokens.prompt == shared));
        candidates
    };
    let compact = encoded(None);
    let tokenizer = tokenizer();
    let text = tokenizer.decode(&compact[0].tokens.ids, false).expect("decodes");
    assert!(text.starts_with("[ISSUE]\nit fails\n[/ISSUE]\n[TURN]\none\n[/TURN]\n"), "{text}");
    assert!(text.ends_with("[PATCH]\ndiff\n[SCORE]"), "{text}");
    assert_eq!((compact[0].tokens.trained_tokens(), compact[0].tokens.turn_ends.len()), (0, 1));
    assert_eq!((compact[0].resolved, compact[1].resolved), (true, false));
    let judged = encoded(Some(Layout::JudgeV1));
    assert_eq!(trained_text(&tokenizer, &judged[0].tokens), ["YES</judgement><|im_end|>"]);
    assert_eq!(trained_text(&tokenizer, &judged[1].tokens), ["NO</judgement><|im_end|>"]);
    let text = tokenizer.decode(&judged[1].tokens.ids, false).expect("decodes");
    assert!(text.ends_with("<|im_start|>assistant\n<judgement>NO</judgement><|im_end|>"), "{text}");
}

#[test]
fn cutting_keeps_what_it_says() {
    let tokenizer = tokenizer();
    let encoded = |over_long| {
        let rules = EncodeRules { max_tokens: 400, over_long, ..EncodeRules::default() };
        let Encoded::Demonstration { tokens } = encode(&tokenizer, &long_row(), rules).expect("encodes")
        else {
            panic!("not a demonstration")
        };
        assert_eq!((tokens.ids.len(), tokens.trained.len()), (400, 400));
        tokens
    };
    let right = encoded(OverLong::CutRight);
    assert_eq!(trained_text(&tokenizer, &right), ["act 0<|im_end|>"]);
    let both = encoded(OverLong::HeadTail);
    assert_eq!(trained_text(&tokenizer, &both), ["act 0<|im_end|>", "done<|im_end|>"]);
    for end in both.turn_ends {
        assert!(both.trained[end]);
    }
}

#[test]
fn a_turn_of_which_only_the_end_is_left_is_not_judged() {
    let conversation =
        [say("user", "look"), say("assistant", &"a".repeat(100)), say("assistant", &"b".repeat(40))];
    let (prompt, completion) = conversation.split_at(1);
    let content = Content::Demonstration {
        prompt: Text::Messages(prompt.to_vec()),
        completion: Text::Messages(completion.to_vec()),
    };
    let whole = encoder(EncodeRules::default()).encode(&row(content.clone())).expect("encodes");
    let Encoded::Demonstration { tokens: whole } = whole else { panic!("a demonstration") };
    // The end of the first turn is the first token of the tail.
    let max_tokens = 2 * (whole.ids.len() - whole.turn_ends[0]);
    assert!(max_tokens < whole.ids.len());
    let rules = EncodeRules { max_tokens, over_long: OverLong::HeadTail, ..EncodeRules::default() };
    let cut = encoder(rules).encode(&row(content)).expect("encodes");
    let Encoded::Demonstration { tokens: cut } = cut else { panic!("a demonstration") };
    assert!(!cut.trained[max_tokens / 2]);
    assert_eq!(cut.turn_ends, [max_tokens - (whole.ids.len() - whole.turn_ends[1])]);
}

#[test]
fn plain_texts_end_with_the_end_of_sequence() {
    let tokenizer = tokenizer();
    let content =
        Content::Demonstration { prompt: Text::Plain("1+1=".into()), completion: Text::Plain("2".into()) };
    let Encoded::Demonstration { tokens } =
        encode(&tokenizer, &row(content), EncodeRules::default()).expect("encodes")
    else {
        panic!("not a demonstration")
    };
    assert_eq!(trained_text(&tokenizer, &tokens), ["2<|im_end|>"]);
}
