//! Files as memory.

use std::{fs::File, io, ops::Range, path::Path};

use memmap2::{Mmap, UncheckedAdvice};

/// A whole file, mapped read-only. Its pages are the page cache's own: they are read on first touch, and the system may
/// drop them again under pressure.
///
/// Whoever replaces the file must rename a new one into its place. A file that another program shortens while it is
/// mapped ends this process when the lost part is touched, as it does in every program that maps weights.
#[derive(Debug)]
pub struct Mapped(Mmap);

/// The usual size of a page; where pages are larger, less is released than could be.
const PAGE: usize = 4096;

impl Mapped {
    /// Maps the file at `path`.
    #[expect(unsafe_code, reason = "mapping a file has no safe form")]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is private and read-only, so nothing in this process writes to it. Weights are written by
        // renaming finished folders (`model::LanguageModel::save`), as the usual tools do, not in place; the
        // documentation of the type tells the caller so.
        unsafe { Mmap::map(&file) }.map(Self)
    }

    /// Takes the whole pages of a part that was read and is not needed again out of this process. Reading it all the
    /// same brings them back.
    #[expect(unsafe_code, reason = "giving advice that changes the mapping has no safe form")]
    pub fn release(&self, part: Range<usize>) {
        let (start, end) = (part.start.next_multiple_of(PAGE), part.end.min(self.0.len()) / PAGE * PAGE);
        if start < end {
            // SAFETY: the mapping is of a file and never written to, so a page that is dropped is read from the file
            // again when it is touched, with the same content; references into it stay valid.
            let advised =
                unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
            // It is advice: memory that stays is no error.
            advised.ok();
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_reads_as_its_content_even_after_it_is_released() {
        let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
        let content: Vec<u8> = (0..5 * PAGE + 7).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).expect("writes");
        let mapped = Mapped::open(&path).expect("maps");
        assert_eq!(mapped.as_ref(), content);
        for part in [0..content.len(), 1..PAGE, 100..3 * PAGE, 9 * PAGE..10 * PAGE, 7..7] {
            mapped.release(part);
            assert_eq!(mapped.as_ref(), content);
        }
        std::fs::remove_file(&path).expect("removes");
        assert!(Mapped::open(&path).is_err());
    }
}
