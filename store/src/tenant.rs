//! Whose a record is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The owner of records: nobody sees or changes those of another tenant, or learns whether they exist.
///
/// Every method of the store that reads or writes records takes one, so that a query without a tenant does not compile.
/// There is no `Default`: which tenant is meant is always written down.
///
/// A name is 1 to 64 characters of `a`–`z`, `0`–`9`, `-`, `_` and `.`, and begins with a letter or digit: it can stand in a
/// path, in a header and in a log without being taken for anything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tenant(Cow<'static, str>);

impl Tenant {
    /// The operator's tenant: of callers without a token and of everything that was stored before there were tenants.
    pub const DEFAULT: Self = Self(Cow::Borrowed("default"));
    /// Longest name in characters.
    pub const MAX: usize = 64;

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the operator's.
    pub fn is_default(&self) -> bool {
        *self == Self::DEFAULT
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = name.bytes().next().is_some_and(plain);
        let rest = name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'));
        if first && rest && name.len() <= Self::MAX {
            return Ok(Self(Cow::Owned(name.to_owned())));
        }
        let detail = format!(
            "must be 1 to {} characters of a-z, 0-9, `-`, `_` and `.`, and begin with a letter or digit",
            Self::MAX
        );
        Err(StoreError::invalid("tenant", detail))
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0.into_owned()
    }
}

impl TryFrom<String> for Tenant {
    type Error = StoreError;

    fn try_from(name: String) -> Result<Self, StoreError> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["default", "a", "0", "team-1", "acme.eu_west", &"x".repeat(64)] {
            assert_eq!(good.parse::<Tenant>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a/b", "a\\b", "a b", "a\0", "ä", "a\n", &"x".repeat(65)]
        {
            assert!(bad.parse::<Tenant>().is_err(), "{bad:?}");
        }
        assert!("default".parse::<Tenant>().unwrap().is_default());
        assert!(serde_json::from_str::<Tenant>("\"../x\"").is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_one_part_of_a_path(name in "\\PC{0,70}") {
            if name.parse::<Tenant>().is_ok() {
                let parts: Vec<_> = std::path::Path::new(&name).components().collect();
                prop_assert!(matches!(parts.as_slice(), [std::path::Component::Normal(_)]));
            }
        }
    }
}
