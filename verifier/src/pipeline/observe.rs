//! Metrics of the pipeline. Labels are the names of configured models and fixed words: few.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Metrics of one model's pipeline.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    model: String,
}

impl Meter {
    pub(super) fn new(model: &str) -> Self {
        describe();
        Self { model: model.to_owned() }
    }

    fn labels(&self) -> [(&'static str, String); 1] {
        [("model", self.model.clone())]
    }

    pub(super) fn queue(&self, entries: usize, tokens: u64) {
        gauge!("verifier_queue_entries", &self.labels()).set(entries as f64);
        gauge!("verifier_queue_tokens", &self.labels()).set(tokens as f64);
    }

    pub(super) fn prepared(&self, took: Duration, condensed: bool) {
        histogram!("verifier_prepare_seconds", &self.labels()).record(took);
        if condensed {
            counter!("verifier_condensed_total", &self.labels()).increment(1);
        }
    }

    pub(super) fn cache(&self, result: &'static str) {
        counter!("verifier_cache_total", "model" => self.model.clone(), "result" => result).increment(1);
    }

    pub(super) fn batch(&self, rows: usize, tokens: u64, fill: f64, took: Duration) {
        histogram!("verifier_batch_rows", &self.labels()).record(rows as f64);
        histogram!("verifier_batch_tokens", &self.labels()).record(tokens as f64);
        histogram!("verifier_batch_fill", &self.labels()).record(fill);
        histogram!("verifier_model_seconds", &self.labels()).record(took);
        counter!("verifier_tokens_total", &self.labels()).increment(tokens);
    }

    pub(super) fn waited(&self, took: Duration) {
        histogram!("verifier_queue_seconds", &self.labels()).record(took);
    }

    /// `scored`, `null`, `failed`, `late` or `cancelled`.
    pub(super) fn left(&self, outcome: &'static str, count: u64) {
        counter!("verifier_entries_total", "model" => self.model.clone(), "outcome" => outcome)
            .increment(count);
    }

    pub(super) fn refused(&self) {
        counter!("verifier_refused_total", &self.labels()).increment(1);
    }

    pub(super) fn stuck(&self) {
        counter!("verifier_stuck_batches_total", &self.labels()).increment(1);
    }

    pub(super) fn ready(&self, ready: bool) {
        gauge!("verifier_model_ready", &self.labels()).set(if ready { 1.0 } else { 0.0 });
    }
}

fn describe() {
    describe_gauge!("verifier_queue_entries", "examples that wait for the model");
    describe_gauge!("verifier_queue_tokens", "tokens that wait for the model");
    describe_histogram!("verifier_prepare_seconds", "time to lay an example out and count its tokens");
    describe_histogram!("verifier_queue_seconds", "time from admission to a place in a batch");
    describe_histogram!("verifier_model_seconds", "time of a batch in the model");
    describe_histogram!("verifier_batch_rows", "rows of a batch");
    describe_histogram!("verifier_batch_tokens", "tokens of a batch");
    describe_histogram!("verifier_batch_fill", "cost of a batch over its budget");
    describe_counter!("verifier_tokens_total", "tokens that the model read");
    describe_counter!("verifier_condensed_total", "examples that were condensed to fit");
    describe_counter!(
        "verifier_cache_total",
        "look-ups in the score cache: hit, joined (being computed) or miss"
    );
    describe_counter!("verifier_entries_total", "examples that left the queue, by outcome");
    describe_counter!("verifier_refused_total", "requests refused because too much was waiting");
    describe_counter!("verifier_stuck_batches_total", "batches given up because they did not end");
    describe_gauge!("verifier_model_ready", "1 when the model is warm and answers");
}
