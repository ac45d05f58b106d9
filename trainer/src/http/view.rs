//! Runs as clients see them.

use serde::Serialize;
use server::Problem;
use store::{Job, JobState, Tenant, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    run::Summary,
    service::{KIND, Progress, RunSpec},
};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunState {
    /// Waits for a worker.
    Queued,
    /// A worker trains it.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error that another attempt would not cure.
    Failed,
    /// Every attempt ended with an error or with the worker's death.
    Dead,
    /// Stopped by request.
    Cancelled,
}

impl From<JobState> for RunState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Failed => Self::Failed,
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<RunState> for JobState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::Queued,
            RunState::Running => Self::Running,
            RunState::Done => Self::Done,
            RunState::Failed => Self::Failed,
            RunState::Dead => Self::Dead,
            RunState::Cancelled => Self::Cancelled,
        }
    }
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunView {
    /// Its id.
    pub(super) id: Uuid,
    /// What its creator calls it.
    #[schema(required = true)]
    name: Option<String>,
    /// Where it stands.
    state: RunState,
    /// Whether somebody asked for it to stop.
    cancel_requested: bool,
    /// How often it was started.
    attempts: u32,
    /// How often it may be started before it counts as dead.
    max_attempts: u32,
    /// The worker of the latest attempt.
    #[schema(required = true)]
    worker: Option<String>,
    /// When it was created (RFC 3339).
    #[schema(example = "2026-01-31T08:15:00.000250Z")]
    created_at: String,
    /// When it last changed.
    updated_at: String,
    /// When its latest attempt started.
    #[schema(required = true)]
    started_at: Option<String>,
    /// When it ended.
    #[schema(required = true)]
    finished_at: Option<String>,
    /// How far it is.
    progress: Progress,
    /// What it left behind; once it is done.
    #[schema(required = true, value_type = Option<Object>)]
    result: Option<Summary>,
    /// Why the latest attempt failed.
    #[schema(required = true)]
    error: Option<String>,
    /// Its configuration with every field, paths as the service reads them.
    #[schema(value_type = Object)]
    config: serde_json::Value,
}

impl RunView {
    /// A run that is about to be queued.
    pub(super) fn queued(
        id: Uuid,
        spec: &RunSpec,
        max_attempts: u32,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        Self::job(id, spec, max_attempts, now).map(Self::new)
    }

    fn job(id: Uuid, spec: &RunSpec, max_attempts: u32, now: Timestamp) -> Result<Job, Problem> {
        let payload = serde_json::to_value(spec).map_err(|error| Problem::internal(&error))?;
        Ok(Job {
            id,
            // The view does not show it.
            tenant: Tenant::DEFAULT,
            kind: KIND.to_owned(),
            payload,
            state: JobState::Queued,
            attempts: 0,
            max_attempts,
            run_after: now,
            lease_until: None,
            worker: None,
            cancel_requested: false,
            progress: None,
            result: None,
            error: None,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
        })
    }

    /// What another version of this program stored and this one does not know any more is left out: one such run must
    /// not hide the others.
    pub(super) fn new(mut job: Job) -> Self {
        Self {
            id: job.id,
            name: job.payload["name"].as_str().map(str::to_owned),
            state: job.state.into(),
            cancel_requested: job.cancel_requested,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            worker: job.worker,
            created_at: job.created_at.to_string(),
            updated_at: job.updated_at.to_string(),
            started_at: job.started_at.map(|time| time.to_string()),
            finished_at: job.finished_at.map(|time| time.to_string()),
            progress: job.progress.and_then(|told| serde_json::from_value(told).ok()).unwrap_or_default(),
            result: job.result.and_then(|told| serde_json::from_value(told).ok()),
            error: job.error,
            config: job.payload["config"].take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_version_stored_is_shown_as_far_as_it_goes() {
        let value = json!({"model": {"path": "m"}, "data": {"train": "r"}});
        let config = crate::config::RunConfig::from_json("test", value).expect("is sound");
        let spec = RunSpec { name: Some("n".to_owned()), config, traceparent: None };
        let view = RunView::queued(Uuid::nil(), &spec, 3, Timestamp(0)).expect("is JSON");
        assert_eq!((view.name.as_deref(), &view.config["model"]["path"]), (Some("n"), &json!("m")));
        let mut job = RunView::job(Uuid::nil(), &spec, 3, Timestamp(0)).expect("is JSON");
        job.payload = json!({"config": {"gone": 1}});
        job.result = Some(json!({"other": true}));
        job.progress = Some(json!("half"));
        let view = RunView::new(job);
        assert_eq!((view.name, view.config, view.result), (None, json!({"gone": 1}), None));
        assert_eq!(view.progress, Progress::default());
    }
}
