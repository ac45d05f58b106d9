//! Which migrations there are and which were applied.

use sqlx::migrate::{MigrateError, Migrator};

use crate::sql::Row;
use crate::{Result, StoreError};

/// The migrations that a database has seen. sqlx makes and fills this table.
pub(crate) const APPLIED: &str = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";

/// A migration and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number.
    pub version: i64,
    /// What it is called; empty for one that this program does not know.
    pub description: String,
    /// Where it stands.
    pub state: Migration,
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// Known and not applied.
    Pending,
    /// Applied as this program knows it.
    Applied,
    /// Applied with another text than this program knows: the database was made by a different build.
    Changed,
    /// Applied and not known: the database was made by a newer version.
    Unknown,
}

/// Compares what is known with what was applied.
pub(crate) fn states(known: &Migrator, applied: &[Row]) -> Result<Vec<MigrationState>> {
    let mut seen = Vec::new();
    for row in applied {
        if row.get::<bool>("success")? {
            seen.push((row.get::<i64>("version")?, row.get::<Vec<u8>>("checksum")?));
        }
    }
    let mut states: Vec<MigrationState> = known
        .iter()
        .map(|migration| {
            let found = seen.iter().find(|(version, _)| *version == migration.version);
            MigrationState {
                version: migration.version,
                description: migration.description.to_string(),
                state: match found {
                    None => Migration::Pending,
                    Some((_, checksum)) if **checksum == *migration.checksum => Migration::Applied,
                    Some(_) => Migration::Changed,
                },
            }
        })
        .collect();
    for (version, _) in seen {
        if !known.version_exists(version) {
            states.push(MigrationState { version, description: String::new(), state: Migration::Unknown });
        }
    }
    states.sort_by_key(|state| state.version);
    Ok(states)
}

/// Refuses a database whose schema is not the one that this program works with.
pub(crate) fn require(states: &[MigrationState]) -> Result<()> {
    let with = |state| states.iter().filter(move |migration| migration.state == state).map(|m| m.version);
    let detail = if let Some(version) = with(Migration::Pending).next() {
        format!("its schema lacks migration {version}: run `entropo migrate`")
    } else if let Some(version) = with(Migration::Changed).next() {
        format!("its migration {version} is not the one of this program: use the version that made it")
    } else if let Some(version) = with(Migration::Unknown).next() {
        format!(
            "it has migration {version}, which this program does not know: use the newer version that made it"
        )
    } else {
        return Ok(());
    };
    Err(StoreError::Failed { detail: format!("the database cannot be used: {detail}"), source: None })
}

/// The reason of a migration's failure.
pub(crate) fn error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Failed { detail: format!("migration: {other}"), source: None },
    }
}
