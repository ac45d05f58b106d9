//! Which service to call and how, checked.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{BreakerSettings, RetrySettings};
use crate::config::{ByteSize, Secret};

/// A service to call.
#[derive(Debug, Clone)]
pub struct Target {
    /// What metrics and messages call it, such as `verifier`.
    pub name: &'static str,
    /// `http://` or `https://`, host, port, and a path to put before those of the calls.
    pub url: String,
    /// Sent as `Authorization: Bearer`; none when empty.
    pub token: Secret,
    /// Further headers of every call.
    pub headers: Vec<(String, Secret)>,
    /// PEM file with certificates to trust beside the bundled ones.
    pub ca_file: Option<PathBuf>,
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// Time for one attempt, from its first to its last byte.
    pub timeout: Duration,
    /// Calls at a time; more wait.
    pub concurrency: usize,
    /// Size of an answer.
    pub response: ByteSize,
    /// When to try again.
    pub retry: RetrySettings,
    /// When to stop trying.
    pub breaker: BreakerSettings,
}

impl Target {
    /// A target with the defaults of everything but its address.
    pub fn new(name: &'static str, url: impl Into<String>) -> Self {
        Self {
            name,
            url: url.into(),
            token: Secret::default(),
            headers: Vec::new(),
            ca_file: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_mins(1),
            concurrency: 16,
            response: ByteSize::mib(16),
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
        }
    }
}

/// Why a target cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address is not one.
    #[error("`{url}` is not an address such as http://127.0.0.1:8000: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A header or token that cannot be sent; the value is not shown.
    #[error("header `{name}` cannot be sent: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The certificates cannot be read.
    #[error("cannot read certificates from {}: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The address without a slash at its end.
pub(super) fn base(url: &str) -> Result<String, TargetError> {
    let bad = |reason: &str| TargetError::Url { url: hide_user(url), reason: reason.to_owned() };
    let parsed: Uri = url.trim().parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(bad("it begins with neither http:// nor https://"));
    }
    let authority = parsed.authority().ok_or_else(|| bad("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("it holds a user or password; give the token by itself"));
    }
    if parsed.query().is_some() {
        return Err(bad("it has a query"));
    }
    Ok(url.trim().trim_end_matches('/').to_owned())
}

/// For messages: what stands before an `@` may be a password.
fn hide_user(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(at)) if start + 3 <= at => format!("{}<hidden>{}", &url[..start + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

/// The headers of every call.
pub(super) fn headers(target: &Target) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("entropo/", env!("CARGO_PKG_VERSION"))));
    if !target.token.is_empty() {
        let value = format!("Bearer {}", target.token.expose());
        headers.insert(header::AUTHORIZATION, secret("authorization", &value)?);
    }
    for (name, value) in &target.headers {
        let bad = |reason: String| TargetError::Header { name: name.clone(), reason };
        let parsed = HeaderName::try_from(name.as_str()).map_err(|error| bad(error.to_string()))?;
        if parsed == header::HOST || parsed == header::CONTENT_LENGTH || parsed == header::TRANSFER_ENCODING {
            return Err(bad("it follows from the address and the body".to_owned()));
        }
        headers.insert(parsed, secret(name, value.expose())?);
    }
    Ok(headers)
}

fn secret(name: &str, value: &str) -> Result<HeaderValue, TargetError> {
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| TargetError::Header {
        name: name.to_owned(),
        reason: "it holds characters that headers cannot have".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Trust in the bundled certificates of Mozilla's list and those of the file.
pub(super) fn tls(target: &Target) -> Result<ClientConfig, TargetError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &target.ca_file {
        let bad = |reason: String| TargetError::Certificates { path: path.clone(), reason };
        let read = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
        let mut count = 0;
        for certificate in read {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(bad("it holds no PEM certificate".to_owned()));
        }
    }
    Ok(ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_passwords_not_shown() {
        assert_eq!(base("http://h:1/v/").unwrap(), "http://h:1/v");
        assert_eq!(base(" https://h ").unwrap(), "https://h");
        for bad in ["", "h:80", "ftp://h", "/v1", "http://", "http://h?x=1", "file:///etc/passwd"] {
            assert!(base(bad).is_err(), "{bad}");
        }
        let message = base("http://me:hunter2@h").unwrap_err().to_string();
        assert!(!message.contains("hunter2") && message.contains("http://<hidden>@h"), "{message}");
    }

    #[test]
    fn tokens_are_sent_and_never_shown() {
        let mut target = Target::new("test", "http://h");
        target.token = Secret::new("hunter2\n");
        target.headers = vec![("x-team".into(), Secret::new("blue"))];
        let headers = headers(&target).unwrap();
        assert_eq!(headers["authorization"], "Bearer hunter2");
        assert!(!format!("{target:?} {headers:?}").contains("hunter2"));
        target.headers = vec![("host".into(), Secret::new("elsewhere"))];
        assert!(super::headers(&target).is_err());
        target.headers = vec![("x-a".into(), Secret::new("a\r\nb: c"))];
        assert!(super::headers(&target).is_err());
    }

    #[test]
    fn certificates_are_read_or_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "nothing here").unwrap();
        let target = Target { ca_file: Some(path), ..Target::new("test", "https://h") };
        let message = tls(&target).unwrap_err().to_string();
        assert!(message.contains("ca.pem") && message.contains("no PEM certificate"), "{message}");
        assert!(tls(&Target::new("test", "https://h")).is_ok());
    }
}
