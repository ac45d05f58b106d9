//! Migrations, tokens, configuration and ingestion.

use serde_json::json;

use crate::support::{Service, request, run_in, workspace};

#[test]
fn migrations_are_listed_and_applied() {
    let dir = tempfile::tempdir().unwrap();
    let before = run_in(dir.path(), &["migrate", "--status"]).ok().out;
    assert!(before.contains("pending") && !before.contains("applied"), "{before}");
    let after = run_in(dir.path(), &["migrate"]).ok().out;
    assert!(after.contains("applied") && !after.contains("pending"), "{after}");
    assert_eq!(run_in(dir.path(), &["migrate", "--status"]).ok().out, after);
}

#[test]
fn a_token_opens_the_service_until_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let token = run_in(dir.path(), &["token", "create", "--name", "ci", "--scope", "read"]).ok().out;
    let token = token.trim();
    let service = Service::start(dir.path(), &["--auth", "required"]);
    let url = format!("{}/v1/selections", service.url);
    let client = reqwest::Client::new();
    assert_eq!(request(client.get(&url)).0, 401);
    assert_eq!(request(client.get(&url).bearer_auth(token)).0, 200);
    assert_eq!(request(client.post(&url).bearer_auth(token).json(&json!({}))).0, 403, "it may only read");

    let list = run_in(dir.path(), &["token", "list"]).ok().out;
    assert!(list.contains("ci") && list.contains("valid") && !list.contains(token), "{list}");
    let id = list.split_whitespace().find(|word| word.len() == 36 && word.matches('-').count() == 4).unwrap();
    run_in(dir.path(), &["token", "revoke", id]).ok();
    assert!(run_in(dir.path(), &["token", "list"]).ok().out.contains("revoked"));
}

#[test]
fn every_configuration_key_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let printed = run_in(dir.path(), &["up", "--print-config"]).ok().out;
    let table: toml::Table = printed.parse().unwrap();
    // Keys of back ends that call other servers are on a page of their own, which the first one names.
    let pages = ["docs/configuration.md", "docs/verifier-openai.md"];
    let docs = pages.map(|page| std::fs::read_to_string(workspace().join(page)).unwrap()).concat();
    for (section, keys) in &table {
        for key in keys.as_table().unwrap().keys() {
            let name = format!("{section}.{key}");
            assert!(docs.contains(&name), "{pages:?} do not mention {name}");
        }
    }
}

#[test]
fn a_wrong_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("entropo.toml"), "[http]\nbnd = \"127.0.0.1:1\"\n").unwrap();
    let ran = run_in(dir.path(), &["up"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("entropo.toml") && ran.err.contains("http.bnd"), "{}", ran.err);
}

#[test]
fn ingesting_keeps_each_run_once_with_its_label() {
    let dir = tempfile::tempdir().unwrap();
    let examples = workspace().join("examples");
    let first = run_in(dir.path(), &["ingest", examples.to_str().unwrap()]).ok().out;
    assert!(first.starts_with("23 candidates of 3 issues (23 new), 0 outcomes"), "{first}");
    let again = run_in(dir.path(), &["ingest", examples.to_str().unwrap()]).ok().out;
    assert!(again.contains("(0 new)"), "{again}");

    let row = |id: &str, resolved: bool| json!({"instance_id": "a__b-1", "candidate_id": id, "patch": crate::support::patch("x.py", id), "resolved": resolved});
    let rows = format!("{}\n{}\n", row("one", true), row("two", false));
    std::fs::write(dir.path().join("pool.jsonl"), rows).unwrap();
    let labelled = run_in(dir.path(), &["ingest", "pool.jsonl"]).ok().out;
    assert!(labelled.contains("2 candidates of 1 issues (2 new), 2 outcomes"), "{labelled}");

    let other = tempfile::tempdir().unwrap();
    let service = Service::start(other.path(), &[]);
    let sent = run_in(dir.path(), &["ingest", "pool.jsonl", "--server", &service.url]).ok().out;
    assert!(sent.contains("2 candidates of 1 issues (2 new), 2 outcomes"), "{sent}");
}
