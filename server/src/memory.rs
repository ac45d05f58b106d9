//! How the system gives memory to the process.

/// Asks for memory in small pages, for the rest of the process's life; where the system knows no other this does nothing.
///
/// Linux puts pages that have been in use for a while together to huge ones of 2 MiB, of which a service's small records
/// fill only a part. It takes its time: a process grew by a fifth after 10 or 20 minutes. Products of matrices, whose
/// operands are packed, lose 2 % without huge pages at most (`benches/verifier_speed.py`, two rounds).
pub fn small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "memory may come in huge pages");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_can_be_refused() {
        super::small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
