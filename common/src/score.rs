//! A learned verifier's opinion of candidates: what selection takes, and what the verifier's `POST /v1/score` speaks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Candidate;

/// The score of one candidate, joined by id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifierScore {
    /// The candidate.
    pub candidate_id: String,
    /// Probability in [0, 1] that it resolves the issue; null when the verifier could not say.
    pub probability: Option<f64>,
    /// The raw logit, where the verifier gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit: Option<f64>,
    /// Standard error or disagreement of the logit, where the verifier gives one; finite and not negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// The model revision that made the score.
    #[serde(default)]
    pub revision: String,
}

/// Body of the verifier's `POST /v1/score` as a client sends it: borrowed, because trajectories are megabytes.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreRequest<'a> {
    /// Name or alias of the model; the active one when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The issue's identifier.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub instance_id: &'a str,
    /// The issue's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<&'a str>,
    /// Whom to score; their ids are unique.
    pub candidates: Vec<&'a Candidate>,
    /// How to score.
    pub options: ScoreOptions,
}

/// Wishes about scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreOptions {
    /// Whether an over-long trajectory may be condensed; it is refused otherwise.
    pub condense: bool,
    /// Tokens of one trajectory at most; the model's own limit also holds.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Milliseconds after which nobody waits for the answer any more.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Who goes first.
    pub priority: ScorePriority,
    /// Whether the score at the end of every assistant turn is wanted.
    pub per_turn: bool,
}

/// The lane of a request.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScorePriority {
    /// Somebody waits.
    #[default]
    Interactive,
    /// Whenever there is room.
    Batch,
}

/// Answer of `POST /v1/score`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreResponse {
    /// The model that scored.
    pub model: ScoredBy,
    /// One entry a candidate, joined by id.
    pub scores: Vec<CandidateScore>,
    /// Where the time went.
    #[serde(default)]
    pub timings: ScoreTimings,
}

/// The model behind a score.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScoredBy {
    /// Its name.
    pub name: String,
    /// Its exact contents.
    pub revision: String,
    /// What runs it: `linear`, `burn` or `openai`.
    pub backend: String,
    /// How its input is laid out, such as `compact-v1`.
    pub layout: String,
    /// False for a placeholder that has learned nothing: its scores are not to be used.
    pub trained: bool,
    /// Whether probabilities were calibrated on labelled runs, rather than being the logistic function of the logit.
    pub calibrated: bool,
}

/// Why selection leaves the score of a bare patch by a model of facts aside.
const BARE_PATCH: &str =
    "it has no conversation, and of a bare patch the ranker knows more than the built-in verifier";

/// Why it leaves those of an issue in another language aside.
const OTHER_LANGUAGE: &str = "few of the issue's patches change Python, and the built-in verifier has learned too little of other languages";

/// What selection leaves aside of what a model of facts (layout `features-v1`) says of the candidates of an issue.
///
/// Measured on labelled pools (`docs/linear.md`): of bare patches it takes from the ranker, which sees each patch against
/// its pool; of Java, of which few labelled runs exist, its scores are no better than chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeyondFacts {
    other_language: bool,
}

impl BeyondFacts {
    /// Looks at all candidates of an issue: a single run in another language may well write a script in Python.
    pub fn of<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let (mut python, mut all) = (0, 0);
        for candidate in candidates {
            let mut named = candidate.trajectory.patch_text().lines().filter_map(changed_path).peekable();
            if named.peek().is_some() {
                all += 1;
                python += usize::from(named.any(is_python));
            }
        }
        Self { other_language: all > 0 && 2 * python < all }
    }

    /// Why the score of one of them is left aside, if it is.
    pub fn reason(self, candidate: &Candidate) -> Option<&'static str> {
        if candidate.trajectory.turns.is_empty() {
            return Some(BARE_PATCH);
        }
        self.other_language.then_some(OTHER_LANGUAGE)
    }
}

/// The path in a line that names a file before or after its change.
fn changed_path(line: &str) -> Option<&str> {
    let path = line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- "))?;
    let path = path.split('\t').next().unwrap_or(path).trim_end().trim_matches('"');
    (path != "/dev/null").then_some(path)
}

fn is_python(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ["py", "pyi", "pyx"].contains(&ending)
}

impl ScoredBy {
    /// Whether it is a model of facts, of which [`BeyondFacts`] holds.
    pub fn is_of_facts(&self) -> bool {
        self.layout == "features-v1"
    }

    /// Name and revision in one word, as selections keep it: `linear@4f0c…`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.revision)
    }
}

/// What the model says of one candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CandidateScore {
    /// The candidate.
    pub candidate_id: String,
    /// Probability that it resolves the issue; null when the model could not say, and then `reason` says why.
    pub probability: Option<f64>,
    /// The raw logit; null as above.
    pub logit: Option<f64>,
    /// Standard error or disagreement of the logit, where the model gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// The score at the end of every assistant turn, oldest first, when asked for and the model gives it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<TurnScore>,
    /// Logits of all labels, for models with several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<f64>,
    /// Tokens that the model read.
    pub tokens: usize,
    /// What was left out of an over-long trajectory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condensed: Option<Condensed>,
    /// Whether the score came from the cache.
    pub cached: bool,
    /// Why there is no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The score of a run up to the end of one assistant turn.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct TurnScore {
    /// The raw logit.
    pub logit: f64,
    /// The same as a probability.
    pub probability: f64,
}

/// What was left out of an over-long trajectory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Condensed {
    /// Tokens it would have taken whole.
    pub full_tokens: usize,
    /// Turns (positions in the trajectory) whose observation was replaced, in the order in which that was done.
    pub turns: Vec<usize>,
    /// Assistant turns whose thought was replaced after that, in the order in which that was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thoughts: Vec<usize>,
    /// Tokens taken out in that way.
    pub removed_tokens: usize,
}

/// Milliseconds that parts of the work took, of the slowest candidate where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScoreTimings {
    /// Laying out and tokenising.
    pub prepare_ms: f64,
    /// Waiting for a place in a batch.
    pub queue_ms: f64,
    /// In the model.
    pub model_ms: f64,
    /// From the request's body to the answer.
    pub total_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_the_service_reads_it() {
        let candidate = Candidate { candidate_id: "a".into(), trajectory: crate::Trajectory::default() };
        let request = ScoreRequest {
            model: None,
            instance_id: "x__y-1",
            issue: Some("broken"),
            candidates: vec![&candidate],
            options: ScoreOptions { condense: true, deadline_ms: Some(500), ..ScoreOptions::default() },
        };
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(written["candidates"][0]["candidate_id"], "a");
        assert_eq!(written["options"]["priority"], "interactive");
        assert!(written.get("model").is_none() && written["options"].get("max_tokens").is_none());
    }

    #[test]
    fn what_a_model_of_facts_knows_nothing_of_is_left_aside() {
        let run = |turns: usize, patch: Option<&str>| Candidate {
            candidate_id: "a".into(),
            trajectory: crate::Trajectory {
                turns: vec![crate::Turn::default(); turns],
                patch: patch.map(str::to_owned),
                ..crate::Trajectory::default()
            },
        };
        let java = "--- a/src/A.java\n+++ b/src/A.java\n@@ -1 +1 @@\n-a\n+b\n";
        let new =
            "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/pkg/new.py\n@@ -0,0 +1 @@\n+x\n";
        let both = format!("{java}--- \"a/na\\303\\257f.pyx\"\t2026-01-01\n+++ /dev/null\n");
        let of = |patches: &[Option<&str>]| {
            BeyondFacts::of(&patches.iter().map(|patch| run(1, *patch)).collect::<Vec<_>>())
        };
        let python = of(&[Some(new), Some(java), Some(&both)]);
        assert_eq!([0, 1].map(|turns| python.reason(&run(turns, Some(java)))), [Some(BARE_PATCH), None]);
        let other = of(&[Some(java), Some(java), Some(new), None, Some("")]);
        assert_eq!(other.reason(&run(1, Some(new))), Some(OTHER_LANGUAGE));
        assert_eq!(of(&[None, Some("")]).reason(&run(1, None)), None, "nothing tells of a language");
    }

    #[test]
    fn answers_of_later_versions_still_read() {
        let text = r#"{"model": {"name": "m", "revision": "1", "trained": true, "new": 1},
            "scores": [{"candidate_id": "a", "probability": null, "reason": "too long", "more": []}], "extra": {}}"#;
        let read: ScoreResponse = serde_json::from_str(text).unwrap();
        assert_eq!(read.model.label(), "m@1");
        assert_eq!((read.scores[0].probability, read.scores[0].reason.as_deref()), (None, Some("too long")));
    }
}
