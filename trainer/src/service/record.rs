//! What the store keeps of a run in its job.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use server::trace::TraceParent;
use utoipa::ToSchema;

use crate::{
    config::RunConfig,
    run::{Event, Metrics, Plan},
};

/// What a run is: the payload of its job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its configuration; paths are real ones.
    pub config: RunConfig,
    /// Where in a trace the request was that made it (W3C `traceparent`), so that its workers belong to that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The place in a trace of whoever made the run with this payload.
pub(super) fn creator(payload: &Value) -> Option<TraceParent> {
    payload.get("traceparent").and_then(Value::as_str).and_then(TraceParent::parse)
}

/// How far a run is: the progress of its job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Progress {
    /// What is done besides the steps, such as `reference`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub stage: Option<Stage>,
    /// Optimiser steps that are done.
    pub step: u64,
    /// Optimiser steps of the run; 0 while that is not known.
    pub steps: u64,
    /// Passes over the rows.
    pub epoch: f64,
    /// Seconds that are left, as far as can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub seconds_left: Option<f64>,
    /// The last metrics of training and of the evaluation.
    pub metrics: Metrics,
    /// What the run does in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<Object>)]
    pub plan: Option<Plan>,
    #[serde(skip)]
    first: Option<(u64, f64)>,
}

/// Something before or beside the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// What.
    pub name: String,
    /// How much is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
}

impl Progress {
    /// Takes in what happened.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Planned(plan) => {
                self.steps = plan.steps;
                self.plan = Some(plan.clone());
            }
            Event::Progress { stage, done, total } => {
                let done = *done;
                self.stage = (done < *total).then(|| Stage { name: stage.clone(), done, total: *total });
            }
            Event::Resumed { step, .. } => self.step = *step,
            Event::Step { step, steps, epoch, metrics, seconds } => {
                (self.step, self.steps, self.epoch, self.stage) = (*step, *steps, *epoch, None);
                self.metrics.extend(metrics.clone());
                // What came before the first step (reading, the reference) says nothing of those to come.
                let (first, since) = *self.first.get_or_insert((*step, *seconds));
                let left = steps.saturating_sub(*step) as f64;
                self.seconds_left =
                    (*step > first).then(|| left * (seconds - since) / (*step - first) as f64);
            }
            Event::Evaluated { metrics, .. } => self.metrics.extend(metrics.clone()),
            Event::Checkpoint { .. }
            | Event::Deleted { .. }
            | Event::Alarm { .. }
            | Event::Finished { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_steps_alone() {
        let mut progress = Progress::default();
        let step =
            |step, seconds| Event::Step { step, steps: 10, epoch: 0.0, metrics: Metrics::new(), seconds };
        progress.note(&Event::Progress { stage: "reference".to_owned(), done: 1, total: 4 });
        assert_eq!(progress.stage.as_ref().map(|stage| stage.done), Some(1));
        progress.note(&step(1, 100.0));
        assert_eq!((progress.seconds_left, &progress.stage), (None, &None));
        progress.note(&step(3, 104.0));
        assert_eq!(progress.seconds_left, Some(14.0));
    }
}
