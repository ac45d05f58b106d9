//! Parameters of query strings.

use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::RunState;

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those that stand there.
    pub(super) state: Option<RunState>,
    /// Runs on the page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// The `next` of the page before.
    pub(super) after: Option<Uuid>,
}

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Events after this number; the header `Last-Event-ID` does the same and counts first.
    #[param(minimum = 0)]
    pub(super) after: Option<u64>,
}
