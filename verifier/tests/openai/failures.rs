//! Servers that are wrong, slow, dying and gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use verifier::{
    Backend as _, BackendError,
    openai::{Mode, OpenAi, Settings},
};

use crate::mock::{Mock, close, judged, opinion, refused, rows, sigmoid};

/// A body that breaks off: longer by its head than it is.
fn half() -> Response {
    let stream = futures_util::stream::iter([
        Ok::<_, std::io::Error>("{\"choices\": [".to_owned()),
        Err(std::io::Error::other("died")),
    ]);
    Response::builder().header("content-length", "1000").body(Body::from_stream(stream)).unwrap()
}

#[tokio::test]
async fn wrong_answers_are_null_with_a_reason() {
    type Answer = fn() -> Response;
    let cases: [(Answer, &str); 7] = [
        (|| "oops".into_response(), "is no JSON"),
        (|| Json(json!({"choices": []})).into_response(), "no choices"),
        (|| Json(json!({"choices": [{"text": "YES"}]})).into_response(), "no log-probabilities"),
        (|| Json(json!({"choices": [{"logprobs": {"content": []}}]})).into_response(), "answer is empty"),
        (
            || {
                r#"{"choices": [{"logprobs": {"content": [{"token": "YES", "logprob": NaN, "top_logprobs": []}]}}]}"#.into_response()
            },
            "no number for `YES`",
        ),
        (
            || {
                r#"{"choices": [{"logprobs": {"content": [{"token": "NO", "logprob": Infinity, "top_logprobs": []}]}}]}"#.into_response()
            },
            "no number for `NO`",
        ),
        (|| refused(400, "maximum context length is 5 tokens"), "maximum context length"),
    ];
    for (answer, words) in cases {
        // One row's trouble is not the others'.
        let mock =
            Mock::says(move |asked| if close(opinion(&asked.body), 0.03) { answer() } else { judged(0.5) })
                .await;
        let model = mock.model(Mode::Judge).await;
        let scores = model.score(&rows(&model, &["patch-1", "patch-2", "patch-3"])).await.unwrap();
        let reason = scores[1].reason.as_deref().unwrap_or_else(|| panic!("{words}: {scores:?}"));
        assert!(scores[1].logit.is_none() && reason.contains(words), "{reason}");
        assert!(close(sigmoid(scores[0].logit), 0.5) && close(sigmoid(scores[2].logit), 0.5));
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    type Answer = fn() -> Response;
    let cases: [Answer; 4] = [
        || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response(),
        half,
        || StatusCode::BAD_GATEWAY.into_response(),
    ];
    for bad in cases {
        let count = Arc::new(AtomicUsize::new(0));
        let mock = Mock::says(move |asked| {
            if count.fetch_add(1, Ordering::SeqCst) == 0 { bad() } else { judged(opinion(&asked.body)) }
        })
        .await;
        let model = mock.model(Mode::Judge).await;
        let scores = model.score(&rows(&model, &["patch-4"])).await.unwrap();
        assert!(close(sigmoid(scores[0].logit), 0.05), "{scores:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_slow_is_unavailable() {
    let mock = Mock::start(|_| async {
        tokio::time::sleep(Duration::from_hours(1)).await;
        judged(0.5)
    })
    .await;
    let model = mock.hasty(Mode::Judge).await;
    let error = model.score(&rows(&model, &["patch-1"])).await.unwrap_err();
    assert!(matches!(&error, BackendError::Unavailable(text) if text.contains("did not answer")), "{error}");
}

#[tokio::test]
async fn a_server_that_refuses_us_fails_and_is_not_unavailable() {
    for status in [401, 403, 404] {
        let mock = Mock::says(move |_| refused(status, "no")).await;
        let model = mock.model(Mode::Judge).await;
        let error = model.score(&rows(&model, &["patch-1", "patch-2"])).await.unwrap_err();
        assert!(matches!(error, BackendError::Failed(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings = Settings { url: url.clone(), retries: 0, ..Settings::default() };
    let error = OpenAi::connect(&settings).await.unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("cannot be reached"), "{error}");
    let error = OpenAi::connect(&Settings::default()).await.unwrap_err().to_string();
    assert_eq!(error, "openai.url: is not set");
}

#[tokio::test]
async fn a_batch_that_is_dropped_asks_no_more() {
    let mock = Mock::start(|_| async {
        tokio::time::sleep(Duration::from_hours(1)).await;
        judged(0.5)
    })
    .await;
    let model = mock.model(Mode::Judge).await;
    let batch = rows(&model, &["patch-1", "patch-2", "patch-3"]);
    let given_up = tokio::time::timeout(Duration::from_millis(200), model.score(&batch)).await;
    assert!(given_up.is_err());
    assert_eq!(mock.asked().len(), 1, "the first of the issue was alone when the batch was given up");
}
