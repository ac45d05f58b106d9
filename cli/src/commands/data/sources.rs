//! Where runs come from: files, or the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use common::{Candidate, Outcome};
use futures_util::TryStreamExt;
use patch::Digest;
use store::{ConnectOptions, ContentId, Store, Tenant, connect, labelled_issues};
use tokio::runtime::Runtime;
use trainer::data::Run;

use crate::input::group::Issue;
use crate::service::{self, Settings};

/// Runs to choose from, without their conversations where these are in a store.
#[derive(Debug)]
pub(super) struct Source {
    /// What is known of them.
    pub(super) runs: Vec<Run>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Files {
        issues: BTreeMap<String, Issue>,
        /// The candidate of each run.
        ids: Vec<String>,
    },
    Store {
        store: Arc<dyn Store>,
        tenant: Tenant,
        runtime: Runtime,
        ids: Vec<ContentId>,
    },
}

/// Whether a label says that the issue is resolved; a reward of 1 does.
fn resolved(resolved: Option<bool>, reward: Option<f64>) -> Option<bool> {
    resolved.or(reward.map(|reward| reward >= 1.0))
}

impl Source {
    /// The runs of issues that were read whole, with their labels.
    pub(super) fn of_files(issues: BTreeMap<String, Issue>) -> Self {
        let (mut runs, mut ids) = (Vec::new(), Vec::new());
        for (instance_id, issue) in &issues {
            let scores: BTreeMap<&str, Option<f64>> = issue
                .evidence
                .scores
                .iter()
                .map(|score| (score.candidate_id.as_str(), score.logit.or(score.probability)))
                .collect();
            for candidate in issue.whole() {
                let Candidate { candidate_id, trajectory } = candidate;
                let outcome = issue.details.get(&candidate_id).and_then(|details| details.outcome.as_deref());
                runs.push(Run {
                    id: trajectory.content_id(),
                    instance_id: instance_id.clone(),
                    prompt: trajectory.prompt_id(),
                    exit: trajectory.exit,
                    resolved: outcome
                        .and_then(|Outcome { resolved: label, reward, .. }| resolved(*label, *reward)),
                    score: scores.get(candidate_id.as_str()).copied().flatten(),
                });
                ids.push(candidate_id);
            }
        }
        Self { runs, origin: Origin::Files { issues, ids } }
    }

    /// The labelled runs of the configured store.
    pub(super) fn of_store(settings: &Settings, tenant: &Tenant) -> Result<Self> {
        let runtime = service::runtime()?;
        let (store, labelled) = runtime.block_on(async {
            let store = connect(&settings.database.address()?, &ConnectOptions::default())
                .await
                .with_context(|| format!("cannot open the database {}", settings.database.redacted()))?;
            let issues: Vec<_> = labelled_issues(store.as_ref(), tenant).try_collect().await?;
            anyhow::Ok((store, issues))
        })?;
        let (mut runs, mut ids) = (Vec::new(), Vec::new());
        for candidate in labelled.into_iter().flat_map(|issue| issue.candidates) {
            runs.push(Run {
                id: candidate.content_id.to_string(),
                instance_id: candidate.instance_id,
                prompt: candidate.prompt_id,
                exit: candidate.exit,
                resolved: resolved(candidate.resolved, candidate.reward),
                score: None,
            });
            ids.push(candidate.content_id);
        }
        Ok(Self { runs, origin: Origin::Store { store, tenant: tenant.clone(), runtime, ids } })
    }

    /// A run, whole.
    pub(super) fn candidate(&self, run: usize) -> Result<Candidate> {
        match &self.origin {
            Origin::Files { issues, ids } => {
                let (issue, id) = (&issues[&self.runs[run].instance_id], &ids[run]);
                let packed = issue.details.get(id).and_then(|details| details.whole.as_ref());
                let packed = packed.context("a candidate was not kept whole")?;
                Ok(Candidate { candidate_id: id.clone(), ..packed.unpack() })
            }
            Origin::Store { store, tenant, runtime, ids } => {
                let stored = runtime.block_on(store.candidate(tenant, ids[run]))?;
                Ok(Candidate { candidate_id: ids[run].to_string(), trajectory: stored.trajectory })
            }
        }
    }

    /// The text of an issue; empty where nobody has it.
    pub(super) fn issue(&self, instance_id: &str) -> Result<String> {
        match &self.origin {
            Origin::Files { issues, .. } => {
                let text = issues.get(instance_id).and_then(|issue| issue.pool.issue.as_deref());
                Ok(text.unwrap_or_default().to_owned())
            }
            Origin::Store { store, tenant, runtime, .. } => {
                let issue = runtime.block_on(store.issue(tenant, instance_id))?;
                Ok(issue.text.unwrap_or_default())
            }
        }
    }

    /// The digests of the runs' patches.
    pub(super) fn digests(&self) -> Result<Vec<Digest>> {
        match &self.origin {
            Origin::Files { .. } => (0..self.runs.len())
                .map(|run| Ok(Digest::of_text(self.candidate(run)?.trajectory.patch_text())))
                .collect(),
            Origin::Store { store, tenant, runtime, ids } => {
                let mut patches = BTreeMap::new();
                for page in ids.chunks(256) {
                    for (info, patch) in runtime.block_on(store.candidate_patches(tenant, page))? {
                        patches.insert(info.id, Digest::of_text(patch.as_deref().unwrap_or_default()));
                    }
                }
                let digest = |id| patches.get(id).cloned().unwrap_or_else(|| Digest::of_text(""));
                Ok(ids.iter().map(digest).collect())
            }
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Self::Store { store, runtime, .. } = self {
            runtime.block_on(store.close());
        }
    }
}
