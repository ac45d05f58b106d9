//! The devices of a run: one computes as if there were no others; several share the work of a step, each in threads of
//! its own.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use burn::tensor::{StreamId, Tensor};
use model::{Device, InputError};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::setup::refused;
use crate::{config::RunConfig, run::RunError};

/// How long devices may take to reach one another.
const HANDSHAKE: Duration = Duration::from_mins(2);

/// Why work on devices failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceFailure {
    /// On the only device.
    #[error(transparent)]
    Input(#[from] InputError),
    /// On one of several.
    #[error("device {device}: {error}")]
    On { device: String, error: InputError },
    /// One of several stopped in the middle.
    #[error("device {device} failed: {message}")]
    Lost { device: String, message: String },
}

impl From<DeviceFailure> for RunError {
    fn from(failure: DeviceFailure) -> Self {
        match failure {
            lost @ DeviceFailure::Lost { .. } => Self::Failed(lost.to_string()),
            other => refused(other),
        }
    }
}

/// One of the devices.
#[derive(Debug)]
struct Place {
    /// What messages call it.
    name: String,
    device: Device,
    /// Its threads; none where it is the only one, which the calling thread feeds.
    threads: Option<ThreadPool>,
    /// The queue of a GPU that its work goes to, whichever of the threads sends it: each queue keeps memory of its own.
    stream: StreamId,
}

/// The devices of a run.
#[derive(Debug)]
pub(crate) struct Devices {
    places: Vec<Place>,
    cpu: bool,
}

impl Devices {
    /// Finds the devices that a configuration names.
    pub(crate) fn open(config: &RunConfig) -> Result<Self, RunError> {
        let found = model::device::parse_all(&config.model.device)
            .map_err(|error| refused(format!("model.device: {error}")))?;
        let count = found.len();
        let cpu = found.iter().all(|(_, device)| *device == model::device::cpu());
        let threads = rayon::current_num_threads();
        let place = |(index, (name, device)): (usize, (String, Device))| {
            let pool = |name: &str| {
                // Together as many as one device has. With threads of its own, a device never takes up another one's work
                // in the middle of its own.
                let share = threads / count + usize::from(index < threads % count);
                let label = format!("{name} {index}");
                ThreadPoolBuilder::new()
                    .num_threads(share.max(1))
                    .thread_name(move |_| label.clone())
                    .build()
                    .map_err(|error| RunError::Failed(format!("device {name}: no threads for it: {error}")))
            };
            let threads = if count > 1 { Some(pool(&name)?) } else { None };
            let name = if cpu && count > 1 { format!("{name} ({} of {count})", index + 1) } else { name };
            Ok(Place { name, device, threads, stream: StreamId::allocate() })
        };
        let places = found.into_iter().enumerate().map(place).collect::<Result<_, RunError>>()?;
        Ok(Self { places, cpu })
    }

    /// Finds out whether the devices reach one another, before anything waits for it.
    pub(crate) fn greet(&self) -> Result<(), RunError> {
        let first = self.first().clone();
        for place in &self.places[1..] {
            let (device, first) = (place.device.clone(), first.clone());
            let (sender, receiver) = mpsc::channel();
            // Left alone if it hangs: the run ends all the same.
            thread::spawn(move || {
                let there = |here: &Device, other: &Device| {
                    let sent: Tensor<1> = Tensor::from_floats([1.0, 2.0, 4.0], here);
                    let values = sent.to_device(other).into_data().try_into_vec::<f32>();
                    values.is_ok_and(|values| values == [1.0, 2.0, 4.0])
                };
                let both = || there(&device, &first) && there(&first, &device);
                let met = catch_unwind(AssertUnwindSafe(both)).map_err(|panic| text(&*panic));
                let _ = sender.send(met);
            });
            let problem = match receiver.recv_timeout(HANDSHAKE) {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => "what it is sent does not arrive as it was".to_owned(),
                Ok(Err(message)) => message,
                Err(_) => format!("no answer within {} s", HANDSHAKE.as_secs()),
            };
            let (name, first) = (&place.name, &self.places[0].name);
            return Err(RunError::Failed(format!(
                "model.device: {first} and {name} do not reach one another: {problem}"
            )));
        }
        Ok(())
    }

    /// How many there are; at least 1.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Whether they are all the processor, and share its memory.
    pub(crate) fn cpu(&self) -> bool {
        self.cpu
    }

    /// The one where the optimiser and its state are.
    pub(crate) fn first(&self) -> &Device {
        &self.places[0].device
    }

    /// The others.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Device> {
        self.places[1..].iter().map(|place| &place.device)
    }

    /// How many have work, when there are so many jobs.
    pub(crate) fn busy(&self, jobs: usize) -> usize {
        self.count().min(jobs)
    }

    /// Does jobs of these costs, on each device some of them, and returns their results in the order of the jobs.
    /// `states` has one for each device, which `work` is given with the index of a job. A device does its jobs in their
    /// order. After a failure no job is begun; the first device that failed is named.
    pub(crate) fn share<S: Send, T: Send>(
        &self,
        states: &mut [S],
        costs: &[usize],
        work: impl Fn(&mut S, usize) -> Result<T, InputError> + Sync,
    ) -> Result<Vec<T>, DeviceFailure> {
        if let [state] = states {
            return (0..costs.len()).map(|job| Ok(work(state, job)?)).collect();
        }
        let failed = AtomicBool::new(false);
        let one = |place: &Place, state: &mut S, jobs: &[usize]| {
            let jobs = jobs.iter().take_while(|_| !failed.load(Ordering::Relaxed));
            let all = || jobs.map(|&job| Ok((job, work(state, job)?))).collect::<Result<Vec<_>, _>>();
            let done = catch_unwind(AssertUnwindSafe(|| match &place.threads {
                Some(threads) => threads.install(|| place.stream.executes(all)),
                None => all(),
            }));
            let device = || place.name.clone();
            let done = match done {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => DeviceFailure::On { device: device(), error },
                Err(panic) => DeviceFailure::Lost { device: device(), message: text(&*panic) },
            };
            failed.store(true, Ordering::Relaxed);
            Err(done)
        };
        let one = &one;
        let dealt = balanced(costs, self.count());
        let done: Vec<Result<Vec<(usize, T)>, DeviceFailure>> = thread::scope(|scope| {
            let threads: Vec<_> = self
                .places
                .iter()
                .zip(states)
                .zip(&dealt)
                .filter(|(_, jobs)| !jobs.is_empty())
                .map(|((place, state), jobs)| (place, scope.spawn(move || one(place, state, jobs))))
                .collect();
            let joined = threads.into_iter().map(|(place, thread)| {
                thread.join().unwrap_or_else(|panic| {
                    Err(DeviceFailure::Lost { device: place.name.clone(), message: text(&*panic) })
                })
            });
            joined.collect()
        });
        let mut results: Vec<Option<T>> = costs.iter().map(|_| None).collect();
        for done in done {
            for (job, result) in done? {
                results[job] = Some(result);
            }
        }
        Ok(results.into_iter().map(|result| result.expect("every job is dealt to a device")).collect())
    }

    /// Does something with a device that is not the only one; a panic names it.
    pub(crate) fn with<T>(&self, index: usize, work: impl FnOnce() -> T) -> Result<T, DeviceFailure> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| DeviceFailure::Lost {
            device: self.places[index].name.clone(),
            message: text(&*panic),
        })
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

/// Deals jobs of these costs: the largest first, each to the device that has least so far, the first of them. The jobs
/// of a device come in their order.
fn balanced(costs: &[usize], devices: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|&job| (std::cmp::Reverse(costs[job]), job));
    let mut dealt = vec![(0_usize, Vec::new()); devices];
    for job in order {
        // One that costs nothing is a job too.
        let least = dealt.iter_mut().min_by_key(|(load, jobs)| (*load, jobs.len()));
        let (load, jobs) = least.expect("there is a device");
        *load += costs[job];
        jobs.push(job);
    }
    let sorted = dealt.into_iter().map(|(_, mut jobs)| {
        jobs.sort_unstable();
        jobs
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn devices(count: usize) -> Devices {
        let list = vec!["cpu"; count].join(",");
        let text = format!("model.path = \"m\"\nmodel.device = {list:?}\ndata.train = \"t\"");
        Devices::open(&RunConfig::from_toml("test", &text, &[]).expect("valid")).expect("there")
    }

    #[test]
    fn results_come_in_the_order_of_jobs_and_each_device_keeps_its_state() {
        for count in 1..5 {
            let devices = devices(count);
            assert!(devices.greet().is_ok() && devices.cpu());
            let mut states = vec![Vec::new(); count];
            let costs = [5, 1, 1, 9, 2, 2];
            let results = devices.share(&mut states, &costs, |state: &mut Vec<usize>, job| {
                state.push(job);
                Ok(job * 10)
            });
            assert_eq!(results.expect("no failure"), [0, 10, 20, 30, 40, 50]);
            assert_eq!(states, balanced(&costs, count));
        }
    }

    #[test]
    fn a_failure_names_its_device_and_nothing_hangs() {
        let devices = devices(3);
        let run = |wrong: usize, panics: bool| {
            let failure = devices.share(&mut [(), (), ()], &[1; 30], |(), job| {
                assert!(job != wrong || !panics, "job {job} broke");
                if job == wrong { Err(InputError::Empty) } else { Ok(job) }
            });
            failure.expect_err("one fails").to_string()
        };
        // Equal jobs are dealt in turn.
        assert_eq!(run(7, true), "device cpu (2 of 3) failed: job 7 broke");
        assert_eq!(run(8, false), format!("device cpu (3 of 3): {}", InputError::Empty));
        let lost = devices.with(1, || panic!("gone")).expect_err("panics");
        assert_eq!(lost.to_string(), "device cpu (2 of 3) failed: gone");
        assert!(devices.share(&mut [(), (), ()], &[], |(), job| Ok(job)).expect("nothing to do").is_empty());
    }

    #[test]
    fn one_device_works_in_the_thread_that_asks() {
        let devices = devices(1);
        let here = thread::current().id();
        let same = devices.share(&mut [()], &[1, 1], |(), _| Ok(thread::current().id() == here));
        assert_eq!(same.expect("no failure"), [true, true]);
    }

    proptest! {
        #[test]
        fn every_job_is_dealt_once_and_evenly(
            costs in prop::collection::vec(0_usize..100, 0..40),
            count in 1_usize..6,
        ) {
            let dealt = balanced(&costs, count);
            let mut all: Vec<usize> = dealt.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..costs.len()).collect::<Vec<_>>());
            let load = |jobs: &Vec<usize>| -> usize { jobs.iter().map(|&job| costs[job]).sum() };
            let (most, least) = (dealt.iter().map(load).max(), dealt.iter().map(load).min());
            // By no more than one job.
            prop_assert!(most.unwrap_or(0) - least.unwrap_or(0) <= costs.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(dealt.iter().filter(|jobs| !jobs.is_empty()).count(), count.min(costs.len()));
        }
    }
}
