//! Services in processes of their own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a service may take to listen, or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// How to start a service, again and again at the same address.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    program: PathBuf,
    folder: PathBuf,
    args: Vec<String>,
}

impl Recipe {
    /// `entropo serve KIND` in a folder, with settings as `key=value`.
    pub(crate) fn new(
        program: &Path,
        folder: &Path,
        name: &str,
        kind: &str,
        database: &str,
        settings: &[String],
    ) -> Result<Self> {
        let addr = free_address()?;
        let fixed =
            ["serve", kind, "--bind", &addr.to_string(), "--database", database, "--log-format", "json"];
        let mut args = fixed.map(str::to_owned).to_vec();
        for setting in settings {
            args.extend(["--set".to_owned(), setting.clone()]);
        }
        Ok(Self { name: name.to_owned(), addr, program: program.to_owned(), folder: folder.to_owned(), args })
    }

    /// Starts it without waiting for anything.
    pub(crate) fn spawn(&self) -> Result<Service> {
        let log = self.folder.join(format!("{}.log", self.name));
        let log = File::options().create(true).append(true).open(&log)?;
        let child = bare(&self.program)
            .args(&self.args)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Service { child, name: self.name.clone(), addr: self.addr })
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&self) -> Result<Service> {
        let mut service = self.spawn()?;
        service.listens().await.with_context(|| format!("its log is {}", self.log().display()))?;
        Ok(service)
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

/// A program without the caller's configuration.
pub(crate) fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENTROPO_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A service that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
}

impl Service {
    /// Waits until it accepts connections.
    pub(crate) async fn listens(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} instead of listening", self.name);
            }
            if start.elapsed() > PATIENCE {
                bail!("{} does not listen after {PATIENCE:?}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if !status.success() {
            bail!("cannot send SIGTERM to {}", self.name);
        }
        Ok(())
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                bail!("{} does not end after {PATIENCE:?}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory now and at its highest, in MiB.
    pub(crate) fn memory(&self) -> Option<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
        };
        Some((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Open files.
    pub(crate) fn files(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now; below the range from which connections get theirs, so that none takes it meanwhile.
pub(crate) fn free_address() -> Result<SocketAddr> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + (std::process::id() % 9_000) as u16;
    for _ in 0..2000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no free port between {base} and {}", base + 2000)
}
