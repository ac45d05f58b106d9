//! `/livez`, which never waits for anything, and `/readyz`, which asks what the service depends on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Json, extract::State};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that must answer before the service can.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What it is, such as `database`.
    fn name(&self) -> &'static str;
    /// Whether it answers; the error goes to the log.
    async fn check(&self) -> Result<(), String>;
}

#[derive(Clone)]
struct Readiness {
    probes: Arc<[Arc<dyn Probe>]>,
    stopping: CancellationToken,
}

pub(crate) fn routes(probes: Vec<Arc<dyn Probe>>, stopping: CancellationToken) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .with_state(Readiness { probes: probes.into(), stopping })
}

/// The process runs.
#[derive(Debug, Serialize, ToSchema)]
struct Live {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether requests can be answered.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Whether every check passed.
    ready: bool,
    /// `ok`, or what is wrong, by the name of what was asked.
    checks: BTreeMap<&'static str, &'static str>,
}

/// Whether the process runs
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It runs.", body = Live)))]
async fn livez() -> Json<Live> {
    Json(Live { status: "ok" })
}

/// Whether the service can answer requests
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can.", body = Ready),
    (status = 503, description = "Something it depends on does not answer, or it is stopping.", body = Ready),
))]
async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, Json<Ready>) {
    let checks = readiness.probes.iter().map(|probe| async {
        let answer = match tokio::time::timeout(PROBE_TIMEOUT, probe.check()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(cause)) => {
                tracing::warn!(probe = probe.name(), cause, "not ready");
                "failed"
            }
            Err(_) => {
                tracing::warn!(probe = probe.name(), "not ready: no answer in {PROBE_TIMEOUT:?}");
                "no answer"
            }
        };
        (probe.name(), answer)
    });
    let mut checks: BTreeMap<_, _> = join_all(checks).await.into_iter().collect();
    if readiness.stopping.is_cancelled() {
        checks.insert("service", "stopping");
    }
    let ready = checks.values().all(|answer| *answer == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, checks }))
}
