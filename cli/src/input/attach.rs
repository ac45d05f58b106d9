//! Joins the trajectory files of a pool, in a folder or a tar archive, to the pool's rows.
//!
//! An archive is read once, entry by entry; each file is parsed, reduced to its facts and dropped, so that memory
//! does not grow with the archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use common::formats::{self, Problem, ReadContext, Record};
use common::{Candidate, ExitStatus, Trajectory};
use rayon::prelude::*;
use selector::Facts;

use super::group::Issue;
use super::load::Packed;

/// Files of an archive that are parsed together; bounds what is held at once.
const BATCH: usize = 32;
/// Largest file of an archive that is read, in bytes.
const MAX_FILE: u64 = 1 << 30;

/// What came of the attaching.
#[derive(Debug, Default)]
pub struct Attached {
    /// Candidates that got their trajectory.
    pub found: usize,
    /// Candidates whose row names a trajectory that was not there.
    pub absent: usize,
    /// Files that could not be read.
    pub problems: Vec<Problem>,
}

/// Where a candidate is: its pool, its issue and its place among the issue's candidates.
type Place = (usize, String, usize);

/// Issues by id: one pool.
type Pool = BTreeMap<String, Issue>;

/// Reads the trajectories that pools name out of `source`, a folder or a tar archive (plain, gzip, zstd or xz), in one
/// go for all of them.
pub fn attach(pools: &mut [Pool], source: &Path) -> Result<Attached> {
    let wanted = wanted(pools);
    if wanted.is_empty() {
        bail!("--trajectories was given, but no row of the pool names a trajectory (field `trajectory`)");
    }
    let mut attached = Attached::default();
    if source.is_dir() {
        from_folder(pools, &wanted, source, &mut attached)?;
    } else {
        from_archive(pools, &wanted, source, &mut attached)?;
    }
    attached.absent = wanted.values().map(Vec::len).sum::<usize>() - attached.found;
    Ok(attached)
}

/// Candidates by the path that their row gives. Several rows may name one file.
fn wanted(pools: &[Pool]) -> HashMap<String, Vec<Place>> {
    let mut wanted: HashMap<String, Vec<Place>> = HashMap::new();
    for (pool, issues) in pools.iter().enumerate() {
        for (instance_id, issue) in issues {
            for (at, candidate) in issue.pool.candidates.iter().enumerate() {
                let details = issue.details.get(&candidate.candidate_id);
                if let Some(path) = details.and_then(|details| details.trajectory_path.as_ref()) {
                    wanted.entry(normal(path).to_owned()).or_default().push((pool, instance_id.clone(), at));
                }
            }
        }
    }
    wanted
}

fn normal(path: &str) -> &str {
    path.trim_start_matches("./").trim_start_matches('/')
}

/// The wanted path that a file of the archive is: its own, or its own without leading folders.
fn match_path<'a>(
    wanted: &'a HashMap<String, Vec<Place>>,
    path: &str,
) -> Option<(&'a String, &'a Vec<Place>)> {
    let mut rest = normal(path);
    loop {
        if let Some(found) = wanted.get_key_value(rest) {
            return Some(found);
        }
        rest = rest.split_once('/')?.1;
    }
}

fn from_folder(
    pools: &mut [Pool],
    wanted: &HashMap<String, Vec<Place>>,
    folder: &Path,
    attached: &mut Attached,
) -> Result<()> {
    let mut names: Vec<&String> = wanted.keys().collect();
    names.sort();
    for batch in names.chunks(BATCH) {
        let files = batch
            .iter()
            .filter_map(|name| {
                let path = folder.join(name);
                // A row may name a path above the folder; that is nobody's trajectory.
                let inside = !name.split('/').any(|part| part == "..");
                (inside && path.is_file()).then(|| {
                    let bytes =
                        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    Ok(((*name).clone(), bytes))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        reduce(pools, wanted, &files, attached);
    }
    Ok(())
}

fn from_archive(
    pools: &mut [Pool],
    wanted: &HashMap<String, Vec<Place>>,
    path: &Path,
    attached: &mut Attached,
) -> Result<()> {
    let cannot = || format!("cannot read {} as a tar archive", path.display());
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let reader = formats::decompress(BufReader::with_capacity(1 << 16, file)).with_context(cannot)?;
    let mut archive = tar::Archive::new(reader);
    let mut batch = Vec::with_capacity(BATCH);
    for entry in archive.entries().with_context(cannot)? {
        let mut entry = entry.with_context(cannot)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((key, _)) = match_path(wanted, &name) else { continue };
        if !entry.header().entry_type().is_file() || entry.size() > MAX_FILE {
            continue;
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).with_context(cannot)?;
        batch.push((key.clone(), bytes));
        if batch.len() == BATCH {
            reduce(pools, wanted, &batch, attached);
            batch.clear();
        }
    }
    reduce(pools, wanted, &batch, attached);
    Ok(())
}

/// Parses a batch in parallel and puts the facts where they belong.
fn reduce(
    pools: &mut [Pool],
    wanted: &HashMap<String, Vec<Place>>,
    batch: &[(String, Vec<u8>)],
    attached: &mut Attached,
) {
    let parsed: Vec<_> = batch.par_iter().map(|(name, bytes)| (name, parse(name, bytes))).collect();
    for (name, trajectory) in parsed {
        let trajectory = match trajectory {
            Ok(trajectory) => trajectory,
            Err(reason) => {
                attached.problems.push(Problem { file: name.clone(), line: None, reason });
                continue;
            }
        };
        for (pool, instance_id, at) in &wanted[name] {
            let issue = pools[*pool].get_mut(instance_id).expect("wanted was made from these pools");
            give(issue, *at, &trajectory);
            attached.found += 1;
        }
    }
}

fn give(issue: &mut Issue, at: usize, trajectory: &Trajectory) {
    let prepared = Arc::make_mut(&mut issue.pool.candidates[at]);
    let row = std::mem::take(&mut prepared.facts);
    prepared.facts = Facts::of(trajectory);
    if prepared.facts.exit == ExitStatus::Unknown {
        prepared.facts.exit = row.exit;
        prepared.facts.finished = row.finished.or(prepared.facts.finished);
    }
    let patch = prepared.patch.clone();
    let details = issue.details.entry(prepared.candidate_id.clone()).or_default();
    details.steps = details.steps.or(prepared.facts.steps);
    if details.whole.is_some() {
        // The row's patch is the one that was judged; the file brings the conversation.
        let trajectory = Trajectory { patch: Some(patch), ..trajectory.clone() };
        let candidate_id = prepared.candidate_id.clone();
        details.whole = Some(Packed::of(&Candidate { candidate_id, trajectory }));
    }
}

/// The one trajectory of a file.
fn parse(name: &str, bytes: &[u8]) -> Result<Trajectory, String> {
    let mut found: Option<Candidate> = None;
    let mut sink = |record| {
        if let (Record::Candidate(record), None) = (record, &found) {
            found = Some(record.candidate);
        }
        std::ops::ControlFlow::Continue(())
    };
    let report =
        formats::read(bytes, &ReadContext::named(name), &mut sink).map_err(|error| error.to_string())?;
    match (found, report.problems.into_iter().next()) {
        (Some(candidate), _) => Ok(candidate.trajectory),
        (None, Some(problem)) => Err(problem.reason),
        (None, None) => Err("holds no trajectory".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_with_and_without_leading_folders() {
        let wanted = HashMap::from([("pool/a__b-1/x.traj".to_owned(), Vec::new())]);
        for path in [
            "pool/a__b-1/x.traj",
            "./pool/a__b-1/x.traj",
            "backup/2/pool/a__b-1/x.traj",
            "/pool/a__b-1/x.traj",
        ] {
            assert!(match_path(&wanted, path).is_some(), "{path}");
        }
        for path in ["a__b-1/x.traj", "pool/a__b-1/x.traj.bak", "xpool/a__b-1/x.traj"] {
            assert!(match_path(&wanted, path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_file_without_a_trajectory_is_a_problem_with_a_reason() {
        assert!(parse("x.traj", b"{}").is_err());
        assert!(parse("x.traj", b"\xff\xfe").is_err());
    }
}
