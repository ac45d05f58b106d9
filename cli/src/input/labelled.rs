//! Labelled pools, for measuring and fitting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use selector::eval::{LabelledIssue, LabelledPool};

use super::gather::{self, EvidenceFiles, PoolFiles};
use super::group::Issue;
use super::load::{Labels, Options};
use crate::exit::{BadInput, Usage};

/// Which pools, with what evidence.
#[derive(Debug, Clone, clap::Args)]
pub struct PoolArgs {
    /// Labelled pools: JSON lines with instance_id, candidate_id, patch, resolved; or folders of them
    #[arg(value_name = "POOL", required = true)]
    pub pools: Vec<PathBuf>,
    /// Test evidence: a file for all pools, or a folder with a file of the pool's name for each
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// Where the trajectories that the pools' rows name are: a folder, or a tar archive, compressed or not
    #[arg(long, value_name = "PATH")]
    pub trajectories: Option<PathBuf>,
    /// Texts of issues, for verifiers: rows with instance_id and problem_statement; may be repeated
    #[arg(long, value_name = "FILE")]
    pub issues: Vec<PathBuf>,
    /// No progress and no notes on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

/// A pool as it was read.
#[derive(Debug)]
pub struct ReadPool {
    /// Its file.
    pub path: PathBuf,
    /// Its name: that of the file without endings.
    pub name: String,
    /// Its issues, with the labels beside their candidates.
    pub issues: BTreeMap<String, Issue>,
}

/// Reads pools with their labels.
pub fn read(args: &PoolArgs) -> Result<Vec<LabelledPool>> {
    read_issues(args, false)?.into_iter().map(finish).collect()
}

/// Reads pools without joining the labels yet; with `whole`, candidates are kept whole, for verifiers.
pub fn read_issues(args: &PoolArgs, whole: bool) -> Result<Vec<ReadPool>> {
    let files = pool_files(&args.pools)?;
    let tests: Vec<Vec<PathBuf>> = files.iter().map(|pool| tests_of(pool, &args.tests)).collect();
    let with_tests: Vec<PoolFiles<'_>> = files
        .iter()
        .zip(&tests)
        .map(|(pool, tests)| PoolFiles {
            pool,
            evidence: EvidenceFiles { tests, scores: &[], issues: &args.issues },
        })
        .collect();
    let options = Options { labels: Labels::Resolved, whole, ..Options::default() };
    let pools = gather::from_pools(&with_tests, args.trajectories.as_deref(), options, args.quiet)?;
    Ok(files
        .into_iter()
        .zip(pools)
        .map(|(path, issues)| ReadPool { name: name(&path), path, issues })
        .collect())
}

/// Joins the labels to the candidates.
pub fn finish(pool: ReadPool) -> Result<LabelledPool> {
    let issues: Vec<LabelledIssue> = pool.issues.into_values().map(labelled).collect();
    if issues.iter().all(|issue| issue.resolved.iter().all(Option::is_none)) {
        bail!(BadInput(format!("{}: no candidate has a label (field `resolved`)", pool.path.display())));
    }
    Ok(LabelledPool { name: pool.name, issues })
}

fn labelled(issue: Issue) -> LabelledIssue {
    let Issue { pool, evidence, details } = issue;
    let resolved = pool
        .candidates
        .iter()
        .map(|candidate| details.get(&candidate.candidate_id)?.outcome.as_ref()?.resolved)
        .collect();
    LabelledIssue::of_prepared(pool, evidence, resolved)
}

/// Files as named, and of folders every JSON-lines file by name.
fn pool_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = super::walk::files(std::slice::from_ref(path))?;
            files.extend(found.into_iter().map(|file| file.path).filter(|path| is_json_lines(path)));
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        bail!(Usage("the folders hold no .jsonl file".to_owned()));
    }
    Ok(files)
}

fn is_json_lines(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(".jsonl"))
}

/// `x/verified.jsonl.xz` → `verified`.
fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    file.split('.').next().unwrap_or(&file).to_owned()
}

/// The test files for a pool: files count for every pool, folders by the pool's name.
fn tests_of(pool: &Path, tests: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in tests {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        found.extend(entries.into_iter().filter(|entry| is_json_lines(entry) && name(entry) == name(pool)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_tests_gives_each_pool_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["one.jsonl.xz", "two.jsonl", "one.md"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let shared = PathBuf::from("all.jsonl");
        let tests = [dir.path().to_owned(), shared.clone()];
        assert_eq!(
            tests_of(Path::new("pools/one.jsonl"), &tests),
            [dir.path().join("one.jsonl.xz"), shared.clone()]
        );
        assert_eq!(tests_of(Path::new("pools/three.jsonl"), &tests), [shared]);
    }
}
