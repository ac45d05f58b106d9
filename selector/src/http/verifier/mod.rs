//! The verifier service as a [`Scorer`].

mod chunks;
mod join;
mod settings;

pub use settings::VerifierSettings;

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Instant};

use async_trait::async_trait;
use common::{
    Candidate,
    formats::parse_json,
    score::{ScoreOptions, ScoreRequest as Body, ScoreResponse},
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use server::{
    observe::REQUEST_ID,
    outgoing::{CallError, Client, TargetError},
};

use super::scorer::{ScoreRequest, Scorer, ScorerError, Scores};

/// Why the verifier's address or token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The address or token does not fit.
    #[error("verifier.url: {0}")]
    Target(#[from] TargetError),
    /// The file with the token cannot be read.
    #[error("verifier.token_file: cannot read {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Asks a verifier service over HTTP.
#[derive(Debug, Clone)]
pub struct HttpScorer {
    client: Client,
    model: Option<Arc<str>>,
    most: usize,
}

impl HttpScorer {
    /// Checks the settings; `None` when they name no verifier. Nothing is called yet.
    pub fn new(settings: &VerifierSettings) -> Result<Option<Self>, ConfigureError> {
        if settings.url.trim().is_empty() {
            return Ok(None);
        }
        let client = Client::new(settings.target()?)?;
        let model = Some(settings.model.trim()).filter(|name| !name.is_empty()).map(Arc::from);
        Ok(Some(Self { client, model, most: settings.request.as_usize() }))
    }

    /// The requests for a pool: which candidates, and the body. Megabytes are written, so not on an async thread.
    fn requests(&self, request: &ScoreRequest) -> Requests {
        let written: Vec<Vec<u8>> = request
            .candidates
            .iter()
            .map(|candidate| {
                serde_json::to_vec(&**candidate)
                    .expect("a candidate is serialisable: string keys, finite numbers")
            })
            .collect();
        let sizes: Vec<usize> = written.iter().map(Vec::len).collect();
        let left = request.deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        let frame = Body {
            model: self.model.as_deref(),
            instance_id: &request.instance_id,
            issue: request.issue.as_deref(),
            candidates: Vec::<&Candidate>::new(),
            options: ScoreOptions {
                condense: true,
                deadline_ms: Some(left.max(1)),
                ..ScoreOptions::default()
            },
        };
        let frame =
            serde_json::to_string(&frame).expect("a request is serialisable: string keys, no numbers");
        let chunks = chunks::cut(&sizes, self.most.saturating_sub(frame.len()));
        let bodies = chunks.runs.iter().map(|run| body(&frame, &written[run.clone()])).collect();
        Requests { chunks, bodies }
    }
}

/// The requests for a pool.
struct Requests {
    chunks: chunks::Chunks,
    bodies: Vec<Vec<u8>>,
}

/// Puts candidates that are written already into the empty list of a request.
fn body(frame: &str, candidates: &[Vec<u8>]) -> Vec<u8> {
    const LIST: &str = r#""candidates":["#;
    // The issue may hold the same words, but not unescaped: the last field before the options is the real one.
    let at = frame.rfind(LIST).map_or(frame.len(), |at| at + LIST.len());
    let mut body =
        Vec::with_capacity(frame.len() + candidates.iter().map(|one| one.len() + 1).sum::<usize>());
    body.extend_from_slice(&frame.as_bytes()[..at]);
    for (number, candidate) in candidates.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(candidate);
    }
    body.extend_from_slice(&frame.as_bytes()[at..]);
    body
}

#[async_trait]
impl Scorer for HttpScorer {
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError> {
        let request = Arc::new(request);
        let (this, shared) = (self.clone(), Arc::clone(&request));
        let Requests { chunks, bodies } = tokio::task::spawn_blocking(move || this.requests(&shared))
            .await
            .map_err(|error| ScorerError::Refused(error.to_string()))?;
        let mut headers = HeaderMap::new();
        if let Some(id) = request.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(REQUEST_ID, id);
        }
        let answers = join_all(chunks.runs.iter().zip(bodies).map(|(run, body)| {
            let candidates = &request.candidates[run.clone()];
            self.ask(candidates, body, &headers, request.deadline)
        }));
        let count = request.candidates.len();
        let mut all = Scores::default();
        let mut failed = None;
        for (run, answer) in chunks.runs.iter().zip(answers.await) {
            match answer {
                Ok(scores) => {
                    all.scores.extend(scores.scores);
                    all.notes.extend(scores.notes);
                }
                Err(error) => {
                    all.notes.push(join::note(run.len(), count, &error.to_string()));
                    failed.get_or_insert(error);
                }
            }
        }
        if !chunks.too_large.is_empty() {
            let reason = format!("a request may hold {} bytes (key verifier.request)", self.most);
            all.notes.push(join::note(chunks.too_large.len(), count, &reason));
        }
        match failed {
            Some(error) if all.scores.is_empty() => Err(error),
            _ => Ok(all),
        }
    }
}

impl HttpScorer {
    async fn ask(
        &self,
        candidates: &[Arc<Candidate>],
        body: Vec<u8>,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Scores, ScorerError> {
        let reply = self
            .client
            .post("/v1/score", body.into(), headers, deadline)
            .await
            .map_err(|error| failed(&error))?;
        let wrong = |error: serde_json::Error| {
            ScorerError::Unavailable(format!("its answer is no list of scores: {error}"))
        };
        // Python's NaN is read as null: no score.
        let answer = parse_json(&reply.body).map_err(wrong)?;
        let answer: ScoreResponse = serde_json::from_value(answer).map_err(wrong)?;
        let wanted: BTreeSet<&str> = candidates.iter().map(|one| one.candidate_id.as_str()).collect();
        join::join(&wanted, answer)
    }
}

fn failed(error: &CallError) -> ScorerError {
    if error.is_transient() {
        ScorerError::Unavailable(error.to_string())
    } else {
        ScorerError::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use common::Trajectory;

    use super::*;

    fn candidate(id: &str, patch: &str) -> Arc<Candidate> {
        let trajectory = Trajectory { patch: Some(patch.into()), ..Trajectory::default() };
        Arc::new(Candidate { candidate_id: id.into(), trajectory })
    }

    #[test]
    fn bodies_are_the_request_cut_into_pieces() {
        let settings = VerifierSettings {
            url: "http://h".into(),
            model: "active".into(),
            ..VerifierSettings::default()
        };
        let mut scorer = HttpScorer::new(&settings).unwrap().unwrap();
        scorer.most = 2500;
        let long = "x".repeat(1500);
        let huge = "x".repeat(5000);
        let request = ScoreRequest {
            instance_id: "a__b-1".into(),
            issue: Some(r#"{"candidates":[]}"#.into()),
            candidates: [("a", "1"), ("b", &long), ("c", &long), ("d", &huge), ("e", "2")]
                .map(|(id, patch)| candidate(id, patch))
                .to_vec(),
            deadline: Instant::now(),
            request_id: None,
        };
        let made = scorer.requests(&request);
        assert_eq!(made.chunks.too_large, [3]);
        let mut seen = Vec::new();
        for body in &made.bodies {
            let read: serde_json::Value = serde_json::from_slice(body).unwrap();
            assert_eq!((&read["model"], &read["issue"]), (&"active".into(), &r#"{"candidates":[]}"#.into()));
            assert_eq!(read["options"]["condense"], true);
            for one in read["candidates"].as_array().unwrap() {
                seen.push(serde_json::from_value::<Candidate>(one.clone()).unwrap());
            }
        }
        let wanted: Vec<Candidate> =
            [0, 1, 2, 4].map(|at| Candidate::clone(&request.candidates[at])).to_vec();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn without_an_address_there_is_no_verifier() {
        assert!(HttpScorer::new(&VerifierSettings::default()).unwrap().is_none());
        let wrong = VerifierSettings { url: "verifier:8082".into(), ..VerifierSettings::default() };
        assert!(HttpScorer::new(&wrong).unwrap_err().to_string().starts_with("verifier.url"));
    }
}
