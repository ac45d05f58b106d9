//! A verifier that does what it is told, mostly wrong, and counts who asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it should.
    Good,
    /// As it should, but late.
    Slow(Duration),
    /// Byte by byte, and never to the end.
    Dripping,
    /// 500.
    Erring,
    /// Closes the connection without a word.
    Hanging,
    /// What is no JSON.
    Garbage,
    /// JSON of another kind.
    Stranger,
    /// An answer that breaks off.
    Cut,
    /// Numbers that are none.
    NotNumbers,
    /// Scores of candidates that nobody asked about.
    WrongIds,
}

#[derive(Debug)]
struct Inner {
    mode: Mode,
    calls: Vec<Instant>,
}

/// The mock; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) addr: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mock {
    /// Listens at an address.
    pub(crate) async fn start(addr: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let inner = Arc::new(Mutex::new(Inner { mode: Mode::Good, calls: Vec::new() }));
        let shared = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            // Connections end with the mock.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, inner, task })
    }

    /// Changes how it answers and forgets who asked.
    pub(crate) fn be(&self, mode: Mode) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.mode = mode;
        inner.calls.clear();
    }

    /// When it was asked since then.
    pub(crate) fn calls(&self) -> Vec<Instant> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Mutex<Inner>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(body) = body(&mut stream, &mut buffer).await {
        let mode = {
            let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            inner.calls.push(Instant::now());
            inner.mode
        };
        if answer(&mut stream, mode, &body).await.is_none() {
            return;
        }
    }
}

/// Reads one request.
async fn body(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = serde_json::from_slice(&buffer[end + 4..end + 4 + length]).unwrap_or_default();
                buffer.drain(..end + 4 + length);
                return Some(body);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Scores of the candidates of a request: the later, the better, against what selection itself would say.
fn scores(request: &Value, name: impl Fn(&str) -> String, probability: impl Fn(usize) -> String) -> String {
    let empty = Vec::new();
    let candidates = request["candidates"].as_array().unwrap_or(&empty);
    let scores: Vec<String> = candidates
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let id = name(one["candidate_id"].as_str().unwrap_or_default());
            let probability = probability(at);
            format!(
                r#"{{"candidate_id": {}, "probability": {probability}, "logit": {probability}}}"#,
                json!(id)
            )
        })
        .collect();
    let model = json!({"name": "mock", "revision": "1", "layout": "compact-v1", "trained": true});
    format!(r#"{{"model": {model}, "scores": [{}]}}"#, scores.join(","))
}

async fn answer(stream: &mut TcpStream, mode: Mode, request: &Value) -> Option<()> {
    let own = |id: &str| id.to_owned();
    let rising = |at: usize| format!("{}", 0.05 + 0.9 * (at as f64 / 16.0).min(1.0));
    let (status, text) = match mode {
        Mode::Good => (200, scores(request, own, rising)),
        Mode::Slow(time) => {
            tokio::time::sleep(time).await;
            (200, scores(request, own, rising))
        }
        Mode::Dripping => {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
                )
                .await
                .ok()?;
            loop {
                stream.write_all(b" ").await.ok()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Mode::Erring => (500, r#"{"title": "out of order"}"#.to_owned()),
        Mode::Hanging => return None,
        Mode::Garbage => (200, "\u{1}<html>no scores here".to_owned()),
        Mode::Stranger => (200, r#"{"model": "mock", "scores": {"run-0": "high"}}"#.to_owned()),
        Mode::Cut => {
            let text = scores(request, own, rising);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&text.as_bytes()[..text.len() / 2]).await.ok()?;
            return None;
        }
        Mode::NotNumbers => {
            (200, scores(request, own, |at| ["NaN", "Infinity", "-1.5", "7", "null"][at % 5].to_owned()))
        }
        Mode::WrongIds => (200, scores(request, |id| format!("{id}-of-another-issue"), rising)),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()
}
