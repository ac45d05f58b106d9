//! Scoring the candidates that were read, before selecting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use common::Degraded;
use futures_util::{StreamExt as _, stream};
use selector::http::{ScoreRequest, Scorer, Scores};
use store::Tenant;

use super::DEADLINE;
use crate::input::group::Issue;
use crate::output::progress::Progress;

/// Issues that are scored at a time.
const AT_A_TIME: usize = 4;

/// Asks for the scores that the issues' evidence lacks and adds them; what went wrong comes back, by issue. The issues
/// must have been read with whole candidates.
pub fn score_all(
    issues: &mut BTreeMap<String, Issue>,
    scorer: &Arc<dyn Scorer>,
    quiet: bool,
) -> Result<BTreeMap<String, Vec<Degraded>>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let progress = Progress::new("scoring", issues.len(), quiet);
    let mut notes = BTreeMap::new();
    runtime.block_on(async {
        let asked = issues.iter_mut().map(|(id, issue)| async {
            let request = request(issue);
            let scored = if request.candidates.is_empty() {
                Ok(Scores::default())
            } else {
                scorer.score(request).await
            };
            progress.step();
            match scored {
                Ok(scores) => {
                    issue.evidence.scores.extend(scores.scores);
                    (id.clone(), scores.notes)
                }
                Err(error) => (id.clone(), vec![format!("{error}; selected without its scores")]),
            }
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);
        while let Some((id, lines)) = answers.next().await {
            if !lines.is_empty() {
                let note = |detail| Degraded { evidence: "verifier".to_owned(), detail };
                notes.insert(id, lines.into_iter().map(note).collect());
            }
        }
    });
    progress.finish();
    Ok(notes)
}

/// The candidates that nobody has scored.
fn request(issue: &Issue) -> ScoreRequest {
    let scored: BTreeSet<&str> =
        issue.evidence.scores.iter().map(|score| score.candidate_id.as_str()).collect();
    let candidates = issue.whole().filter(|candidate| !scored.contains(candidate.candidate_id.as_str()));
    ScoreRequest {
        tenant: Tenant::DEFAULT,
        instance_id: issue.pool.instance_id.as_str().into(),
        issue: issue.pool.issue.clone(),
        candidates: candidates.map(Arc::new).collect(),
        deadline: Instant::now() + DEADLINE.0,
        request_id: None,
    }
}
