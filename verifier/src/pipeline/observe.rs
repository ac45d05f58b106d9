//! Metrics of the pipeline. Labels are the names of configured models and fixed words: few.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Metrics of one model's pipeline.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    model: String,
}

impl Meter {
    pub(super) fn new(model: &str) -> Self {
        describe();
        let meter = Self { model: server::metrics::model(model) };
        // From 0 on: to Prometheus a counter that appears with 1 has not grown.
        counter!("verifier_refused_total", &meter.labels()).increment(0);
        counter!("verifier_stuck_batches_total", &meter.labels()).increment(0);
        meter
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
        counter!("verifier_cache_lookups_total", "model" => self.model.clone(), "result" => result)
            .increment(1);
    }

    /// A batch that is over: `fill` is its cost over the budget, `padding` the share of what was computed that was
    /// padding.
    pub(super) fn batch(&self, rows: usize, tokens: u64, fill: f64, padding: f64, took: Duration) {
        histogram!("verifier_batch_rows", &self.labels()).record(rows as f64);
        histogram!("verifier_batch_tokens", &self.labels()).record(tokens as f64);
        histogram!("verifier_batch_fill_ratio", &self.labels()).record(fill);
        histogram!("verifier_batch_padding_ratio", &self.labels()).record(padding);
        histogram!("verifier_model_seconds", &self.labels()).record(took);
        counter!("verifier_tokens_total", &self.labels()).increment(tokens);
    }

    pub(super) fn waited(&self, took: Duration) {
        histogram!("verifier_queue_seconds", &self.labels()).record(took);
    }

    /// Rows and tokens that go into the model, and later come out of it.
    pub(super) fn in_model(&self, rows: f64, tokens: f64) {
        gauge!("verifier_model_entries", &self.labels()).increment(rows);
        gauge!("verifier_model_tokens", &self.labels()).increment(tokens);
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
    let gauges = [
        ("verifier_queue_entries", "examples that wait for the model"),
        ("verifier_queue_tokens", "tokens that wait for the model"),
        ("verifier_model_entries", "examples that the model works on"),
        ("verifier_model_tokens", "tokens that the model works on"),
        ("verifier_model_ready", "1 when the model is warm and answers"),
    ];
    for (name, help) in gauges {
        describe_gauge!(name, Unit::Count, help);
    }
    let times = [
        ("verifier_prepare_seconds", "time to lay an example out and count its tokens"),
        ("verifier_queue_seconds", "time from admission to a place in a batch"),
        ("verifier_model_seconds", "time of a batch in the model"),
    ];
    for (name, help) in times {
        describe_histogram!(name, Unit::Seconds, help);
    }
    let sizes = [
        ("verifier_batch_rows", "rows of a batch"),
        ("verifier_batch_tokens", "tokens of a batch"),
        ("verifier_batch_fill_ratio", "cost of a batch over its budget"),
        ("verifier_batch_padding_ratio", "share of a batch's computed tokens that only pad it"),
    ];
    for (name, help) in sizes {
        describe_histogram!(name, Unit::Count, help);
    }
    let counts = [
        ("verifier_tokens_total", "tokens that the model read"),
        ("verifier_condensed_total", "examples that were condensed to fit"),
        (
            "verifier_cache_lookups_total",
            "look-ups in the score cache, by result: hit, joined (being computed) or miss",
        ),
        ("verifier_entries_total", "examples that left the queue, by outcome"),
        ("verifier_refused_total", "requests refused because too much was waiting"),
        ("verifier_stuck_batches_total", "batches given up because they did not end"),
    ];
    for (name, help) in counts {
        describe_counter!(name, Unit::Count, help);
    }
}
