//! From a verifier's answer to scores of the pool's candidates: by id, and nothing that is no number.

use std::collections::{BTreeMap, BTreeSet};

use common::{VerifierScore, score::ScoreResponse};

use super::super::scorer::{ScorerError, Scores};

/// Answers put together: scores by id, and how many candidates have none, by the reason.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Joined {
    pub(super) scores: BTreeMap<String, VerifierScore>,
    pub(super) missing: BTreeMap<String, usize>,
}

impl Joined {
    /// Adds what another request brought.
    pub(super) fn add(&mut self, other: Self) {
        self.scores.extend(other.scores);
        for (reason, count) in other.missing {
            self.miss(reason, count);
        }
    }

    /// Notes that candidates have no score.
    pub(super) fn miss(&mut self, reason: String, count: usize) {
        if count > 0 {
            *self.missing.entry(reason).or_default() += count;
        }
    }

    /// In the form of an answer about so many candidates.
    pub(super) fn into_scores(self, of: usize) -> Scores {
        let noun = if of == 1 { "candidate" } else { "candidates" };
        let note = |(reason, count)| format!("no score for {count} of {of} {noun}: {reason}");
        let notes = self.missing.into_iter().map(note).collect();
        Scores { scores: self.scores.into_values().collect(), notes }
    }
}

/// Joins the answer to the candidates that were asked about.
///
/// The order of the answer does not matter. An entry about another candidate, or a second one about the same, is left
/// out with a warning; a probability that is none becomes null with a note. Scores of a model that has learned nothing
/// are refused as a whole.
pub(super) fn join(wanted: &BTreeSet<&str>, answer: ScoreResponse) -> Result<Joined, ScorerError> {
    let revision = answer.model.label();
    if !answer.model.trained {
        return Err(ScorerError::Untrained(revision));
    }
    let mut joined = Joined::default();
    for entry in answer.scores {
        let Some(&id) = wanted.get(entry.candidate_id.as_str()) else {
            tracing::warn!(
                candidate = entry.candidate_id,
                "the verifier scored a candidate that it was not asked about"
            );
            continue;
        };
        if joined.scores.contains_key(id) {
            tracing::warn!(candidate = id, "the verifier scored a candidate twice; the first score counts");
            continue;
        }
        let probability = entry.probability.filter(|value| (0.0..=1.0).contains(value));
        if probability.is_none() {
            let reason = match (entry.probability, entry.reason) {
                (Some(value), _) => format!("{value} is no probability"),
                (None, Some(reason)) => reason,
                (None, None) => "it gave no reason".to_owned(),
            };
            joined.miss(reason, 1);
        }
        let score = VerifierScore {
            candidate_id: id.to_owned(),
            probability,
            logit: entry.logit.filter(|value| value.is_finite()),
            spread: entry.spread.filter(|value| (0.0..f64::INFINITY).contains(value)),
            revision: revision.clone(),
        };
        joined.scores.insert(id.to_owned(), score);
    }
    let silent = wanted.iter().filter(|id| !joined.scores.contains_key(**id)).count();
    joined.miss("it left them out of its answer".to_owned(), silent);
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use common::score::{CandidateScore, ScoredBy};
    use proptest::prelude::*;

    use super::*;

    fn entry(id: &str, probability: Option<f64>) -> CandidateScore {
        CandidateScore { candidate_id: id.into(), probability, ..CandidateScore::default() }
    }

    fn answer(scores: Vec<CandidateScore>) -> ScoreResponse {
        let model = ScoredBy { name: "m".into(), revision: "1".into(), trained: true, ..ScoredBy::default() };
        ScoreResponse { model, scores, timings: common::score::ScoreTimings::default() }
    }

    #[test]
    fn strangers_and_seconds_are_left_out() {
        let wanted = BTreeSet::from(["a", "b"]);
        let given =
            vec![entry("z", Some(0.9)), entry("b", Some(0.5)), entry("a", Some(0.1)), entry("b", Some(0.8))];
        let joined = join(&wanted, answer(given)).unwrap().into_scores(2);
        let found: Vec<_> =
            joined.scores.iter().map(|score| (score.candidate_id.as_str(), score.probability)).collect();
        assert_eq!(found, [("a", Some(0.1)), ("b", Some(0.5))]);
        assert_eq!(joined.scores[0].revision, "m@1");
        assert!(joined.notes.is_empty());
    }

    #[test]
    fn what_is_no_number_is_null_and_said() {
        let wanted = BTreeSet::from(["a", "b", "c", "d", "e"]);
        let late = CandidateScore { reason: Some("too long".into()), ..entry("b", None) };
        let odd = CandidateScore { logit: Some(f64::NAN), spread: Some(-1.0), ..entry("d", Some(0.5)) };
        let given = vec![entry("a", Some(f64::NAN)), late, entry("c", Some(1.5)), odd];
        let joined = join(&wanted, answer(given)).unwrap().into_scores(5);
        let with: Vec<_> = joined.scores.iter().filter(|score| score.probability.is_some()).collect();
        assert_eq!(with.len(), 1);
        assert_eq!((with[0].logit, with[0].spread), (None, None));
        for words in ["NaN is no probability", "1.5 is no probability", "too long", "left them out"] {
            assert!(joined.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", joined.notes);
        }
    }

    #[test]
    fn an_untrained_model_is_not_listened_to() {
        let mut given = answer(vec![entry("a", Some(0.9))]);
        given.model.trained = false;
        assert_eq!(join(&BTreeSet::from(["a"]), given), Err(ScorerError::Untrained("m@1".into())));
    }

    proptest! {
        /// The code released with the paper zips scores that came in order of completion with the candidates.
        #[test]
        fn the_order_of_the_answer_does_not_matter(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let ids: Vec<String> = (0..12).map(|at| format!("run-{at}")).collect();
            let wanted = ids.iter().map(String::as_str).collect();
            let given = order.iter().map(|at| entry(&ids[*at], Some(*at as f64 / 12.0))).collect();
            let joined = join(&wanted, answer(given)).unwrap();
            prop_assert_eq!(joined.scores.len(), 12);
            for score in joined.scores.into_values() {
                let at: usize = score.candidate_id[4..].parse().unwrap();
                prop_assert_eq!(score.probability, Some(at as f64 / 12.0));
            }
        }
    }
}
