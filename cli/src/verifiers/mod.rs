//! Verifiers as this program reaches them: a service, or a model in this process.

mod backend;
pub mod pools;
mod score;

pub use backend::BackendScorer;
pub use score::score_all;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use selector::http::{HttpScorer, Scorer, VerifierSettings};
use server::{Secret, Span};
use verifier::linear::Linear;
use verifier::native::{self, Native};

use crate::exit::Usage;

/// How long a verifier may take for the candidates of one issue: nobody waits at a browser.
const DEADLINE: Span = Span::secs(600);

/// Who scores.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Scoring")]
pub struct VerifierArgs {
    /// Score with a running verifier service, such as http://127.0.0.1:8082, or with a model in a Hugging Face folder,
    /// instead of the built-in one
    #[arg(long, value_name = "URL|FOLDER", env = "ENTROPO_VERIFIER_URL")]
    pub verifier: Option<String>,
    /// API token for the verifier service
    #[arg(long, value_name = "TOKEN", env = "ENTROPO_VERIFIER_TOKEN", hide_env_values = true)]
    pub verifier_token: Option<String>,
    /// Select without scores of a verifier
    #[arg(long, conflicts_with = "verifier")]
    pub no_verifier: bool,
}

impl VerifierArgs {
    /// The verifier to ask; `None` for none.
    pub fn open(&self) -> Result<Option<Arc<dyn Scorer>>> {
        match &self.verifier {
            _ if self.no_verifier => Ok(None),
            Some(given) => named(given, self.verifier_token.as_deref()).map(Some),
            None => Ok(Some(built_in())),
        }
    }
}

/// The verifier that comes with the program.
pub fn built_in() -> Arc<dyn Scorer> {
    Arc::new(BackendScorer::new(Arc::new(Linear::built_in())))
}

/// A verifier by its name (`builtin`), the address of a service or the folder of a model.
pub fn named(given: &str, token: Option<&str>) -> Result<Arc<dyn Scorer>> {
    let folder = Path::new(given);
    if given == pools::BUILT_IN {
        Ok(built_in())
    } else if given.contains("://") {
        service(given, token)
    } else if folder.is_dir() {
        let model = Native::load(folder, &native::Options::default())?;
        Ok(Arc::new(BackendScorer::new(Arc::new(model))))
    } else {
        let message = format!(
            "`{given}` is neither an address such as http://127.0.0.1:8082 nor a folder with a model"
        );
        Err(Usage(message).into())
    }
}

/// A running verifier service.
pub fn service(url: &str, token: Option<&str>) -> Result<Arc<dyn Scorer>> {
    let settings = VerifierSettings {
        url: url.to_owned(),
        token: Secret::new(token.unwrap_or_default()),
        deadline: DEADLINE,
        ..VerifierSettings::default()
    };
    let scorer = HttpScorer::new(&settings)?.context("the verifier's address is empty")?;
    Ok(Arc::new(scorer))
}
