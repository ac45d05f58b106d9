//! The contract between what trains (the engine) and what starts, watches and stops it (the command, the service).
//!
//! An engine trains in the thread that calls it, into a folder that is its own. It tells an [`Observer`] what happens
//! and asks it, between two steps at least, whether to stop; it then writes a checkpoint and returns. Called again with
//! the same folder and a configuration of the same identity it goes on from the newest whole checkpoint there.

mod event;
mod folder;
mod summary;

use std::path::Path;

pub use self::{
    event::{AlarmKind, Event, Metrics, Plan, Reason},
    folder::FolderLock,
    summary::Summary,
};
use crate::config::RunConfig;

/// Watches a run. Called from the thread that trains: whatever takes long delays the training.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: &Event);

    /// Whether the run is to write a checkpoint and end. Stays true once it is.
    fn stop(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn event(&self, _event: &Event) {}
}

/// What trains.
pub trait Engine: Send + Sync + 'static {
    /// Says what a run would do without doing it: reads the data and the model's configuration, no weights.
    fn plan(&self, config: &RunConfig, observer: &dyn Observer) -> Result<Plan, RunError>;

    /// Trains into `out`, from the newest whole checkpoint there, if any, to the end or until the observer says stop.
    fn train(&self, config: &RunConfig, out: &Path, observer: &dyn Observer) -> Result<Summary, RunError>;

    /// Writes a checkpoint of a run as a model folder that loads anywhere: adapters merged into the weights, nothing of
    /// the optimiser. `out` does not exist yet.
    fn export(&self, checkpoint: &Path, out: &Path) -> Result<(), RunError> {
        crate::export::export(checkpoint, None, out)
    }
}

/// Why a run did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration, the data or the model cannot be used; trying again would not help.
    #[error("{0}")]
    Refused(String),
    /// The folder holds a run of another configuration.
    #[error(
        "{folder} holds a run of another configuration (its identity is {found}, this one's {wanted}); choose another \
         folder, or delete it"
    )]
    OtherRun {
        /// The folder.
        folder: String,
        /// The identity there.
        found: String,
        /// The configuration's identity.
        wanted: String,
    },
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was read or written.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Numbers left their range: the loss or a gradient is not finite.
    #[error("step {step}: {what}")]
    Diverged {
        /// The optimiser step, from 1.
        step: u64,
        /// What is not finite, and what to do.
        what: String,
    },
    /// Another process trains into the folder.
    #[error("{0} is in use by another process: wait until it ends, or choose another folder")]
    InUse(String),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
}

impl RunError {
    /// Whether another attempt might get further.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::InUse(_) | Self::Failed(_))
    }
}
