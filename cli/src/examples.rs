//! The example set, embedded so that `entropo demo` works without the source tree.

use std::path::Path;

use anyhow::{Context, Result};

/// A file of the example set.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Its path below `examples/`.
    pub path: &'static str,
    /// What it holds.
    pub content: &'static str,
}

macro_rules! embed {
    ($($path:literal,)*) => {
        &[$(Example { path: $path, content: include_str!(concat!("../../examples/", $path)) },)*]
    };
}

/// Every file of the example set: three invented issues, in the formats of three agents and as predictions.
pub const FILES: &[Example] = embed![
    "issues.jsonl",
    "mini/run-1/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "mini/run-2/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "mini/run-3/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "mini/run-4/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "mini/run-5/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "mini/run-6/tidepool__tidepool-58/tidepool__tidepool-58.traj.json",
    "openhands/run-1/output.jsonl",
    "openhands/run-2/output.jsonl",
    "openhands/run-3/output.jsonl",
    "openhands/run-4/output.jsonl",
    "openhands/run-5/output.jsonl",
    "openhands/run-6/output.jsonl",
    "preds/kiwi/preds.json",
    "preds/plum/preds.json",
    "sweagent/run-1/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "sweagent/run-2/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "sweagent/run-3/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "sweagent/run-4/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "sweagent/run-5/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "sweagent/run-6/inkwell__inkwell-112/inkwell__inkwell-112.traj",
    "tests.jsonl",
];

/// Writes the example set into a folder.
pub fn write(folder: &Path) -> Result<()> {
    for file in FILES {
        let path = folder.join(file.path);
        let cannot = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).with_context(cannot)?;
        std::fs::write(&path, file.content).with_context(cannot)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
        let on_disk: BTreeSet<String> = walkdir::WalkDir::new(&root)
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().is_file() && entry.file_name() != "README.md")
            .map(|entry| entry.path().strip_prefix(&root).unwrap().to_string_lossy().into_owned())
            .collect();
        let embedded: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(on_disk, embedded);
    }
}
