//! From the paths on the command line to the files to read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exit::BadInput;

/// What a file's name ends in, before any compression suffix, when a folder is searched. A file named on the command
/// line is read whatever its name.
const EXTENSIONS: [&str; 4] = ["traj", "json", "jsonl", "pred"];

/// Compression suffixes; the reader goes by the first bytes, the search by the name.
const COMPRESSED: [&str; 4] = ["gz", "zst", "zstd", "xz"];

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name relative to the folder that was searched: what messages and candidate ids show.
    pub name: String,
    /// Whether the person named the file itself, so that an unknown format is worth an error.
    pub named: bool,
}

/// Every file to read below `paths`, in a fixed order: the order of the command line, folders by name.
///
/// Hidden files and folders are passed over inside a folder, and links are not followed (a loop would never end).
pub fn files(paths: &[PathBuf]) -> Result<Vec<InputFile>> {
    let mut found = Vec::new();
    for path in paths {
        let meta = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if meta.is_dir() {
            search(path, &mut found)?;
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            found.push(InputFile { path: path.clone(), name, named: true });
        }
    }
    if found.is_empty() {
        let places: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!(BadInput(format!(
            "no file to read in {}: looked for names that end in .traj, .json, .jsonl or .pred, compressed or not",
            places.join(", ")
        )));
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<InputFile>) -> Result<()> {
    let entries = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot search {}", folder.display()))?;
        if entry.file_type().is_file() && is_wanted(entry.path()) {
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let name = name.to_string_lossy().replace('\\', "/");
            found.push(InputFile { path: entry.into_path(), name, named: false });
        }
    }
    Ok(())
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with('.')
}

fn is_wanted(path: &Path) -> bool {
    let extension = |path: &Path| path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match extension(path) {
        Some(end) if COMPRESSED.contains(&end.as_str()) => {
            extension(&path.with_extension("")).is_some_and(|end| EXTENSIONS.contains(&end.as_str()))
        }
        Some(end) => EXTENSIONS.contains(&end.as_str()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, name: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{}").unwrap();
    }

    #[test]
    fn a_folder_is_searched_in_order_without_hidden_and_foreign_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["b/x.traj", "a/x.traj.json", "a/preds.jsonl.ZST", "c.log", ".git/y.json", "z.tar.xz", "README"]
        {
            touch(dir.path(), name);
        }
        let names: Vec<_> = files(&[dir.path().into()]).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a/preds.jsonl.ZST", "a/x.traj.json", "b/x.traj"]);
    }

    #[test]
    fn a_named_file_is_taken_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), "odd.name");
        let found = files(&[dir.path().join("odd.name")]).unwrap();
        assert_eq!((found[0].name.as_str(), found[0].named), ("odd.name", true));
    }

    #[test]
    fn nothing_to_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert!(files(&[dir.path().into()]).unwrap_err().to_string().contains("no file to read"));
        assert!(files(&[dir.path().join("absent")]).unwrap_err().to_string().contains("cannot read"));
    }
}
