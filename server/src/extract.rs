//! Extractors whose rejections are problems that name the field.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{header, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    body,
    problem::{Kind, Problem},
    strict::Strict,
};

/// Bodies from this size on are parsed off the async threads: 256 KiB take about a millisecond.
const PARSE_ELSEWHERE: usize = 256 << 10;

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        require_json(&request)?;
        let (_, bytes) = body::read(request).await?;
        if bytes.len() < PARSE_ELSEWHERE {
            return parse_json(&bytes).map(Self);
        }
        let parsed = tokio::task::spawn_blocking(move || parse_json(&bytes)).await;
        parsed.map_err(|error| Problem::internal(&error))?.map(Self)
    }
}

fn require_json(request: &Request) -> Result<(), Problem> {
    let given =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let suffixed = media_type.starts_with("application/") && media_type.ends_with("+json");
    if media_type == "application/json" || suffixed {
        return Ok(());
    }
    let detail = match given {
        "" => "the body needs `content-type: application/json`".to_owned(),
        _ => format!("the body is `{given}`, it needs to be `application/json`"),
    };
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// Parses JSON; only when that fails is it parsed again with the tracking of paths, which is slower.
fn parse_json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed =
        T::deserialize(Strict(&mut deserializer)).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| json_problem::<T>(bytes, &error))
}

fn json_problem<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    if bytes.is_empty() {
        return Problem::new(Kind::BadJson, "the body is empty");
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let (path, message) = match serde_path_to_error::deserialize::<_, T>(Strict(&mut deserializer)) {
                Err(error) => (error.path().to_string(), error.into_inner().to_string()),
                Ok(_) => (".".to_owned(), error.to_string()),
            };
            let field = if path == "." { "body".to_owned() } else { path };
            Problem::field(field, message)
        }
        Category::Syntax | Category::Eof | Category::Io => {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or_default();
            Problem::new(Kind::BadJson, format!("{place}: {what}"))
        }
    }
}

/// Parameters of the query string.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "query".to_owned() } else { path };
            Problem::field(field, error.into_inner().to_string())
        })
    }
}

/// Parameters of the path. A value that cannot be one, such as an id that is no UUID, names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                Err(Problem::not_found(format!("the path holds no possible id: {}", rejection.body_text())))
            }
        }
    }
}
