//! The name of a model's exact contents.

use std::path::{Path, PathBuf};

use super::LoadError;
use crate::backend::Layout;

/// Endings of the files that decide what a model computes. `entropo.json` is among them.
const ENDINGS: [&str; 3] = ["safetensors", "json", "jinja"];

/// Files that say how to generate, not how to score, or that repeat what the weights say.
const NOT_THESE: [&str; 2] = ["generation_config.json", "trainer_state.json"];

/// 16 hex digits of BLAKE3 over the layout and the names and contents of all files that decide the score: weights,
/// configuration, tokenizer, templates, `entropo.json`. The contents are read: a file that was replaced by another of
/// the same size and time has another revision.
pub(super) fn of(dir: &Path, layout: Layout) -> Result<String, LoadError> {
    let io = |path: &Path, error| LoadError::Io { path: path.to_owned(), error };
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| io(dir, error))? {
        let path = entry.map_err(|error| io(dir, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if ending && !NOT_THESE.contains(&name.as_str()) && path.is_file() {
            files.push((name, path));
        }
    }
    files.sort();
    let mut all = blake3::Hasher::new();
    all.update(layout.name().as_bytes());
    for (name, path) in files {
        let mut one = blake3::Hasher::new();
        one.update_mmap_rayon(&path).map_err(|error| io(&path, error))?;
        all.update(&[0]);
        all.update(name.as_bytes());
        all.update(&[0]);
        all.update(one.finalize().as_bytes());
    }
    Ok(all.finalize().to_hex()[..16].to_owned())
}
