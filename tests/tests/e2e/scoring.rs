//! The verifier as a process of its own.

use crate::support::run_in;

#[test]
fn wrong_models_are_explained_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (set, words) in [
        ("models.active=nope", "there is no model `nope`"),
        ("models.available=x=y:z", "there is no back end `y`"),
        ("models.available=active=burn:/m", "cannot be a model's name"),
    ] {
        let ran = run_in(dir.path(), &["serve", "verifier", "--bind", "127.0.0.1:0", "--set", set]);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(words), "{set}: {}", ran.err);
    }
}
