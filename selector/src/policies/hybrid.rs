//! The learned ranker as a policy.

use common::{Degraded, DropStage};

use super::{Context, Verdict, nonempty};
use crate::ranker::{RankerModel, features};

/// Ranks by the learned score; empty patches come last.
pub(super) fn hybrid(context: &Context<'_>) -> Verdict {
    let shipped;
    let model: &RankerModel = if let Some(model) = context.model {
        model
    } else {
        shipped = RankerModel::shipped();
        &shipped
    };
    let of = nonempty(context.pool);
    let (matrix, pool) = features(context, &of);
    let scores = model.scores(&matrix);
    let probabilities = model.calibration.probabilities(&scores.total, &pool);
    let lowest = scores.total.iter().copied().fold(0.0, f64::min);
    let size = context.len();
    let mut verdict = Verdict {
        order: (0..size).collect(),
        score: vec![lowest - 1.0; size],
        probability: vec![Some(0.0); size],
        dropped: vec![Some(DropStage::EmptyPatch); size],
        reasons: vec![vec!["dropped: its patch changes nothing".to_owned()]; size],
        model: Some(model.version.clone()),
        ..Verdict::default()
    };
    for (row, &at) in of.iter().enumerate() {
        verdict.score[at] = scores.total[row];
        verdict.probability[at] = Some(probabilities[row]);
        verdict.dropped[at] = None;
        verdict.reasons[at] = reasons(matrix.names(), &scores.parts[row]);
    }
    verdict.order.sort_by(|&a, &b| verdict.score[b].total_cmp(&verdict.score[a]));
    verdict.confidence = verdict.order.first().and_then(|&at| verdict.probability[at]);
    verdict.degraded = degraded(context);
    verdict
}

fn reasons(names: &[&str], parts: &[f64]) -> Vec<String> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| parts[b].abs().total_cmp(&parts[a].abs()));
    order
        .into_iter()
        .take(3)
        .filter(|&at| parts[at].abs() > 0.05)
        .map(|at| format!("{} {:+.2}", names[at], parts[at]))
        .collect()
}

fn degraded(context: &Context<'_>) -> Vec<Degraded> {
    let note =
        |evidence: &str, detail: &str| Degraded { evidence: evidence.to_owned(), detail: detail.to_owned() };
    let mut degraded = Vec::new();
    if context.len() == 0 {
        return degraded;
    }
    if context.pool.candidates.iter().all(|candidate| candidate.facts.turns.is_none()) {
        degraded.push(note("trajectory", "no candidate has a trajectory; judged by the patches"));
    }
    if !context.tests.has_regression() {
        degraded.push(note("regression", "no usable regression results"));
    }
    if !context.tests.has_reproduction() {
        degraded.push(note("reproduction", "no usable reproduction or generated test results"));
    }
    if context.verifier.iter().all(Option::is_none) {
        degraded.push(note("verifier", "no verifier scores"));
    }
    degraded
}
