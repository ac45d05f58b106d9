//! `/v1/selections`.

use serde_json::{Value, json};

use crate::support::{App, candidate, patch, request};

#[tokio::test]
async fn a_selection_is_made_kept_and_read_again() {
    let app = App::new().await;
    let answer = app.post("/v1/selections", &request()).await;
    let made = answer.created();
    assert_eq!(made["instance_id"], "acme__tool-1");
    assert_eq!(made["policy"], "majority");
    assert_eq!(made["chosen"], "one", "{made}");
    let ranked = made["candidates"].as_array().unwrap();
    assert_eq!(ranked.len(), 3);
    assert_eq!(ranked[0]["votes"]["exact"], 2);
    assert!(!ranked[0]["reasons"].as_array().unwrap().is_empty());
    let location = answer.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("/v1/selections/{}", made["id"].as_str().unwrap()));
    assert_eq!(app.get(location).await.json(), made);

    let content = made["contents"]["odd"].as_str().unwrap();
    let kept = app.get(&format!("/v1/candidates/{content}")).await.json();
    assert_eq!(kept["trajectory"]["patch"], patch("src/a.py", "new = 3"));
    assert_eq!(kept["trajectory"]["instance_id"], "acme__tool-1");
}

#[tokio::test]
async fn the_default_policy_gives_probabilities_or_says_what_it_lacks() {
    let app = App::new().await;
    let mut asked = request();
    asked.as_object_mut().unwrap().remove("policy");
    let made = app.select(&asked).await;
    assert_eq!(made["policy"], "hybrid");
    assert_eq!(made["candidates"].as_array().unwrap().len(), 3);
    assert!(
        made["degraded"].as_array().unwrap().iter().any(|entry| entry["evidence"] == "verifier"),
        "{made}"
    );
}

#[tokio::test]
async fn raw_files_are_read_and_their_labels_kept_out() {
    let app = App::new().await;
    let rows = [("a", "x = 1", true), ("b", "x = 2", false), ("c", "x = 2", false)].map(|(id, line, resolved)| {
        json!({"instance_id": "acme__tool-2", "candidate_id": id, "patch": patch("a.py", line), "resolved": resolved}).to_string()
    });
    let predictions = json!([{"instance_id": "acme__tool-2", "model_name_or_path": "m", "model_patch": patch("a.py", "x = 2")}]);
    let made = app
        .select(&json!({
            "policy": "majority",
            "files": [{"name": "pool.jsonl", "content": rows.join("\n")}, {"name": "preds.json", "content": predictions}],
        }))
        .await;
    assert_eq!(made["instance_id"], "acme__tool-2");
    assert_eq!(made["candidates"].as_array().unwrap().len(), 4);
    assert_eq!(made["chosen"], "b");
    assert_eq!(made["files"][0]["name"], "pool.jsonl");
    assert_eq!(made["files"][0]["candidates"], 3);
    assert_eq!(made["files"][0]["outcomes"], 3);
    assert!(made["outcomes"].as_array().unwrap().is_empty());
    let kept = app.get(&format!("/v1/candidates/{}", made["contents"]["a"].as_str().unwrap())).await;
    assert!(!kept.text.contains("resolved\":true"), "{}", kept.text);
}

#[tokio::test]
async fn unusable_files_name_the_file() {
    let app = App::new().await;
    let file =
        |content: Value| json!({"instance_id": "a", "files": [{"name": "x.json", "content": content}]});
    for content in [json!({"what": "ever"}), json!("not json"), json!(""), json!(7)] {
        let answer = app.post("/v1/selections", &file(content.clone())).await;
        assert_eq!(answer.problem(422, "invalid-field"), "files[0].content", "{content}");
    }
    let one_bad_line = format!(
        "{}\n{{broken\n",
        json!({"instance_id": "a", "candidate_id": "1", "patch": patch("a.py", "x"), "resolved": null})
    );
    let made = app.select(&file(json!(one_bad_line))).await;
    assert_eq!(made["files"][0]["problems"][0]["line"], 2, "{made}");
}

#[tokio::test]
async fn tests_count_and_must_fit() {
    let app = App::new().await;
    let mut asked = request();
    asked["policy"] = json!("test-votes");
    asked["tests"] = json!([
        {"kind": "reproduction", "suite": "s", "failed": ["t"]},
        {"candidate_id": "odd", "kind": "reproduction", "suite": "s", "results": {"t": "passed"}},
        {"candidate_id": "one", "kind": "reproduction", "suite": "s", "failed": ["t"]},
    ]);
    let made = app.select(&asked).await;
    assert_eq!(made["chosen"], "odd", "{made}");
    assert_eq!(made["candidates"][0]["tests"]["reproduction_passed"], 1);

    asked["tests"][1]["candidate_id"] = json!("nobody");
    assert_eq!(
        app.post("/v1/selections", &asked).await.problem(422, "invalid-field"),
        "tests[1].candidate_id"
    );
    asked["tests"] = json!([{"kind": "reproduction", "passed": ["t"], "failed": ["t"]}]);
    assert_eq!(app.post("/v1/selections", &asked).await.problem(422, "invalid-field"), "tests[0]");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let app = App::new().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut asked = request();
        change(&mut asked);
        asked
    };
    let cases: [(&str, Value); 13] = [
        (
            "candidates[1].instance_id",
            with(&|asked| asked["candidates"][1]["instance_id"] = json!("other-2")),
        ),
        ("candidates[1].candidate_id", with(&|asked| asked["candidates"][1]["candidate_id"] = json!("odd"))),
        (
            "candidates[0].candidate_id",
            with(&|asked| asked["candidates"][0]["candidate_id"] = json!("a\u{0}b")),
        ),
        (
            "candidates[0].turns[0].role",
            with(&|asked| asked["candidates"][0]["turns"] = json!([{"role": "boss"}])),
        ),
        ("candidates[2].pach", with(&|asked| asked["candidates"][2]["pach"] = json!(""))),
        ("instance_id", with(&|asked| asked["instance_id"] = json!(""))),
        ("instance_id", with(&|asked| asked["instance_id"] = Value::Null)),
        ("policy", with(&|asked| asked["policy"] = json!("best"))),
        ("options.min_confidence", with(&|asked| asked["options"] = json!({"min_confidence": 2}))),
        (
            "scores[0].candidate_id",
            with(&|asked| asked["scores"] = json!([{"candidate_id": "x", "probability": 0.5}])),
        ),
        (
            "scores[0].probability",
            with(&|asked| asked["scores"] = json!([{"candidate_id": "odd", "probability": 1.5}])),
        ),
        ("stored[0]", with(&|asked| asked["stored"] = json!(["00000000000000000000000000000000"]))),
        ("stored[0]", with(&|asked| asked["stored"] = json!(["nonsense"]))),
    ];
    for (field, asked) in cases {
        let answer = app.post("/v1/selections", &asked).await;
        assert_eq!(answer.problem(422, "invalid-field"), field, "{}", answer.text);
    }
}

#[tokio::test]
async fn limits_name_field_and_limit() {
    use selector::http::SelectionSettings;
    use server::ByteSize;
    let settings = SelectionSettings {
        candidates: 2,
        patch: ByteSize(200),
        turns: 1,
        test_results: 1,
        ..Default::default()
    };
    let app = App::with_settings(settings, None).await;
    let refused = async |candidates: Value, tests: Value| {
        let asked = json!({"instance_id": "a", "candidates": candidates, "tests": tests});
        let answer = app.post("/v1/selections", &asked).await;
        let field = answer.problem(413, "too-large");
        assert!(answer.text.contains("limit"), "{}", answer.text);
        field
    };
    assert_eq!(refused(json!([{}, {}, {}]), json!([])).await, "candidates");
    assert_eq!(refused(json!([{"patch": "x".repeat(201)}]), json!([])).await, "candidates[0].patch");
    assert_eq!(refused(json!([{"turns": [{}, {}]}]), json!([])).await, "candidates[0].turns");
    let tests = json!([{"kind": "regression", "passed": ["a", "b"]}]);
    assert_eq!(refused(json!([{}]), tests).await, "tests");
}

#[tokio::test]
async fn equal_runs_without_ids_are_different_candidates() {
    let app = App::new().await;
    let same = json!({"patch": patch("a.py", "x = 1")});
    let made = app
        .select(&json!({"instance_id": "a", "policy": "majority", "candidates": [same, same, {"patch": ""}]}))
        .await;
    let ids: Vec<&str> = made["contents"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().any(|id| id.ends_with("-2")), "{ids:?}");
    assert_eq!(made["candidates"][0]["votes"]["exact"], 2);
}

#[tokio::test]
async fn an_issue_without_candidates_is_an_empty_selection() {
    let app = App::new().await;
    let made = app.select(&json!({"instance_id": "a"})).await;
    assert_eq!(made["chosen"], Value::Null);
    assert_eq!(made["candidates"], json!([]));
}

#[tokio::test]
async fn stored_candidates_can_be_selected_by_content_id() {
    let app = App::new().await;
    let ingested = app
        .post(
            "/v1/candidates",
            &json!({"instance_id": "a", "candidates": [candidate("x", "v = 1"), candidate("y", "v = 2")]}),
        )
        .await
        .created();
    let ids: Vec<&str> = ingested["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept["content_id"].as_str().unwrap())
        .collect();
    let made = app
        .select(&json!({"stored": ids, "candidates": [candidate("z", "v = 2")], "policy": "majority"}))
        .await;
    assert_eq!(made["instance_id"], "a");
    assert_eq!(made["candidates"][0]["votes"]["exact"], 2);
    assert_eq!(made["contents"][ids[0]], ids[0]);
    let other = app.post("/v1/selections", &json!({"instance_id": "b", "stored": ids})).await;
    assert_eq!(other.problem(422, "invalid-field"), "stored[0].instance_id");
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let app = App::new().await;
    let mut made = Vec::new();
    for index in 0..5 {
        let mut asked = request();
        asked["instance_id"] = json!(format!("acme__tool-{}", index % 2));
        asked["policy"] = json!(if index == 4 { "medoid" } else { "majority" });
        made.push(app.select(&asked).await["id"].clone());
    }
    let ids = |page: &Value| {
        page["selections"].as_array().unwrap().iter().map(|line| line["id"].clone()).collect::<Vec<_>>()
    };
    let first = app.get("/v1/selections?limit=2").await.json();
    assert_eq!(ids(&first), [made[4].clone(), made[3].clone()]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("/v1/selections?limit=2&cursor={cursor}")).await.json();
    assert_eq!(ids(&second), [made[2].clone(), made[1].clone()]);
    let odd = app.get("/v1/selections?instance_id=acme__tool-1").await.json();
    assert_eq!(ids(&odd), [made[3].clone(), made[1].clone()]);
    assert_eq!(odd["next_cursor"], Value::Null);
    assert_eq!(ids(&app.get("/v1/selections?policy=medoid").await.json()), [made[4].clone()]);

    let report = format!("/v1/selections/{}/outcomes", made[2].as_str().unwrap());
    app.post(&report, &json!({"outcomes": [{"resolved": true}]})).await;
    // An outcome is of a run, so it shows wherever the same run was chosen.
    assert_eq!(
        ids(&app.get("/v1/selections?resolved=true&policy=majority").await.json()),
        [made[2].clone(), made[0].clone()]
    );
    assert_eq!(ids(&app.get("/v1/selections?resolved=false").await.json()), [Value::Null; 0]);
    assert_eq!(
        ids(&app.get("/v1/selections?has_outcome=false").await.json()),
        [made[3].clone(), made[1].clone()]
    );

    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("policy=x", "policy"),
        ("page=1", "page"),
    ] {
        let answer = app.get(&format!("/v1/selections?{query}")).await;
        assert_eq!(answer.problem(422, "invalid-field"), field, "{}", answer.text);
    }
}

#[tokio::test]
async fn outcomes_are_reported_and_the_latest_counts() {
    let app = App::new().await;
    let made = app.select(&request()).await;
    let path = format!("/v1/selections/{}", made["id"].as_str().unwrap());
    let outcomes = format!("{path}/outcomes");
    let reported = app
        .post(
            &outcomes,
            &json!({"outcomes": [{"resolved": false}, {"candidate_id": "odd", "resolved": true}]}),
        )
        .await;
    assert_eq!(reported.status, 200, "{}", reported.text);
    app.post(
        &outcomes,
        &json!({"outcomes": [{"candidate_id": "one", "resolved": true, "reward": 0.5}], "source": "ci"}),
    )
    .await;
    let read = app.get(&path).await.json();
    let of = |id: &str| {
        read["outcomes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|outcome| outcome["candidate_id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&of("one")["resolved"], &of("one")["source"], &of("one")["reward"]),
        (&json!(true), &json!("ci"), &json!(0.5))
    );
    assert_eq!((&of("odd")["resolved"], &of("odd")["source"]), (&json!(true), &json!("user")));

    for (body, field) in [
        (json!({"outcomes": []}), "outcomes"),
        (json!({"outcomes": [{"candidate_id": "x", "resolved": true}]}), "outcomes[0].candidate_id"),
        (
            json!({"outcomes": [{"resolved": true}, {"candidate_id": "one", "resolved": true}]}),
            "outcomes[1].candidate_id",
        ),
        (json!({"outcomes": [{"resolved": "yes"}]}), "outcomes[0].resolved"),
        (json!({"outcomes": [{"resolved": true}], "source": ""}), "source"),
    ] {
        assert_eq!(app.post(&outcomes, &body).await.problem(422, "invalid-field"), field, "{body}");
    }
    let nowhere = "/v1/selections/00000000-0000-7000-8000-000000000000";
    app.get(nowhere).await.problem(404, "not-found");
    app.get("/v1/selections/nonsense").await.problem(404, "not-found");
    app.post(&format!("{nowhere}/outcomes"), &json!({"outcomes": [{"resolved": true}]}))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_repeated_key_makes_one_selection() {
    let app = App::new().await;
    let first = app.post_with_key("/v1/selections", &request(), Some("k1")).await;
    let again = app.post_with_key("/v1/selections", &request(), Some("k1")).await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.headers["content-type"], "application/json");
    assert_eq!(app.get("/v1/selections").await.json()["selections"].as_array().unwrap().len(), 1);
    let mut other = request();
    other["policy"] = json!("medoid");
    app.post_with_key("/v1/selections", &other, Some("k1")).await.problem(422, "idempotency-mismatch");
}
