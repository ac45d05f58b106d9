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

/// Refuses a database that lacks a migration, or that another program made.
pub(crate) fn require(states: &[MigrationState]) -> Result<()> {
    refuse_foreign(states)?;
    match first(states, Migration::Pending) {
        Some(version) => {
            Err(unusable(&format!("its schema lacks migration {version}: run `entropo migrate`")))
        }
        None => Ok(()),
    }
}

/// Refuses a database with migrations that are not this program's.
pub(crate) fn refuse_foreign(states: &[MigrationState]) -> Result<()> {
    if let Some(version) = first(states, Migration::Changed) {
        let detail = format!("its migration {version} is not this program's: use the version that made it");
        return Err(unusable(&detail));
    }
    if let Some(version) = first(states, Migration::Unknown) {
        let detail = format!(
            "it has migration {version}, which this program does not know: use the newer version that made it"
        );
        return Err(unusable(&detail));
    }
    Ok(())
}

fn first(states: &[MigrationState], state: Migration) -> Option<i64> {
    states.iter().find(|migration| migration.state == state).map(|migration| migration.version)
}

fn unusable(detail: &str) -> StoreError {
    StoreError::Failed { detail: format!("the database cannot be used: {detail}"), source: None }
}

/// The reason of a migration's failure.
pub(crate) fn error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Failed { detail: format!("migration: {other}"), source: None },
    }
}
