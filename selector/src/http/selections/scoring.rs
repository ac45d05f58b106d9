//! Asking the verifier. What goes wrong becomes a note and never an error.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use common::{Candidate, Degraded, VerifierScore};
use server::observe::RequestId;
use store::Tenant;

use super::pool::Ready;
use crate::http::{ScoreRequest, ScorerError, Scores, Service, Verifier, meter};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Scored {
    /// Scores of candidates of this selection.
    pub(super) scores: Vec<VerifierScore>,
    /// What is missing, for the answer.
    pub(super) notes: Vec<Degraded>,
    /// What became of asking, in a word; `None` where nobody was asked.
    pub(super) outcome: Option<&'static str>,
}

/// Gets the scores that the policy wants and the request does not bring.
pub(super) async fn score(
    service: &Service,
    tenant: &Tenant,
    ready: &Ready,
    id: Option<&RequestId>,
) -> Scored {
    let Some(verifier) = &service.verifier else { return Scored::default() };
    if !ready.policy.describe().wants.contains(&"verifier") {
        return Scored::default();
    }
    let scored: BTreeSet<&str> =
        ready.evidence.scores.iter().map(|score| score.candidate_id.as_str()).collect();
    let unscored = |candidate: &&Arc<Candidate>| !scored.contains(candidate.candidate_id.as_str());
    let candidates: Vec<_> = ready.candidates.iter().filter(unscored).map(Arc::clone).collect();
    if candidates.is_empty() {
        return Scored::default();
    }
    let wanted: BTreeSet<String> =
        candidates.iter().map(|candidate| candidate.candidate_id.clone()).collect();
    let request = ScoreRequest {
        tenant: tenant.clone(),
        instance_id: Arc::clone(&ready.instance_id),
        issue: ready.issue.clone(),
        candidates,
        deadline: Instant::now() + verifier.deadline.0,
        request_id: id.map(|id| id.as_str().into()),
    };
    match ask(verifier, request).await {
        Ok(scores) => kept(scores, &wanted),
        Err((outcome, reason)) => {
            tracing::warn!(reason, "selecting without the verifier");
            meter::asked(outcome);
            Scored {
                outcome: Some(outcome),
                scores: Vec::new(),
                notes: vec![note(&format!("{reason}; selected without its scores"))],
            }
        }
    }
}

async fn ask(verifier: &Verifier, request: ScoreRequest) -> Result<Scores, (&'static str, String)> {
    // The scorer keeps to the deadline by itself; one that does not must not hold up the selection.
    let late = || format!("the verifier did not answer within {}", verifier.deadline);
    match tokio::time::timeout(verifier.deadline.0, verifier.scorer.score(request)).await {
        Ok(Ok(scores)) => Ok(scores),
        Ok(Err(error)) => {
            let outcome = match error {
                ScorerError::Unavailable(_) => "unavailable",
                ScorerError::Refused(_) => "refused",
                ScorerError::Untrained(_) => "untrained",
            };
            Err((outcome, error.to_string()))
        }
        Err(_) => Err(("late", late())),
    }
}

/// Scores of candidates that were asked about and that are scores; whoever implements [`crate::http::Scorer`].
fn kept(scores: Scores, wanted: &BTreeSet<String>) -> Scored {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::with_capacity(scores.scores.len());
    for mut score in scores.scores {
        if !wanted.contains(&score.candidate_id) || !seen.insert(score.candidate_id.clone()) {
            tracing::warn!(candidate = score.candidate_id, "a score that nobody asked for is left out");
            continue;
        }
        score.probability = score.probability.filter(|value| (0.0..=1.0).contains(value));
        score.logit = score.logit.filter(|value| value.is_finite());
        score.spread = score.spread.filter(|value| (0.0..f64::INFINITY).contains(value));
        kept.push(score);
    }
    let complete = wanted.len() == kept.iter().filter(|score| score.probability.is_some()).count();
    let outcome = if complete { "scored" } else { "partly" };
    meter::asked(outcome);
    let notes = scores.notes.iter().map(|text| note(text)).collect();
    Scored { scores: kept, notes, outcome: Some(outcome) }
}

fn note(detail: &str) -> Degraded {
    Degraded { evidence: "verifier".to_owned(), detail: detail.to_owned() }
}
