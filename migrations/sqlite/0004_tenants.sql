-- Same changes as migrations/postgres/0004_tenants.sql.
-- Every record belongs to a tenant; what is there belongs to `default`. The tenant is part of the primary keys, and of
-- the foreign keys, so that no row can refer to another tenant's. Content ids and instance ids stay what they are: the
-- same content in two tenants is two rows, and whether the other one is there makes no difference to anything.
-- SQLite cannot change a key: tables are made anew, filled, and take the place of the old ones (children are dropped
-- before their parents, and renaming a table renames it in the foreign keys of others).

CREATE TABLE new_issues (
    tenant      TEXT    NOT NULL,
    instance_id TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    text_hash   TEXT,
    text        BLOB,
    PRIMARY KEY (tenant, instance_id)
) STRICT;
INSERT INTO new_issues SELECT 'default', instance_id, created_at, updated_at, text_hash, text FROM issues;

CREATE TABLE new_candidates (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL CHECK (length(id) = 32),
    instance_id TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    exit        TEXT    NOT NULL,
    steps       INTEGER,
    turns       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    prompt_id   TEXT,
    created_at  INTEGER NOT NULL,
    patch       BLOB,
    payload     BLOB    NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, instance_id) REFERENCES new_issues (tenant, instance_id)
) STRICT;
INSERT INTO new_candidates SELECT 'default', id, instance_id, source, exit, steps, turns, bytes, prompt_id, created_at,
    patch, payload FROM candidates;

CREATE TABLE new_selections (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    instance_id     TEXT    NOT NULL,
    policy          TEXT    NOT NULL,
    chosen          TEXT,
    chosen_content  TEXT,
    confidence      REAL,
    abstained       INTEGER NOT NULL CHECK (abstained IN (0, 1)),
    candidate_count INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    request         TEXT    NOT NULL,
    result          TEXT    NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, instance_id) REFERENCES new_issues (tenant, instance_id),
    FOREIGN KEY (tenant, chosen_content) REFERENCES new_candidates (tenant, id)
) STRICT;
INSERT INTO new_selections SELECT 'default', id, instance_id, policy, chosen, chosen_content, confidence, abstained,
    candidate_count, created_at, request, result FROM selections;

CREATE TABLE new_selection_candidates (
    tenant       TEXT    NOT NULL,
    selection_id TEXT    NOT NULL,
    candidate_id TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    content_id   TEXT    NOT NULL,
    PRIMARY KEY (tenant, selection_id, candidate_id),
    FOREIGN KEY (tenant, selection_id) REFERENCES new_selections (tenant, id),
    FOREIGN KEY (tenant, content_id) REFERENCES new_candidates (tenant, id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_selection_candidates SELECT 'default', selection_id, candidate_id, position, content_id
    FROM selection_candidates;

CREATE TABLE new_test_runs (
    tenant       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    instance_id  TEXT    NOT NULL,
    content_id   TEXT,
    selection_id TEXT,
    candidate_id TEXT,
    kind         TEXT    NOT NULL,
    suite        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    results      BLOB    NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, instance_id) REFERENCES new_issues (tenant, instance_id),
    FOREIGN KEY (tenant, content_id) REFERENCES new_candidates (tenant, id),
    FOREIGN KEY (tenant, selection_id) REFERENCES new_selections (tenant, id)
) STRICT;
INSERT INTO new_test_runs SELECT 'default', id, instance_id, content_id, selection_id, candidate_id, kind, suite,
    created_at, results FROM test_runs;

CREATE TABLE new_scores (
    tenant      TEXT    NOT NULL,
    content_id  TEXT    NOT NULL,
    revision    TEXT    NOT NULL,
    probability REAL,
    logit       REAL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, content_id, revision),
    FOREIGN KEY (tenant, content_id) REFERENCES new_candidates (tenant, id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_scores SELECT 'default', content_id, revision, probability, logit, created_at FROM scores;

CREATE TABLE new_outcomes (
    tenant       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    content_id   TEXT    NOT NULL,
    selection_id TEXT,
    resolved     INTEGER CHECK (resolved IN (0, 1)),
    reward       REAL,
    source       TEXT    NOT NULL,
    reported_at  INTEGER NOT NULL,
    detail       BLOB,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, content_id) REFERENCES new_candidates (tenant, id),
    FOREIGN KEY (tenant, selection_id) REFERENCES new_selections (tenant, id)
) STRICT;
INSERT INTO new_outcomes SELECT 'default', id, content_id, selection_id, resolved, reward, source, reported_at, detail
    FROM outcomes;

CREATE TABLE new_labels (
    tenant      TEXT    NOT NULL,
    content_id  TEXT    NOT NULL,
    instance_id TEXT    NOT NULL,
    outcome_id  TEXT    NOT NULL,
    resolved    INTEGER CHECK (resolved IN (0, 1)),
    reward      REAL,
    source      TEXT    NOT NULL,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, content_id),
    FOREIGN KEY (tenant, content_id) REFERENCES new_candidates (tenant, id),
    FOREIGN KEY (tenant, outcome_id) REFERENCES new_outcomes (tenant, id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_labels SELECT 'default', content_id, instance_id, outcome_id, resolved, reward, source, reported_at
    FROM labels;

CREATE TABLE new_idempotency_keys (
    tenant     TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    claim_id   TEXT    NOT NULL,
    claimed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    status     INTEGER,
    headers    TEXT,
    response   BLOB,
    PRIMARY KEY (tenant, scope, key)
) STRICT;
INSERT INTO new_idempotency_keys SELECT 'default', scope, key, body_hash, claim_id, claimed_at, expires_at, status,
    headers, response FROM idempotency_keys;

DROP TABLE labels;
DROP TABLE outcomes;
DROP TABLE scores;
DROP TABLE test_runs;
DROP TABLE selection_candidates;
DROP TABLE selections;
DROP TABLE candidates;
DROP TABLE issues;
DROP TABLE idempotency_keys;
ALTER TABLE new_issues RENAME TO issues;
ALTER TABLE new_candidates RENAME TO candidates;
ALTER TABLE new_selections RENAME TO selections;
ALTER TABLE new_selection_candidates RENAME TO selection_candidates;
ALTER TABLE new_test_runs RENAME TO test_runs;
ALTER TABLE new_scores RENAME TO scores;
ALTER TABLE new_outcomes RENAME TO outcomes;
ALTER TABLE new_labels RENAME TO labels;
ALTER TABLE new_idempotency_keys RENAME TO idempotency_keys;

-- The columns that stay small: their keys do not change.
ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
ALTER TABLE api_tokens ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';

DROP INDEX jobs_by_time;
CREATE INDEX candidates_by_issue ON candidates (tenant, instance_id, id);
CREATE INDEX selections_by_time ON selections (tenant, created_at, id);
CREATE INDEX selections_by_issue ON selections (tenant, instance_id, created_at, id);
CREATE INDEX selections_by_policy ON selections (tenant, policy, created_at, id);
CREATE INDEX test_runs_by_candidate ON test_runs (tenant, instance_id, content_id);
CREATE INDEX test_runs_by_selection ON test_runs (tenant, selection_id) WHERE selection_id IS NOT NULL;
CREATE INDEX outcomes_by_candidate ON outcomes (tenant, content_id, reported_at, id);
CREATE INDEX labels_by_issue ON labels (tenant, instance_id, content_id);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
CREATE INDEX jobs_by_time ON jobs (tenant, created_at, id);

-- A token that was given a new secret: the one before is good until then.
ALTER TABLE api_tokens ADD COLUMN rotated_at INTEGER;
ALTER TABLE api_tokens ADD COLUMN previous_hash TEXT;
ALTER TABLE api_tokens ADD COLUMN previous_until INTEGER;
CREATE UNIQUE INDEX api_tokens_by_previous_hash ON api_tokens (previous_hash);
