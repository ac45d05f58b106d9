//! The plain Python selector on the same patches.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const SCRIPT: &str = include_str!("../../../../benches/normalise_vote.py");

#[derive(Deserialize)]
struct Printed {
    read_s: f64,
    normalise_and_vote_s: f64,
}

/// Seconds that reading, normalising and voting take.
pub(super) fn normalise_and_vote(pool: &Path, folder: &Path) -> Result<f64> {
    let script = folder.join("normalise_vote.py");
    std::fs::write(&script, SCRIPT)?;
    let output = Command::new("python3").arg(&script).arg(pool).output().context("cannot run python3")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let printed: Printed =
        serde_json::from_slice(&output.stdout).context("the script printed something else")?;
    Ok(printed.read_s + printed.normalise_and_vote_s)
}
