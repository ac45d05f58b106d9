-- Same table as migrations/sqlite/0002_settings.sql.
-- What is decided at run time and must outlast a restart, such as which model scores. The version rises with every
-- change, so that of two that decide at once one sees that it came late.

CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    value TEXT NOT NULL
);
