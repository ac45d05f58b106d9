//! Metrics of selections. Labels are fixed words and names of policies.

use std::time::Duration;

use common::Selection;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// What a selection lacked, where the verifier's outcome does not say more.
const MISSING: &str = "missing";

/// Says what each metric is.
pub(super) fn describe() {
    describe_counter!(
        "selector_selections_total",
        Unit::Count,
        "selections made, by policy and outcome: chosen or abstained"
    );
    describe_histogram!(
        "selector_selection_seconds",
        Unit::Seconds,
        "time of a selection from its parsed request to its stored result, by policy"
    );
    describe_histogram!("selector_candidates", Unit::Count, "candidates of a selection, by policy");
    describe_counter!(
        "selector_degraded_total",
        Unit::Count,
        "selections that lacked evidence which their policy wants, by evidence and reason"
    );
    describe_counter!(
        "selector_verifier_requests_total",
        Unit::Count,
        "pools that the verifier was asked about, by outcome"
    );
    describe_counter!(
        "selector_outcomes_total",
        Unit::Count,
        "outcomes reported, by whether the issue was resolved"
    );
    // From 0 on: to Prometheus a counter that appears with 1 has not grown.
    for reason in ["unavailable", "refused", "untrained", "late", "partly"] {
        counter!("selector_degraded_total", "evidence" => "verifier", "reason" => reason).increment(0);
    }
}

/// What there is to count of a selection, once it is stored.
#[derive(Debug)]
pub(super) struct Selected {
    policy: &'static str,
    chosen: bool,
    candidates: usize,
    /// Kinds of evidence that were missing, each with the reason.
    degraded: Vec<(&'static str, &'static str)>,
}

impl Selected {
    /// `verifier` is what became of asking the verifier, where it was asked.
    pub(super) fn of(policy: &'static str, result: &Selection, verifier: Option<&'static str>) -> Self {
        let mut degraded: Vec<(&str, &str)> = Vec::new();
        for note in &result.degraded {
            // Evidence is named by the policies, in words of their own; several notes about one kind count once.
            let evidence = word(&note.evidence);
            if degraded.iter().all(|(known, _)| *known != evidence) {
                let reason = if evidence == "verifier" { verifier.unwrap_or(MISSING) } else { MISSING };
                degraded.push((evidence, reason));
            }
        }
        Self { policy, chosen: result.chosen.is_some(), candidates: result.candidates.len(), degraded }
    }

    pub(super) fn count(self, took: Duration) {
        let outcome = if self.chosen { "chosen" } else { "abstained" };
        counter!("selector_selections_total", "policy" => self.policy, "outcome" => outcome).increment(1);
        histogram!("selector_selection_seconds", "policy" => self.policy).record(took);
        histogram!("selector_candidates", "policy" => self.policy).record(self.candidates as f64);
        for (evidence, reason) in self.degraded {
            counter!("selector_degraded_total", "evidence" => evidence, "reason" => reason).increment(1);
        }
    }
}

/// The verifier was asked about a pool.
pub(super) fn asked(outcome: &'static str) {
    counter!("selector_verifier_requests_total", "outcome" => outcome).increment(1);
}

/// An outcome was reported.
pub(super) fn reported(resolved: bool) {
    let resolved = if resolved { "true" } else { "false" };
    counter!("selector_outcomes_total", "resolved" => resolved).increment(1);
}

/// A kind of evidence as a label.
fn word(evidence: &str) -> &'static str {
    let known = ["verifier", "regression", "reproduction", "tests", "exit"];
    known.into_iter().find(|word| *word == evidence).unwrap_or("other")
}
