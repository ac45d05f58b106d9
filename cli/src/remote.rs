//! A client of the selector service.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::{Candidate, Selection, TestRun, VerifierScore};
use reqwest::{Response, StatusCode, Url};
use selector::Policy;
use serde::{Deserialize, Serialize};
use server::auth::TENANT;
use store::Tenant;

use crate::input::group::Issue;

/// How long one request may take; selections of large trajectories are uploads of tens of megabytes.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A service and the token for it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    tenant: Tenant,
}

/// Body of `POST /v1/selections`.
#[derive(Debug, Clone, Serialize)]
pub struct SelectionRequest {
    /// The issue.
    pub instance_id: String,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// Who competes.
    pub candidates: Vec<Candidate>,
    /// Test evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestRun>,
    /// Verifier scores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<VerifierScore>,
    /// The rule.
    pub policy: Policy,
    /// How to apply it.
    pub options: SelectionOptions,
}

/// Options of a selection.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SelectionOptions {
    /// Abstain below this confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
}

/// Reply of `POST /v1/selections`.
#[derive(Debug, Clone, Deserialize)]
pub struct SelectionReply {
    /// Under which id the service remembers it.
    pub id: String,
    /// The result.
    #[serde(flatten)]
    pub selection: Selection,
}

/// The parts of a problem+json reply that a person needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<ProblemField>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemField {
    pointer: String,
    field: String,
    message: String,
}

impl SelectionRequest {
    /// Takes the whole candidates out of an issue that was read with `whole`.
    pub fn of(issue: &mut Issue, policy: Policy, min_confidence: Option<f64>) -> Self {
        Self {
            instance_id: issue.pool.instance_id.clone(),
            issue: issue.pool.issue.as_deref().map(str::to_owned),
            candidates: issue.unpack(),
            tests: std::mem::take(&mut issue.evidence.tests),
            scores: std::mem::take(&mut issue.evidence.scores),
            policy,
            options: SelectionOptions { min_confidence },
        }
    }
}

impl Client {
    /// A client of the service at `url`.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let base =
            Url::parse(url).with_context(|| format!("`{url}` is not a URL such as http://127.0.0.1:8080"))?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().context("cannot set up HTTP")?;
        Ok(Self { http, base, token: token.map(str::to_owned), tenant: Tenant::DEFAULT })
    }

    /// The same for the records of a tenant; the service must let the token act for it.
    #[must_use]
    pub fn acting_for(self, tenant: &Tenant) -> Self {
        Self { tenant: tenant.clone(), ..self }
    }

    /// Selects and remembers.
    pub async fn select(&self, request: &SelectionRequest) -> Result<SelectionReply> {
        let what = || format!("the service did not select for {}", request.instance_id);
        let response = self.post("v1/selections", request).await.with_context(what)?;
        response.json().await.with_context(what)
    }

    /// Waits until the service says that it is ready.
    pub async fn wait_until_ready(&self, patience: Duration) -> Result<()> {
        let started = std::time::Instant::now();
        loop {
            let reply = self.http.get(self.url("readyz")?).send().await;
            match reply {
                Ok(reply) if reply.status().is_success() => return Ok(()),
                Ok(reply) if started.elapsed() > patience => {
                    bail!("the service is not ready: {}", reply.status())
                }
                Err(error) if started.elapsed() > patience => {
                    return Err(error).with_context(|| format!("no service answers at {}", self.base));
                }
                _ => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
    }

    /// Posts JSON; a reply that is no success becomes an error with what the service said.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        let mut request = self.http.post(self.url(path)?).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if !self.tenant.is_default() {
            request = request.header(TENANT, self.tenant.as_str());
        }
        let response = request.send().await.with_context(|| format!("cannot reach {}", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        bail!("{}", describe(status, &body))
    }

    fn url(&self, path: &str) -> Result<Url> {
        // `join` would drop the last part of a base path without a slash (http://host/entropo).
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}")).with_context(|| format!("`{base}` is not a base URL"))
    }
}

/// A refusal in words.
fn describe(status: StatusCode, body: &str) -> String {
    let problem: Problem = serde_json::from_str(body).unwrap_or_default();
    let mut text = match (problem.detail.as_str(), problem.title.as_str()) {
        ("", "") => status.to_string(),
        ("", title) => format!("{} {title}", status.as_u16()),
        (detail, _) => format!("{} {detail}", status.as_u16()),
    };
    for error in problem.errors.iter().take(5) {
        let place = if error.pointer.is_empty() { &error.field } else { &error.pointer };
        let _ = write!(text, "; {place}: {}", error.message);
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str(" (give a token with --token or ENTROPO_TOKEN; `entropo token create` makes one)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field() {
        let body = r#"{"title":"Unprocessable","detail":"the request is not valid","errors":[{"pointer":"/candidates/0/patch","message":"too long"}]}"#;
        let text = describe(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(text, "422 the request is not valid; /candidates/0/patch: too long");
        assert!(describe(StatusCode::UNAUTHORIZED, "").contains("ENTROPO_TOKEN"));
        assert_eq!(describe(StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
    }

    #[test]
    fn a_base_path_is_kept() {
        let client = Client::new("http://host:1/entropo", None).unwrap();
        assert_eq!(client.url("v1/selections").unwrap().as_str(), "http://host:1/entropo/v1/selections");
        assert!(Client::new("127.0.0.1:8080", None).is_err() || Client::new("nonsense", None).is_err());
    }
}
