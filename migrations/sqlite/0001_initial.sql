-- Same tables as migrations/postgres/0001_initial.sql.
-- Times are microseconds since 1970 (UTC). Ids are text. BLOB columns named payload, patch, text, results,
-- response and detail hold the self-describing encoding of store::blob (one byte codec, then the bytes).
-- Large columns come last in their table, so that reading the small ones does not walk their overflow pages.

CREATE TABLE issues (
    instance_id TEXT    NOT NULL PRIMARY KEY,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    text_hash   TEXT,
    text        BLOB
) STRICT;

CREATE TABLE candidates (
    id          TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    instance_id TEXT    NOT NULL REFERENCES issues (instance_id),
    source      TEXT    NOT NULL,
    exit        TEXT    NOT NULL,
    steps       INTEGER,
    turns       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    prompt_id   TEXT,
    created_at  INTEGER NOT NULL,
    patch       BLOB,
    payload     BLOB    NOT NULL
) STRICT;
CREATE INDEX candidates_by_issue ON candidates (instance_id, id);

CREATE TABLE selections (
    id              TEXT    NOT NULL PRIMARY KEY,
    instance_id     TEXT    NOT NULL REFERENCES issues (instance_id),
    policy          TEXT    NOT NULL,
    chosen          TEXT,
    chosen_content  TEXT    REFERENCES candidates (id),
    confidence      REAL,
    abstained       INTEGER NOT NULL CHECK (abstained IN (0, 1)),
    candidate_count INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    request         TEXT    NOT NULL,
    result          TEXT    NOT NULL
) STRICT;
CREATE INDEX selections_by_time ON selections (created_at, id);
CREATE INDEX selections_by_issue ON selections (instance_id, created_at, id);
CREATE INDEX selections_by_policy ON selections (policy, created_at, id);

CREATE TABLE selection_candidates (
    selection_id TEXT    NOT NULL REFERENCES selections (id),
    candidate_id TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    content_id   TEXT    NOT NULL REFERENCES candidates (id),
    PRIMARY KEY (selection_id, candidate_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE test_runs (
    id           TEXT    NOT NULL PRIMARY KEY,
    instance_id  TEXT    NOT NULL REFERENCES issues (instance_id),
    content_id   TEXT    REFERENCES candidates (id),
    selection_id TEXT    REFERENCES selections (id),
    candidate_id TEXT,
    kind         TEXT    NOT NULL,
    suite        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    results      BLOB    NOT NULL
) STRICT;
CREATE INDEX test_runs_by_candidate ON test_runs (instance_id, content_id);
CREATE INDEX test_runs_by_selection ON test_runs (selection_id) WHERE selection_id IS NOT NULL;

CREATE TABLE scores (
    content_id  TEXT    NOT NULL REFERENCES candidates (id),
    revision    TEXT    NOT NULL,
    probability REAL,
    logit       REAL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (content_id, revision)
) STRICT, WITHOUT ROWID;

-- Every report, in full; labels is the latest of each candidate.
CREATE TABLE outcomes (
    id           TEXT    NOT NULL PRIMARY KEY,
    content_id   TEXT    NOT NULL REFERENCES candidates (id),
    selection_id TEXT    REFERENCES selections (id),
    resolved     INTEGER CHECK (resolved IN (0, 1)),
    reward       REAL,
    source       TEXT    NOT NULL,
    reported_at  INTEGER NOT NULL,
    detail       BLOB
) STRICT;
CREATE INDEX outcomes_by_candidate ON outcomes (content_id, reported_at, id);

CREATE TABLE labels (
    content_id  TEXT    NOT NULL PRIMARY KEY REFERENCES candidates (id),
    instance_id TEXT    NOT NULL,
    outcome_id  TEXT    NOT NULL REFERENCES outcomes (id),
    resolved    INTEGER CHECK (resolved IN (0, 1)),
    reward      REAL,
    source      TEXT    NOT NULL,
    reported_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_issue ON labels (instance_id, content_id);

-- status is null while the request is being worked on.
CREATE TABLE idempotency_keys (
    scope      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    claim_id   TEXT    NOT NULL,
    claimed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    status     INTEGER,
    headers    TEXT,
    response   BLOB,
    PRIMARY KEY (scope, key)
) STRICT;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE api_tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    hash         TEXT    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE jobs (
    id               TEXT    NOT NULL PRIMARY KEY,
    kind             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead', 'cancelled')),
    attempts         INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL CHECK (max_attempts > 0),
    run_after        INTEGER NOT NULL,
    lease_until      INTEGER,
    worker           TEXT,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    error            TEXT,
    progress         TEXT,
    result           TEXT,
    payload          TEXT    NOT NULL,
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
) STRICT;
CREATE INDEX jobs_queued ON jobs (kind, run_after, id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_time ON jobs (created_at, id);
