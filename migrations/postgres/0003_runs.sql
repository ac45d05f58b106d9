-- Same tables as migrations/sqlite/0003_runs.sql.
-- What training runs leave behind besides their job: what happened, numbered without gaps from 1 so that a reader can go
-- on where it stopped, and the checkpoints that are on the disk.

CREATE TABLE run_events (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    seq BIGINT NOT NULL CHECK (seq > 0),
    attempt BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE checkpoints (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    step BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    best BOOLEAN NOT NULL,
    path TEXT NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
);
