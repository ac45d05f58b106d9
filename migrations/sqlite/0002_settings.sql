-- Same table as migrations/postgres/0002_settings.sql.
-- What is decided at run time and must outlast a restart, such as which model scores. The version rises with every
-- change, so that of two that decide at once one sees that it came late.

CREATE TABLE settings (
    key        TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    value      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
