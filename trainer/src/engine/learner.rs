//! Passes of the model: what it computes for sequences, and gradients of what the objective makes of that.

use burn::tensor::{Tensor, TensorData};
use model::{InputError, LanguageModel, training::Gradients};

use super::{
    judge::{Seen, Slope},
    pass::{Pass, Read},
};

/// What a pass computed, an element for each of its places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Computed {
    values: Vec<f32>,
    entropy: Vec<f32>,
    likeliest: Vec<bool>,
    mean_logit: Vec<f32>,
}

impl Computed {
    /// What belongs to a sequence.
    pub(crate) fn of(&self, pass: &Pass, sequence: usize) -> Seen {
        let part = |values: &[f32]| if values.is_empty() { Vec::new() } else { pass.of(sequence, values) };
        let likeliest =
            if self.likeliest.is_empty() { Vec::new() } else { pass.of(sequence, &self.likeliest) };
        Seen {
            values: part(&self.values),
            entropy: part(&self.entropy),
            likeliest,
            mean_logit: part(&self.mean_logit),
            reference: Vec::new(),
        }
    }
}

/// The mean over the vocabulary of the matrix that makes logits, `[1, hidden]`: with it, the mean logit of a token is
/// one product of vectors. None for a model without such a head.
pub(crate) fn mean_word(model: &LanguageModel) -> Option<Tensor<2>> {
    model.vocabulary_weight().map(|weight| weight.without_autodiff().mean_dim(0))
}

/// Computes without gradients; the model must not record any.
pub(crate) fn compute(
    model: &LanguageModel,
    pass: &Pass,
    read: Read,
    mean_word: Option<&Tensor<2>>,
) -> Result<Computed, InputError> {
    let hidden = model.hidden_at(&pass.forest.tokens, &pass.forest.layout, &pass.places)?;
    Ok(look(model, hidden, pass, read, mean_word).1)
}

/// Computes, and adds to `gradients` those of a loss whose derivatives by what was computed `slopes` tells.
pub(crate) fn learn(
    model: &LanguageModel,
    pass: &Pass,
    read: Read,
    recompute: bool,
    mean_word: Option<&Tensor<2>>,
    gradients: &mut Gradients,
    slopes: impl FnOnce(&Computed) -> Vec<Slope> + Send,
) -> Result<(), InputError> {
    let loss = |hidden| {
        let (output, computed) = look(model, hidden, pass, read, mean_word);
        let slopes = pass.spread(&slopes(&computed));
        let slopes = TensorData::new(slopes, [pass.places.len()]);
        // Its gradient by the output is the slopes.
        (output.clone() * Tensor::from_data(slopes, &output.device())).sum()
    };
    let Pass { forest, places, .. } = pass;
    model.backward(&forest.tokens, &forest.layout, places, recompute, gradients, loss)
}

/// Reads log-probabilities or scores off hidden states: as a tensor with its history, and as numbers.
fn look(
    model: &LanguageModel,
    hidden: Tensor<2>,
    pass: &Pass,
    read: Read,
    mean_word: Option<&Tensor<2>>,
) -> (Tensor<1>, Computed) {
    match read {
        Read::Tokens => {
            let mean_logit = mean_word.map_or_else(Vec::new, |word| {
                numbers(hidden.clone().without_autodiff().matmul(word.clone().transpose()))
            });
            let stats = model.token_stats(hidden, &pass.targets).expect("loading checks the head");
            let top1 = stats.top1.into_data();
            let likeliest =
                top1.iter::<i64>().zip(&pass.targets).map(|(top, &word)| top == i64::from(word)).collect();
            let values = numbers(stats.logp.clone().without_autodiff());
            let entropy = numbers(stats.entropy.without_autodiff());
            (stats.logp, Computed { values, entropy, likeliest, mean_logit })
        }
        Read::Score | Read::TurnScores => {
            let scores = model.scores(hidden).expect("loading checks the head");
            let [rows, _] = scores.dims();
            let scores: Tensor<1> = scores.narrow(1, 0, 1).reshape([rows]);
            let values = numbers(scores.clone().without_autodiff());
            (scores, Computed { values, ..Computed::default() })
        }
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("in single precision")
}
