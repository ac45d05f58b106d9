//! README's first command.

use std::net::TcpListener;

use crate::support::run_in;

#[test]
fn it_picks_through_the_service_and_ends_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_in(dir.path(), &["demo", "--exit", "--bind", "127.0.0.1:0"]).ok();
    for part in [
        "harbour__ratelimit-23",
        "inkwell__inkwell-112",
        "tidepool__tidepool-58",
        "probability",
        "verifier: linear@",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
    assert!(dir.path().join("entropo-data/entropo.db").is_file(), "the selections are kept");
    // What it kept is there for the next start.
    run_in(dir.path(), &["demo", "--exit", "--bind", "127.0.0.1:0"]).ok();
}

#[test]
fn a_busy_port_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = busy.local_addr().unwrap().to_string();
    let ran = run_in(dir.path(), &["demo", "--exit", "--bind", &addr]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(&addr) && ran.err.contains("--bind"), "{}", ran.err);
}
