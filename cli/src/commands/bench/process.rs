//! This program in processes of its own: a pool selection with its peak memory, and a service.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Figure;

/// Times `entropo select --pool` and watches its memory.
pub(super) fn select_pool(pool: &Path, folder: &Path, patches: usize, issues: usize) -> Result<Vec<Figure>> {
    let start = Instant::now();
    let mut child = this_program()?
        .args(["select", "--quiet", "--pool"])
        .arg(pool)
        .arg("--picks")
        .arg(folder.join("picks.jsonl"))
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start a second entropo")?;
    let mut peak = None;
    let status = loop {
        peak = peak_memory(child.id()).or(peak);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("select --pool {} failed", pool.display());
    }
    let mut figures = vec![Figure::new(
        format!("select --pool, {patches} patches of {issues} issues"),
        seconds,
        "s",
        "< 15 s",
    )];
    if let Some(bytes) = peak {
        figures.push(Figure::new("select --pool: peak memory", bytes as f64 / 1e6, "MB", "< 600 MB"));
    }
    Ok(figures)
}

/// The high-water mark of a process's resident memory in bytes, where the system tells it.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `entropo up` in a process of its own; killed when dropped.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    pub(super) url: String,
}

impl Service {
    pub(super) fn start(database: &str) -> Result<Self> {
        let mut child = this_program()?
            .args(["up", "--bind", "127.0.0.1:0", "--log-level", "error", "--database", database])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a second entropo")?;
        let stderr = child.stderr.take().context("standard error was asked for")?;
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let url =
            lines.find_map(|line| Some(line.strip_prefix("selector at ")?.split(' ').next()?.to_owned()));
        // Whatever it logs is read on, so that the pipe never fills.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(url) = url else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the service on {} did not start", database.split('@').next_back().unwrap_or_default());
        };
        Ok(Self { child, url })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without the caller's configuration, which might change what is measured.
fn this_program() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ENTROPO_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}
