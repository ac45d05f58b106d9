//! A tiny model with tokenizer and chat template, against what `fixtures/record_agent.py` recorded of transformers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use model::{
    LanguageModel, LoadOptions, Tokenizer, device,
    generate::{Continuation, Finish, GenerateOptions, Sampling, generate, logits},
    judge::Judge,
    raw::{Detail, RawError, RawOptions, RawOutcome, RawRow, RawScorer},
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
    generations: Vec<Generated>,
    samplers: Vec<Sampler>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    messages: Vec<Value>,
    input_ids: Vec<u32>,
    mask: Vec<u8>,
    argmax: Vec<u32>,
    logprobs: Vec<f32>,
    logsumexp: Vec<f32>,
    last: Vec<f32>,
    score: Vec<f32>,
    all_scores: Vec<f32>,
}

#[derive(Deserialize)]
struct Generated {
    prompt: Vec<u32>,
    penalty: f32,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    kept: Vec<u32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn expected() -> Expected {
    let text = std::fs::read_to_string(folder("agent").join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn close(what: &str, got: &[f32], expected: &[f32], within: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= within, "{what}[{at}]: {got} instead of {expected}");
    }
}

fn scored(folder_name: &str, options: RawOptions, rows: &[Value]) -> Vec<Result<RawOutcome, RawError>> {
    let scorer = RawScorer::load(&folder(folder_name), &device::cpu(), options).unwrap();
    let mut outcomes = Vec::new();
    let rows = rows.iter().map(|row| RawRow::parse(&row.to_string()));
    scorer
        .run(rows, |at, outcome| {
            assert_eq!(at, outcomes.len());
            outcomes.push(outcome);
            Ok::<_, ()>(())
        })
        .unwrap();
    outcomes
}

#[test]
fn conversations_are_scored_as_transformers_does() {
    let expected = expected();
    let rows: Vec<Value> =
        expected.rows.iter().map(|row| json!({"id": row.id, "messages": row.messages})).collect();
    // Small batches, so that rows are packed in several ways.
    let options = RawOptions { detail: Detail::Last, batch_tokens: 500, ..RawOptions::default() };
    for (row, outcome) in expected.rows.iter().zip(scored("agent", options, &rows)) {
        let (name, outcome) = (&row.id, outcome.unwrap());
        assert_eq!(outcome.input_ids, row.input_ids, "{name}");
        assert_eq!(outcome.chat.unwrap().assistant_mask, row.mask, "{name}");
        let logits = outcome.logits.unwrap();
        assert_eq!(logits.argmax, row.argmax, "{name}");
        close(name, &logits.logprobs, &row.logprobs, 1e-4);
        close(name, &logits.logsumexp, &row.logsumexp, 1e-4);
        close(name, &logits.last.unwrap(), &row.last, 1e-4);
        assert_eq!(logits.last_ids[0], *row.argmax.last().unwrap(), "{name}");
        assert!(outcome.scores.is_none());
    }
    let options = RawOptions { detail: Detail::All, ..RawOptions::default() };
    for (row, outcome) in expected.rows.iter().zip(scored("agent-reward", options, &rows)) {
        let (name, outcome) = (&row.id, outcome.unwrap());
        close(name, &outcome.scores.unwrap(), &row.score, 1e-5);
        let all: Vec<f32> = outcome.all_scores.unwrap().concat();
        close(name, &all, &row.all_scores, 1e-5);
        let assistants = row.messages.iter().filter(|message| message["role"] == "assistant").count();
        assert_eq!(outcome.turn_scores.len(), assistants, "{name}");
        for turn in outcome.turn_scores {
            assert_eq!(turn.scores, [all[turn.position]], "{name}");
            assert_eq!(row.messages[turn.turn]["role"], "assistant");
            assert_eq!(row.mask[turn.position], 1);
        }
        assert!(outcome.logits.is_none());
    }
}

#[test]
fn token_ids_texts_and_conversations_agree() {
    let expected = expected();
    let row = &expected.rows[1];
    let text = Tokenizer::load(&folder("agent")).unwrap().decode(&row.input_ids, false).unwrap();
    let rows = [
        json!({"messages": row.messages}),
        json!({"input_ids": row.input_ids, "turn_ends": [4]}),
        json!({"text": text, "add_special_tokens": false}),
        json!({"input_ids": [1, 9999]}),
        json!({"input_ids": []}),
        json!({"input_ids": [1], "turn_ends": [1]}),
        json!({"input_ids": [1], "text": "x"}),
        json!({"messages": [{"role": "user", "content": "x"}], "chat_template": "{{ raise_exception('no') }}"}),
    ];
    let outcomes = scored("agent", RawOptions::default(), &rows);
    let whole = outcomes[0].as_ref().unwrap();
    for outcome in &outcomes[1..3] {
        let outcome = outcome.as_ref().unwrap();
        assert_eq!(outcome.input_ids, whole.input_ids);
        let (one, other) = (outcome.logits.as_ref().unwrap(), whole.logits.as_ref().unwrap());
        close("logprobs", &one.logprobs, &other.logprobs, 1e-5);
    }
    for (outcome, part) in outcomes[3..].iter().zip(["9999", "no tokens", "turn_ends", "one of", "no"]) {
        let error = outcome.as_ref().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_conversation_without_masks_is_scored_all_the_same() {
    let template = "{{ messages | length }}{% for m in messages %}{{ m.content * 2 }}<|im_end|>{% endfor %}";
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
    let row = json!({"messages": messages, "chat_template": template});
    let outcome = scored("agent", RawOptions::default(), &[row]).remove(0).unwrap();
    let unmasked = outcome.unmasked.unwrap();
    assert_eq!(unmasked.text, "3aa<|im_end|>bb<|im_end|>cc<|im_end|>");
    assert!(unmasked.mask_error.contains("messages[1]"), "{}", unmasked.mask_error);
    assert!(outcome.chat.is_none() && outcome.logits.is_some());
    assert_eq!(outcome.tokens, outcome.input_ids.len());
}

#[test]
fn greedy_generation_is_that_of_transformers() {
    let (tokenizer, model) = (Tokenizer::load(&folder("agent")).unwrap(), load());
    for case in expected().generations {
        let sampling = Sampling { repetition_penalty: case.penalty, ..Sampling::default() };
        let options = GenerateOptions { max_tokens: 24, sampling, ..GenerateOptions::default() };
        let generation =
            generate(&mut Continuation::new(&model), &tokenizer, &case.prompt, &options, &mut |_| true)
                .unwrap();
        let ids: Vec<u32> = generation.tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, case.ids, "penalty {}", case.penalty);
        assert_eq!(generation.finish, Finish::Length);
    }
}

#[test]
fn token_ids_are_continued_without_a_tokenizer() {
    let case = expected().generations.into_iter().find(|case| case.penalty == 1.0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder("agent").join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let text = std::fs::read_to_string(folder("agent").join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let generated = |config: &Value, stop: &[String]| {
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let generate = GenerateOptions { max_tokens: 24, stop: stop.to_vec(), ..GenerateOptions::default() };
        let options = RawOptions { generate: Some(generate), ..RawOptions::default() };
        let scorer = RawScorer::load(dir.path(), &device::cpu(), options).unwrap();
        let row = RawRow::parse(&json!({"input_ids": case.prompt}).to_string());
        let mut given = Vec::new();
        scorer
            .run(std::iter::once(row), |_, outcome| {
                given.push(outcome.map(|outcome| outcome.generation.unwrap()));
                Ok::<_, ()>(())
            })
            .unwrap();
        given.remove(0)
    };
    let free = generated(&config, &[]).unwrap();
    assert_eq!((free.ids, free.text, free.finish), (case.ids.clone(), None, Finish::Length));
    // The third token ends it where config.json says so.
    let end = case.ids[2];
    let first = case.ids.iter().position(|id| *id == end).unwrap();
    config["eos_token_id"] = json!([9999, end]);
    let ended = generated(&config, &[]).unwrap();
    assert_eq!((ended.ids, ended.finish), (case.ids[..=first].to_vec(), Finish::Eos(end)));
    let error = generated(&config, &["x".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("tokenizer"), "{error}");
}

fn load() -> LanguageModel {
    LanguageModel::load(&folder("agent"), &device::cpu(), &LoadOptions::default()).unwrap()
}

#[test]
fn samplers_keep_what_those_of_transformers_keep() {
    let expected = expected();
    let row = &expected.rows[1];
    for case in &expected.samplers {
        let sampling = Sampling {
            temperature: case.temperature,
            top_k: case.top_k,
            top_p: case.top_p,
            min_p: case.min_p,
            repetition_penalty: case.penalty,
            seed: 0,
        };
        let mut values = row.last.clone();
        logits::process(&mut values, &row.input_ids, &sampling);
        let kept: Vec<u32> =
            (0..).zip(&values).filter(|(_, value)| value.is_finite()).map(|(id, _)| id).collect();
        assert_eq!(kept, case.kept, "{sampling:?}");
    }
}

#[test]
fn generated_log_probabilities_are_those_of_scoring() {
    let row = json!({"messages": [{"role": "user", "content": "hello"}], "add_generation_prompt": true});
    let sampling = Sampling { temperature: 1.2, top_p: 0.9, seed: 3, ..Sampling::default() };
    let generate =
        GenerateOptions { max_tokens: 12, sampling, top_logprobs: 3, ..GenerateOptions::default() };
    let options = RawOptions { generate: Some(generate), judge: true, ..RawOptions::default() };
    let outcome = scored("agent", options.clone(), std::slice::from_ref(&row)).remove(0).unwrap();
    let generation = outcome.generation.unwrap();
    let whole: Vec<u32> = outcome.input_ids.iter().chain(&generation.ids).copied().collect();
    let again = scored("agent", RawOptions::default(), &[json!({"input_ids": whole})]).remove(0).unwrap();
    let logprobs = again.logits.unwrap().logprobs;
    close("logprobs", &generation.logprobs, &logprobs[outcome.tokens - 1..], 1e-4);
    assert!(generation.top_logprobs.iter().all(|top| top.len() == 3 && top[0].1 >= top[1].1));
    let same = scored("agent", options, &[row]).remove(0).unwrap().generation.unwrap();
    assert_eq!(same.ids, generation.ids);

    // The judge reads the same distribution.
    let tokenizer = Tokenizer::load(&folder("agent")).unwrap();
    let judge = Judge::new(&tokenizer).unwrap();
    let prompt =
        Judge::prompt(&tokenizer, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n").unwrap();
    let options = RawOptions { detail: Detail::Last, ..RawOptions::default() };
    let last = scored("agent", options, &[json!({"input_ids": prompt})])
        .remove(0)
        .unwrap()
        .logits
        .unwrap()
        .last
        .unwrap();
    let (answer, expected) = (outcome.judge.unwrap(), judge.read(&last));
    assert!((answer.mass - expected.mass).abs() < 1e-6);
    assert_eq!(answer.probability.is_some(), expected.probability.is_some());
}
