//! Logs on standard error, text for people and JSON for machines; and traces to a collector, where one is configured.

mod export;
mod fields;
mod json;

use std::{io::IsTerminal as _, sync::OnceLock, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::{fields::WithoutTraceFields, json::JsonLines};
use crate::{
    config::{Log, LogFormat, Telemetry},
    outgoing::TargetError,
};

/// Crates whose spans go to the collector: what libraries do inside a request would drown it.
const TRACED: [&str; 6] = ["server", "selector", "verifier", "trainer", "store", "cli"];

/// How long the last spans may take to leave when the process ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Why logging or tracing could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not one; the message says where.
    #[error("log.level: `{level}` is not a level or directive such as `info,sqlx=warn`: {message}")]
    Level {
        /// The text given.
        level: String,
        /// What is wrong with it.
        message: String,
    },
    /// The collector's address cannot be used.
    #[error("telemetry.otlp_endpoint: {0}")]
    Endpoint(#[from] TargetError),
    /// The share of traces is none.
    #[error("telemetry.sample_ratio: {0} is not between 0 and 1")]
    Ratio(f64),
    /// The exporter cannot be built.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
}

/// Starts logging, and tracing where a collector is configured, for the process; a second call changes nothing.
///
/// `service` is what traces call the process unless the configuration has a name. Needs the async runtime when there is
/// a collector.
pub fn init(log: &Log, telemetry: &Telemetry, service: &str) -> Result<(), TelemetryError> {
    if tracing::dispatcher::has_been_set() {
        return Ok(());
    }
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| TelemetryError::Level { level: log.level.clone(), message: error.to_string() })?;
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = json.then(JsonLines::default);
    let text = (!json).then(|| {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        layer.fmt_fields(WithoutTraceFields).with_ansi(terminal).with_target(false)
    });
    let provider = export::provider(telemetry, service)?;
    let traces = provider.as_ref().map(|provider| {
        let spans = filter_fn(|metadata| {
            let of = metadata.target().split("::").next().unwrap_or_default();
            *metadata.level() <= Level::INFO && TRACED.contains(&of)
        });
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("entropo"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(spans)
    });
    let logs = tracing_subscriber::Layer::and_then(lines, text).with_filter(filter);
    let installed = tracing_subscriber::registry().with(traces).with(logs).try_init().is_ok();
    // An error means that the embedding program has set up its own logging, which then counts.
    if let (true, Some(provider)) = (installed, provider) {
        let _ = PROVIDER.set(provider);
    }
    Ok(())
}

/// What makes spans; nothing without a collector.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Sends the last spans, for a few seconds at most; what begins later is not sent. To be called when a process ends.
pub async fn shutdown() {
    let Some(provider) = PROVIDER.get() else { return };
    let ended = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH)).await;
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "the last spans may be lost");
    }
}
