//! The learned ranker as a policy.

use common::{Degraded, DropStage};

use super::{Context, Verdict, nonempty, words};
use crate::ranker::{Columns, RankerModel};

/// Ranks by the learned score; empty patches come last.
pub(super) fn hybrid(context: &Context<'_>) -> Verdict {
    let shipped;
    let model: &RankerModel = if let Some(model) = context.model {
        model
    } else {
        shipped = RankerModel::shipped();
        &shipped
    };
    let candidates = &context.pool.candidates;
    let mut of = nonempty(context.pool);
    // A fixed order makes every sum, and so every tie, independent of the order of the request.
    of.sort_by(|&a, &b| candidates[a].candidate_id.cmp(&candidates[b].candidate_id));
    let all_empty = of.first().is_some_and(|&at| candidates[at].emptiness() > 0);
    let columns = Columns::new(context, &of);
    let scores = model.scores(&columns);
    let probabilities = model.probabilities(&columns, &scores);
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
        verdict.dropped[at] = None;
        if all_empty {
            verdict.reasons[at] = vec!["no candidate changes anything".to_owned()];
            continue;
        }
        verdict.probability[at] = Some(probabilities[row]);
        verdict.reasons[at] = words::reasons(context, model, &scores.parts, row, at);
    }
    let content = |at: usize| (candidates[at].digest.exact(), &candidates[at].candidate_id);
    verdict.order.sort_by(|&a, &b| {
        verdict.score[b].total_cmp(&verdict.score[a]).then_with(|| content(a).cmp(&content(b)))
    });
    verdict.confidence = verdict.order.first().and_then(|&at| verdict.probability[at]);
    verdict.degraded = degraded(context);
    verdict
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
