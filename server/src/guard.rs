//! Keeps other web sites from using a visitor's browser against this service.
//!
//! Without tokens on a loopback address any page the user visits could post to it (cross-site request forgery) or,
//! by pointing its own name at 127.0.0.1, read from it (DNS rebinding). Programs do not send these headers.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, header};

use crate::problem::{Kind, Problem};

/// What the guard checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The service is on a loopback address and asks for no token: the `host` header must name this machine.
    pub local_only: bool,
}

/// Refuses requests that a browser sent on behalf of another site.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match check(guard, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(detail) => Problem::new(Kind::Forbidden, detail).into_response(),
    }
}

fn check(guard: Guard, method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST);
    if guard.local_only && host.is_some_and(|host| !is_this_machine(host)) {
        return Err("the host header names another machine; call the service as localhost or 127.0.0.1");
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let site = headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    let foreign_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    let foreign_origin = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        // Behind a proxy that rewrites `host` only the browser's own verdict, when there is one, can be trusted.
        site.is_none() && host.is_some_and(|host| host != authority)
    });
    if foreign_site || foreign_origin {
        return Err("a browser sent this request on behalf of another web site");
    }
    Ok(())
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(local_only: bool, method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        check(Guard { local_only }, method, &headers).is_ok()
    }

    #[test]
    fn other_sites_may_not_post() {
        assert!(verdict(false, &Method::POST, &[("host", "a:1")]));
        assert!(verdict(false, &Method::POST, &[("host", "a:1"), ("origin", "http://a:1")]));
        assert!(verdict(
            false,
            &Method::POST,
            &[("host", "inner"), ("origin", "http://a"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!verdict(false, &Method::POST, &[("host", "a:1"), ("origin", "http://b")]));
        assert!(!verdict(false, &Method::POST, &[("host", "a:1"), ("origin", "null")]));
        assert!(!verdict(false, &Method::POST, &[("sec-fetch-site", "cross-site")]));
        assert!(verdict(false, &Method::GET, &[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn without_tokens_on_loopback_the_host_must_be_this_machine() {
        for good in ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
            assert!(verdict(true, &Method::GET, &[("host", good)]), "{good}");
        }
        for bad in ["evil.example:8080", "10.0.0.1", "[2001:db8::1]:80"] {
            assert!(!verdict(true, &Method::GET, &[("host", bad)]), "{bad}");
            assert!(verdict(false, &Method::GET, &[("host", bad)]), "{bad}");
        }
    }
}
