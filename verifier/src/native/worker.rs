//! The thread on which a model runs. Requests wait for it; it never runs on the threads that serve them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::forward::Scorer;
use crate::backend::{BackendError, Payload, Prepared, RawScore};

type Answer = Result<Vec<RawScore>, BackendError>;

struct Job {
    batch: Vec<Arc<Prepared>>,
    answer: oneshot::Sender<Answer>,
}

/// A handle on a model's thread. The thread ends when the last handle is gone and what it was given is done.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(scorer: Scorer) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("entropo-model".to_owned()).spawn(move || {
            while let Ok(job) = queue.recv() {
                if let Some(answer) = run(&scorer, &job) {
                    // Whoever asked may be gone.
                    let _ = job.answer.send(answer);
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Scores a batch. Dropping the future gives up the passes that have not begun.
    pub(super) async fn score(&self, batch: &[Arc<Prepared>]) -> Answer {
        let gone = || BackendError::Unavailable("the model's thread has ended".to_owned());
        let (answer, wait) = oneshot::channel();
        self.jobs.send(Job { batch: batch.to_vec(), answer }).map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

/// The answer; `None` when nobody waits for it any more.
fn run(scorer: &Scorer, job: &Job) -> Option<Answer> {
    let mut scores = vec![RawScore::default(); job.batch.len()];
    let rows: Vec<&[u32]> = job
        .batch
        .iter()
        .map(|row| match &row.payload {
            Payload::Tokens { ids, .. } => ids.as_slice(),
            _ => &[],
        })
        .collect();
    for pass in scorer.passes(&rows) {
        if job.answer.is_closed() {
            return None;
        }
        let batch: Vec<&Prepared> = pass.iter().map(|&row| &*job.batch[row]).collect();
        let scored = catch_unwind(AssertUnwindSafe(|| scorer.score(&batch)))
            .unwrap_or_else(|panic| Err(said(&*panic)))
            .map_err(BackendError::Failed);
        match scored {
            Ok(scored) => {
                for (row, score) in pass.into_iter().zip(scored) {
                    scores[row] = score;
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(scores))
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the pass was aborted: {}", text.unwrap_or("no reason given"))
}
