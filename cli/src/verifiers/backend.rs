//! A verifier model in this process as a [`Scorer`].

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use common::score::BeyondFacts;
use common::{Candidate, VerifierScore};
use rayon::prelude::*;
use selector::http::{ScoreRequest, Scorer, ScorerError, Scores};
use verifier::{Backend, BackendError, Example, Layout, PrepareOptions, Prepared, RawScore};

/// Tokens that are scored at a time; a longer row goes alone.
const BATCH: usize = 16_384;

/// Scores with a model, batch after batch.
#[derive(Debug, Clone)]
pub struct BackendScorer(Arc<dyn Backend>);

impl BackendScorer {
    /// A scorer over a model.
    pub fn new(model: Arc<dyn Backend>) -> Self {
        Self(model)
    }

    fn score_of(&self, id: &str, revision: &str, raw: &RawScore) -> Result<VerifierScore, String> {
        let logit = raw.logit.filter(|logit| logit.is_finite());
        let logit =
            logit.ok_or_else(|| raw.reason.clone().unwrap_or_else(|| "the model gave none".to_owned()))?;
        Ok(VerifierScore {
            candidate_id: id.to_owned(),
            probability: Some(self.0.probability(logit).value),
            logit: Some(logit),
            spread: raw.spread,
            revision: revision.to_owned(),
        })
    }
}

#[async_trait]
impl Scorer for BackendScorer {
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError> {
        let info = self.0.info();
        let revision = format!("{}@{}", info.name, info.revision);
        if !info.trained {
            return Err(ScorerError::Untrained(revision));
        }
        let model = Arc::clone(&self.0);
        let ids: Vec<String> =
            request.candidates.iter().map(|candidate| candidate.candidate_id.clone()).collect();
        let prepared = tokio::task::spawn_blocking(move || prepare(&*model, &request));
        let prepared = prepared.await.map_err(|error| ScorerError::Refused(error.to_string()))?;

        let mut missing: BTreeMap<String, usize> = BTreeMap::new();
        let mut rows = Vec::with_capacity(ids.len());
        for (id, prepared) in ids.iter().zip(prepared) {
            match prepared {
                Ok(row) => rows.push((id, row)),
                Err(reason) => *missing.entry(reason).or_default() += 1,
            }
        }
        let mut scores = Vec::with_capacity(rows.len());
        for batch in batches(&rows) {
            let prepared: Vec<Arc<Prepared>> = batch.iter().map(|(_, row)| Arc::clone(row)).collect();
            let raw = self.0.score(&prepared).await.map_err(|error| match error {
                BackendError::Unavailable(reason) => ScorerError::Unavailable(reason),
                BackendError::Failed(reason) => ScorerError::Refused(reason),
            })?;
            if raw.len() != batch.len() {
                let reason = format!("it gave {} scores for {} candidates", raw.len(), batch.len());
                return Err(ScorerError::Refused(reason));
            }
            for ((id, _), raw) in batch.iter().zip(&raw) {
                match self.score_of(id, &revision, raw) {
                    Ok(score) => scores.push(score),
                    Err(reason) => *missing.entry(reason).or_default() += 1,
                }
            }
        }
        let of = ids.len();
        let notes = missing
            .into_iter()
            .map(|(reason, count)| format!("no score for {count} of {of} candidates: {reason}"))
            .collect();
        Ok(Scores { scores, notes })
    }
}

/// Lays the candidates out, in their order.
fn prepare(model: &dyn Backend, request: &ScoreRequest) -> Vec<Result<Arc<Prepared>, String>> {
    let issue: Arc<str> = request.issue.clone().unwrap_or_default();
    let options = PrepareOptions { max_tokens: None, condense: true };
    let example =
        |candidate: &Arc<Candidate>| Example { issue: Arc::clone(&issue), candidate: Arc::clone(candidate) };
    let beyond = (model.info().layout == Layout::FeaturesV1)
        .then(|| BeyondFacts::of(request.candidates.iter().map(AsRef::as_ref)));
    let prepare = |candidate: &Arc<Candidate>| {
        if let Some(reason) = beyond.and_then(|beyond| beyond.reason(candidate)) {
            return Err(reason.to_owned());
        }
        let prepared = model.prepare(&example(candidate), options);
        prepared.map(Arc::new).map_err(|error| error.to_string())
    };
    request.candidates.par_iter().map(prepare).collect()
}

/// Neighbours that fit together.
fn batches<T>(rows: &[(T, Arc<Prepared>)]) -> impl Iterator<Item = &[(T, Arc<Prepared>)]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let mut fits = |(_, row): &(T, Arc<Prepared>)| {
            tokens += row.tokens;
            tokens <= BATCH
        };
        let count = rest.iter().take_while(|row| fits(row)).count().max(1).min(rest.len());
        let (batch, later) = rest.split_at(count);
        rest = later;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use common::Trajectory;
    use verifier::{ModelInfo, Payload, PrepareError};

    use super::*;

    /// Scores a patch by the number that it is.
    #[derive(Debug)]
    struct Fake(ModelInfo);

    #[async_trait]
    impl Backend for Fake {
        fn info(&self) -> &ModelInfo {
            &self.0
        }

        fn prepare(&self, example: &Example, _: PrepareOptions) -> Result<Prepared, PrepareError> {
            let candidate = &example.candidate;
            let number: f32 = candidate.trajectory.patch_text().parse().map_err(|_| {
                PrepareError::Refused { candidate: candidate.candidate_id.clone(), reason: "odd".to_owned() }
            })?;
            Ok(Prepared {
                payload: Payload::Features(vec![vec![(0, number)]]),
                tokens: 9000,
                shared_tokens: 0,
                content: [0; 32],
                condensed: None,
            })
        }

        async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
            assert_eq!(batch.len(), 1, "two of 9000 tokens do not fit together");
            let of = |row: &Arc<Prepared>| {
                let Payload::Features(rows) = &row.payload else { panic!("features were made") };
                let logit = f64::from(rows[0][0].1);
                RawScore { logit: Some(logit).filter(|logit| *logit < 9.0), ..RawScore::default() }
            };
            Ok(batch.iter().map(of).collect())
        }
    }

    fn fake(trained: bool) -> BackendScorer {
        BackendScorer::new(Arc::new(Fake(ModelInfo {
            name: "fake".into(),
            revision: "1".into(),
            backend: "fake".into(),
            layout: Layout::CompactV1,
            max_tokens: 10_000,
            trained,
        })))
    }

    fn request(patches: &[&str]) -> ScoreRequest {
        let candidate = |patch: &&str| {
            let trajectory = Trajectory { patch: Some((*patch).to_owned()), ..Trajectory::default() };
            Arc::new(Candidate { candidate_id: format!("run {patch}"), trajectory })
        };
        ScoreRequest {
            tenant: store::Tenant::DEFAULT,
            instance_id: "a__b-1".into(),
            issue: None,
            candidates: patches.iter().map(candidate).collect(),
            deadline: Instant::now(),
            request_id: None,
        }
    }

    #[tokio::test]
    async fn scores_are_of_their_candidates_and_gaps_are_named() {
        let scores = fake(true).score(request(&["2", "x", "0", "9", "-2"])).await.unwrap();
        let found: Vec<_> =
            scores.scores.iter().map(|score| (score.candidate_id.as_str(), score.logit.unwrap())).collect();
        assert_eq!(found, [("run 2", 2.0), ("run 0", 0.0), ("run -2", -2.0)]);
        assert_eq!((scores.scores[1].probability, scores.scores[1].revision.as_str()), (Some(0.5), "fake@1"));
        let notes = ["1 of 5 candidates: run x: odd", "1 of 5 candidates: the model gave none"];
        assert_eq!(scores.notes, notes.map(|note| format!("no score for {note}")));
    }

    #[tokio::test]
    async fn an_untrained_model_does_not_score() {
        let refused = fake(false).score(request(&["1"])).await;
        assert_eq!(refused, Err(ScorerError::Untrained("fake@1".into())));
    }
}
