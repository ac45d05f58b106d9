//! The loss: outcomes within each issue, against the issue's own base rate, and outcomes over all issues.

use common::optimise;

use super::{
    fit::FitOptions,
    model::{LinearModel, Row},
};

/// Standardised facts, row by row.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) width: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Standardises rows; what is not known stands at the mean, 0.
    pub(super) fn of<'a>(model: &LinearModel, rows: impl Iterator<Item = &'a Row>) -> Self {
        let width = model.facts.len();
        let mut values = Vec::new();
        for row in rows {
            let start = values.len();
            values.resize(start + width, 0.0);
            for (at, value) in model.scaled(row) {
                values[start + at] = value;
            }
        }
        Self { width, values }
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..(at + 1) * self.width]
    }
}

/// Which rows are of candidates of one issue of one pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    /// Rows by group, with their factor.
    members: Vec<Vec<(usize, f64)>>,
    resolved: Vec<bool>,
}

impl Groups {
    /// Adds the next row.
    pub(super) fn push(&mut self, group: usize, resolved: bool, factor: f64) {
        if group >= self.members.len() {
            self.members.resize(group + 1, Vec::new());
        }
        self.members[group].push((self.resolved.len(), factor));
        self.resolved.push(resolved);
    }

    /// The same without some rows.
    pub(super) fn only(&self, keep: &[bool]) -> Self {
        let kept = |group: &Vec<(usize, f64)>| group.iter().copied().filter(|(row, _)| keep[*row]).collect();
        Self { members: self.members.iter().map(kept).collect(), resolved: self.resolved.clone() }
    }

    /// Weight of each row: a group weighs as the square root of its size.
    pub(super) fn weights(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.resolved.len()];
        for group in &self.members {
            for &(row, factor) in group {
                weights[row] = factor / size(group).sqrt();
            }
        }
        weights
    }
}

/// Rows of a group, each counted by its factor.
fn size(group: &[(usize, f64)]) -> f64 {
    group.iter().map(|(_, factor)| factor).sum::<f64>().max(1.0)
}

/// The weights, and last the intercept, at the least loss.
///
/// Within an issue whose candidates disagree, the probability that a candidate resolves it is logistic in its score
/// less the mean of the scores, with the issue's own log-odds as base: only what sets candidates apart counts.
/// Over all issues it is logistic in the score. `options.within` mixes the two.
pub(super) fn minimise(matrix: &Matrix, groups: &Groups, options: &FitOptions) -> Vec<f64> {
    let width = matrix.width;
    optimise::minimise(vec![0.0; width + 1], 1e-3, options.iterations, |point, gradient| {
        let (weights, intercept) = (&point[..width], point[width]);
        gradient.fill(0.0);
        let mut total = 0.0;
        for (weight, slope) in weights.iter().zip(gradient.iter_mut()) {
            total += 0.5 * options.l2 * weight * weight;
            *slope = options.l2 * weight;
        }
        for group in groups.members.iter().filter(|group| !group.is_empty()) {
            let scores: Vec<f64> =
                group.iter().map(|(row, _)| optimise::dot(matrix.row(*row), weights)).collect();
            let (loss, errors, intercepts) =
                of_group(group, &scores, &groups.resolved, intercept, options.within);
            total += loss;
            gradient[width] += intercepts;
            for ((row, _), error) in group.iter().zip(errors) {
                optimise::add(&mut gradient[..width], error, matrix.row(*row));
            }
        }
        total
    })
}

/// The loss of one group, its slope in each score and in the intercept.
fn of_group(
    group: &[(usize, f64)],
    scores: &[f64],
    resolved: &[bool],
    intercept: f64,
    within: f64,
) -> (f64, Vec<f64>, f64) {
    let weight = 1.0 / size(group).sqrt();
    let all: f64 = group.iter().map(|(_, factor)| factor).sum();
    let right: f64 = group.iter().filter(|(row, _)| resolved[*row]).map(|(_, factor)| factor).sum();
    let mean = group.iter().zip(scores).map(|((_, factor), score)| factor * score).sum::<f64>() / all;
    let base = (right > 0.0 && right < all).then(|| (right / (all - right)).ln());
    let (mut loss, mut intercepts, mut centred) = (0.0, 0.0, 0.0);
    let mut errors = Vec::with_capacity(group.len());
    for (&(row, factor), &score) in group.iter().zip(scores) {
        let weight = weight * factor;
        let (value, error) = logistic(score + intercept, resolved[row]);
        loss += weight * (1.0 - within) * value;
        intercepts += weight * (1.0 - within) * error;
        let mut slope = weight * (1.0 - within) * error;
        if let Some(base) = base {
            let (value, error) = logistic(score - mean + base, resolved[row]);
            loss += weight * within * value;
            slope += weight * within * error;
            centred += weight * within * error;
        }
        errors.push(slope);
    }
    // The mean moves with every score.
    for (error, (_, factor)) in errors.iter_mut().zip(group) {
        *error -= centred * factor / all;
    }
    (loss, errors, intercepts)
}

/// −ln of the probability of an outcome, without overflow, and its slope.
fn logistic(score: f64, resolved: bool) -> (f64, f64) {
    let signed = if resolved { score } else { -score };
    let loss = (-signed.abs()).exp().ln_1p() + (-signed).max(0.0);
    (loss, 1.0 / (1.0 + (-score).exp()) - f64::from(u8::from(resolved)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_loss() {
        let group = [(0, 1.0), (1, 0.5), (2, 1.0)];
        let resolved = [true, false, false];
        let scores = [0.3, -1.2, 2.0];
        let (_, errors, slope) = of_group(&group, &scores, &resolved, 0.4, 0.7);
        let loss = |scores: &[f64], intercept: f64| of_group(&group, scores, &resolved, intercept, 0.7).0;
        let step = 1e-6;
        for at in 0..3 {
            let (mut up, mut down) = (scores, scores);
            up[at] += step;
            down[at] -= step;
            let numeric = (loss(&up, 0.4) - loss(&down, 0.4)) / (2.0 * step);
            assert!((numeric - errors[at]).abs() < 1e-8, "{at}: {numeric} is not {}", errors[at]);
        }
        let numeric = (loss(&scores, 0.4 + step) - loss(&scores, 0.4 - step)) / (2.0 * step);
        assert!((numeric - slope).abs() < 1e-8);
    }
}
