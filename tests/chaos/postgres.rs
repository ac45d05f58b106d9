//! The PostgreSQL that `.ci/postgres.sh` started: fresh databases, and being stopped, started and cut off.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

/// A server, and the means to stop it where this machine runs it for us.
#[derive(Debug)]
pub(crate) struct Postgres {
    url: String,
    /// Its programs, folder and user; absent for a server that is not ours to stop.
    own: Option<Own>,
    made: AtomicU32,
}

#[derive(Debug)]
struct Own {
    bin: PathBuf,
    folder: PathBuf,
    user: String,
}

impl Postgres {
    /// What the environment names, if it does.
    pub(crate) fn from_environment() -> Option<Self> {
        let url = std::env::var("DATABASE_URL").ok().filter(|url| url.starts_with("postgres"))?;
        let own = || {
            Some(Own {
                bin: std::env::var_os("ENTROPO_PG_BIN")?.into(),
                folder: std::env::var_os("ENTROPO_PG_DIR")?.into(),
                user: std::env::var("ENTROPO_PG_USER").ok()?,
            })
        };
        Some(Self { url, own: own(), made: AtomicU32::new(0) })
    }

    /// Whether it can be stopped.
    pub(crate) fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn fresh(&self) -> Result<String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaos_{}_{number}", std::process::id());
        self.query(&format!("CREATE DATABASE {name}"))?;
        let (server, _) = self.url.rsplit_once('/').context("DATABASE_URL names no database")?;
        Ok(format!("{server}/{name}"))
    }

    /// What a query gives, as `psql` prints it bare.
    pub(crate) fn query(&self, sql: &str) -> Result<String> {
        let psql = self.own.as_ref().map_or_else(|| "psql".into(), |own| own.bin.join("psql"));
        let output = Command::new(&psql)
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", sql])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", psql.display()))?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Connections to the database of a URL.
    pub(crate) fn connections(&self, url: &str) -> Result<usize> {
        let (_, name) = url.rsplit_once('/').context("the URL names no database")?;
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
        self.query(&sql)?.parse().context("psql printed no number")
    }

    /// Cuts every connection to the database of a URL; says how many there were.
    pub(crate) fn cut(&self, url: &str) -> Result<usize> {
        let (_, name) = url.rsplit_once('/').context("the URL names no database")?;
        let sql =
            format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
        self.query(&sql)?.parse().context("psql printed no number")
    }

    /// Stops the server: what runs in it is broken off.
    pub(crate) fn stop(&self) -> Result<()> {
        self.control(&["-m", "fast", "-w", "stop"])
    }

    /// Starts it again where it was.
    pub(crate) fn start(&self) -> Result<()> {
        let own = self.own.as_ref().context("this PostgreSQL is not ours to start")?;
        let port = self.url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()).unwrap_or("5432");
        let folder = own.folder.display();
        let options =
            format!("-p {port} -h 127.0.0.1 -k {folder} -c max_connections=200 -c shared_buffers=128MB");
        let log = own.folder.join("log");
        let log = log.to_string_lossy();
        self.control(&["-w", "-t", "60", "-l", &log, "-o", &options, "start"])
    }

    fn control(&self, args: &[&str]) -> Result<()> {
        let own = self.own.as_ref().context("this PostgreSQL is not ours to stop")?;
        let program = own.bin.join("pg_ctl");
        let data = own.folder.join("data");
        let by_root = own.user != std::env::var("USER").unwrap_or_default() && is_root();
        let mut command = if by_root {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={}", own.user)).args(["--clear-groups", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let status = command
            .arg("-D")
            .arg(&data)
            .args(args)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot run pg_ctl")?;
        if !status.success() {
            bail!("pg_ctl {} failed; its log is in {}", args.join(" "), own.folder.display());
        }
        Ok(())
    }
}

/// Whether this process may become other users.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}
