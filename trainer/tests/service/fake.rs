//! An engine that counts steps.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use trainer::{
    config::RunConfig,
    run::{Engine, Event, Metrics, Observer, Plan, Reason, RunError, Summary},
};

/// What an attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Trains to the end.
    Fine,
    /// Goes on at a step only once it is told to, or to stop.
    Slow,
    /// Fails after some steps as disks do.
    BreaksAt(u64),
    /// Says that the data cannot be used.
    Refuses,
    /// Panics after some steps.
    PanicsAt(u64),
    /// Goes on at a step only once the test says so, whatever else is asked of it.
    Deaf,
}

/// Each attempt takes the next mood; the last one stays.
#[derive(Debug)]
pub(crate) struct Fake {
    moods: Mutex<VecDeque<Mood>>,
    /// Steps that a deaf or slow attempt may still take.
    pub(crate) permits: AtomicUsize,
    /// Attempts that train now, and the most there were of one folder.
    running: Mutex<Vec<PathBuf>>,
    pub(crate) most: AtomicUsize,
    pub(crate) attempts: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(moods: impl IntoIterator<Item = Mood>) -> Self {
        Self {
            moods: Mutex::new(moods.into_iter().collect()),
            permits: AtomicUsize::new(0),
            running: Mutex::default(),
            most: AtomicUsize::new(0),
            attempts: AtomicUsize::new(0),
        }
    }

    fn mood(&self) -> Mood {
        let mut moods = self.moods.lock().unwrap();
        if moods.len() > 1 { moods.pop_front().unwrap() } else { *moods.front().unwrap_or(&Mood::Fine) }
    }

    fn wait(&self, until: impl Fn() -> bool) {
        loop {
            let took =
                self.permits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
            if took.is_ok() || until() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn steps(
        &self,
        mood: Mood,
        steps: u64,
        out: &Path,
        observer: &dyn Observer,
    ) -> Result<Summary, RunError> {
        let state = out.join("state");
        let mut done: u64 = fs::read_to_string(&state).map_or(0, |text| text.parse().unwrap());
        if done > 0 {
            observer.event(&Event::Resumed { step: done, path: format!("checkpoint-{done}").into() });
        }
        let mut last = (done > 0).then(|| PathBuf::from(format!("checkpoint-{done}")));
        while done < steps && !observer.stop() {
            match mood {
                Mood::BreaksAt(at) if at == done => {
                    let source = io::Error::other("the disk is full");
                    return Err(RunError::Io { what: "cannot write".to_owned(), source });
                }
                Mood::PanicsAt(at) if at == done => panic!("out of numbers"),
                Mood::Deaf => self.wait(|| false),
                Mood::Slow => self.wait(|| observer.stop()),
                _ => {}
            }
            if mood == Mood::Slow && observer.stop() {
                break;
            }
            done += 1;
            let metrics = Metrics::from([("loss".to_owned(), 1.0 / done as f64)]);
            observer.event(&Event::Step { step: done, steps, epoch: 0.5, metrics, seconds: done as f64 });
            if done.is_multiple_of(2) || done == steps {
                last = Some(checkpoint(out, done, observer));
            }
        }
        let reason = if done == steps { Reason::Completed } else { Reason::Stopped };
        if last.as_ref().is_none_or(|path| !path.ends_with(format!("checkpoint-{done}"))) && done > 0 {
            last = Some(checkpoint(out, done, observer));
        }
        observer.event(&Event::Finished { step: done, reason });
        Ok(Summary {
            reason,
            step: done,
            steps,
            checkpoint: last,
            best: None,
            metrics: Metrics::new(),
            evaluation: Metrics::new(),
            trained_tokens: 0,
            seconds: 1.0,
        })
    }
}

fn checkpoint(out: &Path, step: u64, observer: &dyn Observer) -> PathBuf {
    let name = PathBuf::from(format!("checkpoint-{step}"));
    fs::create_dir_all(out.join(&name)).unwrap();
    fs::write(out.join(&name).join("model.safetensors"), format!("weights of step {step}")).unwrap();
    fs::write(out.join("state"), step.to_string()).unwrap();
    observer.event(&Event::Checkpoint { step, path: name.clone(), best: false });
    name
}

impl Engine for Fake {
    fn plan(&self, config: &RunConfig, _: &dyn Observer) -> Result<Plan, RunError> {
        Ok(Plan { steps: config.training.total_steps(8) as u64, rows: 8, ..Plan::default() })
    }

    fn train(&self, config: &RunConfig, out: &Path, observer: &dyn Observer) -> Result<Summary, RunError> {
        self.attempts.fetch_add(1, Ordering::AcqRel);
        let count = {
            let mut running = self.running.lock().unwrap();
            running.push(out.to_owned());
            running.iter().filter(|folder| *folder == out).count()
        };
        self.most.fetch_max(count, Ordering::AcqRel);
        let mood = self.mood();
        let plan = self.plan(config, observer)?;
        observer.event(&Event::Planned(plan.clone()));
        let ended = match mood {
            Mood::Refuses => Err(RunError::Refused("rows.jsonl:3: no token carries a loss".to_owned())),
            mood => self.steps(mood, plan.steps, out, observer),
        };
        let mut running = self.running.lock().unwrap();
        let at = running.iter().position(|folder| folder == out).unwrap();
        running.remove(at);
        ended
    }

    fn export(&self, checkpoint: &Path, out: &Path) -> Result<(), RunError> {
        fs::create_dir_all(out).unwrap();
        fs::copy(checkpoint.join("model.safetensors"), out.join("model.safetensors")).unwrap();
        Ok(())
    }
}
