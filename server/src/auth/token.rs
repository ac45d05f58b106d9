//! Making, hashing and reading tokens.

use std::fmt;

use subtle::ConstantTimeEq as _;

use crate::Secret;

/// Tells tokens apart from other secrets, for people and for scanners of leaked secrets.
const PREFIX: &str = "entropo_";

/// A new token, to be shown once.
#[derive(Debug)]
pub struct Token {
    /// The token: `entropo_` and 64 hex digits (256 random bits).
    pub secret: Secret,
    /// What to keep.
    pub hash: TokenHash,
}

impl Token {
    /// Draws a token from the system's random source.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        let text = format!("{PREFIX}{}", blake3::Hash::from_bytes(bytes).to_hex());
        Ok(Self { hash: TokenHash::of(&text), secret: Secret::new(text) })
    }
}

/// BLAKE3 of a token. A fast hash is enough: tokens are 256 random bits, there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// A hash that was kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash, to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// The token in an authorization header: `Bearer TOKEN` or `Basic base64(anything:TOKEN)`.
pub(super) fn from_header(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let credentials = String::from_utf8(base64(rest.trim())?).ok()?;
        return credentials.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// Standard base64, padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut buffer, mut bits) = (0_u32, 0);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == symbol)?;
        buffer = (buffer << 6 | value as u32) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_again_by_its_hash() {
        let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert!(TokenHash::of(one.secret.expose()).matches(&one.hash));
        assert!(!one.hash.matches(&two.hash));
        assert_eq!(TokenHash::from_bytes(*one.hash.as_bytes()), one.hash);
        assert_eq!(one.secret.expose().len(), PREFIX.len() + 64);
    }

    #[test]
    fn headers_of_both_schemes_are_read() {
        assert_eq!(from_header("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(from_header("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(from_header("Basic bWU6dG9rZW46eA==").as_deref(), Some("token:x"));
        for bad in ["", "abc", "Basic", "Basic !!!", "Basic bWU=", "Digest abc"] {
            assert_eq!(from_header(bad), None, "{bad}");
        }
    }
}
