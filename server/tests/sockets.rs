//! The accept loop over real sockets: slow and broken clients, and shutdown.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use server::{Edge, Json, Span, auth::Authenticator, config::Limits, serve::apart, stack};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

/// Only a guard against a test that hangs.
const LONG: Duration = Duration::from_secs(30);

struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    served: oneshot::Receiver<io::Result<()>>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::of(Router::new(), limits).await
    }

    async fn of(more: Router, limits: Limits) -> Self {
        let service = more
            .route("/quick", get(async || "quick"))
            .route(
                "/work",
                get(async || {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    "worked"
                }),
            )
            .route("/forever", get(async || tokio::time::sleep(Duration::from_hours(1)).await))
            .route(
                "/json",
                post(async |Json(value): Json<serde_json::Value>| value.to_string().len().to_string()),
            );
        let stop = CancellationToken::new();
        let edge = Edge {
            service: "test",
            limits: limits.clone(),
            auth: Authenticator::off(),
            loopback: true,
            probes: Vec::new(),
            stop: stop.clone(),
        };
        let app = stack(OpenApiRouter::from(service), edge);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = apart(listener, app, limits, stop.clone());
        Self { addr, stop, served }
    }

    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn stopped(self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.served).await.expect("shutdown hangs").unwrap().unwrap();
    }
}

/// Everything until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end like any other here.
    let _ =
        tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await.expect("the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}

fn limits() -> Limits {
    Limits {
        header_timeout: Span(Duration::from_millis(200)),
        body_timeout: Span(Duration::from_millis(200)),
        ..Limits::default()
    }
}

#[tokio::test]
async fn silent_and_slow_heads_are_dropped() {
    let running = Running::start(limits()).await;
    rest(running.connect("").await).await;
    rest(running.connect("GET /quick HTTP/1.1\r\nHost: loc").await).await;
    // A connection that was used and then falls silent ends as well.
    let text = rest(running.connect("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n").await).await;
    assert!(text.ends_with("quick"), "{text}");
    running.stopped().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_408_and_one_that_is_cut_is_400() {
    let running = Running::start(limits()).await;
    let head = "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[";
    let text = rest(running.connect(head).await).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("/docs#problem-timeout"), "{text}");
    let mut cut = running.connect(head).await;
    cut.shutdown().await.unwrap();
    let text = rest(cut).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{text}");
    running.stopped().await;
}

#[tokio::test]
async fn too_long_a_body_is_refused_before_it_is_sent() {
    let running = Running::start(limits()).await;
    let head = "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n";
    let text = rest(running.connect(head).await).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    running.stopped().await;
}

#[tokio::test]
async fn shutdown_finishes_running_requests() {
    let running = Running::start(limits()).await;
    let stream = running.connect("GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.cancel();
    let text = rest(stream).await;
    assert!(text.ends_with("worked"), "{text}");
    let addr = running.addr;
    running.stopped().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn half_a_head_or_an_idle_connection_does_not_hold_up_shutdown() {
    // Neither timeout can be what ends the connections.
    let limits = Limits { header_timeout: Span::secs(3600), shutdown_timeout: Span::secs(3600), ..limits() };
    let running = Running::start(limits).await;
    let half = running.connect("GET /quick HTT").await;
    let mut idle = running.connect("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let _ = idle.read(&mut [0; 64]).await.unwrap();
    running.stopped().await;
    drop((half, idle));
}

#[tokio::test]
async fn the_deadline_ends_requests_that_do_not_finish() {
    let limits = Limits { shutdown_timeout: Span(Duration::from_millis(300)), ..limits() };
    let running = Running::start(limits).await;
    let stuck = running.connect("GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stopped().await;
    drop(stuck);
}

#[tokio::test]
async fn a_slow_body_takes_nobody_s_place() {
    let patient = Limits { body_timeout: Span::secs(3600), concurrency: 1, ..Limits::default() };
    let running = Running::start(patient).await;
    let head = "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                Expect: 100-continue\r\n\r\n";
    let mut slow = running.connect(head).await;
    // It is asked for its body when that is being read.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(b"[").await.unwrap();
    for _ in 0..3 {
        let quick = "GET /quick HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let text = rest(running.connect(quick).await).await;
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    slow.write_all(b"]").await.unwrap();
    let mut start = [0; 12];
    slow.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    running.stopped().await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let running = Running::start(limits()).await;
    let many = "X-A: b\r\n".repeat(200);
    let text =
        rest(running.connect(&format!("GET /quick HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).await).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    let long = "x".repeat(300 << 10);
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    // It may be closed before all of it is sent.
    let _ = stream
        .write_all(format!("GET /quick HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").as_bytes())
        .await;
    let text = rest(stream).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431 "), "{text}");
    running.stopped().await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_puts_out_its_own() {
    let patient = Limits { header_timeout: Span::secs(3600), connections: 3, ..Limits::default() };
    let running = Running::start(patient).await;
    let mut works =
        running.connect("GET /work HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let mut crowd = Vec::new();
    for number in 0..20 {
        crowd.push(running.connect(if number % 2 == 0 { "" } else { "GET /quick HTT" }).await);
        let quick = "GET /quick HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let text = rest(running.connect(quick).await).await;
        assert!(text.ends_with("quick"), "{text}");
    }
    let mut text = String::new();
    works.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("worked"), "{text}");
    running.stopped().await;
}

#[tokio::test]
async fn deeply_nested_json_is_refused_and_nothing_falls_over() {
    let running = Running::start(limits()).await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let head = format!(
            "POST /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let text = rest(running.connect(&head).await).await;
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("recursion limit"), "{text}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn a_service_that_does_nothing_but_compute_is_alive_and_refuses() {
    let (begun, computing) = mpsc::channel();
    let (free, freed) = mpsc::channel();
    let freed = Arc::new(Mutex::new(freed));
    // It holds the only thread of this runtime until the client has what it wants.
    let compute = Router::new().route(
        "/compute",
        get(move || {
            let (begun, freed) = (begun.clone(), Arc::clone(&freed));
            async move {
                begun.send(()).unwrap();
                freed.lock().unwrap().recv_timeout(LONG).unwrap();
                "computed"
            }
        }),
    );
    let running = Running::of(compute, Limits { concurrency: 1, ..Limits::default() }).await;
    let addr = running.addr;
    let client = tokio::task::spawn_blocking(move || {
        let ask = |path: &str| {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream
        };
        let read = |mut stream: std::net::TcpStream| {
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        let first = ask("/compute");
        computing.recv_timeout(LONG).unwrap();
        let meanwhile = [read(ask("/livez")), read(ask("/compute"))];
        free.send(()).unwrap();
        (meanwhile, read(first))
    });
    let ([alive, refused], computed) = client.await.unwrap();
    assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: "), "{refused}");
    assert!(computed.ends_with("computed"), "{computed}");
    running.stopped().await;
}
