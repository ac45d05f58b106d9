//! The pipeline with a model that can be held, and one that misbehaves.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use server::Span;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use verifier::{
    Example, PrepareOptions,
    pipeline::{Job, Lane, Pipeline, PipelineSettings, Resources, ScoreError, Scored},
};

use crate::{
    mock::{Mock, Mood},
    support::example,
};

struct Rig {
    mock: Arc<Mock>,
    pipeline: Arc<Pipeline>,
}

type Running = JoinHandle<Result<Vec<Scored>, ScoreError>>;

impl Rig {
    fn new(mock: Mock, settings: &PipelineSettings) -> Self {
        let mock = Arc::new(mock);
        let resources = Resources::new(settings);
        let pipeline = Arc::new(Pipeline::new(Arc::clone(&mock) as _, settings, &resources));
        Self { mock, pipeline }
    }

    fn held(settings: &PipelineSettings) -> (Self, Arc<Semaphore>) {
        let (mock, gate) = Mock::gated("mock");
        (Self::new(mock, settings), gate)
    }

    fn spawn(&self, job: Job) -> Running {
        let pipeline = Arc::clone(&self.pipeline);
        tokio::spawn(async move { pipeline.score(job).await })
    }

    /// Waits until so many batches have reached the model.
    async fn batches(&self, count: usize) {
        until(|| self.mock.batches.lock().unwrap().len() >= count).await;
    }

    async fn waiting(&self, entries: usize) {
        until(|| self.pipeline.waiting().0 == entries).await;
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

fn examples(issue: &str, patches: &[&str]) -> Vec<Example> {
    let issue: Arc<str> = issue.into();
    patches.iter().enumerate().map(|(index, patch)| example(&issue, &index.to_string(), patch)).collect()
}

fn job(issue: &str, patches: &[&str]) -> Job {
    Job {
        tenant: store::Tenant::DEFAULT,
        examples: examples(issue, patches),
        options: PrepareOptions { max_tokens: None, condense: false },
        lane: Lane::Interactive,
        deadline: Instant::now() + Duration::from_secs(30),
    }
}

fn logits(scored: &[Scored]) -> Vec<Option<f64>> {
    scored.iter().map(|scored| scored.score.logit).collect()
}

#[tokio::test]
async fn results_are_in_the_order_of_the_request() {
    let settings = PipelineSettings { batch_tokens: 12, batch_rows: 3, ..PipelineSettings::default() };
    let rig = Rig::new(Mock::new("mock"), &settings);
    let patches: Vec<String> = (1..40).map(|count| "w ".repeat(count * 7 % 23 + 1)).collect();
    let patches: Vec<&str> = patches.iter().map(String::as_str).collect();
    let scored = rig.pipeline.score(job("x", &patches)).await.unwrap();
    let expected: Vec<_> =
        patches.iter().map(|patch| Some(patch.split_whitespace().count() as f64 - 2.0)).collect();
    assert_eq!(logits(&scored), expected);
    assert!(rig.mock.seen().len() > 10, "in many batches");
}

#[tokio::test]
async fn equal_work_is_done_once() {
    let (rig, gate) = Rig::held(&PipelineSettings::default());
    let one = rig.spawn(job("x", &["same words here", "same words here"]));
    let two = rig.spawn(job("x", &["same words here"]));
    rig.batches(1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.add_permits(10);
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!((logits(&one), logits(&two)), (vec![Some(1.0); 2], vec![Some(1.0)]));
    let rows: usize = rig.mock.seen().iter().map(Vec::len).sum();
    assert_eq!(rows, 1);
    let again = rig.pipeline.score(job("x", &["same words here"])).await.unwrap();
    assert!(again[0].cached);
}

#[tokio::test]
async fn one_batch_is_prefetched_when_it_is_full_and_the_rest_waits() {
    let settings = PipelineSettings { batch_rows: 2, ..PipelineSettings::default() };
    let (rig, gate) = Rig::held(&settings);
    let first = rig.spawn(job("x", &["a"]));
    rig.batches(1).await;
    let alone = rig.spawn(job("y", &["b"]));
    rig.waiting(1).await;
    assert_eq!(rig.mock.seen().len(), 1, "half a batch is not sent ahead");
    let more = rig.spawn(job("z", &["c c", "d d d", "e e e e"]));
    rig.batches(2).await;
    rig.waiting(2).await;
    assert_eq!(rig.mock.seen().len(), 2, "one running, one prefetched, the rest can still be changed");
    gate.add_permits(10);
    for task in [first, alone, more] {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_leaves_takes_the_work_out_of_the_queue() {
    let settings = PipelineSettings { batch_rows: 1, ..PipelineSettings::default() };
    let (rig, gate) = Rig::held(&settings);
    let running = rig.spawn(job("x", &["a"]));
    rig.batches(1).await;
    let prefetched = rig.spawn(job("x", &["b b"]));
    let shared = rig.spawn(job("x", &["c c c"]));
    rig.batches(2).await;
    let leaver = rig.spawn(job("x", &["c c c", "d d d d"]));
    rig.waiting(2).await;
    leaver.abort();
    rig.waiting(1).await;
    gate.add_permits(10);
    for task in [running, prefetched, shared] {
        task.await.unwrap().unwrap();
    }
    assert!(!rig.mock.seen().concat().contains(&"d d d d".to_owned()), "{:?}", rig.mock.seen());
}

#[tokio::test]
async fn a_batch_that_nobody_wants_is_given_up() {
    let (rig, gate) = Rig::held(&PipelineSettings::default());
    let leaver = rig.spawn(job("x", &["a"]));
    rig.batches(1).await;
    leaver.abort();
    let next = rig.spawn(job("x", &["a"]));
    rig.batches(2).await;
    gate.add_permits(1);
    assert_eq!(logits(&next.await.unwrap().unwrap()), [Some(-1.0)]);
    assert_eq!(rig.mock.ended.load(Ordering::SeqCst), 1, "the first one was dropped half way");
}

#[tokio::test]
async fn too_much_is_refused_whole_with_a_time_to_return() {
    let settings = PipelineSettings { queue_tokens: 19, batch_rows: 1, ..PipelineSettings::default() };
    let (rig, gate) = Rig::held(&settings);
    let running = rig.spawn(job("x", &["a"]));
    rig.batches(1).await;
    let too_large = rig.pipeline.score(job("x", &["a b c d e f g", "h i j k l m n o p"])).await.unwrap_err();
    assert_eq!(too_large, ScoreError::TooLarge { tokens: 9 + 11, limit: 19 });
    let filling = rig.spawn(job("x", &["b c d e", "f g h", "2 f g h i j"]));
    until(|| rig.pipeline.waiting().1 > 0).await;
    let refused = rig.pipeline.score(job("x", &["i", "j k l m n"])).await.unwrap_err();
    assert!(
        matches!(refused, ScoreError::Busy { retry_after } if retry_after >= Duration::from_secs(1)),
        "{refused:?}"
    );
    gate.add_permits(10);
    running.await.unwrap().unwrap();
    filling.await.unwrap().unwrap();
    rig.pipeline.score(job("x", &["i", "j k l m n"])).await.unwrap();
}

#[tokio::test]
async fn interactive_work_overtakes() {
    let settings = PipelineSettings { batch_rows: 1, ..PipelineSettings::default() };
    let (rig, gate) = Rig::held(&settings);
    let mut tasks = vec![rig.spawn(job("x", &["running"])), rig.spawn(job("x", &["prefetched"]))];
    rig.batches(2).await;
    tasks.push(rig.spawn(Job { lane: Lane::Batch, ..job("x", &["slow 1", "slow 2"]) }));
    rig.waiting(2).await;
    tasks.push(rig.spawn(job("x", &["fast"])));
    rig.waiting(3).await;
    gate.add_permits(10);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(rig.mock.seen().concat()[2..], ["fast", "slow 1", "slow 2"]);
}

#[tokio::test]
async fn a_deadline_ends_the_waiting() {
    let (rig, gate) = Rig::held(&PipelineSettings::default());
    let late = Job { deadline: Instant::now() + Duration::from_millis(30), ..job("x", &["a"]) };
    assert_eq!(rig.pipeline.score(late).await, Err(ScoreError::Deadline));
    gate.add_permits(10);
    rig.pipeline.score(job("x", &["a"])).await.unwrap();
}

#[tokio::test]
async fn a_stuck_batch_is_given_up_and_the_model_replaced() {
    let settings =
        PipelineSettings { batch_timeout: Span(Duration::from_millis(50)), ..PipelineSettings::default() };
    let rig = Rig::new(Mock::new("mock"), &settings);
    rig.pipeline.warm_up().await.unwrap();
    assert!(rig.pipeline.is_working());
    rig.mock.set(Mood::Stuck);
    let error = rig.pipeline.score(job("x", &["a"])).await.unwrap_err();
    assert_eq!(error, ScoreError::Unavailable("the model did not finish within 0.05 s".into()));
    assert!(!rig.pipeline.is_working() && rig.mock.recovered.load(Ordering::SeqCst));
    rig.pipeline.score(job("x", &["a"])).await.unwrap();
    assert!(rig.pipeline.is_working(), "ready again after a success");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let rig = Rig::new(Mock::new("mock"), &PipelineSettings::default());
    rig.mock.set(Mood::Gone);
    let error = rig.pipeline.warm_up().await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    let gone = rig.pipeline.score(job("x", &["a"])).await;
    assert_eq!(gone, Err(ScoreError::Unavailable("connection refused".into())));
    rig.mock.set(Mood::Panics);
    let scored = rig.pipeline.score(job("x", &["a b c", "panic"])).await.unwrap();
    assert_eq!(logits(&scored), [Some(1.0), None]);
    assert_eq!(scored[1].score.reason.as_deref(), Some("the model failed; the service's log says how"));
    rig.mock.set(Mood::Short);
    let scored = rig.pipeline.score(job("x", &["b", "c"])).await.unwrap();
    assert_eq!(scored[0].score.reason.as_deref(), Some("the model gave 0 scores for 1 rows"));
}

#[tokio::test]
async fn candidates_of_an_issue_are_next_to_each_other() {
    let settings = PipelineSettings { batch_rows: 8, ..PipelineSettings::default() };
    let (rig, gate) = Rig::held(&settings);
    let blocker = rig.spawn(job("z", &["blocker"]));
    rig.batches(1).await;
    let mut tasks = Vec::new();
    for (issue, patch) in [("one", "a1"), ("two", "b1"), ("one", "a2"), ("two", "b2")] {
        let before = rig.pipeline.waiting().0;
        tasks.push(rig.spawn(job(issue, &[patch])));
        rig.waiting(before + 1).await;
    }
    gate.add_permits(10);
    blocker.await.unwrap().unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(rig.mock.seen()[1], ["a1", "a2", "b1", "b2"]);
}
