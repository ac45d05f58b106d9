//! The YES/NO judge: how likely a model finds YES where it is made to answer.
//!
//! The prompt ends with a forced [`FORCED`], so that the answer is the next token. The probability is
//! σ(ln Σ P(yes variants) − ln Σ P(no variants)): it does not depend on how the rest of the distribution is spread, nor
//! on which spelling the model prefers. Where the variants together have less than [`LEAST_MASS`] of the distribution,
//! the model was not about to answer, and there is no probability.

use std::collections::BTreeSet;

use crate::{
    generate::logits::logsumexp,
    tokenizer::{Tokenizer, TokenizerError},
};

/// What the answer is made to begin with.
pub const FORCED: &str = "<judgement>";
/// Together YES and NO must have this probability; below it there is no answer.
pub const LEAST_MASS: f64 = 0.01;

const YES: [&str; 3] = ["YES", "Yes", "yes"];
const NO: [&str; 3] = ["NO", "No", "no"];

/// Why a tokenizer cannot be judged with.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// YES and NO begin with the same tokens.
    #[error(
        "the tokenizer begins YES and NO with the same tokens, so the first one does not tell them apart"
    )]
    Same,
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// The tokens that a model answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    yes: Vec<u32>,
    no: Vec<u32>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Probability of YES against NO; None if the model was not about to answer.
    pub probability: Option<f64>,
    /// Its log-odds, finite: at most 50 either way.
    pub logit: Option<f64>,
    /// Probability that the model answers at all.
    pub mass: f64,
}

impl Judge {
    /// Finds the first tokens of every spelling of YES and NO, alone and behind [`FORCED`], with and without a space.
    /// Tokens that begin both are left out.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self, JudgeError> {
        let yes = first_tokens(tokenizer, &YES)?;
        let no = first_tokens(tokenizer, &NO)?;
        let judge =
            Self { yes: yes.difference(&no).copied().collect(), no: no.difference(&yes).copied().collect() };
        if judge.yes.is_empty() || judge.no.is_empty() { Err(JudgeError::Same) } else { Ok(judge) }
    }

    /// The tokens that begin YES, ascending.
    pub fn yes(&self) -> &[u32] {
        &self.yes
    }

    /// The tokens that begin NO, ascending.
    pub fn no(&self) -> &[u32] {
        &self.no
    }

    /// The prompt's tokens with the forced beginning of the answer.
    pub fn prompt(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, JudgeError> {
        Ok(tokenizer.encode(&format!("{text}{FORCED}"), false)?.ids)
    }

    /// Reads the answer off the logits of the token after [`FORCED`].
    pub fn read(&self, logits: &[f32]) -> Verdict {
        let total = logsumexp(logits.iter().copied());
        let logprobs = |ids: &'_ [u32]| {
            let known: Vec<f64> = ids
                .iter()
                .filter_map(|id| logits.get(*id as usize))
                .map(|logit| f64::from(*logit) - total)
                .collect();
            known
        };
        verdict(&logprobs(&self.yes), &logprobs(&self.no), LEAST_MASS)
    }
}

/// The answer by the log-probabilities of the variants of YES and of NO; those that are missing have none.
pub fn verdict(yes: &[f64], no: &[f64], least_mass: f64) -> Verdict {
    let sum = |logprobs: &[f64]| {
        logprobs.iter().filter(|logprob| !logprob.is_nan()).map(|logprob| logprob.exp()).sum()
    };
    let (yes, no): (f64, f64) = (sum(yes), sum(no));
    let mass = yes + no;
    if !(mass.is_finite() && mass >= least_mass && mass > 0.0) {
        return Verdict { probability: None, logit: None, mass: if mass.is_finite() { mass } else { 0.0 } };
    }
    let logit = (yes.ln() - no.ln()).clamp(-50.0, 50.0);
    Verdict { probability: Some(yes / mass), logit: Some(logit), mass: mass.min(1.0) }
}

fn first_tokens(tokenizer: &Tokenizer, spellings: &[&str]) -> Result<BTreeSet<u32>, TokenizerError> {
    let forced = tokenizer.encode(FORCED, false)?.ids;
    let mut found = BTreeSet::new();
    for spelling in spellings {
        for variant in [(*spelling).to_owned(), format!(" {spelling}"), format!("\n{spelling}")] {
            found.extend(tokenizer.encode(&variant, false)?.ids.first());
            let behind = tokenizer.encode(&format!("{FORCED}{variant}"), false)?.ids;
            if behind.starts_with(&forced) {
                found.extend(behind.get(forced.len()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors() {
        let probability = |yes: &[f64], no: &[f64]| verdict(yes, no, LEAST_MASS).probability.unwrap();
        assert!((probability(&[-0.05], &[-3.0]) - 0.950_263_49).abs() < 1e-8);
        assert_eq!(probability(&[], &[-0.1]), 0.0);
        assert!((probability(&[-5.0], &[-0.2]) - 0.008_162_57).abs() < 1e-8);
        let spelled = probability(&[0.3_f64.ln(), 0.1_f64.ln()], &[0.4_f64.ln()]);
        assert!((spelled - 0.5).abs() < 1e-12);
    }

    #[test]
    fn never_a_guess_and_never_nan() {
        for (yes, no) in [
            (vec![], vec![]),
            (vec![f64::NEG_INFINITY], vec![f64::NEG_INFINITY]),
            (vec![f64::NAN], vec![f64::NAN]),
            (vec![-8.0], vec![-9.0]),
        ] {
            let verdict = verdict(&yes, &no, LEAST_MASS);
            assert_eq!((verdict.probability, verdict.logit), (None, None));
            assert!(verdict.mass < LEAST_MASS);
        }
        let sure = verdict(&[0.0], &[], LEAST_MASS);
        assert_eq!((sure.probability, sure.logit), (Some(1.0), Some(50.0)));
    }
}
