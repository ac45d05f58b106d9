//! The entry: checks the evidence, asks the policy, and puts its verdict into words and ranks.

use common::{Degraded, Ranked, Selection};

use crate::{
    agreement::Agreement,
    evidence::{self, Evidence, SelectError},
    policies::{self, Context, Verdict},
    policy::PolicyRequest,
    pool::{Pool, PreparedPool},
    test_evidence::TestEvidence,
};

/// Picks the candidate that most likely resolves the issue, and ranks the rest.
///
/// Pure and deterministic. An empty patch is never chosen while a non-empty one exists.
///
/// # Errors
///
/// Two candidates with one id, evidence about a candidate that is not in the pool, or a probability that is none.
pub fn select(pool: &Pool, evidence: &Evidence, request: &PolicyRequest) -> Result<Selection, SelectError> {
    select_prepared(&PreparedPool::new(pool), evidence, request)
}

/// [`select`] for a pool whose patches and trajectories have been read already.
///
/// # Errors
///
/// As for [`select`].
pub fn select_prepared(
    pool: &PreparedPool,
    evidence: &Evidence,
    request: &PolicyRequest,
) -> Result<Selection, SelectError> {
    if let Some(minimum) = request.min_confidence
        && !(0.0..=1.0).contains(&minimum)
    {
        return Err(SelectError::BadMinConfidence(minimum));
    }
    let index = evidence::index(pool)?;
    evidence::check(pool, &index, evidence)?;
    let agreement = Agreement::of(pool);
    let tests = TestEvidence::of(pool, &index, evidence);
    let verifier = evidence::verifier(&index, evidence);
    let context = Context {
        pool,
        agreement: &agreement,
        tests: &tests,
        verifier: &verifier,
        model: request.model.as_deref(),
    };
    let verdict = policies::decide(request.policy, &context);
    let mut selection = selection(&context, request, verdict);
    selection.verifiers = evidence::revisions(evidence);
    Ok(selection)
}

fn selection(context: &Context<'_>, request: &PolicyRequest, mut verdict: Verdict) -> Selection {
    let mut degraded = std::mem::take(&mut verdict.degraded);
    if uses_tests(request) {
        degraded.extend(context.tests.degraded.iter().cloned());
    }
    let mut abstained = false;
    match (request.min_confidence, verdict.confidence) {
        (Some(minimum), Some(confidence)) => abstained = confidence < minimum,
        (Some(_), None) if context.len() > 0 => degraded.push(Degraded {
            evidence: "confidence".to_owned(),
            detail: format!("policy {} gives no confidence; the minimum was not applied", request.policy),
        }),
        _ => {}
    }
    let chosen = verdict.order.first().filter(|_| !abstained);
    Selection {
        instance_id: context.pool.instance_id.clone(),
        policy: request.policy.name().to_owned(),
        model: verdict.model.take(),
        chosen: chosen.map(|&at| context.pool.candidates[at].candidate_id.clone()),
        confidence: verdict.confidence,
        abstained,
        verifiers: Vec::new(),
        degraded,
        candidates: (1..)
            .zip(&verdict.order)
            .map(|(rank, &at)| ranked(context, &verdict, rank, at))
            .collect(),
    }
}

fn uses_tests(request: &PolicyRequest) -> bool {
    request.policy.describe().wants.contains(&"regression")
}

fn ranked(context: &Context<'_>, verdict: &Verdict, rank: u32, at: usize) -> Ranked {
    Ranked {
        candidate_id: context.pool.candidates[at].candidate_id.clone(),
        rank,
        score: verdict.score[at],
        probability: verdict.probability[at],
        cluster: context.agreement.cluster[at],
        votes: context.agreement.votes[at],
        tests: context.tests.known_summary(at),
        verifier: context.verifier[at].map(|opinion| opinion.probability),
        verifier_spread: context.verifier[at].and_then(|opinion| opinion.spread),
        dropped: verdict.dropped[at],
        reasons: verdict.reasons[at].clone(),
    }
}
