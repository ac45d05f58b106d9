//! SWE-bench predictions of the winners, in the shapes that the official harness accepts.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::atomic;

/// One line of a predictions file; the names are the harness's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The issue.
    pub instance_id: String,
    /// Who made it: the harness names its folders by it.
    pub model_name_or_path: String,
    /// The patch.
    pub model_patch: String,
}

impl Prediction {
    /// A prediction for an issue. `patch` ends with a newline afterwards unless it is empty: `git apply` refuses a
    /// last line without one.
    pub fn new(instance_id: &str, policy: &str, patch: &str) -> Self {
        let mut model_patch = patch.to_owned();
        if !model_patch.is_empty() && !model_patch.ends_with('\n') {
            model_patch.push('\n');
        }
        Self {
            instance_id: instance_id.to_owned(),
            model_name_or_path: format!("entropo-{policy}"),
            model_patch,
        }
    }
}

/// Writes predictions: one a line where the name ends in `.jsonl`, else a JSON list.
///
/// The harness goes by the same two endings, so another is refused where the flag is read ([`check_name`]).
pub fn write(path: &Path, predictions: &[Prediction]) -> Result<()> {
    atomic::write(path, |out| {
        if path.extension().is_some_and(|end| end == "jsonl") {
            for prediction in predictions {
                serde_json::to_writer(&mut *out, prediction)?;
                out.write_all(b"\n")?;
            }
        } else {
            serde_json::to_writer_pretty(&mut *out, predictions)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Refuses a file name that the harness would not read.
pub fn check_name(path: &str) -> Result<std::path::PathBuf, String> {
    match Path::new(path).extension().and_then(|end| end.to_str()) {
        Some("json" | "jsonl") => Ok(path.into()),
        _ => Err("the SWE-bench harness reads .json and .jsonl only: name the file so".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_hold_the_three_fields() {
        let dir = tempfile::tempdir().unwrap();
        let all = [
            Prediction::new("a__b-1", "hybrid", "diff --git a/x b/x"),
            Prediction::new("a__b-2", "hybrid", ""),
        ];
        write(&dir.path().join("p.json"), &all).unwrap();
        let list: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(dir.path().join("p.json")).unwrap()).unwrap();
        assert_eq!(list[0]["model_patch"], "diff --git a/x b/x\n");
        assert_eq!(list[1]["model_patch"], "");
        assert_eq!(list[1]["model_name_or_path"], "entropo-hybrid");
        write(&dir.path().join("p.jsonl"), &all).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("p.jsonl")).unwrap().lines().count(), 2);
    }

    #[test]
    fn other_endings_are_refused() {
        assert!(check_name("winners.txt").is_err());
        assert!(check_name("preds.json").is_ok());
    }
}
