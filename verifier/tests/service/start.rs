//! The service as a program starts it: on a real port, with models that take their time or cannot be loaded.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use server::config::Database;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use verifier::{
    Backend,
    http::{Settings, start, start_with},
    models::Loader,
};

use crate::mock::Mock;

/// Loads one model once it may.
#[derive(Debug)]
struct Slow {
    gate: Semaphore,
}

#[async_trait]
impl Loader for Slow {
    fn names(&self) -> Vec<String> {
        vec!["mock".to_owned()]
    }

    async fn load(&self, _: &str) -> Result<Arc<dyn Backend>, String> {
        self.gate.acquire().await.map_err(|error| error.to_string())?.forget();
        Ok(Arc::new(Mock::new("mock")))
    }
}

fn settings(active: &str) -> Settings {
    let mut settings = Settings::default();
    settings.http.bind.set_port(0);
    settings.database = Database::at("sqlite::memory:");
    active.clone_into(&mut settings.models.active);
    settings
}

/// The status and the rest of an answer.
async fn send(addr: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

async fn get(addr: SocketAddr, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(addr, &request).await.0
}

async fn score(addr: SocketAddr) -> (u16, String) {
    let body = r#"{"issue": "x", "candidates": [{"candidate_id": "a", "patch": "a b c"}]}"#;
    let request = format!(
        "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(addr, &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_loads_slowly_does_not_hold_up_livez() {
    let loader = Arc::new(Slow { gate: Semaphore::new(0) });
    let stop = CancellationToken::new();
    let running = start_with(&settings("mock"), Arc::clone(&loader) as _, stop.clone()).await.unwrap();
    assert_eq!((get(running.addr, "/livez").await, get(running.addr, "/readyz").await), (200, 503));
    let (status, answer) = score(running.addr).await;
    assert_eq!(status, 503);
    assert!(answer.contains("still being loaded"), "{answer}");
    loader.gate.add_permits(1);
    while get(running.addr, "/readyz").await != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (status, answer) = score(running.addr).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"logit\":1.0"), "{answer}");
    stop.cancel();
    running.wait().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_models_ends_the_start() {
    let mut folder = settings("coder");
    folder.models.available = vec!["coder=burn:/nowhere/coder".to_owned()];
    let mut entry = settings("coder");
    entry.models.available = vec!["coder".to_owned()];
    for (settings, words) in [
        (settings("nope"), "there is no model `nope`"),
        (folder, "model `coder` cannot be used: /nowhere/coder/config.json"),
        (entry, "is not `NAME=BACKEND:WHERE`"),
    ] {
        let error = start(&settings, CancellationToken::new()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
