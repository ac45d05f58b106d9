//! Metrics of the trainer. A worker is named by its number in the process: runs come and go, workers stay.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use store::WaitingJobs;

use crate::run::{AlarmKind, Event, Metrics};

/// Gauges of a worker, each with the names that the metric has in runs of policies and of verifiers.
const SHOWN: [(&str, &[&str]); 7] = [
    ("trainer_loss", &["loss"]),
    ("trainer_reward_margin", &["rewards/margins", "margin"]),
    ("trainer_reward_accuracy_ratio", &["rewards/accuracies", "accuracy"]),
    ("trainer_entropy", &["entropy"]),
    ("trainer_gradient_norm", &["grad_norm"]),
    ("trainer_learning_rate", &["learning_rate"]),
    ("trainer_tokens_per_second", &["tokens_per_second"]),
];

/// Says what each metric is.
pub(super) fn describe() {
    let gauges = [
        ("trainer_runs", "runs that wait for a worker or have one, by state; the same on every replica"),
        ("trainer_workers_busy", "workers of this process that have a run"),
        ("trainer_loss", "loss over the latest steps, by worker; NaN without a run"),
        ("trainer_reward_margin", "chosen less rejected reward over the latest steps, by worker"),
        (
            "trainer_reward_accuracy_ratio",
            "share of pairs whose chosen side has the higher reward, by worker",
        ),
        ("trainer_entropy", "entropy of the policy over trained tokens in nats, by worker"),
        ("trainer_gradient_norm", "norm of the gradient before clipping, by worker"),
        ("trainer_learning_rate", "learning rate of the latest step, by worker"),
        ("trainer_tokens_per_second", "trained tokens a second, by worker"),
        ("trainer_step", "optimiser steps that are done, by worker"),
        ("trainer_steps", "optimiser steps of the run, by worker"),
    ];
    for (name, help) in gauges {
        describe_gauge!(name, Unit::Count, help);
    }
    let counts = [
        ("trainer_attempts_total", "attempts at runs that ended, by outcome"),
        ("trainer_checkpoints_total", "checkpoints written"),
        ("trainer_reports_total", "reports of steps"),
        ("trainer_alarms_total", "alarms of runs, by kind"),
        ("trainer_promotions_total", "checkpoints that were to become the verifier's model, by outcome"),
    ];
    for (name, help) in counts {
        describe_counter!(name, Unit::Count, help);
    }
    // From 0 on: to Prometheus a counter that appears with 1 has not grown, and nobody would be told of it.
    for outcome in ["done", "failed", "dead", "retried", "cancelled", "given_back", "lost"] {
        counter!("trainer_attempts_total", "outcome" => outcome).increment(0);
    }
    for kind in ALARMS {
        counter!("trainer_alarms_total", "kind" => word(kind)).increment(0);
    }
    for outcome in ["promoted", "failed"] {
        counter!("trainer_promotions_total", "outcome" => outcome).increment(0);
    }
    counter!("trainer_checkpoints_total").increment(0);
}

const ALARMS: [AlarmKind; 6] = [
    AlarmKind::EntropyCollapse,
    AlarmKind::ChosenFalling,
    AlarmKind::Saturated,
    AlarmKind::ZeroGradient,
    AlarmKind::ReferenceMismatch,
    AlarmKind::LengthBias,
];

/// The queue, as the database has it.
pub(super) fn waiting(jobs: WaitingJobs) {
    gauge!("trainer_runs", "state" => "queued").set(jobs.queued as f64);
    gauge!("trainer_runs", "state" => "running").set(jobs.running as f64);
}

/// A worker of this process begins (1) or ends (-1) an attempt.
pub(super) fn busy(change: f64) {
    gauge!("trainer_workers_busy").increment(change);
}

/// How an attempt ended.
pub(super) fn attempted(outcome: &'static str) {
    counter!("trainer_attempts_total", "outcome" => outcome).increment(1);
}

/// A checkpoint was to become the verifier's model.
pub(super) fn promoted(worked: bool) {
    let outcome = if worked { "promoted" } else { "failed" };
    counter!("trainer_promotions_total", "outcome" => outcome).increment(1);
}

/// A worker's gauges.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    worker: String,
}

impl Meter {
    pub(super) fn new(number: usize) -> Self {
        Self { worker: number.to_string() }
    }

    /// Something happened in the worker's run.
    pub(super) fn note(&self, event: &Event) {
        match event {
            Event::Planned(plan) => self.set("trainer_steps", plan.steps as f64),
            Event::Resumed { step, .. } => self.set("trainer_step", *step as f64),
            Event::Step { step, steps, metrics, .. } => {
                self.set("trainer_step", *step as f64);
                self.set("trainer_steps", *steps as f64);
                self.show(metrics);
                counter!("trainer_reports_total").increment(1);
            }
            Event::Checkpoint { .. } => counter!("trainer_checkpoints_total").increment(1),
            Event::Alarm { kind, .. } => counter!("trainer_alarms_total", "kind" => word(*kind)).increment(1),
            _ => {}
        }
    }

    /// The worker has no run: old figures would look like those of one.
    pub(super) fn clear(&self) {
        self.show(&Metrics::new());
        self.set("trainer_step", f64::NAN);
        self.set("trainer_steps", f64::NAN);
    }

    fn show(&self, metrics: &Metrics) {
        for (gauge, names) in SHOWN {
            let value = names.iter().find_map(|name| metrics.get(*name));
            self.set(gauge, value.copied().unwrap_or(f64::NAN));
        }
    }

    fn set(&self, name: &'static str, value: f64) {
        gauge!(name, "worker" => self.worker.clone()).set(value);
    }
}

fn word(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::EntropyCollapse => "entropy_collapse",
        AlarmKind::ChosenFalling => "chosen_falling",
        AlarmKind::Saturated => "saturated",
        AlarmKind::ZeroGradient => "zero_gradient",
        AlarmKind::ReferenceMismatch => "reference_mismatch",
        AlarmKind::LengthBias => "length_bias",
    }
}
