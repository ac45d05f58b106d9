//! What a request for preference data can say.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Which kind of preference data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Pairs of a chosen and a rejected run, for DPO.
    #[default]
    Pairs,
    /// Single runs with a tag, for KTO.
    Kto,
}

/// What to draw.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PreferenceQuery {
    /// `pairs` (when it is left out) or `kto`.
    #[param(required = false, nullable = false, inline)]
    pub(super) kind: Option<Kind>,
    /// Most rows of one issue. When it is left out: one pair, as in the paper, and every KTO row.
    #[param(minimum = 1, maximum = 100_000, required = false, nullable = false)]
    pub(super) limit_per_issue: Option<u32>,
}
