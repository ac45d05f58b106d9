//! What is done to logits before a token is drawn, as transformers' processors do it. A removed token has −∞.

use std::cmp::Ordering;

use super::Sampling;

/// Applies all of a sampling's steps but the draw; `seen` are the tokens of the prompt and those generated so far.
pub fn process(logits: &mut [f32], seen: &[u32], sampling: &Sampling) {
    repetition_penalty(logits, seen, sampling.repetition_penalty);
    if sampling.temperature > 0.0 {
        temperature(logits, sampling.temperature);
        if sampling.top_k > 0 {
            top_k(logits, sampling.top_k);
        }
        if sampling.top_p < 1.0 {
            top_p(logits, sampling.top_p);
        }
        if sampling.min_p > 0.0 {
            min_p(logits, sampling.min_p);
        }
    }
}

/// Makes tokens that occurred less likely, once however often they did (arXiv 1909.05858 § 4.1).
pub fn repetition_penalty(logits: &mut [f32], seen: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut unique: Vec<usize> = seen.iter().map(|id| *id as usize).filter(|id| *id < logits.len()).collect();
    unique.sort_unstable();
    unique.dedup();
    for id in unique {
        let logit = &mut logits[id];
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
}

/// Divides all logits.
pub fn temperature(logits: &mut [f32], temperature: f32) {
    for logit in logits {
        *logit /= temperature;
    }
}

/// Removes all but the `k` likeliest; those that are as likely as the last of them stay.
pub fn top_k(logits: &mut [f32], k: usize) {
    if k == 0 || k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, threshold, _) = sorted.select_nth_unstable_by(k - 1, |one, other| other.total_cmp(one));
    let threshold = *threshold;
    remove(logits, |logit| logit < threshold);
}

/// Removes the unlikeliest tokens that together have no more than 1 − `p`; the likeliest always stays.
pub fn top_p(logits: &mut [f32], p: f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|one, other| ascending(logits, *one, *other));
    let highest = order.last().map_or(0.0, |last| logits[*last]);
    let weights: Vec<f64> = order.iter().map(|id| f64::from(logits[*id] - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    // In single precision, as transformers compares.
    let threshold = 1.0 - p;
    for (place, id) in order.iter().enumerate() {
        sum += weights[place] / total;
        if sum as f32 > threshold || place + 1 == order.len() {
            break;
        }
        logits[*id] = f32::NEG_INFINITY;
    }
}

/// Removes tokens with less than `p` of the likeliest token's probability.
pub fn min_p(logits: &mut [f32], p: f32) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    remove(logits, |logit| (logit - highest).exp() < p);
}

/// The likeliest token, the first of equals.
pub fn argmax(logits: &[f32]) -> Option<u32> {
    let best = (0..logits.len())
        .filter(|id| !logits[*id].is_nan())
        .min_by(|one, other| descending(logits, *one, *other));
    best.map(|id| id as u32)
}

/// ln Σ exp, −∞ without finite terms.
pub fn logsumexp(logits: impl Iterator<Item = f32> + Clone) -> f64 {
    let highest = logits.clone().fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let highest = f64::from(highest);
    highest + logits.map(|logit| (f64::from(logit) - highest).exp()).sum::<f64>().ln()
}

/// The `count` likeliest tokens with their log-probabilities, best first, the lower id first of equals.
pub fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let total = logsumexp(logits.iter().copied());
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let count = count.min(order.len());
    if count > 0 && count < order.len() {
        order.select_nth_unstable_by(count - 1, |one, other| descending(logits, *one, *other));
    }
    order.truncate(count);
    order.sort_by(|one, other| descending(logits, *one, *other));
    order.into_iter().map(|id| (id as u32, (f64::from(logits[id]) - total) as f32)).collect()
}

fn remove(logits: &mut [f32], unwanted: impl Fn(f32) -> bool) {
    for logit in logits {
        if unwanted(*logit) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn descending(logits: &[f32], one: usize, other: usize) -> Ordering {
    logits[other].total_cmp(&logits[one]).then(one.cmp(&other))
}

fn ascending(logits: &[f32], one: usize, other: usize) -> Ordering {
    logits[one].total_cmp(&logits[other]).then(one.cmp(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: f32 = f32::NEG_INFINITY;

    #[test]
    fn penalises_once() {
        let mut logits = [2.0, -2.0, 1.0];
        repetition_penalty(&mut logits, &[0, 1, 1, 0, 9], 2.0);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }

    #[test]
    fn keeps_ties_at_the_border_of_top_k() {
        let mut logits = [1.0, 3.0, 2.0, 2.0, 0.0];
        top_k(&mut logits, 2);
        assert_eq!(logits, [GONE, 3.0, 2.0, 2.0, GONE]);
    }

    #[test]
    fn nucleus_keeps_at_least_one() {
        let logits = [0.1_f32.ln(), 0.2_f32.ln(), 0.7_f32.ln()];
        let kept = |p| {
            let mut logits = logits;
            top_p(&mut logits, p);
            logits.map(|logit| logit > GONE)
        };
        assert_eq!(kept(0.01), [false, false, true]);
        assert_eq!(kept(0.75), [false, true, true]);
        assert_eq!(kept(0.95), [true, true, true]);
    }

    #[test]
    fn min_p_is_relative() {
        let mut logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        min_p(&mut logits, 0.5);
        assert_eq!(logits[2], GONE);
        assert!(logits[1] > GONE);
    }

    #[test]
    fn equals_go_by_id() {
        assert_eq!(argmax(&[1.0, 2.0, 2.0]), Some(1));
        assert_eq!(argmax(&[f32::NAN, 1.0]), Some(1));
        assert_eq!(argmax(&[]), None);
        let top = likeliest(&[0.0, 1.0, 1.0, -1.0], 3);
        assert_eq!(top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(logsumexp([GONE, GONE].into_iter()), f64::NEG_INFINITY);
        assert!((logsumexp([1000.0, 1000.0].into_iter()) - 1000.0 - 2_f64.ln()).abs() < 1e-9);
    }
}
