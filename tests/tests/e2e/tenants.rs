//! Every operation of every service, asked by one tenant about the records of another: it must answer as if they were
//! not there. An operation that this file has no decision about fails the test, so a new one forces a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{patch, request, run_in};
use crate::training::{Process, config, place};

/// In every text of tenant a: it must never reach b.
const MARK: &str = "quagga-7f31";
const ISSUE: &str = "zebra__herd-9";
/// An id of each kind that nobody has.
const NO_UUID: &str = "019ab000-0000-7000-8000-00000000dead";
const NO_CONTENT: &str = "00000000000000000000000000000000";

/// What an operation does with ids.
enum Decision {
    /// Shows or changes no tenant's records.
    Nobody,
    /// Of the whole deployment, with what holds it together.
    Shared(&'static str),
    /// Requests that name a's records, each beside the same one that names nothing: b must get equal answers.
    Alike(Vec<(Ask, Ask)>),
    /// Requests whose answer must hold nothing of a's.
    Hidden(Vec<Ask>),
}

/// A request.
#[derive(Clone)]
struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    status: u16,
}

fn get(path: &str) -> Ask {
    Ask { method: Method::GET, path: path.to_owned(), body: None, status: 200 }
}

fn post(path: &str, body: Value) -> Ask {
    Ask { method: Method::POST, path: path.to_owned(), body: Some(body), status: 200 }
}

/// A request that b must be refused, with a's ids and with those that nobody has.
fn refused(status: u16, ask: impl Fn(&Ids) -> Ask, ids: &Ids) -> (Ask, Ask) {
    let with = |ids: &Ids| Ask { status, ..ask(ids) };
    (with(ids), with(&Ids::nobodys()))
}

/// The ids of a's records.
struct Ids {
    selection: String,
    content: String,
    run: String,
    step: String,
    file: String,
    cursor: String,
    checkpoint: String,
}

impl Ids {
    fn nobodys() -> Self {
        Self {
            selection: NO_UUID.to_owned(),
            content: NO_CONTENT.to_owned(),
            run: NO_UUID.to_owned(),
            step: "424242".to_owned(),
            file: "nothing".to_owned(),
            cursor: format!("{}{}", "0".repeat(16), NO_UUID.replace('-', "")),
            checkpoint: "entropo-data/models/nothing".to_owned(),
        }
    }

    /// Every id as the same word, so that answers can be compared.
    fn blank(&self, text: &str) -> String {
        let unknown = Self::nobodys();
        [self, &unknown].iter().fold(text.to_owned(), |text, ids| {
            let text = text.replace(&ids.selection, "ID").replace(&ids.content, "ID");
            text.replace(&ids.run, "ID").replace(&format!("step {}", ids.step), "step N")
        })
    }
}

/// A deployment with two tenants, and a caller of each.
struct Deployment {
    process: Process,
    a: String,
    b: String,
}

fn token(dir: &Path, args: &[&str]) -> String {
    let args: Vec<&str> = ["token", "create", "--name", "t"].iter().chain(args).copied().collect();
    run_in(dir, &args).ok().out.trim().to_owned()
}

impl Deployment {
    fn send(&self, service: &str, token: &str, ask: &Ask) -> (u16, String) {
        let url = format!("{}{}", self.process.url(service), ask.path);
        let mut built = reqwest::Client::new().request(ask.method.clone(), url).bearer_auth(token);
        if let Some(body) = &ask.body {
            built = built.json(body);
        }
        request(built)
    }

    fn done(&self, service: &str, ask: &Ask) -> Value {
        let (status, text) = self.send(service, &self.a, ask);
        assert!((200..300).contains(&status), "{} {}: {status} {text}", ask.method, ask.path);
        serde_json::from_str(&text).unwrap()
    }

    /// Records of a of every kind.
    fn fill(&self) -> Ids {
        let issue = format!("{MARK} runs in circles");
        let fix = patch("herd.py", MARK);
        let candidates = json!([
            {"candidate_id": "one", "patch": fix, "exit": "submitted",
             "turns": [{"role": "user", "content": MARK}, {"role": "assistant", "content": MARK}]},
            {"candidate_id": "two", "patch": patch("herd.py", "b = 5"), "exit": "submitted",
             "turns": [{"role": "user", "content": MARK}, {"role": "assistant", "content": "no"}]},
        ]);
        let body = json!({"instance_id": ISSUE, "issue": issue, "candidates": candidates, "scores": [
            {"candidate_id": "one", "probability": 0.9, "logit": 2.0, "revision": MARK}]});
        let selection = self.done("selector", &post("/v1/selections", body));
        self.done(
            "selector",
            &post("/v1/selections", json!({"instance_id": ISSUE, "candidates": candidates})),
        );
        let id = selection["id"].as_str().unwrap();
        let outcomes = json!({"outcomes": [{"candidate_id": "one", "resolved": true},
            {"candidate_id": "two", "resolved": false}], "source": MARK});
        self.done("selector", &post(&format!("/v1/selections/{id}/outcomes"), outcomes));
        let page = self.done("selector", &get("/v1/selections?limit=1"));

        let run = self.done("trainer", &post("/v1/runs", json!({"name": MARK, "config": config("dpo", 5)})));
        let run = run["id"].as_str().unwrap().to_owned();
        let begun = std::time::Instant::now();
        let ended = loop {
            let run = self.done("trainer", &get(&format!("/v1/runs/{run}")));
            if !["queued", "running"].contains(&run["state"].as_str().unwrap()) {
                break run;
            }
            assert!(begun.elapsed().as_secs() < 300, "{run}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        assert_eq!(ended["state"], "done", "{ended}");
        let checkpoints = self.done("trainer", &get(&format!("/v1/runs/{run}/checkpoints")));
        let checkpoint = &checkpoints["data"][0];
        Ids {
            selection: id.to_owned(),
            content: selection["contents"]["one"].as_str().unwrap().to_owned(),
            step: checkpoint["step"].to_string(),
            file: checkpoint["files"][0]["path"].as_str().unwrap().to_owned(),
            cursor: page["next_cursor"].as_str().unwrap().to_owned(),
            checkpoint: format!("entropo-data/runs/{run}/{}", checkpoint["path"].as_str().unwrap()),
            run,
        }
    }
}

fn selector(ids: &Ids) -> BTreeMap<&'static str, Decision> {
    use Decision::{Alike, Hidden, Nobody};
    let outcome = json!({"outcomes": [{"candidate_id": "one", "resolved": false}]});
    let mine =
        json!({"instance_id": ISSUE, "candidates": [{"candidate_id": "m", "patch": patch("x.py", "b = 7")}]});
    BTreeMap::from([
        ("GET /v1/policies", Nobody),
        (
            "GET /v1/candidates/{content_id}",
            Alike(vec![refused(404, |ids| get(&format!("/v1/candidates/{}", ids.content)), ids)]),
        ),
        // What b hands in is b's, also under the name of an issue that a has.
        ("POST /v1/candidates", Hidden(vec![Ask { status: 201, ..post("/v1/candidates", mine.clone()) }])),
        (
            "GET /v1/preferences",
            Hidden(vec![get("/v1/preferences?kind=pairs"), get("/v1/preferences?kind=kto")]),
        ),
        (
            "GET /v1/selections",
            Hidden(vec![
                get("/v1/selections"),
                get(&format!("/v1/selections?instance_id={ISSUE}&resolved=true")),
                get("/v1/selections?has_outcome=true"),
                get(&format!("/v1/selections?cursor={}", ids.cursor)),
            ]),
        ),
        (
            "GET /v1/selections/{id}",
            Alike(vec![refused(404, |ids| get(&format!("/v1/selections/{}", ids.selection)), ids)]),
        ),
        (
            "POST /v1/selections/{id}/outcomes",
            Alike(vec![refused(
                404,
                |ids| post(&format!("/v1/selections/{}/outcomes", ids.selection), outcome.clone()),
                ids,
            )]),
        ),
        (
            "POST /v1/selections",
            Alike(vec![refused(
                422,
                |ids| post("/v1/selections", json!({"instance_id": ISSUE, "stored": [ids.content]})),
                ids,
            )]),
        ),
    ])
}

fn trainer(ids: &Ids) -> BTreeMap<&'static str, Decision> {
    use Decision::{Alike, Hidden};
    let of_run = |method: Method, rest: &'static str| {
        let ask = move |ids: &Ids| {
            let rest = rest.replace("{step}", &ids.step).replace("{path}", &ids.file);
            Ask {
                method: method.clone(),
                path: format!("/v1/runs/{}{rest}", ids.run),
                body: None,
                status: 404,
            }
        };
        Alike(vec![refused(404, ask, ids)])
    };
    let from = |ids: &Ids| {
        let mut config = config("dpo", 5);
        config["model"]["path"] = ids.checkpoint.as_str().into();
        post("/v1/runs", json!({"config": config}))
    };
    BTreeMap::from([
        (
            "GET /v1/runs",
            Hidden(vec![
                get("/v1/runs"),
                get("/v1/runs?state=done"),
                get(&format!("/v1/runs?after={}", ids.run)),
            ]),
        ),
        ("POST /v1/runs", Alike(vec![refused(422, from, ids)])),
        ("GET /v1/runs/{id}", of_run(Method::GET, "")),
        ("POST /v1/runs/{id}/cancel", of_run(Method::POST, "/cancel")),
        ("POST /v1/runs/{id}/resume", of_run(Method::POST, "/resume")),
        ("GET /v1/runs/{id}/events", of_run(Method::GET, "/events")),
        ("GET /v1/runs/{id}/checkpoints", of_run(Method::GET, "/checkpoints")),
        (
            "POST /v1/runs/{id}/checkpoints/{step}/promote",
            of_run(Method::POST, "/checkpoints/{step}/promote"),
        ),
        ("GET /v1/runs/{id}/artifacts", of_run(Method::GET, "/artifacts")),
        ("GET /v1/runs/{id}/artifacts/{path}", of_run(Method::GET, "/artifacts/{path}")),
    ])
}

fn verifier() -> BTreeMap<&'static str, Decision> {
    use Decision::{Hidden, Nobody, Shared};
    let models = "models are the deployment's; changing which one answers takes the scope admin";
    let score = json!({"instance_id": ISSUE, "candidates": [{"candidate_id": "one", "patch": patch("herd.py", MARK)}]});
    BTreeMap::from([
        // The candidate is b's own here; that a had it scored, and what a's issue says, must not show.
        ("POST /v1/score", Hidden(vec![post("/v1/score", score)])),
        ("POST /score", Nobody),
        ("POST /v1/rerank", Nobody),
        ("POST /rerank", Nobody),
        ("POST /v2/rerank", Nobody),
        ("POST /v1/classify", Nobody),
        ("POST /classify", Nobody),
        ("POST /tokenize", Nobody),
        ("GET /v1/models", Shared(models)),
        ("GET /v1/models/{name}", Shared(models)),
        ("POST /v1/models/{name}/activate", Shared(models)),
        ("POST /v1/models/{name}/shadow", Shared(models)),
        ("POST /v1/models/{name}/rollback", Shared(models)),
        ("POST /v1/models/{name}/load", Shared(models)),
        ("POST /v1/models/{name}/unload", Shared(models)),
    ])
}

/// The operations of a service by its own description.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|key| {
            ["get", "put", "post", "delete", "patch", "head", "options"].contains(&key.as_str())
        });
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    // Whether the service runs is nobody's record.
    all.filter(|one| !["GET /livez", "GET /readyz", "GET /startupz"].contains(&one.as_str())).collect()
}

/// An answer without what differs from request to request.
fn comparable(ids: &Ids, text: &str) -> Value {
    let text = ids.blank(text);
    let mut value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(fields) = value.as_object_mut() {
        fields.remove("request_id");
        fields.remove("instance");
    }
    value
}

fn check(on: &Deployment, service: &str, ids: &Ids, decisions: &BTreeMap<&str, Decision>) {
    let document: Value = {
        let (status, text) = on.send(service, &on.b, &get("/openapi.json"));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let decided: BTreeSet<String> = decisions.keys().map(|&key| key.to_owned()).collect();
    assert_eq!(
        operations(&document),
        decided,
        "decide here what each operation of the {service} shows to other tenants"
    );
    for (operation, decision) in decisions {
        match decision {
            Decision::Nobody => {}
            Decision::Shared(why) => assert!(!why.is_empty()),
            Decision::Alike(pairs) => {
                for (theirs, nothing) in pairs {
                    let asked = on.send(service, &on.b, theirs);
                    let unknown = on.send(service, &on.b, nothing);
                    assert_eq!(asked.0, theirs.status, "{operation}: {}", asked.1);
                    assert_eq!(asked.0, unknown.0, "{operation}");
                    assert_eq!(comparable(ids, &asked.1), comparable(ids, &unknown.1), "{operation}");
                    assert!(!asked.1.contains(MARK), "{operation}: {}", asked.1);
                }
            }
            Decision::Hidden(asks) => {
                for ask in asks {
                    let (status, text) = on.send(service, &on.b, ask);
                    assert_eq!(status, ask.status, "{operation}: {text}");
                    for word in [MARK, &ids.selection, &ids.content, &ids.run] {
                        assert!(!text.contains(word), "{operation} {}: {text}", ask.path);
                    }
                }
            }
        }
    }
    // The same requests are answered to a: what b was refused is there.
    for (operation, decision) in decisions {
        let Decision::Alike(pairs) = decision else { continue };
        for (theirs, _) in pairs {
            let (status, text) = on.send(service, &on.a, theirs);
            assert_ne!(status, theirs.status, "{operation} must work for its owner: {text}");
        }
    }
}

#[test]
fn no_operation_shows_a_tenant_what_another_one_has() {
    let dir = place();
    let [a, b, root] = [["a", "admin"], ["b", "admin"], ["default", "admin"]]
        .map(|[tenant, scope]| token(dir.path(), &["--tenant", tenant, "--scope", scope]));
    let process = Process::start(dir.path(), &["up", "--auth", "required"]);
    let on = Deployment { process, a, b };
    let ids = on.fill();

    // A key that a used is free for b.
    let key = |token: &str, body: Value| {
        let url = format!("{}/v1/candidates", on.process.url("selector"));
        let built = reqwest::Client::new().post(url).bearer_auth(token).header("idempotency-key", "k");
        request(built.json(&body))
    };
    let mine = |word: &str| json!({"instance_id": "own__one-1", "candidates": [{"candidate_id": word, "patch": ""}]});
    assert_eq!(key(&on.a, mine("x")).0, 201);
    assert_eq!(key(&on.a, mine("y")).0, 422);
    assert_eq!(key(&on.b, mine("y")).0, 201);

    // That a had something scored does not show: b's first time is a first time.
    let score =
        json!({"issue": "same", "candidates": [{"candidate_id": "one", "patch": patch("s.py", "b = 3")}]});
    let cached = |token: &str| {
        let (status, text) = on.send("verifier", token, &post("/v1/score", score.clone()));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["scores"][0]["cached"].as_bool().unwrap()
    };
    assert_eq!([cached(&on.a), cached(&on.a), cached(&on.b), cached(&on.b)], [false, true, false, true]);

    check(&on, "selector", &ids, &selector(&ids));
    check(&on, "verifier", &ids, &verifier());
    check(&on, "trainer", &ids, &trainer(&ids));
    pages(&on, &ids);
    acting(&on, &ids, &root);
}

/// The web page, which the description does not list.
fn pages(on: &Deployment, ids: &Ids) {
    let (status, text) = on.send("selector", &on.b, &get("/"));
    assert!(status == 200 && !text.contains(&ids.selection) && !text.contains(MARK), "{text}");
    let (_, text) = on.send("selector", &on.a, &get("/"));
    assert!(text.contains(&ids.selection), "{text}");
    for rest in [
        "",
        "/candidate?candidate=one",
        "/compare?a=one&b=two",
        "/tests",
        "/trajectory?candidate=one",
        "/raw?what=issue",
    ] {
        let page = |id: &str| get(&format!("/selections/{id}{rest}"));
        let asked = on.send("selector", &on.b, &page(&ids.selection));
        let unknown = on.send("selector", &on.b, &page(NO_UUID));
        assert_eq!((asked.0, ids.blank(&asked.1)), (404, ids.blank(&unknown.1)), "{rest}");
        assert_eq!(on.send("selector", &on.a, &page(&ids.selection)).0, 200, "{rest}");
    }
    let report = |token: &str| {
        let url = format!("{}/selections/{}/outcome", on.process.url("selector"), ids.selection);
        let form = reqwest::Client::new().post(url).bearer_auth(token).body("resolved=one");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        request(form.header("sec-fetch-site", "same-origin")).0
    };
    assert_eq!(report(&on.b), 404);
}

/// Only the operator acts for others, and only the operator sees the numbers of all.
fn acting(on: &Deployment, ids: &Ids, root: &str) {
    let acting_for = |token: &str, tenant: &str| {
        let url = format!("{}/v1/selections/{}", on.process.url("selector"), ids.selection);
        request(reqwest::Client::new().get(url).bearer_auth(token).header("entropo-tenant", tenant)).0
    };
    assert_eq!(acting_for(&on.b, "a"), 403);
    assert_eq!(acting_for(&on.b, "default"), 403);
    assert_eq!(acting_for(&on.a, "a"), 200);
    assert_eq!(acting_for(root, "a"), 200);
    assert_eq!(acting_for(root, "b"), 404);
    assert_eq!(acting_for(root, "../a"), 422);
    for service in ["selector", "verifier", "trainer"] {
        assert_eq!(on.send(service, &on.b, &get("/metrics")).0, 403, "{service}");
        assert_eq!(on.send(service, root, &get("/metrics")).0, 200, "{service}");
    }
}
