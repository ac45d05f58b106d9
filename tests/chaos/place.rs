//! What a scenario is given: programs, databases, folders.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::postgres::Postgres;

/// What services keep their records in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl FromStr for Database {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err("is `sqlite` or `postgres`".to_owned()),
        }
    }
}

impl Database {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The wishes of the command line.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) program: PathBuf,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) database: Option<Database>,
    pub(crate) quick: bool,
    pub(crate) kills: usize,
    pub(crate) soak: Duration,
    pub(crate) outage: Duration,
    pub(crate) connections: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) folder: Folder,
}

impl Context {
    /// The databases that a scenario is to be run on.
    pub(crate) fn databases(&self) -> Vec<Database> {
        match (self.database, &self.postgres) {
            (Some(one), _) => vec![one],
            (None, Some(_)) => vec![Database::Postgres, Database::Sqlite],
            (None, None) => vec![Database::Sqlite],
        }
    }

    /// The better one, where one is enough.
    pub(crate) fn one_database(&self) -> Database {
        self.databases()[0]
    }

    /// A fresh database for the services of one scenario, in its folder where it is a file.
    pub(crate) fn url(&self, database: Database, folder: &Path) -> Result<String> {
        match (database, &self.postgres) {
            (Database::Sqlite, _) => Ok(format!("sqlite://{}", folder.join("chaos.db").display())),
            (Database::Postgres, Some(postgres)) => postgres.fresh(),
            (Database::Postgres, None) => bail!("there is no PostgreSQL: set DATABASE_URL"),
        }
    }
}

/// The folder of all scenarios; deleted at the end unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep: Cell<bool>,
}

impl Folder {
    pub(crate) fn new(keep: bool) -> Result<Self> {
        let path = tempfile::Builder::new().prefix("entropo-chaos.").tempdir()?.keep();
        Ok(Self { path, keep: Cell::new(keep) })
    }

    /// A folder for one scenario.
    pub(crate) fn sub(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Leaves it there, for the logs.
    pub(crate) fn keep(&self) {
        self.keep.set(true);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep.get() {
            crate::report::say(&format!("chaos: the services' logs are in {}", self.path.display()));
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The program under test: named, or built beside this one.
pub(crate) fn program(named: Option<PathBuf>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("entropo-under-test"),
    };
    path.canonicalize().with_context(|| {
        format!("there is no program {}; build it: cargo build -p tests --bins", path.display())
    })
}

/// The workspace, for its fixtures.
pub(crate) fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
