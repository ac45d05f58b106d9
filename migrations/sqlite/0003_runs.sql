-- Same tables as migrations/postgres/0003_runs.sql.
-- What training runs leave behind besides their job: what happened, numbered without gaps from 1 so that a reader can go
-- on where it stopped, and the checkpoints that are on the disk.

CREATE TABLE run_events (
    run_id  TEXT    NOT NULL REFERENCES jobs (id),
    seq     INTEGER NOT NULL CHECK (seq > 0),
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    run_id     TEXT    NOT NULL REFERENCES jobs (id),
    step       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    best       INTEGER NOT NULL CHECK (best IN (0, 1)),
    path       TEXT    NOT NULL,
    metrics    TEXT    NOT NULL,
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
