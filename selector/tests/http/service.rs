//! The service as a program: it starts on a real port with a database file, and what it kept is there again.

use std::time::Duration;

use selector::http::{Settings, StartError, start};
use server::{
    Secret,
    config::{AuthMode, Database},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::support::request;

fn settings(folder: &tempfile::TempDir) -> Settings {
    let mut settings = Settings::default();
    settings.http.bind.set_port(0);
    settings.database = Database::at(format!("sqlite://{}", folder.path().join("entropo.db").display()));
    settings
}

async fn send(addr: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

fn get(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
}

#[tokio::test]
async fn what_was_kept_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let running = start(&settings(&folder), None, stop.clone()).await.unwrap();
    let body = request().to_string();
    let post = format!(
        "POST /v1/selections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let made = send(running.addr, &post).await;
    assert!(made.starts_with("HTTP/1.1 201 "), "{made}");
    let location = made.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(send(running.addr, &get("/readyz", "")).await.contains("\"database\":\"ok\""));
    stop.cancel();
    running.wait().await.unwrap();

    let stop = CancellationToken::new();
    let running = start(&settings(&folder), None, stop.clone()).await.unwrap();
    let read = send(running.addr, &get(location, "")).await;
    assert!(read.contains("\"chosen\":\"one\""), "{read}");
    stop.cancel();
    running.wait().await.unwrap();
}

#[tokio::test]
async fn other_machines_need_a_token_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.http.bind = ([0, 0, 0, 0], 0).into();
    let refused = start(&settings, None, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, StartError::NoTokens { .. }), "{refused}");

    settings.auth.admin_token = Secret::new("let-me-in");
    let stop = CancellationToken::new();
    let running = start(&settings, None, stop.clone()).await.unwrap();
    let addr = ([127, 0, 0, 1], running.addr.port()).into();
    assert!(send(addr, &get("/v1/selections", "wrong")).await.starts_with("HTTP/1.1 401 "));
    assert!(send(addr, &get("/v1/selections", "let-me-in")).await.starts_with("HTTP/1.1 200 "));
    let token = server::auth::Token::generate().unwrap();
    let new = store::NewToken {
        id: uuid::Uuid::now_v7(),
        tenant: store::Tenant::DEFAULT,
        name: "reader".into(),
        hash: *token.hash.as_bytes(),
        scopes: vec!["read".into()],
        created_at: store::Timestamp::now(),
        expires_at: None,
    };
    let id = new.id;
    running.store.create_token(new).await.unwrap();
    let reader = get("/v1/selections", token.secret.expose());
    assert!(send(addr, &reader).await.starts_with("HTTP/1.1 200 "));
    assert!(send(addr, &reader.replace("GET", "POST")).await.starts_with("HTTP/1.1 403 "));
    running.store.revoke_token(id, store::Timestamp::now()).await.unwrap();
    assert!(send(addr, &reader).await.starts_with("HTTP/1.1 401 "));
    stop.cancel();
    running.wait().await.unwrap();

    settings.auth.admin_token = Secret::default();
    settings.auth.mode = AuthMode::Off;
    let stop = CancellationToken::new();
    let running = start(&settings, None, stop.clone()).await.unwrap();
    stop.cancel();
    running.wait().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&folder);
    settings.http.bind = taken.local_addr().unwrap();
    let error = start(&settings, None, CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains("choose another with --bind"), "{error}");
}
