//! How long freed memory is kept.

#![expect(unsafe_code, reason = "an option of the allocator")]

use std::{
    ffi::{c_int, c_long},
    time::Duration,
};

/// `mi_option_purge_delay`, which the bindings do not name; the number is the same in versions 2 and 3 of mimalloc.
const PURGE_DELAY: c_int = 15;

/// Lets mimalloc keep memory that was freed for about this long before it gives it back to the system.
///
/// A training step takes and frees hundreds of megabytes in buffers, and takes them again a moment later. Given back in
/// between, all their pages are cleared again by the system: a tenth of the time of a step. Memory that nothing takes is
/// still given back. For the whole process; without effect where mimalloc is not the allocator.
pub fn keep_freed_for(time: Duration) {
    let milliseconds = c_long::try_from(time.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: sets a number under a lock-free protocol of the allocator's, which may happen at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay() {
        // SAFETY: reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // The defaults of versions 2 and 3: another option would have another value.
        assert!([10, 1_000].contains(&delay()), "{}", delay());
        keep_freed_for(Duration::from_mins(1));
        assert_eq!(delay(), 60_000);
    }
}
