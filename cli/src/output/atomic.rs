//! Output files that are there whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Writes `path` through a temporary file beside it, renamed when `fill` has succeeded: a reader sees the old file or
/// the new one, and a failure leaves the old one. `-` is standard output.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    if path == Path::new("-") {
        let mut out = BufWriter::new(std::io::stdout().lock());
        fill(&mut out)?;
        return out.flush().context("cannot write to standard output");
    }
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(folder).with_context(cannot)?;
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
    readable_by_all(file.as_file()).with_context(cannot)?;
    file.persist(path).map_err(|error| error.error).with_context(cannot)?;
    Ok(())
}

/// Temporary files are private; a result is an ordinary file.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        write(&path, |out| Ok(out.write_all(b"old")?)).unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write(Path::new("/nonexistent-folder/x.json"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("/nonexistent-folder/x.json"));
    }
}
