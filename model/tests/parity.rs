//! What `transformers` computes with tiny models of every kind, computed here. `fixtures/record.py` recorded it.

mod fixture;

use std::sync::Arc;

use fixture::{Fixture, distance};
use model::Layout;

/// Hidden states and logits within this of the recorded ones.
const LOGITS: f32 = 2e-5;
/// Scores, which are of smaller numbers.
const SCORES: f32 = 1e-5;

#[test]
fn every_model_gives_what_transformers_gives() {
    let names = Fixture::names();
    assert!(names.len() >= 20, "the fixtures are there: {names:?}");
    let mut worst = Vec::new();
    for name in names {
        let Fixture { model, tokens, expected } = Fixture::load(&name);
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let hidden = model.hidden(&tokens, &layout).expect("valid tokens");
        let off = distance(&hidden, &expected["hidden"]);
        assert!(off <= LOGITS, "{name}: hidden states are off by {off}");
        let logits = expected
            .get("logits")
            .map(|logits| distance(&model.logits(hidden.clone()).expect("a language head"), logits));
        let scores = expected
            .get("scores")
            .map(|scores| distance(&model.scores(hidden.clone()).expect("a head of scores"), scores));
        assert_eq!(model.logits(hidden.clone()).is_some(), logits.is_some(), "{name}");
        assert_eq!(model.scores(hidden).is_some(), scores.is_some(), "{name}");
        assert!(logits.is_none_or(|off| off <= LOGITS), "{name}: logits are off by {logits:?}");
        assert!(scores.is_none_or(|off| off <= SCORES), "{name}: scores are off by {scores:?}");
        worst.push((name, off, logits, scores));
    }
    eprintln!("{worst:#?}");
}
