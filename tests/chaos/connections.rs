//! Thousands of connections that say little or nothing, compressed bombs and bodies that are none: memory stays bounded,
//! other clients are served, and the process still ends when it is asked to.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{Client, request};
use crate::load::{percentile, selection};
use crate::place::Context;
use crate::process::{Recipe, Service};
use crate::report::{Bound, Table};

/// What an honest client accepts.
const HONEST: Duration = Duration::from_secs(5);
/// Resident memory that nothing here may drive a service above: bodies in memory (512 MiB), twice for a buffer that
/// grows, and the process.
const MEMORY: f64 = 1400.0;

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let folder = context.folder.sub("connections")?;
    let database = context.url(context.one_database(), &folder)?;
    let settings = ["limits.shutdown_timeout=10s".to_owned()];
    let recipe = Recipe::new(&context.program, &folder, "selector", "selector", &database, &settings)?;
    let mut service = recipe.start().await?;
    let calm = service.memory().map_or(f64::NAN, |(now, _)| now);
    let files = service.files().unwrap_or(0);
    for (name, kind) in [
        ("half-open: nothing sent", Kind::Silent),
        ("half a head, a byte a second", Kind::SlowHead),
        ("half a body, a byte a second", Kind::SlowBody),
        ("an answer that is not read", Kind::SlowReader),
    ] {
        crowd(context, table, &service, name, kind, calm).await?;
    }
    bombs(context, table, &service).await?;
    malformed(table, &service).await?;
    given_back(table, &service, files).await;
    // Ends in time with a crowd of all kinds before it.
    let crowd = Crowd::gather(service.addr, context.connections / 2, Kind::SlowBody).await;
    let asked = Instant::now();
    service.terminate()?;
    let status = service.ended().await?;
    let took = asked.elapsed();
    drop(crowd);
    table.row(
        "connections",
        format!("SIGTERM before {} slow bodies", context.connections / 2),
        format!("exit {:?} after {:.1} s", status.code(), took.as_secs_f64()),
        "exit 0 within limits.shutdown_timeout (10 s)",
        if status.code() == Some(0) {
            Bound::Timed(took < Duration::from_secs(12))
        } else {
            Bound::Must(false)
        },
    );
    Ok(())
}

/// How a connection is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Silent,
    SlowHead,
    SlowBody,
    SlowReader,
}

/// Slow connections, each opened again when it is closed; they end when dropped.
struct Crowd {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    open: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Crowd {
    async fn gather(addr: SocketAddr, count: usize, kind: Kind) -> Self {
        let (open, opened) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::with_capacity(count);
        for number in 0..count {
            let (open, opened) = (Arc::clone(&open), Arc::clone(&opened));
            tasks.push(tokio::spawn(async move {
                loop {
                    if let Ok(stream) = connect(addr, kind).await {
                        open.fetch_add(1, Ordering::Relaxed);
                        opened.fetch_add(1, Ordering::Relaxed);
                        slow(stream, kind).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    }
                    // A client that is put out comes back, but not at once.
                    tokio::time::sleep(Duration::from_millis(5000 + (number as u64 * 7919) % 10_000)).await;
                }
            }));
            if number % 100 == 99 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Self { tasks, open, opened }
    }
}

/// A connection; one that does not read takes little before it is full.
async fn connect(addr: SocketAddr, kind: Kind) -> std::io::Result<TcpStream> {
    if kind != Kind::SlowReader {
        return TcpStream::connect(addr).await;
    }
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(addr).await
}

/// One slow connection, until it is closed.
async fn slow(mut stream: TcpStream, kind: Kind) {
    let start: &[u8] = match kind {
        Kind::Silent => b"",
        Kind::SlowHead => b"POST /v1/selections HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
        Kind::SlowBody => {
            b"POST /v1/selections HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{"
        }
        Kind::SlowReader => b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n",
    };
    // One that does not read asks often enough for more than what the system keeps for it.
    for _ in 0..if kind == Kind::SlowReader { 4 } else { 1 } {
        if stream.write_all(start).await.is_err() {
            return;
        }
    }
    let mut one = [0; 1];
    loop {
        if kind == Kind::SlowReader {
            // Whether it is closed shows only when there is an error to be had.
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stream.write_all(b"\r\n").await.is_err() {
                return;
            }
            continue;
        }
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut one)).await {
            Ok(_) => return,
            Err(_) if kind == Kind::Silent => {}
            Err(_) => {
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What honest clients see: a new connection for every request.
#[derive(Debug, Default)]
struct Honest {
    times: Vec<Duration>,
    failed: usize,
}

async fn honest(addr: SocketAddr, name: String, over: Arc<AtomicBool>) -> Honest {
    let mut seen = Honest::default();
    let mut number = 0;
    while !over.load(Ordering::Acquire) {
        number += 1;
        let body = request("POST", "/v1/selections", &[], &selection(&format!("{name}-{number}"), 3));
        let start = Instant::now();
        match Client::new(addr).once(&body, HONEST).await {
            Ok(reply) if reply.status == 201 => seen.times.push(start.elapsed()),
            _ => seen.failed += 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen
}

async fn crowd(
    context: &Context,
    table: &mut Table,
    service: &Service,
    name: &str,
    kind: Kind,
    calm: f64,
) -> Result<()> {
    let count = if kind == Kind::SlowReader { context.connections / 10 } else { context.connections };
    let crowd = Crowd::gather(service.addr, count, kind).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            tokio::spawn(honest(service.addr, format!("h__h-{kind:?}-{number}"), Arc::clone(&over)))
        })
        .collect();
    let (mut peak, mut files) = (0.0_f64, 0);
    let length = Duration::from_secs(if context.quick { 3 } else { 15 });
    let start = Instant::now();
    while start.elapsed() < length {
        peak = peak.max(service.memory().map_or(0.0, |(now, _)| now));
        files = files.max(service.files().unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let open = crowd.open.load(Ordering::Relaxed);
    let opened = crowd.opened.load(Ordering::Relaxed);
    over.store(true, Ordering::Release);
    let mut seen = Honest::default();
    for client in clients {
        let one = client.await?;
        seen.times.extend(one.times);
        seen.failed += one.failed;
    }
    drop(crowd);
    table.row(
        "connections",
        format!("{count} × {name}: 4 honest clients, {} s", length.as_secs()),
        format!(
            "{} answered, {} not; p50 {:.0} ms, p99 {:.0} ms ({open} of the crowd connected, {opened} connections in all)",
            seen.times.len(),
            seen.failed,
            percentile(&seen.times, 50.0),
            percentile(&seen.times, 99.0)
        ),
        format!("all answered within {} s", HONEST.as_secs()),
        Bound::Timed(seen.failed == 0 && !seen.times.is_empty()),
    );
    table.row(
        "connections",
        format!("{count} × {name}: memory and files"),
        format!("{peak:.0} MiB at most ({calm:.0} before), {files} open files"),
        format!("≤ {MEMORY:.0} MiB"),
        Bound::Must(peak <= MEMORY),
    );
    Ok(())
}

/// Files of connections that are gone are closed, in the end.
async fn given_back(table: &mut Table, service: &Service, before: usize) {
    // A few connections to the database more than at first.
    let most = before + 24;
    let start = Instant::now();
    let mut files = service.files().unwrap_or(usize::MAX);
    while files > most && start.elapsed() < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        files = service.files().unwrap_or(usize::MAX);
    }
    table.row(
        "connections",
        "open files when all are gone",
        format!("{files} after {:.0} s ({before} at first)", start.elapsed().as_secs_f64()),
        format!("≤ {most}"),
        Bound::Must(files <= most),
    );
}

async fn bombs(context: &Context, table: &mut Table, service: &Service) -> Result<()> {
    // 1 GiB of spaces in a body of 1 MiB, and JSON that goes on for ever.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..1024 {
        encoder.write_all(&vec![b' '; 1 << 20])?;
    }
    let bomb = encoder.finish()?;
    let bytes = request("POST", "/v1/selections", &[("content-encoding", "gzip")], &bomb);
    let bytes = Arc::new(bytes);
    let over = Arc::new(AtomicBool::new(false));
    let client = tokio::spawn(honest(service.addr, "h__h-bombs".to_owned(), Arc::clone(&over)));
    let rounds = if context.quick { 1 } else { 4 };
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let mut peak = 0.0_f64;
    for _ in 0..rounds {
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (bytes, addr) = (Arc::clone(&bytes), service.addr);
                tokio::spawn(async move {
                    Client::new(addr)
                        .once(&bytes, Duration::from_mins(1))
                        .await
                        .map_or(0, |reply| reply.status)
                })
            })
            .collect();
        while tasks.iter().any(|task| !task.is_finished()) {
            peak = peak.max(service.memory().map_or(0.0, |(now, _)| now));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for task in tasks {
            *statuses.entry(task.await?).or_default() += 1;
        }
    }
    over.store(true, Ordering::Release);
    let honest = client.await?;
    let refused = statuses.keys().all(|status| matches!(status, 413 | 503));
    table.row(
        "connections",
        format!("{} gzip bombs of {} KiB that hold 1 GiB, 64 at a time", rounds * 64, bomb.len() / 1024),
        format!(
            "answers {statuses:?}; {peak:.0} MiB at most; an honest client: {} answered, {} not",
            honest.times.len(),
            honest.failed
        ),
        format!("413 or 503, ≤ {MEMORY:.0} MiB"),
        Bound::Must(refused && peak <= MEMORY),
    );
    Ok(())
}

async fn malformed(table: &mut Table, service: &Service) -> Result<()> {
    let deep = "[".repeat(200_000);
    let post = |body: &[u8]| request("POST", "/v1/selections", &[], body);
    let head = |text: &str| text.as_bytes().to_vec();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no JSON", post(b"{\"instance_id\": ")),
        ("deeply nested", post(deep.as_bytes())),
        ("not UTF-8", post(b"{\"instance_id\": \"\xff\xfe\"}")),
        ("another type", post(b"[1, 2, 3]")),
        (
            "corrupt gzip",
            request("POST", "/v1/selections", &[("content-encoding", "gzip")], b"\x1f\x8b\x08broken"),
        ),
        ("unknown encoding", request("POST", "/v1/selections", &[("content-encoding", "br")], b"x")),
        ("no HTTP", head("\u{1}\u{2}\u{3}\r\n\r\n")),
        (
            "a length that is none",
            head("POST /v1/selections HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n"),
        ),
        (
            "two lengths",
            head(
                "POST /v1/selections HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
            ),
        ),
        (
            "a head without end",
            head(&format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(1 << 20))),
        ),
        (
            "a body above the limit",
            head(
                "POST /v1/selections HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\nx",
            ),
        ),
    ];
    let mut seen = Vec::new();
    let mut fine = true;
    for (name, bytes) in cases {
        let status =
            Client::new(service.addr).once(&bytes, Duration::from_secs(15)).await.map(|reply| reply.status);
        // A connection that is closed without a word is an answer to what is no HTTP.
        fine &= matches!(status, Ok(400..500) | Err(crate::http::Failure::Closed));
        seen.push(match status {
            Ok(status) => format!("{name} {status}"),
            Err(failure) => format!("{name} {failure:?}"),
        });
    }
    let after = Client::new(service.addr).get("/readyz", HONEST).await.map(|reply| reply.status);
    if after != Ok(200) {
        bail!("the service is not ready after malformed requests: {after:?}");
    }
    table.row(
        "connections",
        "malformed requests",
        seen.join(", "),
        "each refused with 4xx or closed",
        Bound::Must(fine),
    );
    Ok(())
}
