//! Calls to a server that is slow, rude, rate limited, dying or gone.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use server::{
    ByteSize, Secret,
    outgoing::{BreakerSettings, CallError, Circuit, Client, Reply, RetrySettings, Target},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What the server does with a request.
#[derive(Clone)]
enum Act {
    /// Writes these bytes and closes.
    Say(String),
    /// Reads the request and never answers.
    Hang,
    /// Closes without a word.
    Leave,
}

fn ok(body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

fn status(line: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Say(format!(
        "HTTP/1.1 {line}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// A server that plays one act a request; the last one again and again.
struct Server {
    url: String,
    seen: Arc<AtomicUsize>,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Server {
    async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (count, kept) = (Arc::clone(&seen), Arc::clone(&heads));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let act = acts[number.min(acts.len() - 1)].clone();
                let kept = Arc::clone(&kept);
                tokio::spawn(async move { play(stream, act, &kept).await });
            }
        });
        Self { url, seen, heads }
    }

    fn client(&self) -> Client {
        self.client_with(|_| {})
    }

    fn client_with(&self, change: impl FnOnce(&mut Target)) -> Client {
        let mut target = Target::new("test", &self.url);
        target.retry.base = Duration::from_millis(1);
        target.timeout = Duration::from_secs(10);
        change(&mut target);
        Client::new(target).unwrap()
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

async fn play(mut stream: TcpStream, act: Act, heads: &std::sync::Mutex<Vec<String>>) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("\r\n\r\n") {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    heads.lock().unwrap().push(text);
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Act::Hang => tokio::time::sleep(Duration::from_hours(1)).await,
        Act::Leave => {}
    }
}

async fn post(client: &Client) -> Result<Reply, CallError> {
    post_within(client, Duration::from_secs(10)).await
}

async fn post_within(client: &Client, time: Duration) -> Result<Reply, CallError> {
    client.post("/x", Bytes::from_static(b"{}"), &HeaderMap::new(), Instant::now() + time).await
}

#[tokio::test]
async fn an_answer_comes_back_and_the_token_goes_out() {
    let server = Server::start(vec![ok("[1]")]).await;
    let client = server.client_with(|target| target.token = Secret::new("hunter2"));
    assert_eq!(&post(&client).await.unwrap().body[..], b"[1]");
    let heads = server.heads.lock().unwrap();
    assert!(heads[0].starts_with("POST /x HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].to_lowercase().contains("authorization: bearer hunter2"), "{}", heads[0]);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned();
    for bad in [
        status("503 Service Unavailable", "", ""),
        status("429 Too Many Requests", "", "slow down"),
        status("500 Internal Server Error", "", ""),
        Act::Leave,
        Act::Say(half),
        Act::Say("nonsense\r\n\r\n".to_owned()),
    ] {
        let server = Server::start(vec![bad.clone(), bad, ok("fine")]).await;
        assert_eq!(&post(&server.client()).await.unwrap().body[..], b"fine");
        assert_eq!(server.seen(), 3);
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not() {
    for code in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "422 Unprocessable Content"] {
        let server = Server::start(vec![status(code, "", r#"{"detail": "no"}"#)]).await;
        let error = post(&server.client()).await.unwrap_err();
        assert!(error.to_string().ends_with(": no") && !error.is_transient(), "{error}");
        assert_eq!(server.seen(), 1, "{code}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(vec![ok("secret")]).await;
    let headers = format!("location: {}/x\r\n", elsewhere.url);
    for code in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = Server::start(vec![status(code, &headers, "")]).await;
        let error = post(&server.client()).await.unwrap_err().to_string();
        assert!(error.contains("redirects to") && error.contains("not followed"), "{error}");
    }
    assert_eq!(elsewhere.seen(), 0);
}

#[tokio::test]
async fn retry_after_beyond_the_deadline_ends_it_at_once() {
    let server =
        Server::start(vec![status("503 Service Unavailable", "retry-after: 3600\r\n", "full")]).await;
    let error = post(&server.client()).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error}");
    assert_eq!(server.seen(), 1);
}

#[tokio::test]
async fn a_hanging_server_is_left_at_the_deadline() {
    let server = Server::start(vec![Act::Hang]).await;
    let error = post_within(&server.client(), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, CallError::TooSlow { .. }), "{error}");
    let hasty = server.client_with(|target| target.timeout = Duration::from_millis(20));
    let error = post(&hasty).await.unwrap_err();
    assert!(matches!(error, CallError::TooSlow { .. }), "{error}");
    assert_eq!(server.seen(), 1 + 4, "each attempt has its own limit");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let server = Server::start(vec![ok(&"x".repeat(2000))]).await;
    let client = server.client_with(|target| target.response = ByteSize(1000));
    assert_eq!(post(&client).await.unwrap_err(), CallError::TooLarge { target: "test", limit: 1000 });
    assert_eq!(server.seen(), 1);
}

#[tokio::test]
async fn retries_stop_when_the_budget_is_spent() {
    let server = Server::start(vec![status("503 Service Unavailable", "", "")]).await;
    let client = server.client_with(|target| {
        target.retry = RetrySettings { retries: 9, burst: 2.0, ratio: 0.0, ..target.retry };
        target.breaker.failures = 0;
    });
    for _ in 0..5 {
        post(&client).await.unwrap_err();
    }
    assert_eq!(server.seen(), 5 + 2);
}

#[tokio::test]
async fn a_server_that_is_gone_is_left_alone_and_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let mut target = Target::new("test", format!("http://{addr}"));
    target.retry.retries = 0;
    let open_for = Duration::from_millis(30);
    target.breaker = BreakerSettings { failures: 2, open_for, longest: open_for };
    let client = Client::new(target).unwrap();
    for _ in 0..2 {
        assert!(matches!(post(&client).await.unwrap_err(), CallError::Unreachable { .. }));
    }
    assert!(matches!(post(&client).await.unwrap_err(), CallError::Open { .. }));
    let listener = TcpListener::bind(addr).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { play(stream, ok("back"), &std::sync::Mutex::default()).await });
        }
    });
    tokio::time::sleep(open_for * 2).await;
    assert_eq!(&post(&client).await.unwrap().body[..], b"back");
    assert_eq!(client.circuit(), Circuit::Closed);
}

#[tokio::test]
async fn no_more_calls_than_allowed_run_at_a_time() {
    let server = Server::start(vec![Act::Hang]).await;
    let client = server.client_with(|target| target.concurrency = 2);
    // The first two hold their places for longer than the others wait for one.
    let holding = (0..2).map(|_| post_within(&client, Duration::from_secs(2)));
    let waiting = (0..3).map(|_| post_within(&client, Duration::from_millis(80)));
    let (holding, waiting) =
        tokio::join!(futures_util::future::join_all(holding), futures_util::future::join_all(waiting));
    assert!(holding.iter().chain(&waiting).all(Result::is_err));
    assert_eq!(server.seen(), 2);
}
