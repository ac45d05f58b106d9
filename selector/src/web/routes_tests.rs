//! The page over a real store, as a browser and as htmx see it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use server::auth::Caller;
use store::{
    ConnectOptions, Member, NewCandidate, NewIssue, NewMember, NewSelection, Store, Tenant, Timestamp,
    connect,
};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::respond::{CONTENT_POLICY, RAW_POLICY};
use super::sample::{self, ID};

struct Site {
    store: Arc<dyn Store>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Site {
    /// A store with the sample selection in it.
    async fn new() -> Self {
        let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
        let detail = sample::detail();
        let members = detail.candidates.iter().map(|c| {
            let run = common::Trajectory { patch: c.patch.clone(), steps: c.steps, ..sample::trajectory() };
            NewMember {
                candidate_id: c.candidate_id.clone(),
                content: Member::New(Box::new(NewCandidate::prepare(&run).unwrap())),
            }
        });
        let selection = NewSelection {
            id: Uuid::try_parse(ID).unwrap(),
            created_at: Timestamp(1_772_357_412_000_001),
            issue: NewIssue { instance_id: detail.selection.instance_id.clone(), text: detail.issue },
            members: members.collect(),
            tests: detail.tests,
            scores: Vec::new(),
            request: serde_json::json!({}),
            result: detail.selection,
        };
        store.record_selection(&Tenant::DEFAULT, selection, None).await.unwrap();
        Self { store }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = super::router(Arc::clone(&self.store))
            .layer(Extension(Caller::anonymous()))
            .oneshot(request)
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    async fn get(&self, url: &str, htmx: bool) -> Answer {
        let mut request = Request::get(url);
        if htmx {
            request = request.header("hx-request", "true");
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(format!("/selections/{ID}/outcome"));
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }
}

#[tokio::test]
async fn every_address_answers_with_the_right_headers() {
    let site = Site::new().await;
    for url in [
        "/".to_owned(),
        "/?policy=hybrid&outcome=none&instance_id=acme__textkit-42".to_owned(),
        format!("/selections/{ID}"),
        format!("/selections/{ID}?candidate=run-02"),
        format!("/selections/{ID}/candidate?candidate=run-02"),
        format!("/selections/{ID}/compare?a=run-02&b=a%252F..%252Fb%253Fc%253Dd%2526e%2523f"),
        format!("/selections/{ID}/tests"),
        format!("/selections/{ID}/trajectory?candidate=run-07"),
        format!("/selections/{ID}/trajectory?candidate=run-07&from=3"),
    ] {
        for htmx in [false, true] {
            let answer = site.get(&url, htmx).await;
            assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.text);
            assert_eq!(answer.header("content-security-policy"), CONTENT_POLICY, "{url}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("referrer-policy"), "same-origin");
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
            assert_eq!(answer.header("vary"), "hx-request");
            assert!(!answer.text.contains("<script>alert"), "{url}");
        }
    }
}

#[tokio::test]
async fn htmx_gets_parts_and_browsers_get_pages() {
    let site = Site::new().await;
    for part in ["candidate?candidate=run-02", "compare?a=run-02&b=run-07", "trajectory?candidate=run-02"] {
        let url = format!("/selections/{ID}/{part}");
        assert!(site.get(&url, false).await.text.starts_with("<!doctype html>"), "{part}");
        assert!(!site.get(&url, true).await.text.contains("<html"), "{part}");
    }
    let restored = Request::get(format!("/selections/{ID}/candidate?candidate=run-02"))
        .header("hx-request", "true")
        .header("hx-history-restore-request", "true");
    let answer = site.send(restored.body(Body::empty()).unwrap()).await;
    assert!(answer.text.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let site = Site::new().await;
    for url in [
        "/selections/nonsense".to_owned(),
        "/selections/0193a5c0-0000-7000-8000-00000000ffff".to_owned(),
        format!("/selections/{ID}?candidate=nobody"),
        format!("/selections/{ID}/candidate?candidate=nobody"),
        format!("/selections/{ID}/trajectory?candidate=nobody"),
        format!("/selections/{ID}/raw?candidate=run-07&what=turn&turn=99"),
        format!("/selections/{ID}/raw?candidate=run-07&what=else"),
        "/assets/../Cargo.toml".to_owned(),
        "/assets/other.js".to_owned(),
    ] {
        assert_eq!(site.get(&url, false).await.status, StatusCode::NOT_FOUND, "{url}");
    }
    assert_eq!(site.get("/?outcome=odd", false).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let bad_cursor = site.get("/?after=odd", true).await;
    assert_eq!(bad_cursor.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad_cursor.text.starts_with("<p class=\"warn\""), "htmx gets a part: {}", bad_cursor.text);
}

#[tokio::test]
async fn raw_text_is_whole_and_inert() {
    let site = Site::new().await;
    let patch = sample::detail().candidates[0].patch.clone().unwrap();
    for (ask, want) in [
        ("candidate=run-07&what=patch", patch.as_str()),
        ("candidate=run-07&what=turn&turn=6", "The file was edited."),
        ("what=issue", sample::detail().issue.as_deref().unwrap()),
    ] {
        let answer = site.get(&format!("/selections/{ID}/raw?{ask}"), false).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, want));
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), RAW_POLICY);
    }
}

#[tokio::test]
async fn assets_are_kept_for_good_and_named_by_their_content() {
    let site = Site::new().await;
    let page = site.get("/", false).await.text;
    let style = page.split("href=\"").find(|s| s.starts_with("/assets/style")).unwrap();
    let style = style.split('"').next().unwrap();
    let answer = site.get(style, false).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert!(answer.header("cache-control").contains("immutable"));
    let script = site.get("/assets/htmx.js", false).await;
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
}

const HERE: [(&str, &str); 2] = [("sec-fetch-site", "same-origin"), ("host", "localhost:8080")];

#[tokio::test]
async fn an_outcome_is_stored_and_shown() {
    let site = Site::new().await;
    let form = "resolved%3Arun-07=yes&resolved%3Aa%252F..%252Fb%253Fc%253Dd%2526e%2523f=no&resolved%3Arun-02=&source=CI";
    let answer = site.post(form, &HERE).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.header("location"), format!("/selections/{ID}?reported=2#outcome"));

    let stored = site.store.selection_outcomes(&Tenant::DEFAULT, Uuid::try_parse(ID).unwrap()).await.unwrap();
    let stored: Vec<_> = stored.iter().map(|(id, o)| (id.as_str(), o.resolved, o.source.as_str())).collect();
    assert!(stored.contains(&("run-07", Some(true), "CI")), "{stored:?}");
    assert!(stored.contains(&("a/../b?c=d&e#f", Some(false), "CI")), "{stored:?}");
    assert_eq!(stored.len(), 2);

    let page = site.get(&format!("/selections/{ID}?reported=2"), false).await.text;
    assert!(page.contains("Stored 2 outcomes") && page.contains("by CI"));
    let list = site.get("/?outcome=resolved", false).await.text;
    assert!(list.contains("acme__textkit-42"));
    assert!(!site.get("/?outcome=none", false).await.text.contains("acme__textkit-42"));

    let mut htmx = HERE.to_vec();
    htmx.push(("hx-request", "true"));
    let part = site.post("resolved%3Arun-07=no", &htmx).await;
    assert_eq!(part.status, StatusCode::OK);
    assert!(part.text.starts_with("<section id=\"outcome\"") && part.text.contains("Stored 1 outcome."));
    assert!(part.text.contains("✗ not resolved"), "the latest report counts");
}

#[tokio::test]
async fn outcomes_that_make_no_sense_are_refused_in_words() {
    let site = Site::new().await;
    for form in ["", "resolved%3Anobody=yes", "resolved%3Arun-07=perhaps"] {
        let answer = site.post(form, &HERE).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        assert!(answer.text.contains("Not stored"), "{form}");
    }
    assert!(
        site.store
            .selection_outcomes(&Tenant::DEFAULT, Uuid::try_parse(ID).unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn other_sites_cannot_post() {
    let site = Site::new().await;
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("host", "localhost:8080")][..],
        &[("origin", "http://evil.example"), ("host", "localhost:8080")],
        &[("origin", "null"), ("host", "localhost:8080")],
        &[("host", "localhost:8080")],
    ] {
        let answer = site.post("resolved%3Arun-07=yes", headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let origin = [("origin", "http://localhost:8080"), ("host", "localhost:8080")];
    assert_eq!(site.post("resolved%3Arun-07=yes", &origin).await.status, StatusCode::SEE_OTHER);
}
