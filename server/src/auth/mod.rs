//! API tokens: `Authorization: Bearer TOKEN`, or the token as the password of Basic authentication for browsers.

mod token;

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use serde::{Deserialize, Serialize};
use store::Tenant;

pub use token::{Token, TokenHash};

use crate::{
    Secret,
    problem::{Kind, Problem},
};

/// What a token allows; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// GET requests.
    Read,
    /// Requests that create or change records.
    Write,
    /// Managing tokens and models.
    Admin,
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("`{text}` is not a scope; scopes are read, write and admin")),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// A token as it is kept: never the token itself.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Identifies the caller in logs and idempotency keys.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose records it opens.
    pub tenant: Tenant,
    /// Hash of the whole token.
    pub hash: TokenHash,
    /// Hash of the secret that it had before, while that is still accepted.
    pub previous: Option<TokenHash>,
    /// The widest scope.
    pub scope: Scope,
    /// Whether it has expired or was revoked.
    pub expired: bool,
}

impl TokenRecord {
    /// Whether this is a secret of the token, in constant time.
    fn accepts(&self, hash: &TokenHash) -> bool {
        let now = self.hash.matches(hash);
        let before = self.previous.is_some_and(|previous| previous.matches(hash));
        now | before
    }
}

/// Where tokens are kept.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The token with this hash, or with this hash before its last rotation; the error goes to the log.
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, String>;
}

/// The header in which the operator says for which tenant a request is.
pub const TENANT: HeaderName = HeaderName::from_static("entropo-tenant");

/// Who sent the request: an extractor, and an extension of every request that was let in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's id; `anonymous` where no token is needed.
    pub id: Arc<str>,
    /// What they may do.
    pub scope: Scope,
    /// Whose records they see.
    pub tenant: Tenant,
}

impl Caller {
    /// Somebody without a token, where none is needed.
    pub fn anonymous() -> Self {
        Self { id: "anonymous".into(), scope: Scope::Admin, tenant: Tenant::DEFAULT }
    }

    /// The caller as the tenant that the header names. Only the operator may act for others: an administrator of the
    /// default tenant.
    fn acting_for(self, headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(named) = headers.get(TENANT) else { return Ok(self) };
        let named = named.to_str().ok().and_then(|name| name.parse::<Tenant>().ok());
        let tenant = named.ok_or_else(|| Problem::field(TENANT.as_str(), "is not the name of a tenant"))?;
        if tenant == self.tenant || (self.tenant.is_default() && self.scope >= Scope::Admin) {
            return Ok(Self { tenant, ..self });
        }
        let detail = format!(
            "this token belongs to the tenant `{}`; only an administrator of `{}` may act for another",
            self.tenant,
            Tenant::DEFAULT
        );
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// Refuses callers of tenants other than the operator's: for what shows the whole deployment.
    pub fn require_operator(&self) -> Result<(), Problem> {
        if self.tenant.is_default() {
            return Ok(());
        }
        let detail =
            format!("this is for tokens of the tenant `{}`; the token given has another", Tenant::DEFAULT);
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// Refuses callers without the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        let detail =
            format!("this needs a token with the scope `{scope}`; the token given has `{}`", self.scope);
        Err(Problem::new(Kind::Forbidden, detail))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// Fails where no layer has found out who calls: a route without it must not answer.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::broken("the route is not behind the layer that authorizes"))
    }
}

/// Decides who a request is from.
#[derive(Clone, Default)]
pub struct Authenticator {
    required: bool,
    admin: Option<TokenHash>,
    store: Option<Arc<dyn TokenStore>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Lets everybody in.
    pub fn off() -> Self {
        Self::default()
    }

    /// Asks for a token: the configured one, or one from the store.
    pub fn required(admin: &Secret, store: Option<Arc<dyn TokenStore>>) -> Self {
        let admin = (!admin.is_empty()).then(|| TokenHash::of(admin.expose()));
        Self { required: true, admin, store }
    }

    /// Whether a token is needed.
    pub fn is_required(&self) -> bool {
        self.required
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if !self.required {
            return Caller::anonymous().acting_for(headers);
        }
        let unauthorized = |detail: &'static str| Problem::new(Kind::Unauthorized, detail);
        let header = headers
            .get(header::AUTHORIZATION)
            .ok_or_else(|| unauthorized("there is no authorization header"))?;
        let text = header.to_str().ok().and_then(token::from_header);
        let text = text.ok_or_else(|| unauthorized("the authorization header is not `Bearer TOKEN`"))?;
        let hash = TokenHash::of(&text);
        if self.admin.as_ref().is_some_and(|admin| admin.matches(&hash)) {
            let admin = Caller { id: "admin".into(), scope: Scope::Admin, tenant: Tenant::DEFAULT };
            return admin.acting_for(headers);
        }
        let found = match &self.store {
            Some(store) => store.find(&hash).await.map_err(|cause| {
                Problem::new(Kind::Unavailable, "tokens cannot be checked just now").with_cause(cause)
            })?,
            None => None,
        };
        match found {
            Some(record) if record.accepts(&hash) && !record.expired => {
                let caller = Caller { id: record.id.into(), scope: record.scope, tenant: record.tenant };
                caller.acting_for(headers)
            }
            // One message for all: which tokens exist is nobody's business.
            _ => Err(unauthorized("the token is not known, has expired or was revoked")),
        }
    }
}

/// Admits callers by the scope that the method needs; handlers may ask for more through [`Caller::require`].
pub async fn authorize(State(auth): State<Authenticator>, mut request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let needed = if safe { Scope::Read } else { Scope::Write };
    let caller = auth.caller(request.headers()).await;
    match caller.and_then(|caller| caller.require(needed).map(|()| caller)) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
