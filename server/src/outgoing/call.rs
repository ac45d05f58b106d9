//! What becomes of a call.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A complete answer with a status of success.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody is asked for now, because the last calls failed.
    #[error("{target} failed too often and is left alone for {} ms", retry_in.as_millis())]
    Open {
        /// The target's name.
        target: &'static str,
        /// When to try again.
        retry_in: Duration,
    },
    /// No connection, or it broke before the answer was complete.
    #[error("{target} cannot be reached: {reason}")]
    Unreachable {
        /// The target's name.
        target: &'static str,
        /// What the network said.
        reason: String,
    },
    /// The deadline or the time for one attempt passed.
    #[error("{target} did not answer within {} ms", after.as_millis())]
    TooSlow {
        /// The target's name.
        target: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// A status other than success.
    #[error("{target} answered {status}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Refused {
        /// The target's name.
        target: &'static str,
        /// The status.
        status: StatusCode,
        /// The beginning of what it said.
        detail: String,
    },
    /// The answer is larger than allowed.
    #[error("the answer of {target} is larger than {limit} bytes")]
    TooLarge {
        /// The target's name.
        target: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Unreachable { .. } | Self::TooSlow { .. } => true,
            Self::Refused { status, .. } => super::is_transient(*status),
            Self::TooLarge { .. } => false,
        }
    }
}

/// The first words of an error's body on one line: problem+json and OpenAI's errors give their message.
pub(super) fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = parsed.as_ref().and_then(|value| {
        let places = [&value["detail"], &value["error"]["message"], &value["message"], &value["error"]];
        places.into_iter().find_map(serde_json::Value::as_str).map(str::to_owned)
    });
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_kinds_of_servers_are_read() {
        assert_eq!(excerpt(br#"{"title": "t", "detail": "too long"}"#), "too long");
        assert_eq!(excerpt(br#"{"error": {"message": "no such model", "code": 404}}"#), "no such model");
        assert_eq!(excerpt(br#"{"object": "error", "message": "bad"}"#), "bad");
        assert_eq!(excerpt(b"<html>\n  <b>502</b>\n</html>"), "<html> <b>502</b> </html>");
        assert_eq!(excerpt(&[b'x'; 1000]).chars().count(), 301);
        assert_eq!(excerpt(b""), "");
    }
}
