//! Scoring as callers see it: over HTTP and in this process.

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use common::score::{
    CandidateScore, ScoreOptions, ScorePriority, ScoreResponse, ScoreTimings, ScoredBy, TurnScore,
};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use server::Problem;
use store::{Store, Tenant};
use tokio::sync::Semaphore;

use crate::{
    Backend, Example, ModelInfo, PrepareOptions, RawScore,
    models::{Registry, RegistryError},
    pipeline::{Job, Lane, Pipeline, PipelineSettings, ScoreError, Scored, Took},
};

/// Requests that may be scored by the shadow model at a time; more are left out, since nobody waits for them.
const SHADOWS: usize = 4;
/// The longest deadline that a request may ask for.
const LONGEST: Duration = Duration::from_hours(1);

/// Scores trajectories; cheap to clone.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

/// What [`Service`] holds.
#[derive(Debug)]
pub struct Inner {
    /// The models.
    pub registry: Registry,
    /// The records: texts of issues, and which model is active.
    pub store: Arc<dyn Store>,
    /// Bounds on requests.
    pub settings: PipelineSettings,
    shadows: Arc<Semaphore>,
}

impl Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What to score.
#[derive(Debug, Clone)]
pub struct ScoreCall {
    /// Whose they are.
    pub tenant: Tenant,
    /// Name or alias of the model; the active one when it is `None`.
    pub model: Option<String>,
    /// The candidates, with ids unique among them.
    pub examples: Vec<Example>,
    /// How to score.
    pub options: ScoreOptions,
}

/// Why there are no scores.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such model here.
    #[error(transparent)]
    Model(#[from] RegistryError),
    /// The model could not score.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// Scores with the model that made them.
#[derive(Debug)]
pub struct Judged {
    /// The model.
    pub model: Arc<Pipeline>,
    /// One entry an example, in their order.
    pub scored: Vec<Scored>,
}

impl Service {
    /// A service over models and a store.
    pub fn new(registry: Registry, store: Arc<dyn Store>, settings: PipelineSettings) -> Self {
        describe_histogram!(
            "verifier_shadow_difference",
            Unit::Count,
            "difference between the probabilities of the active and the shadow model"
        );
        describe_counter!(
            "verifier_shadow_total",
            Unit::Count,
            "requests given to the shadow model, by outcome"
        );
        let shadows = Arc::new(Semaphore::new(SHADOWS));
        Self(Arc::new(Inner { registry, store, settings, shadows }))
    }

    /// Scores candidates: what `POST /v1/score` answers. Dropping the future gives the work up.
    pub async fn score(&self, call: ScoreCall) -> Result<ScoreResponse, CallError> {
        let started = Instant::now();
        let ids: Vec<String> =
            call.examples.iter().map(|example| example.candidate.candidate_id.clone()).collect();
        let options = call.options;
        let Judged { model, scored } = self.judge(call).await?;
        let backend = model.backend().as_ref();
        let timings = timings(&scored, started.elapsed());
        let scores =
            ids.into_iter().zip(scored).map(|(id, scored)| score_of(backend, id, scored, options.per_turn));
        Ok(ScoreResponse { model: scored_by(backend), scores: scores.collect(), timings })
    }

    /// The same without the form of the answer.
    pub async fn judge(&self, call: ScoreCall) -> Result<Judged, CallError> {
        let ScoreCall { tenant, model, examples, options } = call;
        let pipeline = self.registry.find(model.as_deref())?;
        let time = options.deadline_ms.map_or(self.settings.deadline.0, Duration::from_millis).min(LONGEST);
        let job = Job {
            tenant,
            examples,
            options: PrepareOptions { max_tokens: options.max_tokens, condense: options.condense },
            lane: match options.priority {
                ScorePriority::Interactive => Lane::Interactive,
                ScorePriority::Batch => Lane::Batch,
            },
            deadline: tokio::time::Instant::now() + time,
        };
        let for_shadow = self.shadow_job(model.as_deref(), &job);
        let scored = pipeline.score(job).await?;
        if let Some((shadow, job, permit)) = for_shadow {
            let answered: Vec<Option<f64>> =
                scored.iter().map(|scored| probability(pipeline.backend().as_ref(), &scored.score)).collect();
            tokio::spawn(async move {
                compare(&shadow, job, &answered, time).await;
                drop(permit);
            });
        }
        Ok(Judged { model: pipeline, scored })
    }

    /// The same work for the shadow model, when it is to see the request.
    fn shadow_job(
        &self,
        model: Option<&str>,
        job: &Job,
    ) -> Option<(Arc<Pipeline>, Job, tokio::sync::OwnedSemaphorePermit)> {
        if !matches!(model, None | Some("active")) {
            return None;
        }
        let shadow = self.registry.shadow()?;
        let Ok(permit) = Arc::clone(&self.shadows).try_acquire_owned() else {
            counter!("verifier_shadow_total", "outcome" => "skipped").increment(1);
            return None;
        };
        Some((shadow, Job { lane: Lane::Batch, ..job.clone() }, permit))
    }
}

/// Scores with the shadow model and records how far it is from the answer.
async fn compare(shadow: &Pipeline, mut job: Job, answered: &[Option<f64>], time: Duration) {
    job.deadline = tokio::time::Instant::now() + time;
    // A shadow may be smaller than the active model: what it cannot read whole it reads condensed.
    job.options.condense = true;
    let outcome = match shadow.score(job).await {
        Ok(scored) => {
            for (answered, scored) in answered.iter().zip(&scored) {
                let probability = probability(shadow.backend().as_ref(), &scored.score);
                if let (Some(answered), Some(probability)) = (answered, probability) {
                    histogram!("verifier_shadow_difference").record((answered - probability).abs());
                }
            }
            "scored"
        }
        Err(error) => {
            tracing::debug!(%error, "the shadow model did not score");
            "failed"
        }
    };
    counter!("verifier_shadow_total", "outcome" => outcome).increment(1);
}

/// The probability of a score, where there is one.
pub fn probability(backend: &dyn Backend, score: &RawScore) -> Option<f64> {
    score.logit.map(|logit| backend.probability(logit).value)
}

/// The model as answers name it.
pub fn scored_by(backend: &dyn Backend) -> ScoredBy {
    let ModelInfo { name, revision, backend: kind, layout, trained, .. } = backend.info();
    ScoredBy {
        name: name.clone(),
        revision: revision.clone(),
        backend: kind.clone(),
        layout: layout.name().to_owned(),
        trained: *trained,
        calibrated: backend.probability(0.0).calibrated,
    }
}

fn score_of(backend: &dyn Backend, candidate_id: String, scored: Scored, per_turn: bool) -> CandidateScore {
    let probability = probability(backend, &scored.score);
    let Scored { score, tokens, condensed, cached, .. } = scored;
    let turn = |logit: f64| TurnScore { logit, probability: backend.probability(logit).value };
    let turns = if per_turn { score.turn_logits.into_iter().map(turn).collect() } else { Vec::new() };
    CandidateScore {
        candidate_id,
        probability,
        logit: score.logit,
        spread: score.spread,
        turns,
        labels: score.labels,
        tokens,
        condensed,
        cached,
        reason: if score.logit.is_none() { score.reason } else { None },
    }
}

/// The slowest of each part.
fn timings(scored: &[Scored], total: Duration) -> ScoreTimings {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let slowest = |part: fn(&Took) -> Duration| {
        ms(scored.iter().map(|scored| part(&scored.took)).max().unwrap_or_default())
    };
    ScoreTimings {
        prepare_ms: slowest(|took| took.prepare),
        queue_ms: slowest(|took| took.queue),
        model_ms: slowest(|took| took.model),
        total_ms: ms(total),
    }
}

/// What a failed call is to a client. `fields` names the examples, in their order.
pub fn problem(error: CallError, fields: &[String]) -> Problem {
    use server::Kind;
    let error = match error {
        CallError::Model(error) => return crate::http::errors::registry(error),
        CallError::Score(error) => error,
    };
    match error {
        ScoreError::TooLong(errors) => {
            let detail = match errors.as_slice() {
                [(_, only)] => only.to_string(),
                several => format!(
                    "{} candidates are too long; send `condense: true` to have them shortened by rule",
                    several.len()
                ),
            };
            let mut problem = Problem::new(Kind::InvalidField, detail);
            for (index, error) in errors {
                let field = fields.get(index).cloned().unwrap_or_else(|| format!("candidates[{index}]"));
                problem = problem.with_error(field, error.to_string());
            }
            problem
        }
        ScoreError::TooLarge { .. } => Problem::too_large("candidates", error.to_string()),
        ScoreError::Busy { retry_after } => {
            Problem::new(Kind::Overloaded, error.to_string()).with_retry_after(retry_after)
        }
        ScoreError::Deadline => Problem::new(Kind::DeadlinePassed, error.to_string()),
        ScoreError::Unavailable(_) => Problem::new(Kind::Unavailable, error.to_string()),
    }
}
