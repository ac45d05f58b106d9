//! What the benchmark works on: a pool and trajectories, real or made up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::formats::{self, ReadContext, Record};
use serde_json::{Value, json};

/// Patches by issue.
pub(super) type Issues = BTreeMap<String, Vec<String>>;

/// Trajectories posted together.
const TOGETHER: usize = 16;
/// Sizes of a trajectory worth posting, in bytes.
const SIZES: std::ops::RangeInclusive<u64> = 100_000..=1_500_000;

/// The pool given, or one made up in `folder`: as many issues and candidates as the largest public one.
pub(super) fn pool_file(given: Option<&Path>, folder: &Path, scale: usize) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let path = folder.join("made-up.jsonl");
    let mut out = BufWriter::new(File::create(&path)?);
    for issue in 0..300 / scale {
        for candidate in 0..54 {
            let row = json!({
                "instance_id": format!("made__up-{issue}"),
                "candidate_id": format!("{candidate}"),
                "patch": made_up_patch(issue, candidate),
            });
            writeln!(out, "{row}")?;
        }
    }
    out.flush()?;
    Ok(path)
}

/// A fix of one of nine kinds with its own comments, sometimes with a test.
fn made_up_patch(issue: usize, candidate: usize) -> String {
    let kind = (candidate * 7 + issue) % 9;
    let mut patch = format!(
        "diff --git a/src/module_{issue}.py b/src/module_{issue}.py\n--- a/src/module_{issue}.py\n\
         +++ b/src/module_{issue}.py\n@@ -{},9 +{},{} @@ def handler(request):\n",
        40 + kind,
        40 + kind,
        11 + kind
    );
    patch.push_str("     value = request.get(\"value\")\n     if value is None:\n-        return default\n");
    let _ = writeln!(
        patch,
        "+        # attempt {candidate}: fall back\n+        return default or fallback_{kind}(value)"
    );
    for line in 0..=kind {
        let _ =
            writeln!(patch, "+    value = normalise(value, level={line}, strict={})", kind.is_multiple_of(2));
    }
    patch.push_str("     for item in value:\n         yield convert(item)\n \n \n \n \n");
    if candidate.is_multiple_of(4) {
        let _ = write!(
            patch,
            "diff --git a/tests/test_{candidate}.py b/tests/test_{candidate}.py\nnew file mode 100644\n--- /dev/null\n\
             +++ b/tests/test_{candidate}.py\n@@ -0,0 +1,2 @@\n+def test_it():\n+    assert handler({{}}) == {kind}\n"
        );
    }
    patch
}

/// The patches of a pool by issue.
pub(super) fn issues(pool: &Path) -> Result<Issues> {
    let file = File::open(pool).with_context(|| format!("cannot open {}", pool.display()))?;
    let mut issues = Issues::new();
    let context = ReadContext::named(pool.display().to_string());
    formats::read(BufReader::with_capacity(1 << 16, file), &context, &mut |record| {
        if let Record::Candidate(record) = record {
            let run = record.candidate.trajectory;
            let patch = run.patch_text().to_owned();
            issues.entry(run.instance_id).or_default().push(patch);
        }
        ControlFlow::Continue(())
    })?;
    Ok(issues)
}

/// Sixteen trajectory files of 0.1 to 1.5 MB, small and large ones alike: name and content.
pub(super) fn trajectories(archive: Option<&Path>) -> Result<Vec<(String, Value)>> {
    let Some(path) = archive else { return Ok((0..TOGETHER).map(made_up_trajectory).collect()) };
    let mut sizes = Vec::new();
    each_file(path, &mut |name, file| {
        if SIZES.contains(&file.size()) {
            sizes.push((file.size(), name));
        }
        Ok(())
    })?;
    sizes.sort();
    // Spread evenly over the sizes that there are, from the smallest to the largest.
    let last = sizes.len().saturating_sub(1);
    let wanted: BTreeSet<&str> =
        (0..TOGETHER).filter_map(|at| Some(sizes.get(at * last / (TOGETHER - 1))?.1.as_str())).collect();
    let mut found = Vec::new();
    each_file(path, &mut |name, file| {
        if wanted.contains(name.as_str()) {
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            found.push((name, formats::parse_json(&text)?));
        }
        Ok(())
    })?;
    Ok(found)
}

type Entry<'a> = tar::Entry<'a, Box<dyn BufRead + 'static>>;

/// Hands over every file of an archive.
fn each_file(path: &Path, then: &mut dyn FnMut(String, &mut Entry<'_>) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot read {} as a tar archive", path.display());
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = tar::Archive::new(formats::decompress(BufReader::new(file)).with_context(cannot)?);
    for entry in archive.entries().with_context(cannot)? {
        let mut entry = entry.with_context(cannot)?;
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            then(name, &mut entry).with_context(cannot)?;
        }
    }
    Ok(())
}

/// A mini-swe-agent run of 100 to 1,500 kB.
fn made_up_trajectory(number: usize) -> (String, Value) {
    let observation = "src/module.py:17: value = normalise(value)\n".repeat(150);
    let turns = 16 + number * 13;
    let mut messages = vec![
        json!({"role": "system", "content": "You fix issues."}),
        json!({"role": "user", "content": "Please fix the issue."}),
    ];
    for turn in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("Step {turn}: look further."),
            "extra": {"actions": [{"command": "grep -rn value src"}]}}));
        messages.push(json!({"role": "user", "content": format!("{turn}\n{observation}")}));
    }
    let document = json!({
        "trajectory_format": "mini-swe-agent-1.1",
        "info": {"exit_status": "Submitted", "submission": made_up_patch(1, number)},
        "messages": messages,
    });
    (format!("run-{number}/made__up-1.traj.json"), document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_what_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        let issues = issues(&pool_file(None, dir.path(), 100).unwrap()).unwrap();
        assert_eq!((issues.len(), issues.values().map(Vec::len).sum::<usize>()), (3, 162));
        for (name, document) in trajectories(None).unwrap() {
            let size = document.to_string().len() as u64;
            assert!(SIZES.contains(&size), "{name}: {size}");
        }
    }
}
