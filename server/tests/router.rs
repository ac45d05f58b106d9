//! The layers around a small service, without sockets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    middleware::from_fn_with_state,
    response::IntoResponse as _,
    routing::{get, post},
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use server::{
    Edge, Json, Path, Problem, Query, Secret, Span,
    auth::{Authenticator, Caller, Scope, Token, TokenHash, TokenRecord, TokenStore},
    config::Limits,
    health::Probe,
    idempotency::{Claim, Claimed, Held, IdempotencyStore, StoredResponse, idempotent},
    stack,
};
use store::Tenant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<u32>,
}

fn service() -> Router {
    Router::new()
        .route(
            "/order",
            post(async |Json(order): Json<Order>| {
                (StatusCode::CREATED, order.items.iter().map(|item| item.count).sum::<u32>().to_string())
            }),
        )
        .route("/page", get(async |Query(page): Query<Page>| page.limit.unwrap_or(7).to_string()))
        .route("/thing/{id}", get(async |Path(id): Path<u32>| id.to_string()))
        .route("/panic", get(async || -> &'static str { panic!("at the disco") }))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_hours(1)).await))
        .route("/field", get(async || Problem::field("a.b", "is odd").into_response()))
}

fn edge() -> Edge {
    Edge {
        service: "test",
        limits: Limits::default(),
        auth: Authenticator::off(),
        loopback: true,
        probes: Vec::new(),
        stop: CancellationToken::new(),
    }
}

fn app() -> Router {
    stack(OpenApiRouter::from(service()), edge())
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

async fn body(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

async fn problem(app: &Router, request: Request<Body>, status: u16, slug: &str) -> Value {
    let response = send(app, request).await;
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body = body(response).await;
    assert_eq!(body["type"], format!("/docs#problem-{slug}"), "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], id);
    body
}

fn fetch(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn order(text: &str) -> Request<Body> {
    Request::post("/order")
        .header("content-type", "application/json")
        .body(Body::from(text.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn every_error_is_a_problem_with_the_request_id() {
    let app = app();
    problem(&app, fetch("/nowhere"), 404, "not-found").await;
    problem(&app, fetch("/thing/x"), 404, "not-found").await;
    problem(&app, fetch("/panic"), 500, "internal").await;
    problem(&app, fetch("/field"), 422, "invalid-field").await;
    let response = send(&app, fetch("/order")).await;
    assert_eq!(response.headers()["allow"], "POST");
    problem(&app, fetch("/order"), 405, "method-not-allowed").await;
    let given = Request::get("/nowhere").header("x-request-id", "mine-1").body(Body::empty()).unwrap();
    assert_eq!(problem(&app, given, 404, "not-found").await["request_id"], "mine-1");
}

#[tokio::test]
async fn json_errors_name_place_or_field() {
    let app = app();
    let ok = send(&app, order(r#"{"items": [{"count": 2}, {"count": 3}]}"#)).await;
    assert_eq!((ok.status(), body(ok).await), (StatusCode::CREATED, json!(5)));
    let syntax = problem(&app, order("{\n \"items\": [}"), 400, "bad-json").await;
    assert!(syntax["detail"].as_str().unwrap().starts_with("line 2, column 12"), "{syntax}");
    problem(&app, order(""), 400, "bad-json").await;
    problem(&app, order("{\"items\": ["), 400, "bad-json").await;
    for (text, field) in [
        (r#"{"items": [{"count": 1}, {"count": -1}]}"#, "items[1].count"),
        (r#"{"items": [{"count": 1, "cuont": 1}]}"#, "items[0].cuont"),
        (r"{}", "body"),
        (r"[]", "body"),
        (r#"{"items": [[1]]}"#, "items[0]"),
    ] {
        let found = problem(&app, order(text), 422, "invalid-field").await;
        assert_eq!(found["errors"][0]["field"], field, "{text}");
    }
    let untyped = Request::post("/order").body(Body::from("{}")).unwrap();
    problem(&app, untyped, 415, "unsupported-media-type").await;
    let query = problem(&app, fetch("/page?limit=many"), 422, "invalid-field").await;
    assert_eq!(query["errors"][0]["field"], "limit");
    assert_eq!(body(send(&app, fetch("/page?limit=3")).await).await, 3);
    problem(&app, fetch("/page?size=3"), 422, "invalid-field").await;
}

#[tokio::test]
async fn slow_requests_end_and_full_services_shed_but_stay_alive() {
    let limits =
        Limits { concurrency: 1, request_timeout: Span(Duration::from_millis(300)), ..Limits::default() };
    let app = stack(OpenApiRouter::from(service()), Edge { service: "full", limits, ..edge() });
    let busy = tokio::spawn({
        let app = app.clone();
        async move { problem(&app, fetch("/slow"), 503, "deadline-exceeded").await }
    });
    // It must have its place before others ask for one.
    tokio::task::yield_now().await;
    while send(&app, fetch("/page")).await.status() == 200 {
        assert!(!busy.is_finished());
    }
    let shed = send(&app, fetch("/page")).await;
    assert_eq!(shed.headers()["retry-after"], "1");
    assert_eq!(shed.headers()["x-content-type-options"], "nosniff");
    let id = shed.headers()["x-request-id"].clone();
    let shed = body(shed).await;
    assert_eq!((&shed["type"], &shed["status"]), (&json!("/docs#problem-overloaded"), &json!(503)));
    assert_eq!(shed["request_id"], id.to_str().unwrap());
    let named = Request::get("/thing/7").header("x-request-id", "mine").body(Body::empty()).unwrap();
    assert_eq!(body(send(&app, named).await).await["request_id"], "mine");
    assert_eq!(send(&app, fetch("/livez")).await.status(), 200);
    assert_eq!(send(&app, fetch("/docs")).await.status(), 200);
    assert_eq!(send(&app, fetch("/metrics")).await.status(), 200);
    busy.await.unwrap();
    assert_eq!(send(&app, fetch("/page")).await.status(), 200);
    // Refused or not, they are counted, by the template of their route.
    let metrics = send(&app, fetch("/metrics")).await.into_body().collect().await.unwrap().to_bytes();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let refused = r#"http_requests_total{service="full",method="GET",route="/thing/{id}",status="503"} 1"#;
    assert!(metrics.lines().any(|line| line == refused), "{metrics}");
}

struct Fixed(&'static str, Result<(), String>);

#[async_trait]
impl Probe for Fixed {
    fn name(&self) -> &'static str {
        self.0
    }
    async fn check(&self) -> Result<(), String> {
        self.1.clone()
    }
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_liveness_does_not_care() {
    let stop = CancellationToken::new();
    let ready = |probes: Vec<Arc<dyn Probe>>, stop: &CancellationToken| {
        stack(OpenApiRouter::from(service()), Edge { probes, stop: stop.clone(), ..edge() })
    };
    let app = ready(vec![Arc::new(Fixed("database", Ok(())))], &stop);
    let response = send(&app, fetch("/readyz")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(body(response).await, json!({"ready": true, "checks": {"database": "ok"}}));
    let broken = ready(vec![Arc::new(Fixed("database", Err("secret host".into())))], &stop);
    let response = send(&broken, fetch("/readyz")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(body(response).await, json!({"ready": false, "checks": {"database": "failed"}}));
    assert_eq!(send(&broken, fetch("/livez")).await.status(), 200);
    stop.cancel();
    assert_eq!(send(&app, fetch("/readyz")).await.status(), 503);
}

/// Fails until it is told otherwise.
struct Slow(AtomicBool);

#[async_trait]
impl Probe for Slow {
    fn name(&self) -> &'static str {
        "model"
    }
    async fn check(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { Err("warming up".to_owned()) }
    }
}

#[tokio::test]
async fn what_has_started_stays_started() {
    let model = Arc::new(Slow(AtomicBool::new(false)));
    let probes = vec![Arc::clone(&model) as Arc<dyn Probe>];
    let app = stack(OpenApiRouter::from(service()), Edge { probes, ..edge() });
    let status = async |path: &str| send(&app, fetch(path)).await.status().as_u16();
    assert_eq!((status("/startupz").await, status("/readyz").await), (503, 503));
    model.0.store(true, Ordering::SeqCst);
    assert_eq!(status("/startupz").await, 200);
    model.0.store(false, Ordering::SeqCst);
    assert_eq!((status("/startupz").await, status("/readyz").await), (200, 503));
}

#[tokio::test]
async fn metrics_have_the_route_and_not_the_path() {
    let app = app();
    send(&app, fetch("/thing/12345")).await;
    send(&app, fetch("/wp-login.php")).await;
    let response = send(&app, fetch("/metrics")).await;
    let text = body(response).await;
    let text = text.as_str().unwrap();
    assert!(text.contains(r#"method="GET",route="/thing/{id}",status="200"}"#), "{text}");
    assert!(text.contains(r#"method="GET",route="unmatched",status="404"}"#), "{text}");
    assert!(text.contains("http_request_duration_seconds_bucket"), "{text}");
    assert!(text.contains("http_requests_in_flight"), "{text}");
    assert!(!text.contains("12345") && !text.contains("wp-login"), "{text}");
}

struct Tokens(BTreeMap<[u8; 32], TokenRecord>);

#[async_trait]
impl TokenStore for Tokens {
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, String> {
        Ok(self.0.get(hash.as_bytes()).cloned())
    }
}

#[tokio::test]
async fn tokens_are_asked_for_and_their_scopes_hold() {
    let mut tokens = BTreeMap::new();
    let mut create = |scope: Scope, expired: bool| {
        let token = Token::generate().unwrap();
        let record = TokenRecord {
            id: "t".into(),
            name: "t".into(),
            tenant: Tenant::DEFAULT,
            hash: token.hash,
            previous: None,
            scope,
            expired,
        };
        tokens.insert(*token.hash.as_bytes(), record);
        format!("Bearer {}", token.secret.expose())
    };
    let (reader, writer, expired) =
        (create(Scope::Read, false), create(Scope::Write, false), create(Scope::Admin, true));
    let auth = Authenticator::required(&Secret::new("root"), Some(Arc::new(Tokens(tokens))));
    let app = stack(OpenApiRouter::from(service()), Edge { auth, loopback: false, ..edge() });
    let status = async |mut request: Request<Body>, token: &str| {
        request.headers_mut().insert("authorization", token.parse().unwrap());
        send(&app, request).await.status().as_u16()
    };
    problem(&app, fetch("/page"), 401, "unauthorized").await;
    assert_eq!(send(&app, fetch("/page")).await.headers()["www-authenticate"], "Bearer realm=\"entropo\"");
    assert_eq!(status(fetch("/page"), "Bearer wrong").await, 401);
    assert_eq!(status(fetch("/page"), &expired).await, 401);
    assert_eq!(status(fetch("/page"), &reader).await, 200);
    assert_eq!(status(order(r#"{"items": []}"#), &reader).await, 403);
    assert_eq!(status(order(r#"{"items": []}"#), &writer).await, 201);
    assert_eq!(status(order(r#"{"items": []}"#), "Bearer root").await, 201);
    assert_eq!(status(fetch("/page"), "Basic bWU6cm9vdA==").await, 200);
    assert_eq!(send(&app, fetch("/metrics")).await.status(), 401);
    for open in ["/livez", "/readyz", "/startupz", "/openapi.json", "/docs"] {
        assert_eq!(send(&app, fetch(open)).await.status(), 200, "{open}");
    }
}

#[tokio::test]
async fn a_rotated_token_has_two_secrets_and_each_opens_its_tenant_only() {
    let [now, before, strange] = [(); 3].map(|()| Token::generate().unwrap());
    let record = TokenRecord {
        id: "t".into(),
        name: "t".into(),
        tenant: "acme".parse().unwrap(),
        hash: now.hash,
        previous: Some(before.hash),
        scope: Scope::Admin,
        expired: false,
    };
    let tokens = [&now, &before, &strange].map(|token| (*token.hash.as_bytes(), record.clone()));
    let auth = Authenticator::required(&Secret::new("root"), Some(Arc::new(Tokens(tokens.into()))));
    let app = Router::new().route("/who", get(async |caller: Caller| caller.tenant.to_string()));
    let app = stack(OpenApiRouter::from(app), Edge { auth, loopback: false, ..edge() });
    let ask = async |token: &str, tenant: Option<&str>| {
        let mut request = fetch("/who");
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        if let Some(tenant) = tenant {
            request.headers_mut().insert("entropo-tenant", tenant.parse().unwrap());
        }
        let response = send(&app, request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    for token in [&now, &before] {
        assert_eq!(ask(token.secret.expose(), None).await, (200, "acme".to_owned()));
        assert_eq!(ask(token.secret.expose(), Some("acme")).await, (200, "acme".to_owned()));
        assert_eq!(
            ask(token.secret.expose(), Some("other")).await.0,
            403,
            "an administrator, of another tenant"
        );
    }
    // The store found the record by a hash that it does not have: whoever holds that secret stays outside.
    assert_eq!(ask(strange.secret.expose(), None).await.0, 401);
    assert_eq!(ask("root", None).await, (200, "default".to_owned()));
    assert_eq!(ask("root", Some("acme")).await, (200, "acme".to_owned()));
    assert_eq!(ask("root", Some("../acme")).await.0, 422);
}

#[tokio::test]
async fn a_token_that_sends_too_much_is_told_to_wait() {
    let limits = Limits { requests_per_second: 3, ..Limits::default() };
    let app = stack(OpenApiRouter::from(service()), Edge { limits, ..edge() });
    let mut seen = Vec::new();
    for _ in 0..5 {
        let response = send(&app, fetch("/page")).await;
        let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        seen.push((response.status().as_u16(), wait));
    }
    assert_eq!(seen.iter().filter(|(status, _)| *status == 200).count(), 3, "{seen:?}");
    assert!(
        seen.iter().all(|(status, wait)| *status == 200 || (*status == 429 && wait.is_some())),
        "{seen:?}"
    );
    // Whether the service lives is asked without a place in the row.
    assert_eq!(send(&app, fetch("/livez")).await.status(), 200);
}

#[derive(Default)]
struct Keys(Mutex<BTreeMap<(String, String), Kept>>);

/// Hash of the body, and the response once there is one.
type Kept = ([u8; 32], Option<StoredResponse>);

#[async_trait]
impl IdempotencyStore for Keys {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, String> {
        let mut keys = self.0.lock().unwrap();
        let at = (claim.scope.clone(), claim.key.clone());
        Ok(match keys.get(&at) {
            None => {
                keys.insert(at, (claim.body_hash, None));
                Claimed::Fresh(Held {
                    tenant: claim.tenant.clone(),
                    scope: claim.scope.clone(),
                    key: claim.key.clone(),
                    id: uuid::Uuid::nil(),
                })
            }
            Some((hash, _)) if *hash != claim.body_hash => Claimed::Mismatch,
            Some((_, None)) => Claimed::InProgress,
            Some((_, Some(response))) => Claimed::Replay(response.clone()),
        })
    }
    async fn renew(&self, held: &Held) -> Result<(), String> {
        assert!(self.0.lock().unwrap().contains_key(&(held.scope.clone(), held.key.clone())));
        Ok(())
    }
    async fn complete(&self, held: &Held, response: &StoredResponse) -> Result<(), String> {
        let mut keys = self.0.lock().unwrap();
        keys.get_mut(&(held.scope.clone(), held.key.clone())).unwrap().1 = Some(response.clone());
        Ok(())
    }
    async fn release(&self, held: &Held) -> Result<(), String> {
        self.0.lock().unwrap().remove(&(held.scope.clone(), held.key.clone()));
        Ok(())
    }
}

#[tokio::test]
async fn a_key_makes_a_retry_a_repetition() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let keys: Arc<Keys> = Arc::default();
    let store: Arc<dyn IdempotencyStore> = keys.clone();
    let create = async |Json(order): Json<Order>| {
        let run = RUNS.fetch_add(1, Ordering::SeqCst) + 1;
        match order.items.len() {
            0 => Problem::field("items", "is empty").into_response(),
            _ => (StatusCode::CREATED, [("location", format!("/v1/{run}"))], axum::Json(run)).into_response(),
        }
    };
    let service = Router::new().route("/create", post(create).layer(from_fn_with_state(store, idempotent)));
    let app = stack(OpenApiRouter::from(service), edge());
    let request = |key: &str, text: &str| {
        let builder = Request::post("/create")
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        builder.body(Body::from(text.to_owned())).unwrap()
    };
    let one = r#"{"items": [{"count": 1}]}"#;
    let two = r#"{"items": [{"count": 2}]}"#;

    let first = send(&app, request("k", one)).await;
    assert_eq!(first.status(), 201);
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let again = send(&app, request("k", one)).await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.headers()["location"], "/v1/1");
    assert_eq!(body(again).await, 1);
    problem(&app, request("k", two), 422, "idempotency-mismatch").await;
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);

    // A failure frees the key: the corrected request may use it.
    problem(&app, request("f", r#"{"items": []}"#), 422, "invalid-field").await;
    while keys.0.lock().unwrap().keys().any(|(_, key)| key == "f") {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&app, request("f", one)).await.status(), 201);

    keys.0.lock().unwrap().values_mut().for_each(|(_, response)| *response = None);
    problem(&app, request("k", one), 409, "idempotency-in-progress").await;
    problem(&app, request("a key", one), 422, "invalid-field").await;
}

#[tokio::test]
async fn other_hosts_are_refused_on_an_open_loopback_service() {
    let app = app();
    let rebound = Request::get("/page").header("host", "evil.example").body(Body::empty()).unwrap();
    problem(&app, rebound, 403, "forbidden").await;
    let mut forged = order(r#"{"items": []}"#);
    forged.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    forged.headers_mut().insert("host", "localhost:1".parse().unwrap());
    problem(&app, forged, 403, "forbidden").await;
}
