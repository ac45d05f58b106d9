//! The language-model head and log-softmax in one, without the matrix of all logits.

use rayon::prelude::*;

use crate::meter::{Part, measured};
use crate::product::{Mat, Threads, multiply};
use crate::simd::{exp, max, sums, vectorised};

/// Rows of hidden states that meet the weight together.
const ROWS: usize = 512;
/// Words per block: 512 × 4,096 logits are 8 MiB.
const WORDS: usize = 4_096;
/// Logits that may be kept for the way back: 256 MiB, however large the vocabulary is. The others are computed again.
const KEPT: usize = 64 << 20;

/// Rows whose logits are kept, of so many and with so many words: all, or whole blocks.
fn rows_kept(rows: usize, words: usize) -> usize {
    if rows * words <= KEPT { rows } else { KEPT / words / ROWS * ROWS }
}

/// What the head says of every row; all `[rows]`, in nats.
#[derive(Debug, Clone)]
pub struct TokenStats {
    /// Log-probability of the target.
    pub logp: Vec<f32>,
    /// Entropy of the distribution.
    pub entropy: Vec<f32>,
    /// The most likely word, the first of equals.
    pub top1: Vec<u32>,
    /// log Σ exp of the logits, which the backward pass needs.
    pub lse: Vec<f32>,
}

/// What has been seen of one row's logits.
#[derive(Clone, Copy)]
struct Running {
    highest: f32,
    top1: u32,
    /// Σ e^(x − highest).
    total: f32,
    /// Σ e^(x − highest)·(x − highest).
    moment: f32,
    target: f32,
}

vectorised! {
    /// Takes in the logits of the words from `first` on.
    fn take_in<'a>(row: &'a mut Running, logits: &'a [f32], first: usize, target: usize) {
        if (first..first + logits.len()).contains(&target) {
            row.target = logits[target - first];
        }
        let top = max(logits);
        if top > row.highest {
            // Nothing was seen before: 0·∞ must not come up.
            if row.total > 0.0 {
                let fall = row.highest - top;
                let factor = exp(fall);
                row.moment = factor * (row.moment + fall * row.total);
                row.total *= factor;
            }
            row.highest = top;
            let place = logits.iter().position(|&logit| logit == top).unwrap_or(0);
            row.top1 = (first + place) as u32;
        }
        let base = row.highest;
        let (total, moment) = sums(logits.len(), |i| {
            let below = logits[i] - base;
            let weight = exp(below);
            // A forbidden word (−∞) weighs nothing.
            (weight, if below < -87.0 { 0.0 } else { weight * below })
        });
        row.total += total;
        row.moment += moment;
    }

    /// Turns logits into their gradients, but for the target's own part.
    fn logit_gradients<'a>(logits: &'a mut [f32], lse: f32, d_logp: f32, entropy: Option<(f32, f32)>) {
        match entropy {
            None => {
                for x in logits {
                    *x = -d_logp * exp(*x - lse);
                }
            }
            Some((grad, entropy)) => {
                for x in logits {
                    let log_p = *x - lse;
                    let p = exp(log_p);
                    *x = if p > 0.0 { -p * (d_logp + grad * (log_p + entropy)) } else { 0.0 };
                }
            }
        }
    }

    /// The same for logits that stay as they are, without a gradient of the entropy.
    fn gradients_of_kept<'a>(logits: &'a [f32], out: &'a mut [f32], lse: f32, d_logp: f32) {
        for (out, x) in out.iter_mut().zip(logits) {
            *out = -d_logp * exp(*x - lse);
        }
    }
}

/// Log-probability of the targets, entropy and most likely word; hidden `[rows, inputs]`, weight `[words, inputs]`.
///
/// With x the logits and m the highest of a row, entropy = log Σ e^(x−m) − Σ e^(x−m)·(x−m) / Σ e^(x−m).
pub fn token_stats(hidden: &[f32], weight: &[f32], targets: &[u32], inputs: usize) -> TokenStats {
    stats(hidden, weight, targets, inputs, &mut [])
}

/// [`token_stats`], and the logits of the first rows for [`token_stats_backward`]: at most 256 MiB of them, whatever the
/// sizes, so that the memory does not grow with the vocabulary or the length.
pub fn token_stats_kept(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    inputs: usize,
) -> (TokenStats, Vec<f32>) {
    let words = weight.len() / inputs;
    let mut kept = vec![0.0; rows_kept(targets.len(), words) * words];
    let stats = stats(hidden, weight, targets, inputs, &mut kept);
    (stats, kept)
}

fn stats(hidden: &[f32], weight: &[f32], targets: &[u32], inputs: usize, kept: &mut [f32]) -> TokenStats {
    let (rows, words) = (targets.len(), weight.len() / inputs);
    assert!(
        hidden.len() == rows * inputs && weight.len() == words * inputs,
        "rows are as wide as the weight"
    );
    assert!(targets.iter().all(|&target| (target as usize) < words), "every target is a word");
    let of_kept = kept.len() / words.max(1);
    let mut scratch = vec![0.0; if of_kept < rows { ROWS.min(rows) * WORDS.min(words) } else { 0 }];
    let start = Running { highest: f32::NEG_INFINITY, top1: 0, total: 0.0, moment: 0.0, target: 0.0 };
    let mut running = vec![start; rows];
    for (block, running) in running.chunks_mut(ROWS).enumerate() {
        let first_row = block * ROWS;
        let hidden = Mat::dense(&hidden[first_row * inputs..], running.len(), inputs);
        for first in (0..words).step_by(WORDS) {
            let count = WORDS.min(words - first);
            let weight = Mat::dense(&weight[first * inputs..], count, inputs);
            let (logits, step) = if first_row + running.len() <= of_kept {
                (&mut kept[first_row * words + first..], words)
            } else {
                (&mut scratch[..], count)
            };
            multiply(logits, step, false, hidden, weight.t(), Threads::All);
            let targets = &targets[first_row..];
            let each = running.par_iter_mut().zip(logits.par_chunks(step)).zip(targets);
            measured(Part::Head, 0, || {
                each.for_each(|((running, logits), &target)| {
                    take_in(running, &logits[..count], first, target as usize);
                });
            });
        }
    }
    let each = |value: fn(&Running) -> f32| running.iter().map(value).collect();
    TokenStats {
        logp: each(|row| row.target - row.highest - row.total.ln()),
        entropy: each(|row| (row.total.ln() - row.moment / row.total).max(0.0)),
        top1: running.iter().map(|row| row.top1).collect(),
        lse: each(|row| row.highest + row.total.ln()),
    }
}

/// Gradients of [`token_stats`] with respect to hidden, and to the weight if it is asked for.
///
/// `lse` is that of the result and `d_logp` the gradient of its `logp`; `entropy`, if it has a gradient, is the result's
/// and that. `kept` are the logits of the first rows, `[some of the rows, words]`, where [`token_stats_kept`] left them;
/// without them they are computed again. With p the probabilities and H the entropy,
/// d logp / dx = onehot − p and dH / dx = −p·(log p + H).
#[expect(clippy::too_many_arguments, reason = "the inputs, the results and the gradients of one operation")]
pub fn token_stats_backward(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    inputs: usize,
    lse: &[f32],
    d_logp: &[f32],
    entropy: Option<(&[f32], &[f32])>,
    kept: &[f32],
    with_weight: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let (rows, words) = (targets.len(), weight.len() / inputs);
    assert!(
        hidden.len() == rows * inputs && d_logp.len() == rows && lse.len() == rows,
        "one gradient per row"
    );
    let mut d_hidden = vec![0.0; hidden.len()];
    let mut d_weight = with_weight.then(|| vec![0.0; weight.len()]);
    let mut logits = vec![0.0; ROWS.min(rows) * WORDS.min(words)];
    for first_row in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first_row);
        let hidden = Mat::dense(&hidden[first_row * inputs..], count, inputs);
        for first in (0..words).step_by(WORDS) {
            let width = WORDS.min(words - first);
            let part = Mat::dense(&weight[first * inputs..], width, inputs);
            let logits = &mut logits[..count * width];
            let there = entropy.is_none() && (first_row + count) * words <= kept.len();
            if !there {
                multiply(logits, width, false, hidden, part.t(), Threads::All);
            }
            let each = logits.par_chunks_mut(width).enumerate();
            let make = |(index, logits): (usize, &mut [f32])| {
                let row = first_row + index;
                if there {
                    gradients_of_kept(&kept[row * words + first..][..width], logits, lse[row], d_logp[row]);
                } else {
                    let of_entropy = entropy.map(|(entropy, grad)| (grad[row], entropy[row]));
                    logit_gradients(logits, lse[row], d_logp[row], of_entropy);
                }
                let target = targets[row] as usize;
                if (first..first + width).contains(&target) {
                    logits[target - first] += d_logp[row];
                }
            };
            measured(Part::Head, 0, || each.for_each(make));
            let grad = Mat::dense(logits, count, width);
            multiply(&mut d_hidden[first_row * inputs..], inputs, true, grad, part, Threads::All);
            if let Some(d_weight) = &mut d_weight {
                multiply(&mut d_weight[first * inputs..], inputs, true, grad.t(), hidden, Threads::All);
            }
        }
    }
    (d_hidden, d_weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, numeric_gradient, random, weighted};

    /// logp and entropy of every row in double precision.
    fn reference(hidden: &[f32], weight: &[f32], targets: &[u32], inputs: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = hidden.chunks(inputs).zip(targets);
        rows.map(|(hidden, &target)| {
            let logits: Vec<f64> = weight
                .chunks(inputs)
                .map(|word| word.iter().zip(hidden).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum())
                .collect();
            let lse = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
            let entropy: f64 = logits.iter().map(|x| (x - lse).exp() * (lse - x)).sum();
            (logits[target as usize] - lse, entropy)
        })
        .unzip()
    }

    fn single(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&value| value as f32).collect()
    }

    #[test]
    fn statistics_over_several_blocks_of_rows_and_words() {
        let (inputs, rows, words) = (5, ROWS + 3, 2 * WORDS + 17);
        let (hidden, weight) = (random(1, rows * inputs), random(2, words * inputs));
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7919 % words) as u32).collect();
        let stats = token_stats(&hidden, &weight, &targets, inputs);
        let (logp, entropy) = reference(&hidden, &weight, &targets, inputs);
        assert_close(&stats.logp, &single(&logp), 1e-5);
        assert_close(&stats.entropy, &single(&entropy), 1e-5);
        for (row, &top) in stats.top1.iter().enumerate() {
            let targets = vec![top; rows];
            let best = reference(&hidden[row * inputs..][..inputs], &weight, &targets[..1], inputs).0[0];
            assert!(best >= logp[row] - 1e-6);
        }
    }

    #[test]
    fn gradients_of_log_probability_and_entropy() {
        let (inputs, rows, words) = (4, 3, 11);
        let (hidden, weight) = (random(3, rows * inputs), random(4, words * inputs));
        let (targets, d_logp, d_entropy) = ([2, 10, 0], random(5, rows), random(6, rows));
        let stats = token_stats(&hidden, &weight, &targets, inputs);
        for entropy in [None, Some(d_entropy.as_slice())] {
            let value = |hidden: &[f32], weight: &[f32]| {
                let (logp, of_entropy) = reference(hidden, weight, &targets, inputs);
                weighted(&logp, &d_logp) + entropy.map_or(0.0, |grad| weighted(&of_entropy, grad))
            };
            let (d_hidden, d_weight) = token_stats_backward(
                &hidden,
                &weight,
                &targets,
                inputs,
                &stats.lse,
                &d_logp,
                entropy.map(|grad| (stats.entropy.as_slice(), grad)),
                &[],
                true,
            );
            assert_close(&d_hidden, &numeric_gradient(&hidden, |h| value(h, &weight)), 3e-4);
            let d_weight = d_weight.expect("was asked for");
            assert_close(&d_weight, &numeric_gradient(&weight, |w| value(&hidden, w)), 3e-4);
        }
    }

    #[test]
    fn logits_that_are_kept_change_nothing() {
        let (inputs, rows, words) = (4, 2 * ROWS + 5, WORDS + 11);
        let (hidden, weight) = (random(7, rows * inputs), random(8, words * inputs));
        let targets: Vec<u32> = (0..rows).map(|row| (row * 101 % words) as u32).collect();
        let plain = token_stats(&hidden, &weight, &targets, inputs);
        let (stats, kept) = token_stats_kept(&hidden, &weight, &targets, inputs);
        assert_eq!((&stats.logp, &stats.entropy, &stats.lse), (&plain.logp, &plain.entropy, &plain.lse));
        assert_eq!(kept.len(), rows * words);
        let d_logp = random(9, rows);
        let back = |kept: &[f32]| {
            let lse = &stats.lse;
            token_stats_backward(&hidden, &weight, &targets, inputs, lse, &d_logp, None, kept, true)
        };
        let expected = back(&[]);
        assert_eq!(back(&kept), expected);
        assert_eq!(back(&kept[..ROWS * words]), expected, "of the first block alone");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        assert_eq!((rows_kept(100, 1_000), rows_kept(1 << 20, 150_000)), (100, 0));
        assert_eq!(rows_kept(3_000, 32_768), 2_048);
        assert!((1..300_000).step_by(997).all(|words| rows_kept(50_000, words) * words <= KEPT));
    }

    #[test]
    fn a_certain_row_has_no_entropy() {
        let stats = token_stats(&[1.0], &[500.0, -500.0], &[0], 1);
        assert_eq!((stats.logp[0], stats.entropy[0], stats.top1[0]), (0.0, 0.0, 0));
        assert_eq!(token_stats(&[1.0], &[500.0, -500.0], &[1], 1).logp, [-1000.0]);
    }
}
