//! A statement with its arguments, and the rows that come back, for either database.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Decode, Encode, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, Type};

use crate::{ContentId, Result, StoreError, Tenant, Timestamp};

/// An argument. `None` is a NULL of that type.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Real(Option<f64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// A statement and its arguments.
#[derive(Debug)]
pub struct Statement {
    pub(crate) sql: SqlStr,
    pub(crate) args: Vec<Value>,
    /// In a write: undo everything and fail with this unless exactly one row comes back.
    pub(crate) or_else: Option<StoreError>,
}

impl Statement {
    /// A statement about records of one tenant, which is parameter 1.
    pub(crate) fn of(tenant: &Tenant, sql: &'static str) -> Self {
        Self::wide(sql).bind(tenant)
    }

    /// The same with a text that was put together from fixed pieces; values go in with [`bind`](Self::bind) only.
    pub(crate) fn of_built(tenant: &Tenant, sql: String) -> Self {
        Self::wide_built(sql).bind(tenant)
    }

    /// A statement about no tenant's records, or all tenants': what the deployment shares, and the work on jobs.
    pub(crate) fn wide(sql: &'static str) -> Self {
        Self { sql: sql.into_sql_str(), args: Vec::new(), or_else: None }
    }

    /// The same with a text that was put together from fixed pieces.
    pub(crate) fn wide_built(sql: String) -> Self {
        Self { sql: AssertSqlSafe(sql).into_sql_str(), args: Vec::new(), or_else: None }
    }

    #[must_use]
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Fails the whole write unless this statement returns one row.
    #[must_use]
    pub(crate) fn or_else(mut self, error: StoreError) -> Self {
        self.or_else = Some(error);
        self
    }

    /// Checks the rows against the expectation.
    pub(crate) fn check(or_else: Option<StoreError>, rows: &[Row]) -> Result<()> {
        match or_else {
            Some(error) if rows.len() != 1 => Err(error),
            _ => Ok(()),
        }
    }
}

/// Arguments for PostgreSQL; borrows, so that the write can be run again.
pub(crate) fn postgres_arguments(values: &[Value]) -> Result<PgArguments> {
    let mut out = PgArguments::default();
    for value in values {
        match value {
            Value::Int(v) => add(&mut out, v),
            Value::Real(v) => add(&mut out, v),
            Value::Bool(v) => add(&mut out, v),
            Value::Text(v) => add(&mut out, v.as_deref()),
            Value::Bytes(v) => add(&mut out, v.as_deref()),
        }?;
    }
    Ok(out)
}

/// Arguments for SQLite; moves, because its worker thread has to own them.
pub(crate) fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments> {
    let mut out = SqliteArguments::default();
    for value in values {
        match value {
            Value::Int(v) => add(&mut out, v),
            Value::Real(v) => add(&mut out, v),
            Value::Bool(v) => add(&mut out, v),
            Value::Text(v) => add(&mut out, v),
            Value::Bytes(v) => add(&mut out, v),
        }?;
    }
    Ok(out)
}

fn add<'t, A: Arguments, T: Encode<'t, A::Database> + Type<A::Database>>(
    out: &mut A,
    value: T,
) -> Result<()> {
    out.add(value).map_err(|error| StoreError::Failed { detail: format!("argument: {error}"), source: None })
}

/// A row that came back.
#[derive(Debug)]
pub enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// A type that both databases can give.
pub(crate) trait Column:
    for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + Type<Sqlite>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + Type<Sqlite>
{
}

impl Row {
    /// The value of a column.
    pub(crate) fn get<T: Column>(&self, column: &str) -> Result<T> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
        .map_err(StoreError::from)
    }
}

macro_rules! value_from {
    ($($kind:ident: $type:ty, $value:ident => $convert:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::$kind(Some($convert))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map(|$value: $type| $convert))
            }
        }
    )*};
}

value_from! {
    Int: i64, v => v;
    Int: u32, v => i64::from(v);
    Int: Timestamp, v => v.0;
    Real: f64, v => v;
    Bool: bool, v => v;
    Text: String, v => v;
    Text: &str, v => v.to_owned();
    Text: &Tenant, v => v.as_str().to_owned();
    Text: ContentId, v => v.to_string();
    Text: uuid::Uuid, v => v.to_string();
    Bytes: Vec<u8>, v => v;
}
