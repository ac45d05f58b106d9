use std::path::Path;

use super::*;

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")).unwrap()
}

/// Says `text` and then ends, whatever it is asked.
fn says(tokenizer: &Tokenizer, text: &str) -> impl FnMut(&[u32]) -> Vec<f32> {
    let mut ids = tokenizer.encode(text, false).unwrap().ids.into_iter();
    let (eos, vocabulary) = (tokenizer.eos()[0], tokenizer.vocabulary());
    move |_| {
        let mut logits = vec![0.0; vocabulary];
        logits[ids.next().unwrap_or(eos) as usize] = 20.0;
        logits
    }
}

fn run(text: &str, stop: &[&str], max_tokens: usize) -> (Generation, Vec<String>) {
    let tokenizer = tokenizer();
    let options = GenerateOptions {
        max_tokens,
        stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
        top_logprobs: 2,
        ..GenerateOptions::default()
    };
    let mut pieces = Vec::new();
    let mut model = says(&tokenizer, text);
    let generation = generate(&mut model, &tokenizer, &[1], &options, &mut |piece| {
        pieces.push(piece.to_owned());
        true
    });
    (generation.unwrap(), pieces)
}

#[test]
fn ends_at_the_end_and_at_the_limit() {
    let (generation, pieces) = run("naïve 😀 日本", &[], 100);
    assert_eq!(generation.text, "naïve 😀 日本");
    assert!(matches!(generation.finish, Finish::Eos(_)));
    assert_eq!(pieces.concat(), generation.text);
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
    assert!(
        generation
            .tokens
            .iter()
            .all(|token| token.top.len() == 2 && token.logprob <= 0.0 && token.logprob > -1e-3)
    );

    let (generation, _) = run("one two three", &[], 2);
    assert_eq!((generation.finish, generation.tokens.len()), (Finish::Length, 2));
    assert!("one two three".starts_with(&generation.text) && !generation.text.is_empty());
    assert_eq!(run("x", &[], 0).0.tokens, []);
}

#[test]
fn stops_across_token_borders_and_holds_back() {
    let (generation, pieces) = run("some text</answer> more", &["</answer>", "zzz"], 100);
    assert_eq!(generation.text, "some text");
    assert_eq!(generation.finish, Finish::Stop("</answer>".to_owned()));
    assert_eq!(pieces.concat(), "some text");

    // What looked like a stop text but was none is given out in the end.
    let (generation, pieces) = run("a</answ", &["</answer>"], 100);
    assert_eq!(generation.text, "a</answ");
    assert_eq!(pieces.concat(), "a</answ");
}

#[test]
fn the_same_seed_says_the_same() {
    let tokenizer = tokenizer();
    let vocabulary = tokenizer.vocabulary();
    let run = |seed| {
        let sampling = Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, seed, ..Sampling::default() };
        let options =
            GenerateOptions { max_tokens: 30, sampling, ignore_eos: true, ..GenerateOptions::default() };
        let mut model = |tokens: &[u32]| {
            let last = *tokens.last().unwrap();
            (0..vocabulary).map(|id| ((id as u32 * 31 + last * 17) % 97) as f32 / 20.0).collect::<Vec<f32>>()
        };
        let generation = generate(&mut model, &tokenizer, &[5], &options, &mut |_| true).unwrap();
        generation.tokens.iter().map(|token| token.id).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn refuses_what_makes_no_sense() {
    let tokenizer = tokenizer();
    let mut model = |_: &[u32]| vec![f32::NAN; 4];
    let mut go = |prompt: &[u32], sampling| {
        let options = GenerateOptions { max_tokens: 1, sampling, ..GenerateOptions::default() };
        generate(&mut model, &tokenizer, prompt, &options, &mut |_| true).unwrap_err().to_string()
    };
    assert_eq!(go(&[], Sampling::default()), "the prompt has no tokens");
    assert!(go(&[1], Sampling::default()).contains("not finite"));
    for (sampling, field) in [
        (Sampling { temperature: -1.0, ..Sampling::default() }, "temperature"),
        (Sampling { top_p: 0.0, ..Sampling::default() }, "top_p"),
        (Sampling { min_p: 2.0, ..Sampling::default() }, "min_p"),
        (Sampling { repetition_penalty: f32::NAN, ..Sampling::default() }, "repetition_penalty"),
    ] {
        assert!(go(&[1], sampling).starts_with(field));
    }
}
