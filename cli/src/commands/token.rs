//! `entropo token`: API tokens.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use server::auth::{Scope, Token};
use server::{ConfigArgs, Span};
use store::{ApiToken, ConnectOptions, NewToken, Rotation, Store, Tenant, Timestamp, connect};
use uuid::Uuid;

use crate::output::progress::say;
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo token create --name ci --scope write --expires-in 720h  prints the token, once\n  \
       entropo token create --name ci --tenant team-a                 sees the records of team-a only\n  \
       entropo token list\n  \
       entropo token rotate 01890a5d-ac96-774b-bcce-b302099a8057 --overlap 1h  a new secret; the old one for an hour\n  \
       entropo token revoke 01890a5d-ac96-774b-bcce-b302099a8057\n  \
       ENTROPO_TOKEN=… entropo select runs/ --server http://host:8080     use it"
);

/// How long a token is valid where nobody says: 90 days.
const VALID: &str = "2160h";

/// When a token stops being valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expiry {
    /// After so long.
    After(Span),
    /// Not by itself.
    Never,
}

impl Expiry {
    fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::After(span) => Some(now.plus(span.0)),
            Self::Never => None,
        }
    }
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let span: Span = text.parse().map_err(|error| format!("{error}, or `never`"))?;
    if span.0.is_zero() {
        return Err("must be longer than 0".to_owned());
    }
    Ok(Expiry::After(span))
}

/// Flags of `entropo token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a token and print it; it is stored as a hash only and cannot be shown again.
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// read, write (reads too) or admin
        #[arg(long, default_value = "write")]
        scope: Scope,
        /// Whose records it opens; the tenant is there as soon as a token names it
        #[arg(long, value_name = "NAME", default_value = "default")]
        tenant: Tenant,
        /// How long it is valid, such as 720h, or `never`
        #[arg(long, value_name = "TIME", default_value = VALID, value_parser = expiry)]
        expires_in: Expiry,
        /// The database
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List tokens, without the tokens themselves.
    List {
        /// The database
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Give a token a new secret and print it; the present one stays good for a while.
    Rotate {
        /// Its id, as `list` shows it
        id: Uuid,
        /// How long the present secret is accepted beside the new one; 0 ends it at once
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Span,
        /// How long the token is valid from now on, such as 720h, or `never`
        #[arg(long, value_name = "TIME", default_value = VALID, value_parser = expiry)]
        expires_in: Expiry,
        /// The database
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Revoke a token: its next request is refused.
    Revoke {
        /// Its id, as `list` shows it
        id: Uuid,
        /// The database
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Makes, lists or revokes.
pub fn run(args: &Args) -> Result<()> {
    let (Action::Create { config, .. }
    | Action::List { config }
    | Action::Rotate { config, .. }
    | Action::Revoke { config, .. }) = &args.action;
    let Some(settings) = service::settings(config, &Settings::default())? else { return Ok(()) };
    service::runtime()?.block_on(async {
        let store = connect(&settings.database.address()?, &ConnectOptions::default())
            .await
            .with_context(|| format!("cannot open the database {}", settings.database.redacted()))?;
        let done = act(&args.action, &store).await;
        store.close().await;
        done
    })
}

async fn act(action: &Action, store: &Arc<dyn Store>) -> Result<()> {
    let mut out = std::io::stdout();
    match action {
        Action::Create { name, scope, tenant, expires_in, .. } => {
            let token = Token::generate().context("cannot draw random bytes")?;
            let now = Timestamp::now();
            let id = Uuid::now_v7();
            store
                .create_token(NewToken {
                    id,
                    tenant: tenant.clone(),
                    name: name.clone(),
                    hash: *token.hash.as_bytes(),
                    scopes: vec![scope.to_string()],
                    created_at: now,
                    expires_at: expires_in.at(now),
                })
                .await?;
            say(&format!("token {id} `{name}` of the tenant `{tenant}` may {scope}; it is shown this once:"));
            writeln!(out, "{}", token.secret.expose())?;
        }
        Action::List { .. } => out.write_all(list(&store.tokens().await?, Timestamp::now()).as_bytes())?,
        Action::Rotate { id, overlap, expires_in, .. } => {
            let token = Token::generate().context("cannot draw random bytes")?;
            let now = Timestamp::now();
            let rotation = Rotation {
                hash: *token.hash.as_bytes(),
                previous_until: now.plus(overlap.0),
                expires_at: expires_in.at(now),
            };
            store.rotate_token(*id, rotation, now).await?;
            say(&format!(
                "token {id} has a new secret, shown this once; the one before is good for {overlap}:"
            ));
            writeln!(out, "{}", token.secret.expose())?;
        }
        Action::Revoke { id, .. } => {
            store.revoke_token(*id, Timestamp::now()).await?;
            writeln!(out, "token {id} is revoked")?;
        }
    }
    Ok(())
}

fn list(tokens: &[ApiToken], now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "id",
        "name",
        "tenant",
        "scope",
        "created",
        "rotated",
        "expires",
        "last used",
        "state",
    ]);
    let or_never = |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| time.to_string());
    for token in tokens {
        let state = match (token.revoked_at, token.is_valid(now)) {
            (Some(_), _) => "revoked",
            (None, false) => "expired",
            (None, true) => "valid",
        };
        table.add_row([
            token.id.to_string(),
            token.name.clone(),
            token.tenant.to_string(),
            token.scopes.join(", "),
            token.created_at.to_string(),
            or_never(token.rotated_at),
            or_never(token.expires_at),
            or_never(token.last_used_at),
            state.to_owned(),
        ]);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_expire_unless_somebody_says_never() {
        assert_eq!(expiry(VALID), Ok(Expiry::After(Span::secs(90 * 24 * 3600))));
        assert_eq!(expiry("never").unwrap().at(Timestamp(0)), None);
        assert!(expiry("0s").is_err() && expiry("soon").is_err());
    }

    #[test]
    fn the_list_shows_no_hash() {
        let token = ApiToken {
            id: Uuid::nil(),
            tenant: "team-a".parse().unwrap(),
            name: "ci".into(),
            hash: [7; 32],
            scopes: vec!["write".into()],
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(10)),
            revoked_at: None,
            last_used_at: None,
            rotated_at: None,
            previous: Some(store::PreviousSecret { hash: [8; 32], until: Timestamp(30) }),
        };
        let text = list(&[token], Timestamp(20));
        assert!(text.contains("ci") && text.contains("expired") && text.contains("never"), "{text}");
        assert!(text.contains("team-a"), "{text}");
        assert!(!text.contains("0707") && !text.contains("0808"), "{text}");
    }
}
