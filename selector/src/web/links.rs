//! Addresses of the pages. Candidate ids are chosen by callers and may hold anything, `/` and `..` included, so they
//! travel in the query, where no browser or proxy rewrites them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::text::clean;

/// Everything but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a value for a query or a path segment.
pub(super) fn encode(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// Undoes [`encode`]; `None` when that leaves no text.
///
/// Form fields hold encoded ids too: a browser changes line ends in what it posts.
pub(super) fn decode(value: &str) -> Option<String> {
    percent_decode_str(value).decode_utf8().ok().map(Cow::into_owned)
}

/// Addresses below one selection.
#[derive(Debug, Clone)]
pub(super) struct Links {
    base: String,
}

/// A link to a candidate: the page with it in view, and the part that htmx puts in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CandidateLink {
    /// The id, for people.
    pub(super) id: String,
    pub(super) rank: u32,
    pub(super) url: String,
    pub(super) partial: String,
}

impl Links {
    pub(super) fn new(selection_id: &str) -> Self {
        Self { base: format!("/selections/{}", encode(selection_id)) }
    }

    pub(super) fn selection(&self) -> String {
        self.base.clone()
    }

    pub(super) fn candidate(&self, id: &str, rank: u32) -> CandidateLink {
        let value = encode(id);
        CandidateLink {
            id: clean(id).into_owned(),
            rank,
            url: format!("{}?candidate={value}#candidate", self.base),
            partial: format!("{}/candidate?candidate={value}", self.base),
        }
    }

    pub(super) fn compare(&self) -> String {
        format!("{}/compare", self.base)
    }

    pub(super) fn tests(&self) -> String {
        format!("{}/tests", self.base)
    }

    pub(super) fn outcome(&self) -> String {
        format!("{}/outcome", self.base)
    }

    pub(super) fn trajectory(&self, candidate_id: &str, from: usize) -> String {
        let from = if from == 0 { String::new() } else { format!("&from={from}") };
        format!("{}/trajectory?candidate={}{from}", self.base, encode(candidate_id))
    }

    pub(super) fn raw_patch(&self, candidate_id: &str) -> String {
        format!("{}/raw?candidate={}&what=patch", self.base, encode(candidate_id))
    }

    pub(super) fn raw_turn(&self, candidate_id: &str, number: usize) -> String {
        format!("{}/raw?candidate={}&what=turn&turn={number}", self.base, encode(candidate_id))
    }

    pub(super) fn raw_issue(&self) -> String {
        format!("{}/raw?what=issue", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for id in ["plain", "a/b\r\n\u{1b}%20+é", ""] {
            assert_eq!(decode(&encode(id)).as_deref(), Some(id));
        }
        assert_eq!(decode("%ff"), None);
    }

    #[test]
    fn ids_cannot_leave_their_place() {
        let links = Links::new("../x?y");
        assert_eq!(links.selection(), "/selections/..%2Fx%3Fy");
        let link = links.candidate("a/b&c=d#e \"<é", 1);
        assert_eq!(link.url, "/selections/..%2Fx%3Fy?candidate=a%2Fb%26c%3Dd%23e%20%22%3C%C3%A9#candidate");
    }
}
