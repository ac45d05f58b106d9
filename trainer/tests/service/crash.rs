//! Workers that vanish.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use server::Span;

use crate::{
    fake::{Fake, Mood},
    support::{App, kinds, place, run},
};

#[test]
fn another_worker_goes_on_and_never_beside_the_first() {
    let (_folder, mut settings) = place();
    settings.trainer.lease = Span(Duration::from_millis(300));
    // It hears of nothing, as a process that is paused.
    let engine = Arc::new(Fake::new([Mood::Deaf, Mood::Fine]));
    let first = tokio::runtime::Runtime::new().unwrap();
    let path = first.block_on(async {
        let app = App::start(&settings, Arc::clone(&engine) as _).await;
        let path = app.create(&run(8)).await;
        engine.permits.store(3, Ordering::Release);
        app.until(&path, |run| run["progress"]["step"] == 3).await;
        path
    });
    // No heartbeat any more, but the thread that trains still holds its folder.
    first.shutdown_background();

    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        let app = App::start(&settings, Arc::clone(&engine) as _).await;
        let run = app.until(&path, |run| run["attempts"] == 2).await;
        assert_eq!(run["state"], "running");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(engine.attempts.load(Ordering::Acquire), 1, "the folder is not free yet");
        engine.permits.store(1, Ordering::Release);
        let done = app.until_state(&path, "done").await;
        assert_eq!((done["attempts"].clone(), done["result"]["step"].clone()), (2.into(), 8.into()));
        assert_eq!(engine.most.load(Ordering::Acquire), 1);
        let told = app.get(&format!("{path}/events")).await.text;
        let kinds = kinds(&told, 1);
        assert_eq!(kinds.iter().filter(|kind| *kind == "started").count(), 2, "{told}");
        assert!(kinds.contains(&"resumed".to_owned()), "{told}");
        app.end().await;
    });
}

#[tokio::test]
async fn a_service_that_stops_gives_its_run_back() {
    let (_folder, mut settings) = place();
    settings.trainer.attempts = 1;
    let engine = Arc::new(Fake::new([Mood::Slow, Mood::Slow, Mood::Fine]));
    let mut path = String::new();
    for stopped in 0..2 {
        let app = App::start(&settings, Arc::clone(&engine) as _).await;
        if stopped == 0 {
            path = app.create(&run(6)).await;
        }
        engine.permits.store(1, Ordering::Release);
        app.until(&path, |run| run["progress"]["step"] == stopped + 1).await;
        app.end().await;
    }
    let app = App::start(&settings, engine).await;
    let done = app.until_state(&path, "done").await;
    assert_eq!(done["attempts"], 3, "being given back is no failure");
    app.end().await;
}
