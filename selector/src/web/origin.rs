//! Whether a posted form comes from this site's own page.
//!
//! A browser sends what it knows of the user (the network it is in, a password it keeps) with every request, whichever
//! site asked for it. So the form asks for proof, which a page of another site cannot forge: `Sec-Fetch-Site`, which
//! all current browsers send, or else an `Origin` that names this host. The service's edge refuses foreign requests
//! too, but lets programs pass that send neither; a form has no such callers (they use the API).

use axum::http::{HeaderMap, header};

/// Checks a request that came from a form.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), &'static str> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return if site == "same-origin" { Ok(()) } else { Err("the form was sent from another site") };
    }
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else {
        return Err(
            "the request does not say which site it comes from; programs report outcomes through the API",
        );
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match (authority, text(header::HOST)) {
        (Some(a), Some(host)) if a.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err("the form was sent from another site"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        same_origin(&headers).is_ok()
    }

    #[test]
    fn only_this_site() {
        assert!(verdict(&[("sec-fetch-site", "same-origin"), ("host", "a")]));
        assert!(verdict(&[("origin", "http://a:8080"), ("host", "a:8080")]));
        assert!(!verdict(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")]));
        assert!(!verdict(&[("sec-fetch-site", "same-site"), ("host", "a")]));
        assert!(!verdict(&[("sec-fetch-site", "none"), ("host", "a")]));
        assert!(!verdict(&[("origin", "http://a.evil"), ("host", "a")]));
        assert!(!verdict(&[("origin", "null"), ("host", "a")]));
        assert!(!verdict(&[("origin", "http://a:1"), ("host", "a:2")]));
        assert!(!verdict(&[("host", "a")]));
    }
}
