//! Files of runs.

use std::sync::Arc;

use crate::{
    fake::{Fake, Mood},
    support::{App, place, run},
};

#[tokio::test]
async fn files_are_listed_and_sent_and_none_lies_outside() {
    let (folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let path = app.create(&run(2)).await;
    app.until_state(&path, "done").await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    std::fs::write(app.folder(&path).join("large.bin"), &large).unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), app.folder(&path).join("link")).unwrap();
    std::fs::write(app.folder(&path).join(".hidden"), "h").unwrap();

    let listed = app.get(&format!("{path}/artifacts")).await.ok();
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["checkpoint-2/model.safetensors", "large.bin", "state"]);
    let weights = app.get(&format!("{path}/artifacts/checkpoint-2/model.safetensors")).await;
    assert_eq!((weights.status.as_u16(), weights.text.as_str()), (200, "weights of step 2"));
    assert_eq!(weights.headers["content-disposition"], "attachment");
    let sent = app.client.get(format!("{}{path}/artifacts/large.bin", app.url)).send().await.unwrap();
    assert_eq!(sent.bytes().await.unwrap(), large);
    let checkpoints = app.get(&format!("{path}/checkpoints")).await.ok();
    assert_eq!(checkpoints["data"][0]["files"][0]["path"], "checkpoint-2/model.safetensors");

    let outside = [
        "link",
        ".hidden",
        ".lock",
        "checkpoint-2",
        "nothing",
        "%2e%2e%2f%2e%2e%2fsecret",
        "..%2f..%2fsecret",
        "checkpoint-2%2f..%2f..%2f..%2fsecret",
        "%2fetc%2fpasswd",
    ];
    for name in outside {
        let answer = app.get(&format!("{path}/artifacts/{name}")).await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.text);
    }
    app.end().await;
}
