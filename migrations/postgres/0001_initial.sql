-- Same tables as migrations/sqlite/0001_initial.sql.
-- Times are microseconds since 1970 (UTC). Ids are text. BYTEA columns named payload, patch, text, results,
-- response and detail hold the self-describing encoding of store::blob (one byte codec, then the bytes).
-- Text that is compared or ordered has collation "C": keyset cursors need the same byte order as SQLite's.
-- JSON is TEXT, not JSONB: JSONB refuses \u0000, which real trajectories contain.

CREATE TABLE issues (
    instance_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    text_hash TEXT COLLATE "C",
    text BYTEA
);

CREATE TABLE candidates (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES issues (instance_id),
    source TEXT COLLATE "C" NOT NULL,
    exit TEXT COLLATE "C" NOT NULL,
    steps BIGINT,
    turns BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    prompt_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    patch BYTEA,
    payload BYTEA NOT NULL
);
-- Already compressed where that pays: spare PostgreSQL the second try.
ALTER TABLE candidates ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE candidates ALTER COLUMN patch SET STORAGE EXTERNAL;
CREATE INDEX candidates_by_issue ON candidates (instance_id, id);

CREATE TABLE selections (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES issues (instance_id),
    policy TEXT COLLATE "C" NOT NULL,
    chosen TEXT COLLATE "C",
    chosen_content TEXT COLLATE "C" REFERENCES candidates (id),
    confidence DOUBLE PRECISION,
    abstained BOOLEAN NOT NULL,
    candidate_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    request TEXT NOT NULL,
    result TEXT NOT NULL
);
CREATE INDEX selections_by_time ON selections (created_at, id);
CREATE INDEX selections_by_issue ON selections (instance_id, created_at, id);
CREATE INDEX selections_by_policy ON selections (policy, created_at, id);

CREATE TABLE selection_candidates (
    selection_id TEXT COLLATE "C" NOT NULL REFERENCES selections (id),
    candidate_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    content_id TEXT COLLATE "C" NOT NULL REFERENCES candidates (id),
    PRIMARY KEY (selection_id, candidate_id)
);

CREATE TABLE test_runs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES issues (instance_id),
    content_id TEXT COLLATE "C" REFERENCES candidates (id),
    selection_id TEXT COLLATE "C" REFERENCES selections (id),
    candidate_id TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    suite TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    results BYTEA NOT NULL
);
CREATE INDEX test_runs_by_candidate ON test_runs (instance_id, content_id);
CREATE INDEX test_runs_by_selection ON test_runs (selection_id) WHERE selection_id IS NOT NULL;

CREATE TABLE scores (
    content_id TEXT COLLATE "C" NOT NULL REFERENCES candidates (id),
    revision TEXT COLLATE "C" NOT NULL,
    probability DOUBLE PRECISION,
    logit DOUBLE PRECISION,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (content_id, revision)
);

-- Every report, in full; labels is the latest of each candidate.
CREATE TABLE outcomes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    content_id TEXT COLLATE "C" NOT NULL REFERENCES candidates (id),
    selection_id TEXT COLLATE "C" REFERENCES selections (id),
    resolved BOOLEAN,
    reward DOUBLE PRECISION,
    source TEXT COLLATE "C" NOT NULL,
    reported_at BIGINT NOT NULL,
    detail BYTEA
);
CREATE INDEX outcomes_by_candidate ON outcomes (content_id, reported_at, id);

CREATE TABLE labels (
    content_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES candidates (id),
    instance_id TEXT COLLATE "C" NOT NULL,
    outcome_id TEXT COLLATE "C" NOT NULL REFERENCES outcomes (id),
    resolved BOOLEAN,
    reward DOUBLE PRECISION,
    source TEXT COLLATE "C" NOT NULL,
    reported_at BIGINT NOT NULL
);
CREATE INDEX labels_by_issue ON labels (instance_id, content_id);

-- status is null while the request is being worked on.
CREATE TABLE idempotency_keys (
    scope TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    body_hash TEXT COLLATE "C" NOT NULL,
    claim_id TEXT COLLATE "C" NOT NULL,
    claimed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    status BIGINT,
    headers TEXT,
    response BYTEA,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE api_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead', 'cancelled')),
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL CHECK (max_attempts > 0),
    run_after BIGINT NOT NULL,
    lease_until BIGINT,
    worker TEXT COLLATE "C",
    cancel_requested BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    error TEXT,
    progress TEXT,
    result TEXT,
    payload TEXT NOT NULL,
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
);
CREATE INDEX jobs_queued ON jobs (kind, run_after, id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_time ON jobs (created_at, id);
