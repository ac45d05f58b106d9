//! Reading request bodies: compressed or not, within the limits, never more in memory than the service has room for.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{
    config::{ByteSize, Limits},
    metrics,
    problem::{Kind, Problem},
};

/// The semaphore counts KiB, since it cannot hand out more than 2³² permits at once.
const PERMIT: usize = 1024;

/// Room for decoded bodies, shared by all requests.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// Room for so many bytes.
    pub fn new(size: ByteSize) -> Self {
        Self(Arc::new(Semaphore::new((size.as_usize() / PERMIT).clamp(1, Semaphore::MAX_PERMITS))))
    }
}

/// The limits on one request's body and the room it holds; an extension. The room is free again when the last clone
/// is dropped, which is after the handler's end.
#[derive(Debug, Clone)]
pub struct BodyRules {
    limits: Arc<Limits>,
    room: Room,
    places: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl BodyRules {
    /// Rules for one request, which gets one of `places` once its body is there.
    pub fn new(limits: Arc<Limits>, room: Room, places: Arc<Semaphore>) -> Self {
        Self { limits, room, places, held: Arc::default(), place: Arc::default() }
    }

    /// Takes a place among the requests that are worked on, unless this one has one, or sheds it.
    pub(crate) fn enter(&self) -> Result<(), Problem> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Ok(());
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(taken) => {
                *place = Some(taken);
                Ok(())
            }
            Err(_) => Err(self.full()),
        }
    }

    /// Sheds a request whose body need not be read for that.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.places.available_permits() == 0 { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> Problem {
        metrics::shed("concurrency");
        let detail = format!("{} requests are being handled, which is the limit", self.limits.concurrency);
        Problem::new(Kind::Overloaded, detail)
    }

    /// Holds room for a body that has grown to `size` bytes, or sheds the request.
    fn grow(&self, size: usize) -> Result<(), Problem> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let have = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = size.div_ceil(PERMIT).saturating_sub(have);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        match Arc::clone(&self.room.0).try_acquire_many_owned(missing) {
            Ok(more) => {
                match held.as_mut() {
                    Some(held) => held.merge(more),
                    None => *held = Some(more),
                }
                Ok(())
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                metrics::shed("bodies_in_memory");
                Err(Problem::new(Kind::Overloaded, "too many large requests are being handled"))
            }
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "content-encoding can be gzip, zstd or identity",
            )),
        }
    }
}

/// The request's whole body, decompressed.
pub async fn read(request: Request) -> Result<(http::request::Parts, Bytes), Problem> {
    let (mut parts, body) = request.into_parts();
    let rules = parts.extensions.get::<BodyRules>().cloned().unwrap_or_else(|| {
        let limits = Limits::default();
        let room = Room::new(limits.bodies_in_memory);
        BodyRules::new(Arc::new(limits), room, Arc::new(Semaphore::new(1)))
    });
    let encoding = Encoding::of(&parts.headers)?;
    // One allocation when the client says how much comes; a false length costs at most 1 MiB.
    let announced =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let encoded = collect(body, announced, &rules).await?;
    // Only now: whoever sends slowly keeps nobody from being served.
    rules.enter()?;
    if encoding == Encoding::Identity {
        return Ok((parts, encoded));
    }
    parts.headers.remove(header::CONTENT_ENCODING);
    let decode = move || decompress(encoding, &encoded, &rules);
    let decoded = tokio::task::spawn_blocking(decode).await.map_err(|error| Problem::internal(&error))??;
    Ok((parts, decoded))
}

async fn collect(mut body: Body, announced: Option<usize>, rules: &BodyRules) -> Result<Bytes, Problem> {
    let limits = &rules.limits;
    let limit = limits.encoded_body;
    if announced.is_some_and(|length| length as u64 > limit.0) {
        return Err(over_limit("body", limit));
    }
    let mut buffer = BytesMut::new();
    let mut first: Option<Bytes> = None;
    loop {
        let Ok(frame) = tokio::time::timeout(limits.body_timeout.0, body.frame()).await else {
            let detail = format!("nothing of the body arrived for {}", limits.body_timeout);
            return Err(Problem::new(Kind::Timeout, detail));
        };
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|_| Problem::new(Kind::BadRequest, "the body ended early or is malformed"))?;
        let Ok(data) = frame.into_data() else { continue };
        let size = buffer.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
        if size as u64 > limit.0 {
            return Err(over_limit("body", limit));
        }
        rules.grow(size)?;
        // A body of one frame, which most are, is passed on without a copy.
        match first.take() {
            None if buffer.is_empty() => first = Some(data),
            first => {
                if let Some(first) = first {
                    buffer.reserve(announced.unwrap_or(size).min(1 << 20).max(size));
                    buffer.extend_from_slice(&first);
                }
                buffer.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| buffer.freeze()))
}

fn decompress(encoding: Encoding, encoded: &[u8], rules: &BodyRules) -> Result<Bytes, Problem> {
    let malformed = |error: &io::Error| {
        Problem::new(Kind::BadRequest, format!("the compressed body is corrupt: {error}"))
    };
    let mut reader: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(encoded),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(encoded)),
        Encoding::Zstd => Box::new(zstd::Decoder::with_buffer(encoded).map_err(|error| malformed(&error))?),
    };
    let limit = rules.limits.decoded_body;
    let mut decoded = Vec::with_capacity(encoded.len().saturating_mul(4).min(1 << 20));
    let mut chunk = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut chunk).map_err(|error| malformed(&error))?;
        if count == 0 {
            return Ok(decoded.into());
        }
        let size = decoded.len() + count;
        if size as u64 > limit.0 {
            return Err(over_limit("body, decompressed", limit));
        }
        rules.grow(encoded.len() + size)?;
        decoded.extend_from_slice(&chunk[..count]);
    }
}

fn over_limit(what: &str, limit: ByteSize) -> Problem {
    Problem::too_large(what, format!("is larger than the limit of {limit}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rules(decoded: ByteSize, room: ByteSize) -> BodyRules {
        let limits = Limits { encoded_body: ByteSize::mib(1), decoded_body: decoded, ..Limits::default() };
        BodyRules::new(Arc::new(limits), Room::new(room), Arc::new(Semaphore::new(1)))
    }

    fn request(rules: &BodyRules, encoding: &str, body: Vec<u8>) -> Request {
        let builder = Request::builder().header("content-encoding", encoding).extension(rules.clone());
        builder.body(Body::from(body)).unwrap()
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn both_encodings_are_read() {
        let rules = rules(ByteSize::mib(1), ByteSize::mib(8));
        let text = b"some text ".repeat(1000);
        for (encoding, body) in [
            ("identity", text.clone()),
            ("gzip", gzip(&text)),
            ("zstd", zstd::encode_all(text.as_slice(), 1).unwrap()),
            ("gzip", [gzip(&text[..500]), gzip(&text[500..])].concat()),
        ] {
            let (_, read) = read(request(&rules, encoding, body)).await.unwrap();
            assert_eq!(read, text, "{encoding}");
        }
    }

    #[tokio::test]
    async fn bombs_and_oversized_bodies_are_413() {
        let rules = rules(ByteSize::mib(4), ByteSize::mib(64));
        let bomb = gzip(&vec![0; 200 << 20]);
        assert!(bomb.len() < 300_000);
        let problem = read(request(&rules, "gzip", bomb)).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::TooLarge);
        assert!(problem.detail().contains("4 MiB"), "{}", problem.detail());
        let problem = read(request(&rules, "identity", vec![0; (1 << 20) + 1])).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::TooLarge);
    }

    #[tokio::test]
    async fn what_cannot_be_decompressed_is_the_clients_mistake() {
        let rules = rules(ByteSize::mib(4), ByteSize::mib(64));
        for encoding in ["gzip", "zstd"] {
            let problem = read(request(&rules, encoding, b"plain".to_vec())).await.unwrap_err();
            assert_eq!(problem.kind(), Kind::BadRequest, "{encoding}");
        }
        let mut cut = gzip(b"some text");
        cut.truncate(12);
        assert_eq!(read(request(&rules, "gzip", cut)).await.unwrap_err().kind(), Kind::BadRequest);
        let problem = read(request(&rules, "br", b"x".to_vec())).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::UnsupportedMediaType);
    }

    #[tokio::test]
    async fn room_runs_out_and_comes_back() {
        let room = Room::new(ByteSize(64 << 10));
        let fresh = || BodyRules { room: room.clone(), ..rules(ByteSize::mib(1), ByteSize(1)) };
        let holder = fresh();
        read(request(&holder, "identity", vec![0; 60 << 10])).await.unwrap();
        let problem = read(request(&fresh(), "identity", vec![0; 8 << 10])).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::Overloaded);
        drop(holder);
        read(request(&fresh(), "identity", vec![0; 8 << 10])).await.unwrap();
    }
}
