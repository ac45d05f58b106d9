//! `entropo token`: API tokens.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use server::auth::{Scope, Token};
use server::{ConfigArgs, Span};
use store::{ApiToken, ConnectOptions, NewToken, Store, Timestamp, connect};
use uuid::Uuid;

use crate::output::progress::say;
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo token create --name ci --scope write --expires-in 720h  prints the token, once\n  \
       entropo token list\n  \
       entropo token revoke 01890a5d-ac96-774b-bcce-b302099a8057\n  \
       ENTROPO_TOKEN=… entropo select runs/ --server http://host:8080     use it"
);

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
        /// How long it is valid, such as 720h; for ever when left out
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Span>,
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
    /// Revoke a token.
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
    let (Action::Create { config, .. } | Action::List { config } | Action::Revoke { config, .. }) =
        &args.action;
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
        Action::Create { name, scope, expires_in, .. } => {
            let token = Token::generate().context("cannot draw random bytes")?;
            let now = Timestamp::now();
            let id = Uuid::now_v7();
            store
                .create_token(NewToken {
                    id,
                    name: name.clone(),
                    hash: *token.hash.as_bytes(),
                    scopes: vec![scope.to_string()],
                    created_at: now,
                    expires_at: expires_in.map(|span| now.plus(span.0)),
                })
                .await?;
            say(&format!("token {id} `{name}` may {scope}; it is shown this once:"));
            writeln!(out, "{}", token.secret.expose())?;
        }
        Action::List { .. } => out.write_all(list(&store.tokens().await?, Timestamp::now()).as_bytes())?,
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
        "scope",
        "created",
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
            token.scopes.join(", "),
            token.created_at.to_string(),
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
    fn the_list_shows_no_hash() {
        let token = ApiToken {
            id: Uuid::nil(),
            name: "ci".into(),
            hash: [7; 32],
            scopes: vec!["write".into()],
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(10)),
            revoked_at: None,
            last_used_at: None,
        };
        let text = list(&[token], Timestamp(20));
        assert!(text.contains("ci") && text.contains("expired") && text.contains("never"), "{text}");
        assert!(!text.contains("0707"), "{text}");
    }
}
