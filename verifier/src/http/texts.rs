//! Raw texts instead of trajectories, as clients of rerankers and classifiers send them.
//!
//! A query is the text of an issue. A text that holds a git diff is a run that handed in this patch; any other text is
//! what an agent said last before it was done.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::Extension;
use common::{
    Candidate, ExitStatus, Role, Trajectory, Turn,
    score::{ScoreOptions, ScorePriority},
};
use serde::{Deserialize, Serialize};
use server::{Problem, observe::RequestId};
use store::Tenant;
use utoipa::ToSchema;

use crate::{
    Example, Service,
    service::{Judged, ScoreCall, problem},
};

/// One text or several.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(super) enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Tokens that were read, as OpenAI's API counts them.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of OpenAI's API")]
pub(super) struct Usage {
    /// Tokens that the model read.
    prompt_tokens: usize,
    /// The same: nothing is generated.
    total_tokens: usize,
    /// Always 0.
    completion_tokens: usize,
}

impl Usage {
    pub(super) fn of(judged: &Judged) -> Self {
        let tokens = judged.scored.iter().map(|scored| scored.tokens).sum();
        Self { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0 }
    }
}

/// What a text stands for.
pub(super) fn example(index: usize, query: &Arc<str>, text: String) -> Example {
    let turn = |role, content| Turn { role, content, ..Turn::default() };
    let mut turns = Vec::new();
    if !query.is_empty() {
        turns.push(turn(Role::User, query.to_string()));
    }
    let patch = if is_patch(&text) {
        Some(text)
    } else {
        turns.push(turn(Role::Assistant, text));
        None
    };
    let trajectory = Trajectory { turns, patch, exit: ExitStatus::Submitted, ..Trajectory::default() };
    let candidate = Candidate { candidate_id: index.to_string(), trajectory };
    Example { issue: Arc::clone(query), candidate: Arc::new(candidate) }
}

/// Whether a text is a git or unified diff, perhaps with words before it.
fn is_patch(text: &str) -> bool {
    let mut after_old = false;
    text.lines().any(|line| {
        let new = after_old && line.starts_with("+++ ");
        after_old = line.starts_with("--- ");
        new || line.starts_with("diff --git ")
    })
}

/// Scores texts with a model. `fields` names them, in their order; `max_tokens` comes with its field's name.
pub(super) async fn judge(
    service: &Service,
    tenant: Tenant,
    model: Option<String>,
    examples: Vec<Example>,
    fields: Vec<String>,
    max_tokens: (&str, Option<usize>),
) -> Result<Judged, Problem> {
    let (field, max_tokens) = max_tokens;
    if max_tokens == Some(0) {
        return Err(Problem::field(field, "is 0, it must be at least 1"));
    }
    let limit = service.settings.candidates;
    if examples.len() > limit {
        let message = format!("are {}, the limit of one request is {limit}", examples.len());
        return Err(Problem::too_large(fields.first().map_or("body", |field| base(field)), message));
    }
    let options = ScoreOptions {
        // These clients cannot ask for it, and their own servers cut what is too long as well.
        condense: max_tokens.is_some(),
        max_tokens,
        priority: ScorePriority::Interactive,
        ..ScoreOptions::default()
    };
    let call = ScoreCall { tenant, model, examples, options };
    service.judge(call).await.map_err(|error| problem(error, &fields))
}

/// `documents` of `documents[3]`.
fn base(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

/// Refuses an empty list.
pub(super) fn some(field: &str, texts: &[String]) -> Result<(), Problem> {
    if texts.is_empty() { Err(Problem::field(field, "is empty")) } else { Ok(()) }
}

/// An id for an answer, as clients expect one: the request's.
pub(super) fn answer_id(prefix: &str, request: Option<&Extension<RequestId>>) -> String {
    match request {
        Some(Extension(id)) => format!("{prefix}-{}", id.as_str()),
        None => format!("{prefix}-{}", uuid::Uuid::now_v7()),
    }
}

/// Seconds since 1970.
pub(super) fn created() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_become_patches_and_other_texts_last_words() {
        let query: Arc<str> = "it breaks".into();
        let run = |text: &str| example(0, &query, text.to_owned()).candidate.trajectory.clone();
        let patch = run("Here it is:\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
        assert!(patch.patch.is_some() && patch.turns.len() == 1);
        assert!(run("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n").patch.is_some());
        let words = run("I fixed it.\n--- \nreally");
        assert_eq!(
            (words.patch.as_deref(), words.turns[1].content.as_str()),
            (None, "I fixed it.\n--- \nreally")
        );
        let alone = example(3, &"".into(), "done".into());
        assert_eq!((alone.candidate.trajectory.turns.len(), alone.candidate.candidate_id.as_str()), (1, "3"));
    }
}
