//! Folders that appear whole, and the files that go along with weights.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::SaveError;

/// What goes along with weights so that a folder can be served.
const COMPANIONS: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
];

/// A name in the same folder, on the same disk, that no other process uses.
pub(crate) fn beside(dir: &Path, what: &str) -> PathBuf {
    let name = dir.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    dir.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

/// Puts a finished folder into its place; one that was there is moved aside first and deleted afterwards.
pub(crate) fn replace(finished: &Path, dir: &Path) -> Result<(), SaveError> {
    let io = |error| SaveError::Io { path: dir.to_owned(), error };
    let old = beside(dir, "old");
    let replaced = dir.exists();
    if replaced {
        fs::rename(dir, &old).map_err(io)?;
    }
    if let Err(error) = fs::rename(finished, dir) {
        if replaced {
            fs::rename(&old, dir).map_err(io)?;
        }
        return Err(io(error));
    }
    if replaced {
        fs::remove_dir_all(&old).map_err(io)?;
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // The rename itself must survive a power cut.
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(io)?;
    }
    Ok(())
}

/// Writes a JSON file, down to the disk.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), SaveError> {
    let io = |error| SaveError::Io { path: path.to_owned(), error };
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| io(error.into()))?;
    text.push(b'\n');
    let mut file = File::create(path).map_err(io)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)
}

/// Copies a model's tokenizer, chat template and generation files.
pub(super) fn copy_companions(from: &Path, to: &Path) -> Result<(), SaveError> {
    for name in COMPANIONS {
        let source = from.join(name);
        let io = |error| SaveError::Io { path: source.clone(), error };
        if source.is_file() {
            fs::copy(&source, to.join(name)).map_err(io)?;
        } else if source.is_dir() {
            fs::create_dir(to.join(name)).map_err(io)?;
            for entry in fs::read_dir(&source).map_err(io)? {
                let path = entry.map_err(io)?.path();
                if let (true, Some(file)) = (path.is_file(), path.file_name()) {
                    fs::copy(&path, to.join(name).join(file)).map_err(io)?;
                }
            }
        }
    }
    Ok(())
}
