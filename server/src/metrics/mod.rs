//! Prometheus metrics of the process, and the endpoint that shows them. docs/metrics.md lists every one.
//!
//! Labels are fixed words, templates of routes and a bounded number of names: nothing that a request brings can make a
//! new time series.

mod names;
mod process;
mod requests;
mod stores;

use std::{sync::OnceLock, time::Duration};

use axum::{Router, routing::get};
use http::header;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::{auth::Caller, problem::Problem};

pub use names::model;
pub(crate) use requests::Requests;
pub use stores::watch_store;

/// Upper bounds of the buckets of times in seconds: fine where selections are expected, coarse above.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Of shares between 0 and 1.
const RATIOS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
/// Of numbers of rows and candidates.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// Of numbers of tokens.
const TOKENS: [f64; 9] = [256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0];

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The process's recorder; installed by the first call, shared by all services in the process.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let suffix = |end: &str| Matcher::Suffix(end.to_owned());
        let mut builder = PrometheusBuilder::new();
        // Every histogram has one of these units; quantiles of a summary could not be added up over replicas.
        let buckets: [(&str, &[f64]); 6] = [
            ("_seconds", &SECONDS),
            ("_ratio", &RATIOS),
            ("_difference", &RATIOS),
            ("_tokens", &TOKENS),
            ("_rows", &COUNTS),
            ("_candidates", &COUNTS),
        ];
        for (end, bounds) in buckets {
            builder = builder
                .set_buckets_for_metric(suffix(end), bounds)
                .expect("the list of buckets is not empty");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        describe();
        gauge!("entropo_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}

fn describe() {
    describe_gauge!("entropo_build_info", Unit::Count, "1, with the version that runs as a label");
    describe_counter!(
        "http_requests_total",
        Unit::Count,
        "requests answered, by service, method, route and status; 499 where the client left"
    );
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "time from request head to response head, by service, method and route"
    );
    describe_gauge!("http_requests_in_flight", Unit::Count, "requests being handled, by service");
    describe_counter!(
        "http_requests_shed_total",
        Unit::Count,
        "requests refused with 503, by what there was too much of"
    );
    describe_counter!(
        "http_connections_put_out_total",
        Unit::Count,
        "connections without a complete request that were closed to make room for others"
    );
    describe_counter!(
        "outgoing_requests_total",
        Unit::Count,
        "calls to other services, by target and outcome"
    );
    describe_counter!("outgoing_retries_total", Unit::Count, "attempts after the first, by target");
    describe_histogram!(
        "outgoing_request_duration_seconds",
        Unit::Seconds,
        "time of a call with its retries, by target"
    );
    describe_gauge!(
        "outgoing_circuit_open",
        Unit::Count,
        "1 while a target that failed too often is left alone, by target"
    );
    stores::describe();
}

/// `GET /metrics` in Prometheus' text format.
pub(crate) fn routes() -> Router {
    recorder();
    Router::new().route(
        "/metrics",
        get(async |caller: Caller| {
            // They count what all tenants do.
            caller.require_operator()?;
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            Ok::<_, Problem>((kind, render()))
        }),
    )
}

fn render() -> String {
    stores::sample();
    let mut text = recorder().render();
    process::render(&mut text);
    text
}

/// Folds recorded times into the histograms now and then: without it, and with nobody asking for `/metrics`, they would
/// pile up in memory.
pub(crate) async fn upkeep(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_some() {
        recorder().run_upkeep();
    }
}

/// A connection lost its place to another.
pub(crate) fn put_out() {
    counter!("http_connections_put_out_total").increment(1);
}

pub(crate) fn shed(reason: &'static str) {
    counter!("http_requests_shed_total", "reason" => reason).increment(1);
}
