//! What must hold of every row.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    tests::{encoder, row, say, trained_text},
    *,
};
use crate::data::{Content, Row, Text};

/// Observations are of upper-case letters only, what the policy writes of lower-case ones: a trained `OBS` would show.
fn observation() -> impl Strategy<Value = Value> {
    let text = prop_oneof![3 => "[A-Z ]{0,30}", 1 => "[A-Z]{400,600}"];
    (prop_oneof![Just("tool"), Just("user")], text).prop_map(|(role, text)| say(role, &format!("O{text}")))
}

fn turn() -> impl Strategy<Value = Value> {
    "[a-z\n ]{0,40}".prop_map(|text| say("assistant", &format!("p{text}.")))
}

/// Rounds of one turn and up to two observations, closed by a turn.
fn continuation() -> impl Strategy<Value = Vec<Value>> {
    let round = (turn(), prop::collection::vec(observation(), 0..3));
    (prop::collection::vec(round, 0..6), turn()).prop_map(|(rounds, last)| {
        let mut messages: Vec<Value> =
            rounds.into_iter().flat_map(|(turn, rest)| std::iter::once(turn).chain(rest)).collect();
        messages.push(last);
        messages
    })
}

fn prompt() -> impl Strategy<Value = Vec<Value>> {
    ("[A-Z ]{0,500}", prop::option::of(turn())).prop_map(|(issue, before)| {
        let mut messages = vec![say("system", "S"), say("user", &format!("ISSUE {issue} END"))];
        if let Some(before) = before {
            messages.extend([before, say("user", "AND NOW?")]);
        }
        messages
    })
}

fn pair(prompt: &[Value], chosen: &[Value], rejected: &[Value]) -> Row {
    let text = |messages: &[Value]| Text::Messages(messages.to_vec());
    row(Content::Pair { prompt: text(prompt), chosen: text(chosen), rejected: text(rejected) })
}

/// What the turns of the policy in these messages are trained on.
fn written(messages: &[Value]) -> Vec<String> {
    let turns = messages.iter().filter(|message| message["role"] == "assistant");
    turns.map(|turn| format!("{}<|im_end|>", turn["content"].as_str().unwrap_or_default())).collect()
}

fn invariants(tokens: &Tokens) -> Result<(), TestCaseError> {
    prop_assert_eq!(tokens.ids.len(), tokens.trained.len());
    prop_assert!(tokens.trained_tokens() > 0 && !tokens.trained[0]);
    prop_assert!(tokens.trained[..tokens.prompt].iter().all(|trained| !trained));
    prop_assert!(tokens.turn_ends.iter().all(|&end| tokens.trained[end]));
    prop_assert!(tokens.turn_ends.is_sorted());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exactly_what_the_policy_wrote_behind_the_prompt_is_trained(
        prompt in prompt(), chosen in continuation(), rejected in continuation(),
    ) {
        let encoder = encoder(EncodeRules { max_tokens: 1_000_000, ..EncodeRules::default() });
        let encoded = encoder.encode(&pair(&prompt, &chosen, &rejected));
        let Ok(Encoded::Pair { chosen: better, rejected: worse, shared }) = encoded else {
            return Err(TestCaseError::fail(format!("{encoded:?}")));
        };
        for (tokens, messages) in [(&better, &chosen), (&worse, &rejected)] {
            invariants(tokens)?;
            prop_assert_eq!(trained_text(encoder.tokenizer(), tokens), written(messages));
            prop_assert_eq!(tokens.turn_ends.len(), written(messages).len());
            prop_assert!(tokens.trained[..shared].iter().all(|trained| !trained));
        }
        prop_assert_eq!(&better.ids[..shared], &worse.ids[..shared]);
        // The completion mask trains what the policy mask trains, and more.
        let rules = EncodeRules { mask: Mask::Completion, max_tokens: 1_000_000, ..EncodeRules::default() };
        let all = tests::encoder(rules).encode(&pair(&prompt, &chosen, &rejected));
        let Ok(Encoded::Pair { chosen: all, .. }) = all else { return Err(TestCaseError::fail("not a pair")) };
        prop_assert_eq!(&all.ids, &better.ids);
        prop_assert!(better.trained.iter().zip(&all.trained).all(|(policy, all)| !policy || *all));
    }

    #[test]
    fn condensing_keeps_the_prompt_the_end_and_all_that_is_trained(
        prompt in prompt(), chosen in continuation(), limit in 600_usize..3_000,
    ) {
        let whole = encoder(EncodeRules { max_tokens: 1_000_000, ..EncodeRules::default() });
        let limited = encoder(EncodeRules { max_tokens: limit, ..EncodeRules::default() });
        let labelled = || row(Content::Labelled {
            prompt: Text::Messages(prompt.clone()),
            completion: Text::Messages(chosen.clone()),
            desirable: true,
        });
        let tokens = |encoder: &Encoder| match encoder.encode(&labelled()) {
            Ok(Encoded::Labelled { tokens, .. }) => Ok(tokens),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        let full = tokens(&whole).expect("fits");
        match tokens(&limited) {
            Ok(short) => {
                invariants(&short)?;
                prop_assert!(short.ids.len() <= limit);
                prop_assert_eq!(full.ids.len() - short.ids.len(), short.shortened.tokens);
                prop_assert_eq!(short.shortened.tokens > 0, full.ids.len() > limit);
                prop_assert_eq!(trained_text(limited.tokenizer(), &short), written(&chosen));
                prop_assert_eq!(short.prompt, full.prompt);
                prop_assert_eq!(&short.ids[..short.prompt], &full.ids[..full.prompt]);
                let last: String = chosen.iter().rev().take(4).rev()
                    .map(|message| message["content"].as_str().unwrap_or_default()).collect::<Vec<_>>().join("|");
                let text = limited.tokenizer().decode(&short.ids, false).expect("decodes");
                prop_assert!(last.split('|').all(|part| text.contains(part)));
            }
            Err(error) => prop_assert!(error.is_over_long() && full.ids.len() > limit, "{error}"),
        }
    }

    #[test]
    fn cutting_never_trains_more_and_rows_do_not_depend_on_others(
        rows in prop::collection::vec((prompt(), continuation()), 1..6),
        limit in 20_usize..800,
        over_long in prop_oneof![Just(OverLong::HeadTail), Just(OverLong::CutRight), Just(OverLong::Drop)],
    ) {
        let encoder = encoder(EncodeRules { max_tokens: limit, over_long, ..EncodeRules::default() });
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|(prompt, completion)| row(Content::Demonstration {
                prompt: Text::Messages(prompt),
                completion: Text::Messages(completion),
            }))
            .collect();
        let together = encoder.encode_all(&rows);
        for (row, encoded) in rows.iter().zip(&together) {
            let alone = encoder.encode(row);
            prop_assert_eq!(alone.as_ref().ok(), encoded.as_ref().ok());
            match encoded {
                Ok(Encoded::Demonstration { tokens }) => {
                    invariants(tokens)?;
                    prop_assert!(tokens.ids.len() <= limit);
                }
                Ok(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
                Err(error) => prop_assert!(error.is_over_long(), "{}", error),
            }
        }
    }

    #[test]
    fn no_row_of_any_shape_panics(
        text in prop_oneof![
            "[a-z\"{}\\[\\]:, 0-9]{0,80}",
            Just(json!({"messages": [{"role": "assistant", "content": null, "tool_calls": [3]}]}).to_string()),
            Just(json!({"chosen": [], "rejected": []}).to_string()),
            Just(json!({"prompt": [], "completion": [], "label": true}).to_string()),
            Just(json!({"prompt": "", "chosen": "", "rejected": ""}).to_string()),
            Just(json!({"candidates": [{"candidate_id": "x", "label": true}]}).to_string()),
        ],
    ) {
        for mask in [Mask::Policy, Mask::Completion] {
            let loaded = crate::data::parse_rows(text.as_bytes(), mask).expect("reads");
            let encoder = encoder(EncodeRules { mask, ..EncodeRules::default() });
            let _ = encoder.encode_all(&loaded.rows);
        }
    }
}
