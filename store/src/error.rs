//! Why an operation of the store failed.

use std::borrow::Cow;

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why an operation of the store failed. The message never contains a password or a stored payload.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record that the caller named does not exist.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// The kind of record, such as `selection`.
        what: &'static str,
        /// The identifier that was asked for.
        id: String,
    },
    /// The record is not in the state that the operation needs: an id is taken, a lease or a claim was lost, a job
    /// has ended. Trying again does not help.
    #[error("{what} {id}: {detail}")]
    Conflict {
        /// The kind of record.
        what: &'static str,
        /// Its identifier.
        id: String,
        /// What stands in the way.
        detail: String,
    },
    /// The database cannot serve now: locked by another process, out of connections, restarting, out of space.
    /// Trying again later can help (answer 503 with Retry-After). Nothing was written, unless the connection broke
    /// while PostgreSQL committed: then it may have been, and the same ids give `Conflict` the next time.
    #[error("the database is not available: {detail}")]
    Unavailable {
        /// What happened.
        detail: String,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Box<sqlx::Error>>,
    },
    /// What the database holds cannot be read back: a damaged file, or a row that no version of this program wrote.
    #[error("stored {what} cannot be read: {detail}")]
    Corrupt {
        /// What was read, such as `candidate 1f0c…`.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The caller's input cannot be stored.
    #[error("{field}: {detail}")]
    Invalid {
        /// The input's field.
        field: &'static str,
        /// What is wrong with it and what would be right.
        detail: String,
    },
    /// The database refused a statement for a reason that trying again does not cure: a schema that does not match
    /// this program, missing privileges, or a defect here.
    #[error("the database refused the operation: {detail}")]
    Failed {
        /// What happened.
        detail: String,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Box<sqlx::Error>>,
    },
}

impl StoreError {
    /// Whether the same call can succeed later without a change by the caller.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// A record that is not there.
    pub(crate) fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: format!("{id}") }
    }

    /// Input that cannot be stored.
    pub(crate) fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { field, detail: detail.into() }
    }

    /// A row that cannot be read.
    pub(crate) fn corrupt(what: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), detail: format!("{detail}") }
    }

    /// Whether a transaction that ended so may be run again at once: it lost against another one in PostgreSQL.
    pub(crate) fn is_serialization_failure(&self) -> bool {
        matches!(self.code().as_deref(), Some("40001" | "40P01"))
    }

    /// Whether another process has the SQLite file locked, for whatever detailed reason.
    pub(crate) fn is_locked(&self) -> bool {
        self.code().is_some_and(|code| code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)))
    }

    /// The database's code of a passing failure.
    fn code(&self) -> Option<Cow<'_, str>> {
        let Self::Unavailable { source: Some(source), .. } = self else { return None };
        source.as_database_error()?.code()
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        match &error {
            Error::Database(database) => {
                let detail = database.message().to_owned();
                if database.is_foreign_key_violation() {
                    return Self::NotFound { what: "referenced record", id: constraint(&**database) };
                }
                if database.is_unique_violation() {
                    let (what, id) = ("record", constraint(&**database));
                    return Self::Conflict { what, id, detail: "it exists already".to_owned() };
                }
                match classify(&**database) {
                    Kind::Retry => Self::Unavailable { detail, source: Some(Box::new(error)) },
                    Kind::Damaged => Self::Corrupt { what: "database file".to_owned(), detail },
                    Kind::Refused => Self::Failed { detail, source: Some(Box::new(error)) },
                }
            }
            Error::PoolTimedOut => Self::Unavailable {
                detail:
                    "no connection became free in time; raise the number of connections or lower the load"
                        .to_owned(),
                source: Some(Box::new(error)),
            },
            Error::Io(_) | Error::Tls(_) | Error::PoolClosed | Error::WorkerCrashed | Error::BeginFailed => {
                Self::Unavailable { detail: error.to_string(), source: Some(Box::new(error)) }
            }
            Error::ColumnDecode { index, source } => Self::corrupt(format!("column {index}"), source),
            _ => Self::Failed { detail: error.to_string(), source: Some(Box::new(error)) },
        }
    }
}

/// What the database names as the reason of a constraint's failure.
fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned)
}

enum Kind {
    Retry,
    Damaged,
    Refused,
}

/// Sorts an error by its code: SQLSTATE on PostgreSQL (five characters), extended result code on SQLite.
fn classify(error: &dyn sqlx::error::DatabaseError) -> Kind {
    let Some(code) = error.code() else { return Kind::Refused };
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // The low byte is the primary code: BUSY 5, LOCKED 6, IOERR 10, CORRUPT 11, FULL 13, CANTOPEN 14, NOTADB 26.
        return match code.parse::<u32>().unwrap_or(0) & 0xff {
            5 | 6 | 10 | 13 | 14 => Kind::Retry,
            11 | 26 => Kind::Damaged,
            _ => Kind::Refused,
        };
    }
    match &code[..code.len().min(2)] {
        // Connection trouble, serialisation failure or deadlock, out of resources, operator intervention (shutdown,
        // statement timeout), lock not available.
        "08" | "40" | "53" | "57" => Kind::Retry,
        "55" if code == "55P03" => Kind::Retry,
        // XX001 and XX002: data or index corrupted.
        "XX" if code != "XX000" => Kind::Damaged,
        _ => Kind::Refused,
    }
}
