//! The OpenAPI document is locked: a change of it is a change of the interface and shows in review.

use std::sync::Arc;

use crate::{
    fake::{Fake, Mood},
    support::{App, place},
};

#[tokio::test]
async fn the_document_is_as_agreed() {
    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let mut document = app.get("/openapi.json").await.json();
    document["info"]["version"] = "[version]".into();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            if path.starts_with("/v1/") {
                let problem =
                    &operation["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
            }
        }
    }
    assert!(operations >= 12, "{operations}");
    insta::assert_json_snapshot!(document);
    assert_eq!(app.get("/readyz").await.ok()["checks"]["runs"], "ok");
    assert!(app.get("/metrics").await.text.contains("http_requests_total"));
    app.end().await;
}
