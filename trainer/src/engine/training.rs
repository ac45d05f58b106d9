//! A run from its first step, or from its newest checkpoint, to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use model::{training::AdapterOptions, weights::TensorFile};

use super::{
    alarms, card,
    checkpoint::{self, Parts, State},
    devices::Devices,
    example::Example,
    figures::Figures,
    order::Order,
    prepare::{reference, replicas},
    records::Lines,
    reference::ReferenceError,
    schedule::learning_rate,
    session::{Keep, Outcome, Session, StepError},
    setup::{self, Rows},
    tensorboard::EventFile,
};
use crate::{
    config::RunConfig,
    run::{AlarmKind, Engine, Event, Metrics, Observer, Plan, Reason, RunError, Summary},
};

/// The engine on Burn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Native;

impl Engine for Native {
    fn plan(&self, config: &RunConfig, observer: &dyn Observer) -> Result<Plan, RunError> {
        let devices = Devices::open(config)?;
        let rows = setup::rows(config, observer)?;
        setup::plan(config, &rows, &devices)
    }

    fn train(&self, config: &RunConfig, out: &Path, observer: &dyn Observer) -> Result<Summary, RunError> {
        let started = Instant::now();
        model::training::keep_buffers();
        let devices = Devices::open(config)?;
        devices.greet()?;
        fs::create_dir_all(out).map_err(io(out))?;
        claim(config, out)?;
        let rows = setup::rows(config, observer)?;
        let plan = setup::plan(config, &rows, &devices)?;
        observer.event(&Event::Planned(plan.clone()));
        Training::open(config, out, observer, &rows, plan, devices, started)?.run()
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> RunError + '_ {
    move |source| RunError::Io { what: path.display().to_string(), source }
}

fn failed(step: u64, error: StepError) -> RunError {
    match error {
        StepError::Diverged(what) => RunError::Diverged { step: step + 1, what },
        StepError::Reference(ReferenceError::Io { path, error }) => {
            RunError::Io { what: path.display().to_string(), source: error }
        }
        StepError::Device(lost) | StepError::Reference(ReferenceError::Device(lost)) => lost.into(),
    }
}

/// Makes the folder the run's own, or finds that it is.
fn claim(config: &RunConfig, out: &Path) -> Result<(), RunError> {
    let (path, wanted) = (out.join("identity"), config.identity());
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == wanted => {}
        // A run that failed before its first checkpoint left nothing that another could spoil.
        Ok(_) if checkpoint::list(out)?.is_empty() => checkpoint::durable(&path, wanted.as_bytes())?,
        Ok(found) => {
            let (folder, found) = (out.display().to_string(), found.trim().to_owned());
            return Err(RunError::OtherRun { folder, found, wanted });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            checkpoint::durable(&path, wanted.as_bytes())?;
        }
        Err(error) => return Err(io(&path)(error)),
    }
    checkpoint::durable(&out.join("run.toml"), config.to_toml().as_bytes())
}

/// A run underway.
struct Training<'a> {
    config: Arc<RunConfig>,
    out: &'a Path,
    observer: &'a dyn Observer,
    rows: &'a Rows,
    plan: Plan,
    order: Order,
    session: Session,
    adapters: Option<AdapterOptions>,
    exact: bool,
    state: State,
    lines: Lines,
    micro_batches: Option<Lines>,
    events: Option<EventFile>,
    started: Instant,
    /// Trained tokens and time since the last line of metrics.
    since: (u64, Instant),
    trained_tokens: u64,
    last_checkpoint: Option<u64>,
}

impl<'a> Training<'a> {
    fn open(
        config: &RunConfig,
        out: &'a Path,
        observer: &'a dyn Observer,
        rows: &'a Rows,
        plan: Plan,
        devices: Devices,
        started: Instant,
    ) -> Result<Self, RunError> {
        let config = Arc::new(config.clone());
        let newest = checkpoint::list(out)?.pop();
        let folder = newest.map(|step| out.join(checkpoint::name(step)));
        let mut optimizer = setup::optimizer(&config);
        let (mut model, adapters) = setup::model(&config, devices.first(), folder.as_deref())?;
        let exact = adapters.is_some() || checkpoint::exact(model.stored().values().copied());
        let state = match (newest, &folder) {
            (Some(step), Some(folder)) => {
                model = checkpoint::restore(folder, model, &mut optimizer)?;
                observer.event(&Event::Resumed { step, path: checkpoint::name(step) });
                checkpoint::state(folder)?
            }
            _ => State { identity: config.identity(), ..State::default() },
        };
        let replicas = replicas(&model, &devices)?;
        let order = setup::order(&config, rows.train.examples.len());
        let (reference, beside) =
            reference(&config, out, observer, rows, &order, &plan, &model, &replicas, state.step, &devices)?;
        let session = Session {
            config: Arc::clone(&config),
            devices,
            model: Some(model),
            replicas,
            optimizer,
            reference,
            beside,
            tokens_seen: state.tokens_seen,
        };
        let micro_batches = if config.log.micro_batches {
            Some(Lines::open(out.join("micro_batches.jsonl"), state.step)?)
        } else {
            None
        };
        let events = if config.log.tensorboard {
            let folder = out.join("tensorboard");
            Some(EventFile::create(&folder).map_err(io(&folder))?)
        } else {
            None
        };
        Ok(Self {
            lines: Lines::open(out.join("metrics.jsonl"), state.step)?,
            micro_batches,
            events,
            config,
            out,
            observer,
            rows,
            plan,
            order,
            session,
            adapters,
            exact,
            last_checkpoint: newest,
            state,
            started,
            since: (0, Instant::now()),
            trained_tokens: 0,
        })
    }

    fn examples(&self, step: u64) -> Vec<&'a Example> {
        let rows = self.order.rows_of(step as usize);
        rows.into_iter().map(|row| &self.rows.train.examples[row]).collect()
    }

    fn run(mut self) -> Result<Summary, RunError> {
        let steps = self.plan.steps;
        if self.state.step == 0 {
            self.check_reference()?;
            if self.config.evaluation.at_start && self.evaluate()? {
                return self.finish(Reason::EarlyStop);
            }
        }
        while self.state.step < steps {
            if self.observer.stop() {
                return self.finish(Reason::Stopped);
            }
            self.step()?;
            let (step, last) = (self.state.step, self.state.step == steps);
            let due = |every: usize| every > 0 && step.is_multiple_of(every as u64);
            let evaluates =
                !self.rows.eval.examples.is_empty() && (last || due(self.config.evaluation.every_steps));
            let stop = evaluates && self.evaluate()?;
            if !last && !stop && due(self.config.checkpoint.every_steps) {
                self.checkpoint()?;
            }
            if stop && !last {
                return self.finish(Reason::EarlyStop);
            }
        }
        self.finish(Reason::Completed)
    }

    fn step(&mut self) -> Result<(), RunError> {
        let (step, steps) = (self.state.step, self.plan.steps);
        let rate = learning_rate(&self.config.training, step as usize, steps as usize);
        let examples = self.examples(step);
        let keep =
            Keep { micro_batches: self.config.log.micro_batches, gradients: self.config.log.gradients };
        let outcome = self.session.step(&examples, step as usize, rate, keep);
        let outcome = outcome.map_err(|error| failed(step, error))?;
        self.state.step += 1;
        self.state.tokens_seen = self.session.tokens_seen;
        self.state.trained_tokens += outcome.trained_tokens;
        self.trained_tokens += outcome.trained_tokens;
        self.state.window.merge(&outcome.figures);
        self.record(&outcome)?;
        let step = self.state.step;
        if step.is_multiple_of(self.config.log.every_steps as u64) || step == steps {
            self.report()?;
        }
        Ok(())
    }

    /// Writes what is kept of a step by itself.
    fn record(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        let step = self.state.step;
        if let Some(lines) = &mut self.micro_batches {
            for figures in &outcome.micro_batches {
                lines.write(step, None, &figures.metrics(""))?;
            }
        }
        if self.config.log.gradients {
            let folder = self.out.join("gradients");
            fs::create_dir_all(&folder).map_err(io(&folder))?;
            let mut file = TensorFile::default();
            let shapes = self.session.model().trainable();
            for (name, values) in &outcome.gradients {
                let shape = shapes.iter().find(|trainable| trainable.name == *name);
                let shape = shape.map_or_else(|| vec![values.len()], |trainable| trainable.shape.clone());
                file.push(name.clone(), shape, values.clone());
            }
            let path = folder.join(format!("step-{step}.safetensors"));
            file.write(&path, ("format", "pt".to_owned()))
                .map_err(|error| RunError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    /// Reports the window of steps that ends here.
    fn report(&mut self) -> Result<(), RunError> {
        let step = self.state.step;
        let epoch = self.order.epochs(step as usize);
        let mut metrics = self.state.window.metrics("");
        metrics.insert("epoch".to_owned(), epoch);
        self.state.window = Figures::default();
        self.lines.write(step, None, &metrics)?;
        self.state.metrics.clone_from(&metrics);
        let tokens = self.trained_tokens - self.since.0;
        let seconds = self.since.1.elapsed().as_secs_f64().max(1e-9);
        self.since = (self.trained_tokens, Instant::now());
        for (kind, message) in alarms::raised(&self.config, &mut self.state, &metrics) {
            self.observer.event(&Event::Alarm { step, kind, message });
        }
        metrics.insert("tokens_per_second".to_owned(), tokens as f64 / seconds);
        self.plot("train/", &metrics)?;
        self.observer.event(&Event::Step {
            step,
            steps: self.plan.steps,
            epoch,
            metrics,
            seconds: self.started.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    fn plot(&mut self, prefix: &str, metrics: &Metrics) -> Result<(), RunError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        events
            .write(self.state.step, prefix, metrics)
            .map_err(|source| RunError::Io { what: "tensorboard".to_owned(), source })
    }

    /// Scores the evaluation rows; says whether training is to stop.
    fn evaluate(&mut self) -> Result<bool, RunError> {
        let examples: Vec<&Example> = self.rows.eval.examples.iter().collect();
        if examples.is_empty() {
            return Ok(false);
        }
        let step = self.state.step;
        let figures = self.session.evaluate(&examples, step as usize).map_err(|error| failed(step, error))?;
        let metrics = figures.metrics("eval_");
        self.lines.write(step, Some("evaluation"), &metrics)?;
        self.plot("eval/", &metrics)?;
        self.observer.event(&Event::Evaluated { step, metrics: metrics.clone() });
        let config = Arc::clone(&self.config);
        let name = &config.checkpoint.metric;
        let Some(&value) = metrics.get(name) else {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            return Err(RunError::Refused(format!(
                "checkpoint.metric is `{name}`, but an evaluation has {}",
                known.join(", ")
            )));
        };
        self.state.evaluation = metrics;
        let sign = if config.checkpoint.higher_is_better() { 1.0 } else { -1.0 };
        let better =
            self.state.best.is_none_or(|(best, _)| sign * (value - best) > config.evaluation.min_delta);
        if better {
            self.state.best = Some((value, step));
            self.state.waited = 0;
            if config.checkpoint.keep_best && step > 0 {
                self.checkpoint()?;
            }
        } else {
            self.state.waited += 1;
        }
        Ok(config.evaluation.patience.is_some_and(|patience| self.state.waited >= patience))
    }

    fn best(&self) -> Option<u64> {
        self.state.best.map(|(_, step)| step).filter(|_| self.config.checkpoint.keep_best)
    }

    /// Writes a checkpoint of where the run is, if there is none.
    fn checkpoint(&mut self) -> Result<(), RunError> {
        let step = self.state.step;
        if self.last_checkpoint == Some(step) {
            return Ok(());
        }
        let parts = Parts {
            model: self.session.model(),
            adapters: self.adapters.as_ref(),
            optimizer: &self.session.optimizer,
            state: &self.state,
            card: card::text(&self.config, &self.plan, &self.state),
            parent: &self.config.model.path,
            tokenizer: self.config.model.tokenizer.as_deref(),
            chat_template: self.config.model.chat_template.as_deref(),
            exact: self.exact,
        };
        let path = checkpoint::write(self.out, &parts)?;
        self.last_checkpoint = Some(step);
        let best = self.best();
        self.observer.event(&Event::Checkpoint { step, path, best: best == Some(step) });
        for step in checkpoint::prune(self.out, self.config.checkpoint.keep_last, best)? {
            self.observer.event(&Event::Deleted { step });
        }
        Ok(())
    }

    /// Policy and reference are the same model before the first step, unless another reference was named: they must
    /// agree, or rewards would be those of another model.
    fn check_reference(&mut self) -> Result<(), RunError> {
        let config = Arc::clone(&self.config);
        if !config.objective.kind.needs_reference() || config.model.reference.is_some() {
            return Ok(());
        }
        let examples = self.examples(0);
        let figures = self.session.evaluate(&examples[..1], 0).map_err(|error| failed(0, error))?;
        let drift = figures.get("logps/chosen_drift").unwrap_or(0.0).abs();
        let scale = figures.get("logps/chosen").unwrap_or(1.0).abs().max(1.0);
        let tolerance = match config.model.precision {
            crate::config::Precision::F32 => 1e-4,
            crate::config::Precision::Bf16 => 1e-2,
        };
        if drift > tolerance * scale {
            let message = format!(
                "before the first step policy and reference differ by {drift:.4} nats on a chosen trajectory; delete the \
                 cached log-probabilities (reference.cache), or say which reference is meant (model.reference)"
            );
            self.observer.event(&Event::Alarm { step: 0, kind: AlarmKind::ReferenceMismatch, message });
        }
        Ok(())
    }

    fn finish(mut self, reason: Reason) -> Result<Summary, RunError> {
        let step = self.state.step;
        if step > 0 {
            self.checkpoint()?;
        }
        self.observer.event(&Event::Finished { step, reason });
        let there = |step: u64| self.out.join(checkpoint::name(step)).is_dir();
        let best: Option<PathBuf> = self.best().filter(|&step| there(step)).map(checkpoint::name);
        Ok(Summary {
            reason,
            step,
            steps: self.plan.steps,
            checkpoint: self.last_checkpoint.map(checkpoint::name),
            best,
            metrics: self.state.metrics,
            evaluation: self.state.evaluation,
            trained_tokens: self.trained_tokens,
            seconds: self.started.elapsed().as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use model::InputError;

    use super::{super::devices::DeviceFailure, *};

    #[test]
    fn a_lost_device_is_worth_another_attempt_and_a_wrong_row_is_not() {
        let device = || "cuda:1".to_owned();
        let lost = DeviceFailure::Lost { device: device(), message: "out of memory".to_owned() };
        let lost = failed(3, StepError::Device(lost));
        assert!(lost.is_transient() && lost.to_string() == "device cuda:1 failed: out of memory", "{lost}");
        let wrong = ReferenceError::Device(DeviceFailure::On { device: device(), error: InputError::Empty });
        let wrong = failed(3, StepError::Reference(wrong));
        assert!(!wrong.is_transient() && wrong.to_string().starts_with("device cuda:1: "), "{wrong}");
    }
}
