//! Prometheus metrics of the process, and the endpoint that shows them.

use std::{sync::OnceLock, time::Duration};

use axum::{Router, routing::get};
use http::header;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the latency buckets in seconds: fine where selections are expected, coarse above.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The process's recorder; installed by the first call, shared by all services in the process.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        describe_counter!("http_requests_total", "requests answered, by method, route and status");
        describe_histogram!("http_request_duration_seconds", "time from request head to response head");
        describe_gauge!("http_requests_in_flight", "requests being handled");
        describe_counter!(
            "http_requests_shed_total",
            "requests refused with 503, by what there was too much of"
        );
        describe_counter!("outgoing_requests_total", "calls to other services, by target and outcome");
        describe_counter!("outgoing_retries_total", "attempts after the first, by target");
        describe_histogram!(
            "outgoing_request_duration_seconds",
            "time of a call with its retries, by target"
        );
        describe_gauge!(
            "outgoing_circuit_open",
            "1 while a target that failed too often is left alone, by target"
        );
        handle
    })
}

/// `GET /metrics` in Prometheus' text format.
pub(crate) fn routes() -> Router {
    recorder();
    Router::new().route(
        "/metrics",
        get(|| async {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder().render())
        }),
    )
}

/// Folds recorded times into the histograms now and then: without it, and with nobody asking for `/metrics`, they would
/// pile up in memory.
pub(crate) async fn upkeep(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_some() {
        recorder().run_upkeep();
    }
}

pub(crate) fn in_flight(change: f64) {
    gauge!("http_requests_in_flight").increment(change);
}

pub(crate) fn shed(reason: &'static str) {
    counter!("http_requests_shed_total", "reason" => reason).increment(1);
}

pub(crate) fn finished(method: &'static str, route: &str, status: u16, took: Duration) {
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
    counter!("http_requests_total", &labels).increment(1);
    histogram!("http_request_duration_seconds", &labels[..2]).record(took);
}
