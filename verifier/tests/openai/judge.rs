//! The judge through chat completions and completions.

use std::time::Duration;

use axum::{Json, response::IntoResponse as _};
use serde_json::{Value, json};
use server::Secret;
use verifier::{
    Backend as _, Layout,
    openai::{Mode, OpenAi, Prefill, Settings},
};

use crate::mock::{Mock, close, judged, opinion, refused, row, rows, sigmoid};

#[tokio::test]
async fn the_model_is_found_and_named() {
    let mock = Mock::says(|_| judged(0.5)).await;
    let model = mock.model(Mode::Judge).await;
    let info = model.info();
    assert_eq!((info.name.as_str(), info.backend.as_str(), info.max_tokens), ("judge-7b", "openai", 4000));
    assert_eq!((info.layout, info.trained), (Layout::JudgeV1, true));
    let again = mock.model(Mode::Judge).await;
    assert_eq!(info.revision, again.info().revision);
    let other = mock.model(Mode::Completions).await;
    assert_ne!(info.revision, other.info().revision, "the same model asked in another way");
    let named = Settings { name: "mine".into(), revision: "r1".into(), ..mock.settings(Mode::Judge) };
    let named = OpenAi::connect(&named).await.unwrap();
    assert_eq!((named.info().name.as_str(), named.info().revision.as_str()), ("mine", "r1"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibration.json");
    std::fs::write(&path, r#"{"method": "platt", "slope": 2.0, "intercept": 0.0}"#).unwrap();
    let fitted = Settings { calibration: path.display().to_string(), ..mock.settings(Mode::Judge) };
    let fitted = OpenAi::connect(&fitted).await.unwrap();
    assert!(fitted.probability(1.0).calibrated && close(fitted.probability(1.0).value, sigmoid(Some(2.0))));
    assert_ne!(fitted.info().revision, info.revision);
    let missing = Settings { calibration: "/nowhere.json".into(), ..mock.settings(Mode::Judge) };
    let error = OpenAi::connect(&missing).await.unwrap_err().to_string();
    assert!(error.starts_with("openai.calibration: /nowhere.json"), "{error}");
    let wrong = Settings { model: "other".into(), ..mock.settings(Mode::Judge) };
    let error = OpenAi::connect(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("does not serve `other`; it serves org/judge-7b"), "{error}");
}

#[tokio::test]
async fn answers_join_their_rows_whenever_they_come() {
    let mock = Mock::start(|asked| async move {
        let probability = opinion(&asked.body);
        // The later in the batch the sooner.
        tokio::time::sleep(Duration::from_millis((40.0 - 400.0 * probability).max(0.0) as u64)).await;
        judged(probability)
    })
    .await;
    let model = mock.model(Mode::Judge).await;
    let patches: Vec<String> = (0..10).map(|number| format!("patch-{number}")).collect();
    let batch = rows(&model, &patches.iter().map(String::as_str).collect::<Vec<_>>());
    let scores = model.score(&batch).await.unwrap();
    for (number, score) in scores.iter().enumerate() {
        assert!(close(sigmoid(score.logit), (number as f64 + 1.0) / 100.0), "{number}: {score:?}");
    }
}

#[tokio::test]
async fn candidates_of_an_issue_follow_their_first() {
    let mock = Mock::start(|asked| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        judged(opinion(&asked.body))
    })
    .await;
    let settings = Settings { concurrency: 3, ..mock.settings(Mode::Judge) };
    let model = OpenAi::connect(&settings).await.unwrap();
    let row = |issue: &str, number: usize| row(&model, issue, &format!("patch-{number}"));
    let issues = ["the parser fails", "the parser works too well"];
    let batch: Vec<_> = (0..12).map(|number| row(issues[number % 2], number)).collect();
    model.score(&batch).await.unwrap();
    let asked = mock.asked();
    assert_eq!(asked.len(), 12);
    let of = |asked: &Value| {
        issues.iter().position(|issue| asked.to_string().contains(&format!("{issue}\\n"))).unwrap()
    };
    let first: Vec<usize> = asked[..2].iter().map(|asked| of(&asked.body)).collect();
    assert!(first == [0, 1] || first == [1, 0], "one of each issue goes first: {first:?}");
    assert!(
        asked.iter().all(|asked| asked.running <= 3),
        "{:?}",
        asked.iter().map(|one| one.running).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_is_sent_is_what_vllm_reads() {
    let mock = Mock::says(|_| judged(0.25)).await;
    let settings = Settings {
        api_key: Secret::new("hunter2"),
        headers: vec![Secret::new("X-Team: blue")],
        extra_body: r#"{"chat_template_kwargs": {"enable_thinking": false}}"#.into(),
        ..mock.settings(Mode::Judge)
    };
    let model = OpenAi::connect(&settings).await.unwrap();
    model.score(&rows(&model, &["patch-1"])).await.unwrap();
    let asked = &mock.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(
        (&asked.headers["authorization"], &asked.headers["x-team"]),
        (&"Bearer hunter2".parse().unwrap(), &"blue".parse().unwrap())
    );
    let body = &asked.body;
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("org/judge-7b"), &json!(0.0), &json!(1))
    );
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(20)));
    assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert!(!format!("{model:?}").contains("hunter2"));
}

#[tokio::test]
async fn servers_that_cannot_continue_are_asked_otherwise_and_remembered() {
    // Refuses unknown fields and more than five alternatives, as some servers do; writes the mark itself.
    let mock = Mock::says(|asked| {
        if asked.body.get("continue_final_message").is_some() {
            return refused(400, "unknown field continue_final_message");
        }
        if asked.body["top_logprobs"].as_u64() > Some(5) {
            return refused(422, "top_logprobs must be at most 5");
        }
        let word = |token: &str, other: &str| json!({"token": token, "logprob": -0.1, "top_logprobs": [{"token": token, "logprob": -0.1}, {"token": other, "logprob": -2.0}]});
        let content = [word("<", "YES"), word("judgement", "NO"), word(">", "NO"), word("NO", "YES"), word("</", "x")];
        Json(json!({"choices": [{"logprobs": {"content": content}}]})).into_response()
    })
    .await;
    let model = mock.model(Mode::Judge).await;
    let scores = model.score(&rows(&model, &["patch-1", "patch-2", "patch-3"])).await.unwrap();
    for score in &scores {
        assert!(close(score.logit.unwrap(), -1.9), "{score:?}");
    }
    assert_eq!(mock.asked().len(), 4 + 2, "the first row finds the way, the others take it");
}

#[tokio::test]
async fn servers_that_ignore_the_opened_answer_are_noticed() {
    let mock = Mock::says(|asked| {
        let continued = asked.body["messages"].as_array().unwrap().len() == 3;
        let first = json!({"token": "<judgement>", "logprob": -0.0, "top_logprobs": []});
        let second =
            json!({"token": "YES", "logprob": -0.05, "top_logprobs": [{"token": "NO", "logprob": -3.0}]});
        let content = if continued { json!([first]) } else { json!([first, second]) };
        Json(json!({"choices": [{"logprobs": {"content": content}}]})).into_response()
    })
    .await;
    let model = mock.model(Mode::Judge).await;
    let scores = model.score(&rows(&model, &["patch-1"])).await.unwrap();
    assert!((sigmoid(scores[0].logit) - 0.950_263_49).abs() < 1e-8);
    let strict = Settings { prefill: Prefill::Always, ..mock.settings(Mode::Judge) };
    let strict = OpenAi::connect(&strict).await.unwrap();
    let scores = strict.score(&rows(&strict, &["patch-1"])).await.unwrap();
    assert!(scores[0].logit.is_none() && scores[0].reason.is_some());
}

#[tokio::test]
async fn plain_completions_are_read_too() {
    let mock = Mock::says(|_| {
        let logprobs = json!({"tokens": ["YES"], "token_logprobs": [-0.05], "top_logprobs": [{"YES": -0.05, " NO": -3.0}]});
        Json(json!({"choices": [{"text": "YES", "logprobs": logprobs}]})).into_response()
    })
    .await;
    let model = mock.model(Mode::Completions).await;
    let scores = model.score(&rows(&model, &["patch-1"])).await.unwrap();
    assert!((sigmoid(scores[0].logit) - 0.950_263_49).abs() < 1e-8);
    let asked = &mock.asked()[0];
    assert_eq!(asked.path, "/v1/completions");
    assert!(asked.body["prompt"].as_str().unwrap().ends_with("<judgement>"));
}
