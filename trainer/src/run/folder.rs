//! One process at a time trains into a folder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
};

use super::RunError;

/// Name of the file that is locked.
pub(crate) const LOCK: &str = ".lock";

/// A run's folder, held against every other process (and thread) until it is dropped or the process dies.
///
/// A worker that lost its lease may not know it yet: this keeps it and its successor from writing side by side.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder, if need be, and takes it; [`RunError::InUse`] when somebody else has it.
    pub fn take(folder: &Path) -> Result<Self, RunError> {
        let failed = |source| RunError::Io { what: format!("cannot use {}", folder.display()), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK));
        let file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunError::InUse(folder.display().to_string())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("runs/a");
        let held = FolderLock::take(&folder).expect("free");
        assert!(matches!(FolderLock::take(&folder), Err(RunError::InUse(_))));
        drop(held);
        assert!(FolderLock::take(&folder).is_ok());
    }
}
