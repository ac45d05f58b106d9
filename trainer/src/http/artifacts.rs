//! `/v1/runs/{id}/artifacts`: the files of a run.

use std::{
    io,
    path::{Path as FilePath, PathBuf},
};

use axum::{Json as JsonBody, body::Body, extract::State, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, header};
use serde::Serialize;
use server::{Path, Problem, ProblemResponses, auth::Caller};
use tokio::{fs::File, io::AsyncReadExt as _};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::stored;
use crate::{Service, service::roots::file_below};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(download))
}

/// The files of a run.
#[derive(Debug, Serialize, ToSchema)]
struct Artifacts {
    /// By their path.
    data: Vec<Artifact>,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Artifact {
    /// Where it is, relative to the run's folder.
    path: String,
    /// Its size.
    bytes: u64,
}

/// The files of a run
#[utoipa::path(get, path = "/v1/runs/{id}/artifacts", tag = "artifacts",
    params(("id" = Uuid, Path, description = "The run's id.")),
    responses((status = 200, description = "Those that are there now.", body = Artifacts), ProblemResponses),
)]
async fn list(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<JsonBody<Artifacts>, Problem> {
    service.run(&caller.tenant, id).await.map_err(stored)?;
    let folder = service.folder(id);
    let found = tokio::task::spawn_blocking(move || below(&folder, FilePath::new("")));
    Ok(JsonBody(Artifacts { data: found.await.map_err(|error| Problem::internal(&error))? }))
}

/// The regular files below `inside` in `folder`, sorted; nothing hidden, and no link is followed.
pub(super) fn below(folder: &FilePath, inside: &FilePath) -> Vec<Artifact> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(inside)];
    while let Some(at) = open.pop() {
        // What is being deleted meanwhile is not there.
        let Ok(entries) = std::fs::read_dir(folder.join(&at)) else { continue };
        for entry in entries.flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let path = at.join(name);
            if facts.is_dir() {
                open.push(path);
            } else if facts.is_file()
                && let Some(path) = path.to_str()
            {
                found.push(Artifact { path: path.to_owned(), bytes: facts.len() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// One file of a run
#[utoipa::path(get, path = "/v1/runs/{id}/artifacts/{*path}", tag = "artifacts",
    params(
        ("id" = Uuid, Path, description = "The run's id."),
        ("path" = String, Path, description = "Where it is, relative to the run's folder."),
    ),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "application/octet-stream"),
        ProblemResponses,
    ),
)]
async fn download(
    State(service): State<Service>,
    caller: Caller,
    Path((id, path)): Path<(Uuid, String)>,
) -> Result<Response, Problem> {
    service.run(&caller.tenant, id).await.map_err(stored)?;
    let missing = || Problem::not_found(format!("run {id} has no file of this name"));
    let folder = service.folder(id);
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    let found = tokio::task::spawn_blocking(move || file_below(&folder, &path)).await;
    let found = found.map_err(|error| Problem::internal(&error))?.filter(|_| !hidden).ok_or_else(missing)?;
    let file = File::open(&found).await.map_err(|_| missing())?;
    let size = file.metadata().await.map_err(|error| Problem::internal(&error))?.len();
    let mut response = Response::new(Body::from_stream(chunks(file, size)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    // A browser must not take a run's file for a page of this site.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

/// Exactly the first `size` bytes: a log may grow while it is sent, and the head of the answer names its length.
fn chunks(file: File, size: u64) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::zeroed(CHUNK.min(usize::try_from(left).unwrap_or(CHUNK)));
        let count = file.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        chunk.truncate(count);
        Ok(Some((chunk.freeze(), (file, left - count as u64))))
    })
}
