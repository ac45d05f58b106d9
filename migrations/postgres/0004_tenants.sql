-- Same changes as migrations/sqlite/0004_tenants.sql.
-- Every record belongs to a tenant; what is there belongs to `default`. The tenant is part of the primary keys, and of
-- the foreign keys, so that no row can refer to another tenant's. Content ids and instance ids stay what they are: the
-- same content in two tenants is two rows, and whether the other one is there makes no difference to anything.
-- The default of the new columns is dropped again: a write that forgets its tenant fails.
-- Programs of the version before can go on with jobs that they hold, and cannot store candidates or selections beside
-- this schema: stop them before, as docs/store.md says.

ALTER TABLE issues ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE candidates ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE selections ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE selection_candidates ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE test_runs ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE scores ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE outcomes ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE labels ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE idempotency_keys ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE api_tokens ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE jobs ADD COLUMN tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default';

ALTER TABLE labels DROP CONSTRAINT labels_content_id_fkey, DROP CONSTRAINT labels_outcome_id_fkey;
ALTER TABLE outcomes DROP CONSTRAINT outcomes_content_id_fkey, DROP CONSTRAINT outcomes_selection_id_fkey;
ALTER TABLE scores DROP CONSTRAINT scores_content_id_fkey;
ALTER TABLE test_runs DROP CONSTRAINT test_runs_instance_id_fkey, DROP CONSTRAINT test_runs_content_id_fkey,
    DROP CONSTRAINT test_runs_selection_id_fkey;
ALTER TABLE selection_candidates DROP CONSTRAINT selection_candidates_selection_id_fkey,
    DROP CONSTRAINT selection_candidates_content_id_fkey;
ALTER TABLE selections DROP CONSTRAINT selections_instance_id_fkey, DROP CONSTRAINT selections_chosen_content_fkey;
ALTER TABLE candidates DROP CONSTRAINT candidates_instance_id_fkey;

ALTER TABLE issues DROP CONSTRAINT issues_pkey, ADD PRIMARY KEY (tenant, instance_id);
ALTER TABLE candidates DROP CONSTRAINT candidates_pkey, ADD PRIMARY KEY (tenant, id);
ALTER TABLE selections DROP CONSTRAINT selections_pkey, ADD PRIMARY KEY (tenant, id);
ALTER TABLE selection_candidates DROP CONSTRAINT selection_candidates_pkey,
    ADD PRIMARY KEY (tenant, selection_id, candidate_id);
ALTER TABLE test_runs DROP CONSTRAINT test_runs_pkey, ADD PRIMARY KEY (tenant, id);
ALTER TABLE scores DROP CONSTRAINT scores_pkey, ADD PRIMARY KEY (tenant, content_id, revision);
ALTER TABLE outcomes DROP CONSTRAINT outcomes_pkey, ADD PRIMARY KEY (tenant, id);
ALTER TABLE labels DROP CONSTRAINT labels_pkey, ADD PRIMARY KEY (tenant, content_id);
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey, ADD PRIMARY KEY (tenant, scope, key);

ALTER TABLE candidates ADD FOREIGN KEY (tenant, instance_id) REFERENCES issues (tenant, instance_id);
ALTER TABLE selections ADD FOREIGN KEY (tenant, instance_id) REFERENCES issues (tenant, instance_id),
    ADD FOREIGN KEY (tenant, chosen_content) REFERENCES candidates (tenant, id);
ALTER TABLE selection_candidates ADD FOREIGN KEY (tenant, selection_id) REFERENCES selections (tenant, id),
    ADD FOREIGN KEY (tenant, content_id) REFERENCES candidates (tenant, id);
ALTER TABLE test_runs ADD FOREIGN KEY (tenant, instance_id) REFERENCES issues (tenant, instance_id),
    ADD FOREIGN KEY (tenant, content_id) REFERENCES candidates (tenant, id),
    ADD FOREIGN KEY (tenant, selection_id) REFERENCES selections (tenant, id);
ALTER TABLE scores ADD FOREIGN KEY (tenant, content_id) REFERENCES candidates (tenant, id);
ALTER TABLE outcomes ADD FOREIGN KEY (tenant, content_id) REFERENCES candidates (tenant, id),
    ADD FOREIGN KEY (tenant, selection_id) REFERENCES selections (tenant, id);
ALTER TABLE labels ADD FOREIGN KEY (tenant, content_id) REFERENCES candidates (tenant, id),
    ADD FOREIGN KEY (tenant, outcome_id) REFERENCES outcomes (tenant, id);

DROP INDEX candidates_by_issue;
DROP INDEX selections_by_time;
DROP INDEX selections_by_issue;
DROP INDEX selections_by_policy;
DROP INDEX test_runs_by_candidate;
DROP INDEX test_runs_by_selection;
DROP INDEX outcomes_by_candidate;
DROP INDEX labels_by_issue;
DROP INDEX jobs_by_time;
CREATE INDEX candidates_by_issue ON candidates (tenant, instance_id, id);
CREATE INDEX selections_by_time ON selections (tenant, created_at, id);
CREATE INDEX selections_by_issue ON selections (tenant, instance_id, created_at, id);
CREATE INDEX selections_by_policy ON selections (tenant, policy, created_at, id);
CREATE INDEX test_runs_by_candidate ON test_runs (tenant, instance_id, content_id);
CREATE INDEX test_runs_by_selection ON test_runs (tenant, selection_id) WHERE selection_id IS NOT NULL;
CREATE INDEX outcomes_by_candidate ON outcomes (tenant, content_id, reported_at, id);
CREATE INDEX labels_by_issue ON labels (tenant, instance_id, content_id);
CREATE INDEX jobs_by_time ON jobs (tenant, created_at, id);

ALTER TABLE issues ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE candidates ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE selections ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE selection_candidates ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE test_runs ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE scores ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE outcomes ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE labels ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE idempotency_keys ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE api_tokens ALTER COLUMN tenant DROP DEFAULT;
ALTER TABLE jobs ALTER COLUMN tenant DROP DEFAULT;

-- A token that was given a new secret: the one before is good until then.
ALTER TABLE api_tokens ADD COLUMN rotated_at BIGINT;
ALTER TABLE api_tokens ADD COLUMN previous_hash TEXT COLLATE "C" UNIQUE;
ALTER TABLE api_tokens ADD COLUMN previous_until BIGINT;
