//! The two forms of a request and how they are told apart.

use common::score::{ScoreOptions, ScoreResponse};
use serde::{Deserialize, Serialize};
use server::{
    Problem,
    intake::{CandidateIn, FileIn},
};
use utoipa::ToSchema;

use super::pairs::PairScores;
use crate::http::texts::Texts;

/// Candidates of one issue, to be scored.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "instance_id": "acme__tool-7",
    "issue": "`tool --count 0` prints nothing",
    "candidates": [
        {
            "candidate_id": "run-1",
            "patch": "diff --git a/tool.py b/tool.py\n--- a/tool.py\n+++ b/tool.py\n@@ -1 +1 @@\n-if count:\n+if count is not None:\n",
            "exit": "submitted",
            "steps": 21
        },
        {"candidate_id": "run-2", "patch": "", "exit": "limit", "steps": 100}
    ],
    "options": {"condense": true}
}))]
pub(super) struct ScoreCandidates {
    /// Name or alias of the model; the active one when it is left out.
    pub(super) model: Option<String>,
    /// The issue, such as `django__django-11099`; that of the candidates when it is left out.
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    pub(super) instance_id: Option<String>,
    /// The text of the issue; that of the candidates, or the one that is stored, when it is left out.
    pub(super) issue: Option<String>,
    /// Candidates in EntroPO's own form.
    #[schema(required = false)]
    pub(super) candidates: Vec<CandidateIn>,
    /// Files of any format that agents and harnesses write.
    #[schema(required = false)]
    pub(super) files: Vec<FileIn>,
    /// How to score.
    #[schema(required = false)]
    pub(super) options: ScoreOptions,
}

/// Pairs of texts, to be scored, in vLLM's form.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "text_1": "`tool --count 0` prints nothing",
    "text_2": ["I handle 0 as a count now and the tests pass.", "I could not find the cause."]
}))]
pub(super) struct ScoreTexts {
    /// Name or alias of the model; the active one when it is left out.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// The text of the issue: one for all of `text_2`, or one each. Also called `queries`.
    #[serde(alias = "queries")]
    pub(super) text_1: Texts,
    /// Patches, or what agents said last. Also called `documents`.
    #[serde(alias = "documents")]
    pub(super) text_2: Texts,
    /// Tokens of one text at most; longer ones are condensed.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub(super) truncate_prompt_tokens: Option<usize>,
}

/// What `/v1/score` takes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ScoreAsk {
    /// Candidates of one issue.
    #[expect(dead_code, reason = "documents what `ScoreBody` reads")]
    Candidates(ScoreCandidates),
    /// Pairs of texts.
    #[expect(dead_code, reason = "documents what `ScoreBody` reads")]
    Texts(ScoreTexts),
}

/// What `/v1/score` answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ScoreAnswer {
    /// To candidates.
    #[expect(dead_code, reason = "documents what is answered")]
    Candidates(ScoreResponse),
    /// To pairs of texts.
    #[expect(dead_code, reason = "documents what is answered")]
    Texts(PairScores),
}

/// Both forms in one, so that a large body is read once and a mistake is named by its field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoreBody {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    issue: Option<String>,
    #[serde(default)]
    candidates: Option<Vec<CandidateIn>>,
    #[serde(default)]
    files: Option<Vec<FileIn>>,
    #[serde(default)]
    options: Option<ScoreOptions>,
    #[serde(default, alias = "queries")]
    text_1: Option<Texts>,
    #[serde(default, alias = "documents")]
    text_2: Option<Texts>,
    #[serde(default)]
    truncate_prompt_tokens: Option<usize>,
}

/// Which form it is.
#[derive(Debug)]
pub(super) enum Ask {
    Candidates(Box<ScoreCandidates>),
    Texts(ScoreTexts),
}

impl ScoreBody {
    /// Tells the forms apart by their fields.
    pub(super) fn ask(self) -> Result<Ask, Problem> {
        let Self { model, text_1, text_2, truncate_prompt_tokens, .. } = self;
        if text_1.is_none() && text_2.is_none() && truncate_prompt_tokens.is_none() {
            return Ok(Ask::Candidates(Box::new(ScoreCandidates {
                model,
                instance_id: self.instance_id,
                issue: self.issue,
                candidates: self.candidates.unwrap_or_default(),
                files: self.files.unwrap_or_default(),
                options: self.options.unwrap_or_default(),
            })));
        }
        let other = [
            ("instance_id", self.instance_id.is_some()),
            ("issue", self.issue.is_some()),
            ("candidates", self.candidates.is_some()),
            ("files", self.files.is_some()),
            ("options", self.options.is_some()),
        ];
        if let Some((field, _)) = other.into_iter().find(|(_, given)| *given) {
            return Err(Problem::field(field, "cannot be given together with pairs of texts"));
        }
        let text_1 = text_1.ok_or_else(|| Problem::field("text_1", "is missing"))?;
        let text_2 = text_2.ok_or_else(|| Problem::field("text_2", "is missing"))?;
        Ok(Ask::Texts(ScoreTexts { model, text_1, text_2, truncate_prompt_tokens }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<Ask, Problem> {
        serde_json::from_str::<ScoreBody>(text).unwrap().ask()
    }

    #[test]
    fn the_forms_are_told_by_their_fields() {
        assert!(matches!(ask(r#"{"candidates": []}"#), Ok(Ask::Candidates(_))));
        assert!(matches!(ask("{}"), Ok(Ask::Candidates(_))));
        assert!(matches!(ask(r#"{"text_1": "a", "text_2": ["b"]}"#), Ok(Ask::Texts(_))));
        assert!(matches!(ask(r#"{"queries": "a", "documents": "b", "model": "m"}"#), Ok(Ask::Texts(_))));
        for (text, field) in [
            (r#"{"text_1": "a"}"#, "text_2"),
            (r#"{"documents": "a"}"#, "text_1"),
            (r#"{"text_1": "a", "text_2": "b", "candidates": []}"#, "candidates"),
            (r#"{"text_1": "a", "text_2": "b", "options": {}}"#, "options"),
        ] {
            let problem = ask(text).unwrap_err();
            assert!(problem.detail().starts_with(&format!("{field}: ")), "{text}: {}", problem.detail());
        }
    }
}
