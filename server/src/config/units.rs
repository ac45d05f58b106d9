//! Values as people write them: `64 MiB`, `30s`, and secrets that never print.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written `64 MiB`, `1.5 MB` or `4096`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const BYTE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not a size such as `64 MiB`, `500 kB` or `4096`");
        let (number, unit) = split_unit(text);
        let factor = if unit.is_empty() {
            1
        } else {
            BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(expected)?.1
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        let bytes = number * factor as f64;
        if !(0.0..=9e15).contains(&bytes) {
            return Err(expected());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = BYTE_UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A length of time, written `30s`, `250ms`, `5 min`, `1h`, or a number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not a time such as `30s`, `250ms` or `5 min`");
        let (number, unit) = split_unit(text);
        let unit = if unit.is_empty() { "s" } else { unit };
        let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?.1;
        let number: f64 = number.parse().map_err(|_| expected())?;
        let millis = number * factor as f64;
        if !(0.0..=1e13).contains(&millis) {
            return Err(expected());
        }
        Ok(Self(Duration::from_millis(millis as u64)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis() as u64;
        let exact = TIME_UNITS.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{} {unit}", millis / factor),
            None => write!(f, "{millis} ms"),
        }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..split].trim_end(), &text[split..])
}

macro_rules! serde_as_text {
    ($name:ident, $expecting:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

serde_as_text!(ByteSize, "a size such as `64 MiB`");
serde_as_text!(Span, "a time such as `30s`");

/// Text that is never printed: `Debug` and `Serialize` show only whether it is set.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"<hidden>\"" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "<hidden>" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        assert_eq!("64 MiB".parse(), Ok(ByteSize::mib(64)));
        assert_eq!("1.5kb".parse(), Ok(ByteSize(1500)));
        assert_eq!("4096".parse(), Ok(ByteSize(4096)));
        assert_eq!(ByteSize(1 << 26).to_string(), "64 MiB");
        assert_eq!(ByteSize(1001).to_string(), "1001 B");
        for bad in ["", "-1", "12 XB", "MiB", "1e99 GB", "NaN"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_read_and_print() {
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        assert_eq!("5 min".parse(), Ok(Span::secs(300)));
        assert_eq!("30".parse(), Ok(Span::secs(30)));
        assert_eq!(Span::secs(90).to_string(), "90 s");
        assert_eq!(Span::secs(3600).to_string(), "1 h");
        for bad in ["", "-1s", "3 weeks", "s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }
}
