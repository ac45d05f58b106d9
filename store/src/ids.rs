//! Identifiers that are more than text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The content address of a trajectory: [`common::Trajectory::content_id`], 32 lower-case hex digits.
///
/// Not to be confused with a candidate's id within its issue, which the caller chooses freely: two candidates of one
/// pool may be the same trajectory and then share one content id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContentId([u8; 16]);

impl ContentId {
    /// The address of serialised content.
    pub(crate) fn of(canonical_json: &[u8]) -> Self {
        let hash = blake3::hash(canonical_json);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        Self(id)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

impl FromStr for ContentId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let invalid = || StoreError::Invalid {
            field: "content_id",
            detail: "a content id is 32 lower-case hex digits".to_owned(),
        };
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(invalid());
        }
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(invalid()),
        };
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(id))
    }
}

impl From<ContentId> for String {
    fn from(id: ContentId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ContentId {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use common::Trajectory;

    use super::*;

    #[test]
    fn is_the_address_that_common_computes() {
        let trajectory = Trajectory {
            instance_id: "a__b-1".to_owned(),
            patch: Some("x".to_owned()),
            ..Trajectory::default()
        };
        let json = serde_json::to_vec(&trajectory).unwrap();
        assert_eq!(ContentId::of(&json).to_string(), trajectory.content_id());
    }

    #[test]
    fn reads_only_what_it_prints() {
        let id = ContentId::of(b"something");
        assert_eq!(id.to_string().parse::<ContentId>().unwrap(), id);
        for wrong in ["", "abc", &id.to_string().to_uppercase(), &"g".repeat(32), &"é".repeat(16)] {
            assert!(wrong.parse::<ContentId>().is_err(), "{wrong}");
        }
    }
}
