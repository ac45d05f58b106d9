//! A checkpoint becomes the verifier's model.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use server::{
    outgoing::{CallError, Client, Target, TargetError},
    trace,
};
use store::Job;
use tracing::{Span, info_span};

use super::{RunSpec, Service, TrainerSettings, meter, record::creator};
use crate::run::RunError;

/// Why a checkpoint was not promoted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromoteError {
    /// It is no verifier.
    #[error("the run trains a policy ({0}); only verifiers can be promoted")]
    Policy(&'static str),
    /// There is no verifier to tell.
    #[error("no verifier is configured: set trainer.verifier_url")]
    NoVerifier,
    /// The model folder cannot be written.
    #[error(transparent)]
    Export(#[from] RunError),
    /// The verifier did not take it. The model folder is there.
    #[error("the verifier did not activate `{model}`")]
    Verifier {
        /// The model's name.
        model: String,
        /// Why.
        source: CallError,
    },
}

/// A checkpoint that is the verifier's model.
#[derive(Debug, Clone)]
pub(crate) struct Promoted {
    /// Its name there.
    pub(crate) model: String,
    /// What the verifier says of it.
    pub(crate) answer: serde_json::Value,
}

/// How to reach the verifier, where one is configured.
pub(crate) fn verifier(settings: &TrainerSettings) -> Result<Option<Client>, TargetError> {
    if settings.verifier_url.is_empty() {
        return Ok(None);
    }
    let target = Target {
        token: settings.verifier_token.clone(),
        timeout: settings.verifier_timeout.0,
        ..Target::new("verifier", &settings.verifier_url)
    };
    Client::new(target).map(Some)
}

impl Service {
    /// Puts a checkpoint among the verifier's models and has it activated. Doing it twice does it once.
    pub(crate) async fn promote(&self, job: &Job, step: i64, path: &str) -> Result<Promoted, PromoteError> {
        if let Some(creator) = creator(&job.payload) {
            trace::link(&Span::current(), creator);
        }
        let spec: RunSpec = serde_json::from_value(job.payload.clone())
            .map_err(|error| RunError::Refused(error.to_string()))?;
        let kind = spec.config.objective.kind;
        if !kind.trains_verifier() {
            return Err(PromoteError::Policy(kind.word()));
        }
        let client = self.verifier.clone().ok_or(PromoteError::NoVerifier)?;
        // The last block of the id is random, the first ones are time.
        let id = job.id.simple().to_string();
        let model = format!("run-{}-{step}", &id[20..]);
        let (from, to) = (self.folder(job.id).join(path), self.settings.models.join(&model));
        let engine = Arc::clone(&self.engine);
        let put = move || put(&to, |folder| engine.export(&from, folder));
        let done = info_span!("export checkpoint", step).in_scope(|| trace::blocking(put)).await;
        done.map_err(|error| RunError::Failed(error.to_string()))??;
        let deadline = Instant::now() + self.settings.verifier_timeout.0.max(Duration::from_secs(1));
        let path = format!("/v1/models/{model}/activate");
        let answer = client.post(&path, Bytes::new(), &HeaderMap::new(), deadline).await;
        meter::promoted(answer.is_ok());
        let answer = answer.map_err(|source| PromoteError::Verifier { model: model.clone(), source })?;
        let answer = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(Promoted { model, answer })
    }
}

/// Writes a folder under another name first: the verifier sees it whole or not at all.
fn put(to: &Path, write: impl FnOnce(&Path) -> Result<(), RunError>) -> Result<(), RunError> {
    if to.exists() {
        return Ok(());
    }
    let failed = |source| RunError::Io { what: format!("cannot write {}", to.display()), source };
    let parent = to.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial = parent.join(format!(".{name}.{}", uuid::Uuid::now_v7().simple()));
    let written = write(&partial).and_then(|()| match std::fs::rename(&partial, to) {
        // Somebody else was faster; both are the same.
        Err(_) if to.exists() => Ok(()),
        renamed => renamed.map_err(failed),
    });
    if partial.exists() {
        // A left-over is never read: its name begins with a dot.
        let _ = std::fs::remove_dir_all(&partial);
    }
    written
}
