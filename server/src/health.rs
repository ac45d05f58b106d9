//! `/livez`, which never waits for anything, `/readyz`, which asks what the service depends on, and `/startupz`, which
//! tells whether it was ever ready.

mod ask;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use ask::{AskError, ask};

use async_trait::async_trait;
use axum::{Json, extract::State};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::work::Work;

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
    /// Whether every check has passed once.
    started: Arc<AtomicBool>,
    work: Work,
}

pub(crate) fn routes(probes: Vec<Arc<dyn Probe>>, stopping: CancellationToken, work: Work) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(startupz))
        .with_state(Readiness { probes: probes.into(), stopping, started: Arc::default(), work })
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
    answer(readiness.check().await)
}

/// Whether the service has started
///
/// Once `/readyz` could succeed this does for good, so that a probe for the start may be patient with a large model
/// while that for readiness is not.
#[utoipa::path(get, path = "/startupz", tag = "health", responses(
    (status = 200, description = "It has been ready.", body = Ready),
    (status = 503, description = "It has not been ready yet.", body = Ready),
))]
async fn startupz(State(readiness): State<Readiness>) -> (StatusCode, Json<Ready>) {
    if readiness.started.load(Ordering::Relaxed) {
        return answer(BTreeMap::new());
    }
    answer(readiness.check().await)
}

fn answer(checks: BTreeMap<&'static str, &'static str>) -> (StatusCode, Json<Ready>) {
    let ready = passed(&checks);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, checks }))
}

fn passed(checks: &BTreeMap<&'static str, &'static str>) -> bool {
    checks.values().all(|answer| *answer == "ok")
}

impl Readiness {
    /// Asks everything; remembers when all of it answered.
    async fn check(&self) -> BTreeMap<&'static str, &'static str> {
        let probes = Arc::clone(&self.probes);
        let all = async move { join_all(probes.iter().map(|probe| ask_one(&**probe))).await };
        // Nothing is asked once the runtime is gone.
        let asked = self.work.run(all).await.unwrap_or_default();
        let mut checks: BTreeMap<_, _> = asked.into_iter().collect();
        if passed(&checks) {
            self.started.store(true, Ordering::Relaxed);
        }
        if self.stopping.is_cancelled() {
            checks.insert("service", "stopping");
        }
        checks
    }
}

async fn ask_one(probe: &dyn Probe) -> (&'static str, &'static str) {
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
}
