//! The verifier service as a [`Scorer`].

mod chunks;
mod join;
mod settings;

pub use settings::VerifierSettings;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use common::{
    Candidate,
    formats::parse_json,
    score::{BeyondFacts, ScoreOptions, ScoreRequest as Body, ScoreResponse},
};
use futures_util::future::{self, BoxFuture, join_all};
use http::{HeaderMap, HeaderValue, StatusCode};
use server::{
    auth::TENANT,
    observe::REQUEST_ID,
    outgoing::{CallError, Client, Reply, TargetError},
};

use self::join::Joined;
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

    /// Writes candidates and frame. Megabytes, so not on an async thread.
    fn write(&self, request: &ScoreRequest) -> Written {
        let candidates: Vec<Vec<u8>> = request
            .candidates
            .iter()
            .map(|candidate| {
                serde_json::to_vec(&**candidate)
                    .expect("a candidate is serialisable: string keys, finite numbers")
            })
            .collect();
        let sizes: Vec<usize> = candidates.iter().map(Vec::len).collect();
        let left = request.deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        let frame = Body {
            model: self.model.as_deref(),
            instance_id: &request.instance_id,
            issue: request.issue.as_deref(),
            candidates: Vec::new(),
            options: ScoreOptions {
                condense: true,
                deadline_ms: Some(left.max(1)),
                ..ScoreOptions::default()
            },
        };
        let frame =
            serde_json::to_string(&frame).expect("a request is serialisable: string keys, no numbers");
        let chunks = chunks::cut(&sizes, self.most.saturating_sub(frame.len()));
        Written { frame, candidates, chunks }
    }
}

/// A pool as JSON, in pieces.
struct Written {
    /// A request without candidates.
    frame: String,
    candidates: Vec<Vec<u8>>,
    chunks: chunks::Chunks,
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
        let written = server::trace::blocking(move || this.write(&shared));
        let written = written.await.map_err(|error| ScorerError::Refused(error.to_string()))?;
        let mut headers = HeaderMap::new();
        if let Some(id) = request.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(REQUEST_ID, id);
        }
        // Only where it makes a difference: it takes an administrator's token.
        if !request.tenant.is_default()
            && let Ok(name) = HeaderValue::from_str(request.tenant.as_str())
        {
            headers.insert(TENANT, name);
        }
        let asked = Asked { request: &request, written: &written, headers, beyond: beyond(&request) };
        let chunks = &written.chunks;
        let answers = join_all(chunks.runs.iter().map(|run| self.ask(&asked, run.clone()))).await;
        let mut all = Joined::default();
        let mut failed = None;
        for (run, answer) in chunks.runs.iter().zip(answers) {
            match answer {
                Ok(joined) => all.add(joined),
                Err(error) => {
                    all.miss(error.to_string(), run.len());
                    failed.get_or_insert(error);
                }
            }
        }
        let reason = format!("a request may hold {} bytes (key verifier.request)", self.most);
        all.miss(reason, chunks.too_large.len());
        match failed {
            Some(error) if all.scores.is_empty() => Err(error),
            _ => Ok(all.into_scores(request.candidates.len())),
        }
    }
}

/// What all requests for a pool share.
struct Asked<'a> {
    request: &'a ScoreRequest,
    written: &'a Written,
    headers: HeaderMap,
    beyond: BeyondFacts,
}

impl HttpScorer {
    /// Asks about a run of candidates. Where the verifier refuses several together, each half is asked about by itself,
    /// so that one that it will not read costs the others nothing.
    fn ask<'a>(
        &'a self,
        asked: &'a Asked<'_>,
        run: Range<usize>,
    ) -> BoxFuture<'a, Result<Joined, ScorerError>> {
        Box::pin(async move {
            match self.post(asked, run.clone()).await {
                Ok(reply) => {
                    let candidates = &asked.request.candidates[run];
                    read(&reply, candidates, asked.beyond)
                }
                Err(error) if run.len() > 1 && is_of_content(&error) => {
                    let middle = run.start + run.len() / 2;
                    let (left, right) =
                        future::join(self.ask(asked, run.start..middle), self.ask(asked, middle..run.end))
                            .await;
                    let mut both = left.or_else(|error| refused(error, middle - run.start))?;
                    both.add(right.or_else(|error| refused(error, run.end - middle))?);
                    Ok(both)
                }
                Err(error) if is_of_content(&error) => refused(failed(&error), run.len()),
                Err(error) => Err(failed(&error)),
            }
        })
    }

    async fn post(&self, asked: &Asked<'_>, run: Range<usize>) -> Result<Reply, CallError> {
        let body = body(&asked.written.frame, &asked.written.candidates[run]);
        self.client.post("/v1/score", body.into(), &asked.headers, asked.request.deadline).await
    }
}

/// The answer of a verifier in this process, joined to the candidates of a request as one over HTTP is.
pub fn join_scores(request: &ScoreRequest, answer: ScoreResponse) -> Result<Scores, ScorerError> {
    let beyond = beyond(request);
    Ok(join_to(&request.candidates, answer, beyond)?.into_scores(request.candidates.len()))
}

fn beyond(request: &ScoreRequest) -> BeyondFacts {
    BeyondFacts::of(request.candidates.iter().map(AsRef::as_ref))
}

/// Joins an answer to candidates, some of all of the issue; scores that are of no use are left aside.
fn join_to(
    candidates: &[Arc<Candidate>],
    mut answer: ScoreResponse,
    beyond: BeyondFacts,
) -> Result<Joined, ScorerError> {
    let wanted: BTreeSet<&str> = candidates.iter().map(|one| one.candidate_id.as_str()).collect();
    if answer.model.is_of_facts() {
        let reasons = candidates.iter().map(|one| (one.candidate_id.as_str(), beyond.reason(one)));
        let aside: BTreeMap<&str, Option<&str>> = reasons.collect();
        for entry in &mut answer.scores {
            if let Some(&Some(reason)) = aside.get(entry.candidate_id.as_str()) {
                (entry.probability, entry.logit) = (None, None);
                entry.reason = Some(reason.to_owned());
            }
        }
    }
    join::join(&wanted, answer)
}

/// Whether the verifier will not read what was sent, or not so much of it.
fn is_of_content(error: &CallError) -> bool {
    let of_content = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
    matches!(error, CallError::Refused { status, .. } if of_content.contains(status))
}

/// A refusal of some candidates as a gap in the answer; other errors stay errors.
fn refused(error: ScorerError, count: usize) -> Result<Joined, ScorerError> {
    let ScorerError::Refused(_) = error else { return Err(error) };
    let mut joined = Joined::default();
    joined.miss(error.to_string(), count);
    Ok(joined)
}

fn read(reply: &Reply, candidates: &[Arc<Candidate>], beyond: BeyondFacts) -> Result<Joined, ScorerError> {
    let wrong = |error: serde_json::Error| {
        ScorerError::Unavailable(format!("its answer is no list of scores: {error}"))
    };
    // Python's NaN is read as null: no score.
    let answer = parse_json(&reply.body).map_err(wrong)?;
    join_to(candidates, serde_json::from_value(answer).map_err(wrong)?, beyond)
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
    use common::{Candidate, Trajectory};

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
            tenant: store::Tenant::DEFAULT,
        };
        let made = scorer.write(&request);
        assert_eq!(made.chunks.too_large, [3]);
        let mut seen = Vec::new();
        for run in &made.chunks.runs {
            let body = body(&made.frame, &made.candidates[run.clone()]);
            assert!(body.len() <= 2500);
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
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
