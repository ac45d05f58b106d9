//! Running the program and talking to services that it starts.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program, without the caller's configuration.
pub(crate) fn entropo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entropo-under-test"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENTROPO_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Fails the test unless the program succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Standard output as JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok().out).unwrap()
    }
}

/// Runs the program in a folder.
pub(crate) fn run_in(folder: &Path, args: &[&str]) -> Ran {
    let output = entropo().args(args).current_dir(folder).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program in the workspace.
pub(crate) fn run(args: &[&str]) -> Ran {
    run_in(&workspace(), args)
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A service in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
}

impl Service {
    /// Starts `entropo up` in a folder on a free port, and waits until it listens.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = entropo()
            .args(["up", "--bind", "127.0.0.1:0"])
            .args(args)
            .current_dir(folder)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = Vec::new();
        let url = loop {
            let Some(line) = lines.next() else { panic!("the service ended: {seen:?}") };
            if let Some(rest) = line.strip_prefix("selector at ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
            seen.push(line);
        };
        // Its log must be read on, or the pipe fills and the service stops.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        request(reqwest::Client::new().get(format!("{}{path}", self.url)))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = request(reqwest::Client::new().post(format!("{}{path}", self.url)).json(body));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and gives the status and the body.
pub(crate) fn request(request: reqwest::RequestBuilder) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    })
}

/// A patch that changes one line of one file.
pub(crate) fn patch(file: &str, line: &str) -> String {
    format!(
        "diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n a = 1\n-b = 2\n+{line}\n c = 3\n"
    )
}
