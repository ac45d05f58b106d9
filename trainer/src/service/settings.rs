//! `[trainer]`: what runs may read and where they write.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use server::{Secret, Span};

/// `[trainer]`: what runs may read, where they write, and who works on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerSettings {
    /// Runs that this process works on at a time; 0 only answers requests.
    pub workers: usize,
    /// Folder that runs are written to, one folder each. Workers on several machines need the same one.
    pub runs: PathBuf,
    /// Folders whose files runs may read as data.
    pub data_roots: Vec<PathBuf>,
    /// Folders whose models runs may read; those of earlier runs may be read too.
    pub model_roots: Vec<PathBuf>,
    /// How long a worker that does not report keeps its run.
    pub lease: Span,
    /// How often a run is started before it counts as dead.
    pub attempts: u32,
    /// Wait before a run that failed is started again; doubled with every attempt.
    pub retry_pause: Span,
    /// How often workers look for runs, and event streams for events of other processes.
    pub poll: Span,
    /// How long the answer to a request with an `Idempotency-Key` is kept.
    pub idempotency_ttl: Span,
    /// Folder that promoted checkpoints are put into: the verifier's `models.folder`.
    pub models: PathBuf,
    /// The verifier that promoted checkpoints go to; empty for none.
    pub verifier_url: String,
    /// API token for it, with the scope `admin`.
    pub verifier_token: Secret,
    /// How long it may take to load a promoted model.
    pub verifier_timeout: Span,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            workers: 1,
            runs: "entropo-data/runs".into(),
            data_roots: vec!["entropo-data/data".into()],
            model_roots: vec!["entropo-data/models".into()],
            lease: Span::secs(30),
            attempts: 5,
            retry_pause: Span::secs(10),
            poll: Span::secs(1),
            idempotency_ttl: Span::secs(24 * 3600),
            models: "entropo-data/models".into(),
            verifier_url: String::new(),
            verifier_token: Secret::default(),
            verifier_timeout: Span::secs(300),
        }
    }
}
