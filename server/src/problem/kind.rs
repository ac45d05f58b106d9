//! The kinds of problems: one table that the type, the status and the documentation come from.

use http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($name:ident $slug:literal $status:ident $title:literal $help:literal;)*) => {
        /// A kind of problem; its slug is stable, clients may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = concat!($title, ".")] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable name, as in `/docs#problem-SLUG`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The kind in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What a client does about it.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

kinds! {
    BadRequest "bad-request" BAD_REQUEST "the request cannot be understood"
        "The request line, a header, the path or a compressed body is malformed; the detail says where.";
    BadJson "bad-json" BAD_REQUEST "the body is not valid JSON"
        "The detail has line and column of the first mistake.";
    Unauthorized "unauthorized" UNAUTHORIZED "a valid API token is needed"
        "Send `Authorization: Bearer TOKEN`. Tokens expire and can be revoked; ask whoever runs the service for one.";
    Forbidden "forbidden" FORBIDDEN "the caller may not do this"
        "The token lacks the scope that the detail names, or a browser sent the request from another site.";
    NotFound "not-found" NOT_FOUND "there is no such thing"
        "Check the path and the id.";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "the path does not take this method"
        "The `allow` header lists the methods.";
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "no representation fits the accept header"
        "Leave the `accept` header out.";
    Timeout "timeout" REQUEST_TIMEOUT "the request body did not arrive in time"
        "Send the whole body without long pauses.";
    Conflict "conflict" CONFLICT "the request conflicts with what is stored"
        "The detail names the conflict.";
    IdempotencyInProgress "idempotency-in-progress" CONFLICT "the first request with this idempotency key is still running"
        "Wait a moment and send the same request again.";
    TooLarge "too-large" PAYLOAD_TOO_LARGE "the request is too large"
        "The detail names the limit; send less, or raise the limit in the service's configuration.";
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "the body's type or encoding is not supported"
        "Send `content-type: application/json`, as it is or with `content-encoding` gzip or zstd.";
    InvalidField "invalid-field" UNPROCESSABLE_ENTITY "a field has an unacceptable value"
        "`errors` lists the fields at fault with what is wrong with each.";
    IdempotencyMismatch "idempotency-mismatch" UNPROCESSABLE_ENTITY "the idempotency key was used with another body"
        "Use a new key for a new request.";
    RateLimited "rate-limited" TOO_MANY_REQUESTS "too many requests"
        "Wait as long as `retry-after` says.";
    Internal "internal" INTERNAL_SERVER_ERROR "the service failed"
        "Report it with the request id; the service's log has the cause under it.";
    Overloaded "overloaded" SERVICE_UNAVAILABLE "the service is busy"
        "Wait as long as `retry-after` says and send the request again.";
    DeadlineExceeded "deadline-exceeded" SERVICE_UNAVAILABLE "the request took too long here"
        "Send it again later, with fewer or smaller candidates.";
    DeadlinePassed "deadline-passed" GATEWAY_TIMEOUT "the request's own deadline passed"
        "Send it again with a later deadline, with fewer or smaller candidates, or when less is waiting.";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "something that the service depends on does not answer"
        "Wait as long as `retry-after` says and send the request again; `/readyz` names what is missing.";
}

impl Kind {
    /// The kind that a bare status stands for.
    pub fn of_status(status: StatusCode) -> Self {
        match Self::ALL.iter().find(|kind| kind.status() == status) {
            Some(kind) => *kind,
            None if status.is_server_error() => Self::Internal,
            None => Self::BadRequest,
        }
    }

    /// Seconds after which the same request may succeed.
    pub(crate) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::RateLimited | Self::IdempotencyInProgress => Some(1),
            Self::DeadlineExceeded | Self::Unavailable => Some(5),
            _ => None,
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/docs#problem-{}", self.slug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_every_kind_is_an_error() {
        let slugs: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.status().as_u16() >= 400, "{kind:?}");
        }
        assert_eq!(Kind::of_status(StatusCode::CONFLICT), Kind::Conflict);
        assert_eq!(Kind::of_status(StatusCode::BAD_GATEWAY), Kind::Internal);
    }
}
