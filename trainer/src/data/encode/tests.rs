use std::path::Path;

use serde_json::json;

use super::*;

/// A byte-level tokenizer with a template that has no generation blocks; tokens are bytes but for the special ones.
fn tokenizer() -> Tokenizer {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chatml")).expect("loads")
}

fn say(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn row(content: Content) -> Row {
    Row { line: 1, instance_id: None, content, context: Context::default(), margin: None }
}

fn pair(chosen: Vec<Value>, rejected: Vec<Value>) -> Row {
    let prompt = Text::Messages(vec![say("system", "s"), say("user", "fix it")]);
    row(Content::Pair { prompt, chosen: Text::Messages(chosen), rejected: Text::Messages(rejected) })
}

fn trained_text(tokenizer: &Tokenizer, tokens: &Tokens) -> Vec<String> {
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
    assert!(matches!(error, Err(EncodeError::NothingTrained { part: "chosen" })), "{error:?}");
    let rules = EncodeRules { max_tokens: 10, over_long: OverLong::Drop, ..EncodeRules::default() };
    let error = encode(&tokenizer, &pair(vec![say("assistant", "x")], vec![say("assistant", "y")]), rules);
    assert!(matches!(error, Err(EncodeError::TooLong { part: "chosen", limit: 10, .. })), "{error:?}");
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
