//! Progress on a terminal as a bar, elsewhere as a few plain lines; always on standard error.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written when standard error is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The progress of one step.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// When the last plain line was written; `None` on a terminal or when quiet.
    plain: Option<Mutex<Instant>>,
    what: &'static str,
    quiet: bool,
}

impl Progress {
    /// Progress over `total` things (0: not known). Quiet shows nothing.
    pub fn new(what: &'static str, total: usize, quiet: bool) -> Self {
        if quiet {
            return Self { bar: ProgressBar::hidden(), plain: None, what, quiet };
        }
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::hidden();
            bar.set_length(total as u64);
            return Self { bar, plain: Some(Mutex::new(Instant::now())), what, quiet };
        }
        let bar = if total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(total as u64) };
        let template = if total == 0 {
            "{spinner} {msg} {pos} ({elapsed})"
        } else {
            "{msg} {wide_bar} {pos}/{len} ({eta})"
        };
        bar.set_style(
            ProgressStyle::with_template(template).expect("a constant template that the tests draw"),
        );
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, plain: None, what, quiet }
    }

    /// One more is done.
    pub fn step(&self) {
        self.bar.inc(1);
        let Some(last) = &self.plain else { return };
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= PLAIN_EVERY {
            *last = Instant::now();
            say(&format!("{} {}{}", self.what, self.bar.position(), self.of_total()));
        }
    }

    /// Writes a line without disturbing the bar, unless quiet.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            self.warn(line);
        }
    }

    /// Writes a line without disturbing the bar, even when quiet: something was left out.
    pub fn warn(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn of_total(&self) -> String {
        self.bar.length().filter(|total| *total > 0).map_or(String::new(), |total| format!(" of {total}"))
    }
}

/// A line for the person, on standard error; nothing is left to do when that is closed.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in ["{spinner} {msg} {pos} ({elapsed})", "{msg} {wide_bar} {pos}/{len} ({eta})"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn a_quiet_one_counts_all_the_same() {
        let progress = Progress::new("reading", 3, true);
        progress.step();
        assert_eq!(progress.bar.position(), 1);
        progress.finish();
    }
}
