//! A client of HTTP/1.1 that costs little and tells how an exchange failed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection was had.
    Refused,
    /// The connection closed before the first byte of an answer.
    Closed,
    /// The connection closed within an answer.
    Broken,
    /// No whole answer came in time.
    Late,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Its body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Its body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A request as it goes over the wire.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One connection at a time, kept while it lasts.
#[derive(Debug)]
pub(crate) struct Client {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None, buffer: Vec::new() }
    }

    /// Sends a request and reads the answer. A kept connection that the server has closed meanwhile is replaced once.
    pub(crate) async fn send(&mut self, request: &[u8], limit: Duration) -> Result<Reply, Failure> {
        let kept = self.stream.is_some();
        match self.once(request, limit).await {
            Err(Failure::Closed) if kept => self.once(request, limit).await,
            result => result,
        }
    }

    /// Sends a request once, come what may.
    pub(crate) async fn once(&mut self, request: &[u8], limit: Duration) -> Result<Reply, Failure> {
        let result = timeout(limit, self.exchange(request)).await.unwrap_or(Err(Failure::Late));
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    /// Sends a GET.
    pub(crate) async fn get(&mut self, path: &str, limit: Duration) -> Result<Reply, Failure> {
        self.send(&request("GET", path, &[], &[]), limit).await
    }

    /// Sends a POST with a body.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: &[u8],
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let headers: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
        self.send(&request("POST", path, &headers, body), limit).await
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Failure> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.addr).await.map_err(|_| Failure::Refused)?;
            let _ = stream.set_nodelay(true);
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else { return Err(Failure::Refused) };
        // A server that refuses a request may answer before it has read all of it.
        let written = stream.write_all(request).await;
        match read(stream, &mut self.buffer).await {
            Ok((reply, close)) => {
                if close || written.is_err() {
                    self.stream = None;
                }
                Ok(reply)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Reads one answer; says also whether the connection ends with it.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(Reply, bool), Failure> {
    buffer.clear();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Failure::Broken)?;
    let close = header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    buffer.drain(..end + 4);
    let body = if header(&head, "transfer-encoding").is_some() {
        chunked(stream, buffer).await?
    } else {
        let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            broken(more(stream, buffer).await)?;
        }
        buffer.drain(..length).collect()
    };
    Ok((Reply { status, head, body }, close))
}

async fn chunked(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            broken(more(stream, buffer).await)?;
        };
        let size =
            std::str::from_utf8(&buffer[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(Failure::Broken)?;
        while buffer.len() < end + size + 4 {
            broken(more(stream, buffer).await)?;
        }
        body.extend_from_slice(&buffer[end + 2..end + 2 + size]);
        buffer.drain(..end + size + 4);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    let failure = if buffer.is_empty() { Failure::Closed } else { Failure::Broken };
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(failure),
        Ok(_) => Ok(()),
    }
}

/// The same within an answer.
fn broken(result: Result<(), Failure>) -> Result<(), Failure> {
    result.map_err(|_| Failure::Broken)
}
