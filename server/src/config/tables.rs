//! The tables that every service's configuration has.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ByteSize, ConfigError, Secret, Span};

/// The tables that every service's configuration has, lent by it.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// Where the service listens.
    pub http: &'a Http,
    /// Where the records are.
    pub database: &'a Database,
    /// Who may call.
    pub auth: &'a Auth,
    /// What a request may cost.
    pub limits: &'a Limits,
    /// What is logged.
    pub log: &'a Log,
    /// Where traces go.
    pub telemetry: &'a Telemetry,
}

/// The configuration of a service.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// What it has in common with those of the others.
    fn shared(&self) -> Shared<'_>;
}

/// `[http]`: where the service listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub bind: SocketAddr,
}

/// `[database]`: where the records are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://PATH`, `sqlite::memory:` or `postgres://USER:PASSWORD@HOST/NAME`; the password never prints.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// The password for a PostgreSQL whose URL has none; empty for none.
    pub password: Secret,
}

impl Database {
    /// A database whose URL says everything.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), password: Secret::default() }
    }

    /// The URL to connect to, with the password; do not print it.
    pub fn address(&self) -> Result<String, ConfigError> {
        if self.password.is_empty() {
            return Ok(self.url.clone());
        }
        let wrong = |message: &str| ConfigError::BadValue {
            key: "database.password".to_owned(),
            origin: "configuration".to_owned(),
            message: message.to_owned(),
        };
        if !self.url.starts_with("postgres://") && !self.url.starts_with("postgresql://") {
            return Err(wrong("only a `postgres://` database has a password"));
        }
        if self.redacted() != self.url {
            return Err(wrong("`database.url` holds a password already; leave one of them out"));
        }
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let password: String = form_urlencoded::byte_serialize(self.password.expose().as_bytes()).collect();
        Ok(format!("{}{separator}password={password}", self.url))
    }

    /// The URL with the password hidden, for messages.
    pub fn redacted(&self) -> String {
        redact(&self.url)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.redacted();
        f.debug_struct("Database").field("url", &url).field("password", &self.password).finish()
    }
}

/// `[auth]`: who may call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whether a token is needed.
    pub mode: AuthMode,
    /// A token with every scope that is not in the database, to create the others with; empty for none.
    pub admin_token: Secret,
}

/// Whether requests need an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Not on a loopback address; everywhere else.
    #[default]
    Auto,
    /// Never. On a public address this lets everybody in; the service warns at start.
    Off,
    /// Always.
    Required,
}

impl AuthMode {
    /// Whether a service on this address needs tokens.
    pub fn is_required(self, bind: SocketAddr) -> bool {
        match self {
            Self::Auto => !bind.ip().is_loopback(),
            Self::Off => false,
            Self::Required => true,
        }
    }
}

/// `[limits]`: what one request may cost, and how many there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest request body as sent, before decompression.
    pub encoded_body: ByteSize,
    /// Largest request body after decompression.
    pub decoded_body: ByteSize,
    /// Decoded bodies held in memory by all requests together; beyond it requests are shed.
    pub bodies_in_memory: ByteSize,
    /// Requests handled at a time; beyond it requests are shed with 503.
    pub concurrency: usize,
    /// Requests that one token may send in a second, and at once after a pause; 0 for no limit.
    pub requests_per_second: u32,
    /// Open connections; beyond it new ones wait to be accepted.
    pub connections: usize,
    /// Time for a whole request head, counted from the moment the server waits for one.
    pub header_timeout: Span,
    /// Longest pause while a request body arrives.
    pub body_timeout: Span,
    /// Time for a request from its head to its response's head.
    pub request_timeout: Span,
    /// Time that running requests get to finish after a stop signal.
    pub shutdown_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            encoded_body: ByteSize::mib(64),
            decoded_body: ByteSize::mib(128),
            bodies_in_memory: ByteSize::mib(512),
            concurrency: 256,
            requests_per_second: 0,
            connections: 1024,
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(10),
            request_timeout: Span::secs(60),
            shutdown_timeout: Span::secs(20),
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Level, or directives such as `info,sqlx=warn`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`: where traces go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty for none, and then nothing is
    /// exported.
    pub otlp_endpoint: String,
    /// Share of the traces that are recorded, of those that begin here; a caller decides for its own.
    pub sample_ratio: f64,
    /// What traces call the process; empty for the name of its service.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample_ratio: 1.0, service_name: String::new() }
    }
}

fn without_password<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact(url))
}

/// Hides the password of a URL's authority and of a `password=` parameter.
fn redact(url: &str) -> String {
    let mut shown = url.to_owned();
    if let Some(start) = shown.find("://").map(|at| at + 3) {
        let end = shown[start..].find(['/', '?']).map_or(shown.len(), |at| start + at);
        // A password may hold an unescaped `@`: everything up to the last one belongs to the user part.
        if let Some(at) = shown[start..end].rfind('@').map(|at| start + at)
            && let Some(colon) = shown[start..at].find(':').map(|colon| start + colon)
        {
            shown.replace_range(colon + 1..at, "<hidden>");
        }
    }
    if let Some(start) = shown.find("password=").map(|at| at + "password=".len()) {
        let end = shown[start..].find('&').map_or(shown.len(), |at| start + at);
        shown.replace_range(start..end, "<hidden>");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(redact("postgres://u:p@h/db"), "postgres://u:<hidden>@h/db");
        assert_eq!(redact("postgres://u:p@ss@h:5432/db?x=1"), "postgres://u:<hidden>@h:5432/db?x=1");
        assert_eq!(
            redact("postgres://h/db?user=u&password=p&x=1"),
            "postgres://h/db?user=u&password=<hidden>&x=1"
        );
        assert_eq!(redact("sqlite://data/entropo.db"), "sqlite://data/entropo.db");
        assert_eq!(redact("postgres://u@h/db"), "postgres://u@h/db");
    }

    #[test]
    fn a_password_of_its_own_joins_the_url() {
        let address = |url: &str, password: &str| {
            let database = Database { url: url.into(), password: Secret::new(password) };
            assert!(!format!("{database:?}").contains("hunter"), "{database:?}");
            database.address().map_err(|error| error.to_string())
        };
        let joined = |url: &str| address(url, "hunter&2 +%");
        assert_eq!(joined("postgres://u@h/db").unwrap(), "postgres://u@h/db?password=hunter%262+%2B%25");
        assert_eq!(joined("postgres://h/db?x=1").unwrap(), "postgres://h/db?x=1&password=hunter%262+%2B%25");
        assert_eq!(address("postgres://u:p@h/db", "").unwrap(), "postgres://u:p@h/db");
        for (url, words) in [
            ("postgres://u:p@h/db", "holds a password already"),
            ("postgres://h/db?password=p", "holds a password already"),
            ("sqlite://entropo.db", "only a `postgres://`"),
        ] {
            let message = joined(url).unwrap_err();
            assert!(message.contains(words) && message.contains("database.password"), "{message}");
        }
    }

    #[test]
    fn auto_asks_for_tokens_off_loopback_only() {
        let required = |mode: AuthMode, addr: &str| mode.is_required(addr.parse().unwrap());
        assert!(!required(AuthMode::Auto, "127.0.0.1:1"));
        assert!(!required(AuthMode::Auto, "[::1]:1"));
        assert!(required(AuthMode::Auto, "0.0.0.0:1"));
        assert!(required(AuthMode::Required, "127.0.0.1:1"));
        assert!(!required(AuthMode::Off, "0.0.0.0:1"));
    }
}
