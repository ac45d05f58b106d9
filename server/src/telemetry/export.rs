//! Spans to a collector: OTLP over HTTP, through the client that all outgoing calls use.
//!
//! Spans wait in a queue of fixed length and leave from a thread of their own. A collector that is slow or gone costs
//! spans and nothing else: what does not fit into the queue is dropped.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tokio::runtime::Handle;

use super::TelemetryError;
use crate::{
    config::Telemetry,
    outgoing::{Client, RetrySettings, Target},
};

/// Where collectors take traces.
const PATH: &str = "/v1/traces";
/// Spans that may wait.
const QUEUE: usize = 4096;
/// Spans of one call.
const BATCH: usize = 512;
/// Longest wait of a span.
const DELAY: Duration = Duration::from_secs(1);
/// Time for one call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Complaints about the collector come at most this often.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// What makes and sends spans; `None` without a collector.
pub(super) fn provider(
    telemetry: &Telemetry,
    service: &str,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
        return Err(TelemetryError::Ratio(telemetry.sample_ratio));
    }
    let url = telemetry.otlp_endpoint.trim();
    if url.is_empty() {
        return Ok(None);
    }
    // Spans come again by themselves; a call that failed is tried once more and then given up.
    let retry = RetrySettings { retries: 1, ..RetrySettings::default() };
    let target = Target { timeout: TIMEOUT, retry, concurrency: 1, ..Target::new("otlp", url) };
    let collector = Collector {
        client: Client::new(target)?,
        runtime: Handle::try_current().map_err(|error| TelemetryError::Exporter(error.to_string()))?,
        complained: Mutex::new(None),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}{PATH}", url.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .with_http_client(collector)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let name = match telemetry.service_name.trim() {
        "" => service,
        name => name,
    };
    let resource = Resource::builder()
        .with_service_name(name.to_owned())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .build();
    // Whoever began a trace decides whether it is recorded; the share counts for traces that begin here.
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(telemetry.sample_ratio)));
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let builder = SdkTracerProvider::builder().with_span_processor(processor);
    Ok(Some(builder.with_sampler(sampler).with_resource(resource).build()))
}

/// The collector as the exporter calls it, from a thread without a runtime.
#[derive(Debug)]
struct Collector {
    client: Client,
    runtime: Handle,
    complained: Mutex<Option<Instant>>,
}

impl Collector {
    fn complain(&self, error: &HttpError) {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            let collector = self.client.url();
            tracing::warn!(collector, %error, "spans cannot be exported and are dropped");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let client = self.client.clone();
        let deadline = Instant::now() + TIMEOUT;
        let call = self.runtime.spawn(async move { client.post(PATH, body, &parts.headers, deadline).await });
        let answered = match call.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(HttpError::from(error)),
            // The runtime is gone, and the process soon too.
            Err(error) => return Err(error.into()),
        };
        match answered {
            Ok(reply) => {
                let mut response = Response::new(reply.body);
                *response.status_mut() = reply.status;
                Ok(response)
            }
            Err(error) => {
                self.complain(&error);
                Err(error)
            }
        }
    }
}
