//! Flags that several commands have.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use common::SourceFormat;
use selector::{Policy, PolicyRequest, RankerModel};
use store::Tenant;

use super::load::Options;

/// How to read files.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reading")]
pub struct ReadArgs {
    /// Read every file as this format instead of telling it by its content
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<SourceFormat>,
    /// Stop at the first problem of an input instead of reporting it and going on (exit code 3)
    #[arg(long)]
    pub strict: bool,
    /// No progress and no notes on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

impl ReadArgs {
    /// The reader's options.
    pub fn options(&self) -> Options {
        Options { format: self.format, strict: self.strict, ..Options::default() }
    }
}

/// How to choose.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Choosing")]
pub struct PolicyArgs {
    /// The rule: hybrid, entropo-verified, entropo-lite, r2e-gym, agentless, majority, medoid or test-votes
    #[arg(long, default_value_t, value_name = "POLICY")]
    pub policy: Policy,
    /// Parameters of the hybrid policy, as `entropo fit` writes them, instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Pick nothing when the probability that the pick resolves the issue is below this (0 to 1)
    #[arg(long, value_name = "P", value_parser = probability)]
    pub min_confidence: Option<f64>,
}

impl PolicyArgs {
    /// The request, with the model read from its file.
    pub fn request(&self) -> Result<PolicyRequest> {
        let model = self.model.as_deref().map(read_model).transpose()?;
        Ok(PolicyRequest { policy: self.policy, min_confidence: self.min_confidence, model })
    }
}

/// Reads a model of the hybrid policy.
pub fn read_model(path: &Path) -> Result<Arc<RankerModel>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the model {}", path.display()))?;
    let model = RankerModel::from_json(&text)
        .with_context(|| format!("{} is not a model that `entropo fit` wrote", path.display()))?;
    Ok(Arc::new(model))
}

/// Which running service to use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Service")]
pub struct RemoteArgs {
    /// Use a running selector service, such as http://127.0.0.1:8080, instead of selecting in this process
    #[arg(long, value_name = "URL", env = "ENTROPO_SERVER")]
    pub server: Option<String>,
    /// API token for the service
    #[arg(long, value_name = "TOKEN", env = "ENTROPO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Whose records: the tenant to act for, which takes an administrator's token of the tenant `default`
    #[arg(long, value_name = "NAME", env = "ENTROPO_TENANT", default_value = "default")]
    pub tenant: Tenant,
}

fn probability(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{text} is not between 0 and 1")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_between_0_and_1() {
        assert_eq!(probability("0.5"), Ok(0.5));
        for bad in ["-0.1", "1.5", "NaN", "half"] {
            assert!(probability(bad).is_err(), "{bad}");
        }
    }
}
