//! The OpenAPI document is locked: a change of it is a change of the interface and shows in review.

use crate::support::App;

#[tokio::test]
async fn the_document_is_as_agreed() {
    let app = App::new().await;
    let mut document = app.get("/openapi.json").await.json();
    document["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn every_operation_is_documented_with_its_problems() {
    let app = App::new().await;
    let document = app.get("/openapi.json").await.json();
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
    assert!(operations >= 15, "{operations}");
    let page = app.get("/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("/v1/models/{name}/activate") && !page.text.contains("<script"));
}
