//! The error responses that any endpoint may give, for the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, PartialSchema as _, ToSchema as _,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use super::{Kind, PROBLEM_JSON, Problem};

/// Every error that the shared edge may answer with, for `responses(…, ProblemResponses)`.
#[derive(Debug, Clone, Copy)]
pub struct ProblemResponses;

impl IntoResponses for ProblemResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut titles = BTreeMap::<u16, Vec<&str>>::new();
        for kind in Kind::ALL {
            titles.entry(kind.status().as_u16()).or_default().push(kind.title());
        }
        let schema = RefOr::Ref(Ref::from_schema_name(Problem::name()));
        titles
            .into_iter()
            .map(|(status, titles)| {
                let content = ContentBuilder::new().schema(Some(schema.clone())).build();
                let response = ResponseBuilder::new()
                    .description(titles.join(", or "))
                    .content(PROBLEM_JSON, content)
                    .build();
                (status.to_string(), RefOr::T(response))
            })
            .collect()
    }
}

impl ProblemResponses {
    /// Adds the schemas that the responses refer to.
    pub fn add_schemas(api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        components.schemas.insert(Problem::name().into_owned(), Problem::schema());
        components.schemas.insert(super::FieldError::name().into_owned(), super::FieldError::schema());
    }
}
