//! `GET /v1/policies`.

use axum::Json;
use serde::Serialize;
use server::ProblemResponses;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Service;
use crate::{Policy, PolicyInfo};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The policies that a selection can use.
#[derive(Debug, Serialize, ToSchema)]
struct Policies {
    /// The one that is used when a request names none.
    default: Policy,
    /// All of them.
    policies: Vec<PolicyInfo>,
}

/// The policies that a selection can use
#[utoipa::path(get, path = "/v1/policies", tag = "selections", responses(
    (status = 200, description = "All policies, each with its source.", body = Policies),
    ProblemResponses,
))]
async fn list() -> Json<Policies> {
    Json(Policies { default: Policy::default(), policies: Policy::ALL.map(Policy::describe).into() })
}
