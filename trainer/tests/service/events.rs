//! The stream of events.

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;

use crate::{
    fake::{Fake, Mood},
    support::{App, kinds, place, run},
};

#[tokio::test]
async fn a_stream_tells_everything_and_ends_with_the_run() {
    let (_folder, settings) = place();
    let engine = Arc::new(Fake::new([Mood::Slow]));
    let app = App::start(&settings, Arc::clone(&engine) as _).await;
    let path = app.create(&run(3)).await;
    app.until_state(&path, "running").await;
    let stream = app.client.get(format!("{}{path}/events", app.url)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    engine.permits.store(100, Ordering::Release);
    let text = stream.text().await.unwrap();
    let told = kinds(&text, 1);
    let expected =
        ["started", "planned", "step", "step", "checkpoint", "step", "checkpoint", "finished", "ended"];
    assert_eq!(told, expected, "{text}");
    assert!(text.contains("event: state") && text.contains(r#""state":"done""#), "{text}");
    assert!(text.contains(r#""loss":0.5"#) && text.contains(r#""attempt":1"#), "{text}");

    let later = app.client.get(format!("{}{path}/events?after=2", app.url)).send().await.unwrap();
    assert_eq!(kinds(&later.text().await.unwrap(), 3), expected[2..]);
    let resumed = app.client.get(format!("{}{path}/events?after=2", app.url)).header("last-event-id", "7");
    assert_eq!(kinds(&resumed.send().await.unwrap().text().await.unwrap(), 8), expected[7..]);
    let known = app.client.get(format!("{}{path}/events", app.url)).header("last-event-id", "9");
    assert_eq!(known.send().await.unwrap().status(), 204);
    let odd = app.client.get(format!("{}{path}/events", app.url)).header("last-event-id", "x");
    assert_eq!(odd.send().await.unwrap().status(), 422);
    let missing = "/v1/runs/01a20440-24e7-7433-92ed-c31d42a80725/events";
    app.get(missing).await.problem(404, "not-found");
    app.end().await;
}

#[tokio::test]
async fn another_process_tells_the_same() {
    let (_folder, mut settings) = place();
    let engine = Arc::new(Fake::new([Mood::Fine]));
    let worker = App::start(&settings, Arc::clone(&engine) as _).await;
    settings.trainer.workers = 0;
    let front = App::start(&settings, engine).await;
    let path = front.create(&run(2)).await;
    let text = front.get(&format!("{path}/events")).await.text;
    assert_eq!(kinds(&text, 1), ["started", "planned", "step", "step", "checkpoint", "finished", "ended"]);
    front.end().await;
    worker.end().await;
}

#[tokio::test]
async fn streams_do_not_hold_a_shutdown_up() {
    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Slow]))).await;
    let path = app.create(&run(2)).await;
    app.until_state(&path, "running").await;
    let mut stream = app.client.get(format!("{}{path}/events", app.url)).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let read = tokio::spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    app.end().await;
    read.await.unwrap();
}

#[tokio::test]
async fn a_run_of_many_events_is_told_in_full() {
    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let path = app.create(&run(501)).await;
    app.until_state(&path, "done").await;
    let told = kinds(&app.get(&format!("{path}/events")).await.text, 1);
    assert_eq!(told.iter().filter(|kind| *kind == "step").count(), 501);
    let run = app.get(&path).await.ok();
    assert_eq!(run["progress"]["step"], json!(501));
    app.end().await;
}
