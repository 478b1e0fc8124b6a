-- Uniqueness of idempotency keys lives in a table of its own: outbox rows are pruned, and the outbox may be partitioned by
-- time, where no unique index over the key alone is possible.

CREATE TABLE walpost.idempotency_keys (
  organization_id uuid        NOT NULL,
  idempotency_key text        NOT NULL,
  event_id        uuid        NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  hash            bytea,

  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (organization_id, idempotency_key),
  CONSTRAINT idempotency_keys_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 512)
);

CREATE INDEX idempotency_keys_created_at_idx ON walpost.idempotency_keys (created_at);

COMMENT ON TABLE walpost.idempotency_keys IS 'The keys that walpost.publish has seen, and the event that each stands for.';
COMMENT ON INDEX walpost.idempotency_keys_created_at_idx IS 'For removing old keys.';
COMMENT ON COLUMN walpost.idempotency_keys.organization_id IS 'Keys are unique inside an organization.';
COMMENT ON COLUMN walpost.idempotency_keys.idempotency_key IS 'The producer''s key.';
COMMENT ON COLUMN walpost.idempotency_keys.event_id IS 'The first event with that key; the row in the outbox may be pruned by now.';
COMMENT ON COLUMN walpost.idempotency_keys.created_at IS 'When the key was first used.';
COMMENT ON COLUMN walpost.idempotency_keys.hash IS
  'SHA-256 of the type and the payload of that event. Null where it is not known; then every repetition counts as the same event.';

-- Counts what came under a key that stands for another event. A sequence counts without a lock, and keeps the count when the
-- transaction of the caller is rolled back.

CREATE SEQUENCE walpost.idempotency_conflicts;

COMMENT ON SEQUENCE walpost.idempotency_conflicts IS
  'How often walpost.publish was called with a known idempotency key and another type or payload than the first time.';

-- What walpost.once has carried out (functions/05_once.sql).

CREATE TABLE walpost.command_results (
  organization_id uuid        NOT NULL,
  idempotency_key text        NOT NULL,
  command         text        NOT NULL,
  arguments_hash  bytea       NOT NULL,
  result          jsonb,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT command_results_pkey PRIMARY KEY (organization_id, idempotency_key),
  CONSTRAINT command_results_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 512)
);

CREATE INDEX command_results_created_at_idx ON walpost.command_results (created_at);

COMMENT ON TABLE walpost.command_results IS 'The commands that walpost.once has carried out, and their results.';
COMMENT ON INDEX walpost.command_results_created_at_idx IS 'For removing old results.';
COMMENT ON COLUMN walpost.command_results.organization_id IS 'Keys are unique inside an organization.';
COMMENT ON COLUMN walpost.command_results.idempotency_key IS 'The caller''s key; other keys than those of walpost.publish.';
COMMENT ON COLUMN walpost.command_results.command IS 'The function that was called.';
COMMENT ON COLUMN walpost.command_results.arguments_hash IS 'SHA-256 of the arguments: the same key with others is a mistake of the caller.';
COMMENT ON COLUMN walpost.command_results.result IS 'What the function returned; null while it runs.';
COMMENT ON COLUMN walpost.command_results.created_at IS 'When it was called first.';
