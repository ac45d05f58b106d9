//! Files as memory.

use std::{fs::File, io, path::Path};

use memmap2::Mmap;

/// Maps a whole file, read-only. Its pages are the page cache's own: they are read on first touch, and the system may
/// drop them again under pressure.
///
/// Whoever replaces the file must rename a new one into its place. A file that another program shortens while it is
/// mapped ends this process when the lost part is touched, as it does in every program that maps weights.
#[expect(unsafe_code, reason = "mapping a file is the one thing here that has no safe form")]
pub fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the mapping is private and read-only, so nothing in this process writes to it. Weights are written by
    // renaming finished folders (`model::LanguageModel::save`), as the usual tools do, not in place; the documentation
    // above tells the caller so.
    unsafe { Mmap::map(&file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_reads_as_its_content() {
        let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
        std::fs::write(&path, b"weights").expect("writes");
        assert_eq!(&map(&path).expect("maps")[..], b"weights");
        std::fs::remove_file(&path).expect("removes");
        assert!(map(&path).is_err());
    }
}
