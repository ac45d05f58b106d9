//! Shows how a run goes, and listens for Ctrl-C.

use std::io::IsTerminal;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use trainer::{
    run::{Event, Metrics, Observer},
    service::Progress,
};

use crate::exit::INTERRUPTED;
use crate::output::progress::say;

/// How often a plain line is written when standard error is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Metrics that are shown while training, in their order.
const SHOWN: [&str; 5] = ["loss", "rewards/accuracies", "accuracy", "entropy", "learning_rate"];

const STEPS: &str = "{msg} {wide_bar} {pos}/{len}";
const STAGE: &str = "{msg} {wide_bar} {pos}/{len} ({eta} left)";

/// Watches a run for a person.
pub(super) struct Watch {
    bar: ProgressBar,
    terminal: bool,
    quiet: bool,
    /// How often Ctrl-C was pressed.
    asked: Arc<AtomicU32>,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    stage: String,
    said: Option<Instant>,
}

impl Watch {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
        bar.set_style(style(STAGE));
        let state = State { progress: Progress::default(), stage: String::new(), said: None };
        Self { bar, terminal, quiet, asked: Arc::default(), state: Mutex::new(state) }
    }

    /// From now on Ctrl-C and SIGTERM ask the run to stop; a second one ends the program.
    pub(super) fn listen(&self) -> Result<()> {
        let asked = Arc::clone(&self.asked);
        let listen = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return say("signals cannot be watched: Ctrl-C ends at once") };
            runtime.block_on(async {
                loop {
                    server::serve::stop_signal().await;
                    if asked.fetch_add(1, Ordering::AcqRel) > 0 {
                        std::process::exit(i32::from(INTERRUPTED));
                    }
                    say("stopping after this step, with a checkpoint; once more ends at once");
                }
            });
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listen)
            .context("cannot start a thread")?;
        Ok(())
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire) > 0
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn note(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| say(line));
        }
    }

    /// A line now and then, where there is no bar.
    fn plain(&self, state: &mut State, last: bool, line: impl FnOnce() -> String) {
        let due = state.said.is_none_or(|said| said.elapsed() >= PLAIN_EVERY);
        if !self.terminal && !self.quiet && (due || last) {
            state.said = Some(Instant::now());
            say(&line());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a constant template that the tests draw")
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.progress.note(event);
        match event {
            Event::Planned(plan) => self.note(&format!(
                "{} rows, {} tokens ({} trained), {} steps; {}about {} of memory",
                plan.rows,
                plan.tokens,
                plan.trained_tokens,
                plan.steps,
                if plan.devices > 1 { format!("{} devices, ", plan.devices) } else { String::new() },
                super::report::bytes(plan.memory_bytes)
            )),
            Event::Progress { stage, done, total } => {
                if state.stage != *stage {
                    state.stage.clone_from(stage);
                    self.bar.reset();
                    self.bar.set_style(style(STAGE));
                    self.bar.set_message(stage.clone());
                }
                self.bar.set_length(*total);
                self.bar.set_position(*done);
                self.plain(&mut state, false, || format!("{stage} {done} of {total}"));
            }
            Event::Step { step, steps, metrics, .. } => {
                if state.stage != "steps" {
                    "steps".clone_into(&mut state.stage);
                    self.bar.set_style(style(STEPS));
                    state.said = None;
                }
                let text = line(metrics, state.progress.seconds_left);
                self.bar.set_length(*steps);
                self.bar.set_position(*step);
                self.bar.set_message(text.clone());
                self.plain(&mut state, step == steps, || format!("step {step} of {steps}  {text}"));
            }
            Event::Evaluated { step, metrics } => {
                let shown: Vec<String> =
                    metrics.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
                self.note(&format!("step {step}: {}", shown.join("  ")));
            }
            Event::Resumed { step, path } => {
                self.note(&format!("going on after step {step}, from {}", path.display()));
            }
            Event::Alarm { step, message, .. } => self.note(&format!("step {step}: warning: {message}")),
            Event::Checkpoint { .. } | Event::Deleted { .. } | Event::Finished { .. } => {}
        }
    }

    fn stop(&self) -> bool {
        self.was_asked()
    }
}

/// The figures that matter most, and the time left.
fn line(metrics: &Metrics, seconds_left: Option<f64>) -> String {
    let mut parts: Vec<String> =
        SHOWN.iter().filter_map(|name| Some(format!("{name} {}", short(*metrics.get(*name)?)))).collect();
    if let Some(seconds) = seconds_left.filter(|seconds| *seconds > 0.0) {
        parts.push(format!("{} left", super::report::time(seconds)));
    }
    parts.join("  ")
}

/// Four digits that count.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value.abs()) {
        let whole = value.abs().max(1.0).log10().floor() as usize;
        return format!("{value:.*}", 4_usize.saturating_sub(whole));
    }
    format!("{value:.2e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short() {
        let metrics = Metrics::from([
            ("loss".to_owned(), 0.731_24),
            ("learning_rate".to_owned(), 1e-6),
            ("other".to_owned(), 1.0),
        ]);
        assert_eq!(line(&metrics, Some(61.0)), "loss 0.7312  learning_rate 1.00e-6  1 min 1 s left");
        assert_eq!([short(123.456), short(0.0), short(-12345.6)], ["123.46", "0.0000", "-12346"]);
        for template in [STEPS, STAGE] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
